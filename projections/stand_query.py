"""How a desk stands at a moment, in one statement: account and limits, what is open, what stands, what blocks it."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from domain.policy import PPM
from domain.tape import position, utc
from projections.answers import Answer, answer, content, decimal, on_tape
from projections.decision_query import breach_content, breach_says
from projections.governance_query import agents_in_brief, agents_of, health, pending, proposal_of, roles
from projections.objectives_query import CHALLENGE, objectives
from projections.reading import breakers, latest, open_positions, services, standing, working_orders

Stored = Mapping[str, Any]  # a row, as it is stored

NEAR = 0.8  # so much of a limit used is worth an alert
_ROOMS = {"daily_loss": ("daily_room", "daily_limit"), "max_loss": ("total_room", "total_limit")}

# $1 is the tape's position, $2 the ledger's.
ACCOUNT = f"""
WITH account AS MATERIALIZED ({latest("account", "name", "$2")})
SELECT
    (SELECT to_json(account) FROM account) AS account,
    (SELECT json_agg(found) FROM ({standing("$1")}) AS found) AS standing,
    (SELECT to_json(found) FROM ({CHALLENGE}) AS found) AS challenge"""

# And $3 that of OPS, $4 that of governance. Of one read model the table that a new build replaces first is the first to
# be locked here too, or the two could wait for each other.
STATUS = f"""{ACCOUNT},
    (SELECT to_json(found) FROM (
        SELECT said.ordinal, said.id AS instruction_id, said.actor, said.authority, said.reason, applied.at_ns
        FROM instructions AS said RIGHT JOIN answers AS applied ON applied.instruction_id = said.id AND said.since <= $1
        WHERE applied.number = (SELECT halt_number FROM account) ORDER BY said.ordinal LIMIT 1
    ) AS found) AS told,
    (SELECT to_json(found) FROM (
        SELECT * FROM breaches WHERE number = (SELECT halt_number FROM account)
    ) AS found) AS breach,
    (SELECT json_agg(found) FROM ({working_orders("$2")}) AS found) AS orders,
    (SELECT json_agg(found) FROM ({open_positions("$2")}) AS found) AS positions,
    (SELECT json_agg(found) FROM ({services("$3")}) AS found) AS services,
    (SELECT json_agg(found) FROM ({breakers("$3")}) AS found) AS breakers,
    (SELECT json_agg(found) FROM ({pending("$4")}) AS found) AS pending,
    (SELECT json_agg(found) FROM ({roles("$4")}) AS found) AS roles,
    (SELECT json_agg(found) FROM ({health("$3")}) AS found) AS health"""


def status(found: Stored, desk: str) -> Answer:
    """The answer to STATUS."""
    stands, row = found["standing"] or (), found["account"]
    account, limits = account_of(found, desk), _limits(row, stands)
    halt = _halt(found, desk) if row and row["halted"] else None
    running = [answer(service, desk) for service in found["services"] or ()]
    guards = [answer(breaker, desk) for breaker in found["breakers"] or ()]
    agents = agents_in_brief(list(agents_of(found["roles"] or (), found["health"] or (), desk)))
    told_at = account["changed_at"] if account else None
    blockers = [*_stopped(halt), *_passed(limits, told_at), *_failed(running), *_open(guards)]
    return {
        "desk": desk,
        "mode": "paper",
        "state": "halted" if halt else "trading" if account else "no account",
        "halt": halt,
        "account": account,
        "limits": limits,
        "positions": positions_of(found["positions"] or (), row and row["floating"], desk),
        "working_orders": [answer(order, desk) for order in found["orders"] or ()],
        "policy": next(_stands(stands, "policy", "name", "version"), None),
        "strategies": list(_stands(stands, "strategy", "strategy", "version", "symbols", "parameters")),
        "engine": next(_stands(stands, "engine", "engine"), None),
        "services": running,
        "breakers": guards,
        "blockers": [trouble._asdict() for trouble in blockers],
        "alerts": [trouble._asdict() for trouble in (*_near(limits, told_at), *_unwell(agents))],
        "agents": agents,
        "pending_decisions": [proposal_of(row, desk) for row in found["pending"] or ()],
    }


def positions_of(rows: Sequence[Stored], floating: int | None, desk: str) -> list[Answer]:
    """Positions, each with its side beside a quantity that is not below 0, and with its floating result.

    That is the account's where a single one is open, and 0 where none is held. Of several it is None: a mark tells the
    account's as a whole, and the quotes that would part it stand among the ticks of the tape, which no read model
    hears. `cdb status` asks the engine's own book, which has it.
    """
    several = sum(row["quantity"] != 0 for row in rows) > 1
    return [_position(row, 0 if not row["quantity"] else None if several else floating, desk) for row in rows]


def _position(row: Stored, floating: int | None, desk: str) -> Answer:
    quantity = row["quantity"]
    side = "buy" if quantity > 0 else "sell" if quantity < 0 else None
    said = answer(row, desk)
    own = {"quantity": decimal(abs(quantity)), "floating": _decimal(floating)}
    return {"symbol": said.pop("symbol"), "side": side} | said | own


# -- account and limits --------------------------------------------------------------------------------------------


def account_of(found: Stored, desk: str) -> Answer | None:
    """The answer to ACCOUNT, with its objectives; an account that nothing happened to yet is as it was opened."""
    row, stands = found["account"], found["standing"] or ()
    opened, rules = _content(stands, "account"), _rules(stands)
    initial = opened.get("initial_balance_nanos")
    row = row if _is_told(row) else _untouched(initial) if initial is not None else None
    if row is None:
        return None
    margin = row["margin"] or 0
    amounts = {
        "initial": initial,
        "balance": row["balance"],
        "floating": row["floating"],
        "equity": row["equity"],
        "margin": margin,
        "margin_free": row["equity"] - margin,
        "today": _less(row["equity"], row["day_balance"]),
        "day_balance": row["day_balance"],
        "profit": _less(row["balance"], initial),
        "profit_target": _share(initial, rules.get("profit_target_ppm")),
        "best_day": row["best_day"],
    }
    account = {
        "currency": opened.get("currency"),
        **{name: _decimal(amount) for name, amount in amounts.items()},
        "trading_days": row["trading_days"],
        "trading_days_min": rules.get("trading_days_min", 0),
        "target_reached": row["target_reached"],
        "best_day_kept": row["best_day_kept"],
        "changed_at": utc(row["at_ns"]) if row["at_ns"] else None,
    }
    return account | {"objectives": objectives(account, found["challenge"], desk)}


def _is_told(row: Stored | None) -> bool:
    """Has the ledger said how much there is? A halt alone does not."""
    return row is not None and row["balance"] is not None


def _untouched(initial: int) -> Stored:
    amounts = {"balance": initial, "floating": 0, "equity": initial, "margin": 0, "day_balance": initial, "best_day": 0}
    return amounts | {"trading_days": 0, "target_reached": False, "best_day_kept": True, "at_ns": None}


def _limits(row: Stored | None, stands: Sequence[Stored]) -> list[Answer]:
    """The limits that there are: at which equity, how far it may fall yet, of how much at the most, and how much of
    that is used (above 1: it is passed)."""
    initial, rules, limits = _content(stands, "account").get("initial_balance_nanos"), _rules(stands), []
    for name, (room_name, limit_name) in _ROOMS.items():
        most = _share(initial, rules.get(f"{name}_ppm"))
        if row is not None and _is_told(row):
            room, limit = row[room_name], row[limit_name]
        else:
            room, limit = most, _less(initial, most)
        if room is None and most is None:
            continue
        used = round(max(0.0, (most - room) / most), 6) if room is not None and most else None
        amounts = {"at_equity": limit, "room": room, "of": most}
        limits.append(
            {"limit": name} | {said: _decimal(amount) for said, amount in amounts.items()} | {"used_ratio": used}
        )
    return limits


def _rules(stands: Sequence[Stored]) -> Mapping[str, Any]:
    """The account's limits and objectives by the policy that stands."""
    limits: Mapping[str, Any] = _content(stands, "policy").get("policy", {}).get("limits", {})
    return limits


def _content(stands: Sequence[Stored], kind: str) -> Mapping[str, Any]:
    return next((row["content"] for row in stands if row["kind"] == kind), {})


def _stands(stands: Sequence[Stored], kind: str, *names: str) -> Iterator[Answer]:
    for row in stands:
        if row["kind"] == kind:
            says = row["content"]["policy"] if kind == "policy" else content(row["content"])
            told = {"id": on_tape(row["ordinal"]), "since": utc(row["at_ns"])}
            yield {name: says[name] for name in names} | told | {name: row[name] for name in ("actor", "authority")}


def _share(initial: int | None, ppm: int | None) -> int | None:
    """Of the initial balance; None where the policy has none."""
    return None if initial is None or ppm is None else round(Fraction(initial * ppm, PPM))


def _less(amount: int | None, other: int | None) -> int | None:
    return None if amount is None or other is None else amount - other


def _decimal(amount: int | None) -> str | None:
    return None if amount is None else decimal(amount)


# -- what blocks it ------------------------------------------------------------------------------------------------


def _halt(found: Stored, desk: str) -> Answer:
    """What halted the desk: who and why as the instruction says, or the limit that was passed."""
    account, told, breach = found["account"], found["told"] or {}, found["breach"]
    at_ns, reason = told.get("at_ns"), told.get("reason")
    if breach:
        at_ns, reason = breach["at_ns"], breach_says(breach)
    return {
        "id": position(desk, account["halt_number"]),
        "kind": account["halt_kind"],
        "since": utc(at_ns) if at_ns else None,
        "actor": "engine" if breach else told.get("actor"),
        "authority": "policy" if breach else told.get("authority"),
        "reason": reason,
        "instruction_id": told.get("instruction_id"),
        "tape": on_tape(told["ordinal"]) if told.get("ordinal") else None,
        "breach": breach_content(breach) if breach else None,
    }


class Trouble(NamedTuple):
    """What blocks the desk, or may soon: `kind` of what is called `name`, and `what` it is in a sentence."""

    kind: Literal["halted", "limit_passed", "limit_near", "service_down", "breaker_open", "agent_unwell"]
    name: str
    what: str
    since: str | None
    who: str | None
    why: str | None
    what_to_do: str


def _stopped(halt: Answer | None) -> Iterator[Trouble]:
    if halt:
        by = "" if halt["kind"] == "instruction" else f" by the limit {halt['kind']}"
        advice = "see why, then end it with `cdb resume`: only a person may"
        what = f"trading is halted{by}"
        yield Trouble("halted", halt["kind"], what, halt["since"], halt["actor"], halt["reason"], advice)


def _passed(limits: Sequence[Answer], since: str | None) -> Iterator[Trouble]:
    for limit in limits:
        name, room = limit["limit"], limit["room"]
        if room is not None and Decimal(room) < 0:
            why = f"equity is {room.removeprefix('-')} below {limit['at_equity']}"
            advice = "a desk that is resumed now halts again at its next tick; see what the limit asks for"
            yield Trouble("limit_passed", name, f"the limit {name} is passed", since, "engine", why, advice)


def _near(limits: Sequence[Answer], since: str | None) -> Iterator[Trouble]:
    for limit in limits:
        name, used = limit["limit"], limit["used_ratio"]
        if used is not None and used >= NEAR and Decimal(limit["room"]) >= 0:
            why = f"{Decimal(limit['room']):,.2f} of {Decimal(limit['of']):,.2f} are left"
            advice = "trade smaller, or stop with `cdb stop` before the limit does"
            yield Trouble("limit_near", name, f"equity is near the limit {name}", since, None, why, advice)


def _failed(running: Sequence[Answer]) -> Iterator[Trouble]:
    for service in running:
        name, state, retry = service["service"], service["state"], service["retry_seconds"]
        if state not in ("failed", "emergency_stopped"):
            continue
        advice = "mend what it names, then start it again"
        if state == "emergency_stopped":
            advice = "it halted the desk: mend what it names, start it again, then `cdb resume`"
        elif retry is not None:
            advice = f"it is started again after {retry:g} s; mend what it names"
        why = ": ".join(said for said in (service["error"], service["message"]) if said) or None
        yield Trouble("service_down", name, f"service {name}: {state}", service["since"], name, why, advice)


def _open(guards: Sequence[Answer]) -> Iterator[Trouble]:
    for breaker in guards:
        service, other, seconds = breaker["service"], breaker["dependency"], breaker["open_seconds"]
        if breaker["state"] == "closed":
            continue
        what = f"the breaker of {service} for {other}: {breaker['state']}"
        advice = f"{other} is asked again{'' if seconds is None else f' after {seconds:g} s'}; see that it answers"
        yield Trouble("breaker_open", other, what, breaker["since"], service, breaker["last_error"], advice)


def _unwell(agents: Sequence[Answer]) -> Iterator[Trouble]:
    for agent in agents:
        name, state, seen = agent["agent"], agent["state"], agent["last_seen"]
        if state in ("failing", "silent"):
            advice = "see what it was doing; nothing of the desk waits for it but its own proposals and runs"
            yield Trouble("agent_unwell", name, f"agent {name}: {state}", seen, name, agent["doing"], advice)
