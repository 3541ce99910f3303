"""Turns at what takes long, so that a few who ask for much leave room for everybody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import Unavailable
from domain.ports import Rows
from projections.answers import Answer
from projections.as_of import AsOf
from projections.queries import Page, Queries

WAITING = 32
LONG_QUESTIONS = 3  # of the connections of a reader_pool


class Turns:
    """At most `most` work at once, and `waiting` wait; whoever comes beyond that is sent away with Unavailable."""

    def __init__(self, what: str, most: int, waiting: int = WAITING) -> None:
        self._what, self._longest = what, waiting
        self._free, self._waiting = asyncio.Semaphore(most), 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the block runs. Do not ask for another one in it."""
        if self._free.locked() and self._waiting >= self._longest:
            raise Unavailable(f"{self._waiting} questions wait for {self._what} already; ask again in a moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class QueriesInTurn(Queries):
    """Queries of which those that read long tables take turns: the curve, and decisions, of which a log is made."""

    def __init__(self, rows: Rows, desk: str) -> None:
        super().__init__(rows, desk)
        self._turns = Turns("the long tables of the read models", LONG_QUESTIONS)

    async def decisions(self, at: AsOf, *, before: int | None = None, limit: int = 50) -> Page:
        """In turn."""
        async with self._turns.turn():
            return await super().decisions(at, before=before, limit=limit)

    async def equity(
        self, at: AsOf, *, start_ns: int | None = None, end_ns: int | None = None, points: int = 500
    ) -> list[Answer]:
        """In turn."""
        async with self._turns.turn():
            return await super().equity(at, start_ns=start_ns, end_ns=end_ns, points=points)
