"""Finding a moment: by the market's time, by the time of recording, or by a token; and saying when a moment was."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adapters import subjects
from adapters.numbered import first_number, last_number
from adapters.subjects import TOPIC
from adapters.tape_log import TICKS
from domain.errors import InvalidInput
from domain.instructions import INSTRUCTION
from domain.ports import Log, Message
from domain.tape import decode, utc
from ops.ledger_reader import LedgerReader
from projections.as_of import AsOf

PLACES_KEPT = 10_000


class Times(NamedTuple):
    """When a moment was: the market's time, and when the log recorded its newest fact. None before the first fact."""

    market_ns: int | None
    recorded_ns: int | None


class _Place(NamedTuple):
    """What a search asks of a stored message: its number or ordinal, and its times."""

    sequence: int
    first: int
    first_ns: int
    recorded_ns: int


class Moments:
    """The moments of one desk."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self._log = log
        self._places: OrderedDict[tuple[str, int], _Place] = OrderedDict()  # stored messages never change
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
        message = await self._log.get(self._tape, place.sequence) if place else None
        if message is None:
            first = await self._log.get(self._tape, 1)
            begins = f"begins at {utc(int(_records_ns(first)[0]))}" if first else "is empty"
            raise InvalidInput(f"market time {utc(time_ns)} is before the tape of desk {self.desk}: it {begins}")
        newest = await self._log.last(self._tape)
        if newest and time_ns > (end_ns := int(_records_ns(newest)[-1])):
            raise InvalidInput(
                f"market time {utc(time_ns)} is ahead of the tape of desk {self.desk}: it ends at {utc(end_ns)}; "
                "ask without a time for the newest moment"
            )
        ordinal = first_number(message) + int(np.searchsorted(_records_ns(message), time_ns, side="right")) - 1
        number = await LedgerReader(self._log, self.desk).before(lambda event: event.ordinal > ordinal)
        ops, governance = await self._recorded_by(message.recorded_at_ns)
        return AsOf(ordinal, number, ops, governance)

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
        ordinal, number = await self._last_number(self._tape, tape), await self._last_number(self._ledger, ledger)
        ops, governance = await self._recorded_by(time_ns)
        return AsOf(ordinal, number, ops, governance)

    async def _last_number(self, subject: str, place: _Place | None) -> int:
        message = await self._log.get(subject, place.sequence) if place else None
        return last_number(message) if message else 0

    async def times(self, at: AsOf) -> Times:
        """When a moment was. Raises InvalidInput for one that lies ahead of the log."""
        place = await self._last(self._tape, lambda place: place.first <= at.tape)
        message = await self._log.get(self._tape, place.sequence) if place else None
        newest = await self.newest()
        if any(said > stands for said, stands in zip(at, newest, strict=True)):
            raise InvalidInput(f"as_of {at.token(self.desk)!r} lies ahead of the log of desk {self.desk}")
        if message is None or not at.tape:
            return Times(None, None)
        ledger = await self._last(self._ledger, lambda place: place.first <= at.ledger)
        recorded = [message.recorded_at_ns, *([ledger.recorded_ns] if ledger and at.ledger else [])]
        return Times(int(_records_ns(message)[at.tape - first_number(message)]), max(recorded))

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
        low, stored = 1, await self._log.last(subject)
        newest = self._place(stored) if stored else None
        if newest is None or holds(newest):
            return newest
        high, found = newest.sequence, None
        while low < high:
            middle = (low + high) // 2
            place = await self._at(subject, middle)
            if holds(place):
                low, found = place.sequence + 1, place
            else:
                high = middle
        return found

    async def _at(self, subject: str, sequence: int) -> _Place:
        """The first message at or behind a sequence. Remembered: a block of the tape is a megabyte to fetch."""
        if (subject, sequence) in self._places:
            self._places.move_to_end((subject, sequence))
            return self._places[subject, sequence]
        message = await self._log.get(subject, sequence)
        assert message is not None  # a search asks before the newest of this subject
        place = self._places[subject, sequence] = self._place(message)
        if len(self._places) > PLACES_KEPT:
            self._places.popitem(last=False)
        return place

    def _place(self, message: Message) -> _Place:
        if message.subject == self._tape:
            first, first_ns = first_number(message), int(_records_ns(message)[0])
        else:
            first, first_ns = first_number(message) if message.subject == self._ledger else message.sequence, 0
        return _Place(message.sequence, first, first_ns, message.recorded_at_ns)


def _records_ns(message: Message) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The market's times of the records in a message of the tape."""
    if message.headers.get(TOPIC, "").startswith(TICKS):
        return np.asarray(decode(message.data)["receive_time"])
    return np.asarray([INSTRUCTION.validate_json(message.data).occurred_at_ns])
