"""The governance policy: how long a proposal waits, what an agent may do unsigned, and what starts the learning loop.

It is versioned like a trading policy, and changing it is gated like anything else when it widens. Money is nanos of the
account's currency. A limit of None is none, and one of 0 allows nothing.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.directions import Line, Widening, any_added, count, larger, never, smaller, widened
from domain.policy import MINUTE, MONTH, PPM, SECOND
from domain.wording import duration, money, percent, thousandths

HOUR = 60 * MINUTE

# A document as domain/documents.py names it, such as AGENTS; another name, as older policies have it, is no document's.
DocumentName = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+(\.md|\.json)?$", max_length=200)]


class GovernancePolicy(BaseModel):
    """All of it. `version` counts up for every change of the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(1, ge=1, lt=2**63)
    proposal_expiry_ns: int = Field(24 * HOUR, ge=MINUTE, le=MONTH, description="from presented to expired")
    pending_max_per_agent: int = Field(5, ge=0, le=1_000, description="proposals that wait for a person")
    order_notional_max_nanos: int | None = Field(
        10_000 * SECOND, ge=0, le=4 * 10**18, description="account money; an agent's larger order needs a signature"
    )
    order_risk_max_ppm: int | None = Field(
        1_000, ge=0, le=PPM, description="of equity, lost at the stop; an agent's order with more needs a signature"
    )
    waiting_alert_ns: int = Field(HOUR, ge=SECOND, le=MONTH, description="a proposal that waits longer raises an alert")
    heartbeat_ns: int = Field(30 * SECOND, ge=SECOND, le=HOUR, description="an agent that is silent longer is unwell")
    fast_track: tuple[DocumentName, ...] = Field(
        (), description="documents that are committed on main once approved; others get a branch and a pull request"
    )
    learning_trades_min: int = Field(30, ge=1, le=100, description="results before a strategy is judged")
    learning_win_rate_min_ppm: int | None = Field(
        700_000, ge=0, le=PPM, description="a strategy below it starts a tuning run; None: none does"
    )
    learning_drawdown_max_thousandths: int | None = Field(
        10_000, ge=0, le=1_000_000_000, description="of R; a strategy above it starts a tuning run; None: none does"
    )


def _documents(names: list[str]) -> str:
    return ", ".join(names) or "none"


_UNTUNED = "fewer weak strategies start a tuning run"

GOVERNANCE_WIDENS: dict[str, Line] = {
    "version": Line(never, "version", count),
    "proposal_expiry_ns": Line(larger, "time before a proposal expires", duration),
    "pending_max_per_agent": Line(larger, "proposals of one agent that may wait", count),
    "order_notional_max_nanos": Line(larger, "value of an order that needs no signature, account money", money),
    "order_risk_max_ppm": Line(larger, "risk of an order that needs no signature, of equity", percent),
    "waiting_alert_ns": Line(larger, "time a proposal waits before it raises an alert", duration),
    "heartbeat_ns": Line(larger, "silence of an agent before it counts as unwell", duration),
    "fast_track": Line(any_added, "documents committed on main without a pull request", _documents),
    "learning_trades_min": Line(larger, "results before a strategy is judged", count, _UNTUNED),
    "learning_win_rate_min_ppm": Line(smaller, "win rate below which tuning starts", percent, _UNTUNED),
    "learning_drawdown_max_thousandths": Line(larger, "drawdown in R above which tuning starts", thousandths, _UNTUNED),
}


def governance_widens(before: GovernancePolicy | None, after: GovernancePolicy) -> list[Widening]:
    """What needs a signature when this policy takes that one's place. The first one is judged against the default,
    which holds where none was ever activated."""
    return widened(GOVERNANCE_WIDENS, before or GovernancePolicy(), after)
