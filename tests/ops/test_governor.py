"""The commands that decide nothing: testimony, heartbeat, cancel; and what an announced responsibility starts."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from adapters.governance_commands import MAX_BYTES, Request, _answer
from domain import testimony
from domain.agents import AGENT, Actor, Role
from domain.commands import RecordDecision
from domain.errors import InvalidInput, Refused
from domain.gate import Draft
from domain.operations import AgentSeen, AgentSilent, CommandRefused
from ops.control import Outcome
from ops.governance import Governor, _every
from ops.proposal_standing import Standings
from ops.role_update import RoleUpdate
from ops.workflows import TRIGGERED_MAX
from tests.governing import ENTRY
from tests.ops.governed import USER_JANA, Governed

SAID = "Der news-analyst ist jetzt offiziell dafür zuständig."


def publication(document: str) -> dict[str, Any]:
    said = {"documents": {document: "x"}, "before": {document: ""}, "message": "Update it", "branch": "b"}
    return {"name": "publish", "publication": said}


class Office:
    """A governor, what it records in OPS, and what it puts on tapes."""

    def __init__(self, desk: Governed) -> None:
        self.desk = desk
        self.recorded: list[Any] = []
        self.said: list[Any] = []
        self.governor = Governor(desk.gate, desk.workflows, desk.log, self.recorded.append, self._say)

    async def _say(self, desk: str, instruction: Any) -> Outcome:
        self.said.append((desk, instruction))
        return Outcome(instruction.id, "tape:7", f"{desk}:9", True, "")

    async def ask(self, command: str, actor: str = "session-lead", /, **content: Any) -> Any:
        return await self.governor.handle(command, bool(actor), Request(actor=actor, content=content))

    def testimonies(self) -> list[tuple[str, testimony.Testimony]]:
        stored = self.desk.log._stored["CALLS"]
        return [(message.subject, testimony.Testimony.model_validate_json(message.data)) for message in stored]

    def silent(self) -> list[AgentSilent]:
        return [event for event in self.recorded if isinstance(event, AgentSilent)]


@pytest.fixture
async def office(tmp_path: Path) -> Office:
    return Office(await Governed.open(tmp_path, lambda desk: {"WF3": RoleUpdate(desk.gate, desk.documents)}))


async def test_a_testimony_stands_under_who_said_it_and_an_agents_is_untrusted(office):
    told = await office.ask("record", "gemini", category="analysis", text="the spread widens at night")
    await office.ask("record", "", category="conversation", text="noted")
    [(subject, agents), (_, persons)] = office.testimonies()
    assert subject == "calls.gemini.2026-09-21"
    assert (agents.asserted_by, agents.role, agents.untrusted) == ("gemini", "gemini", True)
    assert not persons.untrusted
    assert told == {"testimony": "CALLS:1", "run": None}


async def test_testimonies_of_one_actor_at_one_day_stand_behind_each_other(office):
    for number in range(3):
        await office.ask("record", category="analysis", text=f"number {number}")
    assert [said.text for _, said in office.testimonies()] == ["number 0", "number 1", "number 2"]


async def test_an_announced_responsibility_starts_one_run_that_waits_and_is_tainted(office):
    first = await office.ask("record", "gemini", category="conversation", text=SAID)
    again = await office.ask("record", "codex", category="conversation", text=SAID)
    assert first["run"] == again["run"]
    await office.desk.workflows.sweep()
    run = office.desk.gate.state.run(first["run"])
    assert (run.phase, run.start.trigger, run.taint) == ("analysis", "testimony CALLS:1", True)
    assert "wording" in run.missing


async def test_only_a_conversation_starts_a_run(office):
    assert (await office.ask("record", category="analysis", text=SAID))["run"] is None
    assert office.desk.gate.state.runs == {}


async def test_words_start_no_more_runs_than_may_wait(office):
    for number in range(TRIGGERED_MAX + 3):
        await office.ask("record", "gemini", category="conversation", text=f"{SAID} {number}")
    assert len(office.desk.gate.state.runs) == TRIGGERED_MAX
    assert len(office.testimonies()) == TRIGGERED_MAX + 3


async def test_a_testimony_about_no_run_is_refused(office):
    with pytest.raises(Refused, match="there is no run"):
        await office.ask("record", category="analysis", text="x", run="wf1-none")
    with pytest.raises(InvalidInput, match="category"):
        await office.ask("record", category="a.b", text="x")
    assert office.testimonies() == []


async def test_a_heartbeat_is_recorded_when_it_changes_and_silence_once(office):
    for doing in ("looking", "looking", "writing"):
        await office.ask("heartbeat", "gemini", state="working", doing=doing)
    assert [event.doing for event in office.recorded] == ["looking", "writing"]
    beat = office.desk.gate.state.policy.heartbeat_ns
    last = office.desk.now
    office.desk.now += 2 * beat
    await office.governor.sweep()
    assert office.silent() == []
    office.desk.now += 2 * beat
    await office.governor.sweep()
    await office.governor.sweep()
    [silent] = office.silent()
    assert (silent.agent, silent.last_seen_ns) == ("gemini", last)
    rows = {row["agent"]: row for row in (await office.ask("ask", about="agents"))["agents"]}
    assert (rows["gemini"]["state"], rows["gemini"]["doing"]) == ("silent", "writing")
    assert (rows["codex"]["state"], rows["codex"]["last_seen"]) == ("unknown", None)
    await office.ask("heartbeat", "gemini", state="working", doing="writing")
    assert isinstance(office.recorded[-1], AgentSeen), "it is back"


async def test_a_person_has_no_heartbeat(office):
    with pytest.raises(Refused, match="may not heartbeat"):
        await office.ask("heartbeat", "", state="idle")


async def test_an_order_is_cancelled_by_who_may_trade_without_a_signature(office):
    told = await office.ask("cancel", "session-lead", desk="main", order=12)
    [(desk, instruction)] = office.said
    assert (desk, instruction.order, instruction.actor) == ("main", 12, "session-lead")
    assert instruction.authority == "session-lead"
    assert told["applied"]


@pytest.mark.parametrize("actor", ["gemini", "system-architect", "nobody"])
async def test_who_may_not_trade_cancels_nothing_and_that_is_recorded(office, actor):
    with pytest.raises(Refused):
        await office.ask("cancel", actor, desk="main", order=12)
    assert office.said == []
    assert isinstance(office.recorded[-1], CommandRefused)


async def test_a_level_2_model_neither_starts_nor_delivers_a_run(office):
    for action in ("start", "go", "close"):
        with pytest.raises(Refused, match="may not run"):
            await office.ask("run", "gemini", action=action, kind="WF3", goal="x", desk="main", run="x")


async def test_mach_den_job_fertig_is_go(office):
    run = await office.ask("run", "", action="start", kind="WF3", goal="retire", desk="main", input={"retire": "codex"})
    name = (await office.desk.workflows.advance(run["run"])).name
    with pytest.raises(Refused, match="only an approved one"):
        await office.ask("run", "", action="Mach den Job fertig!", run=name)
    await office.desk.decide(office.desk.gate.state.run(name))
    assert (await office.ask("run", "", action="Mach den Job fertig!", run=name))["outcome"] == "delivered"


WAITING: dict[str, Any] = {"action": "start", "kind": "WF3", "goal": "x", "desk": "main"}


@pytest.mark.parametrize("starter", ["", "session-lead", "project-visionary"])
async def test_an_agent_takes_over_nobody_elses_run(office, starter):
    run = (await office.ask("run", starter, **WAITING))["run"]
    await office.desk.workflows.advance(run)
    stored = office.desk.log.decisions
    for content in ({"action": "give", "input": {"retire": "codex"}}, {"action": "close"}):
        with pytest.raises(Refused, match="was started by"):
            await office.ask("run", "system-architect", run=run, **content)
    deliverer = Role(name="courier", level=AGENT, purpose="x", workflows=("WF3",), capabilities=("deliver",))
    with pytest.raises(Refused, match="was started by"):
        await office.desk.workflows.go(run, Actor("courier", AGENT, deliverer))
    assert office.desk.log.decisions == stored
    for actor in (starter, "session-lead", ""):
        assert (await office.ask("run", actor, action="give", input={"role": {}}, run=run))["phase"] == "analysis"
    assert (await office.ask("run", starter, run=run, action="close"))["outcome"] == "abandoned"


@pytest.mark.parametrize("actor", ["", "session-lead", "system-architect"])
async def test_a_run_is_given_its_proposal_by_its_own_plan_alone(office, actor):
    run = (await office.ask("run", "", **WAITING))["run"]
    with pytest.raises(Refused, match="by its own plan alone"):
        await office.ask("draft", actor, command=ENTRY, reason="x", run=run)
    assert office.desk.gate.state.proposals == {}


@pytest.mark.parametrize(
    ("command", "content"),
    [
        ("nothing-like-it", {}),
        ("draft", {"command": publication("../../etc/passwd"), "reason": "x"}),
        ("draft", {"command": {"name": "retire_role", "role": "nobody", "reason": "x"}, "reason": "x"}),
        ("heartbeat", {"state": "x" * 5_000}),
    ],
)
async def test_what_is_no_command_is_refused_and_recorded(office, command, content):
    with pytest.raises(InvalidInput):
        await office.ask(command, "session-lead", **content)
    [refused] = office.recorded
    assert isinstance(refused, CommandRefused)
    assert (refused.code, refused.actor, refused.command) == ("invalid", "session-lead", command)


async def test_nothing_is_gathered_for_who_may_not_draft(office, monkeypatch):
    gathered: list[Any] = []
    monkeypatch.setattr(Standings, "of", lambda *asked: gathered.append(asked))
    order = {
        "name": "place_order", "desk": "main", "symbol": "EURUSD", "side": "buy", "type": "market",
        "quantity_nanos": 10**12,
    }  # fmt: skip
    for actor, command in (("gemini", ENTRY), ("gemini", order), ("system-architect", order)):
        with pytest.raises(Refused):
            await office.ask("draft", actor, command=command, reason="x")
    assert gathered == []
    assert [refused.code for refused in office.recorded] == ["not_permitted"] * 3


async def test_a_run_starts_on_a_desk_that_can_be_and_with_an_input_of_a_size(office):
    start = {"action": "start", "kind": "WF3", "goal": "x", "desk": "main"}
    for changes in ({"desk": "a" * 600}, {"desk": "Main/.."}, {"previous": "p" * 600}, {"trigger": "t" * 600},
                    {"input": {"wording": "w" * 600_000}}):  # fmt: skip
        with pytest.raises(InvalidInput, match=f"run: {next(iter(changes))}"):
            await office.ask("run", **start | changes)
    with pytest.raises(InvalidInput, match="desk"):
        await office.ask("record", category="conversation", text=SAID, desk="a" * 600)
    assert not office.desk.gate.state.runs


async def test_a_run_that_fails_as_nobody_foresaw_keeps_no_other_from_going_on(office, caplog, monkeypatch):
    for _ in range(2):
        await office.ask("run", action="start", kind="WF3", goal="x", desk="main")
    failing, other = office.desk.gate.state.runs
    onward = office.desk.workflows.advance

    async def advance(name: str) -> Any:
        if name == failing:
            raise KeyError("nobody foresaw this")
        return await onward(name)

    monkeypatch.setattr(office.desk.workflows, "advance", advance)
    swept = asyncio.Event()

    async def sweep() -> None:
        await office.desk.workflows.sweep()
        if swept.is_set():
            raise asyncio.CancelledError
        swept.set()
        raise KeyError("nor this")

    monkeypatch.setattr("ops.governance.SWEEP_EVERY_S", 0)
    with pytest.raises(asyncio.CancelledError):
        await _every(sweep)
    assert office.desk.gate.state.run(other).missing
    told = [line for line in caplog.messages if "does not go on" in line or "sweep" in line]
    assert told == [f"run {failing} does not go on", "a sweep of governance failed"]


class Wire:
    """A connection that carries no more than the server does."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def publish(self, subject: str, data: bytes) -> None:
        assert len(data) <= MAX_BYTES
        self.sent.append(data)


async def test_what_is_too_large_to_be_answered_is_said_and_lists_are_short(office):
    async def large(*_: Any) -> Any:
        return {"text": "😀" * 300_000}

    wire, message = Wire(), Msg(None, "cmd.governance.ask", "_INBOX.x", b"{}")  # type: ignore[arg-type]  # no client
    await _answer(wire, message, "ask", False, large, False)  # type: ignore[arg-type]  # as much as it asks
    said = json.loads(wire.sent[0])
    assert (said["error"], "by its name" in said["message"], "1,200," in said["message"]) == (
        "InvalidInput",
        True,
        True,
    )
    for number in range(90):
        entry = RecordDecision(what=f"{number}", context="y")
        await office.desk.gate.draft(Draft(command=entry, reason="😀" * 4_000), USER_JANA)
    await office.ask("run", action="start", kind="WF3", goal="😀" * 2_000, desk="main")
    for about in ("pending", "proposals", "runs"):
        assert len(json.dumps(await office.ask("ask", about=about), ensure_ascii=False).encode()) < MAX_BYTES // 4
    name = office.desk.gate.state.pending()[0].name
    assert (await office.ask("ask", about="proposal", proposal=name))["reason"] == "😀" * 4_000
