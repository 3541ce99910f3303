"""The read side in a process of its own, beside a desk that trades: neither projecting nor a question can hold that up.

The process ends with this one, also when that one is killed: it watches its standard input. If it dies, it is started
again, later each time; the desk goes on.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import ops
from adapters.embedded import private_folder
from adapters.ops_log import OpsLog
from domain.errors import Unavailable
from domain.ports import Log
from ops.health import Health
from ops.recovery import RecoveryTable
from ops.settings import Settings, variable
from ops.supervisor import Supervisor

NAME = "read_side"
SERVICES = ("projector", "api", "governance")
END_WITHIN_S = 15.0  # as long as a first start of PostgreSQL takes that is under way
LINES_SAID = 3


class ReadSide:
    """Use `ReadSide.beside`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._health = Health()
        self._folder = private_folder(settings.data_dir, NAME)

    @classmethod
    @asynccontextmanager
    async def beside(cls, settings: Settings, log: Log) -> "AsyncIterator[ReadSide]":
        """The process runs while the block does."""
        side = cls(settings)
        async with OpsLog.open(log) as events:
            supervisor = Supervisor(side._health, RecoveryTable.changed(settings.recovery), record=events.record)
            running = asyncio.create_task(supervisor.run({NAME: side._live}, side._go_on), name=NAME)
            try:
                yield side
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    @property
    def dashboard(self) -> str:
        """Where the dashboard is, or why it is not there."""
        status = self._health.status(NAME)
        if status.state == "failing":
            return f"not running: {status.error}"
        return address(self._settings)

    async def _live(self) -> None:
        """One life of the process. Raises Unavailable with the last that it said."""
        with self._said().open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "ops.main", "serve", *SERVICES, "--attached",
                stdin=PIPE, stdout=DEVNULL, stderr=said, env=_environment(self._settings), start_new_session=True,
            )  # fmt: skip
        self._health.ready(NAME)
        try:
            code = await process.wait()
        finally:
            await _end(process)
        who = f"desk {self._settings.desk}: the process of {' and '.join(SERVICES)}"
        raise Unavailable(f"{who} ended ({_how(code)}){self._last_said()}")

    async def _go_on(self, _: str) -> None:
        """Without a dashboard nothing is in doubt."""

    def _said(self) -> Path:
        """Where what it says goes; what the life before said is kept."""
        path = self._folder / f"{self._settings.desk}.log"
        if path.exists():
            os.replace(path, path.with_suffix(".log.previous"))
        return path

    def _last_said(self) -> str:
        lines = (self._folder / f"{self._settings.desk}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return f": {' / '.join(lines[-LINES_SAID:])}" if lines else ""


def address(settings: Settings) -> str:
    """Where the dashboard is."""
    scheme = "https" if settings.api_certificate else "http"
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"{scheme}://{host}:{settings.api_port}/"


async def _end(process: Process) -> None:
    """Ask it to end, wait, and end it hard when it does not listen."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    if sys.platform != "win32":  # there it is no request
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(END_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _environment(settings: Settings) -> Mapping[str, str]:
    """The same settings and the same code as here, without what only the governance service may know."""
    given = {variable(name): getattr(settings, name) for name in type(settings).model_fields}
    given[variable("governance_nats_url")] = None
    paths = [str(Path(ops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **{name: "" if value is None else str(value) for name, value in given.items()},
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
