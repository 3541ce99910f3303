"""The wheel of engine 1 as it was (tests/engines holds its domain package), and a desk that two engines decided."""

import json
import zipfile
from pathlib import Path
from typing import Any

from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.engine import ENGINE
from domain.instructions import EngineActivated
from domain.ports import Log, Message, Recorded
from gateways.sequencer import Sequencer
from ops.reexecution import ThisBuild
from ops.takeover import kept_state, take_over
from tests import canonical, logs
from tests.ops.desks import DESK, write_tape

WHEEL = Path(__file__).parents[1] / "engines" / "claire_de_binare-0.1.0-py3-none-any.whl"
OLD = 1
TAPE = f"tape.{DESK}"

# What an engine 1 build wrote of things that have had more fields since.
_INSTRUMENT = ("symbol", "market", "base", "quote", "digits", "pip_nanos", "spread_nanos", "contract_size")
_ADDED_TO_TAPE_OPENED = "sessions_open"


def opening(*strategies: str) -> list[Any]:
    """What stood on a tape of engine 1 before the first tick."""
    return [
        canonical.INSTRUCTIONS["tape_opened"],
        *(canonical.declared(number) for number in (1, 2)),
        EngineActivated(id="engine_activated", **canonical.SAID, engine=OLD),
        *(canonical.activated(strategy, *canonical.SYMBOLS[:2]) for strategy in strategies),
    ]


OLD_SCRIPT: list[Any] = [
    *opening("ema_cross"),
    canonical.with_minutes(canonical.market_ticks(900, seed=11, symbols=2)),
    canonical.activated("ema_cross", "EURUSD", id="fewer"),
    canonical.with_minutes(canonical.market_ticks(300, seed=12, symbols=2, start=canonical.MONDAY + 10**14)),
]
OLD_LAST = canonical.length(OLD_SCRIPT)
MORE: list[Any] = [
    canonical.with_minutes(canonical.market_ticks(600, seed=13, symbols=2, start=canonical.MONDAY + 2 * 10**14))
]


def wheel(folder: Path, *edits: tuple[str, str, str], name: str = WHEEL.name) -> Path:
    """The wheel in `folder`; every edit is (file, what stands in it once, what stands there instead)."""
    with zipfile.ZipFile(WHEEL) as source, zipfile.ZipFile(folder / name, "w") as target:
        for file in source.namelist():
            text = source.read(file).decode()
            for _, old, new in (edit for edit in edits if edit[0] == file):
                assert text.count(old) == 1, (file, old)
                text = text.replace(old, new)
            target.writestr(file, text)
    return folder / name


def _as_old(message: Message) -> Message:
    """A tape message of today as an engine 1 build had written it."""
    if message.headers["Topic"].startswith("ticks"):
        return message
    content = json.loads(message.data)
    content.pop(_ADDED_TO_TAPE_OPENED, None)
    if "instrument" in content:
        content["instrument"] = {name: content["instrument"][name] for name in _INSTRUMENT}
    return message._replace(data=json.dumps(content, separators=(",", ":")).encode())


async def old_tape(script: Any = OLD_SCRIPT) -> MemoryLog:
    """A tape of engine 1 that nobody decided on yet."""
    written = MemoryLog()
    await write_tape(written, script)
    return await logs.copied(written, TAPE, edit=lambda messages: [_as_old(message) for message in messages])


async def taken_over(log: Log, engines: Path | None = None, desk: str = DESK) -> None:
    tape = StoredTape(log, desk)
    async with Sequencer.open(tape) as sequencer:
        await take_over(log, desk, tape, sequencer, engines)


async def go_on(log: Log, desk: str = DESK) -> None:
    """This build's engine decides what is on the tape since it took over."""
    engine, state, ledger = ThisBuild(), await kept_state(log, desk, ENGINE), StoredLedger(log, desk)
    assert state is not None
    assert await engine.restore(state)
    tape = StoredTape(log, desk).read(after=json.loads(state.partition(b"\n")[0])["ordinal"])
    lines = [line async for page in tape for message in page for line in await engine.fold(message)]
    end = await ledger.end()
    await ledger.append([Recorded(number, line) for number, line in enumerate(lines, end.number + 1)], end)


async def two_engines(engines: Path) -> MemoryLog:
    """Engine 1 decided, this build's engine took over, more ticks came and are decided too."""
    log = await old_tape()
    await taken_over(log, engines)
    await write_tape(log, MORE)
    await go_on(log)
    return log
