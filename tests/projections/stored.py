"""Read models in a real PostgreSQL that stand wherever a test wants them, and what they must say there.

- `StoredDesk(pool, FACTS)` begins empty; `grow(at)` folds on to a moment, as a projector would that was told no more.
- `said("orders", at)`: the rows of a table by plain Python over the versions that a fold in memory made.
- `FACTS`: the golden script's tape and ledger, and a day of its services.
"""

import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import asyncpg

from adapters.postgres_server import PostgresServer
from adapters.projection_store import ProjectionStore, Stretch
from adapters.read_models import ReadModels, reader_pool
from domain.operations import (
    BreakerClosed,
    BreakerOpened,
    EmergencyStopped,
    OpsEvent,
    Recovery,
    ServiceFailed,
    ServiceRestarted,
    ServiceStarted,
    Severity,
)
from domain.ports import Checkpoint, Fact, Source, Table
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS, fingerprint, schema
from projections.projection import Fold, Folding, ReadModel
from projections.queries import Queries
from tests.canonical_governance import OPERATIONS
from tests.projections import folds
from tests.projections.folds import RECORDED, golden, governed

Facts = Mapping[Source, Sequence[Fact]]
Row = dict[str, Any]


def ops(*events: OpsEvent) -> list[Fact]:
    """Events as facts of OPS; other subjects take every second sequence of the stream."""
    return [Fact(2 * place, RECORDED + place, event) for place, event in enumerate(events, 1)]


def failed(second: int, service: str, **fields: Any) -> ServiceFailed:
    """A service that the log left, and that is started again after half a second unless said otherwise."""
    told: Row = {
        "service": service, "occurred_at_ns": second * 10**9, "error": "Unavailable", "recovery": Recovery.RETRY,
        "message": "the log does not answer", "severity": Severity.MEDIUM, "retry_seconds": 0.5,
    }  # fmt: skip
    return ServiceFailed(**told | fields)


SERVICES = ops(
    ServiceStarted(service="ws", occurred_at_ns=10**9, version="0.2.0"),
    ServiceStarted(service="core", occurred_at_ns=2 * 10**9, version="0.2.0"),
    failed(3, "core"),
    BreakerOpened(service="ws", occurred_at_ns=4 * 10**9, dependency="nats", failures=5, last_error="TimeoutError",
                  open_seconds=30.0),
    ServiceRestarted(service="core", occurred_at_ns=5 * 10**9, version="0.2.0", attempt=1),
    BreakerClosed(service="ws", occurred_at_ns=6 * 10**9, dependency="nats"),
    failed(7, "core", severity=Severity.CRITICAL, recovery=Recovery.EMERGENCY_STOP, retry_seconds=None),
    EmergencyStopped(service="core", occurred_at_ns=8 * 10**9, reason="core: the tape is broken", attempts=2),
    *OPERATIONS.values(),
)  # fmt: skip

GOVERNED = governed()
FACTS: Facts = {"tape": golden("tape"), "ledger": golden("ledger"), "ops": SERVICES, "governance": GOVERNED}


def end(facts: Facts = FACTS) -> AsOf:
    """The moment of the newest fact of every source."""
    return AsOf(**{source: told[-1].position for source, told in facts.items() if told})


class StoredDesk:
    """A desk's read models in a schema that no other test knows."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", facts: Facts = FACTS) -> None:
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.store = ProjectionStore(pool, self.name)
        self._facts = facts
        self._folding = [(model, Folding(fold)) for model in READ_MODELS for fold in model.folds]

    async def begin(self) -> None:
        """Empty tables."""
        await self.store.prepare()
        for model in READ_MODELS:
            await self.swap(model)

    async def swap(self, model: ReadModel) -> None:
        """Empty tables of a model in the place of those there are."""
        async with self.store.building(model.name, schema(model)) as building:
            empty = {fold.source: Checkpoint() for fold in model.folds}
            assert await building.swap(model.name, fingerprint(model), model.tables, empty)

    async def grow(self, at: AsOf, models: Sequence[str] = ()) -> None:
        """Fold on to a moment; only some models when they are named."""
        for model, folding in self._folding:
            source = folding.fold.source
            if at.of(source) <= folding.position or (models and model.name not in models):
                continue
            before, facts = folding.position, self._facts.get(source, ())
            folding.take([fact for fact in facts if fact.position <= at.of(source)], at.of(source))
            stands = Checkpoint(folding.position, folding.remembered(), *_times(source, facts, folding.position))
            await self.store.write(source, [Stretch(model.name, before, stands, folding.made())])
            folding.renew()


@asynccontextmanager
async def standing(postgres_server: PostgresServer, facts: Facts) -> AsyncIterator[Queries]:
    """A desk at the end of these facts."""
    async with asyncpg.create_pool(postgres_server.dsn, min_size=1) as pool:
        desk = StoredDesk(pool, facts)
        await desk.begin()
        await desk.grow(end(facts))
        async with reader_pool(postgres_server.dsn, desk.name) as readers:
            yield Queries(ReadModels(readers), desk.name)
        await pool.execute(f"DROP SCHEMA {desk.store.schema} CASCADE")


def _times(source: Source, facts: Sequence[Fact], position: int) -> tuple[int | None, int]:
    """The market's time and the log's at a position."""
    last = [fact for fact in facts if fact.position <= position][-1]
    return last.event.occurred_at_ns if source == "tape" else None, last.recorded_at_ns


# -- what must be said -------------------------------------------------------------------------------------------------


def said(table: str, at: AsOf) -> list[Row]:
    """The rows of a table at a moment of FACTS, in the order of its key, with what is JSON in them read."""
    fold, versions = _versions(table)
    position = at.of(fold.source)
    return [row for since, until, row in versions if since <= position < until]


@cache
def _versions(name: str) -> tuple[Fold, list[tuple[int, int, Row]]]:
    model, fold, table = next(
        (model, fold, table)
        for model in READ_MODELS
        for fold in model.folds
        for table in fold.tables
        if table.name == name
    )
    found = folds.versions(model, name, FACTS[fold.source])
    rows = [(key, since, until, _named(table, key) | _read(row)) for key, since, until, row in found]
    return fold, [(since, until, row) for _, since, until, row in sorted(rows, key=lambda version: version[0])]


def _named(table: Table, key: tuple[Any, ...]) -> Row:
    return dict(zip(table.key, key, strict=True))


def _read(row: Row) -> Row:
    stored = {name: row[name] for name in ("content", "details", "rules", "sizing") if row.get(name) is not None}
    return row | {name: json.loads(text) for name, text in stored.items()}
