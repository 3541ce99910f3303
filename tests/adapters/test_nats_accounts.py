"""The embedded nats-server's users and passwords, and how a data directory from before there were any goes on."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters import processes
from adapters.connection import Connection, connect
from adapters.embedded import EmbeddedServers, NatsServer
from adapters.jetstream import JetStreamLog, provision
from adapters.nats_passwords import made_passwords
from adapters.nats_server import binary
from adapters.permissions import USERS
from adapters.subjects import STREAMS
from domain.errors import InvalidInput
from domain.ports import Append, Message
from tests import logs

SUBJECTS = ("tape.main", "ledger.main", "governance.token.one", "snapshot.main")


def older_server(store: Path) -> tuple[psutil.Process, str]:
    """A server as it was before there were accounts, and its address."""
    store.mkdir(parents=True, exist_ok=True)
    port, monitor_port, config = processes.free_port(), processes.free_port(), store / "nats-server.conf"
    config.write_text(
        json.dumps(
            {
                "server_name": "cdb-older", "host": "127.0.0.1", "port": port, "http": f"127.0.0.1:{monitor_port}",
                "max_payload": 1 << 20, "jetstream": {"store_dir": str(store), "sync_interval": "always"},
            }
        )
    )  # fmt: skip
    log = store / "nats-server.log"
    process = processes.launch([str(binary()), "-c", str(config)], log)
    processes.await_ready(process, lambda: "Server is ready" in log.read_text(), log)
    return process, f"nats://127.0.0.1:{port}"


async def states(connection: Connection) -> dict[str, Any]:
    found = {}
    for stream in STREAMS:
        info = await connection.api(f"STREAM.INFO.{stream.name}")
        found[stream.name] = info["config"], info["created"], info["state"]
    return found


async def contents(log: JetStreamLog) -> list[list[Message]]:
    return [await logs.stored(log, subject) for subject in SUBJECTS]


@pytest.mark.parametrize("runs", [False, True], ids=["rests", "runs"])
async def test_what_was_stored_before_there_were_accounts_is_the_desks_unchanged(tmp_path: Path, *, runs: bool) -> None:
    older, address = older_server(tmp_path)
    try:
        async with await connect(address) as connection:
            await provision(connection)
            log = JetStreamLog(connection)
            for subject in SUBJECTS:
                last = 0
                for number in range(5):
                    last = await log.append(Append(subject, b"%d of the older" % number, {"First": str(number)}, last))
            before = await states(connection), await contents(log)
    finally:
        if not runs:
            processes.stop(older)
    server = NatsServer(tmp_path)
    server.start()
    try:
        assert not processes.alive(older)
        assert server.url.endswith(address.removeprefix("nats://"))
        async with await connect(server.url, budget_s=30) as connection:
            log = JetStreamLog(connection)
            assert (await states(connection), await contents(log)) == before
            await provision(connection)
            assert await log.append(Append("ledger.main", b"a newer one", {}, 5)) == 6
        assert [folder.name for folder in (tmp_path / "jetstream").iterdir()] == ["DESK"]
    finally:
        server.stop()


async def test_two_sets_of_streams_are_left_alone(tmp_path: Path) -> None:
    for account in ("$G", "DESK"):
        (tmp_path / "jetstream" / account / "streams" / "TAPE").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="both hold streams"):
        NatsServer(tmp_path).start()
    assert processes.find("nats-server", "-c", tmp_path / "nats-server.conf") is None


async def test_passwords_are_kept_and_readable_by_their_owner_alone(fresh_nats: NatsServer) -> None:
    urls = {user: fresh_nats.url_of(user) for user in USERS}
    passwords = {user: url.removeprefix(f"nats://{user}:").partition("@")[0] for user, url in urls.items()}
    assert len(set(passwords.values())) == len(USERS)
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in passwords.values())
    if sys.platform != "win32":
        for file in (fresh_nats.password_file, fresh_nats.config):
            assert file.stat().st_mode & 0o777 == 0o600, file
    shown = [*psutil.Process(fresh_nats.pid).cmdline(), fresh_nats.log.read_text()]
    assert not any(password in text for password in passwords.values() for text in shown)

    fresh_nats.stop()
    again = NatsServer(fresh_nats.store)
    again.start()
    assert {user: again.url_of(user) for user in USERS} == urls
    assert again.running_url() == urls["desk"]


@pytest.mark.parametrize("kept", [b"", b"\xff", b"[]", b'{"desk": 7, "agent": ""}'])
async def test_lost_passwords_are_made_anew_and_the_running_server_learns_them(
    fresh_nats: NatsServer, kept: bytes
) -> None:
    before, first = fresh_nats.url, fresh_nats.pid
    fresh_nats.password_file.write_bytes(kept)
    successor = NatsServer(fresh_nats.store)
    successor.start()
    assert successor.pid != first
    assert successor.url != before
    async with await connect(successor.url):
        pass
    with pytest.raises(InvalidInput, match="lets us in"):
        await connect(before)


def test_a_user_that_is_new_gets_a_password_and_the_others_keep_theirs(tmp_path: Path) -> None:
    first = made_passwords(tmp_path / "passwords.json")
    (tmp_path / "passwords.json").write_text(json.dumps({"desk": first["desk"]}))
    os.chmod(tmp_path / "passwords.json", 0o644)
    second = made_passwords(tmp_path / "passwords.json")
    assert second["desk"] == first["desk"]
    assert second.keys() == first.keys() == set(USERS)
    assert all(second[user] != first[user] for user in ("governance", "agent"))
    assert (tmp_path / "passwords.json").stat().st_mode & 0o777 == 0o600 or sys.platform == "win32"


async def test_the_servers_of_a_data_directory_have_an_address_for_each_user(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "data") as servers:
        assert servers.nats_url == servers.nats_url_of("desk") == servers.running_nats()
        for user in USERS:
            async with await connect(servers.nats_url_of(user)) as connection:
                assert connection.place == servers.nats_url.replace(servers.nats_url.partition("@")[0] + "@", "nats://")
