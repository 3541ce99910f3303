"""The tokenizer against decimal.Decimal and datetime: exact, or refused with the right reason."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.feeds import fields as t
from gateways.feeds.tokenizer import read_rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.integers(0, 229 * 365 * 86_400 * 10**6).map(lambda us: EPOCH + timedelta(days=1, microseconds=us))

patient = settings(deadline=None)  # the first call may compile


def one(field: str, kind: int) -> tuple[int, int]:
    """Code and value of a file of one field."""
    rows = read_rows(np.frombuffer(field.encode(), np.uint8), 0, ",", (kind,), False)
    return int(rows.code[0]), int(rows.values[0, 0])


def nanoseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1) * 1000


@patient
@given(
    st.sampled_from(["", "+", "-"]), st.from_regex(r"[0-9]{0,11}", fullmatch=True),
    st.sampled_from(["", "."]), st.from_regex(r"[0-9]{0,11}", fullmatch=True),
)  # fmt: skip
def test_a_price_is_exactly_its_decimal_text_or_refused(sign: str, whole: str, dot: str, fraction: str) -> None:
    if not dot:
        fraction = ""
    text = sign + whole + dot + fraction
    code, value = one(text or " ,", t.PRICE) if text else (t.EMPTY, 0)
    if not whole and not fraction:
        assert code in (t.BAD_NUMBER, t.EMPTY)
    elif len(fraction) > 9:
        assert code == t.TOO_MANY_DECIMALS
    elif abs(Decimal(text)) * 10**9 > t.PRICE_MAX:
        assert code == t.TOO_LARGE
    else:
        assert (code, value) == (t.GOOD, int(Decimal(text) * 10**9))


@patient
@given(st.text(st.characters(codec="utf-8", exclude_characters=",\n\r"), min_size=1, max_size=12))
def test_what_is_not_a_plain_decimal_is_never_taken_for_one(text: str) -> None:
    plain = text.strip(" ").lstrip("+-")
    looks_right = plain.count(".") <= 1 and plain.replace(".", "").isascii() and plain.replace(".", "").isdigit()
    if text.strip(" "):
        assert (one(text, t.PRICE)[0] in (t.GOOD, t.TOO_LARGE, t.TOO_MANY_DECIMALS)) <= looks_right


def test_the_edges_of_int64_are_refused_not_wrapped() -> None:
    assert one("9223372036.854775807", t.AMOUNT) == (t.GOOD, 2**63 - 1)
    for text in ("9223372036.854775808", "92233720368547758070", "9" * 40):
        assert one(text, t.AMOUNT) == (t.TOO_LARGE, 0)
    assert one("1e-05", t.PRICE) == (t.BAD_NUMBER, 0)
    assert one("-1", t.AMOUNT) == (t.NEGATIVE_SIZE, 0)
    assert one("1.1234567890", t.PRICE) == (t.TOO_MANY_DECIMALS, 0)


@patient
@given(instants, st.sampled_from("T "), st.sampled_from(["", "Z", "+00:00"]))
def test_iso_times_are_those_of_datetime(instant: datetime, between: str, zone: str) -> None:
    text = instant.replace(tzinfo=None).isoformat(between)
    assert one(text + zone, t.ISO_TIME) == (t.GOOD, nanoseconds(instant))


@patient
@given(instants, st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)))
def test_an_offset_is_turned_into_utc(instant: datetime, offset: timedelta) -> None:
    wall = (instant + offset).replace(tzinfo=None)
    sign, minutes = "-" if offset < timedelta(0) else "+", abs(offset) // timedelta(minutes=1)
    if 1970 <= wall.year < 2200:
        text = f"{wall.isoformat()}{sign}{minutes // 60:02}:{minutes % 60:02}"
        assert one(text, t.ISO_TIME) == (t.GOOD, nanoseconds(instant))


@patient
@given(instants)
def test_compact_times_dates_and_times_of_day_are_those_of_datetime(instant: datetime) -> None:
    instant = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    since = nanoseconds(instant)
    assert one(f"{instant:%Y%m%d %H%M%S}{instant.microsecond // 1000:03}", t.COMPACT_TIME) == (t.GOOD, since)
    assert one(f"{instant:%Y.%m.%d}", t.DATE) == (t.GOOD, since // t.DAY * t.DAY)
    assert one(f"{instant:%H:%M:%S}.{instant.microsecond // 1000:03}", t.TIME_OF_DAY) == (t.GOOD, since % t.DAY)


@patient
@given(st.integers(0, 9999), st.integers(0, 19), st.integers(0, 39), st.integers(0, 29), st.integers(0, 69))
def test_impossible_dates_and_hours_are_refused(year: int, month: int, day: int, hour: int, minute: int) -> None:
    try:
        valid = 1970 <= datetime(year, month, day, hour, minute, tzinfo=UTC).year <= 2200
    except ValueError:
        valid = False
    assert (one(f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:00", t.ISO_TIME)[0] == t.GOOD) == valid


@pytest.mark.parametrize(("day", "code"), [("2000-02-29", t.GOOD), ("2100-02-29", t.BAD_TIME), ("2024-02-29", t.GOOD)])
def test_leap_years_are_the_gregorian_ones(day: str, code: int) -> None:
    assert one(f"{day} 00:00", t.ISO_TIME)[0] == code


@patient
@given(instants)
def test_an_epoch_is_read_in_its_unit_and_refused_in_any_other(instant: datetime) -> None:
    instant = max(instant, datetime(1980, 1, 1, tzinfo=UTC)).replace(microsecond=0)
    seconds = nanoseconds(instant) // t.SECOND
    units = {t.EPOCH_S: "", t.EPOCH_MS: "000", t.EPOCH_US: "000000", t.EPOCH_NS: "000000000"}
    for written, zeros in units.items():
        assert t.time_kind(f"{seconds}{zeros}") == written
        for kind in units:
            expected = (t.GOOD, seconds * t.SECOND) if kind == written else (t.OTHER_UNIT, 0)
            assert one(f"{seconds}{zeros}.0", kind) == expected
    assert one(f"{seconds}.123456789", t.EPOCH_S) == (t.GOOD, seconds * t.SECOND + 123_456_789)
    assert one(f"{seconds}000.1234567", t.EPOCH_MS) == (t.TOO_MANY_DECIMALS, 0)
    assert one("-1", t.EPOCH_S) == (t.BAD_TIME, 0)


@pytest.mark.parametrize("field", ["", "x", "-5", "9" * 5000, "1.1.1", "\u0663"])
def test_what_is_no_time_does_not_say_how_times_are_written(field: str) -> None:
    assert t.time_kind(field) is None


def test_milliseconds_of_a_day_keep_their_decimals_and_end_at_midnight() -> None:
    assert one("62.2662", t.MILLISECONDS_OF_DAY) == (t.GOOD, 62_266_200)
    assert one("86399999.999999", t.MILLISECONDS_OF_DAY) == (t.GOOD, t.DAY - 1)
    assert one("86400000", t.MILLISECONDS_OF_DAY) == (t.BAD_TIME, 0)
    assert one("-1", t.MILLISECONDS_OF_DAY) == (t.BAD_TIME, 0)


def test_lines_are_counted_with_blank_ones_and_fields_must_be_as_many_as_columns() -> None:
    text = b"head\r\n\r\n1,2\r\n\n3\n4,5,6\n7,\n8,9"
    rows = read_rows(np.frombuffer(text, np.uint8), 0, ",", (t.PRICE, t.PRICE), True)
    assert rows.line.tolist() == [3, 5, 6, 7, 8]
    assert rows.code.tolist() == [t.GOOD, t.WRONG_FIELDS, t.WRONG_FIELDS, t.EMPTY, t.GOOD]
    assert rows.field.tolist()[3] == 1
    assert rows.values[:, [0, 4]].tolist() == [[1 * 10**9, 8 * 10**9], [2 * 10**9, 9 * 10**9]]
    assert text[rows.begin[2] : rows.end[2]] == b"4,5,6"
