"""Both logs, each with streams that no other test knows."""

import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from adapters.breaker import Breaker, GuardedLog
from adapters.jetstream import JetStreamLog, connect, provision
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.subjects import Stream
from domain.ports import Log


class Bench(NamedTuple):
    """A log under test and the first tokens of its three streams."""

    log: Log
    plain: str
    atomic: str
    short: str


@pytest.fixture(params=["memory", "jetstream", "guarded"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    name = uuid.uuid4().hex[:12]
    streams = (
        Stream(f"P{name}", f"p{name}.>"),
        Stream(f"A{name}", f"a{name}.>", atomic=True),
        Stream(f"S{name}", f"s{name}.*", keep_per_subject=2),
    )
    roots = [stream.root for stream in streams]
    if request.param == "memory":
        yield Bench(MemoryLog(streams), *roots)
        return
    server: NatsServer = request.getfixturevalue("nats_server")
    async with await connect(server.url) as connection:
        await provision(connection, streams)
        log = JetStreamLog(connection, streams)
        yield Bench(GuardedLog(log, Breaker("nats")) if request.param == "guarded" else log, *roots)
        for stream in streams:
            await connection.api(f"STREAM.DELETE.{stream.name}")
