"""Rows out of time: the one that is wrong is rejected, not all that come behind it."""

from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.feeds.checks import TIME_AHEAD, TIME_BACK, judge
from gateways.feeds.fields import GOOD
from tests.gateways.feeds.samples import binarycom, csv_quotes, read

BACK, AHEAD = "time goes back (or a bar's time repeats)", "time ahead of the rows behind it"
MINUTE = 60_000_000_000

patient = settings(deadline=None)  # the first call may compile


def judged(minutes: list[int], bars: bool) -> list[int]:
    """The code of each row of a sound market at these times."""
    time = np.array(minutes, np.int64) * MINUTE
    price = np.full((4 if bars else 1, len(time)), 10**9)
    code = np.zeros(len(time), np.uint8)
    judge(time, price, price, bars, code)
    return code.tolist()


def rejected(minutes: list[int], bars: bool = False) -> list[int]:
    return [row for row, code in enumerate(judged(minutes, bars)) if code != GOOD]


@pytest.mark.parametrize("bars", [False, True])
@patient
@given(st.data())
def test_one_time_far_off_rejects_exactly_its_row(bars: bool, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(1 if bars else 0, 5), min_size=3, max_size=30))
    minutes = [1_000_000 + minute for minute in accumulate(steps)]
    later = data.draw(st.booleans())
    # The last row far later and the first far earlier contradict no other row: order cannot tell them.
    row = data.draw(st.integers(0, len(minutes) - 2) if later else st.integers(1, len(minutes) - 1))
    minutes[row] = minutes[-1] + data.draw(st.integers(1, 10**7)) if later else minutes[0] - data.draw(
        st.integers(1, 10**6)
    )  # fmt: skip
    expected = [GOOD] * len(minutes)
    expected[row] = TIME_AHEAD if later else TIME_BACK
    assert judged(minutes, bars) == expected


@pytest.mark.parametrize("bars", [False, True])
@patient
@given(st.lists(st.integers(0, 12), max_size=25))
def test_what_is_accepted_ascends_and_looking_ahead_never_costs_a_row(bars: bool, minutes: list[int]) -> None:
    bad = set(rejected(minutes, bars))
    kept = [minute for row, minute in enumerate(minutes) if row not in bad]
    assert all(b - a >= (1 if bars else 0) for a, b in pairwise(kept))
    greedy, last = 0, -1
    for minute in minutes:
        if minute < last or (bars and minute == last):
            greedy += 1
        else:
            last = minute
    assert len(bad) <= greedy


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize(
    ("minutes", "bad"),
    [
        ([1, 2, 4, 3, 5, 6], [3]),  # two swapped
        ([1, 2, 3, 4, 5, 2, 3, 4, 6, 7], [5, 6, 7]),  # a stretch again
        ([1, 2, 3, 7, 8, 9, 4, 5, 6, 10], [6, 7, 8]),  # two stretches swapped
        ([1, 2, 3, 2, 4, 5], [3]),
        ([9, 1, 2, 3], [0]),
        ([9, 1, 2], [0]),
        ([9, 1], [1]),  # either may be wrong: the first stands
        ([1, 2, 9, 3], [2]),
        ([1, 2, 3, 9], []),
        ([1, 9, 2, 3, 8, 4, 5, 6], [1, 4]),
        ([1, 5, 3, 4, 6, 7], [2, 3]),  # one row behind is not enough
        ([1, 2, 9, 4, 3, 5, 6], [2, 3]),  # nor are rows in disorder
        ([40, 90, 50, 45, 46, 47, 60, 50, 51, 52], [1, 2, 6]),  # a refused time may be right later
    ],
)
def test_the_rows_behind_tell_which_of_two_is_wrong(minutes: list[int], bad: list[int], bars: bool) -> None:
    assert rejected(minutes, bars) == bad


def test_a_stretch_of_ticks_of_equal_times_that_comes_again_is_not_taken_for_the_market() -> None:
    assert rejected([1, 3, 4, 4, 4, 5, 3, 4, 4, 4, 5, 6]) == [6, 7, 8, 9]  # a tick of an equal time is no step back
    assert rejected([1, 3, 4, 4, 4, 5, 4, 4, 4, 5, 6]) == [6, 7, 8]


def test_a_bar_that_comes_again_is_the_one_rejected() -> None:
    assert rejected([1, 2, 3, 3, 4], bars=True) == [3]
    assert rejected([1, 2, 3, 3], bars=True) == [3]


@pytest.mark.parametrize("at", [0, 1, 1000, 1998])
def test_a_row_of_the_year_2108_costs_only_itself(at: int, tmp_path: Path) -> None:
    ticks = [f"{1_577_836_800 + k},1.1,1.2" for k in range(2000)]
    ticks[at] = "4362595200,1.1,1.2"
    files = read(tmp_path, "EURUSD.csv", csv_quotes(*ticks))
    assert [(one.line, one.reason) for one in files.rejects] == [(at + 2, AHEAD)]
    bars = [f"2018-01-{1 + k // 1440:02} {k // 60 % 24:02}:{k % 60:02}:00,1.2,1.3,1.1,1.2" for k in range(2000)]
    bars[at] = "2108" + bars[at][4:]
    files = read(tmp_path, "EURUSD.csv", binarycom(*bars))
    assert [(one.line, one.reason) for one in files.rejects] == [(at + 2, AHEAD)]


def test_bad_rows_between_do_not_hide_who_is_ahead(tmp_path: Path) -> None:
    rows = ["1577836800,1.1,1.2", "4362595200,1.1,1.2", *["1577836801,1.3,1.2"] * 5, "1577836802,1.1,1.2", "x,1.1,1.2"]
    files = read(tmp_path, "EURUSD.csv", csv_quotes(*rows, "1577836803,1.1,1.2", "1577836804,1.1,1.2"))
    assert files.rejects[0].reason == AHEAD
    assert files.ticks["reference"].tolist() == [2, 9, 11, 12]
