"""Runs on a real server with no governance service: each command carries its run on, and a verdict ends it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import approving
from tests.ops.desks import Cdb

RETIRE = {"action": "start", "kind": "WF3", "goal": "Codex is not asked any more", "desk": "main"}


@pytest.fixture
async def cdb(tmp_path: Path) -> AsyncIterator[Cdb]:
    found = Cdb(tmp_path / "data")
    yield found
    await found.close()


async def test_a_run_goes_to_the_gate_and_behind_the_verdict_to_its_end_in_the_commands_own_process(cdb):
    desk = cdb.desk()
    async with cdb.log():  # one server for all of it
        run = await desk.governance("run", RETIRE | {"input": {"retire": "codex"}})
        assert run["phase"] == "gate"
        receipt = await approving.decided(desk, run["proposals"][-1])
        assert (receipt["state"], receipt["effects"]) == ("approved", [])
        done = await desk.governance("run", {"action": "go", "run": run["run"]})
        assert (done["phase"], done["outcome"]) == ("closed", "delivered")
        assert done["milestones"][-1]["name"] == "GOVERNANCE_UPDATED"
        roles = (await desk.governance("ask", {"about": "roles"}))["roles"]
        assert "codex" not in [role["name"] for role in roles]

        again = await desk.governance("run", RETIRE | {"input": {"retire": "gemini"}, "previous": run["run"]})
        await approving.decided(desk, again["proposals"][-1], "rejected", "gemini stays")
        ended = await desk.governance("ask", {"about": "run", "run": again["run"]})
        assert ended["outcome"] == "rejected"
        assert "gemini stays" in ended["report"]
