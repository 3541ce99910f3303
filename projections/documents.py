"""AKTUELLER_STAND.md and DECISION_LOG.md: German, one fact a line, the same bytes for the same moment. AGENTS.md has a
file of its own.

Pure: answers of projections/queries.py in, text out. What a person or a program said stands there in its own words.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from projections.answers import Answer
from projections.decision_log import DECISIVE
from projections.german import exact, money, ratio, share, text, word, yes

DOCUMENTS = ("AKTUELLER_STAND", "DECISION_LOG", "AGENTS")

_OUTCOMES = {"open": "offen", "reached": "erreicht", "failed": "verfehlt"}
_TOLD = frozenset(str(told.model_fields["kind"].default) for told in DECISIVE)
_APPLIED = ("proposal_approved", "proposal_cleared")
_BY_ENGINE = ("limit_breached", "objectives_reached")  # nobody told it: there is no answer, and why is what it is


def aktueller_stand(
    status: Answer, metrics: Sequence[Answer], counts: Sequence[Answer], moment: Mapping[str, Any]
) -> str:
    """How the desk stands. `moment`: as_of, and market_time and recorded_time as text or None."""
    parts = [
        _head("AKTUELLER STAND", status["desk"], moment),
        ["## Zustand", *_state(status)],
        ["## Hindernisse", *_troubles(status["blockers"])],
        ["## Warnungen", *_troubles(status["alerts"])],
        ["## Konto", *_account(status["account"])],
        ["## Grenzen", *_limits(status["limits"])],
        ["## Ziele", *_objectives(status["account"])],
        ["## Offene Positionen", *_or_none(_position(held) for held in status["positions"])],
        ["## Wartende Aufträge", *_or_none(_order(order) for order in status["working_orders"])],
        ["## Dienste", *_or_none(_service(service) for service in status["services"])],
        ["## Schutzschalter", *_or_none(_breaker(breaker) for breaker in status["breakers"])],
        ["## Agenten", *_or_none(_agent(agent) for agent in status["agents"])],
        ["## Kennzahlen", *_or_none(())] if not metrics else ["## Kennzahlen"],
        *([f"### {_scope(scope['scope'])}", *_metrics(scope)] for scope in metrics),
        *_verdicts(counts),
        ["## Offene Entscheidungen", *_or_none(_pending(one) for one in status["pending_decisions"])],
    ]
    return _document(parts)


def decision_log(desk: str, decisions: Iterable[Answer], counts: Sequence[Answer], moment: Mapping[str, Any]) -> str:
    """Every decision, the oldest first, so that a later log is the earlier one with lines behind it."""
    told = [[f"### {decision['when']} · {word(decision['what'])}", *_decision(decision)] for decision in decisions]
    parts = [
        _head("DECISION LOG", desk, moment),
        *_verdicts(counts),
        ["## Entscheidungen"] if told else ["## Entscheidungen", *_or_none(())],
        *told,
    ]
    return _document(parts)


def _head(title: str, desk: str, moment: Mapping[str, Any]) -> list[str]:
    return [
        f"# {title}",
        f"- Desk: {text(desk)}",
        "- Betriebsart: Papierhandel (mode: paper)",
        f"- Marktzeit: {text(moment['market_time'])}",
        f"- Aufgezeichnet bis: {text(moment['recorded_time'])}",
        f"- Stand (as_of): `{moment['as_of']}`",
    ]


def _document(parts: Iterable[Sequence[str]]) -> str:
    """Every part: its heading, an empty line, its facts."""
    texts = ["\n".join([part[0], "", *part[1:]]).rstrip("\n") for part in parts]
    return "\n\n".join(texts) + "\n"


# -- how it stands -------------------------------------------------------------------------------------------------


def _state(status: Answer) -> Iterator[str]:
    halt, policy, engine = status["halt"], status["policy"], status["engine"]
    yield f"- Zustand: {word(status['state'])}"
    if halt:
        yield f"- Angehalten seit: {text(halt['since'])}"
        yield f"- Angehalten von: {text(halt['actor'])} ({text(halt['authority'])})"
        yield f"- Grund: {_breach(halt['breach']) if halt['breach'] else text(halt['reason'])}"
        yield f"- Beleg: {halt['id']}"
    if policy:
        yield f"- Regelwerk: {text(policy['name'])}@{policy['version']} seit {policy['since']}"
    if engine:
        yield f"- Rechenkern: {engine['engine']} seit {engine['since']}"
    for strategy in status["strategies"]:
        symbols = ", ".join(text(symbol) for symbol in strategy["symbols"])
        named = f"{text(strategy['strategy'])}@{strategy['version']}"
        yield f"- Strategie: {named} auf {symbols} seit {strategy['since']}"
    if not status["strategies"]:
        yield "- Strategie: keine"


def _troubles(troubles: Sequence[Answer]) -> list[str]:
    return _or_none(f"{word(t['kind'])}: {word(t['name'])}, seit {text(t['since'])}{_why(t)}" for t in troubles)


def _why(trouble: Answer) -> str:
    """What others said; of a limit there is more in its own section."""
    own = trouble["kind"] in ("service_down", "breaker_open") or trouble["name"] == "instruction"
    return f"; {text(trouble['why'])}" if own and trouble["why"] else ""


def _account(account: Answer | None) -> Iterator[str]:
    if account is None:
        yield "- keines"
        return
    amounts = {
        "Anfangsbestand": "initial",
        "Bestand": "balance",
        "Offenes Ergebnis": "floating",
        "Kapital": "equity",
        "Margin": "margin",
        "Freie Margin": "margin_free",
        "Ergebnis heute": "today",
        "Ergebnis gesamt": "profit",
        "Gewinnziel": "profit_target",
        "Bester Tag": "best_day",
    }
    yield f"- Währung: {text(account['currency'])}"
    for label, name in amounts.items():
        yield f"- {label}: {money(account[name])}"
    yield f"- Handelstage: {account['trading_days']} (verlangt: {account['trading_days_min']})"
    yield f"- Gewinnziel erreicht: {yes(account['target_reached'])}"
    yield f"- Regel des besten Tages eingehalten: {yes(account['best_day_kept'])}"


def _objectives(account: Answer | None) -> Iterator[str]:
    goal = account["objectives"] if account else None
    if goal is None:
        yield "- keine"
        return
    since = f" seit {goal['at']} ({goal['id']})" if goal["at"] else ""
    yield f"- Stand: {_OUTCOMES[goal['outcome']]}{since}"
    yield f"- Gewinn: {money(goal['profit'])} von {money(goal['profit_target'])}"
    yield f"- Handelstage: {goal['trading_days']} von {goal['trading_days_min']}"


def _limits(limits: Sequence[Answer]) -> list[str]:
    return _or_none(
        f"{word(limit['limit'])}: noch {money(limit['room'])} von {money(limit['of'])} "
        f"({share(limit['used_ratio'])} verbraucht), Grenze bei Kapital {money(limit['at_equity'])}"
        for limit in limits
    )


def _position(held: Answer) -> str:
    floating = "" if held["floating"] is None else f", offenes Ergebnis {money(held['floating'])}"
    return (
        f"{text(held['symbol'])}: {word(held['side'])} {exact(held['quantity'])} "
        f"zu {exact(held['average_price'])} seit {held['opened_at']} ({held['correlation']}){floating}"
    )


def _order(order: Answer) -> str:
    prices = {"Limit": order["limit_price"], "Auslöser": order["trigger_price"]}
    at = ", ".join(f"{label} {exact(price)}" for label, price in prices.items() if price is not None)
    return (
        f"{order['id']}: {text(order['symbol'])} {word(order['side'])} {exact(order['leaves'])}, "
        f"{word(order['purpose'])}, {at or 'zum Markt'}, {word(order['state'])} seit {order['placed_at']}"
    )


def _service(service: Answer) -> str:
    said = [service["error"], service["message"]] if service["state"] != "running" else []
    why = "".join(f"; {text(word)}" for word in said if word)
    return f"{text(service['service'])}: {word(service['state'])} seit {service['since']}{why}"


def _agent(agent: Answer) -> str:
    seen = f", zuletzt {agent['last_seen']}" if agent["last_seen"] else ""
    doing = f"; {text(agent['doing'])}" if agent["doing"] else ""
    counts = f"Ausfälle {agent['failures']}, Ablehnungen {agent['refusals']}"
    return f"{text(agent['agent'])} (Ebene {agent['level']}): {word(agent['state'])}{seen}; {counts}{doing}"


def _pending(proposal: Answer) -> str:
    """What waits, and the caution that whoever decides must have."""
    taint = "; Vorsicht: der Ablauf hat fremden Text gelesen" if proposal["taint"] else ""
    return (
        f"{text(proposal['proposal'])}: {text(proposal['title'])}, von {text(proposal['actor'])}, wartet seit "
        f"{proposal['waiting_since']}, verfällt {proposal['expires_at']}{taint}"
    )


def _breaker(breaker: Answer) -> str:
    why = f"; {text(breaker['last_error'])}" if breaker["last_error"] else ""
    return (
        f"{text(breaker['service'])} → {text(breaker['dependency'])}: {word(breaker['state'])} "
        f"seit {breaker['since']}{why}"
    )


# -- what it made --------------------------------------------------------------------------------------------------


def _metrics(scope: Answer) -> Iterator[str]:
    yield f"- Stand: {scope['at']}"
    yield f"- Geschlossene Trades: {scope['trades']}"
    yield f"- Davon Gewinn / null / Verlust: {scope['wins']} / {scope['zeros']} / {scope['losses']}"
    yield f"- Ergebnis: {money(scope['net'])}"
    yield f"- Trefferquote: {share(scope['win_rate'])}"
    yield f"- Profitfaktor: {ratio(scope['profit_factor'])}"
    yield f"- Erwartungswert je Trade: {money(scope['expectancy'])}"
    yield f"- Erwartungswert in R: {ratio(scope['expectancy_r'])}"
    yield f"- Mittlerer Gewinn / Verlust: {money(scope['average_win'])} / {money(scope['average_loss'])}"
    yield f"- Auszahlungsverhältnis: {ratio(scope['payoff'])}"
    yield f"- Trades je Tag: {ratio(scope['trades_per_day'])}"
    yield f"- Rendite im Jahr: {share(scope['year_return'])}"
    yield f"- Sharpe: {ratio(scope['sharpe'])}"
    yield f"- Sortino: {ratio(scope['sortino'])}"
    yield f"- Calmar: {ratio(scope['calmar'])}"
    yield f"- Größter Rückgang: {money(scope['drawdown'])} ({share(scope['drawdown_share'])})"
    yield f"- Rückgang von / bis: {text(scope['drawdown_from'])} / {text(scope['drawdown_until'])}"
    yield f"- Dauer des Rückgangs in Tagen: {ratio(scope['drawdown_days'])}"


def _scope(scope: str) -> str:
    return {"overall": "Gesamt", "request": "Aufträge von Hand"}.get(scope, text(scope))


def _verdicts(counts: Sequence[Answer]) -> Iterator[list[str]]:
    yield ["## Urteile"] if counts else ["## Urteile", *_or_none(())]
    for policy in counts:
        yield [
            f"### {text(policy['policy'])}",
            f"- Gebilligt: {policy['approved']}",
            f"- Abgelehnt: {policy['refused']}",
            *(f"- Abgelehnt durch {text(rule['rule'])}: {rule['refused']}" for rule in policy["rules"]),
        ]


# -- what was decided ----------------------------------------------------------------------------------------------


def _decision(decision: Answer) -> Iterator[str]:
    about, answered = _about(decision), decision["answer"]
    yield f"- Beleg: {decision['id']}"
    yield f"- Wer: {text(decision['who'])} ({text(decision['authority'])})"
    if about:
        yield f"- Was: {about}"
    if decision["why"] is not None and decision["what"] not in _BY_ENGINE:
        yield f"- Warum: {text(decision['why'])}"
    yield f"- Verweis: {text(decision['reference'])}"
    if answered:
        verdict = "angewandt" if answered["applied"] else f"abgelehnt: {text(answered['reason'])}"
        yield f"- Antwort: {verdict} ({answered['id']})"
    elif decision["what"] in _TOLD or decision["what"] in _APPLIED:
        yield "- Antwort: noch keine"


def _about(decision: Answer) -> str:
    said = decision["content"]
    match decision["what"]:
        case "policy_activated":
            return f"{text(said['policy']['name'])}@{said['policy']['version']}"
        case "strategy_activated":
            symbols = ", ".join(text(symbol) for symbol in said["symbols"])
            return f"{text(said['strategy'])}@{said['version']} auf {symbols}"
        case "strategy_deactivated":
            return text(said["strategy"])
        case "engine_activated":
            return f"Fassung {said['engine']}"
        case "account_opened":
            return f"{money(said['initial_balance'])} {text(said['currency'])}"
        case "calendar_imported":
            return f"{said['entries']} Einträge aus {text(said['source'])}"
        case "trading_halted":
            return "Positionen werden geschlossen" if said["flatten"] else "Positionen bleiben offen"
        case "limit_breached":
            return _breach(said)
        case "objectives_reached":
            days = f"{said['trading_days']} Handelstage von {said['trading_days_min']}"
            return f"Bestand {money(said['balance'])}, Gewinnziel {money(said['profit_target'])}, {days}"
    return _about_governance(decision["what"], said)


def _about_governance(what: str, said: Answer) -> str:
    match what:
        case "governance_changed":
            return f"Fassung {said['policy']['version']}"
        case "decision_recorded":
            return text(said["says"])
        case "role_defined":
            return f"{text(said['role']['name'])} (Ebene {said['role']['level']}): {text(said['role']['purpose'])}"
        case "approver_enrolled" | "approver_ignored" if "name" in said:
            return f"{text(said['name'])} ({text(said['kind'])}), Umgebung {text(said['environment'])}"
        case "token_created":
            return f"Rolle {text(said['role'])}"
        case "command_refused":
            return f"{text(said['command'])} ({text(said['code'])})"
    if "title" in said:
        return f"{text(said['title'])}, vorgeschlagen von {text(said['actor'])}"
    return f"Ablauf {text(said['run'])}" if "run" in said else ""


def _breach(said: Answer) -> str:
    then = "Handel angehalten" if said["halted"] else "Handel läuft weiter"
    values = f"{exact(said['value'])} gegen {exact(said['bound'])}" if "value" in said else "zu nah an Nachrichten"
    return f"{word(said['limit'])}: {values}; {then}"


def _or_none(facts: Iterable[str]) -> list[str]:
    return [f"- {fact}" for fact in facts] or ["- keine"]
