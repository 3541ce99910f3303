"""Readers of the stream who do not read: they hold little, delay nobody, hold up no end, and miss nothing."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from adapters import processes
from domain.errors import Unavailable
from gateways.api_desk import Change, Principal
from gateways.http.events import Streamed, stream
from gateways.http_api import create_app
from ops import api, http_server
from ops.api import DeskApi, serve
from ops.health import listen
from ops.ledger_as_of import PAGE_CHANGES, Changes
from ops.listening import Listening
from tests.gateways.api_desks import DEADLINE_S, HALF, OUTSIDE, Opened, Stored, served
from tests.logs import Wrapped

PATH = "/api/v1/events/stream"
IDLE = 100
WINDOW = 4096  # bytes that a reader who does not read lets come: the least that a system allows
EVENT_BYTES = 1000
HELD_MOST = 1 << 20  # bytes of events that were made for one who reads none: what system and server buffer
READ = 4 << 20  # of one who reads: more than that, so that it cannot have been lying ready


class Endless:
    """A desk whose ledger has no end, and that counts what it gave to readers from each place."""

    name, queries = "main", None

    def __init__(self) -> None:
        self.given, self.closed = Counter[int](), 0

    async def moment(self, *_: Any) -> Any:
        raise Unavailable("this desk only streams")

    async def principal(self, token: str) -> Principal:
        return Principal(token, "observer")

    async def changes(self, after: int | None = None) -> AsyncGenerator[list[Change], None]:
        began = number = after or 0
        try:
            while True:
                yield [
                    Change(n, {"id": f"main:{n}", "type": "day_rolled", "says": "x" * EVENT_BYTES})
                    for n in range(number + 1, number + PAGE_CHANGES + 1)
                ]
                number += PAGE_CHANGES
                self.given[began] += PAGE_CHANGES
                await asyncio.sleep(0)
        finally:
            self.closed += 1


class Reader:
    """A bare connection that asked for the stream behind a number; `read` is what it took from it."""

    def __init__(self, port: int, after: int, token: str, desk: str = "main") -> None:
        self.socket, self.read = socket.socket(), bytearray()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            f"Last-Event-ID: {desk}:{after}\r\n\r\n".encode()
        )

    def drain(self, last: int = 0) -> None:
        """Take what there is until the other end ends it, or until this number came."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(1 << 16):
                self.read += data
                if last and last in self.numbers():
                    return

    def numbers(self) -> list[int]:
        """Of the events that came whole, in order."""
        _, _, body = bytes(self.read).partition(b"\r\n\r\n")
        whole = unchunked(body).rpartition(b"\n\n")[0]
        events = [event for event in whole.split(b"\n\n") if event.startswith(b"id:")]
        return [int(event.split(b"\n")[0].rpartition(b":")[2]) for event in events]


def unchunked(body: bytes) -> bytes:
    """What a chunked body says, as far as it came."""
    said = b""
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        said, body = said + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return said


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system keeps little for those who do not read; alone it would keep a whole ledger."""

    def listening(*place: Any) -> socket.socket:
        listener = listen(*place)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WINDOW)  # those who are accepted inherit it
        return listener

    monkeypatch.setattr(api, "listen", listening)


@asynccontextmanager
async def idle(port: int, places: Iterable[int], token: str = "x", desk: str = "main") -> AsyncIterator[list[Reader]]:
    """Readers who asked for the stream behind these numbers, and take nothing of it."""
    readers = await asyncio.to_thread(lambda: [Reader(port, place, token, desk) for place in places])
    try:
        yield readers
    finally:
        for reader in readers:
            reader.socket.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.01)


@asynccontextmanager
async def endless() -> AsyncIterator[tuple[Endless, int, asyncio.Task[None]]]:
    """The endless desk on a port of its own, and the server's task."""
    desk, up, port = Endless(), asyncio.Event(), processes.free_port()
    serving = asyncio.create_task(serve(create_app(desk), Listening("127.0.0.1", port), up.set))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(DEADLINE_S):
            await up.wait()
        yield desk, port, serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def read(port: int, after: int, count: int) -> None:
    """So many bytes of the stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer x\r\n"
        f"Last-Event-ID: main:{after}\r\n\r\n".encode()
    )
    async with asyncio.timeout(DEADLINE_S):
        while count > 0:
            count -= len(await reader.read(1 << 20))
    writer.close()


async def test_a_hundred_readers_who_take_nothing_hold_little_and_delay_nobody() -> None:
    async with endless() as (desk, port, _), idle(port, range(1, IDLE + 1)):
        await until(lambda: len(desk.given) == IDLE)
        await asyncio.gather(*(read(port, 10**6 + number, READ) for number in range(2)))
        assert max(desk.given[place] for place in range(1, IDLE + 1)) * EVENT_BYTES < HELD_MOST
        assert min(desk.given[10**6 + number] for number in range(2)) * EVENT_BYTES > READ - HELD_MOST


async def test_a_hundred_readers_who_take_nothing_hold_up_no_end_and_are_cut_off_by_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, lost = list[http_server.PatientProtocol](), list[http_server.PatientProtocol]()

    class Told(http_server.PatientProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            made.append(self)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            lost.append(self)
            super().connection_lost(exc)

    monkeypatch.setattr(api, "PatientProtocol", Told)
    async with endless() as (desk, port, serving), idle(port, range(1, IDLE + 1)) as readers:
        await until(lambda: len(made) == IDLE and all(connection.flow.write_paused for connection in made))
        serving.cancel()
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        await until(lambda: len(lost) == desk.closed == IDLE)
        assert processes.is_free(port)
        assert not caplog.records
        for reader in readers:
            await asyncio.to_thread(reader.drain)


async def test_one_who_takes_nothing_for_long_is_cut_off_and_what_waited_for_him_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE_S", 0.2)
    async with endless() as (desk, port, _), idle(port, [1, 2, 3]) as readers:
        await until(lambda: desk.closed == 3)
        for reader in readers:
            await asyncio.to_thread(reader.drain)
        await read(port, 10**6, READ)


@pytest.mark.parametrize(("waits", "cut"), [([5, 5], True), ([5, 4, 3, 2], False), ([5, 4, 4], True), ([5, 6], True)])
def test_one_who_takes_something_now_and_then_is_not_cut_off(waits: list[int], *, cut: bool) -> None:
    """`waits` are the bytes that wait for him whenever somebody looks."""
    transport, loop = Mock(), Mock()
    connection = http_server.PatientProtocol(Config(None, log_config=None), ServerState(), {}, loop)
    connection.transport, connection.flow = transport, FlowControl(transport)
    transport.get_write_buffer_size.return_value = waits[0]
    connection.pause_writing()
    for left in waits[1:]:
        transport.get_write_buffer_size.return_value = left
        _, look, before = loop.call_later.call_args.args
        look(before)
    assert transport.abort.called == cut
    connection.resume_writing()
    assert loop.call_later.return_value.cancel.called


async def may_read() -> bool:
    return True


async def test_a_stream_whose_reader_is_gone_is_closed_at_once() -> None:
    desk = Endless()
    text = stream(desk.changes(), (), may_read)

    async def gone(message: Any) -> None:
        if b"data:" in message.get("body", b""):
            raise OSError

    with pytest.raises(OSError):
        await Streamed(text).stream_response(gone)
    assert desk.closed == 1


# -- of a desk with a ledger -------------------------------------------------------------------------------------------


class Told(DeskApi):
    """A desk that knows how far its last stream got, and whether it is over."""

    given, over = 0, False

    async def changes(self, after: int | None = None) -> AsyncGenerator[list[Change], None]:
        try:
            async with aclosing(super().changes(after)) as pages:
                async for page in pages:
                    self.given = page[-1].number
                    yield page
        finally:
            self.over = True


async def test_one_who_is_cut_off_again_and_again_and_comes_with_his_last_id_misses_nothing(
    half: tuple[Stored, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE_S", 0.05)
    stored, running = half
    desk = Told(stored.log, running.visible, running.token_log, **OUTSIDE | {"stop": running.halts})
    numbers, lives = [HALF - 400], 0
    async with served(create_app(desk)) as address:
        port = int(address.rpartition(":")[2])
        while numbers[-1] < HALF:
            desk.given, desk.over = 0, False
            async with idle(port, [numbers[-1]], running.tokens["observer"], stored.name) as [reader]:
                await until(lambda: desk.over or desk.given == HALF)
                await asyncio.to_thread(reader.drain, HALF)
                numbers += reader.numbers()
            await until(lambda: desk.over)
            lives += 1
    assert numbers == list(range(HALF - 400, HALF + 1))
    assert lives > 1, "he was never cut off"


async def test_what_is_given_at_once_is_little_and_the_log_is_not_read_again_for_it(
    half: tuple[Stored, Opened],
) -> None:
    desk, running = half
    reads = 0

    class Counted(Wrapped):
        def read(self, *arguments: Any) -> Any:
            nonlocal reads
            reads += 1
            return self.log.read(*arguments)

    changes, heard = Changes(Counted(desk.log), running.visible), list[int]()
    for _ in range(3):  # the first from the log, the others from what is kept
        async with aclosing(changes.follow(0)) as pages:
            async for page in pages:
                assert len(page) <= PAGE_CHANGES
                heard += [change.number for change in page]
                if heard[-1] == HALF:
                    break
    assert heard == list(range(1, HALF + 1)) * 3
    assert HALF > 3 * PAGE_CHANGES
    assert reads == 1
