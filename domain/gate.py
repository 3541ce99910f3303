"""The decision gate: what becomes of a draft, of a signature, of a granted proposal. Pure: time, nonce and what stands
are arguments; what comes out are events, or Refused with the rule that says no.

No command of an agent reaches an effect but through `decided`, which takes a signature, or `cleared`, which finds
nothing in it that needs one.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.agents import USER, Actor, refuse_unpermitted
from domain.aggregate import Event
from domain.approval import Signed
from domain.commands import DOCUMENT_BYTES_MAX, Command
from domain.errors import Refused
from domain.governance import Governance
from domain.governance_policy import GovernancePolicy
from domain.needs import needs_signature
from domain.presentation import present
from domain.proposal import (
    Before,
    Decision,
    Proposal,
    ProposalApplying,
    ProposalApproved,
    ProposalCleared,
    ProposalDrafted,
    ProposalExpired,
    ProposalPresented,
    ProposalRejected,
    ProposalWithdrawn,
    Shown,
)
from domain.verdicts import hash_of, refuse_unfounded, whole

SIGNED_WITHIN_NS = 10 * 60 * 1_000_000_000  # a signature is made at the moment of deciding


class Draft(BaseModel):
    """What somebody proposes. `reason` and `effects` are his own words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Command
    reason: str = Field(min_length=1, max_length=4_000)
    effects: tuple[str, ...] = Field((), max_length=30)
    rollback: Command | None = None
    rolls_back: str = ""
    run: str = ""


class Standing(NamedTuple):
    """What stands of what a command changes, gathered at the moment of the token `base`. `fields` is what it replaces,
    `diffs` the documents' unified diffs."""

    base: str
    before: Before
    fields: Mapping[str, Any]
    diffs: Mapping[str, str]


def shown_of(draft: ProposalDrafted, standing: Standing, governance: GovernancePolicy) -> Shown:
    """What is shown for a proposal while this stands."""
    return present(
        draft.command,
        standing.before,
        standing=standing.fields,
        widens=needs_signature(draft.command, standing.before, governance),
        diffs=standing.diffs,
        rollback=draft.rollback,
        rolls_back=draft.rolls_back,
        taint=draft.taint,
    )


def refuse_unpermitted_draft(draft: Draft, actor: Actor) -> None:
    """Raises Refused when this actor may not draft this: asked before anything is gathered for it."""
    refuse_unpermitted(actor, "order" if draft.command.name == "place_order" else "draft")


def drafted(
    governance: Governance, draft: Draft, actor: Actor, standing: Standing, now_ns: int, nonce: str
) -> tuple[str, list[Event]]:
    """The proposal's name and its first events: none for one that waits already. Raises Refused.

    `cleared` at once when nothing in it needs a signature.
    """
    draft = draft.model_copy(
        update={"command": whole(draft.command), "rollback": whole(draft.rollback) if draft.rollback else None}
    )
    refuse_unpermitted_draft(draft, actor)
    hashed = hash_of(draft.command)
    pending = [proposal for proposal in governance.pending() if not proposal.expired(now_ns)]
    for proposal in pending:
        # One of an older governance policy can no longer be approved, so it stands in nobody's way.
        if proposal.draft.args_sha256 == hashed and proposal.draft.policy_version == governance.policy.version:
            return proposal.name, []
    _refuse_unfit(governance, draft, actor, [p for p in pending if p.draft.actor == actor.name])
    widens = needs_signature(draft.command, standing.before, governance.policy)
    taint = bool(draft.run) and governance.run(draft.run).taint
    name = f"p-{sha256(f'{actor.name}:{hashed}:{nonce}'.encode()).hexdigest()[:12]}"
    made = governance.blank(Proposal, name)
    first = made.happen(
        ProposalDrafted, now_ns, actor.name, level=actor.level, role=actor.role.name if actor.role else "",
        run=draft.run, command=draft.command, args_sha256=hashed, reason=draft.reason, effects=draft.effects,
        rollback=draft.rollback, rolls_back=draft.rolls_back, widens=widens,
        policy_version=governance.policy.version, environment=governance.environment, nonce=nonce,
        expires_at_ns=now_ns + governance.policy.proposal_expiry_ns, taint=taint,
    )  # fmt: skip
    events: list[Event] = [first, _presented(made, standing, governance, now_ns)]
    if not widens:
        events.append(governance.blank(Decision, name).happen(ProposalCleared, now_ns, "gate"))
    return name, events


def _refuse_unfit(governance: Governance, draft: Draft, actor: Actor, own: list[Proposal]) -> None:
    if actor.level != USER and len(own) >= governance.policy.pending_max_per_agent:
        raise Refused(
            "too_many_pending",
            f"{actor.name} has {len(own)} proposals pending, at most {governance.policy.pending_max_per_agent} are "
            "taken; wait for their verdicts, or withdraw one",
        )
    if draft.rolls_back:
        undone = governance.proposal(draft.rolls_back)
        if undone.state != "applied":
            raise Refused("invalid_state", f"proposal {draft.rolls_back} is not applied, there is nothing to roll back")
        if undone.draft.rollback != draft.command:
            raise Refused("edited", f"this is not the rollback that proposal {draft.rolls_back} was approved with")
    if draft.run:
        governance.run(draft.run).refuse_closed()
    publication = draft.command.publication
    size = sum(len(text.encode()) for text in publication.documents.values()) if publication else 0
    if size > DOCUMENT_BYTES_MAX:
        raise Refused(
            "too_large", f"{size:,} bytes of documents, a proposal has at most {DOCUMENT_BYTES_MAX:,}: split it"
        )


def _presented(proposal: Proposal, standing: Standing, governance: Governance, now_ns: int) -> ProposalPresented:
    shown = shown_of(proposal.draft, standing, governance.policy)
    return proposal.happen(
        ProposalPresented, now_ns, "gate", base=standing.base, before=standing.before,
        shown=shown.text, shown_sha256=shown.sha256,
    )  # fmt: skip


def presented_again(governance: Governance, proposal: Proposal, standing: Standing, now_ns: int) -> list[Event]:
    """What is shown now, if it is not what was shown last."""
    shown = shown_of(proposal.draft, standing, governance.policy)
    if proposal.presented and proposal.presented.shown_sha256 == shown.sha256:
        return []
    return [_presented(proposal, standing, governance, now_ns)]


def decided(governance: Governance, signed: Signed, standing: Standing | None, now_ns: int) -> Event:
    """The verdict that a person signed; `standing` is for an approval in time. Raises Refused: each of its
    conditions is one rule with a code of its own."""
    proposal = governance.proposal(signed.body.proposal)
    proposal.refuse_decided()
    draft, presented = proposal.draft, proposal.presented
    assert presented is not None
    refuse_unfounded(signed, draft, presented, governance.approvers, governance.position, now_ns)
    if abs(signed.body.signed_at_ns - now_ns) > SIGNED_WITHIN_NS:
        raise Refused(
            "wrong_time", f"{proposal.name} was signed at another time than now; set the clock, sign it again"
        )
    kind: type[ProposalApproved | ProposalRejected] = ProposalRejected
    if signed.body.verdict == "approved":
        kind = ProposalApproved
        if governance.policy.version != draft.policy_version:
            raise Refused("stale", f"the governance policy changed since proposal {proposal.name} was drafted")
        if standing is None or shown_of(draft, standing, governance.policy).sha256 != presented.shown_sha256:
            raise Refused("stale", f"what proposal {proposal.name} changes has moved; look at it again and sign that")
    return governance.blank(Decision, proposal.name).happen(kind, now_ns, signed.body.key_id, signed=signed)


def withdrawn(governance: Governance, name: str, actor: Actor, reason: str, now_ns: int) -> Event:
    """The verdict of whoever drafted it. Raises Refused."""
    refuse_unpermitted(actor, "withdraw")
    proposal = governance.proposal(name)
    proposal.refuse_decided()
    if actor.level != USER and actor.name != proposal.draft.actor:
        raise Refused("not_permitted", f"proposal {name} is {proposal.draft.actor}'s; only who drafted it withdraws it")
    return governance.blank(Decision, name).happen(ProposalWithdrawn, now_ns, actor.name, reason=reason)


def expired(governance: Governance, now_ns: int) -> list[Event]:
    """A verdict for each proposal whose time is over."""
    return [
        governance.blank(Decision, proposal.name).happen(ProposalExpired, proposal.draft.expires_at_ns, "gate")
        for proposal in governance.pending()
        if proposal.expired(now_ns)
    ]


def refuse_late(proposal: Proposal, now_ns: int) -> None:
    """Raises Refused when a granted proposal's time is over."""
    if proposal.expired(now_ns):
        raise Refused("expired", f"proposal {proposal.name} was granted and not applied in time; draft it again")


def applying(governance: Governance, proposal: Proposal, standing: Standing | None, now_ns: int, actor: Actor) -> Event:
    """Begin to apply, or go on. `standing` None: something of it is done already, so that what stands is no longer
    what it was drafted on. Raises Refused for what is not granted, and for what was not begun and whose time is over,
    whose base moved, or that now shows a reason for a signature that it did not show."""
    proposal.refuse_not_granted()
    assert proposal.presented is not None
    if standing is not None:
        refuse_late(proposal, now_ns)
        if shown_of(proposal.draft, standing, governance.policy).sha256 != proposal.presented.shown_sha256:
            raise Refused(
                "stale", f"what proposal {proposal.name} changes has moved since it was decided; draft it again"
            )
    return proposal.happen(ProposalApplying, now_ns, actor.name, attempt=proposal.attempts + 1)
