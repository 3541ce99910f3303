"""A session of a desk: one feed through the sequencer and the engine, side by side, until the feed is done."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from adapters.tape_log import StoredTape
from domain.engine import ENGINE, prepare
from domain.errors import InvalidInput
from domain.events import LedgerEvent, SignalRaised
from domain.instruments import instrument_for
from domain.ports import Log
from gateways.feeds.files import FileSet
from gateways.file_feed import Fed, admit, feed_files
from gateways.sequencer import Activation, Sequencer
from ops.core import Core


class StrategyChoice(NamedTuple):
    """A strategy as a caller names it; `symbols` None: all symbols of the feed."""

    name: str
    version: int | None = None
    parameters: dict[str, object] = {}  # noqa: RUF012  never written to
    symbols: tuple[str, ...] | None = None


class SessionReport(NamedTuple):
    """What a session added. `signals` and `seconds` are of this session: what it newly decided, from the first look at
    the tape to the last durable decision (files are read before)."""

    desk: str
    files: int
    rows: int
    rows_rejected: int
    ticks_added: int
    ordinal: int
    events: int
    signals: int
    seconds: float


async def run_session(
    log: Log,
    desk: str,
    files: FileSet,
    strategies: list[StrategyChoice],
    *,
    progress: Callable[[int], None] | None = None,
) -> SessionReport:
    """Put `files` on the desk's tape, with these strategies active from the tape's end on, and decide on every record.

    Raises Overlap, InvalidInput, UnknownStrategy before anything is written; Diverged, Conflict, Unavailable later.
    """
    started, tape = time.perf_counter(), StoredTape(log, desk)
    activations = [_activation(choice, files) for choice in strategies]
    signals = 0

    def count(events: list[LedgerEvent]) -> None:
        nonlocal signals
        signals += sum(isinstance(event, SignalRaised) for event in events)

    core = Core(log, desk, tape, observe=count)

    async def feed() -> Fed:
        async with Sequencer.open(tape) as sequencer:
            admit(sequencer, files)
            await _activate(sequencer, files, activations)
            fed = await feed_files(sequencer, files, ahead_of=core.reached, progress=progress)
            await core.reached(sequencer.end.ordinal)
            return fed

    fed = await beside(core.run(), feed())
    await core.save()
    return SessionReport(
        desk=desk,
        files=len(files.files),
        rows=sum(file.rows for file in files.files),
        rows_rejected=len(files.rejects),
        ticks_added=fed.ticks,
        ordinal=core.folded,
        events=core.engine.number,
        signals=signals,
        seconds=round(time.perf_counter() - started, 3),
    )


async def _activate(sequencer: Sequencer, files: FileSet, wanted: list[Activation]) -> None:
    """What differs from the tape's standing state, before the first tick. Symbols that a strategy had, it keeps."""
    await sequencer.prepare([instrument_for(symbol) for symbol in files.symbols], int(files.ticks["receive_time"][0]))
    await sequencer.activate_engine(ENGINE)
    standing = sequencer.standing.strategies
    await sequencer.activate_strategies(
        [
            activation._replace(symbols=tuple(sorted({*activation.symbols, *standing[activation.strategy].symbols})))
            if activation.strategy in standing
            else activation
            for activation in wanted
        ]
    )


def _activation(choice: StrategyChoice, files: FileSet) -> Activation:
    """What the engine would refuse is refused here, before anything is written."""
    handler, parameters, _ = prepare(choice.name, choice.version, choice.parameters)
    symbols = sorted({*(choice.symbols or files.symbols)})
    for symbol in symbols:
        if symbol not in files.symbols:
            raise InvalidInput(
                f"symbol {symbol} is not in the feed, which has {', '.join(files.symbols)}; correct --symbol"
            )
        handler.initial(parameters, instrument_for(symbol))
    return Activation(handler.name, handler.version, parameters.model_dump(mode="json"), tuple(symbols))


async def beside(service: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Fed]) -> Fed:
    """Run `work` with `service` beside it. The service is stopped when the work is done; if it fails first, so does
    the work, with the service's error."""
    serving, working = asyncio.create_task(service), asyncio.create_task(work)
    try:
        await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and not serving.cancelled() and (error := serving.exception()):
            raise error
        return await working
    finally:
        for task in (serving, working):
            task.cancel()
        await asyncio.gather(serving, working, return_exceptions=True)
