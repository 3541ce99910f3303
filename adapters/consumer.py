"""Following a stream: read up to its end, then a disposable push consumer, again and again from our own position."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from adapters import subjects
from adapters.connection import Connection, Lost
from adapters.reader import own_headers
from domain.ports import Message

HEARTBEAT_S = 0.5
SILENCE_S = 1.6  # three heartbeats missed: the consumer is gone
INACTIVE_S = 5

Read = Callable[[int], AsyncGenerator[list[Message], None]]
SECOND = 1_000_000_000


class Consumer:
    """An ephemeral push consumer that notices every gap by its own sequence."""

    def __init__(self, connection: Connection, stream: str, subject: str) -> None:
        self._connection, self._stream, self._subject = connection, stream, subject
        self._name = ""
        self._subscription: Subscription | None = None
        self._arrived: list[Msg] = []
        self._wake = asyncio.Event()
        self._lost = False
        self._delivered = 0

    async def open(self, start: int) -> None:
        """Subscribe from a stream sequence on. Raises Lost or Refused."""
        self._connection.on_loss(self._on_loss)
        inbox = self._connection.client.new_inbox()
        self._name = subjects.follower(inbox.rpartition(".")[2])
        try:
            self._subscription = await self._connection.client.subscribe(
                inbox, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except NatsError as error:
            raise Lost(str(error)) from None
        config: dict[str, Any] = {
            "name": self._name,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * SECOND),
            "inactive_threshold": INACTIVE_S * SECOND,
        }
        await self._connection.api(
            f"CONSUMER.CREATE.{self._stream}.{self._name}.{self._subject}",
            {"stream_name": self._stream, "config": config, "action": "create"},
        )

    async def take(self) -> list[Message]:
        """What has arrived since the last call (at least one message). Raises Lost on silence, loss or a gap."""
        while True:
            while not self._arrived:
                if self._lost:
                    raise Lost("the connection was lost")
                self._wake.clear()
                try:
                    async with asyncio.timeout(SILENCE_S):
                        await self._wake.wait()
                except TimeoutError:
                    raise Lost(f"consumer {self._name} is silent") from None
            arrived, self._arrived = self._arrived, []
            page = [m for m in [await self._receive(message) for message in arrived] if m is not None]
            if page:
                return page

    async def _receive(self, message: Msg) -> Message | None:
        headers = message.headers or {}
        if not message.reply.startswith("$JS.ACK."):
            # Answered only here, when what came before is used: this is the server's leave to send more.
            stalled = message.reply or headers.get("Nats-Consumer-Stalled", "")
            if stalled:
                await self._connection.publish(stalled, b"")
            elif int(headers.get("Nats-Last-Consumer", self._delivered)) != self._delivered:
                raise Lost(f"consumer {self._name} delivered messages that did not arrive")
            return None
        fields = message.reply.split(".")
        sequence, delivered, time_ns = fields[5:8] if len(fields) == 9 else fields[7:10]
        self._delivered += 1
        if int(delivered) != self._delivered:
            raise Lost(f"consumer {self._name} left out a message")
        return Message(message.subject, int(sequence), int(time_ns), own_headers(headers), message.data)

    async def _on_message(self, message: Msg) -> None:
        self._arrived.append(message)
        self._wake.set()

    def _on_loss(self) -> None:
        self._lost = True
        self._wake.set()

    async def close(self) -> None:
        """Remove the consumer without waiting for an answer."""
        self._connection.off_loss(self._on_loss)
        with contextlib.suppress(NatsError, Lost):
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            if self._name and not self._lost:
                reply = self._connection.unheard()
                await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}", b"", reply)


async def open_consumer(connection: Connection, stream: str, subject: str, start: int) -> Consumer:
    """A consumer of a subject from a stream sequence on. Raises Lost or Refused."""
    consumer = Consumer(connection, stream, subject)
    try:
        await consumer.open(start)
    except BaseException:
        await consumer.close()
        raise
    return consumer


async def follow(
    connection: Connection, stream: str, subject: str, after: int, read: Read
) -> AsyncGenerator[list[Message], None]:
    """The pages of `Log.follow`; `read` gives the stored messages after a position."""
    position = after
    while True:
        async with contextlib.aclosing(read(position)) as stored:
            async for page in stored:
                position = page[-1].sequence
                yield page
        opening = partial(open_consumer, connection, stream, subject, position + 1)
        consumer = await connection.retry(f"following {subject}", opening)
        try:
            while True:
                page = await consumer.take()
                position = page[-1].sequence
                yield page
        except Lost:
            continue  # at once, from our own position
        finally:
            await consumer.close()
