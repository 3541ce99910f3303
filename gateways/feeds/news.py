"""An event calendar as CSV: `time,currency,impact,title`, one release a row, times ISO 8601 (UTC if unnamed)."""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from domain.errors import InvalidInput
from domain.instructions import NewsEntry
from gateways.feeds.sources import unreadable

COLUMNS = ("time", "currency", "impact", "title")
IMPACTS = {"low": 1, "medium": 2, "high": 3, "1": 1, "2": 2, "3": 3}
YEARS = range(1970, 2200)  # what the tape's nanoseconds hold
PART_ENTRIES, PART_BYTES = 2_000, 400 << 10  # of one instruction
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_calendar(path: Path) -> tuple[NewsEntry, ...]:
    """The entries in order of time. Raises InvalidInput naming file, line, field and value (no row is guessed), and
    Unavailable when its disk does not answer."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = [name.strip().lower() for name in rows.fieldnames or []]
            if missing := [column for column in COLUMNS if column not in names]:
                raise InvalidInput(
                    f"{path}: column {missing[0]!r} is missing; a calendar's first line is {','.join(COLUMNS)}"
                )
            rows.fieldnames = names
            entries = [_entry(path, rows.line_num, row) for row in rows]
    except OSError as error:
        raise unreadable(path, error) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} cannot be read as a calendar: {error}") from None
    if not entries:
        raise InvalidInput(f"{path}: the calendar has no entry")
    return tuple(sorted(entries, key=lambda entry: entry.time_ns))


def calendar_parts(entries: Sequence[NewsEntry]) -> Iterator[tuple[NewsEntry, ...]]:
    """The same entries in pieces that an instruction can hold."""
    part: list[NewsEntry] = []
    size = 0
    for entry in entries:
        length = len(entry.model_dump_json().encode()) + 1
        if part and (len(part) == PART_ENTRIES or size + length > PART_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(entry)
        size += length
    if part:
        yield tuple(part)


def _entry(path: Path, line: int, row: dict[str, str | None]) -> NewsEntry:
    text = {column: (row[column] or "").strip() for column in COLUMNS}
    impact = IMPACTS.get(text["impact"].lower())
    if impact is None:
        raise InvalidInput(f"{path}, line {line}: impact {text['impact']!r} is not low, medium or high")
    try:
        time = datetime.fromisoformat(text["time"])
    except ValueError:
        raise InvalidInput(
            f"{path}, line {line}: time {text['time']!r} is not a time such as 2018-06-13T18:00Z"
        ) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if time.year not in YEARS:
        raise InvalidInput(f"{path}, line {line}: time {text['time']!r} is not of the years {YEARS[0]} to {YEARS[-1]}")
    try:
        return NewsEntry(
            time_ns=(time - _EPOCH) // timedelta(microseconds=1) * 1_000,
            currency=text["currency"].upper(),
            impact=impact,
            title=text["title"],
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInput(f"{path}, line {line}: {problem['loc'][0]} {problem['input']!r}: {problem['msg']}") from None
