"""The benchmarks of the read side measure what they say: the mix, the clients' clock, the same rows on both sides."""

import asyncio
import hashlib
import importlib.util
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.errors import InvalidInput, Unavailable
from ops.bench import projections
from ops.bench.http import connected, paced, saturated
from ops.bench.read_desk import appended, first_events, read_desk
from ops.bench.run import BENCHMARKS
from ops.rebuild import rebuild
from projections.catalogue import read_model

Handle = Callable[[str], Awaitable[tuple[int, bytes]]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """As root PostgreSQL runs under another account, which must pass through the folders above."""
    with tempfile.TemporaryDirectory(prefix="cdb-test-", ignore_cleanup_errors=True) as made:
        yield Path(made)


# -- the desk ------------------------------------------------------------------------------------------------------


async def test_the_ledger_is_mostly_minute_marks_with_every_kind_of_trade_between_them_and_the_same_each_time(
    folder: Path,
) -> None:
    digests, counts = set(), Counter[str]()
    for _ in range(2):
        async with read_desk(folder, 3_000) as desk:
            lines = [event.line for event in await first_events(desk, desk.events)]
            assert len(lines) == desk.events
        digests.add(hashlib.sha256(b"\n".join(lines)).hexdigest())
        counts = Counter(json.loads(line)["type"] for line in lines)
    assert len(digests) == 1
    assert 0.6 < counts["account_marked"] / counts.total() < 0.95
    assert min(counts[kind] for kind in ("signal_assessed", "order_placed", "order_moved", "fill_booked")) > 10
    assert list(folder.iterdir()) == []


async def test_events_that_are_appended_go_on_from_the_ledgers_end_and_are_read_by_every_model(folder: Path) -> None:
    async with read_desk(folder, 500) as desk:
        numbers = []
        async for number, _ in appended(desk):
            numbers.append(number)
            if len(numbers) == 3:
                break
        assert numbers == [desk.events + 1, desk.events + 2, desk.events + 3]
        assert (await rebuild(desk.facts, desk.store, read_model("equity")))["ledger"] == desk.events + 3


# -- the clients ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server(handle: Handle) -> AsyncIterator[int]:
    """HTTP/1.1 in a few lines; bodies come in two pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                assert b"Bearer secret" in head
                status, body = await handle(head.split(b" ")[1].decode())
                writer.write(b"HTTP/1.1 %d Any\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body[:1])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(body[1:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


async def test_every_client_asks_as_often_as_it_should_and_reads_whole_answers() -> None:
    asked: Counter[str] = Counter()

    async def handle(path: str) -> tuple[int, bytes]:
        asked[path] += 1
        return 200, b"HTTP/1.1 500 in a body is no status\r\n\r\n" * 100

    async with server(handle) as port, connected(port, 5, "secret") as clients:
        taken = await paced(clients, lambda: "/paced", 20, 0.5)
        assert asked["/paced"] == len(taken) == 5 * 10
        rate = await saturated(clients, "/full", 0.2)
        assert 0 < rate <= asked["/full"] / 0.2


async def test_a_server_that_stands_still_makes_every_request_late_that_was_due_meanwhile() -> None:
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handle(path: str) -> tuple[int, bytes]:
        if path == "/slow" and not held.is_set():
            loop.call_later(0.4, held.set)
            await held.wait()
        return 200, b"{}"

    async with server(handle) as port, connected(port, 1, "secret") as clients:
        taken = await paced(clients, lambda: "/slow", 50, 0.5)
    late = [ns for ns in taken if ns > 0.05e9]
    assert max(taken) >= 0.4e9
    assert len(late) >= 15  # of the 20 that were due in those 0.4 s, and not the first alone


async def test_an_answer_that_is_no_success_ends_the_benchmark_and_is_named() -> None:
    async def handle(path: str) -> tuple[int, bytes]:
        return (200 if path == "/api/v1/status" else 503), b"{}"

    async with server(handle) as port, connected(port, 2, "secret") as clients:
        with pytest.raises(Unavailable, match="/orders was answered with 503"):
            await paced(clients, lambda: "/orders", 10, 0.2)


async def test_clients_wait_until_the_server_is_ready() -> None:
    answers = iter([503, 503])

    async def handle(path: str) -> tuple[int, bytes]:
        return next(answers, 200), b"{}"

    async with server(handle) as port, connected(port, 1, "secret") as clients:
        assert await clients[0].get("/any") == 200


# -- beside the library --------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    importlib.util.find_spec("psycopg_pool") is None,
    reason="NOT TESTED: the eventsourcing library's PostgreSQL module needs psycopg_pool: run `make setup`",
)
async def test_the_librarys_runner_and_ours_make_the_same_rows_and_a_difference_is_found(folder: Path) -> None:
    from ops.bench.library_runner import run_library

    models = [read_model("equity"), read_model("blotter"), read_model("signals")]
    async with read_desk(folder, 1_000) as desk:
        first = await first_events(desk, 400)
        for model in models:
            await rebuild(desk.facts, desk.store, model)
        assert await asyncio.to_thread(run_library, desk.dsn, first, models, "library") > 0
        await projections._must_agree(desk, models, "library", 400)
        last = "number = (SELECT max(number) FROM library.equity)"
        await desk.store._pool.execute(f"UPDATE library.equity SET low = low + 1 WHERE {last}")
        with pytest.raises(AssertionError, match="equity: 2 rows differ"):
            await projections._must_agree(desk, models, "library", 400)


async def test_without_the_librarys_driver_the_benchmark_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ops.bench.library_runner", None)
    with pytest.raises(InvalidInput, match="make setup"):
        await anext(BENCHMARKS["projection_rebuild"](folder))
