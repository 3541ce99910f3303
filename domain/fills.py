"""The paper market: when an order fills, at which price, and how much of it.

A market order fills at the opposite side of the first quote at or after its latency, and walks on from the displayed
size a point a level, with the policy's slippage against it. A stop triggers on the side it would trade at and fills at
that quote, so a gap is paid. A limit that can be filled on arrival takes; resting it fills when the market trades
through it (or touches it, by policy), at its own price. No fill uses a quote from before its order.

Ticks that a bar became come in an order that nobody saw, and between them the market passed every price. So a stop that
is passed inside a bar fills at its trigger (at the bar's open it is a gap, and fills at the quote); a target reached
inside a bar waits for the bar's last tick, and the stop, if the same bar reaches it too, comes first.
"""

from typing import Any

from domain.account import book_fill, watch_news
from domain.bars import BAR_TICK_OFFSETS_NS, M1
from domain.journal import FILLED, enter, take_row
from domain.kernel import kernel
from domain.market import UNLIMITED
from domain.orders import (
    CANCELED,
    FOK,
    FOK_WHOLE,
    IOC,
    IOC_REST,
    LIMIT,
    MARKET_ORDER,
    NEARER_EXIT,
    STOP,
    STOP_EXIT,
    STOP_LIMIT,
    SUBMITTED,
    TARGET_EXIT,
    TRIGGER,
    TRIGGERED,
    accept,
    draft,
    fill,
    is_done,
    is_exit,
    leaves,
    move,
    submit,
)
from domain.policy import ANY_SIZE, TOUCH
from domain.tape import FROM_BAR

BASES = ("quote", "trigger", "limit")  # what a price is: levels and slippage are counted from the first two
AT_QUOTE, AT_TRIGGER, AT_LIMIT = range(3)

BAR_END_NS = BAR_TICK_OFFSETS_NS[-1]


@kernel
def fill_resting(book: Any, number: int, tick: Any) -> None:
    """Orders of an instrument that were there before this tick: what may stop a loss first, the others as placed."""
    working = book.desk[0].orders  # what is placed meanwhile waits for the next quote
    for stops in (True, False):
        for index in range(working):
            order = book.orders[index]
            if order.instrument == number and (order.type == STOP) == stops:
                _try(book, order, tick)


@kernel
def fill_new(book: Any, number: int, tick: Any) -> None:
    """Orders without latency that this very tick caused; a stop or target waits for the next quote."""
    desk = book.desk[0]
    working = desk.orders
    for index in range(working):
        order = book.orders[index]
        fresh = order.placed_ordinal == desk.ordinal and order.executions == 0
        if order.instrument == number and fresh and order.purpose not in (STOP_EXIT, TARGET_EXIT):
            _try(book, order, tick)


@kernel
def _try(book: Any, order: Any, tick: Any) -> None:
    """One order against one tick."""
    if is_done(order) or order.active_from > book.desk[0].now:
        return
    arriving = order.state == SUBMITTED and order.purpose != TARGET_EXIT  # a target rests from its entry's fill on
    quote, basis = _opposite(order, tick), AT_QUOTE
    accept(order)
    if (order.type in (STOP, STOP_LIMIT)) and order.state != TRIGGERED and order.executions == 0:
        if order.side * (quote - order.trigger) < 0:
            return
        if _inside_bar(tick) and (not arriving or order.purpose == STOP_EXIT):
            quote, basis = order.trigger, AT_TRIGGER  # the market came through it on the way to this tick
        move(book, order, TRIGGERED, TRIGGER)
        arriving = True
    if order.type in (MARKET_ORDER, STOP) or (arriving and _within(order, quote)):
        _take(book, order, tick, quote, basis)
    elif _reached(book, order, tick):
        _execute(book, order, tick, order.limit, _due(book, order), AT_LIMIT, 0, 0, UNLIMITED)
    if order.tif == IOC and not is_done(order):
        move(book, order, CANCELED, IOC_REST)
    elif order.tif == FOK and not is_done(order):
        move(book, order, CANCELED, FOK_WHOLE)


@kernel
def _opposite(order: Any, tick: Any) -> int:
    """The side of the quote that the order trades at."""
    return int(tick.ask if order.side > 0 else tick.bid)


@kernel
def _due(book: Any, order: Any) -> int:
    """What is to be filled now: an order that was let through as a reduction never goes beyond its position."""
    if order.reduces == 0:
        return leaves(order)
    return int(min(leaves(order), abs(book.positions[order.instrument].quantity)))


@kernel
def _within(order: Any, price: int) -> bool:
    """May the order trade at this price?"""
    limited = order.type in (LIMIT, STOP_LIMIT)
    return bool(not limited or order.side * (price - order.limit) <= 0)


@kernel
def _trades_at(order: Any, price: int) -> bool:
    """Is there such a price, and may the order trade at it? Nobody bids below a nano."""
    return bool(price > 0 and _within(order, price))


@kernel
def _reached(book: Any, order: Any, tick: Any) -> bool:
    """Does the market fill a resting limit at this tick?"""
    distance = order.side * (order.limit - _opposite(order, tick))
    reached = distance > 0 or (distance == 0 and book.policy[0].limit_fill == TOUCH)
    if order.purpose != TARGET_EXIT or tick.flags & FROM_BAR == 0:
        return bool(reached)
    minute = tick.event_time // M1
    if reached:
        order.touched = minute
    return bool(order.touched == minute and tick.event_time % M1 == BAR_END_NS)


@kernel
def _inside_bar(tick: Any) -> bool:
    """Is it one of a bar's ticks behind its open?"""
    return bool(tick.flags & FROM_BAR != 0 and tick.event_time % M1 != 0)


@kernel
def _take(book: Any, order: Any, tick: Any, quote: int, basis: int) -> None:
    """Walk the displayed size level by level from `quote` on, as far as policy and limit allow."""
    market, policy = book.markets[order.instrument], book.policy[0]
    limited = order.type in (LIMIT, STOP_LIMIT)
    slippage = 0 if limited else order.side * (policy.slippage_thousandths * market.point // 1000)
    first = quote + slippage
    left = market.ask_left if order.side > 0 else market.bid_left
    if policy.depth == ANY_SIZE:
        left = UNLIMITED
    size = tick.ask_size if order.side > 0 else tick.bid_size  # deeper levels show as much as the first did
    levels, taken = 0, 0
    while levels < policy.levels_max and _trades_at(order, first + order.side * levels * market.point):
        levels += 1
    if order.tif == FOK and left != UNLIMITED and (left - _due(book, order)) // size < 1 - levels:
        return
    for level in range(levels):
        shown = left if left == UNLIMITED else max(0, min(size, left + level * size - taken))
        quantity = min(_due(book, order), shown)
        if quantity > 0:
            taken += quantity
            price = first + order.side * level * market.point
            _execute(book, order, tick, price, quantity, basis, slippage, level, shown)
        if is_done(order):
            break
    if left != UNLIMITED:  # below 0: what deeper levels showed is taken too
        if order.side > 0:
            market.ask_left = left - taken
        else:
            market.bid_left = left - taken


@kernel
def _execute(
    book: Any, order: Any, tick: Any, price: int, quantity: int, basis: int, slippage: int, level: int, shown: int
) -> None:
    """One execution: recorded, booked, and followed by the exits of its bracket."""
    fill(order, quantity)
    market = book.markets[order.instrument]
    fee_ppm = market.maker_ppm if basis == AT_LIMIT else market.taker_ppm
    row = take_row(book.journal, FILLED)
    filled = book.journal.fills[row]
    filled.order, filled.execution, filled.instrument = order.number, order.executions, order.instrument
    filled.side, filled.purpose, filled.price, filled.quantity = order.side, order.purpose, price, quantity
    filled.filled, filled.leaves, filled.maker = order.filled, leaves(order), 1 if basis == AT_LIMIT else 0
    filled.bid, filled.ask, filled.displayed = tick.bid, tick.ask, 0 if shown == UNLIMITED else shown
    filled.slippage, filled.level, filled.fee_ppm = slippage, level, fee_ppm
    filled.latency = book.desk[0].now - order.placed_at
    filled.basis, filled.trigger, filled.from_bar = basis, order.trigger, 1 if tick.flags & FROM_BAR else 0
    _name_parameters(book.policy[0], order, filled)
    number = enter(book, FILLED, row, order.number, order.correlation)
    book_fill(book, order, price, quantity, fee_ppm, number)
    watch_news(book, order, number)
    held = order.side * book.positions[order.instrument].quantity
    opened = held > 0 and held <= quantity  # by this execution: a reversal may need several to get there
    if not is_exit(order) and (opened or (order.executions == 1 and held > 0)):
        _place_exits(book, order, held, number)


@kernel
def _name_parameters(policy: Any, order: Any, filled: Any) -> None:
    """The paper market's parameters at this fill; of the latency those at the order's placing."""
    filled.depth, filled.levels_max, filled.limit_fill = policy.depth, policy.levels_max, policy.limit_fill
    filled.slippage_thousandths = policy.slippage_thousandths
    filled.latency_constant, filled.latency_jitter = order.latency, order.latency_jitter
    filled.latency_drawn = order.active_from - order.placed_at


@kernel
def _place_exits(book: Any, entry: Any, quantity: int, cause: int) -> None:
    """Stop and target of a bracket; the number of the first is what they share. Of several brackets on one position
    only the nearest stop and the nearest target can ever fill, so only those are kept."""
    desk = book.desk[0]
    stops = entry.stop > 0 and _is_nearest(book, entry, STOP_EXIT, entry.stop)
    targets = entry.target > 0 and _is_nearest(book, entry, TARGET_EXIT, entry.target)
    oco = desk.number + 1 if stops and targets else 0
    if stops:
        stop = draft(book, entry.instrument, -entry.side, STOP, STOP_EXIT, quantity)
        stop.trigger, stop.oco = entry.stop, oco
        submit(book, stop, desk.now, cause, entry.correlation)
    if targets:
        target = draft(book, entry.instrument, -entry.side, LIMIT, TARGET_EXIT, quantity)
        target.limit, target.oco = entry.target, oco
        submit(book, target, desk.now, cause, entry.correlation)


@kernel
def _is_nearest(book: Any, entry: Any, purpose: int, price: int) -> bool:
    """Would an exit at this price be reached before the one of its kind that the position has? That one is cancelled
    then; a stop that is filling already is nearest."""
    for index in range(book.desk[0].orders):
        order = book.orders[index]
        if order.instrument != entry.instrument or order.purpose != purpose or is_done(order):
            continue
        nearer = price - order.trigger if purpose == STOP_EXIT else order.limit - price
        if order.executions > 0 or entry.side * nearer <= 0:
            return False
        move(book, order, CANCELED, NEARER_EXIT)
    return True
