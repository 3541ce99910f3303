"""Governance, proven again: every signature by the keys that held then, every verdict by what was shown then, and every
gated instruction of the tape by the proposal that granted it. Times are the recorded ones; no clock is asked."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from adapters.governance_log import Foreign, GovernanceLog, Said
from adapters.permissions import GATED_INSTRUCTIONS
from domain.commands import OnTape, authority, instruction_of
from domain.errors import InvalidInput, Refused
from domain.governance import Governance
from domain.instructions import (
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    PolicyActivated,
    StrategyActivated,
)
from domain.ports import Log
from domain.proposal import (
    Proposal,
    ProposalApproved,
    ProposalCleared,
    ProposalRejected,
)
from gateways.standing import Activation, nothing_stands, stand
from ops.moments import Moments
from ops.session import start_widens

OPERATOR = "operator"
AT_START = "sequencer"  # what a person's start of the desk put on the tape


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold: where it stands, and why."""

    place: str
    code: str
    why: str


@dataclass
class Proof:
    """What was proven. `events` of governance, `signatures` that hold, `instructions` of the tape that a proposal
    granted, `declared` ones that a start of the desk brought, and an operator's ones from `before_governance`, when
    nobody was enrolled who could have signed them."""

    events: int = 0
    signatures: int = 0
    instructions: int = 0
    declared: int = 0
    before_governance: int = 0
    findings: list[Finding] = field(default_factory=list)


def is_walked(instruction: Instruction) -> bool:
    """Is it of those that `prove` asks for: gated, said to be granted, or what tells a start's own affairs?"""
    granted = instruction.authority.startswith(authority(""))
    return granted or instruction.kind in (*GATED_INSTRUCTIONS, "instrument_declared", "feed_opened")


async def prove(log: Log, desk: str, walked: Sequence[Instructed]) -> Proof:
    """Fold governance again and judge all of it; `walked` are the instructions on the desk's tape that `is_walked`
    holds for, in order. Nothing is written."""
    proof, governance, enrolled_ns = Proof(), Governance(), None
    async with aclosing(GovernanceLog(log).read()) as pages:
        async for page in pages:
            for said in page:
                _fold(governance, said, proof)
                approvers = governance.known_approvers
                if enrolled_ns is None and isinstance(said, Said) and approvers and approvers.all():
                    enrolled_ns = said.recorded_at_ns
    if governance.known_approvers:
        for ignored in governance.known_approvers.ignored:
            place = f"governance at {ignored.sequence}"
            proof.findings.append(Finding(place, ignored.refusal.code, str(ignored.refusal)))
    _Walk(governance, desk, proof, await _ungoverned(log, desk, enrolled_ns)).all(walked)
    return proof


async def _ungoverned(log: Log, desk: str, enrolled_ns: int | None) -> int:
    """The last ordinal that was recorded before somebody could sign."""
    if enrolled_ns is None:
        return sys.maxsize
    try:
        return (await Moments(log, desk).at_recorded_time(enrolled_ns)).tape
    except InvalidInput:  # the tape begins later
        return 0


def _fold(governance: Governance, said: Said | Foreign, proof: Proof) -> None:
    proof.events += 1
    place = f"governance at {said.sequence}"
    if isinstance(said, Foreign):
        proof.findings.append(Finding(place, "unreadable", f"{said.subject}: {said.why}"))
        return
    try:
        governance.take(said.sequence, said.event)
    except Exception as error:  # a stream of strangers' making may break anything
        code = error.code if isinstance(error, Refused) else "out_of_order"
        proof.findings.append(Finding(place, code, f"{said.event.type}: {type(error).__name__}: {error}"))
    else:
        proof.signatures += isinstance(said.event, ProposalApproved | ProposalRejected)


class _Walk:
    """The tape's instructions in order, each judged by what stood before it. `ungoverned`: the last ordinal of before
    the first enrolment."""

    def __init__(self, governance: Governance, desk: str, proof: Proof, ungoverned: int) -> None:
        self._governance, self._desk, self._proof, self._ungoverned = governance, desk, proof, ungoverned
        self._standing = nothing_stands()
        self._brought: set[str] = set()  # instruments that the start at hand brings

    def all(self, walked: Sequence[Instructed]) -> None:
        for message in walked:
            self._judge(message)
            self._standing = stand(self._standing, message.instruction)

    def _judge(self, message: Instructed) -> None:
        instruction, governed = message.instruction, message.ordinal > self._ungoverned
        match instruction:
            case InstrumentDeclared():
                self._brought.add(instruction.instrument.symbol)
            case FeedOpened():  # what a start declares stands before its feed
                self._brought.clear()
            case _ if instruction.actor == AT_START and instruction.id == f"{instruction.kind}@{message.ordinal}":
                if governed and (why := self._widened(instruction)):
                    self._find(message, "unsigned", f"a start of the desk widened what stood: {why}")
                else:
                    self._proof.declared += 1
            case _ if not governed and instruction.authority == OPERATOR:
                self._proof.before_governance += 1
            case _:
                self._trace(message)

    def _widened(self, instruction: Instruction) -> str:
        """Why it needed a signature; "" when it did not. Before the first feed a desk is its first start's affair."""
        if not self._standing.feeds:
            return ""
        known = {name: at for name, at in self._standing.instruments.items() if name not in self._brought}
        policy = instruction.policy if isinstance(instruction, PolicyActivated) else None
        strategies = [Activation.of(instruction)] if isinstance(instruction, StrategyActivated) else []
        try:
            widens = start_widens(self._standing._replace(instruments=known), policy, strategies)
        except InvalidInput as error:  # what nobody can judge is not certainly tighter
            return str(error)
        return widens[0].sentence if widens else ""

    def _trace(self, message: Instructed) -> None:
        """The proposal that granted it, with the same content."""
        instruction = message.instruction
        granted = _granting(self._governance.proposals.values(), instruction)
        if granted is None:
            self._find(message, "unsigned", "no proposal granted it")
            return
        command = granted.draft.command
        wanted = instruction_of(command, granted.name, granted.draft.actor) if isinstance(command, OnTape) else None
        if wanted is None or getattr(command, "desk", "") != self._desk or not _same(wanted, instruction):
            self._find(message, "edited", f"proposal {granted.name} says otherwise")
        else:
            self._proof.instructions += 1

    def _find(self, message: Instructed, code: str, why: str) -> None:
        self._proof.findings.append(Finding(f"tape:{message.ordinal}", code, f"{message.instruction.kind}: {why}"))


def _granting(proposals: Iterable[Proposal], instruction: Instruction) -> Proposal | None:
    for proposal in proposals:
        if authority(proposal.name) == instruction.authority and proposal.verdict is not None:
            return proposal if isinstance(proposal.verdict, ProposalApproved | ProposalCleared) else None
    return None


def _same(wanted: Instruction, instruction: Instruction) -> bool:
    """But for the time, which the sequencer gives."""
    return wanted == instruction.model_copy(update={"occurred_at_ns": wanted.occurred_at_ns})
