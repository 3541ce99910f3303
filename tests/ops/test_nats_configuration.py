"""The configuration of nats-server: one table for the shipped file and the embedded server."""

import json
import shutil
import subprocess
from pathlib import Path

from adapters.commands import FROM_OUTSIDE
from adapters.nats_passwords import kept_passwords
from adapters.nats_server import NatsServer, binary
from adapters.permissions import GATED_INSTRUCTIONS, USERS, accounts
from ops.nats.configuration import PASSWORDS, SHIPPED, rendered, rendered_passwords


def test_the_shipped_file_is_what_is_rendered() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == rendered(), "render it anew: see ops/nats/configuration.py"


def test_the_shipped_file_holds_no_password_and_without_any_no_server_starts(tmp_path: Path) -> None:
    assert SHIPPED.read_text().count(": $") == SHIPPED.read_text().count('"password"') == len(USERS)
    shutil.copy(SHIPPED, tmp_path)
    check = [str(binary()), "-t", "-c", str(tmp_path / SHIPPED.name)]
    assert "passwords.conf" in subprocess.run(check, capture_output=True, text=True, check=False).stderr
    (tmp_path / PASSWORDS).write_text("")
    assert "_PASSWORD' on line" in subprocess.run(check, capture_output=True, text=True, check=False).stderr
    (tmp_path / PASSWORDS).write_text(rendered_passwords())
    subprocess.run(check, capture_output=True, check=True)


def test_the_passwords_of_a_stack_are_random() -> None:
    lines = [line for _ in range(2) for line in rendered_passwords().splitlines()]
    assert len({line.partition(": ")[2] for line in lines}) == 2 * len(USERS)
    assert all(len(line.partition(": ")[2]) == 2 + 64 for line in lines)


def test_every_gated_instruction_can_be_asked_for() -> None:
    assert set(GATED_INSTRUCTIONS) < FROM_OUTSIDE


def test_the_embedded_server_has_the_same_table(nats_server: NatsServer) -> None:
    config = json.loads(nats_server.config.read_text())
    assert config["accounts"] == accounts(kept_passwords(nats_server.password_file))
