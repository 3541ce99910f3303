"""Exact money: products of int64 nanos through 128 bits, one rounding, half to even, and an error past int64.

int64 multiplication wraps silently in machine code, so every product of the core that may not fit goes through here.
"""

import numpy as np

from domain.kernel import kernel

NANO = 1_000_000_000
PPM = 1_000_000
MONEY_MAX = 2**62 - 1  # nanos: the sum and the difference of any two amounts up to this fit 64 bits

_SAFE = 9.0e18  # a product or result below this fits an int64, whatever the rounding of the floats
_SMALL = 3_000_000_000  # the square of a divisor below this fits
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE, _TOP = np.uint64(1), np.uint64(63)


@kernel
def muldiv(a: int, b: int, c: int) -> int:
    """a x b / c for c > 0, rounded half to even. Raises OverflowError when the result does not fit an int64."""
    product = float(a) * float(b)
    if abs(product) < _SAFE:
        exact = a * b
        return int(exact // c + _up(exact // c, exact % c, c))
    if not abs(product / c) < _SAFE:
        raise OverflowError("a product of money does not fit 64 bits")
    if c < _SMALL:
        high, low = a // c, a % c  # a b / c = high b + low (b // c) + low (b % c) / c, each part inside 64 bits
        last = low * (b % c)
        whole = high * b + low * (b // c) + last // c
        return int(whole + _up(whole, last % c, c))
    return int(_wide(a, b, c))


@kernel
def _up(quotient: int, rest: int, divisor: int) -> int:
    """What rounding half to even adds to a quotient with this remainder."""
    missing = divisor - rest
    return 1 if rest > missing or (rest == missing and quotient % 2 != 0) else 0


@kernel
def _wide(a: int, b: int, c: int) -> int:
    """The general case: schoolbook product of 32-bit halves, then 64 steps of long division."""
    x, y, divisor = np.uint64(abs(a)), np.uint64(abs(b)), np.uint64(c)
    x1, x0, y1, y0 = x >> _HALF, x & _LOW, y >> _HALF, y & _LOW
    middle = x1 * y0 + (x0 * y0 >> _HALF)
    carry = (middle & _LOW) + x0 * y1
    high, low = x1 * y1 + (middle >> _HALF) + (carry >> _HALF), x * y
    for _ in range(64):
        high = high << _ONE | low >> _TOP
        low = low << _ONE
        if high >= divisor:
            high -= divisor
            low |= _ONE
    quotient: int = np.int64(low)  # type: ignore[assignment]  # int() of an unsigned number stays unsigned in a kernel
    rest: int = np.int64(high)  # type: ignore[assignment]
    rounded = quotient + _up(quotient, rest, c)
    return rounded if (a < 0) == (b < 0) else -rounded


@kernel
def plus(a: int, b: int) -> int:
    """a + b. Raises OverflowError when it does not fit an int64."""
    total = a + b
    if (a ^ total) & (b ^ total) < 0:
        raise OverflowError("a sum of money does not fit 64 bits")
    return total


@kernel
def bounded(amount: int) -> int:
    """The amount itself. Raises OverflowError when it is above MONEY_MAX, or below its negative."""
    if not -MONEY_MAX <= amount <= MONEY_MAX:
        raise OverflowError("an amount of money does not fit 63 bits")
    return amount
