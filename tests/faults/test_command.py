"""The real command, killed with SIGKILL or interrupted with Ctrl-C at random moments and run again."""

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import psutil
import pytest

from adapters import processes
from adapters.embedded import EmbeddedServers
from adapters.jetstream import JetStreamLog, connect
from adapters.tape_log import StoredTape
from domain.errors import Unavailable
from ops import settings
from ops.composition import open_log
from tests.canonical import market_ticks
from tests.faults.session import Recording, recording

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
TICKS = 80_000  # of which the command makes half a dozen blocks, each with more than a thousand signals
LONGEST_S = 2.0  # about what the command takes: the moments of kills by time lie below

KILLS = 5  # a data directory: more would find the work done
ROUNDS = [pytest.param(1, id="5"), pytest.param(10, id="50", marks=pytest.mark.slow)]


class Ended(NamedTuple):
    """A command that has ended: its exit code, its lines of JSON, and what it said on standard error."""

    code: int
    rows: list[dict[str, Any]]
    said: str


class Folder:
    """A data directory and the commands over it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def start(self, *arguments: str) -> Process:
        command = [sys.executable, "-m", "ops.main", "--data-dir", str(self.path), *arguments]
        return await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=PIPE, stderr=PIPE, start_new_session=True, limit=1 << 26
        )

    async def command(self, *arguments: str) -> Ended:
        return await ended(await self.start(*arguments))

    def server(self) -> psutil.Process | None:
        return processes.find("nats-server", "-c", self.path / "nats" / "nats-server.conf")

    @asynccontextmanager
    async def log(self) -> AsyncIterator[JetStreamLog]:
        """The log of this folder, with a server for as long as it is used."""
        with EmbeddedServers(self.path) as servers:
            async with await connect(servers.nats_url) as connection:
                yield JetStreamLog(connection)

    async def tape_reaches(self, tape: str, ordinal: int, growth: int = 0) -> None:
        """Wait until a running command has put so much on the tape, `growth` of it since we looked first."""
        while True:
            with suppress(Unavailable):
                url = EmbeddedServers(self.path).running_nats()
                break
            await asyncio.sleep(0.005)
        async with await connect(url) as connection:
            end = StoredTape(JetStreamLog(connection), tape).end
            wanted = max(ordinal, (await end()).ordinal + growth)
            while True:
                if (await end()).ordinal >= wanted:
                    return
                await asyncio.sleep(0.001)

    async def kill_somewhere(self, dice: random.Random, tape: str, ordinal: int, *arguments: str) -> str | None:
        """Run a command and SIGKILL it, or its server, or both on the way. None when it had ended by itself."""
        process = await self.start(*arguments)
        victims = dice.choice(("the command", "the command", "its server", "both"))
        seconds = dice.random() * LONGEST_S
        by_time = victims != "its server" and dice.random() < 0.5
        growth = 1 if victims == "its server" else 0  # the command has found its server before it loses it
        moment = asyncio.create_task(asyncio.sleep(seconds) if by_time else self.tape_reaches(tape, ordinal, growth))
        running = asyncio.create_task(ended(process))
        await asyncio.wait({moment, running}, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        in_time = process.returncode is None
        if in_time and victims != "its server":
            process.kill()
        if in_time and victims != "the command" and (server := self.server()) is not None:
            await asyncio.to_thread(processes.kill, server)
        said = await running
        moment.cancel()
        await asyncio.gather(moment, return_exceptions=True)
        assert said.code == 0 or (in_time and victims != "its server"), said.said
        return f"{victims} {f'after {seconds:.3f} s' if by_time else f'at ordinal {ordinal}'}" if in_time else None


async def ended(process: Process) -> Ended:
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    rows = [json.loads(line) for line in out.splitlines()] if process.returncode == 0 else []
    return Ended(process.returncode, rows, err.decode())


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of quotes that no test changes."""
    path = tmp_path_factory.mktemp("files") / "EURUSD.csv"
    ticks = market_ticks(TICKS, seed=4, seconds=8)
    rows = zip(*(ticks[field].tolist() for field in ("event_time", "bid", "ask")), strict=True)
    lines = (f"{time // 1_000_000},{bid / 1e9:.5f},{ask / 1e9:.5f}\n" for time, bid, ask in rows)
    path.write_text("time,bid,ask\n" + "".join(lines))
    return path


@pytest.fixture
def folder(passable_tmp: Path) -> Iterator[Folder]:
    """A data directory, of which nothing runs on behind the test."""
    with using(passable_tmp / "data") as folder:
        yield folder


@contextmanager
def using(path: Path) -> Iterator[Folder]:
    folder = Folder(path)
    try:
        yield folder
    finally:
        if (server := folder.server()) is not None:
            processes.kill(server)


def run_arguments(csv: Path) -> list[str]:
    options = ["--strategy", "ema_cross", "--param", "on=ticks", "--param", "fast=3", "--param", "slow=9"]
    return ["run", "--feed", f"file:{csv}", *options, "--exit-when-done", "--json"]


def ingest_arguments(csv: Path) -> list[str]:
    return ["ingest", str(csv), "--json"]


class Whole(NamedTuple):
    """What commands leave behind that nobody interrupts."""

    desk: Recording
    signals: list[dict[str, Any]]
    dataset: str
    tape: list[bytes]


@pytest.fixture(scope="module")
def whole(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = Folder(tmp_path_factory.mktemp("whole"))

    async def make() -> Whole:
        async with folder.log() as log:
            assert (await folder.command(*run_arguments(csv))).code == 0
            signals = (await folder.command("signals", "--json")).rows
            dataset = (await folder.command(*ingest_arguments(csv))).rows[-1]["tape"]
            return Whole(await recording(log), signals, dataset, (await recording(log, dataset)).tape)

    return asyncio.run(make())


async def kill_again_and_again(folder: Folder, tape: str, last: int, *arguments: str) -> list[str]:
    """Some kills, then a whole run; the story of the kills, in a note when one makes the command fail."""
    seed = random.randrange(2**32)
    dice, story = random.Random(seed), []
    try:
        for ordinal in sorted(dice.sample(range(1, last), KILLS)):
            while not (killed := await folder.kill_somewhere(dice, tape, ordinal, *arguments)):
                pass  # it was quicker than its murderer
            story.append(killed)
        done = await folder.command(*arguments)
        assert done.code == 0, done.said
    except BaseException as error:
        error.add_note(f"seed {seed}, killed: {'; '.join(story) or 'never'}")
        raise
    return story


@pytest.mark.parametrize("sessions", ROUNDS)
async def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    passable_tmp: Path, csv: Path, whole: Whole, sessions: int
) -> None:
    for session in range(sessions):
        with using(passable_tmp / str(session)) as folder:
            story = await kill_again_and_again(folder, "main", len(whole.desk.tape), *run_arguments(csv))
            verified = (await folder.command("verify", "--json")).rows[-1]
            signals = (await folder.command("signals", "--json")).rows
            counts = verified["diverged"], verified["pending"], verified["checked"]
            assert counts == (0, 0, len(whole.desk.ledger)), story
            assert len(signals) > 6_000
            assert signals == whole.signals, story
            async with folder.log() as log:
                assert await recording(log) == whole.desk, story


@pytest.mark.parametrize("sessions", ROUNDS)
async def test_an_ingest_that_was_killed_makes_the_same_tape(
    passable_tmp: Path, csv: Path, whole: Whole, sessions: int
) -> None:
    for session in range(sessions):
        with using(passable_tmp / str(session)) as folder:
            story = await kill_again_and_again(folder, whole.dataset, len(whole.tape), *ingest_arguments(csv))
            again = (await folder.command(*ingest_arguments(csv))).rows[-1]
            assert (again["tape"], again["ticks_added"]) == (whole.dataset, 0)
            async with folder.log() as log:
                assert (await recording(log, whole.dataset)).tape == whole.tape, story


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_ctrl_c_leaves_no_process_and_no_lock_behind(
    folder: Folder, csv: Path, whole: Whole, share: float
) -> None:
    process = await folder.start(*run_arguments(csv))
    async with asyncio.timeout(DEADLINE_S):
        await folder.tape_reaches("main", 1 + int(share * len(whole.desk.tape)))
    os.killpg(process.pid, signal.SIGINT)
    interrupted = await ended(process)
    assert interrupted.code == 130
    assert "Traceback" not in interrupted.said
    assert_nothing_is_left(folder)
    assert (await folder.command(*run_arguments(csv))).code == 0
    assert (await folder.command("signals", "--json")).rows == whole.signals


async def test_ctrl_c_while_the_server_starts_stops_it(folder: Folder) -> None:
    folder.path.mkdir(mode=0o700)
    opening = open_log(settings.load(data_dir=folder.path))
    with filelock.FileLock(folder.path / "servers.lock"):  # the start waits for another process that starts or stops
        entering = asyncio.create_task(opening.__aenter__())
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if (folder.path / "users").exists():
                    break
                await asyncio.sleep(0.001)
        entering.cancel()
        await asyncio.wait({entering}, timeout=0.2)  # whoever does not wait for the start has left by now
    with pytest.raises(asyncio.CancelledError):
        await entering
    await asyncio.get_running_loop().shutdown_default_executor()
    assert_nothing_is_left(folder)


@pytest.mark.slow
async def test_ctrl_c_at_any_moment_leaves_no_process_and_no_lock_behind(folder: Folder, csv: Path) -> None:
    for moment in range(60):
        process = await folder.start(*run_arguments(csv))
        await asyncio.sleep(moment * LONGEST_S / 60)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)
        said = await ended(process)
        assert said.code in (0, 130, -signal.SIGINT), f"{moment}: {said}"
        assert_nothing_is_left(folder)


def assert_nothing_is_left(folder: Folder) -> None:
    assert folder.server() is None
    if folder.path.exists():
        assert list((folder.path / "users").iterdir()) == []
        with filelock.FileLock(folder.path / "servers.lock", timeout=0):
            pass
