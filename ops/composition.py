"""The only place that builds objects: settings in, a log that is proven durable out, and PostgreSQL on demand."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg

from adapters.connection import Connection, connect
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog
from adapters.permissions import DESK, GOVERNANCE
from adapters.postgres import CLOSE_S, CONNECT_S, FAULTS, unavailable
from adapters.projection_store import ProjectionStore
from adapters.provision import provision, require_durable
from domain.documents import Documents, Forge
from domain.errors import InvalidInput, Unavailable
from domain.operations import Recovery, Severity
from ops.recovery import RecoveryTable
from ops.settings import Settings, hidden

log = logging.getLogger("cdb.composition")

REVIVE_EVERY_S = 0.2

T = TypeVar("T")


@asynccontextmanager
async def open_log(settings: Settings, user: str = DESK) -> AsyncIterator[JetStreamLog]:
    """The log of CDB_NATS_URL, or of the embedded server of the data directory (started here, or attached to), for
    `desk` or `governance`."""
    async with AsyncExitStack() as stack:
        servers = None if settings.nats_url else EmbeddedServers(settings.data_dir)
        if servers:
            stack.push_async_callback(asyncio.to_thread, servers.close)
            await _started(servers.nats)
        url = servers.nats_url_of(user) if servers else str(_given_url(settings, user))
        monitor_url = servers.nats_monitor_url if servers else settings.nats_monitor_url
        connection = await stack.enter_async_context(await connect(url, budget_s=settings.retry_budget_seconds))
        if servers:
            connection.revive = partial(_revived, servers)
            await stack.enter_async_context(_kept_alive(connection, settings))
        await require_durable(connection, monitor_url, allow_memory=settings.allow_memory_only)
        await provision(connection)
        yield JetStreamLog(connection)


def _given_url(settings: Settings, user: str) -> str | None:
    return (settings.governance_nats_url if user == GOVERNANCE else None) or settings.nats_url


@asynccontextmanager
async def open_running(settings: Settings, budget_s: float) -> AsyncIterator[JetStreamLog]:
    """The log by a server that runs already, as quickly as can be: nothing is started, proven or provided, because a
    desk that runs has done so. Raises Unavailable."""
    url = settings.nats_url or EmbeddedServers(settings.data_dir).running_nats()
    async with await connect(url, budget_s=budget_s) as connection:
        yield JetStreamLog(connection)


class Postgres:
    """Where PostgreSQL is. Use `open_postgres`."""

    def __init__(self, settings: Settings, servers: EmbeddedServers) -> None:
        self._given, self._servers = settings.postgres_dsn, servers

    async def start(self) -> str:
        """The DSN: the given one as it is, or that of the embedded server, which is started when it does not run, also
        behind a crash (on the same port, if it is free), and taken over when another process of ours started it.
        Raises Unavailable."""
        if self._given:
            return self._given
        return await _started(self._servers.postgres)


@asynccontextmanager
async def open_postgres(settings: Settings) -> AsyncIterator[Postgres]:
    """PostgreSQL for as long as the block lasts: CDB_POSTGRES_DSN, or the embedded server of the data directory.
    Nothing is started before it is asked for."""
    servers = EmbeddedServers(settings.data_dir)
    try:
        yield Postgres(settings, servers)
    finally:
        await asyncio.to_thread(servers.close)


@asynccontextmanager
async def open_store(dsn: str, desk: str) -> AsyncIterator[ProjectionStore]:
    """Where the read models of a desk are, made ready, for a command: its statements may take as long as they want.
    Raises Unavailable."""
    try:
        pool = await asyncpg.create_pool(written_late(dsn), min_size=1, timeout=CONNECT_S)
    except FAULTS as error:
        raise unavailable(hidden(dsn), error) from error
    try:
        store = ProjectionStore(pool, desk)
        await store.prepare()
        yield store
    finally:
        with contextlib.suppress(*FAULTS):  # what cannot be closed in order is cut
            async with asyncio.timeout(CLOSE_S):
                await pool.close()


def open_documents(settings: Settings) -> Documents:
    """The documents of `documents_repository`. Raises Unavailable."""
    from adapters.documents import GitDocuments  # git's objects and HTTP clients take a halt's time to import

    return GitDocuments(documents_repository(settings))


def open_forge(settings: Settings) -> Forge:
    """Where the branches of the documents are offered. Raises InvalidInput when a setting is missing, Unavailable."""
    repository = documents_repository(settings)
    if settings.forge == "local":
        from adapters.forge import LocalForge

        return LocalForge(repository, settings.data_dir / "pull-requests")
    from adapters.github import GitHubForge

    name, token_file = settings.github_repository, settings.github_token_file
    if name is None or token_file is None:
        missing = "CDB_GITHUB_REPOSITORY" if name is None else "CDB_GITHUB_TOKEN_FILE"
        raise InvalidInput(f"CDB_FORGE=github needs {missing}; set it, or choose CDB_FORGE=local")
    return GitHubForge(repository, name, token_file, settings.github_url)


def documents_repository(settings: Settings) -> Path:
    """CDB_DOCUMENTS_REPO, or a repository in the data directory, which is made when there is none. Raises
    Unavailable."""
    from adapters.documents import own_repository

    return settings.documents_repo or own_repository(settings.data_dir / "documents")


def written_late(dsn: str) -> str:
    """A DSN whose commits do not wait for the disk: a crash may forget the newest rows, and with them, as they are one
    transaction, that they were written. The disk belongs to the log."""
    return f"{dsn}{'&' if '?' in dsn else '?'}synchronous_commit=off"


async def _started(start: Callable[[], T]) -> T:
    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await asyncio.shield(starting)
    finally:
        await asyncio.wait([starting])  # Ctrl-C stops no thread: a start comes to its end, and is closed then


async def _revived(servers: EmbeddedServers) -> None:
    await _started(servers.nats)


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
