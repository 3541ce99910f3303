"""Instructions: what a person, an agent or the sequencer puts on the tape between the ticks.

Each is one message with one ordinal, carries its full content, and is answered by the engine in the ledger
(applied or refused), except the notes that only describe the tape: TapeOpened, FeedOpened, FeedCompleted.
"""

import hashlib
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.instruments import Instrument


class _Instruction(BaseModel):
    """`id` makes a repeated instruction change nothing; `authority` is a role or an approved proposal;
    `occurred_at_ns` is tape time, ns since 1970 UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=128)
    actor: str = Field(min_length=1)
    authority: str = Field(min_length=1)
    occurred_at_ns: int


class TapeOpened(_Instruction):
    """The first record of every tape: the layout of its records and the time zone data its marks come from."""

    kind: Literal["tape_opened"] = "tape_opened"
    record_format: str
    tzdata_version: str


class InstrumentDeclared(_Instruction):
    """From here on records name this instrument by `number`."""

    kind: Literal["instrument_declared"] = "instrument_declared"
    number: int = Field(ge=1, le=65_535)
    instrument: Instrument


class EngineActivated(_Instruction):
    """From here on the ledger is computed by this engine version."""

    kind: Literal["engine_activated"] = "engine_activated"
    engine: int = Field(ge=1)


class StrategyActivated(_Instruction):
    """A strategy version starts on these symbols, or changes them. One version of a strategy is active at a time."""

    kind: Literal["strategy_activated"] = "strategy_activated"
    strategy: str
    version: int
    parameters: dict[str, Any]
    symbols: tuple[str, ...] = Field(min_length=1)


class StrategyDeactivated(_Instruction):
    """A strategy stops raising signals and forgets its state."""

    kind: Literal["strategy_deactivated"] = "strategy_deactivated"
    strategy: str


class FeedFile(BaseModel):
    """One file of a feed, named by content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    format: str
    symbol: str
    venue: str
    rows: int
    rejected: int


class FeedOpened(_Instruction):
    """The market ticks that follow come from these files, in this order, until FeedCompleted."""

    kind: Literal["feed_opened"] = "feed_opened"
    feed: str
    files: tuple[FeedFile, ...]
    ticks: int
    first_time_ns: int
    last_time_ns: int


class FeedCompleted(_Instruction):
    """All ticks of the feed are on the tape."""

    kind: Literal["feed_completed"] = "feed_completed"
    feed: str


Instruction = Annotated[
    TapeOpened
    | InstrumentDeclared
    | EngineActivated
    | StrategyActivated
    | StrategyDeactivated
    | FeedOpened
    | FeedCompleted,
    Field(discriminator="kind"),
]

INSTRUCTION: TypeAdapter[Instruction] = TypeAdapter(Instruction)


class Instructed(NamedTuple):
    """An instruction at its place on the tape."""

    ordinal: int
    instruction: Instruction


def parameters_hash(strategy: str, version: int, parameters_json: str) -> str:
    """16 hex digits that name a strategy version with its parameters (canonical JSON, sorted keys)."""
    return hashlib.sha256(f"{strategy}.v{version}:{parameters_json}".encode()).hexdigest()[:16]
