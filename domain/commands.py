"""What governance can be asked to do: commands with all that they will do inside, so that a signature over one covers
everything.

A command may publish documents beside its effect: the same signature covers both.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.agents import Role
from domain.governance_policy import GovernancePolicy
from domain.instructions import (
    Instruction,
    Nanos,
    OrderRequested,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
    TradingResumed,
)
from domain.policy import Policy

DOCUMENT_BYTES_MAX = 512 << 10

Reason = Annotated[str, Field(min_length=1, max_length=500)]
Desk = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Branch = Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,99})?$", description="empty: the main branch")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PullRequestText(_Part):
    """What the pull request says. The desk adds the proposal's id."""

    title: str = Field(min_length=1, max_length=200)
    body: str = Field(max_length=50_000)


class Publication(_Part):
    """Documents to commit, whole. `before` is each one's blob hash as the change was made ("": there was none)."""

    documents: dict[str, str] = Field(min_length=1, max_length=10)
    before: dict[str, str]
    message: str = Field(min_length=1, max_length=500)
    branch: Branch = ""
    pull_request: PullRequestText | None = None


class _Command(_Part):
    publication: Publication | None = None


class ActivatePolicy(_Command):
    """Put a policy between signals and fills."""

    name: Literal["activate_policy"] = "activate_policy"
    desk: Desk
    policy: Policy


class ActivateStrategy(_Command):
    """Start a strategy version, or change the one that runs."""

    name: Literal["activate_strategy"] = "activate_strategy"
    desk: Desk
    strategy: str = Field(max_length=64)
    version: int = Field(ge=1)
    parameters: dict[str, Any]
    symbols: tuple[str, ...] = Field(min_length=1, max_length=100)


class DeactivateStrategy(_Command):
    """Stop a strategy."""

    name: Literal["deactivate_strategy"] = "deactivate_strategy"
    desk: Desk
    strategy: str = Field(max_length=64)


class Resume(_Command):
    """End every halt of a desk."""

    name: Literal["resume"] = "resume"
    desk: Desk
    reason: Reason


class PlaceOrder(_Command):
    """A paper order. Units and prices as in OrderRequested."""

    name: Literal["place_order"] = "place_order"
    desk: Desk
    symbol: str = Field(max_length=64)
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop", "stop_limit"]
    quantity_nanos: Nanos = Field(gt=0)
    limit_nanos: Nanos = 0
    trigger_nanos: Nanos = 0
    stop_nanos: Nanos = 0
    target_nanos: Nanos = 0
    time_in_force: Literal["gtc", "ioc", "fok", "day", "gtd"] = "gtc"
    expires_at_ns: Nanos = 0


class DefineRole(_Command):
    """A new role, or a changed one."""

    name: Literal["define_role"] = "define_role"
    role: Role


class RetireRole(_Command):
    """Nobody acts in this role any more."""

    name: Literal["retire_role"] = "retire_role"
    role: str = Field(max_length=64)
    reason: Reason


class RecordDecision(_Command):
    """An entry of DECISION_LOG: what was decided, in which context, and what it refers to."""

    name: Literal["record_decision"] = "record_decision"
    what: str = Field(min_length=1, max_length=2_000)
    context: str = Field(max_length=4_000)
    reference: str = Field("", max_length=500)


class ChangeGovernance(_Command):
    """Another governance policy."""

    name: Literal["change_governance"] = "change_governance"
    policy: GovernancePolicy


class Publish(_Command):
    """Documents, and nothing beside."""

    name: Literal["publish"] = "publish"
    publication: Publication


Command = Annotated[
    ActivatePolicy
    | ActivateStrategy
    | DeactivateStrategy
    | Resume
    | PlaceOrder
    | DefineRole
    | RetireRole
    | RecordDecision
    | ChangeGovernance
    | Publish,
    Field(discriminator="name"),
]

COMMAND: TypeAdapter[Command] = TypeAdapter(Command)

OnTape = ActivatePolicy | ActivateStrategy | DeactivateStrategy | Resume | PlaceOrder

_INSTRUCTIONS: dict[str, type[Any]] = {
    "activate_policy": PolicyActivated,
    "activate_strategy": StrategyActivated,
    "deactivate_strategy": StrategyDeactivated,
    "resume": TradingResumed,
    "place_order": OrderRequested,
}


GRANTED = "proposal:"  # how id and authority of an instruction begin that a proposal put on the tape


def authority(proposal: str) -> str:
    """What stands as the authority of an instruction that a proposal put on the tape; also its id, so that the engine
    takes it once."""
    return f"{GRANTED}{proposal}"


def is_granted(instruction: Instruction) -> bool:
    """Has this the form of what a proposal puts on the tape?"""
    kinds = tuple(_INSTRUCTIONS.values())
    return isinstance(instruction, kinds) and instruction.id == instruction.authority


def instruction_of(command: OnTape, proposal: str, actor: str) -> Instruction:
    """What becomes of a command on the desk's tape; the sequencer stamps its time."""
    content = {name: getattr(command, name) for name in type(command).model_fields}
    for left_out in ("name", "desk", "publication"):
        del content[left_out]
    kind = _INSTRUCTIONS[command.name]
    instruction: Instruction = kind(
        id=authority(proposal), actor=actor, authority=authority(proposal), occurred_at_ns=0, **content
    )
    return instruction
