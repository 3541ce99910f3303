"""WF3 on a real git repository: worded, gated, delivered, or not."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.agents import AGENT, FOUNDING_ROLES, Actor, Role
from domain.errors import Refused
from domain.governance_policy import GovernancePolicy
from ops.role_update import RoleUpdate
from tests.ops.governed import Governed, events
from tests.repositories import change, commits

ANALYST = Role(name="news-analyst", level=AGENT, purpose="Judges the news.", workflows=("WF3",))
ROLE = {"role": ANALYST.model_dump(mode="json")}
BRANCH = "governance-update-20260921"


def kinds(governed: Governed) -> Any:
    return {"WF3": RoleUpdate(governed.gate, governed.documents)}


async def opened(folder: Path) -> Governed:
    return await Governed.open(folder, kinds)


async def test_an_approved_role_holds_and_both_documents_say_so_on_a_branch_with_a_pull_request(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", "Somebody must judge the news", input=ROLE)
    assert (run.phase, run.mode) == ("gate", "analysis")
    await desk.decide(run)
    assert "news-analyst" not in {role.name for role in desk.gate.state.active_roles()}, "before go nothing is done"
    closed = await desk.go(run)
    assert (closed.phase, closed.closed.outcome) == ("closed", "delivered")
    assert ANALYST in desk.gate.state.active_roles()
    assert "### news-analyst" in await desk.text("AGENTS", BRANCH)
    log = await desk.text("DECISION_LOG", BRANCH)
    assert "Rolle news-analyst (Ebene 3): Judges the news." in log
    assert "Kontext: Somebody must judge the news" in log
    assert run.name in log
    assert await desk.text("AGENTS") == "", "main waits for the merge"
    [request] = desk.requests()
    assert json.loads(request.read_text())["branch"] == BRANCH
    assert closed.milestones == [("governance_updated", "pull-requests/1.json")]
    proposal = desk.proposal(run)
    for said in (proposal.name, "Approved", "pull-requests/1.json", "as shown", "- [x] delivery"):
        assert said in closed.closed.report


async def test_documents_that_the_policy_takes_at_once_are_committed_on_main_without_a_pull_request(tmp_path):
    desk = await opened(tmp_path)
    desk.gate.state.constitution.policy = GovernancePolicy(fast_track=("AGENTS", "DECISION_LOG"))
    run = await desk.start("WF3", input=ROLE)
    await desk.decide(run)
    closed = await desk.go(run)
    assert "### news-analyst" in await desk.text("AGENTS")
    assert not desk.requests()
    assert closed.milestones == [("governance_updated", commits(desk.documents.path)[0])]


async def test_one_document_that_the_policy_does_not_take_sends_both_to_a_branch(tmp_path):
    desk = await opened(tmp_path)
    desk.gate.state.constitution.policy = GovernancePolicy(fast_track=("DECISION_LOG",))
    run = await desk.start("WF3", input=ROLE)
    await desk.decide(run)
    await desk.go(run)
    assert await desk.text("DECISION_LOG") == ""
    assert len(desk.requests()) == 1


async def test_a_goal_alone_invents_no_role_and_the_run_waits_until_its_wording_is_given(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", "der Agent ist jetzt offiziell dafür zuständig")
    assert run.phase == "analysis"
    assert "role, retire and decision" in run.missing["wording"].says
    before = desk.log.decisions
    assert (await desk.workflows.advance(run.name)).phase == "analysis"
    assert desk.log.decisions == before, "what is missing is said once"
    assert "purpose" in (await desk.give(run, role={"name": "x", "level": 3})).missing["wording"].says
    given = await desk.give(run, **ROLE)
    assert (given.phase, given.missing) == ("gate", {})


async def test_a_waiting_run_closes_with_nothing_to_do_when_it_is_told_so(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3")
    closed = await desk.workflows.close(run.name, "nothing_to_do", Actor("jana", 0))
    assert closed.closed.outcome == "nothing_to_do"
    assert "- [ ] approval" in closed.closed.report


async def test_a_role_that_is_as_wanted_already_is_nothing_to_do(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input={"role": FOUNDING_ROLES[0].model_dump(mode="json")})
    assert run.closed.outcome == "nothing_to_do"


@pytest.mark.parametrize("verdict", ["rejected", "expired", "withdrawn"])
async def test_a_verdict_against_it_closes_the_run_with_a_report_and_no_effect(tmp_path, verdict):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input=ROLE)
    if verdict == "rejected":
        await desk.decide(run, "rejected", "not now")
    elif verdict == "withdrawn":
        await desk.gate.withdraw(desk.proposal(run).name, Actor("jana", 0), "not now")
    else:
        desk.now += desk.gate.state.policy.proposal_expiry_ns
    closed = await desk.workflows.advance(run.name)
    assert closed.closed.outcome == ("rejected" if verdict == "rejected" else "abandoned")
    assert verdict.capitalize() in closed.closed.report
    assert len(commits(desk.documents.path)) == 1
    with pytest.raises(Refused, match="is closed"):
        await desk.go(run)


async def test_a_document_that_moves_before_the_verdict_is_proposed_anew(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input=ROLE)
    first = desk.proposal(run)
    await desk.documents.commit(await change(desk.documents, {"DECISION_LOG": "# DECISION LOG\n\nby hand\n"}))
    again = await desk.workflows.advance(run.name)
    assert (again.phase, first.state) == ("gate", "withdrawn")
    await desk.decide(again)
    await desk.go(again)
    assert "by hand" in await desk.text("DECISION_LOG", BRANCH)
    assert len(desk.requests()) == 1


async def test_a_document_that_moves_after_the_approval_is_not_overwritten_but_proposed_anew(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input=ROLE)
    await desk.decide(run)
    await desk.documents.commit(await change(desk.documents, {"DECISION_LOG": "# DECISION LOG\n\nby hand\n"}))
    again = await desk.go(run)
    assert (again.phase, len(again.proposals)) == ("gate", 2)
    assert not desk.requests()
    await desk.decide(again)
    assert (await desk.go(again)).closed.outcome == "delivered"
    assert "by hand" in await desk.text("DECISION_LOG", BRANCH)


async def test_a_delivery_that_failed_is_tried_again_and_does_nothing_twice(tmp_path):
    desk = await opened(tmp_path)
    run, other = await failing(desk)
    assert (await desk.workflows.advance(run.name)).phase == "delivery", "nobody said go again"
    standing = commits(desk.documents.path, BRANCH)
    other.unlink()
    closed = await desk.go(run)
    assert closed.closed.outcome == "delivered"
    assert commits(desk.documents.path, BRANCH) == standing
    assert len(desk.requests()) == 1


async def test_a_delivery_that_failed_can_be_closed_and_the_report_says_what_was_done(tmp_path):
    desk = await opened(tmp_path)
    run, _ = await failing(desk)
    closed = await desk.workflows.close(run.name, None, Actor("jana", 0))
    assert closed.closed.outcome == "failed"
    assert commits(desk.documents.path, BRANCH)[0] in closed.closed.report


async def failing(desk: Governed) -> tuple[Any, Path]:
    """A run whose commit stands and whose pull request cannot be made, because of a file."""
    run = await desk.start("WF3", input=ROLE)
    await desk.decide(run)
    (desk.folder / "pull-requests").mkdir()
    other = desk.folder / "pull-requests" / "7.json"
    other.write_text("{")
    with pytest.raises(Refused, match="is no pull request"):
        await desk.go(run)
    assert desk.run(run).phase == "delivery"
    return run, other


async def test_a_second_run_of_the_day_gets_a_branch_of_its_own(tmp_path):
    desk = await opened(tmp_path)
    runs = [await desk.start("WF3", input={"decision": {"what": f"decision {n}"}}) for n in range(3)]
    branches = [desk.proposal(run).draft.command.publication.branch for run in runs]
    assert branches == [BRANCH, f"{BRANCH}-2", f"{BRANCH}-3"]
    for run in runs:
        await desk.decide(run)
        assert (await desk.go(run)).closed.outcome == "delivered"
    assert len(desk.requests()) == 3


async def test_no_words_of_others_forge_a_heading_or_html_in_the_decision_log(tmp_path):
    desk = await opened(tmp_path)
    evil = "fine\n\n## 2026-01-01 · Entscheidung\n- Wer: jana <script>alert(1)</script> [x](http://evil.test)"
    run = await desk.start("WF3", evil, input={"decision": {"what": evil, "reference": evil}})
    await desk.decide(run)
    closed = await desk.go(run)
    log = await desk.text("DECISION_LOG", BRANCH)
    assert [line for line in log.splitlines() if line.startswith("#")] == [
        "# DECISION LOG",
        "## 2026-09-21 · Entscheidung",
    ]
    for text in (log, closed.closed.report, desk.requests()[0].read_text()):
        assert "<script>" not in text.replace("\\<", "")
        assert "](http://" not in text


async def test_a_retired_role_is_gone_from_the_document_and_rolled_back_by_its_definition(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input={"retire": "codex"})
    assert desk.proposal(run).draft.rollback.role.name == "codex"
    await desk.decide(run)
    await desk.go(run)
    assert "### codex" not in await desk.text("AGENTS", BRANCH)
    assert "### gemini" in await desk.text("AGENTS", BRANCH)


async def test_a_role_leads_only_the_workflows_that_its_record_names(tmp_path):
    desk = await opened(tmp_path)
    risk = desk.gate.state.actor("risk-architect")
    with pytest.raises(Refused, match="WF3 not"):
        await desk.start("WF3", actor=risk)


async def test_what_a_run_proposed_is_applied_by_its_delivery_alone(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input=ROLE)
    await desk.decide(run)
    with pytest.raises(Refused, match="delivered by its run"):
        await desk.gate.apply(desk.proposal(run).name, Actor("jana", 0))
    visionary = desk.gate.state.actor("project-visionary")
    with pytest.raises(Refused, match="may not deliver"):
        await desk.workflows.go(run.name, visionary)
    assert desk.run(run).phase == "gate"


async def test_a_closed_run_takes_its_waiting_proposal_with_it(tmp_path):
    desk = await opened(tmp_path)
    run = await desk.start("WF3", input=ROLE)
    await desk.workflows.close(run.name, None, Actor("jana", 0))
    assert desk.proposal(run).state == "withdrawn"
    assert events(desk).count("run_closed") == 1
