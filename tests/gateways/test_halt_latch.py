"""The halt latch: what stands in the file is on the tape before any tick, whatever happens in between."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Unavailable
from domain.instructions import Instructed, TradingHalted
from domain.instruments import instrument_for
from domain.tape import CLOCK, MAX_BLOCK_RECORDS, Block
from gateways import halt_latch
from gateways import sequencer as sequencing
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Sequencer
from tests import canonical, logs
from tests.gateways.test_sequencer import Yielding
from tests.gateways.test_standing import OUTSIDE

TICKS = canonical.market_ticks(100)


@pytest.fixture
def latch(tmp_path: Path) -> HaltLatch:
    return HaltLatch(tmp_path / "halts", "main")


def waiting(latch: HaltLatch) -> TradingHalted:
    halt = latch.pending()
    assert halt is not None
    return halt


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_halt_is_read_as_it_was_set(latch: HaltLatch, tmp_path: Path) -> None:
    assert latch.pending() is None
    assert latch.set("ann", "the feed is wrong", flatten=True) == tmp_path / "halts" / "main.json"
    halt = waiting(HaltLatch(tmp_path / "halts", "main"))  # as another process sees it
    assert (halt.actor, halt.reason, halt.flatten) == ("ann", "the feed is wrong", True)
    assert waiting(latch).id == halt.id == json.loads(latch.path.read_bytes())["id"]
    assert HaltLatch(tmp_path / "halts", "other").pending() is None


def test_clearing_removes_the_halt_of_that_id_and_no_later_one(latch: HaltLatch) -> None:
    latch.set("ann", "first")
    first = waiting(latch)
    latch.set("bob", "second")
    latch.clear(first.id)
    second = waiting(latch)
    assert (second.reason, second.id != first.id) == ("second", True)
    latch.clear(second.id)
    assert latch.pending() is None
    latch.clear(second.id)


def test_a_later_halt_still_flattens_if_the_one_that_waits_would_have(latch: HaltLatch) -> None:
    latch.set("ann", "all out", flatten=True)
    latch.set("bob", "me too")
    assert waiting(latch).flatten


@pytest.mark.parametrize(("actor", "reason"), [("", ""), ("ann", "x" * 5_000), ("ä\n\t\"'", "\x00")])
def test_whatever_is_said_it_is_a_halt(latch: HaltLatch, actor: str, reason: str) -> None:
    latch.set(actor, reason)
    assert waiting(latch).reason == (reason[:500] or "no reason given")


DAMAGED = [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"id":"x"}', b'{"id":"","actor":"a","reason":"r","flatten":false}',
    b'{"id":"x","actor":"a","reason":"r","flatten":false,"more":1}',
    b'{"id":"x","actor":"a","reason":"' + b"r" * 501 + b'","flatten":false}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_a_halt_that_says_so(latch: HaltLatch, content: bytes) -> None:
    latch.set("ann", "whole")
    latch.path.write_bytes(content)
    halt = waiting(latch)
    assert ("main.json is damaged" in halt.reason, halt.flatten) == (True, False)
    assert waiting(latch).id == halt.id
    latch.path.write_bytes(content)
    os.utime(latch.path, ns=(1, 1))
    assert waiting(latch).id != halt.id  # the same damage another day is another halt
    latch.clear(waiting(latch).id)
    assert latch.pending() is None


def test_a_folder_in_its_place_is_a_halt(latch: HaltLatch) -> None:
    latch.path.mkdir(parents=True)
    assert "damaged" in waiting(latch).reason


def test_an_interrupted_writing_leaves_the_halt_that_was_there(
    latch: HaltLatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise OSError("killed")

    latch.set("ann", "first", flatten=True)
    monkeypatch.setattr(halt_latch.os, "replace", killed)
    with pytest.raises(Unavailable, match=r"main\.json could not be written \(killed\)"):
        latch.set("bob", "second")
    assert waiting(latch).reason == "first"


def test_it_is_on_disk_before_it_is_named(latch: HaltLatch, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(halt_latch.os, "fsync", lambda file: (fsync(file), done.append("fsync")))
    monkeypatch.setattr(halt_latch.os, "replace", lambda *paths: (replace(*paths), done.append("rename")))
    latch.set("ann", "why")
    assert done == ["fsync", "rename", "fsync"]


@pytest.mark.parametrize("desk", ["", ".", "..", "../x", "a/b", "a.b", "x" * 65])
def test_a_latch_lies_in_its_folder(tmp_path: Path, desk: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name a desk"):
        HaltLatch(tmp_path, desk)


# -- onto the tape -----------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@asynccontextmanager
async def writing(log: Any, latch: HaltLatch, **options: Any) -> AsyncIterator[Sequencer]:
    async with asyncio.timeout(30), Sequencer.open(StoredTape(log, "main"), latch=latch, **options) as sequencer:
        await sequencer.prepare([instrument_for("EURUSD")], canonical.MONDAY)
        yield sequencer


async def everything(log: Any) -> list[Any]:
    return [message async for page in StoredTape(log, "main").read() for message in page]


async def halts(log: Any) -> list[TradingHalted]:
    said = [message.instruction for message in await everything(log) if isinstance(message, Instructed)]
    return [instruction for instruction in said if isinstance(instruction, TradingHalted)]


async def until_cleared(latch: HaltLatch) -> None:
    async with asyncio.timeout(10):
        while latch.pending():  # noqa: ASYNC110  the file is all there is to see
            await asyncio.sleep(0.005)


async def test_a_halt_that_waited_stands_before_any_tick(log: MemoryLog, latch: HaltLatch) -> None:
    async with writing(log, latch) as sequencer:
        await sequencer.offer(TICKS[:10])
    latch.set("ann", "while it was down", flatten=True)
    halt = waiting(latch)
    async with writing(log, latch) as sequencer:
        sequencer.offer(TICKS[10:20])
        sequencer.submit(OUTSIDE["order_requested"])
    kinds = [
        message.instruction.kind if isinstance(message, Instructed) else "ticks" for message in await everything(log)
    ]
    assert kinds[-4:] == ["ticks", "trading_halted", "order_requested", "ticks"]
    assert await halts(log) == [halt.model_copy(update={"occurred_at_ns": int(TICKS["receive_time"][9])})]
    assert latch.pending() is None


async def test_the_opening_of_a_tape_goes_before_its_first_halt(log: MemoryLog, latch: HaltLatch) -> None:
    latch.set("ann", "before it began")
    async with writing(log, latch) as sequencer:
        await sequencer.offer(TICKS[:10])
    first, second, *_, last = await everything(log)
    assert (first.instruction.kind, second.instruction.kind) == ("tape_opened", "trading_halted")
    assert isinstance(last, Block)


@pytest.mark.parametrize("live", [False, True])
async def test_an_idle_writer_finds_the_halt_by_itself(log: MemoryLog, latch: HaltLatch, *, live: bool) -> None:
    async with writing(log, latch, live=live):
        for reason in ("one", "two"):
            latch.set("ann", reason)
            await until_cleared(latch)
    assert [halt.reason for halt in await halts(log)] == ["one", "two"]


async def test_an_idle_writer_with_a_latch_writes_nothing_else(log: MemoryLog, latch: HaltLatch) -> None:
    async with writing(log, latch):
        before = len(await everything(log))
        latch.set("ann", "a look at the latch")
        await until_cleared(latch)
    assert len(await everything(log)) == before + 1


async def test_a_backlog_is_overtaken_within_a_block(log: MemoryLog, latch: HaltLatch) -> None:
    many = canonical.market_ticks(20 * MAX_BLOCK_RECORDS, seconds=1)
    async with writing(Yielding(log), latch) as sequencer:
        backlog = sequencer.offer(many)
        while sequencer.blocks < 5:  # noqa: ASYNC110  a look at every block
            await asyncio.sleep(0)
        before = sequencer.end.ordinal
        latch.set("ann", "stop")
        await backlog
    [ordinal] = [
        m.ordinal for m in await everything(log) if isinstance(m, Instructed) and m.instruction.kind == "trading_halted"
    ]
    assert 0 < ordinal - before <= MAX_BLOCK_RECORDS + 1


async def test_killed_between_the_record_and_the_clearing_the_same_id_is_repeated(
    log: MemoryLog, latch: HaltLatch
) -> None:
    async with writing(log, latch):
        pass
    latch.set("ann", "stop")
    halt = waiting(latch)

    async def killed() -> None:
        async with writing(logs.Failing(log, 0, stores=True), latch) as sequencer:
            await sequencer.offer(TICKS[:1])

    with pytest.raises(Unavailable):
        await killed()
    assert waiting(latch) == halt  # never cleared before the record is known to be durable
    async with writing(log, latch):
        await until_cleared(latch)
    assert [found.id for found in await halts(log)] == [halt.id, halt.id]


async def test_nothing_is_cleared_when_the_record_was_not_stored(log: MemoryLog, latch: HaltLatch) -> None:
    async with writing(log, latch):
        pass
    latch.set("ann", "stop")

    async def refused() -> None:
        async with writing(logs.Failing(log, 0), latch) as sequencer:
            await sequencer.offer(TICKS[:1])

    with pytest.raises(Unavailable):
        await refused()
    assert waiting(latch).reason == "stop"
    assert await halts(log) == []


async def test_a_damaged_latch_halts_once_and_is_cleared(log: MemoryLog, latch: HaltLatch) -> None:
    async with writing(log, latch) as sequencer:
        latch.path.parent.mkdir()
        latch.path.write_bytes(b'{"id"')
        await until_cleared(latch)
        await sequencer.offer(TICKS[:10])
    [halt] = await halts(log)
    assert "damaged" in halt.reason


async def test_a_latch_that_cannot_be_cleared_halts_once_and_ticks_go_on(
    log: MemoryLog, latch: HaltLatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops and targets go on protecting what is open, so the ticks must not stop with the trading."""
    logged: list[Any] = []
    monkeypatch.setattr(sequencing.log, "error", lambda *args: logged.append(args[0] % args[1:]))
    async with writing(log, latch) as sequencer:
        latch.path.mkdir(parents=True)
        for start in range(0, 50, 10):
            await sequencer.offer(TICKS[start : start + 10])
    assert len(await halts(log)) == 1
    [line] = logged
    assert "tape main is halted" in line
    assert str(latch.path) in line


async def test_a_latched_halt_does_not_overtake_the_resume_that_would_end_it(log: MemoryLog, latch: HaltLatch) -> None:
    async with writing(log, latch):
        pass
    gated = logs.Gated(log)
    async with writing(gated, latch) as sequencer:
        sequencer.offer(TICKS[:1])
        await gated.arrived.wait()
        sequencer.submit(OUTSIDE["trading_resumed"])
        latch.set("ann", "stop")
        gated.gate.set()
        await until_cleared(latch)
    kinds = [message.instruction.kind for message in await everything(log) if isinstance(message, Instructed)]
    assert kinds[-2:] == ["trading_resumed", "trading_halted"]


async def test_live_a_latched_halt_stands_at_tape_time(log: MemoryLog, latch: HaltLatch) -> None:
    async with asyncio.timeout(30), Sequencer.open(StoredTape(log, "main"), live=True, latch=latch) as sequencer:
        assert sequencer.live is not None
        await sequencer.prepare([instrument_for("EURUSD")], sequencer.live.now_ns())
        for number in range(20):
            sequencer.offer(TICKS[number : number + 1].copy())
            if number == 10:
                latch.set("ann", "stop")
            await asyncio.sleep(0)
        await until_cleared(latch)
    times: list[int] = []
    for message in await everything(log):
        instructed = isinstance(message, Instructed)
        times += [message.instruction.occurred_at_ns] if instructed else message.records["receive_time"].tolist()
    assert times == sorted(times)
    assert len(await halts(log)) == 1
    assert sum(int((m.records["kind"] != CLOCK).sum()) for m in await everything(log) if isinstance(m, Block)) == 20
