"""The only place that builds objects: settings in, a log that is proven durable out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.connection import Connection, connect
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog
from adapters.provision import provision, require_durable
from domain.errors import DeskError
from ops.settings import Settings

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
            await stack.enter_async_context(_kept_alive(connection, servers))
        await require_durable(connection, monitor_url, allow_memory=settings.allow_memory_only)
        await provision(connection)
        yield JetStreamLog(connection)


async def _start(servers: EmbeddedServers) -> None:
    starting = asyncio.ensure_future(asyncio.to_thread(servers.nats))
    try:
        await asyncio.shield(starting)
    finally:
        await asyncio.wait([starting])  # Ctrl-C stops no thread: a start comes to its end, and is closed then


@asynccontextmanager
async def _kept_alive(connection: Connection, servers: EmbeddedServers) -> AsyncIterator[None]:
    """A lost embedded server is started again at once: whatever waits for it goes on within its retry budget."""
    lost = asyncio.Event()

    async def revive() -> None:
        while True:
            if connection.is_up:
                await lost.wait()
            lost.clear()
            with contextlib.suppress(DeskError):  # killed again while it starts: once more
                await _start(servers)
            await asyncio.sleep(REVIVE_EVERY_S)  # the client needs a moment to find it

    connection.on_loss(lost.set)
    reviving = asyncio.create_task(revive(), name="embedded nats-server")
    try:
        yield
    finally:
        connection.off_loss(lost.set)
        reviving.cancel()
        await asyncio.gather(reviving, return_exceptions=True)
