"""Workflow runs at work: what each kind does in each phase, and the one way from analysis to a closed run.

`advance` takes a run as far as it goes without a person: through analysis and plan to the gate, and behind a verdict to
its end. Only `go` takes it to delivery, and only with an approved proposal of its own. Every step is stored before the
next begins and is not done again, so a run goes on wherever a process died.
"""

import asyncio
import copy
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from domain.agents import USER, Actor, Workflow, refuse_unpermitted
from domain.aggregate import Event
from domain.errors import DeskError, Refused
from domain.gate import Draft
from domain.presentation import title
from domain.proposal import Proposal, ProposalWithdrawn
from domain.tape import utc
from domain.workflow import Evidence, Milestone, Outcome, Phase, Run, is_go, refuse_foreign, refuse_strangers
from ops.gatekeeper import GATE, Gatekeeper
from ops.governance_views import run_view
from ops.run_requests import Close, Give, Start

log = logging.getLogger("cdb.workflows")

TRIGGERED_MAX = 20  # runs that words started and nobody has ended

_ENDS: dict[str, Outcome] = {"rejected": "rejected", "expired": "abandoned", "withdrawn": "abandoned"}


class Kind(Protocol):
    """What a workflow does. Each method may be called again for the same run: what is stored is not done again."""

    async def analyse(self, run: Run, steps: "Steps") -> None:
        """Finish the checklist's lines up to the proposal; only look, change nothing. Raises Waits for what is
        missing."""

    async def plan(self, run: Run) -> Draft | None:
        """What to propose; None: there is nothing to do, and the run closes so. Raises Waits."""

    async def delivered(self, run: Run, proposal: Proposal, steps: "Steps") -> None:
        """Finish the lines behind delivery and record the milestone. With every line but `report` done the run is
        closed; else it stays observed until the last one is finished and it is advanced."""

    def report(self, run: Run, proposals: Sequence[Proposal]) -> str:
        """Markdown that links every decision."""


@runtime_checkable
class Following(Kind, Protocol):
    """A workflow that follows its proposal to the gate, and looks back at what came of it."""

    async def proposed(self, proposal: Proposal, steps: "Steps") -> None:
        """The proposal stands at the gate."""

    async def observe(self, proposal: Proposal, steps: "Steps") -> None:
        """Look at what was delivered, if it is time to; finish the lines behind it when all is said."""


class Waits(Exception):
    """A line of the checklist cannot be finished until somebody gives what its text says is missing."""

    def __init__(self, step: str, missing: str, *, untrusted: bool = False) -> None:
        super().__init__(missing)
        self.step, self.evidence = step, Evidence(says=missing, untrusted=untrusted)


class Steps:
    """How a kind writes into its run: every call is stored before it returns."""

    def __init__(self, gate: Gatekeeper, run: str) -> None:
        self._gate, self._run = gate, run

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._gate.state.run(self._run)

    async def store(self, change: "Callable[[Run], Event]") -> None:
        """`change(run)` makes one event on a copy of the run."""
        changed = copy.deepcopy(self.run)
        await self._gate.store([change(changed)])

    async def finish(
        self, step: str, says: str, reference: str = "", *, untrusted: bool = False, content: Any = None
    ) -> None:
        """Tick a line; said again it is not stored again. `content` is for the lines behind it."""
        evidence = Evidence(says=says, reference=reference, untrusted=untrusted, content=content or {})
        if self.run.steps.get(step) != evidence:
            await self.store(lambda run: run.finish_step(step, evidence, self._gate.now_ns(), GATE.name))

    async def wait(self, waits: Waits) -> None:
        """Say what a line waits for, where it does not say so already."""
        if self.run.missing.get(waits.step) != waits.evidence:
            said = waits.evidence
            await self.store(
                lambda run: run.finish_step(waits.step, said, self._gate.now_ns(), GATE.name, missing=True)
            )

    async def give(self, step: str, evidence: Evidence, given: dict[str, Any], actor: Actor) -> None:
        """Take what the run lacked; whether that is enough is for its kind to say."""
        now_ns = self._gate.now_ns()
        await self.store(lambda run: run.finish_step(step, evidence, now_ns, actor.name, missing=True, given=given))

    async def reach(self, kind: type[Milestone], reference: str) -> None:
        """Record a milestone, once."""
        if kind.model_fields["type"].default not in [name for name, _ in self.run.milestones]:
            await self.store(lambda run: run.reach(kind, reference, self._gate.now_ns(), GATE.name))

    async def enter(self, phase: Phase, actor: Actor = GATE, *, proposal: str = "", reason: str = "") -> None:
        """Go to another phase."""
        now_ns = self._gate.now_ns()
        await self.store(lambda run: run.enter(phase, now_ns, actor.name, proposal=proposal, reason=reason[:2_000]))


class Workflows:
    """Every run of a log."""

    def __init__(self, gate: Gatekeeper, kinds: Mapping[Workflow, Kind]) -> None:
        self._gate, self._kinds = gate, kinds
        self._advancing: dict[str, asyncio.Lock] = {}
        self._told: dict[str, str] = {}  # the last problem of each run, told once
        self._phases: dict[Phase, Callable[[Run, Kind, Steps], Any]] = {
            "analysis": self._analyse,
            "plan": self._plan,
            "gate": self._judge,
            "delivery": self._deliver,
            "observed": self._observe,
        }

    async def command(self, actor: Actor, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """start, give, advance, go (or a phrase that means it), close. Raises Refused, InvalidInput."""
        action = str(content.get("action", ""))
        name = str(content.get("run", ""))
        if action == "start":
            return run_view(await self.start(actor, Start.model_validate(dict(content))))
        if action == "give":
            return run_view(await self.give(Give.model_validate(dict(content)), actor))
        if action == "advance":
            return run_view(await self.advance(name))
        if action == "go" or is_go(action):
            return run_view(await self.go(name, actor))
        if action == "close":
            asked = Close.model_validate(dict(content))
            return run_view(await self.close(asked.run, asked.outcome, actor))
        raise Refused("unknown_action", f"a run takes start, give, advance, go and close, not {action[:60]!r}")

    async def start(self, actor: Actor, start: Start, name: str = "") -> Run:
        """A new run, named by what starts it where that is known. Raises Refused when the actor's role does not lead
        this workflow."""
        state = self._gate.state
        refuse_foreign(actor, start.kind)
        if start.kind not in self._kinds:
            raise Refused("unknown_workflow", f"nothing does {start.kind} yet; there are {', '.join(self._kinds)}")
        if start.previous:
            state.run(start.previous)
        seed = f"{actor.name}:{start.model_dump_json()}:{state.position}"
        name = name or f"{start.kind.lower()}-{hashlib.sha256(seed.encode()).hexdigest()[:10]}"
        content = start.model_dump(exclude={"action"})
        role = actor.role.name if actor.role else ""
        event = state.blank(Run, name).began(self._gate.now_ns(), actor.name, role=role, **content)
        await self._gate.store([event])
        return state.run(name)

    async def triggered(self, kind: Workflow, said: str, desk: str, trigger: str) -> Run | None:
        """The run that somebody's words start: one for the same words, and none beside as many as may wait."""
        goal = said.strip()[:2_000]
        open_runs = [run for run in self._gate.state.runs.values() if not run.closed]
        known = next((run for run in open_runs if (run.start.kind, run.start.goal) == (kind, goal)), None)
        waiting = sum(run.start.actor == GATE.name for run in open_runs)
        if known or kind not in self._kinds or not goal or waiting >= TRIGGERED_MAX:
            return known
        return await self.start(GATE, Start(action="start", kind=kind, goal=goal, desk=desk, trigger=trigger))

    async def sweep(self) -> None:
        """Take every run as far as it goes."""
        for run in [run for run in self._gate.state.runs.values() if run.phase != "closed"]:
            try:
                await self.advance(run.name)
                self._told.pop(run.name, None)
            except DeskError as error:
                if self._told.get(run.name) != str(error):
                    log.error("run %s does not go on: %s", run.name, error)
                    self._told[run.name] = str(error)
            except Exception as error:  # one that fails in a way that nobody foresaw keeps no other from going on
                if self._told.get(run.name) != repr(error):
                    log.exception("run %s does not go on", run.name)
                    self._told[run.name] = repr(error)

    async def advance(self, name: str) -> Run:
        """As far as it goes without a person. Raises Refused, Unavailable."""
        async with self._alone(name):
            return await self._onward(name)

    def _alone(self, name: str) -> asyncio.Lock:
        return self._advancing.setdefault(name, asyncio.Lock())

    async def _onward(self, name: str) -> Run:
        """Phase after phase, until one waits."""
        steps = Steps(self._gate, name)
        while (run := steps.run).phase in self._phases:
            before = run.phase
            kind = self._kinds.get(run.start.kind)
            if kind is None:  # of a build that has it
                return run
            await self._phases[before](run, kind, steps)
            if steps.run.phase == before:
                break
        return steps.run

    async def _analyse(self, run: Run, kind: Kind, steps: Steps) -> None:
        try:
            await kind.analyse(run, steps)
        except Waits as waits:
            await steps.wait(waits)
        else:
            await steps.enter("plan")

    async def _plan(self, run: Run, kind: Kind, steps: Steps) -> None:
        """Propose, once: what was drafted before a crash is found."""
        own = [p for p in self._gate.state.proposals.values() if p.drafted and p.draft.run == run.name]
        drafted = next((proposal.name for proposal in own if proposal.name not in run.proposals), None)
        if drafted is None:
            try:
                draft = await kind.plan(run)
            except Waits as waits:
                await steps.wait(waits)
                return
            if draft is None:
                await self._end(run.name, "nothing_to_do", GATE)
                return
            start = run.start
            actor = self._gate.state.actor(start.actor, start.role) if start.role else Actor(start.actor, USER)
            drafted = (await self._gate.draft(draft.model_copy(update={"run": run.name}), actor)).proposal
            other = self._gate.state.proposal(drafted).draft.run
            if other != run.name:
                raise Refused(
                    "duplicate", f"proposal {drafted} of {other or 'no run'} asks for the same; decide it first"
                )
        line = "draft" if run.start.kind == "WF1" else "proposal"
        await steps.finish(line, title(self._gate.state.proposal(drafted).draft.command), drafted)
        await steps.enter("gate", proposal=drafted)

    async def _judge(self, run: Run, kind: Kind, steps: Steps) -> None:
        """A verdict against it ends the run; documents that moved mean another proposal."""
        proposal = self._proposed(run)
        if isinstance(kind, Following):
            await kind.proposed(proposal, steps)
        if proposal.pending and proposal.expired(self._gate.now_ns()):
            await self._gate.expire()
        try:
            await self._gate.refuse_moved(proposal.name)
        except Refused as refused:
            if refused.code != "stale":
                raise
        verdict = proposal.verdict
        if isinstance(verdict, ProposalWithdrawn) and verdict.actor == GATE.name:
            await steps.enter("plan", reason=verdict.reason)
        elif proposal.state in _ENDS:
            await self._end(run.name, _ENDS[proposal.state], GATE)

    async def _deliver(self, run: Run, kind: Kind, steps: Steps) -> None:
        """Go on with what `go` began. What failed waits for another `go`, or for the end."""
        proposal = self._proposed(run)
        if proposal.state in ("approved", "cleared", "applying"):
            await self._gate.apply(proposal.name, GATE)
        elif _moved(proposal):
            assert proposal.failed
            await steps.enter("plan", reason=proposal.failed.reason)
            return
        if proposal.state not in ("applied", "rolled_back"):
            return
        await steps.finish("approval", _verdict(proposal), proposal.name)
        await kind.delivered(steps.run, proposal, steps)
        if not steps.run.closed:
            await steps.enter("observed")

    async def _observe(self, run: Run, kind: Kind, steps: Steps) -> None:
        """The end, once every line but the report is done."""
        if isinstance(kind, Following):
            await kind.observe(self._proposed(run), steps)
        if all(done or step == "report" for step, done in steps.run.checklist):
            await self._end(run.name, "delivered", GATE)

    def _proposed(self, run: Run) -> Proposal:
        return self._gate.state.proposal(run.proposals[-1])

    # -- by command ----------------------------------------------------------------------------------------------------

    async def give(self, give: Give, actor: Actor) -> Run:
        """Take what a run waits for. Raises Refused when it waits for nothing."""
        async with self._alone(give.run):
            run = self._gate.state.run(give.run)
            run.refuse_closed()
            refuse_strangers(actor, run)
            if run.phase != "analysis" or not run.missing:
                raise Refused("invalid_state", f"run {run.name} is in {run.phase} and waits for no input")
            says = f"{actor.name} gave {', '.join(sorted(give.input))}"
            evidence = Evidence(says=says[:2_000], untrusted=actor.level != USER)
            await Steps(self._gate, run.name).give(next(iter(run.missing)), evidence, give.input, actor)
        return await self.advance(give.run)

    async def go(self, name: str, actor: Actor) -> Run:
        """Deliver what was approved, again where it failed. Raises Refused when it was not approved, or failed."""
        refuse_unpermitted(actor, "apply")
        refuse_strangers(actor, self._gate.state.run(name))
        async with self._alone(name):
            run = await self._onward(name)  # a verdict of this moment, a document that moved
            run.refuse_closed()
            if run.phase not in ("gate", "delivery", "observed"):
                raise Refused("invalid_state", f"run {name} is in {run.phase}, it waits for no delivery")
            proposal = self._proposed(run)
            proposal.refuse_not_delivered()
            if run.phase == "gate":
                await Steps(self._gate, name).enter("delivery", actor, proposal=proposal.name)
            if run.phase == "delivery":
                try:
                    await self._gate.apply(proposal.name, actor)
                except Refused:
                    if not _moved(proposal):
                        raise
            return await self._onward(name)

    async def close(self, name: str, outcome: Outcome | None, actor: Actor) -> Run:
        """End a run; a proposal of it that waits is withdrawn. Raises Refused."""
        async with self._alone(name):
            run = self._gate.state.run(name)
            run.refuse_closed()
            refuse_strangers(actor, run)
            for proposal in run.proposals:
                if self._gate.state.proposal(proposal).pending:
                    await self._gate.withdraw(proposal, GATE, f"run {name} was closed by {actor.name}"[:500])
            chosen: Outcome = outcome or ("failed" if run.phase == "delivery" else "abandoned")
            return await self._end(name, chosen, actor)

    async def _end(self, name: str, outcome: Outcome, actor: Actor) -> Run:
        """The report, and the end."""
        steps = Steps(self._gate, name)
        await steps.finish("report", f"the run ends: {outcome}")
        run = steps.run
        proposals = [self._gate.state.proposal(proposal) for proposal in run.proposals]
        now_ns = self._gate.now_ns()
        changed = copy.deepcopy(run)
        changed.close(outcome, "-", now_ns, actor.name)  # the report is of a run that is over
        report = self._kinds[run.start.kind].report(changed, proposals)
        await steps.store(lambda run: run.close(outcome, report, now_ns, actor.name))
        return steps.run


def _moved(proposal: Proposal) -> bool:
    """Was nothing of it done because what it changes had moved, or its time was over?"""
    failed = proposal.failed
    return bool(
        proposal.state == "failed" and failed and failed.final and not failed.effects
        and failed.code in ("stale", "expired")
    )  # fmt: skip


def _verdict(proposal: Proposal) -> str:
    verdict = proposal.verdict
    assert verdict is not None
    return f"{verdict.type.removeprefix('proposal_')} at {utc(verdict.occurred_at_ns)} by {verdict.actor}"
