"""What a person asks of a desk at the command line: it is checked at the door, and one answer comes back."""

import getpass
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.commands import serve_commands
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.progress import only_one
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Unavailable, UnknownInstrument, UnknownStrategy
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
from ops.control import Outcome, instruct, order_requested, refuse_impossible, said
from ops.datasets import ingest
from ops.session import Plan, StrategyChoice, run_session
from ops.verify import verify
from tests import canonical, logs
from tests.canonical import file_set
from tests.ops.desks import instructions, ledger

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
        ({"lots": Decimal("1e9")}, "quantity 1000000"),
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
        ordinal = int(outcome.tape.removeprefix(f"{desk}:"))
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


async def test_a_latched_halt_was_said_before_the_resume_that_follows(
    log: JetStreamLog, desk: str, latch: HaltLatch
) -> None:
    await rested(log, desk)
    latch.set("tester", "stop")
    assert (await instruct(log, desk, said(TradingResumed, reason="go on"), latch)).applied
    assert latch.pending() is None
    kinds = [message.instruction.kind for message in await instructions(log, desk)]
    assert kinds[-2:] == ["trading_halted", "trading_resumed"]


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
    place = f"{desk}:{(await instructions(log, desk))[-1].ordinal}"
    reason = "no engine decided on it within 0.2 s; see `cdb status`"
    assert outcome == Outcome(order.id, place, "", False, reason)


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
        place = f"{desk}:{sequencer.end.ordinal}"
    assert outcome == Outcome(halt.id, place, "", False, "no engine runs: it decides when it starts")
