"""One process of a session: `python -m tests.faults.worker sequencer|engine FOLDER URL MONITOR_URL NUMBER [FILE]`.

It reports on standard output what has become durable. NUMBER is how many records the sequencer puts in a block (few, so
that the session is many messages), or the ordinal at which the engine stops. FILE is the year that is played in place
of the small session.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from adapters.tape_log import StoredTape
from domain.errors import DeskError
from domain.events import LedgerEvent
from domain.instructions import Instructed
from domain.ports import Log, TapeEnd
from domain.tape import Block
from gateways import file_feed
from gateways import sequencer as sequencing
from ops import core as engine_service
from ops import settings
from ops.composition import open_log
from tests.faults.session import DESK, Reported, Script, feed, reported, script_of

SNAPSHOTS = 50  # a session: a restart goes on from one, wherever the kill came


def report(so_far: Reported) -> None:
    sys.stdout.write(f"{so_far.ordinal} {so_far.number}\n")
    sys.stdout.flush()


class ReportingTape(StoredTape):
    """Reports every message as soon as it is durable, and that somebody has begun to follow."""

    async def append(self, message: Block | Instructed, end: TapeEnd, feed: str = "") -> TapeEnd:
        after = await super().append(message, end, feed)
        report(Reported(ordinal=after.ordinal))
        return after

    def follow(self, after: int = 0) -> AsyncGenerator[list[Block | Instructed], None]:
        report(Reported())
        return super().follow(after)


async def run_sequencer(log: Log, folder: Path, block_records: int, script: Script) -> None:
    sequencing.MAX_BLOCK_RECORDS = file_feed.MAX_BLOCK_RECORDS = block_records

    async def engine_is_near(ordinal: int) -> None:
        while True:
            if reported(folder, "engine").ordinal >= ordinal:
                return
            await asyncio.sleep(0.002)

    async with sequencing.Sequencer.open(ReportingTape(log, DESK)) as sequencer:
        await feed(sequencer, engine_is_near, script)


async def run_engine(log: Log, until: int) -> None:
    engine_service.SNAPSHOT_EVERY = until // SNAPSHOTS
    number = 0

    def committed(events: Sequence[LedgerEvent]) -> None:
        nonlocal number
        number = events[-1].number

    core = engine_service.Core(log, DESK, ReportingTape(log, DESK), observe=committed)

    async def tell() -> None:
        while True:
            await core.reached(core.folded + 1)
            report(Reported(core.folded, number))

    telling = asyncio.create_task(tell())
    await core.run(until)
    telling.cancel()
    report(Reported(core.folded, number))


async def main(role: str, folder: str, url: str, monitor_url: str, number: str, file: str = "") -> None:
    script = script_of(file) if role == "sequencer" else ()
    async with open_log(settings.load(nats_url=url, nats_monitor_url=monitor_url)) as log:
        if role == "sequencer":
            await run_sequencer(log, Path(folder), int(number), script)
        else:
            await run_engine(log, int(number))


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except DeskError as error:
        sys.exit(f"{type(error).__name__}: {error}")
