"""The market as the desk sees it: per instrument the newest quote, what it trades in, its volatility and its trend.

One MARKET record an instrument, indexed by the tape's instrument number. The paper market consumes the displayed sizes
in it, so two orders never fill on the same liquidity.
"""

from typing import Any

import numpy as np

from domain.bars import BAR, H1, M1, extend, fold, mid, open_bar
from domain.instruments import NANOS, Instrument
from domain.kernel import kernel
from domain.money import muldiv
from domain.tape import QUOTE

ATR_BARS = 14  # Wilder's average true range of M1 bars
TREND_BARS = 20  # span of the average of H1 closes
UNLIMITED = np.iinfo(np.int64).max  # a displayed size that the feed does not know, or is good for any order
MAX_SIZE = 2**59  # nanos of units: five levels of it still fit

SAME_CURRENCY, NO_RATE = 0, -1  # rate_via

MARKET = np.dtype(
    [
        ("instrument", "<i8"),  # 0: not declared
        ("pip", "<i8"),  # nanos
        ("point", "<i8"),
        ("lot_step", "<i8"),  # nanos of units
        ("lot_min", "<i8"),
        ("lot_max", "<i8"),
        ("margin_ppm", "<i8"),
        ("taker_ppm", "<i8"),
        ("maker_ppm", "<i8"),
        ("always_open", "<i8"),
        ("base", "<i8"),  # currency numbers of the desk
        ("quote", "<i8"),
        ("rate_via", "<i8"),  # the instrument whose mid turns quote into account currency, or one of the above
        ("rate_inverse", "<i8"),  # 1: divide by it
        ("rate_source", "<i8"),  # 1: some instrument's rate_via is this one
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("bid_left", "<i8"),  # displayed size that nobody has taken yet, nanos of units; below 0: deeper levels too
        ("ask_left", "<i8"),
        ("mid", "<i8"),
        ("has_quotes", "<i8"),  # 1: it is quoted, so a trade is no price to trade at
        ("time", "<i8"),  # of the newest quote
        ("ordinal", "<i8"),  # 0: never quoted
        ("refused", "<i8"),  # 1: money could not follow a quote of it; said once until trading is resumed
        ("m1", BAR),
        ("h1", BAR),
        ("last_close", "<i8"),
        ("atr", "<f8"),  # nanos
        ("atr_bars", "<i8"),
        ("average", "<f8"),  # of H1 closes, nanos
        ("trend_bars", "<i8"),
        ("trend", "<i8"),  # +1 close above the average, -1 below; 0 not known yet
    ]
)


def declare(record: Any, number: int, instrument: Instrument) -> None:
    """Fill what an instrument's definition says. Currencies, rates and fees belong to account and policy."""
    record["instrument"] = number
    record["pip"], record["point"] = instrument.pip_nanos, instrument.point_nanos
    record["lot_step"] = instrument.contract_size * instrument.lot_step_nanos
    record["lot_min"] = instrument.contract_size * instrument.lot_min_nanos
    record["lot_max"] = instrument.contract_size * instrument.lot_max_nanos
    record["margin_ppm"] = instrument.margin_ppm
    record["always_open"] = instrument.market == "crypto"


@kernel
def observe(market: Any, tick: Any, ordinal: int) -> None:
    """Take a usable price to trade at: the quote. A trade's size is gone already, and displays nothing."""
    quoted = tick.kind == QUOTE
    market.bid, market.ask, market.time, market.ordinal = tick.bid, tick.ask, tick.receive_time, ordinal
    market.mid = mid(tick)
    market.bid_left = tick.bid_size if quoted and 0 < tick.bid_size < MAX_SIZE else UNLIMITED
    market.ask_left = tick.ask_size if quoted and 0 < tick.ask_size < MAX_SIZE else UNLIMITED


@kernel
def extend_bars(market: Any, tick: Any) -> None:
    """Take any market tick into the bars behind volatility and trend."""
    price, time = mid(tick), tick.receive_time
    minute = market.m1
    if time < minute.start + M1:
        extend(minute, price)
        return
    if minute.ticks > 0:
        _close_minute(market, minute)
        if time >= market.h1.start + H1:
            _close_hour(market)
    open_bar(minute, time, M1, price)


@kernel
def is_price(market: Any, tick: Any) -> bool:
    """Can one trade at it? A quote always; a trade only while an instrument has no quotes."""
    if tick.kind == QUOTE:
        market.has_quotes = 1
    return bool(tick.kind == QUOTE or market.has_quotes == 0)


@kernel
def _close_minute(market: Any, minute: Any) -> None:
    fold(market.h1, minute, H1)
    reach = minute.high - minute.low
    if market.atr_bars > 0:
        reach = max(reach, abs(minute.high - market.last_close), abs(minute.low - market.last_close))
    market.last_close = minute.close
    market.atr_bars += 1
    market.atr += (reach - market.atr) / min(market.atr_bars, ATR_BARS)  # the mean of the first bars, then Wilder's


@kernel
def _close_hour(market: Any) -> None:
    close = market.h1.close
    market.h1.ticks = 0
    if market.trend_bars == 0:
        market.average = float(close)
    else:
        market.average += 2.0 / (TREND_BARS + 1) * (close - market.average)
    market.trend_bars += 1
    if market.trend_bars >= TREND_BARS:
        market.trend = 1 if close > market.average else -1 if close < market.average else 0


@kernel
def rate_is_known(markets: Any, number: int) -> bool:
    """Can money of this instrument's quote currency be told in account currency now?"""
    via = markets[number].rate_via
    return bool(via == SAME_CURRENCY or (via > 0 and markets[via].mid > 0))


@kernel
def rate(markets: Any, number: int) -> int:
    """The mid that converts, in nanos; 1 for the same currency."""
    via = markets[number].rate_via
    return NANOS if via == SAME_CURRENCY else int(markets[via].mid)


@kernel
def convert(markets: Any, number: int, amount: int) -> int:
    """Quote currency of an instrument to account currency, nanos, at the newest mid of the pair between them."""
    market = markets[number]
    if market.rate_via == SAME_CURRENCY:
        return int(amount)
    price = markets[market.rate_via].mid
    if market.rate_inverse != 0:
        return int(muldiv(amount, NANOS, price))
    return int(muldiv(amount, price, NANOS))
