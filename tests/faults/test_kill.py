"""kill -9 of nats-server, sequencer and engine at random moments: nothing is lost, doubled or changed."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from adapters import provision
from adapters.jetstream import connect
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from domain.events import LedgerEvent
from domain.tape import TICK, market
from gateways.sequencer import Sequencer
from ops import settings
from ops.composition import open_log
from tests.faults.rounds import (
    ALL,
    DEADLINE_S,
    ENGINE,
    SEQUENCER,
    SERVER,
    Scene,
    Session,
    Victims,
    lines_in,
    play,
)
from tests.faults.session import DESK, TICKS, Recording, feed, reports, uninterrupted

KILLS_A_SESSION = 10
ENGINES = (ENGINE, "another engine")

# It lands while a process starts, among the instructions that stand first on a tape, or anywhere in the work.
MOMENTS = ((0, 0.5), (12, 0.002), (100, 0.005), (300, 0.005))

TYPES = {kind.model_fields["type"].default for kind in get_args(get_args(LedgerEvent)[0])}


@pytest.fixture(scope="module")
def expected() -> Recording:
    return asyncio.run(uninterrupted())


@pytest.fixture(scope="module")
def scene(expected: Recording) -> Scene:
    return Scene(expected, block_records=(5, 40), moments=MOMENTS)


ROUNDS = [pytest.param(5, id="5"), pytest.param(50, id="50", marks=pytest.mark.slow)]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(lambda _: [SERVER], id="nats-server"),
        pytest.param(lambda _: [SEQUENCER], id="sequencer"),
        pytest.param(lambda _: [ENGINE], id="engine"),
        pytest.param(lambda dice: dice.sample(ALL, dice.randint(2, 3)), id="several at once"),
    ],
)
def test_a_killed_process_costs_neither_a_record_nor_an_event(
    tmp_path: Path, scene: Scene, victims: Victims, rounds: int
) -> None:
    kills = 0
    while kills < rounds:
        seed = random.randrange(2**32)
        folder = tmp_path / str(seed)
        kills += play(folder, scene, victims, min(KILLS_A_SESSION, rounds - kills), seed)


def test_of_two_engines_that_wait_for_the_same_record_one_writes_and_nothing_is_doubled(
    tmp_path: Path, scene: Scene
) -> None:
    with racing(tmp_path, scene) as session:
        session.until(lambda: lines_in([reports(tmp_path, ENGINE)]) >= len(ENGINES))  # each follows an empty tape
        session.start(SEQUENCER)
        loser, winner = sorted(ENGINES, key=lambda name: -session.workers[name].wait(DEADLINE_S))
        assert (session.workers[loser].returncode, session.workers[winner].returncode) == (1, 0)
        assert session.said(loser).startswith("Conflict: ")
        assert session.workers[SEQUENCER].wait(DEADLINE_S) == 0
        asyncio.run(session.check())


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_two_engines_started_at_once_over_a_whole_tape_write_its_ledger_once(
    tmp_path: Path, scene: Scene, rounds: int
) -> None:
    for folder in (tmp_path / str(number) for number in range(rounds)):
        with racing(folder, scene, whole_tape) as session:
            codes = [session.workers[name].wait(DEADLINE_S) for name in ENGINES]
            assert 0 in codes
            assert all(
                code == 0 or session.said(name).startswith("Conflict: ")
                for name, code in zip(ENGINES, codes, strict=True)
            )
            asyncio.run(session.check())


async def whole_tape(server: NatsServer) -> None:
    urls = settings.load(nats_url=server.url, nats_monitor_url=server.monitor_url)
    async with open_log(urls) as log, Sequencer.open(StoredTape(log, DESK)) as sequencer:
        await feed(sequencer)


@contextmanager
def racing(
    folder: Path, scene: Scene, prepare: Callable[[NatsServer], Coroutine[Any, Any, None]] | None = None
) -> Iterator[Session]:
    """A server, what `prepare` does there, then two engines at once."""
    with Session(folder, scene, random.Random(1)) as session:
        session.start(SERVER)
        if prepare:
            asyncio.run(prepare(session.server))
        for name in ENGINES:
            session.start(name)
        yield session


@pytest.mark.parametrize("back", [True, False], ids=["is back at once", "is back later"])
async def test_a_server_that_is_killed_while_a_process_starts_is_waited_for(
    fresh_nats: NatsServer, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    asked, fetch = 0, provision._fetch

    def fetch_from_a_dying_server(url: str) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked > 1:
            return fetch(url)
        fresh_nats.kill()
        try:
            if back:
                fresh_nats.start()
            return fetch(url)
        finally:
            fresh_nats.start()

    monkeypatch.setattr(provision, "_fetch", fetch_from_a_dying_server)
    async with await connect(fresh_nats.url) as connection:
        await provision.require_durable(connection, fresh_nats.monitor_url)
    assert asked == 2


def test_the_session_that_is_interrupted_is_rich(expected: Recording) -> None:
    """Otherwise there would be little to lose or to double."""
    fed = np.frombuffer(b"".join(item for item in expected.tape if len(item) == TICK.itemsize), TICK)
    assert fed[market(fed)].tobytes() == TICKS.tobytes()
    events = [json.loads(line) for line in expected.ledger]
    assert {event["type"] for event in events} == TYPES - {"engine_took_over", "objectives_reached"}
    raised = Counter(event["strategy"] for event in events if event["type"] == "signal_raised")
    assert raised["m5_bos_retest"] >= 25
    assert raised["ema_cross"] >= 1000
    fills = Counter((event["purpose"], event["state"]) for event in events if event["type"] == "order_filled")
    assert fills["entry", "filled"] >= 400
    assert fills["entry", "partially_filled"] >= 400
    assert {purpose for purpose, _ in fills} == {"entry", "stop", "target", "flatten", "request"}
    moves = {event["state"] for event in events if event["type"] == "order_moved"}
    assert moves == {"amended", "canceled", "expired", "triggered"}
    refused = Counter(
        next(rule["rule"] for rule in event["rules"] if not rule["passed"])
        for event in events
        if event["type"] == "signal_assessed" and event["verdict"] == "refused"
    )
    assert min(refused[rule] for rule in ("not_halted", "one_way", "news")) >= 10
