"""AKTUELLER_STAND: the account with its limits and halt, from the ledger; what stands on the desk, from the tape.

Money in nanos of the account's currency. What is not known yet, and what there is none of, is NULL.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.events import AccountMarked, DayRolled, FillBooked, InstructionApplied, LimitBreached, ObjectivesReached
from domain.instructions import (
    AccountOpened,
    EngineActivated,
    Instruction,
    InstrumentDeclared,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
)
from domain.ports import Fact, Key, Table
from projections.projection import Fold, ReadModel, Row

# -- account -------------------------------------------------------------------------------------------------------


class Account(NamedTuple):
    """The account as the ledger last told it. Limits are equity; a room is how far equity may fall to its limit.

    Days are Prague's: `trading_days` counts one at the first position that it opens, `day_balance` is at the last
    midnight, and from `best_day` to `best_day_kept` it is as that midnight counted; a passed challenge has met the last
    two. A halt stands as it began until trading is resumed: by an instruction, or by the limit named.
    """

    at_ns: int = 0
    balance: int | None = None
    floating: int | None = None
    equity: int | None = None
    margin: int | None = None
    daily_room: int | None = None
    total_room: int | None = None
    day_balance: int | None = None
    daily_limit: int | None = None
    total_limit: int | None = None
    trading_days: int = 0
    best_day: int = 0
    target_reached: bool = False
    best_day_kept: bool = True
    halted: bool = False
    halt_number: int | None = None
    halt_kind: str | None = None


ACCOUNT = Table("account", {"name": "text"}, Account._fields)


@dataclass
class AccountMemory:
    """The account as it stands, what is open by symbol, and whether a position was opened since midnight."""

    account: Account = field(default_factory=Account)
    positions: dict[str, int] = field(default_factory=dict)
    opened_today: bool = False


def evolve_account(memory: AccountMemory, fact: Fact) -> Iterator[Row]:
    """The account when it changed."""
    before, event = memory.account, fact.event
    match event:
        case FillBooked():
            account = _booked(_counted(memory, event), event)
        case AccountMarked():
            account = _marked(before, event)
        case DayRolled():
            memory.opened_today = False
            account = _rolled(before, event)
        case ObjectivesReached():
            account = before._replace(at_ns=event.occurred_at_ns, target_reached=True, best_day_kept=True)
        case LimitBreached(halted=True) if not before.halted:
            account = _halted(before, event, event.limit)
        case InstructionApplied(kind="trading_halted") if not before.halted:
            account = _halted(before, event, "instruction")
        case InstructionApplied(kind="trading_resumed"):
            account = before._replace(at_ns=event.occurred_at_ns, halted=False, halt_number=None, halt_kind=None)
        case _:
            return
    memory.account = account
    yield Row(ACCOUNT, ("account",), memory.account)


def _counted(memory: AccountMemory, event: FillBooked) -> Account:
    """The account with this trading day, if a position is the first that it opens; one that turned is opened anew."""
    account, before = memory.account, memory.positions.get(event.symbol, 0)
    memory.positions[event.symbol] = event.position_nanos
    if memory.opened_today or event.position_nanos == 0 or not (before == 0 or event.closed):
        return account
    memory.opened_today = True
    return account._replace(trading_days=account.trading_days + 1)


def _booked(account: Account, event: FillBooked) -> Account:
    first = account.day_balance is None  # the first booking tells what the account began with
    began = event.balance_nanos - event.realised_nanos + event.fee_nanos
    return account._replace(
        at_ns=event.occurred_at_ns,
        balance=event.balance_nanos,
        floating=event.floating_nanos,
        equity=event.equity_nanos,
        margin=event.margin_nanos,
        daily_room=_room(event.equity_nanos, account.daily_limit),
        total_room=_room(event.equity_nanos, account.total_limit),
        day_balance=began if first else account.day_balance,
    )


def _marked(account: Account, event: AccountMarked) -> Account:
    """A mark tells the rooms, so it tells the limits too: those of a new account, or of a policy changed in the day."""
    return account._replace(
        at_ns=event.occurred_at_ns,
        balance=event.balance_nanos,
        floating=event.floating_nanos,
        equity=event.equity_nanos,
        margin=event.margin_nanos,
        daily_room=event.daily_room_nanos,
        total_room=event.total_room_nanos,
        daily_limit=_room(event.equity_nanos, event.daily_room_nanos),
        total_limit=_room(event.equity_nanos, event.total_room_nanos),
    )


def _rolled(account: Account, event: DayRolled) -> Account:
    daily, total = event.daily_limit_nanos or None, event.total_limit_nanos or None
    return account._replace(
        at_ns=event.occurred_at_ns,
        balance=event.balance_nanos,
        floating=event.equity_nanos - event.balance_nanos,
        equity=event.equity_nanos,
        daily_room=_room(event.equity_nanos, daily),
        total_room=_room(event.equity_nanos, total),
        day_balance=event.balance_nanos,
        daily_limit=daily,
        total_limit=total,
        trading_days=event.trading_days,
        best_day=event.best_day_nanos,
        target_reached=event.target_reached,
        best_day_kept=event.best_day_kept,
    )


def _halted(account: Account, event: LimitBreached | InstructionApplied, kind: str) -> Account:
    return account._replace(at_ns=event.occurred_at_ns, halted=True, halt_number=event.number, halt_kind=kind)


def _room(equity: int, limit: int | None) -> int | None:
    return None if limit is None else equity - limit


# -- what stands ---------------------------------------------------------------------------------------------------

STANDING = Table("standing", {"kind": "text", "name": "text"}, ("ordinal", "at_ns", "actor", "authority", "content"))

_TOLD = {"id", "kind", "actor", "authority", "occurred_at_ns"}


@dataclass
class StandingMemory:
    """Ids of the instructions heard: the engine takes each once. Whether there is an account, for it opens one. And
    the policy's name, for another one begins another challenge."""

    heard: list[str] = field(default_factory=list)
    account: bool = False
    policy: str = ""


def evolve_standing(memory: StandingMemory, fact: Fact) -> Iterator[Row]:
    """What an instruction made stand. What else the engine refuses, the tape's writer lets nobody write."""
    instruction: Instruction = fact.event
    if instruction.id in memory.heard or (memory.account and isinstance(instruction, AccountOpened)):
        return
    memory.heard.append(instruction.id)
    memory.account = memory.account or isinstance(instruction, AccountOpened)
    content = instruction.model_dump_json(exclude=_TOLD)
    stands = (fact.position, instruction.occurred_at_ns, instruction.actor, instruction.authority, content)
    ended = isinstance(instruction, StrategyDeactivated)
    yield Row(STANDING, _standing_key(instruction), None if ended else stands)
    if isinstance(instruction, PolicyActivated) and instruction.policy.name != memory.policy:
        memory.policy = instruction.policy.name
        yield Row(STANDING, ("challenge", "challenge"), (*stands[:-1], json.dumps({"policy": memory.policy})))


def _standing_key(instruction: Instruction) -> Key:
    match instruction:
        case PolicyActivated():
            return "policy", "policy"
        case StrategyActivated() | StrategyDeactivated():
            return "strategy", instruction.strategy
        case AccountOpened():
            return "account", "account"
        case EngineActivated():
            return "engine", "engine"
        case InstrumentDeclared():
            return "instrument", instruction.instrument.symbol
        case _:
            raise TypeError(f"nothing stands by {instruction.kind}")


MODEL = ReadModel(
    "aktueller_stand",
    2,
    (
        Fold(
            "ledger",
            (FillBooked, AccountMarked, DayRolled, LimitBreached, ObjectivesReached, InstructionApplied),
            AccountMemory,
            evolve_account,
            (ACCOUNT,),
        ),
        Fold(
            "tape",
            (
                PolicyActivated,
                StrategyActivated,
                StrategyDeactivated,
                AccountOpened,
                EngineActivated,
                InstrumentDeclared,
            ),
            StandingMemory,
            evolve_standing,
            (STANDING,),
        ),
    ),
)
