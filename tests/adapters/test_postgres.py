"""The pool of PostgreSQL connections behind its breaker, on the embedded server: what counts, what does not, and how
it comes back when the server does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from adapters import processes
from adapters.breaker import BOUNDS
from adapters.embedded import EmbeddedServers
from adapters.postgres import Pool, open_pool, postgres_breaker
from domain.errors import Conflict, InvalidInput, Unavailable

DEADLINE_S = 60


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[EmbeddedServers]:
    servers = EmbeddedServers(folder)
    try:
        yield servers
    finally:
        await asyncio.to_thread(servers.close)


async def one(pool: Pool) -> int:
    async with pool.connection() as connection:
        return int(await connection.fetchval("SELECT 1"))


async def execute(pool: Pool, statement: str, *arguments: object) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement, *arguments)


async def until_it_answers(pool: Pool) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                assert await one(pool) == 1
            except Unavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_killed_server_opens_the_breaker_and_the_same_pool_answers_when_it_is_back(passable_tmp: Path) -> None:
    states: list[str] = []
    now = [0.0]
    breaker = postgres_breaker(lambda change: states.append(change.state), clock=lambda: now[0], open_seconds=30)
    async with embedded(passable_tmp / "data") as servers:
        dsn = await asyncio.to_thread(servers.postgres)
        async with open_pool(dsn, breaker) as pool:
            assert await one(pool) == 1

            # What a statement's author or the block erred in goes through as it is, however often, and counts nothing.
            await execute(pool, "CREATE TABLE facts (number int PRIMARY KEY CHECK (number > 0))")
            await execute(pool, "INSERT INTO facts VALUES (1)")
            for statement, error in (
                ("SELEC 1", asyncpg.PostgresSyntaxError),
                ("SELECT * FROM nowhere", asyncpg.UndefinedTableError),
                ("INSERT INTO facts VALUES (1)", asyncpg.UniqueViolationError),
                ("INSERT INTO facts VALUES (0)", asyncpg.CheckViolationError),
                ("SELECT 'x'::int", asyncpg.DataError),
                ("SELECT 1/0", asyncpg.DivisionByZeroError),
            ):
                for _ in range(6):
                    with pytest.raises(error):
                        await execute(pool, statement)
            for mistake in (
                KeyError("a bug"),
                Conflict("another was first"),
                ValueError("no number"),
                OSError("no file"),
                TimeoutError(),
            ):
                for _ in range(6):
                    with pytest.raises(type(mistake)):
                        async with pool.connection():
                            raise mistake
            for _ in range(6):
                with pytest.raises(asyncpg.DataError, match="expected str"):
                    await execute(pool, "SELECT $1::text", 7)
            assert (breaker.state, states) == ("closed", [])

            server = processes.find("postgres", "-D", passable_tmp / "data" / "postgres" / "data")
            assert server is not None
            processes.kill(server)
            password = dsn.split(":")[2].split("@")[0]
            for _ in range(5):
                with pytest.raises(Unavailable, match=r"PostgreSQL at 127.0.0.1:\d+/postgres did not answer") as away:
                    await one(pool)
                assert password not in str(away.value)
            assert states == ["open"]
            with pytest.raises(Unavailable, match="postgres is not asked"):
                await one(pool)

            assert await asyncio.to_thread(servers.postgres) == dsn
            with pytest.raises(Unavailable, match="postgres is not asked"):
                await one(pool)
            now[0] = 30.0
            await until_it_answers(pool)
            assert await one(pool) == await one(pool) == 1
            assert states[-1] == "closed"
            async with pool.connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM facts") == 1


async def test_a_connection_that_dies_in_a_block_is_an_outage_and_its_transaction_never_was(passable_tmp: Path) -> None:
    breaker = postgres_breaker()
    async with embedded(passable_tmp / "data") as servers:
        dsn = await asyncio.to_thread(servers.postgres)
        async with open_pool(dsn, breaker) as pool, open_pool(dsn, postgres_breaker()) as other:
            await execute(pool, "CREATE TABLE facts (number int)")

            async def cut_in_the_middle() -> None:
                async with pool.connection() as connection, connection.transaction():
                    await connection.execute("INSERT INTO facts VALUES (1)")
                    await execute(other, "SELECT pg_terminate_backend($1)", connection.get_server_pid())
                    await connection.execute("INSERT INTO facts VALUES (2)")

            with pytest.raises(Unavailable, match="did not answer"):
                await cut_in_the_middle()
            async with pool.connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM facts") == 0


async def test_a_pool_is_made_without_a_server_which_is_named_when_it_is_asked() -> None:
    async with open_pool(
        f"postgresql://postgres:secret@127.0.0.1:{processes.free_port()}/x", postgres_breaker()
    ) as pool:
        with pytest.raises(Unavailable, match=r"127.0.0.1:\d+/x did not answer .*CDB_POSTGRES_DSN"):
            await one(pool)


@pytest.mark.parametrize("limit", sorted(BOUNDS))
def test_no_limit_switches_its_breaker_off(limit: str) -> None:
    for value in (BOUNDS[limit][0] - 1, BOUNDS[limit][1] + 1):
        with pytest.raises(InvalidInput, match=f"breaker postgres: {limit}"):
            postgres_breaker(**{limit: value})
