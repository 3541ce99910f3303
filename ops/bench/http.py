"""Benchmarks of the HTTP API: 50 clients that keep their connections, against a desk that goes on meanwhile.

API and projector run in one process of their own, as `cdb up` has them; the clients are here. A paced request counts
from when it was due, so a server that falls behind cannot hide it.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from adapters.token_log import TokenLog
from domain.errors import Unavailable
from ops.bench.figure import Figure, per_second, percentile_ms, seconds_since
from ops.bench.read_desk import DESK, ReadDesk, appended, moment, read_desk, served
from ops.rebuild import rebuild_all
from projections.catalogue import READ_MODELS

MINUTES = 110_000
CLIENTS, EACH_S, SECONDS = 50, 10, 10
PAST_EACH_S = 0.4  # of moments that nobody asked for before
CHANGES_S = 20  # events that the ledger gets meanwhile
WARM_S = 2
READY_S = 60.0
READ_BYTES = 1 << 20

Target = Callable[[], str]  # the path and query of the next request


class Client:
    """One connection of HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    async def get(self, target: str) -> int:
        """The status of an answer that was read to its end."""
        self._writer.write(f"GET {target} HTTP/1.1\r\n{self._head}\r\n\r\n".encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(answer.split(b" ", 2)[1])


async def http_status(folder: Path) -> AsyncIterator[Figure]:
    """How the desk stands."""
    async for figure in _asked(folder, "http_status", "/api/v1/status"):
        yield figure


async def http_orders(folder: Path) -> AsyncIterator[Figure]:
    """A page of orders."""
    async for figure in _asked(folder, "http_orders", "/api/v1/orders?limit=50"):
        yield figure


async def _asked(folder: Path, name: str, path: str) -> AsyncIterator[Figure]:
    chosen = random.Random(42)
    async with read_desk(folder, MINUTES) as desk:
        await rebuild_all(desk.facts, desk.store, READ_MODELS)
        token = await TokenLog(desk.log).create("bench", "observer", "bench")
        port = desk.settings.api_port
        async with served(desk.settings, "projector", "api"), connected(port, CLIENTS, token) as clients:

            def of_the_past() -> str:
                at = moment(chosen.randrange(1, desk.events), desk)
                return f"{path}{'&' if '?' in path else '?'}as_of={at.token(DESK)}"

            async with _going_on(desk):
                await paced(clients, lambda: path, EACH_S, WARM_S)
                taken = await paced(clients, lambda: path, EACH_S, SECONDS)
                bare = await paced(clients, lambda: "/health", EACH_S, SECONDS / 2)
                past = await paced(clients, of_the_past, PAST_EACH_S, SECONDS)
                full = await saturated(clients, path, SECONDS / 2)
    meanwhile = f"{CLIENTS} clients that keep their connections, while the ledger gets {CHANGES_S} events a second"
    yield Figure(f"{name}_saturated", full, "requests/s", "none", None,
                 f"{path}: as fast as answers come, {meanwhile}")  # fmt: skip
    for percent, called in ((50, f"{name}_past_p50"), (99, f"{name}_past")):
        value, base = percentile_ms(past, percent), percentile_ms(taken, percent)
        yield Figure(called, value, "ms", f"the newest moment, p{percent} ({base} ms)", round(value / base, 2),
                     f"{path} at random past moments of {desk.events:,} events, each for the first time, "
                     f"{CLIENTS * PAST_EACH_S:.0f} requests/s, {meanwhile}, p{percent}")  # fmt: skip
    for percent, called in ((50, f"{name}_p50"), (99, name)):
        value, base = percentile_ms(taken, percent), percentile_ms(bare, percent)
        yield Figure(called, value, "ms", f"/health of the same process, p{percent} ({base} ms)",
                     round(value / base, 2), f"{path}: {CLIENTS * EACH_S} requests/s on a schedule for {SECONDS} s, "
                     f"{meanwhile}, p{percent}; the slowest {percentile_ms(taken, 100)} ms")  # fmt: skip


@asynccontextmanager
async def connected(port: int, count: int, token: str) -> AsyncIterator[list[Client]]:
    """Clients of a server that is ready by then."""
    writers: list[asyncio.StreamWriter] = []
    head = f"host: 127.0.0.1:{port}\r\nauthorization: Bearer {token}"

    async def client() -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
        writers.append(writer)
        return Client(reader, writer, head)

    async def ready() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await (await client()).get("/api/v1/status") == 200:
                    return
            await asyncio.sleep(0.1)

    try:
        async with asyncio.timeout(READY_S):
            await ready()
        yield [await client() for _ in range(count)]
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def paced(clients: list[Client], target: Target, each_s: float, seconds: float) -> list[int]:
    """Durations in ns from when each request was due until its answer was read; every client asks so often a second."""
    taken, begin = list[int](), time.perf_counter_ns()
    every_ns = round(1e9 / each_s)

    async def ask(place: int, client: Client) -> None:
        for number in range(round(each_s * seconds)):
            due_ns = begin + number * every_ns + place * every_ns // len(clients)
            await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
            await _good(client, target())
            taken.append(time.perf_counter_ns() - due_ns)

    await asyncio.gather(*(ask(place, client) for place, client in enumerate(clients)))
    return taken


async def saturated(clients: list[Client], target: str, seconds: float) -> float:
    """Requests a second when every client asks again at once."""
    done, started = 0, time.perf_counter()

    async def ask(client: Client) -> None:
        nonlocal done
        while seconds_since(started) < seconds:
            await _good(client, target)
            done += 1

    await asyncio.gather(*(ask(client) for client in clients))
    return per_second(done, seconds_since(started))


async def _good(client: Client, target: str) -> None:
    status = await client.get(target)
    if status != 200:
        raise Unavailable(f"GET {target} was answered with {status}; see what the API says to it")


@asynccontextmanager
async def _going_on(desk: ReadDesk) -> AsyncIterator[None]:
    """The ledger gets events, and with them the API other answers, while the block runs."""

    async def go_on() -> None:
        async for _ in appended(desk):
            await asyncio.sleep(1 / CHANGES_S)

    going = asyncio.create_task(go_on())
    try:
        yield
        if going.done():
            going.result()
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
