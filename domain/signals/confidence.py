"""Confidence of a retest entry: integer ppm, from our own bars only, integer arithmetic only.

    confidence = 0.40 structure + 0.20 momentum + 0.20 precision + 0.10 timing + 0.10 trend      (0 .. 1,000,000 ppm)

| term      | formula (1.0 = 1,000,000 ppm) |
|-----------|---|
| structure | d = distance of the breaking close from the level, in pips: 0.3 + 0.06 d below 5; 0.6 + 0.04 (d - 5) below 10; then 0.8 + 0.02 (d - 10), at most 0.9 |
| momentum  | body of the breaking bar in the break's direction / its range; 0 for a body against it and for a bar without range |
| precision | 1 - min(abs(touch extreme - level), tolerance) / tolerance; the touch extreme is the touch bar's low of a long, high of a short |
| timing    | M1 bars of the window left at the entry (at least 0) / window |
| trend     | 1 for a break with the trend or without one (BOS), 0.5 against it (CHOCH) |

The numbers are those of the older desk's formulas; its structure term fell from 0.8 to 0.6 at ten pips and is monotone
here. Its volume terms are absent because our bars hold no honest volume, its news and session factors because the
calendar is a rule's business, not a handler's. Every quotient is rounded down.
"""  # noqa: E501

from domain.kernel import kernel

ONE = 1_000_000
_EXACT = 1_000_000_000_000  # the largest whole whose product with ONE fits an int64 with room to spare


@kernel
def ratio_ppm(part: int, whole: int) -> int:
    """part / whole in ppm, for 0 <= part <= whole; 0 when whole is 0. Exact up to 1000 units of price."""
    if whole <= 0:
        return 0
    scale = whole // _EXACT + 1
    return int((part // scale) * ONE // (whole // scale))


@kernel
def structure_ppm(distance: int, pip: int) -> int:
    """By how far (nanos) the breaking bar closed beyond the level. Never falls as the distance grows."""
    distance = min(distance, 15 * pip)
    if distance < 5 * pip:
        return int(300_000 + 60_000 * distance // pip)
    if distance < 10 * pip:
        return int(600_000 + 40_000 * (distance - 5 * pip) // pip)
    return int(800_000 + 20_000 * (distance - 10 * pip) // pip)


@kernel
def momentum_ppm(side: int, first: int, high: int, low: int, last: int) -> int:
    """How much of the breaking bar's range (open, high, low, close) is body in the direction of the break."""
    return int(ratio_ppm(max(side * (last - first), 0), high - low))


@kernel
def precision_ppm(deviation: int, tolerance: int) -> int:
    """How near to the level the touch came, against the tolerance allowed; a tolerance of 0 allows only 1 or 0."""
    if tolerance == 0:
        return ONE if deviation == 0 else 0
    return int(ONE - ratio_ppm(min(abs(deviation), tolerance), tolerance))


@kernel
def timing_ppm(window_left: int, window: int) -> int:
    """How early in its window the setup entered."""
    return int(ratio_ppm(max(window_left, 0), window))


@kernel
def trend_ppm(against: bool) -> int:
    """Whether the break went with the trend."""
    return ONE // 2 if against else ONE


@kernel
def confidence_ppm(structure: int, momentum: int, precision: int, timing: int, trend: int) -> int:
    """The weighted sum of the five terms."""
    return int((40 * structure + 20 * momentum + 20 * precision + 10 * timing + 10 * trend) // 100)
