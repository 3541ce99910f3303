"""The services beside a desk, supervised: `projector` (the read models), `api` (HTTP, the dashboard) and `governance`
(the decision gate), and the PostgreSQL that the first two stand on. Whatever becomes of them, the desk trades on.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import asyncpg

from adapters.breaker import Change
from adapters.embedded import private_folder
from adapters.facts import Facts
from adapters.jetstream import JetStreamLog
from adapters.ops_log import OpsLog
from adapters.postgres import CONNECT_S, FAULTS, Pool, open_pool, postgres_breaker, unavailable
from adapters.progress import only_one
from adapters.projection_store import ProjectionStore
from domain.errors import Unavailable
from domain.ports import Source
from gateways.halt_latch import HaltLatch
from ops.composition import Postgres, open_postgres, written_late
from ops.governance import serve as serve_governance
from ops.health import Health, serve_health
from ops.projector import Projector
from ops.recovery import RecoveryTable
from ops.session import beside
from ops.settings import Settings, hidden
from ops.supervisor import Start, Supervisor, breaker_events
from projections.catalogue import READ_MODELS

PROJECTOR, API, GOVERNANCE, POSTGRES = "projector", "api", "governance", "postgres"
NEEDS = {PROJECTOR: POSTGRES}  # the API listens without it too: the emergency stop needs none
SOURCES: tuple[Source, ...] = tuple({fold.source: None for model in READ_MODELS for fold in model.folds})
MEASURE_EVERY_S = 0.5
PROBE_EVERY_S, PROBE_S = 1.0, 5.0  # how often PostgreSQL is asked whether it is there, and how long it may take
NICENESS = 10  # of a process beside a trading one

Serve = Callable[..., Awaitable[None]]  # serve_api(settings, log, *, ready), until it is cancelled


class ReadServices:
    """What runs of one desk's read side in this process. `serve` is ops.api.serve_api."""

    def __init__(self, settings: Settings, log: JetStreamLog, serve: Serve | None = None) -> None:
        self._settings, self._log, self._serve = settings, log, serve or _serve_api
        self._table = RecoveryTable.changed(settings.recovery)
        self._ops: OpsLog | None = None
        self._breaker = postgres_breaker(
            self._on_breaker,
            failures=settings.breaker_failures,
            open_seconds=settings.breaker_open_seconds,
            successes=settings.breaker_successes,
        )
        self.health = Health(needs=NEEDS)
        self._dsn, self._up = "", asyncio.Event()

    async def run(self, names: Sequence[str]) -> None:
        """Run these services until they are cancelled. Raises Conflict when another process runs one of them for this
        desk, InvalidInput for a port that is taken."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            for name in [name for name in names if name != GOVERNANCE]:  # that one serves every desk and stands by
                await stack.enter_async_context(only_one(self._log.connection, settings.desk, name))
            self._ops = await stack.enter_async_context(OpsLog.open(self._log))
            served = {PROJECTOR: settings.projector_port, GOVERNANCE: settings.governance_port}  # the API has its own
            ports = {name: port for name, port in served.items() if name in names}
            pages = await stack.enter_async_context(serve_health(self.health, ports, settings.host, desk=settings.desk))
            postgres = await stack.enter_async_context(open_postgres(settings))
            lives: dict[str, Start] = {
                POSTGRES: partial(self._postgres, postgres),
                PROJECTOR: lambda: beside(pages.kept(PROJECTOR), self._projector()),
                API: self._api,
                GOVERNANCE: lambda: beside(pages.kept(GOVERNANCE), self._governance()),
            }
            beneath = [POSTGRES] if {PROJECTOR, API}.intersection(names) else []
            supervisor = Supervisor(self.health, self._table, record=self._ops.record)
            await supervisor.run({name: lives[name] for name in (*beneath, *names)}, self._emergency_stop)

    async def _postgres(self, postgres: Postgres) -> None:
        """The server: one connection that notices, at once, when it is gone, and asks now and then whether it hangs. A
        next life starts it again; one that hangs still runs, and is waited for."""
        dsn = await postgres.start()
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_S)
        except FAULTS as error:
            raise unavailable(hidden(dsn), error) from error
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        self._dsn = dsn
        self._up.set()
        self.health.ready(POSTGRES)
        gone = Unavailable(f"the connection to PostgreSQL at {hidden(dsn)} was lost")
        try:
            while not await _within(PROBE_EVERY_S, lost):
                await connection.fetchval("SELECT 1", timeout=PROBE_S)
        except TimeoutError as error:
            raise Unavailable(f"PostgreSQL at {hidden(dsn)} hangs: it said nothing for {PROBE_S:g} s") from error
        except FAULTS as error:
            raise gone from error
        finally:
            self._up.clear()
            connection.terminate()
        raise gone

    async def _projector(self) -> None:
        """The read models; ready once they show all that the log held when it started."""
        await self._up.wait()
        async with open_pool(written_late(self._dsn), self._breaker) as pool:
            facts, store = Facts(self._log, self._settings.desk), ProjectionStore(_Behind(pool), self._settings.desk)
            projector = Projector(facts, store, READ_MODELS)
            await beside(projector.run(), self._attend(projector, facts, store))

    async def _attend(self, projector: Projector, facts: Facts, store: ProjectionStore) -> None:
        for source in SOURCES:
            await projector.reached(source, await facts.end(source))
        self.health.ready(PROJECTOR)
        while True:
            for source in SOURCES:
                position = projector.positions[source]
                behind = max(0, await facts.end(source) - position)
                self.health.measure(PROJECTOR, **{source: position, f"{source}_behind": behind})
            if not await store.load(READ_MODELS[-1].name):  # on a silent desk nothing is written that could fail
                raise Unavailable("the read models are gone, they are built again from the log")
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _api(self) -> None:
        """HTTP and the dashboard; they see for themselves where PostgreSQL is."""
        await self._serve(self._settings, self._log, ready=partial(self.health.ready, API))

    async def _governance(self) -> None:
        """The decision gate."""
        page = partial(self.health.measure, GOVERNANCE)
        await serve_governance(self._settings, ready=partial(self.health.ready, GOVERNANCE), measure=page)

    async def _emergency_stop(self, reason: str) -> None:
        """Only where an operator's recovery table wants it."""
        HaltLatch(private_folder(self._settings.data_dir, "halts"), self._settings.desk).set("supervisor", reason)

    def _on_breaker(self, change: Change) -> None:
        if self._ops:
            breaker_events(PROJECTOR, self._ops.record)(change)


async def _within(seconds: float, happened: asyncio.Event) -> bool:
    """Wait for it, at most so long; did it happen?"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happened.wait()
    return happened.is_set()


class _Behind:
    """A pool behind its breaker, as ProjectionStore asks for connections."""

    def __init__(self, pool: Pool) -> None:
        self.acquire: Any = pool.connection


async def _serve_api(settings: Settings, log: JetStreamLog, *, ready: Callable[[], None]) -> None:
    from ops.api import serve_api  # its web framework loads only where it serves

    await serve_api(settings, log, ready=ready)


async def while_stdin_is_open(services: Awaitable[None]) -> None:
    """Run beside the process that started this one and holds the other end: whatever ends that one, ends this one too.
    It trades, so it goes first."""
    if sys.platform != "win32":
        os.nice(NICENESS)
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=watch, name="standard input", daemon=True).start()

    async def served() -> None:
        await services

    async def until_closed() -> None:
        await closed.wait()

    await beside(served(), until_closed())
