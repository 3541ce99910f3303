"""What runs beside a desk that trades, in processes of their own: the read side, and governance, which alone knows its
credentials. Neither projecting, nor a question, nor a decision can hold trading up.

Such a process ends with this one, also when that one is killed: it watches its standard input. If it dies, it is
started again, later each time; the desk goes on.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
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

READ_SIDE: dict[str, tuple[str, ...]] = {"read_side": ("projector", "api")}
GOVERNANCE: dict[str, tuple[str, ...]] = {"governance": ("governance",)}
END_WITHIN_S = 15.0  # as long as a first start of PostgreSQL takes that is under way
LINES_SAID = 3


class ReadSide:
    """Use `ReadSide.beside`. `processes`: by name, the services of each."""

    def __init__(self, settings: Settings, processes: Mapping[str, Sequence[str]]) -> None:
        self._settings, self._processes = settings, processes
        self._health = Health()
        self._folder = private_folder(settings.data_dir, "read_side")

    @classmethod
    @asynccontextmanager
    async def beside(cls, settings: Settings, log: Log) -> "AsyncIterator[ReadSide]":
        """The processes run while the block does."""
        side = cls(settings, READ_SIDE | GOVERNANCE)
        async with OpsLog.open(log) as events:
            supervisor = Supervisor(side._health, RecoveryTable.changed(settings.recovery), record=events.record)
            lives = {name: partial(side._live, name) for name in side._processes}
            running = asyncio.create_task(supervisor.run(lives, side._go_on), name="beside the desk")
            try:
                yield side
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    @property
    def dashboard(self) -> str:
        """Where the dashboard is, or why it is not there."""
        status = self._health.status("read_side")
        if status.state == "failing":
            return f"not running: {status.error}"
        return address(self._settings)

    async def _live(self, name: str) -> None:
        """One life of a process. Raises Unavailable with the last that it said."""
        services = self._processes[name]
        with self._said(name).open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "ops.main", "serve", *services, "--attached",
                stdin=PIPE, stdout=DEVNULL, stderr=said, env=_environment(self._settings, name), start_new_session=True,
            )  # fmt: skip
        self._health.ready(name)
        try:
            code = await process.wait()
        finally:
            await _end(process)
        who = f"desk {self._settings.desk}: the process of {' and '.join(services)}"
        raise Unavailable(f"{who} ended ({_how(code)}){self._last_said(name)}")

    async def _go_on(self, _: str) -> None:
        """Without a dashboard nothing is in doubt."""

    def _said(self, name: str) -> Path:
        """Where what it says goes; what the life before said is kept."""
        path = self._log_of(name)
        if path.exists():
            os.replace(path, path.with_suffix(".log.previous"))
        return path

    def _log_of(self, name: str) -> Path:
        suffix = "" if name in READ_SIDE else f".{name}"
        return self._folder / f"{self._settings.desk}{suffix}.log"

    def _last_said(self, name: str) -> str:
        lines = self._log_of(name).read_text(encoding="utf-8", errors="replace").splitlines()
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


def _environment(settings: Settings, process: str) -> Mapping[str, str]:
    """The same settings and the same code as here; only the process of governance learns its credentials."""
    given = {variable(name): getattr(settings, name) for name in type(settings).model_fields}
    if process not in GOVERNANCE:
        given[variable("governance_nats_url")] = None
    paths = [str(Path(ops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **{name: "" if value is None else str(value) for name, value in given.items()},
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
