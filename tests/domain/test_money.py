"""muldiv is Python's exact integers with one rounding, half to even, or an OverflowError."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.money import NANO, PPM, muldiv

LEAST, MOST = -(2**63), 2**63 - 1
SURE = 9 * 10**18 - 10_000  # up to here a result is always given, from 2^63 on never
FACTORS = st.integers(LEAST, MOST) | st.integers(-(10**6), 10**6) | st.sampled_from([LEAST, LEAST + 1, -1, 0, 1, MOST])
DIVISORS = (
    st.integers(1, MOST)
    | st.integers(1, 100)
    | st.sampled_from([1, 2, PPM, NANO, 1_000 * NANO, 2_999_999_999, 3_000_000_000, 2**32, 2**62, MOST])
)


def check(a: int, b: int, c: int) -> None:
    exact = round(Fraction(a * b, c))  # Python rounds half to even
    if abs(exact) < SURE:
        assert muldiv(a, b, c) == exact
    elif abs(exact) >= 2**63:
        with pytest.raises(OverflowError, match="does not fit 64 bits"):
            muldiv(a, b, c)


@settings(deadline=None, max_examples=1_000)  # the first call compiles
@given(FACTORS, FACTORS, DIVISORS)
@example(LEAST, LEAST, MOST)
@example(LEAST, 1, 2)
@example(1, LEAST, 3_000_000_000)
@example(-3, 5 * 10**18, 2)
@example(MOST, MOST, MOST)
def test_a_product_divided_is_exact_or_an_overflow(a: int, b: int, c: int) -> None:
    check(a, b, c)


@settings(deadline=None, max_examples=600)
@given(st.integers(-SURE, SURE), DIVISORS, DIVISORS, st.integers(-2, 2))
def test_results_near_a_wanted_one_are_exact_or_an_overflow(wanted: int, b: int, c: int, off: int) -> None:
    check(max(LEAST, min(MOST, wanted * c // b + off)), b, c)


@settings(deadline=None, max_examples=400)
@given(st.integers(-(2**31), 2**31), st.integers(1, 2**31) | st.integers(2**31, 2**61))
def test_a_half_goes_to_the_even_neighbour(quotient: int, half: int) -> None:
    divisor = 2 * half
    product = quotient * divisor + half
    if LEAST <= product <= MOST:
        assert muldiv(product, 1, divisor) == muldiv(1, product, divisor) == quotient + quotient % 2
    if LEAST <= quotient * 2 + 1 <= MOST and half <= MOST // 2:
        assert muldiv(quotient * 2 + 1, half, divisor) == quotient + quotient % 2


@pytest.mark.parametrize(
    ("a", "b", "c", "result"),
    [
        (5, 1, 2, 2), (7, 1, 2, 4), (-5, 1, 2, -2), (-7, 1, 2, -4), (1, 1, 3, 0), (2, 1, 3, 1), (-2, 1, 3, -1),
        (0, LEAST, 7, 0), (100_000 * NANO, 10_000, PPM, 1_000 * NANO),
        (10_000_000 * NANO, 65_000 * NANO, 1_000 * NANO, 650_000_000 * NANO),
    ],
)  # fmt: skip
def test_examples_by_hand(a: int, b: int, c: int, result: int) -> None:
    assert muldiv(a, b, c) == muldiv(b, a, c) == result


@settings(deadline=None)
@given(FACTORS, FACTORS, DIVISORS)
def test_the_order_of_factors_and_a_common_sign_change_nothing(a: int, b: int, c: int) -> None:
    if abs(a * b) // c < SURE - 1 and LEAST not in {a, b}:
        assert muldiv(a, b, c) == muldiv(b, a, c) == muldiv(-a, -b, c) == -muldiv(-a, b, c)
