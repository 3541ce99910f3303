"""Workflow runs at work: what each kind does in each phase, and the one way from analysis to a closed run.

`advance` takes a run as far as it goes without a person: through analysis and plan to the gate, and behind a verdict to
its end. Only `go` takes it to delivery, and only with an approved proposal of its own. Every step is stored before the
next begins and is not done again, so a run goes on wherever a process died.
"""

import asyncio
import copy
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from domain.agents import Actor, Workflow
from domain.aggregate import Event
from domain.errors import DeskError, Refused
from domain.gate import Draft
from domain.proposal import Proposal
from domain.workflow import Outcome, Run, is_go
from ops.gatekeeper import GATE, Gatekeeper
from ops.governance_views import run_view

log = logging.getLogger("cdb.workflows")


class Kind(Protocol):
    """What a workflow does. Each method may be called again for the same run: what is stored is not done again."""

    async def analyse(self, run: Run, steps: "Steps") -> None:
        """Finish the checklist's lines up to the proposal; only look, change nothing."""

    async def plan(self, run: Run) -> Draft | None:
        """What to propose; None: there is nothing to do, and the run closes so."""

    async def delivered(self, run: Run, proposal: Proposal, steps: "Steps") -> None:
        """Finish the lines behind delivery and record the milestone."""

    def report(self, run: Run, proposals: Sequence[Proposal]) -> str:
        """Markdown that links every decision."""


class Steps:
    """How a kind writes into its run: every call is stored before it returns."""

    def __init__(self, gate: Gatekeeper, run: str) -> None:
        self._gate, self._run = gate, run

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._gate.state.run(self._run)

    async def store(self, change: "Any") -> None:
        """`change(run)` makes one event on a copy of the run."""
        changed = copy.deepcopy(self.run)
        event: Event = change(changed)
        await self._gate.store([event])


class Start(BaseModel):
    """What starts a run. `input` is the kind's own: a strategy to tune, a role to define."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["start"]
    kind: Workflow
    goal: str = Field(min_length=1, max_length=2_000)
    desk: str
    previous: str = ""
    trigger: str = "command"
    input: dict[str, Any] = Field(default_factory=dict)


class Workflows:
    """Every run of a log."""

    def __init__(self, gate: Gatekeeper, kinds: Mapping[Workflow, Kind]) -> None:
        self._gate, self._kinds = gate, kinds
        self._advancing: dict[str, asyncio.Lock] = {}

    async def command(self, actor: Actor, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """start, advance, go (or a phrase that means it), close. Raises Refused, InvalidInput."""
        action = str(content.get("action", ""))
        if action == "start":
            return run_view(await self.start(actor, Start.model_validate(dict(content))))
        name = str(content.get("run", ""))
        if action == "advance":
            return run_view(await self.advance(name))
        if action == "go" or is_go(action):
            return run_view(await self.go(name, actor))
        if action == "close":
            return run_view(await self.close(name, "abandoned", actor))
        raise Refused("unknown_action", f"a run takes start, advance, go and close, not {action[:60]!r}")

    async def start(self, actor: Actor, start: Start) -> Run:
        """A new run; the same start by the same actor at the same position of the log is the same run."""
        state = self._gate.state
        if start.previous:
            state.run(start.previous)
        seed = f"{actor.name}:{start.model_dump_json()}:{state.position}"
        name = f"{start.kind.lower()}-{hashlib.sha256(seed.encode()).hexdigest()[:10]}"
        content = start.model_dump(exclude={"action"})
        role = actor.role.name if actor.role else ""
        event = Run.empty(name).began(self._gate.now_ns(), actor.name, role=role, **content)
        await self._gate.store([event])
        return state.run(name)

    async def sweep(self) -> None:
        """Take every run as far as it goes."""
        for run in [run for run in self._gate.state.runs.values() if run.phase in ("analysis", "plan", "gate")]:
            try:
                await self.advance(run.name)
            except DeskError as error:
                log.error("run %s does not go on: %s", run.name, error)

    async def advance(self, name: str) -> Run:
        """As far as it goes without a person. Raises Refused, Unavailable."""
        async with self._advancing.setdefault(name, asyncio.Lock()):
            run, steps = self._gate.state.run(name), Steps(self._gate, name)
            kind = self._kinds[run.start.kind]
            if run.phase == "analysis":
                await kind.analyse(run, steps)
                await steps.store(lambda run: run.enter("plan", self._gate.now_ns(), GATE.name))
            if self._gate.state.run(name).phase == "plan":
                await self._plan(name, kind, steps)
            if self._gate.state.run(name).phase == "gate":
                await self._judged(name)
            return self._gate.state.run(name)

    async def _plan(self, name: str, kind: Kind, steps: Steps) -> None:
        run = self._gate.state.run(name)
        draft = await kind.plan(run)
        if draft is None:
            await self.close(name, "nothing_to_do", GATE)
            return
        actor = self._gate.state.actor(run.start.actor, run.start.role) if run.start.role else GATE
        receipt = await self._gate.draft(draft.model_copy(update={"run": name}), actor)
        await steps.store(lambda run: run.enter("gate", self._gate.now_ns(), GATE.name, proposal=receipt.proposal))

    async def _judged(self, name: str) -> None:
        """A verdict against it ends the run."""
        run = self._gate.state.run(name)
        proposal = self._gate.state.proposal(run.proposals[-1])
        outcomes: dict[str, Outcome] = {"rejected": "rejected", "expired": "abandoned", "withdrawn": "abandoned"}
        if proposal.state in outcomes:
            await self.close(name, outcomes[proposal.state], GATE)

    async def go(self, name: str, actor: Actor) -> Run:
        """Deliver what was approved. Raises Refused when it was not."""
        async with self._advancing.setdefault(name, asyncio.Lock()):
            run, steps = self._gate.state.run(name), Steps(self._gate, name)
            run.refuse_closed()
            if run.phase not in ("gate", "delivery"):
                raise Refused("invalid_state", f"run {name} is in {run.phase}, it waits for no delivery")
            proposal = self._gate.state.proposal(run.proposals[-1])
            proposal.refuse_not_delivered()
            if run.phase == "gate":
                await steps.store(
                    lambda run: run.enter("delivery", self._gate.now_ns(), actor.name, proposal=proposal.name)
                )
            await self._gate.apply(proposal.name, actor)
            kind = self._kinds[run.start.kind]
            await kind.delivered(self._gate.state.run(name), self._gate.state.proposal(proposal.name), steps)
        return self._gate.state.run(name)

    async def close(self, name: str, outcome: Outcome, actor: Actor) -> Run:
        """End a run with its report."""
        run = self._gate.state.run(name)
        proposals = [self._gate.state.proposal(proposal) for proposal in run.proposals]
        report = self._kinds[run.start.kind].report(run, proposals)
        await Steps(self._gate, name).store(lambda run: run.close(outcome, report, self._gate.now_ns(), actor.name))
        return self._gate.state.run(name)
