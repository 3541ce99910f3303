"""The learning loop: the governance service follows every desk's ledger, and where a strategy's results fall below the
governance policy's floor, the desk itself starts a tuning run. That run ends at the gate like any other."""

import hashlib
import logging
from collections import Counter

from domain.agents import USER, Actor
from domain.errors import DeskError
from domain.learning import too_weak
from domain.ports import Log
from domain.workflow import Run
from ops.gatekeeper import Gatekeeper
from ops.ledger_reader import LedgerReader
from ops.run_requests import Start
from ops.verdicts import Verdict, Verdicts
from ops.workflows import Workflows

log = logging.getLogger("cdb.learning")

DESK = Actor("desk", USER)
_LEDGERS = "ledger."


class Learning:
    """Of every desk of a log, from the newest event on; of a desk that appears later, from its first."""

    def __init__(self, store: Log, gate: Gatekeeper, workflows: Workflows) -> None:
        self._store, self._gate, self._workflows = store, gate, workflows
        self._follows: dict[str, Verdicts] = {}
        self._begun = False
        self._signals = Counter[tuple[str, str]]()  # of a desk and strategy, since its last run was over

    async def sweep(self) -> None:
        """Judge what was decided since the last time. Raises TapeBroken, Unavailable."""
        for subject in await self._store.subjects(f"{_LEDGERS}*"):
            desk = subject.removeprefix(_LEDGERS)
            if desk not in self._follows:
                reader = LedgerReader(self._store, desk)
                self._follows[desk] = Verdicts(reader, await reader.end() if not self._begun else 0)
        self._begun = True
        for desk, verdicts in self._follows.items():
            async for verdict in verdicts.fresh():
                await self._judge(desk, verdict)

    async def _judge(self, desk: str, verdict: Verdict) -> None:
        strategy = verdict.raised.strategy
        self._signals[desk, strategy] += 1
        why = too_weak(self._gate.state.policy, verdict.assessed.sizing)
        if not why:
            return
        runs = [run for run in self._gate.state.runs.values() if _tunes(run, desk, strategy)]
        if any(not run.closed for run in runs):
            self._signals[desk, strategy] = 0
            return
        if runs and self._signals[desk, strategy] < self._gate.state.policy.learning_trades_min:
            return  # the same weakness again: a run that found nothing finds something only in other days
        await self._start(desk, strategy, verdict.assessed.number, why, runs)

    async def _start(self, desk: str, strategy: str, number: int, why: str, runs: list[Run]) -> None:
        name = f"wf2-{hashlib.sha256(f'{desk}:{strategy}:{number}'.encode()).hexdigest()[:10]}"
        if name in self._gate.state.runs:
            return
        last = max(runs, key=lambda run: run.start.occurred_at_ns, default=None)
        start = Start(
            action="start", kind="WF2", goal=f"Strategy {strategy} of desk {desk} is weak: {why}", desk=desk,
            previous=last.name if last else "", trigger=f"learning loop, {desk}:{number}",
            input={"strategy": strategy, "aim": "quality"},
        )  # fmt: skip
        try:
            await self._workflows.start(DESK, start, name)
        except DeskError as error:
            log.error("no tuning run starts for strategy %s of desk %s: %s", strategy, desk, error)
        else:
            self._signals[desk, strategy] = 0


def _tunes(run: Run, desk: str, strategy: str) -> bool:
    start = run.started
    return bool(start and start.kind == "WF2" and start.desk == desk and start.input.get("strategy") == strategy)
