"""A workflow run: analysis, plan, gate, delivery, observed, closed. Every run begins in analysis; it is in delivery
only by an approved proposal of its own. What it did stands in its events, and its report links every decision.

WF1 status refresh, WF2 tuning of trade frequency and signal quality, WF3 agents and decisions.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.agents import LEAD, USER, Actor, Workflow
from domain.aggregate import Aggregate, Event
from domain.errors import Refused

Phase = Literal["analysis", "plan", "gate", "delivery", "observed", "closed"]
Mode = Literal["analysis", "delivery"]
Outcome = Literal["delivered", "rejected", "nothing_to_do", "failed", "abandoned"]

PHASES: tuple[Phase, ...] = ("analysis", "plan", "gate", "delivery", "observed", "closed")
_NEXT: dict[Phase, frozenset[Phase]] = {
    "analysis": frozenset({"plan", "closed"}),
    "plan": frozenset({"gate", "closed"}),
    "gate": frozenset({"plan", "delivery", "closed"}),  # rejected, expired or stale: plan again
    "delivery": frozenset({"observed", "gate", "plan", "closed"}),  # stale as it was to be delivered: plan again
    "observed": frozenset({"gate", "closed"}),
    "closed": frozenset(),
}

GO = ("go", "mach den job fertig")  # what moves a run to delivery, once its proposal is approved

CHECKLISTS: dict[Workflow, tuple[str, ...]] = {
    "WF1": ("services", "metrics", "blockers", "documents", "screenshots", "draft", "approval", "delivery", "report"),
    "WF2": (
        "parameters", "replay", "proposal", "approval", "activation", "delivery", "observation", "report",
    ),
    "WF3": ("wording", "proposal", "approval", "documents", "delivery", "report"),
}  # fmt: skip


class Evidence(BaseModel):
    """What a step found: a sentence, and where it can be looked up (an as_of token, a document, a file's hash).
    `content` is the kind's own, for the steps behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: str = Field(min_length=1, max_length=20_000)
    reference: str = Field("", max_length=500)
    untrusted: bool = False
    content: dict[str, Any] = Field(default_factory=dict)


class _RunEvent(Event):
    mode: Mode


class RunStarted(_RunEvent):
    """A run begins, in analysis. `previous`: the run that it goes on from; `trigger`: what started it."""

    type: Literal["run_started"] = "run_started"
    kind: Workflow
    goal: str = Field(min_length=1, max_length=2_000)
    desk: str
    role: str = ""
    previous: str = ""
    trigger: str = Field("command", max_length=200)
    input: dict[str, Any] = Field(default_factory=dict, description="the kind's own: a strategy, a role")

    def apply(self, aggregate: "Run") -> None:
        aggregate.started, aggregate.phase = self, "analysis"


class StepFinished(_RunEvent):
    """A line of the checklist is done; or, with `missing`, it waits for what the evidence says. `given` is what the
    run's input lacked, by whoever supplied it."""

    type: Literal["step_finished"] = "step_finished"
    step: str = Field(min_length=1, max_length=64)
    evidence: Evidence
    missing: bool = False
    given: dict[str, Any] = Field(default_factory=dict)

    def apply(self, aggregate: "Run") -> None:
        aggregate.taint = aggregate.taint or self.evidence.untrusted
        aggregate.given |= self.given
        if self.missing:
            aggregate.missing[self.step] = self.evidence
        else:
            aggregate.steps[self.step] = self.evidence
            aggregate.missing.pop(self.step, None)


class PhaseEntered(_RunEvent):
    """The run is in another phase; `proposal` is the one it waits for, or delivers."""

    type: Literal["phase_entered"] = "phase_entered"
    phase: Phase
    proposal: str = ""
    reason: str = Field("", max_length=2_000)

    def apply(self, aggregate: "Run") -> None:
        aggregate.phase, aggregate.mode = self.phase, self.mode
        if self.proposal and self.proposal not in aggregate.proposals:
            aggregate.proposals.append(self.proposal)


class _Milestone(_RunEvent):
    reference: str = Field("", max_length=500, description="a proposal, a commit, a pull request's address")

    def apply(self, aggregate: "Run") -> None:
        aggregate.milestones.append((self.type, self.reference))  # type: ignore[attr-defined]  # each kind has one


class StatusRefreshAnalysisStarted(_Milestone):
    """WF1 gathers what the desk's state is."""

    type: Literal["status_refresh_analysis_started"] = "status_refresh_analysis_started"


class StatusRefreshDelivered(_Milestone):
    """The new AKTUELLER_STAND is committed; `reference` is the pull request's address."""

    type: Literal["status_refresh_delivered"] = "status_refresh_delivered"


class SignalTuningProposalCreated(_Milestone):
    """WF2 proposed other parameters; `reference` is the proposal."""

    type: Literal["signal_tuning_proposal_created"] = "signal_tuning_proposal_created"


class SignalTuningPrCreated(_Milestone):
    """The new parameters are active and committed; `reference` is the pull request's address."""

    type: Literal["signal_tuning_pr_created"] = "signal_tuning_pr_created"


class GovernanceUpdated(_Milestone):
    """A role or decision holds and its documents say so; `reference` is the commit or the pull request."""

    type: Literal["governance_updated"] = "governance_updated"


class RunClosed(_RunEvent):
    """The run is over. `report` is Markdown and links every decision."""

    type: Literal["run_closed"] = "run_closed"
    outcome: Outcome
    report: str = Field(max_length=100_000)

    def apply(self, aggregate: "Run") -> None:
        aggregate.phase, aggregate.closed = "closed", self


Milestone = (
    StatusRefreshAnalysisStarted
    | StatusRefreshDelivered
    | SignalTuningProposalCreated
    | SignalTuningPrCreated
    | GovernanceUpdated
)


class Run(Aggregate):
    """A run as its events say."""

    category = "workflow"

    def begin(self) -> None:
        self.started: RunStarted | None = None
        self.phase: Phase = "analysis"
        self.mode: Mode = "analysis"
        self.steps: dict[str, Evidence] = {}
        self.missing: dict[str, Evidence] = {}
        self.given: dict[str, Any] = {}
        self.proposals: list[str] = []
        self.milestones: list[tuple[str, str]] = []
        self.taint = False
        self.closed: RunClosed | None = None

    @property
    def start(self) -> RunStarted:
        """How it began; every run that is on the log has it."""
        assert self.started is not None
        return self.started

    @property
    def input(self) -> dict[str, Any]:
        """What the kind works on: as it began, and what was given since."""
        return self.start.input | self.given

    @property
    def checklist(self) -> list[tuple[str, bool]]:
        """Every line, and whether it is done."""
        return [(step, step in self.steps) for step in CHECKLISTS[self.start.kind]]

    def began(self, now_ns: int, actor: str, /, **content: object) -> RunStarted:
        """Begin it. Raises Refused for one that began before."""
        if self.started is not None:
            raise Refused("invalid_state", f"run {self.name} began already; start another one")
        return self.happen(RunStarted, now_ns, actor, mode="analysis", **content)

    def finish_step(
        self,
        step: str,
        evidence: Evidence,
        now_ns: int,
        actor: str,
        *,
        missing: bool = False,
        given: dict[str, Any] | None = None,
    ) -> StepFinished:
        """Tick a line of the checklist, or say what it waits for. Raises Refused for a closed run and for a line that
        it does not have."""
        self.refuse_closed()
        lines = CHECKLISTS[self.start.kind]
        if step not in lines:
            raise Refused(
                "unknown_step", f"run {self.name} ({self.start.kind}) has no step {step!r}; {', '.join(lines)}"
            )
        return self.happen(
            StepFinished, now_ns, actor, mode=self.mode, step=step, evidence=evidence, missing=missing,
            given=given or {},
        )  # fmt: skip

    def enter(self, phase: Phase, now_ns: int, actor: str, *, proposal: str = "", reason: str = "") -> PhaseEntered:
        """Go to a phase. That a proposal is approved is checked by whoever calls. Raises Refused."""
        if phase not in _NEXT[self.phase]:
            there = " or ".join(sorted(_NEXT[self.phase])) or "nothing"
            raise Refused("invalid_state", f"run {self.name} is in {self.phase} and goes to {there}, not to {phase}")
        if phase == "delivery" and not proposal:
            raise Refused("invalid_state", f"run {self.name} goes to delivery only by an approved proposal; name it")
        mode: Mode = "delivery" if phase in ("delivery", "observed") else "analysis"
        return self.happen(PhaseEntered, now_ns, actor, mode=mode, phase=phase, proposal=proposal, reason=reason)

    def reach(self, kind: type[Milestone], reference: str, now_ns: int, actor: str) -> Milestone:
        """Record a milestone, once. Raises Refused for a closed run."""
        self.refuse_closed()
        return self.happen(kind, now_ns, actor, mode=self.mode, reference=reference)

    def close(self, outcome: Outcome, report: str, now_ns: int, actor: str) -> RunClosed:
        """End it. Raises Refused when it is over already."""
        self.refuse_closed()
        return self.happen(RunClosed, now_ns, actor, mode=self.mode, outcome=outcome, report=report)

    def refuse_closed(self) -> None:
        """Raises Refused when the run is over."""
        if self.closed:
            raise Refused("invalid_state", f"run {self.name} is closed ({self.closed.outcome}); start another one")


def refuse_foreign(actor: Actor, kind: Workflow) -> None:
    """Raises Refused when the actor's role does not lead this workflow."""
    if actor.role and kind not in actor.role.workflows:
        led = ", ".join(actor.role.workflows) or "none"
        raise Refused("not_permitted", f"{actor.name} acts as {actor.role.name}, which leads {led}, {kind} not")


def refuse_strangers(actor: Actor, run: Run) -> None:
    """Raises Refused when somebody else's run is told what to do by an agent that is not the session lead."""
    refuse_foreign(actor, run.start.kind)
    if actor.level not in (USER, LEAD) and not (run.start.role and run.start.actor == actor.name):
        raise Refused("not_permitted", f"run {run.name} was started by {run.start.actor}; ask the session lead")


def is_go(said: str) -> bool:
    """Does this tell a run to deliver?"""
    return " ".join(said.lower().split()).strip(" .!") in GO


_ROLE_PHRASES = (
    "ist jetzt offiziell dafür zuständig",
    "ist jetzt offiziell zuständig",
    "is now officially responsible",
)


def triggered_by(said: str) -> Workflow | None:
    """The workflow that an entry of a conversation starts: an announced responsibility is WF3."""
    flat = " ".join(said.lower().split())
    return "WF3" if any(phrase in flat for phrase in _ROLE_PHRASES) else None
