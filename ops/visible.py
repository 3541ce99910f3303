"""What the read models of a desk show at this moment, kept current by their own notifications, and how far behind the
log that is. PostgreSQL may come, go and come again: what was shown last is shown until then."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from adapters import subjects
from adapters.checkpoint_news import News, checkpoint_news
from adapters.numbered import last_number
from adapters.read_models import ReadModels, reader_pool
from domain.errors import DeskError, Unavailable
from domain.ports import Log, Message, Rows, Source
from gateways.times import time_ns
from ops.turns import QueriesInTurn
from projections.as_of import AsOf
from projections.queries import Newest, Queries

log = logging.getLogger("cdb.api")

LOOK_EVERY_S = 1.0  # also without news, for a connection may be dead without saying so
WATCH_EVERY_S = 0.25  # how old what is known of the log's end may be
RETRY_S, LONGEST_RETRY_S = 0.25, 5.0
SOURCES: tuple[Source, ...] = ("tape", "ledger", "ops", "governance")


class Visible:
    """Use `async with Visible.open(...) as visible`. `queries` asks what is shown."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self.queries: Queries = QueriesInTurn(_Later(self), desk)
        self.newest: Newest | None = None
        self.sources: frozenset[str] = frozenset()  # those that the read models hear
        self.why_not = "the read models were not asked yet"
        self.rows: Rows | None = None
        self._log = log
        self._recorded: dict[str, int] = {}  # by source: when the newest fact that all of its models hold was recorded
        self._ends: dict[str, tuple[int, int]] = {}  # by source: position and time of recording of the log's newest
        self._moved = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def open(cls, log: Log, desk: str, dsn: Callable[[], Awaitable[str]]) -> "AsyncIterator[Visible]":
        """Follow the read models until the block is left; `dsn` is asked before every attempt to reach them."""
        visible = cls(log, desk)
        tasks = [asyncio.create_task(work, name="read models") for work in (visible._keep(dsn), visible._watch())]
        try:
            yield visible
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def now(self) -> Newest:
        """What is shown. Raises Unavailable as long as nothing was."""
        if self.newest is None:
            raise Unavailable(f"the read models cannot be asked: {self.why_not}")
        return self.newest

    def holds(self, at: AsOf) -> bool:
        """Is this moment shown?"""
        return self.newest is not None and all(
            at.of(source) <= self.newest.at.of(source) for source in SOURCES if source in self.sources
        )

    async def reached(self, at: AsOf) -> None:
        """Wait until a moment is shown."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.holds(at))

    async def ledger_beyond(self, number: int) -> int:
        """Wait until more of the ledger is shown than this number; up to which."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.newest is not None and self.newest.at.ledger > number)
        return self.now().at.ledger

    def stale_ms(self) -> int:
        """See gateways.api_desk.ApiDesk.stale_ms."""
        behind_ns = 0
        for source, (end, recorded_ns) in self._ends.items():
            if self.newest and source in self.sources and self.newest.at.of(source) < end:  # type: ignore[arg-type]
                behind_ns = max(behind_ns, recorded_ns - self._recorded[source], 1)
        return -(-behind_ns // 1_000_000)

    # -- the read models -----------------------------------------------------------------------------------------------

    async def _keep(self, dsn: Callable[[], Awaitable[str]]) -> None:
        pause_s = RETRY_S
        while True:
            try:
                address = await dsn()
                async with (
                    reader_pool(address, self.desk) as pool,
                    reader_pool(address, self.desk, 1) as own,  # looking never waits behind those who ask
                    checkpoint_news(address, self.desk) as news,
                ):
                    self.rows, pause_s = ReadModels(pool), RETRY_S
                    await self._follow(news, Queries(ReadModels(own), self.desk))
            except DeskError as error:
                self.why_not = str(error)
                log.info("desk %s: %s", self.desk, error)
            except Exception as error:  # whatever it was, those who ask are answered and it is tried again
                self.why_not = f"{type(error).__name__}: {error}"
                log.exception("desk %s: the read models cannot be followed", self.desk)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)

    async def _follow(self, news: News, queries: Queries) -> None:
        while not news.lost:
            news.moved.clear()
            await self._look(queries)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await news.moved.wait()

    async def _look(self, queries: Queries) -> None:
        places, newest = await queries.projections(), await queries.newest()
        recorded: dict[str, int] = {}
        for place in places:
            at_ns = time_ns(place["recorded_at"]) if place["recorded_at"] else 0
            recorded[place["source"]] = min(recorded.get(place["source"], at_ns), at_ns)
        async with self._moved:
            self._recorded, self.sources = recorded, frozenset(recorded)
            self.newest = newest
            self._moved.notify_all()

    # -- the log -------------------------------------------------------------------------------------------------------

    async def ends(self) -> Mapping[str, int]:
        """The newest position of every source. Raises Unavailable."""
        self._ends = {source: _end(source, await self._log.last(_subject(source, self.desk))) for source in SOURCES}
        return {source: end for source, (end, _) in self._ends.items()}

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(DeskError):  # what was known last counts
                await self.ends()
            await asyncio.sleep(WATCH_EVERY_S)


class _Later:
    """The port Rows, for as long as there is somebody to ask."""

    def __init__(self, visible: Visible) -> None:
        self._visible = visible

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        if self._visible.rows is None:
            raise Unavailable(f"the read models cannot be asked: {self._visible.why_not}")
        return await self._visible.rows.fetch(sql, *arguments)


def _subject(source: Source, desk: str) -> str:
    streams = {"ops": subjects.OPS.subjects, "governance": subjects.GOVERNANCE.subjects}
    return ({"tape": subjects.tape(desk), "ledger": subjects.ledger(desk)} | streams)[source]


def _end(source: Source, message: Message | None) -> tuple[int, int]:
    if message is None:
        return 0, 0
    numbered = source in ("tape", "ledger")
    return last_number(message) if numbered else message.sequence, message.recorded_at_ns
