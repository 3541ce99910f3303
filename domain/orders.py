"""Orders: what they are, which states they may pass through, and how they are placed and end.

The states and transitions are those of the FIX order life cycle (OrdStatus in brackets), less what only a real venue
knows: the paper market accepts at once, and nothing fills behind a terminal state.

| state            | may become |
|------------------|---|
| INITIALIZED      | DENIED, PENDING_APPROVAL, SUBMITTED |
| PENDING_APPROVAL | SUBMITTED, DENIED, EXPIRED |
| SUBMITTED [A]    | REJECTED, ACCEPTED, CANCELED, EXPIRED, PARTIALLY_FILLED, FILLED, PENDING_CANCEL, PENDING_UPDATE |
| ACCEPTED [0]     | PENDING_UPDATE, PENDING_CANCEL, TRIGGERED, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, REJECTED |
| TRIGGERED        | as ACCEPTED, less TRIGGERED |
| PENDING_UPDATE [E], PENDING_CANCEL [6] | ACCEPTED, TRIGGERED, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED |
| PARTIALLY_FILLED [1] | PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, PENDING_UPDATE, PENDING_CANCEL |
| DENIED, REJECTED [8], FILLED [2], CANCELED [4], EXPIRED [C] | nothing: terminal |
"""

from typing import Any

import numpy as np

from domain.errors import IllegalTransition
from domain.journal import MOVED, PLACED, enter, take_row
from domain.kernel import kernel

# At once: 200 that a policy allows, exits and flattening of at most 250 positions, and what one record ends and places.
MAX_ORDERS = 2_048

STATES = (
    "initialized", "denied", "pending_approval", "submitted", "rejected", "accepted", "triggered", "pending_update",
    "pending_cancel", "partially_filled", "filled", "canceled", "expired",
)  # fmt: skip
(
    INITIALIZED, DENIED, PENDING_APPROVAL, SUBMITTED, REJECTED, ACCEPTED, TRIGGERED, PENDING_UPDATE,
    PENDING_CANCEL, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED,
) = range(13)  # fmt: skip

AMENDED = 13  # not a state: an entry that says the quantity changed

_WORKING = (PENDING_UPDATE, PENDING_CANCEL, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED)
TRANSITIONS: dict[int, tuple[int, ...]] = {
    INITIALIZED: (DENIED, PENDING_APPROVAL, SUBMITTED),
    PENDING_APPROVAL: (SUBMITTED, DENIED, EXPIRED),
    SUBMITTED: (REJECTED, ACCEPTED, CANCELED, PARTIALLY_FILLED, FILLED, PENDING_CANCEL, PENDING_UPDATE, EXPIRED),
    ACCEPTED: (TRIGGERED, REJECTED, *_WORKING),
    TRIGGERED: (REJECTED, *_WORKING),
    PENDING_UPDATE: (ACCEPTED, TRIGGERED, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED),
    PENDING_CANCEL: (ACCEPTED, TRIGGERED, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED),
    PARTIALLY_FILLED: _WORKING,
    **dict.fromkeys((DENIED, REJECTED, FILLED, CANCELED, EXPIRED), ()),
}
_ALLOWED = tuple(sum(1 << after for after in TRANSITIONS[before]) for before in range(len(STATES)))

TYPES = ("market", "limit", "stop", "stop_limit")
MARKET_ORDER, LIMIT, STOP, STOP_LIMIT = range(4)
TIMES_IN_FORCE = ("gtc", "ioc", "fok", "day", "gtd")
GTC, IOC, FOK, DAY, GTD = range(5)
PURPOSES = ("entry", "stop", "target", "flatten", "request")
ENTRY, STOP_EXIT, TARGET_EXIT, FLATTEN, REQUEST = range(5)

# Why an order moved without a fill.
REASONS = (
    "its trigger price was reached", "it was asked for", "the desk was halted", "the position is closed",
    "what could not be filled at once is cancelled (IOC)", "it could not be filled whole at once (FOK)",
    "the trading day ended", "its time ran out", "the position is flattened", "an exit covers its whole position",
    "a nearer exit of its position takes its place", "heavy news is near",
)  # fmt: skip
(
    TRIGGER, ASKED_FOR, HALTED, POSITION_CLOSED, IOC_REST, FOK_WHOLE, DAY_END, TIME_OUT, FLATTENED, FOLLOWS_POSITION,
    NEARER_EXIT, NEWS_NEAR,
) = range(12)  # fmt: skip

ORDER = np.dtype(
    [
        ("number", "<i8"),  # of its OrderPlaced
        ("correlation", "<i8"),
        ("instrument", "<i8"),
        ("side", "<i8"),  # +1 buy, -1 sell
        ("type", "<i8"),
        ("purpose", "<i8"),
        ("tif", "<i8"),
        ("state", "<i8"),
        ("quantity", "<i8"),  # nanos of units
        ("filled", "<i8"),
        ("executions", "<i8"),
        ("limit", "<i8"),  # prices in nanos, 0: none
        ("trigger", "<i8"),
        ("stop", "<i8"),  # of the bracket that follows the fill
        ("target", "<i8"),
        ("risk", "<i8"),  # lost at the stop, account money
        ("expires_at", "<i8"),  # 0: never
        ("active_from", "<i8"),
        ("placed_at", "<i8"),
        ("placed_ordinal", "<i8"),
        ("oco", "<i8"),
        ("reduces", "<i8"),  # 1: let through because it only reduces a position, so it never does more
        ("latency", "<i8"),  # the constant part and the range of the drawn part that `active_from` was made with
        ("latency_jitter", "<i8"),
        ("touched", "<i8"),  # the minute of a bar in which a target was reached, see fills.py
    ]
)


def check_transition(order: int, before: str, after: str) -> None:
    """Raises IllegalTransition, naming order and states, when `after` may not follow `before`."""
    if not may_become(STATES.index(before), STATES.index(after)):
        allowed = ", ".join(STATES[state] for state in TRANSITIONS[STATES.index(before)]) or "nothing: it is terminal"
        raise IllegalTransition(f"order {order} is {before} and cannot become {after}; it may become {allowed}")


@kernel
def may_become(before: int, after: int) -> bool:
    """Does the table above allow it?"""
    return bool(_ALLOWED[before] >> after & 1)


@kernel
def leaves(order: Any) -> int:
    """What is not filled yet, nanos of units."""
    return int(order.quantity - order.filled)


@kernel
def is_done(order: Any) -> bool:
    """Is its state terminal?"""
    return bool(_ALLOWED[order.state] == 0)


@kernel
def is_exit(order: Any) -> bool:
    """Does it only ever close a position?"""
    return bool(order.purpose in (STOP_EXIT, TARGET_EXIT, FLATTEN))


@kernel
def move(book: Any, order: Any, state: int, reason: int) -> None:
    """A transition that is not a fill, with its entry."""
    _become(order, state)
    _record(book, order, state, reason)


@kernel
def _become(order: Any, state: int) -> None:
    if not may_become(order.state, state):
        raise ValueError("an order would make a transition that its state does not allow")
    order.state = state


@kernel
def accept(order: Any) -> None:
    """The paper market takes a submitted order; nothing is recorded, `active_from` said when."""
    if order.state == SUBMITTED:
        _become(order, ACCEPTED)


@kernel
def fill(order: Any, quantity: int) -> None:
    """Add an execution. filled + leaves stays the quantity; the state follows."""
    if quantity <= 0 or quantity > leaves(order):
        raise ValueError("an execution would fill nothing, or more than what an order leaves")
    order.filled += quantity
    order.executions += 1
    _become(order, FILLED if order.filled == order.quantity else PARTIALLY_FILLED)


@kernel
def amend(book: Any, order: Any, rest: int) -> None:
    """Another quantity is to be filled from here on (an exit follows its position)."""
    order.quantity = order.filled + rest
    _record(book, order, AMENDED, FOLLOWS_POSITION)


@kernel
def _record(book: Any, order: Any, state: int, reason: int) -> None:
    row = take_row(book.journal, MOVED)
    moved = book.journal.moves[row]
    moved.order, moved.state, moved.reason, moved.quantity = order.number, state, reason, order.quantity
    moved.release = 0
    enter(book, MOVED, row, order.number, order.correlation)


@kernel
def draft(book: Any, instrument: int, side: int, kind: int, purpose: int, quantity: int) -> Any:
    """A cleared order in the first free slot; the caller says the rest and submits it."""
    order = book.orders[book.desk[0].orders]
    order.instrument, order.side, order.type, order.purpose, order.quantity = instrument, side, kind, purpose, quantity
    order.tif, order.state, order.filled, order.executions, order.touched = GTC, INITIALIZED, 0, 0, 0
    order.limit, order.trigger, order.stop, order.target, order.risk = 0, 0, 0, 0, 0
    order.expires_at, order.active_from, order.oco, order.reduces = 0, 0, 0, 0
    return order


@kernel
def submit(book: Any, order: Any, active_from: int, causation: int, correlation: int) -> None:
    """Send a drafted order to the paper market, which may fill it from `active_from` on."""
    desk = book.desk[0]
    row = take_row(book.journal, PLACED)
    order.number = enter(book, PLACED, row, causation, correlation)
    order.correlation = correlation if correlation > 0 else order.number
    order.active_from, order.placed_at, order.placed_ordinal = active_from, desk.now, desk.ordinal
    order.latency, order.latency_jitter = 0, 0
    if order.purpose in (ENTRY, REQUEST):  # exits and flattening rest at the market already
        order.latency, order.latency_jitter = book.policy[0].latency_ns, book.policy[0].latency_jitter_ns
    _become(order, SUBMITTED)
    desk.orders += 1
    if order.expires_at > 0 and (desk.next_expiry == 0 or order.expires_at < desk.next_expiry):
        desk.next_expiry = order.expires_at
    placing = book.journal.placings[row]
    placing.instrument, placing.side, placing.type = order.instrument, order.side, order.type
    placing.purpose, placing.quantity, placing.tif = order.purpose, order.quantity, order.tif
    placing.limit, placing.trigger = order.limit, order.trigger
    placing.stop, placing.target = order.stop, order.target
    placing.expires_at, placing.active_from, placing.oco = order.expires_at, active_from, order.oco


@kernel
def sweep(book: Any) -> None:
    """Forget orders that are done; the others keep their order of placing."""
    desk, kept, expiry = book.desk[0], 0, 0
    for index in range(desk.orders):
        order = book.orders[index]
        if is_done(order):
            continue
        if order.expires_at > 0 and (expiry == 0 or order.expires_at < expiry):
            expiry = order.expires_at
        if kept < index:
            book.orders[kept] = order
        kept += 1
    desk.orders, desk.next_expiry = kept, expiry


@kernel
def expire(book: Any, day_ended: bool) -> None:
    """End what has run out of time, and with the trading day what was good for it."""
    desk = book.desk[0]
    for index in range(desk.orders):
        order = book.orders[index]
        if day_ended and order.tif == DAY:
            move(book, order, EXPIRED, DAY_END)
        elif order.expires_at > 0 and desk.now >= order.expires_at:
            move(book, order, EXPIRED, TIME_OUT)
    sweep(book)


@kernel
def cancel_entries(book: Any, instrument: int, reason: int) -> None:
    """Cancel what would open or change a position, of one instrument or (0) of all; exits stay."""
    for index in range(book.desk[0].orders):
        order = book.orders[index]
        if (instrument in (0, order.instrument)) and not is_exit(order) and not is_done(order):
            move(book, order, CANCELED, reason)
