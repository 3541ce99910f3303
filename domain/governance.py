"""All of governance on one page: what can stand on its stream, and what holds after it was folded.

Founding is the first event: the roles and the governance policy that a log begins with, whole, so that the log alone
says who could do what.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter

from domain.agents import AGENT, Actor, Role, RoleDefined, RoleRecord, RoleRetired
from domain.aggregate import Aggregate, Event
from domain.approvers import ApproverEnrolled, ApproverRevoked, Approvers
from domain.commands import ChangeGovernance, Command, DefineRole, RecordDecision, RetireRole
from domain.errors import Refused
from domain.governance_policy import GovernancePolicy
from domain.needs import needs_signature
from domain.proposal import (
    Before,
    Decision,
    Proposal,
    ProposalApplied,
    ProposalApplying,
    ProposalApproved,
    ProposalCleared,
    ProposalDrafted,
    ProposalExpired,
    ProposalFailed,
    ProposalPresented,
    ProposalRejected,
    ProposalRolledBack,
    ProposalWithdrawn,
)
from domain.verdicts import hash_of, refuse_unfounded
from domain.workflow import (
    GovernanceUpdated,
    PhaseEntered,
    Run,
    RunClosed,
    RunStarted,
    SignalTuningPrCreated,
    SignalTuningProposalCreated,
    StatusRefreshAnalysisStarted,
    StatusRefreshDelivered,
    StepFinished,
)

CONSTITUTION = "main"

Of = TypeVar("Of", bound=Aggregate)


class GovernanceFounded(Event):
    """The first event of all. `environment` is what every signature must name."""

    type: Literal["governance_founded"] = "governance_founded"
    environment: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    roles: tuple[Role, ...]
    policy: GovernancePolicy

    def apply(self, aggregate: "Constitution") -> None:
        aggregate.founded, aggregate.policy = self, self.policy


class GovernanceChanged(Event):
    """From here on this governance policy holds."""

    type: Literal["governance_changed"] = "governance_changed"
    policy: GovernancePolicy
    proposal: str

    def apply(self, aggregate: "Constitution") -> None:
        aggregate.policy = self.policy


class DecisionRecorded(Event):
    """An entry of DECISION_LOG that was approved."""

    type: Literal["decision_recorded"] = "decision_recorded"
    what: str
    context: str
    reference: str
    proposal: str


class Constitution(Aggregate):
    """What governance itself stands on."""

    category = "constitution"

    def begin(self) -> None:
        self.founded: GovernanceFounded | None = None
        self.policy: GovernancePolicy | None = None


GovernanceEvent = Annotated[
    GovernanceFounded
    | GovernanceChanged
    | DecisionRecorded
    | ApproverEnrolled
    | ApproverRevoked
    | RoleDefined
    | RoleRetired
    | ProposalDrafted
    | ProposalPresented
    | ProposalApproved
    | ProposalRejected
    | ProposalExpired
    | ProposalWithdrawn
    | ProposalCleared
    | ProposalApplying
    | ProposalApplied
    | ProposalFailed
    | ProposalRolledBack
    | RunStarted
    | StepFinished
    | PhaseEntered
    | StatusRefreshAnalysisStarted
    | StatusRefreshDelivered
    | SignalTuningProposalCreated
    | SignalTuningPrCreated
    | GovernanceUpdated
    | RunClosed,
    Field(discriminator="type"),
]

GOVERNANCE_EVENT: TypeAdapter[GovernanceEvent] = TypeAdapter(GovernanceEvent)


@dataclass
class Governance:
    """What holds. `take` is the only thing that changes it; `position` is the stream sequence that it has folded."""

    constitution: Constitution = field(default_factory=lambda: Constitution.empty(CONSTITUTION))
    known_approvers: Approvers | None = None
    roles: dict[str, RoleRecord] = field(default_factory=dict)
    proposals: dict[str, Proposal] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    position: int = 0
    _passed: dict[str, int] = field(default_factory=dict)  # of aggregates by id: the last version that was refused

    def take(self, sequence: int, event: object) -> None:
        """Fold one stored event. Raises Refused for one that nothing before it allows, whoever stored it, and the
        library's errors for one that cannot stand where it does: it changes nothing but its aggregate's version, which
        is the store's."""
        try:
            if isinstance(event, Event):
                self._judge(event)
            self._fold(sequence, event)
        except Exception:
            if isinstance(event, Event):
                self._pass_over(event)
            raise
        finally:
            self.position = sequence

    def _fold(self, sequence: int, event: object) -> None:
        match event:
            case ApproverEnrolled() | ApproverRevoked():
                self.approvers.take(sequence, event)
            case GovernanceFounded() | GovernanceChanged() | DecisionRecorded():
                self.constitution.take(event)
                if isinstance(event, GovernanceFounded):
                    self.known_approvers = Approvers(event.environment)
                    for role in event.roles:
                        self.role_record(role.name).role = role
            case RoleDefined() | RoleRetired():
                self.role_record(event.name).take(event)
            case Event():
                self._take_work(event)
            case _:
                raise TypeError(f"governance does not know {type(event).__name__}")

    def _pass_over(self, event: Event) -> None:
        """Count the version of an event that changes nothing, so that a later one can follow it."""
        self._passed[event.originator_id] = event.originator_version
        category, _, name = event.originator_id.partition(".")
        if known := self._aggregates(category).get(name):
            known.version = event.originator_version

    def _aggregates(self, category: str) -> Mapping[str, Aggregate]:
        every: dict[str, Mapping[str, Aggregate]] = {
            "constitution": {CONSTITUTION: self.constitution}, "agent": self.roles, "proposal": self.proposals,
            "decision": self.decisions, "workflow": self.runs,
        }  # fmt: skip
        return every.get(category, {})

    def blank(self, kind: type[Of], name: str) -> Of:
        """An aggregate before its first event, behind what was refused of it."""
        made = kind.empty(name)
        made.version = self._passed.get(made.id, 0)
        return made

    def _judge(self, event: Event) -> None:
        """What a handler would refuse, no log makes true."""
        match event:
            case ProposalDrafted():
                if event.name in self.proposals and self.proposals[event.name].drafted:
                    raise Refused("edited", f"proposal {event.name} was drafted before")
                if hash_of(event.command) != event.args_sha256 or event.environment != self.environment:
                    raise Refused("edited", f"proposal {event.name} is not the one that was hashed")
            case ProposalPresented():
                if sha256(event.shown.encode()).hexdigest() != event.shown_sha256:
                    raise Refused("edited", f"what was shown for proposal {event.name} is not what was hashed")
            case ProposalApproved() | ProposalRejected():
                self._judge_verdict(event)
            case ProposalCleared():
                proposal = self.proposal(event.name)
                before = proposal.presented.before if proposal.presented else Before()
                if widens := needs_signature(proposal.draft.command, before, self.policy):
                    raise Refused("unsigned", f"proposal {event.name} needs a signature: {widens[0]}")
            case ProposalApplying() | ProposalFailed():
                self.proposal(event.name).refuse_not_granted()
            case ProposalExpired():
                if not self.proposal(event.name).expired(event.occurred_at_ns):
                    raise Refused("edited", f"proposal {event.name} has not expired")
            case ProposalApplied():
                if self.proposal(event.name).state != "applying":
                    raise Refused("unsigned", f"proposal {event.name} was not being applied")
            case ProposalRolledBack():
                if self.proposal(event.by).draft.rolls_back != event.name or self.proposal(event.by).state != "applied":
                    raise Refused("unsigned", f"proposal {event.by} did not roll back {event.name}")
            case PhaseEntered() if event.phase == "delivery":
                self.proposal(event.proposal).refuse_not_delivered()
            case RoleDefined():
                self._refuse_ungranted(event.proposal, DefineRole(role=event.role), event.name == event.role.name)
            case RoleRetired():
                self._refuse_ungranted(event.proposal, RetireRole(role=event.name, reason=event.reason))
            case GovernanceChanged():
                self._refuse_ungranted(event.proposal, ChangeGovernance(policy=event.policy))
            case DecisionRecorded():
                entry = {name: getattr(event, name) for name in ("what", "context", "reference")}
                self._refuse_ungranted(event.proposal, RecordDecision(**entry))

    def _judge_verdict(self, event: ProposalApproved | ProposalRejected) -> None:
        proposal = self.proposal(event.name)
        if event.signed.body.verdict != event.type.removeprefix("proposal_") or proposal.presented is None:
            raise Refused("edited", f"the signed verdict on proposal {event.name} is another one")
        refuse_unfounded(
            event.signed, proposal.draft, proposal.presented, self.approvers, self.position, event.occurred_at_ns
        )

    def _refuse_ungranted(self, name: str, command: Command, fits: bool = True) -> None:
        """Unless this very command is being applied."""
        proposal = self.proposal(name)
        asked = proposal.draft.command.model_copy(update={"publication": None})
        if proposal.state != "applying" or asked != command or not fits:
            raise Refused("unsigned", f"no proposal that is being applied says {command.name}")

    def _take_work(self, event: Event) -> None:
        match event.originator_id.partition(".")[0]:
            case "proposal":
                if not isinstance(event, ProposalDrafted):
                    self.proposal(event.name)
                self._take_one(self.proposals, Proposal, event)
            case "decision":
                decision = self._take_one(self.decisions, Decision, event)
                if (proposal := self.proposals.get(event.name)) and decision.verdict:
                    proposal.decided(decision.verdict)
            case "workflow":
                if not isinstance(event, RunStarted):
                    self.run(event.name)
                self._take_one(self.runs, Run, event)
            case category:
                raise TypeError(f"governance has no {category}")

    def _take_one(self, known: dict[str, Of], kind: type[Of], event: Event) -> Of:
        taken = (known.get(event.name) or self.blank(kind, event.name)).take(event)
        known[event.name] = taken
        return taken

    # -- what holds ------------------------------------------------------------------------------------------------

    @property
    def approvers(self) -> Approvers:
        """Raises Refused before the founding."""
        assert self._founded
        assert self.known_approvers
        return self.known_approvers

    @property
    def environment(self) -> str:
        """What every signature must name. Raises Refused before the founding."""
        return self._founded.environment

    @property
    def policy(self) -> GovernancePolicy:
        """Raises Refused before the founding."""
        assert self._founded
        assert self.constitution.policy
        return self.constitution.policy

    @property
    def _founded(self) -> GovernanceFounded:
        if self.constitution.founded is None:
            raise Refused("not_founded", "governance has not begun on this log; start the governance service once")
        return self.constitution.founded

    def role_record(self, name: str) -> RoleRecord:
        return self.roles.setdefault(name, self.blank(RoleRecord, name))

    def active_roles(self) -> list[Role]:
        """Every role that somebody may act in, by level and name."""
        roles = [record.role for record in self.roles.values() if record.role]
        return sorted(roles, key=lambda role: (role.level, role.name))

    def actor(self, name: str, acting_as: str = "") -> Actor:
        """An agent as its records say; the session lead may act in any agent's role. Raises Refused."""
        own = self.roles[name].role if name in self.roles else None
        if own is None:
            return Actor(name, AGENT)
        if acting_as in ("", own.name):
            return Actor(name, own.level, own)
        taken = self.roles[acting_as].role if acting_as in self.roles else None
        if taken is None:
            raise Refused("unknown_role", f"there is no role {acting_as!r}; `cdb agents` lists them")
        if own.level != 1 or taken.level != AGENT:
            raise Refused(
                "not_permitted",
                f"{name} may not act as {acting_as}: only a session lead takes on another role, and only an agent's",
            )
        return Actor(name, own.level, taken)

    def proposal(self, name: str) -> Proposal:
        """Raises Refused when there is none."""
        found = self.proposals.get(name)
        if found is None or found.drafted is None:
            raise Refused(
                "unknown_proposal", f"there is no proposal {name[:80]!r}; `cdb pending` lists those that wait"
            )
        return found

    def run(self, name: str) -> Run:
        """Raises Refused when there is none."""
        found = self.runs.get(name)
        if found is None or found.started is None:
            raise Refused("unknown_run", f"there is no run {name[:80]!r}; `cdb workflow list` shows them")
        return found

    def pending(self) -> list[Proposal]:
        """What waits for a verdict, oldest first."""
        waiting = [proposal for proposal in self.proposals.values() if proposal.pending]
        return sorted(waiting, key=lambda proposal: (proposal.draft.occurred_at_ns, proposal.name))
