"""WF1 on a real git repository, of a desk that is looked at by a stand-in."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.agents import Actor
from domain.errors import InvalidInput
from domain.gate import Draft
from gateways.dashboard.mounting import PAGES
from ops.dashboard_pictures import PANELS, Picture, panel_links
from ops.desk_sight import Sight
from ops.settings import load
from ops.status_refresh import MESSAGE, StatusRefresh
from tests.ops.governed import Governed, events
from tests.repositories import change, commits, git

BRANCH = "status-auto-refresh-20260921"
TEXT = """# AKTUELLER STAND

- Desk: main
- Marktzeit: {moment}
- Aufgezeichnet bis: {moment}
- Stand (as_of): `token-{moment}`

## Konto

- Währung: USD
- Kapital: {equity}

## Offene Positionen

- {position}
"""


class Desk:
    """Looks at a desk whose state a test sets."""

    def __init__(self) -> None:
        self.equity, self.position, self.moment, self.away = "100.000,00", "keine", 1, False
        self.pictures = 0

    async def look(self, desk: str, as_of: str | None = None) -> Sight:
        if self.away:
            raise InvalidInput(f"desk {desk} has no tape yet")
        moment = as_of.removeprefix("token-") if as_of else str(self.moment)
        status = {
            "state": "trading", "services": [{"service": "ws", "state": "running"}],
            "blockers": [{"kind": "breaker_open", "name": "postgres"}],
        }  # fmt: skip
        metrics = [{"scope": "overall", "trades": 3, "wins": 2, "net": "12.5"}]
        text = TEXT.format(moment=moment, equity=self.equity, position=self.position)
        return Sight(f"token-{moment}", status, metrics, text)

    async def take(self, run: str) -> tuple[list[Picture], str]:
        self.pictures += 1
        return [Picture("Overview", f"evidence/{run}/overview.png", "ab" * 32)], "one page only"


def kinds(desk: Desk) -> Any:
    def of(governed: Governed) -> Any:
        links = {"Overview": "http://127.0.0.1:8080/dashboard/"}
        return {"WF1": StatusRefresh(governed.gate, governed.documents, desk.look, desk, lambda _: links)}

    return of


@pytest.fixture
def seen() -> Desk:
    return Desk()


@pytest.fixture
async def desk(tmp_path: Path, seen: Desk) -> Governed:
    return await Governed.open(tmp_path, kinds(seen))


async def test_the_new_state_is_written_on_a_branch_with_changelog_panels_and_evidence(desk, seen):
    old = TEXT.format(moment="0", equity="90.000,00", position="EURUSD: Kauf 1")
    await desk.documents.commit(await change(desk.documents, {"AKTUELLER_STAND": old}))
    run = await desk.start("WF1", "weekly refresh")
    assert run.milestones == [("status_refresh_analysis_started", "main")]
    assert run.steps["services"].says == "1 services: ws running; desk trading"
    assert run.steps["services"].reference == "token-1"
    assert run.steps["metrics"].says == "3 closed trades, 2 won, net 12.5"
    assert run.steps["blockers"].says == "1 open blockers: breaker_open: postgres"
    assert "CDB_INSIGHTS: there is none" in run.steps["documents"].says
    assert "sha256 abab" in run.steps["screenshots"].says
    assert await desk.documents.tip(BRANCH) is None, "analysis changes nothing"
    await desk.decide(run)
    closed = await desk.go(run)
    assert await desk.text("AKTUELLER_STAND", BRANCH) == TEXT.format(moment="1", equity="100.000,00", position="keine")
    assert await desk.text("AKTUELLER_STAND") == old
    request = json.loads(desk.requests()[0].read_text())
    assert "- Konto: Kapital was 90.000,00, is 100.000,00." in request["body"]
    assert "- Offene Positionen: gone: EURUSD: Kauf 1." in request["body"]
    assert "[Overview](http://127.0.0.1:8080/dashboard/)" in request["body"]
    assert closed.milestones[-1] == ("status_refresh_delivered", "pull-requests/1.json")
    assert closed.closed.outcome == "delivered"
    assert all(done for _, done in closed.checklist)
    assert git(desk.documents.path, "log", "-1", "--format=%s", BRANCH).strip() == MESSAGE


async def test_a_text_that_differs_in_its_moment_alone_is_nothing_to_do(desk, seen):
    text = TEXT.format(moment="0", equity=seen.equity, position=seen.position)
    await desk.documents.commit(await change(desk.documents, {"AKTUELLER_STAND": text}))
    run = await desk.start("WF1")
    assert run.closed.outcome == "nothing_to_do"
    assert len(commits(desk.documents.path)) == 2


async def test_a_desk_that_cannot_be_looked_at_is_named_in_the_checklist_and_looked_at_again(desk, seen):
    seen.away = True
    run = await desk.start("WF1")
    assert run.phase == "analysis"
    assert run.missing["services"].says == "desk main has no tape yet"
    stored = len(events(desk))
    await desk.workflows.sweep()
    assert len(events(desk)) == stored
    seen.away = False
    await desk.workflows.sweep()
    assert (desk.run(run).phase, desk.run(run).missing) == ("gate", {})


async def test_all_evidence_and_the_draft_are_of_the_moment_of_the_first_step(tmp_path, seen):
    desk = await Governed.open(tmp_path, kinds(seen))
    take = seen.take

    async def time_passes(run: str) -> Any:
        seen.moment = 9
        return await take(run)

    seen.take = time_passes
    run = await desk.start("WF1")
    assert "token-1" in desk.proposal(run).draft.command.publication.documents["AKTUELLER_STAND"]


async def test_the_merged_document_is_rolled_back_by_one_approved_proposal(desk, seen):
    old = TEXT.format(moment="0", equity="90.000,00", position="keine")
    await desk.documents.commit(await change(desk.documents, {"AKTUELLER_STAND": old}))
    run = await desk.start("WF1")
    await desk.decide(run)
    await desk.go(run)
    git(desk.documents.path, "merge", "--ff-only", BRANCH)
    proposal = desk.proposal(run)
    back = Draft(command=proposal.draft.rollback, reason="wrong figures", rolls_back=proposal.name)
    receipt = await desk.gate.draft(back, Actor("jana", 0))
    await desk.signed(receipt.proposal)
    assert await desk.text("AKTUELLER_STAND") == old
    assert proposal.state == "rolled_back"


def test_every_page_of_the_dashboard_is_a_panel(tmp_path):
    assert {page.title: page.path for page in PAGES} == PANELS
    links = panel_links(load(data_dir=tmp_path), "token")
    assert links["Market"] == "http://127.0.0.1:8080/dashboard/market?as_of=token"
