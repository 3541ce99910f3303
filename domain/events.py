"""Every fact of the ledger. An event is numbered 1, 2, 3 ... on its desk and names the tape ordinal it was decided at.

Positions are integers here; the names of tape and desk are added on the way out (`tape:1234`, `main:567`).
`causation` is the ledger number of the event that caused this one, None when the tape record itself did; `correlation`
is the number of the first event of the chain. A signal, an order, a fill is known by the number of the event that made
it.
Prices and sizes are nanos; money is nanos of the account's currency unless a name says otherwise.
Stored names are for ever: a new field gets a default, old bytes live in tests/golden/.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit"]
TimeInForce = Literal["gtc", "ioc", "fok", "day", "gtd"]
Purpose = Literal["entry", "stop", "target", "flatten", "request"]
Limit = Literal["daily_loss", "max_loss", "news_trading", "money_range"]
Kelly = Literal["not_used", "too_few_trades", "no_edge", "above_risk", "used"]
SizeBound = Literal[
    "asked", "fixed", "no_rate", "no_stop", "largest_lot", "risk", "kelly", "daily_loss_room", "total_loss_room",
    "daily_risk_room", "symbol_exposure", "currency_exposure", "free_margin",
]  # fmt: skip


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


class EngineTookOver(_LedgerEvent):
    """A newer engine goes on from the state that the older one left; the hash is of its snapshot's bytes."""

    type: Literal["engine_took_over"] = "engine_took_over"
    engine: int
    before: int
    state_sha256: str


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


class RuleResult(BaseModel):
    """One rule as it was evaluated; `says` is the sentence a person reads, with units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    value: int
    limit: int
    passed: bool
    says: str


class SizeEvidence(BaseModel):
    """How the size of a trade came about (domain/sizing.py has the formula): each step by name.

    `fraction_ppm` of equity may be lost by a trade of full size; `kelly_ppm`, the policy's share of Kelly's fraction,
    replaced the policy's own where `kelly` says used or no_edge. What the three adjustments leave is `*_size_ppm`,
    1,000,000: all of it. `money_nanos` is what may be lost after them and inside every room. The distance of a market
    order has the spread inside; slippage is that of both ways, `thousand_*` is of 1,000 units, commission both ways.
    `bound` fixed `unfloored_nanos`, the size before lots; `cut` says what lots made of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    equity_nanos: int
    fraction_ppm: int
    kelly: Kelly
    kelly_ppm: int
    kelly_trades_min: int
    shadow_trades: int
    win_rate_ppm: int
    shadow_drawdown_milli_r: int
    confidence_size_ppm: int
    drawdown_size_ppm: int
    performance_size_ppm: int
    money_nanos: int
    stop_distance_nanos: int
    spread_nanos: int
    slippage_nanos: int
    thousand_commission_nanos: int
    thousand_loss_nanos: int
    bound: SizeBound
    unfloored_nanos: int
    cut: Literal["none", "lot_step", "smallest_lot"]


class SignalAssessed(_LedgerEvent):
    """The verdict on a signal, or on an order that was asked for: approved with its terms, or refused.

    Every rule stands in `rules`, passed or not. `quantity_nanos` is 0 when refused; `size_ppm` is what the adjustments
    left of the full size; `risk_nanos` is what the trade loses at its stop, costs included. `sizing` is None in what
    was recorded before there was any.
    """

    type: Literal["signal_assessed"] = "signal_assessed"
    verdict: Literal["approved", "refused"]
    policy: str
    symbol: str
    side: Side
    quantity_nanos: int
    stop_nanos: int
    target_nanos: int
    size_ppm: int
    risk_nanos: int
    rules: tuple[RuleResult, ...]
    sizing: SizeEvidence | None = None


class OrderPlaced(_LedgerEvent):
    """An order goes to the paper market; its number is the order's. It may fill from `active_from_ns` on, and never at
    a record before this one. `oco` is the number shared by exits that cancel each other, 0: none."""

    type: Literal["order_placed"] = "order_placed"
    symbol: str
    side: Side
    order_type: OrderType
    purpose: Purpose
    quantity_nanos: int
    limit_nanos: int
    trigger_nanos: int
    stop_nanos: int
    target_nanos: int
    time_in_force: TimeInForce
    expires_at_ns: int
    active_from_ns: int
    oco: int


class OrderMoved(_LedgerEvent):
    """An order changed without a fill, and why. `quantity_nanos` is its whole quantity; only `amended` changes it."""

    type: Literal["order_moved"] = "order_moved"
    order: int
    state: Literal["triggered", "canceled", "expired", "rejected", "amended"]
    reason: str
    quantity_nanos: int


class FillEvidence(BaseModel):
    """The parameters of the paper market that made a fill.

    `basis` is what the price is, before slippage and levels: the quote (also of a stop behind a gap), the stop's
    trigger (passed between two ticks that a bar became), or the limit. `from_bar`: the tick is one of those.
    `latency_drawn_ns` is the order's latency: the constant and, seeded from the causing ordinal, up to the jitter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    basis: Literal["quote", "trigger", "limit"]
    trigger_nanos: int
    from_bar: bool
    depth: Literal["displayed", "unlimited"]
    levels_max: int
    slippage_thousandths: int
    limit_fill: Literal["through", "touch"]
    latency_constant_ns: int
    latency_jitter_ns: int
    latency_drawn_ns: int


class OrderFilled(_LedgerEvent):
    """One execution; `execution` counts from 1 within the order. What the paper market used stands beside it:
    the quote, the size that this level displayed (0: unlimited), the slippage in price nanos, the level walked to, the
    time since the order, the commission rate. `market` is None in what was recorded before there was any."""

    type: Literal["order_filled"] = "order_filled"
    order: int
    execution: int
    symbol: str
    side: Side
    purpose: Purpose
    price_nanos: int
    quantity_nanos: int
    filled_nanos: int
    leaves_nanos: int
    state: Literal["partially_filled", "filled"]
    liquidity: Literal["maker", "taker"]
    bid_nanos: int
    ask_nanos: int
    displayed_nanos: int
    slippage_nanos: int
    level: int
    latency_ns: int
    fee_ppm: int
    market: FillEvidence | None = None


class FillBooked(_LedgerEvent):
    """What a fill did to position and account. `cost_nanos` is what the open position cost, in quote currency;
    `realised_nanos` before the fee. `trade_nanos` is the net result of the whole trade when it closed, else 0."""

    type: Literal["fill_booked"] = "fill_booked"
    symbol: str
    position_nanos: int
    cost_nanos: int
    realised_quote_nanos: int
    rate_nanos: int
    rate_inverse: bool
    realised_nanos: int
    fee_nanos: int
    balance_nanos: int
    floating_nanos: int
    equity_nanos: int
    margin_nanos: int
    closed: bool
    trade_nanos: int


class AccountMarked(_LedgerEvent):
    """The account at a minute's end with an open position; low and high of equity since the mark before, and how far
    equity may fall from here (None: no such limit)."""

    type: Literal["account_marked"] = "account_marked"
    balance_nanos: int
    floating_nanos: int
    equity_nanos: int
    equity_low_nanos: int
    equity_high_nanos: int
    margin_nanos: int
    daily_room_nanos: int | None
    total_room_nanos: int | None


class DayRolled(_LedgerEvent):
    """Midnight in Prague: the day's balance, and what the account may lose from here. Limits are equity, None: none."""

    type: Literal["day_rolled"] = "day_rolled"
    balance_nanos: int
    equity_nanos: int
    daily_limit_nanos: int | None
    total_limit_nanos: int | None
    trading_days: int
    best_day_nanos: int
    target_reached: bool
    best_day_kept: bool


class LimitBreached(_LedgerEvent):
    """A limit of the account was passed at this very record: `value` against `limit`. `halted` says that trading is.

    Of `money_range` the value is the price of a refused quote, at which money would pass the limit: the largest amount
    that can be kept."""

    type: Literal["limit_breached"] = "limit_breached"
    limit: Limit
    value_nanos: int
    limit_nanos: int
    symbol: str
    halted: bool


class ObjectivesReached(_LedgerEvent):
    """All objectives of the policy are met, said once: the challenge is passed. The target is a profit, `balance_nanos`
    is closed with no open position, `best_day_nanos` the largest profit of a day so far."""

    type: Literal["objectives_reached"] = "objectives_reached"
    policy: str
    profit_target_nanos: int
    balance_nanos: int
    trading_days: int
    trading_days_min: int
    best_day_nanos: int


LedgerEvent = Annotated[
    InstructionApplied
    | InstructionRefused
    | EngineTookOver
    | SignalRaised
    | SignalAssessed
    | OrderPlaced
    | OrderMoved
    | OrderFilled
    | FillBooked
    | AccountMarked
    | DayRolled
    | LimitBreached
    | ObjectivesReached,
    Field(discriminator="type"),
]

LEDGER_EVENT: TypeAdapter[LedgerEvent] = TypeAdapter(LedgerEvent)
