"""OPS events onto the log: whoever reports one never waits and never fails. While the log is away they queue here."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters import subjects
from adapters.subjects import TOPIC
from domain.errors import Conflict, Unavailable
from domain.operations import OpsEvent, OpsEventsDropped
from domain.ports import Append, Log

log = logging.getLogger("cdb.ops")

OPS = "ops"
CAPACITY = 1000  # events that wait; a desk in trouble makes a few a second
RETRY_PAUSE_S = 1.0  # beyond the log's own retry budget
CLOSING_S = 2.0


class OpsLog:
    """Writes every event to `ops.<its service>`, a message each. Use `async with OpsLog.open(log) as ops`."""

    def __init__(self, store: Log, capacity: int) -> None:
        self.dropped = 0  # events that were lost, in all
        self._log, self._capacity = store, capacity
        self._waiting: deque[OpsEvent] = deque()
        self._held = 0  # 1 while the writer has taken an event out of the line
        self._lost: Counter[str] = Counter()  # by service, not yet told on its subject
        self._ends: dict[str, int] = {}  # the last sequence of each subject
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, store: Log, *, capacity: int = CAPACITY, pause_s: float = RETRY_PAUSE_S, closing_s: float = CLOSING_S
    ) -> "AsyncIterator[OpsLog]":
        """Write until the block is left; what waits then is still written if that takes no longer than `closing_s`."""
        ops = cls(store, capacity)
        writing = asyncio.create_task(ops._write(pause_s), name="ops events")
        try:
            yield ops
        finally:
            try:
                async with asyncio.timeout(closing_s):
                    await ops.written()
            except TimeoutError:
                log.warning("%d events of OPS could not be written before the end: the log is away", ops.pending)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    @property
    def pending(self) -> int:
        """Events that are not yet durable, the one that is being written among them."""
        return len(self._waiting) + self._held

    def record(self, event: OpsEvent) -> None:
        """Put an event in line. If the line is full, its oldest event is dropped and counted."""
        self._waiting.append(event)
        if len(self._waiting) > self._capacity:
            self._drop(self._waiting.popleft())
        self._idle.clear()
        self._wake.set()

    async def written(self) -> None:
        """Wait until nothing waits."""
        await self._idle.wait()

    def _drop(self, event: OpsEvent) -> None:
        self.dropped += 1
        self._lost[event.service] += 1

    async def _write(self, pause_s: float) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                event, self._held = self._waiting.popleft(), 1
                if count := self._lost.pop(event.service, 0):
                    gap = OpsEventsDropped(service=event.service, occurred_at_ns=event.occurred_at_ns, count=count)
                    await self._store(gap, pause_s)
                await self._store(event, pause_s)
                self._held = 0
            self._idle.set()

    async def _store(self, event: OpsEvent, pause_s: float) -> None:
        """Try until the event stands there; what no attempt could store is dropped."""
        data = event.model_dump_json().encode()
        while True:
            try:
                return await self._append(subjects.ops(event.service), data)
            except (Unavailable, Conflict):
                await asyncio.sleep(pause_s)
            except Exception:
                log.exception("an event of OPS cannot be stored, it is dropped: %s", event)
                return self._drop(event)

    async def _append(self, subject: str, data: bytes) -> None:
        """Store behind the subject's end. Raises Conflict, and forgets that end, when another writer was first."""
        if subject not in self._ends:
            last = await self._log.last(subject)
            self._ends[subject] = last.sequence if last else 0
        end = self._ends[subject]
        try:
            self._ends[subject] = await self._log.append(Append(subject, data, {TOPIC: OPS}, end))
        except Conflict:
            stands = await self._stands(subject, data, end)
            del self._ends[subject]
            if not stands:
                raise

    async def _stands(self, subject: str, data: bytes, after: int) -> bool:
        """Whether these bytes stand behind a sequence: an earlier attempt stored them, and its answer was lost."""
        return any([message.data == data async for page in self._log.read(subject, after) for message in page])
