"""The desk's day on one page: one tape position after the other, in order; what is decided comes out as ledger events.

The engine is a pure fold: the same tape gives the same events, however the tape was cut into messages. Its hot state is
numpy records; a snapshot is their bytes with the ordinal and the ledger number they stand at.
Whatever changes a ledger is a new ENGINE version.
"""

import json
from typing import NamedTuple, TypeVar, assert_never

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import InvalidInput, TapeBroken, UnknownStrategy
from domain.events import InstructionApplied, InstructionRefused, LedgerEvent, SignalRaised
from domain.instructions import (
    EngineActivated,
    FeedCompleted,
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
    parameters_hash,
)
from domain.instruments import Instrument
from domain.signals import handler as handlers
from domain.signals.handler import BUY, SIGNAL, Handler, Parameters, Signals, States
from domain.tape import Block, Ticks, impossible, utc

ENGINE = 1
MAX_REASON = 1_000  # characters: a reason may quote what was asked, and an answer must fit into a commit

Answer = TypeVar("Answer", InstructionApplied, InstructionRefused)


class OtherEngine(TapeBroken):
    """The tape activates an engine or handler version that is not in this build: what follows cannot be re-executed."""


class ActiveStrategy(NamedTuple):
    """A strategy as it runs: `states` is indexed by instrument number."""

    handler: Handler
    parameters: Parameters
    hash: str
    symbols: tuple[str, ...]
    states: States


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
        self.number = 0
        self.time_ns = 0  # of the last record: a tape never goes back
        self.instruments: dict[int, Instrument] = {}
        self.strategies: dict[str, ActiveStrategy] = {}  # by name, in order of activation
        self.answered: set[str] = set()
        self._out: Signals = np.zeros(0, SIGNAL)

    def fold(self, message: Block | Instructed) -> list[LedgerEvent]:
        """Decide on one message of the tape. Raises TapeBroken when it is not the next one."""
        first = message.first if isinstance(message, Block) else message.ordinal
        if first != self.ordinal + 1:
            raise TapeBroken(f"ordinal {self.ordinal + 1} is missing on the tape: the next message starts at {first}")
        if isinstance(message, Block):
            self._refuse_impossible(message)
            events: list[LedgerEvent] = self._signals(message.first, message.records)
            self.ordinal, self.time_ns = message.last, int(message.records["receive_time"][-1])
        else:
            self.ordinal = first
            events = self._instruct(message.instruction)
        return events

    def _refuse_impossible(self, block: Block) -> None:
        """No sequencer writes such records: whoever did, nothing is decided on them."""
        declared = np.zeros(max(self.instruments, default=0) + 1, np.bool_)
        declared[list(self.instruments)] = True
        index = impossible(block.records, self.time_ns, declared)
        if index >= 0:
            record = block.records[index]
            raise TapeBroken(
                f"the record at ordinal {block.first + index} is impossible: time {utc(int(record['receive_time']))} "
                f"behind {utc(self.time_ns)}, kind {record['kind']}, instrument {record['instrument']}; "
                "no sequencer wrote it"
            )

    # -- signals -------------------------------------------------------------------------------------------------

    def _signals(self, first: int, ticks: Ticks) -> list[LedgerEvent]:
        """Signals in order of tick, then of activation: nothing depends on how the ticks were packed."""
        if len(self._out) < len(ticks):
            self._out = np.zeros(len(ticks), SIGNAL)
        active_strategies = list(self.strategies.values())
        raised: list[tuple[int, int, np.void]] = []
        for rank, active in enumerate(active_strategies):
            count = active.handler.step(active.states, ticks, self._out)
            raised += [(int(signal["tick"]), rank, signal) for signal in self._out[:count].copy()]
        raised.sort(key=lambda item: item[:2])
        return [
            self._signal(active_strategies[rank], signal, first + index, int(ticks[index]["receive_time"]))
            for index, rank, signal in raised
        ]

    def _signal(self, active: ActiveStrategy, signal: np.void, ordinal: int, occurred_at_ns: int) -> SignalRaised:
        self.number += 1
        return SignalRaised(
            number=self.number,
            ordinal=ordinal,
            causation=None,
            correlation=self.number,
            occurred_at_ns=occurred_at_ns,
            strategy=active.handler.name,
            version=active.handler.version,
            parameters_hash=active.hash,
            symbol=self.instruments[int(signal["instrument"])].symbol,
            side="buy" if signal["side"] == BUY else "sell",
            bar_time_ns=int(signal["bar_time"]),
            level_nanos=int(signal["level"]),
            entry_nanos=int(signal["entry"]),
            stop_nanos=int(signal["stop"]),
            target_nanos=int(signal["target"]),
            confidence_ppm=int(signal["confidence_ppm"]),
        )

    # -- instructions --------------------------------------------------------------------------------------------

    def _instruct(self, instruction: Instruction) -> list[LedgerEvent]:
        if isinstance(instruction, TapeOpened | FeedOpened | FeedCompleted):
            return []  # notes about the tape: nothing to decide
        if instruction.id in self.answered:
            return []  # a repeated instruction changes nothing
        self.answered.add(instruction.id)
        try:
            self._apply(instruction)
        except InvalidInput as error:
            return [self._answer(InstructionRefused, instruction, reason=str(error)[:MAX_REASON])]
        return [self._answer(InstructionApplied, instruction)]

    def _apply(
        self, instruction: InstrumentDeclared | EngineActivated | StrategyActivated | StrategyDeactivated
    ) -> None:
        match instruction:
            case InstrumentDeclared():
                self._declare(instruction)
            case EngineActivated():
                if instruction.engine != ENGINE:
                    raise OtherEngine(
                        f"the tape activates engine {instruction.engine} at ordinal {self.ordinal}; "
                        f"this build is engine {ENGINE}"
                    )
            case StrategyActivated():
                self._activate(instruction)
            case StrategyDeactivated():
                if self.strategies.pop(instruction.strategy, None) is None:
                    raise InvalidInput(f"strategy {instruction.strategy!r} is not active")
            case _:
                assert_never(instruction)

    def _declare(self, declared: InstrumentDeclared) -> None:
        symbols = {instrument.symbol for instrument in self.instruments.values()}
        if declared.number in self.instruments or declared.instrument.symbol in symbols:
            raise InvalidInput(
                f"instrument {declared.instrument.symbol} (number {declared.number}) is declared already"
            )
        self.instruments[declared.number] = declared.instrument

    def _activate(self, wanted: StrategyActivated) -> None:
        """The same version and parameters keep the state of the symbols they share; anything else starts fresh."""
        try:
            handler, parameters, fingerprint = prepare(wanted.strategy, wanted.version, wanted.parameters)
        except UnknownStrategy as error:
            raise OtherEngine(str(error)) from None
        numbers = {instrument.symbol: number for number, instrument in self.instruments.items()}
        missing = [symbol for symbol in wanted.symbols if symbol not in numbers]
        if missing:
            raise InvalidInput(f"strategy {wanted.strategy}: no instrument {missing[0]!r} is declared on this tape")
        states = np.zeros(max(self.instruments) + 1, handler.state)
        before = self.strategies.get(handler.name)
        for symbol in wanted.symbols:
            number = numbers[symbol]
            if before and before.hash == fingerprint and symbol in before.symbols:
                states[number] = before.states[number]
            else:
                states[number] = handler.initial(parameters, self.instruments[number])
                states[number]["instrument"] = number
        self.strategies[handler.name] = ActiveStrategy(handler, parameters, fingerprint, wanted.symbols, states)

    def _answer(self, answer: type[Answer], instruction: Instruction, **more: str) -> Answer:
        self.number += 1
        return answer.model_validate(
            {
                "number": self.number,
                "ordinal": self.ordinal,
                "causation": None,
                "correlation": self.number,
                "occurred_at_ns": instruction.occurred_at_ns,
                "instruction_id": instruction.id,
                "kind": instruction.kind,
                **more,
            }
        )

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state: one line of JSON, then the bytes of every strategy's states in order."""
        meta = _Snapshot(
            engine=ENGINE,
            ordinal=self.ordinal,
            number=self.number,
            time_ns=self.time_ns,
            instruments=self.instruments,
            answered=sorted(self.answered),
            strategies=[
                _StrategySnapshot(
                    strategy=active.handler.name,
                    version=active.handler.version,
                    parameters=active.parameters.model_dump(mode="json"),
                    symbols=active.symbols,
                    layout=str(active.handler.state.descr),
                    states=len(active.states),
                )
                for active in self.strategies.values()
            ],
        )
        states = b"".join(active.states.tobytes() for active in self.strategies.values())
        return meta.model_dump_json().encode() + b"\n" + states

    @classmethod
    def restore(cls, data: bytes) -> "Engine | None":
        """The engine as it was; None when the snapshot is another version's or not readable (replay instead)."""
        line, _, states = data.partition(b"\n")
        try:
            meta = _Snapshot.model_validate_json(line)
            if meta.engine != ENGINE:
                return None
            engine = cls()
            engine.ordinal, engine.number, engine.time_ns = meta.ordinal, meta.number, meta.time_ns
            engine.instruments, engine.answered = meta.instruments, set(meta.answered)
            offset = 0
            for saved in meta.strategies:
                handler, parameters, fingerprint = prepare(saved.strategy, saved.version, saved.parameters)
                if str(handler.state.descr) != saved.layout:
                    return None
                records = np.frombuffer(states, handler.state, saved.states, offset).copy()
                offset += records.nbytes
                active = ActiveStrategy(handler, parameters, fingerprint, saved.symbols, records)
                engine.strategies[handler.name] = active
        except (ValidationError, ValueError, OverflowError, InvalidInput):
            return None
        return engine if offset == len(states) else None


class _StrategySnapshot(BaseModel):
    model_config = ConfigDict(frozen=True)

    strategy: str
    version: int
    parameters: dict[str, object]
    symbols: tuple[str, ...]
    layout: str
    states: int


class _Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True)

    engine: int
    ordinal: int
    number: int
    time_ns: int
    instruments: dict[int, Instrument]
    answered: list[str]
    strategies: list[_StrategySnapshot]
