"""Every fact of the ledger. An event is numbered 1, 2, 3 ... on its desk and names the tape ordinal it was decided at.

Positions are integers here; the names of tape and desk are added on the way out (`main:1234`). `causation` is the
ledger number of the event that caused this one, None when the tape record itself did; `correlation` is the number of
the first event of the chain. Stored names are for ever: a new field gets a default, old bytes live in tests/golden/.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Side = Literal["buy", "sell"]


class _LedgerEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    ordinal: int = Field(ge=1)
    causation: int | None
    correlation: int
    occurred_at_ns: int


class InstructionApplied(_LedgerEvent):
    """The engine's state changed as the instruction says."""

    type: Literal["instruction_applied"] = "instruction_applied"
    instruction_id: str
    kind: str


class InstructionRefused(_LedgerEvent):
    """The instruction changed nothing, and why."""

    type: Literal["instruction_refused"] = "instruction_refused"
    instruction_id: str
    kind: str
    reason: str


class SignalRaised(_LedgerEvent):
    """A strategy saw its pattern. Prices in nanos; stop and target 0 where the strategy has none."""

    type: Literal["signal_raised"] = "signal_raised"
    strategy: str
    version: int
    parameters_hash: str
    symbol: str
    side: Side
    bar_time_ns: int
    level_nanos: int
    entry_nanos: int
    stop_nanos: int
    target_nanos: int
    confidence_ppm: int


LedgerEvent = Annotated[InstructionApplied | InstructionRefused | SignalRaised, Field(discriminator="type")]

LEDGER_EVENT: TypeAdapter[LedgerEvent] = TypeAdapter(LedgerEvent)
