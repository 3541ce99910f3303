"""Logs for tests: both kinds, and wrappers that fail, wait, or come back changed."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.jetstream import JetStreamLog, connect, provision
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.permissions import DESK
from adapters.subjects import STREAMS
from domain.errors import Unavailable
from domain.ports import Append, Log, Message

KINDS = ["memory", "jetstream"]


@asynccontextmanager
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    """The log that a fixture parametrised with KINDS asks for; of the server that all tests share, so use new names."""
    if request.param == "memory":
        yield MemoryLog()
    else:
        async with jetstream(request.getfixturevalue("nats_server")) as log:
            yield log


@asynccontextmanager
async def jetstream(server: NatsServer, user: str = DESK) -> AsyncIterator[JetStreamLog]:
    """The desk's streams on a running server."""
    async with await connect(server.url_of(user)) as connection:
        await provision(connection)
        yield JetStreamLog(connection)


def new_name() -> str:
    """A tape or desk that no other test knows."""
    return f"t{uuid.uuid4().hex[:12]}"


class Wrapped:
    """A log that passes everything on."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


class Failing(Wrapped):
    """Takes `appends` messages and fails at the next; with `stores` that one is stored, only its ack is lost."""

    def __init__(self, log: Log, appends: int, *, stores: bool = False) -> None:
        super().__init__(log)
        self.left, self.stores = appends, stores

    async def append(self, message: Append) -> int:
        if self.left == 0:
            if self.stores:
                await self.log.append(message)
            raise Unavailable("the test cut the line")
        self.left -= 1
        return await self.log.append(message)


class Gated(Wrapped):
    """Every append waits until the gate is open; `arrived` says that one waits."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.gate, self.arrived = asyncio.Event(), asyncio.Event()

    async def append(self, message: Append) -> int:
        self.arrived.set()
        await self.gate.wait()
        return await self.log.append(message)


Edit = Callable[[list[Message]], list[Message]]


async def stored(log: Log, subject: str) -> list[Message]:
    """All messages of a subject."""
    return [message async for page in log.read(subject) for message in page]


async def copied(log: Log, *subjects: str, edit: Edit = lambda messages: messages) -> MemoryLog:
    """A copy of these subjects after `edit`: the way to change what a log never changes."""
    copy = MemoryLog(STREAMS)
    for subject in subjects:
        sequence = 0
        for message in edit(await stored(log, subject)):
            sequence = await copy.append(Append(subject, message.data, message.headers, sequence))
    return copy
