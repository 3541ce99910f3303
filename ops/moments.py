"""Finding a moment: by the market's time, by the time of recording, or by a token; and saying when a moment was."""

import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from adapters import subjects
from adapters.numbered import first_number, last_number
from adapters.subjects import TOPIC
from adapters.tape_log import TICKS
from domain.errors import InvalidInput
from domain.instructions import INSTRUCTION
from domain.ports import Log, Message, Recorded
from domain.tape import decode, utc
from ops.ledger_reader import LedgerReader
from projections.as_of import AsOf

PLACES_KEPT = 10_000
RECORDS_KEPT = 128  # messages of the tape whose times are kept, 120 KiB each

Nanos = np.ndarray[tuple[int], np.dtype[np.int64]]
Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Times(NamedTuple):
    """When a moment was: the market's time, and when the log recorded its newest fact. None before the first fact."""

    market_ns: int | None
    recorded_ns: int | None


class _Place(NamedTuple):
    """What a search asks of a stored message: its first and last number, when it was recorded; of the tape the market's
    time of its first record, of the ledger its first event."""

    sequence: int
    first: int
    last: int
    recorded_ns: int
    first_ns: int = 0
    event: bytes = b""


class Moments:
    """The moments of one desk. Stored messages never change, so what one was found to hold is remembered: a block of
    the tape is a megabyte to fetch."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self._log = log
        self._places: OrderedDict[tuple[str, int], _Place] = OrderedDict()
        self._records: OrderedDict[int, Nanos] = OrderedDict()  # by sequence: the market's times
        self._ends: dict[str, _Place] = {}  # by subject: the newest place that was seen
        self._stood = AsOf()  # the newest moment that was seen
        self._tape, self._ledger = subjects.tape(desk), subjects.ledger(desk)

    async def newest(self) -> AsOf:
        """What the log holds now; the read models may be behind it."""
        tape, ledger = await self._log.last(self._tape), await self._log.last(self._ledger)
        ops, governance = [await self._log.last(stream.subjects) for stream in (subjects.OPS, subjects.GOVERNANCE)]
        return AsOf(
            last_number(tape) if tape else 0,
            last_number(ledger) if ledger else 0,
            ops.sequence if ops else 0,
            governance.sequence if governance else 0,
        )

    async def at_market_time(self, time_ns: int) -> AsOf:
        """Everything up to the tape's last record at or before a time, and what the other streams held when it was
        recorded. What an engine that is behind decides later on is of a later moment. Raises InvalidInput for a time
        before the tape's first record or behind its last: there, records may still come."""
        place = await self._last(self._tape, lambda place: place.first_ns <= time_ns)
        if place is None:
            first = await self._log.get(self._tape, 1)
            begins = f"begins at {utc(int(_records_ns(first)[0]))}" if first else "is empty"
            raise InvalidInput(f"market time {utc(time_ns)} is before the tape of desk {self.desk}: it {begins}")
        is_newest, records_ns = place == self._ends[self._tape], await self._times_of(place)
        if is_newest and time_ns > records_ns[-1]:
            raise InvalidInput(
                f"market time {utc(time_ns)} is ahead of the tape of desk {self.desk}: it ends at "
                f"{utc(int(records_ns[-1]))}; ask without a time for the newest moment"
            )
        ordinal = place.first + int(np.searchsorted(records_ns, time_ns, side="right")) - 1
        ops, governance = await self._recorded_by(place.recorded_ns)
        return AsOf(ordinal, await self._decided_by(ordinal), ops, governance)

    async def _decided_by(self, ordinal: int) -> int:
        """The number of the last event of the ledger that was decided at an ordinal or before."""

        def decided_at(line: Recorded) -> int:
            return reader.event(line).ordinal

        reader = LedgerReader(self._log, self.desk)
        place = await self._last(self._ledger, lambda place: decided_at(Recorded(place.first, place.event)) <= ordinal)
        message = await self._log.get(self._ledger, place.sequence) if place else None
        if place is None or message is None:
            return 0
        lines = [Recorded(*numbered) for numbered in enumerate(message.data.split(b"\n"), place.first)]
        return place.first - 1 + bisect_right(lines, ordinal, key=decided_at)

    async def at_recorded_time(self, time_ns: int) -> AsOf:
        """Everything that the log had recorded at a time. Raises InvalidInput for a time before its first record, and
        for one that has not come."""
        if time_ns > time.time_ns():
            raise InvalidInput(f"recorded time {utc(time_ns)} has not come; ask without a time for the newest moment")
        tape = await self._last(self._tape, lambda place: place.recorded_ns <= time_ns)
        ledger = await self._last(self._ledger, lambda place: place.recorded_ns <= time_ns)
        if tape is None:
            first = await self._log.get(self._tape, 1)
            begins = f"was first written at {utc(first.recorded_at_ns)}" if first else "is empty"
            raise InvalidInput(f"recorded time {utc(time_ns)} is before the tape of desk {self.desk}: it {begins}")
        ops, governance = await self._recorded_by(time_ns)
        return AsOf(tape.last, ledger.last if ledger else 0, ops, governance)

    async def times(self, at: AsOf) -> Times:
        """When a moment was. Raises InvalidInput for one that lies ahead of the log."""
        if _ahead(at, self._stood):
            self._stood = await self.newest()
        if _ahead(at, self._stood):
            raise InvalidInput(f"as_of {at.token(self.desk)!r} lies ahead of the log of desk {self.desk}")
        place = await self._last(self._tape, lambda place: place.first <= at.tape)
        if place is None:
            return Times(None, None)
        ledger = await self._last(self._ledger, lambda place: place.first <= at.ledger)
        recorded = [place.recorded_ns, *([ledger.recorded_ns] if ledger else [])]
        return Times(int((await self._times_of(place))[at.tape - place.first]), max(recorded))

    async def _recorded_by(self, time_ns: int) -> tuple[int, int]:
        """The last sequences of OPS and GOVERNANCE that were recorded by then."""
        found = [
            await self._last(stream.subjects, lambda place: place.recorded_ns <= time_ns)
            for stream in (subjects.OPS, subjects.GOVERNANCE)
        ]
        ops, governance = (message.sequence if message else 0 for message in found)
        return ops, governance

    async def _last(self, subject: str, holds: Callable[[_Place], bool]) -> _Place | None:
        """The last message that something holds for, which holds for all before it. Binary search: the stream's
        sequences of one subject have gaps."""
        newest = self._ends.get(subject)
        if newest is None or holds(newest):
            stored = await self._log.last(subject)
            if stored is None:
                return None
            newest = self._ends[subject] = self._place(stored)
            if holds(newest):
                return newest
        low, high, found = 1, newest.sequence, None
        while low < high:
            middle = (low + high) // 2
            place = await self._at(subject, middle)
            if holds(place):
                low, found = place.sequence + 1, place
            else:
                high = middle
        return found

    async def _at(self, subject: str, sequence: int) -> _Place:
        """The first message at or behind a sequence."""
        if (place := self._places.get((subject, sequence))) is None:
            message = await self._log.get(subject, sequence)
            assert message is not None  # a search asks before the newest of this subject
            place = self._place(message)
        return _kept(self._places, (subject, sequence), place, PLACES_KEPT)

    async def _times_of(self, place: _Place) -> Nanos:
        """The market's times of the records at a place of the tape."""
        if (records_ns := self._records.get(place.sequence)) is None:
            message = await self._log.get(self._tape, place.sequence)
            assert message is not None  # it was found there
            records_ns = _records_ns(message)
        return _kept(self._records, place.sequence, records_ns, RECORDS_KEPT)

    def _place(self, message: Message) -> _Place:
        sequence, recorded_ns = message.sequence, message.recorded_at_ns
        if message.subject not in (self._tape, self._ledger):
            return _Place(sequence, sequence, sequence, recorded_ns)
        first, last = first_number(message), last_number(message)
        if message.subject == self._tape:
            records_ns = _kept(self._records, sequence, _records_ns(message), RECORDS_KEPT)
            return _Place(sequence, first, last, recorded_ns, first_ns=int(records_ns[0]))
        return _Place(sequence, first, last, recorded_ns, event=message.data.partition(b"\n")[0])


def _ahead(at: AsOf, stands: AsOf) -> bool:
    return any(said > there for said, there in zip(at, stands, strict=True))


def _kept(kept: "OrderedDict[Key, Kept]", key: Key, value: Kept, most: int) -> Kept:
    """The value, as the one that was asked for last."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
    return value


def _records_ns(message: Message) -> Nanos:
    """The market's times of the records in a message of the tape."""
    if message.headers.get(TOPIC, "").startswith(TICKS):
        return np.ascontiguousarray(decode(message.data)["receive_time"])  # without the megabyte around them
    return np.asarray([INSTRUCTION.validate_json(message.data).occurred_at_ns])
