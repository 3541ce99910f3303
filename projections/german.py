"""How the documents' facts read in German: words, amounts, and what others said as plain words."""

from decimal import Decimal
from typing import Any

NOTHING = "–"  # there is none, or it is not known yet

_WORDS = {
    # the desk
    "trading": "Handel läuft",
    "halted": "Handel angehalten",
    "no account": "kein Konto eröffnet",
    "instruction": "auf Anweisung",
    "daily_loss": "Tagesverlust",
    "max_loss": "Gesamtverlust",
    "news_trading": "Handel bei Nachrichten",
    "money_range": "Rechenbereich",
    # what troubles it
    "limit_passed": "Verlustgrenze unterschritten",
    "limit_near": "Kapital nahe an der Verlustgrenze",
    "service_down": "Dienst läuft nicht",
    "breaker_open": "Schutzschalter offen",
    "agent_unwell": "Agent meldet sich nicht wohl",
    # orders
    "buy": "Kauf",
    "sell": "Verkauf",
    "entry": "Einstieg",
    "stop": "Stop",
    "target": "Ziel",
    "flatten": "Schließen",
    "request": "Auftrag",
    "placed": "wartet",
    "triggered": "ausgelöst",
    "partially_filled": "teilweise ausgeführt",
    # services and breakers
    "running": "läuft",
    "failed": "ausgefallen",
    "emergency_stopped": "Nothalt",
    "stopped": "beendet",
    "open": "offen",
    "half_open": "halb offen",
    "closed": "geschlossen",
    # decisions
    "trading_halted": "Handel angehalten",
    "trading_resumed": "Handel wieder aufgenommen",
    "policy_activated": "Regelwerk aktiviert",
    "strategy_activated": "Strategie aktiviert",
    "strategy_deactivated": "Strategie abgeschaltet",
    "engine_activated": "Rechenkern aktiviert",
    "account_opened": "Konto eröffnet",
    "calendar_imported": "Kalender eingelesen",
    "limit_breached": "Grenze verletzt",
    "objectives_reached": "Ziele erreicht",
    # governance
    "governance_founded": "Governance begründet",
    "governance_changed": "Governance-Regelwerk geändert",
    "decision_recorded": "Entscheidung festgehalten",
    "role_defined": "Rolle festgelegt",
    "role_retired": "Rolle beendet",
    "proposal_approved": "Vorschlag freigegeben",
    "proposal_rejected": "Vorschlag abgelehnt",
    "proposal_expired": "Vorschlag verfallen",
    "proposal_withdrawn": "Vorschlag zurückgezogen",
    "proposal_cleared": "Vorschlag ohne Freigabe zulässig",
    "approver_enrolled": "Schlüssel eingetragen",
    "approver_revoked": "Schlüssel widerrufen",
    "approver_ignored": "Schlüsseleintrag ohne Wirkung",
    "token_created": "Zugang eingerichtet",
    "token_revoked": "Zugang widerrufen",
    "status_refresh_analysis_started": "STATUS_REFRESH_ANALYSIS_STARTED",
    "status_refresh_delivered": "STATUS_REFRESH_DELIVERED",
    "signal_tuning_proposal_created": "SIGNAL_TUNING_PROPOSAL_CREATED",
    "signal_tuning_pr_created": "SIGNAL_TUNING_PR_CREATED",
    "governance_updated": "GOVERNANCE_UPDATED",
    "promise_observed": "Versprechen geprüft",
    "run_closed": "Ablauf beendet",
    "command_refused": "Befehl abgelehnt",
    # agents
    "idle": "bereit",
    "working": "arbeitet",
    "failing": "meldet Fehler",
    "silent": "meldet sich nicht",
    "unknown": "nie gemeldet",
}
_MARKED = frozenset("\\`*~[]<>#|!")  # what Markdown would take for its own
_COMMAS = str.maketrans(",.", ".,")


def word(said: str) -> str:
    """A word of the desk's; one that is not listed stands as it is."""
    return _WORDS.get(said, text(said))


def text(said: Any) -> str:
    """Somebody's words on one line, and as words: nothing in them is taken for Markdown, nothing is invisible."""
    if said is None:
        return NOTHING
    shown = (sign if sign.isprintable() else "\ufffd" for sign in " ".join(str(said).split()))
    safe = "".join(f"\\{sign}" if sign in _MARKED else sign for sign in shown)
    return safe.replace("://", ":\\//").replace("www.", "www\\.")  # nobody's reason becomes a link


def money(amount: str | None) -> str:
    """To the hundredth: `90.786,02`."""
    return NOTHING if amount is None else f"{Decimal(amount):z,.2f}".translate(_COMMAS)


def exact(amount: str | None) -> str:
    """All its places: `1,19323`, `109.000`."""
    return NOTHING if amount is None else f"{Decimal(amount).normalize():,f}".translate(_COMMAS)


def ratio(value: float | None) -> str:
    """Three places: `1,518`."""
    return NOTHING if value is None else f"{value:z,.3f}".translate(_COMMAS)


def share(value: float | None) -> str:
    """In percent: `58,3 %`."""
    return NOTHING if value is None else f"{100 * value:z,.1f} %".translate(_COMMAS)


def yes(holds: bool) -> str:
    """ja, nein."""
    return "ja" if holds else "nein"
