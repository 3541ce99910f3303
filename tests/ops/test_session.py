"""A session: files in, signals out, side by side; a repeat adds nothing, and what fails is told as what it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters import memory
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from domain.errors import Conflict, DeskError, Diverged, InvalidInput, Overlap, Unavailable, UnknownStrategy
from domain.events import SignalRaised
from domain.instructions import CalendarImported, Instructed, NewsEntry, StrategyDeactivated
from domain.policy import policy_named
from domain.ports import Append, Log
from domain.tape import CLOCK, Block
from gateways import file_feed, sequencer
from gateways.feeds.files import FeedOptions, FileSet, read_files
from gateways.file_feed import BLOCKS_AHEAD
from gateways.halt_latch import HaltLatch
from gateways.standing import Activation, read_standing
from ops.session import Plan, SessionReport, StrategyChoice, beside, run_session
from ops.verify import verify
from tests import canonical, logs
from tests.canonical import file_set
from tests.ops.desks import ledger

TICKS = canonical.market_ticks(4_000, seed=21, symbols=2)
FILES = file_set(TICKS, "EURUSD", "GBPUSD", name="first.csv")
LATER_TICKS = canonical.market_ticks(1_000, seed=22, symbols=2, start=int(TICKS["receive_time"][-1]) + 10**9)
LATER = file_set(LATER_TICKS, "EURUSD", "GBPUSD", name="later.csv")
SYMBOLS = canonical.SYMBOLS
BOS, EMA = StrategyChoice("m5_bos_retest"), StrategyChoice("ema_cross")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks, pages and commits of little data."""
    monkeypatch.setattr(memory, "PAGE_MESSAGES", 2)
    monkeypatch.setattr(sequencer, "MAX_BLOCK_RECORDS", 256)
    monkeypatch.setattr(file_feed, "MAX_BLOCK_RECORDS", 256)


@pytest.fixture(params=logs.KINDS)
async def any_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def session(
    log: Log,
    files: FileSet = FILES,
    *choices: StrategyChoice,
    desk: str = "main",
    latch: HaltLatch | None = None,
    **plan: Any,
) -> SessionReport:
    async with asyncio.timeout(60):
        return await run_session(log, desk, Plan(files, list(choices or (BOS, EMA)), **plan), latch=latch)


async def tape_of(log: Log, desk: str = "main") -> list[Any]:
    return [message async for page in StoredTape(log, desk).read() for message in page]


async def instructions(log: Log, desk: str = "main") -> list[Any]:
    return [message.instruction for message in await tape_of(log, desk) if isinstance(message, Instructed)]


async def content(log: Log, desk: str = "main") -> tuple[list[tuple[Any, ...]], list[bytes]]:
    """Everything on tape and ledger, whatever the cut."""
    tape: list[tuple[Any, ...]] = []
    for message in await tape_of(log, desk):
        if isinstance(message, Instructed):
            tape.append((message.ordinal, message.instruction))
        else:
            tape += [(message.first + i, record.tobytes()) for i, record in enumerate(message.records)]
    return tape, await ledger(log, desk)


async def test_a_session_decides_on_every_record_and_can_be_proven(any_log: Log) -> None:
    desk = logs.new_name()
    report = await session(any_log, desk=desk)
    assert (report.desk, report.files, report.rows, report.rows_rejected) == (desk, 1, 4_000, 0)
    assert report.ticks_added == 4_000
    assert report.ordinal == (await StoredTape(any_log, desk).end()).ordinal
    recorded = await ledger(any_log, desk)
    assert report.events == len(recorded)
    assert report.signals == sum(b'"type":"signal_raised"' in line for line in recorded) > 20
    found = await verify(any_log, desk, StoredTape(any_log, desk))
    assert (found.checked, found.diverged, found.pending, found.passed) == (len(recorded), 0, 0, True)
    kinds = [instruction.kind for instruction in await instructions(any_log, desk)]
    assert kinds == [
        "tape_opened", "instrument_declared", "instrument_declared", "engine_activated", "account_opened",
        "policy_activated", "strategy_activated", "strategy_activated", "feed_opened", "feed_completed",
    ]  # fmt: skip


async def test_the_same_session_again_adds_nothing(any_log: Log) -> None:
    desk = logs.new_name()
    first = await session(any_log, desk=desk)
    before = await content(any_log, desk)
    for _ in range(2):
        again = await session(any_log, desk=desk)
        assert (again.ticks_added, again.ordinal, again.events) == (0, first.ordinal, first.events)
        assert await content(any_log, desk) == before


@pytest.mark.parametrize("symbols", [("GBPUSD", "EURUSD"), ("EURUSD", "EURUSD"), ("GBPUSD",)])
async def test_the_order_in_which_symbols_are_named_is_no_change(symbols: tuple[str, ...]) -> None:
    log = MemoryLog()
    choice = StrategyChoice("ema_cross", symbols=symbols)
    await session(log, FILES, choice)
    before = await content(log)
    await session(log, FILES, choice)
    assert await content(log) == before


async def test_equal_parameters_written_otherwise_are_no_change() -> None:
    log = MemoryLog()
    await session(log, FILES, StrategyChoice("m5_bos_retest", 1, {"tolerance_pips": "0.80"}))
    before = await content(log)
    await session(log, FILES, StrategyChoice("m5_bos_retest", None, {"tolerance_pips": 0.8, "reach": "2"}))
    assert await content(log) == before


async def test_a_later_file_goes_on_where_the_first_one_ended() -> None:
    parts, whole = MemoryLog(), MemoryLog()
    await session(parts)
    first = len(await ledger(parts))
    await session(parts, LATER)
    await session(whole)
    await session(whole, LATER)
    assert await content(parts) == await content(whole)
    assert len(await ledger(parts)) > first
    assert [i.kind for i in await instructions(parts)].count("strategy_activated") == 2


async def test_another_strategy_holds_from_the_end_of_the_tape_on() -> None:
    log = MemoryLog()
    first = await session(log, FILES, BOS)
    before = await content(log)
    second = await session(log, FILES, EMA)  # no new tick: only the change is written
    after = await content(log)
    assert after[0][: len(before[0])] == before[0]
    assert after[1][: len(before[1])] == before[1]
    assert second.ordinal == first.ordinal + 2
    stop, start = (instruction for _, instruction in after[0][-2:])
    assert isinstance(stop, StrategyDeactivated)
    assert (stop.strategy, start.strategy) == ("m5_bos_retest", "ema_cross")
    third = await session(log, LATER, EMA)
    assert {e.strategy for e in await signals(log) if e.ordinal > first.ordinal} == {"ema_cross"}
    assert {e.strategy for e in await signals(log) if e.ordinal <= first.ordinal} == {"m5_bos_retest"}
    assert (await verify(log, "main", StoredTape(log, "main"))).checked == third.events


def a_file_each(files: FileSet) -> FileSet:
    """The same ticks as if every symbol had come from a file of its own."""
    [file] = files.files
    return replace(files, files=[file.model_copy(update={"symbol": symbol}) for symbol in files.symbols])


async def strategies_of(log: Log) -> dict[str, Activation]:
    tape = StoredTape(log, "main")
    return (await read_standing(tape, await tape.end())).strategies


async def unchosen(log: Log, files: FileSet = FILES, **plan: Any) -> SessionReport:
    return await run_session(log, "main", Plan(files, [], **plan))


async def test_a_desk_keeps_the_strategies_that_it_has_until_others_are_chosen() -> None:
    log, symbols = MemoryLog(), ("EURUSD",)
    files, later = a_file_each(FILES), a_file_each(LATER)
    await session(log, files, StrategyChoice("ema_cross", 1, {"fast": 3, "slow": 9}, symbols))
    before = await content(log)
    report = await unchosen(log, files)
    assert (report.strategies, await content(log)) == (["ema_cross@1"], before)
    await unchosen(log, later)
    [standing] = (await strategies_of(log)).values()
    assert (standing.strategy, standing.symbols, standing.parameters["fast"]) == ("ema_cross", symbols, 3)
    assert (await kinds(log)).count("strategy_activated") == 1
    await session(log, later, BOS)
    assert [*await strategies_of(log)] == ["m5_bos_retest"]


async def test_a_new_desk_gets_the_default_strategy_on_what_it_is_asked_to_trade() -> None:
    for symbols, expected in ((None, ("EURUSD", "GBPUSD")), (("GBPUSD",), ("GBPUSD",))):
        log = MemoryLog()
        assert (await unchosen(log, symbols=symbols)).strategies == ["m5_bos_retest@1"]
        assert (await strategies_of(log))["m5_bos_retest"].symbols == expected


async def test_standing_strategies_also_watch_a_symbol_that_the_tape_never_had() -> None:
    log = MemoryLog()
    await session(log, a_file_each(FILES), StrategyChoice("ema_cross", 1, {"fast": 3, "slow": 9}, ("EURUSD",)))
    start = int(LATER_TICKS["receive_time"][-1])
    more, new = a_file_each(file_set(canonical.market_ticks(90, seed=5, symbols=3, start=start), *SYMBOLS)), SYMBOLS[2]
    for at in range(8):  # interrupted at each append among what stands first, then whole
        with contextlib.suppress(Unavailable):
            await unchosen(Stopping(log, "tape", at), more)
    assert (await strategies_of(log))["ema_cross"].symbols == tuple(sorted(["EURUSD", new]))
    await unchosen(log, more, symbols=("GBPUSD",))
    assert (await strategies_of(log))["ema_cross"].symbols == tuple(sorted(["EURUSD", "GBPUSD", new]))


async def test_a_symbol_that_the_feed_has_not_is_refused_before_anything_is_written() -> None:
    log = MemoryLog()
    await session(log)
    before = await content(log)
    with pytest.raises(InvalidInput, match="symbol XAUUSD is not in the feed, which has EURUSD, GBPUSD"):
        await unchosen(log, LATER, symbols=("XAUUSD",), policy=FTMO)
    assert await content(log) == before


async def signals(log: Log) -> list[SignalRaised]:
    return [SignalRaised.model_validate_json(line) for line in await ledger(log) if b"signal_raised" in line]


async def test_a_session_with_fewer_symbols_keeps_those_that_run() -> None:
    log = MemoryLog()
    await session(log, FILES, EMA)
    only = LATER_TICKS[LATER_TICKS["instrument"] == 1]
    await session(log, file_set(only, "EURUSD", name="only.csv"), EMA)
    [activation] = [i for i in await instructions(log) if i.kind == "strategy_activated"]
    assert activation.symbols == ("EURUSD", "GBPUSD")


@pytest.mark.parametrize(
    ("choice", "error", "reason"),
    [
        (StrategyChoice("moon"), UnknownStrategy, "'moon'"),
        (StrategyChoice("ema_cross", 9), UnknownStrategy, "ema_cross v9"),
        (StrategyChoice("ema_cross", 1, {"fast": 99}), InvalidInput, "fast = 99"),
        (StrategyChoice("m5_bos_retest", 1, {"buffer_pips": "0.000000001"}), InvalidInput, "buffer_pips"),
        (StrategyChoice("ema_cross", symbols=("NAS100",)), InvalidInput, "NAS100"),
    ],
)
async def test_what_the_engine_would_refuse_is_refused_before_anything_is_written(
    choice: StrategyChoice, error: type[DeskError], reason: str
) -> None:
    log = MemoryLog()
    with pytest.raises(error, match=reason):
        await session(log, FILES, BOS, choice)
    assert await content(log) == ([], [])


async def test_an_overlap_is_refused_before_anything_is_written() -> None:
    log = MemoryLog()
    await session(log, LATER, BOS)
    before = await content(log)
    with pytest.raises(Overlap, match=r"first\.csv begins at .* tape main already reaches"):
        await session(log, FILES, EMA)
    assert await content(log) == before


async def test_desks_know_nothing_of_each_other(any_log: Log) -> None:
    one, two = logs.new_name(), logs.new_name()
    await session(any_log, desk=one)
    await session(any_log, LATER, EMA, desk=two)
    alone = MemoryLog()
    await session(alone, LATER, EMA)
    assert await content(any_log, two) == await content(alone)


# -- what stands before the first tick ---------------------------------------------------------------------------------

NEWS = tuple(
    NewsEntry(time_ns=canonical.MONDAY + number * 10**12, currency="USD", impact=3, title=f"release {number}")
    for number in range(2_500)  # more than one instruction holds
)
FTMO = policy_named("ftmo-2step-challenge")


async def kinds(log: Log) -> list[str]:
    return [instruction.kind for instruction in await instructions(log)]


async def test_account_policy_and_calendar_stand_before_the_first_tick_and_are_not_written_twice() -> None:
    log = MemoryLog()
    plan: dict[str, Any] = {"account": ("EUR", 5_000 * 10**9), "policy": FTMO, "calendar": ("week.csv", NEWS)}
    report = await session(log, **plan)
    assert (report.currency, report.initial_nanos, report.policy) == ("EUR", 5_000 * 10**9, "ftmo-2step-challenge@1")
    stood = await tape_of(log)
    first = next(index for index, message in enumerate(stood) if isinstance(message, Block))
    said = [message.instruction for message in stood[:first]]
    assert [one.kind for one in said] == [
        "tape_opened", "instrument_declared", "instrument_declared", "engine_activated", "account_opened",
        "policy_activated", "calendar_imported", "calendar_imported", "strategy_activated", "strategy_activated",
        "feed_opened",
    ]  # fmt: skip
    imported = [one for one in said if isinstance(one, CalendarImported)]
    assert sum((one.entries for one in imported), ()) == NEWS
    assert {one.source for one in imported} == {"week.csv"}
    before = await content(log)
    for again in (plan, {"account": ("EUR", None)}, {"account": (None, 5_000 * 10**9)}, {}):
        assert (await session(log, **again)).currency == "EUR"
        unchanged = await content(log) == before  # the difference of thousands of entries tells nothing
        assert unchanged, again
    assert (await verify(log, "main", StoredTape(log, "main"))).passed


async def test_a_calendar_that_has_grown_adds_only_what_is_new() -> None:
    log = MemoryLog()
    await session(log, calendar=("week.csv", NEWS[:3]))
    await session(log, LATER, calendar=("longer.csv", NEWS[1:5]))
    imported = [one.entries for one in await instructions(log) if isinstance(one, CalendarImported)]
    assert imported == [NEWS[:3], NEWS[3:5]]


async def test_a_start_with_a_calendar_reads_the_tape_only_from_the_snapshot_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = MemoryLog()
    await session(log, calendar=("week.csv", NEWS[:3]))
    starts: list[int] = []
    messages = StoredTape._messages

    def counted(tape: StoredTape, after: int, *, for_ever: bool) -> Any:
        starts.append(after)
        return messages(tape, after, for_ever=for_ever)

    monkeypatch.setattr(StoredTape, "_messages", counted)
    end = (await StoredTape(log, "main").end()).ordinal
    await session(log, LATER, calendar=("week.csv", NEWS[:3]))
    assert starts == [end]


@pytest.mark.parametrize("account", [("EUR", None), (None, 1_000 * 10**9), ("USD", 100_001 * 10**9)])
async def test_another_account_is_refused_and_nothing_is_written(account: tuple[str | None, int | None]) -> None:
    log = MemoryLog()
    await session(log)
    before = await content(log)
    more = file_set(canonical.market_ticks(9, seed=5, symbols=3, start=int(LATER_TICKS["receive_time"][-1])), *SYMBOLS)
    with pytest.raises(InvalidInput, match=r"tape main has an account of 100,000 USD, not of .*--desk NEW"):
        await session(log, more, account=account, policy=FTMO, calendar=("week.csv", NEWS))
    assert await content(log) == before


async def test_a_policy_holds_from_the_end_of_the_tape_on_and_none_keeps_the_standing_one() -> None:
    log = MemoryLog()
    assert (await session(log)).policy == "paper-default@1"
    assert (await session(log, LATER, policy=FTMO)).policy == "ftmo-2step-challenge@1"
    assert (await session(log, LATER)).policy == "ftmo-2step-challenge@1"
    assert (await kinds(log)).count("policy_activated") == 2


async def test_interrupted_among_what_stands_first_it_goes_on_to_the_same_tape() -> None:
    whole, plan = MemoryLog(), {"account": ("EUR", 5_000 * 10**9), "policy": FTMO, "calendar": ("week.csv", NEWS)}
    await session(whole, **plan)
    for at in range(1, 12):
        log = MemoryLog()
        with pytest.raises(Unavailable):
            await session(Stopping(log, "tape", at), **plan)
        await session(log, **plan)
        same = await content(log) == await content(whole)
        assert same, f"away at append {at}"


async def test_a_latched_halt_stands_before_the_first_tick_and_is_taken_also_when_nothing_else_is_written(
    tmp_path: Path,
) -> None:
    log, latch = MemoryLog(), HaltLatch(tmp_path, "main")
    latch.set("tester", "before anything")
    report = await session(log, latch=latch)
    assert (report.halted, report.approved) == (True, 0)
    assert report.refused == report.signals > 20
    said = await kinds(log)
    assert said.index("trading_halted") < said.index("feed_opened")
    latch.set("tester", "again")
    await session(log, latch=latch)
    assert (await kinds(log)).count("trading_halted") == 2
    assert latch.pending() is None
    before = await content(log)
    await session(log, latch=latch)
    assert await content(log) == before


# -- interruptions -----------------------------------------------------------------------------------------------------


class Stopping(logs.Wrapped):
    """Fails at the append number `at` of one stream."""

    def __init__(self, log: Log, stream: str, at: int) -> None:
        super().__init__(log)
        self.stream, self.left = stream, at

    async def append(self, message: Append) -> int:
        await asyncio.sleep(0)  # as a server would, it lets the others work
        if message.subject.startswith(self.stream):
            self.left -= 1
            if self.left < 0:
                raise Unavailable(f"the {self.stream} is away")
        return await self.log.append(message)


async def test_interrupted_anywhere_a_session_goes_on_to_the_same_tape_and_ledger() -> None:
    whole = MemoryLog()
    await session(whole)
    expected = await content(whole)
    commits = len(await logs.stored(whole, "ledger.main"))
    blocks = len(await logs.stored(whole, "tape.main"))
    assert blocks > 20
    for stream, count in (("tape", blocks), ("ledger", min(commits, 6))):
        for at in range(0, count, 1 if stream == "ledger" else 3):
            log = MemoryLog()
            with pytest.raises(Unavailable, match=f"the {stream} is away"):
                await session(Stopping(log, stream, at))
            await session(log)
            assert await content(log) == expected, f"{stream} away at append {at}"


async def test_a_failing_engine_stops_the_feeding_with_its_own_error() -> None:
    log = MemoryLog()
    with pytest.raises(Unavailable, match="the ledger is away"):
        await session(Stopping(log, "ledger", 0))
    fed = sum(1 for message in await tape_of(log) if not isinstance(message, Instructed))
    assert fed <= 4  # of sixteen blocks: the feed stays two ahead of the engine


class LedgerHeld(logs.Gated):
    """The engine's first commit waits; everything else goes through, and lets the others work."""

    async def append(self, message: Append) -> int:
        if message.subject.startswith("ledger."):
            return await super().append(message)
        await asyncio.sleep(0)
        return await self.log.append(message)


async def test_a_slow_engine_holds_the_feed_two_blocks_ahead() -> None:
    log = LedgerHeld(MemoryLog())
    running = asyncio.create_task(session(log))
    await log.arrived.wait()
    for _ in range(1_000):  # all the turns that a feed without a bound would need
        await asyncio.sleep(0)
    records = [record for message in await tape_of(log) if isinstance(message, Block) for record in message.records]
    assert 0 < sum(record["kind"] != CLOCK for record in records) <= BLOCKS_AHEAD * 256
    log.gate.set()
    assert (await running).ticks_added == len(TICKS)
    assert (await verify(log, "main", StoredTape(log, "main"))).passed


async def test_a_diverged_ledger_stops_the_next_session() -> None:
    log = MemoryLog()
    await session(log)

    def tamper(messages: list[Any]) -> list[Any]:
        return [m._replace(data=m.data.replace(b"instrument_declared", b"instrument_disowned")) for m in messages]

    copy = await logs.copied(log, "ledger.main", edit=tamper)
    for message in await logs.stored(log, "tape.main"):
        last = await copy.last("tape.main")
        await copy.append(Append(message.subject, message.data, message.headers, last.sequence if last else 0))
    before = await ledger(copy)
    with pytest.raises(Diverged, match="ledger event 1 at tape:2"):
        await session(copy, LATER)
    assert await ledger(copy) == before


async def test_two_sessions_at_once_on_one_desk_write_nothing_twice() -> None:
    log = MemoryLog()
    outcomes = await asyncio.gather(*(session(Stopping(log, "nowhere", 0)) for _ in range(2)), return_exceptions=True)
    assert all(isinstance(outcome, SessionReport | Conflict) for outcome in outcomes), outcomes
    await session(log)
    alone = MemoryLog()
    await session(alone)
    ticks = [b for _, b in (await content(log))[0] if isinstance(b, bytes)]
    assert ticks == [b for _, b in (await content(alone))[0] if isinstance(b, bytes)]
    assert (await verify(log, "main", StoredTape(log, "main"))).passed


# -- beside ------------------------------------------------------------------------------------------------------------


async def test_the_service_is_stopped_when_the_work_is_done() -> None:
    stopped = asyncio.Event()

    async def service() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def work() -> Any:
        await asyncio.sleep(0)
        return "done"

    assert await beside(service(), work()) == "done"
    assert stopped.is_set()


async def test_a_work_that_fails_stops_the_service_and_is_told() -> None:
    async def service() -> None:
        await asyncio.Event().wait()

    async def work() -> Any:
        raise Overlap("first")

    with pytest.raises(Overlap):
        await beside(service(), work())


async def test_a_service_that_fails_stops_the_work_and_is_told() -> None:
    stopped = asyncio.Event()

    async def service() -> None:
        raise Diverged(1, "tape:1", "a", "b")

    async def work() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(Diverged):
        await beside(service(), work())
    assert stopped.is_set()


# -- real data ---------------------------------------------------------------------------------------------------------


async def test_eurusd_of_2018_gives_2435_signals_and_verifies(
    nats_server: NatsServer, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # blocks of full size
    files = read_files([shared_data / "m1" / "binarycom_EURUSD_M1_2018.csv.gz"], FeedOptions())
    desk = logs.new_name()
    async with logs.jetstream(nats_server) as log:
        report = await session(log, files, BOS, desk=desk)
        assert report.signals == 2_435
        assert report.ticks_added == len(files.ticks)
        found = await verify(log, desk, StoredTape(log, desk))
        assert (found.checked, found.diverged, found.unverifiable, found.passed) == (report.events, 0, 0, True)
        assert found.records == report.ordinal
