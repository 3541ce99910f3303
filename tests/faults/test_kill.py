"""kill -9 of nats-server, sequencer and engine at random moments: nothing is lost, doubled or changed."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters import provision
from adapters.jetstream import JetStreamLog, connect
from adapters.ledger import StoredLedger
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from ops.datasets import read_dataset
from ops.verify import verify
from tests.faults.session import DESK, FILES, Recording, Reported, recording, reported, reports, uninterrupted

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
KILLS_A_SESSION = 10

# When a kill comes: so many reports of its victim at most, and so many seconds at most behind that. It lands while a
# process starts, among the instructions that stand first on a tape, or anywhere in the work.
MOMENTS = ((0, 0.5), (12, 0.002), (80, 0.005), (250, 0.005))

SERVER, SEQUENCER, ENGINE = ALL = ("nats-server", "sequencer", "engine")

Victims = Callable[[random.Random], list[str]]


@pytest.fixture(scope="module")
def expected() -> Recording:
    return asyncio.run(uninterrupted())


class Session:
    """nats-server, sequencer and engine, each a process of its own, until all input is on the tape and decided."""

    def __init__(self, folder: Path, last: int, dice: random.Random) -> None:
        self.folder, self.last, self.dice = folder, last, dice
        self.server = NatsServer(folder / "nats")
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Session":
        for name in ALL:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
        self.server.kill()

    def start(self, name: str) -> None:
        if name == SERVER:
            self.server.start()
            return
        number = self.dice.randint(5, 40) if name == SEQUENCER else self.last
        urls = [self.server.url, self.server.monitor_url]
        with reports(self.folder, name).open("ab") as out, self.errors(name).open("wb") as errors:
            command = [sys.executable, "-m", "tests.faults.worker", name, str(self.folder), *urls, str(number)]
            self.workers[name] = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors)

    def kill(self, name: str) -> None:
        if name == SERVER:
            self.server.kill()
        else:
            self.workers[name].kill()
            self.workers[name].wait()

    def kill_and_restart(self, names: list[str]) -> None:
        for name in names:
            self.kill(name)
        said = self.reported()
        for name in self.dice.sample(names, len(names)):
            self.start(name)
        if SERVER in names:
            stands = asyncio.run(self.durable())
            assert stands.ordinal >= said.ordinal, f"the tape ends at {stands}, but {said} was reported as durable"
            assert stands.number >= said.number, f"the ledger ends at {stands}, but {said} was reported as durable"

    def await_reports(self, names: list[str], count: int) -> bool:
        """Until these have reported so often. False when the work was done before that."""
        reporting = [name for name in names if name != SERVER] or [SEQUENCER, ENGINE]
        files = [reports(self.folder, name) for name in reporting]
        count += lines_in(files)
        self.until(lambda: lines_in(files) >= count)
        return not self.done

    def await_end(self) -> None:
        self.until(lambda: False)

    def until(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds or both workers have done their work; none of them may give up meanwhile."""
        deadline = time.monotonic() + DEADLINE_S
        while not (condition() or self.done):
            for name, worker in self.workers.items():
                if worker.poll():
                    raise AssertionError(
                        f"{name} gave up ({worker.returncode}): {self.errors(name).read_text()[-2000:]}"
                    )
            if self.workers[SEQUENCER].poll() == 0:
                fed = reported(self.folder, SEQUENCER).ordinal
                assert fed == self.last, f"the sequencer had done its work at ordinal {fed} instead of {self.last}"
            assert time.monotonic() < deadline, f"no progress behind {self.reported()} of {self.last} records"
            time.sleep(0.002)

    @property
    def done(self) -> bool:
        return all(worker.poll() == 0 for worker in self.workers.values())

    def errors(self, name: str) -> Path:
        return self.folder / f"{name}.errors"

    def reported(self) -> Reported:
        """The most that was said to be durable, by whom ever."""
        by_worker = [reported(self.folder, name) for name in (SEQUENCER, ENGINE)]
        return Reported(*(max(column) for column in zip(*by_worker, strict=True)))

    async def durable(self) -> Reported:
        async with await connect(self.server.url) as connection:
            log = JetStreamLog(connection)
            tape, ledger = await StoredTape(log, DESK).end(), await StoredLedger(log, DESK).end()
            return Reported(tape.ordinal, ledger.number)

    async def check(self, expected: Recording) -> None:
        async with await connect(self.server.url) as connection:
            log = JetStreamLog(connection)
            found = await recording(log)
            verified = await verify(log, DESK, StoredTape(log, DESK))
            fed = await read_dataset(log, DESK)
        assert fed.ticks.tobytes() == FILES.ticks.tobytes()
        assert_equal(found.tape, expected.tape, "tape")
        assert_equal(found.ledger, expected.ledger, "ledger")
        assert verified.passed
        assert (verified.checked, verified.pending) == (len(expected.ledger), 0)


def assert_equal(found: list[bytes], expected: list[bytes], what: str) -> None:
    for place, (one, other) in enumerate(zip(found, expected, strict=False), start=1):
        assert one == other, f"the {what} differs from place {place} on"
    assert len(found) == len(expected), f"the {what} has another length"


def lines_in(files: list[Path]) -> int:
    return sum(file.read_bytes().count(b"\n") for file in files)


def play(folder: Path, expected: Recording, victims: Victims, kills: int, seed: int) -> int:
    """One session with so many kills (fewer if it is done earlier), and what must hold after it. Returns the kills."""
    dice, story = random.Random(seed), []
    try:
        with Session(folder, len(expected.tape), dice) as session:
            while len(story) < kills:
                names = victims(dice)
                reports_more, seconds_more = dice.choice(MOMENTS)
                alive = session.await_reports(names, dice.randint(0, reports_more))
                time.sleep(dice.random() * seconds_more)
                if not alive or session.done:
                    break
                story.append(f"{' and '.join(names)} at {session.reported()}")
                session.kill_and_restart(names)
            session.await_end()
            asyncio.run(session.check(expected))
    except BaseException as error:
        error.add_note(f"seed {seed}, killed: {'; '.join(story) or 'nothing yet'}")
        raise
    return len(story)


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
    tmp_path: Path, expected: Recording, victims: Victims, rounds: int
) -> None:
    kills = 0
    while kills < rounds:
        folder = tmp_path / str(kills)
        folder.mkdir()
        kills += play(folder, expected, victims, min(KILLS_A_SESSION, rounds - kills), random.randrange(2**32))


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
    kinds = [line.split(b'"strategy":"')[1].split(b'"')[0] for line in expected.ledger if b'"strategy":"' in line]
    assert kinds.count(b"m5_bos_retest") >= 25
    assert kinds.count(b"ema_cross") >= 1000
