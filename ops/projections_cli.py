"""The read models as the command line asks for them: how far they are, built anew, compared with a fold from zero, and
told as documents.

Everything works beside a desk that runs and on one that rests: an embedded PostgreSQL is started for it.
"""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from adapters.facts import Facts
from adapters.jetstream import JetStreamLog
from adapters.projection_store import ProjectionStore
from adapters.read_models import ReadModels, reader_pool
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput
from domain.tape import utc
from gateways.asked_moment import Asked
from gateways.terminal import Progressing
from ops.composition import open_log, open_postgres, open_store
from ops.desk_status import moment_of
from ops.moments import Moments
from ops.projector import Projector
from ops.rebuild import Told, rebuild_all, verify
from ops.session import beside
from ops.settings import Settings
from ops.tape_lookup import must_stand
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS, fingerprint, read_model
from projections.documents import DOCUMENTS
from projections.projection import ReadModel
from projections.queries import Queries


class _ReadSide(NamedTuple):
    """What the commands work on."""

    log: JetStreamLog
    facts: Facts
    store: ProjectionStore
    dsn: str


class ProjectionOperations:
    """Implements gateways.cli_projections.ProjectionOperations."""

    _settings: Settings

    async def projections(self) -> Sequence[Mapping[str, Any]]:
        """Every read model's place in each of its sources, and how far that is from the log's end."""
        async with read_side_of(self._settings) as (_, facts, store, _):
            return [row for model in READ_MODELS for row in await _places(facts, store, model)]

    async def rebuild(self, names: Sequence[str], progress: Progressing) -> Sequence[Mapping[str, Any]]:
        """Build read models anew, beside the ones that are asked meanwhile. No names: all of them."""
        models = _models(names)
        async with read_side_of(self._settings) as (_, facts, store, _):
            started = time.perf_counter()
            built = await rebuild_all(facts, store, models, _told(progress, "building", models))
            seconds = round(time.perf_counter() - started, 3)  # of all: they are built in one pass
            return [{"model": name, "positions": dict(stands), "seconds": seconds} for name, stands in built.items()]

    async def verify_projections(self, names: Sequence[str], progress: Progressing) -> Sequence[Mapping[str, Any]]:
        """Compare read models with a fold from zero. Raises InvalidInput for one that is not built."""
        models = _models(names)
        async with read_side_of(self._settings) as (_, facts, store, _):
            for model in models:
                if not await _is_built(store, model):
                    raise InvalidInput(
                        f"the read model {model.name} is not built, or of another version; a projector builds it "
                        f"(`cdb up`), or `cdb projections rebuild {model.name}`"
                    )
            return [await verify(facts, store, model, _told(progress, "checking", [model])) for model in models]

    async def documents(self, folder: Path, asked: Asked, progress: Progressing) -> Mapping[str, Any]:
        """Write the documents of a moment; read models that are behind it are brought there first."""
        desk = self._settings.desk
        async with read_side_of(self._settings) as (log, facts, store, dsn):
            at, moments = await moment_of(log, desk, asked), Moments(log, desk)
            market_ns, recorded_ns = await moments.times(at)
            projector = Projector(facts, store, READ_MODELS)
            progress("read models", 0, 1, "")
            await beside(projector.run(), caught_up(projector, at))
            progress("read models", 1, 1, "")
            async with reader_pool(dsn, desk) as pool:
                queries = Queries(ReadModels(pool), desk)
                texts = {name: await queries.document(name, at, market_ns, recorded_ns) for name in DOCUMENTS}
        return {
            "desk": desk,
            "as_of": at.token(desk),
            "market_time": None if market_ns is None else utc(market_ns),
            "recorded_time": None if recorded_ns is None else utc(recorded_ns),
            "files": [str(_replaced(folder / f"{name}.md", text)) for name, text in texts.items()],
        }


@asynccontextmanager
async def read_side_of(settings: Settings) -> AsyncIterator[_ReadSide]:
    """The log, its facts and the read models of a desk. Raises InvalidInput for a desk without a tape, Unavailable."""
    async with open_log(settings) as log, open_postgres(settings) as postgres:
        await must_stand(log, StoredTape(log, settings.desk))
        dsn = await postgres.start()
        async with open_store(dsn, settings.desk) as store:
            yield _ReadSide(log, Facts(log, settings.desk), store, dsn)


def _models(names: Sequence[str]) -> Sequence[ReadModel]:
    return [read_model(name) for name in names] or READ_MODELS


def _told(progress: Progressing, what: str, models: Sequence[ReadModel]) -> Told:
    name = models[0].name if len(models) == 1 else f"{len(models)} read models"
    return lambda source, done, end: progress(f"{what} {name} from the {source}", done, end, "facts")


async def _is_built(store: ProjectionStore, model: ReadModel) -> bool:
    built = await store.load(model.name)
    return {source: built[source][0] for source in built} == {fold.source: fingerprint(model) for fold in model.folds}


async def _places(facts: Facts, store: ProjectionStore, model: ReadModel) -> list[dict[str, Any]]:
    built, rows = await store.load(model.name), []
    for source in (fold.source for fold in model.folds):
        found, at = built.get(source, ("", None))
        end = max(await facts.end(source), at.position if at else 0)
        state = "not built" if at is None else "current" if at.position == end else "behind"
        rows.append(
            {
                "model": model.name,
                "source": source,
                "state": state if at is None or found == fingerprint(model) else "of another version",
                "position": at.position if at else 0,
                "end": end,
                "behind": end - (at.position if at else 0),
                "market_time": utc(at.time_ns) if at and at.time_ns is not None else None,
                "recorded_at": utc(at.recorded_at_ns) if at and at.recorded_at_ns else None,
            }
        )
    return rows


async def caught_up(projector: Projector, at: AsOf) -> None:
    """Wait until the read models hold a moment."""
    for source in {fold.source for model in READ_MODELS for fold in model.folds}:
        await projector.reached(source, at.of(source))


def _replaced(path: Path, text: str) -> Path:
    """The file with this text, at no moment with a part of it. Raises InvalidInput where nothing can be written."""
    data, unfinished = text.encode(), path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise InvalidInput(f"{path} cannot be written: {error.strerror}; choose another folder with --out") from None
    return path
