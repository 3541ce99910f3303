"""Tuning: the recorded history replayed under parameters near the current ones, and what may honestly be expected."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from adapters.tape_log import StoredTape
from domain.closed_trades import Trade
from domain.engine import ENGINE, prepare
from domain.errors import InvalidInput
from domain.instructions import AccountOpened, EngineActivated, Instruction, PolicyActivated, StrategyActivated
from domain.instruments import canonical_symbol, instrument_for
from domain.neighbours import CANDIDATES_MAX, Aim, changes, neighbours
from domain.outcome import Outcome, outcome_of
from domain.policy import PAPER_DEFAULT
from domain.ports import Log
from domain.signals.handler import Handler, Parameters
from domain.tuning import Evidence, Judgement, Parts, Promise, Proposal, judge
from gateways.standing import Activation, Standing, nothing_stands, read_standing
from gateways.terminal import Progressing
from ops.composition import open_log
from ops.replays import Reading, Replay, replay
from ops.settings import Settings
from ops.tape_lookup import must_stand
from ops.warm import BALANCE_NANOS, CURRENCY, warmed_up

CANDIDATES_BOUND = 200  # each is an engine in memory


class Asked(NamedTuple):
    """What shall be tuned. `symbols` of None: those that the strategy has; `tape` of None: the desk's own.
    `drawdown_max` is a share of 1, None: as deep as the current parameters fell."""

    strategy: str
    aim: Aim = "frequency"
    symbols: tuple[str, ...] | None = None
    tape: str | None = None
    candidates: int = CANDIDATES_MAX
    drawdown_max: float | None = None


class Tried(NamedTuple):
    """A parameter set and its figures."""

    parameters: Parameters
    parts: Parts


class Tuning(NamedTuple):
    """What a tuning found; `proposal` is None where no candidate is better."""

    asked: Asked
    current: Tried
    candidates: Sequence[Tried]
    judgement: Judgement
    evidence: Evidence
    proposal: Proposal | None

    def row(self) -> dict[str, Any]:
        """Ready for JSON."""
        current = self.current.parameters
        return {
            "strategy": self.asked.strategy,
            "aim": self.asked.aim,
            "mode": "paper",
            "says": self.judgement.says,
            "current": {"parameters": current.model_dump(mode="json")} | _parts_row(self.current.parts),
            "candidates": [
                {
                    "changes": [change.model_dump() for change in changes(current, one.parameters)],
                    "objections": self.judgement.objections[index],
                    "best": index == self.judgement.best,
                }
                | _parts_row(one.parts)
                for index, one in ((index, self.candidates[index]) for index in self.judgement.order)
            ],
            "against": self.judgement.against,
            "evidence": self.evidence.model_dump(mode="json"),
            "proposal": self.proposal.model_dump(mode="json") if self.proposal else None,
        }


class TuningOperations:
    """Of gateways.cli_tune.Operations."""

    _settings: Settings

    async def tune(
        self,
        strategy: str,
        *,
        aim: Aim,
        symbols: Sequence[str],
        tape: str | None,
        candidates: int,
        drawdown_max: float | None,
        progress: Progressing,
    ) -> Mapping[str, Any]:
        """Replay the history under candidate parameters. Nothing is written."""
        wanted = tuple(sorted({canonical_symbol(symbol) for symbol in symbols})) or None
        asked = Asked(strategy, aim, wanted, tape, candidates, drawdown_max)
        await warmed_up(progress)
        async with open_log(self._settings) as log:
            found = await tune(
                log, self._settings.desk, asked, lambda done, total: progress("replaying", done, total, "records")
            )
        return found.row()


async def tune(
    log: Log, desk: str, asked: Asked, progress: Callable[[int, int], None] | None = None, *, gently: bool = False
) -> Tuning:
    """Replay a tape under the current parameters and their neighbours, and judge; `gently` as in ops/replays.py. Raises
    InvalidInput for what cannot be tuned, TapeBroken."""
    if not 1 <= asked.candidates <= CANDIDATES_BOUND:
        raise InvalidInput(f"--candidates {asked.candidates} is not from 1 to {CANDIDATES_BOUND}")
    tape = StoredTape(log, asked.tape or desk)
    await must_stand(log, tape)
    activation, opening = await _activation(log, desk, asked, tape)
    handler, current, _ = prepare(activation.strategy, activation.version, activation.parameters)
    near = _that_fit(handler, neighbours(current, asked.aim, asked.candidates), activation.symbols)
    if not near:
        raise InvalidInput(f"strategy {asked.strategy} has no parameter that says which way is looser: nothing to tune")
    replays = [
        Replay(handler.name, handler.version, one.model_dump(mode="json"), asked.symbols) for one in (current, *near)
    ]
    reading = await replay(tape, replays, opening, progress, gently=gently)
    parts = await asyncio.to_thread(lambda: [parts_of(one, reading.seed) for one in replays])
    judgement = judge(parts[0], parts[1:], asked.aim, asked.drawdown_max)
    tried = [Tried(one, figures) for one, figures in zip((current, *near), parts, strict=True)]
    evidence = _evidence(reading, replays, parts[0])
    found = Tuning(asked, tried[0], tried[1:], judgement, evidence, None)
    return found._replace(proposal=_proposal(found, handler, activation.symbols, len(replays[0].recorded)))


async def observed(log: Log, desk: str, strategy: str, since: int, seed: int) -> Outcome:
    """What a strategy made on the desk's own tape since its activation at ordinal `since`, for domain.tuning.compare:
    the tape is replayed with nothing changed. Raises InvalidInput for another ordinal, TapeBroken."""
    tape = StoredTape(log, desk)
    activation, _ = await _activation(log, desk, Asked(strategy), tape)
    run = Replay(strategy, activation.version)
    await replay(tape, [run], gently=True)
    if since not in run.activated:
        known = ", ".join(str(ordinal) for ordinal in run.activated)
        raise InvalidInput(f"strategy {strategy!r} was not activated at record {since} of tape {desk}, but at {known}")
    later = [trade for trade in run.closed.trades if trade.ordinal > since]
    return _figures(run, later, range(run.activated[since], run.days.stop), seed)


def parts_of(run: Replay, seed: int) -> Parts:
    """The figures of all of a replay, of its first two thirds and of the last one, cut at a midnight."""
    days, trades = run.days, run.closed.trades
    cut = len(days) * 2 // 3
    chosen_on, held_out = days[:cut], days[cut:]
    return Parts(
        whole=_figures(run, trades, days, seed),
        chosen_on=_figures(run, [trade for trade in trades if trade.closed_day in chosen_on], chosen_on, seed),
        held_out=_figures(run, [trade for trade in trades if trade.opened_day in held_out], held_out, seed),
    )


def _figures(run: Replay, trades: Sequence[Trade], days: range, seed: int) -> Outcome:
    """Of these trades in these days; the account is as large as the strategy's trades before them left it."""
    desk = run.engine.desk
    before = sum(trade.result for trade in run.closed.trades if trade.closed_day < days.start)
    return outcome_of(
        trades, days=len(days), start_nanos=max(int(desk.book.account[0]["initial"]) + before, 1), seed=seed,
        currency=desk.currency, halts=sum(day in days for day in run.closed.halted_days),
    )  # fmt: skip


# -- what stands ---------------------------------------------------------------------------------------------------


async def _activation(log: Log, desk: str, asked: Asked, tape: StoredTape) -> tuple[Activation, Sequence[Instruction]]:
    """The strategy as it stands, and what must be said before the first record of a dataset."""
    standing = await read_standing(tape, await tape.end())
    if standing.engine:
        stands = standing.strategies.get(asked.strategy)
        if stands is None:
            active = ", ".join(standing.strategies) or "none"
            raise InvalidInput(
                f"strategy {asked.strategy!r} is not active on desk {tape.name}; active: {active}. "
                f"Run it first, or name a dataset with --tape (`cdb tapes` lists them)"
            )
        return stands._replace(symbols=_declared(asked.symbols or stands.symbols, standing, tape.name)), ()
    own = StoredTape(log, desk)
    stood = await read_standing(own, await own.end()) if asked.tape else nothing_stands()
    symbols = _declared(asked.symbols or tuple(standing.instruments), standing, tape.name)
    known = stood.strategies.get(asked.strategy)
    handler, parameters, _ = prepare(
        asked.strategy, known.version if known else None, known.parameters if known else {}
    )
    activation = Activation(handler.name, handler.version, parameters.model_dump(mode="json"), symbols)
    return activation, _opening(activation, stood)


def _declared(symbols: tuple[str, ...], standing: Standing, tape: str) -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in standing.instruments:
            raise InvalidInput(
                f"symbol {symbol} is not on tape {tape}, which has {', '.join(standing.instruments) or 'none'}"
            )
    return symbols


def _opening(activation: Activation, stood: Standing) -> list[Instruction]:
    """The account and policy of the desk, where it has any, else those of a new one."""

    def said(name: str) -> dict[str, Any]:
        return {"id": f"tune-{name}", "actor": "tune", "authority": "operator", "occurred_at_ns": 0}

    account = stood.account
    currency, balance = (account.currency, account.initial_balance_nanos) if account else (CURRENCY, BALANCE_NANOS)
    return [
        EngineActivated(**said("engine"), engine=ENGINE),
        AccountOpened(**said("account"), currency=currency, initial_balance_nanos=balance),
        PolicyActivated(**said("policy"), policy=stood.policy or PAPER_DEFAULT),
        StrategyActivated(**said("strategy"), **activation._asdict()),
    ]


def _that_fit(handler: Handler, found: Sequence[Parameters], symbols: Sequence[str]) -> list[Parameters]:
    """Those that are whole numbers of nanos of every instrument."""

    def fits(parameters: Parameters) -> bool:
        try:
            for symbol in symbols:
                handler.initial(parameters, instrument_for(symbol))
        except InvalidInput:
            return False
        return True

    return [one for one in found if fits(one)]


# -- what is said of it --------------------------------------------------------------------------------------------


def _evidence(reading: Reading, replays: Sequence[Replay], current: Parts) -> Evidence:
    notes = sorted({note for one in replays for note in one.notes})
    return Evidence(
        tape=reading.tape, tape_sha256=reading.sha256, first_ordinal=reading.first, last_ordinal=reading.last,
        records=reading.records, days=current.whole.days, held_out_days=current.held_out.days,
        tried=len(replays) - 1, seed=reading.seed, notes=tuple(notes),
    )  # fmt: skip


def _proposal(found: Tuning, handler: Handler, symbols: tuple[str, ...], version: int) -> Proposal | None:
    index = found.judgement.proposed
    if index is None:
        return None
    current, best = found.current, found.candidates[index]
    before, expected = current.parts.held_out, best.parts.held_out
    stands, wanted = (one.parameters.model_dump(mode="json") for one in (current, best))
    return Proposal(
        strategy=handler.name,
        handler_version=handler.version,
        symbols=symbols,
        aim=found.asked.aim,
        current_version=version,
        current_parameters=stands,
        proposed_version=version + 1,
        proposed_parameters=wanted,
        changes=changes(current.parameters, best.parameters),
        effects=(
            f"Expected: {expected.says}.",
            f"With the current parameters on the same days: {before.says}.",
            f"{found.evidence.tried} candidates were tried; these {expected.days:,} days had no say in the choice. "
            "Brackets hold 95 % of what chance alone would do; other markets than the recorded one are not in them.",
        ),
        before=before,
        promise=Promise(strategy=handler.name, parameters=wanted, tried=found.evidence.tried, expected=expected),
        rollback=stands,
        evidence=found.evidence,
    )


def _parts_row(parts: Parts) -> dict[str, Any]:
    return parts.model_dump(mode="json")
