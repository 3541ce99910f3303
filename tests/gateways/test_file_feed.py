"""A set of files onto a tape: once, in order, and on from where an interruption left it, to the very same records."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Overlap, Unavailable
from domain.instructions import Instructed
from domain.instruments import instrument_for
from domain.ports import Log
from domain.tape import Block, empty_ticks, market
from gateways import file_feed, sequencer
from gateways.feeds.files import FileSet
from gateways.file_feed import BLOCKS_AHEAD, Fed, Pace, as_if_now, feed_files
from gateways.sequencer import Sequencer
from tests import canonical, logs
from tests.canonical import MINUTE_NS, file_set

TICKS = canonical.market_ticks(1_000, seed=6)
LATER = canonical.market_ticks(300, seed=7, start=int(TICKS["receive_time"][-1]) + 1)
FIRST, SECOND = file_set(TICKS, name="first.csv"), file_set(LATER, name="second.csv")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks of 64 records, so that a small file has many places to be interrupted at."""
    monkeypatch.setattr(sequencer, "MAX_BLOCK_RECORDS", 64)
    monkeypatch.setattr(file_feed, "MAX_BLOCK_RECORDS", 64)
    return iter(())


async def feed(log: Log, *sets: FileSet, **options: Any) -> list[Fed]:
    """Each set by a sequencer of its own, as a command does."""
    done = []
    for files in sets:
        async with Sequencer.open(StoredTape(log, "main")) as writer:
            done.append(await feed_files(writer, files, **options))
    return done


async def on_tape(log: Log) -> list[tuple[int, bytes]]:
    """(ordinal, bytes) of everything on the tape."""
    found: list[tuple[int, bytes]] = []
    async for page in StoredTape(log, "main").read():
        for message in page:
            if isinstance(message, Instructed):
                found.append((message.ordinal, message.instruction.model_dump_json().encode()))
            else:
                found += [(message.first + i, record.tobytes()) for i, record in enumerate(message.records)]
    return found


async def records(log: Log) -> Any:
    pages = [page async for page in StoredTape(log, "main").read()]
    return np.concatenate([m.records for page in pages for m in page if isinstance(m, Block)])


async def instructions(log: Log) -> list[Any]:
    pages = [page async for page in StoredTape(log, "main").read()]
    return [m.instruction for page in pages for m in page if isinstance(m, Instructed)]


async def test_all_ticks_stand_between_the_opening_and_the_completion_of_their_feed() -> None:
    log = MemoryLog()
    [fed] = await feed(log, FIRST)
    stored = await on_tape(log)
    assert (fed.ticks, fed.before, fed.after) == (len(TICKS), 0, len(stored))
    assert [ordinal for ordinal, _ in stored] == list(range(1, len(stored) + 1))
    said = await instructions(log)
    assert [i.kind for i in said] == ["tape_opened", "instrument_declared", "feed_opened", "feed_completed"]
    assert (said[2].ticks, said[2].first_time_ns, said[2].last_time_ns) == (
        len(TICKS), int(TICKS["receive_time"][0]), int(TICKS["receive_time"][-1]),
    )  # fmt: skip
    assert [(f.name, f.sha256, f.rows) for f in said[2].files] == [("first.csv", FIRST.files[0].sha256, len(TICKS))]
    ticks = await records(log)
    assert ticks[market(ticks)].tobytes() == TICKS.tobytes()


async def test_the_same_set_again_adds_nothing() -> None:
    log = MemoryLog()
    await feed(log, FIRST)
    before = await on_tape(log)
    assert await feed(log, FIRST, file_set(TICKS.copy(), name="renamed.csv")) == [Fed(0, len(before), len(before))] * 2
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        for _ in range(2):
            assert (await feed_files(writer, FIRST)).ticks == 0
    assert await on_tape(log) == before


async def test_twice_in_one_session_is_once_too() -> None:
    log = MemoryLog()
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        assert [(await feed_files(writer, files)).ticks for files in (FIRST, FIRST, SECOND, FIRST)] == [1000, 0, 300, 0]


async def test_a_later_file_appends() -> None:
    log = MemoryLog()
    await feed(log, FIRST)
    before = await on_tape(log)
    [fed] = await feed(log, SECOND)
    stored = await on_tape(log)
    assert stored[: len(before)] == before
    assert (fed.ticks, fed.before, fed.after) == (len(LATER), len(before), len(stored))
    ticks = await records(log)
    assert ticks[market(ticks)].tobytes() == TICKS.tobytes() + LATER.tobytes()
    assert (await feed(log, FIRST, SECOND)) == [Fed(0, len(stored), len(stored))] * 2


async def test_a_file_that_begins_at_the_very_end_of_the_tape_appends() -> None:
    log = MemoryLog()
    await feed(log, FIRST)
    touching = canonical.market_ticks(5)
    touching["receive_time"] = TICKS["receive_time"][-1]
    assert (await feed(log, file_set(touching)))[0].ticks == 5


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("stores", [False, True], ids=["nothing stored", "only the ack lost"])
async def test_interrupted_anywhere_it_goes_on_to_the_same_records(stores: bool) -> None:
    whole = MemoryLog()
    await feed(whole, FIRST, SECOND)
    expected = await on_tape(whole)
    appends = len(await logs.stored(whole, "tape.main"))
    assert appends > 25
    for count in range(appends):
        log = MemoryLog()
        with pytest.raises(Unavailable, match="cut the line"):
            await feed(logs.Failing(log, count, stores=stores), FIRST, SECOND)
        assert len(await logs.stored(log, "tape.main")) == count + stores
        await feed(log, FIRST, SECOND)
        assert await on_tape(log) == expected, f"interrupted after {count} appends"


@pytest.mark.usefixtures("small_blocks")
async def test_interrupted_again_and_again_it_still_ends_the_same() -> None:
    whole, log = MemoryLog(), MemoryLog()
    await feed(whole, FIRST)
    for _ in range(200):
        try:
            await feed(logs.Failing(log, 1), FIRST)
            break
        except Unavailable:
            pass
    assert await on_tape(log) == await on_tape(whole)


@pytest.mark.usefixtures("small_blocks")
async def test_interrupted_with_another_block_size_it_still_ends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemoryLog()
    await feed(whole, FIRST)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await feed(logs.Failing(log, 9), FIRST)
    monkeypatch.setattr(sequencer, "MAX_BLOCK_RECORDS", 13)
    await feed(log, FIRST)
    assert await on_tape(log) == await on_tape(whole)


@pytest.mark.usefixtures("small_blocks")
async def test_an_interrupted_feed_goes_on_also_behind_an_instruction() -> None:
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await feed(logs.Failing(log, 9), FIRST)
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        await writer.activate_engine(1)
    await feed(log, FIRST)
    ticks = await records(log)
    assert ticks[market(ticks)].tobytes() == TICKS.tobytes()
    assert [i.kind for i in await instructions(log)].count("feed_opened") == 1


@pytest.mark.parametrize(
    ("start", "count"),
    [
        pytest.param(int(TICKS["receive_time"][0]) - 10**12, 300, id="from before into it"),
        pytest.param(int(TICKS["receive_time"][0]) - 10**16, 3, id="long before"),
        pytest.param(int(TICKS["receive_time"][500]), 3, id="inside"),
        pytest.param(int(TICKS["receive_time"][-20]), 300, id="from inside to behind"),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["by another command", "by the same sequencer"])
async def test_a_file_that_reaches_before_the_end_is_refused_with_the_overlap_named(
    start: int, count: int, again: bool
) -> None:
    log = MemoryLog()
    other = file_set(canonical.market_ticks(count, seed=99, start=start), "GBPUSD", name="other.csv")

    async def both() -> None:
        async with Sequencer.open(StoredTape(log, "main")) as writer:
            await feed_files(writer, FIRST)
            await feed_files(writer, other)

    if not again:
        await feed(log, FIRST)
    with pytest.raises(Overlap) as refused:
        await (both() if again else feed(log, other))
    message = str(refused.value)
    assert "other.csv begins at " + iso(other.ticks["receive_time"][0]) in message
    assert "tape main already reaches " + iso(TICKS["receive_time"][-1]) in message
    overlaps = other.ticks["receive_time"][-1] >= TICKS["receive_time"][0]
    assert ("overlaps first.csv" if overlaps else "overlaps time that has passed") in message
    assert "--desk NEW" in message
    fresh = MemoryLog()
    await feed(fresh, FIRST)
    assert await on_tape(log) == await on_tape(fresh)  # no tick and no instruction of the other


@pytest.mark.usefixtures("small_blocks")
async def test_an_interrupted_feed_is_finished_before_another_begins() -> None:
    log, later = MemoryLog(), int(TICKS["receive_time"][-1]) + 1
    other = file_set(canonical.market_ticks(50, seed=99, start=later), "EURUSD", name="other.csv")
    with pytest.raises(Unavailable):
        await feed(logs.Failing(log, 9), FIRST)
    before = await on_tape(log)
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        if not writer.end.fed:
            pytest.fail("the interruption must leave ticks on the tape")
    with pytest.raises(InvalidInput, match=r"first\.csv stopped at tick .* of .*Run it again first"):
        await feed(log, other)
    assert await on_tape(log) == before
    await feed(log, FIRST)
    await feed(log, other)


def iso(time_ns: Any) -> str:
    return f"{np.datetime64(int(time_ns), 'ns')}Z".replace(".000000000Z", "Z")


async def test_the_same_file_with_other_options_is_another_feed() -> None:
    log = MemoryLog()
    await feed(log, FIRST)
    with pytest.raises(Overlap, match=r"first\.csv begins at .*overlaps first\.csv"):
        await feed(log, file_set(TICKS, name="first.csv", options="--price bid"))


async def test_a_file_without_a_good_row_is_refused() -> None:
    log = MemoryLog()
    with pytest.raises(InvalidInput, match=r"empty\.csv: no row was accepted"):
        await feed(log, file_set(empty_ticks(0), name="empty.csv"))
    assert await on_tape(log) == []


async def test_an_unfinished_feed_is_not_continued_behind_foreign_ticks() -> None:
    """Someone else's ticks stand behind the interrupted ones: going on would double or reorder."""
    log = MemoryLog()
    for appends in (3, 4):  # opened and never fed; a block of it is there
        with pytest.raises(Unavailable):
            await feed(logs.Failing(log, appends - len(await logs.stored(log, "tape.main"))), FIRST)
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        foreign = canonical.market_ticks(3, start=writer.end.time_ns + MINUTE_NS)
        await writer.offer(foreign)
    with pytest.raises(Overlap, match=r"first\.csv begins at"):
        await feed(log, FIRST)


async def test_numbers_are_those_of_the_tape() -> None:
    log = MemoryLog()
    three = canonical.market_ticks(300, seed=8, symbols=3)
    names = ("AUDUSD", "EURUSD", "USDJPY")
    later = canonical.market_ticks(300, seed=9, symbols=3, start=int(three["receive_time"][-1]))
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        await writer.prepare([instrument_for(symbol) for symbol in ("USDJPY", "GBPUSD")], int(three["receive_time"][0]))
    untouched = three.copy()
    await feed(log, file_set(three, *names), file_set(later, *names))
    declared = {i.number: i.instrument.symbol for i in await instructions(log) if i.kind == "instrument_declared"}
    assert declared == {1: "USDJPY", 2: "GBPUSD", 3: "AUDUSD", 4: "EURUSD"}
    stored = await records(log)
    stored = stored[market(stored)]
    assert [declared[n] for n in stored["instrument"].tolist()] == [
        names[n - 1] for part in (three, later) for n in part["instrument"].tolist()
    ]
    assert three.tobytes() == untouched.tobytes()
    for name in stored.dtype.names:
        if name != "instrument":
            assert stored[name].tolist() == [*three[name].tolist(), *later[name].tolist()]


@pytest.mark.usefixtures("small_blocks")
async def test_a_feed_stays_at_most_two_blocks_ahead_of_the_reader_and_tells_its_progress() -> None:
    log, durable, asked = MemoryLog(), [], []

    async def reader(ordinal: int) -> None:
        async with Sequencer.open(StoredTape(log, "main")) as now:
            asked.append(ordinal)
            assert now.end.ordinal <= ordinal + BLOCKS_AHEAD * 2 * 64

    await feed(log, FIRST, ahead_of=reader, progress=durable.append)
    assert len(asked) > 10
    assert asked == sorted(asked)
    assert durable == sorted(durable)
    assert durable[-1] == len(TICKS)


# -- pace --------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only while somebody pauses, or when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.pauses.append(seconds)
        self.now += seconds


def seconds(*times: float) -> Any:
    return np.array([round(time * 1e9) for time in times], np.int64) + canonical.MONDAY


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0])
async def test_ticks_are_due_speed_times_as_fast_as_the_market(speed: float) -> None:
    clock = Clock()
    pace = Pace(speed, clock=clock, pause=clock.pause)
    assert await pace.due(seconds(0, 0, 30, 60)) == 2
    assert clock.pauses == []
    assert await pace.due(seconds(30, 60)) == 1
    assert clock.pauses == [pytest.approx(30 / speed)]
    clock.now += 45 / speed  # the desk was busy: what is late comes at once
    assert await pace.due(seconds(60, 75, 75.1)) == 2
    assert len(clock.pauses) == 1


async def test_a_pace_begins_with_the_first_tick_that_it_is_asked_about() -> None:
    """A feed that goes on where it was stopped does not wait for what it has played."""
    clock = Clock()
    pace = Pace(1.0, clock=clock, pause=clock.pause)
    assert await pace.due(seconds(10_000, 10_001)) == 1
    assert clock.pauses == []


async def test_at_least_one_tick_is_due_also_when_a_pause_was_too_short() -> None:
    clock = Clock()

    async def short(seconds: float) -> None:
        clock.now += seconds * 0.999

    pace = Pace(1.0, clock=clock, pause=short)
    await pace.due(seconds(0))
    assert await pace.due(seconds(5, 6)) == 1


async def test_a_paced_feed_is_the_same_feed_in_its_own_time() -> None:
    plain, paced, clock = MemoryLog(), MemoryLog(), Clock()
    await feed(plain, FIRST)
    await feed(paced, FIRST, pace=Pace(60.0, clock=clock, pause=clock.pause))
    assert await on_tape(paced) == await on_tape(plain)
    span = int(TICKS["event_time"][-1] - TICKS["event_time"][0]) / 1e9
    assert sum(clock.pauses) == pytest.approx(span / 60)


# -- as if now ---------------------------------------------------------------------------------------------------------


def test_a_recording_as_if_now_keeps_every_distance_and_leaves_the_recording_alone() -> None:
    before = TICKS.tobytes()
    now = int(TICKS["event_time"][0]) + 10**15 + 7
    played = as_if_now(FIRST, now)
    assert TICKS.tobytes() == before
    assert played.ticks["event_time"][0] == played.ticks["receive_time"][0] == now
    for field in ("event_time", "receive_time"):
        assert np.diff(played.ticks[field]).tolist() == np.diff(TICKS[field]).tolist()
    for field in ("bid", "ask", "instrument", "kind", "reference"):
        assert played.ticks[field].tolist() == TICKS[field].tolist()
    assert (played.symbols, played.files) == (FIRST.symbols, FIRST.files)


def test_every_moment_of_playing_is_a_feed_of_its_own_and_the_same_moment_the_same() -> None:
    first, second, again = (as_if_now(FIRST, now).identity for now in (10**18, 10**18 + 1, 10**18))
    assert first == again
    assert len({first, second, FIRST.identity, as_if_now(SECOND, 10**18).identity}) == 4


async def test_a_live_tape_takes_a_feed_that_says_to_begin_before_it_was_opened() -> None:
    """A live tape stamps what comes with the time at which it comes: nothing can be too early."""
    log, now = MemoryLog(), time.time_ns()
    small = as_if_now(file_set(TICKS[:5].copy(), name="small.csv"), now)
    async with Sequencer.open(StoredTape(log, "main"), live=True) as writer:
        await writer.prepare([instrument_for("EURUSD")], now)
        await writer.activate_engine(1)
        assert (await feed_files(writer, small)).ticks == 5
    stored = await records(log)
    assert stored[market(stored)]["receive_time"].min() > now
