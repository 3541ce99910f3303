"""What only a real server can do to the log: die, lose an answer, be somebody else's, acknowledge too early."""

import asyncio
import contextlib
import logging
import re
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from adapters import consumer, processes
from adapters.connection import Denied
from adapters.jetstream import JetStreamLog, connect, provision, require_durable
from adapters.nats_server import NatsServer, binary
from adapters.subjects import STREAMS, Stream
from domain.errors import Conflict, InvalidInput, NotDurable, Unavailable
from domain.ports import Append, Message

PLAIN, ATOMIC = Stream("JPLAIN", "jplain.*"), Stream("JATOMIC", "jatomic.*", atomic=True)
DEADLINE_S = 30


class Proxy:
    """A TCP proxy before the server that, once armed, passes what the client sends and swallows the answer."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._armed_by: bytes | None = None
        self._cut = False
        self.cuts = 0

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = self._server.url.replace(f":{self._server.port}", f":{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await self._listener.wait_closed()

    def swallow_the_answer_to(self, marker: bytes) -> None:
        self._armed_by = marker

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server.port)

        async def up() -> None:
            while data := await reader.read(1 << 16):
                if self._armed_by is not None and self._armed_by in data:
                    self._cut, self._armed_by = True, None
                up_writer.write(data)
                await up_writer.drain()

        async def down() -> None:
            while data := await up_reader.read(1 << 16):
                if self._cut:
                    self._cut, self.cuts = False, self.cuts + 1
                    return  # the server has stored it and says so, and the client never hears
                writer.write(data)
                await writer.drain()

        tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in (writer, up_writer):
            each.close()


@pytest.fixture
async def log(fresh_nats: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with await connect(fresh_nats.url) as connection:
        await provision(connection, (PLAIN, ATOMIC))
        yield JetStreamLog(connection, (PLAIN, ATOMIC))


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)


async def append_all(log: JetStreamLog, subject: str, count: int, done: list[int]) -> None:
    last = 0
    for number in range(count):
        last = await log.append(Append(subject, f"{subject} {number}".encode(), {"First": str(number)}, last))
        done.append(last)


async def follow_to(log: JetStreamLog, subject: str, count: int, got: list[Message]) -> None:
    async with contextlib.aclosing(log.follow(subject)) as pages:
        async for page in pages:
            got += page
            if len(got) >= count:
                return


async def consumers(log: JetStreamLog) -> int:
    return int((await log.connection.api(f"STREAM.INFO.{PLAIN.name}"))["state"]["consumer_count"])


async def test_a_killed_server_costs_writers_and_followers_nothing(
    log: JetStreamLog, fresh_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    count, appended, one, every = 1200, [], [], []
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow_to(log, "jplain.a", count, one))
        tasks.create_task(follow_to(log, "jplain.*", 2 * count, every))
        tasks.create_task(append_all(log, "jplain.a", count, appended))
        tasks.create_task(append_all(log, "jplain.b", count, []))
        for kills in (1, 2, 3):
            await until(lambda at=kills * count // 4: len(appended) >= at)
            await asyncio.to_thread(fresh_nats.kill)
            await asyncio.to_thread(fresh_nats.start)
    assert [m.data for m in one] == [f"jplain.a {n}".encode() for n in range(count)]
    assert [m.sequence for m in every] == list(range(1, 2 * count + 1))
    assert [m.sequence for m in one] == appended
    assert not [r for r in caplog.records if r.exc_info or "Traceback" in r.getMessage()]
    assert sum("connection lost" in r.getMessage() for r in caplog.records) == 3


async def test_an_idle_follower_goes_on_after_a_restart(log: JetStreamLog, fresh_nats: NatsServer) -> None:
    got: list[Message] = []
    follower = asyncio.ensure_future(follow_to(log, "jplain.a", 2, got))
    first = await log.append(Append("jplain.a", b"before", {}, 0))
    await until(lambda: len(got) == 1)
    await asyncio.to_thread(fresh_nats.stop)
    await asyncio.to_thread(fresh_nats.start)
    await log.append(Append("jplain.a", b"after", {}, first))
    await asyncio.wait_for(follower, DEADLINE_S)
    assert [m.data for m in got] == [b"before", b"after"]


async def test_a_follower_whose_consumer_was_removed_makes_another(log: JetStreamLog) -> None:
    got: list[Message] = []
    follower = asyncio.ensure_future(follow_to(log, "jplain.a", 1, got))
    await until(lambda: consumed(log))
    [name] = (await log.connection.api(f"CONSUMER.NAMES.{PLAIN.name}"))["consumers"]
    await log.connection.api(f"CONSUMER.DELETE.{PLAIN.name}.{name}")
    await log.append(Append("jplain.a", b"after", {}, 0))
    await asyncio.wait_for(follower, DEADLINE_S)
    assert [m.data for m in got] == [b"after"]


async def consumed(log: JetStreamLog) -> bool:
    return await consumers(log) == 1


async def test_a_cancelled_follower_leaves_no_consumer_behind(
    log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "INACTIVE_S", 10 * DEADLINE_S)  # the server shall not be the one who cleans up
    follower = asyncio.ensure_future(follow_to(log, "jplain.a", 1, []))
    await until(lambda: consumed(log))
    follower.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follower

    async def gone() -> bool:
        return await consumers(log) == 0

    await until(gone)


async def test_a_slow_follower_gets_everything_while_the_server_holds_the_rest_back(log: JetStreamLog) -> None:
    got: list[Message] = []
    pages = log.follow("jplain.a")
    first = asyncio.ensure_future(anext(pages))
    await until(lambda: consumed(log))
    last = 0
    for _ in range(120):
        last = await log.append(Append("jplain.a", bytes(900_000), {}, last))
    got += await first
    async with asyncio.timeout(DEADLINE_S):
        while len(got) < 120:
            got += await anext(pages)
    assert [m.sequence for m in got] == list(range(1, 121))
    await pages.aclose()


async def test_a_reading_goes_on_where_a_killed_server_broke_it_off(log: JetStreamLog, fresh_nats: NatsServer) -> None:
    last = 0
    for number in range(60):
        last = await log.append(Append("jplain.a", number.to_bytes(4, "big") * 200_000, {}, last))
    got: list[Message] = []
    async for page in log.read("jplain.a"):
        got += page
        if len(got) < 60 and len(got) // 20 > (len(got) - len(page)) // 20:
            await asyncio.to_thread(fresh_nats.kill)
            await asyncio.to_thread(fresh_nats.start)
    assert [m.sequence for m in got] == list(range(1, 61))
    assert all(m.data[:4] == n.to_bytes(4, "big") for n, m in enumerate(got))


async def test_many_readings_at_once_stay_below_what_the_server_lets_wait(log: JetStreamLog) -> None:
    last = 0
    for _ in range(60):
        last = await log.append(Append("jplain.a", bytes(1_000_000), {}, last))

    async def total() -> int:
        return sum([len(m.data) async for page in log.read("jplain.a") for m in page])

    assert await asyncio.gather(*[total() for _ in range(12)]) == [60_000_000] * 12
    assert log.connection.client.stats["reconnects"] == 0


@pytest.mark.parametrize("later", [False, True])
async def test_an_append_whose_answer_was_lost_counts_once(
    log: JetStreamLog, fresh_nats: NatsServer, *, later: bool
) -> None:
    async with Proxy(fresh_nats) as proxy, await connect(proxy.url) as connection:
        cut = JetStreamLog(connection, (PLAIN, ATOMIC))
        first = await cut.append(Append("jplain.a", b"first", {}, 0))
        proxy.swallow_the_answer_to(b"the lost one")
        losing = asyncio.ensure_future(cut.append(Append("jplain.a", b"the lost one", {"Topic": "t"}, first)))
        if later:  # somebody appends on top before the loser looks again
            await until(lambda: ended_with(log, b"the lost one"))
            await log.append(Append("jplain.a", b"third", {}, first + 1))
        assert await asyncio.wait_for(losing, DEADLINE_S) == first + 1
        assert proxy.cuts == 1
    stored = [m.data async for page in log.read("jplain.a") for m in page]
    assert stored == [b"first", b"the lost one"] + [b"third"] * later


async def ended_with(log: JetStreamLog, data: bytes) -> bool:
    last = await log.last("jplain.a")
    return last is not None and last.data == data


async def test_a_lost_answer_is_no_success_when_another_writer_stands_there(
    log: JetStreamLog, fresh_nats: NatsServer
) -> None:
    await log.append(Append("jplain.a", b"another's", {}, 0))
    async with Proxy(fresh_nats) as proxy, await connect(proxy.url) as connection:
        proxy.swallow_the_answer_to(b"mine")
        with pytest.raises(Conflict):
            await JetStreamLog(connection, (PLAIN, ATOMIC)).append(Append("jplain.a", b"mine", {}, 0))
        assert proxy.cuts == 1
        proxy.swallow_the_answer_to(b"another's")
        with pytest.raises(Conflict):
            await JetStreamLog(connection, (PLAIN, ATOMIC)).append(Append("jplain.a", b"another's", {"First": "2"}, 0))
        assert proxy.cuts == 2


async def test_a_batch_whose_answer_was_lost_counts_once(log: JetStreamLog, fresh_nats: NatsServer) -> None:
    async with Proxy(fresh_nats) as proxy, await connect(proxy.url) as connection:
        proxy.swallow_the_answer_to(b"the commit")
        batch = [Append(f"jatomic.{n}", b"part", {}, 0) for n in "abc"] + [Append("jatomic.d", b"the commit", {}, 0)]
        assert await JetStreamLog(connection, (PLAIN, ATOMIC)).append_batch(batch) == 4
        assert proxy.cuts == 1
    assert [m.data async for page in log.read("jatomic.*") for m in page] == [b"part"] * 3 + [b"the commit"]


async def test_a_message_id_that_was_used_elsewhere_is_a_conflict_not_a_silent_loss(log: JetStreamLog) -> None:
    await log.append(Append("jplain.a", b"a", {"Nats-Msg-Id": "one"}, 0))
    with pytest.raises(Conflict, match="message id"):
        await log.append(Append("jplain.b", b"b", {"Nats-Msg-Id": "one"}, 0))


async def test_a_server_that_is_gone_is_named_after_the_budget(fresh_nats: NatsServer) -> None:
    async with await connect(fresh_nats.url, budget_s=0.3) as connection:
        await provision(connection, (PLAIN,))
        log = JetStreamLog(connection, (PLAIN,))
        await asyncio.to_thread(fresh_nats.stop)
        for operation in (log.append(Append("jplain.a", b"", {}, 0)), log.last("jplain.a"), log.head("JPLAIN")):
            with pytest.raises(Unavailable, match=rf"NATS at {connection.place} did not answer within 0.3 s"):
                await operation
        with pytest.raises(Unavailable, match=connection.place):
            await anext(log.read("jplain.a"))
    with pytest.raises(Unavailable, match=connection.place):
        await connect(fresh_nats.url, budget_s=0.3)


async def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="CDB_NATS_URL"):
        await connect("nats://")


async def test_a_wrong_password_is_told_at_once_and_never_shown(
    fresh_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    port, secret = fresh_nats.port, "hunter2"
    async with asyncio.timeout(DEADLINE_S):
        for address in (f"desk:{secret}@127.0.0.1:{port}", f"desk:{secret}#@127.0.0.1:{port}", f"127.0.0.1:{port}"):
            with pytest.raises(InvalidInput, match=r"lets us in .*user and password") as refusal:
                await connect(f"nats://{address}", budget_s=3_600)
            assert secret not in str(refusal.value) + caplog.text


async def test_no_message_about_a_server_shows_its_password(
    fresh_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    async with await connect(fresh_nats.url, budget_s=0.3) as connection:
        for monitor_url in (None, "http://127.0.0.1:1"):
            with pytest.raises(NotDurable) as refusal:
                await require_durable(connection, monitor_url)
            said.append(str(refusal.value))
        with pytest.raises(Denied) as denied:
            await connection.ask("governance.decision.x", b"")
        await asyncio.to_thread(fresh_nats.stop)
        with pytest.raises(Unavailable) as gone:
            await connection.retry("asking", lambda: connection.api("INFO"))
    said += [str(denied.value), str(gone.value), caplog.text, fresh_nats.log.read_text()]
    assert all("127.0.0.1" in text for text in said)
    password = re.search(":([0-9a-f]{64})@", fresh_nats.url)
    assert password
    assert password[1] not in "".join(said)


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    log: JetStreamLog, fresh_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await asyncio.to_thread(fresh_nats.stop)
    await until(lambda: not log.connection.is_up)
    await asyncio.to_thread(fresh_nats.start)
    await until(lambda: log.connection.is_up)
    lines = [(r.name, r.getMessage()) for r in caplog.records if r.name != "asyncio"]
    assert lines == [
        ("cdb.nats", f"NATS at {log.connection.place}: connection lost (nats: unexpected EOF), reconnecting"),
        ("cdb.nats", f"NATS at {log.connection.place}: connected again"),
    ]


async def test_a_connection_that_the_server_closed_is_opened_again(log: JetStreamLog) -> None:
    closed = log.connection.client
    await closed.publish("x", bytes(1 << 20), headers={"Too": "big"})
    await until(lambda: closed.is_closed)
    assert await log.append(Append("jplain.a", b"after", {}, 0)) == 1


async def test_provisioning_twice_changes_nothing(fresh_nats: NatsServer) -> None:
    async with await connect(fresh_nats.url) as connection:
        await provision(connection)
        before = [(await connection.api(f"STREAM.INFO.{s.name}"))["config"] for s in STREAMS]
        await provision(connection)
        assert before == [(await connection.api(f"STREAM.INFO.{s.name}"))["config"] for s in STREAMS]
        for stream, config in zip(STREAMS, before, strict=True):
            keeps = stream.name != "JOBS"
            assert config["storage"] == "file"
            assert config["max_age"] == 0
            assert config.get("deny_delete", False) is config.get("deny_purge", False) is keeps
            assert config.get("allow_atomic", False) is (stream.name in ("GOVERNANCE", "RESEARCH"))


async def test_provisioning_mends_what_may_be_mended_and_refuses_what_contradicts(fresh_nats: NatsServer) -> None:
    async with await connect(fresh_nats.url) as connection:
        await provision(connection, [Stream("MENDED", "mended.*")])
        await provision(connection, [Stream("MENDED", "mended.>", atomic=True, compressed=True)])
        config = (await connection.api("STREAM.INFO.MENDED"))["config"]
        assert config["subjects"] == ["mended.>"]
        assert config["allow_atomic"]
        assert config["compression"] == "s2"
        for name, wrong in (("storage", "memory"), ("retention", "workqueue"), ("max_age", 3_600_000_000_000)):
            stream = Stream(f"WRONG-{name}", f"wrong-{name}.*")
            config = {"name": stream.name, "subjects": [stream.subjects], "storage": "file", name: wrong}
            await connection.api(f"STREAM.CREATE.{stream.name}", config)
            with pytest.raises(InvalidInput, match=rf"{stream.name} exists with .*{name}.*{wrong}"):
                await provision(connection, [stream])
        with pytest.raises(InvalidInput, match="overlap"):
            await provision(connection, [Stream("OTHER", "mended.a")])


async def test_a_server_that_fsyncs_late_or_hides_it_is_refused(
    fresh_nats: NatsServer, nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hasty = NatsServer(tmp_path_factory.mktemp("hasty"), sync_always=False)
    hasty.start()
    try:
        async with await connect(fresh_nats.url) as safe, await connect(hasty.url) as unsafe:
            await require_durable(safe, fresh_nats.monitor_url)
            await require_durable(unsafe, allow_memory=True)
            for connection, monitor_url, reason in (
                (unsafe, hasty.monitor_url, "sync_interval: always"),
                (safe, None, "CDB_NATS_MONITOR_URL"),
                (safe, nats_server.monitor_url, "another server"),
                (safe, "http://127.0.0.1:1", "does not answer"),
                (safe, "file:///etc/passwd", "does not answer"),
            ):
                with pytest.raises(NotDurable, match=reason):
                    await require_durable(connection, monitor_url)
    finally:
        hasty.stop()


async def test_two_logs_on_two_connections_never_both_extend_the_same_end(
    log: JetStreamLog, fresh_nats: NatsServer
) -> None:
    async def extend(writer: JetStreamLog, name: str) -> int:
        won = 0
        while won < 50:
            last = await writer.last("jplain.a")
            at = last.sequence if last else 0
            with contextlib.suppress(Conflict):
                await writer.append(Append("jplain.a", f"{name} {won} on {at}".encode(), {}, at))
                won += 1
        return won

    async with await connect(fresh_nats.url) as connection:
        other = JetStreamLog(connection, (PLAIN, ATOMIC))
        await asyncio.gather(extend(log, "one"), extend(other, "two"))
    stored = [m async for page in log.read("jplain.a") for m in page]
    assert len(stored) == 100
    assert all(int(b.data.split()[-1]) == a.sequence for a, b in pairwise(stored))


async def test_a_server_without_jetstream_is_told_from_no_server() -> None:
    port = processes.free_port()
    server = await asyncio.create_subprocess_exec(
        str(binary()), "-a", "127.0.0.1", "-p", str(port), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with await connect(f"nats://127.0.0.1:{port}", budget_s=2) as connection:
            connection.budget_s = 0.1
            with pytest.raises(NotDurable, match="no JetStream"):
                await require_durable(connection)
    finally:
        server.terminate()
        await server.wait()
