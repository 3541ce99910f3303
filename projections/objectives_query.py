"""The objectives of a challenge at a moment: open, reached, or failed by a limit of loss.

As the engine has it (domain/objectives.py): a challenge begins when a policy of another name comes to stand, and what
is reached stays so; whoever failed reaches nothing more.
"""

from collections.abc import Mapping
from typing import Any

from domain.tape import position, utc
from projections.answers import Answer
from projections.reading import held

_PROGRESS = ("profit", "profit_target", "trading_days", "trading_days_min", "best_day_kept")

# $1 is the tape's position, $2 the ledger's. Of a challenge that the ledger has not begun yet there is no row.
CHALLENGE = f"""
SELECT reached.told AS reached, failed.told AS failed
FROM instructions AS said JOIN answers AS applied ON applied.instruction_id = said.id AND applied.since <= $2
LEFT JOIN LATERAL (
    SELECT to_json(met) AS told FROM objectives AS met
    WHERE number > applied.number AND since <= $2 ORDER BY number LIMIT 1
) AS reached ON true
LEFT JOIN LATERAL (
    SELECT to_json(passed) AS told FROM breaches AS passed
    WHERE number > applied.number AND since <= $2 AND limit_name IN ('daily_loss', 'max_loss') ORDER BY number LIMIT 1
) AS failed ON true
WHERE said.ordinal = (SELECT ordinal FROM standing WHERE kind = 'challenge' AND {held("$1")})"""


def objectives(account: Answer, challenge: Mapping[str, Any] | None, desk: str) -> Answer | None:
    """What the account (an answer) must reach and how far it is; `id` is the event that decided it, and `at` when. None
    where the policy asks for no profit."""
    if account["profit_target"] is None:
        return None
    reached, failed = (challenge["reached"], challenge["failed"]) if challenge else (None, None)
    decided = reached or failed
    return {
        "outcome": "reached" if reached else "failed" if failed else "open",
        "at": utc(decided["at_ns"]) if decided else None,
        "id": position(desk, decided["number"]) if decided else None,
    } | {name: account[name] for name in _PROGRESS}
