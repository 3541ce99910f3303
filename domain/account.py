"""The account: balance, positions (netted), floating result, margin, the day at Prague midnight, and its limits.

Money is nanos of the account's currency, quantities nanos of units, signed. `cost` is what an open position cost, in
quote currency and signed like its quantity, so a closed position has realised exactly what was paid and received:

    realised = proceeds - released cost, rounded once; balance = initial + sum of realised - sum of fees
    floating = value at the side one would close at - cost;  equity = balance + floating

Limits (FTMO's definitions): equity must not fall below the balance at midnight Prague less the daily loss, nor below
the static or trailing maximum loss. They are tested at every record that changes equity; a breach halts and flattens.
No amount of the account passes MONEY_MAX: what would take one past it raises OverflowError, and the engine undoes that
record and refuses its quote.
"""

from typing import Any

import numpy as np

from domain.calendar import NEWS_WINDOW_NS, blackout_gap
from domain.instruments import NANOS
from domain.journal import BOOKED, BREACHED, MARKED, ROLLED, enter, take_row
from domain.kernel import kernel
from domain.market import convert, rate
from domain.money import MONEY_MAX, PPM, bounded, muldiv, plus
from domain.objectives import FAILED, OPEN, judge_objectives, keeps_best_day, reaches_target
from domain.orders import (
    CANCELED,
    FLATTEN,
    FLATTENED,
    HALTED,
    MARKET_ORDER,
    POSITION_CLOSED,
    amend,
    cancel_entries,
    draft,
    is_done,
    is_exit,
    leaves,
    move,
    submit,
    sweep,
)
from domain.policy import STATIC, TRAILING
from domain.rules import NO_LIMIT, NO_NEWS

ACCOUNT = np.dtype(
    [
        ("initial", "<i8"),
        ("balance", "<i8"),
        ("floating", "<i8"),
        ("margin", "<i8"),
        ("low", "<i8"),  # of equity since the last mark
        ("high", "<i8"),
        ("peak", "<i8"),  # highest balance
        ("realised", "<i8"),  # sums over all bookings
        ("fees", "<i8"),
        ("day_balance", "<i8"),  # at midnight Prague
        ("highest_day", "<i8"),  # highest midnight balance
        ("daily_limit", "<i8"),  # equity; NO_LIMIT: none
        ("total_limit", "<i8"),
        ("trading_days", "<i8"),  # Prague days on which a position was opened
        ("opened_today", "<i8"),
        ("best_day", "<i8"),  # the largest profit of a closed day
        ("won_days", "<i8"),  # sum of the profits of winning days
        ("breached", "<i8"),  # 1: a limit was; tested again after a resume
        ("open_positions", "<i8"),
        ("outcome", "<i8"),  # of the policy's objectives
    ]
)

POSITION = np.dtype(
    [
        ("quantity", "<i8"),  # nanos of units, signed; 0: flat
        ("cost", "<i8"),  # quote currency, signed like quantity
        ("floating", "<i8"),  # account currency
        ("margin", "<i8"),
        ("realised", "<i8"),  # of this trade so far, account currency
        ("fees", "<i8"),
        ("correlation", "<i8"),  # of the trade that opened it
    ]
)

DAILY_LOSS, MAX_LOSS, NEWS_TRADING, MONEY_RANGE = range(4)
LIMITS = ("daily_loss", "max_loss", "news_trading", "money_range")


def new_account() -> Any:
    """One ACCOUNT record that is not opened yet: nothing limits it."""
    account = np.zeros(1, ACCOUNT)
    account["daily_limit"] = account["total_limit"] = NO_LIMIT
    return account


@kernel
def equity_of(account: Any) -> int:
    """Balance and what is open."""
    return int(account.balance + account.floating)


@kernel
def open_account(account: Any, initial: int) -> None:
    """A new account's first day."""
    account.initial = account.balance = account.peak = account.low = account.high = initial
    account.day_balance = account.highest_day = initial


@kernel
def set_limits(book: Any) -> None:
    """The limits of this day under this policy."""
    account, policy = book.account[0], book.policy[0]
    account.daily_limit = account.total_limit = NO_LIMIT
    if policy.daily_loss_ppm != NO_LIMIT:
        account.daily_limit = account.day_balance - muldiv(account.initial, policy.daily_loss_ppm, PPM)
    if policy.max_loss_ppm == NO_LIMIT:
        return
    base = account.initial
    if policy.max_loss_kind != STATIC:
        base = max(base, account.highest_day)
    account.total_limit = base - muldiv(account.initial, policy.max_loss_ppm, PPM)
    if policy.max_loss_kind not in (STATIC, TRAILING):
        account.total_limit = min(account.total_limit, account.initial)


@kernel
def room(account: Any, limit: int) -> int:
    """How far equity may fall."""
    return int(plus(equity_of(account), -limit)) if limit != NO_LIMIT else NO_LIMIT


# -- positions -----------------------------------------------------------------------------------------------------


@kernel
def revalue(account: Any, positions: Any, markets: Any, number: int) -> None:
    """Mark one position at the side it would close at."""
    position, market = positions[number], markets[number]
    before = position.floating
    if position.quantity == 0:
        position.floating = 0
    else:
        price = market.bid if position.quantity > 0 else market.ask
        value = muldiv(position.quantity, price, NANOS)
        position.floating = bounded(convert(markets, number, plus(value, -position.cost)))
    account.floating = bounded(plus(account.floating, position.floating - before))


@kernel
def mark_to_market(account: Any, positions: Any, markets: Any, number: int) -> None:
    """A quote of an instrument came: its position, and those whose money it converts, have another value."""
    revalue(account, positions, markets, number)
    if markets[number].rate_source != 0:
        for other in range(1, len(positions)):
            if other != number and positions[other].quantity != 0 and markets[other].rate_via == number:
                revalue(account, positions, markets, other)
    equity = bounded(equity_of(account))
    account.low, account.high = min(account.low, equity), max(account.high, equity)


@kernel
def book_fill(book: Any, order: Any, price: int, quantity: int, fee_ppm: int, fill_number: int) -> None:
    """Put an execution into position and account, and let the exits follow."""
    number = order.instrument
    account, position = book.account[0], book.positions[number]
    signed = order.side * quantity
    value = muldiv(quantity, price, NANOS)
    fee = convert(book.markets, number, muldiv(abs(value), fee_ppm, PPM))
    before, realised_quote, closing, closed = position.quantity, 0, 0, False
    if before * order.side >= 0:
        position.cost = plus(position.cost, order.side * value)
    else:
        closing = min(quantity, abs(before))
        closed = closing == abs(before)
        released = position.cost if closed else muldiv(position.cost, closing, abs(before))
        received = value if closing == quantity else muldiv(closing, price, NANOS)
        realised_quote = plus(-released, -order.side * received)
        position.cost = plus(plus(position.cost, -released), order.side * (value - received))
    position.quantity = plus(position.quantity, signed)
    realised = bounded(convert(book.markets, number, realised_quote))
    account.balance = bounded(account.balance + bounded(realised - bounded(fee)))
    account.realised = bounded(account.realised + realised)
    account.fees = bounded(account.fees + fee)
    account.peak = max(account.peak, account.balance)
    closing_fee = fee if closing == quantity else muldiv(fee, closing, quantity)
    position.realised = bounded(position.realised + realised)
    position.fees = bounded(position.fees + closing_fee)
    trade = position.realised - position.fees if closed else 0
    if closed:
        position.realised, position.fees = 0, 0
    position.fees += fee - closing_fee
    opened = position.quantity != 0 and (before == 0 or closed)
    account.open_positions += (1 if position.quantity != 0 else 0) - (1 if before != 0 else 0)
    if opened:
        position.correlation = order.correlation
        account.trading_days += 1 - account.opened_today
        account.opened_today = 1
    _margin(book, number)
    mark_to_market(account, book.positions, book.markets, number)
    _record_booking(book, order, fill_number, realised_quote, realised, fee, closed, trade)
    _align_exits(book, number)
    if closed and not passes_limit(account):
        judge_objectives(book, fill_number, order.correlation)


@kernel
def _margin(book: Any, number: int) -> None:
    position, account = book.positions[number], book.account[0]
    before = position.margin
    value = convert(book.markets, number, abs(position.cost))
    position.margin = muldiv(value, book.markets[number].margin_ppm, PPM)
    account.margin = bounded(plus(account.margin, position.margin - before))


@kernel
def _record_booking(
    book: Any, order: Any, fill_number: int, realised_quote: int, realised: int, fee: int, closed: bool, trade: int
) -> None:
    account, position, market = book.account[0], book.positions[order.instrument], book.markets[order.instrument]
    row = take_row(book.journal, BOOKED)
    booking = book.journal.bookings[row]
    booking.instrument, booking.position, booking.cost = order.instrument, position.quantity, position.cost
    booking.realised_quote, booking.rate = realised_quote, rate(book.markets, order.instrument)
    booking.rate_inverse, booking.realised, booking.fee = market.rate_inverse, realised, fee
    booking.balance, booking.floating, booking.equity = account.balance, account.floating, equity_of(account)
    booking.margin, booking.closed, booking.trade = account.margin, 1 if closed else 0, trade
    enter(book, BOOKED, row, fill_number, order.correlation)


@kernel
def _align_exits(book: Any, number: int) -> None:
    """Exits cover the whole position, and go with it; so does what was let through as a reduction of it."""
    quantity = book.positions[number].quantity
    for index in range(book.desk[0].orders):
        order = book.orders[index]
        if order.instrument != number or is_done(order) or not (is_exit(order) or order.reduces != 0):
            continue
        if quantity * order.side >= 0:
            move(book, order, CANCELED, POSITION_CLOSED)
        elif is_exit(order) and leaves(order) != abs(quantity):
            amend(book, order, abs(quantity))


# -- marks, days, limits -------------------------------------------------------------------------------------------


@kernel
def mark_account(book: Any) -> None:
    """The minute's record of an account with an open position."""
    row = _mark(book)
    enter(book, MARKED, row, 0, 0)
    account = book.account[0]
    account.low = account.high = equity_of(account)


@kernel
def roll_day(book: Any) -> None:
    """Midnight in Prague: the day's result is counted, and the limits are those of the new day's balance."""
    account, policy = book.account[0], book.policy[0]
    result = account.balance - account.day_balance
    account.best_day = max(account.best_day, result)
    account.won_days += min(max(result, 0), MONEY_MAX - account.won_days)  # a sum of days has no end: it stays there
    account.day_balance = account.balance
    account.highest_day = max(account.highest_day, account.balance)
    account.opened_today = 0
    set_limits(book)
    row = _mark(book)
    mark = book.journal.marks[row]
    mark.trading_days, mark.best_day = account.trading_days, account.best_day
    mark.target_reached = 1 if reaches_target(account, policy) else 0
    mark.best_day_kept = 1 if keeps_best_day(account, policy) else 0
    enter(book, ROLLED, row, 0, 0)


@kernel
def _mark(book: Any) -> int:
    account = book.account[0]
    row = take_row(book.journal, MARKED)
    mark = book.journal.marks[row]
    mark.balance, mark.floating, mark.equity = account.balance, account.floating, equity_of(account)
    mark.low, mark.high, mark.margin = account.low, account.high, account.margin
    mark.daily_limit, mark.total_limit = account.daily_limit, account.total_limit
    return row


@kernel
def passes_limit(account: Any) -> bool:
    """Is equity below a limit, and was that not recorded yet?"""
    return bool(
        account.breached == 0 and (_is_below(account, account.total_limit) or _is_below(account, account.daily_limit))
    )


@kernel
def _is_below(account: Any, limit: int) -> bool:
    return bool(limit != NO_LIMIT and equity_of(account) < limit)


@kernel
def breach(book: Any, number: int) -> None:
    """Record which limit was passed at this record, halt and flatten."""
    account = book.account[0]
    limit, bound = DAILY_LOSS, account.daily_limit
    if _is_below(account, account.total_limit):
        limit, bound = MAX_LOSS, account.total_limit
    account.breached = 1
    account.outcome = FAILED if account.outcome == OPEN else account.outcome
    book.desk[0].halted = 1
    cause = _record_breach(book, limit, equity_of(account), bound, number, 1, 0, 0)
    cancel_entries(book, 0, FLATTENED)
    flatten(book, cause)


@kernel
def refuse_quote(book: Any, number: int, price: int) -> None:
    """Money cannot follow this quote, whose price may be fine: the desk halts. Positions keep their exits, because
    nobody knows what they are worth; an instrument says so once until trading is resumed."""
    desk, market = book.desk[0], book.markets[number]
    if desk.trading == 0 or market.refused != 0:
        return
    market.refused = desk.halted = 1
    _record_breach(book, MONEY_RANGE, price, MONEY_MAX, number, 1, 0, 0)
    cancel_entries(book, 0, HALTED)
    sweep(book)


@kernel
def _record_breach(
    book: Any, limit: int, value: int, bound: int, number: int, halted: int, causation: int, correlation: int
) -> int:
    row = take_row(book.journal, BREACHED)
    breach = book.journal.breaches[row]
    breach.limit, breach.value, breach.bound, breach.instrument, breach.halted = limit, value, bound, number, halted
    return int(enter(book, BREACHED, row, causation, correlation))


@kernel
def flatten(book: Any, cause: int) -> None:
    """Close every position: at this record's own quote where it is one, else at the next of its instrument."""
    for number in range(1, len(book.positions)):
        quantity = book.positions[number].quantity
        if quantity == 0:
            continue
        for index in range(book.desk[0].orders):
            order = book.orders[index]
            if order.instrument == number and is_exit(order) and not is_done(order):
                move(book, order, CANCELED, FLATTENED)
        order = draft(book, number, -1 if quantity > 0 else 1, MARKET_ORDER, FLATTEN, abs(quantity))
        submit(book, order, book.desk[0].now, cause, cause)


@kernel
def watch_news(book: Any, order: Any, fill_number: int) -> None:
    """A fill in a blackout breaks the agreement of some accounts, also that of a stop or a target (FTMO: "if a Stop
    Loss or Take Profit is triggered within the restricted time window, this will also be considered a breach").

    It is recorded and nothing is halted: no limit of loss was passed, FTMO's people and no machine judge such a trade,
    and a stop that did not fill would cost more than one that did.
    """
    if book.policy[0].no_news_trading == 0:
        return
    market = book.markets[order.instrument]
    gap = blackout_gap(book.releases, book.desk[0].now, market.base, market.quote)
    if gap != NO_NEWS:
        _record_breach(book, NEWS_TRADING, gap, NEWS_WINDOW_NS, order.instrument, 0, fill_number, order.correlation)
