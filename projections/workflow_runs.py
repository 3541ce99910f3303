"""Workflow runs: where each stands, what its steps found, the proposals it made and the milestones it reached."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from domain.ports import Fact, Table
from domain.workflow import (
    GovernanceUpdated,
    PhaseEntered,
    RunClosed,
    RunStarted,
    SignalTuningPrCreated,
    SignalTuningProposalCreated,
    StatusRefreshAnalysisStarted,
    StatusRefreshDelivered,
    StepFinished,
)
from projections.projection import Fold, ReadModel, Row
from projections.proposals import as_json

RUNS = Table(
    "workflow_runs",
    {"run": "text"},
    (
        "number", "kind", "goal", "desk", "actor", "role", "previous", "trigger", "input", "started_at_ns", "phase",
        "mode", "changed_at_ns", "proposals", "milestones", "taint", "outcome", "report",
    ),
)  # fmt: skip
STEPS = Table(
    "workflow_steps", {"run": "text", "step": "text"}, ("says", "reference", "untrusted", "actor", "mode", "at_ns")
)

MILESTONES = (
    StatusRefreshAnalysisStarted,
    StatusRefreshDelivered,
    SignalTuningProposalCreated,
    SignalTuningPrCreated,
    GovernanceUpdated,
)
RUN_EVENTS = (RunStarted, StepFinished, PhaseEntered, *MILESTONES, RunClosed)


@dataclass(frozen=True)
class Open:
    """A row of RUNS."""

    number: int
    kind: str
    goal: str
    desk: str
    actor: str
    role: str | None
    previous: str | None
    trigger: str
    input: str
    started_at_ns: int
    phase: str
    mode: str
    changed_at_ns: int
    proposals: tuple[str, ...] = ()
    milestones: tuple[tuple[str, str, int], ...] = ()  # name, reference, time
    taint: bool = False
    outcome: str | None = None
    report: str | None = None


@dataclass
class Memory:
    """The runs that are not closed."""

    runs: dict[str, Open] = field(default_factory=dict)


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The run as it is from here on, and the step that was finished."""
    event = fact.event
    if not isinstance(event, RUN_EVENTS):
        raise TypeError(f"workflow_runs does not listen to {type(event).__name__}")
    if isinstance(event, RunStarted):
        after = _started(fact.position, event)
    elif event.name in memory.runs:
        after = _after(memory.runs[event.name], event)
    else:
        return
    if isinstance(event, StepFinished) and not event.missing:
        found = event.evidence
        said = (found.says, found.reference or None, found.untrusted, event.actor, event.mode, event.occurred_at_ns)
        yield Row(STEPS, (event.name, event.step), said)
    memory.runs[event.name] = after
    if isinstance(event, RunClosed):
        del memory.runs[event.name]
    yield Row(RUNS, (event.name,), _values(after))


def _started(number: int, event: RunStarted) -> Open:
    return Open(
        number, event.kind, event.goal, event.desk, event.actor, event.role or None, event.previous or None,
        event.trigger, as_json(event.input), event.occurred_at_ns, "analysis", event.mode, event.occurred_at_ns,
    )  # fmt: skip


def _after(before: Open, event: object) -> Open:
    match event:
        case StepFinished():
            now = replace(before, taint=before.taint or event.evidence.untrusted)
        case PhaseEntered():
            new = () if event.proposal in ("", *before.proposals) else (event.proposal,)
            now = replace(before, phase=event.phase, mode=event.mode, proposals=(*before.proposals, *new))
        case RunClosed():
            now = replace(before, phase="closed", outcome=event.outcome, report=event.report)
        case (
            StatusRefreshAnalysisStarted()
            | StatusRefreshDelivered()
            | SignalTuningProposalCreated()
            | SignalTuningPrCreated()
            | GovernanceUpdated()
        ):
            reached = (event.type.upper(), event.reference, event.occurred_at_ns)
            now = replace(before, milestones=(*before.milestones, reached))
        case _:
            raise TypeError(f"a run does not go on by {type(event).__name__}")
    return replace(now, changed_at_ns=event.occurred_at_ns)


def _values(run: Open) -> tuple[object, ...]:
    milestones = [{"name": name, "reference": reference, "at_ns": at_ns} for name, reference, at_ns in run.milestones]
    return tuple((vars(run) | {"milestones": as_json(milestones)}).values())


MODEL = ReadModel("workflow_runs", 1, (Fold("governance", RUN_EVENTS, Memory, evolve, (RUNS, STEPS)),))
