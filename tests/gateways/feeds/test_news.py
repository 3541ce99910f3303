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
        ("", "column 'time' is missing in its first line ''; a calendar's first line is time,currency,impact,title"),
        ("time,currency,title\n2018-01-01,USD,x\n", "column 'impact' is missing"),
        (HEAD.replace(",", ";") + "2018-01-01;USD;high;x\n", "in its first line 'time;currency;impact;title'"),
        ("time," + HEAD + "2018-01-01,2019-01-01,USD,high,x\n", "column 'time' is there twice"),
        (HEAD, "has no entry"),
        (HEAD + "2018-01-01,USD,high,x\n2018-01-02,USD,huge,x\n", "line 3: impact 'huge' is not low, medium or high"),
        (HEAD + "tomorrow,USD,high,x\n", "line 2: time 'tomorrow' is not a time such as"),
        (HEAD + "2018-13-01,USD,high,x\n", "line 2: time '2018-13-01'"),
        (HEAD + "9999-01-01,USD,high,x\n", "line 2: time '9999-01-01' is not of the years 1970 to 2095"),
        (HEAD + "0001-01-01T00:00+14:00,USD,high,x\n", "is not of the years"),
        (HEAD + "2018-01-01,DOLLAR,high,x\n", "line 2: currency 'DOLLAR'"),
        (HEAD + f"2018-01-01,USD,high,{'x' * 201}\n", "line 2: title 'xx"),
        (HEAD + "1970-01-01T00:00+10:00,USD,high,x\n", "is not of the years"),
        (HEAD + "2150-01-01,USD,high,x\n", "line 2: time '2150-01-01' is not of the years"),
        (HEAD + "06/13/2018 14:00,USD,high,x\n", "line 2: time '06/13/2018 14:00' is not a time such as"),
        (HEAD + "2018-01-01T12:00 EST,USD,high,x\n", "line 2: time '2018-01-01T12:00 EST'"),
        (HEAD + "2018-01-01T12:00:00.0000000001,USD,high,x\n", "is finer than a nanosecond"),
        (HEAD + "2018-01-01,,high,x\n", "line 2: currency ''"),
        (HEAD + "2018-01-01,USD\n", "line 2: it has fewer cells than the first line"),
        (HEAD + "2018-01-01,USD,high,Rate, and more\n", "line 2: it has more cells than the first line"),
        (
            HEAD + '2018-01-01,USD,high,"open\n2018-01-02,USD,high,x\n',
            "behind line 1: unexpected end of data; is a",
        ),
        (HEAD + '2018-01-01,USD,high,"open\n2018-01-02,USD,high,x"\n', "line 3: title 'open\\n2018-01-02,USD,high,x'"),
        (HEAD + "2018-01-01,USD,high,\x1b[31mred\n", "line 2: title '\\x1b[31mred' holds a control character"),
        (HEAD + f"2018-01-01,USD,{'x' * 5_000},x\n", f"line 2: impact '{'x' * 60}' is not"),
        (HEAD + f"2018-01-01,USD,high,{'x' * 200_000}\n", "behind line 1: field larger"),
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


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named_with_the_way_out(path: Path, encoding: str) -> None:
    path.write_text(HEAD + "2018-01-01,EUR,high,Präsident\n", encoding=encoding)
    with pytest.raises(InvalidInput, match=r"is not UTF-8 text .*; save the calendar as UTF-8"):
        read_calendar(path)


def test_an_entry_that_is_there_twice_counts_once(path: Path) -> None:
    """Also when its time is written in two zones."""
    rows = "2018-06-13T14:00+02:00,USD,high,Rates\n2018-06-13T12:00,usd,3,Rates\n2018-06-13T12:00Z,EUR,high,Rates\n"
    path.write_text(HEAD + rows + rows)
    assert [entry.currency for entry in read_calendar(path)] == ["EUR", "USD"]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n"])
def test_a_line_may_end_as_any_system_ends_it(path: Path, end: str) -> None:
    path.write_bytes((HEAD + "2018-01-01,USD,high,x\n2018-01-02,USD,high,y\n").replace("\n", end).encode())
    assert len(read_calendar(path)) == 2


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
