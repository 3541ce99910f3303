"""Benchmarks of the read models: building them anew, asking them of any moment, and from event to row."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import asyncpg

from adapters.checkpoint_news import News, checkpoint_news
from adapters.projection_store import CHANNEL
from adapters.read_models import ReadModels, reader_pool
from domain.errors import InvalidInput
from domain.ports import END
from ops.bench.figure import Figure, per_second, percentile_ms, seconds_since
from ops.bench.read_desk import DESK, USUAL, ReadDesk, appended, first_events, moment, read_desk, served
from ops.composition import written_late
from ops.rebuild import rebuild_all
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS, read_model
from projections.projection import ReadModel
from projections.queries import Queries

REBUILD_MINUTES, AS_OF_MINUTES = 185_000, 1_100_000
LIBRARY_EVENTS = 3_000
MOMENTS, PAGE = 500, 50
ROWS = 1_000
WARM = 50  # of each, that do not count
DEADLINE_S = 60.0


async def projection_rebuild(folder: Path) -> AsyncIterator[Figure]:
    """Every read model built anew, the slowest of them alone, and the library's runner with the same read models."""
    runner = _library()
    async with read_desk(folder, REBUILD_MINUTES, USUAL) as desk:
        alone = {model.name: await _rebuilt(desk, model) for model in READ_MODELS}
        first, compared = await first_events(desk, LIBRARY_EVENTS), []
        for name, models in (("_equity", [read_model("equity")]), ("", READ_MODELS)):
            took = min([await _rebuilt(desk, *models) for _ in range(3)])
            run = partial(runner, desk.dsn, first, models)
            library = min([await asyncio.to_thread(run, f"library{name}_{number}") for number in range(3)])
            await _must_agree(desk, models, f"library{name}_0", first[-1].number)
            compared.append((name, models, per_second(desk.events, took), per_second(len(first), library)))
    how = (
        f"from {desk.events:,} events of workload B traded by {USUAL[0]}, mostly minute marks as in a real year; read "
        "from the log, folded, stored beside the live ones, put in their place"
    )
    slowest, together = max(alone, key=alone.__getitem__), compared[-1][2]
    value = per_second(desk.events, alone[slowest])
    yield Figure("projection_rebuild_slowest", value, "events/s", f"all in one pass ({together:,.0f} events/s)",
                 round(value / together, 2), f"{slowest} alone, the slowest, once; {how}")  # fmt: skip
    for name, models, ours, theirs in compared:
        built = f"{models[0].name} alone" if len(models) == 1 else f"all {len(models)} read models in one pass"
        yield Figure(
            f"projection_rebuild{name}", ours, "events/s",
            "the eventsourcing library's ProjectionRunner, a transaction an event, making the same rows of the same "
            f"read models in the same PostgreSQL of the first {len(first):,} of these events ({theirs:,.0f} events/s)",
            round(ours / theirs, 1), f"{built} {how}; both best of 3",
        )  # fmt: skip


async def as_of(folder: Path) -> AsyncIterator[Figure]:
    """Status and a page of orders at random moments of a long past, in turn with the newest moment."""
    async with read_desk(folder, AS_OF_MINUTES) as desk, reader_pool(desk.dsn, DESK) as pool:
        await _rebuilt(desk, *READ_MODELS)
        queries, chosen = Queries(ReadModels(pool), DESK), random.Random(42)
        newest = (await queries.newest()).at
        past = [moment(chosen.randrange(1, desk.events), desk) for _ in range(MOMENTS + WARM)]
        asked: dict[str, Callable[[AsOf], Awaitable[object]]] = {
            "as_of_orders": lambda at: queries.orders(at, limit=PAGE),
            "as_of": queries.status,
        }
        took = {name: await _asked_in_turn(ask, past, newest) for name, ask in asked.items()}
    for name, (then, now) in took.items():
        what = f"a page of {PAGE} orders" if name == "as_of_orders" else "status"
        for percent in (50, 99):
            value, base = percentile_ms(then, percent), percentile_ms(now, percent)
            yield Figure(
                f"{name}_p50" if percent == 50 else name, value, "ms", f"the newest moment, p{percent} ({base} ms)",
                round(value / base, 2),
                f"{what} at {MOMENTS} random moments of {desk.events:,} events, one after the other, p{percent}",
            )  # fmt: skip


async def event_to_row(folder: Path) -> AsyncIterator[Figure]:
    """One event at a time, from durable in the ledger to its row before a reader, the projector in another process."""
    async with read_desk(folder, 10_000) as desk, checkpoint_news(desk.dsn, DESK) as news:
        await _rebuilt(desk, *READ_MODELS)
        reader, writer = await asyncpg.connect(desk.dsn), await asyncpg.connect(written_late(desk.dsn))
        try:
            await reader.execute(f"SET search_path = {desk.store.schema}")
            await writer.execute("CREATE TABLE bare (number bigint)")
            shown, bare = list[int](), list[int]()
            async with served(desk.settings, "projector"):
                async for number, durable_ns in appended(desk):
                    if len(bare) == ROWS + WARM:
                        break
                    shown.append(await _seen(reader, news, "equity", number) - durable_ns)
                    started = time.monotonic_ns()
                    async with writer.transaction():
                        await writer.execute("INSERT INTO public.bare VALUES ($1)", number)
                        await writer.execute("SELECT pg_notify($1, $2)", CHANNEL, desk.store.schema)
                    bare.append(await _seen(reader, news, "public.bare", number) - started)
        finally:
            await asyncio.gather(reader.close(), writer.close())
    for percent in (50, 99):
        value, base = percentile_ms(shown[WARM:], percent), percentile_ms(bare[WARM:], percent)
        yield Figure(
            "event_to_row_p50" if percent == 50 else "event_to_row", value, "ms",
            f"a bare row inserted, told and read, p{percent} ({base} ms)", round(value / base, 2),
            f"{ROWS:,} single minute marks, from their append to the ledger returned until a reader that was told has "
            f"the row of equity; the projector keeps all {len(READ_MODELS)} read models, p{percent}",
        )  # fmt: skip


# -- parts ---------------------------------------------------------------------------------------------------------


async def _rebuilt(desk: ReadDesk, *models: ReadModel) -> float:
    """Seconds to build read models anew."""
    started = time.perf_counter()
    await rebuild_all(desk.facts, desk.store, models)
    return seconds_since(started)


def _library() -> Callable[..., float]:
    try:
        from ops.bench.library_runner import run_library
    except ImportError as error:
        raise InvalidInput(
            f"projection_rebuild runs the eventsourcing library on PostgreSQL beside the desk, and {error.name} is "
            "missing for that: run `make setup`"
        ) from None
    return run_library


async def _must_agree(desk: ReadDesk, models: Sequence[ReadModel], library: str, last: int) -> None:
    """The library's tables say what ours do, up to a ledger number."""
    folds = [fold for model in models for fold in model.folds if fold.source == "ledger"]
    connection = await asyncpg.connect(desk.dsn)
    try:
        for table in (table for fold in folds for table in fold.tables):
            columns = ", ".join([*table.key, *table.columns, "since"])
            ended = f"CASE WHEN until > {last} THEN {END} ELSE until END"
            ours = f"SELECT {columns}, {ended} FROM {desk.store.schema}.{table.name} WHERE since <= {last}"
            theirs = f"SELECT {columns}, until FROM {library}.{table.name}"
            either = f"(({ours}) EXCEPT ({theirs})) UNION ALL (({theirs}) EXCEPT ({ours}))"
            different = await connection.fetchval(f"SELECT count(*) FROM ({either}) AS different")
            assert not different, f"{table.name}: {different} rows differ"
    finally:
        await connection.close()


async def _asked_in_turn(
    ask: Callable[[AsOf], Awaitable[object]], past: list[AsOf], newest: AsOf
) -> tuple[list[int], list[int]]:
    """Durations in ns at every moment of the past, and between them at the newest; the first few do not count."""
    then, now = list[int](), list[int]()
    for place in past:
        for at, taken in ((place, then), (newest, now)):
            started = time.perf_counter_ns()
            await ask(at)
            taken.append(time.perf_counter_ns() - started)
    return then[WARM:], now[WARM:]


async def _seen(reader: "asyncpg.Connection[asyncpg.Record]", news: News, table: str, number: int) -> int:
    """When a reader sees a row: it looks whenever it is told that there is something new."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            news.moved.clear()
            if await reader.fetchval(f"SELECT 1 FROM {table} WHERE number = $1", number):
                return time.monotonic_ns()
            await news.moved.wait()
