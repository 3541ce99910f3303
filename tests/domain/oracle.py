"""The retest strategies once more in plain Python, from their definition's words: lists of bars, rescanned.

Slow on purpose and without shared code: nothing here imports a kernel.
"""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any, NamedTuple

MINUTE = 60_000_000_000


class Bar(NamedTuple):
    """A closed bar: `closed_by` is the index of the tick that closed it, `closed_at` that tick's time."""

    start: int
    open: int
    high: int
    low: int
    close: int
    ticks: int
    closed_by: int
    closed_at: int


class Break(NamedTuple):
    """`at` is the index of the leg bar that broke `level`."""

    at: int
    side: int
    level: int
    kind: str


class Rules(NamedTuple):
    """Parameters in nanos and counts."""

    leg: int = 5 * MINUTE
    reach: int = 2
    min_break: int = 10_000
    window: int = 60
    tolerance: int = 80_000
    trigger: int = 80_000
    buffer: int = 20_000
    reward: Fraction = Fraction(5, 2)
    pip: int = 100_000


def rules(leg: int, **parameters: Any) -> Rules:
    """What the parameters of a retest handler mean for EURUSD (a point is 10,000 nanos, a pip ten points)."""
    return Rules(
        leg=leg,
        reach=parameters["reach"],
        min_break=parameters["min_break_points"] * 10_000,
        window=parameters["window_bars"],
        tolerance=int(Fraction(parameters["tolerance_pips"]) * 100_000),
        trigger=int(Fraction(parameters["trigger_pips"]) * 100_000),
        buffer=int(Fraction(parameters["buffer_pips"]) * 100_000),
        reward=Fraction(parameters["reward_ratio"]),
    )


def bars_of(ticks: Any, length: int) -> list[Bar]:
    """Every bar of `length` that a later tick closed."""
    buckets: dict[int, list[tuple[int, int]]] = {}
    for index, (time, bid, ask) in enumerate(
        zip(ticks["receive_time"].tolist(), ticks["bid"].tolist(), ticks["ask"].tolist(), strict=True)
    ):
        buckets.setdefault(time // length * length, []).append((index, (bid + ask) // 2))
    starts = sorted(buckets)
    times = ticks["receive_time"]
    bars = []
    for start, following in pairwise(starts):
        prices = [price for _, price in buckets[start]]
        closer = buckets[following][0][0]
        bars.append(
            Bar(start, prices[0], max(prices), min(prices), prices[-1], len(prices), closer, int(times[closer]))
        )
    return bars


def legs_of(minutes: list[Bar], length: int) -> list[Bar]:
    """Bars of `length` from closed M1 bars; one whose end no tick has reached is not closed."""
    groups: dict[int, list[Bar]] = {}
    for bar in minutes:
        groups.setdefault(bar.start // length * length, []).append(bar)
    return [
        Bar(
            start,
            group[0].open,
            max(bar.high for bar in group),
            min(bar.low for bar in group),
            group[-1].close,
            sum(bar.ticks for bar in group),
            group[-1].closed_by,
            group[-1].closed_at,
        )
        for start, group in groups.items()
        if group[-1].closed_at >= start + length
    ]


def is_swing_high(bars: list[Bar], i: int, reach: int) -> bool:
    neighbours = bars[i - reach : i] + bars[i + 1 : i + 1 + reach]
    return i >= reach and len(neighbours) == 2 * reach and all(bars[i].high > other.high for other in neighbours)


def is_swing_low(bars: list[Bar], i: int, reach: int) -> bool:
    neighbours = bars[i - reach : i] + bars[i + 1 : i + 1 + reach]
    return i >= reach and len(neighbours) == 2 * reach and all(bars[i].low < other.low for other in neighbours)


def breaks_of(bars: list[Bar], reach: int, min_break: int) -> list[Break]:
    """At each bar look back for the newest swing that was known before it and that no break has used up."""
    breaks: list[Break] = []
    used_up_to = {1: 0, -1: 0}  # a swing counts if it became known at this bar or later
    trend = 0
    for now, bar in enumerate(bars):
        high = low = None
        for i in range(now - 1 - reach, used_up_to[1] - reach - 1, -1):
            if is_swing_high(bars, i, reach):
                high = bars[i].high
                break
        for i in range(now - 1 - reach, used_up_to[-1] - reach - 1, -1):
            if is_swing_low(bars, i, reach):
                low = bars[i].low
                break
        if high is not None and bar.close >= high + min_break:
            side, level = 1, high
        elif low is not None and bar.close <= low - min_break:
            side, level = -1, low
        else:
            continue
        breaks.append(Break(now, side, level, "CHOCH" if trend == -side else "BOS"))
        trend = side
        used_up_to[side] = now
    return breaks


def retests(minutes: list[Bar], rules: Rules) -> tuple[list[dict[str, int]], Counter[str]]:
    """The signals, and how often everything happened."""
    legs = legs_of(minutes, rules.leg)
    breaks = breaks_of(legs, rules.reach, rules.min_break)
    happened: Counter[str] = Counter()
    found = []
    after = {bar.closed_by: i + 1 for i, bar in enumerate(minutes)}  # the first M1 bar behind the one a tick closed
    first_bars = [after[legs[one.at].closed_by] for one in breaks]
    for one, first, until in zip(breaks, first_bars, [*first_bars[1:], len(minutes)], strict=True):
        happened[f"{one.kind} {one.side:+d}"] += 1
        signal, outcome = setup(one, legs[one.at], minutes[first:until], rules)
        happened.update(outcome)
        if signal:
            found.append(signal)
    if breaks and outcome[-1] == "replaced":  # nothing came after the last one
        happened["replaced"] -= 1
    return found, +happened


def setup(one: Break, breaking: Bar, later: list[Bar], rules: Rules) -> tuple[dict[str, int] | None, list[str]]:
    """One break and the M1 bars until the next: what becomes of it."""
    up = one.side == 1
    touch: int | None = None
    happened: list[str] = []
    for i, bar in enumerate(later):
        left = rules.window - (i + 1)
        if touch is not None and (
            bar.close >= later[touch].high + rules.trigger if up else bar.close <= later[touch].low - rules.trigger
        ):
            if touch + 1 == rules.window:
                happened.append("entered after a touch on the last bar")
            happened.append(f"entered {one.side:+d}")
            return entry(one, breaking, later[: i + 1], touch, left, rules), happened
        if bar.close < one.level - rules.tolerance if up else bar.close > one.level + rules.tolerance:
            return None, [*happened, f"invalid {one.side:+d}"]
        if touch is None and (
            bar.low <= one.level + rules.tolerance if up else bar.high >= one.level - rules.tolerance
        ):
            touch = i
            happened.append(f"touched {one.side:+d}")
        elif left <= 0:
            return None, [*happened, "expired untouched" if touch is None else "expired touched"]
    return None, [*happened, "replaced"]


def entry(one: Break, breaking: Bar, bars: list[Bar], touch: int, left: int, rules: Rules) -> dict[str, int]:
    """The signal of a setup that its last bar entered."""
    last = bars[-1]
    if one.side == 1:
        stop = min([breaking.low] + [bar.low for bar in bars]) - rules.buffer
        target = last.close + floor(rules.reward * (last.close - stop))
    else:
        stop = max([breaking.high] + [bar.high for bar in bars]) + rules.buffer
        target = last.close - floor(rules.reward * (stop - last.close))
    return {
        "tick": last.closed_by,
        "bar_time": last.start,
        "side": one.side,
        "level": one.level,
        "entry": last.close,
        "stop": stop,
        "target": target,
        "confidence_ppm": confidence(one, breaking, bars[touch], left, rules),
    }


def confidence(one: Break, breaking: Bar, touched: Bar, left: int, rules: Rules) -> int:
    """The written formulas, in fractions, each quotient rounded down to a ppm."""
    pips = Fraction(abs(breaking.close - one.level), rules.pip)
    if pips < 5:
        structure = Fraction("0.3") + Fraction("0.06") * pips
    elif pips < 10:
        structure = Fraction("0.6") + Fraction("0.04") * (pips - 5)
    else:
        structure = min(Fraction("0.9"), Fraction("0.8") + Fraction("0.02") * (pips - 10))
    body = max((breaking.close - breaking.open) * one.side, 0)
    span = breaking.high - breaking.low
    deviation = abs((touched.low if one.side == 1 else touched.high) - one.level)
    if rules.tolerance:
        precision = 1_000_000 - ppm(Fraction(min(deviation, rules.tolerance), rules.tolerance))
    else:
        precision = 0 if deviation else 1_000_000
    terms = (
        (40, ppm(structure)),
        (20, ppm(Fraction(body, span)) if span else 0),
        (20, precision),
        (10, ppm(Fraction(max(left, 0), rules.window))),
        (10, 1_000_000 if one.kind == "BOS" else 500_000),
    )
    return sum(weight * term for weight, term in terms) // 100


def ppm(value: Fraction) -> int:
    return floor(value * 1_000_000)
