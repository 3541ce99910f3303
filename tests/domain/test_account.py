"""Positions and money: what is booked is what a plain account in exact fractions books, to the last nano."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.engine import Engine
from domain.events import AccountMarked, DayRolled, FillBooked, LedgerEvent, OrderFilled, SignalAssessed
from domain.instructions import AccountOpened, Instructed, InstrumentDeclared, PolicyActivated, StrategyActivated
from domain.instruments import instrument_for
from domain.journal import BOOKED, FILLED
from domain.policy import Fee, policy_named
from domain.tape import MINUTE, PRAGUE_MIDNIGHT, Block
from gateways.feeds.file_set import FeedOptions
from gateways.feeds.files import read_files
from tests.canonical import INSTRUCTIONS, SAID
from tests.domain.account_oracle import NANO, PPM, PRICES, SYMBOLS, Oracle, rounded
from tests.domain.desks import Desk, fills, nanos, of, policy

FEES: dict[Any, Fee] = {"fx": Fee(taker_ppm=37, maker_ppm=11), "crypto": Fee(taker_ppm=600, maker_ppm=200)}


def check(oracle: Oracle, events: list[LedgerEvent]) -> None:
    """Every booking and mark among the events is the oracle's."""
    for event in events:
        if isinstance(event, OrderFilled):
            expected = oracle.execute(event)
        elif isinstance(event, FillBooked):
            assert {name: getattr(event, name) for name in expected} == expected
        elif isinstance(event, AccountMarked):
            told = oracle.mark()
            assert {name: getattr(event, name) for name in told} == told


def money(desk: Desk) -> tuple[int, int, int, int]:
    """Balance, floating, realised and fees as the account holds them."""
    account = desk.engine.desk.book.account[0]
    return tuple(int(account[name]) for name in ("balance", "floating", "realised", "fees"))  # type: ignore[return-value]


def decimal(amount: int) -> str:
    """Nanos as a price is written."""
    return f"{Decimal(amount) / NANO:f}"


def booked(events: list[LedgerEvent]) -> FillBooked:
    (booking,) = of(FillBooked, events)
    return booking


# -- conservation ------------------------------------------------------------------------------------------------------

WHICH = st.integers(0, len(SYMBOLS) - 1)
QUOTED = st.tuples(st.just("quote"), WHICH, st.integers(-2_000, 2_000), st.sampled_from([0, 0, 7_000, 12_345]))
ASKED = st.tuples(st.just("order"), WHICH, st.integers(-60, 60).filter(bool), st.sampled_from(["market", "limit"]))
MINUTES = st.tuples(st.just("minute"))


@settings(deadline=None, max_examples=80)
@given(st.lists(QUOTED | QUOTED | ASKED | ASKED | MINUTES, min_size=10, max_size=80))
def test_money_is_conserved_to_the_last_nano_over_any_orders(steps: list[tuple[Any, ...]]) -> None:
    desk, oracle = Desk(policy(fees=FEES), *SYMBOLS, balance=1_000_000), Oracle(nanos(1_000_000))
    mids = {symbol: nanos(str(price)) for symbol, price in PRICES.items()}
    first = [("quote", number, 0, 0) for number in range(len(SYMBOLS))]
    for step in [*first, *steps]:
        symbol = SYMBOLS[step[1]] if step[0] != "minute" else ""
        if step[0] == "quote":
            mid = mids[symbol] + step[2] * mids[symbol] // 100_000
            bid, ask = mid - mid // 20_000, mid + mid // 30_000
            oracle.quotes[symbol] = (bid, ask)
            events = desk.quote(decimal(bid), decimal(ask), step[3], symbol=symbol)
        elif step[0] == "order":
            terms = {"limit": decimal(mids[symbol])} if step[3] == "limit" else {}
            events = desk.order("buy" if step[2] > 0 else "sell", step[3], abs(step[2]) * 1_000, symbol=symbol, **terms)
        else:
            events = desk.clock(MINUTE)
        check(oracle, events)
        oracle.observe()
        balance, floating, realised, fees = money(desk)
        assert (balance, floating) == (oracle.balance, oracle.floating())
        assert balance == nanos(1_000_000) + realised - fees
    for symbol in SYMBOLS:  # all that was ever paid and received is in what was realised and what is still open
        own = [event for event in desk.events if isinstance(event, FillBooked) and event.symbol == symbol]
        paid = sum(
            (-1 if fill.side == "buy" else 1) * rounded(Fraction(fill.quantity_nanos * fill.price_nanos, NANO))
            for fill in fills(desk.events)
            if fill.symbol == symbol
        )
        assert paid == sum(booking.realised_quote_nanos for booking in own) - oracle.cost[symbol]


def booked_rows(engine: Engine, block: Block) -> Iterator[tuple[Any, Any]]:
    """Fills and bookings of a block, from the journal."""
    for _ in engine.advance(block):
        journal = engine.desk.book.journal
        yield from zip(
            journal.fills[: journal.rows[FILLED]].copy(), journal.bookings[: journal.rows[BOOKED]].copy(), strict=True
        )


@pytest.mark.timeout(300)
def test_money_is_conserved_over_a_year_of_eurusd_in_an_account_in_euros(shared_data: Path) -> None:
    files = read_files([shared_data / "m1" / "binarycom_EURUSD_M1_2018.csv.gz"], FeedOptions())
    engine, initial = Engine(), nanos(1_000_000)
    for instruction in (
        INSTRUCTIONS["tape_opened"],
        InstrumentDeclared(id="eurusd", **SAID, number=1, instrument=instrument_for("EURUSD")),
        AccountOpened(id="account", **SAID, currency="EUR", initial_balance_nanos=initial),
        PolicyActivated(id="policy", **SAID, policy=policy_named("bench-wide")),
        StrategyActivated(
            id="strategy", **SAID, strategy="ema_cross", version=1, parameters={"fast": 10, "slow": 30},
            symbols=("EURUSD",),
        ),
    ):  # fmt: skip
        engine.fold(Instructed(engine.ordinal + 1, instruction))
    balance, paid, realised_quote, cost, count = initial, 0, 0, 0, 0
    for fill, booking in booked_rows(engine, Block(engine.ordinal + 1, files.ticks)):
        mid = Fraction(int(fill["bid"] + fill["ask"]) // 2, NANO)
        value = rounded(Fraction(int(fill["quantity"]) * int(fill["price"]), NANO))
        assert booking["realised"] == rounded(int(booking["realised_quote"]) / mid)
        assert booking["fee"] == rounded(rounded(Fraction(value * 20, PPM)) / mid)
        balance += int(booking["realised"]) - int(booking["fee"])
        paid -= int(fill["side"]) * value
        realised_quote, cost, count = realised_quote + int(booking["realised_quote"]), int(booking["cost"]), count + 1
        assert booking["balance"] == balance
        assert booking["equity"] == balance + booking["floating"]
        assert paid == realised_quote - cost
    account = engine.desk.book.account[0]
    assert account["balance"] == balance == initial + account["realised"] - account["fees"]
    assert count > 10_000


# -- positions by hand -------------------------------------------------------------------------------------------------


def trades(desk: Desk, *orders: tuple[str, int, str]) -> list[FillBooked]:
    """Bookings of market orders (side, units, price), each filled at its own price without a spread."""
    found = []
    desk.quote("1.10000", "1.10000")
    for side, units, price in orders:
        desk.order(side, "market", units)
        found.append(booked(desk.quote(price, price)))
    return found


def test_adding_averages_reducing_releases_and_closing_leaves_nothing() -> None:
    opened, added, reduced, closed = trades(
        Desk(), ("buy", 100_000, "1.10000"), ("buy", 50_000, "1.13000"), ("sell", 60_000, "1.14000"),
        ("sell", 90_000, "1.09000"),
    )  # fmt: skip
    assert (opened.position_nanos, opened.cost_nanos) == (nanos(100_000), nanos(110_000))
    assert (added.position_nanos, added.cost_nanos, added.realised_nanos) == (nanos(150_000), nanos(166_500), 0)
    assert added.floating_nanos == nanos(3_000)
    assert (reduced.position_nanos, reduced.cost_nanos) == (nanos(90_000), nanos(99_900))
    assert (reduced.realised_nanos, reduced.closed, reduced.trade_nanos) == (nanos(1_800), False, 0)
    assert (closed.position_nanos, closed.cost_nanos, closed.floating_nanos, closed.margin_nanos) == (0, 0, 0, 0)
    assert (closed.realised_nanos, closed.closed, closed.trade_nanos) == (nanos(-1_800), True, 0)
    assert closed.balance_nanos == closed.equity_nanos == nanos(100_000)


def test_a_flip_closes_one_trade_and_opens_the_next_at_its_price() -> None:
    _, flipped, back = trades(
        Desk(policy(fees={"fx": Fee(taker_ppm=20, maker_ppm=20)})), ("sell", 100_000, "1.10000"),
        ("buy", 300_000, "1.09000"), ("sell", 200_000, "1.09500"),
    )  # fmt: skip
    assert (flipped.position_nanos, flipped.cost_nanos) == (nanos(200_000), nanos(218_000))
    assert (flipped.closed, flipped.realised_nanos, flipped.fee_nanos) == (True, nanos(1_000), nanos("6.54"))
    assert flipped.trade_nanos == nanos("995.62")  # less 2.20 to open, and a third of this fee to close
    assert (back.closed, back.realised_nanos) == (True, nanos(1_000))
    assert back.trade_nanos == nanos(1_000) - nanos("4.36") - nanos("4.38")
    assert back.balance_nanos == nanos(102_000) - nanos("2.20") - nanos("6.54") - nanos("4.38")


@pytest.mark.parametrize("left", range(1_000, 60_000, 7_000))
def test_a_trade_is_closed_only_when_nothing_of_it_is_left(left: int) -> None:
    _, reduced, closed = trades(
        Desk(), ("buy", 60_000, "1.1"), ("sell", 60_000 - left, "1.2"), ("sell", left, "1.2")
    )  # fmt: skip
    assert (reduced.closed, reduced.trade_nanos) == (False, 0)
    assert (closed.closed, closed.trade_nanos) == (True, nanos(6_000))


def test_margin_is_a_share_of_what_the_position_cost() -> None:
    opened, added, reduced = trades(
        Desk(), ("buy", 100_000, "1.10000"), ("buy", 100_000, "1.12000"), ("sell", 150_000, "1.20000")
    )
    assert [b.margin_nanos for b in (opened, added, reduced)] == [
        nanos(cost) * 33_333 // PPM for cost in (110_000, 222_000, 55_500)
    ]


def test_a_taker_pays_the_takers_fee_and_a_resting_limit_the_makers() -> None:
    desk = Desk(policy(fees=FEES))
    desk.quote("1.10000", "1.10010")
    desk.order("buy", "market", 10_000)
    assert booked(desk.quote("1.10000", "1.10010")).fee_nanos == nanos("11001") * 37 // PPM
    desk.order("sell", "limit", 10_000, limit="1.11000")
    assert not fills(desk.quote("1.10000", "1.10010"))
    assert booked(desk.quote("1.11001", "1.11011")).fee_nanos == nanos("11100") * 11 // PPM


# -- conversion --------------------------------------------------------------------------------------------------------


def test_floating_follows_the_quotes_of_the_pair_that_converts_it() -> None:
    desk = Desk(policy(), "EURJPY", "USDJPY")
    desk.quote("150.00", "150.00", symbol="USDJPY")
    desk.quote("160.00", "160.00", symbol="EURJPY")
    desk.order("buy", "market", 10_000, symbol="EURJPY")
    opened = booked(desk.quote("160.00", "160.00", symbol="EURJPY"))
    assert (opened.rate_nanos, opened.rate_inverse) == (nanos(150), True)
    desk.quote("163.00", "163.00", symbol="EURJPY")
    assert money(desk)[1] == nanos(200)
    desk.quote("120.00", "120.00", symbol="USDJPY")
    assert money(desk)[1] == nanos(250)
    desk.order("sell", "market", 10_000, symbol="EURJPY")
    closed = booked(desk.quote("163.00", "163.00", symbol="EURJPY"))
    assert (closed.realised_quote_nanos, closed.realised_nanos) == (nanos(30_000), nanos(250))
    desk.quote("100.00", "100.00", symbol="USDJPY")
    assert money(desk)[:2] == (nanos(100_250), 0)  # what is realised keeps its rate


def test_a_direct_pair_multiplies_and_its_rate_stands_in_the_booking() -> None:
    desk = Desk(policy(), "EURGBP", "GBPUSD")
    desk.quote("1.25000", "1.25010", symbol="GBPUSD")
    desk.quote("0.80000", "0.80000", symbol="EURGBP")
    desk.order("sell", "market", 100_000, symbol="EURGBP")
    opened = booked(desk.quote("0.80000", "0.80000", symbol="EURGBP"))
    assert (opened.rate_nanos, opened.rate_inverse) == (nanos("1.25005"), False)
    desk.quote("0.79000", "0.79000", symbol="EURGBP")
    assert money(desk)[1] == nanos("1250.05")


def test_tether_counts_as_the_dollar() -> None:
    desk = Desk(policy(fees=FEES), "BTCUSDT")
    desk.quote("60000", "60000", 10)
    desk.order("buy", "market", "0.5")
    opened = booked(desk.quote("60000", "60000", 10))
    assert (opened.rate_nanos, opened.fee_nanos, opened.margin_nanos) == (NANO, nanos(18), nanos(15_000))
    desk.quote("61000", "61000", 10)
    assert money(desk)[1] == nanos(500)


@pytest.mark.parametrize("symbols", [("EURJPY",), ("EURJPY", "USDJPY")])
def test_without_a_rate_to_the_accounts_currency_nothing_is_traded(symbols: tuple[str, ...]) -> None:
    desk = Desk(policy(), *symbols)  # USDJPY is declared, but was never quoted
    desk.quote("160.00", "160.01")
    (verdict,) = of(SignalAssessed, desk.order("buy", "market", 1_000))
    assert verdict.verdict == "refused"
    assert [rule.rule for rule in verdict.rules if not rule.passed] == ["rate_is_known"]
    assert not fills(desk.quote("160.00", "160.01"))


def test_the_first_pair_declared_converts_not_a_later_future_of_the_same_currencies() -> None:
    desk = Desk(policy(), "EURUSD", "GBPUSD", "6E", currency="EUR")
    desk.quote("1.10000", "1.10000", symbol="EURUSD")
    desk.quote("1.25000", "1.25000", symbol="GBPUSD")
    desk.quote("1.20000", "1.20000", symbol="6E")
    desk.order("buy", "market", 1_000, symbol="GBPUSD")
    assert booked(desk.quote("1.25000", "1.25000", symbol="GBPUSD")).rate_nanos == nanos("1.10")


# -- marks -------------------------------------------------------------------------------------------------------------


def test_every_minute_with_an_open_position_is_marked_with_the_extremes_of_equity_since_the_last() -> None:
    desk = Desk()
    trades(desk, ("buy", 100_000, "1.10000"))
    for price in ("1.10500", "1.09700", "1.10100"):
        desk.quote(price, price)
    (mark,) = of(AccountMarked, desk.clock(MINUTE))
    equities = (mark.equity_nanos, mark.equity_low_nanos, mark.equity_high_nanos)
    assert equities == (nanos(100_100), nanos(99_700), nanos(100_500))
    assert (mark.daily_room_nanos, mark.total_room_nanos) == (None, None)
    (mark,) = of(AccountMarked, desk.clock(MINUTE))
    assert mark.equity_low_nanos == mark.equity_high_nanos == mark.equity_nanos == nanos(100_100)


def test_a_minute_without_a_position_is_not_marked_and_a_second_never_is() -> None:
    desk = Desk()
    trades(desk, ("buy", 100_000, "1.10000"), ("sell", 100_000, "1.10000"))
    assert desk.clock(MINUTE) == []
    desk.order("buy", "market", 1_000)
    desk.quote("1.1", "1.1")
    assert desk.clock() == []


@pytest.mark.parametrize("marks", [PRAGUE_MIDNIGHT, PRAGUE_MIDNIGHT | MINUTE])
@pytest.mark.parametrize("units", [0, 1_000])
def test_the_day_roll_is_marked_once_whether_a_position_is_open_or_not(marks: int, units: int) -> None:
    desk = Desk()
    trades(desk, *[("buy", units, "1.10000")][: units and 1])
    events = desk.clock(marks)
    assert [type(event) for event in events] == [AccountMarked, DayRolled]


def test_the_room_that_a_mark_names_is_what_equity_may_still_lose() -> None:
    desk = Desk(policy(limits={"daily_loss_ppm": 50_000, "max_loss_ppm": 100_000}))
    trades(desk, ("buy", 100_000, "1.10000"))
    desk.quote("1.09000", "1.09000")
    (mark,) = of(AccountMarked, desk.clock(MINUTE))
    assert (mark.daily_room_nanos, mark.total_room_nanos) == (nanos(4_000), nanos(9_000))
