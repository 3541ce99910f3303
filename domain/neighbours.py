"""Neighbours: the parameter sets near a strategy's current ones that are worth a replay.

They move the strategy's filters, the parameters that say which way is looser (see signals/handler.py), by steps, within
their declared bounds. The same parameters have the same neighbours.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from itertools import combinations
from math import ceil, floor
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from domain.signals.handler import LOOSER, Parameters

Aim = Literal["frequency", "quality"]

CANDIDATES_MAX = 24
STEPS = (Fraction(5, 4), Fraction(3, 2), Fraction(2))  # of a filter, times or divided by

Number = int | Decimal


class _Knob(NamedTuple):
    """A parameter that may move. `way` +1: a larger value lets more through, -1: a smaller one, 0: it is no filter.
    `usual` is its default, `tightness` how many times as tight as that it stands."""

    name: str
    value: Number
    usual: Number
    way: int
    tightness: float


def neighbours(parameters: Parameters, aim: Aim, most: int = CANDIDATES_MAX) -> list[Parameters]:
    """At most so many parameter sets near the current ones, the most telling first; the current one is not among them.

    For frequency every filter is loosened by a step, the one that is tightest against its default first; then by a
    second step; then two filters at once; then by a third step, and two filters by the second. For quality filters are
    tightened, the loosest first, and what is no filter (the reward ratio) moves a step either way as well.
    """
    knobs = _knobs(parameters)
    direction = 1 if aim == "frequency" else -1
    filters = sorted((knob for knob in knobs if knob.way), key=lambda knob: -direction * knob.tightness)
    shapes = [knob for knob in knobs if not knob.way] if aim == "quality" else []
    found: list[Parameters] = []
    for moved in _moves(filters, shapes, direction):
        candidate = _moved(parameters, moved)
        if candidate is not None and candidate != parameters and candidate not in found:
            found.append(candidate)
        if len(found) == most:
            break
    return found


def _moves(filters: list[_Knob], shapes: list[_Knob], direction: int) -> Iterator[dict[str, Number]]:
    """Which parameters get which values, in order of trial."""

    def step(knob: _Knob, size: int) -> dict[str, Number]:
        return {knob.name: _stepped(knob, STEPS[size], direction * knob.way)}

    def pairs(size: int) -> Iterator[dict[str, Number]]:
        return (step(one, size) | step(other, size) for one, other in combinations(filters, 2))

    yield from (step(knob, 0) for knob in filters)
    yield from ({knob.name: _stepped(knob, STEPS[0], way)} for knob in shapes for way in (-1, 1))
    yield from (step(knob, 1) for knob in filters)
    yield from pairs(0)
    yield from (step(knob, 2) for knob in filters)
    yield from pairs(1)


def _knobs(parameters: Parameters) -> list[_Knob]:
    found = []
    for name, field in type(parameters).model_fields.items():
        value, usual = getattr(parameters, name), field.default
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            continue
        extra = field.json_schema_extra
        said = extra.get(LOOSER) if isinstance(extra, dict) else None
        way = {"up": 1, "down": -1}.get(str(said), 0)
        over, under = (usual, value) if way > 0 else (value, usual)
        found.append(_Knob(name, value, usual, way, float(over / under) if under else float("inf") if over else 1.0))
    return found


def _stepped(knob: _Knob, factor: Fraction, way: int) -> Number:
    """Times (way +1) or divided by the factor; up from 0, by what the factor adds to the default. A whole number goes
    on to the next one, a decimal keeps two digits."""
    value = knob.value
    if value == 0 and way > 0:
        exact = Fraction(knob.usual) * (factor - 1)
    else:
        exact = Fraction(value) * (factor if way > 0 else 1 / factor)
    if isinstance(value, int):
        return ceil(exact) if way > 0 else floor(exact)
    rounding = ROUND_CEILING if way > 0 else ROUND_FLOOR
    return Context(prec=2, rounding=rounding).divide(Decimal(exact.numerator), Decimal(exact.denominator))


def _moved(parameters: Parameters, moved: dict[str, Number]) -> Parameters | None:
    """The parameters with other values, each drawn to its nearest bound; None where they do not fit together."""
    values: dict[str, Any] = parameters.model_dump()
    for name, value in moved.items():
        limits = type(parameters).model_fields[name].metadata
        low, high = ([bound for m in limits if (bound := getattr(m, end, None)) is not None] for end in ("ge", "le"))
        values[name] = min([max([value, *low]), *high])
    try:
        return type(parameters).model_validate(values)
    except ValidationError:
        return None


class Change(BaseModel):
    """One parameter that a candidate has otherwise (values as JSON)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    current: JsonValue
    proposed: JsonValue


def changes(current: Parameters, other: Parameters) -> tuple[Change, ...]:
    """What differs, in the order of the model."""
    before, after = current.model_dump(mode="json"), other.model_dump(mode="json")
    return tuple(
        Change(name=name, current=before[name], proposed=after[name]) for name in before if before[name] != after[name]
    )
