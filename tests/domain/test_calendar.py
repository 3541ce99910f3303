"""The nearest release: what a search through the sorted calendar finds, a look at every entry finds too."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.calendar import RELEASE, news_gap
from domain.rules import NO_NEWS

Entry = tuple[int, int, int]  # time, currency, impact
ENTRIES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4), st.integers(1, 3)), max_size=30)


def brute_force(entries: list[Entry], now: int, base: int, quote: int, impact: int, reach: int) -> set[int]:
    """Every signed distance that is the smallest; of two at equal distance either one is right."""
    gaps = [time - now for time, currency, weight in entries if currency in (base, quote) and weight >= impact]
    near = [gap for gap in gaps if abs(gap) <= reach]
    return {gap for gap in near if abs(gap) == min(abs(other) for other in near)} or {NO_NEWS}


@settings(deadline=None, max_examples=500)
@given(ENTRIES, st.integers(-5, 65), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 40))
@example([(10, 1, 3)], 10, 1, 2, 3, 0)
@example([(10, 1, 3)], 7, 1, 2, 3, 3)
@example([(10, 1, 3)], 13, 2, 1, 3, 3)
@example([(10, 1, 3), (30, 1, 3)], 20, 1, 2, 3, 10)
@example([], 0, 1, 2, 1, 100)
def test_the_nearest_release_is_that_of_a_look_at_every_entry(
    entries: list[Entry], now: int, base: int, quote: int, impact: int, reach: int
) -> None:
    releases = np.unique(np.array(entries, RELEASE))
    gap = news_gap(releases, now, base, quote, impact, reach, reach)
    assert gap in brute_force(entries, now, base, quote, impact, reach)


def test_a_long_calendar_is_searched_from_both_ends_of_the_reach() -> None:
    hour, reach = 3_600 * 10**9, 120 * 10**9
    releases = np.array([(k * hour, 1, 3) for k in range(10_000)], RELEASE)
    for k in (0, 1, 4_999, 9_999):
        for offset in (-reach, -1, 0, 1, reach):
            assert news_gap(releases, k * hour - offset, 1, 2, 3, reach, reach) == offset
        assert news_gap(releases, k * hour + reach + 1, 1, 2, 3, reach, reach) == NO_NEWS


def test_a_release_behind_the_window_does_not_hide_one_ahead() -> None:
    """Ten minutes ago and in twenty: of a window of 30 before and 2 after, the one ahead counts."""
    minute = 60 * 10**9
    releases = np.array([(-10 * minute, 1, 3), (20 * minute, 1, 3)], RELEASE)
    assert news_gap(releases, 0, 1, 2, 3, 30 * minute, 2 * minute) == 20 * minute
    assert news_gap(releases, 0, 1, 2, 3, 30 * minute, 15 * minute) == -10 * minute
    assert news_gap(releases, 0, 1, 2, 3, 10 * minute, 2 * minute) == NO_NEWS
