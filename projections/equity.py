"""Equity: the account's curve, a point at every booking, minute mark and midnight, with drawdown. Money in nanos."""

from collections.abc import Iterator
from dataclasses import dataclass

from domain.events import AccountMarked, DayRolled, FillBooked
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row

EQUITY = Table(
    "equity",
    {"number": "bigint"},
    ("at_ns", "kind", "balance", "floating", "equity", "low", "high", "peak", "drawdown"),
)


@dataclass
class Memory:
    """The highest equity so far; None before the first point."""

    peak: int | None = None


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """A point of the curve. Its drawdown is from the highest equity up to its own end, to its equity's low."""
    match event := fact.event:
        case FillBooked():
            kind, balance, equity = "booked", event.balance_nanos, event.equity_nanos
            low = high = equity
            if memory.peak is None:  # the first booking tells what the account began with
                memory.peak = balance - event.realised_nanos + event.fee_nanos
        case AccountMarked():
            kind, balance, equity = "marked", event.balance_nanos, event.equity_nanos
            low, high = event.equity_low_nanos, event.equity_high_nanos
        case DayRolled():
            kind, balance, equity = "day", event.balance_nanos, event.equity_nanos
            low = high = equity
        case _:
            raise TypeError(f"equity does not listen to {type(event).__name__}")
    memory.peak = peak = high if memory.peak is None else max(memory.peak, high)
    values = (event.occurred_at_ns, kind, balance, equity - balance, equity, low, high, peak, peak - low)
    yield Row(EQUITY, (event.number,), values)


MODEL = ReadModel("equity", 1, (Fold("ledger", (FillBooked, AccountMarked, DayRolled), Memory, evolve, (EQUITY,)),))
