"""A session of a desk: one feed through the sequencer and the engine, side by side, until the feed is done."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from adapters.tape_log import StoredTape
from domain.account import equity_of
from domain.directions import Widening
from domain.engine import ENGINE, Engine, prepare
from domain.errors import InvalidInput, Refused
from domain.events import FillBooked, LedgerEvent, SignalAssessed
from domain.instructions import CalendarImported, NewsEntry
from domain.instruments import instrument_for
from domain.policy import PAPER_DEFAULT, Policy
from domain.ports import Log, TapeLog
from domain.signals.handler import Handler, Parameters
from domain.widening import policy_widens, strategy_widens
from gateways.feeds.files import FileSet
from gateways.feeds.news import calendar_parts
from gateways.file_feed import Fed, Pace, admit, feed_files
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Activation, Sequencer
from gateways.standing import Standing
from ops.core import Core
from ops.takeover import make_current
from ops.warm import BALANCE_NANOS, CURRENCY

DEFAULT_STRATEGY = "m5_bos_retest"

T = TypeVar("T")


class StrategyChoice(NamedTuple):
    """A strategy as a caller names it; `symbols` None: all symbols of the feed."""

    name: str
    version: int | None = None
    parameters: dict[str, object] = {}  # noqa: RUF012  never written to
    symbols: tuple[str, ...] | None = None


class Plan(NamedTuple):
    """What a session puts on the tape: what must stand before the first tick, then the feed's ticks. What is None, or
    no strategy at all, is as it stands; on a new desk it is `m5_bos_retest`, `paper-default` and 100,000 USD."""

    files: FileSet
    strategies: list[StrategyChoice]
    policy: Policy | None = None
    account: tuple[str | None, int | None] | None = None  # currency, nanos; a part that is None is the standing one
    calendar: tuple[str, tuple[NewsEntry, ...]] | None = None  # its file's name, its entries
    pace: Pace | None = None
    engines: Path | None = None  # a folder of older wheels, if an older engine left the desk behind the tape's end
    live: bool = False  # ticks are stamped with the time at which they come, and the clock ticks every second
    symbols: tuple[str, ...] | None = None  # of strategies that stand; None: those that the tape never had
    governed: bool = False  # there are approvers: what widens risk is theirs to decide, not a start's


class SessionReport(NamedTuple):
    """What a session added. Counts and `seconds` are of this session: what it newly decided, from the first look at
    the tape to the last durable decision (files are read before). Money is nanos of the account's currency."""

    desk: str
    files: int
    rows: int
    rows_rejected: int
    ticks_added: int
    ordinal: int
    events: int
    signals: int
    approved: int
    refused: int
    fills: int
    trades: int
    won: int
    strategies: Sequence[str]
    policy: str
    currency: str
    initial_nanos: int
    balance_nanos: int
    equity_nanos: int
    fees_nanos: int
    halted: bool
    refusals: Mapping[str, int]
    seconds: float


class Tally:
    """Counts what the engine newly decided, once it is durable."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()  # by the first rule that failed
        self.trades: Counter[bool] = Counter()  # closed ones, by whether they won

    def observe(self, events: list[LedgerEvent]) -> None:
        for event in events:
            self.events[event.type] += 1
            if isinstance(event, SignalAssessed):
                self.verdicts[event.verdict] += 1
                self.refusals.update(rule.rule for rule in islice((r for r in event.rules if not r.passed), 1))
            elif isinstance(event, FillBooked) and event.closed:
                self.trades[event.trade_nanos > 0] += 1


async def run_session(
    log: Log,
    desk: str,
    plan: Plan,
    *,
    latch: HaltLatch | None = None,
    progress: Callable[[int], None] | None = None,
) -> SessionReport:
    """Put the plan on the desk's tape and decide on every record. A halt in the latch goes before all that waits.

    Raises Overlap, InvalidInput, UnknownStrategy before anything is written; Diverged, Conflict, Unavailable later.
    """
    started, tape, tally = time.perf_counter(), StoredTape(log, desk), Tally()
    activations = activations_of(plan)
    await make_current(log, tape, plan.files, plan.engines)
    if latch:
        await put_latched(tape, latch)
    core = Core(log, desk, tape, observe=tally.observe)

    async def feed() -> Fed:
        async with Sequencer.open(tape, live=plan.live, latch=latch) as sequencer:
            fed = await carry_out(plan, activations, sequencer, core.reached, progress)
            await core.reached(sequencer.end.ordinal)
            return fed

    fed = await beside(core.run(), feed())
    await core.save()
    return report_of(desk, plan, tally, core.engine, fed.ticks, time.perf_counter() - started)


async def put_latched(tape: TapeLog, latch: HaltLatch) -> None:
    """A halt that waits for a desk which rests becomes its next record, also where nothing else is to be written."""
    halt = latch.pending()
    if halt is None:
        return
    async with Sequencer.open(tape) as sequencer:
        if sequencer.standing.opened:
            await sequencer.submit(halt)
            latch.clear(halt.id)


def report_of(desk: str, plan: Plan, tally: Tally, engine: Engine, ticks_added: int, seconds: float) -> SessionReport:
    """What came of a session."""
    account, state = engine.desk.book.account[0], engine.desk.book.desk[0]
    return SessionReport(
        desk=desk,
        files=len(plan.files.files),
        rows=sum(file.rows for file in plan.files.files),
        rows_rejected=len(plan.files.rejects),
        ticks_added=ticks_added,
        ordinal=engine.ordinal,
        events=engine.number,
        signals=tally.events["signal_raised"],
        approved=tally.verdicts["approved"],
        refused=tally.verdicts["refused"],
        fills=tally.events["order_filled"],
        trades=tally.trades.total(),
        won=tally.trades[True],
        strategies=[f"{active.handler.name}@{active.handler.version}" for active in engine.strategies.values()],
        policy=engine.desk.policy_name,
        currency=engine.desk.currency,
        initial_nanos=int(account["initial"]),
        balance_nanos=int(account["balance"]),
        equity_nanos=equity_of(account),
        fees_nanos=int(account["fees"]),
        halted=bool(state["halted"]),
        refusals=dict(tally.refusals.most_common()),
        seconds=round(seconds, 3),
    )


async def carry_out(
    plan: Plan,
    activations: list[Activation],
    sequencer: Sequencer,
    reached: Callable[[int], Coroutine[Any, Any, None]],
    progress: Callable[[int], None] | None = None,
) -> Fed:
    """What differs from the tape's standing state, then the feed; at most two blocks ahead of `reached`."""
    admit(sequencer, plan.files)
    await _make_stand(plan, activations, sequencer)
    return await feed_files(sequencer, plan.files, ahead_of=reached, progress=progress, pace=plan.pace)


async def _make_stand(plan: Plan, activations: list[Activation], sequencer: Sequencer) -> None:
    """What differs from the standing state, before the first tick. Symbols that a strategy had, it keeps."""
    strategies, opened = _strategies_of(plan, activations, sequencer.standing), sequencer.standing.account
    currency, balance = plan.account or (None, None)
    currency = currency or (opened.currency if opened else CURRENCY)
    balance = balance or (opened.initial_balance_nanos if opened else BALANCE_NANOS)
    if opened:
        await sequencer.open_account(currency, balance)  # another one is refused before anything is written
    if plan.governed:
        refuse_widening(sequencer.standing, plan.policy, strategies)
    symbols = [instrument_for(symbol) for symbol in plan.files.symbols]
    await sequencer.prepare(symbols, int(plan.files.ticks["receive_time"][0]))
    await sequencer.activate_engine(ENGINE)
    standing = sequencer.standing
    await sequencer.open_account(currency, balance)
    if plan.policy or standing.policy is None:
        await sequencer.activate_policy(plan.policy or PAPER_DEFAULT)
    if plan.calendar:
        source, entries = plan.calendar
        for part in calendar_parts([entry for entry in entries if entry not in standing.calendar]):
            await sequencer.declare(CalendarImported, source=source, entries=part)
    await sequencer.activate_strategies(strategies)


def refuse_widening(standing: Standing, policy: Policy | None, strategies: Iterable[Activation]) -> None:
    """Raises Refused for a start that would widen what stands."""
    if widens := start_widens(standing, policy, strategies):
        raise Refused(
            "unsigned",
            f"this start would widen risk, which approvers decide: {widens[0].sentence}; `cdb propose` asks them, then "
            "start without this choice",
        )


def start_widens(standing: Standing, policy: Policy | None, strategies: Iterable[Activation]) -> list[Widening]:
    """What a start would widen of what stands. A desk's first policy is its own affair, and so is an instrument that a
    feed brings for the first time. Raises UnknownStrategy, InvalidInput for parameters that no activation could have.
    """
    if standing.policy is None:
        return []
    widens = policy_widens(standing.policy, policy) if policy else []
    for wanted in strategies:
        stood = standing.strategies.get(wanted.strategy)
        known = tuple(symbol for symbol in wanted.symbols if symbol in standing.instruments)
        after = wanted._replace(symbols=known or wanted.symbols)
        widens += strategy_widens(stood.as_instruction() if stood else None, after.as_instruction(), standing.policy)
    return widens


def _strategies_of(plan: Plan, activations: list[Activation], standing: Standing) -> list[Activation]:
    """What shall run: what was chosen, or what stands with the symbols that are new to the tape, or the default."""
    stood = standing.strategies
    if not (activations or stood or standing.feeds):
        activations = [_activation(StrategyChoice(DEFAULT_STRATEGY, symbols=plan.symbols), plan.files)]
    elif not activations:
        known = {file.symbol for feed in standing.feeds.values() for file in feed.files}
        symbols = plan.symbols or tuple(symbol for symbol in plan.files.symbols if symbol not in known)
        activations = [activation._replace(symbols=symbols) for activation in stood.values()]
        for activation in activations:
            _check_symbols(activation.strategy, activation.version, activation.parameters, symbols, plan.files)
    return [
        activation._replace(symbols=tuple(sorted({*activation.symbols, *stood[activation.strategy].symbols})))
        if activation.strategy in stood
        else activation
        for activation in activations
    ]


def activations_of(plan: Plan) -> list[Activation]:
    """The plan's strategies; what the engine would refuse is refused here, before anything is written."""
    return [_activation(choice, plan.files) for choice in plan.strategies]


def _activation(choice: StrategyChoice, files: FileSet) -> Activation:
    symbols = sorted({*(choice.symbols or files.symbols)})
    handler, parameters = _check_symbols(choice.name, choice.version, choice.parameters, symbols, files)
    return Activation(handler.name, handler.version, parameters.model_dump(mode="json"), tuple(symbols))


def _check_symbols(
    name: str, version: int | None, chosen: Mapping[str, object], symbols: Iterable[str], files: FileSet
) -> tuple[Handler, Parameters]:
    """The strategy with its parameters, if it can run on these symbols. Raises InvalidInput, UnknownStrategy."""
    handler, parameters, _ = prepare(name, version, dict(chosen))
    for symbol in symbols:
        if symbol not in files.symbols:
            raise InvalidInput(
                f"symbol {symbol} is not in the feed, which has {', '.join(files.symbols)}; correct --symbol"
            )
        handler.initial(parameters, instrument_for(symbol))
    return handler, parameters


async def beside(service: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T]) -> T:
    """Run `work` with `service` beside it. The service is stopped when the work is done; if it fails first, so does
    the work, with the service's error."""
    serving, working = asyncio.create_task(service), asyncio.create_task(work)
    try:
        await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and not serving.cancelled() and (error := serving.exception()):
            raise error
        return await working
    finally:
        for task in (serving, working):
            task.cancel()
        await asyncio.gather(serving, working, return_exceptions=True)
