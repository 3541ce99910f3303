"""Instructions: what a person, an agent or the sequencer puts on the tape between the ticks.

Each is one message with one ordinal, carries its full content, and is answered by the engine in the ledger
(applied or refused), except the notes that only describe the tape: TapeOpened, FeedOpened, FeedCompleted.
"""

import hashlib
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.instruments import Instrument
from domain.policy import Policy

# Prices, sizes and money on the tape are whole nanos far below what int64 holds, so that sums of them stay inside.
Nanos = Annotated[int, Field(ge=0, le=4_000_000_000_000_000_000)]


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
    sessions_open: int = Field(0, description="marks (LONDON_OPEN, ...) of the sessions open at `occurred_at_ns`")


class InstrumentDeclared(_Instruction):
    """From here on records name this instrument by `number`."""

    kind: Literal["instrument_declared"] = "instrument_declared"
    number: int = Field(ge=1, le=65_535)
    instrument: Instrument


class EngineActivated(_Instruction):
    """From here on the ledger is computed by this engine version."""

    kind: Literal["engine_activated"] = "engine_activated"
    engine: int = Field(ge=1)
    sessions_open: int = Field(0, description="marks of the sessions open then: an older engine did not keep them")


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


class AccountOpened(_Instruction):
    """The desk's paper account; before it nothing is assessed and nothing traded."""

    kind: Literal["account_opened"] = "account_opened"
    currency: str = Field(pattern=r"^[A-Z0-9]{3,8}$")
    initial_balance_nanos: Nanos = Field(gt=0)


class PolicyActivated(_Instruction):
    """From here on this policy, whole, stands between signals and fills."""

    kind: Literal["policy_activated"] = "policy_activated"
    policy: Policy


class NewsEntry(BaseModel):
    """One scheduled release: when, of which currency, how heavy (1 low to 3 high)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_ns: Nanos
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    impact: int = Field(ge=1, le=3)
    title: str = Field(max_length=200)


class CalendarImported(_Instruction):
    """Entries of an event calendar, added to what is known; an entry known already changes nothing."""

    kind: Literal["calendar_imported"] = "calendar_imported"
    source: str
    entries: tuple[NewsEntry, ...] = Field(min_length=1, max_length=2_000)


class TradingHalted(_Instruction):
    """Nothing is opened from here on, and working entry orders are cancelled; with `flatten` positions are closed.
    Stops and targets go on protecting what is open."""

    kind: Literal["trading_halted"] = "trading_halted"
    reason: str = Field(min_length=1, max_length=500)
    flatten: bool = False


class TradingResumed(_Instruction):
    """Ends every halt, also that of a breached limit."""

    kind: Literal["trading_resumed"] = "trading_resumed"
    reason: str = Field(min_length=1, max_length=500)


class OrderRequested(_Instruction):
    """A paper order of a person or an agent. Quantity in nanos of units, prices in nanos, 0 where there is none.
    `stop` and `target` make it a bracket: exits that cancel each other."""

    kind: Literal["order_requested"] = "order_requested"
    symbol: str
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop", "stop_limit"]
    quantity_nanos: Nanos = Field(gt=0)
    limit_nanos: Nanos = 0
    trigger_nanos: Nanos = 0
    stop_nanos: Nanos = 0
    target_nanos: Nanos = 0
    time_in_force: Literal["gtc", "ioc", "fok", "day", "gtd"] = "gtc"
    expires_at_ns: Nanos = 0


class CancelRequested(_Instruction):
    """Cancel a working order, by its number in the ledger."""

    kind: Literal["cancel_requested"] = "cancel_requested"
    order: int = Field(ge=1)


class SignalSubmitted(_Instruction):
    """A signal of somebody else's making; it is raised, assessed and traded like the desk's own."""

    kind: Literal["signal_submitted"] = "signal_submitted"
    strategy: str = Field(pattern=r"^[a-z0-9_]{1,32}$")
    symbol: str
    side: Literal["buy", "sell"]
    entry_nanos: Nanos = Field(gt=0)
    stop_nanos: Nanos = 0
    target_nanos: Nanos = 0
    confidence_ppm: int = Field(1_000_000, ge=0, le=1_000_000)


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
    | AccountOpened
    | PolicyActivated
    | CalendarImported
    | TradingHalted
    | TradingResumed
    | OrderRequested
    | CancelRequested
    | SignalSubmitted
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
