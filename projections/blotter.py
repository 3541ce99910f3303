"""The blotter: every order as it stands, and every fill with what it did to the account. Money in nanos.

What there is none of (a limit price, an expiry, an average before the first fill) is NULL.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from domain.events import FillBooked, OrderFilled, OrderMoved, OrderPlaced
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row


class Order(NamedTuple):
    """An order. `fees` are of its fills; `reason` is why it last changed without one."""

    correlation: int
    causation: int | None
    symbol: str
    side: str
    order_type: str
    purpose: str
    state: str  # placed, triggered, partially_filled; at its end filled, canceled, expired, rejected
    quantity: int
    filled: int
    leaves: int
    average_price: int | None  # of its fills by quantity, half to even
    fees: int
    limit_price: int | None
    trigger_price: int | None
    stop_price: int | None  # of the bracket that follows the fill, as the target
    target_price: int | None
    time_in_force: str
    expires_at_ns: int | None
    active_from_ns: int
    oco: int | None
    placed_at_ns: int
    changed_at_ns: int
    reason: str | None


class Fill(NamedTuple):
    """A fill. From `realised` on it is what its booking says; before that nothing was booked."""

    order_number: int
    execution: int
    correlation: int
    symbol: str
    side: str
    purpose: str
    price: int
    quantity: int
    liquidity: str
    at_ns: int
    realised: int
    fee: int
    closed: bool
    trade_result: int  # of the whole trade when this closed it, else 0
    details: str  # JSON: the event's other fields


ORDERS = Table("orders", {"number": "bigint"}, Order._fields)
FILLS = Table("fills", {"number": "bigint"}, Fill._fields)

_TOLD = {
    "type", "number", "causation", "correlation", "occurred_at_ns", "order", "execution", "symbol", "side", "purpose",
    "price_nanos", "quantity_nanos", "liquidity",
}  # fmt: skip


@dataclass
class Memory:
    """By number: orders that are not done, what was paid for them (price x quantity), and fills not booked yet."""

    orders: dict[int, Order] = field(default_factory=dict)
    paid: dict[int, int] = field(default_factory=dict)
    fills: dict[int, Fill] = field(default_factory=dict)

    def forget_if_done(self, number: int) -> None:
        """A done order whose last fill is booked does not change any more."""
        done = self.orders[number].state in ("filled", "canceled", "expired", "rejected")
        if done and all(fill.order_number != number for fill in self.fills.values()):
            del self.orders[number]
            self.paid.pop(number, None)


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The order an event is about, and its fill."""
    match fact.event:
        case OrderPlaced():
            number, order = fact.event.number, _placed(fact.event)
        case OrderMoved():
            number = fact.event.order
            order = _moved(memory.orders[number], fact.event)
        case OrderFilled():
            number = fact.event.order
            memory.paid[number] = memory.paid.get(number, 0) + fact.event.price_nanos * fact.event.quantity_nanos
            order = _filled(memory.orders[number], fact.event, memory.paid[number])
            fill = memory.fills[fact.event.number] = _fill(fact.event)
            yield Row(FILLS, (fact.event.number,), fill)
        case FillBooked(causation=int(cause)):
            booked = _booked(memory.fills.pop(cause), fact.event)
            number = booked.order_number
            fees = memory.orders[number].fees + booked.fee
            order = memory.orders[number]._replace(fees=fees, changed_at_ns=fact.event.occurred_at_ns)
            yield Row(FILLS, (cause,), booked)
        case _:
            raise TypeError(f"the blotter knows no fact like {fact.event!r}")
    memory.orders[number] = order
    yield Row(ORDERS, (number,), order)
    memory.forget_if_done(number)


def _placed(event: OrderPlaced) -> Order:
    return Order(
        correlation=event.correlation,
        causation=event.causation,
        symbol=event.symbol,
        side=event.side,
        order_type=event.order_type,
        purpose=event.purpose,
        state="placed",
        quantity=event.quantity_nanos,
        filled=0,
        leaves=event.quantity_nanos,
        average_price=None,
        fees=0,
        limit_price=event.limit_nanos or None,
        trigger_price=event.trigger_nanos or None,
        stop_price=event.stop_nanos or None,
        target_price=event.target_nanos or None,
        time_in_force=event.time_in_force,
        expires_at_ns=event.expires_at_ns or None,
        active_from_ns=event.active_from_ns,
        oco=event.oco or None,
        placed_at_ns=event.occurred_at_ns,
        changed_at_ns=event.occurred_at_ns,
        reason=None,
    )


def _moved(order: Order, event: OrderMoved) -> Order:
    return order._replace(
        state=order.state if event.state == "amended" else event.state,
        quantity=event.quantity_nanos,
        leaves=event.quantity_nanos - order.filled,
        changed_at_ns=event.occurred_at_ns,
        reason=event.reason,
    )


def _filled(order: Order, event: OrderFilled, paid: int) -> Order:
    return order._replace(
        state=event.state,
        filled=event.filled_nanos,
        leaves=event.leaves_nanos,
        average_price=round(Fraction(paid, event.filled_nanos)),
        changed_at_ns=event.occurred_at_ns,
    )


def _fill(event: OrderFilled) -> Fill:
    return Fill(
        order_number=event.order,
        execution=event.execution,
        correlation=event.correlation,
        symbol=event.symbol,
        side=event.side,
        purpose=event.purpose,
        price=event.price_nanos,
        quantity=event.quantity_nanos,
        liquidity=event.liquidity,
        at_ns=event.occurred_at_ns,
        realised=0,
        fee=0,
        closed=False,
        trade_result=0,
        details=event.model_dump_json(exclude=_TOLD),
    )


def _booked(fill: Fill, event: FillBooked) -> Fill:
    return fill._replace(
        realised=event.realised_nanos, fee=event.fee_nanos, closed=event.closed, trade_result=event.trade_nanos
    )


MODEL = ReadModel(
    "blotter",
    1,
    (Fold("ledger", (OrderPlaced, OrderMoved, OrderFilled, FillBooked), Memory, evolve, (ORDERS, FILLS)),),
)
