"""A run begins with its kind, whatever else of its content is called like an argument."""

from domain.workflow import Run


def test_a_run_begins_with_its_kind_and_in_analysis() -> None:
    run = Run.empty("wf1-1")
    started = run.began(5, "jan", kind="WF1", goal="keep the state true", desk="main")
    assert (started.kind, started.mode, started.actor, started.occurred_at_ns) == ("WF1", "analysis", "jan", 5)
    assert (run.phase, run.start) == ("analysis", started)
