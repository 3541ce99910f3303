"""Finding a moment: by the market's time, by the time of recording, or by a token; and saying when a moment was."""

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


class Times(NamedTuple):
    """When a moment was: the market's time, and when the log recorded its newest fact. None before the first fact."""

    market_ns: int | None
    recorded_ns: int | None


class Moments:
    """The moments of one desk."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self._log = log
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
        recorded. Raises InvalidInput for a time before the tape's first record."""
        message = await self._last(self._tape, lambda message: _records_ns(message)[0] <= time_ns)
        if message is None:
            first = await self._log.get(self._tape, 1)
            begins = f"begins at {utc(int(_records_ns(first)[0]))}" if first else "is empty"
            raise InvalidInput(f"market time {utc(time_ns)} is before the tape of desk {self.desk}: it {begins}")
        ordinal = first_number(message) + int(np.searchsorted(_records_ns(message), time_ns, side="right")) - 1
        number = await LedgerReader(self._log, self.desk).before(lambda event: event.ordinal > ordinal)
        ops, governance = await self._recorded_by(message.recorded_at_ns)
        return AsOf(ordinal, number, ops, governance)

    async def at_recorded_time(self, time_ns: int) -> AsOf:
        """Everything that the log had recorded at a time. Raises InvalidInput for a time before its first record."""
        tape = await self._last(self._tape, lambda message: message.recorded_at_ns <= time_ns)
        ledger = await self._last(self._ledger, lambda message: message.recorded_at_ns <= time_ns)
        if tape is None:
            first = await self._log.get(self._tape, 1)
            begins = f"was first written at {utc(first.recorded_at_ns)}" if first else "is empty"
            raise InvalidInput(f"recorded time {utc(time_ns)} is before the tape of desk {self.desk}: it {begins}")
        ops, governance = await self._recorded_by(time_ns)
        return AsOf(last_number(tape), last_number(ledger) if ledger else 0, ops, governance)

    async def times(self, at: AsOf) -> Times:
        """When a moment was. Raises InvalidInput for one that lies ahead of the log."""
        message = await self._last(self._tape, lambda message: first_number(message) <= at.tape)
        newest = await self.newest()
        if any(said > stands for said, stands in zip(at, newest, strict=True)):
            raise InvalidInput(f"as_of {at.token(self.desk)!r} lies ahead of the log of desk {self.desk}")
        if message is None or not at.tape:
            return Times(None, None)
        ledger = await self._last(self._ledger, lambda message: first_number(message) <= at.ledger)
        recorded = [message.recorded_at_ns, *([ledger.recorded_at_ns] if ledger and at.ledger else [])]
        return Times(int(_records_ns(message)[at.tape - first_number(message)]), max(recorded))

    async def _recorded_by(self, time_ns: int) -> tuple[int, int]:
        """The last sequences of OPS and GOVERNANCE that were recorded by then."""
        found = [
            await self._last(stream.subjects, lambda message: message.recorded_at_ns <= time_ns)
            for stream in (subjects.OPS, subjects.GOVERNANCE)
        ]
        ops, governance = (message.sequence if message else 0 for message in found)
        return ops, governance

    async def _last(self, subject: str, holds: Callable[[Message], bool]) -> Message | None:
        """The last message that something holds for, which holds for all before it. Binary search: the stream's
        sequences of one subject have gaps."""
        low, newest = 1, await self._log.last(subject)
        if newest is None or holds(newest):
            return newest
        high, found = newest.sequence, None
        while low < high:
            middle = (low + high) // 2
            message = await self._log.get(subject, middle)
            assert message is not None  # high is a message of this subject
            if holds(message):
                low, found = message.sequence + 1, message
            else:
                high = middle
        return found


def _records_ns(message: Message) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The market's times of the records in a message of the tape."""
    if message.headers.get(TOPIC, "").startswith(TICKS):
        return np.asarray(decode(message.data)["receive_time"])
    return np.asarray([INSTRUCTION.validate_json(message.data).occurred_at_ns])
