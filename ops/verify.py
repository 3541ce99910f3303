"""Verification: the engine runs over the tape again and its events are compared with the ledger, byte for byte.

Each span of the tape is re-executed by the engine that decided it: this build's, or an older one from a wheel. A span
whose engine is not at hand is unverifiable; the next one starts from the state that was kept when its engine took over.
"""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapters.ledger import ByNumber, StoredLedger
from adapters.snapshots import SnapshotStore
from domain.engine import ENGINE
from domain.errors import InvalidInput, TapeBroken
from domain.instructions import EngineActivated, Instructed
from domain.migration import Place, place
from domain.ports import Log, TapeLog
from domain.tape import Block
from ops.ledger_rows import on_tape
from ops.older_engine import NoEngine
from ops.reexecution import Reexecution, start
from ops.takeover import kept_state
from ops.verify_governance import Proof, is_walked, prove


@dataclass(frozen=True)
class Divergence:
    """The first event that is not what the engine computes. None: it is missing on that side."""

    number: int
    position: str | None
    recorded: str | None
    recomputed: str | None


@dataclass
class Span:
    """Ordinals `first` to `last`, decided by one engine, and what re-executed them: this build, a wheel, nothing."""

    engine: int
    first: int
    last: int
    reexecuted_by: str | None = None


@dataclass
class Verification:
    """What `verify` found. `pending` events are decided by the tape but are not in the ledger: the engine was stopped
    before, or the ledger was cut short. `problem` says what makes the store itself untrustworthy, or why something was
    not re-executed; `unverifiable` events could not be recomputed because of it. `engines`: the spans of the tape.
    `governance`: every signature and gated instruction, proven again."""

    checked: int = 0
    diverged: int = 0
    unverifiable: int = 0
    pending: int = 0
    records: int = 0
    first_divergence: Divergence | None = None
    problem: str | None = None
    engines: list[Span] = field(default_factory=list)
    governance: Proof = field(default_factory=Proof)

    @property
    def passed(self) -> bool:
        """True when every ledger event was recomputed equal, and all of governance holds."""
        return not (self.diverged or self.unverifiable or self.problem or self.governance.findings)


async def verify(
    log: Log,
    desk: str,
    tape: TapeLog,
    progress: Callable[[int, int], None] | None = None,
    engines: Path | None = None,
) -> Verification:
    """Re-execute `tape` from its first record and compare the desk's ledger. Nothing is written. `engines` is a folder
    with wheels of older builds. Raises InvalidInput when it is none."""
    if engines is not None and not engines.is_dir():
        raise InvalidInput(f"--engines {engines} is not a folder; name the folder of the older wheels")
    ledger = StoredLedger(log, desk)
    async with AsyncExitStack() as stack:
        recorded = await stack.enter_async_context(aclosing(ledger.by_number()))
        check = _Check(log, desk, engines, recorded, stack)
        try:
            last, check.ledger_end = (await tape.end()).ordinal, (await ledger.end()).number
            await check.ask_witness(last)
            await check.begin(await _first_engine(tape))
            async with aclosing(tape.read()) as pages:
                async for page in pages:
                    for message in page:
                        await check.message(message)
                    if progress:
                        progress(check.result.records, last)
            await check.end()
        except TapeBroken as error:
            check.stop(str(error))
    check.result.governance = await prove(log, desk, check.walked)
    return check.result


async def _first_engine(tape: TapeLog) -> int:
    """The engine of the first record: what stands before the first activation belongs to that engine too."""
    with suppress(TapeBroken):  # the re-execution comes there as well, and says so
        async with aclosing(tape.read()) as pages:
            async for page in pages:
                for message in page:
                    if isinstance(message, Instructed) and isinstance(message.instruction, EngineActivated):
                        return message.instruction.engine
    return ENGINE


class _Check:
    """One walk over the tape: which engine decides, what it decides, and how much of the ledger is accounted for."""

    def __init__(self, log: Log, desk: str, engines: Path | None, recorded: ByNumber, stack: AsyncExitStack) -> None:
        self.result = Verification()
        self.ledger_end = 0
        self.walked: list[Instructed] = []
        self._log, self._desk, self._engines, self._recorded, self._stack = log, desk, engines, recorded, stack
        self._was_durable = 0  # events up to this number were in the ledger once
        self._number = 0  # events up to this one are accounted for
        self._span = Span(ENGINE, 1, 0)
        self._engine: Reexecution | None = None
        self._because: list[str] = []  # why there is none

    async def ask_witness(self, tape_end: int) -> None:
        """The newest snapshot, of whichever engine: it was stored only after all that it stands on was durable."""
        data = await SnapshotStore(self._log, self._desk).load()
        witness = (place(data) if data else None) or Place(ENGINE, 0, 0)
        self._was_durable = max(self.ledger_end, witness.number)
        if witness.ordinal > tape_end or witness.number > self.ledger_end:
            self._complain(
                f"a snapshot was taken behind record {witness.ordinal} and event {witness.number}, but the tape ends "
                f"at record {tape_end} and the ledger at event {self.ledger_end}: what was durable is gone. "
                "Restore the store from a backup."
            )

    async def message(self, message: Block | Instructed) -> None:
        """The next one of the tape. Raises TapeBroken when it is not."""
        first, last = (message.first, message.last) if isinstance(message, Block) else (message.ordinal,) * 2
        if first != self.result.records + 1:
            raise TapeBroken(
                f"ordinal {self.result.records + 1} is missing on the tape: the next message starts at {first}"
            )
        if isinstance(message, Instructed):
            if isinstance(message.instruction, EngineActivated):
                await self._activated(message.instruction.engine)
            elif is_walked(message.instruction):
                self.walked.append(message)
        if self._engine:
            try:
                lines = await self._engine.fold(message)
            except NoEngine as error:
                self._without_engine(str(error))
            else:
                for line in lines:
                    await self._compare(line)
        self.result.records = self._span.last = last
        if self._span not in self.result.engines[-1:]:
            self.result.engines.append(self._span)

    async def end(self) -> None:
        """The tape ends here: what else is recorded it does not decide."""
        if self._because:
            self._account(self.ledger_end)
        for number in range(self._number + 1, self.ledger_end + 1):
            self._diverge(number, await self._recorded.take(number), None)
            self.result.checked += 1

    def stop(self, problem: str) -> None:
        """The tape or the ledger is not whole from here on."""
        if self._because:
            self._account(self.ledger_end)
        self._complain(problem)
        self.result.unverifiable += max(0, self.ledger_end - self._number)

    # -- engines -------------------------------------------------------------------------------------------------

    async def begin(self, engine: int) -> None:
        """That engine decides from the first record on."""
        self._span = Span(engine, 1, 0)
        try:
            self._engine = await start(engine, self._engines, self._stack)
        except NoEngine as error:
            self._without_engine(str(error))
        else:
            self._span.reexecuted_by = self._engine.name

    async def _activated(self, engine: int) -> None:
        """The next record activates that engine: it goes on from the state of the one before."""
        if engine == self._span.engine:
            return
        before, ended = self._span.engine, self._engine
        self._span, self._engine = Span(engine, self.result.records + 1, self.result.records), None
        try:
            started = await start(engine, self._engines, self._stack)
            state = await self._taken_over(before, ended, started, engine)
            if not await started.restore(state):
                raise NoEngine(f"engine {engine} cannot read the state that it took over with")
        except NoEngine as error:
            self._without_engine(str(error))
            return
        self._engine, self._span.reexecuted_by = started, started.name
        if self._because:
            stands = place(state)
            self._account(stands.number if stands else self._number)

    async def _taken_over(self, before: int, ended: Reexecution | None, started: Reexecution, engine: int) -> bytes:
        """The state that `engine` started from: recomputed if the span before was, else the one that was kept."""
        ordinal = self.result.records
        if engine < before:
            raise NoEngine(f"the tape goes back from engine {before} to engine {engine} at ordinal {ordinal + 1}")
        kept = await kept_state(self._log, self._desk, engine)
        if ended:
            state = await started.migrate(await ended.snapshot())
            if kept != state:
                self._complain(
                    f"the state that engine {engine} took over with at ordinal {ordinal + 1} is "
                    f"{f'not what engine {before} left' if kept else 'lost'}; restore the store from a backup"
                )
            return state
        stands = place(kept) if kept else None
        if not kept or not stands or stands.ordinal != ordinal or stands.number < self._number:
            raise NoEngine(
                f"no state is kept that engine {engine} took over with at ordinal {ordinal + 1}; "
                "restore the store from a backup"
            )
        return kept

    def _without_engine(self, why: str) -> None:
        self._engine, self._span.reexecuted_by = None, None
        self._because.append(why)

    # -- the ledger ----------------------------------------------------------------------------------------------

    async def _compare(self, computed: bytes) -> None:
        self._number += 1
        if self._number > self._was_durable:
            self.result.pending += 1
            return
        self.result.checked += 1
        stands = await self._recorded.take(self._number)
        if stands != computed:
            self._diverge(self._number, stands, computed)

    def _diverge(self, number: int, recorded: bytes | None, recomputed: bytes | None) -> None:
        self.result.diverged += 1
        if self.result.first_divergence is None:
            self.result.first_divergence = Divergence(
                number,
                on_tape(json.loads(recomputed)["ordinal"]) if recomputed is not None else None,
                recorded.decode(errors="replace") if recorded is not None else None,
                recomputed.decode() if recomputed is not None else None,
            )

    def _account(self, number: int) -> None:
        """Nobody could recompute the events up to that one, and why."""
        first, last = self._number + 1, min(number, self.ledger_end)
        what = f"events {first:,} to {last:,} were" if first <= last else "some records of the tape were"
        self._complain(f"{what} not re-executed: {'; '.join(self._because)}")
        self.result.unverifiable += max(0, last + 1 - first)
        self._number, self._because = max(self._number, number), []

    def _complain(self, problem: str) -> None:
        self.result.problem = "; ".join(filter(None, [self.result.problem, problem]))
