"""A lost nats-server, a lost PostgreSQL and a crashed service, with the real servers: all is well within 30 seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters import processes
from adapters.breaker import Breaker, GuardedLog
from adapters.embedded import EmbeddedServers
from adapters.ops_log import OpsLog
from adapters.postgres import open_pool, postgres_breaker
from adapters.tape_log import StoredTape
from domain.events import LedgerEvent
from domain.operations import OPS_EVENT, OpsEvent, ServiceFailed
from domain.ports import Append, Log
from gateways import file_feed
from gateways import sequencer as sequencing
from ops import settings
from ops.composition import open_log
from ops.core import Core
from ops.health import Health
from ops.supervisor import Supervisor, breaker_events
from tests import logs
from tests.faults.session import DESK, Recording, feed, recording, uninterrupted

RECOVERED_WITHIN_S = 30
DEADLINE_S = 60


@pytest.fixture(scope="module")
def expected() -> Recording:
    return asyncio.run(uninterrupted())


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of many messages."""
    monkeypatch.setattr(sequencing, "MAX_BLOCK_RECORDS", 100)
    monkeypatch.setattr(file_feed, "MAX_BLOCK_RECORDS", 100)


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition, at most so long. Returns how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return time.monotonic() - began
            await asyncio.sleep(0.002)


class Crashing(logs.Wrapped):
    """A log that raises, once, what no code foresees when the n-th message of a stream is appended."""

    def __init__(self, log: Log, stream: str, messages: int) -> None:
        super().__init__(log)
        self.stream, self.messages = stream, messages

    async def append(self, message: Append) -> int:
        if message.subject.startswith(f"{self.stream}."):
            self.messages -= 1
            if self.messages == 0:
                raise ZeroDivisionError("a bug that shows once")
        return await self.log.append(message)


class SupervisedDesk:
    """Feed and engine under a supervisor, as one process runs them, over a log behind a breaker."""

    def __init__(self, log: Log, ops: OpsLog, last: int) -> None:
        self.health, self.last = Health(), last
        self.events: list[OpsEvent] = []
        self._ops, self._core = ops, Core(log, DESK, StoredTape(log, DESK))
        self._log = GuardedLog(log, Breaker("nats", on_change=breaker_events("core", self.record)))
        self.numbers: list[int] = []

    def record(self, event: OpsEvent) -> None:
        self.events.append(event)
        self._ops.record(event)

    async def core(self) -> None:
        self._core = Core(self._log, DESK, StoredTape(self._log, DESK), observe=self.decided)
        self.health.ready("core")
        await self._core.run(until=self.last)

    async def ws(self) -> None:
        async with sequencing.Sequencer.open(StoredTape(self._log, DESK)) as sequencer:
            self.health.ready("ws")
            await feed(sequencer, ahead_of=self.engine_has)

    async def engine_has(self, ordinal: int) -> None:
        """The engine is another one after a crash, so it is looked up again."""
        while True:
            if self._core.folded >= ordinal:
                return
            await asyncio.sleep(0.002)

    def decided(self, events: list[LedgerEvent]) -> None:
        self.numbers += [event.number for event in events]

    async def run(self) -> None:
        supervisor = Supervisor(self.health, record=self.record)
        await supervisor.run({"ws": self.ws, "core": self.core}, self.never)

    async def never(self, reason: str) -> None:
        raise AssertionError(f"an emergency stop: {reason}")


@asynccontextmanager
async def desk_of(folder: Path, last: int, crashes: tuple[str, int] | None = None) -> AsyncIterator[Any]:
    """A supervised desk at work on embedded servers, and its plain log."""
    async with open_log(settings.load(data_dir=folder)) as log, OpsLog.open(log) as ops:
        desk = SupervisedDesk(Crashing(log, *crashes) if crashes else log, ops, last)
        running = asyncio.create_task(desk.run())
        try:
            yield desk, running, log
            await ops.written()
            stored = await logs.stored(log, "ops.*")
            assert [OPS_EVENT.validate_json(message.data) for message in stored] == desk.events
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_lost_nats_server_costs_nothing_and_the_desk_is_whole_within_thirty_seconds(
    tmp_path: Path, expected: Recording
) -> None:
    async with desk_of(tmp_path, len(expected.tape)) as (desk, running, log):
        await until(lambda: len(desk.numbers) > 50 or running.done(), DEADLINE_S)
        server = processes.find("nats-server", "-c", tmp_path / "nats" / "nats-server.conf")
        lost = asyncio.Event()
        log.connection.on_loss(lost.set)
        assert not running.done()
        server.kill()
        noticed = await until(lost.is_set, DEADLINE_S)
        async with asyncio.timeout(RECOVERED_WITHIN_S):
            await running
        assert processes.find("nats-server", "-c", tmp_path / "nats" / "nats-server.conf").pid != server.pid
        found = await recording(log)
        assert found == expected
        assert desk.numbers == [*range(1, len(expected.ledger) + 1)]
    assert noticed < 0.1


@pytest.mark.parametrize("stream", ["tape", "ledger"])
async def test_a_crashed_service_is_back_within_thirty_seconds_and_the_ledger_is_whole(
    tmp_path: Path, expected: Recording, stream: str
) -> None:
    async with desk_of(tmp_path, len(expected.tape), crashes=(stream, 20)) as (desk, running, log):
        await until(lambda: any(isinstance(event, ServiceFailed) for event in desk.events), DEADLINE_S)
        crashed = {"tape": "ws", "ledger": "core"}[stream]
        back = await until(lambda: desk.health.status(crashed).state == "ready", RECOVERED_WITHIN_S)
        async with asyncio.timeout(RECOVERED_WITHIN_S - back):
            await running
        found = await recording(log)
        assert found == expected
        failed = [event for event in desk.events if isinstance(event, ServiceFailed)]
        assert [(event.service, event.error, event.recovery) for event in failed] == [
            (crashed, "ZeroDivisionError", "restart")
        ]


async def test_a_lost_postgresql_answers_again_behind_its_breaker_within_thirty_seconds(passable_tmp: Path) -> None:
    servers = EmbeddedServers(passable_tmp / "data")
    data = passable_tmp / "data" / "postgres" / "data"
    health, events, answers = Health(), list[OpsEvent](), list[int]()
    breaker = postgres_breaker(breaker_events("postgres", events.append))

    async def start() -> None:
        await asyncio.to_thread(servers.postgres)

    async def postgres() -> None:
        async with open_pool(dsn, breaker) as pool:
            while True:
                async with pool.connection() as connection:
                    answer = await connection.fetchval("SELECT 1")
                    health.ready("postgres")
                    answers.append(answer)

    dsn = await asyncio.to_thread(servers.postgres)
    supervisor = Supervisor(health, record=events.append, restarts={"postgres": start})
    running = asyncio.create_task(supervisor.run({"postgres": postgres}, never))
    try:
        await until(lambda: len(answers) >= 2, DEADLINE_S)
        killed = processes.find("postgres", "-D", data)
        killed.kill()
        async with asyncio.timeout(RECOVERED_WITHIN_S):
            await until(lambda: any(isinstance(event, ServiceFailed) for event in events), RECOVERED_WITHIN_S)
            before = len(answers)
            await until(lambda: len(answers) > before, RECOVERED_WITHIN_S)
        assert processes.find("postgres", "-D", data).pid != killed.pid
        assert health.status("postgres").state == "ready"
        [failed, *_] = [event for event in events if isinstance(event, ServiceFailed)]
        assert (failed.error, failed.severity, failed.recovery) == ("Unavailable", "medium", "restart")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(servers.close)
    assert breaker.state == "closed"


async def never(reason: str) -> None:
    raise AssertionError(f"an emergency stop: {reason}")
