"""Market structure: fractal swings, the trend, and the breaks that make it (BOS and CHOCH).

Fractal: bar i is a swing high iff its high lies strictly above the highs of the `reach` bars on both sides; equal highs
are no swing. It is known at the close of bar i + reach, never before. Lows mirrored. One unbroken swing a side is kept.
Break: a close at least `min_break` beyond the swing. With the trend, or without one, it is a break of structure (BOS),
against it a change of character (CHOCH); the trend follows. A swing breaks once.
"""

from typing import Any

import numpy as np

from domain.kernel import kernel

MAX_REACH = 5

STRUCTURE = np.dtype(
    [
        ("reach", "<i8"),  # parameter: bars on either side of a fractal
        ("min_break", "<i8"),  # parameter, nanos
        ("bars", "<i8"),  # how many of the newest 2 x reach + 1 bars are there
        ("highs", "<i8", (2 * MAX_REACH + 1,)),  # of these bars, oldest first
        ("lows", "<i8", (2 * MAX_REACH + 1,)),
        ("has_high", "<i8"),
        ("high", "<i8"),  # the unbroken swing high, when has_high
        ("has_low", "<i8"),
        ("low", "<i8"),
        ("trend", "<i8"),  # +1, -1, 0 none yet
    ]
)


@kernel
def on_close(structure: Any, bar: Any) -> tuple[int, int, bool]:
    """One closed bar: the break against the swings known before it, then the fractal that it confirms.

    Returns (side, level, against): side +1 or -1 of a break, 0 none; the broken swing; whether it was a CHOCH.
    """
    side, level = _break(structure, bar.close)
    against = side != 0 and structure.trend == -side
    if side != 0:
        structure.trend = side
    _remember(structure, bar.high, bar.low)
    _confirm(structure)
    return side, level, against


@kernel
def _break(structure: Any, close: int) -> tuple[int, int]:
    if structure.has_high and close >= structure.high + structure.min_break:
        structure.has_high = 0
        return 1, structure.high
    if structure.has_low and close <= structure.low - structure.min_break:
        structure.has_low = 0
        return -1, structure.low
    return 0, 0


@kernel
def _remember(structure: Any, high: int, low: int) -> None:
    size = 2 * structure.reach + 1
    if structure.bars == size:
        for i in range(size - 1):
            structure.highs[i] = structure.highs[i + 1]
            structure.lows[i] = structure.lows[i + 1]
        structure.bars -= 1
    structure.highs[structure.bars] = high
    structure.lows[structure.bars] = low
    structure.bars += 1


@kernel
def _confirm(structure: Any) -> None:
    reach = structure.reach
    if structure.bars < 2 * reach + 1:
        return
    high, low = structure.highs[reach], structure.lows[reach]
    is_high = is_low = True
    for i in range(2 * reach + 1):
        if i != reach:
            is_high &= high > structure.highs[i]
            is_low &= low < structure.lows[i]
    if is_high:
        structure.has_high, structure.high = 1, high
    if is_low:
        structure.has_low, structure.low = 1, low
