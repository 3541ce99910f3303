"""A process that dies at any stored event of a run: the next one goes on, and nothing is done twice."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.agents import Workflow
from domain.governance_policy import GovernancePolicy
from ops.role_update import RoleUpdate
from tests.ops.governed import Governed, Killed, events
from tests.ops.test_status_refresh import Desk
from tests.ops.test_status_refresh import kinds as status_refresh
from tests.repositories import commits, dirty

MANY = {"step_finished", "phase_entered"}  # a run has several of these


def role_update(governed: Governed) -> Any:
    return {"WF3": RoleUpdate(governed.gate, governed.documents)}


INPUT: Mapping[str, Any] = {"role": {"name": "news-analyst", "level": 3, "purpose": "Judges the news."}}


async def whole(
    folder: Path, dies_at: int = 0, after: bool = False, *, fast: bool = False, kind: Workflow = "WF3"
) -> Governed:
    """A run from start to end; whoever drives it says everything again to each new process."""
    desk = await Governed.open(folder, role_update if kind == "WF3" else status_refresh(Desk()))
    desk.log.dies_at, desk.log.after = dies_at + desk.log.decisions if dies_at else 0, after
    while True:
        if fast:
            desk.gate.state.constitution.policy = GovernancePolicy(fast_track=("AGENTS", "DECISION_LOG"))
        try:
            if not desk.gate.state.runs:
                await desk.start(kind, input=dict(INPUT) if kind == "WF3" else {})
            [run] = desk.gate.state.runs.values()
            await desk.workflows.advance(run.name)
            if run.phase == "gate" and desk.proposal(run).pending:
                await desk.decide(run)
            if run.phase == "gate":
                await desk.go(run)
            await desk.gate.sweep()
            await desk.workflows.sweep()
            return desk
        except Killed:
            desk = await desk.again()


def assert_once(desk: Governed, *, requests: int, branch: str, decisions: Counter[str]) -> None:
    [run] = desk.gate.state.runs.values()
    assert run.closed
    assert run.closed.outcome == "delivered"
    assert len(desk.requests()) == requests
    assert len(commits(desk.documents.path, branch)) == 2, "the first commit, and ours"
    assert dirty(desk.documents.path) == []
    counted = Counter(events(desk))
    assert counted["proposal_applying"] <= 2, "tried once by each process"
    del counted["proposal_applying"]
    assert counted == decisions


@pytest.mark.parametrize(
    ("kind", "fast", "branch", "requests"),
    [
        ("WF3", False, "governance-update-20260921", 1),
        ("WF3", True, "main", 0),
        ("WF1", False, "status-auto-refresh-20260921", 1),
    ],
)
async def test_a_run_killed_at_any_decision_is_gone_on_with_and_done_once(tmp_path, kind, fast, branch, requests):
    plain = await whole(tmp_path / "plain", fast=fast, kind=kind)
    decisions = Counter(events(plain))
    del decisions["proposal_applying"]
    assert all(count == 1 for name, count in decisions.items() if name not in MANY), decisions
    for number in range(1, plain.log.decisions - 1):  # founding and enrolment were before
        for after in (False, True):
            desk = await whole(tmp_path / f"{number}-{after}", number, after, fast=fast, kind=kind)
            assert_once(desk, requests=requests, branch=branch, decisions=decisions)
