"""Who may ask the desk over HTTP: tokens by name, each with a role. The log has a token's hash, never the token."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Role = Literal["observer", "operator", "agent", "approver"]

ROLES: tuple[Role, ...] = get_args(Role)
MAY_STOP: frozenset[Role] = frozenset({"operator", "agent", "approver"})  # stopping needs no permission but a role
MAY_DECIDE: frozenset[Role] = frozenset({"operator", "approver"})  # in a browser, and with an enrolled key


class _AccessEvent(BaseModel):
    """`name` is the token's; a name is given once and never again. Times are UTC nanoseconds of the one who acted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    actor: str = Field(min_length=1)
    occurred_at_ns: int = Field(ge=0, lt=2**63)


class TokenCreated(_AccessEvent):
    """Whoever shows the token with this SHA-256 has this role, until `expires_at_ns` (0: for ever)."""

    type: Literal["token_created"] = "token_created"
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires_at_ns: int = Field(0, ge=0, lt=2**63)


class TokenRevoked(_AccessEvent):
    """The token opens nothing any more."""

    type: Literal["token_revoked"] = "token_revoked"
    reason: str = Field(min_length=1, max_length=500)


AccessEvent = Annotated[TokenCreated | TokenRevoked, Field(discriminator="type")]

ACCESS_EVENT: TypeAdapter[AccessEvent] = TypeAdapter(AccessEvent)
