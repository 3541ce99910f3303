"""Who may approve, as of any moment: keys enrolled by keys, revoked by keys, judged by a fold that trusts no event."""

from typing import Annotated, Literal, NamedTuple, assert_never

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.approval import (
    KeyId,
    Named,
    Nanos,
    PublicKey,
    Signature,
    check_signature,
    decoded,
    key_id,
    message,
    refuse_weak,
)
from domain.errors import ApprovalRefused

ENROLMENT = "cdb.enrolment.v1"
REVOCATION = "cdb.revocation.v1"
PASSPHRASE_MIN = 8  # characters

_UNSIGNED = frozenset({"signature"})


class _ApproverEvent(BaseModel):
    """`key_id` is the key that it is about. `occurred_at_ns` is UTC nanoseconds of the one who acted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: KeyId
    environment: Named
    actor: Named
    occurred_at_ns: Nanos


class ApproverEnrolled(_ApproverEvent):
    """From here on this key's verdicts count. The first, made offline, has neither `enrolled_by` nor `signature`."""

    type: Literal["approver_enrolled"] = "approver_enrolled"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    public_key: PublicKey
    kind: Literal["file", "browser"]
    enrolled_by: KeyId | Literal[""] = ""
    signature: Signature | Literal[""] = ""


class ApproverRevoked(_ApproverEvent):
    """From here on no verdict of this key counts; earlier ones stand. Any approver may, and each its own key."""

    type: Literal["approver_revoked"] = "approver_revoked"
    reason: str = Field(min_length=1, max_length=500)
    revoked_by: KeyId
    signature: Signature


ApproverEvent = Annotated[ApproverEnrolled | ApproverRevoked, Field(discriminator="type")]

APPROVER_EVENT: TypeAdapter[ApproverEvent] = TypeAdapter(ApproverEvent)


def to_sign(event: ApproverEvent) -> bytes:
    """The bytes that an existing approver signs for an event: all of it but the signature."""
    return message(ENROLMENT if isinstance(event, ApproverEnrolled) else REVOCATION, event, _UNSIGNED)


class Approver(NamedTuple):
    """An enrolled key. Positions are sequences of GOVERNANCE; `revoked_at` None: it holds."""

    enrolment: ApproverEnrolled
    enrolled_at: int
    revoked_at: int | None = None

    def held(self, sequence: int) -> bool:
        """Was it enrolled, and not yet revoked, when this message was the stream's last?"""
        return self.enrolled_at <= sequence and (self.revoked_at is None or sequence < self.revoked_at)


class Ignored(NamedTuple):
    """An event of the stream that changes nothing, with the reason. Somebody wrote past the command handler."""

    sequence: int
    event: ApproverEvent
    refusal: ApprovalRefused


class Approvers:
    """Every key there ever was in one environment, by the events of GOVERNANCE in their order.

    The last approver cannot be revoked: enrol a successor first. When its key is lost, nobody can approve any more in
    this environment, and nothing that was approved is lost.
    """

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.position = 0  # of the newest event taken
        self.ignored: list[Ignored] = []
        self._known: dict[str, Approver] = {}

    def take(self, sequence: int, event: ApproverEvent) -> None:
        """Fold one message's event; one that breaks a rule is only noted in `ignored`. Twice is once."""
        if sequence <= self.position:
            return
        self.position = sequence
        try:
            self.judge(event)
        except ApprovalRefused as refusal:
            self.ignored.append(Ignored(sequence, event, refusal))
            return
        match event:
            case ApproverEnrolled():
                self._known[event.key_id] = Approver(event, sequence)
            case ApproverRevoked():
                self._known[event.key_id] = self._known[event.key_id]._replace(revoked_at=sequence)
            case _:
                assert_never(event)

    def judge(self, event: ApproverEvent) -> None:
        """Raise ApprovalRefused if this event may not come next; the command handler asks before it appends."""
        if event.environment != self.environment:
            raise ApprovalRefused(
                "wrong_environment",
                f"{event.type} is for {event.environment}, this is {self.environment}; sign it anew",
            )
        match event:
            case ApproverEnrolled():
                self._judge_enrolment(event)
            case ApproverRevoked():
                self._judge_revocation(event)
            case _:
                assert_never(event)

    def _judge_enrolment(self, event: ApproverEnrolled) -> None:
        public_key = decoded(event.public_key)
        refuse_weak(public_key)
        if event.key_id != key_id(public_key):
            raise ApprovalRefused("other_key", f"{event.key_id} is not the id of {event.public_key}; enrol it anew")
        if event.key_id in self._known:
            raise ApprovalRefused("already_enrolled", f"key {event.key_id} was enrolled before; make a new key")
        if self._known or event.enrolled_by or event.signature:
            if not event.enrolled_by or not event.signature:
                raise ApprovalRefused("not_first", "only the first key stands alone; have an approver sign this one")
            check_signature(to_sign(event), event.signature, self.key(event.enrolled_by, self.position))

    def _judge_revocation(self, event: ApproverRevoked) -> None:
        self.key(event.key_id, self.position)
        check_signature(to_sign(event), event.signature, self.key(event.revoked_by, self.position))
        if len(self.all_held(self.position)) == 1:
            raise ApprovalRefused(
                "last_approver", f"key {event.key_id} is the last that may approve; enrol a successor first"
            )

    def key(self, named: str, sequence: int) -> bytes:
        """The public key of an approver that held at a position of GOVERNANCE; ApprovalRefused for every other."""
        approver = self._known.get(named)
        if approver is None or sequence < approver.enrolled_at:
            raise ApprovalRefused("unknown_key", f"key {named} is not enrolled at {sequence}; see `cdb approver enrol`")
        if not approver.held(sequence):
            raise ApprovalRefused(
                "revoked", f"key {named} was revoked at {approver.revoked_at}; use another approver's"
            )
        return decoded(approver.enrolment.public_key)

    def held(self, named: str, sequence: int) -> bool:
        """Did this key's verdicts count when this message was the stream's last?"""
        return named in self._known and self._known[named].held(sequence)

    def all_held(self, sequence: int) -> list[Approver]:
        """Every approver at a position, in order of enrolment."""
        return [approver for approver in self._known.values() if approver.held(sequence)]

    def all(self) -> list[Approver]:
        """Every approver there ever was, in order of enrolment."""
        return list(self._known.values())
