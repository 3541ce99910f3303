"""Dataset tapes: files become a tape named by content, and the tape a feed that gives a desk the same records."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Overlap, Unavailable
from domain.instructions import Instructed
from domain.ports import Log
from gateways import file_feed, sequencer
from gateways.feeds.files import FileSet
from gateways.sequencer import Sequencer
from ops.datasets import dataset_name, ingest, read_dataset
from ops.session import Plan, StrategyChoice, run_session
from tests import canonical, logs
from tests.canonical import file_set
from tests.ops.desks import ledger

TICKS = canonical.market_ticks(900, seed=31, symbols=3)
FILES = file_set(TICKS, *canonical.SYMBOLS, name="three.csv")
LATER = file_set(
    canonical.market_ticks(300, seed=32, symbols=2, start=int(TICKS["receive_time"][-1])), "EURUSD", "USDJPY",
    name="later.csv",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "MAX_BLOCK_RECORDS", 128)
    monkeypatch.setattr(file_feed, "MAX_BLOCK_RECORDS", 128)


@pytest.fixture(params=logs.KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def contents(log: Log, name: str) -> list[Any]:
    """Market ticks and instructions as stored."""
    found: list[Any] = []
    async for page in StoredTape(log, name).read():
        for message in page:
            if isinstance(message, Instructed):
                found.append(message)
            else:
                found += [(message.first + i, record.tobytes()) for i, record in enumerate(message.records)]
    return found


def same(one: FileSet, other: FileSet) -> bool:
    return one.symbols == other.symbols and one.ticks.tobytes() == other.ticks.tobytes()


async def test_files_become_a_tape_named_by_their_content(log: Log) -> None:
    unique = file_set(TICKS, *canonical.SYMBOLS, options=logs.new_name())
    done = await ingest(log, unique)
    assert done.tape == dataset_name(unique) == f"eurusd-gbpusd-usdjpy-{unique.identity[:12]}"
    assert (done.files, done.rows, done.ticks_added, done.rows_rejected) == (1, 900, 900, 0)
    assert done.blocks == len([m for m in await logs.stored(log, f"tape.{done.tape}") if m.headers["Topic"] == "ticks"])
    assert done.seconds > 0


async def test_the_same_files_again_add_nothing(log: Log) -> None:
    name = logs.new_name()
    await ingest(log, FILES, name)
    before = await contents(log, name)
    again = await ingest(log, FILES, name)
    assert (again.ticks_added, again.blocks) == (0, 0)
    assert await contents(log, name) == before


async def test_a_dataset_comes_back_as_the_files_it_was_made_of(log: Log) -> None:
    name = logs.new_name()
    await ingest(log, FILES, name)
    back = await read_dataset(log, name)
    assert same(back, FILES)
    assert back.identity[:16] == FILES.identity[:16]
    assert [(f.name, f.sha256, f.rows, f.rejected) for f in back.files] == [
        (f.name, f.sha256, f.rows, f.rejected) for f in FILES.files
    ]


async def test_files_and_their_dataset_are_one_feed_for_a_desk() -> None:
    """Whichever comes first, the other adds nothing, and both give the same tape and ledger."""
    outcomes = []
    for by_tape_first in (False, True):
        log = MemoryLog()
        await ingest(log, FILES, "dataset")
        feeds = [FILES, await read_dataset(log, "dataset")]
        for files in feeds[::-1] if by_tape_first else feeds:
            await run_session(log, "main", Plan(files, [StrategyChoice("ema_cross")]))
        outcomes.append(([c for c in await contents(log, "main") if isinstance(c, tuple)], await ledger(log)))
        assert len([m for m in await logs.stored(log, "tape.main") if m.headers["Topic"] == "feed_opened"]) == 1
    assert outcomes[0][1] == outcomes[1][1]
    assert [c for c in outcomes[0][0] if not isinstance(c, Instructed)] == [
        c for c in outcomes[1][0] if not isinstance(c, Instructed)
    ]


async def test_a_dataset_of_several_feeds_comes_back_whole_and_in_its_own_numbers() -> None:
    log = MemoryLog()
    for files in (FILES, LATER):
        await ingest(log, files, "both")
    back = await read_dataset(log, "both")
    assert back.symbols == list(canonical.SYMBOLS)
    names = [back.symbols[n - 1] for n in back.ticks["instrument"].tolist()]
    assert names == [f.symbols[n - 1] for f in (FILES, LATER) for n in f.ticks["instrument"].tolist()]
    assert [file.name for file in back.files] == ["three.csv", "later.csv"]
    assert back.identity[:16] not in (FILES.identity[:16], LATER.identity[:16])
    twice = await read_dataset(log, "both")
    assert twice.identity == back.identity
    await run_session(log, "main", Plan(back, [StrategyChoice("ema_cross")]))
    assert same(await read_dataset(log, "main"), back)


async def test_an_overlapping_file_is_refused_and_the_dataset_stays_as_it_was() -> None:
    log = MemoryLog()
    await ingest(log, FILES, "data")
    before = await contents(log, "data")
    with pytest.raises(Overlap, match=r"other\.csv begins at .*tape data already reaches .*overlaps three\.csv"):
        await ingest(log, file_set(TICKS[5:], *canonical.SYMBOLS, name="other.csv"), "data")
    assert await contents(log, "data") == before


async def test_an_interrupted_ingest_is_not_a_dataset_until_it_is_completed() -> None:
    for appends in (7, 8, 9, 11):
        log, whole = MemoryLog(), MemoryLog()
        with pytest.raises(Unavailable):
            await ingest(logs.Failing(log, appends), FILES, "data")
        with pytest.raises(InvalidInput, match="'data' holds an interrupted import; run the same `cdb ingest` again"):
            await read_dataset(log, "data")
        await ingest(log, FILES, "data")
        await ingest(whole, FILES, "data")
        assert await contents(log, "data") == await contents(whole, "data")
        assert same(await read_dataset(log, "data"), FILES)


async def test_a_tape_that_is_not_there_or_holds_no_tick_is_refused(log: Log) -> None:
    name = logs.new_name()
    with pytest.raises(InvalidInput, match=f"tape '{name}' holds no ticks"):
        await read_dataset(log, name)
    async with Sequencer.open(StoredTape(log, name)) as writer:
        await writer.prepare([], canonical.MONDAY)
    with pytest.raises(InvalidInput, match="holds no ticks"):
        await read_dataset(log, name)


async def test_progress_counts_ticks_to_the_last() -> None:
    told: list[int] = []
    await ingest(MemoryLog(), FILES, "data", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(TICKS)
    assert len(told) > 3


async def test_clock_records_of_a_dataset_are_not_fed() -> None:
    log = MemoryLog()
    await ingest(log, FILES, "data")
    stored = np.concatenate([np.frombuffer(c[1], TICKS.dtype) for c in await contents(log, "data") if type(c) is tuple])
    assert (stored["kind"] == 0).sum() > 50
    assert (await read_dataset(log, "data")).ticks["kind"].min() == 1


async def test_two_live_tapes_are_two_feeds_and_a_grown_one_is_another() -> None:
    """A tape without files is named by what it holds."""
    log, identities = MemoryLog(), []
    for name, part in (("a", TICKS[:300]), ("b", TICKS[300:600]), ("a", TICKS[600:])):
        async with Sequencer.open(StoredTape(log, name)) as writer:
            await writer.prepare([canonical.declared(n).instrument for n in (1, 2, 3)], int(TICKS["receive_time"][0]))
            await writer.offer(part)
        identities.append((await read_dataset(log, name)).identity[:16])
    assert len(set(identities)) == 3
