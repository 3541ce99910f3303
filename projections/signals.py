"""Signals, each with its verdict and the rules that refused it. Prices and money in nanos.

An order that a person or an agent asked for has a verdict too: its row's strategy is `request`, its number the
verdict's, and what only a signal has is NULL, as is what there is none of (a stop, a bar).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import TypeAdapter

from domain.events import RuleResult, SignalAssessed, SignalRaised
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row

REQUEST = "request"


class Signal(NamedTuple):
    """A signal, or an order that was asked for; from `verdict` on what was decided, NULL while nothing is."""

    correlation: int
    at_ns: int
    strategy: str
    version: int | None
    parameters_hash: str | None
    symbol: str
    side: str
    bar_time_ns: int | None
    level_price: int | None
    entry_price: int | None
    stop_price: int | None
    target_price: int | None
    confidence_ppm: int | None
    verdict: str | None = None  # approved, refused
    verdict_number: int | None = None
    quantity: int | None = None
    risk: int | None = None
    size_ppm: int | None = None
    policy: str | None = None
    refused_by: list[str] | None = None
    rules: str | None = None  # JSON: every rule's result, in order
    sizing: str | None = None  # JSON: every step of the size


SIGNALS = Table("signals", {"number": "bigint"}, Signal._fields)

_RULES = TypeAdapter(tuple[RuleResult, ...])


@dataclass
class Memory:
    """The newest signal while it has no verdict: a verdict stands right behind its signal, or there is none because
    the desk has no account yet."""

    number: int = 0
    signal: Signal | None = None


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """A signal without its verdict, then with it."""
    match event := fact.event:
        case SignalRaised():
            memory.number, memory.signal = event.number, _raised(event)
            yield Row(SIGNALS, (event.number,), memory.signal)
        case SignalAssessed():
            number, signal = memory.number, memory.signal
            if signal is None or event.causation != number:
                number, signal = event.number, _requested(event)
            memory.number, memory.signal = 0, None
            yield Row(SIGNALS, (number,), _assessed(signal, event))
        case _:
            raise TypeError(f"signals do not listen to {type(event).__name__}")


def _raised(event: SignalRaised) -> Signal:
    return Signal(
        correlation=event.correlation,
        at_ns=event.occurred_at_ns,
        strategy=event.strategy,
        version=event.version,
        parameters_hash=event.parameters_hash,
        symbol=event.symbol,
        side=event.side,
        bar_time_ns=event.bar_time_ns or None,
        level_price=event.level_nanos,
        entry_price=event.entry_nanos,
        stop_price=event.stop_nanos or None,
        target_price=event.target_nanos or None,
        confidence_ppm=event.confidence_ppm,
    )


def _requested(event: SignalAssessed) -> Signal:
    return Signal(
        correlation=event.correlation,
        at_ns=event.occurred_at_ns,
        strategy=REQUEST,
        version=None,
        parameters_hash=None,
        symbol=event.symbol,
        side=event.side,
        bar_time_ns=None,
        level_price=None,
        entry_price=None,
        stop_price=event.stop_nanos or None,
        target_price=event.target_nanos or None,
        confidence_ppm=None,
    )


def _assessed(signal: Signal, event: SignalAssessed) -> Signal:
    return signal._replace(
        verdict=event.verdict,
        verdict_number=event.number,
        quantity=event.quantity_nanos,
        risk=event.risk_nanos,
        size_ppm=event.size_ppm,
        policy=event.policy,
        refused_by=[result.rule for result in event.rules if not result.passed],
        rules=_RULES.dump_json(event.rules).decode(),
        sizing=event.sizing.model_dump_json() if event.sizing else None,
    )


MODEL = ReadModel("signals", 1, (Fold("ledger", (SignalRaised, SignalAssessed), Memory, evolve, (SIGNALS,)),))
