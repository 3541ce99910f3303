"""A desk for the tests of operations: a script on its tape, and engines that decide on it."""

from typing import Any

from adapters.ledger import StoredLedger
from adapters.tape_log import StoredTape
from domain.ports import Log, TapeEnd
from ops.core import Core
from tests import canonical

DESK = "main"
SCRIPT: list[Any] = [
    *canonical.opening(2, canonical.EVERY_STRATEGY),
    canonical.with_minutes(canonical.market_ticks(1_500, seed=11, symbols=2)),
    canonical.activated("ema_cross", "EURUSD", id="fewer"),
    canonical.with_minutes(canonical.market_ticks(500, seed=12, symbols=2, start=canonical.MONDAY + 10**14)),
]
LEDGER = canonical.ledger(canonical.messages(SCRIPT))
LAST = canonical.length(SCRIPT)


async def write_tape(log: Log, script: Any = SCRIPT, desk: str = DESK) -> TapeEnd:
    """The script behind what is on the desk's tape, in blocks of a hundred records."""
    tape = StoredTape(log, desk)
    end = await tape.end()
    for message in canonical.messages(script, range(0, 10_000, 100), first=end.ordinal + 1):
        end = await tape.append(message, end)
    return end


def core(log: Log, desk: str = DESK, **options: Any) -> Core:
    return Core(log, desk, StoredTape(log, desk), **options)


async def decide(log: Log, until: int = LAST, desk: str = DESK) -> Core:
    """Run an engine to an ordinal."""
    engine = core(log, desk)
    await engine.run(until=until)
    return engine


async def ledger(log: Log, desk: str = DESK) -> list[bytes]:
    """The lines of the ledger."""
    return [event.line async for page in StoredLedger(log, desk).read() for event in page]
