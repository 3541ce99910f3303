"""Governance in memory, for tests: a log, a clock that is set, a person with a key, and effects that are counted."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory import MemoryLog
from domain import approvers, gate, verdicts
from domain.agents import Actor
from domain.approval import ApprovalBody, Signed, encoded, key_id, to_sign
from domain.approvers import ApproverEnrolled, ApproverRevoked
from domain.commands import COMMAND, Command
from domain.governance import Governance
from domain.ports import Log
from domain.proposal import Before, Effect, Proposal
from ops.gatekeeper import Gatekeeper, Receipt

START_NS = 1_800_000_000_000_000_000
ENVIRONMENT = "test"
STOP: dict[str, Any] = {"name": "deactivate_strategy", "desk": "main", "strategy": "ema_cross"}  # needs no signature
ENTRY: dict[str, Any] = {"name": "record_decision", "what": "We trade London only.", "context": "the review"}


def command(**content: Any) -> Command:
    return COMMAND.validate_python(content or ENTRY)


class Person:
    """An approver: a key, and what it signs."""

    def __init__(self, name: str = "jan", seed: int = 7) -> None:
        self.name, self._key = name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def sign(self, data: bytes) -> str:
        return encoded(self._key.sign(data))

    def enrolment(self, now_ns: int, by: "Person | None" = None, **changes: Any) -> ApproverEnrolled:
        content: dict[str, Any] = {
            "key_id": self.key_id, "environment": ENVIRONMENT, "actor": self.name, "occurred_at_ns": now_ns,
            "name": self.name, "public_key": encoded(self.public), "kind": "file",
            "enrolled_by": by.key_id if by else "",
        }  # fmt: skip
        event = ApproverEnrolled(**content | changes)
        return event.model_copy(update={"signature": by.sign(approvers.to_sign(event))}) if by else event

    def revocation(self, of: "Person", now_ns: int) -> ApproverRevoked:
        content: dict[str, Any] = {
            "key_id": of.key_id, "environment": ENVIRONMENT, "actor": self.name, "occurred_at_ns": now_ns,
            "reason": "lost", "revoked_by": self.key_id,
        }  # fmt: skip
        unsigned = ApproverRevoked.model_construct(**content, signature="")
        return ApproverRevoked(**content, signature=self.sign(approvers.to_sign(unsigned)))

    def verdict(self, proposal: Proposal, now_ns: int, verdict: str = "approved", **changes: Any) -> Signed:
        """A signed answer to what is presented; `changes` are put into the body before it is signed."""
        assert proposal.presented is not None
        question = verdicts.question_of(proposal.draft, proposal.presented)
        said = {"verdict": verdict, "reason": "", "key_id": self.key_id, "signed_at_ns": now_ns}
        body = ApprovalBody.model_validate(question.model_dump() | said | changes)
        return Signed(body=body, signature=self.sign(to_sign(body)))


class Stands:
    """Standings that a test moves by what is replaced, which is shown. `fails` is raised, as long as it is."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.fails: Exception | None = None

    async def of(self, command: Command, governance: Governance) -> gate.Standing:
        if self.fails:
            raise self.fails
        return gate.Standing(f"governance:{governance.position}", Before(), self.fields, {})


class Done:
    """Effects that are done once a proposal, and how often they were asked for. `fails` is raised, as long as it is."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.asked = 0
        self.fails: Exception | None = None

    async def begun(self, proposal: Proposal) -> bool:
        return proposal.name in self.done

    async def carry_out(self, proposal: Proposal) -> tuple[Effect, ...]:
        self.asked += 1
        if self.fails:
            raise self.fails
        self.done.setdefault(proposal.name, len(self.done) + 1)
        return (Effect(kind="instruction", reference=f"tape:{self.done[proposal.name]}"),)


class Governed:
    """A log with governance on it."""

    def __init__(self, log: Log | None = None) -> None:
        self.log: Log = log or MemoryLog()
        self.now_ns, self.stands, self.effects, self.person = START_NS, Stands(), Done(), Person()
        self._nonces = iter(range(1, 10_000))
        self.gate = self.again()

    def again(self, log: Log | None = None) -> Gatekeeper:
        """Another process over the same log and the same world."""
        return Gatekeeper(
            log or self.log, self.stands, self.effects,  # type: ignore[arg-type]  # what a test needs of them
            now_ns=self.clock, nonce=lambda: f"{next(self._nonces):032x}",
        )  # fmt: skip

    def clock(self) -> int:
        return self.now_ns

    async def open(self, *, enrolled: bool = True) -> "Governed":
        await self.gate.open(ENVIRONMENT)
        if enrolled and not self.gate.state.approvers.all():
            await self.gate.enrol(self.person.enrolment(self.now_ns))
        return self

    def actor(self, name: str = "session-lead", role: str = "") -> Actor:
        return self.gate.state.actor(name, role)

    async def draft(self, actor: str = "session-lead", **content: Any) -> Receipt:
        return await self.gate.draft(gate.Draft(command=command(**content), reason="it is time"), self.actor(actor))

    def proposal(self, receipt: Receipt) -> Proposal:
        return self.gate.state.proposal(receipt.proposal)

    async def approve(self, receipt: Receipt, **changes: Any) -> Receipt:
        return await self.gate.decide(self.person.verdict(self.proposal(receipt), self.now_ns, **changes))
