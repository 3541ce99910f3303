"""Building read models from the first fact on: beside the live ones to take their place, or to be compared with them.

Of all that are built together every source is read once, and what a page of it makes is stored before the next is read:
a build takes no more memory than a page does, however long the ledger is.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from adapters.facts import Facts
from adapters.projection_store import Building, ProjectionStore
from domain.ports import Checkpoint, FactPage, Made, Source
from projections.catalogue import fingerprint, schema
from projections.projection import Fold, Folding, ReadModel, event_names

Told = Callable[[str, int, int], None]  # source, facts' position, its end


async def rebuild(
    facts: Facts, store: ProjectionStore, model: ReadModel, told: Told | None = None
) -> Mapping[Source, int]:
    """As `rebuild_all`, of one read model."""
    return (await rebuild_all(facts, store, [model], told))[model.name]


async def rebuild_all(
    facts: Facts, store: ProjectionStore, models: Sequence[ReadModel], told: Told | None = None
) -> Mapping[str, Mapping[Source, int]]:
    """Build read models and put them in the live ones' place, which are asked and kept current until then.

    Each moves over by itself. Returns the position that it stands at, by name and source.
    """
    built: dict[str, Mapping[Source, int]] = {}
    with _uncollected():
        async with store.building_all({model.name: schema(model) for model in models}) as buildings:
            parts = {model.name: [_Part(buildings[model.name], fold) for fold in model.folds] for model in models}
            while waiting := [model for model in models if model.name not in built]:
                of_all = [part for model in waiting for part in parts[model.name]]
                for source in {part.source: None for part in of_all}:
                    await _build(facts, store, [part for part in of_all if part.source == source], told)
                for model in waiting:
                    checkpoints = {part.source: part.checkpoint() for part in parts[model.name]}
                    building = buildings[model.name]
                    if await building.swap(model.name, fingerprint(model), model.tables, checkpoints):
                        built[model.name] = {source: at.position for source, at in checkpoints.items()}
    return built


async def verify(facts: Facts, store: ProjectionStore, model: ReadModel, told: Told | None = None) -> Mapping[str, Any]:
    """Compare a live read model with a fold from zero, at the live one's checkpoint.

    Returns `checked` (versions of rows), `different`, and `first_difference` (None, or table, which side, row).
    """
    live = {source: at for source, (_, at) in (await store.load(model.name)).items()}
    report: dict[str, Any] = {"model": model.name, "checked": 0, "different": 0, "first_difference": None}
    async with store.building(model.name, schema(model), "check") as building:
        for fold in model.folds:
            until = live[fold.source].position if fold.source in live else 0
            with _uncollected():
                await _build(facts, store, [_Part(building, fold)], told, until)
            for table in fold.tables:
                checked, different, first = await building.compare(table, until)
                report["checked"] += checked
                report["different"] += different
                report["first_difference"] = report["first_difference"] or first
    return report


class _Part:
    """A fold of a read model that is being built."""

    def __init__(self, building: Building, fold: Fold) -> None:
        self.source = fold.source
        self.folding = Folding(fold)
        self._building = building
        self._last: FactPage | None = None

    def take(self, page: FactPage) -> tuple[Building, Sequence[Made]]:
        """Fold a page: what is to be stored of it."""
        self.folding.take(page.facts, page.position)
        self._last, made = page, self.folding.made()
        self.folding.renew()
        return self._building, made

    def checkpoint(self) -> Checkpoint:
        """Where it stands."""
        remembered = self.folding.remembered()
        if self._last is None:
            return Checkpoint(memory=remembered)
        return Checkpoint(self.folding.position, remembered, self._last.time_ns, self._last.recorded_at_ns)


async def _build(
    facts: Facts, store: ProjectionStore, parts: Sequence[_Part], told: Told | None, until: int | None = None
) -> None:
    """Bring parts of one source to its end, or to `until`."""
    source, after = parts[0].source, min(part.folding.position for part in parts)
    end = await facts.end(source) if until is None else until
    if end <= after:
        return
    wanted = event_names(part.folding.fold for part in parts)
    async with aclosing(facts.read(source, after, wanted)) as pages:
        async for read in pages:
            page = read if until is None else _up_to(read, until)
            await store.add([part.take(page) for part in parts])
            if told:
                told(source, page.position, end)
            if page.position >= end:
                break


def _up_to(page: FactPage, until: int) -> FactPage:
    kept = [fact for fact in page.facts if fact.position <= until]
    return page._replace(facts=kept, position=min(page.position, until))


@contextmanager
def _uncollected() -> Iterator[None]:
    """A build makes millions of small objects that go by themselves: to look for cycles in them doubles its time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()
