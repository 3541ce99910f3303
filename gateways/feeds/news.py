"""An event calendar as CSV: `time,currency,impact,title`, one release a row, times ISO 8601 (UTC if unnamed)."""

import csv
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from domain.errors import InvalidInput
from domain.instructions import NewsEntry
from gateways.feeds.sources import unreadable
from gateways.times import time_ns

COLUMNS = ("time", "currency", "impact", "title")
IMPACTS = {"low": 1, "medium": 2, "high": 3, "1": 1, "2": 2, "3": 3}
SHOWN = 60  # letters of a wrong value
PART_ENTRIES, PART_BYTES = 2_000, 400 << 10  # of one instruction


def read_calendar(path: Path) -> tuple[NewsEntry, ...]:
    """The entries in order of time, each once. Raises InvalidInput naming file, line, field and value (no row is
    guessed at, and none is left out), and Unavailable when its disk does not answer."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            entries = set(_entries(path, csv.DictReader(file, strict=True)))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text ({error}); save the calendar as UTF-8") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if not entries:
        raise InvalidInput(f"{path}: the calendar has no entry")
    return tuple(sorted(entries, key=lambda entry: (entry.time_ns, entry.currency, entry.title, entry.impact)))


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


def _entries(path: Path, rows: "csv.DictReader[str]") -> Iterator[NewsEntry]:
    try:
        rows.fieldnames = _columns(path, rows.fieldnames or [])
        for row in rows:
            yield _entry(path, rows.line_num, row)
    except csv.Error as error:
        raise InvalidInput(f"{path}, behind line {rows.line_num}: {error}; is a double quote not closed?") from None


def _columns(path: Path, found: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in found]
    for column in COLUMNS:
        if names.count(column) != 1:
            raise InvalidInput(
                f"{path}: column {column!r} is {'there twice' if column in names else 'missing'} in its first line "
                f"{','.join(found)[:SHOWN]!r}; a calendar's first line is {','.join(COLUMNS)}"
            )
    return names


def _entry(path: Path, line: int, row: Mapping[str | None, Any]) -> NewsEntry:
    where = f"{path}, line {line}"
    if None in row or None in row.values():
        raise InvalidInput(
            f"{where}: it has {'more' if None in row else 'fewer'} cells than the first line; a title with a comma "
            "stands in double quotes"
        )
    text = {column: row[column].strip() for column in COLUMNS}
    if any(unicodedata.category(letter) == "Cc" for letter in text["title"]):
        raise InvalidInput(
            f"{where}: title {text['title'][:SHOWN]!r} holds a control character or a line's end; is a double quote "
            "not closed?"
        )
    impact = IMPACTS.get(text["impact"].lower())
    if impact is None:
        raise InvalidInput(f"{where}: impact {text['impact'][:SHOWN]!r} is not low, medium or high")
    try:
        time = time_ns(text["time"])
    except ValueError as error:
        raise InvalidInput(f"{where}: time {text['time'][:SHOWN]!r} {error}") from None
    try:
        return NewsEntry(time_ns=time, currency=text["currency"].upper(), impact=impact, title=text["title"])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field, value = problem["loc"][0], str(problem["input"])[:SHOWN]
        raise InvalidInput(f"{where}: {field} {value!r}: {problem['msg']}") from None
