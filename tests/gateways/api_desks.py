"""A desk for the tests of the HTTP API: the golden script on a log in memory, its read models in a real PostgreSQL."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import httpx
from fastapi import FastAPI

from adapters import processes
from adapters.facts import Facts
from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.ops_log import OPS
from adapters.projection_store import ProjectionStore
from adapters.subjects import TOPIC
from adapters.subjects import ops as ops_subject
from adapters.token_log import TokenLog
from domain.access import ROLES
from domain.errors import Unavailable
from domain.operations import CommandRefused, ServiceStarted
from domain.ports import Append, LedgerEnd, Recorded
from gateways.api_desk import Principal
from gateways.http.problems import SCHEMA
from gateways.http_api import create_app
from ops.api import DeskApi, Govern, serve
from ops.listening import Listening
from ops.moments import Moments
from ops.projector import Projector
from ops.visible import Visible
from projections.answers import Answer
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS
from tests.canonical_governance import OPERATIONS
from tests.ops.desks import write_governance, write_tape
from tests.ops.ledgers import LINES, SCRIPT

V1 = "/api/v1"
LISTS = ("orders", "fills", "signals", "decisions", "events", "proposals", "runs")
AS_OF = (
    *LISTS, "status", "account", "positions", "metrics", "equity", "verdicts", "bars?symbol=EURUSD",
    "documents/AKTUELLER_STAND.md", "documents/DECISION_LOG.md", "documents/AGENTS.md", "agents",
)  # fmt: skip
MIDDLE = "2024-03-04T20:00:00Z"  # behind the instructions, which the script puts on its tape with an earlier time
DEADLINE_S = 60
COMMIT = 40
HALF = len(LINES) // 2


class Stored(NamedTuple):
    """A desk's log: the whole tape, and as much of the ledger as `tell` put there."""

    name: str
    log: MemoryLog

    async def tell(self, count: int) -> int:
        """Commit the next lines of the golden ledger; the number of the last one."""
        ledger = StoredLedger(self.log, self.name)
        end = await ledger.end()
        first = end.number + 1
        recorded = [Recorded(*line) for line in enumerate(LINES[first - 1 : first - 1 + count], first)]
        for start in range(0, len(recorded), COMMIT):
            end = await ledger.append(recorded[start : start + COMMIT], LedgerEnd(end.number, end.sequence))
        return end.number


async def stored(lines: int = len(LINES)) -> Stored:
    """A desk that no other test knows."""
    desk = Stored(f"test-{uuid.uuid4().hex[:12]}", MemoryLog())
    await write_governance(desk.log)
    await write_tape(desk.log, SCRIPT, desk.name)
    started = ServiceStarted(service="core", occurred_at_ns=10**18, version="0.2.0").model_dump_json().encode()
    await desk.log.append(Append(ops_subject("core"), started, {TOPIC: OPS}, 0))
    end = 0
    for event in OPERATIONS.values():
        data = event.model_dump_json().encode()
        end = await desk.log.append(Append(ops_subject("governance"), data, {TOPIC: OPS}, end))
    if lines:
        await desk.tell(lines)
    return desk


@asynccontextmanager
async def projecting(desk: Stored, dsn: str) -> AsyncIterator[Projector]:
    """A projector that follows the desk while the block runs."""
    async with asyncpg.create_pool(dsn, min_size=1, server_settings={"synchronous_commit": "off"}) as pool:
        projector = Projector(Facts(desk.log, desk.name), ProjectionStore(pool, desk.name), READ_MODELS)
        running = asyncio.create_task(projector.run())
        try:
            yield projector
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def caught_up(desk: Stored, projector: Projector) -> None:
    """Wait until the read models hold what the log does."""
    facts = Facts(desk.log, desk.name)
    async with asyncio.timeout(DEADLINE_S):
        for source in ("tape", "ledger", "ops", "governance"):
            await projector.reached(source, await facts.end(source))


class Halts:
    """What was stopped, instead of a sequencer."""

    def __init__(self) -> None:
        self.said: list[tuple[Principal, str, bool]] = []

    async def __call__(self, by: Principal, reason: str, flatten: bool) -> Answer:
        self.said.append((by, reason, flatten))
        return {"instruction_id": "api-1", "tape": "tape:1", "ledger": "main:1", "applied": True, "reason": ""}


async def looked() -> list[Answer]:
    return [{"service": "core", "port": 8001, "reason": None, "what_to_do": None, "state": "ready"}]


async def ungoverned(command: str, content: Mapping[str, Any]) -> Answer:
    raise Unavailable(f"governance did not answer {command}")


# What a desk asks of others, in tests of something else.
OUTSIDE: dict[str, Any] = {"stop": Halts(), "look": looked, "govern": ungoverned, "record": lambda _: None}


class Opened(NamedTuple):
    """A desk behind its API: `tokens` by role, and who was refused before governance was asked."""

    stored: Stored
    api: DeskApi
    visible: Visible
    app: FastAPI
    tokens: dict[str, str]
    token_log: TokenLog
    halts: Halts
    dsn: str
    refused: list[CommandRefused]

    def client(self, role: str | None = "observer", **options: Any) -> httpx.AsyncClient:
        """Speaks to the app in this event loop."""
        headers = {"authorization": f"Bearer {self.tokens[role]}"} if role else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers, **options)

    async def shown(self) -> None:
        """Wait until what the log holds is shown."""
        at = await Moments(self.stored.log, self.stored.name).newest()
        async with asyncio.timeout(DEADLINE_S):
            await self.visible.reached(at)


@asynccontextmanager
async def opened(desk: Stored, dsn: str, govern: Govern = ungoverned, **options: Any) -> AsyncIterator[Opened]:
    """The app of a desk. Its read models are whoever's."""

    async def where() -> str:
        return dsn

    tokens, halts, refused = TokenLog(MemoryLog()), Halts(), list[CommandRefused]()
    async with tokens.following(), Visible.open(desk.log, desk.name, where) as visible:
        await visible.reached(AsOf())
        secrets = {role: await tokens.create(f"a-{role}", role, "a test") for role in ROLES}
        api = DeskApi(desk.log, visible, tokens, stop=halts, look=looked, govern=govern, record=refused.append)
        yield Opened(desk, api, visible, create_app(api, **options), secrets, tokens, halts, dsn, refused)


@asynccontextmanager
async def half_told(dsn: str) -> AsyncIterator[tuple[Stored, Opened]]:
    """A desk with half its ledger, behind its API, while a projector runs."""
    desk = await stored(HALF)
    async with projecting(desk, dsn) as projector:
        await caught_up(desk, projector)
        async with opened(desk, dsn, heartbeat_s=0.1) as running:
            await running.shown()
            yield desk, running
    connection = await asyncpg.connect(dsn)
    await connection.execute(f'DROP SCHEMA "desk_{desk.name}" CASCADE')
    await connection.close()


@asynccontextmanager
async def served(app: FastAPI, listening: Callable[[int], Listening] | None = None) -> AsyncIterator[str]:
    """The app on a port of its own: its address."""
    port, up = processes.free_port(), asyncio.Event()
    place = listening(port) if listening else Listening("127.0.0.1", port)
    serving = asyncio.create_task(serve(app, place, up.set))
    try:
        async with asyncio.timeout(DEADLINE_S):
            done, _ = await asyncio.wait(
                {serving, waiting := asyncio.create_task(up.wait())}, return_when="FIRST_COMPLETED"
            )
            waiting.cancel()
            if serving in done:
                serving.result()
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def page_of(answer: httpx.Response) -> Any:
    """The data of an answer that must be one."""
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def with_query(path: str, **query: Any) -> str:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{V1}/{path}{'&' if '?' in path else '?'}{words}"


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem of an answer that must be one, whole and in the right dress."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) == set(SCHEMA["required"])
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["what_to_do"]
    return problem


class Nobody:
    """A desk that nothing is asked of."""

    name = "main"
    queries = None
