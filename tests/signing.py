"""Keys for tests, the same every time, and what they sign."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.approval import ApprovalBody, Question, Signed, encoded, key_id, to_sign
from domain.approvers import ApproverEnrolled, ApproverEvent, ApproverRevoked
from domain.approvers import to_sign as event_to_sign

NOW = 1_790_000_000_000_000_123
MINUTE = 60 * 10**9


class Key:
    """An approver's key, of a seed."""

    def __init__(self, seed: int) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "little"))
        self.public_key = self._private.public_key().public_bytes_raw()
        self.id = key_id(self.public_key)

    def sign(self, message: bytes) -> str:
        return encoded(self._private.sign(message))


JANA, OMAR, EVE = Key(1), Key(2), Key(3)


def question(**changed: Any) -> Question:
    asked = {
        "proposal": "prop-7",
        "command": "policy.activate",
        "args_sha256": "a" * 64,
        "policy": "governance-3",
        "base": "main:1200:88",
        "shown_sha256": "b" * 64,
        "environment": "paper-main",
        "nonce": "4f1d",
        "expires_at_ns": NOW + 10 * MINUTE,
    }
    return Question(**(asked | changed))


def body(key: Key = JANA, **changed: Any) -> ApprovalBody:
    said = {"verdict": "approved", "reason": "as agreed, “ü”", "key_id": key.id, "signed_at_ns": NOW}
    return ApprovalBody(**(question().model_dump() | said | changed))


def signed(by: Key = JANA, what: ApprovalBody | None = None) -> Signed:
    what = what or body(by)
    return Signed(body=what, signature=by.sign(to_sign(what)))


def enrolled(key: Key, by: Key | None = None, **changed: Any) -> ApproverEnrolled:
    """An enrolment, signed by an approver, or the first."""
    fields = {
        "key_id": key.id, "environment": "paper-main", "actor": "jana", "occurred_at_ns": NOW, "name": "jana",
        "public_key": encoded(key.public_key), "kind": "file", "enrolled_by": by.id if by else "",
    }  # fmt: skip
    event = ApproverEnrolled(**(fields | changed))
    return event if by is None else resigned(event, by)


def revoked(key: Key, by: Key, **changed: Any) -> ApproverRevoked:
    fields = {
        "key_id": key.id, "environment": "paper-main", "actor": "jana", "occurred_at_ns": NOW, "reason": "lost",
        "revoked_by": by.id, "signature": "A" * 86,
    }  # fmt: skip
    return resigned(ApproverRevoked(**(fields | changed)), by)


def resigned(event: Any, by: Key) -> Any:
    """The event with this key's signature."""
    unsigned: ApproverEvent = event
    return event.model_copy(update={"signature": by.sign(event_to_sign(unsigned))})
