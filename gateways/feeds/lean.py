"""LEAN daily zips: quote ticks, trade ticks and minute quotes, `YYYYMMDD_symbol_resolution_kind[_contract].csv` inside.

The date and the contract come from the member's name, the venue from the folders (forex/oanda/tick/eurusd) or --venue.
FXCM forex days are cut in fixed UTC-5, all others in UTC. A zip of several contracts needs --symbol GC-201312.
"""

import re
from collections.abc import Callable

from domain.errors import InvalidInput
from domain.tape import TRADE
from gateways.feeds.fields import AMOUNT, I8, MILLISECONDS_OF_DAY, PRICE, SECOND, SKIP, date_ns
from gateways.feeds.naming import venue_in
from gateways.feeds.sheet import Format, Request, Sheet, any_line, bar_sheet, read_columns, tick_sheet
from gateways.feeds.sources import Source

FXCM_TO_UTC_NS = 5 * 3600 * SECOND

_TABLE = re.compile(r"(\d{8})_([a-z0-9]+)_(tick|minute)_(quote|trade)(?:_(\w+))?\.csv", re.IGNORECASE)

QUOTE_TICK = {"time": MILLISECONDS_OF_DAY, "bid": PRICE, "ask": PRICE}
TRADE_TICK = {
    "time": MILLISECONDS_OF_DAY, "price": PRICE, "size": AMOUNT,
    "exchange": SKIP, "condition": SKIP, "suspicious": SKIP,
}  # fmt: skip
QUOTE_BAR = {
    "time": MILLISECONDS_OF_DAY,
    "bid open": PRICE, "bid high": PRICE, "bid low": PRICE, "bid close": PRICE, "bid size": AMOUNT,
    "ask open": PRICE, "ask high": PRICE, "ask low": PRICE, "ask close": PRICE, "ask size": AMOUNT,
}  # fmt: skip


def _named(resolution: str, kind: str, pattern: str) -> Callable[[Source], bool]:
    fits = any_line(pattern)

    def recognises(source: Source) -> bool:
        match = _TABLE.fullmatch(source.table)
        return match is not None and (match[3].lower(), match[4].lower()) == (resolution, kind) and fits(source)

    return recognises


def _day_and_contract(source: Source) -> str:
    match = _TABLE.fullmatch(source.table)
    return " ".join(part for part in (match[1], match[5]) if part) if match else ""


def _utc(source: Source, request: Request, since_midnight: I8) -> I8:
    day = date_ns(_day_and_contract(source)[:8])
    if day < 0:
        raise InvalidInput(f"{source.place}: the name does not begin with a date YYYYMMDD of 1970 to 2200.")
    fixed = FXCM_TO_UTC_NS if request.venue == "fxcm" and request.instrument.market == "fx" else 0
    return since_midnight + day + fixed


def _quotes(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, QUOTE_TICK, header=False)
    time, bid, ask = rows.values
    return tick_sheet(rows, QUOTE_TICK, _utc(source, request, time), bid, ask)


def _trades(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, TRADE_TICK, header=False)
    time, price, size = rows.values[:3]
    return tick_sheet(rows, TRADE_TICK, _utc(source, request, time), price, price, TRADE, size)


def _minutes(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, QUOTE_BAR, header=False)
    return bar_sheet(rows, QUOTE_BAR, _utc(source, request, rows.values[0]), rows.values[1:5], rows.values[6:10])


def _venue(source: Source) -> str:
    venue = venue_in((*source.folders, source.name))
    if venue is None:
        raise InvalidInput(f"{source.name}: no venue in the path (a folder such as oanda). Give it with --venue.")
    return venue


FORMATS = (
    Format(
        name="lean-quote-ticks", expects="a member YYYYMMDD_symbol_tick_quote.csv with lines like 292,1.38676,1.38686",
        recognises=_named("tick", "quote", r"[0-9.]+(,[0-9.]+){2}"), read=_quotes, venue=_venue,
        detail=_day_and_contract,
    ),
    Format(
        name="lean-trade-ticks", expects="a member YYYYMMDD_symbol_tick_trade_contract.csv with lines like "
        "4933381,1313.8,1,usa,,0",
        recognises=_named("tick", "trade", r"[0-9.]+,[0-9.]+,[0-9.]*,[^,]*,[^,]*,[01]"), read=_trades, venue=_venue,
        detail=_day_and_contract,
    ),
    Format(
        name="lean-quote-minutes", expects="a member YYYYMMDD_symbol_minute_quote.csv with eleven fields a line",
        recognises=_named("minute", "quote", r"[0-9.]+(,[0-9.]+){10}"), read=_minutes, venue=_venue,
        detail=_day_and_contract,
    ),
)  # fmt: skip
