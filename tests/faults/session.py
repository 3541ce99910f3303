"""The session that the fault tests interrupt: its input, how it is fed, and what an uninterrupted run leaves behind."""

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from adapters import subjects
from adapters.memory import MemoryLog
from adapters.subjects import COUNT, FIRST, TOPIC
from adapters.tape_log import StoredTape
from domain.engine import ENGINE
from domain.instruments import instrument_for
from domain.ports import Log
from domain.tape import TICK
from gateways.file_feed import feed_files
from gateways.sequencer import Activation, Sequencer
from ops.core import Core
from tests.canonical import activated, file_set, market_ticks

DESK = "main"
SYMBOLS = ("EURUSD", "GBPUSD")
FILES = file_set(market_ticks(16_000, seed=2, symbols=2, seconds=8), *SYMBOLS)
STRATEGIES = [
    Activation.of(activated("m5_bos_retest", *SYMBOLS)),
    Activation.of(activated("ema_cross", *SYMBOLS, fast=3, slow=9)),
]


async def feed(sequencer: Sequencer, ahead_of: Callable[[int], Awaitable[None]] | None = None) -> None:
    """All of the input onto the tape, or what is not there yet."""
    await sequencer.prepare([instrument_for(symbol) for symbol in SYMBOLS], int(FILES.ticks["receive_time"][0]))
    await sequencer.activate_engine(ENGINE)
    await sequencer.activate_strategies(STRATEGIES)
    await feed_files(sequencer, FILES, ahead_of=ahead_of)


class Recording(NamedTuple):
    """What stands on the log, apart from how it was cut into messages: the tape's records and instructions in order,
    the ledger's lines in order, as bytes."""

    tape: list[bytes]
    ledger: list[bytes]


async def recording(log: Log, tape: str = DESK, desk: str = DESK) -> Recording:
    """Read both subjects whole; every message must begin where the one before it ended."""
    return Recording(await _items(log, subjects.tape(tape)), await _items(log, subjects.ledger(desk)))


async def _items(log: Log, subject: str) -> list[bytes]:
    items: list[bytes] = []
    async with aclosing(log.read(subject)) as pages:
        async for page in pages:
            for message in page:
                kind, data, first = message.headers[TOPIC].partition("+")[0], message.data, len(items) + 1
                if kind == "ticks":
                    found = [data[at : at + TICK.itemsize] for at in range(0, len(data), TICK.itemsize)]
                elif kind == "commit":
                    found = data.split(b"\n")
                    assert [json.loads(line)["number"] for line in found] == [*range(first, first + len(found))]
                else:
                    found = [data]
                assert (int(message.headers[FIRST]), int(message.headers[COUNT])) == (first, len(found))
                items += found
    return items


async def uninterrupted() -> Recording:
    """The same session in one piece: one process, blocks of the usual size, a log in memory."""
    log = MemoryLog()
    tape = StoredTape(log, DESK)
    async with Sequencer.open(tape) as sequencer:
        await feed(sequencer)
    await Core(log, DESK, tape).run(until=sequencer.end.ordinal)
    return await recording(log)


class Reported(NamedTuple):
    """What a worker said is durable: everything up to this tape ordinal and this ledger number."""

    ordinal: int = 0
    number: int = 0


def reports(folder: Path, worker: str) -> Path:
    """Where a worker's standard output goes, a line `ordinal number` a report, in all of its lives."""
    return folder / f"{worker}.reports"


def reported(folder: Path, worker: str) -> Reported:
    """The most that a worker has reported in any of its lives."""
    try:
        lines = reports(folder, worker).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        lines = []
    pairs = [[int(word) for word in line.split()] for line in lines] or [[0, 0]]
    return Reported(*(max(column) for column in zip(*pairs, strict=True)))
