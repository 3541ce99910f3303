"""Verification: the engine runs over the tape again and its events are compared with the ledger, byte for byte."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from adapters.ledger import JetStreamLedger
from domain.engine import Engine
from domain.errors import TapeBroken
from domain.ports import Log, Recorded, TapeLog
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
    """What `verify` found. `pending` events are decided by the tape but not in the ledger yet (the engine was stopped).
    `problem` says why re-execution ended early, and where."""

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

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def verify(
    log: Log, desk: str, tape: TapeLog, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Re-execute `tape` from its first record and compare the desk's ledger. Nothing is written."""
    result, engine, last = Verification(), Engine(), (await tape.end()).ordinal
    ledger = JetStreamLedger(log, desk)
    ledger_end = (await ledger.end()).number
    recorded = _Recorded(ledger)
    try:
        async for page in tape.read():
            for message in page:
                for event in engine.fold(message):
                    if event.number > ledger_end:
                        result.pending += 1
                        continue
                    computed = event.model_dump_json().encode()
                    stands = await recorded.take(event.number)
                    result.checked += 1
                    if stands != computed:
                        _diverge(result, event.number, position(desk, event.ordinal), stands, computed)
            result.records = engine.ordinal
            if progress:
                progress(engine.ordinal, last)
        for number in range(engine.number + 1, ledger_end + 1):  # recorded, but the tape does not decide it
            stands = await recorded.take(number)
            result.checked += 1
            _diverge(result, number, None, stands, None)
    except TapeBroken as error:  # of the tape, or of the ledger's own commits
        result.problem, result.records = str(error), engine.ordinal
        result.unverifiable = max(0, ledger_end - result.checked)
    return result


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


class _Recorded:
    """The ledger's events by number, in ascending order; a number that is missing there gives None."""

    def __init__(self, ledger: JetStreamLedger) -> None:
        self._pages = ledger.read()
        self._waiting: list[Recorded] = []

    async def take(self, number: int) -> bytes | None:
        while True:
            while self._waiting and self._waiting[-1].number < number:
                self._waiting.pop()
            if self._waiting:
                return self._waiting.pop().line if self._waiting[-1].number == number else None
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._waiting = page[::-1]
