"""Reading a stream by direct-get batches, the next one on its way while the last one is used."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from functools import lru_cache

from nats.aio.msg import Msg

from adapters.connection import ATTEMPT_TIMEOUT_S, Connection, Lost
from domain.ports import Message

# The server drops a client that has more than 64 MiB waiting for it: all batches of a connection together stay below.
BATCHES_IN_FLIGHT = 4
BATCH_BYTES = 4 << 20  # what a batch asks for, judged by the messages before it
BATCH_BYTES_MAX = 12 << 20  # where the server cuts it when the messages turn out bigger
BATCH_MESSAGES = 1000
FIRST_MESSAGES, FIRST_BYTES = 250, 4 << 20

NOT_OURS = frozenset(
    "Nats-Stream Nats-Subject Nats-Sequence Nats-Time-Stamp Nats-Num-Pending Nats-Last-Sequence "
    "Nats-Expected-Last-Subject-Sequence Nats-Batch-Id Nats-Batch-Sequence Nats-Batch-Commit".split()
)


@lru_cache(maxsize=64)
def _second_ns(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * 1_000_000_000


def timestamp_ns(text: str) -> int:
    """Nanoseconds of the server's RFC 3339 time: `2026-01-02T03:04:05.678Z`."""
    second, _, fraction = text.rstrip("Z").partition(".")
    return _second_ns(second) + int(fraction.ljust(9, "0") if fraction else 0)


def own_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers that the writer gave, without the server's and the transport's."""
    return {name: value for name, value in (headers or {}).items() if name not in NOT_OURS}


def stored(message: Msg) -> Message:
    """The message in a direct-get answer."""
    headers = message.headers or {}
    return Message(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        timestamp_ns(headers["Nats-Time-Stamp"]),
        own_headers(headers),
        message.data,
    )


class Batch:
    """One direct-get request and what has arrived of it. `ended` resolves to whether it came whole."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.size = start, size
        self.messages: list[Message] = []
        self.bytes = 0
        self.pending = 0  # messages behind this batch
        self.wanted = True
        self.reply = ""
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def stop(self) -> int:
        """Where the next batch may start: a whole batch covers at least `size` sequences, so there is never a gap."""
        return self.start + self.size

    @property
    def contiguous(self) -> bool:
        return bool(self.messages) and self.messages[-1].sequence == self.start + len(self.messages) - 1

    def take(self, message: Msg | None) -> None:
        if self.ended.done():
            return
        headers = (message.headers or {}) if message is not None else {}
        if message is not None and "Nats-Sequence" in headers:
            if self.wanted:
                self.messages.append(stored(message))
                self.bytes += len(message.data)
        else:
            self.pending = int(headers.get("Nats-Num-Pending", 0))
            self.ended.set_result(headers.get("Status") in ("204", "404"))


class Reader:
    """One reading of a subject. Batches of all readers of a connection share `permits`."""

    def __init__(
        self, connection: Connection, permits: asyncio.Semaphore, stream: str, subject: str, after: int
    ) -> None:
        self._connection, self._permits = connection, permits
        self._api = f"$JS.API.DIRECT.GET.{stream}"
        self._subject = subject
        self._position = after
        self._size, self._bytes = FIRST_MESSAGES, FIRST_BYTES
        self._window: deque[Batch] = deque()
        self._contiguous = False
        self._remaining = 0

    async def pages(self, until: int | None) -> AsyncGenerator[list[Message], None]:
        """The pages of `Log.read`: one batch, one page."""
        try:
            while until is None or self._position < until:
                batch = await self._connection.retry(f"reading {self._subject}", self._next)
                page = batch.messages
                if page and (page[0].sequence <= self._position or (until is not None and page[-1].sequence > until)):
                    page = [m for m in page if self._position < m.sequence <= (until or m.sequence)]
                self._learn(batch)
                if page:
                    yield page
                if not batch.pending:
                    return
        finally:
            self._abandon()

    async def _next(self) -> Batch:
        if not self._window:
            await self._permits.acquire()
            await self._request(self._position + 1)
        ahead = self._window[-1]
        if self._contiguous and self._remaining > ahead.size and len(self._window) < 2 and not self._permits.locked():
            await self._permits.acquire()
            await self._request(ahead.stop)
        if not await self._whole(self._window[0]):
            self._abandon()
            raise Lost(f"a batch of {self._subject} broke off")
        return self._window.popleft()

    def _learn(self, batch: Batch) -> None:
        """Size the batches to come by this one, and drop a prefetched one that begins behind a gap."""
        self._contiguous, self._remaining = batch.contiguous, batch.pending
        if batch.messages:
            self._position = max(self._position, batch.messages[-1].sequence)
            mean_bytes = max(1, batch.bytes // len(batch.messages))
            self._size, self._bytes = min(BATCH_MESSAGES, max(1, BATCH_BYTES // mean_bytes)), BATCH_BYTES_MAX
        if self._window and self._window[0].start > self._position + 1:
            self._abandon()

    async def _request(self, start: int) -> None:
        batch = Batch(start, self._size)
        batch.reply = self._connection.expect(batch.take)
        batch.ended.add_done_callback(lambda _: self._release(batch))
        self._window.append(batch)
        request = {"batch": batch.size, "max_bytes": self._bytes, "seq": start, "next_by_subj": self._subject}
        try:
            await self._connection.publish(self._api, json.dumps(request).encode(), batch.reply)
        except BaseException:
            batch.take(None)
            raise

    async def _whole(self, batch: Batch) -> bool:
        arrived = -1
        while not batch.ended.done():
            if arrived == len(batch.messages):
                batch.take(None)
                break
            arrived = len(batch.messages)
            await asyncio.wait([batch.ended], timeout=ATTEMPT_TIMEOUT_S)
        return batch.ended.result()

    def _release(self, batch: Batch) -> None:
        self._connection.forget(batch.reply)
        self._permits.release()

    def _abandon(self) -> None:
        # An abandoned batch keeps its permit until its end: the server sends it all the same.
        for batch in self._window:
            batch.wanted = False
            batch.messages = []
            batch.ended.get_loop().call_later(6 * ATTEMPT_TIMEOUT_S, batch.take, None)
        self._window.clear()
