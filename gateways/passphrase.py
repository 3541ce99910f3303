"""A passphrase, typed at a terminal: never an argument, a variable or a pipe, where programs and logs can see it."""

import getpass
import os

from domain.approvers import PASSPHRASE_MIN
from domain.errors import InvalidInput
from gateways.terminal import err

TERMINAL = "/dev/tty"


def ask(path: str) -> str:
    """The passphrase of a key file."""
    return _typed(f"Passphrase of {path}: ")


def ask_new(path: str) -> str:
    """A new passphrase for a key file, typed twice; asks again until it is long enough and both are equal."""
    while True:
        passphrase = _typed(f"New passphrase for {path}, at least {PASSPHRASE_MIN} characters: ")
        if len(passphrase) < PASSPHRASE_MIN:
            err.print(f"That has {len(passphrase)} characters; take at least {PASSPHRASE_MIN}.", highlight=False)
        elif _typed("The same again: ") != passphrase:
            err.print("The two differ.", highlight=False)
        else:
            return passphrase


def can_be_typed() -> bool:
    """Is there a terminal?"""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _typed(prompt: str) -> str:
    """What is typed, unseen. InvalidInput without a terminal: getpass alone would read it from a pipe then."""
    if not can_be_typed():
        raise InvalidInput(
            "a passphrase is typed at a terminal, and there is none here; run this in a terminal of your own"
        )
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise InvalidInput("no passphrase was typed; run this again") from None
