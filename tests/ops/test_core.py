"""The core service: it decides once, whatever happens to it, and stops at the first thing that is not what it was."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters import handover, memory
from adapters.handover import Handover
from adapters.memory import MemoryLog
from adapters.snapshots import SnapshotStore
from adapters.subjects import snapshot
from adapters.tape_log import StoredTape
from domain.engine import Engine
from domain.errors import Conflict, Diverged, TapeBroken, Unavailable
from domain.ports import Append, Log, Message, TapeEnd
from domain.snapshot import save
from ops import core as core_module
from ops.core import Core
from tests import canonical, logs
from tests.ops.desks import DESK, LAST, LEDGER, SCRIPT, core, decide, ledger, write_tape

MANY = range(0, LAST, 137)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of many pages, and so of many commits."""
    monkeypatch.setattr(memory, "PAGE_MESSAGES", 1)


@pytest.fixture
async def log() -> MemoryLog:
    """A tape nobody has decided on."""
    log = MemoryLog()
    await write_tape(log)
    return log


@pytest.fixture(params=logs.KINDS)
async def any_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def sizes(log: Log) -> int:
    """How much is stored on the ledger."""
    return len(await logs.stored(log, f"ledger.{DESK}"))


async def test_every_decision_is_recorded_once_and_in_order(any_log: Log) -> None:
    desk = logs.new_name()
    await write_tape(any_log, desk=desk)
    for _ in range(2):
        assert (await decide(any_log, desk=desk)).folded == LAST
        assert await ledger(any_log, desk) == LEDGER
    assert len(LEDGER) > 50


async def test_an_engine_follows_the_tape_as_it_grows(any_log: Log) -> None:
    desk = logs.new_name()
    following = core(any_log, desk)
    task = asyncio.create_task(following.run(until=LAST))
    for part in (SCRIPT[:4], SCRIPT[4:]):
        end = await write_tape(any_log, part, desk=desk)
        async with asyncio.timeout(20):
            await following.reached(end.ordinal)
        done = [line for line in LEDGER if json.loads(line)["ordinal"] <= end.ordinal]
        assert await ledger(any_log, desk) == done
    await task
    assert following.folded == LAST


@pytest.mark.parametrize("loses", [0.0, 0.3, 1.0], ids=["handed over", "handed over now and then", "delivered"])
async def test_a_ledger_is_the_same_whether_its_tape_is_handed_over_or_delivered(
    any_log: Log, loses: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "SILENCE_S", 0.02)
    give, given, desk = Handover.give, 0, logs.new_name()

    def sometimes(self: Handover, message: Message) -> None:
        nonlocal given
        if random.random() >= loses:
            given += 1
            give(self, message)

    monkeypatch.setattr(Handover, "give", sometimes)
    tape = StoredTape(any_log, desk)
    following, end = Core(any_log, desk, tape), TapeEnd()
    task = asyncio.create_task(following.run(until=LAST))
    async with asyncio.timeout(60):
        for message in canonical.messages(SCRIPT, range(0, 10_000, 20)):
            end = await tape.append(message, end)
            if random.random() < 0.5:  # else the engine falls behind
                await following.reached(end.ordinal)
        await task
    assert await ledger(any_log, desk) == LEDGER
    assert (given > 0) == (loses < 1)


async def test_until_stops_behind_the_message_that_holds_the_ordinal(log: MemoryLog) -> None:
    stopped = await decide(log, until=450)
    assert 450 <= stopped.folded < 550
    assert await ledger(log) == LEDGER[: stopped.engine.number]
    assert (await decide(log, until=10)).folded == stopped.folded  # it is there already: nothing is read
    assert await ledger(log) == LEDGER[: stopped.engine.number]


@pytest.mark.parametrize("lost", ["nothing", "the snapshot", "the snapshot's bytes", "the snapshot's hash"])
async def test_a_restart_never_doubles_and_never_skips(log: MemoryLog, lost: str) -> None:
    for stop in [*MANY, LAST]:
        await decide(log, until=stop)
        if lost != "nothing":
            log = await without_snapshot(log, lost)
    assert await ledger(log) == LEDGER


async def without_snapshot(log: MemoryLog, lost: str) -> MemoryLog:
    """The same log with its snapshots gone or broken."""

    def broken(messages: list[Message]) -> list[Message]:
        whole = messages[-1:]
        if lost == "the snapshot's bytes":
            return [m._replace(data=m.data[:-1]) for m in whole]
        return [m._replace(headers={"Topic": "snapshot"}) for m in whole] if lost == "the snapshot's hash" else []

    copy = await logs.copied(log, f"tape.{DESK}", f"ledger.{DESK}")
    sequence = 0
    for message in broken(await logs.stored(log, snapshot(DESK))):
        sequence = await copy.append(Append(message.subject, message.data, message.headers, sequence))
    return copy


@pytest.mark.parametrize("data", [b"garbage", canonical.golden_snapshot().replace(b'"engine":', b'"engine":9', 1)])
async def test_a_snapshot_that_is_not_readable_is_as_good_as_none(log: MemoryLog, data: bytes) -> None:
    await decide(log, until=LAST // 2)
    await SnapshotStore(log, DESK).save(data)
    await decide(log)
    assert await ledger(log) == LEDGER


async def test_a_snapshot_beyond_the_end_of_the_ledger_is_discarded(log: MemoryLog) -> None:
    """A store restored from a backup of the ledger alone."""
    ahead = Engine()
    canonical.ledger(canonical.messages(SCRIPT), ahead)
    await SnapshotStore(log, DESK).save(save(ahead))
    await decide(log)
    assert await ledger(log) == LEDGER


async def test_a_snapshot_beyond_the_end_of_the_tape_is_discarded() -> None:
    """Else the desk would call ordinals decided that nobody has seen."""
    log, ahead = MemoryLog(), Engine()
    await write_tape(log, SCRIPT[:7])
    canonical.ledger(canonical.messages(SCRIPT[:7]), ahead)
    canonical.ledger(canonical.messages([canonical.market_ticks(10)], first=ahead.ordinal + 1), ahead)
    await decide(log, until=7)
    await SnapshotStore(log, DESK).save(save(ahead))
    following = core(log)
    task = asyncio.create_task(following.run(until=LAST))
    async with asyncio.timeout(20):
        await following.reached(7)
    assert following.folded == 7
    await write_tape(log, SCRIPT[7:])
    await task
    assert await ledger(log) == LEDGER


async def test_a_snapshot_is_taken_on_the_way_and_used(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "SNAPSHOT_EVERY", 200)
    saved: list[int] = []
    store = SnapshotStore.save

    async def save(self: SnapshotStore, data: bytes) -> None:
        saved.append(json.loads(data.partition(b"\n")[0])["ordinal"])
        await store(self, data)

    monkeypatch.setattr(SnapshotStore, "save", save)
    await decide(log)
    assert len(saved) > 5
    assert saved == sorted(set(saved))
    assert saved[-1] == LAST
    folded: list[int] = []
    fold = Engine.fold
    monkeypatch.setattr(Engine, "fold", lambda self, message: (folded.append(message[0]), fold(self, message))[1])
    await write_tape(log, [canonical.market_ticks(10, start=canonical.MONDAY + 10**15)])
    await decide(log, until=LAST + 10)
    assert folded == [LAST + 1]


@pytest.mark.parametrize("stores", [False, True], ids=["nothing stored", "only the ack lost"])
async def test_killed_at_any_append_it_goes_on_where_the_ledger_ends(stores: bool) -> None:
    whole = MemoryLog()
    await write_tape(whole)
    await decide(whole)
    commits = await sizes(whole)
    assert commits > 20
    for appends in range(0, commits, 3):
        log = MemoryLog()
        await write_tape(log)
        with pytest.raises(Unavailable):
            await decide(logs.Failing(log, appends, stores=stores))
        assert await sizes(log) == appends + stores
        await decide(log)
        assert await ledger(log) == LEDGER


async def tampered(log: Log, number: int, line: bytes) -> MemoryLog:
    """The same desk with one recorded event changed."""

    def edit(messages: list[Message]) -> list[Message]:
        changed = []
        for message in messages:
            lines, first = message.data.split(b"\n"), int(message.headers["First"])
            if first <= number < first + len(lines):
                lines[number - first] = line
            changed.append(message._replace(data=b"\n".join(lines)))
        return changed

    copy = await logs.copied(log, f"ledger.{DESK}", edit=edit)
    for message in await logs.stored(log, f"tape.{DESK}"):
        last = await copy.last(message.subject)
        await copy.append(Append(message.subject, message.data, message.headers, last.sequence if last else 0))
    return copy


@pytest.mark.parametrize("number", [1, 20, len(LEDGER) - 1])
async def test_a_changed_event_stops_the_engine_and_nothing_is_appended(log: MemoryLog, number: int) -> None:
    await decide(log)
    other = LEDGER[number - 1].replace(b"1", b"2")
    copy = await tampered(log, number, other)
    await write_tape(copy, [canonical.activated("ema_cross", id="later")])
    before, size = await ledger(copy), await sizes(copy)
    ordinal = json.loads(LEDGER[number - 1])["ordinal"]
    with pytest.raises(Diverged, match=f"ledger event {number} at tape:{ordinal} diverges") as found:
        await decide(copy, until=LAST + 1)
    assert (found.value.number, found.value.position) == (number, f"tape:{ordinal}")
    assert (found.value.recorded, found.value.recomputed) == (other.decode(), LEDGER[number - 1].decode())
    assert (await ledger(copy), await sizes(copy)) == (before, size)


async def test_an_event_that_the_tape_did_not_decide_stops_the_engine(log: MemoryLog) -> None:
    engine = await decide(log)
    extra = b'{"number":0}'
    await engine.ledger.append([core_module.Recorded(len(LEDGER) + 1, extra)], await engine.ledger.end())
    await write_tape(log, [canonical.activated("ema_cross", id="later")])
    with pytest.raises(Diverged) as found:
        await decide(log, until=LAST + 1)
    assert (found.value.number, found.value.recorded) == (len(LEDGER) + 1, extra.decode())
    assert len(await ledger(log)) == len(LEDGER) + 1


async def test_a_hole_in_the_tape_stops_the_engine(log: MemoryLog) -> None:
    copy = await logs.copied(log, f"tape.{DESK}", edit=lambda messages: messages[:15] + messages[16:])
    with pytest.raises(TapeBroken, match=r"ordinal \d+ is missing on the tape"):
        await decide(copy)
    assert await ledger(copy) == LEDGER[: len(await ledger(copy))]


async def test_of_two_engines_at_once_one_writes_and_nothing_is_doubled(any_log: Log) -> None:
    desk = logs.new_name()
    await write_tape(any_log, desk=desk)
    both = [core(any_log, desk), core(any_log, desk)]
    outcomes = await asyncio.gather(*(engine.run(until=LAST) for engine in both), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes)
    assert None in outcomes
    assert await ledger(any_log, desk) == LEDGER


async def test_an_engine_that_was_overtaken_finds_its_bytes_when_it_comes_back(log: MemoryLog) -> None:
    late = core(Overtaken(log))
    with pytest.raises(Conflict):
        await late.run(until=LAST)
    assert await ledger(log) == LEDGER
    await late.run(until=LAST)
    assert await ledger(log) == LEDGER


class Overtaken(logs.Wrapped):
    """While this one decides its first commit another engine does all the work."""

    async def append(self, message: Append) -> int:
        if message.subject.startswith("ledger."):
            await decide(self.log)
        return await self.log.append(message)


async def test_who_observes_sees_every_event_in_order(log: MemoryLog) -> None:
    seen: list[Any] = []
    engine = core(log, observe=seen.extend)
    await engine.run(until=LAST)
    assert canonical.lines(seen) == LEDGER


async def test_reached_waits_for_decisions_that_are_durable(log: MemoryLog) -> None:
    gated = logs.Gated(log)
    engine = core(gated)
    running = asyncio.create_task(engine.run(until=LAST))
    await gated.arrived.wait()
    waiting = asyncio.create_task(engine.reached(LAST))
    assert engine.folded < LAST
    assert not waiting.done()
    gated.gate.set()
    async with asyncio.timeout(20):
        await waiting
    assert await ledger(log) == LEDGER
    await running
