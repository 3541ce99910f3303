"""Candles of one moment after the other: those that are closed are asked for once."""

from typing import NamedTuple

from domain import bars
from gateways.api_desk import BARS_MAX, TIMEFRAMES, ApiDesk, Moment, Timeframe
from projections.answers import Answer

LENGTHS_NS = dict(zip(TIMEFRAMES, bars.TIMEFRAMES, strict=True))

_Key = tuple[str, Timeframe, int]


class _Kept(NamedTuple):
    tape: int
    market_ns: int
    bars: list[Answer]


class Bars:
    """The bars of one desk for every page that shows them."""

    def __init__(self, desk: ApiDesk) -> None:
        self._desk = desk
        self._kept: dict[_Key, _Kept] = {}

    async def up_to(self, moment: Moment, symbol: str, timeframe: Timeframe, count: int) -> list[Answer]:
        """The last bars up to a moment, so many where there are. Raises InvalidInput, Unavailable."""
        if moment.market_time_ns is None:
            return []
        key = (symbol, timeframe, count)
        kept, length = self._kept.get(key), LENGTHS_NS[timeframe]
        passed = moment.market_time_ns // length - kept.market_ns // length if kept else count
        if kept and kept.tape <= moment.at.tape and passed < count:
            newest = await self._desk.bars(symbol, timeframe, moment.at, count=passed + 1)
            begun = newest[0]["time"] if newest else None
            found = [bar for bar in kept.bars if begun is None or bar["time"] < begun] + newest
        else:
            found = await self._all(moment, symbol, timeframe, count)
        found = found[-count:]
        if moment.newest:
            self._kept[key] = _Kept(moment.at.tape, moment.market_time_ns, found)
        return found

    async def _all(self, moment: Moment, symbol: str, timeframe: Timeframe, count: int) -> list[Answer]:
        """Over a weekend more time must be asked for than the bars fill."""
        further = BARS_MAX if LENGTHS_NS[timeframe] < bars.H1 else min(BARS_MAX, 2 * count)
        found = await self._desk.bars(symbol, timeframe, moment.at, count=count)
        return found if len(found) >= count else await self._desk.bars(symbol, timeframe, moment.at, count=further)
