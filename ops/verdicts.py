"""The verdicts on a desk's signals, followed from a place of its ledger on."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from domain.events import SignalAssessed, SignalRaised
from ops.ledger_reader import LedgerReader


class Verdict(NamedTuple):
    """A strategy's signal with what was decided on it."""

    raised: SignalRaised
    assessed: SignalAssessed


class Verdicts:
    """Each is given once. `after` is the number of the ledger's event before the first that counts."""

    def __init__(self, reader: LedgerReader, after: int) -> None:
        self._reader, self._after = reader, after
        self._raised: SignalRaised | None = None

    async def fresh(self) -> AsyncIterator[Verdict]:
        """Those that stand now and were not given yet. Raises TapeBroken, Unavailable."""
        async with aclosing(self._reader.between(self._after, await self._reader.end())) as pages:
            async for page in pages:
                for line in page:
                    self._after = line.number
                    if b'"type":"signal_' not in line.line:
                        continue
                    event = self._reader.event(line)
                    if isinstance(event, SignalRaised):
                        self._raised = event
                    elif isinstance(event, SignalAssessed) and self._raised:
                        raised, self._raised = self._raised, None
                        if event.causation == raised.number:
                            yield Verdict(raised, event)
