"""Governance from its one writer to the read models: a gatekeeper at work, what strangers write, a rebuild."""

import asyncio
import contextlib
import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.facts import Facts
from adapters.governance_log import GovernanceLog
from adapters.memory import MemoryLog
from adapters.ops_log import OPS
from adapters.projection_store import ProjectionStore
from adapters.subjects import TOPIC, governance
from adapters.subjects import ops as ops_subject
from domain import gate, verdicts
from domain.agents import RoleDefined, RoleRecord
from domain.approval import ApprovalBody, Signed, encoded, to_sign
from domain.approvers import ApproverEnrolled
from domain.commands import RecordDecision
from domain.governance import DecisionRecorded
from domain.ports import Append
from domain.proposal import Before, Decision, Effect, ProposalApproved
from ops.gatekeeper import Gatekeeper
from ops.projector import Projector
from ops.rebuild import rebuild_all, verify
from projections.catalogue import read_model
from projections.projection import event_names
from tests.canonical_governance import JAN, MONDAY, OPERATIONS
from tests.ops.desks import write_governance

MODELS = tuple(read_model(name) for name in ("proposals", "agents", "workflow_runs", "decision_log", "services"))
WANTED = event_names(fold for model in MODELS for fold in model.folds if fold.source == "governance")
DEADLINE_S = 30


class Standings:
    async def of(self, command: Any, state: Any) -> gate.Standing:
        return gate.Standing(f"governance:{state.position}", Before(), {}, {})


class Effects:
    async def carry_out(self, proposal: Any) -> tuple[Effect, ...]:
        return (Effect(kind="commit", reference="c0ffee"),)


async def gatekeeper(log: MemoryLog) -> Gatekeeper:
    keeper = Gatekeeper(log, Standings(), Effects(), now_ns=lambda: MONDAY)  # type: ignore[arg-type]  # as much as it asks
    await keeper.open("local")
    enrolled = ApproverEnrolled(
        key_id=JAN.id, environment="local", actor="jan", occurred_at_ns=MONDAY, name="jan",
        public_key=encoded(JAN.public), kind="file",
    )  # fmt: skip
    await keeper.enrol(enrolled)
    return keeper


async def decided(keeper: Gatekeeper, what: str, verdict: Any) -> str:
    """A proposal, drafted and decided; its name."""
    draft = gate.Draft(command=RecordDecision(what=what, context="y"), reason="why")
    name = (await keeper.draft(draft, keeper.state.actor("session-lead"))).proposal
    proposal = await keeper.present(name)
    assert proposal.presented
    question = verdicts.question_of(proposal.draft, proposal.presented)
    body = ApprovalBody(**question.model_dump(), verdict=verdict, reason="so", key_id=JAN.id, signed_at_ns=MONDAY)
    await keeper.decide(Signed(body=body, signature=JAN.sign(to_sign(body))))
    return name


async def heard(log: MemoryLog) -> None:
    end = 0
    for event in OPERATIONS.values():
        data = event.model_dump_json().encode()
        end = await log.append(Append(ops_subject("governance"), data, {TOPIC: OPS}, end))


@asynccontextmanager
async def projecting(log: MemoryLog, store: ProjectionStore) -> AsyncIterator[Projector]:
    projector = Projector(Facts(log, "main"), store, MODELS)
    running = asyncio.create_task(projector.run())
    try:
        yield projector
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def shown(projector: Projector, log: MemoryLog) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await projector.reached("governance", await Facts(log, "main").end("governance"))
        await projector.reached("ops", await Facts(log, "main").end("ops"))


async def test_what_the_gate_decides_is_shown_as_it_decides_and_a_fold_from_zero_says_the_same(
    pool: Any, store: ProjectionStore
) -> None:
    log = MemoryLog()
    keeper = await gatekeeper(log)
    async with projecting(log, store) as projector:
        approved, rejected = await decided(keeper, "one", "approved"), await decided(keeper, "two", "rejected")
        await heard(log)
        await shown(projector, log)
        rows = await pool.fetch(f"SELECT proposal, state FROM {store.schema}.proposal_states WHERE until = 2^63 - 1")
        assert {row["proposal"]: row["state"] for row in rows} == {approved: "applied", rejected: "rejected"}
        told = await pool.fetch(f"SELECT what FROM {store.schema}.governance_decisions ORDER BY number, version")
        assert [row["what"] for row in told] == [
            "governance_founded", "approver_enrolled", "proposal_approved", "decision_recorded", "proposal_rejected",
        ]  # fmt: skip
        facts = Facts(log, "main")
        for model in MODELS:
            assert (await verify(facts, store, model))["different"] == 0, model.name
        await pool.execute(f"UPDATE {store.schema}.proposal_states SET decided_by = 'mallory' WHERE state = 'applied'")
        found = await verify(facts, store, MODELS[0])
        assert (found["different"], found["first_difference"]["table"]) == (2, "proposal_states")
        await rebuild_all(facts, store, MODELS)
        assert (await verify(facts, store, MODELS[0]))["different"] == 0


async def test_what_strangers_write_is_told_left_out_and_blocks_nothing(
    pool: Any, store: ProjectionStore, caplog: pytest.LogCaptureFixture
) -> None:
    log = MemoryLog()
    head = await write_governance(log)
    versions = {"First": "1", "Count": "1"}
    strange: list[tuple[str, bytes, dict[str, str]]] = [
        (governance("proposal", "p-x"), b"\xff no json", {TOPIC: "proposal_drafted", **versions}),
        (governance("decision", "p-x"), b"{}", {}),
        (governance("token", "x"), b'{"type":"token_created"}', {TOPIC: "access"}),
        (governance("anything", "x"), b'{"type":"role_defined"}', {TOPIC: "role_defined", **versions, "Sizes": "3,4"}),
    ]
    with caplog.at_level(logging.ERROR, logger="cdb.facts"):
        for subject, data, headers in strange:
            await log.append(Append(subject, data, headers, 0))
        pages = [page async for page in Facts(log, "main").read("governance", 0, WANTED)]
    left_out = [record.args[1] for record in caplog.records if record.args and "is left out" in record.msg]
    assert [position for position in left_out if position > head] == [head + 1 + n for n in range(len(strange))]
    last = pages[-1]
    assert (last.position, last.facts[-1].position) == (await log.head("GOVERNANCE"), last.position - len(strange))
    async with projecting(log, store) as projector:
        keeper = Gatekeeper(log, Standings(), Effects(), now_ns=lambda: MONDAY)  # type: ignore[arg-type]  # as above
        await keeper.open("golden")
        name = (
            await keeper.draft(
                gate.Draft(command=RecordDecision(what="x", context=""), reason="why"),
                keeper.state.actor("session-lead"),
            )
        ).proposal
        await shown(projector, log)
        assert await pool.fetchval(f"SELECT 1 FROM {store.schema}.proposals WHERE proposal = $1", name)


async def test_what_the_gate_refuses_is_shown_by_no_read_model() -> None:
    log = MemoryLog()
    keeper = await gatekeeper(log)
    facts = Facts(log, "main")
    waits = (await keeper.draft(gate.Draft(command=RecordDecision(what="x", context=""), reason="why"),
                                keeper.state.actor("session-lead"))).proposal  # fmt: skip
    lead, now = keeper.state.actor("session-lead").role, MONDAY
    assert lead is not None
    proposal, head = keeper.state.proposal(waits), await facts.end("governance")
    assert proposal.presented
    body = ApprovalBody(
        **verdicts.question_of(proposal.draft, proposal.presented).model_dump(), verdict="approved", reason="",
        key_id=JAN.id, signed_at_ns=now,
    )  # fmt: skip
    said = {"what": "x", "context": "", "reference": "", "proposal": waits}
    forged: list[Any] = [
        RoleRecord.empty("eve").happen(RoleDefined, now, "eve", role=lead.model_copy(update={"name": "eve"}),
                                       proposal=waits),
        copy.deepcopy(keeper.state.constitution).happen(DecisionRecorded, now, "eve", **said),
        Decision.empty(waits).happen(ProposalApproved, now, JAN.id, signed=Signed(body=body, signature="A" * 86)),
        ApproverEnrolled(key_id="0" * 16, environment="local", actor="eve", occurred_at_ns=now, name="eve",
                         public_key=encoded(JAN.public), kind="file"),
    ]  # fmt: skip
    for event in forged:
        await GovernanceLog(log).append([event])
    other = Gatekeeper(log, Standings(), Effects(), now_ns=lambda: MONDAY)  # type: ignore[arg-type]  # as above
    await other.open("local")
    late = await decided(other, "later", "approved")
    every = [fact async for page in facts.read("governance", 0, WANTED) for fact in page.facts]
    assert not {fact.position for fact in every} & set(range(head + 1, head + 1 + len(forged)))
    assert any(fact.event.type == "decision_recorded" and fact.event.what == "later" for fact in every), late
    for after in (head, head + len(forged)):  # what stood before is folded first
        behind = [fact async for page in facts.read("governance", after, WANTED) for fact in page.facts]
        assert behind == [fact for fact in every if fact.position > after]


async def test_facts_of_one_message_share_its_sequence_and_a_page_begins_behind_it() -> None:
    log = MemoryLog()
    await write_governance(log)
    facts = Facts(log, "main")
    every = [fact async for page in facts.read("governance", 0, WANTED) for fact in page.facts]
    for after in range(await facts.end("governance") + 1):
        behind = [fact async for page in facts.read("governance", after, WANTED) for fact in page.facts]
        assert behind == [fact for fact in every if fact.position > after]
    assert len(every) > len({fact.position for fact in every})
