"""The reader of the read models: what it cannot do by mistake, what it says when PostgreSQL is away, and its limits."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from adapters.postgres_server import PostgresServer
from adapters.projection_store import READER, ProjectionStore
from adapters.read_models import LARGEST, ReadModels, reader_pool
from domain.errors import InvalidInput, Unavailable
from domain.ports import Checkpoint
from projections import equity
from projections.catalogue import fingerprint, schema

MODEL = equity.MODEL
POINT = "INSERT INTO {}.equity VALUES (1, 2, 'booked', 3, 4, 5, 6, 7, 8, 9, 1, 5)"


@pytest.fixture
async def owner(postgres_server: PostgresServer) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(postgres_server.dsn, min_size=1) as pool:
        yield pool


@pytest.fixture
async def store(owner: Any) -> AsyncIterator[ProjectionStore]:
    """A desk with one row of equity."""
    store = ProjectionStore(owner, f"test-{uuid.uuid4().hex[:12]}")
    await store.prepare()
    async with store.building(MODEL.name, schema(MODEL)) as building:
        await building.swap(MODEL.name, fingerprint(MODEL), MODEL.tables, {"ledger": Checkpoint(1)})
    await owner.execute(POINT.format(store.schema))
    yield store
    await owner.execute(f"DROP SCHEMA IF EXISTS {store.schema} CASCADE")


@pytest.fixture
async def readers(postgres_server: PostgresServer, store: ProjectionStore) -> AsyncIterator[Any]:
    async with reader_pool(postgres_server.dsn, desk_of(store)) as pool:
        yield pool


def desk_of(store: ProjectionStore) -> str:
    return store.schema.strip('"').removeprefix("desk_")


async def test_it_reads_the_tables_of_its_desk_and_no_others(
    readers: Any, owner: Any, postgres_server: PostgresServer
) -> None:
    rows = ReadModels(readers)
    (point,) = await rows.fetch("SELECT number, balance FROM equity WHERE since <= $1 AND until > $1", 4)
    assert dict(point) == {"number": 1, "balance": 3}
    assert await rows.fetch("SELECT FROM equity WHERE since <= $1 AND until > $1", 5) == []
    other = ProjectionStore(owner, f"test-{uuid.uuid4().hex[:12]}")
    await other.prepare()
    async with reader_pool(postgres_server.dsn, desk_of(other)) as pool:
        with pytest.raises(Unavailable, match='a projector builds them from the log: relation "equity" does not exist'):
            await ReadModels(pool).fetch("SELECT * FROM equity")
    await owner.execute(f"DROP SCHEMA {other.schema} CASCADE")


# -- what it cannot do -------------------------------------------------------------------------------------------------

WRITES = {
    "insert": "INSERT INTO equity SELECT number + 1, at_ns, kind, 1, 1, 1, 1, 1, 1, 1, 1, 2 FROM equity",
    "update": "UPDATE equity SET balance = 0",
    "delete": "DELETE FROM equity",
    "truncate": "TRUNCATE equity",
    "drop": "DROP TABLE equity",
    "alter": "ALTER TABLE equity ADD COLUMN more bigint",
    "create": "CREATE TABLE mine (number bigint)",
    "create for now": "CREATE TEMP TABLE mine (number bigint)",
    "index": "CREATE INDEX ON equity (balance)",
    "grant": f"GRANT ALL ON equity TO {READER}",
    "checkpoint": "UPDATE checkpoints SET position = 0",
    "hidden in a read": "WITH gone AS (DELETE FROM equity RETURNING *) SELECT * FROM gone",
    "lock": "SELECT * FROM equity FOR UPDATE",
    "program": "COPY equity TO PROGRAM 'true'",
}


@pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES)
async def test_it_cannot_write(statement: str, readers: Any, owner: Any, store: ProjectionStore) -> None:
    with pytest.raises((asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)):
        await readers.fetch(statement)
    assert await owner.fetchval(f"SELECT count(*) FROM {store.schema}.equity WHERE balance = 3") == 1


_NO_RIGHT_NEEDED = ("create for now", "grant")  # a table nobody else sees; a gift of nothing, which is a warning
OWN_RIGHTS = {name: statement for name, statement in WRITES.items() if name not in _NO_RIGHT_NEEDED}


@pytest.mark.parametrize("statement", OWN_RIGHTS.values(), ids=OWN_RIGHTS)
async def test_the_role_alone_is_enough(statement: str, readers: Any) -> None:
    async with readers.acquire() as connection:
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
        await connection.execute("RESET ALL")


@pytest.mark.parametrize("way", ["RESET ROLE", "RESET ALL", "SET ROLE NONE", "SET ROLE postgres"])
async def test_read_only_alone_is_enough(way: str, readers: Any) -> None:
    """Whoever leaves the role is still in a transaction that only reads; RESET ROLE does not even leave it."""
    async with readers.acquire() as connection:
        await connection.execute(way)
        role = await connection.fetchval("SELECT current_user")
        assert role == (READER if way.startswith("RESET") else "postgres")
        with pytest.raises((asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)):
            await connection.execute("UPDATE equity SET balance = 0")
        await connection.execute(f"SET ROLE {READER}")


async def test_a_question_is_one_statement(readers: Any) -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError, match="multiple commands"):
        await ReadModels(readers).fetch("SELECT 1; SET ROLE NONE")


async def test_who_logs_in_with_an_owners_rights_could_take_them_back(readers: Any, owner: Any) -> None:
    """What the two locks are not: a wall against statements that somebody else wrote. It stands in the docstring."""
    async with readers.acquire() as connection:
        await connection.execute("SET ROLE NONE")
        await connection.execute("SET default_transaction_read_only = off")
        assert await connection.execute("UPDATE equity SET balance = balance") == "UPDATE 1"
        await connection.execute(f"SET ROLE {READER}; RESET ALL")


# -- when it is away ---------------------------------------------------------------------------------------------------


async def test_without_a_server_or_with_a_wrong_password_it_is_unavailable(postgres_server: PostgresServer) -> None:
    nobody = "postgresql://postgres:x@127.0.0.1:1/postgres"
    wrong = f"postgresql://postgres:wrong@127.0.0.1:{postgres_server.port}/postgres"
    for dsn, reason in ((nobody, "ConnectionRefused|Errno"), (wrong, "InvalidPassword")):
        with pytest.raises(Unavailable, match=f"PostgreSQL does not answer: .*({reason})"):
            async with reader_pool(dsn, "main"):
                pass


async def test_a_connection_that_was_lost_is_unavailable_once_and_then_made_anew(readers: Any, owner: Any) -> None:
    rows, name = ReadModels(readers), await readers.fetchval("SELECT current_setting('application_name')")
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND query = 'SELECT pg_sleep(5)'"
    asked = asyncio.create_task(answered(rows, "SELECT pg_sleep(5)"))
    async with asyncio.timeout(10):
        while not await owner.fetchval(running, name):
            pass
    await owner.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
    assert "PostgreSQL does not answer: ConnectionDoesNotExistError" in await asked
    async with asyncio.timeout(10):
        while await answered(rows, "SELECT 1"):
            pass


async def answered(rows: ReadModels, sql: str) -> str:
    """Why there was no answer."""
    try:
        await rows.fetch(sql)
    except Unavailable as error:
        return str(error)
    return ""


async def test_a_statement_that_takes_too_long_is_ended(readers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await readers.fetchval("SELECT current_setting('statement_timeout')") == "5s"
    async with readers.acquire() as connection:
        await connection.execute("SET statement_timeout = '20ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch("SELECT pg_sleep(5)")
        await connection.execute("RESET statement_timeout")
    monkeypatch.setattr("adapters.read_models.ANSWER_S", 0.02)  # a server that does not end it itself
    with pytest.raises(Unavailable, match="PostgreSQL does not answer: TimeoutError"):
        await ReadModels(readers).fetch("SELECT pg_sleep(5)")


async def test_more_askers_than_connections_wait_for_their_turn(readers: Any) -> None:
    rows = ReadModels(readers)
    asked = [rows.fetch("SELECT $1::int AS place, pg_backend_pid() AS pid", place) for place in range(5 * LARGEST)]
    answers = [found[0] for found in await asyncio.gather(*asked)]
    assert [row["place"] for row in answers] == list(range(5 * LARGEST))
    assert len({row["pid"] for row in answers}) <= LARGEST


async def test_a_table_that_is_replaced_is_read_on(readers: Any, owner: Any, store: ProjectionStore) -> None:
    rows = ReadModels(readers)
    for count in (1, 0, 0):
        assert len(await rows.fetch("SELECT * FROM equity")) == count
        async with store.building(MODEL.name, schema(MODEL)) as building:
            await building.swap(MODEL.name, fingerprint(MODEL), MODEL.tables, {"ledger": Checkpoint(1)})


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
async def test_a_value_that_no_text_column_holds_is_the_askers_error(value: str, readers: Any) -> None:
    with pytest.raises(InvalidInput, match="no row has such a value"):
        await ReadModels(readers).fetch("SELECT * FROM equity WHERE kind = $1", value)


async def test_a_connection_that_was_in_the_middle_of_something_is_cut_and_told_as_away() -> None:
    class Torn:
        cut = 0

        async def acquire(self) -> "Torn":
            return self

        async def fetch(self, _: str) -> None:
            raise asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")

        def terminate(self) -> None:
            self.cut += 1

        async def release(self, *_: object, **__: object) -> None:
            assert self.cut

    torn: Any = Torn()
    assert "PostgreSQL does not answer" in await answered(ReadModels(torn), "SELECT 1")
    assert torn.cut == 1
