"""Bad rows: counted, named with their line, written down, and never in the ticks."""

import csv
import gzip
from pathlib import Path

import pytest

from domain.errors import InvalidInput, Overlap
from domain.instructions import FeedFile, FeedOpened
from gateways.feeds.files import FILES_MAX, FeedOptions, FileSet, read_files, write_rejects
from tests.gateways.feeds import samples
from tests.gateways.feeds.samples import VALID, binarycom, csv_quotes, put, read, zipped


def verdicts(files: FileSet) -> list[tuple[int, str]]:
    assert len(files.rejects) == sum(one.rejected for one in files.files)
    return [(one.line, one.reason) for one in files.rejects]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2018-01-02 00:01:00,1.2,x,1.1,1.2", "high: not a decimal number"),
        ("2018-01-02 00:01:00,1.2,1.3,1.1,", "close: empty"),
        ("2018-01-02 00:01:00,1.2,1.3,1.1,1.2000000001", "close: more than 9 decimals"),
        ("2018-01-02 00:01:00,99999999999,1.3,1.1,1.2", "open: too large"),
        ("2018-01-02 00:61:00,1.2,1.3,1.1,1.2", "time: not a time of this format"),
        ("2018-02-30 00:01:00,1.2,1.3,1.1,1.2", "time: not a time of this format"),
        ("2018-01-02 00:01:00,1.2,1.3,1.1", "wrong number of fields"),
        ("2018-01-02 00:01:00,1.2,1.3,1.1,1.2,9", "wrong number of fields"),
        ("2018-01-02 00:01:00,1.2,1.3,0,1.2", "zero or negative price"),
        ("2018-01-02 00:01:00,1.2,1.3,-1.1,1.2", "zero or negative price"),
        ("2018-01-02 00:01:00,1.2,1.1,1.3,1.2", "high below low"),
        ("2018-01-02 00:01:00,1.4,1.3,1.1,1.2", "open or close outside high and low"),
        ("2018-01-02 00:01:00,1.2,1.3,1.1,1.0", "open or close outside high and low"),
        ("2018-01-02 00:01:00,1200,1300,1100,1200", "price off by a factor of 100 or more from its neighbours"),
        ("2018-01-02 00:01:00,1.2,1300,1.1,1.2", "price off by a factor of 100 or more from its neighbours"),
        ("2018-01-02 00:01:30,1.2,1.3,1.1,1.2", "a bar does not start on a minute"),
        ("2018-01-02 00:00:00,1.2,1.3,1.1,1.2", "time goes back (or a bar's time repeats)"),
        ("2018-01-01 23:59:00,1.2,1.3,1.1,1.2", "time goes back (or a bar's time repeats)"),
        ("time,open,high,low,close", "time: not a time of this format"),
    ],
)
def test_a_bad_bar_is_rejected_with_its_reason_and_the_rest_stays(row: str, reason: str, tmp_path: Path) -> None:
    good = "2018-01-02 00:00:00,1.2,1.3,1.1,1.2", "2018-01-02 00:02:00,1.2,1.3,1.1,1.2"
    files = read(tmp_path, "EURUSD.csv", binarycom(good[0], row, good[1]))
    assert verdicts(files) == [(3, reason)]
    assert files.rejects[0].file == "EURUSD.csv"
    assert files.rejects[0].text == row
    clean = read(tmp_path, "EURUSD.csv", binarycom(*good))
    for name in ("event_time", "bid", "ask"):
        assert (files.ticks[name] == clean.ticks[name]).all()


def test_crossed_quotes_are_rejected_locked_ones_and_equal_times_are_not(tmp_path: Path) -> None:
    files = read(
        tmp_path, "EURUSD.csv",
        csv_quotes("1577836800,1.1,1.2", "1577836800,1.2,1.2", "1577836800,1.3,1.2", "1577836799,1.1,1.2"),
    )  # fmt: skip
    assert verdicts(files) == [(4, "bid above ask"), (5, "time goes back (or a bar's time repeats)")]
    assert len(files.ticks) == 2


def test_a_negative_size_is_rejected(tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD.csv", "time,price,size\n1577836800,1.1,-1\n1577836800,1.1,0\n")
    assert verdicts(files) == [(2, "size: negative size")]


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 40), (30, 31), (30, 70), (99, 100), (60, 100)])
@pytest.mark.parametrize("factor", [1000, 0.001])
def test_rows_off_by_a_thousand_are_rejected_wherever_they_stand(
    start: int, stop: int, factor: float, tmp_path: Path
) -> None:
    rows = [
        f"{1_577_836_800 + k},{price:.6f},{price + 0.0001:.6f}"
        for k, price in enumerate(1.1 * (factor if start <= k < stop else 1) for k in range(100))
    ]
    files = read(tmp_path, "EURUSD.csv", csv_quotes(*rows))
    assert [line for line, _ in verdicts(files)] == list(range(2 + start, 2 + stop))


def test_scattered_rows_off_by_a_thousand_are_rejected_each(tmp_path: Path) -> None:
    bad = [0, 1, 5, 20, 21, 22, 40, 41, 60, 98, 99]
    prices = [1.1 * (1000 if k in bad[::2] else 0.001 if k in bad else 1) for k in range(100)]
    rows = [f"{1_577_836_800 + k},{price:.6f},{price + 0.0001:.6f}" for k, price in enumerate(prices)]
    files = read(tmp_path, "EURUSD.csv", csv_quotes(*rows))
    assert [line for line, _ in verdicts(files)] == [2 + k for k in bad]


def test_a_market_that_drifts_a_thousandfold_is_not_off_scale(tmp_path: Path) -> None:
    rows = [f"{1_577_836_800 + k},{1.5**k:.6f},{1.5**k + 1:.6f}" for k in range(30)]
    assert not read(tmp_path, "BTCUSD.csv", csv_quotes(*rows)).rejects


def test_a_market_that_comes_near_the_scale_of_its_bad_rows_stays_itself(tmp_path: Path) -> None:
    prices = [1.0] * 3 + [1000 * 0.9**k for k in range(29)] + [50.0] * 60
    rows = [f"{1_577_836_800 + k},{price:.6f},{price + 0.0001:.6f}" for k, price in enumerate(prices)]
    assert [line for line, _ in verdicts(read(tmp_path, "BTCUSD.csv", csv_quotes(*rows)))] == [2, 3, 4]


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    text = "\n" + csv_quotes("1577836800,1.1,1.2", "", "\r", "   ", "bad,1.1,1.2")
    files = read(tmp_path, "EURUSD.csv", text)
    assert files.files[0].rows == 2
    assert verdicts(files) == [(7, "time: not a time of this format")]
    assert files.ticks["reference"].tolist() == [3]


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    content = csv_quotes("1577836800,1.1,1.2").encode() + b"\xff\xfe\x00,1.1,\x80\n1577836801,1.1,1.2"
    files = read(tmp_path, "EURUSD.csv", content)
    assert verdicts(files) == [(3, "time: not a time of this format")]
    assert len(files.ticks) == 2


def test_a_reject_of_a_zip_names_its_member_and_its_text_is_cut(tmp_path: Path) -> None:
    content = zipped(m20140501_eurusd_tick_quote__csv=samples.LEAN_QUOTES + "x" * 1000)
    files = read(tmp_path, "20140501_quote.zip", content, venue="oanda")
    (reject,) = files.rejects
    assert reject.file == "20140501_quote.zip:20140501_eurusd_tick_quote.csv"
    assert reject.line == 3
    assert reject.text == "x" * 200


def test_rejects_are_written_as_csv(tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD.csv", csv_quotes('1577836800,"1,1",1.2', "x,1.1,1.2"))
    write_rejects(tmp_path / "rejects.csv", files.rejects)
    with (tmp_path / "rejects.csv").open(newline="") as written:
        assert list(csv.reader(written)) == [
            ["file", "line", "reason", "text"],
            ["EURUSD.csv", "2", "wrong number of fields", '1577836800,"1,1",1.2'],
            ["EURUSD.csv", "3", "time: not a time of this format", "x,1.1,1.2"],
        ]


def test_strict_refuses_a_file_with_any_reject_and_says_which(tmp_path: Path) -> None:
    text = csv_quotes("1577836800,1.1,1.2", *["1577836801,1.3,1.2"] * 7)
    with pytest.raises(InvalidInput, match=r"7 rows .*EURUSD\.csv line 3: bid above ask; .*--strict"):
        read(tmp_path, "EURUSD.csv", text, strict=True)
    assert not read(tmp_path, "EURUSD.csv", samples.BINARYCOM, strict=True).rejects


def test_a_file_of_bad_rows_only_is_read_and_gives_nothing(tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD.csv", csv_quotes("1577836801,1.3,1.2"))
    assert (len(files.ticks), files.files[0].rejected, files.files[0].first_time_ns) == (0, 1, None)


@pytest.mark.parametrize("name", ["EURUSD.csv", "EURUSD.csv.gz", "EURUSD.zip"])
def test_an_empty_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    empty = {"EURUSD.csv": b"\n \n", "EURUSD.csv.gz": gzip.compress(b""), "EURUSD.zip": zipped(mEURUSD__csv="")}[name]
    with pytest.raises(InvalidInput, match=rf"{name}: the file is empty"):
        read(tmp_path, name, empty)
    if name == "EURUSD.csv":
        with pytest.raises(InvalidInput, match="no row below the header"):
            read(tmp_path, name, "time,bid,ask\n")


@pytest.mark.parametrize("name", [name for name, (file, *_) in VALID.items() if file.endswith(("gz", "zip"))])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_cut_archive_is_refused_by_name(name: str, kept: float, tmp_path: Path) -> None:
    file, content, options = VALID[name]
    with pytest.raises(InvalidInput, match=rf"{file}: the archive is damaged or cut short"):
        read(tmp_path, file, content[: int(len(content) * kept)], **options)


def test_a_missing_file_or_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "EURUSD.csv", tmp_path):
        with pytest.raises(InvalidInput, match=f"{path.name}: cannot be read"):
            read_files([path], FeedOptions())
    with pytest.raises(InvalidInput, match="no file was named"):
        read_files([], FeedOptions())


def test_two_files_that_cover_the_same_time_are_refused_with_the_range(tmp_path: Path) -> None:
    later = samples.BINARYCOM.replace("00:01:00", "00:05:00").replace("00:00:00", "00:01:00")
    paths = [put(tmp_path, "EURUSD_a.csv", samples.BINARYCOM), put(tmp_path, "EURUSD_b.csv", later)]
    with pytest.raises(
        Overlap, match=r"a\.csv and .*b\.csv both cover 2018-01-02T00:01:00Z to 2018-01-02T00:01:59\.999000000Z"
    ):
        read_files(paths, FeedOptions())
    with pytest.raises(Overlap):
        read_files(paths[::-1], FeedOptions())


def test_a_short_file_inside_a_long_one_is_found_behind_another(tmp_path: Path) -> None:
    def minutes(*stamps: int) -> str:
        return csv_quotes(*(f"{1_577_836_800 + 60 * stamp},1.1,1.2" for stamp in stamps))

    spans = {"long": (0, 9), "early": (1, 2), "late": (5, 6)}
    paths = [put(tmp_path, f"EURUSD_{name}.csv", minutes(*span)) for name, span in spans.items()]
    with pytest.raises(Overlap, match="EURUSD_long"):
        read_files([paths[0], paths[2]], FeedOptions())
    assert len(read_files(paths[1:], FeedOptions()).ticks) == 4


def test_other_symbols_other_venues_and_trades_beside_quotes_do_not_overlap(tmp_path: Path) -> None:
    quotes = csv_quotes("1577836800,1.1,1.2", "1577836802,1.1,1.2")
    paths = [
        put(tmp_path, "EURUSD.csv", quotes),
        put(tmp_path, "GBPUSD.csv", quotes),
        put(tmp_path, "oanda_EURUSD.csv", quotes),
        put(tmp_path, "EURUSD_trades.csv", "time,price\n1577836800,1.1\n1577836801,1.1\n"),
    ]
    assert len(read_files(paths, FeedOptions()).ticks) == 8


def test_the_same_file_twice_counts_once_under_any_name_of_it(tmp_path: Path) -> None:
    one = put(tmp_path, "EURUSD.csv", samples.BINARYCOM)
    copy = put(tmp_path / "elsewhere", "EURUSD_copy.csv", samples.BINARYCOM)
    files = read_files([one, one, copy], FeedOptions())
    assert len(files.files) == 1
    assert files.identity == read_files([copy], FeedOptions()).identity
    assert files.identity != read(tmp_path, "GBPUSD.csv", samples.BINARYCOM).identity


def test_progress_is_told_before_and_after_each_file_given_twice_or_not(tmp_path: Path) -> None:
    paths = [put(tmp_path, f"{name}.csv", samples.BINARYCOM) for name in ("EURUSD", "GBPUSD")]
    size, told = len(samples.BINARYCOM), []
    read_files([*paths, paths[0]], FeedOptions(), lambda *step: told.append(step))
    assert told == [
        ("EURUSD.csv", 0, 3 * size), ("EURUSD.csv", size, 3 * size),
        ("GBPUSD.csv", size, 3 * size), ("GBPUSD.csv", 2 * size, 3 * size),
        ("EURUSD.csv", 2 * size, 3 * size), ("EURUSD.csv", 3 * size, 3 * size),
    ]  # fmt: skip


def test_more_files_than_one_record_of_the_tape_can_name_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"4001 files.*at most 4000.*several calls"):
        read_files([tmp_path / f"{k}.csv" for k in range(FILES_MAX + 1)], FeedOptions())


def test_as_many_files_as_are_read_fit_one_record_of_the_tape() -> None:
    file = FeedFile(
        name="DAT_ASCII_EURUSD_T_202001_another_long_name.csv.gz", sha256="f" * 64, format="lean-quote-minutes",
        symbol="EURUSD", venue="binarycom", rows=10**7, rejected=10**7,
    )  # fmt: skip
    opened = FeedOpened(
        id="feed_opened@2", actor="sequencer", authority="operator", occurred_at_ns=0, feed="f" * 16,
        files=(file,) * FILES_MAX, ticks=10**10, first_time_ns=2**62, last_time_ns=2**62,
    )  # fmt: skip
    assert len(opened.model_dump_json()) < 1 << 20
