"""The log on NATS JetStream."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial

from nats.aio.msg import Msg

from adapters.append_rules import check_batch, check_single, conflict
from adapters.connection import Connection, Lost, Refused, connect, unwrap
from adapters.consumer import follow
from adapters.provision import provision, require_durable
from adapters.reader import BATCHES_IN_FLIGHT, Reader, stored
from adapters.subjects import STREAMS, Stream, stream_of
from domain.errors import Conflict
from domain.ports import Append, Message

__all__ = ["Connection", "JetStreamLog", "connect", "provision", "require_durable"]

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
WRONG_LAST_SEQUENCE = (10071, 10164)
DUPLICATE_IN_BATCH = 10201


class JetStreamLog:
    """domain.ports.Log over one connection."""

    def __init__(self, connection: Connection, streams: Sequence[Stream] = STREAMS) -> None:
        self.connection = connection
        self._streams = tuple(streams)
        self._permits = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    def _stream(self, subject: str) -> str:
        return stream_of(subject, self._streams).name

    async def append(self, message: Append) -> int:
        check_single(message, self.connection.client.max_payload)
        stream = self._stream(message.subject)
        headers = {**message.headers, EXPECTED: str(message.expected)}
        outcome_known = True

        async def attempt() -> int:
            nonlocal outcome_known
            try:
                ack = unwrap(await self.connection.ask(message.subject, message.data, headers), message.subject)
            except Lost:
                outcome_known = False
                raise
            except Refused as refused:
                if refused.err_code not in WRONG_LAST_SEQUENCE:
                    raise
                if not outcome_known and (sequence := await self._stands(message)):
                    return sequence
                raise conflict(message) from None
            if ack.get("duplicate"):
                raise Conflict(f"{message.subject}: its message id already stands at sequence {ack['seq']} of {stream}")
            return int(ack["seq"])

        return await self.connection.retry(f"appending to {message.subject}", attempt)

    async def append_batch(self, messages: Sequence[Append]) -> int:
        stream = check_batch(messages, self._streams, self.connection.client.max_payload)
        if len(messages) == 1:
            return await self.append(messages[0])
        outcome_known = True

        async def attempt() -> int:
            nonlocal outcome_known
            try:
                return await self._publish_batch(messages)
            except Lost:
                outcome_known = False
                raise
            except Refused as refused:
                if refused.err_code not in (*WRONG_LAST_SEQUENCE, DUPLICATE_IN_BATCH):
                    raise
                # A batch is stored whole and in one piece, so its first message tells of all.
                if not outcome_known and (first := await self._stands(messages[0])):
                    return first + len(messages) - 1
                raise conflict(*messages) from None

        return await self.connection.retry(f"appending a batch to {stream.name}", attempt)

    async def _publish_batch(self, messages: Sequence[Append]) -> int:
        batch = uuid.uuid4().hex
        for number, message in enumerate(messages, start=1):
            headers = {**message.headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if message.expected is not None:
                headers[EXPECTED] = str(message.expected)
            if number == len(messages):
                headers["Nats-Batch-Commit"] = "1"
                answer = await self.connection.ask(message.subject, message.data, headers)
                return int(unwrap(answer, f"a batch on {message.subject}")["seq"])
            await self.connection.publish(message.subject, message.data, headers=headers)
        raise AssertionError("check_batch refuses an empty batch")

    async def _stands(self, message: Append) -> int | None:
        """The sequence of this very message on top of what it expected, if an unacknowledged attempt stored it."""
        request = {"seq": (message.expected or 0) + 1, "next_by_subj": message.subject}
        answer = await self._direct_get(message.subject, request)
        if answer is None or (answer.headers or {}).get(EXPECTED) != str(message.expected):
            return None
        found = stored(answer)
        same = found.data == message.data and found.headers == message.headers
        return found.sequence if same else None

    async def last(self, subject: str) -> Message | None:
        answer = await self.connection.retry(
            f"reading the end of {subject}", lambda: self._direct_get(subject, {"last_by_subj": subject})
        )
        return None if answer is None else stored(answer)

    async def get(self, subject: str, sequence: int) -> Message | None:
        answer = await self.connection.retry(
            f"reading {subject}", lambda: self._direct_get(subject, {"seq": max(1, sequence), "next_by_subj": subject})
        )
        return None if answer is None else stored(answer)

    async def _direct_get(self, subject: str, request: Mapping[str, object]) -> Msg | None:
        answer = await self.connection.ask(f"$JS.API.DIRECT.GET.{self._stream(subject)}", json.dumps(request).encode())
        if answer.headers and "Nats-Sequence" in answer.headers:
            return answer
        status = (answer.headers or {}).get("Status")
        if status != "404":
            raise Lost(f"direct get of {subject} answered {status}")
        return None

    def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        return Reader(self.connection, self._permits, self._stream(subject), subject, after).pages(until)

    def follow(self, subject: str, after: int = 0) -> AsyncGenerator[list[Message], None]:
        return follow(self.connection, self._stream(subject), subject, after, partial(self.read, subject))

    async def head(self, stream: str) -> int:
        info = await self.connection.retry(
            f"reading the end of {stream}", lambda: self.connection.api(f"STREAM.INFO.{stream}")
        )
        return int(info["state"]["last_seq"])

    async def subjects(self, pattern: str) -> list[str]:
        found: list[str] = []
        request = f"STREAM.INFO.{self._stream(pattern)}"
        while True:  # the server answers with at most 100,000 at a time
            ask = partial(self.connection.api, request, {"subjects_filter": pattern, "offset": len(found)})
            page = (await self.connection.retry(f"listing {pattern}", ask))["state"].get("subjects") or {}
            if not page:
                return sorted(found)
            found += page
