"""The sequencer: the tape's one writer. It merges feeds and instructions, gives ordinals and group-commits.

While one block is being made durable the next one fills: a lone tick leaves at once, a backlog in blocks of 960 KiB.
Instructions go ahead of waiting ticks. A second writer loses by the expected sequence (Conflict) and stops.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from typing import Any, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from domain.errors import Conflict, InvalidInput, NotDurable, Unavailable
from domain.instructions import (
    EngineActivated,
    FeedCompleted,
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
)
from domain.instruments import Instrument
from domain.ports import TapeEnd, TapeLog
from domain.tape import MAX_BLOCK_RECORDS, Block, Ticks, blocks, concatenate, market
from gateways.clock import SECOND_NS, LiveClock, second_mark, tzdata_version, with_clock

log = logging.getLogger("cdb.sequencer")

RECORD_FORMAT = "tick64.1"
DRIFT_ALARM_NS = 5 * SECOND_NS
ACTOR, AUTHORITY = "sequencer", "operator"

Draft = Callable[[int, int], Instruction]  # (ordinal, tape time) -> the instruction that stands there


class Activation(NamedTuple):
    """A strategy version with all its parameters (ready for JSON) and the symbols it watches."""

    strategy: str
    version: int
    parameters: dict[str, Any]
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, instruction: StrategyActivated) -> "Activation":
        """What an instruction activated."""
        return cls(instruction.strategy, instruction.version, instruction.parameters, instruction.symbols)


class Standing(NamedTuple):
    """What the tape's instructions have declared so far and still holds."""

    opened: bool
    engine: int
    instruments: dict[str, int]  # symbol -> number
    strategies: dict[str, Activation]
    feeds: dict[str, FeedOpened]
    completed: set[str]


@dataclass
class _Offer:
    """Ticks that wait for the writer; `done` gets the ordinal that the tape reached with the last of them."""

    ticks: Ticks
    feed: str
    done: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Sequencer:
    """Writes one tape. Use `async with Sequencer.open(tape)`; with a `live` clock it stamps and ticks by itself."""

    def __init__(self, tape: TapeLog, end: TapeEnd, standing: Standing, live: LiveClock | None) -> None:
        self.tape, self.standing, self.live = tape, standing, live
        self._end = end
        self._latest_ns = end.time_ns if end.ordinal else None  # of what is on the tape or in line
        self._instructions: deque[tuple[Draft, asyncio.Future[int]]] = deque()
        self._offers: deque[_Offer] = deque()
        self._wake = asyncio.Event()
        self._failed: BaseException | None = None
        self.blocks = 0  # messages of records written

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, tape: TapeLog, *, live: bool = False) -> "AsyncIterator[Sequencer]":
        """Take over the tape where it ends and write until the block is left; what was offered is written first."""
        end = await tape.end()
        sequencer = cls(tape, end, await read_standing(tape, end), LiveClock(end) if live else None)
        tasks = [asyncio.create_task(sequencer._write(), name=f"sequencer {tape.name}")]
        if live:
            tasks.append(asyncio.create_task(sequencer._tick(), name=f"clock {tape.name}"))
        try:
            yield sequencer
            await sequencer._drained()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def end(self) -> TapeEnd:
        """Where the tape ends: everything up to here is durable."""
        return self._end

    # -- what callers offer --------------------------------------------------------------------------------------

    def offer(self, ticks: Ticks, feed: str = "") -> "asyncio.Future[int]":
        """Put market ticks in line (ascending receive_time; a live sequencer stamps it). The future is done when they
        are durable, with the ordinal that the tape had then. Raises InvalidInput for a time that goes back."""
        self._check()
        if self.live:
            ticks["receive_time"] = self.live.now_ns()
        if len(ticks):
            self._refuse_going_back(ticks["receive_time"])
            self._latest_ns = int(ticks["receive_time"][-1])
        offer = _Offer(ticks, feed)
        self._offers.append(offer)
        self._wake.set()
        return offer.done

    def instruct(self, draft: Draft) -> "asyncio.Future[int]":
        """Put an instruction on the tape ahead of all waiting ticks. The future gets its ordinal when it is durable."""
        self._check()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._instructions.append((draft, done))
        self._wake.set()
        return done

    async def declare(self, kind: type[Any], **content: Any) -> int:
        """Write one of the sequencer's own instructions; its id is its kind and place."""

        def draft(ordinal: int, time_ns: int) -> Instruction:
            name = kind.model_fields["kind"].default
            made: Instruction = kind(
                id=f"{name}@{ordinal}", actor=ACTOR, authority=AUTHORITY, **{"occurred_at_ns": time_ns} | content
            )
            return made

        return await self.instruct(draft)

    # -- what must stand before the first tick -------------------------------------------------------------------

    async def prepare(self, instruments: list[Instrument], start_ns: int) -> None:
        """Open the tape and declare what it does not know yet. `start_ns` is the tape's time if it is empty."""
        if not self.standing.opened:
            await self.declare(
                TapeOpened, occurred_at_ns=start_ns, record_format=RECORD_FORMAT, tzdata_version=tzdata_version()
            )
        for instrument in instruments:
            if instrument.symbol not in self.standing.instruments:
                number = len(self.standing.instruments) + 1
                await self.declare(InstrumentDeclared, number=number, instrument=instrument)

    async def activate_engine(self, engine: int) -> None:
        """From the tape's end on this engine version decides (nothing is written when it does already)."""
        if self.standing.engine != engine:
            await self.declare(EngineActivated, engine=engine)

    async def activate_strategies(self, wanted: list[Activation]) -> None:
        """Exactly these run from the tape's end on; what differs from the standing ones is written."""
        active = self.standing.strategies
        for name in [name for name in active if name not in {w.strategy for w in wanted}]:
            await self.declare(StrategyDeactivated, strategy=name)
        for activation in wanted:
            if active.get(activation.strategy) != activation:
                await self.declare(StrategyActivated, **activation._asdict())

    # -- the writer ----------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._instructions or self._offers:
                    await (self._write_instruction() if self._instructions else self._write_block())
                if self.live:
                    await self._write_second(self.live)
        except asyncio.CancelledError:
            self._fail(Unavailable(f"the sequencer of tape {self.tape.name} was stopped before this was written"))
            raise
        except Exception as error:
            self._fail(error)

    async def _write_instruction(self) -> None:
        draft, done = self._instructions[0]
        time_ns = self._live_ns(self.live) if self.live else self._end.time_ns
        try:
            instruction = draft(self._end.ordinal + 1, time_ns)
            feed = "" if isinstance(instruction, FeedCompleted) else self._end.feed
            self._end = await self.tape.append(Instructed(self._end.ordinal + 1, instruction), self._end, feed)
        except (Conflict, Unavailable, NotDurable):
            raise
        except Exception as error:  # its caller erred (a draft that raises, content too large), not the tape
            self._instructions.popleft()
            if not done.done():
                done.set_exception(error)
            return
        self.standing = stand(self.standing, instruction)
        self._instructions.popleft()
        _resolve(done, self._end.ordinal)

    def _live_ns(self, live: LiveClock) -> int:
        """Now, but not later than the ticks that wait: tape time must not go back when they follow."""
        waiting = next((offer.ticks for offer in self._offers if len(offer.ticks)), None)
        return live.now_ns() if waiting is None else int(waiting["receive_time"][0])

    async def _write_block(self) -> None:
        waiting, count = [self._offers[0]], len(self._offers[0].ticks)
        for offer in islice(self._offers, 1, None):
            if offer.feed != waiting[0].feed or count >= MAX_BLOCK_RECORDS:
                break
            waiting.append(offer)
            count += len(offer.ticks)
        ticks = concatenate([offer.ticks for offer in waiting])[:MAX_BLOCK_RECORDS]
        records = with_clock(ticks, self._end)[:MAX_BLOCK_RECORDS]
        if len(records):
            self._end = await self.tape.append(Block(self._end.ordinal + 1, records), self._end, waiting[0].feed)
            self.blocks += 1
        taken = int(market(records).sum())
        while self._offers and taken >= len(self._offers[0].ticks):
            offer = self._offers.popleft()
            taken -= len(offer.ticks)
            _resolve(offer.done, self._end.ordinal)
        if taken:
            self._offers[0].ticks = self._offers[0].ticks[taken:]

    async def _write_second(self, live: LiveClock) -> None:
        marks = second_mark(live.now_ns(), self._end)
        for block in blocks(self._end.ordinal + 1, marks):  # the marks of years, if the tape rested so long
            self._end = await self.tape.append(block, self._end, self._end.feed)

    async def _tick(self) -> None:
        assert self.live is not None
        drifts = False
        while True:
            now = self.live.now_ns()
            await asyncio.sleep((SECOND_NS - now % SECOND_NS) / SECOND_NS)
            self._wake.set()
            drift_ns = self.live.drift_ns()
            drifts, drifted = abs(drift_ns) > DRIFT_ALARM_NS, drifts
            if drifts and not drifted:
                log.error(
                    "tape %s: the wall clock is %.1f s away from tape time; correct it and start again",
                    self.tape.name, drift_ns / SECOND_NS,
                )  # fmt: skip

    async def _drained(self) -> None:
        waiting = [offer.done for offer in self._offers] + [done for _, done in self._instructions]
        if waiting:
            await asyncio.wait(waiting)
        self._check()

    def _refuse_going_back(self, times: npt.NDArray[np.int64]) -> None:
        before = times[:1] if self._latest_ns is None else np.array([self._latest_ns])
        places = np.flatnonzero(times < np.concatenate([before, times[:-1]]))
        if len(places):
            raise InvalidInput(
                f"tick {places[0] + 1} of {len(times)} goes back in time, to {times[places[0]]} ns; the time of tape "
                f"{self.tape.name} never does: put the ticks in order, or on a tape of their own"
            )

    def _check(self) -> None:
        if self._failed:
            raise self._failed

    def _fail(self, error: BaseException) -> None:
        self._failed = error
        for done in [offer.done for offer in self._offers] + [done for _, done in self._instructions]:
            if not done.done():
                done.set_exception(error)
                done.exception()  # a caller that does not wait for it gets the error at its next call


def _resolve(done: "asyncio.Future[int]", ordinal: int) -> None:
    if not done.done():  # a caller may have given up waiting
        done.set_result(ordinal)


async def read_standing(tape: TapeLog, end: TapeEnd) -> Standing:
    """Walk the chain of standing instructions back from the end of the tape."""
    chain: list[Instruction] = []
    ordinal = end.standing
    while ordinal:
        instruction, ordinal = await tape.instruction(ordinal)
        chain.append(instruction)
    return reduce(stand, reversed(chain), Standing(False, 0, {}, {}, {}, set()))


def stand(standing: Standing, instruction: Instruction) -> Standing:
    """What stands after one more instruction (the mappings are changed in place)."""
    match instruction:
        case TapeOpened():
            return standing._replace(opened=True)
        case EngineActivated():
            return standing._replace(engine=instruction.engine)
        case InstrumentDeclared():
            standing.instruments[instruction.instrument.symbol] = instruction.number
        case StrategyActivated():
            standing.strategies[instruction.strategy] = Activation.of(instruction)
        case StrategyDeactivated():
            standing.strategies.pop(instruction.strategy, None)
        case FeedOpened():
            standing.feeds.pop(instruction.feed, None)  # opened again, it is the newest
            standing.feeds[instruction.feed] = instruction
        case FeedCompleted():
            standing.completed.add(instruction.feed)
        case _:
            assert_never(instruction)
    return standing
