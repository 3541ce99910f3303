"""The handover: whatever is put in line, a follower gets each number once, in order, and asks the log for the rest."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import handover as module
from adapters.handover import WAITING_MAX, Handover
from domain.ports import Message

DEADLINE_S = 10


def message(first: int, count: int = 1) -> Message:
    """A message that holds `count` numbers from `first` on."""
    return Message("tape.main", first, 0, {"First": str(first), "Count": str(count)}, b"")


def numbers(page: list[Message]) -> list[int]:
    return [int(m.headers["First"]) + i for m in page for i in range(int(m.headers["Count"]))]


async def behind(line: Handover, last: int) -> list[int]:
    async with asyncio.timeout(DEADLINE_S):
        return numbers(await line.behind(last))


@given(st.lists(st.integers(1, 30), max_size=WAITING_MAX - 1), st.integers(0, 30))
async def test_lost_repeated_and_swapped_messages_never_make_a_gap_or_a_repeat(firsts: list[int], last: int) -> None:
    line, expected, at = Handover(), [], last
    for first in firsts:
        line.give(message(first))
    for first in firsts:  # an oracle in plain words: take what is next, pass over what is known, stop at a gap
        if first > at + 1:
            break
        if first == at + 1:
            expected.append(first)
            at = first
    line.give(message(99))  # a gap, so that nobody waits
    assert line.follows(last) == bool(firsts and firsts[0] <= last + 1)
    assert await behind(line, last) == expected
    assert await behind(line, at) == []  # the gap is still there: the log must be asked


async def test_a_block_that_begins_before_the_position_is_handed_over_whole() -> None:
    line = Handover()
    line.give(message(1, count=10))
    assert await behind(line, 4) == [*range(1, 11)]  # its reader cuts off what it has


async def test_a_follower_waits_for_what_comes_next() -> None:
    line = Handover()
    line.give(message(3))  # known already
    waiting = asyncio.ensure_future(behind(line, 3))
    await asyncio.sleep(0)
    assert not waiting.done()
    line.give(message(4))
    assert await waiting == [4]


async def test_a_writer_who_falls_silent_leaves_the_follower_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.01)
    assert await behind(Handover(), 3) == []


async def test_a_line_that_is_full_drops_the_oldest_and_so_shows_a_gap() -> None:
    line = Handover()
    for first in range(1, WAITING_MAX + 3):
        line.give(message(first))
    assert await behind(line, 0) == []
    assert await behind(line, 2) == [*range(3, WAITING_MAX + 3)]
