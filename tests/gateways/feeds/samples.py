"""One small valid file of each format, and how tests read them."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

from gateways.feeds.files import FeedOptions, FileSet, read_files


def zipped(**members: str | bytes) -> bytes:
    """A zip of members; a name's double underscore stands for the dot."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", ".").removeprefix("m")), text)
    return packed.getvalue()


BINARYCOM = (
    "time,open,high,low,close\n"
    "2018-01-02 00:00:00,1.20108,1.20108,1.20096,1.20098\n"
    "2018-01-02 00:01:00,1.20098,1.20098,1.20094,1.20095\n"
)
FXCM_BID = (
    "timestamp,open,high,low,close\n"
    "2012-02-01 00:00:00+00:00,1.57597,1.57606,1.57576,1.57576\n"
    "2012-02-01 00:01:00+00:00,1.57576,1.57583,1.57543,1.57543\n"
)
FXCM_ASK = (
    "timestamp,open,high,low,close\n"
    "2012-02-01 00:00:00+00:00,1.57608,1.57610,1.57585,1.57585\n"
    "2012-02-01 00:01:00+00:00,1.57585,1.57591,1.57552,1.57552\n"
)
HISTDATA_M1 = (
    "20200101 170000;1.121200;1.121720;1.121100;1.121500;0\n20200101 170100;1.121500;1.121600;1.121400;1.121450;0\n"
)
HISTDATA_TICKS = "20200101 170000065,1.121200,1.121720,0\n20200101 170010447,1.121200,1.121920,0\n"
MT5_M1 = (
    "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    "2024.01.02\t00:00:00\t1.10400\t1.10410\t1.10380\t1.10390\t55\t0\t12\n"
    "2024.07.02\t00:00:00\t1.07400\t1.07410\t1.07380\t1.07390\t55\t0\t7\n"
)
MT5_TICKS = (
    "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
    "2024.01.02\t00:00:01.250\t1.10400\t1.10412\t\t\t6\n"
    "2024.01.02\t00:00:01.500\t\t1.10413\t\t\t4\n"
    "2024.01.02\t00:00:02.000\t1.10401\t\t\t\t2\n"
)
LEAN_QUOTES = "292,1.38676,1.38686\r\n920.5,1.38676,1.38687\r\n"
LEAN_TRADES = "4933381,1313.8,1,usa,,0\n4933381,1313.9,0,usa,,0\n"
LEAN_MINUTES = (
    "0,1291.677,1291.955,1291.376,1291.464,0,1292.033,1292.423,1291.698,1291.741,0\n"
    "60000,1291.421,1291.686,1291.352,1291.686,0,1291.698,1291.98,1291.668,1291.98,0\n"
)
CSV_QUOTES = (
    "time,bid,ask,bid_size,ask_size\n"
    "2024-01-02T00:00:00.5Z,1.104,1.1041,1.5,2\n"
    "2024-01-02T00:00:01Z,1.1041,1.1042,1,1\n"
)
CSV_TRADES = "time,price,size\n1577836800123,7200.5,0.25\n1577836801123,7200.25,1\n"
CSV_M1 = (
    "timestamp_utc,open,high,low,close,volume\n"
    "2024-01-01 23:01:00,1.1076,1.10785,1.1076,1.1078,205\n"
    "2024-01-01 23:02:00,1.10775,1.1078,1.1077,1.10775,86\n"
)

# name of the format -> (file name, bytes, options)
VALID: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "binarycom": ("EURUSD_M1.csv", BINARYCOM.encode(), {}),
    "fxcm": ("gbpusd-bid.csv", FXCM_BID.encode(), {"price": "bid"}),
    "histdata-m1": ("DAT_ASCII_EURUSD_M1_2020.csv", HISTDATA_M1.encode(), {}),
    "histdata-ticks": ("DAT_ASCII_EURUSD_T_202001.csv.gz", gzip.compress(HISTDATA_TICKS.encode(), mtime=0), {}),
    "mt5-m1": ("EURUSD_M1.csv", b"\xff\xfe" + MT5_M1.encode("utf-16le"), {}),
    "mt5-ticks": ("EURUSD.m_ticks.csv", MT5_TICKS.encode(), {}),
    "lean-quote-ticks": (
        "20140501_quote.zip", zipped(m20140501_eurusd_tick_quote__csv=LEAN_QUOTES), {"venue": "oanda"}
    ),
    "lean-trade-ticks": (
        "20131007_trade.zip", zipped(m20131007_gc_tick_trade_201312__csv=LEAN_TRADES), {"venue": "comex"}
    ),
    "lean-quote-minutes": (
        "20140501_quote.zip", zipped(m20140501_xauusd_minute_quote__csv=LEAN_MINUTES), {"venue": "oanda"}
    ),
    "csv-quotes": ("EURUSD.csv", CSV_QUOTES.encode(), {}),
    "csv-trades": ("binance_BTCUSDT.csv", CSV_TRADES.encode(), {}),
    "csv-m1": ("cme_6EH4.csv", CSV_M1.encode(), {}),
}  # fmt: skip


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with that content."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> FileSet:
    """Write one file and read it."""
    return read_files([put(folder, name, content)], FeedOptions(**options))


def binarycom(*rows: str) -> str:
    """A binarycom file of these rows."""
    return "\n".join(["time,open,high,low,close", *rows, ""])


def csv_quotes(*rows: str) -> str:
    """A plain file of quotes."""
    return "\n".join(["time,bid,ask", *rows, ""])
