"""The only place that builds objects: settings in, a log that is proven durable out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from adapters.connection import Connection, connect
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog
from adapters.provision import provision, require_durable
from domain.errors import Unavailable
from domain.operations import Recovery, Severity
from ops.recovery import RecoveryTable
from ops.settings import Settings

log = logging.getLogger("cdb.composition")

REVIVE_EVERY_S = 0.2


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[JetStreamLog]:
    """The log of CDB_NATS_URL, or of the embedded server of the data directory (started here, or attached to)."""
    async with AsyncExitStack() as stack:
        servers = None if settings.nats_url else EmbeddedServers(settings.data_dir)
        if servers:
            stack.push_async_callback(asyncio.to_thread, servers.close)
            await _start(servers)
        url = servers.nats_url if servers else str(settings.nats_url)
        monitor_url = servers.nats_monitor_url if servers else settings.nats_monitor_url
        connection = await stack.enter_async_context(await connect(url, budget_s=settings.retry_budget_seconds))
        if servers:
            connection.revive = partial(_start, servers)
            await stack.enter_async_context(_kept_alive(connection, settings))
        await require_durable(connection, monitor_url, allow_memory=settings.allow_memory_only)
        await provision(connection)
        yield JetStreamLog(connection)


@asynccontextmanager
async def open_running(settings: Settings, budget_s: float) -> AsyncIterator[JetStreamLog]:
    """The log by a server that runs already, as quickly as can be: nothing is started, proven or provided, because a
    desk that runs has done so. Raises Unavailable."""
    url = settings.nats_url or EmbeddedServers(settings.data_dir).running_nats()
    async with await connect(url, budget_s=budget_s) as connection:
        yield JetStreamLog(connection)


async def _start(servers: EmbeddedServers) -> None:
    starting = asyncio.ensure_future(asyncio.to_thread(servers.nats))
    try:
        await asyncio.shield(starting)
    finally:
        await asyncio.wait([starting])  # Ctrl-C stops no thread: a start comes to its end, and is closed then


@asynccontextmanager
async def _kept_alive(connection: Connection, settings: Settings) -> AsyncIterator[None]:
    """A lost embedded server is started again at once, unless the recovery table has another way: whatever waits for
    it goes on within its retry budget. A supervisor takes this over with `connection.revive`."""
    recovery = RecoveryTable.changed(settings.recovery).decide("nats", Unavailable(), Severity.MEDIUM)

    async def revive() -> None:
        while True:
            await connection.lost()
            if connection.revive:
                try:
                    await connection.revive()
                except Exception as error:  # killed again while it starts: once more
                    log.warning("the embedded nats-server could not be started again: %s", error)
            await asyncio.sleep(REVIVE_EVERY_S)  # the client needs a moment to find it

    reviving = asyncio.create_task(revive(), name="embedded nats-server") if recovery is Recovery.RESTART else None
    try:
        yield
    finally:
        if reviving:
            reviving.cancel()
            await asyncio.gather(reviving, return_exceptions=True)
