"""Turns go round by token: nobody waits behind all that somebody else asks, and none is lost or had twice."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from domain.errors import Unavailable
from gateways.api_desk import ASKER
from ops.turns import Turns

DEADLINE_S = 30


class Hall:
    """Questions that take a turn each until they are told to end; who had one, in order."""

    def __init__(self, most: int, waiting: int = 32) -> None:
        self.turns = Turns("the hall", most, waiting)
        self.began: list[str] = []
        self._ends: dict[str, list[asyncio.Event]] = defaultdict(list)

    async def _question(self, token: str) -> None:
        ASKER.set(token)
        async with self.turns.turn():
            self.began.append(token)
            end = asyncio.Event()
            self._ends[token].append(end)
            try:
                await end.wait()
            finally:
                self._ends[token].remove(end)

    def ask(self, token: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._question(token))

    @property
    def running(self) -> list[str]:
        return [token for token, ends in self._ends.items() for _ in ends]

    async def end(self, token: str) -> None:
        """The oldest running question of a token ends."""
        self._ends[token][0].set()
        await settled()


async def settled() -> None:
    """Until every task had its say: none here waits for anything outside."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("most", [1, 3])
async def test_whoever_asks_behind_a_flood_is_next_and_then_turns_alternate(most: int) -> None:
    hall = Hall(most)
    tasks = [hall.ask("flood") for _ in range(20)]
    await settled()
    tasks += [hall.ask("jana") for _ in range(3)] + [hall.ask("ole")]
    await settled()
    assert hall.began == ["flood"] * most
    for _ in range(6):
        await hall.end("flood" if "flood" in hall.running else hall.running[0])
    assert hall.began[most:] == ["jana", "ole", "flood", "jana", "flood", "jana"]
    await gone(tasks)


async def test_a_flood_fills_its_own_line_and_nobody_elses() -> None:
    hall = Hall(2, waiting=3)
    tasks = [hall.ask("flood") for _ in range(10)]
    await settled()
    refused = [task.exception() for task in tasks if task.done()]
    assert len(refused) == 5
    assert all(isinstance(error, Unavailable) for error in refused)
    assert str(refused[0]) == "3 questions of yours wait for the hall already; ask again in a moment"
    others = [hall.ask("jana") for _ in range(3)]
    await settled()
    assert not any(task.done() for task in others)
    for task in others:
        task.cancel()
    await settled()
    others += [hall.ask("jana") for _ in range(3)]  # those who left take no room
    await settled()
    assert not any(task.done() for task in others[3:])
    await gone([*tasks, *others])


async def test_a_turn_that_is_given_up_in_the_moment_it_comes_goes_to_the_next() -> None:
    hall = Hall(1)
    first, second, third = hall.ask("a"), hall.ask("b"), hall.ask("c")
    await settled()
    first.cancel()
    await asyncio.sleep(0)  # the first one's turn is passed on, the second does not know it yet
    second.cancel()
    await settled()
    assert hall.running == ["c"]
    await gone([first, second, third])


STEPS = some.lists(
    some.tuples(some.sampled_from(["ask", "ask", "end", "leave"]), some.sampled_from("abc"), some.integers(0, 9)),
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(steps=STEPS, most=some.integers(1, 3), settle=some.booleans())
def test_whatever_comes_and_goes_no_turn_is_lost_and_none_is_had_twice(
    steps: list[tuple[str, str, int]], most: int, settle: bool
) -> None:
    async def live() -> None:
        hall, tasks = Hall(most), list[asyncio.Task[None]]()
        for what, token, place in steps:
            if what == "ask":
                tasks.append(hall.ask(token))
            elif what == "leave" and tasks:
                tasks[place % len(tasks)].cancel()
            elif hall.running:
                hall._ends[hall.running[place % len(hall.running)]][0].set()
            await (settled() if settle else asyncio.sleep(0))
            assert len(hall.running) <= most
        await settled()
        open_ = sum(not task.done() for task in tasks)
        assert len(hall.running) == min(most, open_)
        while hall.running:
            await hall.end(hall.running[0])
        assert all(task.done() for task in tasks)
        again = [hall.ask(token) for token in "abc"]
        await settled()
        assert len(hall.running) == most
        await gone([*tasks, *again])

    asyncio.run(live())


async def gone(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks, return_exceptions=True)
