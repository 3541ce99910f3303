"""Times as they are typed: exact to the nanosecond, in every zone, or refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from domain.errors import InvalidInput
from domain.tape import utc
from gateways.cli import time_of
from gateways.times import time_ns


@given(some.integers(0, 3_900_000_000 * 10**9))
def test_every_time_that_the_desk_prints_can_be_typed(ns: int) -> None:
    assert time_ns(utc(ns)) == ns


@given(some.datetimes(datetime(1970, 1, 2), datetime(2095, 1, 1)), some.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_a_time_of_any_zone_is_the_same_moment(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    whole = int((zoned - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    assert time_ns(zoned.isoformat()) // 10**6 == whole // 10**3


def test_a_time_without_a_zone_is_utc_and_a_day_begins_at_midnight() -> None:
    assert time_ns("2018-01-02") == time_ns("2018-01-02T00:00Z") == time_ns("2018-01-02T01:00+01:00")
    assert time_ns("2018-01-02") == 1_514_851_200 * 10**9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "is not a time such as 2018-06-13"),
        ("", "is not a time"),
        ("1528912800", "is not a time"),
        ("2018-13-01", "is not a time"),
        ("2018-06-13T12:00:00.1234567891Z", "is finer than a nanosecond"),
        ("1969-12-31T23:59:59Z", "is not of the years 1970 to 2095"),
        ("1970-01-01T00:00+00:01", "is not of the years"),
        ("2096-01-01", "is not of the years"),
        ("9999-12-31", "is not of the years"),
        ("0001-01-01T00:00+14:00", "is not of the years"),
    ],
)
def test_what_is_no_time_of_the_desk_is_refused_by_option_and_value(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        time_of("--from", text)
    assert f"--from {text!r} {reason}" in str(refused.value)


def test_nothing_said_is_no_time() -> None:
    assert time_of("--from", None) is None
