"""A desk's read models on a real PostgreSQL, and the questions to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from adapters.postgres_server import PostgresServer
from adapters.read_models import ReadModels, reader_pool
from projections.queries import Queries
from tests.projections.stored import StoredDesk, end


@pytest.fixture(scope="session")
def golden_desk(postgres_server: PostgresServer) -> Iterator[StoredDesk]:
    """The golden desk, all of it. Only to be asked."""

    async def build() -> StoredDesk:
        async with asyncpg.create_pool(postgres_server.dsn, min_size=1) as pool:
            desk = StoredDesk(pool)
            await desk.begin()
            await desk.grow(end())
        return desk

    async def drop() -> None:
        connection = await asyncpg.connect(postgres_server.dsn)
        await connection.execute(f"DROP SCHEMA {desk.store.schema} CASCADE")
        await connection.close()

    desk = asyncio.run(build())
    yield desk
    asyncio.run(drop())


@pytest.fixture
async def queries(golden_desk: StoredDesk, postgres_server: PostgresServer) -> AsyncIterator[Queries]:
    async with reader_pool(postgres_server.dsn, golden_desk.name) as pool:
        yield Queries(ReadModels(pool), golden_desk.name)


@pytest.fixture
async def growing(postgres_server: PostgresServer) -> AsyncIterator[tuple[StoredDesk, Queries]]:
    """A desk of the test's own that stands at its beginning."""
    async with asyncpg.create_pool(postgres_server.dsn, min_size=1) as pool:
        desk = StoredDesk(pool)
        await desk.begin()
        async with reader_pool(postgres_server.dsn, desk.name) as readers:
            yield desk, Queries(ReadModels(readers), desk.name)
        await pool.execute(f"DROP SCHEMA {desk.store.schema} CASCADE")
