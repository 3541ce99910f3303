"""Building a read model from the first fact on: beside the live one to take its place, or to be compared with it."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from adapters.facts import Facts
from adapters.projection_store import Building, ProjectionStore
from domain.ports import Checkpoint, Made, Source
from projections.catalogue import fingerprint, schema
from projections.projection import Folding, ReadModel, event_names

Told = Callable[[str, int, int], None]  # source, facts' position, its end


async def rebuild(
    facts: Facts, store: ProjectionStore, model: ReadModel, told: Told | None = None
) -> Mapping[str, int]:
    """Build a read model and put it in the live one's place, which is asked and kept current until then.

    Returns the position that it stands at, by source.
    """
    async with store.building(model.name, schema(model)) as building:
        foldings = {fold.source: Folding(fold) for fold in model.folds}
        checkpoints: dict[Source, Checkpoint] = {}
        while True:
            for source, folding in foldings.items():
                checkpoints[source] = await _build(facts, building, folding, checkpoints.get(source), told)
            if await building.swap(model.name, fingerprint(model), model.tables, checkpoints):
                return {source: at.position for source, at in checkpoints.items()}


async def verify(facts: Facts, store: ProjectionStore, model: ReadModel, told: Told | None = None) -> Mapping[str, Any]:
    """Compare a live read model with a fold from zero, at the live one's checkpoint.

    Returns `checked` (versions of rows), `different`, and `first_difference` (None, or table, which side, row).
    """
    live = {source: at for source, (_, at) in (await store.load(model.name)).items()}
    report: dict[str, Any] = {"model": model.name, "checked": 0, "different": 0, "first_difference": None}
    async with store.building(model.name, schema(model), "check") as building:
        for fold in model.folds:
            until = live[fold.source].position if fold.source in live else 0
            await _build(facts, building, Folding(fold), None, told, until)
            for table in fold.tables:
                checked, different, first = await building.compare(table, until)
                report["checked"] += checked
                report["different"] += different
                report["first_difference"] = report["first_difference"] or first
    return report


async def _build(
    facts: Facts,
    building: Building,
    folding: Folding,
    at: Checkpoint | None,
    told: Told | None,
    until: int | None = None,
) -> Checkpoint:
    """Fold on to the source's end, or to `until`. At first, versions are stored as they end, the rest last."""
    source, first = folding.fold.source, at is None
    at = at or Checkpoint(memory=folding.remembered())
    end = await facts.end(source) if until is None else until
    if end > folding.position:
        async with aclosing(facts.read(source, folding.position, event_names([folding.fold]))) as pages:
            async for page in pages:
                position = min(page.position, end) if until is not None else page.position
                folding.take([fact for fact in page.facts if fact.position <= position], position)
                at = Checkpoint(position, None, page.time_ns, page.recorded_at_ns)
                if first:
                    await building.add(
                        [Made(table, folding.versions[table.name].take_closed(), {}) for table in folding.fold.tables]
                    )
                if told:
                    told(source, position, end)
                if position >= end:
                    break
    made = folding.made()
    await building.add([Made(table, versions, {}) for table, versions, _ in made] if first else made)
    folding.renew()
    return at._replace(memory=folding.remembered())
