"""What may be asked for: the parameters of every address. One that is not named here is refused."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.agents import Workflow
from domain.events import LedgerEvent
from domain.instruments import canonical_symbol
from gateways.api_desk import BARS_MAX, Timeframe
from gateways.halt_latch import MAX_REASON
from gateways.http.problems import Problem
from gateways.times import time_ns

LIMIT_MAX = 200
NO_REASON = "emergency stop over HTTP"
POINTS_MAX = 5_000
EVENT_TYPES = tuple(str(shape.model_fields["type"].default) for shape in get_args(get_args(LedgerEvent)[0]))

_ID = re.compile(r"(?:([a-z0-9][a-z0-9_-]{0,31}):)?([1-9][0-9]{0,17})")


def _event_types(types: list[str]) -> list[str]:
    for name in types:
        if name not in EVENT_TYPES:
            raise ValueError(f"there is no event type {name[:60]!r}; there are {', '.join(EVENT_TYPES)}")
    return types


def _time(text: str) -> str:
    time_ns(text)
    return text


Time = Annotated[
    str,
    AfterValidator(_time),
    Field(max_length=60, json_schema_extra={"format": "date-time"}, examples=["2018-06-13T18:00:00Z"]),
]
Symbol = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._/#-]{1,32}$", examples=["EURUSD"]), AfterValidator(canonical_symbol)
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
Actor = Annotated[str, Field(min_length=1, max_length=128)]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many at the most.")]


class At(BaseModel):
    """When. At most one; none of them asks for what the desk's read models hold now."""

    model_config = ConfigDict(extra="forbid")

    as_of: str | None = Field(None, max_length=200, description="The moment of an answer that carried this `as_of`.")
    market_time: Time | None = Field(None, description="Everything up to this time of the market.")
    recorded_time: Time | None = Field(None, description="Everything that the log had recorded at this time.")


class Listed(At):
    """A page of a list, newest first."""

    cursor: str | None = Field(
        None, max_length=400, description="`next_cursor` of the page before: its moment holds for every page."
    )
    limit: Limit = 50


class Document(At):
    format: Literal["json", "markdown"] = Field("json", description="The document wrapped, or as it is.")


class Positions(At):
    flat: bool = Field(False, description="Also symbols of which nothing is held, for their sums.")


class Orders(Listed):
    state: Literal["all", "working", "done"] = "all"
    symbol: Symbol | None = None


class Fills(Listed):
    symbol: Symbol | None = None


class Signals(Listed):
    verdict: Literal["approved", "refused", "pending"] | None = None
    strategy: Name | None = None
    symbol: Symbol | None = None
    rule: Name | None = Field(None, description="Only those that this rule refused.")


class Proposals(Listed):
    state: Literal["all", "pending", "done"] = Field("all", description="pending: waits for a verdict; done: has one.")
    actor: Actor | None = Field(None, description="Only those that this actor drafted.")
    run: Name | None = Field(None, description="Only those of this workflow run.")


class Runs(Listed):
    state: Literal["all", "open", "closed"] = "all"
    kind: Workflow | None = None


class Range(At):
    start: Time | None = Field(None, description="Market time from which on.")
    end: Time | None = Field(None, description="Market time before which.")


class Equity(Range):
    points: int = Field(500, ge=2, le=POINTS_MAX, description="Points at the most; neighbours keep their extremes.")


class Bars(At):
    symbol: Symbol
    timeframe: Timeframe = "M5"
    end: Time | None = Field(None, description="Market time before which the last bar begins.")
    count: int = Field(300, ge=1, le=BARS_MAX, description="How many timeframes back.")


class Events(Listed):
    type: Annotated[list[str], AfterValidator(_event_types)] = Field(
        [], max_length=len(EVENT_TYPES), json_schema_extra={"items": {"type": "string", "enum": list(EVENT_TYPES)}}
    )
    correlation: str | None = Field(None, pattern=r"^[a-z0-9:_-]{1,51}$", description="Of this chain: `main:12`.")
    symbol: Symbol | None = None
    actor: str | None = Field(
        None, min_length=1, max_length=200, description="What the engine answered to instructions of this actor."
    )
    start: Time | None = Field(None, description="Market time from which on.")
    end: Time | None = Field(None, description="Market time before which.")


class Diff(BaseModel):
    """Two moments: from one of the first three to one of the last three, without those to now."""

    model_config = ConfigDict(extra="forbid")

    from_as_of: str | None = Field(None, alias="from", max_length=200, description="The `as_of` of an answer.")
    from_market_time: Time | None = None
    from_recorded_time: Time | None = None
    to_as_of: str | None = Field(None, alias="to", max_length=200, description="The `as_of` of an answer.")
    to_market_time: Time | None = None
    to_recorded_time: Time | None = None


class Stream(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Annotated[list[str], AfterValidator(_event_types)] = Field(
        [], max_length=len(EVENT_TYPES), json_schema_extra={"items": {"type": "string", "enum": list(EVENT_TYPES)}}
    )


class Nothing(BaseModel):
    """An address that takes no parameters."""

    model_config = ConfigDict(extra="forbid")


class Stop(BaseModel):
    """An emergency stop."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "spread is 40 pips"}})

    reason: str = Field(NO_REASON, max_length=MAX_REASON, description="Why; it stands in the ledger for ever.")
    flatten: bool = Field(False, description="Close every position too.")


def nanos(time: str | None) -> int | None:
    """A Time in ns."""
    return None if time is None else time_ns(time)


def event_number(text: str, desk: str, field: str) -> int:
    """The number in `main:12` or `12`. Raises Problem for what is none of this desk."""
    found = _ID.fullmatch(text)
    if not found or found[1] not in (None, desk):
        raise Problem(
            422,
            f"{field} {text[:60]!r} is no event of desk {desk}",
            f"give a number, as in {desk}:12 or 12",
            field=field,
        )
    return int(found[2])


def field_of(where: tuple[Any, ...]) -> str | None:
    """The parameter's or the body field's name in the place that pydantic tells."""
    names = [str(part) for part in where if part not in ("query", "path", "body", "header")]
    return ".".join(names) or None
