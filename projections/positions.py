"""Positions: what is held of every symbol that was ever traded, and what it brought in all. Money in nanos."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from domain.events import FillBooked
from domain.instruments import NANOS
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row


class Position(NamedTuple):
    """What is held, signed; `cost` in quote currency, signed like the quantity. Flat: 0, and NULL for what only an
    open position has. `realised`, `fees` and `trades` (closed ones) are sums over all bookings of the symbol."""

    quantity: int
    cost: int
    average_price: int | None  # half to even
    realised: int
    fees: int
    trades: int
    opened_at_ns: int | None
    changed_at_ns: int
    correlation: int | None  # of the trade that opened it


POSITIONS = Table("positions", {"symbol": "text"}, Position._fields)

_NEVER_TRADED = Position(0, 0, None, 0, 0, 0, None, 0, None)


@dataclass
class Memory:
    """Positions by symbol; flat ones for their sums."""

    positions: dict[str, Position] = field(default_factory=dict)


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The position that a booking changed. One that turned to the other side was closed and opened anew."""
    event: FillBooked = fact.event
    before = memory.positions.get(event.symbol, _NEVER_TRADED)
    held = event.position_nanos != 0
    opened = held and (before.quantity == 0 or event.closed)
    position = Position(
        quantity=event.position_nanos,
        cost=event.cost_nanos,
        average_price=round(Fraction(event.cost_nanos * NANOS, event.position_nanos)) if held else None,
        realised=before.realised + event.realised_nanos,
        fees=before.fees + event.fee_nanos,
        trades=before.trades + event.closed,
        opened_at_ns=event.occurred_at_ns if opened else before.opened_at_ns if held else None,
        changed_at_ns=event.occurred_at_ns,
        correlation=event.correlation if opened else before.correlation if held else None,
    )
    memory.positions[event.symbol] = position
    yield Row(POSITIONS, (event.symbol,), position)


MODEL = ReadModel("positions", 1, (Fold("ledger", (FillBooked,), Memory, evolve, (POSITIONS,)),))
