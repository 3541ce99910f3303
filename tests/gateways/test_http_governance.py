"""Governance over HTTP: whoever has a token may look, nobody can change anything, lists and single things agree."""

from typing import Any

import pytest

from domain.access import ROLES
from tests.canonical_governance import MESSAGES
from tests.gateways.api_desks import V1, Opened, page_of, problem_of

ADDRESSES = ("proposals", "proposals/p-waits", "agents", "runs", "runs/wf1-1", "decisions", "documents/AGENTS.md")


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_may_read_and_none_may_change(golden: Opened, role: str) -> None:
    async with golden.client(role) as client:
        for path in ADDRESSES:
            page_of(await client.get(f"{V1}/{path}"))
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                problem_of(await client.request(method, f"{V1}/{path}", json={"verdict": "approved"}), 405)
        for path in ("proposals/p-waits/approve", "proposals/p-waits/decide", "approve", "decisions/p-waits"):
            problem_of(await client.post(f"{V1}/{path}", json={}), 404)


async def test_the_document_has_no_address_of_governance_that_changes_anything(golden: Opened) -> None:
    async with golden.client() as client:
        paths = (await client.get(f"{V1}/openapi.json")).json()["paths"]
    own = [path for path in paths if path.split("/")[3:4] in (["proposals"], ["agents"], ["runs"], ["decisions"])]
    assert len(own) == 6
    assert {method for path in own for method in paths[path]} == {"get"}


async def test_proposals_are_all_of_them_and_each_alone_is_its_row_with_more(golden: Opened) -> None:
    drafted = [event.name for message in MESSAGES for event in message if event.type == "proposal_drafted"]
    async with golden.client() as client:
        rows = page_of(await client.get(f"{V1}/proposals"))
        assert [row["proposal"] for row in rows] == drafted[::-1]
        for row in rows:
            alone = page_of(await client.get(f"{V1}/proposals/{row['proposal']}"))
            assert {name: alone[name] for name in row} == row
            assert alone["shown"]
            assert alone["arguments"]["name"] == row["command"]


async def test_what_is_pending_is_so_wherever_it_is_asked(golden: Opened) -> None:
    async with golden.client() as client:
        waiting = page_of(await client.get(f"{V1}/proposals?state=pending"))
        done = page_of(await client.get(f"{V1}/proposals?state=done"))
        status = page_of(await client.get(f"{V1}/status"))
        markdown = (await client.get(f"{V1}/documents/AKTUELLER_STAND.md?format=markdown")).text
    assert [row["proposal"] for row in waiting] == ["p-waits"]
    assert status["pending_decisions"] == waiting
    assert waiting[0]["waiting_since"] == waiting[0]["drafted_at"]
    assert {row["waiting_since"] for row in done} == {None}
    assert "- p-waits: resume trading on desk main, von stability-guardian, wartet seit" in markdown


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("proposals?actor=risk-architect", ["p-no"]),
        ("proposals?run=wf1-1", ["p-status"]),
        ("proposals?actor=nobody", []),
        ("runs?state=closed", ["wf1-1"]),
        ("runs?state=open", ["wf3-1", "wf2-1"]),
        ("runs?kind=WF2", ["wf2-1"]),
    ],
)
async def test_lists_hold_what_was_asked_for(golden: Opened, query: str, names: list[str]) -> None:
    async with golden.client() as client:
        rows = page_of(await client.get(f"{V1}/{query}"))
    assert [row.get("proposal") or row["run"] for row in rows] == names


async def test_a_run_has_its_steps_its_milestones_and_its_report(golden: Opened) -> None:
    async with golden.client() as client:
        run = page_of(await client.get(f"{V1}/runs/wf1-1"))
    assert [(step["step"], step["untrusted"]) for step in run["steps"]] == [("services", False), ("documents", True)]
    assert [one["name"] for one in run["milestones"]] == ["STATUS_REFRESH_ANALYSIS_STARTED", "STATUS_REFRESH_DELIVERED"]
    assert (run["outcome"], run["proposals"], run["taint"], run["report"]) == (
        "delivered", ["p-status"], True, "# Report\n",
    )  # fmt: skip


async def test_an_agent_that_fell_silent_is_an_alert_and_who_has_no_role_is_only_among_the_agents(
    golden: Opened,
) -> None:
    async with golden.client() as client:
        agents = {row["agent"]: row for row in page_of(await client.get(f"{V1}/agents"))}
        status = page_of(await client.get(f"{V1}/status"))
    assert (agents["gemini"]["level"], agents["gemini"]["refusals"]) == (None, 1)
    assert (agents["codex"]["retired"], agents["scribe"]["purpose"]) == (True, "Keeps the log short.")
    assert {row["agent"] for row in status["agents"]} == {"session-lead", "risk-architect", "scribe"}
    assert [alert["name"] for alert in status["alerts"] if alert["kind"] == "agent_unwell"] == ["session-lead"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("proposals/p-none", 404),
        ("runs/none", 404),
        ("runs/a%20b", 422),
        ("proposals/%00", 422),
        ("proposals?state=approved", 422),
        ("runs?kind=WF4", 422),
        ("proposals?cursor=nonsense", 422),
    ],
)
async def test_what_is_not_there_is_refused(golden: Opened, path: str, status: int) -> None:
    async with golden.client() as client:
        problem_of(await client.get(f"{V1}/{path}"), status)


async def test_before_governance_began_there_is_nothing_of_it(golden: Opened) -> None:
    newest: Any = (await golden.api.moment()).at
    token = newest._replace(governance=0, ops=0).token(golden.api.name)
    async with golden.client() as client:
        for path in ("proposals", "agents", "runs"):
            assert page_of(await client.get(f"{V1}/{path}?as_of={token}")) == []
        problem_of(await client.get(f"{V1}/proposals/p-waits?as_of={token}"), 404)
