"""Rounds of kill -9: a session of real processes, killed at random moments, that must end as if nobody had."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from adapters.jetstream import JetStreamLog, connect
from adapters.ledger import StoredLedger
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from ops.verify import verify
from tests.faults.session import DESK, Recording, Reported, recording, reported, reports

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60  # without progress

SERVER, SEQUENCER, ENGINE = ALL = ("nats-server", "sequencer", "engine")

Victims = Callable[[random.Random], list[str]]


class Scene(NamedTuple):
    """What is played, and when a kill comes: so many reports of its victim at most, and so many seconds at most behind
    that. `block_records` are the least and the most that the sequencer puts in a block. `file` is a year's, if any."""

    expected: Recording
    block_records: tuple[int, int]
    moments: Sequence[tuple[int, float]]
    file: str = ""

    @property
    def last(self) -> int:
        return len(self.expected.tape)


class Session:
    """nats-server, sequencer and engine, each a process of its own, until all input is on the tape and decided. What
    was started ends with the block."""

    def __init__(self, folder: Path, scene: Scene, dice: random.Random) -> None:
        self.folder, self.scene, self.dice = folder, scene, dice
        self.server = NatsServer(folder / "nats")
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
        self.server.kill()

    def start(self, name: str) -> None:
        """One of ALL, or another engine under a name of its own: engines report as one."""
        if name == SERVER:
            self.server.start()
            return
        role = name if name == SEQUENCER else ENGINE
        number = self.dice.randint(*self.scene.block_records) if role == SEQUENCER else self.scene.last
        arguments = [str(self.folder), self.server.url, self.server.monitor_url, str(number), self.scene.file]
        with reports(self.folder, role).open("ab") as out, self.errors(name).open("wb") as errors:
            command = [sys.executable, "-m", "tests.faults.worker", role, *arguments]
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
        """Until the condition holds or all workers have done their work; none of them may give up meanwhile."""
        files, lines, deadline = [reports(self.folder, name) for name in (SEQUENCER, ENGINE)], -1, 0.0
        while not (condition() or self.done):
            for name, worker in self.workers.items():
                if worker.poll():
                    raise AssertionError(f"{name} gave up ({worker.returncode}): {self.said(name)[-2000:]}")
            if SEQUENCER in self.workers and self.workers[SEQUENCER].poll() == 0:
                fed = reported(self.folder, SEQUENCER).ordinal
                assert fed == self.scene.last, f"the sequencer had done its work at {fed} instead of {self.scene.last}"
            if lines_in(files) > lines:
                lines, deadline = lines_in(files), time.monotonic() + DEADLINE_S
            assert time.monotonic() < deadline, f"no progress behind {self.reported()} of {self.scene.last} records"
            time.sleep(0.002)

    @property
    def done(self) -> bool:
        return all(worker.poll() == 0 for worker in self.workers.values())

    def errors(self, name: str) -> Path:
        return self.folder / f"{name}.errors"

    def said(self, name: str) -> str:
        """What a worker wrote on standard error."""
        return self.errors(name).read_text()

    def reported(self) -> Reported:
        """The most that was said to be durable, by whom ever."""
        by_worker = [reported(self.folder, name) for name in (SEQUENCER, ENGINE)]
        return Reported(*(max(column) for column in zip(*by_worker, strict=True)))

    async def durable(self) -> Reported:
        async with await connect(self.server.url) as connection:
            log = JetStreamLog(connection)
            tape, ledger = await StoredTape(log, DESK).end(), await StoredLedger(log, DESK).end()
            return Reported(tape.ordinal, ledger.number)

    async def check(self) -> None:
        """Tape, ledger and state are those of the uninterrupted run, byte for byte, and the ledger can be proven."""
        expected = self.scene.expected
        async with await connect(self.server.url) as connection:
            log = JetStreamLog(connection)
            found = await recording(log)
            verified = await verify(log, DESK, StoredTape(log, DESK))
        assert_equal(found.tape, expected.tape, "tape")
        assert_equal(found.ledger, expected.ledger, "ledger")
        assert found.state == expected.state, "the engine's final state differs"
        assert verified.passed
        assert (verified.checked, verified.pending) == (len(expected.ledger), 0)


def assert_equal(found: list[bytes], expected: list[bytes], what: str) -> None:
    if found == expected:
        return
    place = next(place for place, pair in enumerate(zip_longest(found, expected), 1) if pair[0] != pair[1])
    raise AssertionError(
        f"the {what} differs from place {place} on: {found[place - 1 : place]} instead of "
        f"{expected[place - 1 : place]} ({len(found)} and {len(expected)} in all)"
    )


def lines_in(files: list[Path]) -> int:
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def play(folder: Path, scene: Scene, victims: Victims, kills: int, seed: int) -> int:
    """One session with so many kills (fewer if it is done earlier), and what must hold after it. Returns the kills."""
    dice, story = random.Random(seed), []
    try:
        with Session(folder, scene, dice) as session:
            for name in ALL:
                session.start(name)
            while len(story) < kills:
                names = victims(dice)
                reports_more, seconds_more = dice.choice(scene.moments)
                alive = session.await_reports(names, dice.randint(0, reports_more))
                time.sleep(dice.random() * seconds_more)
                if not alive or session.done:
                    break
                story.append(f"{' and '.join(names)} at {session.reported()}")
                session.kill_and_restart(names)
            session.await_end()
            asyncio.run(session.check())
    except BaseException as error:
        error.add_note(f"seed {seed}, killed: {'; '.join(story) or 'nothing yet'}")
        raise
    return len(story)
