"""The read models in PostgreSQL: tables of versions, each checkpoint written with its rows or not at all.

A desk has a schema of its own. A read model is built anew in another schema beside it, and its tables move over in one
transaction. Whoever writes says where the checkpoint must stand; if it stands elsewhere nothing is written (Conflict).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from domain.errors import Conflict, Unavailable
from domain.ports import END, Checkpoint, Key, Made, Source, Table

READER = "cdb_reader"  # the role of whoever only asks
CHANNEL = "cdb_projections"  # notified at every checkpoint, with the schema's name
AT_ONCE = 3  # connections that a build stores by

_CHECKPOINTS = """
CREATE TABLE IF NOT EXISTS {schema}.checkpoints (
    model          text   NOT NULL,
    source         text   NOT NULL,
    fingerprint    text   NOT NULL,  -- of the model's version and SQL: another one means building it anew
    position       bigint NOT NULL,  -- in the source
    memory         text,             -- what the fold remembers there, JSON
    time_ns        bigint,           -- the market's time there
    recorded_at_ns bigint NOT NULL,
    PRIMARY KEY (model, source)
)
"""


_GONE = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
_AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


def schema_name(desk: str) -> str:
    """The schema of a desk's read models, quoted."""
    return f'"desk_{desk}"'


class Stretch(NamedTuple):
    """What a fold made on its way from position `before` to a checkpoint."""

    model: str
    before: int
    at: Checkpoint
    made: Sequence[Made]


class ProjectionStore:
    """The read models of one desk, for their writers. `pool` belongs to a role that may create schemas."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", desk: str) -> None:
        self._pool = pool
        self.schema = schema_name(desk)

    async def prepare(self) -> None:
        """Make what every read model needs: the reader's role, the desk's schema, its checkpoints."""
        async with self._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", CHANNEL)
            known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", READER)
            if not known:
                await connection.execute(f"CREATE ROLE {READER} NOLOGIN")
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")
            await connection.execute(_CHECKPOINTS.format(schema=self.schema))
            await connection.execute(f"GRANT USAGE ON SCHEMA {self.schema} TO {READER}")
            await connection.execute(f"GRANT SELECT ON {self.schema}.checkpoints TO {READER}")

    async def load(self, model: str) -> Mapping[str, tuple[str, Checkpoint]]:
        """By source: the fingerprint of what was built, and its checkpoint. Empty before the first build."""
        async with self._transaction() as connection:
            return await self._load(connection, model, lock="")

    async def write(self, source: Source, stretches: Sequence[Stretch]) -> None:
        """Store what every stretch made and move its checkpoint, all or nothing. Raises Conflict, and stores nothing,
        where another writer moved one of them."""
        async with self._transaction() as connection:
            moved = await connection.fetchmany(
                f"UPDATE {self.schema}.checkpoints SET position = $4, memory = $5, time_ns = $6, recorded_at_ns = $7 "
                "WHERE model = $1 AND source = $2 AND position = $3 RETURNING model",
                [
                    (model, source, before, at.position, _text(at.memory), at.time_ns, at.recorded_at_ns)
                    for model, before, at, _ in stretches
                ],
            )
            named = {row["model"] for row in moved}
            for stretch in stretches:
                if stretch.model not in named:
                    raise Conflict(
                        f"the read model {stretch.model} no longer stands at {source} {stretch.before}: another "
                        "projector moved it, or it was built anew; load its checkpoint and go on from there"
                    )
            for stretch in stretches:
                await _store(connection, self.schema, stretch.made)
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self.schema)

    # -- building anew -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def building(self, model: str, sql: str, suffix: str = "new") -> "AsyncIterator[Building]":
        """As `building_all`, of one read model."""
        async with self.building_all({model: sql}, suffix) as buildings:
            yield buildings[model]

    @asynccontextmanager
    async def building_all(
        self, sql: Mapping[str, str], suffix: str = "new"
    ) -> "AsyncIterator[Mapping[str, Building]]":
        """A schema beside the desk's for each read model, by name, with the empty tables of its SQL; dropped when the
        block is left. One at a time: another builder of the same waits, and what a killed one left is dropped by the
        next."""
        schemas = {model: f'"{self.schema[1:-1]}.{model}.{suffix}"' for model in sorted(sql)}
        async with self._connection() as owner:
            for schema in schemas.values():  # in one order, so that no two builders wait for each other
                await owner.execute("SELECT pg_advisory_lock(hashtext($1))", schema)  # until the connection is back
            async with self._transaction() as connection:
                for model, schema in schemas.items():
                    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
                    await connection.execute(f"CREATE SCHEMA {schema}")
                    await connection.execute(f"SET LOCAL search_path = {schema}")
                    await connection.execute(sql[model])
            try:
                yield {model: Building(self, schema) for model, schema in schemas.items()}
            finally:
                async with self._transaction() as connection:
                    for schema in schemas.values():
                        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    async def add(self, made: Sequence[tuple["Building", Sequence[Made]]]) -> None:
        """Store what stretches of facts made of read models that are being built, some of them side by side."""
        free = asyncio.Semaphore(AT_ONCE)

        async def stored(building: Building, of_it: Sequence[Made]) -> None:
            async with free, self._transaction() as connection:
                await _store(connection, building.schema, of_it)

        ended = await asyncio.gather(*(stored(*of_one) for of_one in made if of_one[1]), return_exceptions=True)
        for error in ended:
            if error:
                raise error

    async def _load(self, connection: Any, model: str, lock: str) -> dict[str, tuple[str, Checkpoint]]:
        found = await connection.fetch(
            f"SELECT source, fingerprint, position, memory, time_ns, recorded_at_ns FROM {self.schema}.checkpoints "
            f"WHERE model = $1 {lock}",
            model,
        )
        return {
            row["source"]: (
                row["fingerprint"],
                Checkpoint(
                    row["position"],
                    row["memory"].encode() if row["memory"] else None,
                    row["time_ns"],
                    row["recorded_at_ns"],
                ),
            )
            for row in found
        }

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except _GONE as error:
            raise Unavailable(f"the read models are gone, they are built again from the log: {error}") from error
        except _AWAY as error:
            raise Unavailable(f"PostgreSQL does not answer: {type(error).__name__}: {error}") from error


class Building:
    """The tables of a read model that is being built beside the one that is asked."""

    def __init__(self, store: ProjectionStore, schema: str) -> None:
        self.schema = schema
        self._store = store

    async def compare(self, table: Table, until: int) -> tuple[int, int, dict[str, Any] | None]:
        """The versions of a table up to a position against the live ones: how many, how many differ, the first."""
        columns = ", ".join(
            [*table.key, *table.columns, "since", f"CASE WHEN until > {until} THEN {END} ELSE until END AS until"]
        )
        ours, live = (
            f"SELECT {columns} FROM {schema}.{table.name} WHERE since <= {until}"
            for schema in (self.schema, self._store.schema)
        )
        order = ", ".join(["since", *table.key])
        sql = (
            f"SELECT * FROM (SELECT 'live' AS only_in, * FROM ({live} EXCEPT {ours}) AS a UNION ALL "
            f"SELECT 'fold from zero', * FROM ({ours} EXCEPT {live}) AS b) AS c ORDER BY {order}"
        )
        async with self._store._transaction() as connection:
            checked = await connection.fetchval(f"SELECT count(*) FROM ({ours}) AS checked")
            different = await connection.fetch(sql)
        first = {"table": table.name} | dict(different[0]) if different else None
        return checked, len(different), first

    async def swap(
        self, model: str, fingerprint: str, tables: Sequence[Table], checkpoints: Mapping[Source, Checkpoint]
    ) -> bool:
        """Put these tables in the place of the live ones. False, and nothing changed, while the live ones are ahead."""
        store = self._store
        async with store._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"{store.schema} {model}")
            live = await store._load(connection, model, "FOR UPDATE")
            if any(
                source in live and live[source][0] == fingerprint and live[source][1].position > at.position
                for source, at in checkpoints.items()
            ):
                return False
            for table in tables:
                await connection.execute(f"DROP TABLE IF EXISTS {store.schema}.{table.name}")
                await connection.execute(f"ALTER TABLE {self.schema}.{table.name} SET SCHEMA {store.schema}")
                await connection.execute(f"GRANT SELECT ON {store.schema}.{table.name} TO {READER}")
            await connection.execute(f"DELETE FROM {store.schema}.checkpoints WHERE model = $1", model)
            await connection.executemany(
                f"INSERT INTO {store.schema}.checkpoints VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [
                    (model, source, fingerprint, at.position, _text(at.memory), at.time_ns, at.recorded_at_ns)
                    for source, at in checkpoints.items()
                ],
            )
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, store.schema)
        return True


async def _store(connection: Any, schema: str, made: Sequence[Made]) -> None:
    for table, versions, replaced in made:
        if replaced:
            await _end_replaced(connection, schema, table, replaced)
        records = [(*map(_storable, (*v.key, *v.values)), v.since, v.until) for v in versions]
        if records:
            await connection.copy_records_to_table(
                table.name,
                schema_name=schema.strip('"'),
                columns=[*table.key, *table.columns, "since", "until"],
                records=records,
            )


async def _end_replaced(connection: Any, schema: str, table: Table, replaced: Mapping[Key, int]) -> None:
    names, types = list(table.key), list(table.key.values())
    columns = [*([_storable(key[place]) for key in replaced] for place in range(len(names))), list(replaced.values())]
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate([*types, "bigint"], 1))
    same = " AND ".join(f"stood.{name} = new.{name}" for name in names)
    await connection.execute(
        f"UPDATE {schema}.{table.name} AS stood SET until = new.since "
        f"FROM unnest({arrays}) AS new({', '.join([*names, 'since'])}) WHERE {same} AND stood.until = {END}",
        *columns,
    )


def _storable(value: Any) -> Any:
    """PostgreSQL keeps no NUL, in text or JSON: a mark stands in its place."""
    if isinstance(value, str) and ("\0" in value or "\\u0000" in value):
        return value.replace("\0", "\ufffd").replace("\\u0000", "\\ufffd")
    return value


def _text(memory: bytes | None) -> str | None:
    return None if memory is None else memory.decode()
