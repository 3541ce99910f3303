"""A set of files onto a tape: once, in order, and on from where an interruption left it.

A feed's identity is the content of its files and the options that shape its ticks. The same feed again adds nothing;
an interrupted one continues behind the last tick of it that is durable; one that reaches before the tape's end is
refused with the overlap named.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.bars import M1
from domain.errors import InvalidInput, Overlap
from domain.instructions import FeedCompleted, FeedFile, FeedOpened
from domain.instruments import instrument_for
from domain.tape import FROM_BAR, MAX_BLOCK_RECORDS, Ticks, utc
from gateways.feeds.files import FileSet
from gateways.sequencer import Sequencer

BLOCKS_AHEAD = 2  # of whoever reads the tape: the backlog waits before the tape, where a halt overtakes it


class Pace:
    """Lets market time pass `speed` times as fast as real time, from the first tick on that it is asked about.

    `clock` (seconds) and `pause` belong to whoever tests.
    """

    def __init__(
        self,
        speed: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._speed, self._clock, self._pause = speed, clock, pause
        self._started: tuple[float, int] | None = None  # monotonic seconds, and the market's time then

    async def due(self, times: npt.NDArray[np.int64]) -> int:
        """How many of the next ticks (their times, ascending, at least one) are due; waits until the first is."""
        if self._started is None:
            self._started = self._clock(), int(times[0])
        began, market_ns = self._started
        wait_s = (int(times[0]) - market_ns) / 1e9 / self._speed - (self._clock() - began)
        if wait_s > 0:
            await self._pause(wait_s)
        reached = market_ns + int((self._clock() - began) * 1e9 * self._speed)
        return max(1, int(np.searchsorted(times, reached, side="right")))


class Fed(NamedTuple):
    """What a feed added: market ticks, and the tape's last ordinal before and after."""

    ticks: int
    before: int
    after: int


def fed_of(sequencer: Sequencer, files: FileSet) -> int:
    """How many ticks of these files are on the tape."""
    feed = files.identity[:16]
    if feed in sequencer.standing.completed:
        return len(files.ticks)
    return sequencer.end.fed if sequencer.end.feed == feed else 0


async def feed_files(
    sequencer: Sequencer,
    files: FileSet,
    *,
    ahead_of: Callable[[int], Awaitable[None]] | None = None,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> Fed:
    """Put `files` on the sequencer's tape. `ahead_of(ordinal)` waits until the reader of the tape has come that far;
    `progress(ticks)` is told what became durable; `pace` lets time pass between them. Raises Overlap, InvalidInput."""
    feed, before, fed = files.identity[:16], sequencer.end.ordinal, fed_of(sequencer, files)
    if feed in sequencer.standing.completed:
        if progress:
            progress(fed)
        return Fed(0, before, before)
    admit(sequencer, files)
    if not (fed or _just_opened(sequencer, feed)):
        await _open(sequencer, files, feed)
    ticks = _numbered(files, sequencer.standing.instruments)[fed:]
    waiting: deque[asyncio.Future[int]] = deque()
    start = 0
    while start < len(ticks):
        part = ticks[start : start + MAX_BLOCK_RECORDS]
        if pace:
            part = part[: await pace.due(part["event_time"])]
        start += len(part)
        waiting.append(sequencer.offer(part, feed))
        if len(waiting) >= BLOCKS_AHEAD:
            ordinal = await waiting.popleft()
            if ahead_of:
                await ahead_of(ordinal)
        if progress:
            progress(sequencer.end.fed)
    for done in waiting:
        await done
    await sequencer.declare(FeedCompleted, feed=feed)
    if progress:
        progress(len(files.ticks))
    return Fed(len(ticks), before, sequencer.end.ordinal)


def as_if_now(files: FileSet, now_ns: int) -> FileSet:
    """The same ticks with their first one at `now_ns`: a recording, played as if it happened live."""
    ticks = files.ticks.copy()
    shift = now_ns - int(ticks["event_time"][0])
    if (ticks["flags"] & FROM_BAR).any():
        shift = shift // M1 * M1  # bars stay on their minutes
    ticks["event_time"] += shift
    ticks["receive_time"] += shift
    return replace(files, ticks=ticks, identity=sha256(f"{files.identity}+{shift}".encode()).hexdigest())


def admit(sequencer: Sequencer, files: FileSet) -> None:
    """Refuse files that this tape cannot take, before anything is written. Raises Overlap, InvalidInput."""
    feed = files.identity[:16]
    if not len(files.ticks):
        raise InvalidInput(f"{_names(files)}: no row was accepted; the rejects file has each line's reason")
    if feed in sequencer.standing.completed or sequencer.end.feed == feed:
        return
    end, times = sequencer.end, files.ticks["receive_time"]
    if end.feed:
        stopped = sequencer.standing.feeds[end.feed]
        raise InvalidInput(
            f"tape {sequencer.tape.name}: the feed of {', '.join(file.name for file in stopped.files)} stopped at tick "
            f"{end.fed:,} of {stopped.ticks:,}. Run it again first, or use another tape (--desk NEW), "
            "else its rest could never follow."
        )
    first, last = int(times[0]), int(times[-1])
    if sequencer.live or not end.ordinal or first >= end.time_ns:  # what is live gets the time at which it comes
        return
    known = [
        ", ".join(file.name for file in feed.files)
        for feed in sequencer.standing.feeds.values()
        if feed.first_time_ns <= last and first <= feed.last_time_ns
    ]
    raise Overlap(
        f"{_names(files)} begins at {utc(first)}, but tape {sequencer.tape.name} already reaches {utc(end.time_ns)}: "
        f"{utc(first)} to {utc(min(end.time_ns, last))} overlaps "
        f"{' and '.join(known) or 'time that has passed on this tape'}. A tape never goes back: "
        "use another one (--desk NEW for a desk, --tape NEW for a dataset), or give a file that begins later."
    )


def _just_opened(sequencer: Sequencer, feed: str) -> bool:
    """The feed was opened last and never fed: nothing of it is durable yet."""
    return next(reversed(sequencer.standing.feeds), None) == feed


async def _open(sequencer: Sequencer, files: FileSet, feed: str) -> None:
    times = files.ticks["receive_time"]
    await sequencer.prepare([instrument_for(symbol) for symbol in files.symbols], int(times[0]))
    await sequencer.declare(
        FeedOpened,
        feed=feed,
        files=tuple(FeedFile(**file.model_dump(include=set(FeedFile.model_fields))) for file in files.files),
        ticks=len(files.ticks),
        first_time_ns=int(times[0]),
        last_time_ns=int(times[-1]),
    )


def _numbered(files: FileSet, numbers: dict[str, int]) -> Ticks:
    """The ticks with the tape's own instrument numbers in place of 1 + index into `files.symbols`."""
    own = np.array([0, *(numbers[symbol] for symbol in files.symbols)], np.uint32)
    if (own == np.arange(len(own))).all():
        return files.ticks
    ticks = files.ticks.copy()
    ticks["instrument"] = own[ticks["instrument"]]
    return ticks


def _names(files: FileSet) -> str:
    return ", ".join(file.name for file in files.files)
