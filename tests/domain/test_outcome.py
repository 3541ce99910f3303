"""Figures of closed trades and their intervals: hand-made vectors, and plain loops as oracles."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import outcome
from domain.closed_trades import Trade
from domain.outcome import Outcome, drawdown, drawdown_interval, outcome_of, wilson

START = 100_000 * 10**9
RESULTS = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=60)


def figures(results: list[int], days: int = 10, seed: int = 1, halts: int = 0) -> Outcome:
    trades = [Trade(index, 0, 0, result) for index, result in enumerate(results, 1)]
    return outcome_of(trades, days=days, start_nanos=START, currency="USD", seed=seed, halts=halts)


def test_the_golden_vector_of_the_definitions() -> None:
    said = figures([100 * 10**9, -50 * 10**9, 200 * 10**9, -50 * 10**9])
    assert (said.trades, said.wins, said.win_rate, said.profit_factor) == (4, 2, 0.5, 3.0)
    assert (said.expectancy_nanos, said.net_nanos, said.trades_per_day) == (50 * 10**9, 200 * 10**9, 0.4)
    assert (said.drawdown_nanos, said.drawdown_share) == (50 * 10**9, 50 / 100_100)  # the same fall from a lower height
    assert said.few


def test_a_trade_without_a_result_is_no_win_and_no_loss_is_no_profit_factor() -> None:
    said = figures([0, 5])
    assert (said.win_rate, said.profit_factor) == (0.5, None)


def test_no_trade_is_said_plainly() -> None:
    said = figures([])
    assert said.says == "no trade in 10 days"
    assert (said.win_rate, said.expectancy_nanos, said.drawdown_share_high, said.trades_per_day) == (
        None,
        None,
        None,
        0,
    )
    assert figures([], days=0).trades_per_day is None


def test_few_trades_promise_nothing_and_say_so() -> None:
    assert figures([1] * 29).says.endswith("fewer than 30 trades: nothing can be promised")
    assert "promised" not in figures([1] * 30).says
    assert "halted trading 2 times" in figures([1] * 30, halts=2).says


@pytest.mark.parametrize(
    ("wins", "trades", "low", "high"),
    [(5, 10, 0.236593, 0.763407), (0, 10, 0.0, 0.277533), (81, 263, 0.255289, 0.366216)],  # the last: Newcombe 1998
)
def test_wilsons_interval_is_the_published_one(wins: int, trades: int, low: float, high: float) -> None:
    assert wilson(wins, trades) == pytest.approx((low, high), abs=1e-5)


def test_an_interval_that_must_hold_with_others_is_wider() -> None:
    alone, among = wilson(40, 100), wilson(40, 100, 24)
    assert among[0] < alone[0] < alone[1] < among[1]  # type: ignore[operator]
    assert among[0] == pytest.approx((0.4 + 4.737 / 100) / 1.09474 - 0.14438, abs=1e-4)  # z = 3.0781


def test_the_interval_of_a_count_is_the_score_interval() -> None:
    said = figures([1] * 10, days=1)
    assert (said.trades_per_day_low, said.trades_per_day_high) == pytest.approx((5.4323, 18.4091), abs=1e-3)


@given(RESULTS)
def test_the_drawdown_is_the_deepest_fall_between_any_two_places(results: list[int]) -> None:
    gains = [0, *(sum(results[: n + 1]) for n in range(len(results)))]
    falls = [
        (gains[i] - gains[j], (gains[i] - gains[j]) / (START + gains[i])) for j in range(len(gains)) for i in range(j)
    ]
    wanted = max(0, *(fall for fall, _ in falls)), max(0.0, *(share for _, share in falls))
    assert drawdown(results, START) == pytest.approx(wanted)


def _splitmix(counter: int, seed: int) -> int:
    mask = 2**64 - 1
    x = (counter * 0x9E3779B97F4A7C15 + seed) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_the_interval_of_the_drawdown_is_that_of_resampled_blocks() -> None:
    chance, seed = random.Random(5), 123_456_789
    results = [chance.choice([-1, -1, 2]) * chance.randrange(10**12) for _ in range(50)]
    blocks, length = 13, 4  # 50 ** (1/3) is 3.7
    falls = []
    for sample in range(1_000):
        firsts = [_splitmix(sample * blocks + block + 1, seed) % 50 for block in range(blocks)]
        order = [(first + step) % 50 for first in firsts for step in range(length)][:50]
        falls.append(drawdown([results[index] for index in order], START)[1])
    falls.sort()
    at_low, at_high = 0.025 * 999, 0.975 * 999
    wanted = [
        falls[math.floor(at)] + (at - math.floor(at)) * (falls[math.ceil(at)] - falls[math.floor(at)])
        for at in (at_low, at_high)
    ]
    assert drawdown_interval(results, START, seed) == pytest.approx(wanted)


def test_chance_is_a_function_of_the_seed() -> None:
    results = [(-1) ** index * index * 10**9 for index in range(40)]
    assert drawdown_interval(results, START, 7) == drawdown_interval(results, START, 7)
    assert drawdown_interval(results, START, 7) != drawdown_interval(results, START, 8)
    assert drawdown_interval([1] * 40, START, 7) == (0.0, 0.0)
    assert outcome.RESAMPLES == 1_000
