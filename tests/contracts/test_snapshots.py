"""Engine snapshots over both logs: the newest one, whole or not at all."""

from collections.abc import AsyncIterator

import pytest

from adapters import snapshots
from adapters.memory import MemoryLog
from adapters.snapshots import PART_BYTES, SnapshotStore
from adapters.subjects import snapshot, state_part
from domain.errors import Unavailable
from domain.ports import Append, Log
from tests import canonical, logs


@pytest.fixture(params=logs.KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def test_there_is_none_at_first(log: Log) -> None:
    assert await SnapshotStore(log, logs.new_name()).load() is None


async def test_the_newest_is_loaded_as_it_was_saved(log: Log) -> None:
    desk = logs.new_name()
    store = SnapshotStore(log, desk)
    for data in (b"one", b"", canonical.golden_snapshot()):
        await store.save(data)
        assert await SnapshotStore(log, desk).load() == data


async def test_each_desk_has_its_own(log: Log) -> None:
    one, two = logs.new_name(), logs.new_name()
    await SnapshotStore(log, one).save(b"one")
    await SnapshotStore(log, two).save(b"two")
    assert await SnapshotStore(log, one).load() == b"one"


async def test_only_the_newest_two_are_kept(log: Log) -> None:
    desk = logs.new_name()
    store = SnapshotStore(log, desk)
    for number in range(5):
        await store.save(b"%d" % number)
    assert [message.data for message in await logs.stored(log, snapshot(desk))] == [b"3", b"4"]


async def test_of_two_engines_that_save_at_once_one_wins_and_neither_fails(log: Log) -> None:
    desk = logs.new_name()
    first, second = SnapshotStore(log, desk), SnapshotStore(Late(log, desk), desk)
    await first.save(b"one")
    await second.save(b"two")
    assert await first.load() == b"between"


class Late(logs.Wrapped):
    """Somebody else saves between this one's look at the end and its append."""

    def __init__(self, log: Log, desk: str) -> None:
        super().__init__(log)
        self.desk = desk

    async def append(self, message: Append) -> int:
        await SnapshotStore(self.log, self.desk).save(b"between")
        return await self.log.append(message)


@pytest.mark.parametrize("headers", [{}, {"Sha256": "00" * 32}])
async def test_one_that_is_not_what_was_saved_is_none(log: Log, headers: dict[str, str]) -> None:
    desk = logs.new_name()
    await log.append(Append(snapshot(desk), b"changed", {"Topic": "snapshot"} | headers, 0))
    store = SnapshotStore(log, desk)
    assert await store.load() is None
    await store.save(b"better")
    assert await store.load() == b"better"


# -- larger than a message ---------------------------------------------------------------------------------------------

LARGE = [bytes([number]) * (2 * PART_BYTES + number) for number in range(4)]


async def test_what_no_message_holds_is_loaded_as_it_was_saved(log: Log) -> None:
    desk = logs.new_name()
    store = SnapshotStore(log, desk)
    for data in (LARGE[0], LARGE[1], LARGE[2], b"small", LARGE[3], bytes(PART_BYTES), bytes(PART_BYTES + 1), LARGE[0]):
        await store.save(data)
        loaded = await SnapshotStore(log, desk).load()
        assert loaded == data, len(data)  # the difference of millions of bytes tells nothing
    assert len(await log.subjects(snapshot(desk))) == 1


async def test_its_parts_take_the_room_of_a_few_snapshots_however_often_it_is_saved(log: Log) -> None:
    desk = logs.new_name()
    for number in range(12):
        await SnapshotStore(log, desk).save(LARGE[number % 4])
    subjects = {state_part(snapshot(desk), parts, number) for parts in (0, 1) for number in range(3)}
    found = [subject for subject in await log.subjects("snapshot.*") if subject.startswith(f"{snapshot(desk)}@")]
    assert set(found) <= subjects
    stored = [await logs.stored(log, subject) for subject in found]
    assert sum(map(len, stored)) <= 2 * len(subjects)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PART_BYTES", 10)


OLD, NEW = b"the one before, in more than one part", b"the one that is being stored when the process is killed"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("stores", [False, True], ids=["nothing stored", "only the ack lost"])
@pytest.mark.parametrize("before", [None, b"small", OLD])
@pytest.mark.parametrize("attempts", [1, 5])
async def test_killed_at_any_append_the_one_before_or_the_new_one_is_whole(
    before: bytes | None, stores: bool, attempts: int
) -> None:
    """However often it is killed: an attempt writes over what an attempt left, never over what stands."""
    appends, done = 0, False
    while not done:
        log = MemoryLog()
        if before is not None:
            await SnapshotStore(log, "main").save(before)
        for attempt in range(attempts):
            try:
                await SnapshotStore(logs.Failing(log, appends, stores=stores), "main").save(NEW + b"!" * attempt)
                done = True
            except Unavailable:
                continue
        found = await SnapshotStore(log, "main").load()
        assert found == before or (found or b"").startswith(NEW)
        assert not done or (found or b"").startswith(NEW)
        appends += 1
    assert appends > len(NEW) // 10 + 1  # each part and the list


@pytest.mark.usefixtures("small_parts")
async def test_of_two_engines_that_store_parts_at_once_one_wins_and_what_stands_is_whole(log: Log) -> None:
    for moment in range(7):
        desk = logs.new_name()
        await SnapshotStore(log, desk).save(OLD)
        await SnapshotStore(Between(log, desk, moment), desk).save(NEW)
        assert await SnapshotStore(log, desk).load() == b"another engine's, in parts as well"


class Between(logs.Wrapped):
    """Another engine saves before the n-th append of this one."""

    def __init__(self, log: Log, desk: str, moment: int) -> None:
        super().__init__(log)
        self.desk, self.moment = desk, moment

    async def append(self, message: Append) -> int:
        self.moment -= 1
        if self.moment == -1:
            await SnapshotStore(self.log, self.desk).save(b"another engine's, in parts as well")
        return await self.log.append(message)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["lost", "other bytes", "another's"])
@pytest.mark.parametrize("number", range(4))
async def test_a_snapshot_with_a_damaged_part_is_none(damage: str, number: int) -> None:
    whole, damaged = MemoryLog(), state_part(snapshot("main"), 0, number)
    await SnapshotStore(whole, "main").save(OLD)
    log, last = MemoryLog(), await whole.last(snapshot("main"))
    assert last is not None
    for at in range(4):
        [part] = await logs.stored(whole, state_part(snapshot("main"), 0, at))
        subject = part.subject if part.subject != damaged or damage == "other bytes" else f"{part.subject}9"
        data = part.data[:-1] + b"?" if part.subject == damaged else part.data
        await log.append(Append(subject, data, part.headers, 0))
        if part.subject == damaged and damage == "another's":
            await log.append(Append(damaged, part.data, part.headers, 0))
    await log.append(Append(last.subject, last.data, last.headers, 0))
    assert await SnapshotStore(log, "main").load() is None
    await SnapshotStore(log, "main").save(NEW)
    assert await SnapshotStore(log, "main").load() == NEW


@pytest.mark.parametrize("data", [b"", b"[]", b'{"subjects":2,"sequences":[1]}', b'{"subjects":0,"sequences":["x"]}'])
async def test_a_list_of_parts_that_is_not_readable_is_none(data: bytes) -> None:
    log = MemoryLog()
    await log.append(Append(snapshot("main"), data, {"Topic": "parts", "Sha256": "00" * 32}, 0))
    assert await SnapshotStore(log, "main").load() is None
    await SnapshotStore(log, "main").save(LARGE[0])
    assert await SnapshotStore(log, "main").load() == LARGE[0]
    found = set(await log.subjects("snapshot.*")) - {snapshot("main")}
    assert found == {state_part(snapshot("main"), 0, number) for number in range(2)}
