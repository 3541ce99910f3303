"""A process killed anywhere in a commit: nothing is seen, or all of it; asked for again, it stands once and whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repositories import NO_SETTINGS

ROOT = Path(__file__).parents[2]


def last_step(folder: Path, branch: str, kind: str, stride: int) -> int:
    run = subprocess.run(
        [sys.executable, "-m", "tests.adapters.killed_commits", str(folder), branch, kind, str(stride)],
        cwd=ROOT,
        env={**os.environ, **NO_SETTINGS, "PYTHONPATH": f"{ROOT}:{ROOT / 'mcp'}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return int(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(("branch", "kind", "stride"), [("main", "own", 13), ("side", "own", 29)])
def test_a_commit_that_is_killed_at_some_steps_stands_once_and_whole_when_asked_again(tmp_path, branch, kind, stride):
    assert last_step(tmp_path, branch, kind, stride) > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("branch", "kind"), [("main", "own"), ("side", "own"), ("main", "bare")])
def test_a_commit_that_is_killed_at_any_step_stands_once_and_whole_when_asked_again(tmp_path, branch, kind):
    assert last_step(tmp_path, branch, kind, 1) > 40
