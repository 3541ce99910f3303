"""The decision gate at work: governance's one writer on a log. Commands come in, events are stored, granted proposals
are applied; a crash anywhere is recovered by looking at what stands already.

Nothing here decides: `domain/gate.py` does, on what `ops/proposal_standing.py` finds and with the time given to it.
"""

import asyncio
import copy
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from adapters.governance_log import GovernanceLog
from domain import gate
from domain.agents import FOUNDING_ROLES, USER, Actor, RoleDefined, RoleRetired, refuse_unpermitted
from domain.aggregate import Aggregate, Event
from domain.approval import Signed
from domain.approvers import ApproverEnrolled, ApproverRevoked
from domain.commands import ChangeGovernance, DefineRole, RecordDecision, RetireRole
from domain.errors import DeskError, InvalidInput, Refused, Unavailable
from domain.governance import (
    CONSTITUTION,
    Constitution,
    DecisionRecorded,
    Governance,
    GovernanceChanged,
    GovernanceFounded,
)
from domain.governance_policy import GovernancePolicy
from domain.ports import Log
from domain.proposal import Effect, Proposal, ProposalApplied, ProposalFailed, ProposalRolledBack
from ops.effects import Effects, Undone
from ops.proposal_standing import Standings

log = logging.getLogger("cdb.governance")

GATE = Actor("gate", USER)
EXPIRED_AT_ONCE = 200


class Receipt(NamedTuple):
    """What became of a command. `status`: accepted, pending_decision, duplicate; a refusal is raised."""

    status: str
    proposal: str
    state: str
    next_step: str
    effects: tuple[Effect, ...] = ()


class Gatekeeper:
    """Use `open`. One process does this for a log; of two, the expected sequences of what they write decide."""

    def __init__(
        self,
        store: Log,
        standings: Standings,
        effects: Effects,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self.state = Governance()
        self._log, self._standings, self._effects = GovernanceLog(store), standings, effects
        self.now_ns, self._nonce = now_ns, nonce
        self._turn, self._storing = asyncio.Lock(), asyncio.Lock()
        self._unrecorded: set[str] = set()  # expired proposals behind whose decision nothing could be written

    async def open(self, environment: str) -> None:
        """Fold what stands; on an empty log governance is founded first. Raises Unavailable."""
        await self._log.catch_up(self.state)
        if self.state.constitution.founded is None:
            founded = self.state.blank(Constitution, CONSTITUTION).happen(
                GovernanceFounded, self.now_ns(), GATE.name, environment=environment, roles=FOUNDING_ROLES,
                policy=GovernancePolicy(),
            )  # fmt: skip
            await self.store([founded])

    async def store(self, events: Sequence[Event | ApproverEnrolled | ApproverRevoked]) -> None:
        """Append and fold one decision. Raises Conflict when another one decided first: what stands is folded then."""
        if not events:
            return
        async with self._storing:  # two folds of the same page would each take it
            try:
                await self._log.append(events)
            finally:
                await self._log.catch_up(self.state)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One command after the other, each on all that the log holds by then."""
        async with self._turn:
            async with self._storing:
                await self._log.catch_up(self.state)
            yield

    # -- proposals -----------------------------------------------------------------------------------------------------

    async def draft(self, draft: gate.Draft, actor: Actor) -> Receipt:
        """Take a proposal, and apply it where nothing in it needs a signature. Raises Refused, InvalidInput."""
        async with self._alone():
            gate.refuse_unpermitted_draft(draft, actor)
            standing = await self._standings.of(draft.command, self.state)
            name, events = gate.drafted(self.state, draft, actor, standing, self.now_ns(), self._nonce())
            await self.store(events)
        proposal = self.state.proposal(name)
        if not events:
            return self._receipt(proposal, "duplicate")
        return self._receipt(proposal) if proposal.pending or draft.run else await self.apply(name, GATE)

    async def present(self, name: str) -> Proposal:
        """A proposal with what is to be seen of it now: presented again where its base has moved; where that cannot be
        gathered any more, what was shown last. Raises Refused."""
        async with self._alone():
            proposal = self.state.proposal(name)
            if proposal.pending and not proposal.expired(self.now_ns()):
                await self._present_again(proposal)
            return self.state.proposal(name)

    async def _present_again(self, proposal: Proposal) -> None:
        try:
            standing = await self._standing(proposal)
        except InvalidInput as error:
            log.info("proposal %s is shown as it was: %s", proposal.name, error)
            return
        again = copy.deepcopy(proposal)
        await self.store(gate.presented_again(self.state, again, standing, self.now_ns()))

    async def _standing(self, proposal: Proposal) -> gate.Standing:
        """What stands of what a waiting proposal changes. One whose documents moved can no longer be what was drafted:
        it is withdrawn. Raises Refused."""
        try:
            return await self._standings.of(proposal.draft.command, self.state)
        except Refused as refused:
            if refused.code == "stale" and proposal.pending:
                await self.store([gate.withdrawn(self.state, proposal.name, GATE, str(refused)[:500], self.now_ns())])
            raise

    async def refuse_moved(self, name: str) -> None:
        """Withdraw a waiting proposal whose documents moved, or that was drafted under an older governance policy, and
        raise Refused."""
        async with self._alone():
            proposal = self.state.proposal(name)
            if proposal.pending and proposal.draft.policy_version != self.state.policy.version:
                why = f"the governance policy changed since proposal {name} was drafted"
                await self.store([gate.withdrawn(self.state, name, GATE, why, self.now_ns())])
                raise Refused("stale", why)
            if proposal.pending and (publication := proposal.draft.command.publication):
                try:
                    await self._standings.refuse_moved(publication)
                except Refused as refused:
                    why = str(refused)[:500]
                    await self.store([gate.withdrawn(self.state, name, GATE, why, self.now_ns())])
                    raise

    async def decide(self, signed: Signed) -> Receipt:
        """Take a signed verdict. What it approves is applied at once, unless a workflow run delivers it. Raises
        Refused."""
        async with self._alone():
            proposal, now_ns = self.state.proposal(signed.body.proposal), self.now_ns()
            approves = signed.body.verdict == "approved" and proposal.pending and not proposal.expired(now_ns)
            standing = await self._standing(proposal) if approves else None
            try:
                verdict = gate.decided(self.state, signed, standing, now_ns)
            except Refused as refused:
                if refused.code == "stale" and proposal.pending:
                    await self._present_again(proposal)
                raise
            await self.store([verdict])
            proposal = self.state.proposal(proposal.name)
        if proposal.state == "approved" and not proposal.draft.run:
            return await self.apply(proposal.name, GATE)
        return self._receipt(proposal)

    async def withdraw(self, name: str, actor: Actor, reason: str) -> Receipt:
        """Raises Refused."""
        async with self._alone():
            await self.store([gate.withdrawn(self.state, name, actor, reason, self.now_ns())])
        return self._receipt(self.state.proposal(name))

    async def enrol(self, event: ApproverEnrolled | ApproverRevoked) -> None:
        """Take an enrolment or a revocation; the fold judges it as every replay will. Raises Refused."""
        async with self._alone():
            self.state.approvers.judge(event)
            await self.store([event])

    async def sweep(self) -> list[str]:
        """Record what has expired, and go on with what was begun. Returns the names that were touched."""
        over = await self.expire()
        begun = [
            proposal.name
            for proposal in self.state.proposals.values()
            if proposal.state == "applying" or (proposal.state in ("approved", "cleared") and not proposal.draft.run)
        ]
        for name in begun:
            try:
                await self.apply(name, GATE)
            except DeskError as error:
                log.error("proposal %s is not applied yet: %s", name, error)
            except Exception:  # one that fails in a way that nobody foresaw keeps no other from being applied
                log.exception("proposal %s is not applied", name)
        return over + begun

    async def expire(self) -> list[str]:
        """Record what has expired, not all of a great many at once. Returns the names."""
        recorded = []
        async with self._alone():
            over = sorted(gate.expired(self.state, self.now_ns()), key=lambda event: event.name in self._unrecorded)
            for event in over[:EXPIRED_AT_ONCE]:
                try:
                    await self.store([event])
                    recorded.append(event.name)
                except Unavailable:
                    raise
                except DeskError as error:
                    if event.name not in self._unrecorded:
                        log.error("that proposal %s has expired cannot be recorded: %s", event.name, error)
                    self._unrecorded.add(event.name)
        return recorded

    # -- applying ------------------------------------------------------------------------------------------------------

    async def apply(self, name: str, actor: Actor) -> Receipt:
        """Do what was granted, each effect once. Raises Refused; Unavailable when something it needs is away: it goes
        on with the next sweep."""
        async with self._alone():
            refuse_unpermitted(actor, "apply")
            proposal = self.state.proposal(name)
            if proposal.state == "applied":
                return self._receipt(proposal)
            self._refuse_undelivered(proposal)
            proposal.refuse_not_granted()
            begun = proposal.attempts > 0 and await self._effects.begun(proposal)
            try:
                if not begun:
                    gate.refuse_late(proposal, self.now_ns())
                standing = None if begun else await self._standings.of(proposal.draft.command, self.state)
                event = gate.applying(self.state, copy.deepcopy(proposal), standing, self.now_ns(), actor)
            except Refused as refused:
                if refused.code in ("stale", "expired"):
                    await self._failed(name, refused.code, str(refused), (), final=True)
                raise
            except InvalidInput as error:  # of a command that nothing can carry out any more
                await self._failed(name, "impossible", str(error), (), final=True)
                raise
            await self.store([event])
            return await self._carry_out(name)

    def _refuse_undelivered(self, proposal: Proposal) -> None:
        """What a run proposed is done by its delivery alone. Raises Refused."""
        run = proposal.draft.run
        if run and not proposal.begun and self.state.run(run).phase not in ("delivery", "observed"):
            raise Refused("invalid_state", f"proposal {proposal.name} is delivered by its run: `cdb workflow go {run}`")

    async def _carry_out(self, name: str) -> Receipt:
        proposal = self.state.proposal(name)
        try:
            effects = await self._effects.carry_out(proposal)
        except Undone as undone:
            await self._failed(name, undone.code, str(undone), undone.effects, final=undone.final)
            raise Refused(undone.code, f"proposal {name} was not applied: {undone}") from undone
        events = [*self._consequences(proposal)]
        applied = copy.deepcopy(self.state.proposal(name))
        beside = tuple(Effect(kind="event", reference=event.originator_id) for event in events)
        events.append(applied.happen(ProposalApplied, self.now_ns(), GATE.name, effects=effects + beside))
        if proposal.draft.rolls_back:
            undone_one = copy.deepcopy(self.state.proposal(proposal.draft.rolls_back))
            events.append(undone_one.happen(ProposalRolledBack, self.now_ns(), GATE.name, by=name))
        await self.store(events)
        return self._receipt(self.state.proposal(name))

    async def _failed(self, name: str, code: str, reason: str, effects: tuple[Effect, ...], *, final: bool) -> None:
        failed = copy.deepcopy(self.state.proposal(name))
        event = failed.happen(
            ProposalFailed, self.now_ns(), GATE.name, code=code, reason=reason[:2_000], effects=effects, final=final
        )
        await self.store([event])

    def _consequences(self, proposal: Proposal) -> Sequence[Event]:
        """What a command changes of governance itself: stored with the word that it was applied."""
        command, by = proposal.draft.command, proposal.draft.actor
        happened: Aggregate
        said: dict[str, Any] = {"proposal": proposal.name}
        match command:
            case DefineRole():
                happened = copy.deepcopy(self.state.role_record(command.role.name))
                return [happened.happen(RoleDefined, self.now_ns(), by, role=command.role, **said)]
            case RetireRole():
                happened = copy.deepcopy(self.state.role_record(command.role))
                return [happened.happen(RoleRetired, self.now_ns(), by, reason=command.reason, **said)]
            case ChangeGovernance():
                happened = copy.deepcopy(self.state.constitution)
                return [happened.happen(GovernanceChanged, self.now_ns(), by, policy=command.policy, **said)]
            case RecordDecision():
                happened = copy.deepcopy(self.state.constitution)
                said |= {"what": command.what, "context": command.context, "reference": command.reference}
                return [happened.happen(DecisionRecorded, self.now_ns(), by, **said)]
        return []

    def _receipt(self, proposal: Proposal, status: str = "") -> Receipt:
        name, state, run = proposal.name, proposal.state, proposal.draft.run
        if proposal.pending:
            step = f"a person decides: `cdb show {name}`, then `cdb approve {name}` or `cdb reject {name}`"
            return Receipt(status or "pending_decision", name, state, step)
        steps = {
            "approved": f"the run delivers it: `cdb workflow go {run}`" if run else "it is applied by itself",
            "applying": "it is tried again by itself",
            "failed": f"`cdb show {name}` says why; draft it again, or apply it again",
        }
        return Receipt(status or "accepted", name, state, steps.get(state, "nothing"), proposal.effects)
