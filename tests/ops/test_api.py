"""The desk behind the API: moments that are waited for, changes that come in time, and a PostgreSQL that goes away."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from adapters import processes, subjects
from adapters.governance_commands import Request, serve_governance
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.postgres_server import PostgresServer
from adapters.read_models import LARGEST
from adapters.token_log import TokenLog
from domain.errors import InvalidInput, Unavailable
from domain.ports import Log, Message
from gateways.api_desk import Change, Principal, Wanted
from gateways.halt_latch import HaltLatch
from ops import api
from ops.api import READING_THE_LOG, DeskApi, halted, serve_api
from ops.desk_status import service_row
from ops.ledger_as_of import Changes
from ops.listening import Listening
from ops.moments import Moments
from ops.settings import Settings, load
from ops.turns import LONG_QUESTIONS, WAITING
from ops.visible import Visible
from projections.as_of import AsOf
from tests.gateways.api_desks import (
    DEADLINE_S,
    HALF,
    OUTSIDE,
    Opened,
    Stored,
    caught_up,
    half_told,
    opened,
    projecting,
    stored,
)
from tests.logs import Wrapped, jetstream
from tests.ops.certificates import Issuer
from tests.ops.desks import until
from tests.ops.ledgers import LINES


@pytest.fixture
async def half(postgres_server: PostgresServer) -> AsyncIterator[tuple[Stored, Opened]]:
    async with half_told(postgres_server.dsn) as (desk, running):
        yield desk, running


# -- moments -------------------------------------------------------------------------------------------------------


async def test_the_newest_moment_follows_the_read_models(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    assert (await running.api.moment()).at.ledger == HALF
    last = await desk.tell(100)
    await running.shown()
    moment = await running.api.moment()
    assert (moment.at.ledger, moment.newest) == (last, True)


async def test_the_newest_moments_times_are_those_that_its_token_has(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    for _ in range(5):
        newest = await running.api.moment()
        named = await running.api.moment(newest.token)
        assert named._replace(newest=True) == newest
        await desk.tell(37)
        await running.shown()


async def test_a_moment_that_the_log_has_is_waited_for(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    await desk.tell(50)
    at = await Moments(desk.log, desk.name).newest()
    assert (await running.api.moment(at.token(desk.name))).at == at
    assert running.visible.holds(at)


async def test_a_moment_that_the_read_models_do_not_reach_says_how_far_they_are(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await stored(100)
    async with projecting(desk, postgres_server.dsn) as projector:
        await caught_up(desk, projector)
    monkeypatch.setattr(api, "WAIT_S", 0.05)
    async with opened(desk, postgres_server.dsn) as running:
        await desk.tell(50)
        at = await Moments(desk.log, desk.name).newest()
        with pytest.raises(Unavailable, match="ledger 100 of 150"):
            await running.api.moment(at.token(desk.name))


async def test_two_answers_to_when_are_refused(half: tuple[Stored, Opened]) -> None:
    with pytest.raises(InvalidInput, match="one of them"):
        await half[1].api.moment("token", 5)


async def test_how_far_behind_is_told_in_recorded_time_and_only_of_now(
    postgres_server: PostgresServer,
) -> None:
    desk = await stored(100)
    async with projecting(desk, postgres_server.dsn) as projector:
        await caught_up(desk, projector)
    async with opened(desk, postgres_server.dsn) as running:
        moment = await running.api.moment()
        await running.visible.ends()
        assert running.api.stale_ms(moment) == 0
        then = (await desk.log.last(f"ledger.{desk.name}")).recorded_at_ns  # type: ignore[union-attr]
        await desk.tell(50)
        now = (await desk.log.last(f"ledger.{desk.name}")).recorded_at_ns  # type: ignore[union-attr]
        await running.visible.ends()
        assert running.api.stale_ms(moment) == -(-(now - then) // 1_000_000)
        assert running.api.stale_ms(await running.api.moment(moment.token)) == 0
        [behind] = {row["behind"] for row in await running.api.lag() if row["source"] == "ledger"}
        assert behind == 50


# -- changes -------------------------------------------------------------------------------------------------------


async def test_changes_are_every_event_once_in_order_and_never_before_the_read_models_show_it(
    half: tuple[Stored, Opened],
) -> None:
    desk, running = half
    heard: list[Change] = []
    early = 0

    async def listen() -> None:
        nonlocal early
        async for page in running.api.changes(HALF - 10):
            early += page[-1].number > (await running.api.queries.newest()).at.ledger
            heard.extend(page)
            if heard[-1].number == len(LINES):
                return

    listening = asyncio.create_task(listen())
    while await desk.tell(150) < len(LINES):
        await running.shown()
    async with asyncio.timeout(DEADLINE_S):
        await listening
    assert [change.number for change in heard] == list(range(HALF - 9, len(LINES) + 1))
    assert early == 0
    assert heard[-1].row["id"] == f"{desk.name}:{len(LINES)}"


async def test_those_who_are_nearly_current_read_the_log_once(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    reads = 0

    class Counted(Wrapped):
        def read(self, *arguments: Any) -> Any:
            nonlocal reads
            reads += 1
            return self.log.read(*arguments)

    counted = DeskApi(Counted(desk.log), running.visible, TokenLog(MemoryLog()), **OUTSIDE)

    async def listen() -> list[int]:
        async for page in counted.changes():
            return [change.number for change in page]
        return []

    listening = [asyncio.create_task(listen()) for _ in range(20)]
    await asyncio.sleep(0)
    await desk.tell(1)
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*listening) == [[HALF + 1]] * 20
    assert reads == 1


async def test_one_who_begins_long_ago_does_not_take_the_window_from_those_who_are_nearly_current(
    half: tuple[Stored, Opened],
) -> None:
    desk, running = half
    changes = Changes(desk.log, running.visible)
    changes._kept.append(Change(1, {}))  # what one who began long ago left there
    for _ in range(2):
        after = (await running.api.moment()).at.ledger
        await desk.tell(2)
        await running.shown()
        assert [change.number for change in await anext(changes.follow(after))] == [after + 1, after + 2]
        assert changes._kept[-1].number == after + 2


async def test_a_page_that_the_log_does_not_have_yet_ends_a_stream_with_an_error_of_ours(
    half: tuple[Stored, Opened],
) -> None:
    class Empty(Wrapped):
        async def read(self, subject: str, after: int = 0) -> AsyncIterator[list[Message]]:
            return
            yield

    desk, running = half
    with pytest.raises(Unavailable, match=f"ledger event {HALF} yet"):
        await anext(Changes(cast("Log", Empty(desk.log)), running.visible).follow(HALF - 1))


# -- many who ask for much -----------------------------------------------------------------------------------------


async def test_few_read_the_log_at_once_and_those_beyond_the_queue_are_sent_away(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    gate, reading, most = asyncio.Event(), 0, 0

    class Slow(Wrapped):
        async def get(self, *arguments: Any) -> Any:
            return await self._slowly(self.log.get(*arguments))

        async def last(self, *arguments: Any) -> Any:
            return await self._slowly(self.log.last(*arguments))

        async def _slowly(self, found: Awaitable[Any]) -> Any:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            try:
                await gate.wait()
                return await found
            finally:
                reading -= 1

    slow = DeskApi(Slow(desk.log), running.visible, TokenLog(MemoryLog()), **OUTSIDE)
    at = (await running.api.moment()).at
    asked: list[Callable[[int], Coroutine[Any, Any, Any]]] = [
        lambda number: slow.why(str(number + 1), at),
        lambda number: slow.events(Wanted(), at, limit=number + 1),
        lambda number: slow.bars("EURUSD", "M1", at, count=number + 1),
        lambda number: slow.moment(at._replace(ledger=at.ledger - number).token(desk.name)),
        lambda number: slow.moment(market_time_ns=1_709_600_000_000_000_000 + number),
    ]
    tasks = [asyncio.create_task(asked[number % 5](number)) for number in range(WAITING + 24)]
    async with asyncio.timeout(DEADLINE_S):
        await until(lambda: _is(sum(task.done() for task in tasks) == len(tasks) - WAITING - READING_THE_LOG))
        assert (await slow.moment()).at == at  # what is shown now waits for nobody
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == len(tasks) - WAITING - READING_THE_LOG
    assert "wait for the log already" in str(refused[0])
    assert not [result for result in results if isinstance(result, Exception) and result not in refused]
    assert most <= READING_THE_LOG


async def test_one_token_with_many_slow_questions_is_no_reason_for_another_to_wait_behind_them(
    half: tuple[Stored, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, began, flood_ends = half[1], list[str](), asyncio.Queue[None]()

    async def slow(log: Log, desk: str, id: str, at: AsOf) -> dict[str, str]:  # noqa: A002
        began.append(id)
        if id != "500":
            await flood_ends.get()
        return {"id": id}

    monkeypatch.setattr(api, "why_at", slow)
    async with running.client("observer") as many, running.client("operator") as other, asyncio.timeout(DEADLINE_S):
        flood = [asyncio.create_task(many.get(f"/api/v1/why/{number}")) for number in range(1, 21)]
        await until(lambda: _is(len(began) == READING_THE_LOG))
        asked = asyncio.create_task(other.get("/api/v1/why/500"))
        await until(lambda: _is(len(running.api._log_turns._lines) == 2))
        assert len(began) == READING_THE_LOG
        flood_ends.put_nowait(None)
        assert (await asked).json()["data"] == {"id": "500"}
        assert began.index("500") == READING_THE_LOG
        for _ in flood:
            flood_ends.put_nowait(None)
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}


async def test_the_long_tables_leave_connections_to_those_who_ask_for_little(half: tuple[Stored, Opened]) -> None:
    _, running = half
    at, gate, reading = (await running.api.moment()).at, asyncio.Event(), 0
    rows = running.visible.rows or pytest.fail("the read models are away")

    class Slow:
        async def fetch(self, sql: str, *arguments: Any) -> Any:
            nonlocal reading
            if "equity" in sql:
                reading += 1
                await gate.wait()
            return await rows.fetch(sql, *arguments)

    running.visible.rows = Slow()
    queries = running.api.queries
    tasks = [asyncio.create_task(queries.equity(at, points=5)) for _ in range(WAITING + LONG_QUESTIONS + 1)]
    async with asyncio.timeout(DEADLINE_S):
        await until(lambda: _is(any(task.done() for task in tasks)))
        assert reading == LONG_QUESTIONS
        with pytest.raises(Unavailable, match="wait for the long tables"):
            await queries.document("DECISION_LOG", at, None, None)
        assert (await queries.orders(at)).items
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 1


async def test_looking_where_the_read_models_stand_never_waits_behind_those_who_ask(
    half: tuple[Stored, Opened],
) -> None:
    desk, running = half
    rows = running.visible.rows
    assert rows is not None
    asked = [asyncio.create_task(rows.fetch("SELECT pg_sleep(4.9)")) for _ in range(2 * LARGEST)]
    await until(lambda: _is(rows._pool.get_idle_size() == 0 and rows._pool.get_size() == LARGEST))  # type: ignore[attr-defined]
    last = await desk.tell(10)
    async with asyncio.timeout(3):
        await running.shown()
    assert (await running.api.moment()).at.ledger == last
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


# -- PostgreSQL goes away --------------------------------------------------------------------------------------------


async def test_what_was_shown_is_shown_while_postgresql_is_away_and_goes_on_when_it_is_back(
    passable_tmp: Path,
) -> None:
    server = PostgresServer(passable_tmp)
    await asyncio.to_thread(server.start)
    desk = await stored(HALF)
    try:
        async with projecting(desk, server.dsn) as projector:
            await caught_up(desk, projector)
        async with opened(desk, server.dsn) as running, running.client() as client:
            before = await client.get("/api/v1/status")
            await asyncio.to_thread(server.stop)
            await until(lambda: _is(running.visible.why_not.startswith("PostgreSQL")))
            assert (await client.get("/api/v1/status")).content == before.content
            assert (await client.get("/api/v1/account")).status_code == 503
            assert (await client.get("/ready")).status_code == 200
            await asyncio.to_thread(server.start)
            await desk.tell(100)
            async with projecting(desk, server.dsn):
                await running.shown()
                assert (await client.get("/api/v1/account")).status_code == 200
                assert (await running.api.moment()).at.ledger == HALF + 100
    finally:
        await asyncio.to_thread(server.stop)


async def _is(held: bool) -> bool:
    return held


async def test_without_read_models_the_api_is_there_and_says_that_they_are_not(
    postgres_server: PostgresServer,
) -> None:
    async def where() -> str:
        raise Unavailable("there is no PostgreSQL")

    tokens, log = TokenLog(MemoryLog()), MemoryLog()
    async with Visible.open(log, f"none-{uuid.uuid4().hex[:8]}", where) as visible:
        await until(lambda: _is("no PostgreSQL" in visible.why_not))
        desk = DeskApi(log, visible, tokens, **OUTSIDE)
        with pytest.raises(Unavailable, match="there is no PostgreSQL"):
            await desk.moment()
        with pytest.raises(Unavailable, match="there is no PostgreSQL"):
            await desk.queries.status(AsOf())


# -- the stop ------------------------------------------------------------------------------------------------------


async def test_a_halt_that_no_sequencer_takes_is_latched_for_the_next_one(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    settings = load(data_dir=tmp_path, nats_url=nats_server.url, desk=f"t{uuid.uuid4().hex[:8]}")
    receipt = await halted(settings, Principal("jana", "agent"), "  ", True)
    waiting = HaltLatch(tmp_path / "halts", settings.desk).pending()
    assert waiting is not None
    assert (waiting.actor, waiting.reason, waiting.flatten) == ("jana", "no reason given", True)
    assert receipt["latched"].endswith(".json") or Path(receipt["latched"]).exists()


async def test_a_halt_is_latched_also_when_there_is_no_server_at_all(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, nats_url="nats://127.0.0.1:9")
    receipt = await halted(settings, Principal("jana", "operator"), "the feed is wrong", False)
    assert Path(receipt["latched"]).exists()


# -- serving -------------------------------------------------------------------------------------------------------


async def test_the_api_serves_a_desk_until_it_is_cancelled(
    nats_server: NatsServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    port, name, ready = processes.free_port(), f"t{uuid.uuid4().hex[:8]}", asyncio.Event()
    settings = load(data_dir=tmp_path, nats_url=nats_server.url, postgres_dsn=postgres_server.dsn, desk=name)
    settings = settings.model_copy(update={"api_port": port})
    async with jetstream(nats_server) as log:
        secret = await TokenLog(log).create(name, "observer", "a test")
        serving = asyncio.create_task(serve_api(settings, log, ready=ready.set))
        async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await ready.wait()
            assert (await client.get("/health")).json()["desk"] == name
            assert (await client.get("/ready")).status_code == 503
            told = await client.get("/webhook/status", headers={"authorization": f"Bearer {secret}"})
            assert told.status_code == 200
            assert (await client.get("/dashboard/login")).status_code == 200
            assert (await client.get("/dashboard/login", headers={"host": "evil.example"})).status_code == 400
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        with pytest.raises(httpx.ConnectError):
            await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/health")


@asynccontextmanager
async def real_api(asked: Settings, nats_server: NatsServer) -> AsyncIterator[None]:
    """The API of a desk without read models, until the block is left."""
    ready = asyncio.Event()
    async with jetstream(nats_server) as log:
        serving = asyncio.create_task(serve_api(asked, log, ready=ready.set))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await ready.wait()
            yield
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@pytest.fixture
def asked(nats_server: NatsServer, postgres_server: PostgresServer, tmp_path: Path) -> Settings:
    name, servers = f"t{uuid.uuid4().hex[:8]}", {"nats_url": nats_server.url, "postgres_dsn": postgres_server.dsn}
    return load(data_dir=tmp_path, desk=name, api_port=processes.free_port(), **servers)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", ""), ("127.0.0.2", ""), ("0.0.0.0", "desk.example")])
async def test_the_api_is_asked_for_its_health_where_it_listens(
    host: str, names: str, tls: bool, asked: Settings, nats_server: NatsServer, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"api_host": host, "api_names": names, "api_proxy": "127.0.0.9"}
    if tls:
        issued = Issuer().issue(tmp_path)
        told |= {"api_certificate": issued.certificate, "api_key": issued.key}
    asked = asked.model_copy(update=told)
    async with real_api(asked, nats_server):
        row = await service_row(asked, "api")
        assert (row["state"], row["reason"]) == ("not ready", "the read models cannot be asked"), row
    assert (await service_row(asked, "api"))["state"] == "not running"


async def test_an_api_whose_certificate_is_not_the_configured_one_or_has_ended_is_not_believed(
    asked: Settings, nats_server: NatsServer, tmp_path: Path
) -> None:
    issuer = Issuer()
    issued, other = issuer.issue(tmp_path), issuer.issue(tmp_path, "other")
    ended = issuer.issue(tmp_path, "ended", days=0)
    asked = asked.model_copy(update={"api_certificate": issued.certificate, "api_key": issued.key})
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    async with real_api(asked, nats_server):
        for configured in (other.certificate, *(tmp_path / name for name in ("empty", "binary", "none"))):
            row = await service_row(asked.model_copy(update={"api_certificate": configured}), "api")
            assert row["state"] == "not ready"
            assert f"TLS with CDB_API_CERTIFICATE={configured} fails" in row["reason"]
    asked = asked.model_copy(update={"api_certificate": ended.certificate, "api_key": ended.key})
    async with real_api(asked, nats_server):
        assert "expired" in (await service_row(asked, "api"))["reason"]


@pytest.mark.parametrize(
    ("listening", "says"),
    [
        (Listening("0.0.0.0", 1), "CDB_API_HOST=0.0.0.0"),
        (Listening("192.0.2.1", 1, ["desk.example"]), "in the clear"),
        (Listening("127.0.0.1", 1, certificate=Path("c")), "CDB_API_KEY"),
        (Listening("::", 1, key=Path("k")), "certificate and its key"),
    ],
)
def test_listening_wider_without_tls_is_refused_and_says_what_to_set(listening: Listening, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        listening.refuse_open()


@pytest.mark.parametrize(
    ("listening", "hosts"),
    [
        (Listening("127.0.0.1", 1), {"127.0.0.1", "localhost", "[::1]"}),
        (Listening("::1", 1), {"127.0.0.1", "localhost", "[::1]"}),
        (Listening("0.0.0.0", 1, ["desk.example"], Path("c"), Path("k")), {"desk.example"}),
        (Listening("192.0.2.1", 1, proxy="192.0.2.9"), {"192.0.2.1"}),
    ],
)
def test_the_names_that_are_answered_are_those_of_the_place_and_those_that_were_given(
    listening: Listening, hosts: set[str]
) -> None:
    listening.refuse_open()
    assert listening.hosts == hosts


async def test_a_row_of_the_stream_is_that_of_the_list_of_events(half: tuple[Stored, Opened]) -> None:
    _, running = half
    page = await running.api.events(Wanted(), (await running.api.moment()).at, limit=5)
    changes = await anext(running.api.changes(HALF - 5))
    assert [change.row for change in changes] == page.items[::-1]


# -- deciding ------------------------------------------------------------------------------------------------------


async def test_the_dashboard_asks_the_governance_service_and_an_agent_is_refused_on_the_log(
    asked: Settings, nats_server: NatsServer
) -> None:
    requests: list[tuple[str, bool, Request]] = []

    async def governance(command: str, of_agent: bool, request: Request) -> dict[str, Any]:
        requests.append((command, of_agent, request))
        return {"approvers": []}

    async def told() -> bool:
        return any([b'"command_refused"' in m.data async for page in log.read(subjects.ops("api")) for m in page])

    address, refused = f"http://127.0.0.1:{asked.api_port}/dashboard", {"code": "not_permitted"}
    async with jetstream(nats_server) as log, real_api(asked, nats_server):
        for role, status in (("operator", 503), ("agent", 403)):
            secret = await TokenLog(log).create(f"{asked.desk}-{role}", role, "a test")
            async with httpx.AsyncClient(timeout=DEADLINE_S) as client:

                async def opens() -> bool:
                    return (await client.post(f"{address}/login", data={"token": secret})).status_code == 303  # noqa: B023

                await until(opens)
                answer = await client.post(f"{address}/deciding/approvers", json={})
                assert answer.status_code == status, answer.text
                async with serve_governance(log.connection, governance):
                    answer = await client.post(f"{address}/deciding/verdict", json={"signed": {"body": {}}})
                    if role == "operator":
                        assert answer.json() == {"approvers": []}
                    else:
                        assert (answer.status_code, answer.json()) == (403, answer.json() | refused)
        await until(told)
    assert requests == [("decide", False, Request(content={"signed": {"body": {}}}))]
