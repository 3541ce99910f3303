"""A commit killed before each of its steps on disk, in turn, and asked for again: run as a program with a folder.

A step is whatever the machine is asked to open for writing, rename, link, remove, make or bring to disk.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from adapters.documents import GitDocuments
from domain.documents import Change
from tests.repositories import bare, change, commits, dirty, git, own

STEPS = {"os.rename", "os.link", "os.remove", "os.mkdir"}
WRITING = os.O_WRONLY | os.O_RDWR
TEXTS = {"AKTUELLER_STAND": "neu\n", "AGENTS": "neu\n", "strategies/ema.json": "{}\n"}


def die_at(step: int) -> None:
    """Kill this process before its step of this number (1: the first)."""
    steps = iter(range(1, step + 1))

    def step_taken() -> None:
        if next(steps, step) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS or (event == "open" and arguments[2] & WRITING):
            step_taken()

    os.fsync = lambda _: step_taken()
    sys.addaudithook(heard)


def killed_at(step: int, documents: GitDocuments, asked: Change) -> bool:
    """Commit in a process that dies at a step. False: it came to its end."""
    child = os.fork()
    if child == 0:
        die_at(step)
        asyncio.run(documents.commit(asked))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status != 0


def rounds(folder: Path, branch: str, made: Callable[[Path], GitDocuments], stride: int) -> int:
    """The number of the step that a commit did not come to any more; every so manieth is died at."""
    template = made(folder / "template").path
    before = GitDocuments(template)
    asyncio.run(before.commit(asyncio.run(change(before, {"AKTUELLER_STAND": "alt\n"}, "p-0"))))
    asked = asyncio.run(change(before, TEXTS, branch=branch))
    old = [*commits(template)]
    expected = None
    for step in count(1, stride):
        path = folder / f"round-{step}"
        shutil.copytree(template, path, symlinks=True)
        documents = GitDocuments(path)
        killed = killed_at(step, documents, asked)
        tip = asyncio.run(documents.tip(branch))
        stands = tip not in (None, old[0])
        again = asyncio.run(documents.commit(asked))
        expected = expected or again.id
        assert again.id == expected, (step, again)
        assert again.made is not stands, (step, again, tip)
        assert commits(path, branch) == [again.id, *old], step
        if not (path / "HEAD").exists():
            assert dirty(path) == [], (step, dirty(path))
            file = path / "backoffice/docs/AKTUELLER_STAND.md"
            assert file.read_text() == ("neu\n" if branch == "main" else "alt\n"), step
        for name, text in TEXTS.items():
            found = asyncio.run(documents.read(name, branch))
            assert found is not None
            assert found.text == text
        later = asyncio.run(change(documents, {"DECISION_LOG": "x\n"}, "p-2", branch=branch))
        assert asyncio.run(documents.commit(later)).made, step
        if not killed:
            git(path, "fsck", "--strict")
            return step
        shutil.rmtree(path)
    raise AssertionError("a commit has an end")


if __name__ == "__main__":
    os.fsync = lambda _: None  # a kill takes nothing back that was written
    _, place, onto, kind, stride = sys.argv
    print(rounds(Path(place), onto, {"own": own, "bare": bare}[kind], int(stride)))  # noqa: T201  what it is run for
