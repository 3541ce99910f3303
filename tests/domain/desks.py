"""A desk for tests: an engine with an account of 100,000 USD and a policy, that takes hand-made ticks and orders.

    desk = Desk(policy(fees={"fx": Fee(taker_ppm=25)}))
    desk.quote("1.10000", "1.10010")
    desk.order("buy", "market", 10_000)
    assert [fill.price_nanos for fill in fills(desk.quote("1.10000", "1.10020"))] == [nanos("1.10020")]

Everything that happens returns its ledger events; `events` has them all, `script` is the tape so far.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

from domain.bars import BAR_TICK_OFFSETS_NS, M1
from domain.engine import ENGINE, Engine
from domain.events import InstructionRefused, LedgerEvent, OrderFilled, OrderMoved, OrderPlaced
from domain.instructions import (
    AccountOpened,
    CancelRequested,
    EngineActivated,
    Instructed,
    Instruction,
    InstrumentDeclared,
    OrderRequested,
    PolicyActivated,
    TapeOpened,
)
from domain.instruments import NANOS, instrument_for
from domain.policy import Fee, Limits, PaperMarket, Policy, Risk, Sizing, Strategic
from domain.tape import CLOCK, FROM_BAR, QUOTE, Block, Ticks, empty_ticks

SECOND = 1_000_000_000
START = 1_709_542_800_000_000_000  # 2024-03-04T09:00:00Z, a Monday

FEES: dict[Any, Fee] = {"fx": Fee(taker_ppm=25, maker_ppm=10)}

Event = TypeVar("Event", bound=LedgerEvent)


def nanos(number: str | int) -> int:
    """A price, a size or an amount as the desk knows it."""
    return int(Decimal(number) * NANOS)


def policy(
    *,
    market: dict[str, Any] | None = None,
    risk: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    sizing: dict[str, Any] | None = None,
    strategic: dict[str, Any] | None = None,
    fees: dict[Any, Fee] | None = None,
    version: int = 1,
) -> Policy:
    """No latency, no slippage, no fees, no limits: a test names what it is about."""
    none = ("risk_per_trade_max_ppm", "daily_risk_max_ppm", "stale_after_ns")
    free: dict[str, Any] = {"positions_max": 250} | dict.fromkeys(none)
    fixed = {"method": "fixed", "fixed_quantity_nanos": 10_000 * NANOS, "by_drawdown": False}
    return Policy(
        name="test",
        version=version,
        strategic=Strategic(**({"performance_floor": "observe"} | (strategic or {}))),
        sizing=Sizing(**(fixed | (sizing or {}))),
        risk=Risk(**(free | (risk or {}))),
        limits=Limits(**({"daily_loss_ppm": None, "max_loss_ppm": None} | (limits or {}))),
        market=PaperMarket(**({"latency_ns": 0} | (market or {}))),
        fees=fees or {},
    )


class Desk:
    """`symbols` are instruments 1, 2, 3 ...; a tick comes a second after the record before it unless said otherwise."""

    def __init__(self, chosen: Policy | None = None, *symbols: str, balance: int = 100_000, currency: str = "USD"):
        self.engine, self.now = Engine(), START
        self.events: list[LedgerEvent] = []
        self.script: list[Ticks | Instruction] = []
        self.symbols = symbols or ("EURUSD",)
        self.tell(TapeOpened, record_format="tick64.1", tzdata_version="2025.2")
        for number, symbol in enumerate(self.symbols, 1):
            self.tell(InstrumentDeclared, number=number, instrument=instrument_for(symbol))
        self.tell(EngineActivated, engine=ENGINE)
        self.tell(AccountOpened, currency=currency, initial_balance_nanos=balance * NANOS)
        self.tell(PolicyActivated, policy=chosen or policy())

    def tell(self, kind: type[Instruction], **content: Any) -> list[LedgerEvent]:
        """An instruction, at the time of the newest record."""
        said = {"id": f"i{len(self.script)}", "actor": "test", "authority": "operator", "occurred_at_ns": self.now}
        instruction = kind(**(said | content))
        self.script.append(instruction)
        return self._keep(self.engine.fold(Instructed(self.engine.ordinal + 1, instruction)))

    def feed(self, ticks: Ticks) -> list[LedgerEvent]:
        """Records as they are, in one block."""
        self.script.append(ticks)
        self.now = int(ticks["receive_time"][-1])
        return self._keep(self.engine.fold(Block(self.engine.ordinal + 1, ticks)))

    def quote(
        self,
        bid: str,
        ask: str,
        size: str | int = 0,
        *,
        bid_size: str | int | None = None,
        symbol: str | None = None,
        after: int = SECOND,
        flags: int = 0,
    ) -> list[LedgerEvent]:
        """A quote, with the units displayed on both sides (0: not known) unless the bid has its own."""
        tick = self._record(QUOTE, flags, self.now + after)
        tick["instrument"] = self.symbols.index(symbol or self.symbols[0]) + 1
        tick["bid"], tick["ask"], tick["ask_size"] = nanos(bid), nanos(ask), nanos(size)
        tick["bid_size"] = nanos(size if bid_size is None else bid_size)
        return self.feed(tick)

    def clock(self, flags: int = 0, *, after: int = SECOND) -> list[LedgerEvent]:
        """A clock record with its marks."""
        return self.feed(self._record(CLOCK, flags, self.now + after))

    def bar(self, *bids: str, spread: str = "0.00010", symbol: str | None = None) -> list[LedgerEvent]:
        """The next minute's bar as its four ticks: open, one extreme, the other one, close."""
        start = self.now - self.now % M1 + M1
        found = []
        for offset, bid in zip(BAR_TICK_OFFSETS_NS, bids, strict=True):
            ask = str(Decimal(bid) + Decimal(spread))
            found += self.quote(bid, ask, symbol=symbol, after=start + offset - self.now, flags=FROM_BAR)
        return found

    def order(
        self, side: str, kind: str, units: str | int, *, symbol: str | None = None, **terms: Any
    ) -> list[LedgerEvent]:
        """An order that somebody asks for: limit, trigger, stop and target as decimals, `tif`, `expires_at_ns`."""
        prices = {f"{n}_nanos": nanos(terms.pop(n)) for n in ("limit", "trigger", "stop", "target") if n in terms}
        if "tif" in terms:
            terms["time_in_force"] = terms.pop("tif")
        return self.tell(
            OrderRequested, symbol=symbol or self.symbols[0], side=side, type=kind, quantity_nanos=nanos(units),
            **prices, **terms,
        )  # fmt: skip

    def ask(self, side: str, kind: str, units: str | int, **terms: Any) -> int:
        """The number of the order that was placed because somebody asked for it."""
        (order,) = placed(self.order(side, kind, units, **terms))
        return order.number

    def cancel(self, order: int) -> list[LedgerEvent]:
        """Ask that an order be cancelled."""
        return self.tell(CancelRequested, order=order)

    def position(self, symbol: str | None = None) -> float:
        """What is held, in units."""
        number = self.symbols.index(symbol or self.symbols[0]) + 1
        return int(self.engine.desk.book.positions[number]["quantity"]) / NANOS

    @property
    def working(self) -> list[int]:
        """The numbers of the orders that may still fill."""
        book = self.engine.desk.book
        return [int(number) for number in book.orders["number"][: book.desk[0]["orders"]]]

    def _record(self, kind: int, flags: int, time: int) -> Ticks:
        tick = empty_ticks(1)
        tick["kind"], tick["flags"], tick["event_time"], tick["receive_time"] = kind, flags, time, time
        return tick

    def _keep(self, events: list[LedgerEvent]) -> list[LedgerEvent]:
        self.events += events
        return events


def quoted(*symbols: str, **market: Any) -> Desk:
    """A desk with fees that has seen one quote of each instrument: 1.10000 to 1.10010."""
    desk = Desk(policy(market=market, fees=FEES), *symbols)
    for symbol in desk.symbols:
        desk.quote("1.10000", "1.10010", symbol=symbol)
    return desk


def of(kind: type[Event], events: Iterable[LedgerEvent]) -> list[Event]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def fills(events: Iterable[LedgerEvent]) -> list[OrderFilled]:
    """The executions among events."""
    return of(OrderFilled, events)


def placed(events: Iterable[LedgerEvent]) -> list[OrderPlaced]:
    """The orders placed among events."""
    return of(OrderPlaced, events)


def moves(events: Iterable[LedgerEvent]) -> list[tuple[int, str, str]]:
    """What orders did beside filling: number, state, reason."""
    return [(moved.order, moved.state, moved.reason) for moved in of(OrderMoved, events)]


def refusal(events: Iterable[LedgerEvent]) -> str:
    """Why the one instruction was refused."""
    (refused,) = of(InstructionRefused, events)
    return refused.reason
