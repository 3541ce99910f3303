"""Governance, proven again: every signature by the keys that held then, every verdict by what was shown then, and every
gated instruction of the tape by the proposal that granted it. Times are the recorded ones; no clock is asked."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from adapters.governance_log import Foreign, GovernanceLog, Said
from domain.commands import OnTape, authority, instruction_of
from domain.errors import Refused
from domain.governance import Governance
from domain.instructions import Instructed, Instruction
from domain.ports import Log
from domain.proposal import (
    Proposal,
    ProposalApproved,
    ProposalCleared,
    ProposalRejected,
)

GATED = frozenset({"trading_resumed", "policy_activated", "strategy_activated"})
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
    granted, and `declared` ones that a start of the desk brought."""

    events: int = 0
    signatures: int = 0
    instructions: int = 0
    declared: int = 0
    findings: list[Finding] = field(default_factory=list)


async def prove(log: Log, desk: str, gated: Sequence[Instructed]) -> Proof:
    """Fold governance again and judge all of it; `gated` are the instructions of kinds in GATED that the desk's tape
    holds. Nothing is written."""
    proof, governance = Proof(), Governance()
    async with aclosing(GovernanceLog(log).read()) as pages:
        async for page in pages:
            for said in page:
                _fold(governance, said, proof)
    if governance.known_approvers:
        for ignored in governance.known_approvers.ignored:
            place = f"governance at {ignored.sequence}"
            proof.findings.append(Finding(place, ignored.refusal.code, str(ignored.refusal)))
    for message in gated:
        _trace(governance, desk, message, proof)
    return proof


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


def _trace(governance: Governance, desk: str, message: Instructed, proof: Proof) -> None:
    """The proposal that granted a gated instruction, with the same content."""
    instruction, place = message.instruction, f"tape:{message.ordinal}"
    if instruction.actor == AT_START and instruction.id == f"{instruction.kind}@{message.ordinal}":
        proof.declared += 1
        return
    granted = _granting(governance.proposals.values(), instruction)
    if granted is None:
        proof.findings.append(Finding(place, "unsigned", f"{instruction.kind}: no proposal granted it"))
        return
    command = granted.draft.command
    wanted = instruction_of(command, granted.name, granted.draft.actor) if isinstance(command, OnTape) else None
    if wanted is None or getattr(command, "desk", "") != desk or not _same(wanted, instruction):
        proof.findings.append(Finding(place, "edited", f"{instruction.kind}: proposal {granted.name} says otherwise"))
    else:
        proof.instructions += 1


def _granting(proposals: Iterable[Proposal], instruction: Instruction) -> Proposal | None:
    for proposal in proposals:
        if authority(proposal.name) == instruction.authority and proposal.verdict is not None:
            return proposal if isinstance(proposal.verdict, ProposalApproved | ProposalCleared) else None
    return None


def _same(wanted: Instruction, instruction: Instruction) -> bool:
    """But for the time, which the sequencer gives."""
    return wanted == instruction.model_copy(update={"occurred_at_ns": wanted.occurred_at_ns})
