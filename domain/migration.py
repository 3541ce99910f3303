"""What an older engine left becomes what this one starts from.

The snapshots of every engine begin with a line of JSON, the head, that says `engine`, `ordinal` and `number`; what
follows is that engine's own. STEPS has one function for each older engine, straight to this one. The hash of what it
gives stands in ledgers: after a release it changes only together with ENGINE. A take-over by an older engine is
recomputed by that engine's own build.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.engine import ENGINE, ActiveStrategy, Engine, prepare
from domain.errors import InvalidInput
from domain.instruments import Instrument, instrument_for
from domain.paper_desk import Source
from domain.snapshot import save


class Place(NamedTuple):
    """Where the engine of a snapshot stood: the last ordinal folded, the last event decided."""

    engine: int
    ordinal: int
    number: int


def place(data: bytes) -> Place | None:
    """Where a snapshot of any engine was taken; None when it is not one."""
    try:
        head = json.loads(data.partition(b"\n")[0])
        found = Place(*(head[field] for field in Place._fields))
    except (ValueError, KeyError, TypeError):
        return None
    return found if all(type(value) is int and value >= 0 for value in found) else None


def migrate(data: bytes) -> bytes:
    """The snapshot that this engine takes over with, from one of an older engine. The same bytes give the same bytes.

    Raises InvalidInput for bytes that are no snapshot, or not of an engine that this one can follow.
    """
    before = place(data)
    if before is None or before.engine not in STEPS:
        what = "not readable" if before is None else f"of engine {before.engine}"
        raise InvalidInput(
            f"the snapshot {data[:40]!r}... is {what}; engine {ENGINE} follows engine {', '.join(map(str, STEPS))}"
        )
    try:
        return STEPS[before.engine](data)
    except (ValidationError, ValueError, InvalidInput) as error:
        raise InvalidInput(
            f"the snapshot of engine {before.engine} at ordinal {before.ordinal} cannot become one of engine {ENGINE}: "
            f"{error}; run `cdb verify`"
        ) from None


class _Strategy1(BaseModel):
    model_config = ConfigDict(frozen=True)

    strategy: str
    version: int
    parameters: dict[str, object]
    symbols: tuple[str, ...]
    layout: str
    states: int = Field(ge=0)


class _Head1(BaseModel):
    model_config = ConfigDict(frozen=True)

    engine: int
    ordinal: int
    number: int
    time_ns: int
    instruments: dict[int, dict[str, object]]
    answered: list[str]
    strategies: list[_Strategy1]


def from_1(data: bytes) -> bytes:
    """Engine 1 knew instruments and strategies, neither account nor policy, and remembered no quote.

    What its instruments did not say of lots and margin is what this build says of the symbol.
    """
    line, _, states = data.partition(b"\n")
    head = _Head1.model_validate_json(line)
    engine = Engine()
    engine.ordinal, engine.time_ns = head.ordinal, head.time_ns
    for instruction_id in head.answered:
        engine.answered.add(instruction_id)
    desk = engine.desk
    for number, known in head.instruments.items():
        today = instrument_for(str(known.get("symbol"))).model_dump()
        desk.declare(number, Instrument.model_validate(today | known))
    now = desk.book.desk[0]
    now["number"], now["ordinal"], now["now"] = head.number, head.ordinal, head.time_ns
    offset = 0
    for saved in head.strategies:
        handler, parameters, fingerprint = prepare(saved.strategy, saved.version, saved.parameters)
        if str(handler.state.descr) != saved.layout:
            raise ValueError(f"strategy {handler.name} v{handler.version} had another state")
        records = np.frombuffer(states, handler.state, saved.states, offset).copy()
        offset += records.nbytes
        slot = desk.slot(Source(handler.name, handler.version, fingerprint))
        active = ActiveStrategy(handler, parameters, fingerprint, saved.symbols, records, slot)
        engine.strategies[handler.name] = active
    if offset != len(states):
        raise ValueError(f"{len(states) - offset} bytes are left over")
    return save(engine, migrated_from=1)


STEPS: dict[int, Callable[[bytes], bytes]] = {1: from_1}
