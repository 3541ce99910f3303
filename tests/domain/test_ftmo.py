"""FTMO's limits and objectives: the worked examples of its own texts, on tapes whose midnights are those of Prague."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.events import (
    AccountMarked,
    DayRolled,
    FillBooked,
    LimitBreached,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
    SignalAssessed,
)
from domain.instructions import SignalSubmitted, TradingHalted, TradingResumed
from domain.policy import Fee
from tests.domain.desks import SECOND, fills, moves, nanos, of, placed
from tests.domain.prague import PRAGUE, PragueDesk, breaches, day, opened, pack

# -- daily loss --------------------------------------------------------------------------------------------------------


def test_an_initial_200k_and_204k_at_midnight_give_a_limit_of_194k() -> None:
    desk = opened("2step-challenge", balance=200_000)
    desk.earn("2024-03-04 11:00:00", 4_000)
    rolled = day(desk.at("2024-03-05 00:00:01", "1.10000"))
    assert (rolled.balance_nanos, rolled.daily_limit_nanos) == (nanos(204_000), nanos(194_000))
    assert rolled.total_limit_nanos == nanos(180_000)


def test_an_open_loss_of_13k_after_4k_closed_is_legal_at_2359_and_breaches_at_0000() -> None:
    desk = opened("2step-challenge", balance=200_000)
    desk.earn("2024-03-04 11:00:00", 4_000)
    desk.at("2024-03-04 11:30:00", "1.20000")
    desk.hold(100_000, "2024-03-04 12:00:00", "1.20000")
    desk.at("2024-03-04 23:59:00", "1.07000")
    desk.at("2024-03-04 23:59:59.999999", "1.07000")
    assert not breaches(desk)
    events = desk.at("2024-03-05 00:00:00", "1.07000")
    (breach,) = of(LimitBreached, events)
    assert breach.occurred_at_ns == int(datetime(2024, 3, 5, tzinfo=PRAGUE).timestamp()) * SECOND
    assert breach.ordinal == day(events).ordinal == desk.engine.ordinal - 1  # the clock record, before the quote
    assert (breach.limit, breach.value_nanos, breach.limit_nanos) == ("daily_loss", nanos(191_000), nanos(194_000))
    assert (breach.symbol, breach.halted) == ("", True)
    assert [fill.purpose for fill in fills(events)] == ["flatten"]
    assert desk.position() == 0


def test_the_first_days_limit_is_of_the_initial_balance() -> None:
    desk = opened("2step-challenge")
    desk.hold(100_000, "2024-03-04 11:00:00", "1.10000")
    desk.at("2024-03-04 12:00:00", "1.05000")
    assert not breaches(desk)
    (breach,) = of(LimitBreached, desk.at("2024-03-04 12:00:01", "1.04999"))
    assert (breach.limit, breach.value_nanos, breach.limit_nanos) == ("daily_loss", nanos(94_999), nanos(95_000))


@pytest.mark.parametrize("name", ["2step-challenge", "1step-challenge"])
def test_equity_at_a_limit_is_legal_and_a_nano_of_the_price_below_it_is_not(name: str) -> None:
    loss = "0.05" if name.startswith("2") else "0.03"
    price, below = (f"{Decimal('1.1') - Decimal(loss) - Decimal(lower):f}" for lower in ("0", "1e-9"))
    desk = opened(name)
    desk.hold(100_000, "2024-03-04 11:00:00", "1.10000")
    desk.at("2024-03-04 12:00:00", price)
    assert not breaches(desk)
    (breach,) = of(LimitBreached, desk.at("2024-03-04 12:00:01", below))
    assert breach.limit_nanos - breach.value_nanos == nanos("0.0001")


@pytest.mark.parametrize(
    ("before", "midnights", "hours"),
    [
        ("2024-03-30 12:00:00", ["2024-03-31 00:00:01", "2024-04-01 00:00:01"], 23),
        ("2024-10-26 12:00:00", ["2024-10-27 00:00:01", "2024-10-28 00:00:01"], 25),
        ("2024-06-01 12:00:00", ["2024-06-02 00:00:01", "2024-06-03 00:00:01"], 24),
    ],
)
def test_days_of_prague_have_23_and_25_hours_when_its_clocks_change(
    before: str, midnights: list[str], hours: int
) -> None:
    desk = PragueDesk(pack("2step-challenge"))
    desk.at(before, "1.10000")
    first, second = (day(desk.at(midnight, "1.10000")) for midnight in midnights)
    assert second.occurred_at_ns - first.occurred_at_ns == hours * 3_600 * SECOND


def test_weeks_without_a_quote_roll_every_day_of_theirs() -> None:
    desk = opened("2step-challenge")
    assert len(of(DayRolled, desk.at("2024-03-18 09:00:00", "1.10000"))) == 14


# -- maximum loss ------------------------------------------------------------------------------------------------------


def rolled_limits(desk: PragueDesk, *results: int) -> list[int]:
    """The maximum loss limit after each day with such a result, in dollars."""
    limits = []
    for number, dollars in enumerate(results):
        if dollars:
            desk.earn(f"2024-03-{5 + number:02} 10:00:00", dollars)
        rolled = day(desk.at(f"2024-03-{6 + number:02} 00:00:01", "1.10000"))
        limits.append(rolled.total_limit_nanos // 10**9)
    return limits


def on_tuesday(desk: PragueDesk) -> PragueDesk:
    desk.at("2024-03-05 09:00:00", "1.10000")
    return desk


def test_1_step_trails_the_highest_midnight_and_never_falls() -> None:
    desk = on_tuesday(opened("1step-challenge"))
    assert rolled_limits(desk, 0, 4_000, -1_000, 500) == [90_000, 94_000, 94_000, 94_000]


def test_1_step_goes_on_above_the_initial_balance_unless_it_is_locked_there() -> None:
    assert rolled_limits(on_tuesday(opened("1step-challenge")), 8_000, 9_000) == [98_000, 107_000]
    locked = on_tuesday(opened("1step-challenge", max_loss_kind="trailing_locked"))
    assert rolled_limits(locked, 4_000, 5_000, 8_000) == [94_000, 99_000, 100_000]


def test_1_step_counts_midnights_not_a_high_within_the_day() -> None:
    desk = on_tuesday(opened("1step-challenge"))
    desk.earn("2024-03-05 10:00:00", 6_000)
    desk.earn("2024-03-05 11:00:00", -2_500)
    assert day(desk.at("2024-03-06 00:00:01", "1.1")).total_limit_nanos == nanos(93_500)


def test_2_step_does_not_trail() -> None:
    assert rolled_limits(on_tuesday(opened("2step-challenge")), 8_000, 9_000) == [90_000, 90_000]


def test_the_maximum_loss_is_named_where_both_limits_are_passed() -> None:
    desk = on_tuesday(opened("2step-challenge"))
    desk.hold(100_000, "2024-03-05 10:00:00", "1.10000")
    (breach,) = of(LimitBreached, desk.at("2024-03-05 11:00:00", "0.99999"))
    assert (breach.limit, breach.value_nanos, breach.limit_nanos) == ("max_loss", nanos(89_999), nanos(90_000))


# -- objectives --------------------------------------------------------------------------------------------------------


def test_a_trading_day_is_a_date_of_prague_on_which_a_position_was_opened() -> None:
    desk = opened("2step-challenge", "EURUSD", "GBPUSD")
    desk.hold(1_000, "2024-03-04 11:00:00", "1.10000")
    desk.hold(1_000, "2024-03-04 23:59:59", "1.10000", "GBPUSD")
    counts = [day(desk.at("2024-03-05 00:00:01", "1.10000")).trading_days]
    desk.hold(1_000, "2024-03-05 10:00:00", "1.10000")  # adding opens nothing, nor does holding or closing
    counts.append(day(desk.at("2024-03-06 00:00:01", "1.10000")).trading_days)
    desk.hold(-2_000, "2024-03-06 10:00:00", "1.10000")
    counts.append(day(desk.at("2024-03-07 00:00:01", "1.10000")).trading_days)
    desk.hold(-2_000, "2024-03-07 00:00:02", "1.10000", "GBPUSD")  # a flip opens the other side
    desk.hold(1_000, "2024-03-07 00:00:03", "1.10000")
    counts.append(day(desk.at("2024-03-08 00:00:01", "1.10000")).trading_days)
    assert counts == [1, 1, 1, 2]


def test_the_target_counts_closed_balance_with_no_open_position() -> None:
    desk = opened("2step-challenge", "EURUSD", "GBPUSD")
    desk.hold(100_000, "2024-03-04 11:00:00", "1.10000")
    desk.at("2024-03-04 12:00:00", "1.20000")
    open_profit = day(desk.at("2024-03-05 00:00:01", "1.20000"))
    desk.hold(1_000, "2024-03-05 09:00:00", "1.10000", "GBPUSD")
    desk.hold(-100_000, "2024-03-05 10:00:00", "1.20000")
    other_open = day(desk.at("2024-03-06 00:00:01", "1.20000"))
    desk.hold(-1_000, "2024-03-06 10:00:00", "1.10000", "GBPUSD")
    closed = day(desk.at("2024-03-07 00:00:01", "1.20000"))
    assert (open_profit.equity_nanos, open_profit.balance_nanos) == (nanos(110_000), nanos(100_000))
    assert other_open.balance_nanos == closed.balance_nanos == nanos(110_000)
    assert [d.target_reached for d in (open_profit, other_open, closed)] == [False, False, True]


@pytest.mark.parametrize(("name", "dollars", "reached"), [
    ("2step-challenge", 9_990, False), ("2step-challenge", 10_000, True), ("2step-verification", 4_990, False),
    ("2step-verification", 5_000, True), ("1step-challenge", 10_000, True), ("2step-funded", 50_000, False),
])  # fmt: skip
def test_the_target_of_each_pack_is_a_share_of_the_initial_balance(name: str, dollars: int, reached: bool) -> None:
    desk = opened(name)
    desk.earn("2024-03-04 11:00:00", dollars)
    assert day(desk.at("2024-03-05 00:00:01", "1.10000")).target_reached is reached


def test_the_best_day_is_at_most_half_of_what_winning_days_won_and_missing_it_is_no_failure() -> None:
    desk = opened("1step-challenge")
    kept = [day(desk.at("2024-03-05 00:00:01", "1.10000")).best_day_kept]
    for number, dollars in enumerate((5_000, 4_000, -1_000, 1_000, 10)):
        desk.earn(f"2024-03-{5 + number:02} 10:00:00", dollars)
        rolled = day(desk.at(f"2024-03-{6 + number:02} 00:00:01", "1.10000"))
        kept.append(rolled.best_day_kept)
    assert kept == [True, False, False, False, True, True]
    assert rolled.best_day_nanos == nanos(5_000)
    assert not breaches(desk)
    assert not desk.engine.desk.book.desk[0]["halted"]


# -- a breach ----------------------------------------------------------------------------------------------------------


def in_trouble() -> PragueDesk:
    """Long two pairs with exits, and two entries working, just above the daily limit."""
    desk = opened("2step-challenge", "EURUSD", "GBPUSD")
    exits = {"EURUSD": {"stop": "1.07000", "target": "1.50000"}, "GBPUSD": {"target": "1.50000"}}
    for symbol in desk.symbols:
        desk.order("buy", "market", 100_000, symbol=symbol, **exits[symbol])
        desk.at("2024-03-04 11:00:00", "1.10000", symbol)
        desk.order("buy", "limit", 50_000, symbol=symbol, limit="0.95000")
    desk.at("2024-03-04 12:00:00", "1.07500", "GBPUSD")
    return desk


def test_a_breach_is_recorded_then_entries_and_exits_go_then_every_position_is_flattened() -> None:
    desk = in_trouble()
    assert len(desk.working) == 5
    events = desk.at("2024-03-04 12:00:01", "1.07499")
    assert [type(event) for event in events] == [
        LimitBreached, OrderMoved, OrderMoved, OrderMoved, OrderMoved, OrderPlaced, OrderMoved, OrderPlaced,
        OrderFilled, FillBooked,
    ]  # fmt: skip
    (breach,) = of(LimitBreached, events)
    assert (breach.value_nanos, breach.limit_nanos, breach.symbol) == (nanos(94_999), nanos(95_000), "EURUSD")
    assert (breach.limit, breach.halted, breach.ordinal) == ("daily_loss", True, desk.engine.ordinal)
    purposes = {order.number: order.purpose for order in placed(desk.events)}
    assert [(purposes[order], state) for order, state, _ in moves(events)] == [
        ("request", "canceled"), ("request", "canceled"), ("stop", "canceled"), ("target", "canceled"),
        ("target", "canceled"),
    ]  # fmt: skip
    orders = placed(events)
    assert [(order.symbol, order.purpose, order.quantity_nanos) for order in orders] == [
        ("EURUSD", "flatten", nanos(100_000)), ("GBPUSD", "flatten", nanos(100_000)),
    ]  # fmt: skip
    assert all(order.causation == breach.number for order in orders)
    assert (desk.position("EURUSD"), desk.position("GBPUSD")) == (0, 100_000)
    assert len(desk.working) == 1
    assert not fills(desk.at("2024-03-04 12:00:02", "1.08000", "EURUSD"))
    (fill,) = fills(desk.at("2024-03-04 12:00:03", "1.06000", "GBPUSD"))
    assert (fill.purpose, fill.order, desk.position("GBPUSD")) == ("flatten", orders[1].number, 0)
    assert len(breaches(desk)) == 1


def test_after_a_breach_nothing_is_opened_until_somebody_resumes_in_a_new_day() -> None:
    desk = in_trouble()
    desk.at("2024-03-04 12:00:01", "1.05000", "EURUSD")
    desk.at("2024-03-04 12:00:02", "1.05000", "GBPUSD")
    signal: dict[str, Any] = {"strategy": "outside", "symbol": "EURUSD", "side": "buy", "entry_nanos": nanos("1.05")}
    for events in (desk.tell(SignalSubmitted, **signal), desk.order("buy", "market", 1_000)):
        (verdict,) = of(SignalAssessed, events)
        assert verdict.verdict == "refused"
        assert "not_halted" in [rule.rule for rule in verdict.rules if not rule.passed]
    events = desk.at("2024-03-05 10:00:00", "1.05000")
    assert not of(LimitBreached, events)  # the account is flat and halted: there is nothing to say again
    desk.tell(TradingResumed, reason="a new day")
    desk.order("buy", "market", 1_000)
    assert len(fills(desk.at("2024-03-05 10:00:01", "1.05000"))) == 1
    assert len(breaches(desk)) == 1


def test_resuming_while_a_limit_is_still_passed_halts_again_at_the_next_quote() -> None:
    desk = in_trouble()
    desk.at("2024-03-04 12:00:01", "1.05000", "EURUSD")
    desk.at("2024-03-04 12:00:02", "1.05000", "GBPUSD")
    desk.tell(TradingResumed, reason="too early")
    (breach,) = of(LimitBreached, desk.at("2024-03-04 12:00:03", "1.20000"))
    assert (breach.limit, breach.value_nanos) == ("daily_loss", nanos(90_000))


def test_a_stop_that_is_gapped_through_breaches_although_nothing_is_open_any_more() -> None:
    desk = opened("2step-challenge")
    desk.order("buy", "market", 100_000, stop="1.09000")
    desk.at("2024-03-04 11:00:00", "1.10000")
    events = desk.at("2024-03-04 12:00:00", "1.04000")
    assert [fill.purpose for fill in fills(events)] == ["stop"]
    (breach,) = of(LimitBreached, events)
    assert (breach.limit, breach.value_nanos) == ("daily_loss", nanos(94_000))
    assert not placed(events)


def test_a_quote_of_the_pair_that_converts_can_breach() -> None:
    desk = PragueDesk(pack("2step-challenge"), "EURJPY", "USDJPY")
    desk.at("2024-03-04 10:00:00", "150.000", "USDJPY")
    desk.at("2024-03-04 10:00:01", "160.000", "EURJPY")
    desk.hold(100_000, "2024-03-04 10:00:02", "160.000", "EURJPY")
    desk.at("2024-03-04 10:00:03", "152.501", "EURJPY")  # 749,900 JPY down
    events = desk.at("2024-03-04 10:00:04", "149.900", "USDJPY")
    (breach,) = of(LimitBreached, events)
    assert (breach.symbol, breach.value_nanos) == ("USDJPY", nanos(100_000) - round(749_900 * 10**9 / 149.9))
    assert desk.position("EURJPY") == 100_000
    assert [fill.purpose for fill in fills(desk.at("2024-03-04 10:00:05", "152.501", "EURJPY"))] == ["flatten"]


def test_a_limit_below_nothing_is_still_a_limit() -> None:
    desk = on_tuesday(opened("2step-challenge", balance=10_000, daily_loss_ppm=600_000, max_loss_ppm=None))
    desk.earn("2024-03-05 10:00:00", -5_000)
    assert day(desk.at("2024-03-06 00:00:01", "1.10000")).daily_limit_nanos == nanos(-1_000)
    desk.hold(100_000, "2024-03-06 10:00:00", "1.10000")
    desk.at("2024-03-06 11:00:00", "1.04000")
    assert not breaches(desk)
    (breach,) = of(LimitBreached, desk.at("2024-03-06 11:00:01", "1.03000"))
    assert (breach.value_nanos, breach.limit_nanos) == (nanos(-2_000), nanos(-1_000))


def test_a_limit_of_exactly_0_is_a_limit_and_none_is_none() -> None:
    """A daily loss of the whole initial balance: on the first day equity may fall to 0, and no nano below it."""
    for whole in (1_000_000, None):
        desk = opened("2step-challenge", balance=10_000, daily_loss_ppm=whole, max_loss_ppm=None)
        rolled = day(desk.at("2024-03-05 00:00:01", "1.10000"))
        assert (rolled.daily_limit_nanos, rolled.total_limit_nanos) == (None if whole is None else 0, None)
        desk.hold(100_000, "2024-03-05 11:00:00", "1.10000")
        desk.at("2024-03-05 12:00:00", "1.00000")
        assert not breaches(desk)
        desk.at("2024-03-05 12:00:01", "0.99999")
        assert [(b.limit, b.value_nanos, b.limit_nanos) for b in breaches(desk)] == (
            [] if whole is None else [("daily_loss", nanos(-1), 0)]
        )


@pytest.mark.parametrize("limit", ["daily_loss_ppm", "max_loss_ppm"])
def test_a_loss_of_0_that_is_allowed_is_passed_by_the_first_cent(limit: str) -> None:
    desk = opened("2step-challenge", **{"daily_loss_ppm": None, "max_loss_ppm": None, limit: 0})
    desk.hold(100_000, "2024-03-04 11:00:00", "1.10000")
    assert not breaches(desk)
    (breach,) = of(LimitBreached, desk.at("2024-03-04 12:00:00", "1.09999"))
    assert (breach.limit, breach.limit_nanos) == (limit.removesuffix("_ppm"), nanos(100_000))


@pytest.mark.parametrize(("stop", "failed"), [("1.05040", []), ("1.05027", ["daily_loss_room"])])
def test_the_commission_of_closing_what_is_open_takes_room_from_a_new_trade(stop: str, failed: list[str]) -> None:
    """Room is 5,000.00 - 2.75 for entering; to the stop 4,000.00, and 2.75 for getting out: 994.50 are left. 20,000
    that lose 992.00 and 1.10 of commission fit; 994.60 and 1.10 would, if getting out of the first cost nothing."""
    commission = {"fx": Fee(taker_ppm=25, maker_ppm=25)}
    shipped = pack("2step-challenge").model_copy(update={"fees": commission})
    desk = PragueDesk(shipped, "EURUSD", "GBPUSD")
    for symbol in desk.symbols:
        desk.at("2024-03-04 10:00:00", "1.10000", symbol)
    desk.order("buy", "market", 100_000, stop="1.06000")
    desk.at("2024-03-04 10:00:01", "1.10000")
    (verdict,) = of(SignalAssessed, desk.order("buy", "market", 20_000, stop=stop, symbol="GBPUSD"))
    assert [rule.rule for rule in verdict.rules if not rule.passed] == failed
    desk.at("2024-03-04 10:00:02", "1.10000", "GBPUSD")
    desk.at("2024-03-04 11:00:00", "1.06000")
    desk.at("2024-03-04 11:00:01", stop, "GBPUSD")
    assert (desk.position("EURUSD"), desk.position("GBPUSD")) == (0, 0)
    assert not breaches(desk)
    assert int(desk.engine.desk.book.account[0]["balance"]) >= nanos(95_000)


def test_a_halt_that_an_operator_ordered_does_not_hide_a_breach() -> None:
    desk = opened("2step-challenge")
    desk.hold(100_000, "2024-03-04 11:00:00", "1.10000")
    desk.tell(TradingHalted, reason="lunch")
    events = desk.at("2024-03-04 12:00:00", "1.04000")
    assert [b.value_nanos for b in of(LimitBreached, events)] == [nanos(94_000)]
    assert desk.position() == 0


def test_the_last_mark_of_a_day_shows_the_room_of_that_day() -> None:
    desk = opened("2step-challenge")
    desk.earn("2024-03-04 11:00:00", 2_000)
    events = desk.at("2024-03-05 00:00:01", "1.10000")
    (mark,) = of(AccountMarked, events)
    assert (mark.daily_room_nanos, mark.total_room_nanos) == (nanos(7_000), nanos(12_000))
    assert mark.ordinal == day(events).ordinal
