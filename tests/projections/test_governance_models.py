"""Proposals, agents and workflow runs, against governance's own fold: whatever is lost, doubled or out of its turn."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from eventsourcing.domain import OriginatorIDError, OriginatorVersionError
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.access import TokenCreated, TokenRevoked
from domain.errors import DeskError
from domain.governance import Governance
from domain.operations import AgentSeen, AgentSilent, CommandRefused
from domain.ports import Fact
from domain.workflow import Evidence, Run
from projections import agents, decision_log, governance_decisions, proposals, workflow_runs
from projections.agents import ACTORS_MAX, OTHERS
from tests.canonical_governance import EVA, JAN, MESSAGES, MONDAY, OPERATIONS, Key, Said, Story
from tests.projections.folds import Row, check, governed, row, rows, versions
from tests.projections.stored import ops

MODELS = (proposals.MODEL, agents.MODEL, workflow_runs.MODEL, decision_log.MODEL)


def governance(messages: Sequence[Sequence[Said]]) -> Governance:
    """What holds behind these messages: what cannot stand where it does is nobody's decision."""
    state = Governance()
    for sequence, message in enumerate(messages, 1):
        for event in message:
            if isinstance(event, TokenCreated | TokenRevoked):
                continue
            try:
                state.take(sequence, event)
            except (OriginatorIDError, OriginatorVersionError, DeskError):
                continue
    return state


def expected(state: Governance) -> dict[str, Any]:
    """In the words of the read models, as far as they say the same."""
    return {
        "proposals": {
            name: (one.state, one.verdict and one.verdict.actor, len(one.effects), one.attempts, one.draft.run)
            for name, one in state.proposals.items()
            if one.drafted
        },
        "shown": {name: one.presented.shown for name, one in state.proposals.items() if one.drafted and one.presented},
        "runs": {
            name: (run.phase, run.mode, tuple(run.proposals), len(run.milestones), run.taint, bool(run.closed))
            for name, run in state.runs.items()
            if run.started
        },
        "steps": {(name, step) for name, run in state.runs.items() if run.started for step in run.steps},
        "roles": {name: record.role.model_dump(mode="json") for name, record in state.roles.items() if record.role},
    }


def told(messages: Sequence[Sequence[Said]], at: int) -> dict[str, Any]:
    facts = governed(messages)
    drafts, states = rows(proposals.MODEL, "proposals", facts, at), rows(proposals.MODEL, "proposal_states", facts, at)
    runs = rows(workflow_runs.MODEL, "workflow_runs", facts, at)
    assert drafts.keys() == states.keys()
    return {
        "proposals": {
            name: (
                one["state"], one["decided_by"], len(json.loads(one["effects"])), one["attempts"], _run(drafts, name),
            )
            for (name,), one in states.items()
        },
        "shown": {name: one["shown"] for (name,), one in rows(proposals.MODEL, "presentations", facts, at).items()},
        "runs": {
            name: (
                run["phase"], run["mode"], run["proposals"], len(json.loads(run["milestones"])), run["taint"],
                run["outcome"] is not None,
            )
            for (name,), run in runs.items()
        },
        "steps": set(rows(workflow_runs.MODEL, "workflow_steps", facts, at)),
        "roles": {
            name: json.loads(role["role"])
            for (name,), role in rows(agents.MODEL, "roles", facts, at).items()
            if not role["retired"]
        },
    }  # fmt: skip


def _run(drafts: dict[Any, Row], name: str) -> str:
    return drafts[name,]["run"] or ""


def test_at_every_position_the_rows_are_what_governance_itself_holds() -> None:
    for at in range(len(MESSAGES) + 1):
        assert told(MESSAGES, at) == expected(governance(MESSAGES[:at])), at


_KINDS = st.sampled_from(["lose", "double", "keep", "keep", "keep", "keep"])


@settings(max_examples=60, deadline=None)
@given(st.lists(_KINDS, min_size=len(MESSAGES), max_size=len(MESSAGES)), st.integers(0, 2 * len(MESSAGES)))
def test_what_cannot_stand_where_it_does_is_shown_no_more_than_governance_holds_it(fates: list[str], at: int) -> None:
    heard = [m for m, fate in zip(MESSAGES, fates, strict=True) for m in [m] * {"lose": 0, "double": 2}.get(fate, 1)]
    assert told(heard, at) == expected(governance(heard[:at]))
    for model in MODELS:
        for table in (t for fold in model.folds if fold.source == "governance" for t in fold.tables):
            facts = governed(heard)
            assert versions(model, table.name, facts, cuts=[at]) == versions(model, table.name, facts)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_value_fits_its_column_and_no_restart_changes_one(model: Any) -> None:
    check(model, governed(), "governance")
    check(model, ops(*OPERATIONS.values(), *OPERATIONS.values()), "ops")


def test_a_proposal_says_who_decided_why_and_what_was_done() -> None:
    said = row(proposals.MODEL, "proposal_states", governed(), "p-recorded")
    assert (said["state"], said["verdict"], said["decided_by"], said["verdict_reason"]) == (
        "applied", "approved", JAN.id, "agreed",
    )  # fmt: skip
    assert json.loads(said["effects"]) == [{"kind": "event", "reference": "constitution.main"}]
    assert (said["attempts"], said["failed_code"], len(said["signature"])) == (2, "unavailable", 86)
    assert row(proposals.MODEL, "proposal_states", governed(), "p-tighter")["rolled_back_by"] == "p-back"


def test_a_proposal_that_nothing_can_happen_to_any_more_is_not_remembered() -> None:
    memory = proposals.Memory()
    for fact in (fact for fact in governed() if isinstance(fact.event, proposals.MODEL.folds[0].listens)):
        list(proposals.evolve(memory, fact))
    assert {"p-no", "p-late", "p-own", "p-tighter"}.isdisjoint(memory.standing)
    assert "p-waits" in memory.standing


def test_a_changed_role_keeps_when_it_was_defined_and_a_retired_one_says_why() -> None:
    scribe, codex = (row(agents.MODEL, "roles", governed(), name) for name in ("scribe", "codex"))
    first = next(event for message in MESSAGES for event in message if event.type == "role_defined")
    assert (scribe["defined_at_ns"], scribe["proposal"], scribe["purpose"]) == (
        first.occurred_at_ns, "p-role-2", "Keeps the log short.",
    )  # fmt: skip
    assert scribe["changed_at_ns"] > scribe["defined_at_ns"]
    assert (codex["retired"], codex["reason"], codex["proposal"]) == (True, "nobody asks it", "p-retire")


# -- what is decided -----------------------------------------------------------------------------------------------


def decided(messages: Sequence[Sequence[Said]] = MESSAGES) -> list[Row]:
    found = rows(decision_log.MODEL, "governance_decisions", governed(messages))
    return [found[key] | {"content": json.loads(found[key]["content"])} for key in sorted(found)]


def test_every_decision_of_governance_stands_in_the_log_and_no_step_on_the_way() -> None:
    kinds = {said["what"] for said in decided()}
    assert kinds == {event.type for message in MESSAGES for event in message} - {
        "proposal_drafted", "proposal_presented", "proposal_applying", "proposal_applied", "proposal_failed",
        "proposal_rolled_back", "run_started", "step_finished", "phase_entered",
    }  # fmt: skip


def test_two_decisions_of_one_message_are_two() -> None:
    (milestone, closed) = [said for said in decided() if said["content"].get("run") == "wf1-1"][1:]
    assert (milestone["what"], closed["what"]) == ("status_refresh_delivered", "run_closed")
    assert (milestone["reference"], closed["why"]) == ("https://example.org/pull/7", "delivered")


def test_what_came_of_a_promise_is_a_decision_of_the_desk_and_waiting_for_it_is_none() -> None:
    run = Run.empty("wf2-1")
    began = run.began(MONDAY, "desk", kind="WF2", goal="more trades", desk="main")
    early, kept = Evidence(says="Too early to say."), Evidence(says="The promise is kept.")
    waits = run.finish_step("observation", early, MONDAY + 1, "gate", missing=True)
    looked = run.finish_step("observation", kept, MONDAY + 2, "gate")
    [said] = decided([(began,), (waits,), (looked,)])
    assert (said["what"], said["who"], said["why"], said["reference"]) == (
        "promise_observed", "gate", "The promise is kept.", "wf2-1",
    )  # fmt: skip


def test_a_signed_verdict_says_whose_key_it_was_and_a_rule_that_it_was_a_rule() -> None:
    said = {row["proposal"]: row for row in decided() if row["what"].startswith("proposal_")}
    assert [said["p-no"][name] for name in ("who", "authority", "why")] == ["eva", f"key {EVA.id}", "too *narrow*"]
    assert [said["p-stop"][name] for name in ("who", "authority")] == ["gate", "rule"]
    assert said["p-own"]["why"] == "it is not needed"


def test_a_forged_enrolment_and_one_of_a_revoked_key_stand_there_as_ignored() -> None:
    stranger, late = Key(7), Key(8)
    told = Story()
    told.messages = list(MESSAGES)
    forged = told.enrol(stranger, "mallory", by=JAN)
    told.messages[-1] = (forged.model_copy(update={"name": "jana"}),)
    told.enrol(late, "late", by=EVA)
    ignored = decided(told.messages)[-2:]
    assert [row["what"] for row in ignored] == ["approver_ignored"] * 2
    assert [word in row["why"] for word, row in zip(("forged", "revoked"), ignored, strict=True)] == [True, True]


# -- how agents are ------------------------------------------------------------------------------------------------


def seen(second: int, agent: str, state: str, doing: str = "") -> AgentSeen:
    return AgentSeen(service="governance", occurred_at_ns=second * 10**9, agent=agent, state=state, doing=doing)


def silent(second: int, agent: str) -> AgentSilent:
    return AgentSilent(service="governance", occurred_at_ns=second * 10**9, agent=agent, last_seen_ns=10**9)


def refused(second: int, actor: str) -> CommandRefused:
    return CommandRefused(
        service="governance", occurred_at_ns=second * 10**9, actor=actor, command="draft", code="not_permitted",
        message=f"no, {second}",
    )  # fmt: skip


_heard = st.one_of(
    st.builds(seen, st.integers(1, 99), st.sampled_from("ab"), st.sampled_from(["idle", "working", "failing"])),
    st.builds(silent, st.integers(1, 99), st.sampled_from("ab")),
    st.builds(refused, st.integers(1, 99), st.sampled_from("abc")),
)


@settings(deadline=None)
@given(st.lists(_heard, max_size=25), st.integers(0, 50))
def test_an_agent_is_as_it_was_heard_of_last_and_its_failures_and_refusals_are_counted(
    told: list[Any], at: int
) -> None:
    facts = ops(*told)
    by_agent: dict[str, Row] = {}
    for event in told:
        one = by_agent.setdefault(
            event.actor if isinstance(event, CommandRefused) else event.agent, {"states": [], "refusals": 0}
        )
        if isinstance(event, CommandRefused):
            one["refusals"] += 1
        else:
            one["states"].append("silent" if isinstance(event, AgentSilent) else event.state)
    found = rows(agents.MODEL, "agent_health", facts)
    for name, one in by_agent.items():
        states = [None, *one["states"]]
        began = sum(now in ("silent", "failing") and now != was for was, now in pairwise(states))
        said = found[name,]
        assert (said["state"], said["failures"], said["refusals"]) == (states[-1], began, one["refusals"])
    assert len(found) == len(by_agent)
    assert versions(agents.MODEL, "agent_health", facts, cuts=[at]) == versions(agents.MODEL, "agent_health", facts)


def test_names_that_strangers_make_up_fill_no_memory() -> None:
    memory = agents.HealthMemory()
    for place in range(ACTORS_MAX + 50):
        list(agents.evolve_health(memory, Fact(place + 1, 0, refused(1, f"stranger-{place}"))))
    assert len(memory.agents) == ACTORS_MAX + 1
    assert memory.agents[OTHERS].refusals == 50


@pytest.mark.parametrize(
    ("evolve", "memory"),
    [
        (proposals.evolve, proposals.Memory),
        (workflow_runs.evolve, workflow_runs.Memory),
        (agents.evolve_roles, agents.RolesMemory),
        (agents.evolve_health, agents.HealthMemory),
        (governance_decisions.evolve, governance_decisions.Memory),
        (governance_decisions.refused, governance_decisions.Nothing),
    ],
)
def test_another_event_is_refused(evolve: Any, memory: Any) -> None:
    with pytest.raises(TypeError, match="does not listen to"):
        list(evolve(memory(), Fact(1, MONDAY, 5)))
