"""Long work beside a service: nobody waits for it for long, one piece at a time, and it ends with its owner."""

import asyncio

import pytest

from domain.errors import InvalidInput
from ops.background import Background, open_background


class Work:
    """A piece of work that ends when it is told to."""

    def __init__(self) -> None:
        self.may_end, self.begun, self.cancelled = asyncio.Event(), asyncio.Event(), False

    async def __call__(self) -> str:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "found"


async def test_who_is_impatient_asks_again_and_gets_the_result_once() -> None:
    async with open_background(0) as background:
        work = Work()
        assert await background.result("a", work) is None
        assert await background.result("a", work) is None
        work.may_end.set()
        async with asyncio.timeout(30):
            while True:
                if found := await background.result("a", work):
                    break
                await asyncio.sleep(0)
        assert found == "found"


async def test_two_pieces_are_done_one_behind_the_other() -> None:
    async with open_background(0) as background:
        first, second = Work(), Work()
        await background.result("first", first)
        await background.result("second", second)
        async with asyncio.timeout(30):
            await first.begun.wait()
            assert not second.begun.is_set()
            first.may_end.set()
            await second.begun.wait()


async def test_what_is_under_way_is_cancelled_at_the_end() -> None:
    work = Work()
    async with open_background(0) as background:
        await background.result("a", work)
        async with asyncio.timeout(30):
            await work.begun.wait()
    assert work.cancelled


async def test_who_has_time_waits_to_the_end_and_a_fault_is_raised() -> None:
    async def fails() -> None:
        raise InvalidInput("nothing to tune")

    with pytest.raises(InvalidInput, match="nothing to tune"):
        await Background(None).result("a", fails)
