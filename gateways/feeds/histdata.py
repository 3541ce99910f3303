"""HistData.com generic ASCII: one-minute bid bars and quote ticks, both in fixed UTC-5 without daylight saving."""

from gateways.feeds.fields import AMOUNT, COMPACT_TIME, PRICE, SECOND
from gateways.feeds.sheet import Format, Request, Sheet, any_line, one_price_bars, read_columns, tick_sheet
from gateways.feeds.sources import Source

TO_UTC_NS = 5 * 3600 * SECOND

BAR = {"time": COMPACT_TIME, "open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE, "volume": AMOUNT}
TICK = {"time": COMPACT_TIME, "bid": PRICE, "ask": PRICE, "volume": AMOUNT}


def _bars(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, BAR, delimiter=";", header=False)
    return one_price_bars(rows, BAR, rows.values[0] + TO_UTC_NS, rows.values[1:5], request)


def _ticks(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, TICK, header=False)
    return tick_sheet(rows, TICK, rows.values[0] + TO_UTC_NS, rows.values[1], rows.values[2])


FORMATS = (
    Format(
        name="histdata-m1", expects="lines like 20200101 170000;1.1212;1.1213;1.1211;1.1212;0",
        recognises=any_line(r"\d{8} \d{6}(;[0-9.]+){5}"), read=_bars, venue=lambda _: "histdata",
        one_price="bid",
    ),
    Format(
        name="histdata-ticks", expects="lines like 20200101 170000065,1.121200,1.121720,0",
        recognises=any_line(r"\d{8} \d{9}(,[0-9.]+){3}"), read=_ticks, venue=lambda _: "histdata",
    ),
)  # fmt: skip
