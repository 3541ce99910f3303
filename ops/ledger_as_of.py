"""A desk's ledger as it was at a moment: the tree of an event, pages of events, and events as they become visible."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import islice
from typing import Any

from adapters.tape_log import StoredTape
from domain.errors import TapeBroken, Unavailable
from domain.events import InstructionApplied, InstructionRefused, LedgerEvent
from domain.ports import Log, Recorded
from domain.tape import position
from gateways.api_desk import EVENTS_SCANNED, Change, Wanted
from ops.ledger_queries import OrderSymbols, chain_of, decided_at, parse_id
from ops.ledger_reader import FIRST_WINDOW, LedgerReader
from ops.ledger_rows import event_row
from ops.tape_lookup import account_currency
from ops.visible import Visible
from projections.answers import Answer
from projections.as_of import AsOf
from projections.queries import Page

KEPT_CHANGES = 5_000  # for streams that are nearly current
PAGE_CHANGES = 100  # given at once: a reader who takes none of it holds no more, and nobody waits long for his turn
LINES_KEPT = 4  # pages of the log, for those who go through it from long ago


class LedgerAsOf(LedgerReader):
    """A ledger that ends where it ended at a moment."""

    def __init__(self, log: Log, desk: str, until: int) -> None:
        super().__init__(log, desk)
        self._until = until

    async def end(self) -> int:
        return self._until

    async def at(self, number: int) -> LedgerEvent | None:
        return await super().at(number) if number <= self._until else None

    async def before(self, reached: Callable[[LedgerEvent], bool]) -> int:
        return min(await super().before(reached), self._until)


async def why_at(log: Log, desk: str, text: str, at: AsOf) -> Answer | None:
    """As ops.ledger_queries.why, up to a moment; None for what there was not."""
    wanted, reader, tape = parse_id(text, desk), LedgerAsOf(log, desk, at.ledger), StoredTape(log, desk)
    if wanted.number > (at.tape if wanted.on_tape else at.ledger):
        return None
    answer: dict[str, Any] = {"desk": desk, "ledger_end": position(desk, at.ledger) if at.ledger else None}
    answer["currency"] = await account_currency(tape)
    if wanted.on_tape:
        return answer | await decided_at(reader, tape, wanted.number)
    asked = await reader.at(wanted.number)
    if asked is None:
        if wanted.number < await reader.first():
            return None
        raise TapeBroken(
            f"event {position(desk, wanted.number)} was durable and is gone; run `cdb verify`, and restore the store "
            "from a backup"
        )
    return answer | await chain_of(reader, tape, asked, at.ledger)


async def events_at(log: Log, desk: str, wanted: Wanted, at: AsOf, before: int | None, limit: int) -> Page:
    """See gateways.api_desk.ApiDesk.events."""
    reader = LedgerAsOf(log, desk, at.ledger)
    after, until = await _bounds(reader, wanted, before)
    floor = max(after, until - EVENTS_SCANNED)
    window = FIRST_WINDOW if any(wanted[:4]) else limit + 1
    lines = await reader.newest(floor, until, limit + 1, lambda line: _may_match(wanted, line), window)
    symbols, tape, rows = OrderSymbols(reader), StoredTape(log, desk), list[Answer]()
    for line in reversed(lines[-limit:]):
        row = await symbols.row(line, wanted.symbol)
        if row and (wanted.actor is None or await _said_by(tape, reader.event(line), wanted.actor)):
            rows.append(row)
    if len(lines) > limit:
        return Page(rows, lines[-limit].number)
    return Page(rows, floor + 1 if floor > after else None)


async def _bounds(reader: LedgerReader, wanted: Wanted, before: int | None) -> tuple[int, int]:
    """Numbers after which, and up to which, wanted events can stand."""
    after, until = await reader.first() - 1, await reader.end()
    if before is not None:
        until = min(until, before - 1)
    if wanted.correlation:
        after = max(after, wanted.correlation - 1)
    start_ns, end_ns = wanted.start_ns, wanted.end_ns
    if start_ns is not None:
        after = max(after, await reader.before(lambda event: event.occurred_at_ns >= start_ns))
    if end_ns is not None:
        until = min(until, await reader.before(lambda event: event.occurred_at_ns >= end_ns))
    return after, until


def _may_match(wanted: Wanted, line: bytes) -> bool:
    """Can the event in this line be one? Read from its bytes; a move does not say its symbol."""
    if wanted.correlation and f'"correlation":{wanted.correlation},'.encode() not in line:
        return False
    if wanted.types and not any(f'"type":"{name}"'.encode() in line for name in wanted.types):
        return False
    if wanted.actor and b'"instruction_id":' not in line:
        return False
    return not wanted.symbol or f'"symbol":"{wanted.symbol}"'.encode() in line or b'"type":"order_moved"' in line


async def _said_by(tape: StoredTape, event: LedgerEvent, actor: str) -> bool:
    if not isinstance(event, InstructionApplied | InstructionRefused):
        return False
    instruction, _ = await tape.instruction(event.ordinal)
    return instruction.actor == actor


class Changes:
    """The ledger's events as they become visible. The newest are kept, so that many who listen read once."""

    def __init__(self, log: Log, visible: Visible) -> None:
        self._visible = visible
        self._reader = LedgerReader(log, visible.desk)
        self._kept: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self._pages: deque[list[Recorded]] = deque(maxlen=LINES_KEPT)
        self._reading = asyncio.Lock()

    async def follow(self, after: int | None) -> AsyncGenerator[list[Change], None]:
        """See gateways.api_desk.ApiDesk.changes."""
        if after is None:
            after = self._visible.now().at.ledger
        while True:
            until = await self._visible.ledger_beyond(after)
            page = await self._page(after, until)
            after = page[-1].number
            yield page

    async def _page(self, after: int, until: int) -> list[Change]:
        """The next changes behind a number, at most PAGE_CHANGES."""
        async with self._reading:
            if self._kept and self._kept[0].number <= after + 1 <= self._kept[-1].number:
                start = after + 1 - self._kept[0].number
                kept = islice(self._kept, start, start + PAGE_CHANGES)
                return [change for change in kept if change.number <= until]
            lines = await self._lines(after, until)
            page = [Change(line.number, event_row(self._reader.event(line), self._visible.desk)) for line in lines]
            if self._kept and page[0].number > self._kept[-1].number + 1:
                self._kept.clear()  # the window is where the newest are read, not where somebody began long ago
            if not self._kept or page[0].number == self._kept[-1].number + 1:
                self._kept.extend(page)
            return page

    async def _lines(self, after: int, until: int) -> list[Recorded]:
        """As _page, from the log. It reads in large pages: what is left of one waits for whoever asks next."""
        page = next((page for page in self._pages if page[0].number <= after + 1 <= page[-1].number), None)
        if page is None:
            async with aclosing(self._reader.between(after, until)) as pages:
                page = await anext(pages, None)
            if not page:
                raise Unavailable(f"the log does not have ledger event {after + 1} yet; ask again in a moment")
            if len(page) > PAGE_CHANGES:
                self._pages.append(page)
        start = after + 1 - page[0].number
        return [line for line in page[start : start + PAGE_CHANGES] if line.number <= until]
