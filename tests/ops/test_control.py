"""What a person asks of a desk at the command line: it is checked at the door, and one answer comes back."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error as NatsError
from pydantic import ValidationError

from adapters import processes
from adapters.commands import serve_commands
from adapters.documents import GitDocuments, own_repository
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.progress import only_one
from adapters.tape_log import StoredTape
from domain.commands import Resume
from domain.errors import Conflict, DeskError, InvalidInput, Unavailable, UnknownInstrument, UnknownStrategy
from domain.governance import Governance
from domain.instructions import (
    CalendarImported,
    CancelRequested,
    Instruction,
    NewsEntry,
    StrategyActivated,
    TradingHalted,
    TradingResumed,
)
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Sequencer
from ops import halting
from ops.control import ANSWER_S, Outcome, instruct, order_requested, refuse_impossible, said
from ops.datasets import ingest
from ops.desk import Desk
from ops.proposal_standing import Standings
from ops.services import DeskServices
from ops.session import Plan, StrategyChoice, put_latched, run_session
from ops.settings import Settings, load
from ops.verify import verify
from tests import canonical, logs
from tests.canonical import file_set
from tests.ops.desks import SERVICES, instructions, ledger, until

FILES = file_set(canonical.market_ticks(60, seed=3), "EURUSD")
ORDER: dict[str, Any] = {
    "symbol": "EURUSD", "side": "buy", "type": "market", "lots": Decimal("0.1"), "time_in_force": "gtc",
    "expires_at_ns": 0,
}  # fmt: skip


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with logs.jetstream(nats_server) as opened:
        yield opened


@pytest.fixture
def desk() -> str:
    return logs.new_name()


@pytest.fixture
def latch(tmp_path: Path, desk: str) -> HaltLatch:
    return HaltLatch(tmp_path, desk)


async def rested(log: JetStreamLog, desk: str) -> None:
    """A desk that has seen a minute of ticks and rests."""
    await run_session(log, desk, Plan(FILES, [StrategyChoice("ema_cross")]))


# -- orders as they are typed ------------------------------------------------------------------------------------------


def test_an_order_is_what_was_typed_in_units_and_nanos() -> None:
    typed = {"type": "stop_limit", "limit": Decimal("1.10005"), "trigger": Decimal("1.1"), "stop": Decimal("1.09")}
    order = order_requested(ORDER | typed | {"symbol": "eurusd.m"})
    assert (order.symbol, order.quantity_nanos, order.target_nanos) == ("EURUSD", 10_000 * 10**9, 0)
    assert (order.limit_nanos, order.trigger_nanos, order.stop_nanos) == (1_100_050_000, 1_100_000_000, 1_090_000_000)
    assert order.actor == getpass.getuser()
    assert order.id != order_requested(ORDER).id


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"lots": Decimal(0)}, "lots 0 is not above 0"),
        ({"lots": Decimal(-1)}, "lots -1 is not above 0"),
        ({"lots": Decimal("1e999999")}, "lots 1E[+]999999 is not above 0 and at most 1,000,000,000"),
        (
            {"lots": Decimal("1e9")},
            "1,000,000,000 lots are above 100, the largest order of EURUSD .10,000,000",
        ),
        ({"lots": Decimal("100.01")}, "100.01 lots are above 100, .*; ask for less, or in several orders"),
        ({"symbol": "BTCUSDT", "lots": Decimal("1000.00001")}, "1,000.00001 lots are above 1,000"),
        ({"lots": Decimal("nan")}, "lots NaN is not above 0"),
        ({"lots": Decimal("-inf")}, "lots -Infinity is not above 0"),
        ({"lots": Decimal("0.1000000000000000000000000000000001")}, "more decimals than the desk keeps"),
        ({"limit": Decimal("1.1000000000000000000000000000000001")}, "more decimals than the desk keeps"),
        ({"lots": Decimal("1e-15")}, "lots 1E-15 has more decimals"),
        ({"lots": Decimal("1e-999999")}, "lots 1E-999999 has more decimals"),
        ({"limit": Decimal("1.0000000001")}, "limit 1.0000000001 has more decimals"),
        ({"limit": Decimal(0)}, "limit 0 is not above 0"),
        ({"stop": Decimal("-0.1")}, "stop -0.1 is not above 0"),
        ({"target": Decimal("1e999999")}, "target 1E"),
        ({"side": "hold"}, "side 'hold': Input should be 'buy' or 'sell'"),
        ({"time_in_force": "soon"}, "time_in_force 'soon'"),
        ({"symbol": "WHATEVER"}, "WHATEVER"),
    ],
)
def test_an_order_that_cannot_be_is_refused_by_name_and_value(terms: dict[str, Any], reason: str) -> None:
    with pytest.raises((InvalidInput, UnknownInstrument), match=reason):
        order_requested(ORDER | terms)


@pytest.mark.parametrize(("kind", "content"), [(TradingResumed, {"reason": ""}), (CancelRequested, {"order": 0})])
def test_an_instruction_that_cannot_be_is_one_line(kind: type[Instruction], content: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(content))} {next(iter(content.values()))!r}: ") as refused:
        said(kind, **content)  # type: ignore[type-var]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("time_ns", [2**63, 2**64, -1])
def test_no_instruction_names_a_time_that_a_tape_cannot_hold(time_ns: int) -> None:
    with pytest.raises(InvalidInput, match=f"expires_at_ns {time_ns}: "):
        order_requested(ORDER | {"expires_at_ns": time_ns})
    with pytest.raises(ValidationError, match="time_ns"):
        NewsEntry(time_ns=time_ns, currency="USD", impact=1, title="the end")


def test_an_account_without_a_name_can_halt_the_desk_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert said(TradingHalted, reason="fire").actor.startswith("uid-")


@pytest.mark.parametrize(
    ("instruction", "error", "reason"),
    [
        (
            said(StrategyActivated, strategy="moon", version=1, parameters={}, symbols=("EURUSD",)),
            UnknownStrategy,
            "moon",
        ),
        (
            said(StrategyActivated, strategy="ema_cross", version=9, parameters={}, symbols=("EURUSD",)),
            UnknownStrategy,
            "v9",
        ),
        (
            said(StrategyActivated, strategy="ema_cross", version=1, parameters={"fast": -1}, symbols=("EURUSD",)),
            InvalidInput,
            "fast = -1",
        ),
    ],
)
def test_what_no_engine_could_fold_does_not_pass_the_door(
    instruction: Instruction, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        refuse_impossible(instruction)


def test_what_an_engine_folds_passes_the_door() -> None:
    for instruction in canonical.INSTRUCTIONS.values():
        refuse_impossible(instruction)


# -- a desk that rests -------------------------------------------------------------------------------------------------


async def test_a_resting_desk_takes_every_instruction_and_answers(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    await rested(log, desk)
    entry = NewsEntry(time_ns=canonical.MONDAY, currency="USD", impact=3, title="Rates")
    asked: list[tuple[Instruction, bool]] = [
        (order_requested(ORDER), True),
        (said(CancelRequested, order=999), False),
        (said(CalendarImported, source="week.csv", entries=(entry,)), True),
        (said(TradingResumed, reason="nothing to resume"), False),
    ]
    for instruction, applied in asked:
        outcome = await instruct(log, desk, instruction, latch)
        assert (outcome.applied, outcome.instruction_id) == (applied, instruction.id)
        assert bool(outcome.reason) is not applied
        number = int(outcome.ledger.removeprefix(f"{desk}:"))
        assert instruction.id in (await ledger(log, desk))[number - 1].decode()
        ordinal = int(outcome.tape.removeprefix("tape:"))
        assert ordinal in [m.ordinal for m in await instructions(log, desk) if m.instruction.id == instruction.id]
    found = await verify(log, desk, StoredTape(log, desk))
    assert (found.passed, found.pending) == (True, 0)


async def test_a_halt_is_nothing_that_another_process_writes_for_a_desk_that_rests(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    await rested(log, desk)
    before = await instructions(log, desk)
    with pytest.raises(Unavailable, match=f"nobody writes the tape of desk {desk}$"):
        await instruct(log, desk, said(TradingHalted, reason="x"), latch, also_resting=False)
    assert await instructions(log, desk) == before
    with pytest.raises(Unavailable, match="desk mistyped, which has no tape yet; there are .*" + desk):
        await instruct(log, "mistyped", said(TradingHalted, reason="x"), latch, also_resting=False)


async def test_a_latched_halt_was_said_before_the_order_that_follows(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    await rested(log, desk)
    latch.set("tester", "stop")
    assert (await instruct(log, desk, order_requested(ORDER), latch)).applied
    assert latch.pending() is None
    kinds = [message.instruction.kind for message in await instructions(log, desk)]
    assert kinds[-2:] == ["trading_halted", "order_requested"]


async def test_no_resume_ends_a_halt_that_waits_in_the_latch(log: JetStreamLog, desk: str, latch: HaltLatch) -> None:
    await rested(log, desk)
    before = await instructions(log, desk)
    latch.set("tester", "the feed is wrong")
    resume = said(TradingResumed, reason="go on")
    with pytest.raises(InvalidInput, match=r"tester: the feed is wrong.*: start the desk .`cdb up`., which records it"):
        await instruct(log, desk, resume, latch)
    assert latch.pending() is not None
    assert await instructions(log, desk) == before
    await put_latched(StoredTape(log, desk), latch)
    assert (await instruct(log, desk, resume, latch)).applied


async def test_a_resume_shows_every_halt_that_it_ends_and_the_one_that_waits(
    log: JetStreamLog, desk: str, latch: HaltLatch, tmp_path: Path
) -> None:
    await rested(log, desk)
    for instruction in (
        said(TradingHalted, reason="long ended"),
        said(TradingResumed, reason="go on"),
        said(TradingHalted, reason="first"),
        said(TradingHalted, reason="second"),
    ):
        assert (await instruct(log, desk, instruction, latch)).applied
    HaltLatch(tmp_path / "halts", desk).set("ann", "third")
    standings = Standings(load(data_dir=tmp_path), log, GitDocuments(own_repository(tmp_path / "documents")))
    resume = Resume(desk=desk, reason="all is mended")
    stands = await standings.of(resume, Governance())
    me = getpass.getuser()
    assert [halt.partition(" (")[0] for halt in stands.before.halts] == [f"{me}: first", f"{me}: second", "ann: third"]
    assert "latched, not recorded yet" in stands.before.halts[-1]


async def test_a_desk_without_a_tape_and_a_dataset_take_no_instruction(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    with pytest.raises(InvalidInput, match=f"desk {desk} has no tape yet"):
        await instruct(log, desk, order_requested(ORDER), latch)
    await ingest(log, FILES, desk)
    before = await instructions(log, desk)
    with pytest.raises(InvalidInput, match=f"tape '{desk}' is a dataset, no desk decides on it"):
        await instruct(log, desk, order_requested(ORDER), latch)
    assert await instructions(log, desk) == before


# -- a desk that runs --------------------------------------------------------------------------------------------------


async def test_a_desk_whose_sequencer_is_silent_is_not_written_to_by_others(
    log: JetStreamLog, desk: str, latch: HaltLatch, nats_server: NatsServer
) -> None:
    """It starts, or is started again: a second writer would end it."""
    await rested(log, desk)
    before = await instructions(log, desk)
    async with logs.jetstream(nats_server) as other, only_one(other.connection, desk, "ws"):
        with pytest.raises(Unavailable, match="was not confirmed"):
            await instruct(log, desk, order_requested(ORDER), latch)
    assert await instructions(log, desk) == before


async def test_an_engine_that_runs_alone_decides_on_what_another_process_writes(
    log: JetStreamLog, desk: str, latch: HaltLatch, nats_server: NatsServer
) -> None:
    await rested(log, desk)
    order = order_requested(ORDER)
    async with logs.jetstream(nats_server) as other, only_one(other.connection, desk, "core"):
        outcome = await instruct(log, desk, order, latch, answer_s=0.2)  # asleep, and nobody decides in its place
    place = f"tape:{(await instructions(log, desk))[-1].ordinal}"
    reason = "no engine decided on it within 0.2 s; see `cdb status`"
    assert outcome == Outcome(order.id, place, "", False, reason)


@contextlib.asynccontextmanager
async def desk_that_runs(server: NatsServer, folder: Path, desk: str) -> AsyncIterator[None]:
    ports = {f"{service}_port": processes.free_port() for service in SERVICES}
    settings = Settings(data_dir=folder, desk=desk, **ports)  # type: ignore[arg-type]
    async with logs.jetstream(server) as other:
        services = DeskServices(settings, other, None)
        work = asyncio.create_task(services.run(("ws", "core")))
        try:

            async def is_ready() -> bool:
                assert not work.done(), work
                return all(services.health.status(name).state == "ready" for name in SERVICES)

            await until(is_ready)
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@pytest.mark.parametrize("runs", [False, True], ids=["rests", "runs"])
@pytest.mark.parametrize("name", ["said twice", '"quoted" \\ ü'])
async def test_what_was_said_before_has_its_answer_already(
    log: JetStreamLog, desk: str, latch: HaltLatch, nats_server: NatsServer, tmp_path: Path, name: str,
    *, runs: bool,
) -> None:  # fmt: skip
    """Who got no answer says the same again; nothing is done twice, and nobody waits for an answer that stands."""
    await rested(log, desk)
    halt = said(TradingHalted, reason="x").model_copy(update={"id": name})
    async with contextlib.AsyncExitStack() as stack:
        if runs:
            await stack.enter_async_context(desk_that_runs(nats_server, tmp_path / "data", desk))
        first = await instruct(log, desk, halt, latch)
        assert (await instruct(log, desk, order_requested(ORDER), latch)).applied
        decided = await ledger(log, desk)
        async with asyncio.timeout(ANSWER_S / 3):
            assert await instruct(log, desk, halt, latch) == first
    assert first.applied
    assert await ledger(log, desk) == decided


# -- halts -------------------------------------------------------------------------------------------------------------

FAILURES = [
    Unavailable("no server"), Conflict("it starts"), InvalidInput("no stream"), OSError("no route"), KeyError("a bug"),
    RuntimeError("the loop is closed"), NatsError("protocol"), TimeoutError(), MemoryError(), AssertionError("a state"),
]  # fmt: skip


@pytest.mark.parametrize("error", FAILURES, ids=[type(error).__name__ for error in FAILURES])
@pytest.mark.parametrize("flatten", [False, True])
async def test_whatever_is_in_the_way_of_a_halt_it_is_latched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, *, flatten: bool
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(halting, "instruct", fail)
    monkeypatch.setattr(halting, "open_running", nothing)
    told = await Desk(data_dir=tmp_path / "data").halt("fire", flatten=flatten)
    assert str(error) in told["reason"]
    assert isinstance(error, DeskError) or told["reason"].startswith(f"{type(error).__name__}: ")
    waiting = HaltLatch(tmp_path / "data" / "halts", "main").pending()
    assert waiting is not None
    assert told["latched"] == str(tmp_path / "data" / "halts" / "main.json")
    assert (waiting.reason, waiting.flatten, waiting.actor) == ("fire", flatten, getpass.getuser())


@contextlib.asynccontextmanager
async def nothing(*_: Any) -> AsyncIterator[None]:
    yield None


async def test_a_halt_is_latched_whatever_bytes_its_reason_and_its_user_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "jos\udce9")
    told = await Desk(data_dir=tmp_path / "data").halt("caf\udce9", flatten=False)
    waiting = HaltLatch(tmp_path / "data" / "halts", "main").pending()
    assert told["latched"]
    assert waiting is not None
    assert (waiting.actor, waiting.reason) == ("jos?", "caf?")


async def test_a_halt_starts_no_server_for_a_desk_that_rests(tmp_path: Path) -> None:
    told = await Desk(data_dir=tmp_path / "data").halt("fire", flatten=False)
    assert "no nats-server runs over" in told["reason"]
    assert not (tmp_path / "data" / "nats").exists()
    assert HaltLatch(tmp_path / "data" / "halts", "main").pending() is not None


async def test_a_halt_of_a_running_desk_needs_no_folder_for_its_latch(
    log: JetStreamLog, desk: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    await rested(log, desk)
    (tmp_path / "data").write_text("no folder")
    async with desk_that_runs(nats_server, tmp_path / "elsewhere", desk):
        told = await Desk(data_dir=tmp_path / "data", desk=desk, nats_url=nats_server.url).halt("fire", flatten=False)
    assert told["applied"], told
    said_there = [message.instruction for message in await instructions(log, desk)]
    assert [one.reason for one in said_there if one.kind == "trading_halted"] == ["fire"]


async def test_without_an_engine_the_place_on_the_tape_is_the_answer(
    log: JetStreamLog, desk: str, latch: HaltLatch, nats_server: NatsServer
) -> None:
    await rested(log, desk)
    async with (
        logs.jetstream(nats_server) as other,
        only_one(other.connection, desk, "ws"),
        Sequencer.open(StoredTape(other, desk)) as sequencer,
        serve_commands(other.connection, desk, sequencer.submit),
    ):
        halt = said(TradingHalted, reason="x")
        outcome = await instruct(log, desk, halt, latch, also_resting=False)
        place = f"tape:{sequencer.end.ordinal}"
    assert outcome == Outcome(halt.id, place, "", False, "no engine runs: it decides when it starts")


async def test_nobody_takes_the_id_of_a_granted_instruction_and_a_taken_one_is_told(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    await rested(log, desk)
    squat = said(
        CalendarImported, source="week.csv", entries=(NewsEntry(time_ns=1, currency="USD", impact=3, title="x"),)
    )
    with pytest.raises(InvalidInput, match="is a proposal's"):
        await instruct(log, desk, squat.model_copy(update={"id": "proposal:p-1"}), latch)
    taken = squat.model_copy(update={"id": "taken"})
    assert (await instruct(log, desk, taken, latch)).applied
    resume = said(TradingResumed, reason="again").model_copy(update={"id": "taken"})
    with pytest.raises(InvalidInput, match="was that of a calendar_imported"):
        await instruct(log, desk, resume, latch)
