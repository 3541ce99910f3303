"""Engine snapshots over both logs: the newest one, whole or not at all."""

from collections.abc import AsyncIterator

import pytest

from adapters.snapshots import SnapshotStore
from adapters.subjects import snapshot
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
