"""A bar of one minute becomes four ticks: open, the extreme nearer to the open, the other extreme, close."""

from typing import Literal

import numpy as np

from domain.bars import BAR_TICK_OFFSETS_NS
from domain.tape import FROM_BAR, QUOTE, Ticks, empty_ticks
from gateways.feeds.fields import I8

Price = Literal["mid", "bid", "ask"]


def both_sides(price: I8, basis: Price, spread_nanos: int | I8) -> tuple[I8, I8]:
    """Bid and ask of one known price: (bid + ask) // 2 == price if it is the mid, for odd and even spreads alike."""
    if basis == "ask":
        return price - spread_nanos, price
    bid = price - spread_nanos // 2 if basis == "mid" else price
    return bid, bid + spread_nanos


def four_ticks(time: I8, bid: I8, ask: I8, line: I8) -> Ticks:
    """Ticks of bars whose `bid` and `ask` are [4, n] (open, high, low, close). The order of the extremes is decided on
    the mid (a tie takes the low first); bid and ask come from their own bars."""
    ticks = empty_ticks(4 * len(time))
    middle = (bid + ask) // 2
    low_first = middle[0] - middle[2] <= middle[1] - middle[0]
    for k, offset in enumerate(BAR_TICK_OFFSETS_NS):
        ticks["event_time"][k::4] = time + offset
        for name, side in (("bid", bid), ("ask", ask)):
            second, third = np.where(low_first, side[2], side[1]), np.where(low_first, side[1], side[2])
            ticks[name][k::4] = (side[0], second, third, side[3])[k]
        ticks["reference"][k::4] = line
    ticks["receive_time"] = ticks["event_time"]
    ticks["kind"], ticks["flags"] = QUOTE, FROM_BAR
    return ticks
