"""What decided how the desk decides: instructions with their answers, limits that were passed, objectives reached, and
what governance decided and refused."""

from collections.abc import Mapping
from typing import Any

from domain.commands import authority
from domain.tape import position, utc
from domain.wording import duration, money, units
from projections.answers import Answer, answer, content, on_tape
from projections.proposals import VERDICTS as VERDICT_EVENTS
from projections.reading import held

VERDICTS = frozenset(str(event.model_fields["type"].default) for event in VERDICT_EVENTS)

# Up to $1 of the tape, $2 of the ledger, $5 of OPS and $6 of governance, before time $3, $4 of them and all of the last
# one's time, which is that of its source.
DECISIONS = f"""
WITH times AS (
    SELECT at_ns FROM instructions WHERE since <= $1 AND at_ns < $3
    UNION ALL SELECT at_ns FROM breaches WHERE since <= $2 AND at_ns < $3
    UNION ALL SELECT at_ns FROM objectives WHERE since <= $2 AND at_ns < $3
    UNION ALL SELECT at_ns FROM governance_decisions WHERE since <= $6 AND at_ns < $3
    UNION ALL SELECT at_ns FROM refusals WHERE since <= $5 AND at_ns < $3
), page AS (
    SELECT min(at_ns) AS first_ns FROM (SELECT at_ns FROM times ORDER BY at_ns DESC LIMIT $4) AS newest
), decided AS (
    SELECT 0 AS rank, said.at_ns, said.ordinal AS place, 0::bigint AS version, 'told' AS kind, to_json(said) AS said,
        (SELECT to_json(found) FROM (
            SELECT * FROM answers WHERE instruction_id = said.id AND {held("$2")}
        ) AS found) AS answer
    FROM page JOIN instructions AS said ON said.at_ns >= first_ns AND said.at_ns < $3 AND said.since <= $1
    UNION ALL
    SELECT 1, passed.at_ns, passed.number, 0, 'breached', to_json(passed), NULL
    FROM page JOIN breaches AS passed ON passed.at_ns >= first_ns AND passed.at_ns < $3 AND passed.since <= $2
    UNION ALL
    SELECT 1, met.at_ns, met.number, 0, 'reached', to_json(met), NULL
    FROM page JOIN objectives AS met ON met.at_ns >= first_ns AND met.at_ns < $3 AND met.since <= $2
    UNION ALL
    SELECT 2, ruled.at_ns, ruled.number, ruled.version, 'ruled', to_json(ruled), (SELECT to_json(asked) FROM (
        SELECT title, reason, command, desk, actor, state, changed_at_ns, failed_reason
        FROM proposals JOIN proposal_states AS states USING (proposal)
        WHERE proposal = ruled.proposal AND states.since <= $6 AND states.until > $6
    ) AS asked)
    FROM page JOIN governance_decisions AS ruled
        ON ruled.at_ns >= first_ns AND ruled.at_ns < $3 AND ruled.since <= $6
    UNION ALL
    SELECT 3, no.at_ns, no.number, 0, 'refused', to_json(no), NULL
    FROM page JOIN refusals AS no ON no.at_ns >= first_ns AND no.at_ns < $3 AND no.since <= $5
)
SELECT decided.*, EXISTS (SELECT FROM times, page WHERE times.at_ns < first_ns) AS more
FROM decided ORDER BY at_ns DESC, rank DESC, place DESC, version DESC
"""


def decision(row: Mapping[str, Any], desk: str) -> Answer:
    """A row of DECISIONS: what was decided, when, by whom, why, what it refers to, and the engine's answer."""
    found, beside = row["said"], row["answer"]
    match row["kind"]:
        case "told":
            return _told(found, beside, desk)
        case "breached":
            return _breached(found, desk)
        case "reached":
            return _reached(found, desk)
        case "ruled":
            return _ruled(found, beside)
    return _refused(found)


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


def _ruled(ruled: Mapping[str, Any], asked: Mapping[str, Any] | None) -> Answer:
    """What governance decided; of a verdict also what was proposed, and what became of it."""
    verdict = ruled["what"] in VERDICTS
    about = {name: asked[name] for name in ("title", "command", "desk", "actor")} if asked and verdict else {}
    done = asked and verdict and asked["state"] in ("applied", "failed", "rolled_back")
    why = ruled["why"] or (asked["reason"] if asked and not verdict else None)
    return {
        "id": f"governance:{ruled['number']}.{ruled['version']}",
        "what": ruled["what"],
        "when": utc(ruled["at_ns"]),
        "who": ruled["who"],
        "authority": ruled["authority"],
        "why": why,
        "reference": ruled["reference"],
        "answer": _became(ruled["proposal"], asked) if asked and done else None,
        "content": about | ruled["content"],
    }


def _became(proposal: str, asked: Mapping[str, Any]) -> Answer:
    failed = asked["state"] == "failed"
    reason = {"failed": asked["failed_reason"], "rolled_back": "rolled back later"}.get(asked["state"])
    return {"id": authority(proposal), "applied": not failed, "reason": reason, "at": utc(asked["changed_at_ns"])}


def _refused(no: Mapping[str, Any]) -> Answer:
    return {
        "id": f"ops:{no['number']}",
        "what": "command_refused",
        "when": utc(no["at_ns"]),
        "who": no["actor"],
        "authority": "rule",
        "why": no["message"],
        "reference": no["subject"] or no["command"],
        "answer": None,
        "content": {"command": no["command"], "code": no["code"]},
    }


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
