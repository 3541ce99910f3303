"""A desk behind its HTTP API."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from adapters.postgres_server import PostgresServer
from tests.gateways.api_desks import Opened, Stored, caught_up, half_told, opened, projecting, stored


@pytest.fixture(scope="session")
def golden_api(postgres_server: PostgresServer) -> Iterator[Stored]:
    """The golden desk with its read models. Only to be asked."""

    async def build() -> Stored:
        desk = await stored()
        async with projecting(desk, postgres_server.dsn) as projector:
            await caught_up(desk, projector)
        return desk

    async def drop() -> None:
        connection = await asyncpg.connect(postgres_server.dsn)
        await connection.execute(f'DROP SCHEMA "desk_{desk.name}" CASCADE')
        await connection.close()

    desk = asyncio.run(build())
    yield desk
    asyncio.run(drop())


@pytest.fixture
async def golden(golden_api: Stored, postgres_server: PostgresServer) -> AsyncIterator[Opened]:
    """The golden desk behind its API."""
    async with opened(golden_api, postgres_server.dsn) as desk:
        yield desk


@pytest.fixture
async def half(postgres_server: PostgresServer) -> AsyncIterator[tuple[Stored, Opened]]:
    """A desk with half its ledger, whose projector runs."""
    async with half_told(postgres_server.dsn) as (desk, running):
        yield desk, running
