"""The learning loop's question: are a strategy's own results so weak that its parameters shall be tuned?

It is asked of what the sizing of a signal knew: the strategy's shadow results, which go on whether or not it trades.
"""

from domain.events import SizeEvidence
from domain.governance_policy import GovernancePolicy
from domain.wording import percent, thousandths


def too_weak(policy: GovernancePolicy, known: SizeEvidence | None) -> str:
    """Why a tuning run shall start, as a sentence; "": none shall, or nobody knows yet."""
    if known is None or known.shadow_trades < policy.learning_trades_min:
        return ""
    of = f"of its last {known.shadow_trades:,} shadow trades"
    rate, least = known.win_rate_ppm, policy.learning_win_rate_min_ppm
    if least is not None and rate < least:
        return f"the win rate {of} is {percent(rate)}, below {percent(least)}"
    fall, most = known.shadow_drawdown_milli_r, policy.learning_drawdown_max_thousandths
    if most is not None and fall > most:
        return f"the deepest fall {of} is {thousandths(fall)} R, above {thousandths(most)} R"
    return ""
