"""The read side's services in this process: current read models, whatever becomes of PostgreSQL, and who is told."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI

from adapters import processes
from adapters.connection import connect
from adapters.embedded import EmbeddedServers
from adapters.facts import Facts
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.postgres_server import PostgresServer
from domain.errors import Conflict, Diverged, InvalidInput, TapeBroken, Unavailable
from domain.operations import OPS_EVENT, Recovery, Severity
from ops import read_services
from ops.api import serve
from ops.composition import open_postgres, open_store, written_late
from ops.health import serve_health
from ops.listening import Listening
from ops.read_services import ReadServices
from ops.rebuild import verify
from ops.recovery import DERIVED, RecoveryTable
from ops.settings import Settings
from projections.catalogue import READ_MODELS
from tests import logs
from tests.ops.desks import DEADLINE_S, LAST, decide, until, write_tape


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with logs.jetstream(nats_server) as opened:
        yield opened


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory whose PostgreSQL another account may reach."""
    with tempfile.TemporaryDirectory(prefix="cdb-test-", ignore_cleanup_errors=True) as made:
        yield Path(made)
        if (server := processes.find("postgres", "-D", Path(made, "postgres", "data").resolve())) is not None:
            processes.kill(server)


@pytest.fixture
def settings(folder: Path) -> Settings:
    """A desk of its own, with a PostgreSQL of its own."""
    ports = {"projector_port": processes.free_port(), "api_port": processes.free_port()}
    return Settings(data_dir=folder, desk=logs.new_name(), **ports)


class FakeApi:
    """In place of ops.api.serve_api: ready at once, then there until it is cancelled."""

    def __init__(self) -> None:
        self.lives, self.running = 0, False
        self.fails: Exception | None = None

    async def __call__(self, settings: Settings, log: Any, *, ready: Callable[[], None]) -> None:
        self.lives, self.running = self.lives + 1, True
        ready()
        try:
            while self.fails is None:  # noqa: ASYNC110  the test says when
                await asyncio.sleep(0.01)
            raise self.fails
        finally:
            self.running = False


@asynccontextmanager
async def serving(
    settings: Settings, log: JetStreamLog, *names: str, api: FakeApi | None = None
) -> AsyncIterator[ReadServices]:
    services = ReadServices(settings, log, api or FakeApi())
    running = asyncio.create_task(services.run(names or ("projector", "api")))
    try:
        yield services
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def becomes(services: ReadServices, name: str, state: str) -> None:
    async def became() -> bool:
        return services.health.status(name).state == state

    await until(became)


async def desk(log: JetStreamLog, settings: Settings, ordinal: int = LAST) -> None:
    """The script on the desk's tape, decided up to an ordinal."""
    await write_tape(log, desk=settings.desk)
    await decide(log, ordinal, desk=settings.desk)


async def assert_equal_to_a_fold(log: JetStreamLog, settings: Settings) -> None:
    facts = Facts(log, settings.desk)
    async with open_postgres(settings) as postgres, open_store(await postgres.start(), settings.desk) as store:
        for model in READ_MODELS:
            report = await verify(facts, store, model)
            assert report["different"] == 0, report
        assert (await store.load("equity"))["ledger"][1].position == await facts.end("ledger")


async def ops_events(log: JetStreamLog, service: str, since: int) -> list[Any]:
    return [
        OPS_EVENT.validate_json(message.data) async for page in log.read(f"ops.{service}", since) for message in page
    ]


async def test_the_projector_is_ready_once_every_read_model_shows_the_whole_log(
    log: JetStreamLog, settings: Settings
) -> None:
    await desk(log, settings)
    async with serving(settings, log) as services:
        await becomes(services, "projector", "ready")
        await assert_equal_to_a_fold(log, settings)

        async def measured() -> bool:
            return services.health.figures("projector").get("ledger_behind") == 0

        await until(measured)


async def test_postgres_is_started_again_and_nothing_is_lost_or_doubled(log: JetStreamLog, settings: Settings) -> None:
    """Killed while the projector works, again and again; the API is there all the while."""
    since, api = await log.head("OPS"), FakeApi()
    await write_tape(log, desk=settings.desk)
    data = (settings.data_dir / "postgres" / "data").resolve()
    async with serving(settings, log, api=api) as services:
        for ordinal in (LAST // 3, 2 * LAST // 3, LAST):
            await becomes(services, "postgres", "ready")
            decided = asyncio.create_task(decide(log, ordinal, desk=settings.desk))
            server = processes.find("postgres", "-D", data)
            assert server is not None
            await asyncio.to_thread(processes.kill, server)
            await decided
        assert api.running

        async def current() -> bool:
            figures = services.health.figures("projector")
            end = await Facts(log, settings.desk).end("ledger")
            return services.health.status("projector").state == "ready" and figures.get("ledger") == end

        await until(current)
        await assert_equal_to_a_fold(log, settings)
        assert api.lives == 1
    failed = [event for event in await ops_events(log, "postgres", since) if event.type == "service_failed"]
    assert len(failed) == 3
    assert all("was lost" in event.message and "://***@" in event.message for event in failed)


async def test_read_models_that_were_dropped_come_back_by_themselves(log: JetStreamLog, settings: Settings) -> None:
    """Also on a desk that rests."""
    await desk(log, settings)
    async with serving(settings, log, "projector") as services:
        await becomes(services, "projector", "ready")
        async with open_postgres(settings) as postgres:
            connection = await asyncpg.connect(await postgres.start())
            await connection.execute(f'DROP SCHEMA "desk_{settings.desk}" CASCADE')
            await connection.close()
        await becomes(services, "projector", "failing")
        await becomes(services, "projector", "ready")
        await assert_equal_to_a_fold(log, settings)


async def test_an_api_at_fault_is_started_again_and_the_projector_never_notices(
    log: JetStreamLog, settings: Settings
) -> None:
    await desk(log, settings)
    since, api = await log.head("OPS"), FakeApi()
    async with serving(settings, log, api=api) as services:
        await becomes(services, "projector", "ready")
        api.fails = KeyError("a bug")
        await becomes(services, "api", "failing")
        api.fails = None
        await becomes(services, "api", "ready")
        assert services.health.status("projector").error is None
    assert api.lives > 1
    kinds = [event.type for event in await ops_events(log, "api", since)]
    assert kinds[:3] == ["service_started", "service_failed", "service_restarted"]
    assert kinds[-1] == "service_stopped"


async def test_a_projector_whose_health_pages_die_has_failed_and_comes_back_with_them(
    log: JetStreamLog, settings: Settings
) -> None:
    await desk(log, settings)
    since = await log.head("OPS")
    async with serving(settings, log, "projector") as services:
        await becomes(services, "projector", "ready")
        next(task for task in asyncio.all_tasks() if task.get_name() == "health of projector").cancel()
        await becomes(services, "projector", "failing")
        await becomes(services, "projector", "ready")
        assert not processes.is_free(settings.projector_port)
    [failed] = [event for event in await ops_events(log, "projector", since) if event.type == "service_failed"]
    assert f"the health pages of projector on port {settings.projector_port} ended by themselves" in failed.message


@pytest.mark.parametrize("error", [Unavailable, ZeroDivisionError])
async def test_an_http_server_that_ends_by_itself_is_a_failure_and_its_port_is_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def tick(_: Any, __: int) -> bool:
        if error is ZeroDivisionError:
            raise error
        return True

    up = asyncio.Event()
    running = asyncio.create_task(serve(FastAPI(), Listening("127.0.0.1", settings.api_port), up.set))
    async with asyncio.timeout(DEADLINE_S):
        await up.wait()
        monkeypatch.setattr("uvicorn.Server.on_tick", tick)
        with pytest.raises(error):
            await running
    assert processes.is_free(settings.api_port)


async def test_without_a_postgres_the_api_serves_and_the_projector_says_why_it_is_not_ready(
    log: JetStreamLog, settings: Settings
) -> None:
    nowhere = settings.model_copy(update={"postgres_dsn": f"postgresql://a:secret@127.0.0.1:{processes.free_port()}/x"})
    async with serving(nowhere, log) as services:
        await becomes(services, "api", "ready")
        await becomes(services, "projector", "failing")
        error = services.health.status("projector").error or ""
    assert error.startswith("postgres: Unavailable: PostgreSQL at")
    assert "secret" not in error


async def test_a_second_one_of_the_same_desk_is_refused(log: JetStreamLog, settings: Settings) -> None:
    async with serving(settings, log, "projector") as services:
        await becomes(services, "projector", "ready")
        with pytest.raises(Conflict, match="another process runs its service projector"):
            async with logs_of(log) as other:
                await ReadServices(settings, other, FakeApi()).run(["projector"])


@asynccontextmanager
async def logs_of(log: JetStreamLog) -> AsyncIterator[JetStreamLog]:
    """Another connection, as another process has one."""
    async with await connect(log.connection.url) as connection:
        yield JetStreamLog(connection)


async def test_a_taken_port_is_named(log: JetStreamLog, settings: Settings) -> None:
    async with serve_health(read_services.Health(), {"ws": settings.projector_port}):
        with pytest.raises(InvalidInput, match=f"port {settings.projector_port} .* service projector"):
            await ReadServices(settings, log, FakeApi()).run(["projector"])


@pytest.mark.parametrize("error", [TapeBroken("x"), Diverged(7, "tape:3", "a", "b"), Conflict("x"), KeyError("x")])
@pytest.mark.parametrize("component", DERIVED)
def test_no_fault_of_what_is_derived_stops_trading(component: str, error: Exception) -> None:
    for severity in Severity:
        recovery = RecoveryTable().decide(component, error, severity)
        assert recovery not in (Recovery.EMERGENCY_STOP, Recovery.STAND_DOWN)


# -- where PostgreSQL is -----------------------------------------------------------------------------------------------


async def test_a_given_postgres_is_taken_as_it_is_and_nothing_is_started(folder: Path) -> None:
    given = Settings(data_dir=folder / "data", postgres_dsn="postgresql://a@localhost/b")
    async with open_postgres(given) as postgres:
        assert await postgres.start() == "postgresql://a@localhost/b"
    assert not (folder / "data").exists()


async def test_an_embedded_postgres_is_started_when_asked_for_adopted_and_stopped_by_the_last(folder: Path) -> None:
    settings, server = Settings(data_dir=folder), PostgresServer(folder / "postgres")
    async with open_postgres(settings) as idle:
        assert not (folder / "postgres").exists()
        async with open_postgres(settings) as postgres:
            dsn = await postgres.start()
            assert await postgres.start() == dsn
            found = processes.find("postgres", "-D", server.data)
            assert found is not None
            await asyncio.to_thread(processes.kill, found)
            assert await postgres.start() == dsn  # on the same port
            assert await idle.start() == dsn
        connection = await asyncpg.connect(dsn)
        await connection.close()
    assert processes.find("postgres", "-D", server.data) is None
    with EmbeddedServers(folder):
        pass
    assert list((folder / "users").iterdir()) == []


async def test_the_disk_is_left_to_the_log(postgres_server: PostgresServer) -> None:
    for dsn in (postgres_server.dsn, f"{postgres_server.dsn}?application_name=x"):
        async with asyncpg.create_pool(written_late(dsn), min_size=1, max_size=1) as pool:
            assert await pool.fetchval("SHOW synchronous_commit") == "off"


async def test_a_store_of_a_server_that_is_away_is_unavailable_without_its_password() -> None:
    dsn = f"postgresql://a:secret@127.0.0.1:{processes.free_port()}/x"
    with pytest.raises(Unavailable, match="did not answer") as told:
        async with open_store(dsn, "main"):
            pass
    assert "secret" not in str(told.value)
