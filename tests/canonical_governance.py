"""A governance that began, decided and went on: one story with every event that its stream can hold, in the messages
that it would be stored in; and the OPS events that governance writes. Golden files and read models take them from here.

Keys come from fixed seeds, so every signature is the same bytes.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.access import AccessEvent, TokenCreated, TokenRevoked
from domain.agents import Role, RoleDefined, RoleRecord, RoleRetired
from domain.aggregate import Aggregate, Event
from domain.approval import ApprovalBody, Question, Signed, encoded, key_id
from domain.approval import to_sign as verdict_to_sign
from domain.approvers import ApproverEnrolled, ApproverEvent, ApproverRevoked, to_sign
from domain.commands import (
    ChangeGovernance,
    Command,
    DeactivateStrategy,
    DefineRole,
    Publication,
    Publish,
    PullRequestText,
    RecordDecision,
    Resume,
    RetireRole,
)
from domain.governance import Constitution, DecisionRecorded, GovernanceChanged, GovernanceEvent, GovernanceFounded
from domain.governance_policy import GovernancePolicy
from domain.operations import AgentSeen, AgentSilent, CommandRefused, OpsEvent
from domain.proposal import (
    Before,
    Decision,
    Effect,
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
from domain.verdicts import hash_of, whole
from domain.workflow import (
    Evidence,
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

HOUR_NS = 3600 * 10**9
MONDAY = 1_709_510_400_000_000_000
ENVIRONMENT = "golden"
Said = GovernanceEvent | AccessEvent

# Every field written out, so that a changed default does not change what is stored.
POLICY = GovernancePolicy(
    version=1, proposal_expiry_ns=HOUR_NS, pending_max_per_agent=5, order_notional_max_nanos=10_000 * 10**9,
    order_risk_max_ppm=1_000, waiting_alert_ns=HOUR_NS, heartbeat_ns=30 * 10**9, fast_track=("AGENTS",),
    learning_trades_min=30, learning_win_rate_min_ppm=700_000, learning_drawdown_max_thousandths=None,
)  # fmt: skip
ROLES = (
    Role(
        name="session-lead", level=1, purpose="The one voice to the user.", responsibilities=("lead runs", "ask"),
        inputs=("goals",), outputs=("reports",), workflows=("WF1", "WF2", "WF3"),
        capabilities=("propose", "run_workflows", "deliver", "trade"),
    ),
    Role(
        name="codex", level=2, purpose="A second opinion.", responsibilities=("answer",), inputs=("questions",),
        outputs=("analyses",), workflows=(), capabilities=(),
    ),
    Role(
        name="risk-architect", level=3, purpose="Risk rules | and their cost.", responsibilities=(), inputs=(),
        outputs=("proposals",), workflows=("WF2",), capabilities=("propose", "run_workflows"),
    ),
)  # fmt: skip


class Key:
    """An approver's key, from a seed of one byte."""

    def __init__(self, seed: int) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, data: bytes) -> str:
        return encoded(self._private.sign(data))


JAN, EVA = Key(1), Key(2)


class Story:
    """The messages of a governance, in order: each is what one decision gave one aggregate. A second passes by each."""

    def __init__(self) -> None:
        self.messages: list[tuple[Said, ...]] = []
        self.aggregates: dict[str, Any] = {}
        self.now_ns = MONDAY

    def of(self, kind: type[Aggregate], name: str) -> Any:
        known = self.aggregates.get(f"{kind.category}.{name}")
        if known is None:
            known = self.aggregates[f"{kind.category}.{name}"] = kind.empty(name)
        return known

    def tell(self, *said: Said) -> None:
        self.messages.append(said)

    def happen(self, aggregate: Aggregate, event: type[Event], /, actor: str = "gate", **content: Any) -> None:
        """A message of one event."""
        self.now_ns += 10**9
        self.tell(aggregate.happen(event, self.now_ns, actor, **content))  # type: ignore[arg-type]  # Event of the union

    # -- proposals -----------------------------------------------------------------------------------------------------

    def draft(self, name: str, command: Command, actor: str = "session-lead", **content: Any) -> Proposal:
        """Drafted and presented, in one message."""
        self.now_ns += 10**9
        proposal: Proposal = self.of(Proposal, name)
        command = whole(command)
        said = {
            "level": 1, "role": "session-lead", "command": command, "args_sha256": hash_of(command), "reason": "why",
            "widens": ("widens",), "policy_version": 1, "environment": ENVIRONMENT, "nonce": "0" * 32,
            "expires_at_ns": self.now_ns + HOUR_NS,
        }  # fmt: skip
        first = proposal.happen(ProposalDrafted, self.now_ns, actor, **said | content)
        self.tell(first, self._presented(proposal))
        return proposal

    def _presented(self, proposal: Proposal, text: str = "Record a decision\n") -> ProposalPresented:
        shown = {"shown": text, "shown_sha256": sha256(text.encode()).hexdigest()}
        return proposal.happen(
            ProposalPresented, self.now_ns, "gate", base=f"governance:{len(self.messages)}", before=Before(), **shown
        )

    def present_again(self, proposal: Proposal) -> None:
        self.now_ns += 10**9
        self.tell(self._presented(proposal, "Record another decision\n"))

    def decide(self, proposal: Proposal, kind: type[Event], key: Key | None = None, said: str = "", **c: Any) -> None:
        """The verdict, signed when a key is given."""
        decision: Decision = self.of(Decision, proposal.name)
        if kind is ProposalExpired:
            self.now_ns = proposal.draft.expires_at_ns
        if key:
            c |= {"actor": key.id, "signed": self._signed(proposal, kind, key, said)}
        self.happen(decision, kind, **c)
        if decision.verdict:
            proposal.decided(decision.verdict)

    def _signed(self, proposal: Proposal, kind: type[Event], key: Key, reason: str) -> Signed:
        draft, presented = proposal.draft, proposal.presented
        assert presented
        question = Question(
            proposal=proposal.name, command=draft.command.name, args_sha256=draft.args_sha256,
            policy=f"v{draft.policy_version}", base=presented.base, shown_sha256=presented.shown_sha256,
            environment=draft.environment, nonce=draft.nonce, expires_at_ns=draft.expires_at_ns,
        )  # fmt: skip
        verdict = "approved" if kind is ProposalApproved else "rejected"
        body = ApprovalBody(
            **question.model_dump(), verdict=verdict, reason=reason, key_id=key.id, signed_at_ns=self.now_ns
        )
        return Signed(body=body, signature=key.sign(verdict_to_sign(body)))

    def apply(self, proposal: Proposal, *effects: Effect, changing: Callable[[], None] | None = None) -> None:
        """What it changes of governance itself happens while it is applied."""
        self.happen(proposal, ProposalApplying, attempt=proposal.attempts + 1)
        if changing:
            changing()
        self.happen(proposal, ProposalApplied, effects=effects)

    # -- keys and tokens -----------------------------------------------------------------------------------------------

    def enrol(self, key: Key, name: str, by: Key | None = None) -> ApproverEnrolled:
        self.now_ns += 10**9
        event = ApproverEnrolled(
            key_id=key.id, environment=ENVIRONMENT, actor=name, occurred_at_ns=self.now_ns, name=name,
            public_key=encoded(key.public), kind="file", enrolled_by=by.id if by else "",
        )  # fmt: skip
        event = _signed_by(event, by) if by else event
        self.tell(event)
        return event

    def revoke(self, key: Key, by: Key, reason: str) -> None:
        self.now_ns += 10**9
        unsigned = ApproverRevoked(
            key_id=key.id, environment=ENVIRONMENT, actor="jan", occurred_at_ns=self.now_ns, reason=reason,
            revoked_by=by.id, signature="A" * 86,
        )  # fmt: skip
        self.tell(_signed_by(unsigned, by))


def _signed_by(event: Any, key: Key) -> Any:
    return event.model_copy(update={"signature": key.sign(to_sign(event))})


def commit(document: str) -> Publish:
    """A document whole, on a branch with a pull request."""
    return Publish(
        publication=Publication(
            documents={document: "# text\n"}, before={document: ""}, message="Update AKTUELLER_STAND via MCP Agent",
            branch="status-auto-refresh-20240304", pull_request=PullRequestText(title="Status", body="- a panel"),
        )
    )  # fmt: skip


def story() -> Story:
    """Every event there is, at least once."""
    told = Story()
    constitution = told.of(Constitution, "main")
    told.happen(constitution, GovernanceFounded, environment=ENVIRONMENT, roles=ROLES, policy=POLICY)
    told.enrol(JAN, "jan")
    told.enrol(EVA, "eva", by=JAN)
    told.tell(TokenCreated(name="panel", actor="jan", occurred_at_ns=told.now_ns, role="observer", sha256="ab" * 32))
    _decisions(told, constitution)
    _status_refresh(told)
    _tuning(told)
    _roles(told, constitution)
    told.revoke(EVA, JAN, "she left")
    told.tell(TokenRevoked(name="panel", actor="jan", occurred_at_ns=told.now_ns, reason="it was in a chat"))
    told.draft("p-waits", Resume(desk="main", reason="the feed is back"), actor="stability-guardian", level=3, role="")
    return told


def _decisions(told: Story, constitution: Constitution) -> None:
    entry = RecordDecision(what="Trade *majors* only", context="spreads of crosses are wide", reference="notes/1")
    recorded = told.draft("p-recorded", entry, effects=("a quieter desk",), rollback=Resume(desk="main", reason="no"))
    told.present_again(recorded)
    told.decide(recorded, ProposalApproved, JAN, said="agreed")
    told.happen(recorded, ProposalApplying, attempt=1)
    told.happen(
        recorded, ProposalFailed, code="unavailable", reason="the repository is away",
        effects=(Effect(kind="commit", reference="c0ffee"),),
    )  # fmt: skip
    record = partial(
        told.happen, constitution, DecisionRecorded, "session-lead", what=entry.what, context=entry.context,
        reference=entry.reference, proposal=recorded.name,
    )  # fmt: skip
    told.apply(recorded, Effect(kind="event", reference="constitution.main"), changing=record)
    told.decide(told.draft("p-no", entry, actor="risk-architect"), ProposalRejected, EVA, said="too *narrow*")
    told.decide(told.draft("p-late", entry), ProposalExpired)
    told.decide(told.draft("p-own", entry), ProposalWithdrawn, actor="session-lead", reason="it is not needed")
    tighter = POLICY.model_copy(update={"version": 2, "pending_max_per_agent": 3})
    cleared = told.draft("p-stop", DeactivateStrategy(desk="main", strategy="ema_cross"), widens=())
    told.decide(cleared, ProposalCleared)
    told.apply(cleared, Effect(kind="instruction", reference="tape:12"))
    change = told.draft("p-tighter", ChangeGovernance(policy=tighter))
    told.decide(change, ProposalApproved, JAN)
    changing = partial(told.happen, constitution, GovernanceChanged, policy=tighter, proposal=change.name)
    told.apply(change, Effect(kind="event", reference="constitution.main"), changing=changing)
    back = told.draft(
        "p-back", ChangeGovernance(policy=POLICY.model_copy(update={"version": 3})), rolls_back=change.name
    )
    told.decide(back, ProposalApproved, JAN)
    told.apply(back, Effect(kind="event", reference="constitution.main"))
    told.happen(change, ProposalRolledBack, by=back.name)


def _start(told: Story, name: str, **content: Any) -> Run:
    run: Run = told.of(Run, name)
    said = {"goal": "Keep the state true", "desk": "main", "role": "session-lead", "mode": "analysis"}
    told.happen(run, RunStarted, "session-lead", **said | content)
    return run


def _status_refresh(told: Story) -> None:
    run = _start(told, "wf1-1", kind="WF1")
    analysis, delivery = {"actor": "session-lead", "mode": "analysis"}, {"actor": "session-lead", "mode": "delivery"}
    told.happen(run, StatusRefreshAnalysisStarted, **analysis)
    for step, untrusted in (("services", False), ("documents", True)):
        evidence = Evidence(says=f"{step} are well", reference="MTpt", untrusted=untrusted)
        told.happen(run, StepFinished, **analysis, step=step, evidence=evidence)
    told.happen(run, PhaseEntered, **analysis, phase="plan")
    proposal = told.draft("p-status", commit("AKTUELLER_STAND.md"), run=run.name, taint=True)
    told.happen(run, PhaseEntered, **analysis, phase="gate", proposal=proposal.name)
    told.decide(proposal, ProposalApproved, JAN)
    told.happen(run, PhaseEntered, **delivery, phase="delivery", proposal=proposal.name)
    address = "https://example.org/pull/7"
    told.apply(proposal, Effect(kind="commit", reference="c0ffee"), Effect(kind="pull_request", reference=address))
    told.now_ns += 10**9  # the milestone and the end are one decision
    told.tell(
        run.happen(StatusRefreshDelivered, told.now_ns, "session-lead", mode="delivery", reference=address),
        run.happen(RunClosed, told.now_ns, "session-lead", mode="delivery", outcome="delivered", report="# Report\n"),
    )


def _tuning(told: Story) -> None:
    run = _start(told, "wf2-1", kind="WF2", previous="wf1-1", trigger="learning loop", input={"strategy": "ema"})
    said = {"actor": "session-lead", "mode": "analysis"}
    told.happen(run, SignalTuningProposalCreated, **said, reference="p-status")
    told.happen(run, SignalTuningPrCreated, **said, reference="https://example.org/pull/8")


def _roles(told: Story, constitution: Constitution) -> None:
    run = _start(told, "wf3-1", kind="WF3")
    role = Role(
        name="scribe", level=3, purpose="Keeps the log readable.", workflows=("WF3",), capabilities=("propose",)
    )
    for name, purpose in (("p-role", role.purpose), ("p-role-2", "Keeps the log short.")):
        defined = role.model_copy(update={"purpose": purpose})
        proposal = told.draft(name, DefineRole(role=defined), run=run.name)
        told.decide(proposal, ProposalApproved, JAN)
        scribe = told.of(RoleRecord, "scribe")
        defining = partial(told.happen, scribe, RoleDefined, "session-lead", role=defined, proposal=name)
        told.apply(proposal, Effect(kind="event", reference="agent.scribe"), changing=defining)
    told.happen(run, GovernanceUpdated, actor="session-lead", mode="analysis", reference="c0ffee")
    retired = told.draft("p-retire", RetireRole(role="codex", reason="nobody asks it"))
    told.decide(retired, ProposalApproved, EVA)
    codex = told.of(RoleRecord, "codex")
    retiring = partial(told.happen, codex, RoleRetired, "session-lead", reason="nobody asks it", proposal="p-retire")
    told.apply(retired, Effect(kind="event", reference="agent.codex"), changing=retiring)


MESSAGES: list[tuple[Said, ...]] = story().messages

GOVERNANCE: dict[str, GovernanceEvent] = {}
for _said in (event for message in MESSAGES for event in message if not isinstance(event, TokenCreated | TokenRevoked)):
    GOVERNANCE.setdefault(_said.type, _said)  # the first of each kind

_SERVICE: dict[str, Any] = {"service": "governance", "occurred_at_ns": MONDAY}
OPERATIONS: dict[str, OpsEvent] = {
    event.type: event
    for event in (
        CommandRefused(
            **_SERVICE, actor="gemini", command="draft", code="not_permitted", message="gemini may not draft",
            subject="p-waits",
        ),
        AgentSeen(**_SERVICE, agent="session-lead", state="working", doing="WF1"),
        AgentSilent(**_SERVICE, agent="session-lead", last_seen_ns=MONDAY - HOUR_NS),
    )
}  # fmt: skip


def approver_events() -> list[ApproverEvent]:
    """The events of keys, in order."""
    return [e for message in MESSAGES for e in message if isinstance(e, ApproverEnrolled | ApproverRevoked)]
