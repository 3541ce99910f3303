"""`nats-server.conf` as it is shipped, and the passwords that it includes:

    python -m ops.nats.configuration > ops/nats/nats-server.conf
    (umask 077; python -m ops.nats.configuration passwords > passwords.conf)

Passwords come by a file and not by variables, because nats-server takes an empty variable for an empty password.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.nats_passwords import new_passwords
from adapters.nats_server import MAX_PAYLOAD_BYTES
from adapters.permissions import USERS, accounts

SHIPPED = Path(__file__).with_name("nats-server.conf")
HEAD = "# Rendered from adapters/permissions.py by ops/nats/configuration.py: change it there."
PASSWORDS = "passwords.conf"  # beside nats-server.conf


def rendered() -> str:
    """The shipped file: loopback is the container's own, so it listens on every address."""
    config: dict[str, Any] = {
        "server_name": "cdb",
        "host": "0.0.0.0",
        "port": 4222,
        "http": "0.0.0.0:8222",  # start-up reads there whether every write is fsynced
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": "/data", "sync_interval": "always"},
        "accounts": accounts({user: f"${_variable(user)}" for user in USERS}),
    }
    text = "".join(f"{name}: {json.dumps(value, indent=2)}\n" for name, value in config.items())
    variables_unquoted = re.sub(r'"(\$\w+_PASSWORD)"', r"\1", text)
    return f'{HEAD}\ninclude "{PASSWORDS}"\n{variables_unquoted}'


def rendered_passwords() -> str:
    """What the shipped file includes, with new passwords."""
    return "".join(f'{_variable(user)}: "{password}"\n' for user, password in new_passwords().items())


def _variable(user: str) -> str:
    return f"{user.upper()}_PASSWORD"


def main(arguments: Sequence[str]) -> None:
    sys.stdout.write(rendered_passwords() if arguments == ["passwords"] else rendered())


if __name__ == "__main__":
    main(sys.argv[1:])
