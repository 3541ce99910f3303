"""MetaTrader 5 exports: bid bars with a spread column, and ticks where a blank means unchanged.

Times are the server's. Brokers who close the day at 17:00 New York keep New York + 7 hours (UTC+2, and UTC+3 while the
United States have summer time); an export does not name its zone, so the desk assumes this one for every MT5 file.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from domain.tape import QUOTE, TRADE
from gateways.feeds.bars import both_sides
from gateways.feeds.checks import NO_QUOTE_YET
from gateways.feeds.fields import (
    BLANK,
    BLANK_OR_AMOUNT,
    BLANK_OR_PRICE,
    COUNT,
    DATE,
    GOOD,
    I8,
    PRICE,
    SECOND,
    SKIP,
    TIME_OF_DAY,
)
from gateways.feeds.sheet import Format, Request, Sheet, a_header, bar_sheet, read_columns, tick_sheet
from gateways.feeds.sources import Source

SERVER_ZONE = ZoneInfo("America/New_York")
SERVER_AHEAD = timedelta(hours=7)

BAR = {
    "date": DATE, "time": TIME_OF_DAY, "open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE,
    "tickvol": SKIP, "vol": SKIP, "spread": COUNT,
}  # fmt: skip
TICK = {
    "date": DATE, "time": TIME_OF_DAY, "bid": BLANK_OR_PRICE, "ask": BLANK_OR_PRICE, "last": BLANK_OR_PRICE,
    "volume": BLANK_OR_AMOUNT, "flags": SKIP,
}  # fmt: skip

_HOUR = 3600 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def server_to_utc(time: I8) -> I8:
    """Server time in ns as UTC. The hour that repeats in November (Sunday morning) is taken as its first passing."""
    hours, which = np.unique(time // _HOUR, return_inverse=True)
    shifts = np.array([_shift(int(hour)) for hour in hours], np.int64)
    return time - shifts[which] if len(time) else time


def _shift(hour: int) -> int:
    wall = (_EPOCH + timedelta(hours=hour) - SERVER_AHEAD).replace(tzinfo=SERVER_ZONE)
    offset = wall.utcoffset()
    assert offset is not None
    return int((offset + SERVER_AHEAD).total_seconds()) * SECOND


def _point_nanos(source: Source) -> int:
    """The export prints every price with the symbol's digits, so its first lines tell what a point is."""
    fields = [field for line in source.sample[1:] for field in line.split("\t")[2:6]]
    decimals = max((len(field.rpartition(".")[2]) for field in fields if "." in field), default=0)
    return int(10 ** (9 - min(decimals, 9)))


def _bars(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, BAR, delimiter="\t")
    date, clock, spread = rows.values[0], rows.values[1], rows.values[8] * _point_nanos(source)
    assert request.price is not None
    if request.spread_nanos is not None:
        spread = np.full_like(spread, request.spread_nanos)
    sides = both_sides(rows.values[2:6], request.price, spread)
    return bar_sheet(rows, BAR, server_to_utc(date + clock), *sides)


def _carried(price: I8) -> I8:
    """Each blank replaced by the value before it; BLANK where there is none yet."""
    latest = np.maximum.accumulate(np.where(price == BLANK, 0, np.arange(len(price))))
    return price[latest]


def _ticks(source: Source, request: Request) -> Sheet:
    """A row with a bid or an ask is a quote; one with only a last price is a trade."""
    rows = read_columns(source, TICK, delimiter="\t")
    good = rows.code == GOOD
    date, clock, bid, ask, last, volume = rows.values[:6]
    trade = good & (bid == BLANK) & (ask == BLANK) & (last != BLANK) & (last != 0)
    readable = [np.where(good, side, BLANK) for side in (bid, ask)]
    bid, ask = (np.where(trade, last, _carried(side)) for side in readable)
    rows.code[good & ((bid == BLANK) | (ask == BLANK))] = NO_QUOTE_YET
    size = np.where(trade & (volume != BLANK), volume, 0)
    kind = np.where(trade, TRADE, QUOTE).astype(np.uint16)
    return tick_sheet(rows, TICK, server_to_utc(date + clock), bid, ask, kind, size)


FORMATS = (
    Format(
        name="mt5-m1",
        expects="the tab-separated header <DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> <VOL> <SPREAD>",
        recognises=a_header("<date>\t<time>\t<open>\t<high>\t<low>\t<close>\t<tickvol>\t<vol>\t<spread>"),
        read=_bars, venue=lambda _: "mt5", one_price="bid",
        own_spread=True,
    ),
    Format(
        name="mt5-ticks", expects="the tab-separated header <DATE> <TIME> <BID> <ASK> <LAST> <VOLUME> <FLAGS>",
        recognises=a_header("<date>\t<time>\t<bid>\t<ask>\t<last>\t<volume>\t<flags>"),
        read=_ticks, venue=lambda _: "mt5",
    ),
)  # fmt: skip
