"""The newest moment of the desk, watched once for all open pages, and the answers that they share.

A moment's answers never change, so each question is asked once for a moment, however many pages show it.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Concatenate, ParamSpec, TypeVar

from domain.errors import DeskError
from gateways.api_desk import ApiDesk, Moment
from gateways.dashboard.bars import Bars
from projections.answers import Answer
from projections.as_of import AsOf

log = logging.getLogger("cdb.dashboard")

EVERY_S = 0.5
LAG_EVERY_S = 2.0
MOMENTS_KEPT = 64
ANSWERS_KEPT = 256  # of one moment: a quiet desk has the same one for days

Said = TypeVar("Said")
Given = ParamSpec("Given")
Watcher = Callable[[], Awaitable[None]]


class Answers:
    """What the desk said about one moment, as much of it as was asked for last."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self._asked: OrderedDict[Hashable, asyncio.Future[Any]] = OrderedDict()

    async def ask(
        self,
        question: Callable[Concatenate[AsOf, Given], Awaitable[Said]],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Said:
        """The answer of one of the desk's queries at this moment."""
        key = (question.__name__, args, tuple(sorted(kwargs.items())))
        return await self.shared(key, lambda: question(self.moment.at, *args, **kwargs))

    async def shared(self, key: Hashable, answer: Callable[[], Awaitable[Said]]) -> Said:
        """The answer under this key, asked for if nobody did."""
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(answer())
        asked = self._asked[key]
        self._asked.move_to_end(key)
        if len(self._asked) > ANSWERS_KEPT:
            self._asked.popitem(last=False)
        try:
            return await asyncio.shield(asked)  # a page that goes away leaves the others their answer
        finally:
            if asked.done() and (asked.cancelled() or asked.exception()):
                self._asked.pop(key, None)


class Live:
    """Watches the desk while a page is open. `trouble` says why there is no newer moment, None: all is well."""

    def __init__(self, desk: ApiDesk) -> None:
        self.desk = desk
        self.bars = Bars(desk)
        self.newest: Moment | None = None
        self.lag: list[Answer] = []
        self.health: list[Answer] = []
        self.trouble: str | None = None
        self.began: str | None = None  # the market's time of the oldest instruction that stands: the tape's first
        self._watchers: set[Watcher] = set()
        self.watching: asyncio.Task[None] | None = None
        self._answers: OrderedDict[str, Answers] = OrderedDict()
        self._told_at = 0.0

    def answers(self, moment: Moment) -> Answers:
        """What is known about a moment, and asked for when somebody wants to know more."""
        found = self._answers.setdefault(moment.token, Answers(moment))
        self._answers.move_to_end(moment.token)
        if len(self._answers) > MOMENTS_KEPT:
            self._answers.popitem(last=False)
        return found

    def watch(self, watcher: Watcher) -> None:
        """Call this whenever something new is there."""
        self._watchers.add(watcher)
        if self.watching is None or self.watching.done():
            self.watching = asyncio.create_task(self._watch(), name="dashboard")

    def leave(self, watcher: Watcher) -> None:
        """Call it no more; without any watcher the desk is left alone."""
        self._watchers.discard(watcher)

    async def look(self) -> bool:
        """Ask the desk for its newest moment; is anything new?"""
        before = (self.newest and self.newest.token, self.trouble, self.lag, self.health)
        try:
            self.newest = await self.desk.moment()
            if time.monotonic() - self._told_at >= LAG_EVERY_S:
                self._told_at = time.monotonic()
                self.lag, self.health = await self.desk.lag(), await self.desk.health()
            if self.began is None:
                standing = await self.answers(self.newest).ask(self.desk.queries.standing)
                self.began = min((row["at"] for row in standing), default=None)
            self.trouble = None
        except DeskError as error:
            self.trouble = str(error)
        return before != (self.newest and self.newest.token, self.trouble, self.lag, self.health)

    async def _watch(self) -> None:
        while self._watchers:
            try:
                if await self.look():
                    await asyncio.gather(*(watcher() for watcher in tuple(self._watchers)))
            except Exception:  # whatever one page cannot show, the others go on
                log.exception("the dashboard could not be brought to the newest moment")
            await asyncio.sleep(EVERY_S)
