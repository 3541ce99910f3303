"""The desk's day on one page: one tape position after the other, in order; what is decided comes out as ledger events.

The engine is a pure fold: the same tape gives the same events, however the tape was cut into messages. Handlers raise
signals over a stretch of ticks, for they know no account; then domain/trading.py takes the same ticks one by one
through fills, bookings, limits, verdicts and orders. All state is numpy records; domain/snapshot.py keeps it.
Whatever changes a ledger is a new ENGINE version.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple, TypeVar, assert_never

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from domain.answered import Answered
from domain.book import Records, keep, take_back
from domain.errors import InvalidInput, TapeBroken, UnknownStrategy
from domain.events import EngineTookOver, InstructionApplied, InstructionRefused, LedgerEvent
from domain.instructions import (
    AccountOpened,
    CalendarImported,
    CancelRequested,
    EngineActivated,
    FeedCompleted,
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    OrderRequested,
    PolicyActivated,
    SignalSubmitted,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
    TradingHalted,
    TradingResumed,
    parameters_hash,
)
from domain.journal import clear
from domain.paper_desk import PaperDesk, Source
from domain.report import events_of
from domain.signals import handler as handlers
from domain.signals.handler import SIGNAL, Handler, Parameters, Signals, States
from domain.tape import Block, Ticks, impossible, utc
from domain.trading import RAISED_SIGNAL, raised_signals, refuse, trade

ENGINE = 2
MAX_REASON = 1_000  # characters: a reason may quote what was asked, and an answer must fit into a commit

Answer = TypeVar("Answer", InstructionApplied, InstructionRefused)


class OtherEngine(TapeBroken):
    """The tape activates an engine or handler version that is not in this build: what follows cannot be re-executed."""


class ActiveStrategy(NamedTuple):
    """A strategy as it runs: `states` is indexed by instrument number, `slot` is where its shadow results are kept."""

    handler: Handler
    parameters: Parameters
    hash: str
    symbols: tuple[str, ...]
    states: States
    slot: int


class TakeOver(NamedTuple):
    """Where the state came from: the older engine's version, and the hash of the migrated snapshot."""

    before: int
    state_sha256: str


def prepare(strategy: str, version: int | None, parameters: dict[str, object]) -> tuple[Handler, Parameters, str]:
    """Find the handler and check its parameters. Raises UnknownStrategy, InvalidInput."""
    handler = handlers.find(strategy, version)
    try:
        checked = handler.parameters.model_validate(parameters)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "parameters"
        raise InvalidInput(f"strategy {strategy}: {field} = {problem['input']!r}: {problem['msg']}") from None
    canonical = json.dumps(checked.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return handler, checked, parameters_hash(handler.name, handler.version, canonical)


class Engine:
    """Folds tape messages. `ordinal` is the last one folded, `number` the last event decided."""

    def __init__(self) -> None:
        self.ordinal = 0
        self.time_ns = 0  # of the last record: a tape never goes back
        self.desk = PaperDesk()
        self.strategies: dict[str, ActiveStrategy] = {}  # by name, in order of activation
        self.answered = Answered()
        self.took_over: TakeOver | None = None
        self._out: Signals = np.zeros(0, SIGNAL)

    @property
    def number(self) -> int:
        """Of the newest event."""
        return int(self.desk.book.desk[0]["number"])

    def fold(self, message: Block | Instructed) -> list[LedgerEvent]:
        """Decide on one message of the tape. Raises TapeBroken when it is not the next one."""
        if isinstance(message, Instructed):
            return self._instruct(message)
        return [event for raised in self.advance(message) for event in events_of(self.desk, raised)]

    def advance(self, block: Block) -> Iterator[Records]:
        """Decide on a block, stopping where the journal wants to be read: it holds what was decided since, and the
        signals that it refers to are yielded. What nobody reads by then is gone; a backtest may leave it at that."""
        self._must_be_next(block.first)
        self._must_be_activated()
        raised = self._signals(block.records, self._refuse_impossible(block))
        tick, signal = 0, 0
        while tick < len(block.records):
            clear(self.desk.book.journal)
            tick, signal = self._trade(block, tick, raised, signal)
            yield raised
        self.ordinal, self.time_ns = block.last, int(block.records["receive_time"][-1])

    def _trade(self, block: Block, tick: int, raised: Records, signal: int) -> tuple[int, int]:
        """Trade from `tick` on. A record that would take money past 64 bits is undone, and its quote refused: what was
        decided before it stands, because the same records decide the same again."""
        book = self.desk.book
        kept = keep(book)
        try:
            stopped: tuple[int, int] = trade(book, block.records, block.first, tick, raised, signal)
            return stopped
        except OverflowError:
            index = int(book.desk[0]["ordinal"]) - block.first
        take_back(book, kept)
        _, signal = trade(book, block.records[:index], block.first, tick, raised, signal)
        return index + 1, int(refuse(book, block.records, block.first, index, raised, signal))

    def _must_be_next(self, first: int) -> None:
        if first != self.ordinal + 1:
            raise TapeBroken(f"ordinal {self.ordinal + 1} is missing on the tape: the next message starts at {first}")

    def _must_be_activated(self) -> None:
        """A state that is ready to take over decides nothing before the tape says that it does."""
        if self.took_over:
            raise OtherEngine(
                f"engine {self.took_over.before} decides on ordinal {self.ordinal + 1}: engine {ENGINE} was made ready "
                "to take over, but not activated"
            )

    def _refuse_impossible(self, block: Block) -> npt.NDArray[np.bool_]:
        """No sequencer writes such records: whoever did, nothing is decided on them. Returns which ones are usable."""
        declared = self.desk.book.markets["instrument"] != 0
        usable = np.empty(len(block.records), np.bool_)
        index = impossible(block.records, self.time_ns, declared, usable)
        if index >= 0:
            record = block.records[index]
            raise TapeBroken(
                f"the record at ordinal {block.first + index} is impossible: time {utc(int(record['receive_time']))} "
                f"behind {utc(self.time_ns)}, kind {record['kind']}, instrument {record['instrument']}; "
                "no sequencer wrote it"
            )
        return usable

    def _signals(self, ticks: Ticks, usable: npt.NDArray[np.bool_]) -> Records:
        """The signals of a block. Strategies do not see what is no price."""
        if usable.all():
            return self._signals_of(ticks)
        raised = self._signals_of(_only(ticks, usable))
        raised["tick"] = np.flatnonzero(usable)[raised["tick"]]
        return raised

    def _signals_of(self, ticks: Ticks) -> Records:
        """In order of tick, then of activation: nothing depends on how the ticks were packed."""
        if len(self._out) < len(ticks):
            self._out = np.zeros(len(ticks), SIGNAL)
        parts = []
        for active in self.strategies.values():
            count = active.handler.step(active.states, ticks, self._out)
            if count:
                parts.append(raised_signals(self._out[:count], active.slot))
        if len(parts) > 1:
            raised = np.concatenate(parts)
            return raised[np.argsort(raised["tick"], kind="stable")]
        return parts[0] if parts else np.zeros(0, RAISED_SIGNAL)

    # -- instructions --------------------------------------------------------------------------------------------

    def _instruct(self, message: Instructed) -> list[LedgerEvent]:
        self._must_be_next(message.ordinal)
        if not isinstance(message.instruction, EngineActivated):
            self._must_be_activated()
        self.ordinal, instruction, desk = message.ordinal, message.instruction, self.desk.book.desk[0]
        desk["ordinal"], desk["now"] = self.ordinal, max(self.time_ns, instruction.occurred_at_ns)
        if isinstance(instruction, TapeOpened):
            desk["sessions_open"] = instruction.sessions_open
            return []
        if isinstance(instruction, FeedOpened | FeedCompleted):
            return []  # notes about the tape: nothing to decide
        if instruction.id in self.answered:
            return []  # a repeated instruction changes nothing
        self.answered.add(instruction.id)
        clear(self.desk.book.journal)
        number = self.number + 1  # of the answer; what the instruction causes is numbered behind it
        desk["number"] = number
        try:
            raised = self._apply(instruction, number)
        except InvalidInput as error:
            return [self._answer(InstructionRefused, instruction, number, reason=str(error)[:MAX_REASON])]
        return [
            self._answer(InstructionApplied, instruction, number),
            *events_of(self.desk, raised),
            *self._taking_over(instruction, number),
        ]

    def _apply(self, instruction: Instruction, number: int) -> Records:
        """Change the state as the instruction says; what it causes is in the journal. Raises InvalidInput before."""
        match instruction:
            case InstrumentDeclared():
                self.desk.declare(instruction.number, instruction.instrument)
            case EngineActivated():
                if instruction.engine != ENGINE:
                    raise OtherEngine(
                        f"the tape activates engine {instruction.engine} at ordinal {self.ordinal}; "
                        f"this build is engine {ENGINE}"
                    )
                self.desk.book.desk[0]["sessions_open"] |= instruction.sessions_open
            case StrategyActivated():
                self._activate(instruction)
            case StrategyDeactivated():
                if self.strategies.pop(instruction.strategy, None) is None:
                    raise InvalidInput(f"strategy {instruction.strategy!r} is not active")
            case AccountOpened():
                self.desk.open_account(instruction)
            case PolicyActivated():
                self.desk.activate(instruction.policy, number)
            case CalendarImported():
                self.desk.add_releases(instruction.entries)
            case TradingHalted():
                self.desk.halt(number, flat=instruction.flatten)
            case TradingResumed():
                self.desk.resume()
            case OrderRequested():
                self.desk.request(instruction, number)
            case CancelRequested():
                self.desk.cancel(instruction)
            case SignalSubmitted():
                return self.desk.submit(instruction, number)
            case TapeOpened() | FeedOpened() | FeedCompleted():
                pass
            case _:
                assert_never(instruction)
        return np.zeros(0, RAISED_SIGNAL)

    def _activate(self, wanted: StrategyActivated) -> None:
        """The same version and parameters keep the state of the symbols they share; anything else starts fresh."""
        try:
            handler, parameters, fingerprint = prepare(wanted.strategy, wanted.version, wanted.parameters)
        except UnknownStrategy as error:
            raise OtherEngine(str(error)) from None
        instruments = self.desk.instruments
        numbers = {instrument.symbol: number for number, instrument in instruments.items()}
        missing = [symbol for symbol in wanted.symbols if symbol not in numbers]
        if missing:
            raise InvalidInput(f"strategy {wanted.strategy}: no instrument {missing[0]!r} is declared on this tape")
        states = np.zeros(max(instruments) + 1, handler.state)
        before = self.strategies.get(handler.name)
        for symbol in wanted.symbols:
            number = numbers[symbol]
            if before and before.hash == fingerprint and symbol in before.symbols:
                states[number] = before.states[number]
            else:
                states[number] = handler.initial(parameters, instruments[number])
                states[number]["instrument"] = number
        slot = self.desk.slot(Source(handler.name, handler.version, fingerprint))
        self.strategies[handler.name] = ActiveStrategy(handler, parameters, fingerprint, wanted.symbols, states, slot)

    def _answer(self, answer: type[Answer], instruction: Instruction, number: int, **more: str) -> Answer:
        return answer.model_validate(
            {
                "number": number,
                "ordinal": self.ordinal,
                "causation": None,
                "correlation": number,
                "occurred_at_ns": int(self.desk.book.desk[0]["now"]),
                "instruction_id": instruction.id,
                "kind": instruction.kind,
                **more,
            }
        )

    def _taking_over(self, instruction: Instruction, cause: int) -> list[LedgerEvent]:
        """The first event of a new engine says which state it goes on from."""
        if self.took_over is None or not isinstance(instruction, EngineActivated):
            return []
        desk, (before, state_sha256) = self.desk.book.desk[0], self.took_over
        desk["number"] += 1
        self.took_over = None
        return [
            EngineTookOver(
                number=self.number,
                ordinal=self.ordinal,
                causation=cause,
                correlation=cause,
                occurred_at_ns=int(desk["now"]),
                engine=ENGINE,
                before=before,
                state_sha256=state_sha256,
            )
        ]


def _only(ticks: Ticks, mask: npt.NDArray[np.bool_]) -> Ticks:
    """The ticks of a mask. Log records are read-only, and kernels are compiled for what may be written anew."""
    kept = ticks[mask]
    kept.setflags(write=ticks.flags.writeable)
    return kept
