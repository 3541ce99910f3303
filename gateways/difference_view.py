"""What changed between two moments of a desk, on a terminal: a line a value, what it was and what it is."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateways.cells import BAD, GOOD, plain
from gateways.ledger_words import QUIET, moment

NOTHING = "none"


def print_difference(console: Console, report: Mapping[str, Any]) -> None:
    """The two moments, then every change by what it belongs to."""
    for side in ("from", "to"):
        at = report[side]
        console.print(
            Text.assemble(
                (f"{side:<5}", QUIET), (f"{moment(at['market_time'])} UTC", "bold"), f"  as of {at['as_of']}"
            ),
            soft_wrap=True,
        )
    if not report["changes"]:
        console.print("Nothing changed.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=QUIET)
    table.add_column("what", overflow="fold")
    for title in ("was", "is", "by"):
        table.add_column(title, justify="right", overflow="fold")
    for change in report["changes"]:
        before, after = change["before"], change["after"]
        name = Text(" ".join(plain(part).replace("_", " ") for part in change["path"]))
        table.add_row(name, Text(_said(before)), Text(_said(after)), _by(before, after))
    console.print(table)


def _said(value: Any) -> str:
    """A value on one line; of a row that came or went, what it is."""
    if value is None:
        return NOTHING
    if isinstance(value, Mapping):
        told = (value.get(name) for name in ("purpose", "side", "quantity", "symbol", "state"))
        return " ".join(_said(part) for part in told if part is not None) or _listed(value)
    if isinstance(value, list):
        return ", ".join(_said(part) for part in value) or NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = _number(value)
    return plain(str(value)) if number is None else f"{number:,f}"


def _listed(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_said(part)}" for name, part in value.items())


def _by(before: Any, after: Any) -> Text:
    """By how much a number changed, in the colour of its direction."""
    was, became = _number(before), _number(after)
    if was is None or became is None:
        return Text()
    change = became - was
    return Text(f"{change.normalize():+,f}", GOOD if change > 0 else BAD)


def _number(value: Any) -> Decimal | None:
    """A decimal string or a number, without trailing zeros."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number.normalize() if number.is_finite() else None
