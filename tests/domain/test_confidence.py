"""Each term of the confidence keeps its formula and its bounds."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.signals.confidence import (
    confidence_ppm,
    momentum_ppm,
    precision_ppm,
    ratio_ppm,
    structure_ppm,
    timing_ppm,
    trend_ppm,
)

ONE = 1_000_000
PIPS = st.sampled_from([100, 100_000, 10_000_000, 100_000_000, 1_000_000_000])
DISTANCES = st.integers(0, 10**15)
TERMS = st.integers(0, ONE)


@settings(deadline=None)  # the first call compiles
@given(DISTANCES, DISTANCES, PIPS)
def test_structure_never_falls_as_the_break_grows(one: int, other: int, pip: int) -> None:
    near, far = sorted((one, other))
    assert 300_000 <= structure_ppm(near, pip) <= structure_ppm(far, pip) <= 900_000


def test_structure_never_falls_from_one_tenth_of_a_pip_to_the_next() -> None:
    terms = [structure_ppm(tenths * 10_000, 100_000) for tenths in range(200)]
    assert terms == sorted(terms)


@pytest.mark.parametrize(
    ("pips", "ppm"),
    [(0, 300_000), (1, 360_000), (5, 600_000), (9, 760_000), (10, 800_000), (15, 900_000), (99, 900_000)],
)
def test_structure_has_the_corners_of_its_formula(pips: int, ppm: int) -> None:
    assert structure_ppm(pips * 100_000, 100_000) == ppm


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_ratios_are_exact_up_to_a_thousand_units_of_price(part: int, whole: int) -> None:
    assert ratio_ppm(min(part, whole), whole) == floor(Fraction(min(part, whole), whole) * ONE)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10**18), st.integers(1, 10**18))
def test_ratios_never_wrap(part: int, whole: int) -> None:
    part = min(part, whole)
    assert abs(ratio_ppm(part, whole) - floor(Fraction(part, whole) * ONE)) <= 2
    assert 0 <= ratio_ppm(part, whole) <= ONE


def test_momentum_is_the_body_in_the_direction_of_the_break() -> None:
    assert momentum_ppm(1, 10, 20, 0, 15) == 250_000
    assert momentum_ppm(-1, 10, 20, 0, 15) == 0
    assert momentum_ppm(-1, 20, 20, 0, 0) == ONE
    assert momentum_ppm(1, 10, 10, 10, 10) == 0


def test_precision_falls_from_the_level_to_the_tolerance_on_either_side() -> None:
    assert [precision_ppm(d, 8) for d in (0, 2, -2, 8, -8, 100)] == [ONE, 750_000, 750_000, 0, 0, 0]
    assert (precision_ppm(0, 0), precision_ppm(1, 0)) == (ONE, 0)


def test_timing_falls_with_the_window_and_ends_at_nothing() -> None:
    assert [timing_ppm(left, 60) for left in (60, 30, 0, -1)] == [ONE, 500_000, 0, 0]


def test_a_break_against_the_trend_counts_half() -> None:
    assert (trend_ppm(False), trend_ppm(True)) == (ONE, 500_000)


@settings(deadline=None)  # the first call compiles
@given(st.tuples(TERMS, TERMS, TERMS, TERMS, TERMS))
def test_the_weighted_sum_stays_within_bounds_and_rises_with_each_term(terms: tuple[int, ...]) -> None:
    whole = confidence_ppm(*terms)
    assert 0 <= whole <= ONE
    for i in range(5):
        raised = [*terms[:i], ONE, *terms[i + 1 :]]
        assert confidence_ppm(*raised) >= whole


def test_the_weights_make_one() -> None:
    assert confidence_ppm(ONE, ONE, ONE, ONE, ONE) == ONE
