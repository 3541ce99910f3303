"""A PostgreSQL that hangs, its connections open and nothing said: those who ask are told so in time, trading goes on,
and when it wakes up the read models catch up."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from adapters import processes, read_models
from adapters.facts import Facts
from adapters.jetstream import JetStreamLog
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.read_models import LARGEST
from adapters.token_log import TokenLog
from gateways.feeds.files import FeedOptions, read_files
from ops import read_services
from ops.composition import open_postgres, open_store
from ops.read_services import ReadServices
from ops.rebuild import verify
from ops.session import Plan, StrategyChoice, run_session
from ops.settings import Settings
from projections.catalogue import READ_MODELS
from tests import logs
from tests.canonical import length
from tests.faults.session import recording
from tests.gateways.api_desks import page_of, problem_of
from tests.ops.desks import SCRIPT, Cdb, decide, until, write_quotes, write_tape

DEADLINE_S = 60
FIRST = SCRIPT[:-2]  # decided before it hangs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED on Windows: SIGSTOP")


@contextlib.contextmanager
def hung(server: psutil.Process | None) -> Iterator[None]:
    """Stop a server in its tracks, each of its processes by its pid, while the block runs."""
    assert server is not None
    server.suspend()  # first, so that it starts no other one
    stopped = [server, *server.children(recursive=True)]
    try:
        for process in stopped[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in reversed(stopped):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


# -- the services in this process --------------------------------------------------------------------------------------


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with logs.jetstream(nats_server) as opened:
        yield opened


@pytest.fixture
def settings() -> Iterator[Settings]:
    """A desk of its own, with a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="cdb-test-", ignore_cleanup_errors=True) as made:
        ports = {"projector_port": processes.free_port(), "api_port": processes.free_port()}
        yield Settings(data_dir=Path(made), desk=logs.new_name(), **ports)
        if (left := postgres_of(Path(made))) is not None:
            processes.kill(left)


def postgres_of(folder: Path) -> psutil.Process | None:
    return processes.find("postgres", "-D", (folder / "postgres" / "data").resolve())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody waits a tenth as long."""
    for module, name in (
        (read_models, "ANSWER_S"), (read_models, "RELEASE_S"), (read_services, "PROBE_EVERY_S"),
        (read_services, "PROBE_S"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name) / 10)


async def ready(services: ReadServices, state: str = "ready") -> None:
    async def became() -> bool:
        return services.health.status("projector").state == state

    await until(became)


async def assert_equal_to_a_fold(log: JetStreamLog, settings: Settings) -> None:
    facts = Facts(log, settings.desk)
    async with open_postgres(settings) as postgres, open_store(await postgres.start(), settings.desk) as store:
        for model in READ_MODELS:
            report = await verify(facts, store, model)
            assert report["different"] == 0, report
        assert (await store.load("equity"))["ledger"][1].position == await facts.end("ledger")


@pytest.mark.usefixtures("impatient")
async def test_while_it_hangs_everybody_is_answered_and_behind_it_everything_is_caught_up(
    log: JetStreamLog, settings: Settings
) -> None:
    token = await TokenLog(log).create(settings.desk, "operator", "a test")
    await write_tape(log, FIRST, desk=settings.desk)
    await decide(log, length(FIRST), desk=settings.desk)
    services, facts = ReadServices(settings, log), Facts(log, settings.desk)
    running = asyncio.create_task(services.run(("projector", "api")))
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{settings.api_port}", headers={"authorization": f"Bearer {token}"},
            timeout=DEADLINE_S,
        ) as client:  # fmt: skip
            await ready(services)
            await until(lambda: answers(client))
            before = await facts.end("ledger")
            with hung(postgres_of(settings.data_dir)):
                await assert_told(client, services, settings)
                await write_tape(log, SCRIPT[len(FIRST) :], desk=settings.desk)
                await decide(log, desk=settings.desk)
                assert await facts.end("ledger") > before
            await ready(services)

            async def caught_up() -> bool:
                newest = await client.get("/api/v1/events?limit=1")
                return newest.status_code == 200 and page_of(newest)[0]["id"].endswith(f":{await facts.end('ledger')}")

            await until(caught_up)
            await until(lambda: answers(client, LARGEST + 4))
            await assert_equal_to_a_fold(log, settings)
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def answers(client: httpx.AsyncClient, limit: int = 3) -> bool:
    return (await client.get(f"/api/v1/orders?limit={limit}")).status_code == 200


async def assert_told(client: httpx.AsyncClient, services: ReadServices, settings: Settings) -> None:
    """More ask than there are connections, twice: for an answer of the read models, which nobody can give."""
    for first in (10, 40):
        asked = (client.get(f"/api/v1/orders?limit={first + place}") for place in range(2 * LARGEST + 1))
        for answer in await asyncio.gather(*asked):
            assert "PostgreSQL" in problem_of(answer, 503)["detail"]
            assert answer.headers["retry-after"]
    await ready(services, "failing")
    health = (await client.get(f"http://127.0.0.1:{settings.projector_port}/health")).json()
    assert health["state"] == "failing"
    assert health["last_error"].startswith("postgres: Unavailable: PostgreSQL at")
    told = {row["service"]: row for row in page_of(await client.get("/system/health"))["services"]}
    assert told["projector"]["state"] == "not ready"
    assert "PostgreSQL at" in told["projector"]["reason"]
    assert (await client.get("/health")).json()["state"] == "ready"
    assert page_of(await client.post("/system/emergency-stop", json={"reason": "a test"}))["latched"]


# -- the real command, with its own patience ---------------------------------------------------------------------------


@pytest.fixture
async def cdb(passable_tmp: Path) -> AsyncIterator[Cdb]:
    desk = Cdb(passable_tmp / "data", dashboard=True)
    yield desk
    await desk.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_desk_whose_postgresql_hangs_trades_as_if_it_did_not(cdb: Cdb, tmp_path: Path) -> None:
    quotes, memory = write_quotes(tmp_path / "EURUSD.csv", 1_200), MemoryLog()
    strategy = StrategyChoice("ema_cross", parameters={"on": "ticks", "fast": "3", "slow": "9"})
    await run_session(memory, "main", Plan(read_files([quotes], FeedOptions()), [strategy]))
    whole = await recording(memory)
    chosen = [word for name, value in strategy.parameters.items() for word in ("--param", f"{name}={value}")]
    desk = await cdb.start(
        "up", "--feed", f"file:{quotes}", "--strategy", "ema_cross", *chosen, "--speed", "3", "--json"
    )
    await cdb.ready(desk, "ws", "core", "projector", "api")
    with hung(cdb.postgres()):

        async def told() -> bool:
            page = await cdb.page("projector")
            return page is not None and "hangs" in (page[1]["last_error"] or "")

        await until(told)
        ordinal = await cdb.ordinal()
        await cdb.reaches(ordinal + 100)
        page = await cdb.page("core", "ready")
        assert page is not None
        assert page[0] == 200
    await cdb.reaches(len(whole.tape))
    await cdb.ready(desk, "projector", "api")
    assert (await cdb.interrupted(desk)).code == 130
    found = await cdb.desk().verify_projections([], lambda *_: None)
    assert {row["model"]: row["different"] for row in found} == {model.name: 0 for model in READ_MODELS}, found
    async with cdb.log() as log:
        left = await recording(log)
    assert (left.tape, left.ledger) == (whole.tape, whole.ledger)
    cdb.assert_nothing_is_left()
