"""The ledger over both logs: numbered lines in commits of bounded size, found by number, written by one."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from adapters.ledger import MAX_COMMIT_BYTES, StoredLedger
from domain.errors import Conflict, TapeBroken
from domain.ports import Append, LedgerEnd, Log, Recorded
from tests import logs


@pytest.fixture(params=logs.KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


@pytest.fixture
def ledger(log: Log) -> StoredLedger:
    return StoredLedger(log, logs.new_name())


def numbered(first: int, count: int, size: int = 20) -> list[Recorded]:
    return [Recorded(number, (b'{"number":%d}' % number).ljust(size, b" ")) for number in range(first, first + count)]


async def everything(ledger: StoredLedger, after: int = 0) -> list[Recorded]:
    return [event async for page in ledger.read(after) for event in page]


async def test_an_empty_ledger_ends_at_nothing(ledger: StoredLedger) -> None:
    assert await ledger.end() == LedgerEnd()
    assert await everything(ledger) == await everything(ledger, after=3) == []


async def test_events_come_back_as_they_were_written(ledger: StoredLedger) -> None:
    end = await ledger.append(numbered(1, 5), LedgerEnd())
    assert end == await ledger.end()
    assert end.number == 5
    end = await ledger.append(numbered(6, 1), end)
    assert await ledger.end() == end
    assert await everything(ledger) == numbered(1, 6)


async def test_no_decision_no_commit(log: Log, ledger: StoredLedger) -> None:
    end = await ledger.append(numbered(1, 2), LedgerEnd())
    assert await ledger.append([], end) == end
    assert len(await logs.stored(log, ledger.subject)) == 1


@pytest.mark.parametrize("after", [0, 1, 2, 3, 7, 19, 20, 21])
async def test_events_are_read_from_behind_any_number(log: Log, ledger: StoredLedger, after: int) -> None:
    other, end, other_end = StoredLedger(log, logs.new_name()), LedgerEnd(), LedgerEnd()
    for first, count in ((1, 1), (2, 5), (7, 1), (8, 12), (20, 1)):
        end = await ledger.append(numbered(first, count), end)
        other_end = await other.append(numbered(2 * first, 2), other_end)
    assert await everything(ledger, after) == numbered(1, 20)[after:]


async def test_a_commit_is_at_most_512_kib_and_never_splits_an_event(log: Log, ledger: StoredLedger) -> None:
    events = numbered(1, 60, 50_000) + numbered(61, 1, 700_000) + numbered(62, 3, 300_000) + numbered(65, 1)
    end = await ledger.append(events, LedgerEnd())
    assert end.number == 65
    stored = await logs.stored(log, ledger.subject)
    sizes = [(len(message.data), int(message.headers["Count"])) for message in stored]
    assert all(size <= MAX_COMMIT_BYTES or count == 1 for size, count in sizes)
    assert len(sizes) == 6 + 1 + 3  # ten of 50 kB fit into each; the large one goes alone, the small last one along
    assert [int(m.headers["First"]) for m in stored] == [1, 11, 21, 31, 41, 51, 61, 62, 63, 64]
    assert await everything(ledger) == events
    assert await everything(ledger, after=15) == events[15:]


async def test_a_commit_may_be_exactly_full(log: Log, ledger: StoredLedger) -> None:
    half = MAX_COMMIT_BYTES // 2
    await ledger.append([*numbered(1, 1, half - 1), *numbered(2, 1, half)], LedgerEnd())
    assert [len(m.data) for m in await logs.stored(log, ledger.subject)] == [MAX_COMMIT_BYTES]
    other = StoredLedger(log, logs.new_name())
    await other.append(numbered(1, 2, half), LedgerEnd())
    assert [len(m.data) for m in await logs.stored(log, other.subject)] == [half, half]


async def test_a_second_writer_conflicts_and_writes_nothing(ledger: StoredLedger) -> None:
    old = await ledger.append(numbered(1, 3), LedgerEnd())
    end = await ledger.append(numbered(4, 1), old)
    for behind in (LedgerEnd(), old):
        with pytest.raises(Conflict):
            await ledger.append(numbered(4, 2), behind)
    assert await everything(ledger) == numbered(1, 4)
    assert await ledger.end() == end


@pytest.mark.parametrize("count", ["1", "3"])
async def test_a_commit_that_is_not_what_it_says_is_refused(log: Log, ledger: StoredLedger, count: str) -> None:
    headers = {"Topic": "commit", "First": "1", "Count": count}
    await log.append(Append(ledger.subject, b"{}\n{}", headers, 0))
    with pytest.raises(TapeBroken, match=f"{ledger.subject}: the commit at number 1 says {count} events, has 2"):
        await everything(ledger)


async def test_events_that_are_gone_are_named(log: Log, ledger: StoredLedger) -> None:
    """A damaged block leaves a hole; a reader must not pass over it."""
    end = await ledger.append(numbered(1, 3), LedgerEnd())
    await ledger.append(numbered(8, 2), end)
    with pytest.raises(TapeBroken, match="has no events 4 to 7"):
        await everything(ledger)
    async with aclosing(ledger.by_number()) as recorded:
        found = [await recorded.take(number) for number in range(1, 11)]
    assert [event is None for event in found] == [False] * 3 + [True] * 4 + [False] * 2 + [True]
