"""Health pages: each service answers on its own port of this machine alone, and says why it is not ready."""

import asyncio
import json
import logging
import signal
import socket
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import pytest

from adapters.processes import free_port, is_free
from domain.errors import InvalidInput, Unavailable
from ops.health import VERSION, Health, serve_health

DEADLINE_S = 20


class Page(NamedTuple):
    code: int
    content: dict[str, Any]


async def page(port: int, path: str, host: str = "127.0.0.1") -> Page:
    def fetch() -> Page:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=DEADLINE_S) as answer:
                return Page(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Page(error.code, json.load(error))

    return await asyncio.to_thread(fetch)


@pytest.fixture
def health() -> Health:
    return Health()


async def test_health_answers_while_the_process_does_and_ready_only_when_the_service_is(health: Health) -> None:
    async with serve_health(health, {"core": 0}, desk="night") as pages:
        port = pages.ports["core"]
        assert await page(port, "/ready") == Page(
            503,
            {
                "service": "core", "desk": "night", "mode": "paper", "version": VERSION, "ready": False,
                "reason": "core is starting", "what_to_do": "Wait: it becomes ready by itself.",
            },
        )  # fmt: skip
        assert (await page(port, "/health")).code == 200
        health.ready("core")
        health.measure("core", ordinal=7, lag=2)
        health.measure("core", lag=0)
        ready = await page(port, "/ready")
        assert (ready.code, ready.content["ready"], ready.content["mode"]) == (200, True, "paper")
        alive = (await page(port, "/health")).content
        assert (alive["state"], alive["figures"], alive["last_error"]) == ("ready", {"ordinal": 7, "lag": 0}, None)
        assert alive["uptime_seconds"] >= 0
        assert {key: alive[key] for key in ("service", "desk", "mode", "version")} == {
            "service": "core", "desk": "night", "mode": "paper", "version": VERSION
        }  # fmt: skip


async def test_what_is_not_ready_says_why_and_what_to_do(health: Health) -> None:
    async with serve_health(health, {"core": 0, "ws": 0}) as pages:
        health.ready("ws")
        health.failing("core", "Unavailable: NATS is away", "Start it.")
        failing = await page(pages.ports["core"], "/ready")
        assert (failing.code, failing.content["what_to_do"]) == (503, "Start it.")
        assert failing.content["reason"] == "core is failing; last error: Unavailable: NATS is away"
        assert (await page(pages.ports["core"], "/health")).code == 200
        assert (await page(pages.ports["ws"], "/ready")).code == 200
        health.starting("core")
        assert "last error: Unavailable" in (await page(pages.ports["core"], "/ready")).content["reason"]
        health.stopped("core", "Diverged: event 7", "Run `cdb verify`.")
        stopped = (await page(pages.ports["core"], "/ready")).content
        assert (stopped["reason"], stopped["what_to_do"]) == (
            "core is stopped; last error: Diverged: event 7", "Run `cdb verify`."
        )  # fmt: skip
        health.ready("core")
        assert (await page(pages.ports["core"], "/health")).content["last_error"] == "Diverged: event 7"


async def test_a_state_stands_since_it_began() -> None:
    now = [0]
    health = Health(now_ns=lambda: now[0])
    for now[0], tell, since in ((5, health.ready, 5), (6, health.ready, 5), (7, health.starting, 7)):
        tell("core")
        assert health.status("core").since_ns == since
    assert health.status("ws") == health.status("risk")
    now[0] = 1_500_000_000
    assert health.uptime_seconds() == 1.5


def test_a_service_is_as_ready_as_the_component_that_it_needs() -> None:
    now = [1]
    health = Health({"risk": "core"}, now_ns=lambda: now[0], needs={"core": "nats"})

    def states() -> list[str]:
        return [health.status(service).state for service in ("core", "risk", "ws")]

    health.starting("nats")
    health.ready("core")
    assert states() == ["ready", "ready", "starting"]  # what has never failed stands in nobody's way
    now[0] = 2
    health.failing("nats", "Unavailable: gone", "Start it.")
    assert states() == ["failing", "failing", "starting"]
    assert health.status("risk") == ("failing", 2, "nats: Unavailable: gone", "Start it.")
    health.starting("nats")
    health.ready("core")  # whatever it says of itself
    assert states() == ["failing", "failing", "starting"]
    now[0] = 3
    health.ready("nats")
    assert states() == ["ready", "ready", "starting"]
    assert health.status("core") == ("ready", 1, "nats: Unavailable: gone", "")  # its last error, now recovered
    health.failing("core", "KeyError: a bug", "Mend it.")
    health.failing("nats", "Unavailable: gone again", "Start it.")
    assert health.status("core").error == "KeyError: a bug"  # its own fault is what it must tell
    health.stopped("core", None, "It was stopped.")
    assert states() == ["stopped", "stopped", "starting"]


async def test_there_is_nothing_but_the_two_pages(health: Health) -> None:
    async with serve_health(health, {"core": 0}) as pages:
        assert [(await page(pages.ports["core"], path)).code for path in ("/", "/docs", "/openapi.json")] == [404] * 3
        request = urllib.request.Request(f"http://127.0.0.1:{pages.ports['core']}/ready", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, request)
        assert refused.value.code == 405
        refused.value.close()


async def test_only_this_machine_is_answered(health: Health) -> None:
    async with serve_health(health, {"core": 0}) as pages:
        with socket.socket() as elsewhere:
            elsewhere.settimeout(2)
            with pytest.raises(OSError):
                elsewhere.connect(("127.0.0.2", pages.ports["core"]))


async def test_a_port_in_use_is_one_line_with_its_setting_and_nothing_is_served(health: Health) -> None:
    ws, taken = free_port(), socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(InvalidInput) as refused:
        async with serve_health(health, {"ws": ws, "core": port}):
            pytest.fail("a port in use was served")
    line = str(refused.value)
    assert f"port {port}" in line
    assert "CDB_CORE_PORT" in line
    assert "\n" not in line
    assert is_free(ws)


@pytest.mark.parametrize("end", ["leaves", "fails", "is cancelled"])
async def test_however_it_ends_its_sockets_are_closed_and_nothing_is_left(health: Health, end: str) -> None:
    before = asyncio.all_tasks()
    served: dict[str, int] = {}

    async def serve() -> None:
        async with serve_health(health, {"ws": 0, "core": 0}) as pages:
            served.update(pages.ports)
            if end == "fails":
                raise KeyError(end)
            if end == "is cancelled":
                await asyncio.get_running_loop().create_future()

    serving = asyncio.create_task(serve())
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if served:
                break
            await asyncio.sleep(0)
        if end == "is cancelled":
            serving.cancel()
        outcome = (await asyncio.gather(serving, return_exceptions=True))[0]
    assert type(outcome) is {"leaves": type(None), "fails": KeyError, "is cancelled": asyncio.CancelledError}[end]
    assert all(is_free(port) for port in served.values())
    assert asyncio.all_tasks() == before


async def test_a_client_that_keeps_its_connection_open_does_not_hold_up_the_end(health: Health) -> None:
    async with asyncio.timeout(DEADLINE_S):
        async with serve_health(health, {"core": 0}) as pages:
            reader, writer = await asyncio.open_connection("127.0.0.1", pages.ports["core"])
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readline()
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_it_takes_no_signal_and_prints_nothing(
    health: Health, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serve_health(health, {"core": 0}) as pages:
        assert (await page(pages.ports["core"], "/ready")).code == 503
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


ENDS = ["is cancelled", "crashes", "ends"]


def page_task(service: str) -> asyncio.Task[Any]:
    """The task that serves a service's pages."""
    return next(task for task in asyncio.all_tasks() if task.get_name() == f"health of {service}")


def end_page(service: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server of a service's pages end as nobody asked it to; no other one of this process may run."""
    if end == "is cancelled":
        page_task(service).cancel()
        return

    async def tick(server: Any, _: int) -> bool:
        monkeypatch.undo()
        if end == "crashes":
            raise ZeroDivisionError("a bug")
        return True

    monkeypatch.setattr("uvicorn.Server.on_tick", tick)


@pytest.mark.parametrize("end", ENDS)
async def test_pages_that_end_by_themselves_are_told_and_served_again_on_the_same_port(
    health: Health, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async with asyncio.timeout(DEADLINE_S), serve_health(health, {"core": 0}) as pages:
        assert (await page(pages.ports["core"], "/health")).code == 200
        port, before = pages.ports["core"], asyncio.all_tasks()
        for _ in range(3):
            end_page("core", end, monkeypatch)
            with pytest.raises(Unavailable, match=f"of core on port {port} ended by themselves"):
                await pages.kept("core")
            assert is_free(port)
            kept = asyncio.create_task(pages.kept("core"))
            await asyncio.sleep(0)
            assert (await page(port, "/health")).code == 200
            kept.cancel()
            await asyncio.gather(kept, return_exceptions=True)
        assert len(asyncio.all_tasks()) == len(before)


async def test_pages_whose_port_another_program_took_meanwhile_name_it(health: Health) -> None:
    async with asyncio.timeout(DEADLINE_S), serve_health(health, {"core": 0}) as pages:
        page_task("core").cancel()
        with pytest.raises(Unavailable):
            await pages.kept("core")
        with (
            socket.create_server(("127.0.0.1", pages.ports["core"])),
            pytest.raises(InvalidInput, match="CDB_CORE_PORT"),
        ):
            await pages.kept("core")
