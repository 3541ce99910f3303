"""Prices that no money can follow: folding goes on, the desk halts by name, and no nano is lost or made."""

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import snapshot
from domain.engine import Engine
from domain.events import (
    DayRolled,
    FillBooked,
    LedgerEvent,
    LimitBreached,
    OrderFilled,
    OrderMoved,
    SignalAssessed,
    SignalRaised,
)
from domain.instructions import Instructed, PolicyActivated, SignalSubmitted, StrategyActivated, TradingResumed
from domain.money import MONEY_MAX, PPM, bounded
from domain.policy import POLICIES, Fee
from domain.risk import RISK
from domain.strategic import STRATEGIC
from domain.tape import (
    CLOCK,
    MAX_PRICE,
    MINUTE,
    PRAGUE_MIDNIGHT,
    QUOTE,
    TRADE,
    WEEK_CLOSING,
    Block,
    Ticks,
    concatenate,
    empty_ticks,
)
from tests.domain.account_oracle import rounded
from tests.domain.desks import SECOND, Desk, fills, nanos, of, placed, policy, quoted

LEAST, MOST = -(2**63), 2**63 - 1
SYMBOLS = ("EURUSD", "USDJPY", "EURJPY")
FEES: dict[Any, Fee] = {"fx": Fee(taker_ppm=37, maker_ppm=11)}
EMA = {"fast": 1, "slow": 2, "on": "ticks"}

ORDINARY = st.integers(1_099_000_000, 1_101_000_000)
HOSTILE = (
    st.integers(LEAST, MOST)
    | st.sampled_from([LEAST, -1, 0, 1, 2, MAX_PRICE - 1, MAX_PRICE, MAX_PRICE + 1, MOST - 1, MOST])
    | st.integers(1, 62).map(lambda bits: 2**bits)
    | st.integers(10**10, MAX_PRICE)
)
PAIRS = st.tuples(ORDINARY, ORDINARY) | st.tuples(HOSTILE, HOSTILE)
PRICES = PAIRS.map(sorted) | PAIRS.map(sorted) | PAIRS
SIZES = st.sampled_from([0, 0, 0, 3_000 * 10**9, MOST, LEAST, -1, 1])
RECORDS = st.tuples(st.sampled_from([QUOTE, QUOTE, QUOTE, QUOTE, TRADE, CLOCK]), st.integers(1, 3), PRICES, SIZES)


def records(drawn: list[Any], start: int) -> Ticks:
    """One record a second; clock records are full minutes and Prague midnights."""
    ticks = empty_ticks(len(drawn))
    ticks["event_time"] = ticks["receive_time"] = start + (1 + np.arange(len(drawn))) * SECOND
    for tick, (kind, number, (bid, ask), size) in zip(ticks, drawn, strict=True):
        tick["kind"] = kind
        if kind == CLOCK:
            tick["flags"] = MINUTE | PRAGUE_MIDNIGHT
            continue
        tick["instrument"], tick["bid_size"], tick["ask_size"] = number, size, size
        tick["bid"], tick["ask"] = bid, bid if kind == TRADE else ask
    return ticks


def prepared(fixed: bool, leverage: int) -> Desk:
    sizing = {"method": "fixed", "fixed_quantity_nanos": leverage * nanos(1_000)} if fixed else {"method": "fractional"}
    risk = {"on_opposite": "reverse", "risk_per_trade_max_ppm": 0 if fixed else 10_000}
    chosen = policy(sizing=sizing, risk=risk, fees=FEES, market={"slippage_thousandths": 700})
    desk = Desk(chosen, *SYMBOLS, balance=10_000_000)
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=SYMBOLS, parameters=EMA)
    for symbol in SYMBOLS:
        desk.quote("1.10000", "1.10010", symbol=symbol)
    return desk


ASKED = st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 1_000_000))
DAYS = st.lists(st.lists(RECORDS, min_size=1, max_size=25) | ASKED | st.just("resume"), min_size=2, max_size=12)


def lived(desk: Desk, day: list[Any]) -> None:
    for item in day:
        if item == "resume":
            desk.tell(TradingResumed, reason="chance")
        elif isinstance(item, tuple):
            symbol, side, lots = item
            desk.order(side, "market", lots * 1_000, symbol=symbol)
            desk.tell(
                SignalSubmitted, strategy="hand", symbol=symbol, side=side, entry_nanos=1_100_000_000,
                stop_nanos=1_000_000_000 if side == "buy" else 1_200_000_000,
            )  # fmt: skip
        else:
            desk.feed(records(item, desk.now))


def conserves(desk: Desk) -> None:
    """What the ledger booked is what the account holds, and what was paid and received in plain integers."""
    account = desk.engine.desk.book.account[0]
    balance, cost, realised = nanos(10_000_000), dict.fromkeys(SYMBOLS, 0), dict.fromkeys(SYMBOLS, 0)
    paid = dict.fromkeys(SYMBOLS, 0)
    for event in desk.events:
        if isinstance(event, OrderFilled):
            assert event.price_nanos > 0
            assert 0 < event.bid_nanos <= event.ask_nanos <= MAX_PRICE
            side = 1 if event.side == "buy" else -1
            paid[event.symbol] -= side * rounded_value(event)
        elif isinstance(event, FillBooked):
            balance += event.realised_nanos - event.fee_nanos
            cost[event.symbol] = event.cost_nanos
            realised[event.symbol] += event.realised_quote_nanos
            assert event.balance_nanos == balance
            assert event.equity_nanos == balance + event.floating_nanos
    assert int(account["balance"]) == balance
    assert balance == nanos(10_000_000) + int(account["realised"]) - int(account["fees"])
    for symbol in SYMBOLS:
        assert paid[symbol] == realised[symbol] - cost[symbol]
    for name in ("balance", "floating", "realised", "fees", "margin", "low", "high"):
        assert abs(int(account[name])) <= MONEY_MAX
    floating = sum(int(position["floating"]) for position in desk.engine.desk.book.positions)
    assert int(account["floating"]) == floating


def rounded_value(fill: OrderFilled) -> int:
    return rounded(Fraction(fill.quantity_nanos * fill.price_nanos, 10**9))


@settings(deadline=None, max_examples=200)
@given(st.booleans(), st.sampled_from([1, 100, 10_000]), DAYS)
def test_folding_never_raises_and_conserves_money_whatever_the_prices(
    fixed: bool, leverage: int, day: list[Any]
) -> None:
    desk = prepared(fixed, leverage)
    lived(desk, day)
    conserves(desk)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([1, 10_000]), DAYS, st.randoms(use_true_random=False))
def test_hostile_prices_give_the_same_ledger_however_the_tape_was_cut(
    leverage: int, day: list[Any], cut: Random
) -> None:
    desk = prepared(True, leverage)
    lived(desk, day)
    engine, events = Engine(), list[LedgerEvent]()
    for item in desk.script:
        if not isinstance(item, np.ndarray):
            events += engine.fold(Instructed(engine.ordinal + 1, item))
            continue
        start = 0
        while start < len(item):
            stop = cut.randint(start + 1, len(item))
            events += engine.fold(Block(engine.ordinal + 1, item[start:stop]))
            start = stop
        restored = snapshot.restore(snapshot.save(engine))
        assert restored is not None
        engine = restored
    assert events == desk.events


# -- one by one --------------------------------------------------------------------------------------------------------


def holding(units: int = 9_000_000, *symbols: str) -> Desk:
    """A desk that holds so much EURUSD, bought at 1.10010."""
    desk = Desk(policy(), *symbols, balance=10_000_000)
    for symbol in desk.symbols:
        desk.quote("1.10000", "1.10010", symbol=symbol)
    desk.order("buy", "market", units)
    desk.quote("1.10000", "1.10010")
    assert desk.position() == units
    return desk


def page(*quotes: tuple[str, str], start: int) -> Ticks:
    drawn = [(QUOTE, 1, (nanos(bid), nanos(ask)), 0) for bid, ask in quotes]
    return records(drawn, start)


def breaches(events: list[LedgerEvent]) -> list[tuple[str, int, int, str, bool]]:
    found = of(LimitBreached, events)
    return [(event.limit, event.value_nanos, event.limit_nanos, event.symbol, event.halted) for event in found]


def test_a_jump_that_money_cannot_follow_halts_by_name_and_the_page_goes_on() -> None:
    desk = holding()
    order = desk.ask("sell", "limit", 10_000, limit="1.20000")
    other = desk.ask("sell", "limit", 10_000, limit="1.10500")
    events = desk.feed(page(("1.1060", "1.1061"), ("2000", "2001"), ("1.1010", "1.1011"), start=desk.now))
    assert [type(event).__name__ for event in events] == ["OrderFilled", "FillBooked", "LimitBreached", "OrderMoved"]
    assert fills(events)[0].order == other
    assert breaches(events) == [("money_range", nanos("2001"), MONEY_MAX, "EURUSD", True)]
    assert (of(OrderMoved, events)[0].order, events[2].ordinal) == (order, desk.engine.ordinal - 1)
    book = desk.engine.desk.book
    assert (book.desk[0]["halted"], book.markets[1]["bid"]) == (1, nanos("1.1010"))
    assert int(book.account[0]["floating"]) == 8_990_000 * (nanos("1.1010") - nanos("1.1001"))
    assert "trading is halted" in str(desk.order("buy", "market", 10_000))


@pytest.mark.parametrize(
    ("bid", "ask"),
    [("0", "0"), ("1.1", "0"), ("0", "1.1"), ("-1", "1.1"), ("-2", "-1"), ("1.2", "1.1"), ("5000000", "-5000000")],
)
@pytest.mark.parametrize("kind", [QUOTE, TRADE])
def test_what_is_no_price_moves_nothing_and_halts_nothing(kind: int, bid: str, ask: str) -> None:
    desk = holding()
    desk.ask("buy", "limit", 10_000, limit="1.00000")
    desk.ask("sell", "stop", 10_000, trigger="1.00000")
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("EURUSD",), parameters=EMA)
    before = [array.tobytes() for array in (desk.engine.desk.book.markets, desk.engine.desk.book.account)]
    states = desk.engine.strategies["ema_cross"].states.tobytes()
    ticks = page((bid, ask), start=desk.now)
    ticks["kind"], ticks["bid"], ticks["ask"] = kind, nanos(bid), nanos(ask)
    assert desk.feed(ticks) == []
    assert [array.tobytes() for array in (desk.engine.desk.book.markets, desk.engine.desk.book.account)] == before
    assert desk.engine.strategies["ema_cross"].states.tobytes() == states


def test_a_price_above_the_bound_halts_a_desk_that_holds_nothing_and_one_at_it_does_not() -> None:
    desk = quoted()
    most = records([(QUOTE, 1, (MAX_PRICE, MAX_PRICE), 0)], desk.now)
    assert desk.feed(most) == []
    most["receive_time"] += SECOND
    most["ask"] += 1
    assert breaches(desk.feed(most)) == [("money_range", MAX_PRICE + 1, MONEY_MAX, "EURUSD", True)]


def test_an_instrument_is_named_once_until_trading_is_resumed() -> None:
    desk = holding(9_000_000, "EURUSD", "GBPUSD")
    jump, other = page(("2000", "2001"), start=desk.now), page(("5000000", "5000001"), start=desk.now + SECOND)
    other["instrument"] = 2
    ticks = concatenate([jump, jump, other, jump, other])
    ticks["receive_time"] = desk.now + (1 + np.arange(5)) * SECOND
    found = breaches(desk.feed(ticks))
    assert [(symbol, value) for _, value, _, symbol, _ in found] == [
        ("EURUSD", nanos("2001")),
        ("GBPUSD", nanos("5000001")),
    ]
    desk.tell(TradingResumed, reason="looked at it")
    assert len(breaches(desk.quote("2000", "2001"))) == 1


def test_a_signal_at_a_refused_quote_is_recorded_and_not_judged() -> None:
    desk = holding()
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("EURUSD",), parameters=EMA)
    prices = [("1.1", "1.1001"), ("1.1", "1.1001"), ("1.09", "1.0901"), ("1.08", "1.0801"), ("3000", "3001")]
    events = desk.feed(page(*prices, ("1.09", "1.0901"), start=desk.now))
    (raised,) = [event for event in of(SignalRaised, events) if event.ordinal == desk.engine.ordinal - 1]
    (breached,) = of(LimitBreached, events)
    assert (raised.side, breached.ordinal) == ("buy", raised.ordinal)
    assert not [event for event in events if event.causation == raised.number]


@pytest.mark.parametrize("bitcoin", [59_000, 60_000, 97_000])
def test_a_trade_whose_money_does_not_fit_is_refused_alone_and_its_good_quote_stands(bitcoin: int) -> None:
    desk = Desk(POLICIES["paper-default"], "USDJPY", "BTCUSDT", balance=15_000_000, currency="JPY")
    desk.quote("150.00", "150.01")
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("BTCUSDT",), parameters=EMA)
    for step in (0, 1, 2, 1):
        desk.quote(str(bitcoin + step), str(bitcoin + step + 1), symbol="BTCUSDT")
    (verdict,) = of(SignalAssessed, desk.events)
    said = {rule.rule: rule.says for rule in verdict.rules if not rule.passed}
    assert verdict.verdict == "refused"
    assert ("64 bits" in said.get("rate_is_known", "")) == (bitcoin > 59_000)
    assert len(verdict.rules) == len(STRATEGIC) + len(RISK)
    assert breaches(desk.events) == []
    book = desk.engine.desk.book
    assert (int(book.desk[0]["halted"]), int(book.markets[2]["bid"])) == (0, nanos(bitcoin + 1))


def test_a_signal_from_outside_whose_money_does_not_fit_is_refused_by_a_rule() -> None:
    desk = Desk(policy(sizing={"fixed_quantity_nanos": nanos(10_000_000)}))
    desk.feed(records([(QUOTE, 1, (MAX_PRICE, MAX_PRICE), 0)], desk.now))
    events = desk.tell(
        SignalSubmitted, strategy="hand", symbol="EURUSD", side="buy", entry_nanos=MAX_PRICE, stop_nanos=1,
        target_nanos=MAX_PRICE,
    )  # fmt: skip
    (verdict,) = of(SignalAssessed, events)
    assert "the money of this trade does not fit 64 bits" in [rule.says for rule in verdict.rules if not rule.passed]
    assert (verdict.sizing and verdict.sizing.bound, verdict.quantity_nanos, verdict.risk_nanos) == ("no_rate", 0, 0)
    assert desk.engine.desk.book.desk[0]["halted"] == 0
    assert desk.quote("1.1", "1.2") == []


@pytest.mark.parametrize("limit", ["symbol_exposure_max_ppm", "currency_exposure_max_ppm"])
@pytest.mark.parametrize("balance", [900_000_000, 1_000_000_000])
def test_a_limit_of_exposure_beyond_64_bits_refuses_nothing(limit: str, balance: int) -> None:
    desk = Desk(policy(risk={limit: 10 * PPM, "on_opposite": "reverse"}), balance=balance)
    desk.quote("1.10000", "1.10010")
    assert placed(desk.order("sell", "market", 9_000_000))
    desk.quote("1.10000", "1.10010")
    sizing = {"method": "fractional", "risk_ppm": 10_000}
    desk.tell(PolicyActivated, policy=policy(risk={limit: 10 * PPM, "on_opposite": "reverse"}, sizing=sizing))
    prices = {"entry_nanos": nanos("1.1"), "stop_nanos": nanos("1.0")}
    events = desk.tell(SignalSubmitted, strategy="hand", symbol="EURUSD", side="buy", **prices)
    assert [order.quantity_nanos for order in placed(events)] == [nanos(10_000_000)]


def test_a_profit_target_beyond_64_bits_loses_no_mark_of_the_clock() -> None:
    limits = {"profit_target_ppm": 100 * PPM, "flat_before_weekend": True}
    desk = Desk(policy(limits=limits), balance=100_000_000)
    desk.quote("1.10000", "1.10010")
    desk.order("buy", "market", 100_000)
    desk.quote("1.10000", "1.10010")
    desk.order("sell", "market", 50_000)
    desk.quote("1.10000", "1.10010")
    (rolled,) = of(DayRolled, desk.clock(MINUTE | PRAGUE_MIDNIGHT | WEEK_CLOSING))
    assert rolled.target_reached is False
    desk.quote("1.10000", "1.10010")
    assert (desk.position(), breaches(desk.events)) == (0, [])
    assert desk.engine.desk.book.desk[0]["sessions_open"] & WEEK_CLOSING


@pytest.mark.parametrize("amount", [MONEY_MAX, -MONEY_MAX, 0])
def test_an_amount_of_money_stays_where_two_of_them_still_add_up(amount: int) -> None:
    assert bounded(amount) == amount
    for past in (MONEY_MAX + 1, -MONEY_MAX - 1, LEAST, MOST):
        with pytest.raises(OverflowError, match="does not fit 63 bits"):
            bounded(past)


def test_money_that_fits_alone_but_not_in_the_sum_is_refused_too() -> None:
    rich = Desk(policy(), balance=4_000_000_000)
    rich.quote("1.10000", "1.10010")
    rich.order("buy", "market", 9_000_000)
    rich.quote("1.10000", "1.10010")
    assert breaches(rich.quote("60", "60")) == []
    assert len(breaches(rich.quote("100", "100"))) == 1  # 4.0 billion and 0.9 billion
    both = holding(9_000_000, "EURUSD", "GBPUSD")
    both.order("buy", "market", 9_000_000, symbol="GBPUSD")
    both.quote("1.10000", "1.10010", symbol="GBPUSD")
    assert breaches(both.quote("400", "400")) == []  # 3.6 billion
    assert [breach[3] for breach in breaches(both.quote("400", "400", symbol="GBPUSD"))] == ["GBPUSD"]
    assert int(both.engine.desk.book.positions[2]["floating"]) < 0  # of the quote before
