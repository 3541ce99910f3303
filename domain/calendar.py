"""The event calendar: scheduled releases, known to the desk because an instruction put them on the tape."""

from typing import Any

import numpy as np

from domain.kernel import kernel
from domain.rules import NO_NEWS

RELEASE = np.dtype([("time", "<i8"), ("currency", "<i8"), ("impact", "<i8")])  # ascending by time


@kernel
def news_gap(releases: Any, now: int, base: int, quote: int, impact: int, before: int, after: int) -> int:
    """Signed ns to the nearest release of either currency and at least `impact`, of those at most `before` ahead or
    `after` behind: above 0 ahead, below 0 behind; NO_NEWS when there is none."""
    gap = NO_NEWS
    for index in range(_first_from(releases, now - after), len(releases)):
        release = releases[index]
        distance = release.time - now
        if distance > before:
            break
        relevant = release.impact >= impact and (release.currency in (base, quote))
        if relevant and (gap == NO_NEWS or abs(distance) < abs(gap)):
            gap = distance
    return int(gap)


@kernel
def _first_from(releases: Any, time: int) -> int:
    """The index of the first release at or after a time."""
    low, high = 0, len(releases)
    while low < high:
        middle = (low + high) // 2
        if releases[middle].time < time:
            low = middle + 1
        else:
            high = middle
    return low
