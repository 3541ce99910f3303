"""A passphrase comes from a terminal's keyboard, unseen; whoever has no terminal is told so."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

DEADLINE_S = 60.0
ASKING = """
import os, sys
from domain.errors import DeskError
if len(sys.argv) > 2:
    os.open(sys.argv[2], os.O_RDWR)  # becomes the terminal of this session
from gateways import passphrase
try:
    print("typed:" + getattr(passphrase, sys.argv[1])("jana.json"))
except DeskError as error:
    print("refused: " + str(error))
"""
PIPED = "from a pipe\n"


class Terminal:
    """A process that asks at a terminal of its own, and the keyboard and screen of that terminal."""

    def __init__(self, asked: str) -> None:
        self._hand, self._tty = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", ASKING, asked, os.ttyname(self._tty)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
        )  # fmt: skip
        self.screen = ""

    def wait_for(self, words: str) -> None:
        """Until the screen shows these words behind all that was waited for."""
        deadline = time.monotonic() + DEADLINE_S
        seen = ""
        while words not in seen:
            assert time.monotonic() < deadline, f"{words!r} never came, but {seen!r}"
            if select.select([self._hand], [], [], 0.1)[0]:
                seen += os.read(self._hand, 1).decode(errors="replace")
        self.screen += seen

    def type(self, text: str) -> None:
        os.write(self._hand, text.encode())

    def said(self) -> tuple[str, str]:
        """What it printed, in the end; on standard output and error."""
        out, err = self._process.communicate(PIPED, DEADLINE_S)
        return out.strip(), err

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        os.close(self._hand)
        os.close(self._tty)


@contextmanager
def terminal(asked: str) -> Iterator[Terminal]:
    there = Terminal(asked)
    try:
        yield there
    finally:
        there.close()


def test_a_passphrase_is_typed_unseen_and_a_pipe_is_not_asked() -> None:
    with terminal("ask") as there:
        there.wait_for("Passphrase of jana.json: ")
        there.type("grüße 77\n")
        assert there.said()[0] == "typed:grüße 77"
        assert "77" not in there.screen


def test_a_new_passphrase_is_long_enough_and_typed_twice_alike() -> None:
    with terminal("ask_new") as there:
        for typed in ("seven 7", "long enough"):
            there.wait_for("at least 8 characters: ")
            there.type(f"{typed}\n")
        there.wait_for("The same again: ")
        there.type("long enouhg\n")
        there.wait_for("at least 8 characters: ")
        there.type("long enough\n")
        there.wait_for("The same again: ")
        there.type("long enough\n")
        out, err = there.said()
        assert out == "typed:long enough"
        assert err.splitlines() == ["That has 7 characters; take at least 8.", "The two differ."]


def test_a_closed_keyboard_is_no_passphrase() -> None:
    with terminal("ask") as there:
        there.wait_for("Passphrase of jana.json: ")
        there.type("\x04")
        assert there.said()[0] == "refused: no passphrase was typed; run this again"


@pytest.mark.parametrize("asked", ["ask", "ask_new"])
def test_without_a_terminal_nothing_is_asked_and_the_next_step_is_said(asked: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", ASKING, asked],
        input=PIPED * 2, capture_output=True, text=True, start_new_session=True, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    assert answer.stdout.startswith("refused: a passphrase is typed at a terminal, and there is none here; run this in")
    assert answer.stderr == ""
