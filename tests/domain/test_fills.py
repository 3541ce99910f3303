"""The paper market: when an order fills, at which price, how much of it, and that it never knows the future."""

from typing import Any

import pytest

from domain.bars import M1
from domain.events import OrderFilled, OrderPlaced
from domain.instructions import PolicyActivated, SignalSubmitted, StrategyActivated
from domain.tape import FROM_BAR, TRADE, empty_ticks
from tests.domain.desks import SECOND, Desk, Event, fills, moves, nanos, of, placed, policy, quoted


def executions(events: list[Any]) -> list[tuple[str, int]]:
    """Price and units of every fill."""
    return [(f"{fill.price_nanos / 1e9:.5f}", fill.quantity_nanos // nanos(1)) for fill in fills(events)]


def only(found: list[Event]) -> Event:
    (one,) = found
    return one


# -- market orders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price"), [("buy", "1.10030"), ("sell", "1.10020")])
def test_a_market_order_fills_at_the_opposite_side_of_the_first_quote_behind_it(side: str, price: str) -> None:
    desk = quoted()
    assert executions(desk.order(side, "market", 10_000)) == []
    assert executions(desk.quote("1.10020", "1.10030")) == [(price, 10_000)]
    assert executions(desk.quote("1.10020", "1.10030")) == []


@pytest.mark.parametrize(("side", "price"), [("buy", "1.10012"), ("sell", "1.09998")])
def test_slippage_is_paid_by_takers_and_stands_in_the_fill(side: str, price: str) -> None:
    desk = quoted(slippage_thousandths=2_500)
    desk.order(side, "market", 10_000)
    fill = only(fills(desk.quote("1.10000", "1.10010")))
    assert fill.price_nanos == nanos(price) + (5_000 if side == "buy" else -5_000)
    assert fill.slippage_nanos == (25_000 if side == "buy" else -25_000)
    assert (fill.bid_nanos, fill.ask_nanos) == (nanos("1.10000"), nanos("1.10010"))


def test_a_taker_walks_the_displayed_size_a_point_a_level_and_the_rest_waits_for_the_next_quote() -> None:
    desk = quoted(levels_max=3)
    desk.order("buy", "market", 10_000)
    first = desk.quote("1.10000", "1.10010", 2_000)
    assert executions(first) == [("1.10010", 2_000), ("1.10011", 2_000), ("1.10012", 2_000)]
    assert [(f.level, f.displayed_nanos, f.leaves_nanos) for f in fills(first)] == [
        (level, nanos(2_000), nanos(8_000 - 2_000 * level)) for level in range(3)
    ]
    assert executions(desk.quote("1.20000", "1.20010", 5_000)) == [("1.20010", 4_000)]
    assert desk.working == []


def test_the_side_that_is_traded_at_has_its_own_displayed_size() -> None:
    desk = quoted(levels_max=1)
    desk.order("sell", "market", 10_000)
    assert executions(desk.quote("1.10000", "1.10010", 9_000, bid_size=3_000)) == [("1.10000", 3_000)]


def test_a_size_that_the_feed_does_not_know_is_good_for_any_order() -> None:
    desk = quoted()
    desk.order("buy", "market", 1_000_000)
    fill = only(fills(desk.quote("1.10000", "1.10010")))
    assert (fill.quantity_nanos, fill.displayed_nanos) == (nanos(1_000_000), 0)


def test_unlimited_depth_fills_whatever_is_displayed() -> None:
    desk = quoted(depth="unlimited")
    desk.order("buy", "market", 10_000)
    assert executions(desk.quote("1.10000", "1.10010", 1)) == [("1.10010", 10_000)]


def test_two_orders_at_one_quote_share_what_it_displays_on_every_level() -> None:
    desk = quoted(levels_max=3)
    first, second = (only(placed(desk.order("buy", "market", 5_000))).number for _ in range(2))
    found = fills(desk.quote("1.10000", "1.10010", 2_000))
    assert [(f.order, f.level, f.quantity_nanos // nanos(1)) for f in found] == [
        (first, 0, 2_000), (first, 1, 2_000), (first, 2, 1_000), (second, 2, 1_000),
    ]  # fmt: skip
    assert [f.displayed_nanos // nanos(1) for f in found] == [2_000, 2_000, 2_000, 1_000]


def test_displayed_sizes_near_the_end_of_int64_do_not_wrap() -> None:
    desk = quoted()
    desk.order("buy", "market", 10_000, tif="fok")
    desk.order("buy", "market", 10_000)
    assert executions(desk.quote("1.10000", "1.10010", 9_000_000_000)) == [("1.10010", 10_000)] * 2


# -- latency -----------------------------------------------------------------------------------------------------------


def test_an_order_fills_at_the_first_quote_at_or_behind_its_latency() -> None:
    desk = quoted(latency_ns=2 * SECOND)
    assert only(placed(desk.order("buy", "market", 1_000))).active_from_ns == desk.now + 2 * SECOND
    assert executions(desk.quote("1.10000", "1.10011", after=2 * SECOND - 1)) == []
    fill = only(fills(desk.quote("1.10000", "1.10012", after=1)))
    assert (fill.price_nanos, fill.latency_ns) == (nanos("1.10012"), 2 * SECOND)


def splitmix(ordinal: int) -> int:
    """splitmix64's finaliser on plain integers (prng.di.unimi.it/splitmix64.c)."""
    mask = 2**64 - 1
    x = ordinal * 0x9E3779B97F4A7C15 & mask
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    return x ^ x >> 31


def test_jitter_is_drawn_from_the_causing_ordinal_and_the_verdict_alone() -> None:
    jitter = SECOND
    one, other = (quoted(latency_ns=5, latency_jitter_ns=jitter) for _ in range(2))
    for desk in (one, other):
        for units in (1_000, 2_000, 3_000) if desk is one else (7_000, 8_000, 9_000):
            desk.order("buy", "market", units)
    draws = [[p.active_from_ns - p.occurred_at_ns for p in placed(desk.events)] for desk in (one, other)]
    assert (
        draws[0] == draws[1] == [5 + splitmix(p.ordinal ^ p.causation << 32) % (jitter + 1) for p in placed(one.events)]
    )
    assert len(set(draws[0])) == 3


def test_a_fill_names_the_latency_its_order_was_placed_with_though_the_policy_changed_since() -> None:
    desk = quoted(latency_ns=2 * SECOND, latency_jitter_ns=SECOND)
    (order,) = placed(desk.order("buy", "market", 10_000, stop="1.09000"))
    after = policy(market={"latency_ns": 7, "levels_max": 3, "slippage_thousandths": 500}, version=2)
    desk.tell(PolicyActivated, policy=after)
    (fill,) = fills(desk.quote("1.10001", "1.10012", after=4 * SECOND))
    assert fill.market
    told = (fill.market.latency_constant_ns, fill.market.latency_jitter_ns, fill.market.latency_drawn_ns)
    assert told == (2 * SECOND, SECOND, order.active_from_ns - order.occurred_at_ns)
    assert (fill.market.levels_max, fill.market.slippage_thousandths) == (3, 500)
    (stopped,) = fills(desk.quote("1.08000", "1.08010"))
    assert stopped.market
    assert (stopped.market.latency_constant_ns, stopped.market.latency_drawn_ns) == (0, 0)  # it rested at the market
    assert (stopped.market.basis, stopped.market.trigger_nanos) == ("quote", nanos("1.09000"))  # a gap


def test_an_order_of_a_strategy_without_latency_fills_at_the_very_quote_that_caused_it() -> None:
    desk = quoted()
    desk.tell(
        StrategyActivated, strategy="ema_cross", version=1, symbols=("EURUSD",),
        parameters={"fast": 1, "slow": 2, "on": "ticks"},
    )  # fmt: skip
    for step in (0, 0, 0, 5, 9, -20, -30):
        desk.quote(f"{1.1 + step / 1e5:.5f}", f"{1.1001 + step / 1e5:.5f}", 1_000)
    entries = of(OrderPlaced, desk.events)
    assert entries
    for order in entries:
        own = [fill for fill in fills(desk.events) if fill.order == order.number]
        assert [(own[0].ordinal, own[0].latency_ns, own[0].level)] == [(order.ordinal, 0, 0)]


def test_an_order_for_a_signal_from_outside_waits_for_the_next_quote() -> None:
    desk = quoted()
    answer = desk.tell(
        SignalSubmitted, strategy="hand_made", symbol="EURUSD", side="buy", entry_nanos=nanos("1.10010"),
        stop_nanos=nanos("1.09900"), target_nanos=nanos("1.10500"),
    )  # fmt: skip
    assert len(placed(answer)) == 1
    assert fills(answer) == []
    assert executions(desk.quote("1.10030", "1.10040")) == [("1.10040", 10_000)]


def test_no_order_fills_at_a_quote_of_another_instrument() -> None:
    desk = quoted("EURUSD", "GBPUSD")
    desk.order("buy", "market", 1_000, symbol="GBPUSD")
    assert executions(desk.quote("1.10000", "1.10010")) == []
    assert executions(desk.quote("1.30000", "1.30010", symbol="GBPUSD")) == [("1.30010", 1_000)]


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_limit_that_arrives_inside_the_market_takes_at_the_market() -> None:
    desk = quoted(slippage_thousandths=1_000)
    desk.order("buy", "limit", 1_000, limit="1.10050")
    fill = only(fills(desk.quote("1.10010", "1.10020")))
    assert (fill.price_nanos, fill.liquidity, fill.fee_ppm) == (nanos("1.10020"), "taker", 25)


def test_a_limit_takes_no_level_beyond_itself_and_the_rest_of_it_rests() -> None:
    desk = quoted()
    desk.order("buy", "limit", 10_000, limit="1.10021")
    assert executions(desk.quote("1.10010", "1.10020", 1_000)) == [("1.10020", 1_000), ("1.10021", 1_000)]
    assert executions(desk.quote("1.10010", "1.10021", 1_000)) == []  # touched only
    last = desk.quote("1.10000", "1.10010", 1_000)
    assert executions(last) == [("1.10021", 8_000)]
    assert [(fill.liquidity, fill.fee_ppm, fill.execution) for fill in fills(last)] == [("maker", 10, 3)]


@pytest.mark.parametrize(
    ("side", "touch", "through"),
    [("buy", ("1.09980", "1.09990"), ("1.09979", "1.09989")), ("sell", ("1.10020", "1.10030"), ("1.10021", "1.10031"))],
)
@pytest.mark.parametrize("rule", ["through", "touch"])
def test_a_resting_limit_fills_at_its_own_price_when_the_market_trades_through_or_by_policy_touches_it(
    side: str, touch: tuple[str, str], through: tuple[str, str], rule: str
) -> None:
    desk = quoted(limit_fill=rule)
    limit = touch[1] if side == "buy" else touch[0]
    desk.order(side, "limit", 1_000, limit=limit)
    assert executions(desk.quote("1.10000", "1.10010")) == []
    assert executions(desk.quote(*touch)) == ([(limit, 1_000)] if rule == "touch" else [])
    assert executions(desk.quote(*through)) == ([] if rule == "touch" else [(limit, 1_000)])
    assert fills(desk.events)[0].liquidity == "maker"


# -- stops -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "before", "at", "price"),
    [
        ("buy", ("1.10039", "1.10049"), ("1.10040", "1.10050"), "1.10050"),
        ("sell", ("1.09951", "1.09961"), ("1.09950", "1.09960"), "1.09950"),
        ("buy", ("1.10039", "1.10049"), ("1.20000", "1.20010"), "1.20010"),  # a gap is paid
        ("sell", ("1.09951", "1.09961"), ("1.00000", "1.00010"), "1.00000"),
    ],
)
def test_a_stop_triggers_on_the_side_it_trades_at_and_fills_at_that_quote(
    side: str, before: tuple[str, str], at: tuple[str, str], price: str
) -> None:
    desk = quoted()
    number = only(placed(desk.order(side, "stop", 1_000, trigger="1.10050" if side == "buy" else "1.09950"))).number
    assert executions(desk.quote(*before)) == []
    found = desk.quote(*at)
    assert moves(found) == [(number, "triggered", "its trigger price was reached")]
    assert executions(found) == [(price, 1_000)]


def test_a_triggered_stop_goes_on_filling_when_the_market_comes_back() -> None:
    desk = quoted(levels_max=1)
    desk.order("buy", "stop", 3_000, trigger="1.10050")
    desk.quote("1.10040", "1.10050", 1_000)
    assert executions(desk.quote("1.10000", "1.10010", 1_000)) == [("1.10010", 1_000)]


def test_a_stop_limit_takes_inside_its_limit_and_rests_beyond_it() -> None:
    desk = quoted()
    desk.order("buy", "stop_limit", 1_000, trigger="1.10050", limit="1.10060")
    assert executions(desk.quote("1.10045", "1.10055")) == [("1.10055", 1_000)]
    number = only(placed(desk.order("buy", "stop_limit", 1_000, trigger="1.10080", limit="1.10090"))).number
    gap = desk.quote("1.10190", "1.10200")
    assert (moves(gap), executions(gap)) == ([(number, "triggered", "its trigger price was reached")], [])
    assert executions(desk.quote("1.10080", "1.10090")) == []  # touched only
    found = desk.quote("1.10079", "1.10089")
    assert (moves(found), executions(found)) == ([], [("1.10090", 1_000)])


# -- bars --------------------------------------------------------------------------------------------------------------


def long(stop: str = "1.09900", target: str = "1.10100") -> Desk:
    """A bracket that is open since before the bar."""
    desk = quoted()
    desk.order("buy", "market", 10_000, stop=stop, target=target)
    desk.quote("1.10000", "1.10010")
    return desk


def exits(events: list[Any]) -> list[tuple[str, int]]:
    return [(fill.purpose, fill.price_nanos) for fill in fills(events)]


def test_when_a_bar_shows_both_the_stop_wins_though_the_target_came_first() -> None:
    assert exits(long().bar("1.10000", "1.10150", "1.09850", "1.10000")) == [("stop", nanos("1.09900"))]


def test_a_stop_that_is_passed_inside_a_bar_fills_at_its_trigger_and_at_the_bars_open_at_the_quote() -> None:
    inside = long().bar("1.10000", "1.09850", "1.10050", "1.10000")
    gap = long().bar("1.09850", "1.09950", "1.09800", "1.09900")
    assert exits(inside) == [("stop", nanos("1.09900"))]
    assert exits(gap) == [("stop", nanos("1.09850"))]
    told = [fill.market for events in (inside, gap) for fill in fills(events) if fill.market]
    assert [(t.basis, t.trigger_nanos, t.from_bar) for t in told] == [
        ("trigger", nanos("1.09900"), True), ("quote", nanos("1.09900"), True),
    ]  # fmt: skip


def test_when_a_bar_shows_only_the_target_it_fills_at_its_own_price_at_the_bars_end() -> None:
    desk = long()
    found = desk.bar("1.10000", "1.10150", "1.09950", "1.10050")
    assert exits(found) == [("target", nanos("1.10100"))]
    assert (fills(found)[0].occurred_at_ns % M1, fills(found)[0].liquidity) == (59_999_000_000, "maker")
    assert desk.position() == 0


def test_a_target_that_the_close_alone_reaches_fills_at_the_close() -> None:
    assert exits(long().bar("1.10000", "1.09950", "1.10050", "1.10150")) == [("target", nanos("1.10100"))]


def test_a_target_is_not_reached_by_yesterdays_bar() -> None:
    desk = long()
    start = desk.now - desk.now % M1 + M1
    assert exits(desk.quote("1.10150", "1.10160", after=start + 15 * SECOND - desk.now, flags=FROM_BAR)) == []
    assert exits(desk.bar("1.10000", "1.10050", "1.09950", "1.10000")) == []


def test_a_position_of_this_very_bar_meets_its_stop_before_its_target_too() -> None:
    desk = quoted()
    desk.order("buy", "market", 10_000, stop="1.09900", target="1.10100")
    assert exits(desk.bar("1.10000", "1.10150", "1.09850", "1.10000")) == [
        ("request", nanos("1.10010")), ("stop", nanos("1.09900")),
    ]  # fmt: skip


def test_a_target_rests_from_its_entrys_fill_on_so_a_gap_gives_it_nothing() -> None:
    desk = long()
    found = fills(desk.quote("1.10900", "1.10910"))
    assert [(f.purpose, f.price_nanos, f.liquidity) for f in found] == [("target", nanos("1.10100"), "maker")]


def test_at_a_quote_that_reaches_an_entry_and_a_stop_the_stop_is_first() -> None:
    desk = long(stop="1.09900")
    desk.order("buy", "limit", 5_000, limit="1.09950")
    found = of(OrderFilled, desk.quote("1.09890", "1.09900"))
    assert [(f.purpose, f.quantity_nanos) for f in found] == [("stop", nanos(10_000)), ("request", nanos(5_000))]


# -- trades ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("size", ["0.5", "-0.5"])
def test_the_size_of_a_trade_displays_nothing(side: str, size: str) -> None:
    desk = Desk(None, "BTCUSDT")
    desk.feed(traded(desk, "1"))
    desk.order(side, "market", "1.5")
    fill = only(fills(desk.feed(traded(desk, size))))
    assert (fill.quantity_nanos, fill.displayed_nanos, fill.level) == (nanos("1.5"), 0, 0)


def test_where_there_are_quotes_nothing_trades_at_somebody_elses_trade() -> None:
    desk = Desk(None, "BTCUSDT")
    desk.quote("50000", "50100")
    desk.order("buy", "market", "0.1")
    assert fills(desk.feed(traded(desk, "0.5"))) == []
    assert only(fills(desk.quote("50000", "50100"))).price_nanos == nanos("50100")


def traded(desk: Desk, size: str) -> Any:
    """One trade at 50,000.5, now."""
    trade = empty_ticks(1)
    trade["kind"], trade["instrument"], trade["event_time"] = TRADE, 1, desk.now
    trade["receive_time"], trade["bid"], trade["ask"] = desk.now, nanos("50000.5"), nanos("50000.5")
    trade["bid_size"] = nanos(size)
    return trade
