"""Dataset tapes: files made into a tape named by content, and a tape read back as a feed."""

import hashlib
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from adapters.tape_log import StoredTape
from domain.errors import InvalidInput
from domain.instructions import FeedCompleted, FeedOpened, InstrumentDeclared
from domain.ports import Log
from domain.tape import TICK, Block, Ticks, concatenate, market, whole
from gateways.feeds.files import FileSet, SourceFile
from gateways.file_feed import feed_files
from gateways.sequencer import Sequencer


class Ingested(NamedTuple):
    """What an ingest did. `blocks` are the messages of ticks it wrote."""

    tape: str
    files: int
    rows: int
    ticks_added: int
    rows_rejected: int
    blocks: int
    seconds: float


def dataset_name(files: FileSet) -> str:
    """The name of the tape that these files become: their symbols and the first digits of their identity."""
    symbols = "-".join(symbol.lower() for symbol in files.symbols[:3])
    return f"{symbols}-{files.identity[:12]}"


async def ingest(
    log: Log, files: FileSet, name: str | None = None, progress: Callable[[int], None] | None = None
) -> Ingested:
    """Put files on their dataset tape (or the named one). The same files again add nothing."""
    started = time.perf_counter()
    tape = StoredTape(log, name or dataset_name(files))
    async with Sequencer.open(tape) as sequencer:
        if sequencer.standing.engine:
            raise InvalidInput(f"tape {tape.name!r} is a desk's own; feed it with `cdb run --desk {tape.name}`")
        fed = await feed_files(sequencer, files, progress=progress)
        blocks = sequencer.blocks
    return Ingested(
        tape=tape.name,
        files=len(files.files),
        rows=sum(file.rows for file in files.files),
        ticks_added=fed.ticks,
        rows_rejected=len(files.rejects),
        blocks=blocks,
        seconds=round(time.perf_counter() - started, 6),
    )


async def read_dataset(log: Log, name: str) -> FileSet:
    """A whole tape as a feed for a desk: its market ticks without its clock records (the sequencer makes its own).

    A tape of one feed has that feed's identity, so the same files by `file:` or by `tape:` are the same feed; any other
    has that of its ticks, which changes as it grows.
    """
    tape = StoredTape(log, name)
    parts: list[Ticks] = []
    symbols: dict[int, str] = {}
    feeds: dict[str, FeedOpened] = {}
    completed: set[str] = set()
    async with aclosing(tape.read()) as pages:
        async for page in pages:
            for message in page:
                if isinstance(message, Block):
                    parts.append(whole(message.records)[market(message.records)].view(TICK))
                    continue
                match message.instruction:
                    case InstrumentDeclared(number=number, instrument=instrument):
                        symbols[number] = instrument.symbol
                    case FeedOpened() as opened:
                        feeds[opened.feed] = opened
                    case FeedCompleted(feed=feed):
                        completed.add(feed)
                    case _:
                        pass
    if not parts:
        raise InvalidInput(f"tape {name!r} holds no ticks; `cdb tapes` lists the tapes there are")
    if set(feeds) - completed:
        raise InvalidInput(f"tape {name!r} holds an interrupted import; run the same `cdb ingest` again to complete it")
    ticks = concatenate(parts)
    one_feed = len(feeds) == 1 and len(ticks) == next(iter(feeds.values())).ticks
    identity = next(iter(feeds)) if one_feed else hashlib.sha256(ticks.tobytes()).hexdigest()
    return FileSet(
        symbols=[symbols[number] for number in sorted(symbols)],
        files=[
            SourceFile(**file.model_dump(), first_time_ns=feed.first_time_ns, last_time_ns=feed.last_time_ns)
            for feed in feeds.values()
            for file in feed.files
        ],
        ticks=ticks,
        rejects=[],
        identity=identity,
    )
