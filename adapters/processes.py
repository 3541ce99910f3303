"""Server processes of ours: how one is launched, found again by its command line, awaited and stopped."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from domain.errors import Unavailable

READY_SECONDS = 60  # a server scans its files after a hard kill before it answers
STOP_SECONDS = 20
PORTS = range(20_000, 32_000)  # below the ephemeral range, so that no outgoing connection sits on a port while it rests

_children: list[subprocess.Popen[bytes]] = []  # launched here; asked for their end, so that none stays a zombie


def alive(process: psutil.Process) -> bool:
    """Whether this very process (not a later one with its pid) still runs."""
    _children[:] = [child for child in _children if child.poll() is None]
    try:
        if process.is_running() and process.status() == psutil.STATUS_ZOMBIE:
            return process.num_threads() > 1  # a killed one holds its ports and files until its last thread is gone
        return process.is_running()
    except psutil.NoSuchProcess:
        return False


def find(program: str, option: str, path: Path) -> psutil.Process | None:
    """The running `program` whose command line begins with `option path`.

    The absolute path names one server of one data directory, so a pid is never trusted, nor a name alone.
    """
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        ours = command[1:3] == [option, str(path)] and Path(command[0]).stem == program
        if ours and alive(process):
            return process
    return None


def launch(command: Sequence[str], log: Path, **options: Any) -> psutil.Process:
    """Start a server in a session of its own: Ctrl-C ends `cdb`, and `cdb` then ends the server in order."""
    if log.exists():
        os.replace(log, log.with_name(f"{log.name}.previous"))
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True
    with log.open("wb") as output:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)
        except OSError as error:
            raise Unavailable(f"{command[0]} could not be started: {error}. Is the environment whole?") from error
    _children.append(child)
    return psutil.Process(child.pid)


def await_ready(process: psutil.Process, ready: Callable[[], bool], log: Path) -> None:
    """Wait until the server answers. Raises Unavailable with the end of its log when it dies or the time runs out."""
    deadline = time.monotonic() + READY_SECONDS
    while alive(process):
        if ready():
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"a server (pid {process.pid}) did not answer within {READY_SECONDS} s; {log_end(log)}")
        time.sleep(0.01)
    raise Unavailable(f"a server (pid {process.pid}) died before it was ready; {log_end(log)}")


def stop(process: psutil.Process, ask: Callable[[psutil.Process], None] = psutil.Process.terminate) -> None:
    """Ask a server to end, wait for it, and end it hard when it does not listen."""
    for end, seconds in ((ask, STOP_SECONDS), (psutil.Process.kill, STOP_SECONDS)):
        try:
            end(process)
        except psutil.NoSuchProcess:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not alive(process):
                return
            time.sleep(0.01)
    raise Unavailable(f"process {process.pid} does not end, not even killed; is its disk hanging?")


def kill(process: psutil.Process) -> None:
    """End a server as a crash would, and wait until its ports are free."""
    stop(process, psutil.Process.kill)


def log_end(log: Path, lines: int = 8) -> str:
    """The last lines of a server's log and where the rest is, for an error message."""
    try:
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        end = []
    return f"the end of {log}:\n" + ("\n".join(end) if end else "(empty)")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        if sys.platform != "win32":  # there the option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(preferred: int = 0) -> int:
    """`preferred` if it is free, so that clients find a restarted server again, else a free one."""
    if preferred and is_free(preferred):
        return preferred
    candidates = random.sample(PORTS, 200)
    for port in candidates:
        if is_free(port):
            return port
    raise Unavailable(f"none of 200 loopback ports between {PORTS.start} and {PORTS.stop} is free")


def environment(**changes: str) -> Mapping[str, str]:
    """The environment of a server: ours without Python's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | changes
