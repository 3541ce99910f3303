"""A desk for the tests of operations: a script on its tape, engines that decide on it, and the real command."""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from adapters import processes, subjects
from adapters.governance_log import GovernanceLog
from adapters.jetstream import JetStreamLog
from adapters.ledger import StoredLedger
from adapters.subjects import TOPIC
from adapters.tape_log import StoredTape
from adapters.token_log import ACCESS, CATEGORY
from domain.access import TokenCreated, TokenRevoked
from domain.instructions import Instructed
from domain.ports import Append, Log, TapeEnd
from ops.composition import open_log
from ops.core import Core
from ops.desk import Desk
from ops.settings import load
from tests import canonical, canonical_governance
from tests.canonical_governance import MESSAGES

ROOT = Path(__file__).parents[2]
SERVICES = ("ws", "core", "risk", "execution")
READ_SIDE = ("projector", "api")
DEADLINE_S = 40

DESK = "main"
SCRIPT: list[Any] = [
    *canonical.opening(2, canonical.EVERY_STRATEGY),
    canonical.with_minutes(canonical.market_ticks(1_500, seed=11, symbols=2)),
    canonical.activated("ema_cross", "EURUSD", id="fewer"),
    canonical.with_minutes(canonical.market_ticks(500, seed=12, symbols=2, start=canonical.MONDAY + 10**14)),
]
LEDGER = canonical.ledger(canonical.messages(SCRIPT))
LAST = canonical.length(SCRIPT)


async def write_tape(log: Log, script: Any = SCRIPT, desk: str = DESK) -> TapeEnd:
    """The script behind what is on the desk's tape, in blocks of a hundred records."""
    tape = StoredTape(log, desk)
    end = await tape.end()
    for message in canonical.messages(script, range(0, 10_000, 100), first=end.ordinal + 1):
        end = await tape.append(message, end)
    return end


async def write_governance(log: Log, told: Sequence[Sequence[canonical_governance.Said]] = MESSAGES) -> int:
    """A governance's messages behind what is there; the last sequence."""
    store, ends, last = GovernanceLog(log), dict[str, int](), 0
    for message in told:
        first = message[0]
        if isinstance(first, TokenCreated | TokenRevoked):
            subject, data = subjects.governance(CATEGORY, first.name), first.model_dump_json().encode()
            last = await log.append(Append(subject, data, {TOPIC: ACCESS}, ends.get(subject, 0)))
            ends[subject] = last
        else:
            last = await store.append(message)  # type: ignore[arg-type]  # a token's message is of tokens alone
    return last


def core(log: Log, desk: str = DESK, **options: Any) -> Core:
    return Core(log, desk, StoredTape(log, desk), **options)


async def decide(log: Log, until: int = LAST, desk: str = DESK) -> Core:
    """Run an engine to an ordinal."""
    engine = core(log, desk)
    await engine.run(until=until)
    return engine


async def ledger(log: Log, desk: str = DESK) -> list[bytes]:
    """The lines of the ledger."""
    return [event.line async for page in StoredLedger(log, desk).read() for event in page]


# -- the real command, with servers of its own -------------------------------------------------------------------------


class Ended(NamedTuple):
    """A command that has ended: its exit code, its lines of JSON, and what it said on standard error."""

    code: int
    rows: list[dict[str, Any]]
    said: str


class Cdb:
    """A data directory, and `cdb` commands on it, with health pages on ports that nobody else uses. With `dashboard`,
    `up` has its read side beside it."""

    def __init__(self, path: Path, *, dashboard: bool = False) -> None:
        self.path, self._dashboard = path, dashboard
        self.ports = {service: processes.free_port() for service in (*SERVICES, *READ_SIDE, "governance")}
        self._started: list[Process] = []

    async def start(self, *arguments: str) -> Process:
        ports = {f"CDB_{service.upper()}_PORT": str(port) for service, port in self.ports.items()}
        alone = ("--no-dashboard",) if arguments[0] == "up" and not self._dashboard else ()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ops.main", "--data-dir", str(self.path), *arguments, *alone, cwd=ROOT,
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True, env=os.environ | ports,
        )  # fmt: skip
        self._started.append(process)
        return process

    async def __call__(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        return await ended(await self.start(*arguments))

    async def interrupted(self, process: Process, by: int = signal.SIGINT) -> Ended:
        """What a command says that is stopped from outside."""
        process.send_signal(by)
        return await ended(process)

    def desk(self, name: str = DESK) -> Desk:
        """The same operations in this process, which is quicker."""
        return Desk(data_dir=self.path, desk=name, approver_key=self.path / "keys" / "approver.key")

    async def assert_verified(self, desk: str = DESK) -> None:
        """Every decision is what the engine computes from the tape."""
        found = await self.desk(desk).verify(lambda *_: None)
        assert (found["diverged"], found["pending"], found["problem"]) == (0, 0, None), found
        assert not found["governance"]["findings"], found
        assert found["checked"] > 0

    def server(self) -> psutil.Process | None:
        return processes.find("nats-server", "-c", self.path / "nats" / "nats-server.conf")

    async def page(self, service: str, name: str = "health") -> tuple[int, dict[str, Any]] | None:
        """Status and content of a page; None when nobody answers."""
        url = f"http://127.0.0.1:{self.ports[service]}/{name}"

        def get() -> tuple[int, dict[str, Any]] | None:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)
            except OSError:
                return None

        return await asyncio.to_thread(get)

    async def ready(self, process: Process, *services: str) -> None:
        """Wait until these services say that they are."""
        for service in services:
            await until(lambda service=service: self._is_ready(process, service))  # type: ignore[misc]

    async def _is_ready(self, process: Process, service: str) -> bool:
        assert process.returncode is None, await ended(process)
        page = await self.page(service, "ready")
        return page is not None and page[0] == 200

    async def ordinal(self) -> int:
        """How far the engine of the desk that runs has come."""
        page = await self.page("core")
        return int(page[1]["figures"].get("ordinal", 0)) if page else 0

    async def reaches(self, ordinal: int) -> None:
        async def reached() -> bool:
            return await self.ordinal() >= ordinal

        await until(reached)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[JetStreamLog]:
        """The log of this folder, by the server that runs or one that is started for it."""
        async with open_log(load(data_dir=self.path)) as log:
            yield log

    def postgres(self) -> psutil.Process | None:
        return processes.find("postgres", "-D", self.path / "postgres" / "data")

    def assert_nothing_is_left(self) -> None:
        assert self.server() is None
        assert self.postgres() is None
        assert list((self.path / "users").iterdir()) == []

    async def close(self) -> None:
        """Leave nothing behind a test that failed."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.wait()
        for server in (self.server(), self.postgres()):
            if server is not None:
                processes.kill(server)


async def ended(process: Process) -> Ended:
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(
        process.returncode, [json.loads(line) for line in out.splitlines() if line.startswith(b"{")], err.decode()
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; the deadline is the test's last word."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.02)


async def tape_of(log: Log, desk: str = DESK) -> list[Any]:
    """Blocks and instructions."""
    return [message async for page in StoredTape(log, desk).read() for message in page]


async def instructions(log: Log, desk: str = DESK) -> list[Any]:
    """What was said on a desk's tape, as (ordinal, instruction)."""
    return [message for message in await tape_of(log, desk) if isinstance(message, Instructed)]


def write_quotes(path: Path, count: int, *, step_ms: int = 100, start: str = "2018-06-13T12:00:00") -> Path:
    """Quotes that swing, so that averages of ticks cross again and again."""
    first = int(np.datetime64(start, "ms").astype(np.int64))
    rows = []
    for number in range(count):
        bid = 1.10 + 0.002 * np.sin(number / 7)
        rows.append(f"{first + number * step_ms},{bid:.5f},{bid + 0.00008:.5f}\n")
    path.write_text("time,bid,ask\n" + "".join(rows))
    return path
