"""What a strategy's closed trades came to, with how far chance reaches: the figures of a backtest and of a promise.

    win rate        trades with a result above 0 / trades            Wilson's interval (Wilson 1927), 95 %
    trades per day  trades / Prague calendar days                    score interval of a Poisson count, 95 %
    drawdown        deepest fall of the account by these trades alone, as a share of the height before it;
                    95 % by a circular block bootstrap (Politis & Romano 1992) of the results in their order, with
                    blocks of the cube root of their number, so that runs of losses stay together

Formulas without an interval are those of projections/metrics.py, whose figures for the same trades are the same.
Chance is a function of a seed (splitmix64): the same trades and seed give the same interval on every machine.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from domain.closed_trades import Trade
from domain.wording import money

FEW = 30  # trades below which nothing can be promised
CONFIDENCE = 0.95
RESAMPLES = 1_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Outcome(BaseModel):
    """Money in nanos of `currency`. Shares are of 1; a bound or ratio that has no value yet is None. `halts` counts how
    often a limit of the account halted trading."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    days: int
    trades: int
    wins: int
    trades_per_day: float | None
    trades_per_day_low: float | None
    trades_per_day_high: float | None
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    net_nanos: int
    expectancy_nanos: int | None
    profit_factor: float | None
    drawdown_nanos: int
    drawdown_share: float
    drawdown_share_low: float | None
    drawdown_share_high: float | None
    halts: int

    @property
    def few(self) -> bool:
        """Too few trades to promise anything by."""
        return self.trades < FEW

    @property
    def says(self) -> str:
        """The figures as a sentence."""
        if not self.trades:
            return f"no trade in {self.days:,} days"
        said = (
            f"{self.trades:,} trades in {self.days:,} days ({self._interval('trades_per_day', 1, 2, 'a day')}), "
            f"{self._interval('win_rate', 100, 1, '% won')}, {money(self.expectancy_nanos or 0)} {self.currency} a "
            f"trade, deepest fall {self._interval('drawdown_share', 100, 1, '%')}"
        )
        if self.halts:
            said += f"; a limit of the account halted trading {self.halts:,} times"
        return f"{said}; fewer than {FEW} trades: nothing can be promised" if self.few else said

    def _interval(self, name: str, times: int, places: int, unit: str) -> str:
        value, low, high = (getattr(self, f"{name}{end}") for end in ("", "_low", "_high"))
        return f"{times * value:.{places}f} {unit} [{times * low:.{places}f} to {times * high:.{places}f}]"


def outcome_of(
    trades: Sequence[Trade], *, days: int, start_nanos: int, currency: str, seed: int, halts: int = 0
) -> Outcome:
    """The figures of trades in the order in which they closed, over so many days, from an account of `start_nanos`."""
    results = [trade.result for trade in trades]
    count, wins, net = len(results), sum(result > 0 for result in results), sum(results)
    won, lost = (sum(max(sign * result, 0) for result in results) for sign in (1, -1))
    rate_low, rate_high = wilson(wins, count)
    a_day = [None, None, None] if not days else [each / days for each in (count, *_poisson(count))]
    fall, share = drawdown(results, start_nanos)
    low, high = drawdown_interval(results, start_nanos, seed)
    return Outcome(
        currency=currency, days=days, trades=count, wins=wins,
        trades_per_day=a_day[0], trades_per_day_low=a_day[1], trades_per_day_high=a_day[2],
        win_rate=wins / count if count else None, win_rate_low=rate_low, win_rate_high=rate_high,
        net_nanos=net, expectancy_nanos=round(Fraction(net, count)) if count else None,
        profit_factor=won / lost if lost else None,
        drawdown_nanos=fall, drawdown_share=share, drawdown_share_low=low, drawdown_share_high=high, halts=halts,
    )  # fmt: skip


def normal_quantile(tests: int = 1) -> float:
    """How many standard deviations a two-sided 95 % interval reaches, when it is one of so many (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * tests))


def wilson(wins: int, trades: int, tests: int = 1) -> tuple[float | None, float | None]:
    """The interval of a share of wins; of so many intervals that all shall hold together."""
    if not trades:
        return None, None
    z2 = normal_quantile(tests) ** 2
    rate, scale = wins / trades, 1 + z2 / trades
    centre = (rate + z2 / (2 * trades)) / scale
    reach = sqrt(z2 * (rate * (1 - rate) / trades + z2 / (4 * trades**2))) / scale
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _poisson(count: int) -> tuple[float, float]:
    z = normal_quantile()
    reach = z * sqrt(count + z * z / 4)
    return max(0.0, count + z * z / 2 - reach), count + z * z / 2 + reach


def drawdown(results: Sequence[int], start_nanos: int) -> tuple[int, float]:
    """The deepest fall in nanos, and the deepest share of a height (it may be of another fall)."""
    deepest, share, peak = 0, 0.0, 0
    for gain in accumulate(results):
        peak = max(peak, gain)
        deepest, share = max(deepest, peak - gain), max(share, (peak - gain) / (start_nanos + peak))
    return deepest, share


def drawdown_interval(results: Sequence[int], start_nanos: int, seed: int) -> tuple[float | None, float | None]:
    """Between which shares 95 % of the deepest falls lie, were the same blocks of trades to come in another order."""
    count = len(results)
    if not count:
        return None, None
    length = max(1, round(count ** (1 / 3)))
    blocks = -(-count // length)
    firsts = _draws(seed, RESAMPLES * blocks, count).reshape(RESAMPLES, blocks, 1)
    order = ((firsts + np.arange(length)) % count).reshape(RESAMPLES, -1)[:, :count]
    gains = np.cumsum(np.array(results, np.float64)[order], axis=1)
    peaks = np.maximum(np.maximum.accumulate(gains, axis=1), 0)
    falls = ((peaks - gains) / (start_nanos + peaks)).max(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(falls, [tail, 1 - tail])
    return float(low), float(high)


def _draws(seed: int, count: int, below: int) -> npt.NDArray[np.int64]:
    """So many draws from 0 to below - 1: splitmix64 (Steele, Lea, Flood 2014) of a counter."""
    x: Any = (np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN) + np.uint64(seed % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: npt.NDArray[np.int64] = ((x ^ (x >> np.uint64(31))) % np.uint64(below)).astype(np.int64)
    return drawn
