"""Shadow results: what every signal would have made, traded or not, so that a strategy that was stopped can recover.

A shadow is opened at the newest quote when the signal is raised, at the side a taker gets, and closed at its stop or
target by a later quote (the stop first), or by the strategy's next opposite signal on the instrument. Its result is
counted in thousandths of R, the distance from entry to stop; without a stop a winner counts +1 R and a loser -1 R.
"""

from typing import Any

import numpy as np

from domain.bars import M1
from domain.kernel import kernel
from domain.money import muldiv

MAX_SHADOWS = 512  # open at once; the oldest is given up for a new one
WINDOW = 100  # results that count
FULL_R = 1_000
_BOUND = 1_000_000  # no result counts for more than a thousand R

SHADOW = np.dtype(
    [
        ("slot", "<i8"),  # of the strategy in `performance`
        ("instrument", "<i8"),
        ("side", "<i8"),
        ("entry", "<i8"),  # nanos
        ("stop", "<i8"),  # 0: none
        ("target", "<i8"),
        ("ordinal", "<i8"),
    ]
)

PERFORMANCE = np.dtype(
    [
        ("minute", "<i8"),  # of the newest signal, since 1970
        ("signals", "<i8"),  # in it
        ("count", "<i8"),
        ("results", "<i8", (WINDOW,)),  # a ring: result k is at k % WINDOW
    ]
)


@kernel
def count_signal(performance: Any, now: int) -> None:
    """One more signal of a strategy, for the limit of signals a minute."""
    minute = now // M1
    performance.signals = performance.signals + 1 if performance.minute == minute else 1
    performance.minute = minute


@kernel
def open_shadow(book: Any, slot: int, raised: Any) -> None:
    """Follow a signal from here on; an opposite one of the same strategy and instrument is closed first."""
    desk, side, market = book.desk[0], raised.side, book.markets[raised.instrument]
    for index in range(desk.shadows):
        shadow = book.shadows[index]
        if shadow.slot == slot and shadow.instrument == raised.instrument and shadow.side == -side:
            _close(book, shadow, market.bid if shadow.side > 0 else market.ask)
    _sweep(book)
    if desk.shadows == MAX_SHADOWS:
        book.shadows[0].side = 0
        _sweep(book)
    shadow = book.shadows[desk.shadows]
    shadow.slot, shadow.instrument, shadow.side, shadow.ordinal = slot, raised.instrument, side, desk.ordinal
    shadow.entry = market.ask if side > 0 else market.bid
    shadow.stop, shadow.target = raised.stop, raised.target
    desk.shadows += 1


@kernel
def follow_shadows(book: Any, number: int, tick: Any) -> None:
    """Close what this quote of an instrument brings to its stop or target."""
    closed = False
    for index in range(book.desk[0].shadows):
        shadow = book.shadows[index]
        if shadow.instrument != number:
            continue
        side = shadow.side
        price = tick.bid if side > 0 else tick.ask
        stopped = shadow.stop > 0 and side * (price - shadow.stop) <= 0
        if stopped or (shadow.target > 0 and side * (price - shadow.target) >= 0):
            _close(book, shadow, price if stopped else shadow.target)
            closed = True
    if closed:
        _sweep(book)


@kernel
def _close(book: Any, shadow: Any, price: int) -> None:
    gain, distance = shadow.side * (price - shadow.entry), shadow.side * (shadow.entry - shadow.stop)
    if shadow.stop > 0 and distance > 0:
        result = muldiv(gain, FULL_R, distance)
    else:
        result = FULL_R if gain > 0 else -FULL_R if gain < 0 else 0
    performance = book.performance[shadow.slot]
    performance.results[performance.count % WINDOW] = min(max(result, -_BOUND), _BOUND)
    performance.count += 1
    shadow.side = 0


@kernel
def _sweep(book: Any) -> None:
    desk, kept = book.desk[0], 0
    for index in range(desk.shadows):
        if book.shadows[index].side != 0:
            if kept < index:
                book.shadows[kept] = book.shadows[index]
            kept += 1
    desk.shadows = kept


@kernel
def summary(performance: Any) -> Any:
    """Of the window: trades, wins, thousandths of R won and lost, and the deepest fall of the running sum."""
    count = performance.count
    wins, won, lost, total, peak, deepest = 0, 0, 0, 0, 0, 0
    for index in range(max(0, count - WINDOW), count):
        result = performance.results[index % WINDOW]
        wins += 1 if result > 0 else 0
        won += max(result, 0)
        lost += max(-result, 0)
        total += result
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return min(count, WINDOW), wins, won, lost, deepest
