"""The eventsourcing library's own projection runner on PostgreSQL, with the desk's read models behind it.

As its documentation builds a view: a tracking recorder that stores, in one transaction, what an event makes and the
event's position. Folds, tables and the reading of events are the desk's own, so that what differs is the runner.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg import connect
from psycopg.sql import SQL, Composed, Identifier

from domain.events import LEDGER_EVENT
from domain.ports import END, Fact, Made, Recorded, Table
from projections.catalogue import schema
from projections.projection import Folding, ReadModel, event_names

WAIT_S = 300.0


class _AsStored(Mapper[UUID]):
    """Events are read as the desk reads them."""

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return LEDGER_EVENT.validate_json(stored_event.state)


class Ledger(Application[UUID]):
    """The desk's ledger as an application of the library."""

    env: ClassVar[dict[str, str]] = {"MAPPER_TOPIC": f"{__name__}:{_AsStored.__name__}"}


class View(PostgresTrackingRecorder):
    """The tables of `models`, a class of its own for each run."""

    models: ClassVar[Sequence[ReadModel]]

    def __init__(self, datastore: PostgresDatastore, **names: Any) -> None:
        super().__init__(datastore, **names)
        self.sql_create_statements += [Composed([SQL(schema(model))]) for model in self.models]
        self._sql = {table.name: _statements(table) for model in self.models for table in model.tables}

    def put(self, made: Sequence[Made], tracking: Tracking) -> None:
        """What an event makes, and its position, both or none."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            for table, versions, replaced in made:
                end, insert = self._sql[table.name]
                for key, since in replaced.items():
                    cursor.execute(end, (since, *key), prepare=True)
                for version in versions:
                    row = (*version.key, *version.values, version.since, version.until)
                    cursor.execute(insert, row, prepare=True)


class LedgerProjection(Projection[View]):
    """The folds of the ledger. `began` and `ended` are of the first and the newest event, in seconds."""

    name = "ledger"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._foldings = [Folding(fold) for model in view.models for fold in model.folds if fold.source == "ledger"]
        self.topics = tuple(event_names(folding.fold for folding in self._foldings))
        self.began = self.ended = 0.0

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.began = self.began or time.perf_counter()
        fact, made = Fact(domain_event.number, 0, domain_event), list[Made]()
        for folding in self._foldings:
            folding.take([fact], fact.position)
            made += folding.made()
            folding.renew()
        self.view.put(made, tracking)
        self.ended = time.perf_counter()


def run_library(dsn: str, events: Sequence[Recorded], models: Sequence[ReadModel], name: str) -> float:
    """Seconds from the runner's first event to its last one stored, in a new schema of that name. Blocks. Commits do
    not wait for the disk, as the desk's own for its read models."""
    with connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET synchronous_commit = off")
        connection.execute(SQL("ALTER ROLE CURRENT_USER SET search_path = {}").format(Identifier(name)))
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    env = _environment(dsn, name)
    app = Ledger(env)
    stored = [_stored(event) for event in events]
    for start in range(0, len(stored), 500):
        app.recorder.insert_events(stored[start : start + 500])
    app.close()
    with ProjectionRunner(
        application_class=Ledger,
        projection_class=LedgerProjection,
        view_class=type("View", (View,), {"models": models}),
        env=env,
    ) as runner:
        projection = runner.projection
        assert isinstance(projection, LedgerProjection)
        last = max(number for number, event in enumerate(stored, 1) if event.topic in projection.topics)
        runner.wait(last, timeout=WAIT_S)
    return projection.ended - projection.began


def _statements(table: Table) -> tuple[Composed, Composed]:
    """How the version of a row that holds is ended, and how a version is stored."""
    same = SQL(" AND ").join(SQL("{} = %s").format(Identifier(name)) for name in table.key)
    places = SQL(", ").join([SQL("%s")] * (len(table.key) + len(table.columns) + 2))
    end = SQL("UPDATE {} SET until = %s WHERE {} AND until = {}").format(Identifier(table.name), same, END)
    columns = SQL(", ").join(Identifier(name) for name in (*table.key, *table.columns, "since", "until"))
    return end, SQL("INSERT INTO {} ({}) VALUES ({})").format(Identifier(table.name), columns, places)


def _environment(dsn: str, schema_name: str) -> Mapping[str, str]:
    place = urlsplit(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": place.path[1:],
        "POSTGRES_HOST": place.hostname or "",
        "POSTGRES_PORT": str(place.port),
        "POSTGRES_USER": place.username or "",
        "POSTGRES_PASSWORD": place.password or "",
        "POSTGRES_SCHEMA": schema_name,
    }


def _stored(event: Recorded) -> StoredEvent:
    topic = LEDGER_EVENT.validate_json(event.line).type
    return StoredEvent(uuid5(NAMESPACE_URL, "ledger"), event.number, topic, event.line)
