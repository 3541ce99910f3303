"""The servers that `cdb` brings along: one nats-server and one PostgreSQL per data directory, shared by its processes.

Every process that uses them leaves a file in `users/`; whoever comes first starts a server, the last one out stops it.
A process that was killed leaves its file behind, and the next one to come or go clears it. Nothing is remembered about
the servers themselves: a running one is recognised by its command line, so there is no stale pid to be misled by.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock
import psutil

from adapters import processes
from adapters.nats_server import NatsServer
from adapters.postgres_server import PostgresServer
from domain.errors import InvalidInput, Unavailable

__all__ = ["EmbeddedServers", "NatsServer", "PostgresServer", "private_folder"]

LOCK_SECONDS = processes.READY_SECONDS + 2 * processes.STOP_SECONDS  # as long as another one may start or stop servers


class EmbeddedServers:
    """`with EmbeddedServers(data_dir) as servers:` nats-server runs; PostgreSQL from the first `postgres()` on.

    Its methods block (up to a few seconds on the first start): from a coroutine, call them by asyncio.to_thread.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = Path(os.path.abspath(data_dir.expanduser()))
        self._nats = NatsServer(self.data_dir / "nats")
        self._postgres = PostgresServer(self.data_dir / "postgres")
        self._users = self.data_dir / "users"
        self._me: Path | None = None

    def __enter__(self) -> Self:
        try:
            self.nats()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def nats_url(self) -> str:
        """Of the desk's user."""
        return self._nats.url

    def nats_url_of(self, user: str) -> str:
        """The address of the nats-server with the credentials of a user of `adapters/permissions.py`."""
        return self._nats.url_of(user)

    @property
    def nats_monitor_url(self) -> str:
        return self._nats.monitor_url

    def running_nats(self) -> str:
        """The url of the nats-server that runs already, without becoming one of its users. Raises Unavailable."""
        return self._nats.running_url()

    def nats(self) -> str:
        """The url of the running nats-server; started, or started again after a crash (same port), if need be."""
        with self._locked():
            self._register()
            self._nats.start()
        return self._nats.url

    def postgres(self) -> str:
        """The DSN of the running PostgreSQL; started, or started again after a crash, if need be."""
        with self._locked():
            self._register()
            self._postgres.start()
            return self._postgres.dsn

    def close(self) -> None:
        """Leave; the last user stops the servers. Calling it twice is fine."""
        if self._me is None:
            return
        with self._locked():
            self._me.unlink(missing_ok=True)
            self._me = None
            if not self._living_users():
                self._postgres.stop()
                self._nats.stop()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            private_folder(self.data_dir, self._users.name)
            lock = filelock.FileLock(self.data_dir / "servers.lock", timeout=LOCK_SECONDS, mode=0o600)
            with lock:
                yield
        except filelock.Timeout as error:
            raise Unavailable(
                f"another cdb process has been starting or stopping the servers of {self.data_dir} "
                f"for {LOCK_SECONDS} s; see the logs there"
            ) from error
        except OSError as error:
            raise _unusable(self.data_dir, error) from error

    def _register(self) -> None:
        self._living_users()
        if self._me is None:
            created = psutil.Process().create_time()
            me = self._users / f"{os.getpid()}-{created:.2f}-{secrets.token_hex(4)}"
            me.touch(mode=0o600)
            self._me = me

    def _living_users(self) -> list[Path]:
        """Whoever still runs; the files of the others are removed."""
        living = []
        for user in self._users.iterdir():
            if _runs(user.name):
                living.append(user)
            else:
                user.unlink(missing_ok=True)
        return living


def private_folder(data_dir: Path, name: str) -> Path:
    """The folder `name` in a data directory, both for their owner only. Raises InvalidInput where that cannot be."""
    folder = data_dir / name
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    return folder


def _unusable(data_dir: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"data directory {data_dir} cannot be used: {error}; choose another with --data-dir or CDB_DATA_DIR"
    )


def _runs(user: str) -> bool:
    """Whether the process of a `pid-created-token` file is still that process and not a later one with its pid."""
    try:
        pid, created, _ = user.split("-")
        process = psutil.Process(int(pid))
        return abs(process.create_time() - float(created)) < 2 and processes.alive(process)
    except (ValueError, OverflowError, psutil.Error):
        return False
