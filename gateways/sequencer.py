"""The sequencer: the tape's one writer. It merges feeds and instructions, gives ordinals and group-commits.

While one block is being made durable the next one fills: a lone tick leaves at once, a backlog in blocks of 960 KiB.
Instructions go ahead of waiting ticks, halts first; a latched halt is looked for before every message and, when idle,
every 100 ms. A second writer loses by the expected sequence (Conflict) and stops.
"""

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.commands import GRANTED, is_granted
from domain.errors import Conflict, InvalidInput, NotDurable, Unavailable
from domain.instructions import (
    AccountOpened,
    EngineActivated,
    FeedCompleted,
    Instructed,
    Instruction,
    InstrumentDeclared,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
    TradingHalted,
)
from domain.instruments import Instrument
from domain.policy import Policy
from domain.ports import TapeEnd, TapeLog
from domain.tape import MAX_BLOCK_RECORDS, Block, Ticks, blocks, concatenate, market
from gateways.clock import SECOND_NS, LiveClock, second_mark, sessions_open, tzdata_version, with_clock
from gateways.halt_latch import HaltLatch
from gateways.priority import Priority, priority_of
from gateways.standing import Activation, Standing, read_standing, stand

__all__ = ["Activation", "Sequencer"]

log = logging.getLogger("cdb.sequencer")

RECORD_FORMAT = "tick64.1"
DRIFT_ALARM_NS = 5 * SECOND_NS
LATCH_SECONDS = 0.1  # an idle writer looks at the latch this often
ACTOR, AUTHORITY = "sequencer", "operator"

Draft = Callable[[int, int], Instruction]  # (ordinal, tape time) -> the instruction that stands there
_Drafted = tuple[Draft, "asyncio.Future[int]"]


@dataclass
class _Offer:
    """Ticks that wait for the writer; `done` gets the ordinal that the tape reached with the last of them."""

    ticks: Ticks
    feed: str
    done: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Sequencer:
    """Writes one tape. Use `async with Sequencer.open(tape)`; with a `live` clock it stamps and ticks by itself."""

    def __init__(
        self, tape: TapeLog, end: TapeEnd, standing: Standing, live: LiveClock | None, latch: HaltLatch | None
    ) -> None:
        self.tape, self.standing, self.live, self.latch = tape, standing, live, latch
        self._end = end
        self._latest_ns = end.time_ns if end.ordinal else None  # of what is on the tape or in line
        self._instructions: dict[Priority, deque[_Drafted]] = {priority: deque() for priority in Priority}
        self._offers: deque[_Offer] = deque()
        self._wake = asyncio.Event()
        self._failed: BaseException | None = None
        self._writing: asyncio.Task[None] | None = None
        self._halted_by = ""  # the id of the latched halt that was written last
        self.blocks = 0  # messages of records written

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, tape: TapeLog, *, live: bool = False, latch: HaltLatch | None = None
    ) -> "AsyncIterator[Sequencer]":
        """Take over the tape where it ends and write until the block is left; what was offered is written first."""
        end = await tape.end()
        sequencer = cls(tape, end, await read_standing(tape, end), LiveClock(end) if live else None, latch)
        sequencer._writing = asyncio.create_task(sequencer._write(), name=f"sequencer {tape.name}")
        tasks = [sequencer._writing]
        if live:
            tasks.append(asyncio.create_task(sequencer._tick(), name=f"clock {tape.name}"))
            tasks[-1].add_done_callback(sequencer._clock_ended)
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

    async def lost(self) -> None:
        """Wait until the writer fails, and raise why: who offers nothing would not be told."""
        assert self._writing is not None
        await asyncio.wait({self._writing})
        self._check()

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

    def instruct(self, draft: Draft, priority: Priority = Priority.NORMAL) -> "asyncio.Future[int]":
        """Put an instruction on the tape ahead of all waiting ticks. The future gets its ordinal when it is durable."""
        self._check()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._instructions[priority].append((draft, done))
        self._wake.set()
        return done

    def submit(self, instruction: Instruction) -> "asyncio.Future[int]":
        """Put an instruction from outside on the tape: its content, at tape time. Raises InvalidInput, Unavailable."""
        if not self.standing.opened:
            raise Unavailable(f"tape {self.tape.name} takes nothing before it is opened; try again in a moment")
        if re.fullmatch(r"[a-z_]+@\d+", instruction.id):  # taken, it would make the sequencer's own a repetition
            raise InvalidInput(f"id {instruction.id!r} has the form of the sequencer's own ids; choose another")
        if instruction.id.startswith(GRANTED) and not is_granted(instruction):  # nor a granted one
            raise InvalidInput(f"id {instruction.id!r} is a proposal's, not this {instruction.kind}'s; choose another")
        if isinstance(instruction, StrategyActivated):  # what stands is what the engine will apply
            missing = [symbol for symbol in instruction.symbols if symbol not in self.standing.instruments]
            if missing:
                raise InvalidInput(
                    f"no instrument {missing[0]!r} is declared on tape {self.tape.name}; correct the symbols"
                )
        return self.instruct(_restamped(instruction), priority_of(instruction.kind))

    async def declare(self, kind: type[Any], **content: Any) -> int:
        """Write one of the sequencer's own instructions; its id is its kind and place."""
        name = kind.model_fields["kind"].default

        def draft(ordinal: int, time_ns: int) -> Instruction:
            made: Instruction = kind(
                id=f"{name}@{ordinal}", actor=ACTOR, authority=AUTHORITY, **{"occurred_at_ns": time_ns} | content
            )
            return made

        return await self.instruct(draft, priority_of(name))

    # -- what must stand before the first tick -------------------------------------------------------------------

    async def prepare(self, instruments: list[Instrument], start_ns: int) -> None:
        """Open the tape and declare what it does not know yet. `start_ns` is the tape's time if it is empty."""
        if not self.standing.opened:
            await self.declare(
                TapeOpened,
                occurred_at_ns=start_ns,
                record_format=RECORD_FORMAT,
                tzdata_version=tzdata_version(),
                sessions_open=sessions_open(start_ns),
            )
        for instrument in instruments:
            if instrument.symbol not in self.standing.instruments:
                number = len(self.standing.instruments) + 1
                await self.declare(InstrumentDeclared, number=number, instrument=instrument)

    async def activate_engine(self, engine: int) -> None:
        """From the tape's end on this engine version decides (nothing is written when it does already)."""
        if self.standing.engine not in (0, engine):
            raise InvalidInput(
                f"tape {self.tape.name} belongs to engine {self.standing.engine}; engine {engine} must take over first"
            )
        if not self.standing.engine:
            await self.declare(EngineActivated, engine=engine)

    async def open_account(self, currency: str, initial_balance_nanos: int) -> None:
        """Open the desk's account (nothing is written when this one is open). Raises InvalidInput for another one."""
        account = self.standing.account
        if account is None:
            await self.declare(AccountOpened, currency=currency, initial_balance_nanos=initial_balance_nanos)
        elif (account.currency, account.initial_balance_nanos) != (currency, initial_balance_nanos):
            raise InvalidInput(
                f"tape {self.tape.name} has an account of {_money(account.initial_balance_nanos)} {account.currency}, "
                f"not of {_money(initial_balance_nanos)} {currency}: a desk's account is opened once; --desk NEW "
                "starts another desk"
            )

    async def activate_policy(self, policy: Policy) -> None:
        """From the tape's end on this policy holds (nothing is written when it does already)."""
        if self.standing.policy != policy:
            await self.declare(PolicyActivated, policy=policy)

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
                while await self._write_next():
                    pass
                if self.live and self._end.ordinal:  # the first record of a tape is the one that opens it
                    await self._write_second(self.live)
                await self._woken()
        except asyncio.CancelledError:
            self._fail(Unavailable(f"the sequencer of tape {self.tape.name} was stopped before this was written"))
            raise
        except Exception as error:
            self._fail(error)

    async def _woken(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATCH_SECONDS if self.latch else None):
                await self._wake.wait()
        self._wake.clear()

    async def _write_next(self) -> bool:
        """Write what is first in line; False when nothing waits. A latched halt follows the halts and resumes in line,
        because a resume behind it would end it."""
        queue = next((queue for queue in self._instructions.values() if queue), None)
        if self.latch and not self._instructions[Priority.CRITICAL] and (halt := self._latched(self.latch)):
            await self._write_latched(halt, self.latch)
        elif queue:
            await self._write_instruction(queue)
        elif self._offers:
            await self._write_block()
        else:
            return False
        return True

    def _latched(self, latch: HaltLatch) -> TradingHalted | None:
        halt = latch.pending() if self._end.ordinal else None  # on an empty tape its opening goes first
        return halt if halt and halt.id != self._halted_by else None

    async def _write_latched(self, halt: TradingHalted, latch: HaltLatch) -> None:
        await self._append(_restamped(halt))
        self._halted_by = halt.id
        try:
            latch.clear(halt.id)
        except OSError as error:
            log.error("tape %s is halted, but its latch stays (%s): remove %s", self.tape.name, error, latch.path)

    async def _append(self, draft: Draft) -> None:
        time_ns = self._live_ns(self.live) if self.live else self._end.time_ns
        instruction = draft(self._end.ordinal + 1, time_ns)
        feed = "" if isinstance(instruction, FeedCompleted) else self._end.feed
        self._end = await self.tape.append(Instructed(self._end.ordinal + 1, instruction), self._end, feed)
        self.standing = stand(self.standing, instruction)

    async def _write_instruction(self, queue: "deque[_Drafted]") -> None:
        draft, done = queue[0]
        try:
            await self._append(draft)
        except (Conflict, Unavailable, NotDurable):
            raise
        except Exception as error:  # its caller erred (a draft that raises, content too large), not the tape
            queue.popleft()
            if not done.done():
                done.set_exception(error)
            return
        queue.popleft()
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

    def _clock_ended(self, clock: "asyncio.Task[None]") -> None:
        """Without its clock a live tape would go on, but stand still where no tick comes: its writer fails with it."""
        if not clock.cancelled() and (error := clock.exception()) and self._writing:
            self._fail(error)
            self._writing.cancel()

    async def _drained(self) -> None:
        if waiting := self._waiting():
            await asyncio.wait(waiting)
        self._check()

    def _waiting(self) -> "list[asyncio.Future[int]]":
        instructions = [done for queue in self._instructions.values() for _, done in queue]
        return [offer.done for offer in self._offers] + instructions

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
        self._failed = error = self._failed or error
        for done in self._waiting():
            if not done.done():
                done.set_exception(error)
                done.exception()  # a caller that does not wait for it gets the error at its next call


def _restamped(instruction: Instruction) -> Draft:
    return lambda _, time_ns: instruction.model_copy(update={"occurred_at_ns": time_ns})


def _money(nanos: int) -> str:
    return f"{Decimal(nanos).scaleb(-9).normalize():,f}"


def _resolve(done: "asyncio.Future[int]", ordinal: int) -> None:
    if not done.done():  # a caller may have given up waiting
        done.set_result(ordinal)
