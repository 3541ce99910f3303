"""Turns at what takes long: they go round by token, so that whoever asks for much leaves room for everybody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import Unavailable
from domain.ports import Rows
from gateways.api_desk import ASKER
from projections.answers import Answer
from projections.as_of import AsOf
from projections.queries import Page, Queries

WAITING = 32  # questions of one token
LONG_QUESTIONS = 3  # of the connections of a reader_pool


class Turns:
    """At most `most` work at once. The next turn is of the token that had none for the longest; of each `waiting`
    questions wait, and what comes beyond that is sent away with Unavailable."""

    def __init__(self, what: str, most: int, waiting: int = WAITING) -> None:
        self._what, self._longest, self._free = what, waiting, most
        self._lines: dict[str, list[asyncio.Future[None]]] = {}  # by token, never empty; none while a turn is free
        self._last: dict[str, int] = {}  # by token: which turn it had last
        self._turns = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the block runs. Do not ask for another one in it."""
        token = ASKER.get()
        if self._free:
            self._free -= 1
            self._goes_to(token)
        else:
            await self._wait(token)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, token: str) -> None:
        line = [waiting for waiting in self._lines.get(token, ()) if not waiting.done()]
        if len(line) >= self._longest:
            raise Unavailable(f"{len(line)} questions of yours wait for {self._what} already; ask again in a moment")
        mine = asyncio.get_running_loop().create_future()
        self._lines[token] = [*line, mine]
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # the turn came in the very moment that it was given up
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._lines:
            token = min(self._lines, key=lambda token: self._last.get(token, 0))
            first, *others = self._lines.pop(token)
            if others:
                self._lines[token] = others
            if not first.done():
                self._goes_to(token)
                first.set_result(None)
                return
        self._free += 1

    def _goes_to(self, token: str) -> None:
        self._turns += 1
        self._last[token] = self._turns


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
