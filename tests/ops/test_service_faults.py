"""The services of a desk when one of them crashes or the server goes: run again as the recovery table says, or stopped
cleanly with the reason."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters import processes
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from domain.operations import OPS_EVENT, EmergencyStopped, OpsEvent, ServiceFailed, ServiceRestarted
from gateways.clock import LiveClock
from gateways.file_feed import Pace
from ops import services as running
from ops import supervisor
from ops.core import Core
from ops.services import DeskServices, halt_latch
from ops.session import Plan, StrategyChoice
from ops.settings import Settings
from ops.verify import verify
from tests import canonical, logs
from tests.canonical import file_set
from tests.ops.desks import DEADLINE_S, SERVICES, instructions, until

CHOICE = StrategyChoice("ema_cross", parameters={"on": "ticks", "fast": "3", "slow": "9"})
FILES = file_set(canonical.market_ticks(300, seed=3), "EURUSD")
PLAN = Plan(FILES, [CHOICE])
BUG = ZeroDivisionError("a bug")


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with logs.jetstream(nats_server) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ports = {f"{service}_port": processes.free_port() for service in SERVICES}
    return Settings(data_dir=tmp_path / "data", desk=logs.new_name(), **ports)  # type: ignore[arg-type]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two lives are a hundredth of what they are."""
    real = supervisor.backoff
    monkeypatch.setattr(supervisor, "backoff", lambda failures: real(failures) / 100)


def crashing(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, times: int) -> list[int]:
    """A method that raises, in so many of its first calls, what no code foresees. Gives the calls."""
    real, calls = getattr(place, name), list[int]()

    async def crash(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise BUG
        return await real(*arguments, **named)

    monkeypatch.setattr(place, name, crash)
    return calls


async def ops_events(log: JetStreamLog, service: str, since: int = 0) -> list[OpsEvent]:
    stored = [message for message in await logs.stored(log, f"ops.{service}") if message.sequence > since]
    return [OPS_EVENT.validate_json(message.data) for message in stored]


async def told(log: JetStreamLog, service: str, kind: type[Any], since: int = 0) -> list[Any]:
    return [event for event in await ops_events(log, service, since) if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def desk(services: DeskServices, *, until_fed: bool = False) -> AsyncIterator[asyncio.Task[None]]:
    """The services at work, and cancelled behind the block."""
    before = tasks()
    work = asyncio.create_task(services.run(("ws", "core"), until_fed=until_fed))
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert tasks() == before


def tasks() -> set[str]:
    """What runs, apart from the client's own tasks, which are others behind a reconnect."""
    names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    return {name for name in names if not name.startswith(("Client.", "Subscription."))}


CRASHES: list[tuple[str, Any, str]] = [
    ("core", Core, "_commit"),
    ("core", DeskServices, "_attend"),
    ("ws", running, "carry_out"),
    ("ws", StoredTape, "append"),
]


@pytest.mark.parametrize(("service", "place", "name"), CRASHES, ids=[name for _, _, name in CRASHES])
@pytest.mark.usefixtures("quick")
async def test_a_service_that_crashes_is_run_again_and_the_day_is_whole(
    log: JetStreamLog, settings: Settings, monkeypatch: pytest.MonkeyPatch, service: str, place: Any, name: str
) -> None:
    since = await log.head("OPS")
    crashing(monkeypatch, place, name, times=2)
    services = DeskServices(settings, log, PLAN)
    async with asyncio.timeout(DEADLINE_S), desk(services, until_fed=True) as work:
        await work
    failed = await told(log, service, ServiceFailed, since)
    assert [(event.error, event.severity, event.recovery) for event in failed] == [
        ("ZeroDivisionError", "high", "restart")
    ] * 2
    assert len(await told(log, service, ServiceRestarted, since)) == 2
    assert halt_latch(settings).pending() is None
    found = await verify(log, settings.desk, StoredTape(log, settings.desk))
    assert (found.passed, found.pending) == (True, 0)
    assert services.ticks_added == 300


@pytest.mark.parametrize(("service", "place", "name"), CRASHES[::2], ids=["core", "ws"])
@pytest.mark.parametrize("until_fed", [True, False])
@pytest.mark.usefixtures("quick")
async def test_a_service_that_crashes_again_and_again_halts_the_desk_and_the_reason_is_told(
    log: JetStreamLog,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    place: Any,
    name: str,
    *,
    until_fed: bool,
) -> None:
    since = await log.head("OPS")
    calls = crashing(monkeypatch, place, name, times=99)
    services = DeskServices(settings, log, PLAN)
    async with asyncio.timeout(DEADLINE_S), desk(services, until_fed=until_fed) as work:
        if until_fed:  # somebody waits for the feed, which will never be decided on
            with pytest.raises(ZeroDivisionError, match="a bug"):
                await work
        else:  # the desk stays, so that its pages can say why

            async def is_down() -> bool:
                assert not work.done(), work
                return services.health.status(service).state == "stopped"

            await until(is_down)
            assert services.health.status(service).error == "ZeroDivisionError: a bug"
            assert "cdb verify" in services.health.status(service).advice
    failed = await told(log, service, ServiceFailed, since)
    assert [event.severity for event in failed] == ["high"] * 5 + ["critical"]
    assert [event.reason for event in await told(log, service, EmergencyStopped, since)] == [f"{service}: a bug"]
    assert len(calls) == 6
    halts = [m.instruction for m in await instructions(log, settings.desk) if m.instruction.kind == "trading_halted"]
    assert [halt.reason for halt in halts] or halt_latch(settings).pending()


@pytest.mark.usefixtures("quick")
async def test_a_live_tape_whose_clock_crashes_is_a_crash_of_its_service(
    log: JetStreamLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live tape without its clock would stand still where no tick comes, and nobody would know."""
    since, real, calls = await log.head("OPS"), LiveClock.drift_ns, list[int]()

    def drift_ns(clock: LiveClock) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise BUG
        return real(clock)

    monkeypatch.setattr(LiveClock, "drift_ns", drift_ns)
    services = DeskServices(settings, log, PLAN._replace(live=True))
    async with asyncio.timeout(DEADLINE_S), desk(services):

        async def is_told_and_back() -> bool:
            failed = await told(log, "ws", ServiceFailed, since)
            return bool(failed) and services.health.status("ws").state == "ready"

        await until(is_told_and_back)
    [failed] = await told(log, "ws", ServiceFailed, since)
    assert (failed.error, failed.recovery) == ("ZeroDivisionError", "restart")


# -- the server goes ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def lost_server(
    server: NatsServer, settings: Settings, revive: Callable[[], Awaitable[None]] | None
) -> AsyncIterator[tuple[DeskServices, JetStreamLog, float]]:
    """A desk at work whose nats-server has just been killed; the seconds until its services said so."""
    async with logs.jetstream(server) as log:
        log.connection.revive = revive
        services = DeskServices(settings, log, PLAN._replace(pace=Pace(0.01)))

        async def is_ready() -> bool:
            return all(services.health.status(name).state == "ready" for name in SERVICES)

        async with asyncio.timeout(DEADLINE_S), desk(services):
            await until(is_ready)
            lost = asyncio.create_task(log.connection.lost())
            await asyncio.sleep(0)
            psutil.Process(server.pid).kill()
            await lost
            loop = asyncio.get_running_loop()
            began = loop.time()
            while services.health.status("ws").state == "ready":  # noqa: ASYNC110  the turns of the loop count
                await asyncio.sleep(0)
            yield services, log, loop.time() - began
        assert log.connection.revive is revive  # whoever had it has it again


async def what_was_done(log: JetStreamLog) -> list[tuple[str, str]]:
    """About the faults of the server, once that is recorded."""
    failed: list[ServiceFailed] = []

    async def is_told() -> bool:
        failed[:] = await told(log, "nats", ServiceFailed)
        return bool(failed)

    await until(is_told)
    return [(event.severity, event.recovery) for event in failed]


def states(services: DeskServices) -> set[str]:
    return {services.health.status(name).state for name in SERVICES}


async def test_the_lost_server_is_started_again_and_every_service_says_why_it_was_not_ready(
    fresh_nats: NatsServer, settings: Settings
) -> None:
    gate, revivals = asyncio.Event(), list[int]()

    async def revive() -> None:
        revivals.append(1)
        await gate.wait()
        await asyncio.to_thread(fresh_nats.start)

    async with lost_server(fresh_nats, settings, revive) as (services, log, seconds):
        assert seconds < 0.1, f"{seconds * 1e3:.1f} ms from the loss to the services"
        assert states(services) == {"failing"}
        assert all("nats: Unavailable: the connection" in services.health.status(name).error for name in SERVICES)  # type: ignore[operator]
        gate.set()

        async def is_ready() -> bool:
            return states(services) == {"ready"}

        await until(is_ready)
        assert len(revivals) == 1
        assert await what_was_done(log) == [("medium", "restart")]


async def test_where_the_table_says_retry_the_server_is_only_waited_for(
    fresh_nats: NatsServer, settings: Settings
) -> None:
    async def revive() -> None:
        raise AssertionError("nobody asked for it")

    changed = settings.model_copy(update={"recovery": "nats.medium=retry"})
    async with lost_server(fresh_nats, changed, revive) as (services, log, _):
        assert states(services) == {"failing"}
        await asyncio.to_thread(fresh_nats.start)

        async def is_ready() -> bool:
            return states(services) == {"ready"}

        await until(is_ready)
        assert await what_was_done(log) == [("medium", "retry")]


async def test_where_the_table_says_emergency_stop_the_desk_is_halted_before_its_next_record(
    fresh_nats: NatsServer, settings: Settings
) -> None:
    changed = settings.model_copy(update={"recovery": "nats.medium=emergency_stop"})
    async with lost_server(fresh_nats, changed, None) as (services, log, _):

        async def is_latched() -> bool:
            return halt_latch(settings).pending() is not None

        await until(is_latched)
        await asyncio.to_thread(fresh_nats.start)

        async def is_halted() -> bool:
            return halt_latch(settings).pending() is None

        await until(is_halted)
        [halt] = [
            m.instruction for m in await instructions(log, settings.desk) if m.instruction.kind == "trading_halted"
        ]
        assert halt.reason.startswith("nats: the connection to NATS at nats://127.0.0.1:")
        assert states(services) == {"failing"}  # the component stays down until somebody has looked


# -- health pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "service"), [("ws", "ws"), ("core", "core"), ("risk", "core")])
@pytest.mark.usefixtures("quick")
async def test_a_service_whose_health_pages_die_has_failed_and_comes_back_with_them(
    log: JetStreamLog, settings: Settings, page: str, service: str
) -> None:
    """A stage's pages are those of the service that it is a part of. The day is whole all the same."""
    since, services = await log.head("OPS"), DeskServices(settings, log, PLAN)
    port = getattr(settings, f"{page}_port")
    async with desk(services):
        await until(lambda: answers(port))
        serving = next(task for task in asyncio.all_tasks() if task.get_name() == f"health of {page}")
        serving.cancel()

        async def back() -> bool:
            restarted = await told(log, service, ServiceRestarted, since)
            return bool(restarted) and states(services) == {"ready"} and await answers(port)

        async def decided() -> bool:
            last = (await StoredTape(log, settings.desk).end()).ordinal
            return services.ticks_added == 300 and services.core.folded == last

        await until(back)
        await until(decided)
    [failed] = await told(log, service, ServiceFailed, since)
    assert (failed.error, failed.severity, failed.recovery) == ("Unavailable", "medium", "retry")
    assert f"the health pages of {page} on port {port} ended by themselves" in failed.message
    assert not await told(log, {"ws": "core", "core": "ws"}[service], ServiceFailed, since)
    found = await verify(log, settings.desk, StoredTape(log, settings.desk))
    assert (found.passed, found.pending) == (True, 0)


async def answers(port: int) -> bool:
    """Does somebody answer there?"""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
    finally:
        writer.close()
