"""Ledger events and tape records as rows ready for JSON: names instead of numbers, decimals instead of nanos.

An event is `desk:number`, a place on the tape `tape:ordinal`. Prices, money and quantities are decimal strings with
nine places, times ISO 8601 in UTC; what there is none of (a stop that is 0) is None. Other names keep their unit.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

from domain import tape as marks
from domain.events import LedgerEvent, LimitBreached
from domain.instructions import Instruction
from domain.tape import CLOCK, FROM_BAR, TRADE, position, utc

EVENT_TYPES: tuple[str, ...] = tuple(shape.model_fields["type"].default for shape in get_args(get_args(LedgerEvent)[0]))

# Of these, 0 says that there is none.
_NONE_IF_0 = frozenset(
    "limit_nanos trigger_nanos stop_nanos target_nanos displayed_nanos expires_at_ns bar_time_ns order oco".split()
)
_EVIDENCE = ("sizing", "market")
_EVENT_NUMBERS = ("order", "oco")
_TIMES = ("occurred_at_ns", "bar_time_ns", "expires_at_ns", "active_from_ns", "first_time_ns", "last_time_ns")
_PLACE = {"number", "ordinal", "causation", "correlation", "occurred_at_ns", "type"}
_MARKS = (
    "MINUTE PRAGUE_MIDNIGHT WEEK_OPEN WEEK_CLOSE SYDNEY_OPEN SYDNEY_CLOSE TOKYO_OPEN TOKYO_CLOSE LONDON_OPEN "
    "LONDON_CLOSE NEW_YORK_OPEN NEW_YORK_CLOSE SECOND WEEK_CLOSING".split()
)


def decimal(nanos: int) -> str:
    """Nanos as an exact decimal: `1.201780000`."""
    return f"{Decimal(nanos).scaleb(-9):.9f}"


def on_tape(ordinal: int) -> str:
    """The id of a place on the desk's own tape."""
    return position("tape", ordinal)


def event_row(event: LedgerEvent, desk: str) -> dict[str, Any]:
    """An event: where it stands, what caused it (None: the tape record), and what it says."""
    row: dict[str, Any] = {
        "id": position(desk, event.number),
        "type": event.type,
        "tape": on_tape(event.ordinal),
        "occurred_at": utc(event.occurred_at_ns),
        "causation": position(desk, event.causation) if event.causation else None,
        "correlation": position(desk, event.correlation),
    }
    says = event.model_dump(exclude=_PLACE)
    if isinstance(event, LimitBreached):
        says["bound_nanos"] = says.pop("limit_nanos")  # `limit` is the name of the limit
        says["symbol"] = event.symbol or None
    return row | _readable(says, desk)


def record_row(ordinal: int, record: Any, symbol: str | None) -> dict[str, Any]:
    """A 64-byte record: a quote, a trade, or a clock record with its marks."""
    row = {"id": on_tape(ordinal), "occurred_at": utc(int(record["receive_time"]))}
    if record["kind"] == CLOCK:
        names = [name.lower() for name in _MARKS if record["flags"] & getattr(marks, name)]
        return row | {"type": "clock", "marks": names}
    about = {
        "symbol": symbol,
        "event_time": utc(int(record["event_time"])),
        "reference": int(record["reference"]) or None,
        "from_bar": bool(record["flags"] & FROM_BAR),
    }
    if record["kind"] == TRADE:
        return (
            row
            | {"type": "trade", "price": decimal(int(record["bid"])), "size": decimal(int(record["bid_size"]))}
            | about
        )
    prices = {name: decimal(int(record[name])) for name in ("bid", "ask")}
    sizes = {name: decimal(int(record[name])) if record[name] else None for name in ("bid_size", "ask_size")}
    return row | {"type": "quote"} | prices | sizes | about


def instruction_row(ordinal: int, instruction: Instruction, desk: str) -> dict[str, Any]:
    """An instruction: who said it, by which authority, and what."""
    says = instruction.model_dump(mode="json", exclude={"id", "kind", "actor", "authority", "occurred_at_ns"})
    return {
        "id": on_tape(ordinal),
        "type": "instruction",
        "occurred_at": utc(instruction.occurred_at_ns),
        "kind": instruction.kind,
        "instruction_id": instruction.id,
        "actor": instruction.actor,
        "authority": instruction.authority,
        "content": _readable(says, desk),
    }


def _readable(says: Mapping[str, Any], desk: str) -> dict[str, Any]:
    """The same with readable names and values, evidence too; a policy and rules, which lie deeper, keep their own named
    units."""
    return dict(_field(name, value, desk) for name, value in says.items())


def _field(name: str, value: Any, desk: str) -> tuple[str, Any]:
    absent = value is None or (value == 0 and name in _NONE_IF_0)
    if name.endswith("_nanos"):
        return name.removesuffix("_nanos"), None if absent else decimal(value)
    if name in _TIMES:
        return name.removesuffix("_ns"), None if absent else utc(value)
    if name in _EVENT_NUMBERS:
        return name, None if absent else position(desk, value)
    if name in _EVIDENCE and value:
        return name, _readable(value, desk)
    return name, list(value) if isinstance(value, tuple) else value
