"""Ticks become bars of every timeframe, closed by the first market tick at or after their end."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import BARS, CLOSED, M1, M5, TIMEFRAMES, closed_bars
from domain.tape import CLOCK
from tests.domain import market, oracle


def fold(ticks: Any, numbers: tuple[int, ...] = (1,), cuts: tuple[int, ...] = ()) -> Any:
    """Closed bars of a run that is packed at `cuts`."""
    states = np.zeros(max(numbers) + 1, BARS)
    states["instrument"][list(numbers)] = numbers
    found, first = [], 0
    for part in np.split(ticks, cuts):
        out = np.zeros(len(TIMEFRAMES) * len(part), CLOSED)
        closed = out[: closed_bars(states, part, out)]
        closed["tick"] += first
        found.append(closed)
        first += len(part)
    return np.concatenate(found)


def by_timeframe(closed: Any) -> dict[int, list[tuple[int, ...]]]:
    bars = defaultdict(list)
    for tick, _, timeframe, bar in closed.tolist():
        bars[timeframe].append((*bar, tick))
    return bars


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seconds=st.sampled_from([0.5, 12.0, 100.0, 3_000.0]),
    gap=st.sampled_from([0.0, 0.002, 0.05]),
)
def test_every_timeframe_holds_the_bars_that_a_plain_grouping_of_its_ticks_gives(
    seed: int, seconds: float, gap: float
) -> None:
    ticks = market.walk(seed, 1_500, seconds=seconds, gap=gap)
    bars = by_timeframe(fold(ticks))
    for timeframe in TIMEFRAMES:
        assert bars[timeframe] == [bar[:7] for bar in oracle.bars_of(ticks, timeframe)]


def test_all_timeframes_close_in_a_long_enough_walk() -> None:
    bars = by_timeframe(fold(market.walk(1, 20_000, seconds=30.0)))
    assert all(len(bars[timeframe]) > 5 for timeframe in TIMEFRAMES)


def test_a_tick_at_the_end_of_a_bar_closes_it_and_a_tick_one_nanosecond_before_belongs_to_it() -> None:
    times = [market.T0, market.T0 + M1 - 1, market.T0 + M1]
    (closed,) = fold(market.quotes(times, [5, 7, 6]))
    assert closed.tolist() == (2, 1, M1, (market.T0, 5, 7, 5, 7, 2))


def test_a_bar_without_a_tick_does_not_exist() -> None:
    bars = by_timeframe(fold(market.quotes(market.T0 + np.array([0, 7, 31]) * M1, [1, 2, 3])))
    assert [bar[0] for bar in bars[M1]] == [market.T0, market.T0 + 7 * M1]
    assert [bar[0] for bar in bars[M5]] == [market.T0, market.T0 + M5]


def test_the_shorter_bar_comes_first_at_one_tick() -> None:
    closed = fold(market.quotes([market.T0, market.T0 + 86_400 * market.SECOND], [1, 2]))
    assert closed["timeframe"].tolist() == list(TIMEFRAMES)


def test_clock_records_never_close_a_bar() -> None:
    ticks = market.quotes(market.T0 + np.arange(5) * M5, np.arange(5) + 1)
    ticks["kind"][1:] = CLOCK
    assert len(fold(ticks)) == 0
    ticks["instrument"][1:] = 0
    assert len(fold(ticks)) == 0


def test_ticks_of_instruments_without_a_state_are_skipped() -> None:
    ticks = market.quotes(market.T0 + np.arange(4) * M1, [1, 2, 3, 4])
    ticks["instrument"] = [2, 9, 2, 2]
    assert fold(ticks, (1,)).tolist() == []
    assert fold(ticks, (2,))["tick"].tolist() == [2, 3]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 800), max_size=6).map(sorted))
def test_bars_do_not_depend_on_how_ticks_were_packed(seed: int, cuts: list[int]) -> None:
    ticks = market.walk(seed, 800)
    assert fold(ticks, cuts=tuple(cuts)).tobytes() == fold(ticks).tobytes()


def test_instruments_that_interleave_have_the_bars_they_have_alone() -> None:
    parts = [market.walk(seed, 2_000) for seed in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        part["instrument"] = number
    ticks = np.concatenate(parts)
    ticks = ticks[np.argsort(ticks["receive_time"], kind="stable")]
    together = fold(ticks, (1, 2, 3))
    for number, part in enumerate(parts, 1):
        mine = together[together["instrument"] == number]
        alone = fold(part, (number,))
        assert mine["bar"].tobytes() == alone["bar"].tobytes()
        assert mine["timeframe"].tolist() == alone["timeframe"].tolist()


def test_read_only_ticks_as_the_log_gives_them_are_taken() -> None:
    ticks = market.walk(4, 300)
    stored = np.frombuffer(ticks.tobytes(), ticks.dtype)
    assert not stored.flags.writeable
    assert fold(stored).tobytes() == fold(ticks).tobytes()


@pytest.mark.parametrize("price", [10**15, -37_630_000_000])
def test_prices_of_a_million_and_below_zero_are_kept_exactly(price: int) -> None:
    (closed,) = fold(market.quotes([market.T0, market.T0 + M1], [price, price + 1]))
    assert closed["bar"]["close"] == price
