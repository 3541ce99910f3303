"""The projector: follows every source of the read models and writes what their folds make of it, with checkpoints.

Each source is followed by itself, once for all read models. Two projectors of a desk do no harm: the checkpoint says
who was first, and the other one loads it and goes on from there. What was not written is folded again after a restart.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from adapters.facts import Facts
from adapters.projection_store import ProjectionStore, Stretch
from domain.errors import Conflict, Unavailable
from domain.ports import Checkpoint, FactPage, Source
from gateways.waiting import or_none
from ops.rebuild import rebuild_all
from projections.catalogue import fingerprint
from projections.projection import Folding, ReadModel, event_names

FLUSH_S = 0.25  # how long a checkpoint without new rows may stay behind


class Projector:
    """The read models of one desk, kept current. `positions` are where each source's slowest fold stands."""

    def __init__(self, facts: Facts, store: ProjectionStore, models: Sequence[ReadModel]) -> None:
        self._facts, self._store, self._models = facts, store, models
        self.positions: dict[Source, int] = {}
        self._written = asyncio.Condition()

    async def run(self) -> None:
        """Build what is missing or of another version, then follow for ever. Raises Unavailable, TapeBroken."""
        await self._store.prepare()
        missing = [model for model in self._models if not await self._is_built(model)]
        if missing:
            await rebuild_all(self._facts, self._store, missing)
        sources = {fold.source: None for model in self._models for fold in model.folds}
        keeping = [asyncio.create_task(self._keep(source), name=f"projector of {source}") for source in sources]
        try:
            await asyncio.gather(*keeping)
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def reached(self, source: Source, position: int) -> None:
        """Wait until every read model that hears a source stands at a position of it."""
        async with self._written:
            await self._written.wait_for(lambda: self.positions.get(source, -1) >= position)

    async def _is_built(self, model: ReadModel) -> bool:
        built = await self._store.load(model.name)
        return {source: built[source][0] for source in built} == {f.source: fingerprint(model) for f in model.folds}

    async def _keep(self, source: Source) -> None:
        while True:
            try:
                await self._follow(source)
            except Conflict:
                continue

    async def _follow(self, source: Source) -> None:
        """From the checkpoints on. Raises Conflict where another projector, or a rebuild, moved one."""
        folds = [(model.name, fold) for model in self._models for fold in model.folds if fold.source == source]
        running = []
        for name, fold in folds:
            built = await self._store.load(name)
            if source not in built:
                raise Unavailable(f"the read model {name} is gone, it is built again from the log")
            running.append((name, Folding.resumed(fold, built[source][1])))
        await self._stands(source, running)
        wanted = event_names(fold for _, fold in folds)
        after = min(folding.position for _, folding in running)
        stood_at, written = {name: folding.position for name, folding in running}, time.monotonic()
        async with aclosing(or_none(self._facts.follow(source, after, wanted), FLUSH_S)) as pages:
            async for page in pages:
                if page:
                    last = page
                    for _, folding in running:
                        folding.take(page.facts, page.position)
                moved = [(name, folding) for name, folding in running if folding.position > stood_at[name]]
                stretches = [Stretch(n, stood_at[n], _checkpoint(f, last), f.made()) for n, f in moved]
                waits = time.monotonic() - written < FLUSH_S and not any(stretch.made for stretch in stretches)
                if waits or not stretches:
                    continue
                await self._store.write(source, stretches)
                for name, folding in moved:
                    stood_at[name] = folding.position
                    folding.renew()
                written = time.monotonic()
                await self._stands(source, running)

    async def _stands(self, source: Source, running: Sequence[tuple[str, Folding]]) -> None:
        async with self._written:
            self.positions[source] = min(folding.position for _, folding in running)
            self._written.notify_all()


def _checkpoint(folding: Folding, page: FactPage) -> Checkpoint:
    return Checkpoint(folding.position, folding.remembered(), page.time_ns, page.recorded_at_ns)
