"""What the desk remembers of a market: the newest quote, its volatility and trend, and what its money is worth."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import H1, M1
from domain.market import UNLIMITED
from domain.tape import CLOCK, MINUTE, Ticks, empty_ticks
from tests.domain import market as markets
from tests.domain.desks import Desk, nanos, policy

NANO = 10**9


class Bar:
    """Prices of one bucket of time."""

    def __init__(self, price: int) -> None:
        self.high = self.low = self.close = price

    def add(self, price: int) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price


def closed_bars(ticks: Ticks, length: int) -> list[Bar]:
    """The bars that a later tick has closed, in order."""
    bars: dict[int, Bar] = {}
    for time, bid, ask in zip(
        ticks["receive_time"].tolist(), ticks["bid"].tolist(), ticks["ask"].tolist(), strict=True
    ):
        price = (bid + ask) // 2
        bars.setdefault(time // length, Bar(price)).add(price)
    return list(bars.values())[:-1]


def average_true_range(minutes: list[Bar]) -> Fraction:
    """Wilder: the mean of the first 14 true ranges, then a fourteenth of every further one."""
    ranges = [
        max(bar.high - bar.low, *([abs(bar.high - last.close), abs(bar.low - last.close)] if last else []), 0)
        for bar, last in zip(minutes, [None, *minutes], strict=False)
    ]
    first = ranges[:14]
    value = Fraction(sum(first), max(1, len(first)))
    for reach in ranges[14:]:
        value = (13 * value + reach) / 14
    return value


def trend(hours: list[Bar]) -> int:
    """The last H1 close against the average of span 20; not known before 20 hours."""
    value = float(hours[0].close) if hours else 0.0
    for bar in hours[1:]:
        value += 2 / 21 * (bar.close - value)
    if len(hours) < 20:
        return 0
    return 1 if hours[-1].close > value else -1 if hours[-1].close < value else 0


def state(desk: Desk, symbol: str = "EURUSD") -> Any:
    return desk.engine.desk.book.markets[desk.symbols.index(symbol) + 1]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([20.0, 90.0, 900.0]), st.lists(st.integers(1, 1_199), max_size=4))
def test_volatility_and_trend_are_those_of_plain_bars_at_every_prefix(
    seed: int, seconds: float, cuts: list[int]
) -> None:
    ticks, desk = markets.walk(seed, 1_200, seconds=seconds, gap=0.01), Desk()
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(ticks)], strict=True):
        if start == stop:
            continue
        desk.feed(ticks[start:stop])
        found, minutes = state(desk), closed_bars(ticks[:stop], M1)
        assert found["atr_bars"] == len(minutes)
        assert float(found["atr"]) == pytest.approx(float(average_true_range(minutes)), rel=1e-9)
        assert found["trend"] == trend(closed_bars(ticks[:stop], H1))
        assert found["trend_bars"] == len(closed_bars(ticks[:stop], H1))


def test_the_walk_tests_trends_of_both_directions() -> None:
    found = {trend(closed_bars(markets.walk(seed, 1_200, seconds=90.0, gap=0.01), H1)) for seed in range(8)}
    assert found >= {1, -1}


@pytest.mark.parametrize("late", [0, 1])
def test_an_hour_ends_with_the_first_tick_at_or_behind_its_end(late: int) -> None:
    desk = Desk()
    ticks = markets.quotes(markets.T0 + late + np.arange(26) * H1, 1_100_000_000 + np.arange(26) * 10_000)
    for count, tick in enumerate(ticks.reshape(-1, 1)):
        desk.feed(tick)
        assert (state(desk)["atr_bars"], state(desk)["trend_bars"]) == (count, count)
        assert state(desk)["trend"] == (1 if count >= 20 else 0)


def test_clock_records_close_no_bar_of_volatility() -> None:
    desk = Desk()
    desk.quote("1.1", "1.1")
    clock = empty_ticks(300)
    clock["kind"], clock["flags"] = CLOCK, MINUTE
    clock["event_time"] = clock["receive_time"] = desk.now + np.arange(300) * M1
    desk.feed(clock)
    assert state(desk)["atr_bars"] == 0
    desk.quote("1.1", "1.1")
    assert state(desk)["atr_bars"] == 1


def test_a_quote_that_displays_no_size_is_good_for_any() -> None:
    desk = Desk()
    desk.quote("1.1", "1.2", 5_000, bid_size=0)
    found = state(desk)
    assert (found["bid"], found["ask"], found["mid"]) == (nanos("1.1"), nanos("1.2"), nanos("1.15"))
    assert (found["bid_left"], found["ask_left"]) == (UNLIMITED, nanos(5_000))


def test_lots_are_counted_in_units_and_only_crypto_is_always_open() -> None:
    desk = Desk(policy(), "EURUSD", "XAUUSD", "BTCUSDT")
    lots = [(state(desk, symbol)["lot_step"], state(desk, symbol)["lot_min"]) for symbol in desk.symbols]
    assert lots == [(nanos(1_000), nanos(1_000)), (nanos(1), nanos(1)), (10_000, 10_000)]
    assert [int(state(desk, symbol)["always_open"]) for symbol in desk.symbols] == [0, 0, 1]


def test_a_pair_that_converts_keeps_its_last_good_price_when_a_quote_has_none() -> None:
    desk = Desk(policy(), "EURJPY", "USDJPY")
    desk.quote("150", "150", symbol="USDJPY")
    desk.quote("160", "160", symbol="EURJPY")
    desk.order("buy", "market", 10_000)
    desk.quote("160", "160", symbol="EURJPY")
    desk.quote("0", "0", symbol="USDJPY")
    desk.quote("163", "163", symbol="EURJPY")
    assert (state(desk, "USDJPY")["mid"], state(desk, "USDJPY")["bid"]) == (nanos(150), nanos(150))
    assert desk.engine.desk.book.account[0]["floating"] == nanos(200)
