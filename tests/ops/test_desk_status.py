"""A desk's status is what its engine holds at the tape's end; finding out changes nothing and waits for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.processes import free_port
from adapters.snapshots import SnapshotStore
from adapters.subjects import STREAMS
from domain.account import equity_of
from domain.engine import Engine
from domain.errors import InvalidInput, TapeBroken, Unavailable
from domain.operations import Recovery, ServiceFailed, ServiceStopped, Severity
from domain.ports import Append, LedgerEnd, Message, Recorded
from domain.snapshot import save
from domain.tape import utc
from gateways.asked_moment import Asked
from gateways.halt_latch import HaltLatch
from ops import desk_status, ledger_queries
from ops.desk_status import SERVICES, latch_row, service_row, state_of
from ops.health import Health, serve_health
from ops.ledger_queries import LedgerQueries
from ops.settings import Settings, load
from projections.as_of import AsOf
from tests import canonical
from tests.ops.desks import write_tape

SCRIPT = canonical.golden_script()
END = canonical.length(SCRIPT)


async def desk(until: int = END, script: Any = SCRIPT) -> tuple[MemoryLog, Engine]:
    """The script up to an ordinal on the tape of desk main, all of it decided, and the engine that did."""
    log, engine = MemoryLog(), Engine()
    parts = [message[1] for message in canonical.up_to(until, canonical.messages(script, [until]))]
    await write_tape(log, parts)
    lines = canonical.ledger(canonical.messages(parts), engine)
    await StoredLedger(log, "main").append([Recorded(*line) for line in enumerate(lines, 1)], LedgerEnd())
    return log, engine


@pytest.mark.parametrize("until", [10, 200, 640, 2_011, 2_300, 5_670, END])
async def test_the_account_is_the_engines_to_the_nano(until: int) -> None:
    log, engine = await desk(until)
    state, account = await state_of(log, "main"), engine.desk.book.account[0]
    found = state["account"]
    assert (state["tape_end"], state["ledger_end"], state["undecided"]) == (f"tape:{until}", f"main:{engine.number}", 0)
    for name in ("initial", "balance", "floating", "margin", "realised", "fees"):
        assert Decimal(found[name]) * 10**9 == int(account[name])
    assert Decimal(found["equity"]) * 10**9 == equity_of(account)
    assert Decimal(found["daily_room"]["left"]) == Decimal(found["equity"]) - Decimal(found["daily_room"]["limit"])
    assert (found["daily_room"]["of"], found["total_room"]["of"]) == ("300.000000000", "10000.000000000")
    floating = sum((Decimal(row["floating"]) for row in state["positions"]), Decimal(0))
    assert floating == Decimal(found["floating"])
    assert json.loads(json.dumps(state)) == state


async def test_positions_and_orders_are_told_with_their_exits() -> None:
    log, engine = await desk(2_300)
    state, position = await state_of(log, "main"), engine.desk.book.positions[1]
    (held,) = state["positions"]
    assert (held["symbol"], held["side"], held["quantity"]) == ("EURUSD", "buy", "20000.000000000")
    assert (held["stop"], held["target"]) == ("1.097280000", "1.103280000")
    assert abs(Decimal(held["average"]) - Decimal(int(position["cost"])) / int(position["quantity"])) < Decimal("1e-6")
    assert held["correlation"] == f"main:{position['correlation']}"
    assert Decimal(held["price"]) * 10**9 == int(engine.desk.book.markets[1]["bid"])
    kinds = [(order["purpose"], order["order_type"], order["trigger"], order["limit"]) for order in state["orders"]]
    assert kinds == [
        ("request", "limit", None, "1.105280000"),
        ("stop", "stop", "1.097280000", None),
        ("target", "limit", None, "1.103280000"),
    ]


async def test_a_halt_is_told_with_who_and_why() -> None:
    state = await state_of((await desk(2_011))[0], "main")
    assert state["halted"]
    assert (state["halt"]["actor"], state["halt"]["reason"]) == ("sequencer", "a golden halt")
    assert not (await state_of((await desk(2_300))[0], "main"))["halted"]
    breached = await state_of((await desk())[0], "main")
    assert (breached["halted"], breached["halt"]["limit"], breached["account"]["breached"]) == (
        True,
        "daily_loss",
        True,
    )


async def test_the_last_events_are_those_that_say_more_than_a_minute_passed() -> None:
    log, engine = await desk(2_300)
    last = (await state_of(log, "main"))["last_events"]
    assert len(last) == desk_status.LAST_EVENTS
    assert all(row["type"] != "account_marked" for row in last)
    assert engine.desk.book.account[0]["open_positions"] == 1  # so there were marks


def test_what_halts_is_a_breach_that_says_so_or_an_applied_halt() -> None:
    breach, applied = canonical.EVENTS["limit_breached"], canonical.EVENTS["instruction_applied"]
    halting = [breach, applied.model_copy(update={"kind": "trading_halted"})]
    other = [breach.model_copy(update={"halted": False}), applied, canonical.EVENTS["instruction_refused"]]
    assert [desk_status._halts(line) for line in canonical.lines([*halting, *other])] == [
        True,
        True,
        False,
        False,
        False,
    ]


async def test_a_snapshot_and_the_rest_of_the_tape_are_the_same_state() -> None:
    log, _ = await desk()
    whole = await state_of(log, "main")
    _, halfway = await desk(3_000)
    await SnapshotStore(log, "main").save(save(halfway))
    assert await state_of(log, "main") == whole


async def test_a_snapshot_that_is_ahead_of_the_tape_or_damaged_is_passed_over() -> None:
    log, _ = await desk(3_000)
    state = await state_of(log, "main")
    _, ahead = await desk()
    for data in (save(ahead), b"no snapshot"):
        await SnapshotStore(log, "main").save(data)
        assert await state_of(log, "main") == state


async def test_asking_writes_nothing() -> None:
    log, _ = await desk()
    before = [await log.head(stream.name) for stream in STREAMS]
    await state_of(log, "main")
    assert [await log.head(stream.name) for stream in STREAMS] == before


async def test_what_the_ledger_lacks_is_counted() -> None:
    log = MemoryLog()
    await write_tape(log, SCRIPT)
    state = await state_of(log, "main")
    decided = len(canonical.ledger(canonical.messages(SCRIPT)))
    assert (state["undecided"], state["ledger_end"], state["halted"], state["halt"]) == (decided, None, True, None)


async def test_a_desk_without_an_account_says_so_and_a_mistyped_one_is_named() -> None:
    log = MemoryLog()
    await write_tape(log, [*canonical.opening(1, ["ema_cross"]), canonical.market_ticks(10)])
    state = await state_of(log, "main")
    assert (state["account"], state["policy"], state["positions"], state["orders"]) == (None, None, [], [])
    assert [active["strategy"] for active in state["strategies"]] == ["ema_cross"]
    with pytest.raises(InvalidInput, match="no tape is named 'mian'; there are main"):
        await state_of(log, "mian")


async def test_a_desk_without_limits_has_no_room_to_tell() -> None:
    free = canonical.POLICY.model_copy(
        update={
            "limits": canonical.POLICY.limits.model_copy(update={"daily_loss_ppm": None, "profit_target_ppm": None})
        }
    )
    activated = canonical.INSTRUCTIONS["policy_activated"].model_copy(update={"policy": free, "id": "free"})
    log = MemoryLog()
    await write_tape(log, [*canonical.opening(1, trading=True), activated, canonical.market_ticks(10)])
    account = (await state_of(log, "main"))["account"]
    assert (account["daily_room"], account["profit_target"]) == (None, None)
    assert account["total_room"]["left"] == "10000.000000000"


# -- the past ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snapshot", [False, True])
async def test_the_past_is_what_the_desk_said_then(snapshot: bool) -> None:
    """At a record in the middle of a block, at an instruction, at the first and at the last record."""
    log, _ = await desk()
    if snapshot:
        _, halfway = await desk(3_000)
        await SnapshotStore(log, "main").save(save(halfway))
    for until in [1, 10, 333, 640, 2_011, 2_300, 2_999, 3_000, 3_001, 5_670, END]:
        then, engine = await desk(until)
        said = await state_of(then, "main")
        asked = Asked(as_of=AsOf(until, engine.number).token("main"))
        assert await state_of(log, "main", asked) == said | {"as_of": asked.as_of, "recorded_time": ANY}


async def test_a_market_time_shows_all_that_was_on_the_tape_by_then() -> None:
    script = [*canonical.opening(1, ["ema_cross"], trading=True), canonical.with_minutes(canonical.market_ticks(900))]
    log, _ = await desk(canonical.length(script), script)
    for until in (100, 640, 1_000):
        _, engine = await desk(until, script)
        found = await state_of(log, "main", Asked(market_time_ns=engine.time_ns))
        assert int(found["tape_end"].removeprefix("tape:")) >= until
        assert found["market_time"] == utc(engine.time_ns)
        before = await state_of(log, "main", Asked(market_time_ns=engine.time_ns - 1))
        assert int(before["tape_end"].removeprefix("tape:")) < until
        assert (found["undecided"], before["undecided"]) == (0, 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(market_time_ns=1), "before the tape of desk main: it begins at"),
        (Asked(recorded_time_ns=1), "before the tape of desk main: it was first written at"),
        (Asked(as_of="MTpvdGhlcjo1OjU6MDow"), "is a moment of desk other, this is desk main"),
        (Asked(as_of=AsOf(END + 1, 1).token("main")), "lies ahead of the log"),
        (Asked(as_of="yesterday"), "is no moment; give one that an answer carried"),
    ],
)
async def test_a_moment_that_never_was_is_refused(asked: Asked, said: str) -> None:
    log, _ = await desk()
    with pytest.raises(InvalidInput, match=said):
        await state_of(log, "main", asked)


async def test_a_difference_is_what_became_of_the_account_and_of_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = await desk()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryLog]:
        yield log

    monkeypatch.setattr(ledger_queries, "open_log", opened)
    asking = LedgerQueries()
    asking._settings = load()
    moments = [Asked(as_of=AsOf(until, (await desk(until))[1].number).token("main")) for until in (2_011, 2_300)]
    before, after = [await state_of(log, "main", asked) for asked in moments]
    found = await asking.difference(*moments)
    assert (found["from"]["as_of"], found["to"]["as_of"]) == (moments[0].as_of, moments[1].as_of)
    changes = {tuple(change["path"]): (change["before"], change["after"]) for change in found["changes"]}
    assert changes["halted",] == (True, False)
    assert changes["account", "equity"] == (before["account"]["equity"], after["account"]["equity"])
    [was], [became] = before["positions"], after["positions"]
    assert changes["positions", "EURUSD", "price"] == (was["price"], became["price"])
    placed = [path for path, (gone, _) in changes.items() if path[0] == "orders" and gone is None]
    assert {path[1] for path in placed} == {o["id"] for o in after["orders"]} - {o["id"] for o in before["orders"]}
    assert not {path[0] for path in changes} & {"as_of", "market_time", "recorded_time", "tape_end", "last_events"}
    assert (await asking.difference(moments[1], moments[1]))["changes"] == []
    assert json.loads(json.dumps(found)) == found


async def test_the_past_has_no_services_and_no_latch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = await desk()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryLog]:
        yield log

    monkeypatch.setattr(desk_status, "open_log", opened)
    HaltLatch(tmp_path / "halts", "main").set("ann", "stop")
    asked = settings(tmp_path, free_port())
    then = await desk_status.status(asked, Asked(as_of=AsOf(640, 0).token("main")))
    assert (then["newest"], then["services"], then["latched"]) == (False, [], None)
    now = await desk_status.status(asked)
    assert (now["newest"], len(now["services"]), now["latched"]["reason"]) == (True, len(SERVICES), "stop")


async def test_a_read_side_that_died_says_why_where_its_services_are_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _ = await desk()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryLog]:
        yield log

    monkeypatch.setattr(desk_status, "open_log", opened)
    asked = settings(tmp_path, free_port())
    failed = ServiceFailed(
        service="read_side", occurred_at_ns=1, error="Unavailable", severity=Severity.MEDIUM, recovery=Recovery.RETRY,
        message="desk main: the process of projector and api ended (killed by signal 9)", retry_seconds=0.1,
    )  # fmt: skip
    of_another = failed.model_copy(update={"message": "desk d2: the process of projector and api ended"})
    reasons = []
    stopped = ServiceStopped(service="read_side", occurred_at_ns=2, reason="shutdown")
    for event in (failed, of_another, stopped):
        sequence = (await log.last("ops.read_side") or Message("", 0, 0, {}, b"")).sequence
        await log.append(Append("ops.read_side", event.model_dump_json().encode(), {}, sequence))
        rows = {row["service"]: row for row in (await desk_status.status(asked))["services"]}
        assert rows["ws"]["reason"] is None
        assert rows["projector"]["reason"] == rows["api"]["reason"]
        reasons.append((rows["api"]["reason"], rows["api"]["what_to_do"] is not None))
    assert reasons == [(failed.message, True), (None, False), (None, False)]


def test_a_waiting_halt_is_told_and_looking_makes_no_folder(tmp_path: Path) -> None:
    latch = HaltLatch(tmp_path / "halts", "main")
    assert latch_row(latch) is None
    assert not latch.path.parent.exists()
    latch.set("ann", "the feed is wrong", flatten=True)
    assert latch_row(latch) == {"actor": "ann", "reason": "the feed is wrong", "flatten": True}
    latch.path.write_text("damaged")
    assert "damaged" in (latch_row(latch) or {})["reason"]


# -- services ------------------------------------------------------------------------------------------------------

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def settings(folder: Path, port: int, desk: str = "main") -> Settings:
    return load(data_dir=folder, desk=desk, **{f"{name}_port": port for name in SERVICES})


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    answers: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.append(asyncio.current_task())
        with suppress(OSError):
            try:
                await answer(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*answers)


async def test_a_service_is_ready_or_says_why_not(tmp_path: Path) -> None:
    health = Health()
    async with serve_health(health, {"core": 0}, desk="main") as pages:
        ports = pages.ports
        asked = settings(tmp_path, ports["core"])
        row = await service_row(asked, "core")
        assert (row["state"], row["reason"]) == ("not ready", "core is starting")
        health.failing("core", "Diverged: event 7", "Run `cdb verify`.")
        row = await service_row(asked, "core")
        assert "Diverged: event 7" in row["reason"]
        assert row["what_to_do"] == "Run `cdb verify`."
        health.ready("core")
        assert (await service_row(asked, "core"))["state"] == "ready"
        for stranger in (
            await service_row(asked, "risk"),
            await service_row(settings(tmp_path, ports["core"], "d2"), "core"),
        ):
            assert (stranger["state"], stranger["reason"]) == (
                "not running", f"port {ports['core']} is taken by core of desk main",
            )  # fmt: skip


async def test_a_port_that_nobody_serves_is_not_running(tmp_path: Path) -> None:
    row = await service_row(settings(tmp_path, free_port()), "ws")
    assert (row["state"], row["reason"]) == ("not running", None)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"SSH-2.0\r\n", b"HTTP/1.0 200 OK\r\n\r\n[1]", b"HTTP/1.0 200 OK\r\n\r\n\xff{",
        b"\r\n\r\n" + b"[" * 60_000,
    ],
)  # fmt: skip
async def test_a_port_that_another_program_serves_is_not_running(tmp_path: Path, said: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with answering(other) as port:
        row = await service_row(settings(tmp_path, port), "ws")
        assert (row["state"], row["reason"]) == ("not running", f"another program answers on port {port}")


async def test_a_service_that_never_answers_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_status, "ANSWER_S", 0.05)
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until the caller hangs up

    async with answering(silent) as port:
        async with asyncio.timeout(5):
            row = await service_row(settings(tmp_path, port), "ws")
        assert asked.is_set()
        assert (row["state"], row["reason"]) == ("not ready", "it gave no answer within 0.05 s")


@pytest.mark.parametrize("error", [Unavailable, TapeBroken])
async def test_a_store_that_is_away_does_not_hide_services_and_latch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    @asynccontextmanager
    async def away(_: Settings) -> AsyncIterator[None]:
        raise error("the server is gone")
        yield

    monkeypatch.setattr(desk_status, "open_log", away)
    HaltLatch(tmp_path / "halts", "main").set("ann", "stop")
    found = await desk_status.status(settings(tmp_path, free_port()))
    assert found["problem"] == {"error": error.__name__, "message": "the server is gone"}
    assert found["latched"]["reason"] == "stop"
    assert [row["service"] for row in found["services"]] == list(SERVICES)
    assert json.loads(json.dumps(found)) == found
