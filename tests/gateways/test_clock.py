"""Clock records: marks at hand-written times, between the right ticks, whatever the cut; and a live clock that never
goes back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import tape
from domain.errors import DeskError
from domain.ports import TapeEnd
from domain.tape import CLOCK, MINUTE, SECOND, empty_ticks, market
from gateways import clock
from gateways.clock import LiveClock, second_mark, session_marks, sessions_open, with_clock
from tests import canonical
from tests.canonical import MINUTE_NS, SECOND_NS

NAMES = {
    name: getattr(tape, name)
    for name in (
        "SYDNEY_OPEN SYDNEY_CLOSE TOKYO_OPEN TOKYO_CLOSE LONDON_OPEN LONDON_CLOSE NEW_YORK_OPEN NEW_YORK_CLOSE "
        "WEEK_OPEN WEEK_CLOSING WEEK_CLOSE PRAGUE_MIDNIGHT MINUTE SECOND"
    ).split()
}


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


def ticks_at(*times: int) -> Any:
    ticks = empty_ticks(len(times))
    ticks["event_time"] = ticks["receive_time"] = times
    ticks["kind"], ticks["instrument"] = tape.QUOTE, 1
    ticks["reference"] = np.arange(1, len(times) + 1)
    return ticks


def names(flags: int) -> set[str]:
    return {name for name, mark in NAMES.items() if flags & mark}


def marks_of_day(day: str) -> dict[str, set[str]]:
    """UTC time of day -> marks, midnight included, the next one not."""
    start = ns(day)
    times, flags = session_marks(start - 1, start + 86_400 * SECOND_NS - 1)
    return {
        (datetime.fromtimestamp(int(time) // SECOND_NS, UTC)).strftime("%H:%M:%S"): names(int(flag))
        for time, flag in zip(times, flags, strict=True)
    }


def clock_records(records: Any) -> list[tuple[int, int]]:
    return [(int(r["receive_time"]), int(r["flags"])) for r in records if r["kind"] == CLOCK]


def end_behind(records: Any) -> TapeEnd:
    last = records[-1]
    return TapeEnd(ordinal=len(records), time_ns=int(last["receive_time"]), after_tick=bool(last["kind"] != CLOCK))


# -- the hours, by hand ------------------------------------------------------------------------------------------------

WINTER = {  # everybody on winter time, Sydney on summer time (UTC+11)
    "00:00:00": {"TOKYO_OPEN"},
    "05:00:00": {"SYDNEY_CLOSE"},
    "08:00:00": {"LONDON_OPEN"},
    "09:00:00": {"TOKYO_CLOSE"},
    "13:00:00": {"NEW_YORK_OPEN"},
    "17:00:00": {"LONDON_CLOSE"},
    "20:00:00": {"SYDNEY_OPEN"},
    "22:00:00": {"NEW_YORK_CLOSE"},
    "23:00:00": {"PRAGUE_MIDNIGHT"},
}
NEW_YORK_AHEAD = {  # New York an hour earlier, London and Prague still (or again) on winter time
    "00:00:00": {"TOKYO_OPEN"},
    "05:00:00": {"SYDNEY_CLOSE"},
    "08:00:00": {"LONDON_OPEN"},
    "09:00:00": {"TOKYO_CLOSE"},
    "12:00:00": {"NEW_YORK_OPEN"},
    "17:00:00": {"LONDON_CLOSE"},
    "20:00:00": {"SYDNEY_OPEN"},
    "21:00:00": {"NEW_YORK_CLOSE"},
    "23:00:00": {"PRAGUE_MIDNIGHT"},
}
EUROPE_TOO = {
    "00:00:00": {"TOKYO_OPEN"},
    "05:00:00": {"SYDNEY_CLOSE"},
    "07:00:00": {"LONDON_OPEN"},
    "09:00:00": {"TOKYO_CLOSE"},
    "12:00:00": {"NEW_YORK_OPEN"},
    "16:00:00": {"LONDON_CLOSE"},
    "20:00:00": {"SYDNEY_OPEN"},
    "21:00:00": {"NEW_YORK_CLOSE"},
    "22:00:00": {"PRAGUE_MIDNIGHT"},
}
SUMMER = {  # Sydney on winter time (UTC+10): it opens as New York closes
    "00:00:00": {"TOKYO_OPEN"},
    "06:00:00": {"SYDNEY_CLOSE"},
    "07:00:00": {"LONDON_OPEN"},
    "09:00:00": {"TOKYO_CLOSE"},
    "12:00:00": {"NEW_YORK_OPEN"},
    "16:00:00": {"LONDON_CLOSE"},
    "21:00:00": {"NEW_YORK_CLOSE", "SYDNEY_OPEN"},
    "22:00:00": {"PRAGUE_MIDNIGHT"},
}


def friday(day: dict[str, set[str]], closing: str, close: str) -> dict[str, set[str]]:
    """A Friday: the week closes with New York, 15 minutes after it says so; Sydney does not open again."""
    without = {time: marks - {"SYDNEY_OPEN"} for time, marks in day.items() if marks != {"SYDNEY_OPEN"}}
    return dict(sorted((without | {closing: {"WEEK_CLOSING"}, close: without[close] | {"WEEK_CLOSE"}}).items()))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # In January the hours of domain facts (e): London 08-17, New York 13-22, Sydney 20-05.
        ("2026-01-14", WINTER),
        # New York changes on Sunday 2026-03-08.
        ("2026-03-06", friday(WINTER, "21:45:00", "22:00:00")),
        ("2026-03-07", {"23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-03-08", {"20:00:00": {"SYDNEY_OPEN"}, "21:00:00": {"WEEK_OPEN"}, "23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-03-09", NEW_YORK_AHEAD),
        ("2026-03-16", NEW_YORK_AHEAD),
        # Europe changes on Sunday 2026-03-29.
        ("2026-03-27", friday(NEW_YORK_AHEAD, "20:45:00", "21:00:00")),
        ("2026-03-28", {"23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-03-29", {"20:00:00": {"SYDNEY_OPEN"}, "21:00:00": {"WEEK_OPEN"}, "22:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-03-30", EUROPE_TOO),
        ("2026-07-15", SUMMER),
        # Europe changes back on Sunday 2026-10-25 (Sydney went ahead on 2026-10-04).
        ("2026-10-23", friday(EUROPE_TOO, "20:45:00", "21:00:00")),
        ("2026-10-24", {"22:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-10-25", {"20:00:00": {"SYDNEY_OPEN"}, "21:00:00": {"WEEK_OPEN"}, "23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-10-26", NEW_YORK_AHEAD),
        ("2026-10-28", NEW_YORK_AHEAD),
        # New York changes back on Sunday 2026-11-01.
        ("2026-10-30", friday(NEW_YORK_AHEAD, "20:45:00", "21:00:00")),
        ("2026-10-31", {"23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-11-01", {"20:00:00": {"SYDNEY_OPEN"}, "22:00:00": {"WEEK_OPEN"}, "23:00:00": {"PRAGUE_MIDNIGHT"}}),
        ("2026-11-02", WINTER),
        # The local day may begin in the UTC year before.
        ("2025-12-31", WINTER),
        ("2026-01-01", WINTER),
    ],
)
def test_marks_stand_at_the_hours_of_the_sessions(day: str, expected: dict[str, set[str]]) -> None:
    assert marks_of_day(day) == expected


def test_the_week_is_closing_a_quarter_of_an_hour_before_it_closes() -> None:
    times, flags = session_marks(ns("2026-01-01"), ns("2027-01-01"))
    closing, close = (times[flags & mark != 0] for mark in (tape.WEEK_CLOSING, tape.WEEK_CLOSE))
    assert len(closing) == 52
    assert (close - closing == 15 * MINUTE_NS).all()


@pytest.mark.parametrize(
    ("first", "second", "hours"),
    [
        ("2026-03-27T23:00:00", "2026-03-28T23:00:00", 24),
        ("2026-03-28T23:00:00", "2026-03-29T22:00:00", 23),
        ("2026-10-24T22:00:00", "2026-10-25T23:00:00", 25),
    ],
)
def test_a_prague_day_lasts_23_or_25_hours_when_the_clock_is_changed(first: str, second: str, hours: int) -> None:
    times, flags = session_marks(ns(first) - 1, ns(second))
    midnights = times[flags & tape.PRAGUE_MIDNIGHT != 0].tolist()
    assert midnights == [ns(first), ns(second)]
    assert (midnights[1] - midnights[0]) == hours * 3600 * SECOND_NS


def test_marks_of_one_time_are_one_record() -> None:
    times, flags = session_marks(ns("2019-12-20"), ns("2027-02-01"))
    assert (np.diff(times) > 0).all()
    both = [names(int(flag)) for flag in flags if len(names(int(flag))) > 1]
    assert {"NEW_YORK_CLOSE", "WEEK_CLOSE"} in both


def test_a_span_is_open_at_its_start_and_closed_at_its_end() -> None:
    opening = ns("2026-01-14T08:00:00")
    assert session_marks(opening - 1, opening)[0].tolist() == [opening]
    assert session_marks(opening, opening + 1)[0].tolist() == []
    assert session_marks(opening, opening)[0].tolist() == []


SYDNEY, TOKYO, LONDON, NEW_YORK = "SYDNEY_OPEN", "TOKYO_OPEN", "LONDON_OPEN", "NEW_YORK_OPEN"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        # January: Sydney 20-05, Tokyo 00-09, London 08-17, New York 13-22.
        ("2026-01-14T00:00:00", {SYDNEY, TOKYO}),
        ("2026-01-14T04:59:59", {SYDNEY, TOKYO}),
        ("2026-01-14T05:00:00", {TOKYO}),
        ("2026-01-14T08:00:00", {TOKYO, LONDON}),
        ("2026-01-14T09:00:00", {LONDON}),
        ("2026-01-14T12:59:59", {LONDON}),
        ("2026-01-14T13:00:00", {LONDON, NEW_YORK}),
        ("2026-01-14T17:00:00", {NEW_YORK}),
        ("2026-01-14T20:00:00", {NEW_YORK, SYDNEY}),
        ("2026-01-14T22:00:00", {SYDNEY}),
        ("2026-01-01T00:30:00", {SYDNEY, TOKYO}),  # opened in the year before
        # July: Sydney 21-06, Tokyo 00-09, London 07-16, New York 12-21.
        ("2026-07-15T05:30:00", {SYDNEY, TOKYO}),
        ("2026-07-15T06:30:00", {TOKYO}),
        ("2026-07-15T07:30:00", {TOKYO, LONDON}),
        ("2026-07-15T12:30:00", {LONDON, NEW_YORK}),
        ("2026-07-15T16:30:00", {NEW_YORK}),
        ("2026-07-15T20:59:59", {NEW_YORK}),
        ("2026-07-15T21:00:00", {SYDNEY}),
        # Between 2026-03-08 and 2026-03-29 New York is an hour ahead of the others: London 08-17, New York 12-21.
        ("2026-03-11T07:30:00", {TOKYO}),
        ("2026-03-11T12:30:00", {LONDON, NEW_YORK}),
        ("2026-03-25T16:30:00", {LONDON, NEW_YORK}),
        ("2026-03-25T20:30:00", {NEW_YORK, SYDNEY}),
        ("2026-03-25T21:30:00", {SYDNEY}),
        # Weekends: from New York's Friday close until Monday 07:00 in Sydney.
        ("2026-01-16T21:59:59", {NEW_YORK}),
        ("2026-01-16T22:00:00", set()),
        ("2026-01-17T03:00:00", set()),
        ("2026-01-17T14:00:00", set()),
        ("2026-01-18T14:00:00", set()),
        ("2026-01-18T19:59:59", set()),
        ("2026-01-18T20:00:00", {SYDNEY}),
        ("2026-07-18T09:00:00", set()),
        ("2026-07-19T20:59:59", set()),
        ("2026-07-19T21:00:00", {SYDNEY}),
    ],
)
def test_the_sessions_that_are_open_are_known_at_any_time(time: str, expected: set[str]) -> None:
    assert names(sessions_open(ns(time)) & ~tape.WEEK_CLOSING) == expected


@given(st.integers(ns("2024-01-01") // MINUTE_NS, ns("2028-01-01") // MINUTE_NS))
@settings(max_examples=300, deadline=None)
def test_a_session_is_open_between_its_local_hours(minute: int) -> None:
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    hours: dict[str, dict[str, int]] = {}
    for zone, _, hour, _, mark in ZONES[:8]:
        hours.setdefault(zone, {})[mark] = hour
    expected = set()
    for zone, marks in hours.items():
        (opening, first), (_, last) = marks.items()
        local = now.astimezone(ZoneInfo(zone))
        if first <= local.hour < last and local.weekday() < 5:
            expected.add(opening)
    assert names(sessions_open(minute * MINUTE_NS) & ~tape.WEEK_CLOSING) == expected


# -- between ticks -----------------------------------------------------------------------------------------------------

ZONES = [
    ("Australia/Sydney", range(5), 7, 0, "SYDNEY_OPEN"),
    ("Australia/Sydney", range(5), 16, 0, "SYDNEY_CLOSE"),
    ("Asia/Tokyo", range(5), 9, 0, "TOKYO_OPEN"),
    ("Asia/Tokyo", range(5), 18, 0, "TOKYO_CLOSE"),
    ("Europe/London", range(5), 8, 0, "LONDON_OPEN"),
    ("Europe/London", range(5), 17, 0, "LONDON_CLOSE"),
    ("America/New_York", range(5), 8, 0, "NEW_YORK_OPEN"),
    ("America/New_York", range(5), 17, 0, "NEW_YORK_CLOSE"),
    ("America/New_York", [6], 17, 0, "WEEK_OPEN"),
    ("America/New_York", [4], 16, 45, "WEEK_CLOSING"),
    ("America/New_York", [4], 17, 0, "WEEK_CLOSE"),
    ("Europe/Prague", range(7), 0, 0, "PRAGUE_MIDNIGHT"),
]


def oracle(times: list[int]) -> list[tuple[int, int]]:
    """Minute by minute from the first tick to the last: what time is it in each city, and was there a tick?"""
    held = {time // MINUTE_NS for time in times}
    found = []
    for minute in range(times[0] // MINUTE_NS + 1, times[-1] // MINUTE_NS + 1):
        flags = MINUTE if minute - 1 in held else 0
        now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        if now.minute % 15 == 0:
            for zone, weekdays, hour, quarter, mark in ZONES:
                local = now.astimezone(ZoneInfo(zone))
                if (local.hour, local.minute) == (hour, quarter) and local.weekday() in weekdays:
                    flags |= NAMES[mark]
        if flags:
            found.append((minute * MINUTE_NS, flags))
    return found


@st.composite
def tick_times(draw: Any) -> list[int]:
    """Ticks around a day on which some clock is changed, crowded, sparse, or exactly on the minute."""
    day = draw(st.sampled_from(["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2025-12-31", "2026-07-10"]))
    steps = st.sampled_from([step * SECOND_NS for step in (0, 7, 59, 60, 3600, 17 * 3600)] + [1])
    start = ns(day) - draw(st.integers(0, 40)) * 3600 * SECOND_NS + draw(st.sampled_from([0, 1, 30 * SECOND_NS]))
    return [start, *(start + np.cumsum(draw(st.lists(steps, max_size=30)), dtype=np.int64)).tolist()]


@given(tick_times())
@settings(max_examples=60, deadline=None)
def test_the_records_are_those_of_a_walk_minute_by_minute(times: list[int]) -> None:
    ticks = ticks_at(*times)
    records = with_clock(ticks, TapeEnd())
    assert clock_records(records) == oracle(times)
    assert records[market(records)].tobytes() == ticks.tobytes()
    clocks = records[~market(records)]
    assert (clocks["event_time"] == clocks["receive_time"]).all()
    assert not any(clocks[name].any() for name in ("bid", "ask", "bid_size", "ask_size", "instrument", "reference"))


@given(tick_times())
@settings(max_examples=60, deadline=None)
def test_time_never_goes_back_and_a_clock_record_stands_before_ticks_of_its_time(times: list[int]) -> None:
    records = with_clock(ticks_at(*times), TapeEnd())
    assert (np.diff(records["receive_time"]) >= 0).all()
    for before, after in pairwise(records):
        assert after["kind"] != CLOCK or before["receive_time"] < after["receive_time"]


@given(tick_times(), st.lists(st.integers(1, 80), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_the_same_records(times: list[int], cuts: list[int]) -> None:
    """Also a cut between a clock record and its tick, as the writer makes it when a block is full."""
    ticks = ticks_at(*times)
    whole = with_clock(ticks, TapeEnd())
    written, left = empty_ticks(0), ticks
    for cut in [*cuts, len(whole)]:
        if not len(left):
            break
        part = with_clock(left, end_behind(written) if len(written) else TapeEnd())[:cut]
        written = np.concatenate([written, part])
        left = left[int(market(part).sum()) :]
    while len(left):
        part = with_clock(left, end_behind(written))
        written, left = np.concatenate([written, part]), left[len(left) :]
    assert written.tobytes() == whole.tobytes()


@given(tick_times(), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_ticks_offered_in_any_portions_give_the_same_records(times: list[int], size: int) -> None:
    ticks = ticks_at(*times)
    written = empty_ticks(0)
    for start in range(0, len(ticks), size):
        end = end_behind(written) if len(written) else TapeEnd()
        written = np.concatenate([written, with_clock(ticks[start : start + size], end)])
    assert written.tobytes() == with_clock(ticks, TapeEnd()).tobytes()


def test_no_ticks_give_no_records() -> None:
    assert len(with_clock(empty_ticks(0), TapeEnd())) == 0
    assert len(with_clock(empty_ticks(0), TapeEnd(5, canonical.MONDAY, True))) == 0


def test_there_is_no_mark_before_the_first_tick() -> None:
    first = ns("2026-01-14T08:00:00")  # London opens at this very moment
    assert clock_records(with_clock(ticks_at(first), TapeEnd())) == []
    opened = TapeEnd(ordinal=4, time_ns=first, after_tick=True, standing=4)  # a tape opened for this tick
    assert clock_records(with_clock(ticks_at(first), opened)) == []


def test_a_tick_on_the_minute_has_the_mark_of_that_minute_before_it() -> None:
    minute = ns("2026-01-14T08:00:00")
    records = with_clock(ticks_at(minute - 1, minute, minute), TapeEnd())
    assert records["kind"].tolist() == [tape.QUOTE, CLOCK, tape.QUOTE, tape.QUOTE]
    assert records["receive_time"].tolist() == [minute - 1, minute, minute, minute]
    assert names(int(records["flags"][1])) == {"MINUTE", "LONDON_OPEN"}


def test_over_a_weekend_stand_the_end_of_the_last_minute_and_the_marks_of_the_sessions() -> None:
    records = with_clock(ticks_at(ns("2026-01-16T21:58:30"), ns("2026-01-18T22:05:10")), TapeEnd())
    assert [(time, names(flags)) for time, flags in clock_records(records)] == [
        (ns("2026-01-16T21:59:00"), {"MINUTE"}),
        (ns("2026-01-16T22:00:00"), {"NEW_YORK_CLOSE", "WEEK_CLOSE"}),
        (ns("2026-01-16T23:00:00"), {"PRAGUE_MIDNIGHT"}),
        (ns("2026-01-17T23:00:00"), {"PRAGUE_MIDNIGHT"}),
        (ns("2026-01-18T20:00:00"), {"SYDNEY_OPEN"}),
        (ns("2026-01-18T22:00:00"), {"WEEK_OPEN"}),
    ]


# -- live --------------------------------------------------------------------------------------------------------------


class Clocks:
    """A wall clock and a monotonic clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall: int) -> None:
        self.wall, self.monotonic = wall, 5_000 * SECOND_NS
        monkeypatch.setattr(clock.time, "time_ns", lambda: self.wall)
        monkeypatch.setattr(clock.time, "monotonic_ns", lambda: self.monotonic)


NOW = ns("2026-01-14T10:30:15") + 123


def test_the_live_clock_is_the_wall_at_the_start_and_monotonic_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, NOW)
    live = LiveClock(TapeEnd())
    assert live.now_ns() == NOW
    clocks.wall -= 3600 * SECOND_NS  # somebody sets the machine's clock back
    clocks.monotonic += 7
    assert live.now_ns() == NOW + 7
    assert live.drift_ns() == -3600 * SECOND_NS - 7


def test_the_live_clock_begins_no_earlier_than_the_tape_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    Clocks(monkeypatch, NOW)
    assert LiveClock(TapeEnd(3, NOW - 50)).now_ns() == NOW
    assert LiveClock(TapeEnd(3, NOW + 999_999_999)).now_ns() == NOW + 999_999_999
    assert LiveClock(TapeEnd(3, NOW + SECOND_NS)).now_ns() == NOW + SECOND_NS


def test_a_tape_that_ends_in_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Clocks(monkeypatch, NOW)
    with pytest.raises(DeskError, match=r"1\.500 s behind the end of the tape.*--desk NEW"):
        LiveClock(TapeEnd(3, NOW + 1_500_000_000))


def test_a_second_is_marked_once_and_full_minutes_as_such() -> None:
    second = ns("2026-01-14T10:30:15")
    marks = second_mark(second + 999_999_999, TapeEnd())
    assert clock_records(marks) == [(second, SECOND)]
    assert clock_records(second_mark(second + 999_999_999, end_behind(marks))) == []
    assert clock_records(second_mark(second + SECOND_NS, end_behind(marks))) == [(second + SECOND_NS, SECOND)]
    minute = ns("2026-01-14T10:31:00")
    assert clock_records(second_mark(minute + 5, end_behind(marks))) == [(minute, SECOND | MINUTE)]


def test_a_second_that_a_tick_has_passed_is_not_marked_behind_it() -> None:
    second = ns("2026-01-14T10:30:15")
    assert clock_records(second_mark(second + 20, end_behind(ticks_at(second + 10)))) == []
    assert clock_records(second_mark(second + 20, end_behind(ticks_at(second)))) == []
    assert clock_records(second_mark(second + 20, end_behind(ticks_at(second - 1)))) == [(second, SECOND)]


def test_a_live_tape_that_slept_marks_the_sessions_it_slept_through() -> None:
    slept = end_behind(ticks_at(ns("2026-01-16T21:58:30")))
    marks = second_mark(ns("2026-01-18T22:00:00") + 5, slept)
    assert [(time, names(flags)) for time, flags in clock_records(marks)] == [
        (ns("2026-01-16T22:00:00"), {"NEW_YORK_CLOSE", "WEEK_CLOSE"}),
        (ns("2026-01-16T23:00:00"), {"PRAGUE_MIDNIGHT"}),
        (ns("2026-01-17T23:00:00"), {"PRAGUE_MIDNIGHT"}),
        (ns("2026-01-18T20:00:00"), {"SYDNEY_OPEN"}),
        (ns("2026-01-18T22:00:00"), {"WEEK_OPEN", "SECOND", "MINUTE"}),
    ]


def test_a_minute_that_ends_between_a_second_mark_and_a_tick_is_marked() -> None:
    """Live, a tick may overtake the mark of a full minute: the end of that minute must not be lost."""
    minute = ns("2026-01-14T10:31:00")
    end = end_behind(second_mark(minute - SECOND_NS, TapeEnd()))
    records = with_clock(ticks_at(minute + 1), end)
    assert clock_records(records) == [(minute, MINUTE)]
    assert clock_records(second_mark(minute + 2, end_behind(records))) == []


def test_the_time_zone_data_has_a_version() -> None:
    assert clock.tzdata_version()[:2] == "20"


@pytest.mark.parametrize(
    ("at", "near"),
    [  # New York is 5 h behind UTC in January, 4 h in July
        ("2026-01-16T21:44:59", False), ("2026-01-16T21:45:00", True), ("2026-01-17T12:00:00", True),
        ("2026-01-18T21:59:59", True), ("2026-01-18T22:00:00", False), ("2026-01-14T12:00:00", False),
        ("2026-07-17T20:44:59", False), ("2026-07-17T20:45:00", True), ("2026-07-19T21:00:00", False),
    ],
)  # fmt: skip
def test_a_tape_that_opens_at_the_weeks_end_knows_it(at: str, near: bool) -> None:
    assert bool(sessions_open(ns(at)) & tape.WEEK_CLOSING) == near


def test_a_writer_that_wakes_a_second_late_marks_the_minute_all_the_same() -> None:
    end = TapeEnd(ordinal=5, time_ns=ns("2026-01-14T12:00:59"), after_tick=True)
    late = second_mark(ns("2026-01-14T12:01:01") + 200_000_000, end)
    assert [bool(flags & MINUTE) for flags in late["flags"]] == [True]
    again = second_mark(ns("2026-01-14T12:01:02"), end._replace(time_ns=int(late["receive_time"][-1])))
    assert [bool(flags & MINUTE) for flags in again["flags"]] == [False]
