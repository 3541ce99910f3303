"""A desk as a process, whose nats-server is killed: it says within 100 ms that it is not ready and why, records when it
saw it, and is ready again by itself."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.operations import OPS_EVENT, OpsEvent, ServiceFailed, ServiceRestarted
from tests import logs
from tests.ops.desks import SERVICES, Cdb, until, write_quotes

DETECTED_WITHIN_S = 0.1
RECOVERED_WITHIN_S = 30
DEADLINE_S = 40
STRATEGY = ("--strategy", "ema_cross", "--param", "on=ticks", "--param", "fast=3", "--param", "slow=9")


@pytest.fixture
async def cdb(passable_tmp: Path) -> AsyncIterator[Cdb]:
    desk = Cdb(passable_tmp / "data")
    yield desk
    await desk.close()


class Watcher(threading.Thread):
    """Asks one service for /ready again and again over one connection, until it has failed and is ready again.

    Its answers are the first refusal and the first 200 behind it, with the monotonic seconds at which they came."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.asks = threading.Event()  # it has been told that the service is ready
        self.failed_at = self.ready_at = 0.0
        self.refusal: dict[str, Any] = {}

    def run(self) -> None:
        pages = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and not self.ready_at:
            pages.request("GET", "/ready")
            answer = pages.getresponse()
            content, now = json.load(answer), time.monotonic()
            if answer.status == 200:
                self.asks.set()
                self.ready_at = now if self.failed_at else 0.0
            elif not self.failed_at:
                self.failed_at, self.refusal = now, content
        pages.close()


async def loss_of(port: int, greeted: asyncio.Event) -> float:
    """When a connection to a server on this port is lost that does nothing: monotonic seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readline()
    greeted.set()
    try:
        while await reader.read(1 << 16):
            pass
    except ConnectionResetError:
        pass
    lost_at = time.monotonic()
    writer.close()
    return lost_at


async def test_a_desk_says_within_a_tenth_of_a_second_that_its_server_is_gone_and_is_whole_within_thirty(
    cdb: Cdb, tmp_path: Path
) -> None:
    quotes = write_quotes(tmp_path / "EURUSD.csv", 6_000)
    process = await cdb.start("up", "--feed", f"file:{quotes}", *STRATEGY, "--speed", "20", "--json")
    await cdb.ready(process, *SERVICES)
    await cdb.reaches(100)
    watchers = [Watcher(cdb.ports[service]) for service in SERVICES]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        assert await asyncio.to_thread(watcher.asks.wait, DEADLINE_S)
    port = json.loads((cdb.path / "nats" / "nats-server.conf").read_text())["port"]
    greeted = asyncio.Event()
    losing = asyncio.create_task(loss_of(port, greeted))
    await greeted.wait()
    server = cdb.server()
    assert server is not None
    killed_ns = time.time_ns()
    server.kill()
    lost_at = await losing
    for watcher in watchers:
        await asyncio.to_thread(watcher.join, DEADLINE_S)
    for service, watcher in zip(SERVICES, watchers, strict=True):
        detected_s, recovered_s = watcher.failed_at - lost_at, watcher.ready_at - lost_at
        assert watcher.failed_at, f"{service} never said that it was not ready"
        assert detected_s < DETECTED_WITHIN_S, f"{service}: {detected_s * 1e3:.1f} ms from the symptom to /ready"
        assert watcher.ready_at, f"{service} was not ready again"
        assert recovered_s < RECOVERED_WITHIN_S, f"{service}: {recovered_s:.2f} s from the symptom to ready"
        assert f"{service} is failing; last error: nats: " in watcher.refusal["reason"], watcher.refusal
        assert "the connection to NATS at nats://127.0.0.1:" in watcher.refusal["reason"]
        assert "It is started again by itself" in watcher.refusal["what_to_do"]
        assert "nats: " in ((await cdb.page(service)) or (0, {}))[1]["last_error"]

    await cdb.reaches(await cdb.ordinal() + 50)  # and it goes on
    async with cdb.log() as log:
        events = await ops_events(log, "nats")
    [failed] = [event for event in events if isinstance(event, ServiceFailed)]
    assert (failed.error, failed.severity, failed.recovery) == ("Unavailable", "medium", "restart")
    seen_s = (failed.occurred_at_ns - killed_ns) / 1e9
    assert 0 <= seen_s < DETECTED_WITHIN_S, f"recorded {seen_s * 1e3:.1f} ms behind the kill"
    assert [event.attempt for event in events if isinstance(event, ServiceRestarted)] == [1]
    assert (await cdb.interrupted(process)).code == 130
    await cdb.assert_verified()


async def ops_events(log: Any, service: str) -> list[OpsEvent]:
    found: list[OpsEvent] = []

    async def is_told() -> bool:
        found[:] = [OPS_EVENT.validate_json(message.data) for message in await logs.stored(log, f"ops.{service}")]
        return any(isinstance(event, ServiceRestarted) for event in found)

    await until(is_told)
    return found
