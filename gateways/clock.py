"""Time on the tape: the marks that the sequencer computes (the engine never asks a time zone), and the live clock.

Marks are the ends of minutes that held a tick, the openings and closings of the trading sessions, the FX week (and 15
minutes before it closes) and the Prague midnights. A clock record stands before market ticks of equal time and never
closes a bar.
"""

import time
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from domain import tape
from domain.errors import DeskError
from domain.ports import TapeEnd
from domain.tape import Ticks

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 1440 * MINUTE_NS

# (zone, first weekday, last weekday, local hour, minute, mark); Monday is 0. Source: the sessions' local trading hours.
_DAILY = (
    ("Australia/Sydney", 0, 4, 7, 0, tape.SYDNEY_OPEN),
    ("Australia/Sydney", 0, 4, 16, 0, tape.SYDNEY_CLOSE),
    ("Asia/Tokyo", 0, 4, 9, 0, tape.TOKYO_OPEN),
    ("Asia/Tokyo", 0, 4, 18, 0, tape.TOKYO_CLOSE),
    ("Europe/London", 0, 4, 8, 0, tape.LONDON_OPEN),
    ("Europe/London", 0, 4, 17, 0, tape.LONDON_CLOSE),
    ("America/New_York", 0, 4, 8, 0, tape.NEW_YORK_OPEN),
    ("America/New_York", 0, 4, 17, 0, tape.NEW_YORK_CLOSE),
    ("America/New_York", 6, 6, 17, 0, tape.WEEK_OPEN),
    ("America/New_York", 4, 4, 16, 45, tape.WEEK_CLOSING),
    ("America/New_York", 4, 4, 17, 0, tape.WEEK_CLOSE),
    ("Europe/Prague", 0, 6, 0, 0, tape.PRAGUE_MIDNIGHT),
)

# Each session's closing mark is the bit behind its opening one.
_OPENINGS = tape.SYDNEY_OPEN | tape.TOKYO_OPEN | tape.LONDON_OPEN | tape.NEW_YORK_OPEN

Marks = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]


def tzdata_version() -> str:
    """The version of the time zone data that the marks come from (recorded on the tape)."""
    return version("tzdata")


@lru_cache(maxsize=128)
def _marks_of_year(year: int) -> Marks:
    found: dict[int, int] = {}
    for zone, first_weekday, last_weekday, hour, minute, mark in _DAILY:
        local = ZoneInfo(zone)
        day = date(year, 1, 1) - timedelta(days=1)  # the local day may begin in the UTC year before
        while day <= date(year + 1, 1, 1):
            if first_weekday <= day.weekday() <= last_weekday:
                at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=local).astimezone(UTC)
                if at.year == year:
                    when = int(at.timestamp()) * SECOND_NS
                    found[when] = found.get(when, 0) | mark
            day += timedelta(days=1)
    times = np.array(sorted(found), np.int64)
    return times, np.array([found[int(when)] for when in times], np.uint16)


def session_marks(after_ns: int, until_ns: int) -> Marks:
    """Session, week and Prague midnight marks with after < time <= until, ascending; one record a time."""
    years = range(_year(after_ns), _year(until_ns) + 1)
    parts = [_marks_of_year(year) for year in years]
    times = np.concatenate([part[0] for part in parts])
    flags = np.concatenate([part[1] for part in parts])
    inside = (times > after_ns) & (times <= until_ns)
    return times[inside], flags[inside]


def sessions_open(at_ns: int) -> int:
    """The opening marks (LONDON_OPEN, ...) of the sessions that are open; at its very closing a session is not.
    Beside them WEEK_CLOSING, from that mark until the week opens again."""
    opened = near = 0
    for flags in session_marks(at_ns - 3 * DAY_NS, at_ns)[1].tolist():  # no session lasts a day, no weekend three
        opened = (opened & ~(flags >> 1) | flags) & _OPENINGS
        near = tape.WEEK_CLOSING if flags & tape.WEEK_CLOSING else 0 if flags & tape.WEEK_OPEN else near
    return opened | near


def _year(time_ns: int) -> int:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).year


def with_clock(ticks: Ticks, end: TapeEnd) -> Ticks:
    """`ticks` (market ticks, ascending receive_time, not before `end`) with the clock records that belong between them.

    Depends on the end of the tape and the ticks alone, so any cut of the ticks gives the same records.
    """
    if not len(ticks):
        return ticks
    times = ticks["receive_time"]
    started = end.ordinal > 0
    if started and int(times[-1]) < (end.time_ns // MINUTE_NS + 1) * MINUTE_NS:
        return ticks  # every mark lies on a full minute, and none is passed
    before = np.empty(len(times), np.int64)  # the time of the record before each tick
    before[0] = end.time_ns if started else times[0]
    before[1:] = times[:-1]
    minute_ends = (before // MINUTE_NS + 1) * MINUTE_NS
    due = minute_ends <= times
    if started and not end.after_tick and end.time_ns % MINUTE_NS == 0:
        due[0] = False  # the clock record there is that minute's end, or a mark behind it (a live second is not)
    sessions, session_flags = session_marks(int(before[0]), int(times[-1]))
    mark_times = np.concatenate([minute_ends[due], sessions])
    if not len(mark_times):
        return ticks
    mark_flags = np.concatenate([np.full(int(due.sum()), tape.MINUTE, np.uint16), session_flags])
    unique, inverse = np.unique(mark_times, return_inverse=True)
    clock = tape.empty_ticks(len(unique))
    clock["event_time"] = clock["receive_time"] = unique
    np.bitwise_or.at(clock["flags"], inverse, mark_flags)
    places = np.searchsorted(times, unique, side="left") + np.arange(len(unique))
    merged = tape.empty_ticks(len(ticks) + len(unique))
    is_clock = np.zeros(len(merged), np.bool_)
    is_clock[places] = True
    tape.whole(merged)[is_clock] = tape.whole(clock)
    tape.whole(merged)[~is_clock] = tape.whole(ticks)
    return merged


class LiveClock:
    """Wall time at start plus a monotonic clock: tape time of live records. It never goes back."""

    def __init__(self, end: TapeEnd) -> None:
        wall = time.time_ns()
        if end.time_ns - wall > SECOND_NS:
            raise DeskError(
                f"the wall clock is {(end.time_ns - wall) / SECOND_NS:.3f} s behind the end of the tape; "
                "correct the clock, or start another desk with --desk NEW"
            )
        self._offset_ns = max(wall, end.time_ns) - time.monotonic_ns()

    def now_ns(self) -> int:
        """Tape time now, ns since 1970 UTC."""
        return time.monotonic_ns() + self._offset_ns

    def drift_ns(self) -> int:
        """How far the wall clock has moved away since the start; over 5 s is an alarm."""
        return time.time_ns() - self.now_ns()


def second_mark(now_ns: int, end: TapeEnd) -> Ticks:
    """The live clock's records due at `now_ns`: session marks since the end of the tape, and this second."""
    second = now_ns // SECOND_NS * SECOND_NS
    if end.ordinal and second <= end.time_ns:
        return tape.empty_ticks(0)
    times, flags = session_marks(end.time_ns if end.ordinal else second, second)
    if not len(times) or times[-1] != second:
        times, flags = np.append(times, second), np.append(flags, np.uint16(0))
    clock = tape.empty_ticks(len(times))
    clock["event_time"] = clock["receive_time"] = times
    clock["flags"] = flags
    passed = second // MINUTE_NS > (end.time_ns if end.ordinal else second - 1) // MINUTE_NS  # maybe a little late
    clock["flags"][-1] |= tape.SECOND | (tape.MINUTE if passed else 0)
    return clock
