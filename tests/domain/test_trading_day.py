"""Whole days of chance: whatever comes, the ledger keeps its promises, and an oracle in plain Python agrees."""

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import snapshot
from domain.bars import M1
from domain.engine import Engine
from domain.events import (
    FillBooked,
    InstructionApplied,
    LedgerEvent,
    LimitBreached,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
)
from domain.instructions import StrategyActivated, TradingHalted, TradingResumed
from domain.policy import Fee, Policy
from domain.tape import FROM_BAR, MINUTE, PRAGUE_MIDNIGHT, QUOTE, WEEK_CLOSING, Ticks, concatenate, empty_ticks
from tests import canonical
from tests.domain.desks import SECOND, Desk, fills, placed, policy

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
POINT = {"EURUSD": 10_000, "GBPUSD": 10_000, "USDJPY": 1_000_000}
MILLI = 1_000_000

markets = st.fixed_dictionaries(
    {
        "latency_ns": st.sampled_from([0, 50 * MILLI, 2 * SECOND]),
        "latency_jitter_ns": st.sampled_from([0, SECOND]),
        "slippage_thousandths": st.sampled_from([0, 700, 2_000]),
        "depth": st.sampled_from(["displayed", "displayed", "unlimited"]),
        "levels_max": st.integers(1, 5),
        "limit_fill": st.sampled_from(["through", "touch"]),
    }
)
points = st.integers(-12, 12)


def text(symbol: str, point: int) -> str:
    """A price of 110,000 points and so many more."""
    return f"{(110_000 + point) * POINT[symbol] / 1e9:.5f}"


def event(seed: int) -> tuple[Any, ...]:
    """One thing that happens, of chance: mostly quotes and orders."""
    chance = Random(seed)
    symbol, *near = chance.choice(SYMBOLS), *(chance.randint(-12, 12) for _ in range(4))
    what = chance.choices(("quote", "order", "bar", "cancel", "resume", "clock", "halt"), (60, 30, 4, 5, 4, 2, 1))[0]
    match what:
        case "quote":
            size, after = chance.choice((0, 1_000, 2_500, 50_000)), chance.choice((0, 10 * MILLI, SECOND, 40 * SECOND))
            return what, symbol, near[0], chance.randint(0, 3), size, after
        case "order":
            kind = chance.choice(("market", "limit", "limit", "stop", "stop_limit"))
            stop, target = chance.choice((0, 2, 5, 20)), chance.choice((0, 2, 5, 20))
            tif = chance.choice(("gtc", "gtc", "gtc", "ioc", "fok", "day", "gtd"))
            return what, symbol, chance.choice((1, -1)), kind, chance.randint(1, 8), *near[:2], stop, target, tif
        case "bar":
            return what, symbol, *near
        case "clock":
            return what, chance.choice((0, MINUTE, PRAGUE_MIDNIGHT, WEEK_CLOSING))
        case "halt":
            return what, chance.random() < 0.5
    return what, chance.randint(0, 30)


days = st.lists(st.integers(0, 2**32).map(event), min_size=30, max_size=150)


def do(desk: Desk, what: str, *how: Any) -> None:
    """One thing of a day."""
    match what:
        case "quote":
            symbol, point, spread, size, after = how
            desk.quote(text(symbol, point), text(symbol, point + spread), size, symbol=symbol, after=after)
        case "bar":
            symbol, *mids = how
            desk.bar(*(text(symbol, mid) for mid in mids), spread=f"{POINT[symbol] / 1e9:.5f}", symbol=symbol)
        case "order":
            symbol, side, kind, lots, first, second, stop, target, tif = how
            terms = {"limit": text(symbol, first)} if "limit" in kind else {}
            terms |= {"trigger": text(symbol, second)} if "stop" in kind else {}
            at = first if "limit" in kind else second if "stop" in kind else 0
            terms |= {"stop": text(symbol, at - side * stop)} if stop else {}
            terms |= {"target": text(symbol, at + side * target)} if target else {}
            ends = desk.now + 3 * SECOND if tif == "gtd" else 0
            desk.order(
                "buy" if side > 0 else "sell", kind, 1_000 * lots, symbol=symbol, tif=tif, expires_at_ns=ends, **terms
            )
        case "cancel":
            known = [order.number for order in placed(desk.events)]
            desk.cancel(known[-1 - how[0] % len(known)] if known else 1)
        case "clock":
            desk.clock(how[0])
        case "halt":
            desk.tell(TradingHalted, reason="chance", flatten=how[0])
        case _:
            desk.tell(TradingResumed, reason="chance")


def lived(market: dict[str, Any], day: list[Any]) -> Desk:
    """A desk behind such a day: bar ticks, orders, a strategy that signals at many quotes."""
    limits = {"daily_loss_ppm": 300, "flat_before_weekend": True}
    desk = Desk(policy(market=market, limits=limits, fees={"fx": Fee(taker_ppm=25, maker_ppm=10)}), *SYMBOLS)
    parameters = {"fast": 1, "slow": 2, "on": "ticks"}
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("GBPUSD",), parameters=parameters)
    for symbol in SYMBOLS:
        desk.quote(text(symbol, 0), text(symbol, 1), symbol=symbol)
    for what in day:
        do(desk, *what)
    return desk


# -- promises of every ledger ------------------------------------------------------------------------------------------


class Order:
    """What the ledger said of one order so far."""

    def __init__(self, event: OrderPlaced) -> None:
        self.placed, self.quantity, self.filled, self.executions, self.ended = event, event.quantity_nanos, 0, 0, False
        self.triggered = "stop" not in event.order_type
        self.side = 1 if event.side == "buy" else -1


class Auditor:
    """Reads a ledger beside its tape, event by event, and believes nothing."""

    def __init__(self, desk: Desk, rules: Policy) -> None:
        self.rules = rules.market
        records: list[Any] = []
        for item in desk.script:
            records.extend(item if isinstance(item, np.ndarray) else [None])
        self.records, self.symbols = records, ("", *desk.symbols)
        self.orders: dict[int, Order] = {}
        self.held = dict.fromkeys(desk.symbols, 0)
        self.taken: dict[tuple[int, str, int], int] = {}
        self.covered: dict[str, bool] = {}
        self.halted = False

    def audit(self, events: list[LedgerEvent]) -> None:
        ordinal, number = 0, 0
        for event in events:
            assert event.number == number + 1
            number = event.number
            if event.ordinal != ordinal:
                self.settled()
                ordinal = event.ordinal
            match event:
                case OrderPlaced():
                    assert event.active_from_ns >= event.occurred_at_ns
                    self.orders[event.number] = Order(event)
                case OrderMoved():
                    self.moved(self.orders[event.order], event)
                case OrderFilled():
                    self.filled(self.orders[event.order], event)
                case InstructionApplied(kind="trading_halted" | "trading_resumed" as kind):
                    self.halted = kind == "trading_halted"
                case LimitBreached(halted=True):
                    self.halted = True
                case FillBooked():
                    assert event.position_nanos == self.held[event.symbol]
        self.settled()

    def moved(self, order: Order, event: OrderMoved) -> None:
        assert not order.ended
        match event.state:
            case "amended":
                assert order.placed.purpose in ("stop", "target", "flatten")
                assert event.quantity_nanos > order.filled
                order.quantity = event.quantity_nanos
            case "triggered":
                assert not order.triggered
                order.triggered = True
            case _:
                order.ended = True
        assert event.quantity_nanos == order.quantity

    def filled(self, order: Order, event: OrderFilled) -> None:
        terms = order.placed
        assert not order.ended
        assert order.triggered
        order.executions += 1
        order.filled += event.quantity_nanos
        assert event.quantity_nanos > 0
        assert (event.execution, event.filled_nanos) == (order.executions, order.filled)
        assert event.filled_nanos + event.leaves_nanos == order.quantity
        assert (event.state == "filled") == (event.leaves_nanos == 0)
        order.ended = event.state == "filled"
        self.timely(terms, event)
        self.fairly(order, event)
        self.booked(order, event)

    def timely(self, terms: OrderPlaced, event: OrderFilled) -> None:
        tick = self.records[event.ordinal - 1]
        assert tick is not None
        assert (self.symbols[tick["instrument"]], tick["kind"]) == (terms.symbol, QUOTE)
        assert (event.bid_nanos, event.ask_nanos) == (tick["bid"], tick["ask"])
        assert event.occurred_at_ns == tick["receive_time"] >= terms.active_from_ns
        assert event.latency_ns == event.occurred_at_ns - terms.occurred_at_ns >= 0
        own = event.ordinal == terms.ordinal
        assert event.ordinal > terms.ordinal or (own and terms.purpose in ("entry", "flatten"))
        assert terms.expires_at_ns == 0 or event.occurred_at_ns < terms.expires_at_ns

    def fairly(self, order: Order, event: OrderFilled) -> None:
        terms, side = order.placed, order.side
        quote = event.ask_nanos if side > 0 else event.bid_nanos
        self.told(terms, event)
        if terms.limit_nanos:
            assert side * (event.price_nanos - terms.limit_nanos) <= 0
        if event.liquidity == "maker":
            assert event.price_nanos == terms.limit_nanos
            through = side * (terms.limit_nanos - quote)
            assert terms.purpose == "target" or through > 0 or (through == 0 and self.rules.limit_fill == "touch")
            return
        point = POINT[event.symbol]
        slipped = 0 if terms.limit_nanos else self.rules.slippage_thousandths * point // 1_000
        assert side * event.slippage_nanos == slipped
        assert event.market
        base = terms.trigger_nanos if event.market.basis == "trigger" else quote
        assert event.price_nanos - side * (slipped + event.level * point) == base
        assert event.level < self.rules.levels_max
        tick = self.records[event.ordinal - 1]
        size = int(tick["ask_size" if side > 0 else "bid_size"])
        if size and self.rules.depth == "displayed":
            level = (event.ordinal, event.side, event.level)
            self.taken[level] = self.taken.get(level, 0) + event.quantity_nanos
            assert self.taken[level] <= size

    def told(self, terms: OrderPlaced, event: OrderFilled) -> None:
        """Every parameter of the paper market stands in the fill."""
        tick, rules, told = self.records[event.ordinal - 1], self.rules, event.market
        assert told
        delayed = terms.purpose in ("entry", "request")
        constant, jitter = (rules.latency_ns, rules.latency_jitter_ns) if delayed else (0, 0)
        assert (told.latency_constant_ns, told.latency_jitter_ns) == (constant, jitter)
        assert told.latency_drawn_ns == terms.active_from_ns - terms.occurred_at_ns <= event.latency_ns
        assert constant <= told.latency_drawn_ns <= constant + jitter
        assert (told.depth, told.levels_max, told.limit_fill) == (rules.depth, rules.levels_max, rules.limit_fill)
        assert told.slippage_thousandths == rules.slippage_thousandths
        assert (told.trigger_nanos, told.from_bar) == (terms.trigger_nanos, bool(tick["flags"] & FROM_BAR))
        assert (told.basis == "limit") == (event.liquidity == "maker")
        if told.basis == "trigger":  # between two ticks of a bar the market passed it
            quote = event.ask_nanos if event.side == "buy" else event.bid_nanos
            assert told.from_bar
            assert event.occurred_at_ns % M1 != 0
            assert (1 if event.side == "buy" else -1) * (quote - terms.trigger_nanos) >= 0

    def booked(self, order: Order, event: OrderFilled) -> None:
        before, symbol = self.held[event.symbol], event.symbol
        after = self.held[symbol] = before + order.side * event.quantity_nanos
        if self.halted or order.placed.purpose in ("stop", "target", "flatten"):
            assert abs(after) < abs(before)
            assert after * before >= 0
        if after == 0:
            self.covered[symbol] = False
        elif order.side * after > 0:
            fresh = before * after <= 0
            self.covered[symbol] = order.placed.stop_nanos > 0 or (not fresh and self.covered[symbol])

    def settled(self) -> None:
        """Between two records of the tape."""
        for symbol, held in self.held.items():
            exits = [
                order for order in self.orders.values()
                if order.placed.symbol == symbol and not order.ended
                and order.placed.purpose in ("stop", "target", "flatten")
            ]  # fmt: skip
            purposes = [order.placed.purpose for order in exits]
            assert len(purposes) == len(set(purposes))
            assert all(order.quantity - order.filled == abs(held) and order.side * held < 0 for order in exits)
            assert not self.covered.get(symbol) or "stop" in purposes or "flatten" in purposes


@given(markets, days)
@settings(max_examples=150, deadline=None)
def test_the_ledger_of_any_day_keeps_its_promises(market: dict[str, Any], day: list[Any]) -> None:
    desk = lived(market, day)
    Auditor(desk, policy(market=market)).audit(desk.events)


def joined(script: list[Any]) -> list[Any]:
    """The same script with neighbouring records in one array."""
    found: list[Any] = []
    for item in script:
        if found and isinstance(item, np.ndarray) and isinstance(found[-1], np.ndarray):
            found[-1] = concatenate([found[-1], item])
        else:
            found.append(item)
    return found


@given(markets, days, st.data())
@settings(max_examples=60, deadline=None)
def test_any_cut_and_any_restart_of_any_day_gives_the_same_ledger(
    market: dict[str, Any], day: list[Any], data: st.DataObject
) -> None:
    desk = lived(market, day)
    script, whole = joined(desk.script), canonical.lines(desk.events)
    assert canonical.ledger(canonical.messages(script)) == whole
    ordinals = st.integers(1, desk.engine.ordinal)
    cuts, stop = data.draw(st.lists(ordinals, max_size=8)), data.draw(ordinals)
    engine = Engine()
    before = canonical.ledger(canonical.up_to(stop, canonical.messages(script, [*cuts, stop])), engine)
    restored = snapshot.restore(snapshot.save(engine))
    assert restored is not None
    rest = canonical.messages(canonical.behind(script, stop), cuts, first=stop + 1)
    assert before + canonical.ledger(rest, restored) == whole
    assert snapshot.save(restored) == snapshot.save(desk.engine)


# -- an oracle for one order -------------------------------------------------------------------------------------------


def oracle(terms: dict[str, Any], ticks: Ticks, rules: Any, asked_at: int) -> Iterator[tuple[int, int, int, str]]:
    """Tick, price, units and liquidity of the fills of one order, told from the rules alone."""
    buy, left, arrived, triggered = terms["side"] == "buy", terms["units"], False, "stop" not in terms["type"]
    limit, way = terms.get("limit"), 1 if terms["side"] == "buy" else -1
    for index, tick in enumerate(ticks):
        if int(tick["receive_time"]) < asked_at + rules.latency_ns:
            continue
        quote, size = (int(tick["ask"]), int(tick["ask_size"])) if buy else (int(tick["bid"]), int(tick["bid_size"]))
        takes = not arrived
        arrived = True
        if not triggered:
            if (quote < terms["trigger"]) if buy else (quote > terms["trigger"]):
                continue
            triggered = takes = True
        walk = [quote + way * level * 10_000 for level in range(rules.levels_max)]
        if limit is None:
            takes, slip = True, way * (rules.slippage_thousandths * 10)
        else:
            slip, walk = 0, [price for price in walk if way * price <= way * limit]
        shown = left if size == 0 or rules.depth == "unlimited" else size
        if takes and walk:
            if terms["tif"] == "fok" and shown * len(walk) < left:
                return
            for price in walk:
                part = min(left, shown)
                left -= part
                if part:
                    yield index, price + slip, part, "taker"
        elif limit is not None and way * (limit - quote) >= (1 if rules.limit_fill == "through" else 0):
            yield index, limit, left, "maker"
            left = 0
        if left == 0 or terms["tif"] in ("ioc", "fok"):
            return


paths = st.lists(
    st.tuples(points, st.integers(0, 3), st.sampled_from([0, 1_000, 2_500]), st.sampled_from([0, 1, 3])),
    min_size=1,
    max_size=25,
)


@given(
    markets.map(lambda market: market | {"latency_jitter_ns": 0}),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["market", "limit", "stop", "stop_limit"]),
    st.sampled_from(["gtc", "ioc", "fok"]),
    st.integers(1, 12),
    points,
    points,
    paths,
)
@settings(max_examples=300, deadline=None)
def test_one_order_fills_as_an_oracle_in_plain_python_says(
    market: dict[str, Any], side: str, kind: str, tif: str, lots: int, first: int, second: int, path: list[Any]
) -> None:
    rules = policy(market=market)
    desk = Desk(rules)
    desk.quote(text("EURUSD", 0), text("EURUSD", 1))
    asked_at, prices = desk.now, {}
    if "limit" in kind:
        prices["limit"] = text("EURUSD", first)
    if "stop" in kind:
        prices["trigger"] = text("EURUSD", second)
    desk.order(side, kind, 1_000 * lots, tif=tif, **prices)
    ticks = empty_ticks(len(path))
    ticks["kind"], ticks["instrument"] = QUOTE, 1
    point, spread, size, wait = np.array(path).T
    ticks["bid"], ticks["ask"] = (110_000 + point) * 10_000, (110_000 + point + spread) * 10_000
    ticks["bid_size"] = ticks["ask_size"] = size * SECOND
    ticks["event_time"] = ticks["receive_time"] = asked_at + np.cumsum(wait) * SECOND
    terms: dict[str, Any] = {name: int(float(price) * 1e5 + 0.5) * 10_000 for name, price in prices.items()}
    terms |= {"side": side, "type": kind, "tif": tif, "units": 1_000 * lots * SECOND}
    start = desk.engine.ordinal + 1
    found = [(f.ordinal - start, f.price_nanos, f.quantity_nanos, f.liquidity) for f in fills(desk.feed(ticks))]
    assert found == list(oracle(terms, ticks, rules.market, asked_at))
