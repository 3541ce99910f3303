"""The only place that builds objects: settings in, a log that is proven durable out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.connection import connect
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog
from adapters.provision import provision, require_durable
from ops.settings import Settings


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[JetStreamLog]:
    """The log of CDB_NATS_URL, or of the embedded server of the data directory (started here, or attached to)."""
    async with AsyncExitStack() as stack:
        url, monitor_url = settings.nats_url, settings.nats_monitor_url
        if url is None:
            servers = EmbeddedServers(settings.data_dir)
            stack.push_async_callback(asyncio.to_thread, servers.close)
            url = await asyncio.to_thread(servers.nats)
            monitor_url = servers.nats_monitor_url
        connection = await stack.enter_async_context(
            await connect(url, budget_s=settings.retry_budget_seconds, name="cdb")
        )
        await require_durable(connection, monitor_url, allow_memory=settings.allow_memory_only)
        await provision(connection)
        yield JetStreamLog(connection)
