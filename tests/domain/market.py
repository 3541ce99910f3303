"""Markets for tests: arrays of prices or bars become TICK arrays, and a handler runs over them."""

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from domain.bars import M1
from domain.instruments import instrument_for
from domain.signals.handler import SIGNAL, Handler
from domain.tape import FROM_BAR, QUOTE, empty_ticks

POINT = 10_000  # nanos: a point of a five-digit price
T0 = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z, a Monday
SECOND = 1_000_000_000


RETEST_PARAMETERS = st.fixed_dictionaries(
    {
        "reach": st.integers(1, 5),
        "min_break_points": st.integers(0, 5),
        "window_bars": st.integers(1, 70),
        "tolerance_pips": st.sampled_from(["0", "0.3", "0.8", "2"]),
        "trigger_pips": st.sampled_from(["0.1", "0.6", "0.8"]),
        "buffer_pips": st.sampled_from(["0", "0.2", "0.00777"]),
        "reward_ratio": st.sampled_from(["0.333", "1.5", "2.5", "100"]),
    }
)


class Rows(NamedTuple):
    """M1 bars as arrays: start in ns UTC, prices in nanos."""

    start: Any
    open: Any
    high: Any
    low: Any
    close: Any


def quotes(times: Any, mids: Any, half_spread: Any = 0, instrument: int = 1) -> Any:
    """Quote ticks around these mids."""
    ticks = empty_ticks(len(times))
    ticks["event_time"] = ticks["receive_time"] = times
    ticks["bid"], ticks["ask"] = np.asarray(mids) - half_spread, np.asarray(mids) + half_spread
    ticks["instrument"], ticks["kind"] = instrument, QUOTE
    return ticks


def bar_ticks(rows: Rows, instrument: int = 1) -> Any:
    """Four ticks a minute at :00, :15, :30, :59.999: open, the extreme nearer (a tie: low first), the other, close."""
    low_first = rows.open - rows.low <= rows.high - rows.open
    prices = (
        rows.open,
        np.where(low_first, rows.low, rows.high),
        np.where(low_first, rows.high, rows.low),
        rows.close,
    )
    offsets = np.array([0, 15_000, 30_000, 59_999]) * 1_000_000
    times = (rows.start[:, None] + offsets).ravel()
    ticks = quotes(times, np.stack(prices, axis=1).ravel(), instrument=instrument)
    ticks["flags"] = FROM_BAR
    return ticks


def read_rows(path: Path) -> Rows:
    """A binarycom file: time,open,high,low,close with five decimals."""
    with gzip.open(path, "rt") as file:
        next(file)
        lines = [line.rstrip().split(",") for line in file]
    start = np.array([line[0] for line in lines], "datetime64[ns]").astype(np.int64)
    prices = (np.array([int(line[k].replace(".", "")) * POINT for line in lines], np.int64) for k in range(1, 5))
    return Rows(start, *prices)


def walk(
    seed: int, count: int, *, step: int = 4, seconds: float = 12.0, gap: float = 0.002, first: int = 110_000
) -> Any:
    """A random walk of whole points on quotes of an odd spread, with pauses of minutes to days."""
    random = np.random.default_rng(seed)
    points = np.abs(first + np.cumsum(random.integers(-step, step + 1, count)) - 2_000) + 2_000
    waits = (random.exponential(seconds, count) * SECOND).astype(np.int64)
    pauses = random.random(count) < gap
    waits[pauses] += random.choice([90, 400, 4_000, 200_000], pauses.sum()) * SECOND
    start = T0 + int(random.integers(0, 86_400)) * SECOND
    mids = points * POINT
    ticks = quotes(start + np.cumsum(waits), mids)
    half = random.integers(0, 40_000, count)
    ticks["bid"], ticks["ask"] = mids - half, mids + half + random.integers(0, 2, count)  # an odd sum rounds down
    return ticks


def states_for(handler: Handler, parameters: dict[str, Any], symbols: dict[int, str]) -> Any:
    """Fresh states by instrument number."""
    states = np.zeros(max(symbols) + 1, handler.state)
    for number, symbol in symbols.items():
        states[number] = handler.initial(handler.parameters(**parameters), instrument_for(symbol))
        states["instrument"][number] = number
    return states


def step(handler: Handler, states: Any, ticks: Any) -> Any:
    """The signals of one step over the states given."""
    out = np.zeros(len(ticks), SIGNAL)
    return out[: handler.step(states, ticks, out)]


def signals(handler: Handler, ticks: Any, symbol: str = "EURUSD", **parameters: Any) -> Any:
    """All signals of a fresh handler on one instrument's ticks."""
    return step(handler, states_for(handler, parameters, {int(ticks["instrument"][0]): symbol}), ticks)


def plain(found: Any) -> list[dict[str, int]]:
    """Signals as the oracle writes them."""
    fields = ["tick", "bar_time", "side", "level", "entry", "stop", "target", "confidence_ppm"]
    return [dict(zip(fields, signal, strict=True)) for signal in found[fields].tolist()]


def minutes(*closes: int, start: int = T0) -> Any:
    """One tick a minute: flat M1 bars of these points; the last one stays open."""
    return quotes(start + np.arange(len(closes)) * M1, np.array(closes) * POINT)
