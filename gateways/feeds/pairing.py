"""Bars whose bid and ask came in two files: which two belong together, and their join by time."""

import numpy as np

from domain.errors import InvalidInput
from domain.tape import Ticks
from gateways.feeds.bars import Price, both_sides, four_ticks
from gateways.feeds.checks import CROSSED, UNMATCHED
from gateways.feeds.fields import GOOD
from gateways.feeds.naming import words_in
from gateways.feeds.sheet import Sheet
from gateways.feeds.sources import Source


def side_of(source: Source) -> Price:
    """Which side a file holds, by its name."""
    words = words_in(source.name.lower())
    if ("bid" in words) == ("ask" in words):
        raise InvalidInput(f"{source.name}: the name must hold either bid or ask, as in gbpusd-m1-bid-2012.csv.")
    return "bid" if "bid" in words else "ask"


def without_side(source: Source) -> str:
    """The name that a bid file and its ask file share."""
    return " ".join(word for word in words_in(source.name.lower()) if word not in ("bid", "ask"))


def join(bid: Sheet, ask: Sheet) -> Ticks:
    """The ticks of the minutes that both sides have. Rows without a partner, or crossed with it, are marked in both;
    the ticks refer to the bid file's lines."""
    good_bid, good_ask = (np.flatnonzero(sheet.rows.code == GOOD) for sheet in (bid, ask))
    time, in_bid, in_ask = np.intersect1d(
        bid.time[good_bid], ask.time[good_ask], assume_unique=True, return_indices=True
    )
    b, a = good_bid[in_bid], good_ask[in_ask]
    crossed = (bid.bid[:, b] > ask.ask[:, a]).any(axis=0)
    for sheet, good, matched in ((bid, good_bid, b), (ask, good_ask, a)):
        sheet.rows.code[np.setdiff1d(good, matched, assume_unique=True)] = UNMATCHED
        sheet.rows.code[matched[crossed]] = CROSSED
    b, a = b[~crossed], a[~crossed]
    return four_ticks(time[~crossed], bid.bid[:, b], ask.ask[:, a], bid.rows.line[b])


def alone(sheet: Sheet, side: Price, spread_nanos: int) -> Sheet:
    """One side without the other: the other one stands at the spread's distance."""
    bid, ask = both_sides(sheet.bid, side, spread_nanos)
    return sheet._replace(bid=bid, ask=ask).judged()
