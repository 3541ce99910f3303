"""What services ask each other: how far the engine has come, and who runs one already."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters import progress, subjects
from adapters.connection import Connection, Lost, connect
from adapters.jetstream import JetStreamLog, provision
from adapters.nats_server import NatsServer
from adapters.progress import ask_reached, is_running, only_one, serve_reached
from domain.errors import Conflict
from tests import logs


@pytest.fixture
async def connections(nats_server: NatsServer) -> AsyncIterator[tuple[Connection, Connection]]:
    """Of two processes."""
    async with await connect(nats_server.url) as one, await connect(nats_server.url) as two, asyncio.timeout(30):
        yield one, two


@pytest.fixture
def desk() -> str:
    return logs.new_name()


class Engine:
    """Comes as far as the test says."""

    def __init__(self) -> None:
        self.at, self.moved, self.asked = 0, asyncio.Condition(), asyncio.Event()

    async def reached(self, ordinal: int) -> None:
        self.asked.set()
        async with self.moved:
            await self.moved.wait_for(lambda: self.at >= ordinal)

    async def move(self, ordinal: int) -> None:
        async with self.moved:
            self.at = ordinal
            self.moved.notify_all()


async def test_whoever_asks_waits_until_the_engine_is_there(
    connections: tuple[Connection, Connection], desk: str
) -> None:
    ws, core = connections
    engine = Engine()
    async with serve_reached(core, desk, engine.reached):
        await ask_reached(ws, desk, 0)
        asking = asyncio.create_task(ask_reached(ws, desk, 100))
        await engine.asked.wait()
        await engine.move(99)
        await ask_reached(ws, desk, 99)
        assert not asking.done()
        await engine.move(100)
        await asking


async def test_an_answer_may_take_longer_than_a_question_waits(
    connections: tuple[Connection, Connection], desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ASK_S", 0.05)
    ws, core = connections
    engine, questions = Engine(), 0

    async def reached(ordinal: int) -> None:
        nonlocal questions
        questions += 1
        if questions == 3:
            await engine.move(ordinal)
        await engine.reached(ordinal)

    async with serve_reached(core, desk, reached):
        await ask_reached(ws, desk, 7, again_s=0.01)
    assert questions == 3


async def test_the_backlog_waits_while_no_engine_runs_and_goes_on_when_one_comes(
    connections: tuple[Connection, Connection], desk: str
) -> None:
    ws, core = connections
    engine = Engine()
    await engine.move(5)
    asking = asyncio.create_task(ask_reached(ws, desk, 5, again_s=0.01))
    async with serve_reached(core, logs.new_name(), engine.reached):  # another desk's engine is none of ours
        await ask_reached_in_vain(ws, desk)
        assert not asking.done()
    async with serve_reached(core, desk, engine.reached):
        await asking


async def ask_reached_in_vain(connection: Connection, desk: str) -> None:
    for _ in range(3):
        with pytest.raises(Lost, match="nobody answers"):
            await connection.ask(subjects.command("core", "reached", desk), b"5")


async def test_a_question_without_a_number_harms_nobody(connections: tuple[Connection, Connection], desk: str) -> None:
    ws, core = connections
    async with serve_reached(core, desk, Engine().reached):
        await ask_reached(ws, desk, 0)
        for question in (b"", b"soon", b"\xff", b"9" * 5_000):
            with pytest.raises(Lost, match="no answer"):
                await ws.ask(subjects.command("core", "reached", desk), question, timeout_s=0.02)
        await ask_reached(ws, desk, 0)


async def test_no_answer_is_written_into_a_stream(connections: tuple[Connection, Connection], desk: str) -> None:
    """Who may ask must not write by our hand."""
    ws, core = connections
    await provision(core)
    async with serve_reached(core, desk, Engine().reached), only_one(core, desk, "core"):
        for name in ("reached", "here"):
            await ws.publish(subjects.command("core", name, desk), b"0", f"ledger.{desk}")
        await ask_reached(ws, desk, 0)
        assert await is_running(ws, desk, "core")
        assert await JetStreamLog(core).last(f"ledger.{desk}") is None


async def left(connection: Connection, desk: str) -> None:
    while await is_running(connection, desk, "ws"):  # noqa: ASYNC110  who goes tells nobody
        await asyncio.sleep(0.01)


async def test_a_service_of_a_desk_has_one_process(connections: tuple[Connection, Connection], desk: str) -> None:
    one, two = connections
    assert not await is_running(two, desk, "ws")
    async with only_one(one, desk, "ws"):
        assert await is_running(two, desk, "ws")
        with pytest.raises(Conflict, match=f"desk {desk}: another process runs its service ws.*--desk NEW"):
            async with only_one(two, desk, "ws"):
                pytest.fail("it must not begin")
        async with only_one(two, desk, "core"), only_one(two, logs.new_name(), "ws"):
            assert await is_running(one, desk, "core")
    await left(two, desk)
    async with only_one(two, desk, "ws"):
        assert await is_running(one, desk, "ws")


async def test_one_that_is_too_busy_to_answer_is_still_there(
    connections: tuple[Connection, Connection], desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ASK_S", 0.05)
    one, two = connections
    stuck = asyncio.Event()

    async def never(_: object) -> None:
        await stuck.wait()

    async with one.serving(subjects.command("ws", "here", desk), never):
        assert await is_running(two, desk, "ws")
        stuck.set()


async def test_who_was_killed_runs_no_more(nats_server: NatsServer, desk: str) -> None:
    async with await connect(nats_server.url) as two, asyncio.timeout(30):
        one = await connect(nats_server.url)
        async with only_one(one, desk, "ws"):
            await one.close()  # as its end would: without a word
            await left(two, desk)
