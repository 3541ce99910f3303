"""OPS events: reported without waiting, written once and in order, and what had to be dropped is counted and told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.jetstream import JetStreamLog, connect, provision
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.ops_log import OpsLog
from domain.errors import Conflict, InvalidInput, Unavailable
from domain.operations import OPS_EVENT, BreakerClosed, OpsEvent, OpsEventsDropped
from domain.ports import Append, Log
from tests import logs

DEADLINE_S = 30


def event(number: int, service: str = "core") -> OpsEvent:
    return BreakerClosed(service=service, occurred_at_ns=number, dependency="nats")


async def stored(log: Log, service: str = "core") -> list[OpsEvent]:
    return [OPS_EVENT.validate_json(message.data) for message in await logs.stored(log, f"ops.{service}")]


@pytest.fixture(params=logs.KINDS)
async def any_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


class Failing(logs.Wrapped):
    """The first appends fail with these errors; `stores` says that they take effect all the same."""

    def __init__(self, log: Log, *errors: Exception, stores: bool = False) -> None:
        super().__init__(log)
        self.errors, self.stores = list(errors), stores

    async def append(self, message: Append) -> int:
        if not self.errors:
            return await self.log.append(message)
        if self.stores:
            await self.log.append(message)
        raise self.errors.pop(0)


async def test_every_event_stands_once_in_order_on_the_subject_of_its_service(any_log: Log) -> None:
    one, other = logs.new_name(), logs.new_name()
    for start in (0, 20):  # the second writer goes on where the first ended
        async with OpsLog.open(any_log) as ops:
            for number in range(start, start + 20):
                ops.record(event(number, one))
                ops.record(event(number, other))
    for service in (one, other):
        assert await stored(any_log, service) == [event(number, service) for number in range(40)]


@pytest.mark.parametrize("stores", [False, True], ids=["nothing stored", "only the ack lost"])
async def test_an_event_whose_append_failed_is_stored_exactly_once(stores: bool) -> None:
    log = MemoryLog()
    away = Unavailable("the test cut the line")
    async with OpsLog.open(Failing(log, away, *[] if stores else [away], stores=stores), pause_s=0) as ops:
        for number in range(3):
            ops.record(event(number))
    assert await stored(log) == [event(number) for number in range(3)]
    assert (ops.pending, ops.dropped) == (0, 0)


async def test_two_processes_may_report_for_one_service() -> None:
    log = MemoryLog()
    async with OpsLog.open(log, pause_s=0) as one, OpsLog.open(log, pause_s=0) as other:
        for number in range(0, 20, 2):
            one.record(event(number))
            other.record(event(number + 1))
            await asyncio.gather(one.written(), other.written())
    assert sorted(e.occurred_at_ns for e in await stored(log)) == [*range(20)]


async def test_while_the_log_is_away_the_newest_wait_and_the_dropped_are_told() -> None:
    gated = logs.Gated(MemoryLog())
    async with OpsLog.open(gated, capacity=4) as ops:
        ops.record(event(0))
        await gated.arrived.wait()
        for number in range(1, 11):
            ops.record(event(number))
        ops.record(event(11, "ws"))
        assert (ops.pending, ops.dropped) == (5, 7)
        gated.gate.set()
    dropped = OpsEventsDropped(service="core", occurred_at_ns=8, count=7)
    assert await stored(gated.log) == [event(0), dropped, event(8), event(9), event(10)]
    assert await stored(gated.log, "ws") == [event(11, "ws")]


async def test_nobody_who_reports_waits_or_fails() -> None:
    """Whatever the log does: `record` is no coroutine, and a thousand of them pass before the loop turns once."""
    for error in (Unavailable("away"), Conflict("again"), InvalidInput("no"), RuntimeError("a bug")):
        async with OpsLog.open(Broken(error), capacity=10, pause_s=0.001, closing_s=0) as ops:
            for number in range(1000):
                ops.record(event(number))
            assert ops.pending == 10


class Broken(logs.Wrapped):
    """A log that refuses everything."""

    def __init__(self, error: Exception) -> None:
        super().__init__(MemoryLog())
        self.error = error

    async def append(self, message: Append) -> int:
        await asyncio.sleep(0)
        raise self.error


async def test_an_event_that_cannot_be_stored_is_dropped_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    log = MemoryLog()
    async with OpsLog.open(Failing(log, InvalidInput("too large"))) as ops:
        ops.record(event(0))
        ops.record(event(1))
    assert await stored(log) == [OpsEventsDropped(service="core", occurred_at_ns=1, count=1), event(1)]
    assert "an event of OPS cannot be stored" in caplog.text


async def test_leaving_waits_no_longer_than_agreed_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        async with OpsLog.open(logs.Gated(MemoryLog()), closing_s=0.05) as ops:
            ops.record(event(0))
            ops.record(event(1))
    assert asyncio.all_tasks() == before
    assert "2 events of OPS could not be written" in caplog.text


async def test_an_outage_beyond_the_retry_budget_loses_no_event(fresh_nats: NatsServer) -> None:
    async with await connect(fresh_nats.url, budget_s=0.2) as connection:
        await provision(connection)
        log: Any = JetStreamLog(connection)
        async with OpsLog.open(log, pause_s=0.01) as ops, asyncio.timeout(DEADLINE_S):
            ops.record(event(0))
            await ops.written()
            fresh_nats.kill()
            for number in range(1, 4):
                ops.record(event(number))
            with pytest.raises(Unavailable):
                await log.last("ops.core")
            assert ops.pending == 3
            await asyncio.to_thread(fresh_nats.start)
            await ops.written()
        assert await stored(log) == [event(number) for number in range(4)]
