"""A desk's read models on the real PostgreSQL, for the tests of what fills them."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from adapters.postgres_server import PostgresServer
from adapters.projection_store import ProjectionStore


@pytest.fixture
async def pool(postgres_server: PostgresServer) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(postgres_server.dsn, min_size=1) as pool:
        yield pool


@pytest.fixture
async def store(pool: Any) -> AsyncIterator[ProjectionStore]:
    """The read models of a desk that no other test knows."""
    store = ProjectionStore(pool, f"test-{uuid.uuid4().hex[:12]}")
    await store.prepare()
    yield store
    await pool.execute(f"DROP SCHEMA IF EXISTS {store.schema} CASCADE")
