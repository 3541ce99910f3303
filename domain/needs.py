"""Why a command needs a signature: of every command, by what stood before it. No reason: it is cleared by rule."""

from collections.abc import Iterator

from domain.commands import (
    ActivatePolicy,
    ActivateStrategy,
    ChangeGovernance,
    Command,
    DeactivateStrategy,
    DefineRole,
    PlaceOrder,
    Publish,
    RecordDecision,
    Resume,
    RetireRole,
    instruction_of,
)
from domain.governance_policy import GovernancePolicy, governance_widens
from domain.instructions import OrderRequested, StrategyActivated
from domain.proposal import Before
from domain.widening import OrderFacts, order_widens, policy_widens, strategy_widens


def needs_signature(command: Command, before: Before, governance: GovernancePolicy) -> tuple[str, ...]:
    """A sentence a reason. Raises UnknownStrategy, InvalidInput for parameters that no activation could have."""
    return (*_of_effect(command, before, governance), *_of_documents(command))


def _of_documents(command: Command) -> Iterator[str]:
    if command.publication:
        yield from (f"document {name} changes" for name in sorted(command.publication.documents))


def _of_effect(command: Command, before: Before, governance: GovernancePolicy) -> Iterator[str]:
    match command:
        case ActivatePolicy():
            yield from (widening.sentence for widening in policy_widens(before.policy, command.policy))
        case ActivateStrategy():
            after = instruction_of(command, "draft", "draft")
            assert isinstance(after, StrategyActivated)
            stood = _activated(command.strategy, before)
            yield from (widening.sentence for widening in strategy_widens(stood, after, before.policy))
        case DeactivateStrategy():
            pass
        case Resume():
            yield "only a person resumes a desk"
        case PlaceOrder():
            order = instruction_of(command, "draft", "draft")
            assert isinstance(order, OrderRequested)
            facts = OrderFacts(before.price_nanos, before.rate_nanos, before.equity_nanos)
            yield from (widening.sentence for widening in order_widens(order, governance, facts))
        case DefineRole() | RetireRole():
            yield "what agents may do is decided by a person"
        case RecordDecision():
            yield "an entry of DECISION_LOG is decided by a person"
        case ChangeGovernance():
            yield "what governance itself wants is decided by a person"
            yield from (widening.sentence for widening in governance_widens(governance, command.policy))
        case Publish():
            pass


def _activated(strategy: str, before: Before) -> StrategyActivated | None:
    if before.strategy is None:
        return None
    said = {"id": "standing", "actor": "tape", "authority": "tape", "occurred_at_ns": 0}
    return StrategyActivated(strategy=strategy, **said, **before.strategy.model_dump())
