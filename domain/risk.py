"""Named rules for the sized order: it is approved, or refused with reasons.

A new rule is a function, a line in RISK and a test. Limits of money are inclusive: what reaches a limit does not pass
it. An order that was asked for and only reduces a position gets past every rule about risk, exposure, news and halt,
because stopping is never gated.
"""

from collections.abc import Callable
from typing import Any

from domain.calendar import NEWS_WINDOW_NS
from domain.kernel import kernel
from domain.money import plus
from domain.policy import FIXED, REVERSE
from domain.rules import NO_LIMIT, NO_NEWS, TOO_MUCH, Rule
from domain.sizing import against, position_after, share, worth
from domain.strategic import CALENDAR_EMPTY, NEWS_IGNORED, news_says, seconds
from domain.tape import WEEK_CLOSING
from domain.wording import duration, money, units

NEVER_QUOTED = -1  # an age


@kernel
def reduces(f: Any) -> bool:
    """An order that was asked for and makes the position smaller, at most to nothing."""
    return bool(f.own_pattern == 0 and f.held * f.side < 0 and 0 < f.quantity <= abs(f.held))


@kernel
def closes(f: Any) -> bool:
    """It takes the whole position away, which partial fills may have left off the lot step."""
    return reduces(f) and f.quantity == abs(f.held)


@kernel
def whole_quantity(f: Any, p: Any) -> int:
    """What goes to the market as one order: the size, and with a signal's reversal all that is held against it."""
    return int(plus(f.quantity, against(f, p)))


@kernel
def not_halted(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.halted, 0, f.halted == 0 or reduces(f)


def _not_halted(value: int, limit: int, passed: bool) -> str:
    if value == 0:
        return "trading is not halted"
    return "trading is halted, but the order only reduces a position" if passed else "trading is halted"


@kernel
def signal_rate(f: Any, p: Any) -> tuple[int, int, bool]:
    """Signals of the strategy in this minute, this one among them; what a person asks for is not counted."""
    passed = f.own_pattern == 0 or f.signals_this_minute <= p.signals_per_minute_max
    return f.signals_this_minute, p.signals_per_minute_max, passed


def _signal_rate(value: int, limit: int, passed: bool) -> str:
    if limit == NO_LIMIT:
        return f"signal {value} of this minute, no limit"
    return f"signal {value} of this minute, {'of' if passed else 'above the'} {limit} allowed"


@kernel
def not_before_weekend(f: Any, p: Any) -> tuple[int, int, bool]:
    """An account that is flat over the weekend opens nothing once its positions were closed for it.

    FTMO asks the same before every break of more than two hours. The clock knows weeks alone: the holidays of a market
    and the nights of an index are not modelled.
    """
    near = 1 if f.sessions_open & WEEK_CLOSING else 0
    return near, 0, near == 0 or p.flat_before_weekend == 0 or reduces(f)


def _not_before_weekend(value: int, limit: int, passed: bool) -> str:
    if value == 0:
        return "the weekend is not near"
    return "the weekend is near, but the order may go through it" if passed else "the account is flat over the weekend"


@kernel
def not_near_news(f: Any, p: Any) -> tuple[int, int, bool]:
    """An account that may not trade near heavy news enters nothing in a blackout, see domain/calendar.py: seconds to
    the release (negative: since it). A way out passes, although FTMO forbids it too: its fill is recorded."""
    if p.no_news_trading == 0:
        return 0, NEWS_IGNORED, True
    if f.calendar_entries == 0:
        return CALENDAR_EMPTY, 0, True
    if f.blackout_gap_ns == NO_NEWS:
        return NO_NEWS, seconds(NEWS_WINDOW_NS), True
    return seconds(f.blackout_gap_ns), seconds(NEWS_WINDOW_NS), reduces(f)


def _not_near_news(value: int, limit: int, passed: bool) -> str:
    if limit == NEWS_IGNORED:
        return "the account may trade near news"
    if passed and limit > 0 and value != NO_NEWS:
        return f"{news_says(value, limit, False)}, but the order only reduces a position"
    return news_says(value, limit, passed)


@kernel
def price_is_fresh(f: Any, p: Any) -> tuple[int, int, bool]:
    """Nanoseconds since the last quote."""
    quoted = f.quote_age_ns != NEVER_QUOTED
    return f.quote_age_ns, p.stale_after_ns, quoted and f.quote_age_ns <= p.stale_after_ns


def _price_is_fresh(value: int, limit: int, passed: bool) -> str:
    if value == NEVER_QUOTED:
        return "there was no price yet"
    bound = "any age is allowed" if limit == NO_LIMIT else f"{'at most' if passed else 'more than'} {duration(limit)}"
    return f"price is {duration(value)} old, {bound}"


@kernel
def rate_is_known(f: Any, p: Any) -> tuple[int, int, bool]:
    """The account's currency can tell what 1,000 units are worth, and all of the trade's money fits 64 bits."""
    return f.unit_value, 0, f.unit_value > 0


def _rate_is_known(value: int, limit: int, passed: bool) -> str:
    if value == TOO_MUCH:
        return "the money of this trade does not fit 64 bits"
    return f"1,000 units are worth {money(value)}" if passed else "no rate to the account's currency is known"


@kernel
def stop_is_known(f: Any, p: Any) -> tuple[int, int, bool]:
    """A size by risk needs a stop; without one there is a quantity only if it was asked for."""
    limited = p.risk_per_trade_max_ppm != NO_LIMIT or p.daily_risk_max_ppm != NO_LIMIT
    free = not limited and (p.method == FIXED or f.quantity > 0)
    return f.unit_loss, 0, f.unit_loss > 0 or free or reduces(f)


def _stop_is_known(value: int, limit: int, passed: bool) -> str:
    if value > 0:
        return f"1,000 units lose {money(value)} at the stop"
    return "no stop, and the size does not need one" if passed else "no stop, and the size needs one"


@kernel
def smallest_lot(f: Any, p: Any) -> tuple[int, int, bool]:
    """The value is the size before it was cut to lots."""
    return f.unfloored, f.lot_min, f.quantity >= f.lot_min or closes(f)


def _smallest_lot(value: int, limit: int, passed: bool) -> str:
    if passed and value < limit:
        return f"size {units(value)} closes the position"
    return f"size {units(value)} {'fills' if passed else 'does not fill'} the smallest lot {units(limit)}"


@kernel
def lot_step(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.quantity, f.lot_step, f.quantity % f.lot_step == 0 or closes(f)


def _lot_step(value: int, limit: int, passed: bool) -> str:
    if value % limit == 0:
        return f"size {units(value)} is in steps of {units(limit)}"
    return f"size {units(value)} {'closes the position' if passed else f'is not in steps of {units(limit)}'}"


@kernel
def largest_lot(f: Any, p: Any) -> tuple[int, int, bool]:
    """The bound is an order's and a position's: a reversal, which is one order, closes with it and opens."""
    value = max(whole_quantity(f, p), abs(position_after(f, p)))
    return value, f.lot_max, value <= f.lot_max or reduces(f)


def _largest_lot(value: int, limit: int, passed: bool) -> str:
    return f"size {units(value)} is {'at most' if passed else 'above'} the largest {units(limit)}"


@kernel
def risk_per_trade(f: Any, p: Any) -> tuple[int, int, bool]:
    """Lost at the stop, against a share of equity."""
    limit = share(f.equity, p.risk_per_trade_max_ppm)
    return f.risk, limit, f.risk <= limit or reduces(f)


@kernel
def daily_risk(f: Any, p: Any) -> tuple[int, int, bool]:
    """Lost today and at risk, against a share of the day's opening balance."""
    value, limit = plus(plus(f.day_lost, f.open_risk), f.risk), share(f.day_balance, p.daily_risk_max_ppm)
    return value, limit, value <= limit or reduces(f)


@kernel
def daily_loss_room(f: Any, p: Any) -> tuple[int, int, bool]:
    """If every stop were hit, the daily limit would hold."""
    value = plus(f.open_risk, f.risk)
    return value, f.daily_room, value <= f.daily_room or reduces(f)


@kernel
def total_loss_room(f: Any, p: Any) -> tuple[int, int, bool]:
    """If every stop were hit, the limit of the whole account would hold."""
    value = plus(f.open_risk, f.risk)
    return value, f.total_room, value <= f.total_room or reduces(f)


@kernel
def positions(f: Any, p: Any) -> tuple[int, int, bool]:
    """Instruments with a position or a working entry order, this one among them."""
    more = 1 if f.held == 0 and f.entering == 0 else 0
    value = f.positions + more
    return value, p.positions_max, value <= p.positions_max or more == 0


def _positions(value: int, limit: int, passed: bool) -> str:
    if passed and value > limit:
        return f"instruments in the market: {value} is above {limit} allowed, but this is one of them"
    return f"instruments in the market: {value} {'of' if passed else 'is above'} {limit} allowed"


@kernel
def one_way(f: Any, p: Any) -> tuple[int, int, bool]:
    """A pattern neither adds to a position nor, unless it may reverse, trades against one. Value: held on its side."""
    held = f.side * f.held
    return held, 0, f.own_pattern == 0 or (f.entering == 0 and (held == 0 or (held < 0 and p.on_opposite == REVERSE)))


def _one_way(value: int, limit: int, passed: bool) -> str:
    if value == 0:
        return "no position stands in its way" if passed else "an entry order is working already"
    if value > 0:
        return f"adds to a position of {units(value)}" if passed else f"a position of {units(value)} is open already"
    return f"a position of {units(-value)} stands against it{', which it may change' if passed else ''}"


@kernel
def working_orders(f: Any, p: Any) -> tuple[int, int, bool]:
    """This order among them."""
    return f.orders + 1, p.orders_max, f.orders < p.orders_max or reduces(f)


def _working_orders(value: int, limit: int, passed: bool) -> str:
    return f"working orders: {value} {'of' if passed else 'is above'} {limit} allowed"


@kernel
def symbol_exposure(f: Any, p: Any) -> tuple[int, int, bool]:
    """Value of the position after the trade, against a share of equity; less than before always passes."""
    after = abs(position_after(f, p))
    value, limit = worth(after, f.unit_value), share(f.equity, p.symbol_exposure_max_ppm)
    return value, limit, value <= limit or after < abs(f.held)


@kernel
def currency_exposure(f: Any, p: Any) -> tuple[int, int, bool]:
    """Net value of both currencies after the trade, against a share of equity: the larger one of those that fail."""
    limit = share(f.equity, p.currency_exposure_max_ppm)
    change = worth(plus(position_after(f, p), -plus(f.held, f.pending)), f.unit_value)
    base, quote = abs(plus(f.base_exposure, change)), abs(plus(f.quote_exposure, -change))
    base_passed = base <= limit or base < abs(f.base_exposure) or reduces(f)
    quote_passed = quote <= limit or quote < abs(f.quote_exposure) or reduces(f)
    if base_passed == quote_passed:
        return max(base, quote), limit, base_passed
    return quote if base_passed else base, limit, False


@kernel
def free_margin(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.margin, f.margin_free, f.margin <= f.margin_free or reduces(f)


def _allowed(what: str) -> Callable[[int, int, bool], str]:
    def says(value: int, limit: int, passed: bool) -> str:
        if limit == NO_LIMIT:
            return f"{what} {money(value)}, no limit"
        if value <= limit:
            return f"{what} {money(value)} of {money(limit)} allowed"
        return f"{what} {money(value)} is above {money(limit)} allowed{', but the order reduces it' if passed else ''}"

    return says


RISK: tuple[Rule, ...] = (
    Rule(not_halted, _not_halted),
    Rule(not_before_weekend, _not_before_weekend),
    Rule(not_near_news, _not_near_news),
    Rule(signal_rate, _signal_rate),
    Rule(price_is_fresh, _price_is_fresh),
    Rule(rate_is_known, _rate_is_known),
    Rule(stop_is_known, _stop_is_known),
    Rule(smallest_lot, _smallest_lot),
    Rule(lot_step, _lot_step),
    Rule(largest_lot, _largest_lot),
    Rule(risk_per_trade, _allowed("risk")),
    Rule(daily_risk, _allowed("today's loss with open and new risk")),
    Rule(daily_loss_room, _allowed("open and new risk before the daily limit")),
    Rule(total_loss_room, _allowed("open and new risk before the total limit")),
    Rule(positions, _positions),
    Rule(one_way, _one_way),
    Rule(working_orders, _working_orders),
    Rule(symbol_exposure, _allowed("exposure in this instrument")),
    Rule(currency_exposure, _allowed("exposure in one currency")),
    Rule(free_margin, _allowed("margin")),
)
