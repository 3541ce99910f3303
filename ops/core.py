"""The core service: follows a desk's tape, folds it, and commits what the engine decides.

A restart takes the newest usable snapshot and the tape from there. Events regenerated up to the ledger's end are
compared with what stands there, not appended: every restart is a verification. One that differs stops the service.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

from adapters.ledger import ByNumber, StoredLedger
from adapters.snapshots import SnapshotStore
from domain.engine import ENGINE, Engine
from domain.errors import Diverged
from domain.events import LedgerEvent
from domain.ports import LedgerEnd, Log, Recorded, TapeLog
from domain.snapshot import restore, save
from ops.ledger_rows import on_tape
from ops.takeover import kept_state
from ops.warm import warmed_up

log = logging.getLogger("cdb.core")

SNAPSHOT_EVERY = 1_000_000  # ordinals: a tenth of a second of replay


class Core:
    """The one engine of a desk. `folded` is the tape ordinal up to which every decision is durable; `observe` is told
    of events once they are."""

    def __init__(
        self,
        store: Log,
        desk: str,
        tape: TapeLog,
        *,
        observe: Callable[[list[LedgerEvent]], None] | None = None,
        snapshots: SnapshotStore | None = None,
    ):
        self.tape, self.desk = tape, desk
        self._store = store
        self.ledger = StoredLedger(store, desk)
        self.snapshots = snapshots or SnapshotStore(store, desk)
        self.engine = Engine()
        self.folded = 0
        self.commit_ms = 0.0  # from the newest decisions' messages at hand to the decisions durable
        self._observe = observe
        self._end = LedgerEnd()
        self._snapshot_at = 0
        self._sound = False  # the engine stands between two messages, and what it decided is durable
        self._progress = asyncio.Condition()

    async def run(self, until: int | None = None) -> None:
        """Follow the tape for ever, or to ordinal `until`. Raises Diverged, Conflict, TapeBroken, Unavailable."""
        await warmed_up()
        self._end = await self.ledger.end()
        self.engine = await self._restored()
        self._snapshot_at, self._sound = self.engine.ordinal, True
        await self._advance()
        if until is not None and self.folded >= until:
            return
        async with (
            aclosing(self.ledger.by_number(after=self.engine.number)) as recorded,
            aclosing(self.tape.follow(after=self.engine.ordinal)) as pages,
        ):
            async for page in pages:
                started, self._sound = time.perf_counter(), False
                events = [event for message in page for event in self.engine.fold(message)]
                await self._commit(events, recorded)
                self._sound = True
                if events:
                    self.commit_ms = round((time.perf_counter() - started) * 1e3, 3)
                await self._advance()
                if until is not None and self.folded >= until:
                    break
        await self.save()

    async def reached(self, ordinal: int) -> None:
        """Wait until every decision up to a tape ordinal is durable."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.folded >= ordinal)

    async def save(self) -> None:
        """Store a snapshot of the engine, unless it was stopped in the middle of a decision."""
        ordinal = self.engine.ordinal
        if self._sound and ordinal > self._snapshot_at:
            await self.snapshots.save(save(self.engine))
            self._snapshot_at = ordinal

    async def _restored(self) -> Engine:
        """From the newest snapshot, else from what this engine took the desk over with, else from the first record."""
        tape_end = (await self.tape.end()).ordinal
        for data in (await self.snapshots.load(), await kept_state(self._store, self.desk, ENGINE)):
            engine = restore(data) if data else None
            if engine and engine.number <= self._end.number and engine.ordinal <= tape_end:
                return engine
            if engine:
                log.warning(
                    "desk %s: a snapshot stands at record %d and event %d, but the tape ends at %d and the ledger at "
                    "%d; what was durable is gone. Starting before it; run `cdb verify`.",
                    self.desk, engine.ordinal, engine.number, tape_end, self._end.number,
                )  # fmt: skip
        return Engine()

    async def _commit(self, events: list[LedgerEvent], recorded: ByNumber) -> None:
        """Compare what the ledger has already, append what it has not."""
        fresh = [event for event in events if event.number > self._end.number]
        for event in events[: len(events) - len(fresh)]:
            computed, stands = _line(event), await recorded.take(event.number)
            if stands != computed:
                found = stands.decode(errors="replace") if stands is not None else None
                raise Diverged(event.number, on_tape(event.ordinal), found, computed.decode())
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
