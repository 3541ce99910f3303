"""A chain: the events with one correlation, the tree that their causation draws, and the trades that they opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.events import (
    FillBooked,
    LedgerEvent,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
    SignalAssessed,
)
from domain.tape import position
from ops.ledger_rows import decimal, event_row

_ENDED = ("canceled", "expired", "rejected")


@dataclass
class Trade:
    """A position that the chain opened or added to, until a booking of whichever chain closed it. `shared`: orders of
    other chains are part of it too."""

    opened: FillBooked
    side: str
    risk_nanos: int
    shared: bool
    position_nanos: int
    closed: FillBooked | None = None


class Chain:
    """Takes the events of a chain in order, and the bookings elsewhere that close what it opened."""

    def __init__(self, correlation: int) -> None:
        self.correlation = correlation
        self.events: dict[int, LedgerEvent] = {}
        self.trades: list[Trade] = []
        self.working: set[int] = set()  # orders that may still fill
        self.open: dict[str, Trade] = {}  # by symbol
        self._risk_nanos = 0

    @property
    def settled(self) -> bool:
        """Nothing works and no trade is open: behind the record of the last event nothing more can come."""
        return not self.working and not self.open

    def take(self, event: LedgerEvent) -> None:
        """The next event of this correlation."""
        self.events[event.number] = event
        match event:
            case SignalAssessed():
                self._risk_nanos = event.risk_nanos
            case OrderPlaced():
                self.working.add(event.number)
            case OrderMoved(state=state) if state in _ENDED:
                self.working.discard(event.order)
            case OrderFilled(state="filled"):
                self.working.discard(event.order)
            case FillBooked():
                self._book(event, others=False)
                self._open(event)

    def take_of_others(self, booking: FillBooked) -> None:
        """A booking of another chain: it may close a trade of this one, or join it."""
        self._book(booking, others=True)

    def _book(self, booking: FillBooked, *, others: bool) -> None:
        trade = self.open.get(booking.symbol)
        if trade is None:
            return
        if booking.closed:
            self.open.pop(booking.symbol).closed = booking
        elif others and abs(booking.position_nanos) > abs(trade.position_nanos):
            trade.shared = True
        trade.position_nanos = booking.position_nanos

    def _open(self, booking: FillBooked) -> None:
        fill = self.events.get(booking.causation or 0)
        if booking.symbol in self.open or not isinstance(fill, OrderFilled):
            return
        before = booking.position_nanos - (fill.quantity_nanos if fill.side == "buy" else -fill.quantity_nanos)
        if not booking.closed and abs(booking.position_nanos) < abs(before):
            return  # a part of somebody else's position was closed
        if booking.position_nanos:
            shared = before != 0 and not booking.closed
            trade = Trade(booking, fill.side, self._risk_nanos, shared, booking.position_nanos)
            self.open[booking.symbol] = trade
            self.trades.append(trade)


def tree(
    record: Mapping[str, Any], events: Iterable[LedgerEvent], desk: str, asked: str, causes: Mapping[int, int]
) -> dict[str, Any]:
    """The record with what it caused below it, nested by causation, each node in order of `children`.

    `after_ns` is the time since the cause; `causes` has the times of causes that are not in the tree. An event whose
    cause is not in it hangs at the record. `asked` is the id of the node that was asked for.
    """
    nodes: dict[int, dict[str, Any]] = {}
    times = dict(causes)
    root = {**record, "asked": record["id"] == asked, "children": []}
    for event in events:
        row = event_row(event, desk)
        cause_ns = times.get(event.causation) if event.causation else event.occurred_at_ns
        row["after_ns"] = None if cause_ns is None else event.occurred_at_ns - cause_ns
        row["asked"], row["children"] = row["id"] == asked, []
        times[event.number], nodes[event.number] = event.occurred_at_ns, row
        nodes.get(event.causation or 0, root)["children"].append(row)
    return root


def trade_row(trade: Trade, desk: str, closing: LedgerEvent | None) -> dict[str, Any]:
    """A trade and its result. `closing` is the fill that closed it. R is the result by what was to be lost at the stop:
    None without one, and for a trade that is not the chain's alone."""
    done, risk_nanos = trade.closed, trade.risk_nanos
    r = f"{Decimal(done.trade_nanos) / risk_nanos:.2f}" if done and risk_nanos and not trade.shared else None
    return {
        "symbol": trade.opened.symbol,
        "side": trade.side,
        "quantity": decimal(abs(trade.opened.position_nanos)),
        "shared": trade.shared,
        "opened": position(desk, trade.opened.number),
        "closed": position(desk, done.number) if done else None,
        "closed_by": position(desk, done.correlation) if done else None,
        "purpose": closing.purpose if isinstance(closing, OrderFilled) else None,
        "held_ns": done.occurred_at_ns - trade.opened.occurred_at_ns if done else None,
        "risk": decimal(risk_nanos) if risk_nanos else None,
        "result": decimal(done.trade_nanos) if done else None,
        "r": r,
    }
