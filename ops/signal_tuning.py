"""WF2: trade frequency and signal quality. The recorded history is replayed under parameters near the current ones; one
that is surely better is proposed with what it promises, and once it runs, the promise is held against what came of it.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.governance_commands import problem
from adapters.tape_log import StoredTape
from domain import tuning
from domain.commands import ActivateStrategy, DeactivateStrategy, Publication, PullRequestText
from domain.documents import Documents, Forge
from domain.engine import prepare
from domain.errors import DeskError, Refused, Unavailable
from domain.gate import Draft
from domain.instructions import StrategyActivated
from domain.neighbours import CANDIDATES_MAX, Aim
from domain.ports import Log
from domain.proposal import Proposal
from domain.tape import utc
from domain.widening import strategy_widens
from domain.workflow import Run, SignalTuningPrCreated, SignalTuningProposalCreated
from gateways.standing import Activation, Standing, read_standing
from ops import run_report
from ops import tuning_documents as texts
from ops.background import Background
from ops.gatekeeper import Gatekeeper
from ops.ledger_reader import LedgerReader
from ops.publications import free_branch, publication
from ops.tuning import Asked, Tuning, observed, tune
from ops.verdicts import Verdicts
from ops.warm import warmed_up
from ops.workflows import Steps, Waits

MESSAGE = "Signal Engine parameter tuning: increase trade frequency under controlled risk"
BRANCH = "signal-tuning"
RISK = "Risikomanagement_Logic"
LOOK_EVERY = 10  # approved signals; a promise is judged by 30 trades, a drawdown earlier
LISTED_MAX = 100  # candidates that a pull request can show


class Wanted(BaseModel):
    """What a run works on. `tape` None: the desk's own; `drawdown_max` is a share of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field(min_length=1, max_length=64)
    aim: Aim = "frequency"
    candidates: int = Field(CANDIDATES_MAX, ge=1, le=LISTED_MAX)
    tape: str | None = Field(None, max_length=64)
    drawdown_max: float | None = Field(None, gt=0, le=1)


class SignalTuning:
    """Of ops.workflows.Following."""

    def __init__(
        self, gate: Gatekeeper, store: Log, documents: Documents, forge: Forge, background: Background
    ) -> None:
        self._gate, self._store, self._documents, self._forge = gate, store, documents, forge
        self._background = background
        self._watched: dict[str, _Watched] = {}

    # -- analysis ------------------------------------------------------------------------------------------------------

    async def analyse(self, run: Run, steps: Steps) -> None:
        """What stands, then what the history says of its neighbours. What cannot be tuned is a finding too."""
        if "replay" in run.steps and "proposal" in run.steps["replay"].content:
            return
        try:
            wanted = Wanted.model_validate(run.input)
            stands = await self._standing(run.start.desk)
            active = stands.strategies.get(wanted.strategy)
            named = f"{active.strategy}@{active.version} on {', '.join(active.symbols)}" if active else "not active"
            says = f"Strategy {wanted.strategy} of desk {run.start.desk}: {named}."
            await steps.finish("parameters", says, content={"parameters": active.parameters} if active else {})
            found = await self._background.result(run.name, lambda: self._tuned(run, wanted))
        except ValidationError as error:
            await _cannot(steps, problem(error))
        except Unavailable:
            raise
        except DeskError as error:  # the same tape says the same again
            await _cannot(steps, str(error))
        else:
            if found is None:
                raise Waits("replay", f"The history is being replayed under up to {wanted.candidates} candidates.")
            proposal = found.proposal.model_dump(mode="json") if found.proposal else None
            content = {"proposal": proposal, "table": texts.variants(found)}
            at = f"sha256:{found.evidence.tape_sha256}"
            await steps.finish("replay", found.judgement.says, at, content=content)

    async def _tuned(self, run: Run, wanted: Wanted) -> Tuning:
        def go_on(done: int, total: int) -> None:
            if self._gate.state.run(run.name).closed:
                raise Refused("invalid_state", f"run {run.name} was closed, its replay is given up")

        await warmed_up()
        asked = Asked(wanted.strategy, wanted.aim, None, wanted.tape, wanted.candidates, wanted.drawdown_max)
        return await tune(self._store, run.start.desk, asked, go_on, gently=True)

    # -- plan ----------------------------------------------------------------------------------------------------------

    async def plan(self, run: Run) -> Draft | None:
        """Activate the better parameters; nothing where none is."""
        found = run.steps["replay"].content
        if not found.get("proposal"):
            return None
        tuned, desk = tuning.Proposal.model_validate(found["proposal"]), run.start.desk
        stands = await self._standing(desk)
        active = stands.strategies.get(tuned.strategy)
        wanted: dict[str, Any] = {
            "strategy": tuned.strategy, "version": tuned.handler_version, "parameters": tuned.proposed_parameters,
            "symbols": active.symbols if active else tuned.symbols,
        }  # fmt: skip
        published = await self._publication(run, tuned, _widens(wanted, active, stands))
        return Draft(
            command=ActivateStrategy(desk=desk, **wanted, publication=published),
            reason=run.steps["replay"].says[:4_000],
            effects=tuned.effects,
            rollback=_back_to(active, tuned.strategy, desk),
        )

    async def _publication(self, run: Run, tuned: tuning.Proposal, widens: list[str]) -> Publication:
        now_ns = self._gate.now_ns()
        written = {f"strategies/{tuned.strategy}.json": texts.configuration(run.start.desk, tuned, run.name)}
        if widens:
            risk = await self._documents.read(RISK)
            stands = risk.text if risk else ""
            written[RISK] = texts.with_risk_section(stands, tuned, widens, run.name, utc(now_ns)[:10])
        table = run.steps["replay"].content["table"]
        request = PullRequestText(title=MESSAGE, body=texts.pull_request(tuned, table, run.start.goal, run.name))
        branch = await free_branch(self._documents, self._gate.state, BRANCH, run.name, now_ns)
        return await publication(self._documents, written, MESSAGE, branch, request)

    # -- gate and delivery ---------------------------------------------------------------------------------------------

    async def proposed(self, proposal: Proposal, steps: Steps) -> None:
        """It stands at the gate."""
        await steps.reach(SignalTuningProposalCreated, proposal.name)

    async def delivered(self, run: Run, proposal: Proposal, steps: Steps) -> None:
        """The strategy runs with the new parameters, and the configuration is offered for review."""
        done = {effect.kind: effect.reference for effect in proposal.effects}
        at, request = done.get("instruction", ""), done.get("pull_request", "")
        await steps.finish("activation", f"The new parameters are active from {at} on.", at)
        await steps.finish("delivery", f"Commit {done.get('commit', '')}, pull request {request}", request)
        await steps.reach(SignalTuningPrCreated, request)

    # -- observation ---------------------------------------------------------------------------------------------------

    async def observe(self, proposal: Proposal, steps: Steps) -> None:
        """Hold the promise against what came of it, whenever enough signals more were approved."""
        run = steps.run
        if "observation" not in run.steps:
            await self._look(run, proposal, steps)
        if found := steps.run.steps.get("observation"):
            request = await self._forge.find(proposal.name)
            if request:
                says = texts.observation(found, proposal)
                await self._forge.comment(request.number, says, f"{run.name}.observation")

    async def _look(self, run: Run, proposal: Proposal, steps: Steps) -> None:
        tuned = tuning.Proposal.model_validate(run.steps["replay"].content["proposal"])
        if proposal.state == "rolled_back":
            await steps.finish("observation", "The new parameters were rolled back: nothing more comes of them.")
            return
        watched = self._watched.setdefault(run.name, _Watched(self._store, run, tuned.strategy))
        if not await watched.is_due():
            return
        active = (await self._standing(run.start.desk)).strategies.get(tuned.strategy)
        if active is None or _whole(active) != tuned.proposed_parameters:
            says = "The new parameters were replaced by others: nothing more comes of them."
            await steps.finish("observation", says)
            return
        seed = tuned.evidence.seed
        try:
            outcome = await self._background.result(
                run.name, lambda: observed(self._store, run.start.desk, tuned.strategy, watched.since, seed)
            )
        except DeskError:
            watched.looked()
            raise
        if outcome is None:
            return
        watched.looked()
        comparison = tuning.compare(tuned.promise, outcome)
        if comparison.verdict == "too_early":
            await steps.wait(Waits("observation", comparison.says))
            return
        await steps.finish("observation", comparison.says, content=comparison.model_dump(mode="json"))

    def report(self, run: Run, proposals: Sequence[Proposal]) -> str:
        """Markdown that links every decision."""
        self._watched.pop(run.name, None)
        return run_report.report(run, proposals, texts.findings(run, proposals))

    async def _standing(self, desk: str) -> Standing:
        tape = StoredTape(self._store, desk)
        return await read_standing(tape, await tape.end())


class _Watched:
    """How many signals of a strategy were approved since its new parameters run, and at how many we looked last."""

    def __init__(self, store: Log, run: Run, strategy: str) -> None:
        self.since = int(run.steps["activation"].reference.partition(":")[2])
        self._reader, self._strategy = LedgerReader(store, run.start.desk), strategy
        self._verdicts: Verdicts | None = None
        self._approved, self._looked_at = 0, -LOOK_EVERY

    async def is_due(self) -> bool:
        if self._verdicts is None:
            before = await self._reader.before(lambda event: event.ordinal > self.since)
            self._verdicts = Verdicts(self._reader, before)
        async for raised, assessed in self._verdicts.fresh():
            self._approved += raised.strategy == self._strategy and assessed.verdict == "approved"
        return self._approved >= self._looked_at + LOOK_EVERY

    def looked(self) -> None:
        self._looked_at = self._approved


async def _cannot(steps: Steps, why: str) -> None:
    says = f"Nothing can be tuned: {why}"
    await steps.finish("replay", says[:20_000], content={"proposal": None, "table": ""})


def _whole(active: Activation) -> dict[str, Any]:
    """All parameters that an activation has, also those that it left to their defaults."""
    _, parameters, _ = prepare(active.strategy, active.version, active.parameters)
    return parameters.model_dump(mode="json")


def _widens(wanted: dict[str, Any], active: Activation | None, stands: Standing) -> list[str]:
    """What of the change touches risk, as the gate will judge it."""
    after = StrategyActivated(id="draft", actor="draft", authority="draft", occurred_at_ns=0, **wanted)
    before = active.as_instruction() if active else None
    return [widening.sentence for widening in strategy_widens(before, after, stands.policy)]


def _back_to(active: Activation | None, strategy: str, desk: str) -> ActivateStrategy | DeactivateStrategy:
    if active is None:
        return DeactivateStrategy(desk=desk, strategy=strategy)
    return ActivateStrategy(
        desk=desk, strategy=strategy, version=active.version, parameters=_whole(active), symbols=active.symbols
    )
