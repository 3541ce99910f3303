"""The only place that builds objects: settings in, a log that is proven durable out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.connection import Connection, connect
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog
from adapters.provision import provision, require_durable
from ops.settings import Settings


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[JetStreamLog]:
    """The log of CDB_NATS_URL, or of the embedded server of the data directory (started here, or attached to)."""
    async with AsyncExitStack() as stack:
        servers = None if settings.nats_url else EmbeddedServers(settings.data_dir)
        if servers:
            stack.push_async_callback(asyncio.to_thread, servers.close)
            await asyncio.to_thread(servers.nats)
        url = servers.nats_url if servers else str(settings.nats_url)
        monitor_url = servers.nats_monitor_url if servers else settings.nats_monitor_url
        connection = await stack.enter_async_context(await connect(url, budget_s=settings.retry_budget_seconds))
        if servers:
            _revive(connection, servers, stack)
        await require_durable(connection, monitor_url, allow_memory=settings.allow_memory_only)
        await provision(connection)
        yield JetStreamLog(connection)


def _revive(connection: Connection, servers: EmbeddedServers, stack: AsyncExitStack) -> None:
    """A lost embedded server is started again at once: whatever waits for it goes on within its retry budget."""
    starting: set[asyncio.Future[str]] = set()

    def revive() -> None:
        start = asyncio.get_running_loop().run_in_executor(None, servers.nats)
        starting.add(start)
        start.add_done_callback(starting.discard)

    async def settle() -> None:
        connection.off_loss(revive)
        await asyncio.gather(*starting, return_exceptions=True)

    connection.on_loss(revive)
    stack.push_async_callback(settle)
