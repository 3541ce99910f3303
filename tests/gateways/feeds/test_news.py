"""Event calendars: every entry is taken as it stands, and no bad row is guessed at."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.commands import MAX_BYTES
from domain.errors import InvalidInput
from domain.instructions import CalendarImported, NewsEntry
from gateways.feeds.news import PART_ENTRIES, calendar_parts, read_calendar

HEAD = "time,currency,impact,title\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calendar.csv"


def ns(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]


def test_entries_come_in_order_of_time_in_utc(path: Path) -> None:
    path.write_text(
        "\ufeff Title ,Impact,TIME,currency,forecast\n"
        '"CPI, core",HIGH,2018-06-13T14:30:00+02:00,usd,2.2\n'
        "Speech,1,2018-06-12,eur,\n"
        " Rate ,Medium,2018-06-13T12:30:00.000001Z,GBP,\n",
        encoding="utf-8",
    )
    assert read_calendar(path) == (
        NewsEntry(time_ns=ns(2018, 6, 12), currency="EUR", impact=1, title="Speech"),
        NewsEntry(time_ns=ns(2018, 6, 13, 12, 30), currency="USD", impact=3, title="CPI, core"),
        NewsEntry(time_ns=ns(2018, 6, 13, 12, 30) + 1_000, currency="GBP", impact=2, title="Rate"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "column 'time' is missing; a calendar's first line is time,currency,impact,title"),
        ("time,currency,title\n2018-01-01,USD,x\n", "column 'impact' is missing"),
        (HEAD, "has no entry"),
        (HEAD + "2018-01-01,USD,high,x\n2018-01-02,USD,huge,x\n", "line 3: impact 'huge' is not low, medium or high"),
        (HEAD + "tomorrow,USD,high,x\n", "line 2: time 'tomorrow' is not a time such as"),
        (HEAD + "2018-13-01,USD,high,x\n", "line 2: time '2018-13-01'"),
        (HEAD + "9999-01-01,USD,high,x\n", "line 2: time '9999-01-01' is not of the years 1970 to 2199"),
        (HEAD + "0001-01-01T00:00+14:00,USD,high,x\n", "is not of the years"),
        (HEAD + "2018-01-01,DOLLAR,high,x\n", "line 2: currency 'DOLLAR'"),
        (HEAD + f"2018-01-01,USD,high,{'x' * 201}\n", "line 2: title 'xx"),
        (HEAD + "2018-01-01,USD\n", "line 2: impact ''"),
        (HEAD + f"2018-01-01,USD,high,{'x' * 200_000}\n", "cannot be read as a calendar: field larger"),
    ],
)
def test_what_is_no_calendar_is_refused_by_line_field_and_value(path: Path, text: str, reason: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        read_calendar(path)
    assert reason in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"time,\xff\n", b"\x1f\x8b\x08\x00binary", None])
def test_what_is_no_text_is_refused(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"calendar\.csv"):
        read_calendar(path)


def test_a_folder_is_no_calendar(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read \\(Is a directory"):
        read_calendar(tmp_path)


@given(st.lists(st.integers(0, 200), max_size=40), st.sampled_from(["x", "é", "😀", '"', "\x01"]))
def test_the_pieces_are_the_whole_in_order(lengths: list[int], letter: str) -> None:
    entries = [
        NewsEntry(time_ns=number, currency="USD", impact=1, title=letter * length)
        for number, length in enumerate(lengths)
    ]
    assert [entry for part in calendar_parts(entries) for entry in part] == entries


@pytest.mark.parametrize("letter", ["x", "😀", "\x01"])
def test_every_piece_fits_into_one_command(letter: str) -> None:
    entries = [NewsEntry(time_ns=number, currency="USD", impact=1, title=letter * 200) for number in range(4_500)]
    parts = list(calendar_parts(entries))
    assert all(len(part) <= PART_ENTRIES for part in parts)
    said = {"id": "x" * 128, "actor": "somebody", "authority": "operator", "occurred_at_ns": 0, "source": "x" * 255}
    assert all(len(CalendarImported(**said, entries=part).model_dump_json()) < MAX_BYTES for part in parts)  # type: ignore[arg-type]
    assert sum(map(len, parts)) == len(entries)
