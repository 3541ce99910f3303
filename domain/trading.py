"""The trading day in one loop: every record of the tape through market, fills, bookings, limits, signals and orders.

At one record, in this order: the market takes the quote; orders that were there before it fill and are booked; the
account's limits are tested; signals that this tick raised are recorded, assessed and become orders; orders without
latency fill at this very quote, are booked, and the limits are tested once more.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from domain.account import (
    breach,
    flatten,
    mark_account,
    mark_to_market,
    passes_limit,
    refuse_quote,
    roll_day,
)
from domain.bars import M1
from domain.calendar import watch_blackouts
from domain.fills import fill_new, fill_resting
from domain.gathering import gather, leave_money_out
from domain.instruments import NANOS
from domain.journal import ASKED, ASSESSED, RAISED, enter, has_room, take_row
from domain.kernel import inlined_kernel, kernel
from domain.market import extend_bars, is_price, observe
from domain.money import PPM
from domain.orders import (
    ENTRY,
    MARKET_ORDER,
    REQUEST,
    cancel_entries,
    draft,
    expire,
    submit,
    sweep,
)
from domain.orders import FLATTENED as REASON_FLATTENED
from domain.performance import count_signal, follow_shadows, open_shadow
from domain.risk import RISK, reduces, whole_quantity
from domain.rules import every
from domain.signals.handler import SIGNAL, Signals
from domain.sizing import size
from domain.strategic import STRATEGIC
from domain.tape import (
    CLOCK,
    LONDON_CLOSE,
    LONDON_OPEN,
    MAX_PRICE,
    MINUTE,
    NEW_YORK_CLOSE,
    NEW_YORK_OPEN,
    PRAGUE_MIDNIGHT,
    SYDNEY_CLOSE,
    SYDNEY_OPEN,
    TOKYO_CLOSE,
    TOKYO_OPEN,
    WEEK_CLOSING,
    WEEK_OPEN,
    is_usable,
)

# A signal of a strategy, with the slot in which its shadow results are kept, and the end of its bar (0: no bar).
_SIGNAL_FIELDS = tuple(SIGNAL.fields or ())
RAISED_SIGNAL = np.dtype([(name, "<i8") for name in (*_SIGNAL_FIELDS, "slot", "bar_end")])

# An order that a person or an agent asked for, as far as it differs from a signal's.
REQUEST_TERMS = np.dtype(
    [("type", "<i8"), ("quantity", "<i8"), ("limit", "<i8"), ("trigger", "<i8"), ("tif", "<i8"), ("expires_at", "<i8")]
)


def raised_signals(signals: Signals, slot: int) -> npt.NDArray[np.void]:
    """What a handler put out, as RAISED_SIGNAL."""
    raised = np.zeros(len(signals), RAISED_SIGNAL)
    for name in _SIGNAL_FIELDS:
        raised[name] = signals[name]
    raised["slot"], raised["bar_end"] = slot, signals["bar_time"] + M1
    return raised


_UNIT_LOT = 1_000 * NANOS  # facts.unit_* are of a thousand units

ask_strategic = every(STRATEGIC)
ask_risk = every(RISK)
RULES = len(STRATEGIC) + len(RISK)
_STRATEGIC = len(STRATEGIC)


@kernel
def trade(book: Any, ticks: Any, first: int, start: int, signals: Any, next_signal: int) -> Any:
    """Decide on ticks[start:], whose ticks[0] has the ordinal `first`; `signals` (RAISED_SIGNAL, by tick) from
    `next_signal` on. Returns where it stopped, because the journal is full: the next tick and signal."""
    for index in range(start, len(ticks)):
        if not has_room(book.journal.rows):
            return index, next_signal
        tick = ticks[index]
        _arrive(book, first + index, tick.receive_time)
        if tick.kind == CLOCK:
            _on_clock(book, tick.flags)
            continue
        _on_quote(book, _number(tick), tick)
        while next_signal < len(signals) and signals[next_signal].tick == index:
            _on_signal(book, signals[next_signal], next_signal, tick)
            next_signal += 1
    return len(ticks), next_signal


@kernel
def refuse(book: Any, ticks: Any, first: int, index: int, signals: Any, next_signal: int) -> int:
    """Pass over ticks[index], at which money would not fit 64 bits: its quote is refused, and what it made a strategy
    signal is recorded, but not judged. Returns the next signal."""
    tick = ticks[index]
    _arrive(book, first + index, tick.receive_time)
    while next_signal < len(signals) and signals[next_signal].tick == index:
        enter(book, RAISED, next_signal, 0, 0)
        next_signal += 1
    refuse_quote(book, _number(tick), tick.ask)
    return next_signal


@inlined_kernel
def _arrive(book: Any, ordinal: int, now: int) -> None:
    """The desk is at the next record; orders whose time ran out by then, or that wait near heavy news, are gone."""
    desk = book.desk[0]
    desk.ordinal, desk.now = ordinal, now
    if desk.next_expiry > 0 and now >= desk.next_expiry:
        expire(book, False)
    if desk.next_blackout > 0 and now >= desk.next_blackout:
        watch_blackouts(book)


@kernel
def _number(tick: Any) -> int:
    """The instrument's number as a signed integer, as everything else is."""
    return np.int64(tick.instrument)  # type: ignore[return-value]


@inlined_kernel
def _on_quote(book: Any, number: int, tick: Any) -> None:
    desk, account = book.desk[0], book.account[0]
    if not is_usable(tick):
        if tick.ask > MAX_PRICE and 0 < tick.bid <= tick.ask:
            refuse_quote(book, number, tick.ask)
        return
    extend_bars(book.markets[number], tick)
    if not is_price(book.markets[number], tick):
        return
    observe(book.markets[number], tick, desk.ordinal)
    if desk.shadows > 0:
        follow_shadows(book, number, tick)
    if desk.orders > 0:
        fill_resting(book, number, tick)
    if account.open_positions > 0:
        mark_to_market(account, book.positions, book.markets, number)
    if passes_limit(account):
        breach(book, number)
        fill_new(book, number, tick)
    if desk.orders > 0:
        sweep(book)


@kernel
def take_signal(book: Any, signals: Any, row: int, causation: int) -> None:
    """A signal that somebody outside submitted: raised and assessed now, filled from the next quote on."""
    _raise(book, signals[row], row, causation)


@kernel
def _raise(book: Any, raised: Any, row: int, causation: int) -> bool:
    """Record a signal, follow its shadow, assess it. Returns whether it became an order."""
    number = enter(book, RAISED, row, causation, causation)
    count_signal(book.performance[raised.slot], book.desk[0].now)
    open_shadow(book, raised.slot, raised)
    correlation = causation if causation > 0 else number
    return bool(book.desk[0].trading != 0 and assess_signal(book, raised, number, correlation))


@kernel
def _on_signal(book: Any, raised: Any, row: int, tick: Any) -> None:
    """What a tick made a strategy say; an order without latency fills at it, if one can trade at it."""
    instrument = raised.instrument
    if _raise(book, raised, row, 0) and is_price(book.markets[instrument], tick):
        fill_new(book, instrument, tick)
        if passes_limit(book.account[0]):
            breach(book, instrument)
            fill_new(book, instrument, tick)
        sweep(book)


@kernel
def _on_clock(book: Any, flags: int) -> None:
    """Sessions open and close, the minute is marked, the day rolls, the week nears its end."""
    desk, account = book.desk[0], book.account[0]
    desk.sessions_open = sessions_after(desk.sessions_open, flags)
    if desk.trading == 0:
        return
    if flags & PRAGUE_MIDNIGHT or (flags & MINUTE and account.open_positions > 0):
        mark_account(book)
    if flags & PRAGUE_MIDNIGHT:
        expire(book, True)
        roll_day(book)
        if passes_limit(account):
            breach(book, 0)
    if flags & WEEK_CLOSING:
        leave_the_week(book, 0)
    sweep(book)


@kernel
def leave_the_week(book: Any, cause: int) -> None:
    """An account that is flat over the weekend closes what it has, once the weekend is near."""
    if book.policy[0].flat_before_weekend != 0 and book.desk[0].sessions_open & WEEK_CLOSING:
        cancel_entries(book, 0, REASON_FLATTENED)
        flatten(book, cause)


@kernel
def sessions_after(sessions: int, flags: int) -> int:
    """The marks of the open sessions after a clock record's."""
    for opens, closes in (
        (SYDNEY_OPEN, SYDNEY_CLOSE),
        (TOKYO_OPEN, TOKYO_CLOSE),
        (LONDON_OPEN, LONDON_CLOSE),
        (NEW_YORK_OPEN, NEW_YORK_CLOSE),
        (WEEK_CLOSING, WEEK_OPEN),  # a mark of its own kind: the weekend is near, or here
    ):
        if flags & closes:
            sessions &= ~opens
        if flags & opens:
            sessions |= opens
    return int(sessions)


# -- verdicts ------------------------------------------------------------------------------------------------------


@kernel
def assess_signal(book: Any, raised: Any, causation: int, correlation: int) -> bool:
    """Judge a signal by every rule; approved it becomes a market order with its bracket. Returns whether it was.

    Money of this trade that does not fit 64 bits is no fault of the quote: it refuses the trade, and nothing else.
    """
    facts, policy = book.facts[0], book.policy[0]
    number = raised.instrument
    market = book.markets[number]
    facts.own_pattern, facts.side, facts.quantity = 1, raised.side, 0
    facts.level = raised.level if raised.level != raised.entry else 0  # its own price is no level to lean on
    facts.entry = market.ask if raised.side > 0 else market.bid
    facts.stop, facts.target, facts.confidence_ppm = raised.stop, raised.target, raised.confidence_ppm
    facts.bar_age_ns = max(0, book.desk[0].now - raised.bar_end) if raised.bar_end > 0 else 0
    first = book.journal.rows[ASKED]
    try:
        gather(book, number, book.performance[raised.slot])
        failed = _ask_all(book, first)
    except Exception:  # kernels know no narrower one; only money can raise here
        leave_money_out(facts)
        failed = _ask_all(book, first)
    book.journal.rows[ASKED] += RULES
    verdict = _verdict(book, number, failed == 0, 1, first, causation, correlation)
    if failed > 0:
        return False
    order = draft(book, number, facts.side, MARKET_ORDER, ENTRY, whole_quantity(facts, policy))
    order.stop, order.target, order.risk = facts.stop, facts.target, facts.risk
    submit(book, order, book.desk[0].now + _latency(policy, book.desk[0].ordinal, verdict), verdict, correlation)
    return True


@kernel
def _ask_all(book: Any, first: int) -> int:
    """Size a signal's trade and ask every rule; results from `first` on. Returns how many failed."""
    facts, policy, results = book.facts[0], book.policy[0], book.journal.results
    failed = ask_strategic(facts, policy, results, first)
    size(facts, policy)
    return int(failed + ask_risk(facts, policy, results, first + _STRATEGIC))


@kernel
def assess_request(book: Any, number: int, side: int, asked: Any, stop: int, target: int, causation: int) -> bool:
    """Judge an order that was asked for by the risk rules; approved it is placed as it is. Returns whether it was."""
    facts, policy, desk, terms = book.facts[0], book.policy[0], book.desk[0], asked[0]
    market = book.markets[number]
    facts.own_pattern, facts.side, facts.level, facts.bar_age_ns = 0, side, 0, 0
    facts.entry = market.ask if side > 0 else market.bid
    if terms.limit > 0 or terms.trigger > 0:
        facts.entry = terms.limit if terms.limit > 0 else terms.trigger
    facts.stop, facts.target, facts.confidence_ppm, facts.quantity = stop, target, PPM, terms.quantity
    gather(book, number, book.performance[0])
    journal = book.journal
    first = journal.rows[ASKED]
    size(facts, policy)
    failed = ask_risk(facts, policy, journal.results, first)
    journal.rows[ASKED] += RULES - _STRATEGIC
    verdict = _verdict(book, number, failed == 0, 0, first, causation, causation)
    if failed > 0:
        return False
    order = draft(book, number, side, terms.type, REQUEST, terms.quantity)
    order.limit, order.trigger, order.tif, order.expires_at = terms.limit, terms.trigger, terms.tif, terms.expires_at
    order.stop, order.target, order.risk, order.reduces = stop, target, facts.risk, 1 if reduces(facts) else 0
    submit(book, order, desk.now + _latency(policy, desk.ordinal, verdict), verdict, causation)
    return True


@kernel
def _verdict(
    book: Any, number: int, approved: bool, strategic: int, first: int, causation: int, correlation: int
) -> int:
    facts = book.facts[0]
    row = take_row(book.journal, ASSESSED)
    verdict = book.journal.verdicts[row]
    verdict.instrument, verdict.side, verdict.approved = number, facts.side, 1 if approved else 0
    verdict.strategic, verdict.result = strategic, first
    verdict.quantity, verdict.sized = facts.quantity if approved else 0, facts.sized
    verdict.stop, verdict.target, verdict.size_ppm, verdict.risk = facts.stop, facts.target, facts.size_ppm, facts.risk
    return int(enter(book, ASSESSED, row, causation, correlation))


@kernel
def _latency(policy: Any, ordinal: int, verdict: int) -> int:
    """Constant, plus a part drawn from the causing ordinal and the verdict's number (splitmix64): a replay draws the
    same, and two orders at one record draw apart."""
    if policy.latency_jitter_ns == 0:
        return int(policy.latency_ns)
    x = (np.uint64(ordinal) ^ np.uint64(verdict) << np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return int(policy.latency_ns + np.int64(x % np.uint64(policy.latency_jitter_ns + 1)))
