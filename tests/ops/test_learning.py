"""The learning loop: a weak strategy starts one tuning run, by the desk itself, and no person's decision is skipped."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import SizeEvidence
from domain.governance_policy import GovernancePolicy
from domain.learning import too_weak
from domain.workflow import Run
from ops.learning import Learning
from tests.canonical import EVENTS, MONDAY, market_ticks, with_minutes
from tests.ops.desks import decide, write_tape
from tests.ops.governed import Governed
from tests.ops.test_signal_tuning import SCRIPT, TICKS, Desk, kinds

SIZED = next(event.sizing for event in EVENTS.values() if getattr(event, "sizing", None))
COUNT = st.integers(0, 100)


def known(trades: int, rate: int = 500_000, fall: int = 0) -> SizeEvidence:
    assert SIZED is not None
    changed = {"shadow_trades": trades, "win_rate_ppm": rate, "shadow_drawdown_milli_r": fall}
    return SIZED.model_copy(update=changed)


@given(COUNT, st.integers(0, 10**6), st.integers(0, 50_000), COUNT.filter(bool), st.none() | st.integers(0, 10**6),
       st.none() | st.integers(0, 50_000))  # fmt: skip
def test_a_strategy_is_weak_when_enough_results_fall_below_a_floor_that_is_set(
    trades: int, rate: int, fall: int, least: int, rate_floor: int | None, fall_limit: int | None
) -> None:
    policy = GovernancePolicy(
        learning_trades_min=least, learning_win_rate_min_ppm=rate_floor, learning_drawdown_max_thousandths=fall_limit
    )
    below = rate_floor is not None and rate < rate_floor
    deeper = fall_limit is not None and fall > fall_limit
    assert bool(too_weak(policy, known(trades, rate, fall))) == (trades >= least and (below or deeper))


def test_what_is_not_known_is_not_weak() -> None:
    assert too_weak(GovernancePolicy(), None) == ""


def test_the_reason_names_what_was_found_and_its_floor() -> None:
    assert too_weak(GovernancePolicy(), known(40, 512_500)) == (
        "the win rate of its last 40 shadow trades is 51.25 %, below 70 %"
    )
    assert too_weak(GovernancePolicy(), known(40, 800_000, 12_500)) == (
        "the deepest fall of its last 40 shadow trades is 12.5 R, above 10 R"
    )


# -- on a desk ---------------------------------------------------------------------------------------------------------


def runs(of: Governed) -> list[Run]:
    return sorted(of.gate.state.runs.values(), key=lambda run: run.start.occurred_at_ns)


async def feed(of: Governed, script: Any) -> None:
    end = await write_tape(of.log, script)
    await decide(of.log, end.ordinal)


async def weak(tmp_path: Any) -> tuple[Governed, Learning]:
    """A desk that is followed from half of its ticks on; its strategy is weak in the other half."""
    of = await Desk.open(tmp_path, kinds)
    of.gate.state.constitution.policy = GovernancePolicy(learning_trades_min=5, learning_win_rate_min_ppm=1_000_000)
    await feed(of, [*SCRIPT[:-1], TICKS[:1_500]])
    learning = Learning(of.log, of.gate, of.workflows)
    await learning.sweep()
    assert runs(of) == [], "what was decided before is no news"
    await feed(of, [TICKS[1_500:]])
    return of, learning


async def test_a_weak_strategy_starts_one_run_that_ends_at_the_gate(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("domain.tuning.objections", lambda *_, **__: ())
    of, learning = await weak(tmp_path)
    await learning.sweep()
    [run] = runs(of)
    assert (run.start.kind, run.start.actor, run.start.previous) == ("WF2", "desk", "")
    assert run.start.trigger.startswith("learning loop, main:")
    assert "the win rate of its last" in run.start.goal
    await of.workflows.sweep()
    assert run.phase == "gate"
    assert of.proposal(run).pending
    await learning.sweep()
    assert runs(of) == [run]


async def test_neither_a_restart_nor_another_reader_of_the_same_event_starts_a_run_twice(tmp_path: Any) -> None:
    of, learning = await weak(tmp_path)
    await learning.sweep()
    [run] = runs(of)
    await of.workflows.sweep()
    assert run.closed
    other = await of.again()
    other.gate.state.constitution.policy = of.gate.state.policy
    again = Learning(other.log, other.gate, other.workflows)
    await again.sweep()
    await again._start("main", "ema_cross", int(run.start.trigger.rpartition(":")[2]), "weak", runs(other))
    assert [found.name for found in runs(other)] == [run.name]


async def test_the_next_run_goes_on_from_the_last_once_there_are_as_many_signals_again(tmp_path: Any) -> None:
    of, learning = await weak(tmp_path)
    await learning.sweep()
    [first] = runs(of)
    await of.workflows.sweep()
    assert first.closed
    assert first.closed.outcome == "nothing_to_do"
    await learning.sweep()
    assert runs(of) == [first], "nothing new was decided"
    late = with_minutes(market_ticks(1_500, seed=5, symbols=2, start=MONDAY + 10**15))
    await feed(of, [late])
    await learning.sweep()
    second = runs(of)[1]
    assert second.start.previous == first.name


async def test_no_floor_starts_no_run(tmp_path: Any) -> None:
    of, learning = await weak(tmp_path)
    of.gate.state.constitution.policy = GovernancePolicy(
        learning_trades_min=5, learning_win_rate_min_ppm=None, learning_drawdown_max_thousandths=None
    )
    await learning.sweep()
    assert runs(of) == []


async def test_a_run_of_a_person_that_is_open_is_enough(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.tuning.objections", lambda *_, **__: ())
    of, learning = await weak(tmp_path)
    run = await of.start("WF2", input={"strategy": "ema_cross", "candidates": 2})
    assert run.phase == "gate"
    await learning.sweep()
    assert runs(of) == [run]
