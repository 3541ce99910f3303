"""What a human signs: exactly one verdict over exactly one proposal, in one canonical form, and how it is checked.

Signed are the bytes `<what this is>\\0` + RFC 8785 JSON of the body. Times are decimal strings in that JSON, because a
browser reads numbers beyond 2^53 wrongly; what is stored, shown and signed is the same JSON.
"""

import base64
import hashlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from domain.errors import InvalidInput, Refused

DECISION = "cdb.decision.v1"
SAFE_INT_MAX = 2**53 - 1
LARGE_INT = "$int"  # {"$int": "9007199254740993"}: an integer that JSON's numbers cannot carry
DEPTH_MAX = 64

_INT64_MAX = 2**63 - 1
_PRIME = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of the eight points of small order: whoever enrolled one could sign anything without a private key.
_SMALL_ORDER_Y = frozenset({0, 1, _PRIME - 1, _ORDER_8_Y, _PRIME - _ORDER_8_Y})


def _whole(value: object) -> object:
    if isinstance(value, str) and value.isdigit() and str(int(value[:20])) == value:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a time is whole nanoseconds: an integer, or a string of its digits")


# The patterns admit one spelling only: the last character's unused bits are zero.
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{85}[AQgw]$")]
PublicKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Named = Annotated[str, Field(min_length=1, max_length=200)]
Nanos = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=_INT64_MAX), PlainSerializer(str, when_used="json")]


class Question(BaseModel):
    """What a proposal asks of a human. `expires_at_ns` is UTC nanoseconds; hashes are SHA-256 in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proposal: Named
    command: Named
    args_sha256: Sha256
    policy: Named
    base: Named
    shown_sha256: Sha256
    environment: Named
    nonce: Named
    expires_at_ns: Nanos


class ApprovalBody(Question):
    """The answer to it. `signed_at_ns` is the signer's own clock."""

    verdict: Literal["approved", "rejected"]
    reason: str = Field(max_length=500)
    key_id: KeyId
    signed_at_ns: Nanos


class Signed(BaseModel):
    """A body and the Ed25519 signature over `to_sign` of it, base64url without padding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: ApprovalBody
    signature: Signature


def canonical(value: object) -> bytes:
    """RFC 8785 JSON, one spelling for one value.

    An integer outside +-(2^53 - 1) becomes {"$int": "<decimal>"}, which nothing else can become: "$int" as a key is
    refused. So 9007199254740993 and "9007199254740993" differ. A float is refused when it is not finite, or so large
    that an integer may have been rounded to it; 1.0 and 1 are one number.

    Raises InvalidInput, with the place, for all that has no such form.
    """
    try:
        return rfc8785.dumps(_plain(value, ()))
    except ValueError as error:  # a lone surrogate, also in a key, or an integer of thousands of digits
        raise InvalidInput(f"there is no canonical form: {error}; mend it") from None


def _plain(value: object, place: tuple[str, ...]) -> Any:
    if len(place) > DEPTH_MAX:
        raise InvalidInput(f"a value is nested deeper than {DEPTH_MAX} levels; make it flatter")
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= SAFE_INT_MAX else {LARGE_INT: str(value)}
        case float() if math.isfinite(value) and abs(value) <= SAFE_INT_MAX:
            return value
        case list() | tuple():
            return [_plain(one, (*place, str(index))) for index, one in enumerate(value)]
        case Mapping() if LARGE_INT not in value and all(isinstance(key, str) for key in value):
            return {key: _plain(one, (*place, key)) for key, one in value.items()}
    where = ".".join(place) or "the value"
    raise InvalidInput(
        f"{where}: {str(value)[:80]} of type {type(value).__name__} cannot be signed; use text, true, false, null, "
        f"integers, floats within 2^53, lists, and objects whose keys are text other than {LARGE_INT}"
    )


def args_hash(command: Mapping[str, object]) -> str:
    """SHA-256, in hex, of a command's canonical form."""
    return hashlib.sha256(canonical(command)).hexdigest()


def message(domain: str, body: BaseModel, without: frozenset[str] = frozenset()) -> bytes:
    """The bytes to sign for a body; `domain` says what they are, so a signature over one kind is none over another."""
    return domain.encode() + b"\0" + canonical(body.model_dump(mode="json", exclude=set(without)))


def to_sign(body: ApprovalBody) -> bytes:
    """The bytes that an approver's key signs."""
    return message(DECISION, body)


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes of what a PublicKey or Signature holds."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_id(public_key: bytes) -> str:
    """How a public key is called: 16 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def refuse_weak(public_key: bytes) -> None:
    """Raise Refused for a key of another length, in a spelling beyond the field, or of small order.

    OpenSSL takes all but the first.
    """
    y = int.from_bytes(public_key, "little") & (1 << 255) - 1
    if len(public_key) != 32 or y >= _PRIME or y in _SMALL_ORDER_Y:
        raise Refused("weak_key", f"the public key {encoded(public_key)} proves nothing; make a new one")


def check_signature(signed: bytes, signature: str, public_key: bytes) -> None:
    """Raise Refused unless the key's owner signed these bytes.

    OpenSSL refuses every second spelling of a signature: S at or above the group's order, another encoding of R.
    """
    refuse_weak(public_key)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(decoded(signature), signed)
    except (InvalidSignature, ValueError):
        raise Refused(
            "forged", f"key {key_id(public_key)} did not sign this: forged or edited; look again and sign anew"
        ) from None


def verify(signed: Signed, public_key: bytes) -> None:
    """Raise Refused unless this key signed exactly this body. Whether it held, `Approvers.key` says."""
    own = key_id(public_key)
    if own != signed.body.key_id:
        raise Refused("other_key", f"the verdict names key {signed.body.key_id}, not {own}; sign with that key")
    check_signature(to_sign(signed.body), signed.signature, public_key)


_OTHERWISE = {  # field: the code, and what is wrong with it
    "environment": ("wrong_environment", "it was signed for another environment"),
    "proposal": ("other_proposal", "it was signed for another proposal"),
    "nonce": ("replayed", "it was signed for an earlier presentation"),
    "command": ("edited", "another command was signed"),
    "args_sha256": ("edited", "other arguments were signed"),
    "expires_at_ns": ("edited", "another expiry was signed"),
    "policy": ("other_policy", "it was signed under another policy"),
    "base": ("stale", "it was signed on another base"),
    "shown_sha256": ("not_shown", "something else was shown"),
}


def check_answer(body: ApprovalBody, question: Question, now_ns: int) -> None:
    """Raise Refused unless the body answers this question, and in time. `now_ns` is the handler's argument."""
    for field, (code, wrong) in _OTHERWISE.items():
        said, asked = getattr(body, field), getattr(question, field)
        if said != asked:
            raise Refused(
                code, f"{wrong}: {field} is {said}, proposal {question.proposal} has {asked}; look at it and sign anew"
            )
    if max(now_ns, body.signed_at_ns) >= question.expires_at_ns:
        raise Refused(
            "expired", f"proposal {question.proposal} expired at {question.expires_at_ns} ns; have it drafted again"
        )
