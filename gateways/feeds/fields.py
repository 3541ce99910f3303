"""One field of text as an int64: exact decimals and dates, or the code of what is wrong. No floats anywhere."""

from typing import Any

import numpy as np
import numpy.typing as npt

from domain.kernel import kernel

I8 = npt.NDArray[np.int64]
U1 = npt.NDArray[np.uint8]

# What a column holds. Prices and amounts become nanos, times nanoseconds.
SKIP, PRICE, AMOUNT, COUNT, BLANK_OR_PRICE, BLANK_OR_AMOUNT = 0, 1, 2, 3, 4, 5
ISO_TIME, COMPACT_TIME, DATE, TIME_OF_DAY, MILLISECONDS_OF_DAY = 10, 11, 12, 13, 14
EPOCH_S, EPOCH_MS, EPOCH_US, EPOCH_NS = 20, 21, 22, 23

# What can be wrong with a row. Codes from 20 on are found by gateways/feeds/checks.py.
GOOD, WRONG_FIELDS, EMPTY, BAD_NUMBER, TOO_MANY_DECIMALS, TOO_LARGE, BAD_TIME, NEGATIVE_SIZE, OTHER_UNIT = (
    0, 1, 2, 3, 4, 5, 6, 7, 8,
)  # fmt: skip

BLANK = -(2**63)  # the value of an empty BLANK_OR_... field
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
PRICE_MAX = 2**61 - 1  # two prices and a spread still add up within int64
_WHOLE_MAX = (2**63 - 10) // 10
_YEAR_MIN, _YEAR_MAX = 1970, 2200
_EPOCH_UNITS_NS = (SECOND, 1_000_000, 1_000, 1)  # of EPOCH_S, EPOCH_MS, ...


@kernel
def _digits(text: U1, a: int, b: int) -> int:
    """The number written by the digits text[a:b], or -1 if there is anything else or nothing."""
    if a >= b:
        return -1
    value: Any = np.int64(0)
    for i in range(a, b):
        digit = np.int64(text[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return int(value)


@kernel
def _number(text: U1, a: int, b: int) -> tuple[int, int, int, bool]:
    """(code, whole part, fraction in 1e-9, negative) of [+-]digits[.digits]."""
    if a == b:
        return EMPTY, 0, 0, False
    negative = text[a] == 45
    if negative or text[a] == 43:
        a += 1
    whole: Any = np.int64(0)
    fraction: Any = np.int64(0)
    digits, decimals = 0, 0
    while a < b and 48 <= text[a] <= 57:
        if whole > _WHOLE_MAX:
            return TOO_LARGE, 0, 0, False
        whole = whole * 10 + (np.int64(text[a]) - 48)
        digits += 1
        a += 1
    if a < b and text[a] == 46:
        a += 1
        while a < b and 48 <= text[a] <= 57:
            if decimals < 9:
                fraction = fraction * 10 + (np.int64(text[a]) - 48)
            decimals += 1
            a += 1
    if a != b or digits + decimals == 0:
        return BAD_NUMBER, 0, 0, False
    if decimals > 9:
        return TOO_MANY_DECIMALS, 0, 0, False
    for _ in range(9 - decimals):
        fraction *= 10
    return GOOD, whole, fraction, negative


@kernel
def _nanos(text: U1, a: int, b: int, limit: int) -> tuple[int, int]:
    code, whole, fraction, negative = _number(text, a, b)
    if code != GOOD:
        return code, 0
    if whole > limit // SECOND or (whole == limit // SECOND and fraction > limit % SECOND):
        return TOO_LARGE, 0
    value = whole * SECOND + fraction
    return GOOD, -value if negative else value


@kernel
def _epoch_of(whole: int) -> int:
    """The kind of epoch that a count has by its magnitude."""
    return EPOCH_S if whole < 10**11 else EPOCH_MS if whole < 10**14 else EPOCH_US if whole < 10**17 else EPOCH_NS


@kernel
def _scaled_time(text: U1, a: int, b: int, unit: int, epoch: int) -> tuple[int, int]:
    """A decimal count of units of `unit` ns as ns; exact or refused. `epoch` is its kind if it is one, else 0."""
    code, whole, fraction, negative = _number(text, a, b)
    if code != GOOD:
        return (BAD_TIME if code == BAD_NUMBER else code), 0
    if negative:
        return BAD_TIME, 0
    if epoch and _epoch_of(whole) != epoch:
        return OTHER_UNIT, 0
    if whole > 7_289_654_400 * SECOND // unit:
        return BAD_TIME, 0
    if fraction * unit % SECOND != 0:
        return TOO_MANY_DECIMALS, 0
    return GOOD, whole * unit + fraction * unit // SECOND


@kernel
def _date(year: int, month: int, day: int) -> int:
    """ns of a proleptic Gregorian date since 1970, or -1 (days_from_civil of Howard Hinnant's date algorithms)."""
    if year < _YEAR_MIN or year > _YEAR_MAX or month < 1 or month > 12 or day < 1:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    length = (29 if leap else 28) if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if day > length:
        return -1
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days * DAY


@kernel
def _long_date(text: U1, a: int, b: int) -> int:
    """YYYY-MM-DD or YYYY.MM.DD at exactly text[a:b]."""
    if b - a != 10 or text[a + 4] != text[a + 7] or (text[a + 4] != 45 and text[a + 4] != 46):
        return -1
    return _date(_digits(text, a, a + 4), _digits(text, a + 5, a + 7), _digits(text, a + 8, b))


@kernel
def _clock(hour: int, minute: int, second: int) -> int:
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1
    return (hour * 3600 + minute * 60 + second) * SECOND


@kernel
def _time_of_day(text: U1, a: int, b: int) -> int:
    """HH:MM[:SS[.fraction]] at exactly text[a:b], as ns."""
    if b - a < 5 or text[a + 2] != 58:
        return -1
    second, fraction = 0, 0
    if b - a > 5:
        if b - a < 8 or text[a + 5] != 58:
            return -1
        second = _digits(text, a + 6, a + 8)
        if second < 0:
            return -1
        if b - a > 8:
            decimals = b - a - 9
            if text[a + 8] != 46 or decimals > 9:
                return -1
            fraction = _digits(text, a + 9, b)
            if fraction < 0:
                return -1
            for _ in range(9 - decimals):
                fraction *= 10
    clock = _clock(_digits(text, a, a + 2), _digits(text, a + 3, a + 5), second)
    return clock + fraction if clock >= 0 else -1


@kernel
def _iso_time(text: U1, a: int, b: int) -> int:
    """YYYY-MM-DD[T ]HH:MM[:SS[.fraction]][Z|+HH:MM|-HH:MM] as ns UTC; without a zone it is UTC."""
    if b - a < 16 or (text[a + 10] != 32 and text[a + 10] != 84) or text[a + 4] != 45:
        return -1
    shift = 0
    if text[b - 1] == 90:
        b -= 1
    elif b - a >= 22 and (text[b - 6] == 43 or text[b - 6] == 45) and text[b - 3] == 58:
        shift = _clock(_digits(text, b - 5, b - 3), _digits(text, b - 2, b), 0)
        if shift < 0:
            return -1
        if text[b - 6] == 45:
            shift = -shift
        b -= 6
    date, clock = _long_date(text, a, a + 10), _time_of_day(text, a + 11, b)
    return max(date + clock - shift, -1) if date >= 0 and clock >= 0 else -1


@kernel
def _compact_time(text: U1, a: int, b: int) -> int:
    """YYYYMMDD HHMMSS[mmm] as ns."""
    if (b - a != 15 and b - a != 18) or text[a + 8] != 32:
        return -1
    date = _date(_digits(text, a, a + 4), _digits(text, a + 4, a + 6), _digits(text, a + 6, a + 8))
    clock = _clock(_digits(text, a + 9, a + 11), _digits(text, a + 11, a + 13), _digits(text, a + 13, a + 15))
    millis = _digits(text, a + 15, b) if b - a == 18 else 0
    return date + clock + millis * 1_000_000 if date >= 0 and clock >= 0 and millis >= 0 else -1


@kernel
def parse_field(text: U1, a: int, b: int, kind: int) -> tuple[int, int]:
    """(code, value) of one field."""
    while a < b and text[a] == 32:
        a += 1
    while b > a and text[b - 1] == 32:
        b -= 1
    if a == b and kind in (BLANK_OR_PRICE, BLANK_OR_AMOUNT):
        return GOOD, BLANK
    if kind in (PRICE, BLANK_OR_PRICE):
        return _nanos(text, a, b, PRICE_MAX)
    if kind in (AMOUNT, BLANK_OR_AMOUNT):
        code, value = _nanos(text, a, b, 2**63 - 1)
        return (NEGATIVE_SIZE, 0) if value < 0 else (code, value)
    if kind == COUNT:
        value = _digits(text, a, min(b, a + 9))
        return (GOOD, value) if value >= 0 and b - a <= 9 else (BAD_NUMBER, 0)
    if a == b:
        return EMPTY, 0
    if kind >= EPOCH_S:
        return _scaled_time(text, a, b, _EPOCH_UNITS_NS[kind - EPOCH_S], kind)
    if kind == MILLISECONDS_OF_DAY:
        code, value = _scaled_time(text, a, b, 1_000_000, 0)
        return (BAD_TIME, 0) if value >= DAY else (code, value)
    if kind == ISO_TIME:
        value = _iso_time(text, a, b)
    elif kind == COMPACT_TIME:
        value = _compact_time(text, a, b)
    elif kind == DATE:
        value = _long_date(text, a, b)
    else:
        value = _time_of_day(text, a, b)
    return (GOOD, value) if value >= 0 else (BAD_TIME, 0)


def time_kind(field: str) -> int | None:
    """How a time is written: ISO, or an epoch whose unit its magnitude tells; None if it is neither."""
    text = np.frombuffer(field.encode(), np.uint8)
    code, whole, _, negative = _number(text, 0, len(text))
    if code == GOOD:
        return None if negative else int(_epoch_of(whole))
    return ISO_TIME if "-" in field else None


def date_ns(digits: str) -> int:
    """ns UTC of a date YYYYMMDD, or -1."""
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return -1
    return int(_date(int(digits[:4]), int(digits[4:6]), int(digits[6:])))
