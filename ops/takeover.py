"""A newer engine takes a desk over: the older one's state at the tape's end is migrated, kept, and then activated.

The order is the point: the state is durable before the record that needs it. If anything stops in between, the desk
still belongs to the older engine, and the next attempt begins again.
"""

from contextlib import aclosing
from pathlib import Path

from adapters import subjects
from adapters.ledger import StoredLedger
from adapters.snapshots import SnapshotStore, StateStore
from domain.engine import ENGINE
from domain.errors import Conflict, Diverged, InvalidInput
from domain.instructions import EngineActivated, Instruction
from domain.migration import Place, migrate, place
from domain.ports import Log, Recorded, TapeLog
from gateways.clock import sessions_open
from gateways.feeds.files import FileSet
from gateways.file_feed import admit
from gateways.sequencer import ACTOR, AUTHORITY, Sequencer
from ops.ledger_rows import on_tape
from ops.older_engine import OlderEngine, older_engine

RELEASES = {1: "0.1.0"}  # the last release of each older engine, by which a person finds its wheel


async def kept_state(log: Log, desk: str, engine: int) -> bytes | None:
    """The state that `engine` took the desk over with; None when there is none or its bytes are not what was kept."""
    return await StateStore(log, subjects.kept_state(desk, engine)).load()


async def make_current(log: Log, tape: TapeLog, files: FileSet | None = None, engines: Path | None = None) -> None:
    """Let this build's engine take the desk of a tape over that an older one left, unless the tape cannot take `files`
    anyway."""
    async with Sequencer.open(tape) as sequencer:
        if files is not None:
            admit(sequencer, files)
        await take_over(log, tape.name, tape, sequencer, engines)


async def take_over(log: Log, desk: str, tape: TapeLog, sequencer: Sequencer, engines: Path | None = None) -> None:
    """From the tape's end on this build's engine decides, with the state that an older one left there.

    Nothing is done when it decides already, or nobody did yet. Call it before the core runs and before anything is
    offered, with a sequencer that has neither a clock nor a halt latch: a record between would be the older engine's.
    With `engines`, a folder of older wheels, the older engine first decides what it has not yet.
    Raises InvalidInput with what to do first; Conflict when another process writes this desk; Diverged.
    """
    before = sequencer.standing.engine
    if before in (0, ENGINE):
        return
    if before > ENGINE:
        raise InvalidInput(
            f"desk {desk} is decided by engine {before}, this build is engine {ENGINE}: use the newer build, "
            "or another desk (--desk NEW)"
        )
    states = StateStore(log, subjects.kept_state(desk, ENGINE))
    kept = await states.last()  # read first: whoever takes over meanwhile makes the append below a conflict
    end = (await tape.end()).ordinal
    if end != sequencer.end.ordinal:
        raise Conflict(f"tape {tape.name} grew to ordinal {end} meanwhile: another process writes it; try again")
    state = migrate(await _left_behind(log, desk, tape, before, end, engines))
    if await states.load() != state:
        await states.save(state, "kept", kept)

    def activation(ordinal: int, time_ns: int) -> Instruction:
        if ordinal != end + 1:
            raise InvalidInput(f"ordinal {ordinal - 1} came onto tape {tape.name} before engine {ENGINE}; try again")
        name = f"engine_activated@{ordinal}"
        return EngineActivated(
            id=name, actor=ACTOR, authority=AUTHORITY, occurred_at_ns=time_ns, engine=ENGINE,
            sessions_open=sessions_open(time_ns),
        )  # fmt: skip

    await sequencer.instruct(activation)


async def _left_behind(log: Log, desk: str, tape: TapeLog, before: int, end: int, engines: Path | None) -> bytes:
    """The older engine's snapshot at ordinal `end`, everything that it decided being in the ledger."""
    snapshots, ledger = SnapshotStore(log, desk), StoredLedger(log, desk)
    data = await snapshots.load()
    stands = place(data) if data else None
    if not data or not stands or (stands.engine, stands.ordinal) != (before, end):
        if engines is None:
            release = f" (claire-de-binare {RELEASES[before]})" if before in RELEASES else ""
            raise InvalidInput(
                f"desk {desk} belongs to engine {before}, which has not stored where it stands at the tape's end, "
                f"ordinal {end}: run engine {before}{release} once more to the end of the tape, or give --engines DIR "
                f"with its wheel; then engine {ENGINE} takes over"
            )
        async with older_engine(engines, before) as older:
            await _go_back(older, log, desk, end)
            await _decide(older, desk, tape, ledger)
            data, stands = await older.snapshot(), Place(before, older.ordinal, older.number)
        await snapshots.save(data)
    recorded = (await ledger.end()).number
    if stands.number != recorded:
        raise InvalidInput(
            f"engine {before} decided {stands.number} events up to the end of tape {tape.name}, but the ledger of desk "
            f"{desk} holds {recorded}: run `cdb verify`"
        )
    return data


async def _go_back(older: OlderEngine, log: Log, desk: str, end: int) -> None:
    """To the newest state that the older engine can start from: a snapshot, what it took over with, or nothing."""
    recorded = (await StoredLedger(log, desk).end()).number
    for data in (await SnapshotStore(log, desk).load(), await kept_state(log, desk, older.engine)):
        stands = place(data) if data else None
        if data and stands and stands.ordinal <= end and stands.number <= recorded and await older.restore(data):
            return


async def _decide(older: OlderEngine, desk: str, tape: TapeLog, ledger: StoredLedger) -> None:
    """Bring the older engine to the tape's end: what it decides is compared with the ledger, or appended to it."""
    end = await ledger.end()
    async with aclosing(ledger.by_number(after=older.number)) as recorded, aclosing(tape.read(older.ordinal)) as pages:
        async for page in pages:
            fresh: list[Recorded] = []
            for message in page:
                before = older.number
                for number, line in enumerate(await older.fold(message), before + 1):
                    if number > end.number:
                        fresh.append(Recorded(number, line))
                    elif (stands := await recorded.take(number)) != line:
                        found = stands.decode(errors="replace") if stands is not None else None
                        raise Diverged(number, on_tape(older.ordinal), found, line.decode())
            if fresh:
                end = await ledger.append(fresh, end)
