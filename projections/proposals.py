"""Proposals: what was drafted, what was shown of it, and what became of it. What stands in a row is the proposal's own.

The draft is written once; the state beside it is a row of its own, so that a step rewrites no command.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from domain.aggregate import Event
from domain.ports import Fact, Table
from domain.presentation import title
from domain.proposal import (
    PENDING,
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
    Verdict,
)
from projections.projection import Fold, ReadModel, Row

PROPOSALS = Table(
    "proposals",
    {"proposal": "text"},
    (
        "number", "title", "command", "desk", "arguments", "args_sha256", "actor", "level", "role", "run", "reason",
        "effects_expected", "rollback", "rolls_back", "widens", "policy_version", "environment", "taint",
        "drafted_at_ns", "expires_at_ns",
    ),
)  # fmt: skip
STATES = Table(
    "proposal_states",
    {"proposal": "text"},
    (
        "state", "changed_at_ns", "verdict", "decided_at_ns", "decided_by", "verdict_reason", "signature", "attempts",
        "effects", "failed_code", "failed_reason", "rolled_back_by",
    ),
)  # fmt: skip
PRESENTATIONS = Table("presentations", {"proposal": "text"}, ("base", "shown", "shown_sha256", "presented_at_ns"))

VERDICTS = (ProposalApproved, ProposalRejected, ProposalExpired, ProposalWithdrawn, ProposalCleared)
_ENDS = frozenset({"rejected", "expired", "withdrawn", "rolled_back"})  # nothing follows


@dataclass(frozen=True)
class Standing:
    """A row of STATES. `effects` is JSON."""

    state: str
    changed_at_ns: int
    verdict: str | None = None
    decided_at_ns: int | None = None
    decided_by: str | None = None
    verdict_reason: str | None = None
    signature: str | None = None
    attempts: int = 0
    effects: str = "[]"
    failed_code: str | None = None
    failed_reason: str | None = None
    rolled_back_by: str | None = None


@dataclass
class Memory:
    """How the proposals stand that something may still happen to."""

    standing: dict[str, Standing] = field(default_factory=dict)


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The draft or what is shown of it, and how the proposal stands from here on."""
    event = fact.event
    if not isinstance(event, (ProposalDrafted, ProposalPresented, *VERDICTS, *_STEPS)):
        raise TypeError(f"proposals does not listen to {type(event).__name__}")
    if isinstance(event, ProposalDrafted):
        yield Row(PROPOSALS, (event.name,), _drafted(fact.position, event))
        before = Standing("drafted", event.occurred_at_ns)
    elif event.name not in memory.standing:
        return
    else:
        before = memory.standing[event.name]
    if isinstance(event, ProposalPresented):
        shown = (event.base, event.shown, event.shown_sha256, event.occurred_at_ns)
        yield Row(PRESENTATIONS, (event.name,), shown)
    after = _after(before, event)
    memory.standing[event.name] = after
    if after.state in _ENDS:
        del memory.standing[event.name]
    yield Row(STATES, (event.name,), tuple(vars(after).values()))


def _drafted(number: int, event: ProposalDrafted) -> tuple[Any, ...]:
    command = event.command
    return (
        number, title(command), command.name, getattr(command, "desk", None), as_json(command), event.args_sha256,
        event.actor, event.level, event.role or None, event.run or None, event.reason, event.effects,
        title(event.rollback) if event.rollback else None, event.rolls_back or None, event.widens,
        event.policy_version, event.environment, event.taint, event.occurred_at_ns, event.expires_at_ns,
    )  # fmt: skip


_STEPS = (ProposalApplying, ProposalApplied, ProposalFailed, ProposalRolledBack)


def _after(before: Standing, event: Event) -> Standing:
    now = replace(before, changed_at_ns=event.occurred_at_ns)
    match event:
        case ProposalPresented():
            return replace(now, state="presented" if before.state == "drafted" else before.state)
        case ProposalApplying():
            return replace(now, state="applying", attempts=event.attempt)
        case ProposalApplied():
            return replace(now, state="applied", effects=as_json(event.effects))
        case ProposalFailed():
            return replace(
                now, state="failed", effects=as_json(event.effects), failed_code=event.code, failed_reason=event.reason
            )
        case ProposalRolledBack():
            return replace(now, state="rolled_back", rolled_back_by=event.by)
        case ProposalApproved() | ProposalRejected() | ProposalExpired() | ProposalWithdrawn() | ProposalCleared() if (
            before.verdict is None
        ):
            return _decided(now, event)
    return before


def _decided(now: Standing, event: Verdict) -> Standing:
    word = event.type.removeprefix("proposal_")
    return replace(
        now,
        state=word if now.state in PENDING else now.state,
        verdict=word,
        decided_at_ns=event.occurred_at_ns,
        decided_by=event.actor,
        verdict_reason=reason_of(event),
        signature=event.signed.signature if isinstance(event, ProposalApproved | ProposalRejected) else None,
    )


def reason_of(verdict: Verdict) -> str | None:
    """Why, in the words of whoever decided; None: nobody gave any."""
    match verdict:
        case ProposalApproved() | ProposalRejected():
            return verdict.signed.body.reason or None
        case ProposalWithdrawn():
            return verdict.reason
    return None


def as_json(value: Any) -> str:
    """As PostgreSQL takes it: what is no number is null."""
    return to_json(value, inf_nan_mode="null").decode()


MODEL = ReadModel(
    "proposals",
    1,
    (
        Fold(
            "governance",
            (ProposalDrafted, ProposalPresented, *VERDICTS, *_STEPS),
            Memory,
            evolve,
            (PROPOSALS, STATES, PRESENTATIONS),
        ),
    ),
)
