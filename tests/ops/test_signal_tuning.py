"""WF2 from its start to its end, over a tape and a real repository: what is proposed, delivered, observed, undone."""

import asyncio
import json
from typing import Any, cast

import numpy as np
import pytest

from adapters.jetstream import JetStreamLog
from adapters.tape_log import StoredTape
from domain.closed_trades import Trade
from domain.commands import ActivateStrategy, instruction_of
from domain.errors import Refused
from domain.gate import Draft
from domain.instructions import Instructed
from domain.outcome import Outcome, outcome_of
from domain.proposal import Proposal
from domain.tape import PRAGUE_MIDNIGHT
from gateways.standing import read_standing
from ops import control
from ops.background import Background, open_background
from ops.effects import Effects
from ops.settings import load
from ops.signal_tuning import MESSAGE, SignalTuning
from tests import canonical
from tests.canonical import activated, market_ticks, with_minutes
from tests.ops.desks import decide, tape_of, write_tape
from tests.ops.governed import USER_JANA, Governed, Killed, MortalLog, events
from tests.ops.test_tuning import FAST, script
from tests.repositories import commits

INPUT: dict[str, Any] = {"strategy": "ema_cross", "aim": "frequency", "candidates": 3}
TICKS = script(**FAST)[-1][:3_000]
SCRIPT = [*script(**FAST)[:-1], TICKS]
NAME = "strategies/ema_cross.json"


class OnTheTape(Effects):
    """Effects that put an instruction on the tape without a sequencer, once."""

    async def _instruct(self, proposal: Proposal, command: Any) -> control.Outcome:
        instruction = instruction_of(command, proposal.name, proposal.draft.actor)
        tape = StoredTape(self._store, command.desk)
        said = [m for m in await tape_of(self._store, command.desk) if isinstance(m, Instructed)]
        at = next((one.ordinal for one in said if one.instruction.id == instruction.id), 0)
        if not at:
            end = await tape.end()
            at = (await tape.append(Instructed(end.ordinal + 1, instruction), end)).ordinal
        return control.Outcome(instruction.id, f"tape:{at}", f"{command.desk}:1", True, "")


class Desk(Governed):
    """Governance over a log that has a tape."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        stream = cast(JetStreamLog, self.log)
        self.gate._effects = OnTheTape(load(data_dir=self.folder), stream, self.documents, self.forge)

    async def parameters(self) -> dict[str, Any]:
        tape = StoredTape(self.log, "main")
        return (await read_standing(tape, await tape.end())).strategies["ema_cross"].parameters


def kinds(desk: Governed) -> Any:
    return {"WF2": SignalTuning(desk.gate, desk.log, desk.documents, desk.forge, Background(None))}


async def desk(tmp_path: Any, log: MortalLog | None = None) -> Desk:
    opened = cast(Desk, await Desk.open(tmp_path, kinds, log))
    if not await tape_of(opened.log):
        await write_tape(opened.log, SCRIPT)
    return opened


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first candidate is better, whatever the tape says."""
    monkeypatch.setattr("domain.tuning.objections", lambda *_, **__: ())


async def delivered(of: Desk) -> Any:
    run = await of.start("WF2", input=INPUT)
    await of.decide(run)
    return await of.go(run)


def outcome(wins: int, trades: int, days: int = 20) -> Outcome:
    made = [Trade(at, 0, 0, (300 if at < wins else -200) * 10**9) for at in range(trades)]
    return outcome_of(made, days=days, start_nanos=10**14, currency="USD", seed=1)


@pytest.mark.usefixtures("better")
async def test_a_better_set_is_proposed_with_its_promise_and_runs_once_it_is_approved(tmp_path):
    of = await desk(tmp_path)
    before = await of.parameters()
    run = await of.start("WF2", "more trades", input=INPUT)
    assert (run.phase, run.mode) == ("gate", "analysis")
    proposal = of.proposal(run)
    assert run.milestones == [("signal_tuning_proposal_created", proposal.name)]
    draft = proposal.draft
    assert isinstance(draft.command, ActivateStrategy)
    assert isinstance(draft.rollback, ActivateStrategy)
    assert draft.rollback.parameters.items() >= before.items()
    assert draft.command.parameters != draft.rollback.parameters
    assert "3 candidates were tried" in " ".join(draft.effects)
    assert "[" in draft.effects[0], "an expectation has its interval"
    assert await of.parameters() == before, "nothing holds before a signature"

    await of.decide(run)
    assert await of.parameters() == before, "an approval alone delivers nothing"
    run = await of.go(run)
    assert (run.phase, run.mode) == ("observed", "delivery")
    assert await of.parameters() == draft.command.parameters
    branch = draft.command.publication.branch
    written = json.loads(await of.text(NAME, branch))
    assert written["parameters"] == draft.command.parameters
    assert (written["version"], written["promise"]["tried"]) == (2, 3)
    assert len(commits(of.documents.path, branch)) == 2
    [request] = [json.loads(path.read_bytes()) for path in of.requests()]
    assert request["title"] == MESSAGE
    assert request["body"].count("| tried |") + request["body"].count("| wanted |") == 3
    assert "| current |" in request["body"]
    assert "more trades" in request["body"]
    risk = await of.text("Risikomanagement_Logic", branch)
    assert draft.widens[0] in risk
    assert run.milestones[1] == ("signal_tuning_pr_created", "pull-requests/1.json")
    assert "Too early to say: 0 trades" in run.missing["observation"].says


async def test_no_better_set_closes_the_run_and_its_report_says_what_was_tried(tmp_path):
    of = await desk(tmp_path)
    run = await of.start("WF2", input=INPUT)
    assert run.closed.outcome == "nothing_to_do"
    assert run.closed.report.count("| tried |") == 3
    assert run.proposals == []
    assert len(commits(of.documents.path)) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (INPUT | {"strategy": "m1_retest"}, "is not active on desk main"),
        (INPUT | {"candidates": 0}, "candidates"),
        (INPUT | {"aim": "profit"}, "aim"),
        ({}, "strategy"),
    ],
)
async def test_what_cannot_be_tuned_closes_the_run_with_the_reason(tmp_path, given, says):
    of = await desk(tmp_path)
    run = await of.start("WF2", input=given)
    assert run.closed.outcome == "nothing_to_do"
    assert "Nothing can be tuned" in run.steps["replay"].says
    assert says in run.steps["replay"].says


@pytest.mark.usefixtures("better")
async def test_a_rejection_changes_nothing_and_the_next_run_takes_the_same_branch(tmp_path):
    of = await desk(tmp_path)
    run = await of.start("WF2", input=INPUT)
    branch = of.proposal(run).draft.command.publication.branch
    await of.decide(run, "rejected", "too bold")
    closed = await of.workflows.advance(run.name)
    assert closed.closed.outcome == "rejected"
    assert "too bold" in closed.closed.report
    assert (await of.parameters()).items() >= FAST.items()
    again = await of.start("WF2", "again", input=INPUT, previous=run.name)
    assert of.proposal(again).draft.command.publication.branch == branch
    assert again.start.previous == run.name


@pytest.mark.usefixtures("better")
async def test_a_second_run_of_a_day_has_a_branch_of_its_own(tmp_path):
    of = await desk(tmp_path)
    first = of.proposal(await delivered(of)).draft.command.publication.branch
    second = of.proposal(await of.start("WF2", input=INPUT)).draft.command.publication.branch
    assert second == f"{first}-2"


@pytest.mark.usefixtures("better")
@pytest.mark.parametrize(
    ("found", "verdict"), [(outcome(60, 100), "kept"), (outcome(1, 100), "missed"), (outcome(5, 10), "too early")]
)
async def test_the_promise_is_held_against_what_came_of_it(tmp_path, monkeypatch, found, verdict):
    of = await desk(tmp_path)

    async def seen(*_: Any) -> Outcome:
        return found

    run = await of.start("WF2", input=INPUT)
    content = run.steps["replay"].content["proposal"]
    content["promise"]["expected"] = outcome(55, 100).model_dump(mode="json")
    await of.decide(run)
    monkeypatch.setattr("ops.signal_tuning.observed", seen)
    run = await of.go(run)
    proposal = of.proposal(run)
    said = json.loads(of.requests()[0].read_bytes())["comments"]
    if verdict == "too early":
        assert (run.phase, said) == ("observed", [])
        assert "Too early to say: 10 trades" in run.missing["observation"].says
        return
    assert run.closed.outcome == "delivered"
    assert run.steps["observation"].content["verdict"] == verdict
    assert f"The promise is {verdict}" in run.closed.report
    assert len(said) == 1
    assert f"The promise is {verdict}" in said[0]["text"]
    for text in (run.closed.report, said[0]["text"]):
        assert (f"cdb propose rollback {proposal.name}" in text) == (verdict == "missed")


@pytest.mark.usefixtures("better")
async def test_the_observation_is_of_the_trades_behind_the_activation_and_looks_again_with_more_signals(tmp_path):
    of = await desk(tmp_path)
    run = await delivered(of)
    late = with_minutes(market_ticks(3_000, seed=5, symbols=2, start=canonical.MONDAY + 10**15))
    late["flags"][np.flatnonzero(late["flags"] != 0)[100::100]] |= PRAGUE_MIDNIGHT
    end = await write_tape(of.log, [late])
    assert (await of.workflows.advance(run.name)).missing["observation"].says.startswith("Too early to say: 0 trades")
    await decide(of.log, end.ordinal)
    run = await of.workflows.advance(run.name)
    found = run.steps.get("observation") or run.missing["observation"]
    assert "Too early to say: 0 trades" not in found.says, found.says


@pytest.mark.usefixtures("better")
async def test_a_rollback_is_one_approved_command_and_ends_the_observation(tmp_path):
    of = await desk(tmp_path)
    before = await of.parameters()
    run = await delivered(of)
    applied = of.proposal(run)
    undo = Draft(command=applied.draft.rollback, reason="it fell", rolls_back=applied.name)
    receipt = await of.gate.draft(undo, USER_JANA)
    assert receipt.status == "pending_decision"
    run.proposals.append(receipt.proposal)  # whose verdict the helper signs
    await of.decide(run)
    run.proposals.pop()
    assert (await of.parameters()).items() >= before.items()
    assert applied.state == "rolled_back"
    closed = await of.workflows.advance(run.name)
    assert closed.closed.outcome == "delivered"
    assert "rolled back" in closed.steps["observation"].says


@pytest.mark.usefixtures("better")
async def test_other_parameters_end_the_observation(tmp_path):
    of = await desk(tmp_path)
    run = await delivered(of)
    await write_tape(of.log, [activated("ema_cross", *canonical.SYMBOLS[:2], id="other", fast=8, slow=40, on="ticks")])
    closed = await (await of.again()).workflows.advance(run.name)
    assert "replaced by others" in closed.steps["observation"].says


@pytest.mark.usefixtures("better")
async def test_a_run_killed_at_any_decision_is_gone_on_with_and_done_once(tmp_path):
    async def whole(folder: Any, dies_at: int) -> Desk:
        of = await desk(folder)
        of.log.dies_at = dies_at + of.log.decisions if dies_at else 0
        while True:
            try:
                if not of.gate.state.runs:
                    await of.start("WF2", input=INPUT)
                [run] = of.gate.state.runs.values()
                await of.workflows.advance(run.name)
                if run.phase == "gate" and of.proposal(run).pending:
                    await of.decide(run)
                if run.phase == "gate":
                    await of.go(run)
                await of.workflows.sweep()
                return of
            except Killed:
                of = cast(Desk, await of.again())

    plain = await whole(tmp_path / "plain", 0)
    told = [kind for kind in events(plain) if kind != "proposal_applying"]
    for number in range(1, len(told) - 2):
        of = await whole(tmp_path / str(number), number)
        [run] = of.gate.state.runs.values()
        assert run.phase == "observed"
        assert [kind for kind in events(of) if kind != "proposal_applying"] == told
        assert len(of.requests()) == 1
        said = [m.instruction.id for m in await tape_of(of.log) if isinstance(m, Instructed)]
        assert len(said) == len(set(said))


async def test_a_replay_holds_up_nothing_and_a_closed_run_gives_it_up(tmp_path):
    async with open_background(0) as background:

        def beside(of: Desk) -> Any:
            return {"WF2": SignalTuning(of.gate, of.log, of.documents, of.forge, background)}

        of = cast(Desk, await Desk.open(tmp_path, beside))
        await write_tape(of.log, SCRIPT)
        run = await of.start("WF2", input=INPUT)
        assert (run.phase, run.missing["replay"].says[:11]) == ("analysis", "The history")
        other = await of.start("WF2", "another", input=INPUT)
        assert (await of.workflows.close(other.name, None, USER_JANA)).closed.outcome == "abandoned"
        async with asyncio.timeout(60):
            while not run.closed:
                await of.workflows.sweep()
                await asyncio.sleep(0)
            await asyncio.wait({background._tasks[other.name]})
        assert run.closed.outcome == "nothing_to_do"
        with pytest.raises(Refused, match="its replay is given up"):
            await background.result(other.name, lambda: of.log.subjects("*"))


# -- on a market where other parameters are better indeed --------------------------------------------------------------


def waves(count: int) -> Any:
    """Quotes of one instrument on a long wave with a short one on it, which only quicker averages see."""
    ticks, at = market_ticks(count, seed=3), np.arange(count)
    mids = 110_000 + (300 * np.sin(2 * np.pi * at / 151) + 1_087 * np.sin(2 * np.pi * at / 1_051)).astype(np.int64)
    ticks["bid"], ticks["ask"] = (mids - 1) * 10_000, (mids + 1) * 10_000
    merged = with_minutes(ticks)
    merged["flags"][np.flatnonzero(merged["flags"] != 0)[99::100]] |= PRAGUE_MIDNIGHT
    return merged


async def feed(of: Desk, said: Any) -> None:
    end = await write_tape(of.log, said)
    await decide(of.log, end.ordinal)


@pytest.mark.parametrize("stays", [True, False])
async def test_what_was_found_better_is_promised_activated_and_then_kept_or_missed_by_the_market(tmp_path, stays):
    of = cast(Desk, await Desk.open(tmp_path, kinds))
    market, slow = waves(18_000), {"fast": 29, "slow": 94, "on": "ticks"}
    cut = int(np.searchsorted(market["receive_time"], market_ticks(18_000, seed=3)["receive_time"][12_000]))
    opening = [one for one in SCRIPT[:-2] if getattr(one, "number", 1) == 1]
    await feed(of, [*opening, activated("ema_cross", "EURUSD", **slow), market[:cut]])
    run = await of.start("WF2", input=INPUT | {"candidates": 24})
    assert run.steps["replay"].says.startswith("One candidate is better (8 candidates tried")
    assert run.steps["replay"].content["table"].count("| wanted |") == 1
    await of.decide(run)
    run = await of.go(run)
    chosen = await of.parameters()
    assert (chosen["fast"], chosen["slow"]) == (29, 47)
    later = market[cut:].copy()
    if not stays:  # quotes that change sides at random: averages that cross mean nothing
        noise = np.random.default_rng(1).integers(-200, 200, len(later)) * 10_000
        for side in ("bid", "ask"):
            later[side] = np.where(
                later["bid"] != 0, 1_100_000_000 + noise + (later["ask"] - later["bid"]) * (side == "ask"), 0
            )
    await feed(of, [later])
    closed = await of.workflows.advance(run.name)
    assert closed.closed, closed.missing
    assert closed.steps["observation"].content["verdict"] == ("kept" if stays else "missed")
