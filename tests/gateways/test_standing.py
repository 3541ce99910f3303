"""What stands: known from a walk over the standing instructions alone, however many others lie between."""

from typing import Any, get_args

import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import STANDING_KINDS, StoredTape
from domain.instructions import (
    AccountOpened,
    CalendarImported,
    CancelRequested,
    FeedCompleted,
    FeedOpened,
    Instruction,
    NewsEntry,
    OrderRequested,
    PolicyActivated,
    SignalSubmitted,
    TradingHalted,
    TradingResumed,
)
from domain.instruments import instrument_for
from domain.policy import PAPER_DEFAULT, POLICIES
from domain.ports import Append, Message
from domain.tape import MAX_BLOCK_RECORDS
from gateways.sequencer import Activation, Sequencer
from gateways.standing import Standing, nothing_stands, read_standing, stand
from tests import canonical, logs
from tests.canonical import SAID

KINDS = {member.model_fields["kind"].default for member in get_args(get_args(Instruction)[0])}

# What comes from outside; its id is its kind.
OUTSIDE: dict[str, Instruction] = {
    instruction.kind: instruction
    for instruction in (
        AccountOpened(id="account_opened", **SAID, currency="USD", initial_balance_nanos=100_000 * 10**9),
        PolicyActivated(id="policy_activated", **SAID, policy=PAPER_DEFAULT),
        CalendarImported(
            id="calendar_imported", **SAID, source="a person",
            entries=(NewsEntry(time_ns=canonical.MONDAY, currency="USD", impact=3, title="NFP"),),
        ),
        TradingHalted(id="trading_halted", **SAID, reason="a test"),
        TradingResumed(id="trading_resumed", **SAID, reason="a test"),
        OrderRequested(
            id="order_requested", **SAID, symbol="EURUSD", side="buy", type="market", quantity_nanos=10**12
        ),
        CancelRequested(id="cancel_requested", **SAID, order=7),
        SignalSubmitted(
            id="signal_submitted", **SAID, strategy="webhook", symbol="EURUSD", side="sell", entry_nanos=1_085_000_000
        ),
        canonical.activated("ema_cross", "EURUSD", id="strategy_activated"),
        canonical.INSTRUCTIONS["strategy_deactivated"].model_copy(update={"id": "strategy_deactivated"}),
    )
}  # fmt: skip
EVERY: dict[str, Instruction] = canonical.INSTRUCTIONS | OUTSIDE


def copied(standing: Standing) -> Standing:
    """A copy that a later instruction does not change."""
    values: Any = [value.copy() if isinstance(value, dict | set) else value for value in standing]
    return Standing(*values)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_changes_what_stands_is_chained_and_nothing_else(kind: str) -> None:
    before = stand(nothing_stands(), canonical.activated("m5_bos_retest"))  # something to deactivate
    after = stand(copied(before), EVERY[kind])
    assert (after != before) is (kind in STANDING_KINDS)


def test_only_the_first_account_stands() -> None:
    first = OUTSIDE["account_opened"]
    other = first.model_copy(update={"currency": "EUR"})
    assert stand(stand(nothing_stands(), first), other).account == first


def test_the_newest_policy_stands() -> None:
    changed = PAPER_DEFAULT.model_copy(update={"version": 2})
    standing = stand(nothing_stands(), OUTSIDE["policy_activated"])
    assert standing.policy == PAPER_DEFAULT
    assert stand(standing, PolicyActivated(id="changed", **SAID, policy=changed)).policy == changed


class Counted(logs.Wrapped):
    """Counts the messages that are asked for one by one."""

    gets = 0

    async def get(self, subject: str, sequence: int) -> Message | None:
        self.gets += 1
        found: Message | None = await self.log.get(subject, sequence)
        return found


async def written(log: MemoryLog, name: str, orders: int) -> Standing:
    """A desk's opening, ticks, and then instructions of every passing kind."""
    ticks = canonical.market_ticks(60)
    async with Sequencer.open(StoredTape(log, name)) as sequencer:
        await sequencer.prepare([instrument_for(symbol) for symbol in canonical.SYMBOLS], canonical.MONDAY)
        await sequencer.activate_engine(1)
        await sequencer.open_account("USD", 100_000 * 10**9)
        await sequencer.activate_policy(PAPER_DEFAULT)
        await sequencer.offer(ticks[:30])
        await sequencer.activate_strategies([Activation.of(canonical.activated("ema_cross", "EURUSD"))])
        for _ in range(orders):
            for kind in sorted(KINDS - STANDING_KINDS):
                await sequencer.submit(OUTSIDE[kind])
        await sequencer.offer(ticks[30:])
        return sequencer.standing


async def test_a_writer_does_not_walk_past_what_was_only_said() -> None:
    log = MemoryLog()
    counted, cost = Counted(log), []
    for name, orders in (("few", 1), ("many", 200)):
        expected = await written(log, name, orders)
        tape, counted.gets = StoredTape(counted, name), 0
        assert await read_standing(tape, await tape.end()) == expected
        cost.append(counted.gets)
    assert cost[1] - cost[0] < 30  # of 1,200 more instructions: a longer binary search or two


async def test_an_opening_written_in_one_go_is_read_with_one_request_an_instruction() -> None:
    log = MemoryLog()
    instruments = [instrument_for("EURUSD").model_copy(update={"symbol": f"SYM{n:03}"}) for n in range(100)]
    async with Sequencer.open(StoredTape(log, "main")) as sequencer:
        await sequencer.prepare(instruments, canonical.MONDAY)
        await sequencer.offer(canonical.market_ticks(10 * MAX_BLOCK_RECORDS, seconds=1))
    counted = Counted(log)
    async with Sequencer.open(StoredTape(counted, "main")) as again:
        assert len(again.standing.instruments) == 100
    assert counted.gets < 101 + 20


async def fed(log: MemoryLog, feeds: int) -> Standing:
    """A tape of many feeds, each a few messages long."""
    opened = canonical.INSTRUCTIONS["feed_opened"].model_dump(include={"files", "ticks"})
    async with Sequencer.open(StoredTape(log, "main")) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)
        for number in range(feeds):
            now = sequencer.end.time_ns
            await sequencer.declare(FeedOpened, **opened, feed=f"{number}", first_time_ns=now, last_time_ns=now)
            for _ in range(3):
                await sequencer.offer(canonical.market_ticks(5, start=sequencer.end.time_ns), f"{number}")
            await sequencer.declare(FeedCompleted, feed=f"{number}")
        return sequencer.standing


async def test_what_stands_between_ticks_is_read_with_one_request_an_instruction_and_only_once() -> None:
    log = MemoryLog()
    expected = await fed(log, 100)
    counted = Counted(log)
    tape = StoredTape(counted, "main")
    for _ in range(3):  # each step of a start opens the tape
        assert await read_standing(tape, await tape.end()) == expected
        assert counted.gets == 2 + 2 * 100
    async with Sequencer.open(tape) as sequencer:
        await sequencer.declare(FeedCompleted, feed="more")
    assert "more" in (await read_standing(tape, await tape.end())).completed
    assert counted.gets == 2 + 2 * 100 + 1


@pytest.mark.parametrize("hints", ["of another stream", "none", "beyond the end"])
async def test_a_tape_that_was_copied_has_the_same_standing(hints: str) -> None:
    log = MemoryLog()
    expected = await fed(log, 5)
    copy, last = MemoryLog(), {"main": 0, "other": 0}
    for message in await logs.stored(log, "tape.main"):
        headers = {name: value for name, value in message.headers.items() if name != "Standing-At" or hints != "none"}
        if hints == "beyond the end" and "Standing-At" in headers:
            headers["Standing-At"] = str(10**9)
        for name in ("other", "main"):  # so the sequences are others
            last[name] = await copy.append(Append(f"tape.{name}", message.data, headers, last[name]))
    tape = StoredTape(copy, "main")
    assert await read_standing(tape, await tape.end()) == expected


async def test_other_tapes_in_the_same_stream_change_nothing() -> None:
    log = MemoryLog()
    async with Sequencer.open(StoredTape(log, "one")) as one, Sequencer.open(StoredTape(log, "two")) as two:
        for count in range(1, 4):
            instruments = [instrument_for(symbol) for symbol in canonical.SYMBOLS[:count]]
            await one.prepare(instruments, canonical.MONDAY)
            await two.prepare(instruments[:1], canonical.MONDAY)
            await two.activate_policy(list(POLICIES.values())[count])
        expected = {"one": one.standing, "two": two.standing}
    for name, standing in expected.items():
        tape = StoredTape(log, name)
        assert await read_standing(tape, await tape.end()) == standing


def test_an_instruction_said_again_changes_nothing_as_in_the_engine() -> None:
    first = OUTSIDE["policy_activated"]
    other = first.model_copy(update={"id": "other", "policy": POLICIES["bench-wide"]})
    standing = nothing_stands()
    for instruction in (first, other, first):
        standing = stand(standing, instruction)
    assert standing.policy == POLICIES["bench-wide"]
