"""The sequencer: one writer, instructions first, full blocks under a backlog, and no offer is ever lost in silence."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import FEED, StoredTape
from domain.errors import Conflict, DeskError, InvalidInput, Unavailable
from domain.instructions import EngineActivated, FeedCompleted, Instructed, Instruction, StrategyActivated
from domain.instruments import instrument_for
from domain.policy import PAPER_DEFAULT
from domain.ports import Append
from domain.tape import CLOCK, LONDON_OPEN, MAX_BLOCK_RECORDS, MINUTE, SECOND, TOKYO_OPEN, Block, market
from gateways import clock
from gateways import sequencer as sequencing
from gateways.priority import Priority, priority_of
from gateways.sequencer import Activation, Sequencer
from tests import canonical, logs
from tests.canonical import SAID, SECOND_NS
from tests.gateways.test_standing import KINDS, OUTSIDE

TICKS = canonical.market_ticks(300)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def tape(log: MemoryLog) -> StoredTape:
    return StoredTape(log, "main")


def activation(strategy: str, *symbols: str, **parameters: Any) -> Activation:
    return Activation.of(canonical.activated(strategy, *symbols, **parameters))


async def everything(tape: StoredTape) -> list[Block | Instructed]:
    return [message async for page in tape.read() for message in page]


async def records(tape: StoredTape) -> Any:
    return np.concatenate([m.records for m in await everything(tape) if isinstance(m, Block)])


def note(feed: str) -> Any:
    return lambda ordinal, time_ns: FeedCompleted(
        id=f"{feed}@{ordinal}", **SAID | {"occurred_at_ns": time_ns}, feed=feed
    )


@asynccontextmanager
async def held(log: MemoryLog) -> AsyncIterator[tuple[Sequencer, logs.Gated]]:
    """A sequencer that is busy with one tick until the gate is opened."""
    gated = logs.Gated(log)
    async with Sequencer.open(StoredTape(gated, "main")) as sequencer:
        first = sequencer.offer(TICKS[:1])
        await gated.arrived.wait()
        yield sequencer, gated
        gated.gate.set()
        await first


# -- order and packing -------------------------------------------------------------------------------------------------


async def test_a_lone_tick_leaves_at_once(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer, asyncio.timeout(10):
        for number in range(3):
            assert await sequencer.offer(TICKS[number : number + 1]) == sequencer.end.ordinal
    sizes = [len(message.records) for message in await everything(tape) if isinstance(message, Block)]
    assert len(sizes) == 3


async def test_instructions_go_ahead_of_waiting_ticks(log: MemoryLog, tape: StoredTape) -> None:
    async with held(log) as (sequencer, _):
        ticks = sequencer.offer(TICKS[1:50])
        halts = [sequencer.instruct(note(name)) for name in ("one", "two")]
    assert [await halt for halt in halts] == [2, 3]
    assert await ticks > 3
    assert [type(message) for message in await everything(tape)] == [Block, Instructed, Instructed, Block]


async def test_an_instruction_overtakes_a_backlog_between_two_blocks(log: MemoryLog, tape: StoredTape) -> None:
    many = canonical.market_ticks(2 * MAX_BLOCK_RECORDS, seconds=1)
    gated = logs.Gated(log)
    async with Sequencer.open(StoredTape(gated, "main")) as sequencer:
        backlog = sequencer.offer(many)
        await gated.arrived.wait()  # the first block is on its way
        halt = sequencer.instruct(note("halt"))
        gated.gate.set()
        assert await halt == MAX_BLOCK_RECORDS + 1 < await backlog
    assert [type(message) for message in await everything(tape)][:3] == [Block, Instructed, Block]


async def until(sequencer: Sequencer, time_ns: int) -> None:
    """Wait until the tape has reached a time."""
    async with asyncio.timeout(10):
        while sequencer.end.time_ns < time_ns:  # noqa: ASYNC110  the writer tells nobody about its own clock records
            await asyncio.sleep(0.001)


async def test_a_backlog_leaves_in_full_blocks(log: MemoryLog, tape: StoredTape) -> None:
    many = canonical.market_ticks(2 * MAX_BLOCK_RECORDS + 500, seconds=1, start=int(TICKS[0]["receive_time"]))
    async with held(log) as (sequencer, _):
        offers = [sequencer.offer(part) for part in np.array_split(many, 700)]
        sequencer.offer(many[:0])
    ordinals = [await offer for offer in offers]
    assert ordinals == sorted(ordinals)
    _, *blocks, last = [message.records for message in await everything(tape) if isinstance(message, Block)]
    assert [len(block) for block in blocks] == [MAX_BLOCK_RECORDS] * len(blocks)
    assert len(blocks) == 2
    assert 0 < len(last) <= MAX_BLOCK_RECORDS
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS[:1].tobytes() + many.tobytes()


async def test_a_future_is_done_only_when_its_last_tick_is_durable(log: MemoryLog, tape: StoredTape) -> None:
    many = canonical.market_ticks(MAX_BLOCK_RECORDS + 10, seconds=1)
    async with Sequencer.open(tape) as sequencer:
        ordinal = await sequencer.offer(many)
        assert (await tape.end()).ordinal == ordinal == sequencer.end.ordinal
        assert int(market(await records(tape)).sum()) == len(many)


async def test_one_block_holds_one_feed(log: MemoryLog, tape: StoredTape) -> None:
    async with held(log) as (sequencer, _):
        for index, feed in enumerate(["a", "a", "b", "a", "", "b", "b"]):
            sequencer.offer(TICKS[1 + 10 * index : 11 + 10 * index], feed)
    messages = await logs.stored(log, tape.subject)
    fed = [message.headers.get(FEED, "") for message in messages[1:]]
    assert fed == ["a:20", "b:10", "a:10", "", "b:20"]
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS[:71].tobytes()


async def test_an_empty_offer_writes_nothing(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        assert await sequencer.offer(TICKS[:0]) == 0
        await sequencer.offer(TICKS[:1])
        assert await sequencer.offer(TICKS[:0], "feed") == 1
    assert len(await everything(tape)) == 1


async def test_ticks_that_go_back_in_time_are_refused(tape: StoredTape) -> None:
    """Tape time never goes back: a feed that does is refused, and the tape goes on."""
    async with Sequencer.open(tape) as sequencer:
        await sequencer.offer(TICKS[100:110])
        for wrong in (TICKS[99:101], TICKS[110:120][::-1]):
            with pytest.raises(DeskError, match="goes back"):
                await sequencer.offer(wrong)
        waiting = sequencer.offer(TICKS[120:130])
        with pytest.raises(DeskError, match="goes back"):
            await sequencer.offer(TICKS[110:120])
        await waiting
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS[100:110].tobytes() + TICKS[120:130].tobytes()


# -- priorities --------------------------------------------------------------------------------------------------------


def test_every_kind_of_instruction_has_a_priority() -> None:
    found = {kind: priority_of(kind) for kind in KINDS}
    by_hand = {
        "trading_halted": Priority.CRITICAL,
        "trading_resumed": Priority.CRITICAL,
        "cancel_requested": Priority.HIGH,
        "calendar_imported": Priority.LOW,
    }
    assert found == dict.fromkeys(KINDS, Priority.NORMAL) | by_hand


def said(kind: str, number: int) -> Instruction:
    return OUTSIDE[kind].model_copy(update={"id": f"{kind} {number}"})


async def opened(log: MemoryLog) -> None:
    """A tape that takes instructions from outside."""
    async with Sequencer.open(StoredTape(log, "main")) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)


async def test_instructions_in_line_are_written_by_priority_and_then_by_arrival(
    log: MemoryLog, tape: StoredTape
) -> None:
    await opened(log)
    kinds = ["calendar_imported", "order_requested", "cancel_requested", "signal_submitted", "trading_halted"]
    async with held(log) as (sequencer, _):
        ticks = sequencer.offer(TICKS[1:50])
        in_line = [said(kind, number) for number in range(3) for kind in kinds]
        done = [sequencer.submit(instruction) for instruction in in_line]
    placed = {
        message.instruction.id: message.ordinal for message in await everything(tape) if isinstance(message, Instructed)
    }
    assert [await future for future in done] == [placed[instruction.id] for instruction in in_line]
    assert max(future.result() for future in done) < await ticks
    written = sorted(placed, key=placed.__getitem__)[2:]
    assert written == [
        *(f"trading_halted {n}" for n in range(3)),
        *(f"cancel_requested {n}" for n in range(3)),
        *(f"{kind} {n}" for n in range(3) for kind in ("order_requested", "signal_submitted")),
        *(f"calendar_imported {n}" for n in range(3)),
    ]  # fmt: skip


async def test_a_halt_never_overtakes_the_resume_that_would_end_it(log: MemoryLog, tape: StoredTape) -> None:
    await opened(log)
    async with held(log) as (sequencer, _):
        for kind in ("order_requested", "trading_resumed", "trading_halted"):
            sequencer.submit(OUTSIDE[kind])
    kinds = [message.instruction.kind for message in await everything(tape) if isinstance(message, Instructed)]
    assert kinds[2:] == ["trading_resumed", "trading_halted", "order_requested"]


async def test_what_comes_while_another_instruction_is_written_does_not_disturb_it(
    log: MemoryLog, tape: StoredTape
) -> None:
    await opened(log)
    gated = logs.Gated(log)
    async with Sequencer.open(StoredTape(gated, "main")) as sequencer:
        order = sequencer.submit(OUTSIDE["order_requested"])
        await gated.arrived.wait()  # it is on its way
        halt = sequencer.submit(OUTSIDE["trading_halted"])
        gated.gate.set()
        assert (await order, await halt) == (3, 4)
    assert [message.instruction.id for message in await everything(tape) if isinstance(message, Instructed)][2:] == [
        "order_requested", "trading_halted",
    ]  # fmt: skip


class Yielding(logs.Wrapped):
    """Lets others run at every append, as a log that waits for a disk does."""

    async def append(self, message: Append) -> int:
        await asyncio.sleep(0)
        sequence: int = await self.log.append(message)
        return sequence


async def test_a_halt_stands_within_two_blocks_of_a_backlog_of_a_million_ticks(
    log: MemoryLog, tape: StoredTape
) -> None:
    await opened(log)
    many = canonical.market_ticks(1_000_000, seconds=1)
    async with Sequencer.open(StoredTape(Yielding(log), "main")) as sequencer:
        backlog = sequencer.offer(many)
        for backlog_blocks in (1, 7, 20):
            while sequencer.blocks < backlog_blocks:  # noqa: ASYNC110  a look at every block
                await asyncio.sleep(0)
            before = sequencer.end.ordinal
            orders = [sequencer.submit(said("order_requested", number)) for number in range(50)]
            halt = await sequencer.submit(OUTSIDE["trading_halted"])
            assert halt - before <= 2 * MAX_BLOCK_RECORDS + 1
            assert not backlog.done()
            assert min(await asyncio.gather(*orders)) > halt
        assert await backlog > 1_000_000
    assert int(market(await records(tape)).sum()) == 1_000_000


# -- from outside ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(OUTSIDE))
async def test_what_comes_from_outside_stands_with_its_content_at_tape_time(
    log: MemoryLog, tape: StoredTape, kind: str
) -> None:
    await opened(log)
    sent = OUTSIDE[kind].model_copy(update={"actor": "somebody", "authority": "proposal 7", "occurred_at_ns": 1})
    async with Sequencer.open(tape) as sequencer:
        await sequencer.offer(TICKS[:10])
        ordinal = await sequencer.submit(sent)
        now = sequencer.end.time_ns
    assert (await everything(tape))[-1] == Instructed(ordinal, sent.model_copy(update={"occurred_at_ns": now}))
    assert now == TICKS["receive_time"][9]


async def test_a_tape_that_is_not_open_takes_nothing_from_outside(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        with pytest.raises(Unavailable, match="main takes nothing before it is opened"):
            sequencer.submit(OUTSIDE["trading_halted"])
    assert await everything(tape) == []


async def test_nobody_outside_takes_an_id_that_the_sequencer_will_give(log: MemoryLog, tape: StoredTape) -> None:
    """The engine answers an id once: the sequencer's own instruction would change nothing."""
    await opened(log)
    async with Sequencer.open(tape) as sequencer:
        for id in ("engine_activated@4", "strategy_activated@99"):  # noqa: A001
            with pytest.raises(InvalidInput, match="the form of the sequencer's own"):
                sequencer.submit(OUTSIDE["signal_submitted"].model_copy(update={"id": id}))
        await sequencer.submit(OUTSIDE["signal_submitted"].model_copy(update={"id": "somebody@example.org"}))


async def test_an_account_is_opened_once(tape: StoredTape) -> None:
    for _ in range(2):
        async with Sequencer.open(tape) as sequencer:
            for _ in range(2):
                await sequencer.open_account("USD", 100_000 * 10**9)
            for currency, balance in (("EUR", 100_000 * 10**9), ("USD", 5 * 10**8)):
                with pytest.raises(InvalidInput, match=r"account of 100,000 USD, not of .*is opened once; --desk NEW"):
                    await sequencer.open_account(currency, balance)
    assert len(await everything(tape)) == 1


async def test_a_policy_is_activated_when_it_differs(tape: StoredTape) -> None:
    changed = PAPER_DEFAULT.model_copy(update={"version": 2})
    for policy in (PAPER_DEFAULT, PAPER_DEFAULT, changed, PAPER_DEFAULT):
        async with Sequencer.open(tape) as sequencer:
            for _ in range(2):
                await sequencer.activate_policy(policy.model_copy(deep=True))
            assert sequencer.standing.policy == policy
    assert [message.instruction.policy for message in await everything(tape)] == [PAPER_DEFAULT, changed, PAPER_DEFAULT]


async def test_an_opened_tape_says_which_sessions_are_open(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        await sequencer.prepare([], canonical.MONDAY + 8 * 3600 * SECOND_NS)
    [opened_at] = [message.instruction for message in await everything(tape)]
    assert opened_at.sessions_open == TOKYO_OPEN | LONDON_OPEN


# -- the end of a session, and what goes wrong -------------------------------------------------------------------------


async def test_leaving_writes_what_was_offered(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        offered = sequencer.offer(TICKS)
        said = sequencer.instruct(note("last"))
    assert offered.done()
    assert said.result() == 1
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS.tobytes()


async def test_leaving_by_an_error_stops_the_writer_and_tells_who_waits(log: MemoryLog, tape: StoredTape) -> None:
    async def interrupted() -> None:
        nonlocal sequencer, offered
        async with held(log) as (sequencer, _):
            offered = sequencer.offer(TICKS[1:])
            raise ZeroDivisionError

    sequencer: Sequencer
    offered: asyncio.Future[int]
    with pytest.raises(ZeroDivisionError):
        await interrupted()
    with pytest.raises(Unavailable, match="main was stopped before this was written"):
        await offered
    with pytest.raises(Unavailable):
        sequencer.offer(TICKS[:1])


async def all_fail(sequencer: Sequencer, error: type[Exception]) -> None:
    """What waits fails, and so does every later call."""
    for done in [sequencer.offer(TICKS[50:60]), sequencer.offer(TICKS[60:70], "f"), sequencer.instruct(note("halt"))]:
        with pytest.raises(error):
            await done
    with pytest.raises(error):
        sequencer.offer(TICKS[70:80])
    with pytest.raises(error):
        sequencer.instruct(note("late"))


@pytest.mark.parametrize("stores", [False, True])
async def test_a_failed_append_fails_all_who_wait_and_the_next_call(log: MemoryLog, stores: bool) -> None:
    async def session() -> None:
        async with Sequencer.open(StoredTape(logs.Failing(log, 1, stores=stores), "main")) as sequencer:
            await sequencer.offer(TICKS[:1])
            await all_fail(sequencer, Unavailable)

    with pytest.raises(Unavailable, match="cut the line"):
        await session()
    assert len(await logs.stored(log, "tape.main")) == (2 if stores else 1)


async def test_a_failure_that_nobody_waited_for_is_raised_at_the_end(log: MemoryLog) -> None:
    with pytest.raises(Unavailable, match="cut the line"):
        async with Sequencer.open(StoredTape(logs.Failing(log, 0), "main")) as sequencer:
            sequencer.offer(TICKS)


async def test_a_second_writer_loses_and_stops(log: MemoryLog, tape: StoredTape) -> None:
    async def lose(winner: Sequencer) -> None:
        async with Sequencer.open(tape) as loser:
            await winner.offer(TICKS[10:20])
            await all_fail(loser, Conflict)

    async with Sequencer.open(tape) as winner:
        await winner.offer(TICKS[:10])
        with pytest.raises(Conflict):
            await lose(winner)
        await winner.offer(TICKS[20:30])
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS[:30].tobytes()


async def test_a_caller_that_gave_up_waiting_does_not_stop_the_writer(log: MemoryLog, tape: StoredTape) -> None:
    async with held(log) as (sequencer, _):
        sequencer.offer(TICKS[1:10]).cancel()
        sequencer.instruct(note("given-up")).cancel()
        last = sequencer.offer(TICKS[10:20])
    assert await last == (await tape.end()).ordinal
    stored = await records(tape)
    assert stored[market(stored)].tobytes() == TICKS[:20].tobytes()


# -- what stands -------------------------------------------------------------------------------------------------------


async def test_a_tape_is_prepared_once(tape: StoredTape) -> None:
    instruments = [instrument_for(symbol) for symbol in canonical.SYMBOLS]
    wanted = [activation("ema_cross", "EURUSD"), activation("m1_retest", "USDJPY")]
    for _ in range(3):
        async with Sequencer.open(tape) as sequencer:
            for _ in range(2):
                await sequencer.prepare(instruments[:2], canonical.MONDAY)
                await sequencer.prepare(instruments, canonical.MONDAY)
                await sequencer.activate_engine(1)
                await sequencer.activate_strategies(wanted)
    found = [message.instruction for message in await everything(tape) if isinstance(message, Instructed)]
    assert [i.kind for i in found] == [
        "tape_opened", *["instrument_declared"] * 3, "engine_activated", *["strategy_activated"] * 2,
    ]  # fmt: skip
    assert [i.id for i in found] == [f"{i.kind}@{ordinal}" for ordinal, i in enumerate(found, 1)]
    numbers = {i.number: i.instrument.symbol for i in found if i.kind == "instrument_declared"}
    assert numbers == dict(enumerate(canonical.SYMBOLS, 1))
    assert {i.occurred_at_ns for i in found} == {canonical.MONDAY}


async def test_only_what_differs_is_written_and_what_is_not_wanted_stops(tape: StoredTape) -> None:
    ema, m1 = activation("ema_cross", "EURUSD"), activation("m1_retest", "EURUSD")
    changed = activation("ema_cross", "EURUSD", fast=9)
    for wanted in ([ema, m1], [m1, ema], [changed, m1], [m1], [ema]):
        async with Sequencer.open(tape) as sequencer:
            await sequencer.activate_strategies(wanted)
            assert set(sequencer.standing.strategies) == {w.strategy for w in wanted}
    said = [(m.instruction.kind, m.instruction.strategy) for m in await everything(tape) if isinstance(m, Instructed)]
    assert said == [
        ("strategy_activated", "ema_cross"),
        ("strategy_activated", "m1_retest"),
        ("strategy_activated", "ema_cross"),
        ("strategy_deactivated", "ema_cross"),
        ("strategy_deactivated", "m1_retest"),
        ("strategy_activated", "ema_cross"),
    ]


async def test_a_sequencer_knows_the_standing_state_also_behind_ticks(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)
        await sequencer.offer(TICKS[:100])
        await sequencer.declare(EngineActivated, engine=1)
        await sequencer.offer(TICKS[100:])
        await sequencer.declare(StrategyActivated, **activation("ema_cross")._asdict())
    async with Sequencer.open(tape) as sequencer:
        assert sequencer.standing.opened
        assert (sequencer.standing.engine, sequencer.standing.instruments) == (1, {"EURUSD": 1})
        assert set(sequencer.standing.strategies) == {"ema_cross"}


# -- live --------------------------------------------------------------------------------------------------------------


class Clocks:
    """Wall and monotonic time that the test moves; the sequencer's sleep ends when a second has passed here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = canonical.MONDAY + 10 * 3600 * SECOND_NS + 500_000_000
        monkeypatch.setattr(clock.time, "time_ns", lambda: self.now)
        monkeypatch.setattr(clock.time, "monotonic_ns", lambda: self.now)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocks]:
    return Clocks(monkeypatch)


async def test_live_ticks_are_stamped_as_they_come_and_never_go_back(tape: StoredTape, clocks: Clocks) -> None:
    stamps = []
    async with Sequencer.open(tape, live=True) as sequencer:
        for number in range(30):
            stamps.append(clocks.now)
            sequencer.offer(TICKS[number : number + 1].copy())
            clocks.now += 100_000_000 * (number % 3)
            if number % 5 == 0:
                await asyncio.sleep(0)
    stored = await records(tape)
    ticks = stored[market(stored)]
    assert ticks["receive_time"].tolist() == stamps
    assert ticks["event_time"].tolist() == TICKS["event_time"][:30].tolist()
    assert (np.diff(stored["receive_time"]) >= 0).all()


async def test_a_halt_ahead_of_waiting_live_ticks_does_not_push_time_beyond_them(
    log: MemoryLog, tape: StoredTape, clocks: Clocks
) -> None:
    gated = logs.Gated(log)
    async with Sequencer.open(StoredTape(gated, "main"), live=True) as sequencer:
        sequencer.offer(TICKS[:1].copy())
        await gated.arrived.wait()
        clocks.now += 1_000
        sequencer.offer(TICKS[1:2].copy())
        clocks.now += 90 * SECOND_NS
        halt = sequencer.instruct(note("halt"))
        gated.gate.set()
        assert await halt == 2
    times = []
    for message in await everything(tape):
        instructed = isinstance(message, Instructed)
        times += [message.instruction.occurred_at_ns] if instructed else message.records["receive_time"].tolist()
    assert times == sorted(times)


async def test_a_live_clock_ticks_every_second_by_itself(tape: StoredTape, clocks: Clocks) -> None:
    start = clocks.now // SECOND_NS * SECOND_NS
    async with Sequencer.open(tape, live=True) as sequencer:
        await sequencer.prepare([], clocks.now)
        for second in (1, 2, 3, 60):
            clocks.now = start + second * SECOND_NS + 999_900_000  # the next wake-up is 0.1 ms away
            sequencer._wake.set()
            await until(sequencer, start + second * SECOND_NS)
    marks = [(int(r["receive_time"]) - start, int(r["flags"]), int(r["kind"])) for r in await records(tape)]
    assert marks[-4:] == [
        (1 * SECOND_NS, SECOND, CLOCK),
        (2 * SECOND_NS, SECOND, CLOCK),
        (3 * SECOND_NS, SECOND, CLOCK),
        (60 * SECOND_NS, SECOND | MINUTE, CLOCK),
    ]


async def test_no_second_is_marked_before_the_tape_is_opened(tape: StoredTape) -> None:
    async with Sequencer.open(tape, live=True) as sequencer:
        for _ in range(10):
            sequencer._wake.set()
            await asyncio.sleep(0)
        assert sequencer.live is not None
        await sequencer.prepare([], sequencer.live.now_ns())
    assert isinstance((await everything(tape))[0], Instructed)


async def test_a_real_second_is_marked_without_anybody_asking(tape: StoredTape) -> None:
    async with Sequencer.open(tape, live=True) as sequencer:
        assert sequencer.live is not None
        start = sequencer.live.now_ns()
        await sequencer.prepare([], start)
        await until(sequencer, start + 1)
    [mark] = (await records(tape))[:1]
    assert (mark["kind"], int(mark["receive_time"]) % SECOND_NS) == (CLOCK, 0)
    assert mark["flags"] & SECOND


async def test_a_live_tape_does_not_start_before_its_own_end(tape: StoredTape, clocks: Clocks) -> None:
    async with Sequencer.open(tape) as sequencer:
        ahead = TICKS[:1].copy()
        ahead["receive_time"] = clocks.now + 2 * SECOND_NS
        await sequencer.offer(ahead)
    with pytest.raises(DeskError, match="behind the end of the tape"):
        async with Sequencer.open(tape, live=True):
            raise AssertionError("it must not open")


async def test_a_draft_that_raises_fails_its_caller_and_nobody_else(tape: StoredTape) -> None:
    def broken(ordinal: int, time_ns: int) -> Instruction:
        raise ValueError(f"no instruction for {ordinal}")

    async with Sequencer.open(tape) as sequencer:
        failed, ticks = sequencer.instruct(broken), sequencer.offer(canonical.market_ticks(3))
        with pytest.raises(ValueError, match="no instruction for 1"):
            await failed
        assert await ticks == 3


async def test_a_clock_that_drifts_away_is_an_alarm(tape: StoredTape, monkeypatch: pytest.MonkeyPatch) -> None:
    alarmed = asyncio.Event()
    monkeypatch.setattr(sequencing, "DRIFT_ALARM_NS", -1)
    monkeypatch.setattr(sequencing.log, "error", lambda *_: alarmed.set())
    async with Sequencer.open(tape, live=True):
        await asyncio.wait_for(alarmed.wait(), 5)


async def test_a_caller_that_left_with_a_bad_draft_does_not_stop_the_writer(tape: StoredTape) -> None:
    def broken(ordinal: int, time_ns: int) -> Instruction:
        raise ValueError(f"no instruction for {ordinal}")

    async with Sequencer.open(tape) as sequencer:
        sequencer.instruct(broken).cancel()
        assert await sequencer.offer(canonical.market_ticks(3)) == 3


async def test_an_instruction_too_large_for_the_log_fails_its_caller_and_nobody_else(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        ticks = sequencer.offer(canonical.market_ticks(3))
        with pytest.raises(InvalidInput, match="bytes"):
            await sequencer.declare(FeedCompleted, feed="x" * 2_000_000)
        assert await ticks == 3


async def test_a_live_tape_that_rested_for_years_goes_on(tape: StoredTape) -> None:
    async with Sequencer.open(tape) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY - 9 * 365 * 86_400 * SECOND_NS)
    async with Sequencer.open(tape, live=True) as sequencer:
        assert await sequencer.offer(canonical.market_ticks(1)) > 20_000
    ticks = await records(tape)
    assert (np.diff(ticks["receive_time"]) >= 0).all()


async def test_who_only_waits_is_told_that_the_writer_failed(log: MemoryLog) -> None:
    """Else a desk whose feed has ended would look well for ever, and take no halt."""

    async def waiting() -> None:
        async with Sequencer.open(StoredTape(logs.Failing(log, 3), "main"), live=True) as sequencer:
            await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)
            await asyncio.wait_for(sequencer.lost(), 10)  # the clock's marks are what it writes

    with pytest.raises(Unavailable, match="cut the line"):
        await waiting()


async def test_a_strategy_for_an_instrument_that_is_not_there_never_stands() -> None:
    async with Sequencer.open(StoredTape(MemoryLog(), "main")) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)
        with pytest.raises(InvalidInput, match="no instrument 'NAS100'"):
            sequencer.submit(canonical.activated("m5_bos_retest", "EURUSD", "NAS100"))
        assert sequencer.standing.strategies == {}
