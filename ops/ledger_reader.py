"""Reading a ledger at a place: one event, the first of a time, a span, or the newest that match, without the rest."""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pydantic import ValidationError

from adapters.ledger import StoredLedger
from adapters.numbered import first_number, last_number, sequence_before
from domain.errors import TapeBroken
from domain.events import LEDGER_EVENT, LedgerEvent
from domain.ports import Log, Message, Recorded

FIRST_WINDOW = 1_000  # events read back from the end at first; every further window is four times as wide
COMMITS_KEPT = 4  # of those that single events were looked up in


class LedgerReader:
    """The ledger of one desk. Everything raises TapeBroken where what was recorded is missing or not readable."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self._log = log
        self._ledger = StoredLedger(log, desk)
        self._kept: deque[list[Recorded]] = deque(maxlen=COMMITS_KEPT)

    async def first(self) -> int:
        """The oldest number that stands, 0 when there is none."""
        message = await self._log.get(self._ledger.subject, 1)
        return first_number(message) if message else 0

    async def end(self) -> int:
        """The newest number, 0 when there is none."""
        return (await self._ledger.end()).number

    def event(self, recorded: Recorded) -> LedgerEvent:
        """The event in a line."""
        try:
            return LEDGER_EVENT.validate_json(recorded.line)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise TapeBroken(
                f"event {recorded.number} of the ledger of desk {self.desk} is not readable: {problem['msg']}; "
                "a newer build wrote it, or the store is damaged: run `cdb verify`"
            ) from None

    async def at(self, number: int) -> LedgerEvent | None:
        """One event by its number, None when it does not stand."""
        commit = next((kept for kept in self._kept if kept[0].number <= number <= kept[-1].number), None)
        if commit is None:
            sequence = await sequence_before(self._log, self._ledger.subject, number)
            commit = _recorded(await self._log.get(self._ledger.subject, sequence + 1))
            if not commit or not commit[0].number <= number <= commit[-1].number:
                return None
            self._kept.append(commit)
        return self.event(commit[number - commit[0].number])

    async def before(self, reached: Callable[[LedgerEvent], bool]) -> int:
        """The number of the last event before the first that `reached` holds for (as for all behind that one): 0 when
        it holds for all. Binary search over the commits."""
        subject = self._ledger.subject
        low, found = 1, await self._log.last(subject)
        if found is None or not reached(self.event(_recorded(found)[-1])):
            return last_number(found) if found else 0
        high = found.sequence
        while low < high:
            middle = (low + high) // 2
            message = await self._log.get(subject, middle)
            assert message is not None  # high is a message of this subject
            if reached(self.event(_recorded(message)[-1])):
                high, found = middle, message
            else:
                low = message.sequence + 1
        return next(line.number for line in _recorded(found) if reached(self.event(line))) - 1

    async def between(self, after: int, until: int) -> AsyncGenerator[list[Recorded], None]:
        """Pages of what stands with after < number <= until."""
        if after >= until:
            return
        async with aclosing(self._ledger.read(after)) as pages:
            async for page in pages:
                yield page if page[-1].number <= until else [line for line in page if line.number <= until]
                if page[-1].number >= until:
                    return

    async def newest(
        self, after: int, until: int, count: int, matches: Callable[[bytes], bool], window: int = FIRST_WINDOW
    ) -> list[Recorded]:
        """The newest `count` lines that match, in order, of those with after < number <= until."""
        found: list[Recorded] = []
        while until > after and len(found) < count:
            start = max(after, until - window)
            async with aclosing(self.between(start, until)) as pages:
                part = [line async for page in pages for line in page if matches(line.line)]
            found = part[-(count - len(found)) :] + found
            until, window = start, 4 * window
        return found


def _recorded(message: Message | None) -> list[Recorded]:
    if message is None:
        return []
    return [Recorded(*numbered) for numbered in enumerate(message.data.split(b"\n"), first_number(message))]
