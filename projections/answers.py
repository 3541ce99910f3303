"""Rows of the read models as answers: names instead of numbers, decimals instead of nanos, ready for JSON.

A ledger event is `desk:number`, a place on the tape `tape:ordinal`. Prices, money and sizes are decimal strings with
nine places, times ISO 8601 in UTC. Ratios are numbers, other names keep their unit; what there is none of is None.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from domain.instruments import NANOS
from domain.tape import position, utc

Answer = dict[str, Any]

_DECIMALS = frozenset(
    "balance floating equity margin day_balance best_day quantity filled leaves average_price fees limit_price "
    "trigger_price stop_price target_price price realised fee trade_result cost level_price entry_price risk low high "
    "peak drawdown won lost net expectancy average_win average_loss profit_target".split()
)
_EVENTS = {"number": "id", "order_number": "order", "verdict_number": "verdict_id"} | {
    name: name for name in ("causation", "correlation", "oco")
}


def decimal(nanos: int) -> str:
    """Nanos as an exact decimal: `1.201780000`."""
    whole, part = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else ''}{whole}.{part:09d}"


def on_tape(ordinal: int) -> str:
    """The id of a place on the desk's own tape."""
    return position("tape", ordinal)


def answer(row: Mapping[str, Any], desk: str) -> Answer:
    """A row, without the positions that it held for."""
    said: Answer = {}
    for name, value in row.items():
        if name not in ("since", "until"):
            called, reads = _column(name)
            said[called] = None if value is None else reads(value, desk)
    return said


def content(says: Mapping[str, Any]) -> Answer:
    """What a stored event says; what lies deeper (a policy, its rules) keeps its own named units."""
    return {
        name.removesuffix("_nanos"): decimal(value) if name.endswith("_nanos") and value is not None else value
        for name, value in says.items()
    }


@cache
def _column(name: str) -> tuple[str, Callable[[Any, str], Any]]:
    """What a column is called in an answer, and how its value reads there."""
    if name in _EVENTS:
        return _EVENTS[name], lambda number, desk: position(desk, number)
    if name == "ordinal":
        return "id", lambda ordinal, _: on_tape(ordinal)
    if name.endswith("_ns"):
        return name.removesuffix("_ns"), lambda time_ns, _: utc(time_ns)
    if name in _DECIMALS:
        return name, lambda nanos, _: decimal(nanos)
    if name in ("content", "details", "sizing"):
        return name, lambda says, _: content(says)
    return name, lambda value, _: value
