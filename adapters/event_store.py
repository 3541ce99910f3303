"""Events of aggregates over any log, in the eventsourcing library's words: StoredEvent and Notification.

One message holds the events that one decision gave one aggregate, on the subject `<prefix>.<aggregate id>`:

| header      | holds |
|-------------|-------|
| Topic       | the events' topics, separated by commas |
| First       | the version of the first event |
| Count       | how many events |
| Sizes       | if more than one: the lengths of their states, which are the payload one behind the other |
| Nats-Msg-Id | `<subject>:<first version>` |
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent

from adapters import subjects
from adapters.subjects import COUNT, FIRST, MESSAGE_ID, SIZES, TOPIC
from domain.errors import Conflict
from domain.ports import Append, Log, Message


class End(NamedTuple):
    """Where an aggregate ended when last seen: its version, and the stream sequence that holds it."""

    version: int
    sequence: int


class EventStore:
    """All aggregates under one prefix. `versions_may_skip` is for snapshots, which only ever rise."""

    def __init__(self, log: Log, prefix: str, *, versions_may_skip: bool = False, remember: int = 10_000) -> None:
        self.log, self.prefix = log, prefix
        self._every = f"{prefix}.>"
        self._versions_may_skip = versions_may_skip
        self._remember = remember
        self._ends: OrderedDict[str, End] = OrderedDict()

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """Store one decision, all or nothing, one message an aggregate. Returns its position: the last sequence.

        Raises IntegrityError when an aggregate is not at the version before its first new event.
        """
        by_aggregate: dict[str, list[StoredEvent]] = {}
        for event in events:
            by_aggregate.setdefault(str(event.originator_id), []).append(event)
        sequences = await self._store(list(by_aggregate.values()), [])
        return sequences[-1] if sequences else 0

    async def append_each(self, events: Sequence[StoredEvent], beside: Sequence[Append] = ()) -> list[int]:
        """As append, but one message an event, so that every event has a position of its own; `beside` is stored in
        the same batch before them."""
        return await self._store([[event] for event in events], beside)

    async def _store(self, parts: Sequence[list[StoredEvent]], beside: Sequence[Append]) -> list[int]:
        messages = list(beside)
        ahead: dict[str, int] = {}  # versions that this very batch brings aggregates to
        for part in parts:
            aggregate_id, first = str(part[0].originator_id), part[0].originator_version
            versions = [event.originator_version for event in part]
            if aggregate_id in ahead:
                versions.insert(0, ahead[aggregate_id])
            for version, next_version in pairwise(versions):
                if not self._follows(version, next_version):
                    raise IntegrityError(f"{aggregate_id}: version {next_version} cannot follow version {version}")
            expected = None if aggregate_id in ahead else await self._expected(aggregate_id, first)
            messages.append(encode(subjects.aggregate(self.prefix, aggregate_id), part, expected))
            ahead[aggregate_id] = part[-1].originator_version
        if not messages:
            return []
        try:
            last = await self.log.append_batch(messages)
        except Conflict as conflict:
            for part in parts:  # what another wrote may bear the version that we know
                self._ends.pop(str(part[0].originator_id), None)
            raise IntegrityError(str(conflict)) from conflict
        sequences = list(range(last - len(parts) + 1, last + 1))
        for part, sequence in zip(parts, sequences, strict=True):
            self._note(str(part[-1].originator_id), End(part[-1].originator_version, sequence))
        return sequences

    def _follows(self, version: int, next_version: int) -> bool:
        return next_version > version if self._versions_may_skip else next_version == version + 1

    async def _expected(self, aggregate_id: str, first: int) -> int:
        """The sequence that new events from version `first` on must stand on."""
        end = self._ends.get(aggregate_id)
        if end is None or not self._follows(end.version, first):
            last = await self.log.last(subjects.aggregate(self.prefix, aggregate_id))
            if last is None:
                if first > 1 and not self._versions_may_skip:
                    raise IntegrityError(
                        f"{aggregate_id} does not exist, so its events cannot begin at version {first}"
                    )
                return 0
            end = End(decode(self.prefix, last)[-1].originator_version, last.sequence)
            if not self._follows(end.version, first):
                raise IntegrityError(
                    f"{aggregate_id} is at version {end.version}, the new events begin at {first}; "
                    "reload and decide again"
                )
        return end.sequence

    def _note(self, aggregate_id: str, end: End) -> None:
        self._ends[aggregate_id] = end
        self._ends.move_to_end(aggregate_id)
        if len(self._ends) > self._remember:
            self._ends.popitem(last=False)

    async def load(
        self, aggregate_id: str, *, after_version: int | None = None, until_version: int | None = None
    ) -> list[StoredEvent]:
        """An aggregate's events with after_version < version <= until_version, oldest first."""
        known = self._ends.get(aggregate_id)
        # What is newer than the end we know lies behind it: a cached aggregate catches up without reading its past.
        after = known.sequence if known is not None and known.version == after_version else 0
        found: list[StoredEvent] = []
        async for page in self.log.read(subjects.aggregate(self.prefix, aggregate_id), after):
            for message in page:
                events = decode(self.prefix, message)
                self._note(aggregate_id, End(events[-1].originator_version, message.sequence))
                found += [stored_event(event) for event in events]
        return [
            event
            for event in found
            if (after_version is None or event.originator_version > after_version)
            and (until_version is None or event.originator_version <= until_version)
        ]

    async def last(self, aggregate_id: str) -> StoredEvent | None:
        """The newest event of an aggregate."""
        message = await self.log.last(subjects.aggregate(self.prefix, aggregate_id))
        return None if message is None else stored_event(decode(self.prefix, message)[-1])

    async def position(self) -> int:
        """The sequence of the newest event of all aggregates, 0 when there is none."""
        message = await self.log.last(self._every)
        return 0 if message is None else message.sequence

    async def read(self, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Notification], None]:
        """Pages of all events with after < id (<= until). The id is the message's sequence: events of one decision
        on one aggregate share it and are never in different pages."""
        async for page in self.log.read(self._every, after, until):
            yield [event for message in page for event in decode(self.prefix, message)]

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Notification], None]:
        """As read, then for ever."""
        async for page in self.log.follow(self._every, after):
            yield [event for message in page for event in decode(self.prefix, message)]


def encode(subject: str, events: Sequence[StoredEvent], expected: int | None) -> Append:
    """One message of consecutive events of one aggregate."""
    headers = {
        TOPIC: ",".join(event.topic for event in events),
        FIRST: str(events[0].originator_version),
        COUNT: str(len(events)),
        MESSAGE_ID: f"{subject}:{events[0].originator_version}",
    }
    if len(events) > 1:
        headers[SIZES] = ",".join(str(len(event.state)) for event in events)
    return Append(subject, b"".join(event.state for event in events), headers, expected)


def decode(prefix: str, message: Message) -> list[Notification]:
    """The events of one message; each has the message's sequence as its id."""
    aggregate_id = message.subject.removeprefix(f"{prefix}.")
    first = int(message.headers[FIRST])
    return [
        Notification(aggregate_id, first + index, topic, state, message.sequence)
        for index, (topic, state) in enumerate(zip(message.headers[TOPIC].split(","), _states(message), strict=True))
    ]


def _states(message: Message) -> Iterator[bytes]:
    sizes = message.headers.get(SIZES)
    if sizes is None:
        yield message.data
        return
    start = 0
    for size in map(int, sizes.split(",")):
        yield message.data[start : start + size]
        start += size


def stored_event(event: Notification) -> StoredEvent:
    """The event without its position."""
    return StoredEvent(event.originator_id, event.originator_version, event.topic, event.state)
