"""Building read models anew, several in one pass: as a fold from zero says, whatever happens meanwhile."""

import gc
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from adapters.facts import Facts
from adapters.projection_store import ProjectionStore
from domain.errors import Unavailable
from domain.ports import Fact, FactPage, Source
from ops.rebuild import rebuild, rebuild_all, verify
from projections import blotter, equity
from projections.catalogue import READ_MODELS
from projections.projection import Folding
from tests.ops import ledgers
from tests.ops.test_projector import every_row, folded
from tests.projections.folds import golden

EVENTS = len(ledgers.LINES)
HALF = EVENTS // 2
PAGE = 100
SOURCES = {fold.source for model in READ_MODELS for fold in model.folds}


class Told(Facts):
    """Facts in small pages, which count how often each source is read. The ledger's first ends are `ends`, one after
    the other, and nothing stands behind the end told last; a `broken` one fails behind its first page."""

    def __init__(self, *given: Any, ends: Sequence[int] = (), broken: bool = False) -> None:
        super().__init__(*given)
        self.read_of: Counter[Source] = Counter()
        self._ends, self._broken = list(ends), broken
        self._last: dict[Source, int] = {}

    async def end(self, source: Source) -> int:
        self._last[source] = self._ends.pop(0) if source == "ledger" and self._ends else await super().end(source)
        return self._last[source]

    async def read(self, source: Source, after: int, wanted: frozenset[str]) -> AsyncGenerator[FactPage, None]:
        self.read_of[source] += 1
        async for page in super().read(source, after, wanted):
            last = self._last.get(source, page.position)
            for start in range(0, len(page.facts), PAGE):
                facts = [fact for fact in page.facts[start : start + PAGE] if fact.position <= last]
                if facts:
                    yield page._replace(facts=facts, position=facts[-1].position)
                if self._broken and source == "ledger":
                    raise Unavailable("the log is gone")
            yield page._replace(facts=[], position=min(page.position, last))


async def told(**how: Any) -> Told:
    return Told(await ledgers.desk(), "main", **how)


async def schemas(pool: Any, store: ProjectionStore) -> set[str]:
    rows = await pool.fetch("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)", store.schema.strip('"'))
    return {row["nspname"] for row in rows}


async def test_models_built_together_hold_what_a_fold_from_zero_gives_and_read_every_source_once(
    pool: Any, store: ProjectionStore
) -> None:
    facts = await told()
    stands = await rebuild_all(facts, store, READ_MODELS)
    assert await every_row(pool, store) == folded()
    assert facts.read_of == {source: 1 for source in SOURCES if await facts.end(source)}
    assert {name: set(at) for name, at in stands.items()} == {
        model.name: {fold.source for fold in model.folds} for model in READ_MODELS
    }
    assert {at["ledger"] for at in stands.values() if "ledger" in at} == {EVENTS}
    for model in READ_MODELS:
        live = {source: at.position for source, (_, at) in (await store.load(model.name)).items()}
        assert live == stands[model.name]


async def test_models_whose_live_ones_are_ahead_are_built_on_until_they_are_not(
    pool: Any, store: ProjectionStore
) -> None:
    await rebuild(await told(), store, blotter.MODEL)
    facts = await told(ends=[HALF])
    stands = await rebuild_all(facts, store, READ_MODELS)
    rows, whole = await every_row(pool, store), folded()
    assert {name: rows[name] for name in ("orders", "fills")} == {name: whole[name] for name in ("orders", "fills")}
    assert stands["blotter"]["ledger"] == EVENTS
    assert stands["equity"]["ledger"] == HALF
    assert facts.read_of["ledger"] == 2
    for model in READ_MODELS:
        assert (await verify(await told(), store, model))["different"] == 0


async def test_a_build_stores_every_page_before_it_reads_the_next(store: ProjectionStore) -> None:
    """So that it takes no more memory than a page, however long the ledger is."""
    stored: list[tuple[int, int]] = []

    class Watched(ProjectionStore):
        async def add(self, made: Any) -> None:
            since = [version.since for _, of_it in made for one in of_it for version in one.versions]
            if since:
                stored.append((min(since), max(since)))
            await super().add(made)

    await rebuild(await told(), Watched(store._pool, store.schema[6:-1]), equity.MODEL)
    assert len(stored) > 2
    assert all(before[1] < after[0] for before, after in pairwise(stored))


async def test_a_build_that_fails_leaves_the_live_models_as_they_were_and_nothing_beside_them(
    pool: Any, store: ProjectionStore
) -> None:
    await rebuild_all(await told(), store, READ_MODELS)
    before = await every_row(pool, store)
    with pytest.raises(Unavailable, match="the log is gone"):
        await rebuild_all(await told(broken=True), store, READ_MODELS)
    assert gc.isenabled()
    assert await every_row(pool, store) == before
    assert await schemas(pool, store) == {store.schema.strip('"')}


async def test_a_build_whose_storing_fails_says_so_and_replaces_nothing(pool: Any, store: ProjectionStore) -> None:
    await rebuild_all(await told(), store, READ_MODELS)
    before = await every_row(pool, store)

    class Twice(ProjectionStore):
        async def add(self, made: Any) -> None:
            await super().add(made)
            await super().add(made)

    with pytest.raises(asyncpg.UniqueViolationError):
        await rebuild_all(await told(), Twice(pool, store.schema[6:-1]), READ_MODELS)
    assert await every_row(pool, store) == before


def test_a_row_that_is_called_by_its_own_position_ends_none_before_it() -> None:
    folding = Folding(blotter.MODEL.folds[0])
    facts: Sequence[Fact] = golden("ledger")
    for fact in facts:
        folding.take([fact], fact.position)
        for made in folding.made():
            assert (fact.position,) not in made.replaced
            assert set(made.replaced) == {version.key for version in made.versions} - {(fact.position,)}
        folding.renew()
