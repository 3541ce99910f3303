"""What the tape's instructions have declared so far and still holds: all that its writer must know to go on."""

from functools import reduce
from typing import Any, NamedTuple, assert_never

from domain.instructions import (
    AccountOpened,
    CalendarImported,
    CancelRequested,
    EngineActivated,
    FeedCompleted,
    FeedOpened,
    Instruction,
    InstrumentDeclared,
    NewsEntry,
    OrderRequested,
    PolicyActivated,
    SignalSubmitted,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
    TradingHalted,
    TradingResumed,
)
from domain.policy import Policy
from domain.ports import TapeEnd, TapeLog


class Activation(NamedTuple):
    """A strategy version with all its parameters (ready for JSON) and the symbols it watches."""

    strategy: str
    version: int
    parameters: dict[str, Any]
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, instruction: StrategyActivated) -> "Activation":
        """What an instruction activated."""
        return cls(instruction.strategy, instruction.version, instruction.parameters, instruction.symbols)

    def as_instruction(self) -> StrategyActivated:
        """What activates it, said by nobody."""
        return StrategyActivated(id="standing", actor="tape", authority="tape", occurred_at_ns=0, **self._asdict())


class Standing(NamedTuple):
    """What stands. The mappings and sets are changed in place."""

    opened: bool
    engine: int
    instruments: dict[str, int]  # symbol -> number
    strategies: dict[str, Activation]
    feeds: dict[str, FeedOpened]
    completed: set[str]
    calendar: set[NewsEntry]
    said: set[str]  # ids: said again, an instruction changes nothing, here as in the engine
    account: AccountOpened | None = None
    policy: Policy | None = None


def nothing_stands() -> Standing:
    """What stands on an empty tape."""
    return Standing(False, 0, {}, {}, {}, set(), set(), set())


async def read_standing(tape: TapeLog, end: TapeEnd) -> Standing:
    """Walk the chain of standing instructions back from the end of the tape."""
    chain: list[Instruction] = []
    ordinal = end.standing
    while ordinal:
        instruction, ordinal = await tape.instruction(ordinal)
        chain.append(instruction)
    return reduce(stand, reversed(chain), nothing_stands())


def stand(standing: Standing, instruction: Instruction) -> Standing:
    """What stands after one more instruction."""
    if instruction.id in standing.said:
        return standing
    standing.said.add(instruction.id)
    match instruction:
        case TapeOpened():
            return standing._replace(opened=True)
        case EngineActivated():
            return standing._replace(engine=instruction.engine)
        case AccountOpened():
            return standing._replace(account=standing.account or instruction)  # the engine refuses a second one
        case PolicyActivated():
            return standing._replace(policy=instruction.policy)
        case InstrumentDeclared():
            standing.instruments[instruction.instrument.symbol] = instruction.number
        case StrategyActivated():
            standing.strategies[instruction.strategy] = Activation.of(instruction)
        case StrategyDeactivated():
            standing.strategies.pop(instruction.strategy, None)
        case FeedOpened():
            standing.feeds.pop(instruction.feed, None)  # opened again, it is the newest
            standing.feeds[instruction.feed] = instruction
        case FeedCompleted():
            standing.completed.add(instruction.feed)
        case CalendarImported():
            standing.calendar.update(instruction.entries)
        case TradingHalted() | TradingResumed() | OrderRequested() | CancelRequested() | SignalSubmitted():
            standing.said.discard(instruction.id)  # nothing of it is the writer's to remember
        case _:
            assert_never(instruction)
    return standing
