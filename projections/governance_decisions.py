"""Governance in the decision log: verdicts, roles, policy, keys, tokens, entries, milestones of runs; and what
it refused, from OPS.

Keys are judged as the gate judges them (domain/approvers.py): an enrolment that breaks a rule stands there as ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from domain.access import TokenCreated, TokenRevoked
from domain.agents import RoleDefined, RoleRetired
from domain.aggregate import Event
from domain.approvers import ApproverEnrolled, ApproverEvent, ApproverRevoked, Approvers
from domain.commands import authority
from domain.governance import DecisionRecorded, GovernanceChanged, GovernanceFounded
from domain.operations import CommandRefused
from domain.ports import Fact, Table
from domain.proposal import (
    ProposalApproved,
    ProposalCleared,
    ProposalExpired,
    ProposalRejected,
    ProposalWithdrawn,
    Verdict,
)
from domain.tape import utc
from domain.workflow import RunClosed, StepFinished
from projections.projection import Fold, Row
from projections.proposals import VERDICTS, as_json, reason_of
from projections.workflow_runs import MILESTONES, RUN_EVENTS

DECISIONS = Table(
    "governance_decisions",
    {"number": "bigint", "version": "bigint"},
    ("what", "at_ns", "who", "authority", "why", "reference", "proposal", "content"),
)
REFUSALS = Table("refusals", {"number": "bigint"}, ("actor", "command", "code", "message", "subject", "at_ns"))

OBSERVED = "observation"  # the step of a run that holds a promise against what came of it
_KEYS = (ApproverEnrolled, ApproverRevoked)
_TOKENS = (TokenCreated, TokenRevoked)
LISTENS = (
    GovernanceFounded,
    GovernanceChanged,
    DecisionRecorded,
    RoleDefined,
    RoleRetired,
    *VERDICTS,
    *RUN_EVENTS,
    *_KEYS,
    *_TOKENS,
)


class Said(NamedTuple):
    """What a decision says, in the order of its columns behind `at_ns`."""

    who: str
    authority: str
    why: str | None
    reference: str
    proposal: str | None
    content: dict[str, Any]


@dataclass
class Memory:
    """The events of keys with their positions, in order."""

    environment: str = ""
    keys: list[tuple[int, ApproverEvent]] = field(default_factory=list)

    def approvers(self) -> Approvers:
        """The keys as they stand."""
        known = Approvers(self.environment)
        for position, event in self.keys:
            known.take(position, event)
        return known

    def name_of(self, key_id: str) -> str:
        """Whose key it is."""
        names = {one.enrolment.key_id: one.enrolment.name for one in self.approvers().all()}
        return names.get(key_id, key_id)


@dataclass
class Nothing:
    """Refusals remember nothing."""


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The decision, if the event is one."""
    event = fact.event
    if not isinstance(event, LISTENS):
        raise TypeError(f"governance_decisions does not listen to {type(event).__name__}")
    what: str = "promise_observed" if isinstance(event, StepFinished) else event.type
    said: Said | None
    if isinstance(event, _KEYS):
        version = 1 if isinstance(event, ApproverEnrolled) else 2
        what, said = _of_key(memory, fact.position, event)
    elif isinstance(event, _TOKENS):
        version, said = 1, _of_token(event)
    else:
        version = event.originator_version
        said = _said(memory, event)
    if said is not None:
        values = (what, event.occurred_at_ns, *said[:-1], as_json(said.content))
        yield Row(DECISIONS, (fact.position, version), values)


def _said(memory: Memory, event: Event) -> Said | None:
    content: dict[str, Any]
    match event:
        case ProposalApproved() | ProposalRejected() | ProposalExpired() | ProposalWithdrawn() | ProposalCleared():
            return _of_verdict(memory, event) if event.originator_version == 1 else None
        case GovernanceFounded():
            memory.environment = event.environment
            content = {"environment": event.environment, "roles": [role.name for role in event.roles]}
            return Said(event.actor, "founding", None, event.environment, None, content)
        case GovernanceChanged():
            content = {"policy": event.policy.model_dump(mode="json")}
            return _approved(event, event.proposal, None, f"version {event.policy.version}", content)
        case DecisionRecorded():
            content = {"says": event.what}
            return _approved(event, event.proposal, event.context or None, event.reference or event.proposal, content)
        case RoleDefined():
            content = {"role": event.role.model_dump(mode="json")}
            return _approved(event, event.proposal, None, event.name, content)
        case RoleRetired():
            return _approved(event, event.proposal, event.reason, event.name, {})
        case StepFinished() if event.step == OBSERVED and not event.missing:
            content = {"run": event.name, "mode": event.mode, "says": event.evidence.says}
            return Said(event.actor, "workflow", event.evidence.says, event.name, None, content)
        case RunClosed():
            content = {"run": event.name, "outcome": event.outcome}
            return Said(event.actor, "workflow", event.outcome, event.name, None, content)
        case _ if isinstance(event, MILESTONES):
            content = {"run": event.name, "mode": event.mode}
            return Said(event.actor, "workflow", None, event.reference or event.name, None, content)
    return None


def _approved(event: Event, proposal: str, why: str | None, reference: str, content: dict[str, Any]) -> Said:
    return Said(event.actor, authority(proposal), why, reference, proposal, content)


def _of_verdict(memory: Memory, event: Verdict) -> Said:
    by, said = "rule" if event.actor == "gate" else "own proposal", reason_of(event)
    who = event.actor
    match event:
        case ProposalApproved() | ProposalRejected():
            who, by = memory.name_of(event.signed.body.key_id), f"key {event.signed.body.key_id}"
        case ProposalExpired():
            said = "nobody decided in time"
        case ProposalCleared():
            said = "nothing in it needs a signature"
    return Said(who, by, said, event.name, event.name, {})


def _of_key(memory: Memory, position: int, event: ApproverEvent) -> tuple[str, Said]:
    """A key's event that counts, or one that is ignored, with the rule that says so."""
    by = event.enrolled_by if isinstance(event, ApproverEnrolled) else event.revoked_by
    why = event.reason if isinstance(event, ApproverRevoked) else None
    content: dict[str, Any] = {"environment": event.environment}
    if isinstance(event, ApproverEnrolled):
        content |= {"name": event.name, "kind": event.kind}
    known = memory.approvers()
    known.take(position, event)
    if known.ignored:
        what, why = "approver_ignored", f"{event.type}: {known.ignored[0].refusal}"
    else:
        what = event.type
        memory.keys.append((position, event))
    return what, Said(event.actor, f"key {by}" if by else "offline", why, event.key_id, None, content)


def _of_token(event: TokenCreated | TokenRevoked) -> Said:
    content: dict[str, Any] = {}
    if isinstance(event, TokenCreated):
        content = {"role": event.role, "expires_at": utc(event.expires_at_ns) if event.expires_at_ns else None}
    why = event.reason if isinstance(event, TokenRevoked) else None
    return Said(event.actor, "operator", why, event.name, None, content)


def refused(_: Nothing, fact: Fact) -> Iterator[Row]:
    """A command that governance said no to."""
    event = fact.event
    if not isinstance(event, CommandRefused):
        raise TypeError(f"governance_decisions does not listen to {type(event).__name__}")
    said = (event.actor, event.command, event.code, event.message, event.subject or None, event.occurred_at_ns)
    yield Row(REFUSALS, (fact.position,), said)


FOLDS = (
    Fold("governance", LISTENS, Memory, evolve, (DECISIONS,)),
    Fold("ops", (CommandRefused,), Nothing, refused, (REFUSALS,)),
)
