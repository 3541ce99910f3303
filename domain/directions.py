"""Which way a field widens: a table names, for every field of a policy, the change that lets more risk through.

    TABLE = {"risk.positions_max": Line(larger, "instruments in the market at once", count), ...}
    widened(TABLE, before, after)  ->  what widens, in the table's order

Each line looks at its own field alone, and each direction is an order, so what does not widen in small steps does not
widen in their sum.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

from pydantic import BaseModel

Direction = Callable[[Any, Any], bool]


class Widening(NamedTuple):
    """Why a change needs a signature. `before` and `after` are plain JSON values; None: nothing, or no limit."""

    field: str
    before: Any
    after: Any
    sentence: str


class Line(NamedTuple):
    """A field's line: its direction, what it is, how its value reads with units, and why if that needs words."""

    widens: Direction
    what: str
    says: Callable[[Any], str]
    why: str = ""


def larger(before: Any, after: Any) -> bool:
    """A limit: None is no limit, the widest, and 0 allows nothing."""
    return before is not None and (after is None or after > before)


def smaller(before: Any, after: Any) -> bool:
    """A minimum, or a safeguard that is on or off; None is no minimum."""
    return before is not None and (after is None or after < before)


def larger_or_zero(before: Any, after: Any) -> bool:
    """A limit that 0 switches off."""
    return bool(before != 0 and (after == 0 or after > before))


def changed(before: Any, after: Any) -> bool:
    """No value is certainly tighter than another."""
    return bool(before != after)


def never(before: Any, after: Any) -> bool:
    """It says nothing about risk."""
    return False


def along(*choices: str) -> Direction:
    """A choice out of these, from the narrowest to the widest."""
    return lambda before, after: choices.index(after) > choices.index(before)


def any_added(before: Any, after: Any) -> bool:
    """A list of what is allowed; its order says nothing."""
    return not set(after) <= set(before)


def any_added_or_empty(before: Any, after: Any) -> bool:
    """A list of what is allowed, where an empty one allows everything."""
    return bool(before) and (not after or any_added(before, after))


def on_off(value: bool) -> str:
    """A switch in a sentence."""
    return "on" if value else "off"


def count(value: int) -> str:
    """A number of things in a sentence."""
    return f"{value:,}"


def says(line: Line, value: Any) -> str:
    """A value in a sentence, with its unit."""
    return "no limit" if value is None else line.says(value)


def at(content: Mapping[str, Any], field: str) -> Any:
    """The value at a dotted path."""
    return reduce(lambda part, name: part[name], field.split("."), content)


def widened(table: Mapping[str, Line], before: BaseModel, after: BaseModel) -> list[Widening]:
    """What widens from one content to another, by a table that names every field of both."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [
        Widening(field, at(old, field), at(new, field), _sentence(line, at(old, field), at(new, field)))
        for field, line in table.items()
        if line.widens(at(old, field), at(new, field))
    ]


def _sentence(line: Line, before: Any, after: Any) -> str:
    change = f"{line.what}: {says(line, after)} instead of {says(line, before)}"
    return f"{change}; {line.why}" if line.why else change
