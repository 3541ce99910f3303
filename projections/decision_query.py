"""What decided how the desk decides: instructions with their answers, limits that were passed, objectives reached."""

from collections.abc import Mapping
from typing import Any

from domain.tape import position, utc
from domain.wording import duration, money, units
from projections.answers import Answer, answer, content, on_tape
from projections.reading import held

# Up to $1 of the tape and $2 of the ledger, before time $3, $4 of them and all of the last one's time.
DECISIONS = f"""
WITH times AS (
    SELECT at_ns FROM instructions WHERE since <= $1 AND at_ns < $3
    UNION ALL SELECT at_ns FROM breaches WHERE since <= $2 AND at_ns < $3
    UNION ALL SELECT at_ns FROM objectives WHERE since <= $2 AND at_ns < $3
), page AS (
    SELECT min(at_ns) AS first_ns FROM (SELECT at_ns FROM times ORDER BY at_ns DESC LIMIT $4) AS newest
), decided AS (
    SELECT said.at_ns, said.ordinal AS place, to_json(said) AS said, NULL::json AS breach, NULL::json AS reached,
        (SELECT to_json(found) FROM (
            SELECT * FROM answers WHERE instruction_id = said.id AND {held("$2")}
        ) AS found) AS answer
    FROM page JOIN instructions AS said ON said.at_ns >= first_ns AND said.at_ns < $3 AND said.since <= $1
    UNION ALL
    SELECT passed.at_ns, passed.number, NULL, to_json(passed), NULL, NULL
    FROM page JOIN breaches AS passed ON passed.at_ns >= first_ns AND passed.at_ns < $3 AND passed.since <= $2
    UNION ALL
    SELECT met.at_ns, met.number, NULL, NULL, to_json(met), NULL
    FROM page JOIN objectives AS met ON met.at_ns >= first_ns AND met.at_ns < $3 AND met.since <= $2
)
SELECT decided.*, EXISTS (SELECT FROM times, page WHERE times.at_ns < first_ns) AS more
FROM decided ORDER BY at_ns DESC, said IS NOT NULL, place DESC
"""


def decision(row: Mapping[str, Any], desk: str) -> Answer:
    """A row of DECISIONS: what was decided, when, by whom, why, what it refers to, and the engine's answer."""
    if row["breach"]:
        return _breached(row["breach"], desk)
    return _reached(row["reached"], desk) if row["reached"] else _told(row["said"], row["answer"], desk)


def _told(said: Mapping[str, Any], answered: Mapping[str, Any] | None, desk: str) -> Answer:
    return {
        "id": on_tape(said["ordinal"]),
        "what": said["kind"],
        "when": utc(said["at_ns"]),
        "who": said["actor"],
        "authority": said["authority"],
        "why": said["reason"],
        "reference": said["id"],
        "answer": _answer(answered, desk) if answered else None,
        "content": content(said["content"]),
    }


def _answer(answered: Mapping[str, Any], desk: str) -> Answer:
    return {
        "id": position(desk, answered["number"]),
        "applied": answered["applied"],
        "reason": answered["reason"],
        "at": utc(answered["at_ns"]),
    }


def _breached(breach: Mapping[str, Any], desk: str) -> Answer:
    why, says = breach_says(breach), breach_content(breach)
    return _by_engine("limit_breached", breach, desk, why=why, reference=breach["limit_name"], content=says)


def _reached(objectives: Mapping[str, Any], desk: str) -> Answer:
    says = {name: value for name, value in answer(objectives, desk).items() if name not in ("id", "at")}
    balance, target = money(objectives["balance"]), money(objectives["profit_target"])
    days = f"{objectives['trading_days']} trading days of {objectives['trading_days_min']}"
    why = f"balance {balance} meets the profit target {target}, {days}"
    return _by_engine("objectives_reached", objectives, desk, why=why, reference=objectives["policy"], content=says)


def _by_engine(what: str, row: Mapping[str, Any], desk: str, **said: Any) -> Answer:
    """What the engine decided by the policy: nobody told it, so there is no answer. `said`: why, reference, content."""
    return {
        "id": position(desk, row["number"]),
        "what": what,
        "when": utc(row["at_ns"]),
        "who": "engine",
        "authority": "policy",
        "answer": None,
    } | said


def breach_says(breach: Mapping[str, Any]) -> str:
    """What was passed, in a sentence."""
    value, bound = breach["value"], breach["bound"]
    match breach["limit_name"]:
        case "daily_loss" | "max_loss":
            return f"equity {money(value)} is below {money(bound)}"
        case "news_trading":
            return f"a fill {duration(abs(value))} from news, within {duration(bound)}"
        case limit:
            return f"{units(value)} is past {units(bound)}, the limit {limit}"


def breach_content(breach: Mapping[str, Any]) -> Answer:
    """What was passed: amounts of money, or of time where the limit is one to news."""
    unit = "_ns" if breach["limit_name"] == "news_trading" else "_nanos"
    values = content({f"{name}{unit}": breach[name] for name in ("value", "bound")})
    return {"limit": breach["limit_name"]} | values | {"symbol": breach["symbol"], "halted": breach["halted"]}
