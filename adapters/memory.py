"""The log in memory: the twin of JetStreamLog, under the same contract tests. Nothing of it outlives the process."""

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence

from adapters.append_rules import MAX_MESSAGE_BYTES, check_batch, check_single, conflict
from adapters.subjects import STREAMS, Stream, matches, stream_of
from domain.errors import InvalidInput
from domain.ports import Append, Message

PAGE_MESSAGES = 1000


class MemoryLog:
    """domain.ports.Log in this process and event loop."""

    def __init__(self, streams: Sequence[Stream] = STREAMS, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._streams = tuple(streams)
        self._max_bytes = max_message_bytes
        self._stored: dict[str, list[Message]] = defaultdict(list)
        self._heads: dict[str, int] = defaultdict(int)
        self._last: dict[str, int] = defaultdict(int)
        self._grown: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def append(self, message: Append) -> int:
        check_single(message, self._max_bytes)
        return self._store(stream_of(message.subject, self._streams), [message])

    async def append_batch(self, messages: Sequence[Append]) -> int:
        return self._store(check_batch(messages, self._streams, self._max_bytes), messages)

    def _store(self, stream: Stream, messages: Sequence[Append]) -> int:
        if any(m.expected is not None and self._last[m.subject] != m.expected for m in messages):
            raise conflict(*messages)
        for message in messages:
            self._heads[stream.name] += 1
            self._last[message.subject] = self._heads[stream.name]
            self._stored[stream.name].append(
                Message(
                    message.subject,
                    self._heads[stream.name],
                    time.time_ns(),
                    dict(message.headers),
                    bytes(message.data),
                )
            )
            self._forget_old(stream, message.subject)
        # Followers that wait hold this event; the next ones get a fresh one.
        self._grown.pop(stream.name, asyncio.Event()).set()
        return self._heads[stream.name]

    def _forget_old(self, stream: Stream, subject: str) -> None:
        if stream.keep_per_subject is not None:
            kept = [m for m in self._stored[stream.name] if m.subject == subject]
            if len(kept) > stream.keep_per_subject:
                self._stored[stream.name].remove(kept[0])

    def _after(self, stream: str, subject: str, after: int, limit: int) -> list[Message]:
        messages = self._stored[stream]
        found = []
        for index in range(bisect_right(messages, after, key=lambda m: m.sequence), len(messages)):
            if matches(subject, messages[index].subject):
                found.append(messages[index])
                if len(found) == limit:
                    break
        return found

    async def last(self, subject: str) -> Message | None:
        messages = self._stored[stream_of(subject, self._streams).name]
        return next((m for m in reversed(messages) if matches(subject, m.subject)), None)

    async def get(self, subject: str, sequence: int) -> Message | None:
        found = self._after(stream_of(subject, self._streams).name, subject, sequence - 1, 1)
        return found[0] if found else None

    async def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        stream = stream_of(subject, self._streams).name
        while page := self._after(stream, subject, after, PAGE_MESSAGES):
            wanted = page if until is None else [m for m in page if m.sequence <= until]
            if wanted:
                yield wanted
            if len(wanted) < len(page):
                return
            after = page[-1].sequence

    async def follow(self, subject: str, after: int = 0) -> AsyncGenerator[list[Message], None]:
        stream = stream_of(subject, self._streams).name
        while True:
            grown = self._grown[stream]
            page = self._after(stream, subject, after, PAGE_MESSAGES)
            if page:
                after = page[-1].sequence
                yield page
            else:
                await grown.wait()

    async def head(self, stream: str) -> int:
        if stream not in {s.name for s in self._streams}:
            raise InvalidInput(f"there is no stream {stream!r}; known: {', '.join(s.name for s in self._streams)}")
        return self._heads[stream]

    async def subjects(self, pattern: str) -> list[str]:
        messages = self._stored[stream_of(pattern, self._streams).name]
        return sorted({m.subject for m in messages if matches(pattern, m.subject)})
