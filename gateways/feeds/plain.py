"""Plain CSV with a header, UTC: quotes, trades, or one-minute bars.

Time is ISO 8601, or an epoch in s, ms, us or ns: one of them a file, as most of its first rows have it.

quotes   time,bid,ask[,bid_size,ask_size]
trades   time,price[,size]
bars     time,open,high,low,close[,volume]      (one price a bar: the mid unless --price says otherwise)
"""

from collections import Counter
from collections.abc import Callable

from domain.tape import TRADE
from gateways.feeds.bars import Price
from gateways.feeds.fields import AMOUNT, ISO_TIME, PRICE, time_kind
from gateways.feeds.naming import venue_in
from gateways.feeds.sheet import Format, Request, Sheet, a_header, one_price_bars, read_columns, tick_sheet
from gateways.feeds.sources import Source

_TIME = "(time|timestamp|timestamp_utc|datetime|date)"


def _columns(source: Source, sizes: tuple[str, ...]) -> dict[str, int]:
    """The header's columns; the lines below it show how time is written."""
    first, *others = source.header.split(",")
    kinds = (time_kind(line.split(",")[0].strip()) for line in source.sample[1:])
    known = Counter(kind for kind in kinds if kind is not None).most_common(1)
    time = known[0][0] if known else ISO_TIME
    return {first: time} | {name: AMOUNT if name in sizes else PRICE for name in others}


def _quotes(source: Source, request: Request) -> Sheet:
    columns = _columns(source, ("bid_size", "ask_size"))
    rows = read_columns(source, columns)
    time, bid, ask, *sizes = rows.values
    return tick_sheet(rows, columns, time, bid, ask, bid_size=sizes[0], ask_size=sizes[1]) if sizes else tick_sheet(
        rows, columns, time, bid, ask
    )  # fmt: skip


def _trades(source: Source, request: Request) -> Sheet:
    columns = _columns(source, ("size",))
    rows = read_columns(source, columns)
    time, price, *size = rows.values
    return tick_sheet(rows, columns, time, price, price, TRADE, size[0] if size else None)


def _bars(source: Source, request: Request) -> Sheet:
    columns = _columns(source, ("volume",))
    rows = read_columns(source, columns)
    return one_price_bars(rows, columns, rows.values[0], rows.values[1:5], request)


def _venue(source: Source) -> str:
    return venue_in((source.name,)) or "file"


def _format(
    name: str, fields: str, pattern: str, read: Callable[[Source, Request], Sheet], one_price: Price | None = None
) -> Format:
    return Format(
        name=name, expects=f"the header {fields}", recognises=a_header(_TIME + pattern), read=read, venue=_venue,
        one_price=one_price,
    )  # fmt: skip


FORMATS = (
    _format("csv-quotes", "time,bid,ask[,bid_size,ask_size]", ",bid,ask(,bid_size,ask_size)?", _quotes),
    _format("csv-trades", "time,price[,size]", ",price(,size)?", _trades),
    _format("csv-m1", "time,open,high,low,close[,volume]", ",open,high,low,close(,volume)?", _bars, "mid"),
)
