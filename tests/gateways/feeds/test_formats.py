"""Every format by hand: a few lines in, these ticks out."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import InvalidInput, UnknownFormat, UnknownInstrument
from domain.tape import FROM_BAR, QUOTE, TRADE
from gateways.feeds.files import FeedOptions, FileSet, read_files
from tests.gateways.feeds import samples
from tests.gateways.feeds.samples import VALID, csv_quotes, put, read, zipped


def at(iso: str) -> int:
    """ns of an ISO time with up to nine decimals."""
    whole, _, fraction = iso.partition(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def rows(files: FileSet, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(int(tick[name]) for name in names) for tick in files.ticks]


def quotes(files: FileSet) -> list[tuple[Any, ...]]:
    return rows(files, "event_time", "bid", "ask", "reference")


@pytest.mark.parametrize("name", VALID)
def test_a_format_is_recognised_by_its_content_and_by_its_name(name: str, tmp_path: Path) -> None:
    file, content, options = VALID[name]
    auto = read(tmp_path, file, content, **options)
    named = read(tmp_path, file, content, format=name, **options)
    family = read(tmp_path, file, content, format=name.partition("-")[0], **options)
    assert [one.format for one in auto.files] == [name]
    assert auto.identity == named.identity == family.identity
    assert not auto.rejects
    assert auto.ticks.tobytes() == named.ticks.tobytes()
    assert (auto.ticks["event_time"] == auto.ticks["receive_time"]).all()
    assert set(auto.ticks["instrument"].tolist()) == {1}


@pytest.mark.parametrize("name", VALID)
def test_an_explicit_format_that_does_not_fit_is_refused_with_the_line(name: str, tmp_path: Path) -> None:
    file, content, options = VALID[name]
    wrong = "binarycom" if name == "histdata-m1" else "histdata-m1"
    with pytest.raises(UnknownFormat, match=rf"(?s){file}.*line 1 .*not {wrong}, which has"):
        read(tmp_path, file, content, format=wrong, **options)


def test_a_binarycom_bar_is_the_mid_with_the_instruments_spread_around_it(tmp_path: Path) -> None:
    files = read(tmp_path, "binarycom_EURUSD_M1.csv", samples.BINARYCOM)
    # 0.6 pip: 3 points under the mid, 3 over. Bar 1 opens at its high, so the high comes first.
    assert quotes(files)[:5] == [
        (at("2018-01-02T00:00:00"), 1_201_050_000, 1_201_110_000, 2),
        (at("2018-01-02T00:00:15"), 1_201_050_000, 1_201_110_000, 2),
        (at("2018-01-02T00:00:30"), 1_200_930_000, 1_200_990_000, 2),
        (at("2018-01-02T00:00:59.999"), 1_200_950_000, 1_201_010_000, 2),
        (at("2018-01-02T00:01:00"), 1_200_950_000, 1_201_010_000, 3),
    ]
    assert set(rows(files, "kind", "flags", "bid_size", "ask_size")) == {(QUOTE, FROM_BAR, 0, 0)}
    (file,) = files.files
    assert (file.venue, file.symbol, file.rows, file.rejected) == ("binarycom", "EURUSD", 2, 0)
    assert (file.first_time_ns, file.last_time_ns) == (at("2018-01-02T00:00:00"), at("2018-01-02T00:01:59.999"))


@pytest.mark.parametrize(
    ("options", "bid", "ask"),
    [
        ({"price": "bid"}, 1_201_080_000, 1_201_140_000),
        ({"price": "ask"}, 1_201_020_000, 1_201_080_000),
        ({"spread_pips": "0.5"}, 1_201_055_000, 1_201_105_000),
        ({"price": "ask", "spread_pips": "2"}, 1_200_880_000, 1_201_080_000),
    ],
)
def test_price_and_spread_are_the_callers_to_say(options: dict[str, str], bid: int, ask: int, tmp_path: Path) -> None:
    plain = read(tmp_path, "EURUSD.csv", samples.BINARYCOM)
    files = read(tmp_path, "EURUSD.csv", samples.BINARYCOM, **options)
    assert quotes(files)[0] == (at("2018-01-02T00:00:00"), bid, ask, 2)
    assert files.identity != plain.identity


def test_fxcm_bid_and_ask_are_joined_by_time_and_each_tick_has_its_own_sides(tmp_path: Path) -> None:
    ask = samples.FXCM_ASK + "2012-02-01 00:03:00+00:00,1.57552,1.57552,1.57552,1.57552\n"
    paths = [put(tmp_path, "gbpusd-ask.csv", ask), put(tmp_path, "gbpusd-bid.csv", samples.FXCM_BID)]
    files = read_files(paths, FeedOptions())
    # The mid opens nearer to its high (9 up, 22 down): bid high with ask high comes second.
    assert quotes(files)[:4] == [
        (at("2012-02-01T00:00:00"), 1_575_970_000, 1_576_080_000, 2),
        (at("2012-02-01T00:00:15"), 1_576_060_000, 1_576_100_000, 2),
        (at("2012-02-01T00:00:30"), 1_575_760_000, 1_575_850_000, 2),
        (at("2012-02-01T00:00:59.999"), 1_575_760_000, 1_575_850_000, 2),
    ]
    assert len(files.ticks) == 8
    assert [(one.name, one.rows, one.rejected) for one in files.files] == [
        ("gbpusd-bid.csv", 2, 0), ("gbpusd-ask.csv", 3, 1),
    ]  # fmt: skip
    assert [(one.file, one.line, one.reason) for one in files.rejects] == [
        ("gbpusd-ask.csv", 4, "no bar of this time on the other side")
    ]


def test_half_an_fxcm_pair_is_refused_with_advice_unless_price_says_which_side(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gbpusd-bid\.csv.*only bid bars.*ask file.*--price bid"):
        read(tmp_path, "gbpusd-bid.csv", samples.FXCM_BID)
    with pytest.raises(InvalidInput, match="only bid bars"):
        read(tmp_path, "gbpusd-bid.csv", samples.FXCM_BID, price="ask")
    with pytest.raises(InvalidInput, match="either bid or ask"):
        read(tmp_path, "gbpusd.csv", samples.FXCM_BID)
    alone = read(tmp_path, "gbpusd-bid.csv", samples.FXCM_BID, price="bid")
    assert quotes(alone)[0] == (at("2012-02-01T00:00:00"), 1_575_970_000, 1_576_060_000, 2)


def test_histdata_is_five_hours_behind_utc_all_year(tmp_path: Path) -> None:
    winter = read(tmp_path, "DAT_ASCII_EURUSD_M1_2020.csv", samples.HISTDATA_M1)
    assert quotes(winter)[0] == (at("2020-01-01T22:00:00"), 1_121_200_000, 1_121_260_000, 1)
    summer = read(tmp_path, "EURUSD.csv", samples.HISTDATA_M1.replace("20200101", "20200701"))
    assert int(summer.ticks["event_time"][0]) == at("2020-07-01T22:00:00")
    ticks = read(tmp_path, "DAT_ASCII_EURUSD_T.csv", samples.HISTDATA_TICKS)
    assert quotes(ticks) == [
        (at("2020-01-01T22:00:00.065"), 1_121_200_000, 1_121_720_000, 1),
        (at("2020-01-01T22:00:10.447"), 1_121_200_000, 1_121_920_000, 2),
    ]
    assert set(rows(ticks, "kind", "flags")) == {(QUOTE, 0)}


@pytest.mark.parametrize("encode", [str.encode, lambda text: b"\xff\xfe" + text.encode("utf-16le")])
def test_mt5_bars_are_new_york_plus_seven_with_their_own_spread(encode: Callable[[str], bytes], tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD_M1.csv", encode(samples.MT5_M1))
    assert quotes(files)[0] == (at("2024-01-01T22:00:00"), 1_104_000_000, 1_104_120_000, 2)  # UTC+2 in winter
    assert quotes(files)[4] == (at("2024-07-01T21:00:00"), 1_074_000_000, 1_074_070_000, 3)  # UTC+3 in summer
    own = read(tmp_path, "EURUSD_M1.csv", encode(samples.MT5_M1), spread_pips="1")
    assert quotes(own)[4] == (at("2024-07-01T21:00:00"), 1_074_000_000, 1_074_100_000, 3)


def test_mt5_server_time_turns_with_the_united_states(tmp_path: Path) -> None:
    # 10 March 2024, 02:00 New York = 09:00 server: the hour from 09:00 does not exist there.
    head = samples.MT5_M1.splitlines()[0]
    text = "\n".join(
        [head] + [f"2024.03.{day}\t{clock}\t1.1\t1.1\t1.1\t1.1\t1\t0\t1" for day, clock in
                  (("08", "23:58:00"), ("10", "08:59:00"), ("10", "10:00:00"), ("11", "00:05:00"))]
    )  # fmt: skip
    times = read(tmp_path, "EURUSD.csv", text).ticks["event_time"][::4].tolist()
    assert times == [at(f"2024-03-{iso}") for iso in ("08T21:58:00", "10T06:59:00", "10T07:00:00", "10T21:05:00")]


def test_mt5_ticks_carry_the_unchanged_side_forward(tmp_path: Path) -> None:
    first_ask_only = samples.MT5_TICKS.replace("\t1.10400\t1.10412", "\t\t1.10412", 1)
    assert quotes(read(tmp_path, "EURUSD.csv", samples.MT5_TICKS)) == [
        (at("2024-01-01T22:00:01.25"), 1_104_000_000, 1_104_120_000, 2),
        (at("2024-01-01T22:00:01.5"), 1_104_000_000, 1_104_130_000, 3),
        (at("2024-01-01T22:00:02"), 1_104_010_000, 1_104_130_000, 4),
    ]
    files = read(tmp_path, "EURUSD.csv", first_ask_only)
    assert [(one.line, one.reason) for one in files.rejects] == [
        (2, "no bid or no ask known yet"), (3, "no bid or no ask known yet"),
    ]  # fmt: skip
    assert quotes(files) == [(at("2024-01-01T22:00:02"), 1_104_010_000, 1_104_130_000, 4)]


def test_mt5_rows_with_only_a_last_price_are_trades(tmp_path: Path) -> None:
    files = read(tmp_path, "US500.csv", samples.MT5_TICKS + "2024.01.02\t00:00:03.000\t\t\t1.10405\t3\t24\n")
    assert rows(files, "kind", "bid", "ask", "bid_size")[-1] == (TRADE, 1_104_050_000, 1_104_050_000, 3_000_000_000)


def test_lean_quote_ticks_take_date_and_symbol_from_the_member_and_venue_from_the_path(tmp_path: Path) -> None:
    content = zipped(m20140501_eurusd_tick_quote__csv=samples.LEAN_QUOTES)
    oanda = read(tmp_path / "forex" / "oanda" / "tick" / "eurusd", "20140501_quote.zip", content)
    assert quotes(oanda) == [
        (at("2014-05-01T00:00:00.292"), 1_386_760_000, 1_386_860_000, 1),
        (at("2014-05-01T00:00:00.9205"), 1_386_760_000, 1_386_870_000, 2),
    ]
    assert (oanda.files[0].venue, oanda.symbols) == ("oanda", ["EURUSD"])
    fxcm = read(tmp_path / "lean_forex_fxcm_eurusd_tick", "20140501_quote.zip", content)
    assert int(fxcm.ticks["event_time"][0]) == at("2014-05-01T05:00:00.292")
    assert read(tmp_path, "20140501_quote.zip", content, venue="FXCM").identity == fxcm.identity
    with pytest.raises(InvalidInput, match="--venue"):
        read(tmp_path / "elsewhere", "20140501_quote.zip", content)


def test_lean_trades_have_their_price_on_both_sides_and_sizes_may_be_zero(tmp_path: Path) -> None:
    file, content, options = VALID["lean-trade-ticks"]
    files = read(tmp_path, file, content, **options)
    assert rows(files, "kind", "event_time", "bid", "ask", "bid_size", "ask_size", "reference") == [
        (TRADE, at("2013-10-07T01:22:13.381"), 1_313_800_000_000, 1_313_800_000_000, 10**9, 0, 1),
        (TRADE, at("2013-10-07T01:22:13.381"), 1_313_900_000_000, 1_313_900_000_000, 0, 0, 2),
    ]


def test_several_contracts_in_one_zip_need_a_choice(tmp_path: Path) -> None:
    december = samples.LEAN_TRADES
    content = zipped(
        m20131007_gc_tick_trade_201312__csv=december,
        m20131007_gc_tick_trade_201402__csv=december.replace("1313", "1400"),
    )
    for symbol in (None, "GC"):
        with pytest.raises(InvalidInput, match=r"2 tables.*201312.*201402.*--symbol GC-201312"):
            read(tmp_path, "20131007_trade.zip", content, venue="comex", symbol=symbol)
    for symbol in ("GC-201402", "gc_201402", "GC201402"):
        files = read(tmp_path, "20131007_trade.zip", content, venue="comex", symbol=symbol)
        assert files.symbols == ["GC"]
        assert int(files.ticks["bid"][0]) == 1_400_800_000_000
    with pytest.raises(InvalidInput, match="0 of them for --symbol GC-209901"):
        read(tmp_path, "20131007_trade.zip", content, venue="comex", symbol="GC-209901")


def test_lean_minutes_decide_the_order_on_the_mid(tmp_path: Path) -> None:
    file, content, options = VALID["lean-quote-minutes"]
    assert quotes(read(tmp_path, file, content, **options))[:4] == [
        (at("2014-05-01T00:00:00"), 1_291_677_000_000, 1_292_033_000_000, 1),
        (at("2014-05-01T00:00:15"), 1_291_376_000_000, 1_291_698_000_000, 1),  # low: 318 below, high: 334 above
        (at("2014-05-01T00:00:30"), 1_291_955_000_000, 1_292_423_000_000, 1),
        (at("2014-05-01T00:00:59.999"), 1_291_464_000_000, 1_291_741_000_000, 1),
    ]


def test_plain_quotes_trades_and_bars(tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD.csv", samples.CSV_QUOTES)
    assert rows(files, "event_time", "bid", "ask", "bid_size", "ask_size", "kind", "reference")[0] == (
        at("2024-01-02T00:00:00.5"), 1_104_000_000, 1_104_100_000, 1_500_000_000, 2_000_000_000, QUOTE, 2,
    )  # fmt: skip
    assert files.files[0].venue == "file"
    trades = read(tmp_path, "binance_BTCUSDT.csv", samples.CSV_TRADES)
    assert rows(trades, "event_time", "bid", "ask", "bid_size", "kind")[0] == (
        at("2020-01-01T00:00:00.123"), 7_200_500_000_000, 7_200_500_000_000, 250_000_000, TRADE,
    )  # fmt: skip
    assert trades.files[0].venue == "binance"
    bars = read(tmp_path, "cme_6EH4_M1.csv", samples.CSV_M1)
    assert (bars.symbols, bars.files[0].venue, len(bars.ticks)) == (["6E"], "cme", 8)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_a_plain_files_epoch_is_read_by_its_magnitude(scale: int, tmp_path: Path) -> None:
    files = read(tmp_path, "EURUSD.csv", f"time,bid,ask\n{1_577_836_800 * scale},1.1,1.2\n")
    assert files.ticks["event_time"].tolist() == [at("2020-01-01T00:00:00")]


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("odd", [0, 4, 19])
def test_the_first_rows_say_the_unit_and_a_row_of_another_is_rejected(scale: int, odd: int, tmp_path: Path) -> None:
    other = {1: 10**3, 10**3: 10**9, 10**6: 1, 10**9: 10**3}[scale]
    times = [(1_577_836_800 + k) * (other if k == odd else scale) for k in range(20)]
    files = read(tmp_path, "EURUSD.csv", csv_quotes(*(f"{time},1.1,1.2" for time in times)))
    assert [(one.line, one.reason) for one in files.rejects] == [
        (odd + 2, "time: an epoch of another unit (s, ms, us, ns) than the file's first rows")
    ]
    assert files.ticks["reference"].tolist() == [k + 2 for k in range(20) if k != odd]


@pytest.mark.parametrize("first", ["-5", "2020-01-01 00:00:00", ""])
def test_a_first_row_written_otherwise_does_not_decide_for_a_whole_file(first: str, tmp_path: Path) -> None:
    rows = [f"{1_577_836_800_000 + k},1.1,1.2" for k in range(5)]
    files = read(tmp_path, "EURUSD.csv", csv_quotes(f"{first},1.1,1.2", *rows))
    assert [one.line for one in files.rejects] == [2]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("EUR-USD.csv", "EURUSD"),
        ("eurusd#_M1.csv", "EURUSD"),
        ("broker EURUSD.m.csv", "EURUSD"),
        ("fxcm_usdjpy-2012.csv", "USDJPY"),
    ],
)
def test_the_symbol_is_found_in_the_name(name: str, symbol: str, tmp_path: Path) -> None:
    assert read(tmp_path, name, samples.CSV_QUOTES).symbols == [symbol]


def test_a_name_without_or_with_two_symbols_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"prices\.csv.*no known symbol.*--symbol"):
        read(tmp_path, "prices.csv", samples.CSV_QUOTES)
    with pytest.raises(InvalidInput, match=r"EURUSD, GBPUSD.*--symbol"):
        read(tmp_path, "EURUSD_GBPUSD.csv", samples.CSV_QUOTES)
    with pytest.raises(UnknownInstrument, match="QQQZZZ"):
        read(tmp_path, "EURUSD.csv", samples.CSV_QUOTES, symbol="QQQZZZ")
    assert read(tmp_path, "prices.csv", samples.CSV_QUOTES, symbol="eur/usd.m").symbols == ["EURUSD"]


def test_a_default_symbol_names_only_files_whose_names_do_not(tmp_path: Path) -> None:
    def symbols(name: str, **options: str) -> list[str]:
        return read(tmp_path, name, samples.CSV_QUOTES, **options).symbols

    assert symbols("prices.csv", default_symbol="eur/usd.m") == ["EURUSD"]
    assert symbols("GBPUSD.csv", default_symbol="EURUSD") == ["GBPUSD"]
    assert symbols("EURUSD_GBPUSD.csv", default_symbol="GBPUSD") == ["GBPUSD"]
    with pytest.raises(InvalidInput, match=r"EURUSD, GBPUSD.*--symbol"):
        symbols("EURUSD_GBPUSD.csv", default_symbol="USDJPY")
    with pytest.raises(UnknownInstrument, match="QQQZZZ"):
        symbols("prices.csv", default_symbol="QQQZZZ")
    assert symbols("GBPUSD.csv", symbol="USDJPY", default_symbol="EURUSD") == ["USDJPY"]


def test_a_default_symbol_picks_what_agrees_with_it_out_of_a_zip_and_relabels_nothing(tmp_path: Path) -> None:
    contracts = zipped(
        m20131007_gc_tick_trade_201312__csv=samples.LEAN_TRADES,
        m20131007_gc_tick_trade_201402__csv=samples.LEAN_TRADES.replace("1313", "1400"),
    )
    files = read(tmp_path, "20131007_trade.zip", contracts, venue="comex", default_symbol="GC-201402")
    assert (files.symbols, int(files.ticks["bid"][0])) == (["GC"], 1_400_800_000_000)
    with pytest.raises(InvalidInput, match="2 tables, 0 of them for --symbol EURUSD"):
        read(tmp_path, "20131007_trade.zip", contracts, venue="comex", default_symbol="EURUSD")
    alone = zipped(m20140501_gbpusd_tick_quote__csv=samples.LEAN_QUOTES)
    assert read(tmp_path, "quote.zip", alone, venue="oanda", default_symbol="EURUSD").symbols == ["GBPUSD"]


def test_an_unknown_file_is_refused_with_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"EURUSD\.csv, line 1 'a;b;c': no known format"):
        read(tmp_path, "EURUSD.csv", "a;b;c\n1;2;3\n")
    with pytest.raises(UnknownFormat, match=r"--format 'excel' is not known.*binarycom"):
        read(tmp_path, "EURUSD.csv", samples.BINARYCOM, format="excel")


def test_packed_and_oddly_ended_text_is_the_same_text(tmp_path: Path) -> None:
    plain = read(tmp_path, "EURUSD.csv", samples.BINARYCOM).ticks.tobytes()
    variants = {
        "EURUSD.csv.gz": gzip.compress(samples.BINARYCOM.encode()),
        "a.zip": zipped(mEURUSD__csv=samples.BINARYCOM, mreport__txt="a status report beside the table"),
        "EURUSD_crlf.csv": samples.BINARYCOM.replace("\n", "\r\n"),
        "EURUSD_bom.csv": b"\xef\xbb\xbf" + samples.BINARYCOM.encode(),
        "EURUSD_unended.csv": samples.BINARYCOM.rstrip("\n"),
        "EURUSD_utf16.csv": samples.BINARYCOM.encode("utf-16"),
    }
    for name, content in variants.items():
        assert read(tmp_path, name, content).ticks.tobytes() == plain, name


def test_merging_is_by_time_venue_symbol_and_row_whatever_the_order_given(tmp_path: Path) -> None:
    text = "time,bid,ask\n2024-01-02T00:00:00Z,1.1,1.2\n2024-01-02T00:00:00Z,1.11,1.2\n2024-01-02T00:00:01Z,1.1,1.2\n"
    paths = [put(tmp_path, name, text) for name in ("oanda_GBPUSD.csv", "fxcm_USDCAD.csv", "oanda_EURUSD.csv")]
    files = read_files(paths, FeedOptions())
    assert files.symbols == ["EURUSD", "GBPUSD", "USDCAD"]
    assert rows(files, "instrument", "reference") == [
        (3, 2),
        (3, 3),
        (1, 2),
        (1, 3),
        (2, 2),
        (2, 3),
        (3, 4),
        (1, 4),
        (2, 4),
    ]
    again = read_files([*reversed(paths), paths[0]], FeedOptions())
    assert again.identity == files.identity
    assert again.ticks.tobytes() == files.ticks.tobytes()
    assert again.files == files.files
    assert np.all(np.diff(files.ticks["event_time"]) >= 0)
