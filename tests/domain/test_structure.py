"""Swings and breaks: known when they are known, once, and as a brute-force scan finds them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import BAR
from domain.signals.structure import STRUCTURE, on_close
from tests.domain import oracle

Given = list[tuple[int, int, int]]  # high, low, close


def bars_of(rows: Given) -> Any:
    bars = np.zeros(len(rows), BAR)
    for bar, (high, low, close) in zip(bars, rows, strict=True):
        bar["high"], bar["low"], bar["close"] = high, low, close
    return bars


def breaks(rows: Given, reach: int, min_break: int = 1) -> list[tuple[int, int, int, str]]:
    structure = np.zeros(1, STRUCTURE)[0]
    structure["reach"], structure["min_break"] = reach, min_break
    found = []
    for i, bar in enumerate(bars_of(rows)):
        side, level, against = on_close(structure, bar)
        if side:
            found.append((i, side, level, "CHOCH" if against else "BOS"))
    return found


def closes(*highs: int) -> Given:
    """Bars that close at their high, lows falling away so that no swing low breaks."""
    return [(high, high - 100 - i, high) for i, high in enumerate(highs)]


def test_highs_10_12_11_make_a_swing_of_12_that_a_close_at_13_breaks() -> None:
    assert breaks(closes(10, 12, 11, 13), reach=1) == [(3, 1, 12, "BOS")]


def test_a_swing_is_not_known_before_its_last_neighbour_closed() -> None:
    assert breaks(closes(10, 12, 13), reach=1) == []
    assert breaks(closes(9, 10, 12, 11, 13), reach=2) == []
    assert breaks(closes(9, 10, 12, 11, 10, 13), reach=2) == [(5, 1, 12, "BOS")]


def test_equal_highs_are_no_swing() -> None:
    assert breaks(closes(10, 12, 12, 11, 10, 14), reach=1) == []


def test_a_close_at_the_swing_is_no_break_and_one_point_beyond_is() -> None:
    assert breaks(closes(10, 12, 11, 12), reach=1) == []
    assert breaks(closes(10, 12, 11, 14), reach=1, min_break=3) == []
    assert breaks(closes(10, 12, 11, 15), reach=1, min_break=3) == [(3, 1, 12, "BOS")]


def test_a_wick_beyond_the_swing_is_no_break() -> None:
    assert breaks([*closes(10, 12, 11), (20, 5, 12)], reach=1) == []


def test_a_swing_breaks_once() -> None:
    assert breaks(closes(10, 12, 11, 13, 14, 15), reach=1) == [(3, 1, 12, "BOS")]


def test_a_newer_swing_replaces_an_older_one_even_when_it_is_lower() -> None:
    assert breaks(closes(10, 20, 11, 13, 12, 14), reach=1) == [(5, 1, 13, "BOS")]


def test_a_break_against_the_trend_is_a_change_of_character_and_turns_it() -> None:
    up = [(10, 8, 9), (12, 9, 11), (11, 7, 10), (13, 8, 13)]  # swing high 12, swing low 7 known at bar 3
    assert breaks([*up, (12, 5, 6), (9, 4, 5)], reach=1) == [(3, 1, 12, "BOS"), (4, -1, 7, "CHOCH")]


def test_the_fractal_that_a_breaking_bar_confirms_may_break_next() -> None:
    """Bar 5 breaks 12 and, after that, confirms bar 4's high of 14 (a wick) as the new swing."""
    rows = [*closes(10, 12, 11), (12, -200, 12), (14, -201, 11), (13, -202, 13), (15, -203, 15)]
    assert breaks(rows, reach=1) == [(5, 1, 12, "BOS"), (6, 1, 14, "BOS")]


@pytest.mark.parametrize("reach", [1, 2, 3, 4, 5])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    step=st.integers(1, 6),
    min_break=st.integers(0, 3),
)
def test_breaks_equal_a_brute_force_scan(reach: int, seed: int, step: int, min_break: int) -> None:
    random = np.random.default_rng(seed)
    close = np.cumsum(random.integers(-step, step + 1, 400))
    high, low = close + random.integers(0, 4, 400), close - random.integers(0, 4, 400)
    rows = list(zip(high.tolist(), low.tolist(), close.tolist(), strict=True))
    plain = [oracle.Bar(0, c, h, low_, c, 1, i, 0) for i, (h, low_, c) in enumerate(rows)]
    assert breaks(rows, reach, min_break) == [tuple(one) for one in oracle.breaks_of(plain, reach, min_break)]


def test_walks_of_the_brute_force_comparison_hold_breaks_of_every_kind() -> None:
    random = np.random.default_rng(1)
    close = np.cumsum(random.integers(-3, 4, 2_000))
    rows = [(int(c) + 1, int(c) - 1, int(c)) for c in close]
    kinds = {(side, kind) for _, side, _, kind in breaks(rows, reach=2)}
    assert kinds == {(1, "BOS"), (1, "CHOCH"), (-1, "BOS"), (-1, "CHOCH")}
