"""The embedded servers: started once, shared, recognised, healed, and gone with their last user."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import filelock
import nats
import psutil
import pytest

from adapters import embedded, processes
from adapters.embedded import EmbeddedServers, NatsServer
from domain.errors import InvalidInput, Unavailable

ROOT = Path(__file__).parents[2]

USER = """
import json, sys
from pathlib import Path
from adapters.embedded import EmbeddedServers
try:
    with EmbeddedServers(Path(sys.argv[1])) as servers:
        dsn = servers.postgres() if "postgres" in sys.argv else None
        print(json.dumps({"url": servers.nats_url, "pid": servers._nats.pid, "dsn": dsn}), flush=True)
        sys.stdin.readline()
except KeyboardInterrupt:
    sys.exit(130)
"""


class User:
    """Another cdb process: uses the data directory until told to leave."""

    def __init__(self, data_dir: Path, *wants: str) -> None:
        command = [sys.executable, "-c", USER, str(data_dir), *wants]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ready(self) -> dict[str, Any]:
        return json.loads(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def crash(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def data_dir(passable_tmp: Path) -> Iterator[Path]:
    folder = passable_tmp / "data"
    yield folder
    for server in (nats_of(folder), postgres_of(folder)):
        if server is not None:
            server.kill()


def nats_of(data_dir: Path) -> psutil.Process | None:
    return processes.find("nats-server", "-c", data_dir / "nats" / "nats-server.conf")


def postgres_of(data_dir: Path) -> psutil.Process | None:
    return processes.find("postgres", "-D", data_dir / "postgres" / "data")


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and processes.alive(psutil.Process(pid))


@contextmanager
def stranger(**account: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "100"], **account)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def jsz(server: NatsServer) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.monitor_url}/jsz?config=1", timeout=5) as answer:
        return json.load(answer)


# One nats-server


def test_a_server_fsyncs_every_write_unless_told_otherwise(nats_server, tmp_path):
    assert jsz(nats_server)["config"]["sync_always"]
    careless = NatsServer(tmp_path / "careless", sync_always=False)
    careless.start()
    try:
        assert not jsz(careless)["config"].get("sync_always")
    finally:
        careless.stop()


async def test_a_killed_server_comes_back_at_the_same_address_with_what_was_stored(fresh_nats):
    address, first = (fresh_nats.url, fresh_nats.monitor_url), fresh_nats.pid
    client = await nats.connect(fresh_nats.url, allow_reconnect=False)
    await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await client.jetstream().publish("kept", b"tick")
    await client.close()
    fresh_nats.kill()
    assert not fresh_nats.running
    fresh_nats.start()
    assert (fresh_nats.url, fresh_nats.monitor_url) == address
    assert fresh_nats.pid != first
    client = await nats.connect(fresh_nats.url, allow_reconnect=False)
    assert (await client.jetstream().get_last_msg("KEPT", "kept")).data == b"tick"
    await client.close()


def test_a_second_server_over_the_same_store_is_the_first_one(fresh_nats):
    twin = NatsServer(fresh_nats.store)
    twin.start()
    assert (twin.pid, twin.url, twin.monitor_url) == (fresh_nats.pid, fresh_nats.url, fresh_nats.monitor_url)


def test_a_server_that_cannot_start_shows_the_end_of_its_log_and_where_it_is(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        server = NatsServer(tmp_path / "nats", port=stranger.getsockname()[1])
        with pytest.raises(Unavailable, match="address already in use") as refusal:
            server.start()
    assert str(server.log) in str(refusal.value)
    assert not server.running


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
def test_a_predecessor_that_does_not_answer_is_ended_and_replaced(fresh_nats, monkeypatch):
    hung = fresh_nats.pid
    os.kill(hung, signal.SIGSTOP)
    until(lambda: psutil.Process(hung).status() == psutil.STATUS_STOPPED, "its stop")
    monkeypatch.setattr(processes, "READY_SECONDS", 2)
    monkeypatch.setattr(processes, "STOP_SECONDS", 1)
    successor = NatsServer(fresh_nats.store)
    successor.start()
    assert successor.pid != hung
    assert not fresh_nats.running
    successor.stop()


# One data directory, several processes


def test_the_first_user_starts_the_server_and_the_last_one_out_stops_it(data_dir):
    users = [User(data_dir) for _ in range(3)]
    answers = [user.ready() for user in users]
    assert len({(answer["pid"], answer["url"]) for answer in answers}) == 1
    users[0].leave()
    users[1].leave()
    assert runs(answers[0]["pid"])
    users[2].leave()
    until(lambda: nats_of(data_dir) is None, "the end of the server")
    assert list((data_dir / "users").iterdir()) == []


def test_a_killed_user_leaves_a_server_that_the_next_one_uses_and_stops(data_dir):
    first = User(data_dir)
    server = first.ready()["pid"]
    first.crash()
    assert runs(server)
    with EmbeddedServers(data_dir) as servers:
        assert servers._nats.pid == server
        assert len(list((data_dir / "users").iterdir())) == 1
    assert nats_of(data_dir) is None


def test_users_that_do_not_run_any_more_do_not_keep_the_server(data_dir):
    users = data_dir / "users"
    users.mkdir(parents=True)
    born = psutil.Process().create_time()
    for name in (
        "999999999-1.00-dead",
        f"{os.getpid()}-{born - 60:.2f}-older",  # this pid belonged to somebody else
        "garbage",
        "a-b-c",
        "99999999999999999999999-1-huge",
        "-1-1-negative",
    ):
        (users / name).touch()
    with EmbeddedServers(data_dir):
        pass
    assert nats_of(data_dir) is None
    assert list(users.iterdir()) == []


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00{", b"[]", b'{"port": 1', b'{"port": "x", "http": 1}'])
def test_garbage_about_the_server_is_survived(data_dir, garbage):
    (data_dir / "nats").mkdir(parents=True)
    (data_dir / "nats" / "nats-server.conf").write_bytes(garbage)
    with EmbeddedServers(data_dir) as servers:
        assert servers._nats.running


def test_an_orphan_of_which_nothing_is_known_gives_way_to_a_new_server(data_dir):
    first = User(data_dir)
    orphan = first.ready()["pid"]
    first.crash()
    (data_dir / "nats" / "nats-server.conf").write_text("{}")
    with EmbeddedServers(data_dir) as servers:
        assert servers._nats.pid != orphan
        assert not runs(orphan)


def test_a_killed_server_is_started_again_for_all_its_users(data_dir):
    with EmbeddedServers(data_dir) as one, EmbeddedServers(data_dir) as other:
        url = one.nats_url
        psutil.Process(one._nats.pid).kill()
        assert one.nats() == url
        assert other.nats() == url
        assert one._nats.pid == other._nats.pid


def test_a_port_that_somebody_took_meanwhile_is_left_to_them(data_dir):
    with EmbeddedServers(data_dir) as servers:
        before = servers._nats.port
    with socket.create_server(("127.0.0.1", before)), EmbeddedServers(data_dir) as servers:
        assert servers._nats.port != before
        assert servers._nats.running


def test_the_data_directory_is_for_its_owner_only(data_dir):
    with EmbeddedServers(data_dir):
        assert data_dir.stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_cannot_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="--data-dir or CDB_DATA_DIR") as refusal:
        EmbeddedServers(tmp_path / "file" / "data").__enter__()
    assert str(tmp_path / "file" / "data") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_lock_that_somebody_keeps_is_not_waited_for_without_end(data_dir, monkeypatch):
    data_dir.mkdir()
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.05)
    with filelock.FileLock(data_dir / "servers.lock"), pytest.raises(Unavailable, match="another cdb process"):
        EmbeddedServers(data_dir).nats()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_no_process_and_no_lock_behind(data_dir):
    user = User(data_dir, "postgres")
    user.ready()
    user.process.send_signal(signal.SIGINT)
    user.process.communicate(timeout=30)
    assert user.process.returncode == 130
    assert nats_of(data_dir) is None
    assert postgres_of(data_dir) is None
    with filelock.FileLock(data_dir / "servers.lock", timeout=0):
        assert list((data_dir / "users").iterdir()) == []


# PostgreSQL


async def answer(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


async def test_postgres_starts_when_asked_in_a_deep_folder_and_stops_with_its_user(passable_tmp):
    deep = passable_tmp.joinpath(*["a-rather-long-folder"] * 8)
    with EmbeddedServers(deep) as servers:
        assert postgres_of(deep) is None
        assert await answer(servers.postgres()) == 1
    assert postgres_of(deep) is None


@pytest.mark.skipif(sys.platform == "win32", reason="accounts")
async def test_a_killed_postgres_is_started_again_whoever_has_its_pid_now(data_dir):
    with EmbeddedServers(data_dir) as servers:
        servers.postgres()
        postgres_of(data_dir).kill()
        until(lambda: postgres_of(data_dir) is None, "the end of PostgreSQL")
        files = data_dir / "postgres" / "data"
        account = {"user": files.stat().st_uid} if os.geteuid() == 0 else {}
        with stranger(**account) as process:
            lines = (files / "postmaster.pid").read_text().splitlines()
            (files / "postmaster.pid").write_text("\n".join([str(process.pid), *lines[1:]]) + "\n")
            assert await answer(servers.postgres()) == 1
            assert process.poll() is None


async def test_a_postgres_of_a_killed_user_is_used_further(data_dir):
    first = User(data_dir, "postgres")
    dsn = first.ready()["dsn"]
    first.crash()
    with EmbeddedServers(data_dir) as servers:
        assert servers.postgres() == dsn
        assert await answer(dsn) == 1
    assert postgres_of(data_dir) is None


async def test_an_interrupted_first_start_of_postgres_is_begun_anew(data_dir):
    (data_dir / "postgres" / "data.new-dead" / "base").mkdir(parents=True)
    (data_dir / "postgres" / "data.new-dead" / "PG_VERSION").write_text("18")
    with EmbeddedServers(data_dir) as servers:
        assert await answer(servers.postgres()) == 1
    assert not list((data_dir / "postgres").glob("data.new-*"))


async def test_a_stranger_on_this_machine_needs_the_password(data_dir):
    with EmbeddedServers(data_dir) as servers:
        place = servers.postgres().rpartition("@")[2]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await answer(f"postgresql://postgres:guess@{place}")


AS_NOBODY = """
import asyncio, os, pwd, sys
from pathlib import Path
import asyncpg, encodings.idna
from adapters.embedded import EmbeddedServers  # the interpreter itself may lie where an ordinary user cannot read
nobody = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
os.environ.update(HOME="/nonexistent", USER="nobody")
async def answer(dsn):
    connection = await asyncpg.connect(dsn)
    print(await connection.fetchval("select 1"))
    await connection.close()
with EmbeddedServers(Path(sys.argv[1])) as servers:
    asyncio.run(answer(servers.postgres()))
"""


def test_an_ordinary_user_has_both_servers_too(passable_tmp):
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("NOT TESTED: becoming an ordinary user needs root; every other test here ran as one")
    import pwd

    passable_tmp.chmod(0o711)
    home = passable_tmp / "home"
    home.mkdir()
    os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(home / "data")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert (home / "data").stat().st_uid == home.stat().st_uid != 0
    assert nats_of(home / "data") is None
    assert postgres_of(home / "data") is None
