"""Replays: engines side by side over one reading of a tape, each with parameters of its own for one strategy.

The tape is read once, page by page, and every engine folds each page before the next one: nothing is kept, so a tape
may be as long as it likes. Kernels hold no GIL, so the engines of a page share the machine's cores.
"""

import asyncio
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import numpy as np

from domain.closed_trades import ClosedTrades
from domain.engine import ENGINE, Engine
from domain.errors import InvalidInput
from domain.events import InstructionApplied, InstructionRefused
from domain.instructions import CancelRequested, EngineActivated, Instructed, Instruction, StrategyActivated
from domain.ports import TapeLog
from domain.tape import Block
from domain.trading import RAISED_SIGNAL

_NO_SIGNALS = np.zeros(0, RAISED_SIGNAL)
_NO_ORDER = 2**62  # no ledger has that many events
_LAST = 19  # the lowest priority there is

Message = Block | Instructed


class Replay:
    """One engine, with the wanted version, parameters and symbols of a strategy wherever the tape activates it; what is
    None is the tape's own. Nothing else is changed, except what a change makes meaningless: see `notes`."""

    def __init__(
        self,
        strategy: str,
        version: int,
        parameters: dict[str, Any] | None = None,
        symbols: tuple[str, ...] | None = None,
    ) -> None:
        self.engine = Engine()
        self.closed = ClosedTrades(strategy, version)
        self.activated: dict[int, int] = {}  # ordinals at which the strategy was activated, with their days
        self.recorded: list[tuple[int, dict[str, Any]]] = []  # versions and parameters that the tape itself activates
        self.older_engines: set[int] = set()
        self.cancels_left_out = 0
        self._wanted: dict[str, Any] = {"version": version, "parameters": parameters} if parameters else {}
        self._wanted |= {"symbols": symbols} if symbols else {}
        self._strategy, self._changed = strategy, False

    @property
    def notes(self) -> tuple[str, ...]:
        """What was otherwise than in the past, beside the parameters."""
        notes = []
        if self.older_engines:
            names = ", ".join(str(engine) for engine in sorted(self.older_engines))
            notes.append(f"engine {names} decided once; engine {ENGINE} decides all of it here")
        if self.cancels_left_out:
            notes.append(
                f"{self.cancels_left_out:,} cancellations were left out: they name orders by numbers of the ledger"
            )
        return tuple(notes)

    @property
    def days(self) -> range:
        """The days since the strategy's first activation, both ends whole."""
        return range(next(iter(self.activated.values())), self.closed.day + 1) if self.activated else range(0)

    def take(self, messages: Sequence[Message]) -> None:
        """The next messages of the tape. Raises InvalidInput when the strategy cannot run with these parameters."""
        for message in messages:
            if isinstance(message, Block):
                for raised in self.engine.advance(message):
                    self.closed.take(self.engine.desk, raised)
            else:
                self._instruct(message)

    def _instruct(self, message: Instructed) -> None:
        instruction = self._replaced(message.instruction)
        events = self.engine.fold(Instructed(message.ordinal, instruction))
        self.closed.take(self.engine.desk, _NO_SIGNALS)
        if not self._is_ours(instruction):
            return
        for event in events:
            if isinstance(event, InstructionApplied):
                self.activated[message.ordinal] = self.closed.day
            elif isinstance(event, InstructionRefused) and not self.activated:
                raise InvalidInput(f"strategy {self._strategy} cannot be replayed: {event.reason}")

    def _replaced(self, instruction: Instruction) -> Instruction:
        match instruction:
            case StrategyActivated() if self._is_ours(instruction):
                if (said := (instruction.version, instruction.parameters)) not in self.recorded[-1:]:
                    self.recorded.append(said)
                wanted = instruction.model_copy(update=self._wanted)
                self._changed |= wanted != instruction
                return wanted
            case EngineActivated() if instruction.engine < ENGINE:
                self.older_engines.add(instruction.engine)
                return instruction.model_copy(update={"engine": ENGINE})
            case CancelRequested() if self._changed:
                self.cancels_left_out += 1
                return instruction.model_copy(update={"order": _NO_ORDER})
            case _:
                return instruction

    def _is_ours(self, instruction: Instruction) -> bool:
        return isinstance(instruction, StrategyActivated) and instruction.strategy == self._strategy


class Reading:
    """What was read: how much, and the hash of its content, which does not depend on how it was cut into messages."""

    def __init__(self, tape: str) -> None:
        self.tape, self.first, self.last, self.records = tape, 0, 0, 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def seed(self) -> int:
        """For draws of chance; small enough for every JSON reader."""
        return int.from_bytes(self._hash.digest()[:6], "big")

    def add(self, messages: Sequence[Message]) -> None:
        """The next messages."""
        for message in messages:
            if isinstance(message, Block):
                first, self.last = message.first, message.last
                self._hash.update(message.records.tobytes())
                self.records += len(message.records)
            else:
                first = self.last = message.ordinal
                content = message.instruction.model_dump(mode="json")
                self._hash.update(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
            self.first = self.first or first


async def replay(
    tape: TapeLog,
    replays: Sequence[Replay],
    opening: Sequence[Instruction] = (),
    progress: Callable[[int, int], None] | None = None,
    *,
    gently: bool = False,
) -> Reading:
    """Run every replay over the whole tape, up to where it ends now. `opening` stands before its first record of market
    data, as if it had been said there: a dataset names no strategy. Cancelled, it stops behind the page under way.
    `gently`: on one core, and only when nobody else wants it. What `progress` raises ends it.

    Raises TapeBroken, OtherEngine (a strategy version that is not in this build), InvalidInput.
    """
    reading, end, inserted = Reading(tape.name), (await tape.end()).ordinal, False
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, initializer=_step_back) if gently else ThreadPoolExecutor(os.cpu_count()) as pool:
        async with aclosing(tape.read()) as pages:
            async for page in pages:
                reading.add(page)
                messages: list[Message] = []
                for message in page:
                    if opening and not inserted and isinstance(message, Block):
                        messages += [Instructed(message.first + at, said) for at, said in enumerate(opening)]
                        inserted = True
                    messages.append(_moved(message, len(opening) if inserted else 0))
                await asyncio.gather(*(loop.run_in_executor(pool, one.take, messages) for one in replays))
                if progress:
                    progress(reading.last, end)
    return reading


def _step_back() -> None:
    """This thread goes behind all others; only Linux gives each thread a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)


def _moved(message: Message, by: int) -> Message:
    if not by:
        return message
    if isinstance(message, Block):
        return message._replace(first=message.first + by)
    return message._replace(ordinal=message.ordinal + by)
