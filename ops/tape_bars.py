"""Bars of a desk's tape up to a moment, folded by the very kernel that the strategies use."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import numpy.typing as npt

from adapters.tape_log import StoredTape
from domain import bars
from domain.errors import InvalidInput
from domain.ports import END, Log
from domain.tape import MAX_BLOCK_RECORDS, QUOTE, Block, Ticks, empty_ticks, utc
from gateways.api_desk import TIMEFRAMES, Timeframe
from ops.moments import Moments
from projections.answers import Answer, decimal
from projections.as_of import AsOf

LENGTHS_NS = dict(zip(TIMEFRAMES, bars.TIMEFRAMES, strict=True))
MAX_RECORDS = 5_000_000  # 320 MB to be read


async def bars_of(
    log: Log, desk: str, instrument: int, timeframe: Timeframe, at: AsOf, *, end_ns: int | None, count: int
) -> list[Answer]:
    """See gateways.api_desk.ApiDesk.bars; `instrument` is the number that the tape gave it."""
    moments, length = Moments(log, desk), LENGTHS_NS[timeframe]
    now_ns = (await moments.times(at)).market_ns
    if now_ns is None:
        return []
    last_ns = (min(now_ns, now_ns if end_ns is None else end_ns - 1)) // length * length
    after = await _ordinal(moments, max(0, last_ns - (count - 1) * length) - 1)
    until = min(at.tape, await _ordinal(moments, min(now_ns, last_ns + length - 1)))
    if until - after > MAX_RECORDS:
        raise InvalidInput(
            f"{count} bars of {timeframe} are {until - after:,} records, more than {MAX_RECORDS:,}; ask for fewer"
        )
    folding = _Folding(instrument, length)
    async with aclosing(_records(StoredTape(log, desk), after, until)) as blocks:
        async for records in blocks:
            await asyncio.to_thread(folding.take, records)
    return [_row(bar, closed=int(bar["start"]) + length <= now_ns) for bar in folding.all()]


def warm_up() -> None:
    """Compile the kernel before somebody waits for it."""
    _Folding(1, bars.M1).all()


async def _ordinal(moments: Moments, time_ns: int) -> int:
    """The last one at or before a market time, 0 when the tape begins later."""
    try:
        return (await moments.at_market_time(time_ns)).tape
    except InvalidInput:
        return 0


async def _records(tape: StoredTape, after: int, until: int) -> AsyncGenerator[Ticks, None]:
    """Blocks of records with after < ordinal <= until."""
    if after >= until:
        return
    async with aclosing(tape.read(after)) as pages:
        async for page in pages:
            for message in page:
                first = message.first if isinstance(message, Block) else message.ordinal
                if first > until:
                    return
                if isinstance(message, Block):
                    yield message.records[: until - first + 1]


class _Folding:
    """The bars of one instrument and timeframe."""

    def __init__(self, instrument: int, length: int) -> None:
        self._instrument, self._length = instrument, length
        self._states = np.zeros(instrument + 1, bars.BARS)
        self._states["instrument"][instrument] = instrument
        self._out = np.empty(len(bars.TIMEFRAMES) * MAX_BLOCK_RECORDS, bars.CLOSED)
        self._closed: list[npt.NDArray[np.void]] = []

    def take(self, records: Ticks) -> None:
        """Fold a block."""
        closed = self._out[: bars.closed_bars(self._states, records, self._out)]
        self._closed.append(closed["bar"][closed["timeframe"] == self._length])

    def all(self) -> npt.NDArray[np.void]:
        """Every bar, the one under way too: a tick that never comes closes it. Nothing is folded any more then."""
        never = empty_ticks(1)
        never["kind"], never["instrument"], never["receive_time"] = QUOTE, self._instrument, END
        self.take(never)
        return np.concatenate(self._closed)


def _row(bar: npt.NDArray[np.void], *, closed: bool) -> Answer:
    prices = {name: decimal(int(bar[name])) for name in ("open", "high", "low", "close")}
    return {"time": utc(int(bar["start"])), **prices, "ticks": int(bar["ticks"]), "closed": closed}
