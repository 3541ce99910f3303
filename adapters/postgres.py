"""A pool of connections to PostgreSQL behind a breaker. It holds derived data only: the desk can do without."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from adapters.breaker import CALLERS_FAULT, Breaker, Change
from domain.errors import Unavailable

CONNECT_S, COMMAND_S, CLOSE_S = 5.0, 30.0, 2.0
CALLERS = (
    *CALLERS_FAULT,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
)
FAULTS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def postgres_breaker(on_change: Callable[[Change], None] | None = None, **limits: Any) -> Breaker:
    """The breaker of the component `postgres`: what a statement's author erred in says nothing about the server."""
    return Breaker("postgres", callers_fault=CALLERS, on_change=on_change, **limits)


class Pool:
    """Use `open_pool`."""

    def __init__(self, pool: Any, breaker: Breaker, place: str) -> None:
        self._pool, self._breaker, self._place = pool, breaker, place

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """An asyncpg connection for the block. Raises Unavailable when the server does not answer or its breaker is
        open; errors of the statement and of the block itself go through as they are, and do not count."""
        own: Exception | None = None
        with self._breaker.guard():
            try:
                async with self._pool.acquire(timeout=CONNECT_S) as connection:
                    try:
                        yield connection
                    except Exception as error:
                        if isinstance(error, CALLERS) or _is_the_servers(error):
                            raise
                        own = error
            except CALLERS:
                raise
            except FAULTS as error:
                raise unavailable(self._place, error) from error
        if own:
            raise own


def _is_the_servers(error: Exception) -> bool:
    """An error that came out of the client, and not out of the block's own work: both know OSError and TimeoutError."""
    inside = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return isinstance(error, FAULTS) and any(name.partition(".")[0] == "asyncpg" for name in inside)


def unavailable(place: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"PostgreSQL at {place} did not answer ({type(error).__name__}: {error}); "
        "start it, or set CDB_POSTGRES_DSN to one that runs"
    )


@asynccontextmanager
async def open_pool(dsn: str, breaker: Breaker, *, connections: int = 4) -> AsyncIterator[Pool]:
    """Up to so many connections to a server, for as long as the block lasts. The first one is made when it is asked
    for, and one that was lost is made anew, so that a server may come later, go, and come again."""
    pool = await asyncpg.create_pool(
        dsn, min_size=0, max_size=connections, timeout=CONNECT_S, command_timeout=COMMAND_S
    )
    try:
        yield Pool(pool, breaker, _place(dsn))
    finally:
        with contextlib.suppress(*FAULTS):  # what cannot be closed in order is cut
            async with asyncio.timeout(CLOSE_S):
                await pool.close()


def _place(dsn: str) -> str:
    """Host, port and database, without what the DSN says about who we are."""
    parts = urlsplit(dsn)
    return f"{parts.hostname}:{parts.port}{parts.path}"
