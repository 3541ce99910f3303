"""The real recordings beside the repository: their row counts, their natural defects, and perturbed copies."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from domain.errors import UnknownFormat
from domain.tape import TRADE
from gateways.feeds.files import FeedOptions, FileSet, read_files
from tests.gateways.feeds.samples import put, read


def totals(files: FileSet) -> tuple[int, int, int]:
    """Rows, rejects, ticks."""
    assert (np.diff(files.ticks["event_time"]) >= 0).all()
    assert (files.ticks["ask"] >= files.ticks["bid"]).all()
    return sum(one.rows for one in files.files), len(files.rejects), len(files.ticks)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("binarycom_EURUSD_M1_2017", 363_144),
        ("binarycom_EURUSD_M1_2018", 362_586),
        ("binarycom_GBPUSD_M1_2017H2-2018", 543_354),
        ("binarycom_USDCAD_M1_2018", 362_613),
        ("cme_6EH4_M1_202401", 29_996),
    ],
)
def test_every_bar_of_the_minute_files_is_taken(name: str, rows: int, shared_data: Path) -> None:
    files = read_files([shared_data / "m1" / f"{name}.csv.gz"], FeedOptions())
    assert totals(files) == (rows, 0, 4 * rows)


def test_the_fxcm_pair_is_joined_and_its_crossed_minutes_are_rejected_on_both_sides(shared_data: Path) -> None:
    files = read_files(sorted((shared_data / "m1").glob("fxcm_gbpusd-m1-*-2012.csv.gz")), FeedOptions())
    assert [one.rows for one in files.files] == [30_117, 30_117]
    assert {one.reason for one in files.rejects} == {"bid above ask"}
    assert totals(files) == (2 * 30_117, 2 * 1_203, 4 * (30_117 - 1_203))


@pytest.mark.parametrize(
    ("folder", "symbol", "rows", "crossed", "first"),
    [
        ("lean_cfd_oanda_xauusd_tick", None, 1_312_635, 0, "2014-05-01T00:00:00.043142"),
        ("lean_cfd_oanda_xauusd_minute", None, 9_558, 0, "2014-05-01T00:00:00"),
        ("lean_forex_fxcm_eurusd_tick", None, 675_401, 69_354, "2014-05-01T05:00:01.787"),
        ("lean_forex_oanda_eurusd_tick", None, 321_559, 0, "2014-05-01T00:00:00.292"),
        ("lean_future_comex_gc_tick_trade", "GC-201312", 156_452, 0, "2013-10-07T01:22:13.381"),
    ],
)
def test_lean_days_merge_into_one_run_of_ticks(
    folder: str, symbol: str | None, rows: int, crossed: int, first: str, shared_data: Path
) -> None:
    files = read_files(sorted((shared_data / "ticks" / folder).glob("*.zip")), FeedOptions(symbol=symbol))
    per_row = 4 if "minute" in folder else 1
    assert totals(files) == (rows, crossed, per_row * (rows - crossed))
    assert {one.reason for one in files.rejects} <= {"bid above ask"}
    assert bool((files.ticks["kind"] == TRADE).all()) == ("trade" in folder)
    if symbol is None:
        assert np.datetime64(int(files.ticks["event_time"][0]), "ns") == np.datetime64(first)


def test_fxcm_ticks_lie_beside_oandas_once_both_are_in_utc(shared_data: Path) -> None:
    folders = [shared_data / "ticks" / f"lean_forex_{venue}_eurusd_tick" for venue in ("fxcm", "oanda")]
    fxcm, oanda = (read_files([folder / "20140502_quote.zip"], FeedOptions()).ticks for folder in folders)
    start = max(fxcm["event_time"][0], oanda["event_time"][0])
    minutes = start + np.arange(1, 12 * 60) * 60 * 10**9
    mids = [
        (ticks["bid"] + ticks["ask"])[np.searchsorted(ticks["event_time"], minutes, "right") - 1]
        for ticks in (fxcm, oanda)
    ]
    steps = [np.diff(mid[::5].astype(np.float64)) for mid in mids]
    assert np.corrcoef(*steps)[0, 1] > 0.9  # an hour off, and this is about 0


def test_histdata_ticks_and_their_clock(shared_data: Path) -> None:
    files = read_files([shared_data / "ticks" / "histdata_ascii_EURUSD_T_20200101.csv.gz"], FeedOptions())
    assert totals(files) == (9_500, 0, 9_500)
    assert np.datetime64(int(files.ticks["event_time"][0]), "ns") == np.datetime64("2020-01-01T22:00:00.065")


@pytest.mark.parametrize(
    "name",
    [
        "m1/eurostoxx50_M1_20060102_20060227.txt.gz",
        "m1/freqtrade_UNITTEST_BTC-1m.json.gz",
        "ticks/freqtrade_binance_XRPETH_aggtrades_2019.json.gz",
        "ws/binance_raw_messages.jsonl.gz",
    ],
)
def test_recordings_of_other_formats_are_refused_by_line(name: str, shared_data: Path) -> None:
    with pytest.raises(UnknownFormat, match="line 1 "):
        read_files([shared_data / name], FeedOptions(symbol="EURUSD"))


def test_a_perturbed_year_loses_exactly_its_perturbed_rows(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "m1" / "binarycom_EURUSD_M1_2018.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[:50_001]

    def times(line: str, factor: float) -> str:
        stamp, *prices = line.split(",")
        return ",".join([stamp, *(f"{float(price) * factor:.5f}" for price in prices)])

    lines[1] = times(lines[1], 1000)
    lines[10_000:10_500] = [times(line, 1000) for line in lines[10_000:10_500]]
    lines.insert(20_000, lines[19_000])  # time goes back
    lines.insert(30_000, lines[29_999])  # a duplicate
    bad = [2, *range(10_001, 10_501), 20_001, 30_001]
    files = read(tmp_path, "EURUSD.csv", "\n".join(lines))
    assert [one.line for one in files.rejects] == bad
    untouched = read_files([path], FeedOptions()).ticks
    kept = [line for line in range(2, 50_002) if line == 2 or 10_001 <= line <= 10_500]
    expected = untouched[: 4 * 50_000][~np.isin(untouched["reference"][: 4 * 50_000], kept)]
    assert (files.ticks["event_time"] == expected["event_time"]).all()
    assert (files.ticks["bid"] == expected["bid"]).all()


def test_a_year_given_twice_or_moved_is_the_same_import(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "m1" / "cme_6EH4_M1_202401.csv.gz"
    moved = put(tmp_path, path.name, path.read_bytes())
    once, twice = read_files([path], FeedOptions()), read_files([moved, path], FeedOptions())
    assert once.identity == twice.identity
    assert once.ticks.tobytes() == twice.ticks.tobytes()
