"""The core service: follows a desk's tape, folds it, and commits what the engine decides.

A restart takes the newest usable snapshot and the tape from there. Events regenerated up to the ledger's end are
compared with what stands there, not appended: every restart is a verification. One that differs stops the service.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from adapters.ledger import ByNumber, StoredLedger
from adapters.snapshots import SnapshotStore
from domain.engine import Engine
from domain.errors import Diverged
from domain.events import LedgerEvent
from domain.ports import LedgerEnd, Log, Recorded, TapeLog
from domain.tape import position

log = logging.getLogger("cdb.core")

SNAPSHOT_EVERY = 1_000_000  # ordinals: a tenth of a second of replay


class Core:
    """The one engine of a desk. `folded` is the tape ordinal up to which every decision is durable; `observe` is told
    of events once they are."""

    def __init__(
        self, store: Log, desk: str, tape: TapeLog, *, observe: Callable[[list[LedgerEvent]], None] | None = None
    ):
        self.tape, self.desk = tape, desk
        self.ledger = StoredLedger(store, desk)
        self.snapshots = SnapshotStore(store, desk)
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
        if until is not None and self.folded >= until:
            return
        async with (
            aclosing(self.ledger.by_number(after=self.engine.number)) as recorded,
            aclosing(self.tape.follow(after=self.engine.ordinal)) as pages,
        ):
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
        ordinal = self.engine.ordinal
        if ordinal > self._snapshot_at:
            await self.snapshots.save(self.engine.snapshot())
            self._snapshot_at = ordinal

    async def _restored(self) -> Engine:
        data, tape_end = await self.snapshots.load(), (await self.tape.end()).ordinal
        engine = Engine.restore(data) if data else None
        if engine is None:
            return Engine()
        if engine.number > self._end.number or engine.ordinal > tape_end:
            log.warning(
                "desk %s: a snapshot stands at record %d and event %d, but the tape ends at %d and the ledger at %d; "
                "what was durable is gone. Starting from the first record; run `cdb verify`.",
                self.desk, engine.ordinal, engine.number, tape_end, self._end.number,
            )  # fmt: skip
            return Engine()
        return engine

    async def _commit(self, events: list[LedgerEvent], recorded: ByNumber) -> None:
        """Compare what the ledger has already, append what it has not."""
        fresh = [event for event in events if event.number > self._end.number]
        for event in events[: len(events) - len(fresh)]:
            computed, stands = _line(event), await recorded.take(event.number)
            if stands != computed:
                found = stands.decode(errors="replace") if stands is not None else None
                raise Diverged(event.number, position(self.desk, event.ordinal), found, computed.decode())
        if fresh:
            self._end = await self.ledger.append([Recorded(event.number, _line(event)) for event in fresh], self._end)
            if self._observe:
                self._observe(fresh)

    async def _advance(self) -> None:
        async with self._progress:
            self.folded = self.engine.ordinal
            self._progress.notify_all()
        if self.engine.ordinal >= self._snapshot_at + SNAPSHOT_EVERY and self.engine.number <= self._end.number:
            await self.save()


def _line(event: LedgerEvent) -> bytes:
    return event.model_dump_json().encode()
