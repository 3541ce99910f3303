"""A live desk for benchmarks, warm: sequencer and engine in one process as `cdb up` runs them, or the engine apart.

`python -m ops.bench.live_desk STORE` is the engine apart, as `cdb serve core` runs it, on the server over that
folder; it writes a line a commit.
"""

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from adapters.breaker import Breaker, GuardedLog
from adapters.connection import connect
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.progress import Reached, ask_reached, serve_reached
from adapters.tape_log import StoredTape
from domain.engine import ENGINE
from domain.events import LedgerEvent
from domain.instruments import Instrument
from domain.policy import Policy
from domain.ports import Log
from domain.tape import QUOTE, Ticks, empty_ticks
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Activation, Sequencer
from ops.bench.figure import Stage
from ops.core import Core
from ops.warm import BALANCE_NANOS, CURRENCY

DESK = "main"
EVERY_TICK = {"fast": 1, "slow": 2, "on": "ticks"}  # on a price that goes up and down: a signal at every tick
WARM_TICKS = 4  # of each instrument: an even number, so that the next one goes up again
DEADLINE_S = 10.0
LINE_BYTES = 16 << 20  # the longest line that the engine apart may write

_EVENTS: TypeAdapter[list[LedgerEvent]] = TypeAdapter(list[LedgerEvent])


class Decided:
    """What was decided: how often each event, and when those of the newest commit were durable."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._events: list[LedgerEvent] = []
        self._at_ns = 0
        self._news = asyncio.Event()

    def observe(self, events: list[LedgerEvent], at_ns: int = 0) -> None:
        """Take a commit that was durable at `at_ns` of the monotonic clock (0: now)."""
        self._at_ns = at_ns or time.monotonic_ns()
        self.counts.update(event.type for event in events)
        self._events = events
        self._news.set()

    async def behind(self, ordinal: int, wanted: str) -> tuple[list[LedgerEvent], int]:
        """Wait for such an event of a later tick: all events of that tick, and when they were durable."""
        async with asyncio.timeout(DEADLINE_S):
            while not (ordinals := [e.ordinal for e in self._events if e.type == wanted and e.ordinal > ordinal]):
                self._news.clear()
                await self._news.wait()
        return [event for event in self._events if event.ordinal == ordinals[0]], self._at_ns


class LiveDesk(NamedTuple):
    """What a benchmark works with; `reached(ordinal)` waits until every decision up to there is durable."""

    sequencer: Sequencer
    decided: Decided
    reached: Reached


@asynccontextmanager
async def live_desk(
    at: Stage, policy: Policy, instruments: list[Instrument], *, apart: bool = False
) -> AsyncIterator[LiveDesk]:
    """A desk on a log behind a breaker, with a halt latch, that has traded its first ticks."""
    decided, log, latch = Decided(), _guarded(at.log), HaltLatch(at.server.store, DESK)
    tape = StoredTape(log, DESK)
    engine = _engine_apart(at, decided) if apart else _engine_here(log, tape, decided)
    async with engine as reached, Sequencer.open(tape, live=True, latch=latch) as sequencer:
        await sequencer.prepare(instruments, time.time_ns())
        await sequencer.activate_engine(ENGINE)
        await sequencer.open_account(CURRENCY, 1_000 * BALANCE_NANOS)  # so that no margin runs out
        await sequencer.activate_policy(policy)
        symbols = tuple(instrument.symbol for instrument in instruments)
        await sequencer.activate_strategies([Activation("ema_cross", 1, EVERY_TICK, symbols)])
        for tick in range(WARM_TICKS):
            for number in range(1, len(instruments) + 1):
                done = sequencer.offer(quote(tick, number))
        await reached(await done)
        yield LiveDesk(sequencer, decided, reached)


def quote(tick: int, number: int) -> Ticks:
    """One quote that goes up at even ticks and down at odd ones."""
    record = empty_ticks(1)
    record["bid"], record["ask"] = 1_100_000_000 + tick % 2 * 10_000, 1_100_010_000 + tick % 2 * 10_000
    record["instrument"], record["kind"], record["event_time"] = number, QUOTE, time.time_ns()
    return record


# -- the engine, here or apart -------------------------------------------------------------------------------------


@asynccontextmanager
async def _engine_here(log: Log, tape: StoredTape, decided: Decided) -> AsyncIterator[Reached]:
    core = Core(log, DESK, tape, observe=decided.observe)
    running = asyncio.create_task(core.run())
    try:
        yield core.reached
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _engine_apart(at: Stage, decided: Decided) -> AsyncIterator[Reached]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(at.server.store), stdout=PIPE, limit=LINE_BYTES
    )
    assert process.stdout is not None

    async def listen(lines: asyncio.StreamReader) -> None:
        async for line in lines:
            at_ns, _, events = line.partition(b" ")
            decided.observe(_EVENTS.validate_json(events), int(at_ns))

    listening = asyncio.create_task(listen(process.stdout))
    try:
        yield lambda ordinal: ask_reached(at.log.connection, DESK, ordinal)
    finally:
        process.terminate()
        await process.wait()
        await asyncio.gather(listening, return_exceptions=True)


def _guarded(log: Log) -> GuardedLog:
    return GuardedLog(log, Breaker("nats"))


def _tell(events: list[LedgerEvent]) -> None:
    at_ns = time.monotonic_ns()
    sys.stdout.write(f"{at_ns} {_EVENTS.dump_json(events).decode()}\n")
    sys.stdout.flush()


async def _apart(url: str) -> None:
    async with await connect(url) as connection:
        log = _guarded(JetStreamLog(connection))
        core = Core(log, DESK, StoredTape(log, DESK), observe=_tell)
        async with serve_reached(connection, DESK, core.reached):
            await core.run()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_apart(NatsServer(Path(sys.argv[1])).running_url()))
