"""kill -9 of an engine whose state no message holds: it goes on from its snapshot, and nothing is lost or doubled."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.jetstream import JetStreamLog, connect, provision
from adapters.memory import MemoryLog
from adapters.snapshots import PART_BYTES, PARTS
from adapters.subjects import TOPIC, snapshot
from adapters.tape_log import StoredTape
from domain.engine import Engine
from domain.instructions import StrategyDeactivated
from domain.ports import Log, TapeEnd
from ops.core import Core
from tests import canonical
from tests.canonical import SAID
from tests.faults.rounds import ENGINE, SERVER, Scene, Session
from tests.faults.session import DESK, recording

ANSWERS = 100_000
KILLS = 8


def script() -> list[Any]:
    """Signals, a hundred thousand instructions (each is answered: there is no such strategy), and signals again."""
    ticks = canonical.market_ticks(2_000, seed=5, symbols=2)
    said = [StrategyDeactivated(id=f"{number:032x}", **SAID, strategy="hope") for number in range(ANSWERS)]
    started = canonical.activated("ema_cross", "EURUSD", "GBPUSD")
    return [*canonical.opening(2, trading=True), started, ticks[:1_000], *said, ticks[1_000:], said[0], said[-1]]


async def write(log: Log) -> int:
    tape, end = StoredTape(log, DESK), TapeEnd()
    for message in canonical.messages(script()):
        end = await tape.append(message, end)
    return end.ordinal


async def uninterrupted() -> Any:
    log = MemoryLog()
    await Core(log, DESK, StoredTape(log, DESK)).run(until=await write(log))
    return await recording(log)


@pytest.mark.slow
def test_an_engine_that_answered_a_hundred_thousand_instructions_is_killed_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    expected, dice = asyncio.run(uninterrupted()), random.Random(seed)
    last = len(expected.tape)
    assert len(expected.ledger) > ANSWERS
    assert len(expected.state or b"") > PART_BYTES
    with Session(tmp_path / str(seed), Scene(expected, (1, 1), ()), dice) as session:
        session.start(SERVER)
        asyncio.run(prepared(session.server.url))
        session.start(ENGINE)
        for kill, moment in enumerate(sorted(dice.sample(range(last // 2, last), KILLS))):
            session.until(lambda reached=moment: session.reported().ordinal >= reached)
            if session.done:
                break
            time.sleep(dice.random() * 0.05)
            session.kill_and_restart([ENGINE] if kill % 4 else [SERVER, ENGINE])
        session.await_end()
        asyncio.run(session.check())
        asyncio.run(goes_on(session.server.url, last, monkeypatch))


async def prepared(url: str) -> None:
    async with await connect(url) as connection:
        await provision(connection)
        await write(JetStreamLog(connection))


async def goes_on(url: str, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the very end, without one record of what was decided."""
    folded: list[int] = []
    fold = Engine.fold
    monkeypatch.setattr(Engine, "fold", lambda self, message: (folded.append(message[0]), fold(self, message))[1])
    async with await connect(url) as connection:
        log = JetStreamLog(connection)
        newest = await log.last(snapshot(DESK))
        assert newest is not None
        assert newest.headers[TOPIC] == PARTS
        await Core(log, DESK, StoredTape(log, DESK)).run(until=last)
        assert folded == []
