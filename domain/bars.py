"""The bar kernel: market ticks -> M1 -> M5, M15, M30, H1, H4, D1.

Bars are UTC buckets of tape time (receive_time), of the mid (bid + ask) // 2. The first market tick at or after a bar's
end closes it and opens the next; a bar without a tick does not exist, and clock records never close one. Every longer
bar is the fold of its M1 bars, so it closes together with its last one.

Handlers embed a BAR in their state for each timeframe they need, and keep it with `open_bar`, `extend` and `fold`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from domain.kernel import kernel
from domain.tape import CLOCK, Ticks

M1 = 60_000_000_000
M5, M15, M30, H1, H4, D1 = 5 * M1, 15 * M1, 30 * M1, 60 * M1, 240 * M1, 1440 * M1
TIMEFRAMES = (M1, M5, M15, M30, H1, H4, D1)

# Where the four ticks stand that a minute's bar of a file becomes: open, the nearer extreme, the other one, close;
# the close belongs to its minute, so it comes 1 ms before the next.
BAR_TICK_OFFSETS_NS = (0, 15_000_000_000, 30_000_000_000, 59_999_000_000)

BAR = np.dtype(
    [
        ("start", "<i8"),  # ns UTC
        ("open", "<i8"),  # nanos
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("ticks", "<i8"),  # market ticks in it; 0: there is no bar
    ]
)

# One instrument's bars under way in all timeframes; an array of these is indexed by instrument number, 0 is unused.
BARS = np.dtype([("instrument", "<i8"), ("bars", BAR, (len(TIMEFRAMES),))])

# A closed bar: `tick` is the index of the tick that closed it, `timeframe` its length in ns.
CLOSED = np.dtype([("tick", "<i8"), ("instrument", "<i8"), ("timeframe", "<i8"), ("bar", BAR)])


@kernel
def mid(tick: Any) -> int:
    """The price of a market tick in nanos, rounded down."""
    return int((tick.bid + tick.ask) // 2)


@kernel
def subscribed(states: Any, tick: Any) -> bool:
    """Is this a market tick of an instrument that has a state?"""
    number = tick.instrument
    return bool(tick.kind != CLOCK and number < len(states) and states[number].instrument != 0)


@kernel
def extend(bar: Any, price: int) -> None:
    """One more tick inside a bar."""
    bar.high = max(bar.high, price)
    bar.low = min(bar.low, price)
    bar.close = price
    bar.ticks += 1


@kernel
def open_bar(bar: Any, time: int, timeframe: int, price: int) -> None:
    """The first tick of a bar."""
    bar.start = time - time % timeframe
    bar.open = bar.high = bar.low = bar.close = price
    bar.ticks = 1


@kernel
def fold(bar: Any, minute: Any, timeframe: int) -> None:
    """Add a closed M1 bar to a longer bar; the first one opens it."""
    if bar.ticks == 0:
        bar.start = minute.start - minute.start % timeframe
        bar.open, bar.high, bar.low = minute.open, minute.high, minute.low
    bar.high = max(bar.high, minute.high)
    bar.low = min(bar.low, minute.low)
    bar.close = minute.close
    bar.ticks += minute.ticks


@kernel
def closed_bars(states: npt.NDArray[np.void], ticks: Ticks, out: npt.NDArray[np.void]) -> int:
    """Fold ticks into BARS states; fill out[0:n] (CLOSED, at least len(TIMEFRAMES) x len(ticks)) and return n.

    Bars come in the order of the ticks that closed them, at one tick the shorter timeframe first.
    """
    count = 0
    for i in range(len(ticks)):
        tick: Any = ticks[i]
        if not subscribed(states, tick):
            continue
        state: Any = states[tick.instrument]
        time, price, minute = tick.receive_time, mid(tick), state.bars[0]
        if time < minute.start + M1:
            extend(minute, price)
            continue
        for k in range(len(TIMEFRAMES)):
            bar, timeframe = state.bars[k], TIMEFRAMES[k]
            if k > 0 and minute.ticks > 0:
                fold(bar, minute, timeframe)
            if bar.ticks > 0 and time >= bar.start + timeframe:
                closed: Any = out[count]
                closed.tick, closed.instrument, closed.timeframe, closed.bar = i, state.instrument, timeframe, bar
                count += 1
                if k > 0:
                    bar.ticks = 0
        open_bar(minute, time, M1, price)
    return count
