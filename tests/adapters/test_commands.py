"""Commands over a real server: every request gets one clear answer, and no request harms the next."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters import commands, subjects
from adapters.commands import FROM_OUTSIDE, MAX_BYTES, send_command, serve_commands
from adapters.connection import Connection, Refused, connect
from adapters.jetstream import JetStreamLog, provision
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.permissions import GOVERNANCE
from adapters.tape_log import StoredTape
from domain.errors import Conflict, DeskError, Diverged, InvalidInput, Unavailable, UnknownStrategy
from domain.instructions import Instructed, Instruction
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Sequencer
from tests import canonical, logs
from tests.gateways.test_standing import EVERY, KINDS, OUTSIDE

HALT, ORDER = OUTSIDE["trading_halted"], OUTSIDE["order_requested"]


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Connection]:
    async with await connect(nats_server.url_of(GOVERNANCE), budget_s=5) as opened, asyncio.timeout(60):
        yield opened


@pytest.fixture
def desk() -> str:
    return logs.new_name()


class Desk:
    """Takes commands; what it answers is told by the test."""

    def __init__(self) -> None:
        self.taken: list[Instruction] = []
        self.error: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, instruction: Instruction) -> int:
        self.taken.append(instruction)
        number = len(self.taken)
        await self.gate.wait()
        if self.error:
            raise self.error
        return number


async def asked(connection: Connection, subject: str, data: bytes, timeout_s: float = 10) -> dict[str, Any]:
    """The answer to a request that no `send_command` would make."""
    answer = json.loads((await connection.ask(subject, data, timeout_s=timeout_s)).data)
    assert isinstance(answer, dict)
    return answer


async def until(desk: Desk, count: int) -> None:
    while len(desk.taken) < count:  # noqa: ASYNC110  nobody is told
        await asyncio.sleep(0.005)


# -- what works --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(OUTSIDE))
async def test_a_command_arrives_whole_and_its_ordinal_comes_back(connection: Connection, desk: str, kind: str) -> None:
    takes = Desk()
    async with serve_commands(connection, desk, takes):
        assert [await send_command(connection, desk, OUTSIDE[kind]) for _ in range(2)] == [1, 2]
    assert takes.taken == [OUTSIDE[kind]] * 2


def test_every_kind_comes_from_outside_or_is_the_sequencers_own() -> None:
    assert set(OUTSIDE) == FROM_OUTSIDE
    assert {
        "tape_opened", "instrument_declared", "engine_activated", "feed_opened", "feed_completed",
    } == KINDS - FROM_OUTSIDE  # fmt: skip


async def test_a_command_reaches_the_tape_of_its_desk_alone(connection: Connection, desk: str) -> None:
    log, other = MemoryLog(), logs.new_name()
    async with (
        Sequencer.open(StoredTape(log, "one")) as one,
        Sequencer.open(StoredTape(log, "two")) as two,
        serve_commands(connection, desk, one.submit),
        serve_commands(connection, other, two.submit),
    ):
        for sequencer in (one, two):
            await sequencer.prepare([], canonical.MONDAY)
        assert await send_command(connection, other, HALT) == 2
        assert (one.end.ordinal, two.end.ordinal) == (1, 2)
        with pytest.raises(InvalidInput, match="the form of the sequencer's own"):
            await send_command(connection, desk, HALT.model_copy(update={"id": "trading_halted@2"}))


async def test_a_desk_is_served_once_by_one_connection(connection: Connection, desk: str) -> None:
    takes = Desk()
    async with serve_commands(connection, desk, takes):
        with pytest.raises(InvalidInput, match="is served by this process already"):
            async with serve_commands(connection, desk, Desk()):
                raise AssertionError("it must not serve")
        assert await send_command(connection, desk, HALT) == 1


async def test_a_slow_command_holds_up_no_halt(connection: Connection, desk: str) -> None:
    takes = Desk()
    takes.gate.clear()
    async with serve_commands(connection, desk, takes), asyncio.TaskGroup() as tasks:
        orders = [tasks.create_task(send_command(connection, desk, ORDER, 30)) for _ in range(50)]
        await until(takes, 50)
        halt = tasks.create_task(send_command(connection, desk, HALT, 30))
        await until(takes, 51)
        takes.gate.set()
    assert sorted(order.result() for order in orders) == list(range(1, 51))
    assert halt.result() == 51


async def test_a_server_that_was_killed_and_came_back_is_served_again(fresh_nats: NatsServer) -> None:
    takes = Desk()
    async with (
        asyncio.timeout(60),
        await connect(fresh_nats.url, budget_s=30) as ours,
        await connect(fresh_nats.url, budget_s=30) as theirs,
        serve_commands(ours, "main", takes),
    ):
        assert await send_command(theirs, "main", HALT) == 1
        await asyncio.to_thread(fresh_nats.kill)
        await asyncio.to_thread(fresh_nats.start)
        for number in range(2):
            taken = 0
            while not taken:
                with contextlib.suppress(Unavailable):
                    taken = await send_command(theirs, "main", HALT, 0.5)
                await asyncio.sleep(0.01)
            assert taken == len(takes.taken) > number + 1
        await ours.client.close()  # as if the server had sent an error line: another client is dialled
        before = len(takes.taken)
        while len(takes.taken) == before:
            with contextlib.suppress(Unavailable):
                await send_command(theirs, "main", HALT, 0.5)
            await asyncio.sleep(0.01)
        assert len(takes.taken) == before + 1


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [InvalidInput, UnknownStrategy, Conflict, Unavailable, DeskError])
async def test_a_refusal_is_raised_again_as_what_it_was(
    connection: Connection, desk: str, error: type[DeskError]
) -> None:
    takes = Desk()
    takes.error = error("the thing, the 'value' and the next step")
    async with serve_commands(connection, desk, takes):
        with pytest.raises(error, match="the thing, the 'value' and the next step") as raised:
            await send_command(connection, desk, HALT)
    assert raised.type is error


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (Refused("x", {"description": "a reason"}), InvalidInput, "a reason"),  # an adapter's own kind of InvalidInput
        (Diverged(7, "tape:9", "a", "b"), DeskError, "ledger event 7 at tape:9"),
        (ZeroDivisionError("a secret"), DeskError, "failed in the desk: ZeroDivisionError"),
    ],
)
async def test_an_error_without_a_class_of_its_own_is_the_nearest(
    connection: Connection, desk: str, error: Exception, raised: type[DeskError], said: str
) -> None:
    takes = Desk()
    takes.error = error
    async with serve_commands(connection, desk, takes):
        with pytest.raises(DeskError, match=said) as found:
            await send_command(connection, desk, HALT)
        assert found.type is raised
        assert "secret" not in str(found.value)
        takes.error = None
        assert await send_command(connection, desk, HALT) == 2


VALID = HALT.model_dump_json().encode()
BAD = [
    pytest.param("trading_halted", b"", "the body: Invalid JSON", id="empty"),
    pytest.param("trading_halted", b"{", "Invalid JSON", id="cut off"),
    pytest.param("trading_halted", b"\xff\x00", "Invalid JSON", id="no text"),
    pytest.param("trading_halted", b"[]", "the body: ", id="a list"),
    pytest.param("trading_halted", b"[" * 100_000, "Invalid JSON", id="deep"),
    pytest.param("trading_halted", b"null", "the body: ", id="null"),
    pytest.param("trading_halted", b"{}", "the body: Unable to extract tag using discriminator 'kind'", id="no kind"),
    pytest.param("trading_halted", b'{"kind":"rob"}', "Input tag 'rob' found", id="unknown kind in the body"),
    pytest.param("trading_halted", b'{"kind":"' + b"x" * 100_000 + b'"}', "Input tag 'xxx", id="long kind"),
    pytest.param("trading_halted", b'{"kind":"trading_halted"}', "trading_halted.id: Field required", id="no id"),
    pytest.param("trading_halted", VALID[:-1] + b',"x":1}', "x: Extra inputs are not permitted", id="more"),
    pytest.param("trading_halted", VALID.replace(b"a test", b"\\ud800"), "Invalid JSON", id="half a character"),
    pytest.param("trading_halted", VALID.replace(b"a test", b"x" * 501), "reason: String should", id="too much said"),
    pytest.param("order_requested", VALID, "the body is of kind 'trading_halted'", id="another kind"),
    pytest.param("trading_halt", VALID, "'trading_halt' is no command; there are ", id="unknown kind"),
    pytest.param("tape_opened", EVERY["tape_opened"].model_dump_json().encode(), "is no command", id="own note"),
    pytest.param(
        "engine_activated", EVERY["engine_activated"].model_dump_json().encode(), "is no command", id="engine"
    ),
    pytest.param("trading_halted", b" " * (MAX_BYTES + 1), f"a command has at most {MAX_BYTES:,}: split it", id="huge"),
]


async def test_what_is_no_command_gets_a_clear_answer_and_the_desk_goes_on(connection: Connection, desk: str) -> None:
    takes = Desk()
    async with serve_commands(connection, desk, takes):
        for number, case in enumerate(BAD, start=1):
            kind, data, reason = case.values
            answer = await asked(connection, f"cmd.tape.{desk}.{kind}", data)
            assert answer["error"] == "InvalidInput", case.id
            assert reason in answer["message"], case.id
            assert f"cmd.tape.{desk}.{kind}" in answer["message"], case.id
            assert len(answer["message"]) < 1_000, case.id
            assert await send_command(connection, desk, HALT) == number


async def test_a_command_too_large_is_refused_before_it_is_sent(connection: Connection, desk: str) -> None:
    large = canonical.activated("ema_cross").model_copy(update={"parameters": {"x": "y" * MAX_BYTES}})
    with pytest.raises(InvalidInput, match="split it"):
        await send_command(connection, desk, large)


@pytest.mark.parametrize("name", ["*", ">", "a.b", "", "a b"])
async def test_a_desk_is_one_token_of_the_subject(connection: Connection, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name"):
        await send_command(connection, name, HALT)
    with pytest.raises(InvalidInput, match="cannot name"):
        async with serve_commands(connection, name, Desk()):
            raise AssertionError("it must not serve")


async def test_an_answer_goes_to_an_inbox_and_nowhere_else(
    fresh_nats: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may ask for an order could have us publish onto a tape or to JetStream, with our permissions."""
    takes = Desk()
    async with asyncio.timeout(60), await connect(fresh_nats.url) as connection:
        await provision(connection)
        log = JetStreamLog(connection)
        async with serve_commands(connection, "main", takes):
            for victim in ("tape.main", "ledger.main", "$JS.API.STREAM.DELETE.TAPE", "cmd.tape.main.trading_halted"):
                with caplog.at_level(logging.WARNING):
                    await connection.client.publish(
                        "cmd.tape.main.order_requested", ORDER.model_dump_json().encode(), victim
                    )
                    await connection.client.flush()
                assert await send_command(connection, "main", HALT) == len(takes.taken)
                assert victim in caplog.text
        assert [await log.last(subject) for subject in ("tape.main", "ledger.main")] == [None, None]
    assert {instruction.kind for instruction in takes.taken} == {"trading_halted"}


async def test_a_command_that_wants_no_answer_is_taken(connection: Connection, desk: str) -> None:
    takes = Desk()
    async with serve_commands(connection, desk, takes):
        await connection.client.publish(subjects.command("tape", "trading_halted", desk), VALID)
        await until(takes, 1)
    assert takes.taken == [HALT]


async def test_beyond_what_may_wait_only_halts_are_taken(
    connection: Connection, desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MAX_WAITING", 5)
    takes = Desk()
    takes.gate.clear()
    async with serve_commands(connection, desk, takes), asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(send_command(connection, desk, ORDER, 30))
        await until(takes, 5)
        with pytest.raises(Unavailable, match="5 commands wait already: send order_requested again"):
            await send_command(connection, desk, ORDER)
        halt = tasks.create_task(send_command(connection, desk, HALT, 30))
        await until(takes, 6)
        takes.gate.set()
    assert halt.result() == 6


# -- nobody answers ----------------------------------------------------------------------------------------------------


async def test_without_a_sequencer_it_is_unavailable_at_once(connection: Connection, desk: str) -> None:
    with pytest.raises(
        Unavailable, match=f"desk {desk}: trading_halted trading_halted was not confirmed .nobody answers"
    ):
        await send_command(connection, desk, HALT, timeout_s=60)
    async with serve_commands(connection, desk, Desk()):
        pass
    with pytest.raises(Unavailable, match="nobody answers"):
        await send_command(connection, desk, HALT, timeout_s=60)


async def test_a_sequencer_that_does_not_answer_in_time_is_unavailable(connection: Connection, desk: str) -> None:
    takes = Desk()
    takes.gate.clear()
    async with serve_commands(connection, desk, takes):
        with pytest.raises(Unavailable, match=r"no answer .* within 0\.2 s.*the same id"):
            await send_command(connection, desk, HALT, timeout_s=0.2)


async def test_who_waits_while_the_service_stops_is_told(connection: Connection, desk: str) -> None:
    takes = Desk()
    takes.gate.clear()
    async with serve_commands(connection, desk, takes):
        waiting = asyncio.create_task(send_command(connection, desk, HALT, 60))
        await until(takes, 1)
    with pytest.raises(Unavailable, match="is being stopped"):
        await waiting


async def test_a_foreign_answer_is_not_taken_for_an_ordinal(connection: Connection, desk: str) -> None:
    async def foreign(message: Any) -> None:
        await message.respond(b"<html>")

    async with connection.serving(subjects.commands("tape", desk), foreign):
        with pytest.raises(DeskError, match="answered b'<html>'"):
            await send_command(connection, desk, HALT)


async def test_a_halt_that_nobody_takes_is_latched_and_stands_first(
    connection: Connection, desk: str, tmp_path: Path
) -> None:
    """The whole way of a halt while the sequencer is down."""
    log, latch = MemoryLog(), HaltLatch(tmp_path, "main")
    with pytest.raises(Unavailable):
        await send_command(connection, desk, HALT)
    latch.set("ann", "nobody answers")
    async with Sequencer.open(StoredTape(log, "main"), latch=latch) as sequencer:
        await sequencer.prepare([], canonical.MONDAY)
        sequencer.offer(canonical.market_ticks(3))
    found = [message async for page in StoredTape(log, "main").read() for message in page]
    kinds = [message.instruction.kind if isinstance(message, Instructed) else "ticks" for message in found]
    assert kinds == ["tape_opened", "trading_halted", "ticks"]


async def test_a_cancellation_that_comes_with_the_servers_answer_is_not_lost(
    connection: Connection, desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a desk whose other service failed at that moment would never end."""
    answer, asked = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def flush(seconds: int) -> None:
        asked.set()
        await asyncio.wait_for(answer, seconds)

    async def nobody(_: Any) -> None:
        pass

    async def serve() -> None:
        async with connection.serving(subjects.commands("tape", desk), nobody):
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(connection.client, "flush", flush)
    serving = asyncio.create_task(serve())
    await asked.wait()
    answer.set_result(None)
    serving.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({serving})
    assert serving.cancelled()
