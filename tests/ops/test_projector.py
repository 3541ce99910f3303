"""The projector and its store on a real PostgreSQL: exactly once whatever stops it, and as a fold from zero says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.facts import Facts
from adapters.memory import MemoryLog
from adapters.projection_store import ProjectionStore, Stretch
from domain.errors import Conflict, Unavailable
from domain.ports import END, Checkpoint
from ops.projector import Projector
from ops.rebuild import rebuild, rebuild_all, verify
from projections import equity
from projections.catalogue import READ_MODELS, fingerprint, schema
from projections.projection import Folding, ReadModel
from tests.ops import ledgers
from tests.projections.folds import golden

MODELS = READ_MODELS
EVENTS = len(ledgers.LINES)
HALF = EVENTS // 2


@asynccontextmanager
async def projecting(facts: Facts, store: ProjectionStore, models: tuple[ReadModel, ...] = MODELS) -> Any:
    projector = Projector(facts, store, models)
    running = asyncio.create_task(projector.run())
    try:
        yield projector
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def reached(projector: Projector, ledger: int, tape: int | None = None) -> None:
    async with asyncio.timeout(30):
        await projector.reached("ledger", ledger)
        if tape is not None:
            await projector.reached("tape", tape)


async def every_row(pool: Any, store: ProjectionStore) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: sorted(
            (plain(row) for row in await pool.fetch(f"SELECT * FROM {store.schema}.{table.name}")), key=repr
        )
        for model in MODELS
        for table in model.tables
    }


def plain(row: Iterable[Any]) -> tuple[Any, ...]:
    """A row with its JSON read: PostgreSQL keeps what JSON says, not how it was written."""
    return tuple(
        json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value for value in row
    )


def folded() -> dict[str, list[tuple[Any, ...]]]:
    """What the tables must hold in the end, folded in memory without a store."""
    held = {}
    for model in MODELS:
        for fold in model.folds:
            folding = Folding(fold)
            folding.take(golden(fold.source) if fold.source in ("ledger", "tape") else (), 10**9)
            for table in fold.tables:
                held[table.name] = sorted(
                    (plain((*v.key, *v.values, v.since, v.until)) for v in folding.versions[table.name].all()), key=repr
                )
    return held


async def copied(log: MemoryLog, until: int) -> MemoryLog:
    """The same tape, with the ledger up to an event."""
    return await ledgers.desk(ledgers.LINES[:until], commit=1)


async def test_tables_hold_what_a_fold_in_memory_gives(pool: Any, store: ProjectionStore) -> None:
    async with projecting(Facts(await ledgers.desk(), "main"), store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    assert await every_row(pool, store) == folded()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
async def test_a_live_model_equals_a_fold_from_zero_and_a_changed_row_is_named(
    model: ReadModel, pool: Any, store: ProjectionStore
) -> None:
    facts = Facts(await ledgers.desk(), "main")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    report = await verify(facts, store, model)
    assert report["different"] == 0
    assert report["first_difference"] is None
    name = await first_filled(pool, store, model)
    if name is None:
        return  # the script has nothing for it
    table = f"{store.schema}.{name}"
    await pool.execute(f"DELETE FROM {table} WHERE since = (SELECT max(since) FROM {table})")
    report = await verify(facts, store, model)
    assert report["different"] >= 1
    assert report["first_difference"]["table"] == name


async def first_filled(pool: Any, store: ProjectionStore, model: ReadModel) -> str | None:
    for table in model.tables:
        if await pool.fetchval(f"SELECT count(*) FROM {store.schema}.{table.name}"):
            return table.name
    return None


async def test_two_projectors_write_every_row_once(pool: Any, store: ProjectionStore) -> None:
    log = await ledgers.desk(commit=1)
    facts = Facts(log, "main")
    await rebuild_all(facts, store, MODELS)
    await pool.execute(f"UPDATE {store.schema}.checkpoints SET fingerprint = fingerprint")
    async with projecting(facts, store) as one, projecting(facts, store) as other:
        await reached(one, EVENTS, ledgers.END)
        await reached(other, EVENTS, ledgers.END)
    assert await every_row(pool, store) == folded()


async def test_a_projector_that_dies_anywhere_loses_and_doubles_nothing(pool: Any, store: ProjectionStore) -> None:
    facts = Facts(await ledgers.desk(commit=3), "main")
    for model in MODELS:
        await rebuild(Facts(MemoryLog(), "main"), store, model)
    deaths = iter(range(1, 40))

    class Killed(Exception):
        pass

    class Dying(ProjectionStore):
        """Every few writes, before or behind the commit, the process is gone."""

        async def write(self, source: Any, stretches: Any) -> None:
            death = next(deaths, None)
            if death is not None and death % 2:
                raise Killed
            await super().write(source, stretches)
            if death is not None:
                raise Killed

    for _ in range(20):
        with pytest.raises(Killed):
            await Projector(_slow(facts), Dying(pool, store.schema[6:-1]), MODELS).run()
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    assert await every_row(pool, store) == folded()


def _slow(facts: Facts) -> Any:
    """One fact a page, so that there are many places to die."""

    class OneByOne:
        end, read = facts.end, facts.read

        async def follow(self, source: Any, after: int, wanted: frozenset[str]) -> AsyncIterator[Any]:
            async for page in facts.follow(source, after, wanted):
                for fact in page.facts:
                    yield page._replace(facts=[fact], position=fact.position)
                yield page._replace(facts=[])

    return OneByOne()


async def test_a_checkpoint_that_another_moved_stores_nothing(pool: Any, store: ProjectionStore) -> None:
    facts = Facts(await ledgers.desk(), "main")
    await rebuild(facts, store, equity.MODEL)
    before = await every_row_of(pool, store, "equity")
    folding = Folding(equity.MODEL.folds[0])
    folding.take(golden("ledger"), EVENTS)
    with pytest.raises(Conflict, match=f"equity no longer stands at ledger {HALF}"):
        await store.write("ledger", [Stretch("equity", HALF, Checkpoint(EVENTS), folding.made())])
    assert await every_row_of(pool, store, "equity") == before


async def every_row_of(pool: Any, store: ProjectionStore, table: str) -> list[Any]:
    return [tuple(row) for row in await pool.fetch(f"SELECT * FROM {store.schema}.{table} ORDER BY since")]


async def test_a_rebuild_beside_a_live_projector_never_shows_an_empty_table(pool: Any, store: ProjectionStore) -> None:
    facts = Facts(await ledgers.desk(), "main")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
        full = len(await every_row_of(pool, store, "equity"))
        asking, counts = True, set()

        async def ask() -> None:
            while asking:
                counts.add(await pool.fetchval(f"SELECT count(*) FROM {store.schema}.equity"))

        asker = asyncio.create_task(ask())
        for _ in range(3):
            await rebuild(facts, store, equity.MODEL)
        asking = False
        await asker
    assert counts == {full}
    assert await every_row(pool, store) == folded()


async def test_a_model_of_another_version_is_built_anew(pool: Any, store: ProjectionStore) -> None:
    facts = Facts(await ledgers.desk(), "main")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    await pool.execute(f"UPDATE {store.schema}.checkpoints SET fingerprint = 'older'")
    await pool.execute(f"DELETE FROM {store.schema}.equity")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    assert await every_row(pool, store) == folded()
    built = await store.load("equity")
    assert {built[source][0] for source in built} == {fingerprint(equity.MODEL)}


async def test_a_dropped_schema_is_unavailable_and_comes_back_equal(pool: Any, store: ProjectionStore) -> None:
    facts = Facts(await ledgers.desk(), "main")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    await pool.execute(f"DROP SCHEMA {store.schema} CASCADE")
    with pytest.raises(Unavailable, match="built again from the log"):
        await store.load("equity")
    async with projecting(facts, store) as projector:
        await reached(projector, EVENTS, ledgers.END)
    assert await every_row(pool, store) == folded()


async def test_as_of_says_what_the_live_model_said_at_that_moment(pool: Any, store: ProjectionStore) -> None:
    """The ledger grows by random commits; what the tables hold as current then is asked for again at the end."""
    numbers = [fact.position for fact in golden("ledger")]
    cuts = numbers[:: max(1, len(numbers) // 12)]
    said: dict[int, dict[str, list[Any]]] = {}
    tables = [table for model in MODELS for fold in model.folds if fold.source == "ledger" for table in fold.tables]
    for cut in cuts:
        facts = Facts(await copied(MemoryLog(), cut), "main")
        async with projecting(facts, store) as projector:
            await reached(projector, cut)
        said[cut] = {table.name: await shown(pool, store, table.name, f"until = {END}") for table in tables}
    for cut, then in said.items():
        for table in tables:
            now = await shown(pool, store, table.name, f"since <= {cut} AND until > {cut}")
            assert now == then[table.name], (table.name, cut)


async def shown(pool: Any, store: ProjectionStore, table: str, which: str) -> list[Any]:
    """The rows that a condition chooses, without the positions that they held for."""
    rows = await pool.fetch(f"SELECT * FROM {store.schema}.{table} WHERE {which}")
    return sorted((tuple(row)[:-2] for row in rows), key=repr)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_sql_of_a_model_has_every_column_that_its_fold_fills(model: ReadModel) -> None:
    for table in model.tables:
        block = schema(model).partition(f"CREATE TABLE {table.name} ")[2].partition(");")[0]
        named = [line.split()[0] for line in block.splitlines()[1:] if line.strip()]
        assert [name for name in named if name not in ("PRIMARY", "CHECK")] == [
            *table.key,
            *table.columns,
            "since",
            "until",
        ]
