"""`cdb up` with its read side: whatever of that is killed, the desk trades on and the read models come right."""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from adapters import processes
from adapters.memory import MemoryLog
from domain.operations import OPS_EVENT
from gateways.feeds.files import FeedOptions, read_files
from ops.desk_status import status
from ops.read_side import ReadSide, address
from ops.session import Plan, StrategyChoice, run_session
from ops.settings import Settings, load
from projections.catalogue import READ_MODELS
from tests.faults.session import recording
from tests.ops.desks import READ_SIDE, Cdb, until, write_quotes

STRATEGY = ("--strategy", "ema_cross", "--param", "on=ticks", "--param", "fast=3", "--param", "slow=9")
CHOICE = StrategyChoice("ema_cross", parameters={"on": "ticks", "fast": "3", "slow": "9"})
QUOTES = 600


@pytest.fixture
async def cdb(passable_tmp: Path) -> AsyncIterator[Cdb]:
    desk = Cdb(passable_tmp / "data", dashboard=True)
    yield desk
    await desk.close()


async def read_side(parent: Process, other_than: int = 0) -> psutil.Process:
    """The process beside a desk's; another one than the one that was killed."""
    found: list[psutil.Process] = []

    async def runs() -> bool:
        assert parent.returncode is None
        children = psutil.Process(parent.pid).children()
        found[:] = [c for c in children if c.pid != other_than and "projector" in c.cmdline() and processes.alive(c)]
        return bool(found)

    await until(runs)
    return found[0]


async def gone(*victims: psutil.Process) -> None:
    async def all_gone() -> bool:
        return not any(processes.alive(victim) for victim in victims)

    await until(all_gone)


async def assert_equal_to_a_fold(cdb: Cdb) -> None:
    found = await cdb.desk().verify_projections([], lambda *_: None)
    assert [row["model"] for row in found] == [model.name for model in READ_MODELS]
    assert {row["different"] for row in found} == {0}, found
    assert sum(row["checked"] for row in found) > 100


@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED on Windows: SIGKILL and its exit code")
async def test_what_is_killed_beside_a_trading_desk_comes_back_and_the_desk_never_notices(
    cdb: Cdb, tmp_path: Path
) -> None:
    quotes, memory = write_quotes(tmp_path / "EURUSD.csv", QUOTES), MemoryLog()
    await run_session(memory, "main", Plan(read_files([quotes], FeedOptions()), [CHOICE]))
    whole = await recording(memory)
    desk = await cdb.start("up", "--feed", f"file:{quotes}", *STRATEGY, "--speed", "6", "--json")
    await cdb.ready(desk, "ws", "core", *READ_SIDE)
    for service in READ_SIDE:
        page = await cdb.page(service, "ready")
        assert page is not None
        assert (page[1]["service"], page[1]["desk"], page[1]["mode"]) == (service, "main", "paper")
    first = await read_side(desk)
    first.kill()
    await gone(first)
    second = await read_side(desk, first.pid)
    server = cdb.postgres()
    assert server is not None
    await asyncio.to_thread(processes.kill, server)  # while the new one starts
    await cdb.ready(desk, *READ_SIDE)
    server = cdb.postgres()
    assert server is not None
    await asyncio.to_thread(processes.kill, server)  # while it works
    await cdb.reaches(len(whole.tape))
    await cdb.ready(desk, *READ_SIDE)
    assert (await read_side(desk)).pid == second.pid
    stopped = await cdb.interrupted(desk)
    assert stopped.code == 130
    assert "Traceback" not in stopped.said
    assert [await cdb.page(service) for service in READ_SIDE] == [None, None]
    cdb.assert_nothing_is_left()

    await assert_equal_to_a_fold(cdb)
    async with cdb.log() as log:
        left, events = await recording(log), [
            OPS_EVENT.validate_json(message.data) async for page in log.read("ops.read_side") for message in page
        ]  # fmt: skip
    assert (left.tape, left.ledger) == (whole.tape, whole.ledger)
    assert [event.type for event in events] == [
        "service_started", "service_failed", "service_restarted", "service_stopped",
    ]  # fmt: skip
    assert events[1].message == "desk main: the process of projector and api ended (killed by signal 9)"
    cdb.assert_nothing_is_left()


@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED on Windows: SIGKILL")
async def test_a_killed_desk_takes_its_read_side_and_the_servers_with_it(cdb: Cdb) -> None:
    desk = await cdb.start("up", "--json")
    side = await read_side(desk)
    await cdb.ready(desk, "projector")
    desk.send_signal(signal.SIGKILL)
    await gone(side)
    cdb.assert_nothing_is_left()


async def test_a_read_side_that_cannot_start_says_why_and_the_desk_trades(cdb: Cdb, tmp_path: Path) -> None:
    """Its port is another program's."""
    quotes = write_quotes(tmp_path / "EURUSD.csv", 300)
    async with await taken(cdb.ports["projector"]):
        desk = await cdb.start("up", "--feed", f"file:{quotes}", *STRATEGY, "--speed", "20", "--json")
        await cdb.ready(desk, "ws", "core")
        await cdb.reaches(300)
        ports = {f"{service}_port": port for service, port in cdb.ports.items()}
        settings = load(data_dir=cdb.path, **ports)

        async def told() -> bool:
            rows = {row["service"]: row for row in (await status(settings))["services"]}
            return "for the service projector cannot be used" in (rows["api"]["reason"] or "")

        await until(told)
        assert (await cdb.interrupted(desk)).code == 130
    await cdb.assert_verified()


async def taken(port: int) -> asyncio.Server:
    return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)


def test_the_address_of_a_dashboard_can_be_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api_port=8081)
    assert address(settings) == "http://127.0.0.1:8081/"
    assert address(settings.model_copy(update={"api_host": "::1"})) == "http://[::1]:8081/"


async def test_a_dashboard_that_is_not_there_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, api_port=processes.free_port())
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    async with ReadSide.beside(settings, MemoryLog()) as side:
        assert side.dashboard == address(settings)

        async def failed() -> bool:
            return side.dashboard.startswith("not running: FileNotFoundError")

        await until(failed)
