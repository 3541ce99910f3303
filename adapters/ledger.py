"""The ledger over a log: commits of numbered events, one line of JSON an event, at most 512 KiB a commit."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from adapters import subjects
from adapters.numbered import first_number, last_number, number, sequence_before
from adapters.subjects import COUNT, FIRST, TOPIC
from domain.errors import TapeBroken
from domain.ports import Append, LedgerEnd, Log, Message, Recorded

COMMIT = "commit"
MAX_COMMIT_BYTES = 512 * 1024


class StoredLedger:
    """The ledger of one desk on any Log."""

    def __init__(self, log: Log, desk: str) -> None:
        self.desk = desk
        self.subject = subjects.ledger(desk)
        self._log = log

    async def end(self) -> LedgerEnd:
        """The last number, from the last commit."""
        message = await self._log.last(self.subject)
        return LedgerEnd(last_number(message), message.sequence) if message else LedgerEnd()

    async def append(self, events: Sequence[Recorded], end: LedgerEnd) -> LedgerEnd:
        """Commit events behind `end`, split between events when large. Raises Conflict when another was first."""
        for commit in _commits(events):
            headers = {TOPIC: COMMIT, FIRST: str(commit[0].number), COUNT: str(len(commit))}
            data = b"\n".join(event.line for event in commit)
            sequence = await self._log.append(Append(self.subject, data, headers, expected=end.sequence))
            end = LedgerEnd(commit[-1].number, sequence)
        return end

    async def read(self, after: int = 0) -> AsyncGenerator[list[Recorded], None]:
        """Pages of recorded events with number > after, as bytes. Raises TapeBroken where numbers are missing."""
        async with aclosing(self._pages(after)) as pages:
            async for page in pages:
                for event in page:
                    if event.number != after + 1:
                        raise TapeBroken(
                            f"the ledger of desk {self.desk} has no events {after + 1} to {event.number - 1}: "
                            "they were durable and are gone. Run `cdb verify`, and restore the store from a backup."
                        )
                    after = event.number
                yield page

    def by_number(self, after: int = 0) -> "ByNumber":
        """Recorded events one by one, each asked for by its number."""
        return ByNumber(self._pages(after))

    async def _pages(self, after: int) -> AsyncGenerator[list[Recorded], None]:
        start = await sequence_before(self._log, self.subject, after + 1)
        async with aclosing(self._log.read(self.subject, start)) as pages:
            async for page in pages:
                yield [event for message in page for event in _recorded(message) if event.number > after]


class ByNumber:
    """Recorded events in ascending order; a number that is missing gives None. Close it with `aclosing`."""

    def __init__(self, pages: AsyncGenerator[list[Recorded], None]) -> None:
        self._pages = pages
        self._waiting: deque[Recorded] = deque()

    async def take(self, number: int) -> bytes | None:
        """The bytes of event `number`, None when the ledger has no such event."""
        while True:
            while self._waiting and self._waiting[0].number < number:
                self._waiting.popleft()
            if self._waiting:
                return self._waiting.popleft().line if self._waiting[0].number == number else None
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._waiting.extend(page)

    async def aclose(self) -> None:
        await self._pages.aclose()


def _commits(events: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    commit: list[Recorded] = []
    size = 0
    for event in events:
        if commit and size + len(event.line) > MAX_COMMIT_BYTES:
            yield commit
            commit, size = [], 0
        commit.append(event)
        size += len(event.line) + 1
    if commit:
        yield commit


def _recorded(message: Message) -> list[Recorded]:
    lines = message.data.split(b"\n")
    if len(lines) != number(message, COUNT):
        raise TapeBroken(
            f"{message.subject}: the commit at number {first_number(message)} says {message.headers[COUNT]} events, "
            f"has {len(lines)}"
        )
    return [Recorded(*numbered) for numbered in enumerate(lines, first_number(message))]
