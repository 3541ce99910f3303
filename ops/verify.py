"""Verification: the engine runs over the tape again and its events are compared with the ledger, byte for byte."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from adapters.ledger import StoredLedger
from adapters.snapshots import SnapshotStore
from domain.engine import Engine
from domain.errors import TapeBroken
from domain.ports import Log, TapeLog
from domain.tape import position


@dataclass(frozen=True)
class Divergence:
    """The first event that is not what the engine computes. None: it is missing on that side."""

    number: int
    position: str | None
    recorded: str | None
    recomputed: str | None


@dataclass
class Verification:
    """What `verify` found. `pending` events are decided by the tape but are not in the ledger: the engine was stopped
    before, or the ledger was cut short. `problem` says what makes the store itself untrustworthy, or why re-execution
    ended early; `unverifiable` events could not be recomputed because of it."""

    checked: int = 0
    diverged: int = 0
    unverifiable: int = 0
    pending: int = 0
    records: int = 0
    first_divergence: Divergence | None = None
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """True when every ledger event was recomputed equal."""
        return not (self.diverged or self.unverifiable or self.problem)


async def verify(
    log: Log, desk: str, tape: TapeLog, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Re-execute `tape` from its first record and compare the desk's ledger. Nothing is written."""
    result, engine, ledger, ledger_end = Verification(), Engine(), StoredLedger(log, desk), 0
    try:
        last, ledger_end = (await tape.end()).ordinal, (await ledger.end()).number
        witness = await _witness(log, desk)
        result.problem = _lost(witness, last, ledger_end)
        was_durable = max(ledger_end, witness.number)
        async with aclosing(ledger.by_number()) as recorded:
            async with aclosing(tape.read()) as pages:
                async for page in pages:
                    for message in page:
                        for event in engine.fold(message):
                            if event.number > was_durable:
                                result.pending += 1
                                continue
                            result.checked += 1
                            computed = event.model_dump_json().encode()
                            stands = await recorded.take(event.number)
                            if stands != computed:
                                _diverge(result, event.number, position(desk, event.ordinal), stands, computed)
                    if progress:
                        progress(engine.ordinal, last)
            for number in range(engine.number + 1, ledger_end + 1):  # recorded, but the tape does not decide it
                _diverge(result, number, None, await recorded.take(number), None)
                result.checked += 1
    except TapeBroken as error:
        result.problem = str(error)
        result.unverifiable = max(0, ledger_end - result.checked)
    result.records = engine.ordinal
    return result


async def _witness(log: Log, desk: str) -> Engine:
    """The newest snapshot: it was stored only after all that it stands on was durable."""
    data = await SnapshotStore(log, desk).load()
    return (Engine.restore(data) if data else None) or Engine()


def _lost(witness: Engine, tape_end: int, ledger_end: int) -> str | None:
    if witness.ordinal <= tape_end and witness.number <= ledger_end:
        return None
    return (
        f"a snapshot was taken behind record {witness.ordinal} and event {witness.number}, but the tape ends at record "
        f"{tape_end} and the ledger at event {ledger_end}: what was durable is gone. Restore the store from a backup."
    )


def _diverge(
    result: Verification, number: int, where: str | None, recorded: bytes | None, recomputed: bytes | None
) -> None:
    result.diverged += 1
    if result.first_divergence is None:
        result.first_divergence = Divergence(
            number,
            where,
            recorded.decode(errors="replace") if recorded is not None else None,
            recomputed.decode() if recomputed is not None else None,
        )
