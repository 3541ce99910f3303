"""The core service: follows a desk's tape, folds it, and commits what the engine decides.

A restart takes the newest usable snapshot and the tape from there. Events regenerated up to the ledger's end are
compared with what stands there, not appended: every restart is a verification. One that differs stops the service.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from adapters.ledger import JetStreamLedger
from adapters.snapshots import SnapshotStore
from domain.engine import Engine
from domain.errors import Diverged
from domain.events import LedgerEvent
from domain.ports import LedgerEnd, Log, Recorded, TapeLog
from domain.tape import position

SNAPSHOT_EVERY = 1_000_000  # ordinals: a tenth of a second of replay


class Core:
    """The one engine of a desk. `folded` is the tape ordinal up to which every decision is durable."""

    def __init__(
        self, log: Log, desk: str, tape: TapeLog, *, observe: Callable[[list[LedgerEvent]], None] | None = None
    ):
        self.tape, self.desk = tape, desk
        self.ledger = JetStreamLedger(log, desk)
        self.snapshots = SnapshotStore(log, desk)
        self.engine = Engine()
        self.folded = 0
        self._observe = observe
        self._end = LedgerEnd()
        self._snapshot_at = 0
        self._progress = asyncio.Condition()

    async def run(self, until: int | None = None) -> None:
        """Follow the tape for ever, or to ordinal `until`. Raises Diverged, Conflict, TapeBroken, Unavailable."""
        self._end = await self.ledger.end()
        self.engine = await self._restored()
        self._snapshot_at = self.engine.ordinal
        await self._advance()
        recorded = _each(self.ledger.read(after=self.engine.number))
        if until is not None and self.folded >= until:
            return
        async with aclosing(self.tape.follow(after=self.engine.ordinal)) as pages:
            async for page in pages:
                events = [event for message in page for event in self.engine.fold(message)]
                await self._commit(events, recorded)
                await self._advance()
                if until is not None and self.folded >= until:
                    break
        await self.save()

    async def reached(self, ordinal: int) -> None:
        """Wait until every decision up to a tape ordinal is durable."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.folded >= ordinal)

    async def save(self) -> None:
        """Store a snapshot of the engine as it stands (its events are durable)."""
        if self.engine.ordinal > self._snapshot_at:
            self._snapshot_at = self.engine.ordinal
            await self.snapshots.save(self.engine.snapshot())

    async def _restored(self) -> Engine:
        data = await self.snapshots.load()
        engine = Engine.restore(data) if data else None
        if engine and engine.number <= self._end.number and engine.ordinal <= (await self.tape.end()).ordinal:
            return engine
        return Engine()  # what stands beyond the ledger or the tape was not decided here

    async def _commit(self, events: list[LedgerEvent], recorded: AsyncIterator[Recorded]) -> None:
        lines = [(event, Recorded(event.number, event.model_dump_json().encode())) for event in events]
        known = self._end.number
        for event, computed in lines:
            if computed.number <= known:
                stands = await anext(recorded, None)
                if stands != computed:
                    raise Diverged(
                        computed.number,
                        position(self.desk, event.ordinal),
                        stands.line.decode(errors="replace") if stands else None,
                        computed.line.decode(),
                    )
        fresh = [computed for _, computed in lines if computed.number > known]
        if fresh:
            self._end = await self.ledger.append(fresh, self._end)
        if self._observe and events:
            self._observe(events)

    async def _advance(self) -> None:
        async with self._progress:
            self.folded = self.engine.ordinal
            self._progress.notify_all()
        if self.engine.ordinal >= self._snapshot_at + SNAPSHOT_EVERY and self.engine.number <= self._end.number:
            await self.save()


async def _each(pages: AsyncGenerator[list[Recorded], None]) -> AsyncIterator[Recorded]:
    async for page in pages:
        for event in page:
            yield event
