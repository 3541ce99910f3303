"""Asking the read models in PostgreSQL: connections that read the schema of one desk, and write nothing.

Two locks stand before a statement of ours that would write: the role `cdb_reader` may only SELECT, and transactions
begin read-only. They keep out mistakes, not somebody who can send SQL of his own: `SET ROLE NONE` brings back the
login's rights. Where that matters, log in as a role that has no others (a member of cdb_reader).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg

from adapters.postgres import CLOSE_S, FAULTS
from adapters.projection_store import READER, schema_name
from domain.errors import InvalidInput, Unavailable

STATEMENT_S = 5
ANSWER_S = STATEMENT_S + 1.0  # a server that hangs does not end its statements itself
RELEASE_S = 1.0  # for a server to say that it ended one; else its connection is cut
SMALLEST, LARGEST = 2, 8  # connections

_NOT_BUILT = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InvalidParameterValueError,  # there is no such role
)
_AWAY = (
    OSError,  # also that the time is over
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection whose server went in the middle of something
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,  # a deadlock with tables that move over from a build
)


class ReadModels:
    """The port Rows over a `reader_pool`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        """The rows of one statement. Raises Unavailable, and InvalidInput for an argument that no column can hold."""
        with _told():
            async with asyncio.timeout(ANSWER_S):
                connection = await self._pool.acquire()
                try:
                    rows: Sequence[Mapping[str, Any]] = await connection.fetch(sql, *arguments)
                except asyncpg.InternalClientError:
                    connection.terminate()  # it would never be good for another question
                    raise
                finally:
                    await self._pool.release(connection, timeout=RELEASE_S)
        return rows


@asynccontextmanager
async def reader_pool(dsn: str, desk: str, largest: int = LARGEST) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    """At most `largest` connections that read one desk's schema; statements may take 5 s. Raises Unavailable."""
    settings = {
        "application_name": f"cdb reader of {desk}",
        "role": READER,
        "default_transaction_read_only": "on",
        "search_path": schema_name(desk),
        "statement_timeout": f"{STATEMENT_S}s",
    }
    with _told():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min(SMALLEST, largest),
            max_size=largest,
            reset=_nothing,
            server_settings=settings,
            timeout=ANSWER_S,
        )
    try:
        yield pool
    finally:
        with suppress(*FAULTS):  # what cannot be closed in order is cut
            async with asyncio.timeout(CLOSE_S):
                await pool.close()


async def _nothing(_: Any) -> None:
    """Reading leaves nothing behind; asyncpg's own reset would cost a round trip a question."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _NOT_BUILT as error:
        raise Unavailable(f"the read models are not there, a projector builds them from the log: {error}") from error
    except asyncpg.DataError as error:
        raise InvalidInput(f"no row has such a value: {error}; correct it") from error
    except _AWAY as error:
        raise Unavailable(f"PostgreSQL does not answer: {type(error).__name__}: {error}") from error
