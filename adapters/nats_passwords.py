"""The passwords of the embedded nats-server's users: made once for a data directory, readable by its owner alone."""

import json
import os
import secrets
from pathlib import Path

from adapters.permissions import USERS

BYTES = 32


def new_passwords() -> dict[str, str]:
    """A password of 256 random bits for each user."""
    return {user: secrets.token_hex(BYTES) for user in USERS}


def kept_passwords(file: Path) -> dict[str, str]:
    """The passwords by user, as far as the file holds them: no file, or garbage, holds none."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {user: kept[user] for user in USERS if isinstance(kept.get(user), str) and len(kept[user]) == 2 * BYTES}


def made_passwords(file: Path) -> dict[str, str]:
    """The passwords by user; whose is missing gets one. Not for two processes at a time."""
    kept = kept_passwords(file)
    passwords = new_passwords() | kept
    if passwords != kept:
        write_private(file, json.dumps(passwords, indent=2))
    os.chmod(file, 0o600)
    return passwords


def write_private(file: Path, text: str) -> None:
    """Put a file in place as a whole; it is its owner's from its first byte on."""
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
    os.replace(beside, file)
