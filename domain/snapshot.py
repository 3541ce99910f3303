"""A snapshot: the whole state of an engine as one line of JSON and the bytes of its records, and back again."""

from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.answered import DIGEST, Answered
from domain.book import STATE, Records, used
from domain.engine import ENGINE, ActiveStrategy, Engine, TakeOver, prepare
from domain.errors import InvalidInput
from domain.instruments import Instrument
from domain.paper_desk import Source
from domain.policy import Policy


class _Strategy(BaseModel):
    model_config = ConfigDict(frozen=True)

    strategy: str
    version: int
    parameters: dict[str, object]
    symbols: tuple[str, ...]
    layout: str
    states: int
    slot: int


class _Array(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    layout: str
    records: int


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True)

    engine: int
    ordinal: int
    number: int
    time_ns: int
    migrated_from: int | None = None  # the older engine whose state this was; the next engine activation says so
    instruments: dict[int, Instrument]
    currencies: dict[str, int]
    currency: str
    policy: Policy | None
    sources: list[Source]
    titles: list[tuple[tuple[int, int, int], str]] = []  # of the calendar's heavy entries
    answered: int = Field(ge=0)  # digests of instruction ids, behind the arrays
    strategies: list[_Strategy]
    arrays: list[_Array]


def save(engine: Engine, migrated_from: int | None = None) -> bytes:
    """The whole state: a head line, the states of every strategy, the arrays of the book and the answered instructions,
    each as its bytes."""
    desk = engine.desk
    arrays = {name: used(desk.book, name) for name in STATE}
    answered = engine.answered.digests()
    head = _Head(
        engine=ENGINE,
        ordinal=engine.ordinal,
        number=engine.number,
        time_ns=engine.time_ns,
        migrated_from=migrated_from,
        instruments=desk.instruments,
        currencies=desk.currencies,
        currency=desk.currency,
        policy=desk.policy,
        sources=desk.sources,
        titles=list(desk.titles.items()),
        answered=len(answered),
        strategies=[
            _Strategy(
                strategy=active.handler.name,
                version=active.handler.version,
                parameters=active.parameters.model_dump(mode="json"),
                symbols=active.symbols,
                layout=str(active.handler.state.descr),
                states=len(active.states),
                slot=active.slot,
            )
            for active in engine.strategies.values()
        ],
        arrays=[_Array(name=name, layout=str(array.dtype.descr), records=len(array)) for name, array in arrays.items()],
    )
    parts = [active.states for active in engine.strategies.values()] + [*arrays.values(), answered]
    return b"\n".join([head.model_dump_json().encode(), b"".join(part.tobytes() for part in parts)])


def restore(data: bytes) -> Engine | None:
    """The engine as it was; None when the snapshot is another version's or not readable (replay instead)."""
    line, _, body = data.partition(b"\n")
    try:
        head = _Head.model_validate_json(line)
        if head.engine != ENGINE:
            return None
        return _restored(head, _Bytes(body), sha256(data).hexdigest())
    except (ValidationError, ValueError, OverflowError, InvalidInput):
        return None


class _Bytes:
    """The body, taken array by array."""

    def __init__(self, body: bytes) -> None:
        self._body, self._offset = body, 0

    def take(self, dtype: np.dtype[Any], records: int) -> Records:
        array = np.frombuffer(self._body, dtype, records, self._offset).copy() if records else np.zeros(0, dtype)
        self._offset += array.nbytes
        return array

    def must_be_empty(self) -> None:
        if self._offset != len(self._body):
            raise ValueError("bytes are left over")


def _restored(head: _Head, body: _Bytes, state_sha256: str) -> Engine | None:
    engine = Engine()
    engine.ordinal, engine.time_ns = head.ordinal, head.time_ns
    if head.migrated_from is not None:
        engine.took_over = TakeOver(head.migrated_from, state_sha256)
    desk = engine.desk
    desk.instruments, desk.currencies, desk.currency = head.instruments, head.currencies, head.currency
    desk.policy, desk.sources, desk.titles = head.policy, head.sources, dict(head.titles)
    for saved in head.strategies:
        handler, parameters, fingerprint = prepare(saved.strategy, saved.version, saved.parameters)
        if str(handler.state.descr) != saved.layout or not 0 < saved.slot < len(head.sources):
            return None
        states = body.take(handler.state, saved.states)
        engine.strategies[handler.name] = ActiveStrategy(
            handler, parameters, fingerprint, saved.symbols, states, saved.slot
        )
    if [kept.name for kept in head.arrays] != list(STATE):
        return None
    arrays: dict[str, Any] = {}
    for kept in head.arrays:
        array = getattr(desk.book, kept.name)
        if str(array.dtype.descr) != kept.layout:
            return None
        arrays[kept.name] = _filled_up(array, body.take(array.dtype, kept.records))
    desk.book = desk.book._replace(**arrays)
    engine.answered = Answered(body.take(DIGEST, head.answered))
    body.must_be_empty()
    return engine if engine.number == head.number else None


def _filled_up(whole: Records, used: Records) -> Records:
    """Arrays of a fixed capacity keep it."""
    if len(used) < len(whole):
        return np.concatenate([used, whole[len(used) :]])
    return used
