"""The bundled session, so that a first run needs no download: two days of EURUSD quotes made by arithmetic.

It is synthetic and labelled so (venue `synthetic`): no market ever quoted it. Integers only, drawn from the raw stream
of PCG64, which numpy keeps stable across versions, so the session is the same bytes everywhere.
"""

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from domain.tape import QUOTE, Ticks, empty_ticks
from gateways.feeds.fields import date_ns
from gateways.feeds.files import FileSet, SourceFile

SYMBOL, VENUE = "EURUSD", "synthetic"
DAYS = ("20240305", "20240306")  # a Tuesday and a Wednesday
SEED = 5
OPEN_POINTS = 108_500  # 1.08500

# Quotes an hour, UTC: a quiet Asia, London's morning, the overlap with New York, a thin evening.
QUOTES_BY_HOUR = (
    700, 750, 800, 700, 650, 800, 1700, 3600, 4200, 3600, 3000, 2800,
    3400, 4800, 5000, 4600, 3600, 2400, 1600, 1200, 900, 600, 450, 500,
)  # fmt: skip
LEG_QUOTES = 800  # a leg of the market lasts about so many quotes, then may turn
PULL = 2  # of 64 quotes, so many step with the leg

_POINT_NANOS = 10_000
_HOUR_MS = 3_600_000

U8 = npt.NDArray[np.uint64]


def demo_ticks() -> FileSet:
    """The session, in the shape that files have. Reference counts quotes from 1."""
    bits = np.random.PCG64(SEED)
    time = _times(bits)
    count = len(time)
    mid, spread = _path(_draw(bits, count), _draw(bits, count)), _spreads(_draw(bits, count), time)
    ticks = empty_ticks(count)
    ticks["event_time"] = ticks["receive_time"] = time
    ticks["bid"] = (mid - spread // 2) * _POINT_NANOS
    ticks["ask"] = ticks["bid"] + spread * _POINT_NANOS
    sizes = _draw(bits, count)
    for shift, side in ((0, "bid_size"), (8, "ask_size")):
        ticks[side] = (1 + _part(sizes, shift, 3)) * 500_000 * 1_000_000_000
    ticks["instrument"], ticks["kind"], ticks["reference"] = 1, QUOTE, np.arange(1, count + 1)
    return _as_files(ticks)


def _draw(bits: np.random.PCG64, count: int) -> U8:
    return np.asarray(bits.random_raw(count), np.uint64)


def _part(words: U8, shift: int, width: int) -> npt.NDArray[np.int64]:
    """`width` bits of each word as a number."""
    return ((words >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def _times(bits: np.random.PCG64) -> npt.NDArray[np.int64]:
    """Quotes scattered over each hour, in order, to the millisecond."""
    hours = []
    for day in DAYS:
        for hour, quotes in enumerate(QUOTES_BY_HOUR):
            within = np.sort((_draw(bits, quotes) % np.uint64(_HOUR_MS)).astype(np.int64))
            hours.append(date_ns(day) + (hour * _HOUR_MS + within) * 1_000_000)
    return np.concatenate(hours)


def _path(steps: U8, turns: U8) -> npt.NDArray[np.int64]:
    """The mid in points: small steps that lean with legs of drawn direction, so that it swings and trends."""
    noise = _part(steps, 0, 1) - _part(steps, 1, 1)
    turning = turns % np.uint64(LEG_QUOTES) == 0
    direction = np.where(_part(turns, 40, 1) == 1, 1, -1)
    leg = direction[np.maximum.accumulate(np.where(turning, np.arange(len(turns)), 0))]
    lean = np.where(_part(steps, 8, 6) < PULL, leg, 0)
    return OPEN_POINTS + np.cumsum(noise + lean)


def _spreads(words: U8, time: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """5 to 8 points, wider by 6 in the two hours around the New York close."""
    hour = time // (_HOUR_MS * 1_000_000) % 24
    return 5 + _part(words, 0, 2) + np.where((hour == 21) | (hour == 22), 6, 0)


def _as_files(ticks: Ticks) -> FileSet:
    digest = sha256(ticks.tobytes()).hexdigest()
    file = SourceFile(
        name="synthetic-session", sha256=digest, format="synthetic", symbol=SYMBOL, venue=VENUE, rows=len(ticks),
        rejected=0, first_time_ns=int(ticks["event_time"][0]), last_time_ns=int(ticks["event_time"][-1]),
    )  # fmt: skip
    return FileSet(symbols=[SYMBOL], files=[file], ticks=ticks, rejects=[], identity=digest)
