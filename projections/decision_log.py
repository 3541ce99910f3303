"""The decision log: who told the desk to decide otherwise, what became of it, which limits were passed, which challenge
was, what governance decided and refused, and how often each rule refused. Money in nanos.

What was told stands on the tape and its answer in the ledger, so the two are tables of their own, joined by the
instruction's id. In `verdict_counts` a rule named APPROVED or REFUSED counts verdicts, every other its refusals.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from domain.events import InstructionApplied, InstructionRefused, LimitBreached, ObjectivesReached, SignalAssessed
from domain.instructions import (
    AccountOpened,
    CalendarImported,
    EngineActivated,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
    TradingHalted,
    TradingResumed,
)
from domain.ports import Fact, Table
from projections import governance_decisions
from projections.projection import Fold, ReadModel, Row

INSTRUCTIONS = Table(
    "instructions", {"ordinal": "bigint"}, ("id", "kind", "actor", "authority", "at_ns", "reason", "content")
)
ANSWERS = Table("answers", {"instruction_id": "text"}, ("number", "kind", "applied", "reason", "at_ns"))
BREACHES = Table("breaches", {"number": "bigint"}, ("limit_name", "value", "bound", "symbol", "halted", "at_ns"))
OBJECTIVES = Table(
    "objectives",
    {"number": "bigint"},
    ("policy", "profit_target", "balance", "trading_days", "trading_days_min", "best_day", "at_ns"),
)
VERDICT_COUNTS = Table("verdict_counts", {"policy": "text", "rule": "text"}, ("count",))

APPROVED, REFUSED = "", "refused"

DECISIVE = (
    TradingHalted,
    TradingResumed,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
    EngineActivated,
    AccountOpened,
    CalendarImported,
)
_HEAD = {"id", "kind", "actor", "authority", "occurred_at_ns", "reason"}


@dataclass
class Nothing:
    """The tape's fold remembers nothing."""


@dataclass
class Memory:
    """By policy and rule, what `verdict_counts` says."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)


def told(_: Nothing, fact: Fact) -> Iterator[Row]:
    """An instruction, with all that it says; of a calendar only its source and the number of its entries."""
    said = fact.event
    if not isinstance(said, DECISIVE):
        raise TypeError(f"decision_log does not listen to {type(said).__name__}")
    content = said.model_dump(mode="json", exclude=_HEAD)
    if isinstance(said, CalendarImported):
        content["entries"] = len(said.entries)
    reason = said.reason if isinstance(said, TradingHalted | TradingResumed) else None
    values = (said.id, said.kind, said.actor, said.authority, said.occurred_at_ns, reason, json.dumps(content))
    yield Row(INSTRUCTIONS, (fact.position,), values)


def decided(memory: Memory, fact: Fact) -> Iterator[Row]:
    """An answer, a breach, objectives that were reached, or the counts that a verdict changed."""
    match event := fact.event:
        case InstructionApplied():
            values: tuple[Any, ...] = (event.number, event.kind, True, None, event.occurred_at_ns)
            yield Row(ANSWERS, (event.instruction_id,), values)
        case InstructionRefused():
            values = (event.number, event.kind, False, event.reason, event.occurred_at_ns)
            yield Row(ANSWERS, (event.instruction_id,), values)
        case LimitBreached():
            values = (
                event.limit, event.value_nanos, event.limit_nanos, event.symbol or None, event.halted,
                event.occurred_at_ns,
            )  # fmt: skip
            yield Row(BREACHES, (event.number,), values)
        case ObjectivesReached():
            values = (
                event.policy, event.profit_target_nanos, event.balance_nanos, event.trading_days,
                event.trading_days_min, event.best_day_nanos, event.occurred_at_ns,
            )  # fmt: skip
            yield Row(OBJECTIVES, (event.number,), values)
        case SignalAssessed():
            counts = memory.counts.setdefault(event.policy, {})
            failed = [result.rule for result in event.rules if not result.passed]
            for rule in [APPROVED if event.verdict == "approved" else REFUSED, *failed]:
                counts[rule] = counts.get(rule, 0) + 1
                yield Row(VERDICT_COUNTS, (event.policy, rule), (counts[rule],))
        case _:
            raise TypeError(f"decision_log does not listen to {type(event).__name__}")


MODEL = ReadModel(
    "decision_log",
    4,
    (
        Fold("tape", DECISIVE, Nothing, told, (INSTRUCTIONS,)),
        Fold(
            "ledger",
            (InstructionApplied, InstructionRefused, LimitBreached, ObjectivesReached, SignalAssessed),
            Memory,
            decided,
            (ANSWERS, BREACHES, OBJECTIVES, VERDICT_COUNTS),
        ),
        *governance_decisions.FOLDS,
    ),
)
