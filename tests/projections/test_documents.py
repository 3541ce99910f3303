"""AKTUELLER_STAND.md and DECISION_LOG.md: German, one fact a line, the same bytes, and nobody's words are markup."""

import copy
import difflib
import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections.answers import Answer
from projections.as_of import AsOf
from projections.documents import aktueller_stand, decision_log
from projections.german import exact, money, ratio, share, text
from projections.queries import Queries
from tests.projections.folds import golden
from tests.projections.stored import end

END = end()
MOMENT = {"as_of": "MTpt", "market_time": "2024-03-04T00:00:00Z", "recorded_time": None}
TROUBLE = {
    "kind": "service_down", "name": "core", "what": "service core: failed", "since": "2024-03-04T00:00:00Z",
    "who": "core", "why": "Unavailable: no log", "what_to_do": "mend it",
}  # fmt: skip
HALT = {
    "id": "main:26", "kind": "instruction", "since": "2024-03-04T00:00:00Z", "actor": "anna", "authority": "operator",
    "reason": "zu heiß", "instruction_id": "halt", "tape": "tape:5", "breach": None,
}  # fmt: skip
BREACH = {"limit": "daily_loss", "value": "94999.5", "bound": "95000", "symbol": None, "halted": True}
EMPTY: Answer = {
    "desk": "main", "mode": "paper", "state": "no account", "halt": None, "account": None, "limits": [],
    "positions": [], "working_orders": [], "policy": None, "strategies": [], "engine": None, "services": [],
    "breakers": [], "blockers": [], "alerts": [], "pending_decisions": [], "agents": [],
}  # fmt: skip
DECISION = {
    "id": "tape:5", "what": "trading_halted", "when": "2024-03-04T00:00:00Z", "who": "anna", "authority": "operator",
    "why": "zu heiß", "reference": "halt", "answer": {"id": "main:9", "applied": True, "reason": None, "at": "x"},
    "content": {"flatten": False},
}  # fmt: skip


def stand(moment: Mapping[str, Any] = MOMENT, /, **said: Any) -> str:
    return aktueller_stand(EMPTY | said, [], [], moment)


def section(document: str, heading: str) -> list[str]:
    """The facts under a heading."""
    return document.partition(f"\n## {heading}\n")[2].partition("\n#")[0].strip().splitlines()


# -- what they say -----------------------------------------------------------------------------------------------------


def test_what_waits_for_a_person_stands_there_with_since_when_and_a_caution() -> None:
    waiting = {
        "proposal": "p-1", "title": "resume | trading", "actor": "a-lead", "taint": True,
        "waiting_since": "2024-03-04T00:00:00Z", "expires_at": "2024-03-05T00:00:00Z",
    }  # fmt: skip
    (line,) = section(stand(pending_decisions=[waiting]), "Offene Entscheidungen")
    assert line == (
        "- p-1: resume \\| trading, von a-lead, wartet seit 2024-03-04T00:00:00Z, verfällt 2024-03-05T00:00:00Z; "
        "Vorsicht: der Ablauf hat fremden Text gelesen"
    )
    assert "Vorsicht" not in stand(pending_decisions=[waiting | {"taint": False}])
    assert section(stand(), "Offene Entscheidungen") == ["- keine"]


def test_agents_stand_there_with_how_they_are() -> None:
    agent = {
        "agent": "codex", "level": 2, "state": "silent", "doing": "a `diff`", "last_seen": "2024-03-04T00:00:00Z",
        "failures": 2, "refusals": 1,
    }  # fmt: skip
    never = agent | {"state": "unknown", "doing": None, "last_seen": None}
    assert section(stand(agents=[agent, never]), "Agenten") == [
        "- codex (Ebene 2): meldet sich nicht, zuletzt 2024-03-04T00:00:00Z; Ausfälle 2, Ablehnungen 1; a \\`diff\\`",
        "- codex (Ebene 2): nie gemeldet; Ausfälle 2, Ablehnungen 1",
    ]


def test_a_verdict_stands_with_what_was_proposed_and_waits_for_its_effect_only_when_granted() -> None:
    said = DECISION | {
        "what": "proposal_approved", "answer": None, "reference": "p-1", "authority": "key ab",
        "content": {"title": "resume trading", "command": "resume", "desk": "main", "actor": "a-lead"},
    }  # fmt: skip
    lines = decision_log("main", [said], [], MOMENT).splitlines()
    assert "### 2024-03-04T00:00:00Z · Vorschlag freigegeben" in lines
    assert "- Was: resume trading, vorgeschlagen von a-lead" in lines
    assert lines[-1] == "- Antwort: noch keine"
    rejected = decision_log("main", [said | {"what": "proposal_rejected"}], [], MOMENT)
    assert "Antwort" not in rejected


def test_what_governance_refused_stands_with_the_rule_that_said_no() -> None:
    said = DECISION | {"what": "command_refused", "answer": None, "content": {"command": "draft", "code": "not_mine"}}
    log = decision_log("main", [said], [], MOMENT)
    assert "- Was: draft (not_mine)" in log
    assert "Antwort" not in log


def test_a_document_begins_with_the_moment_that_it_shows() -> None:
    assert stand().splitlines()[:7] == [
        "# AKTUELLER STAND", "", "- Desk: main", "- Betriebsart: Papierhandel (mode: paper)",
        "- Marktzeit: 2024-03-04T00:00:00Z", "- Aufgezeichnet bis: –", "- Stand (as_of): `MTpt`",
    ]  # fmt: skip
    assert decision_log("main", [], [], MOMENT).splitlines()[0] == "# DECISION LOG"
    assert "- Stand (as_of): `MTpt`" in decision_log("main", [], [], MOMENT)


def test_an_empty_desk_says_that_there_is_none_of_each() -> None:
    document = stand()
    assert section(document, "Zustand") == ["- Zustand: kein Konto eröffnet", "- Strategie: keine"]
    for heading in ("Konto", "Grenzen", "Offene Positionen", "Hindernisse", "Kennzahlen", "Urteile", "Dienste"):
        assert section(document, heading) in (["- keine"], ["- keines"]), heading
    assert section(decision_log("main", [], [], MOMENT), "Entscheidungen") == ["- keine"]


def test_a_halt_and_what_blocks_stand_there_in_german() -> None:
    document = stand(state="halted", halt=HALT, blockers=[TROUBLE])
    assert section(document, "Zustand")[:5] == [
        "- Zustand: Handel angehalten", "- Angehalten seit: 2024-03-04T00:00:00Z",
        "- Angehalten von: anna (operator)", "- Grund: zu heiß", "- Beleg: main:26",
    ]  # fmt: skip
    assert section(document, "Hindernisse") == [
        "- Dienst läuft nicht: core, seit 2024-03-04T00:00:00Z; Unavailable: no log"
    ]
    by_limit = stand(state="halted", halt=HALT | {"breach": BREACH})
    assert "- Grund: Tagesverlust: 94.999,5 gegen 95.000; Handel angehalten" in by_limit


def test_a_decision_says_what_when_who_why_and_what_became_of_it() -> None:
    refused = DECISION | {"what": "strategy_deactivated", "content": {"strategy": "ema"}, "why": None}
    refused["answer"] = {"id": "main:10", "applied": False, "reason": "not active", "at": "x"}
    waiting = DECISION | {"what": "calendar_imported", "content": {"entries": 3, "source": "ff"}, "answer": None}
    passed = DECISION | {"what": "limit_breached", "content": BREACH, "answer": None, "why": "equity"}
    document = decision_log("main", [DECISION, refused, waiting, passed], [], MOMENT)
    told = [part.splitlines() for part in document.partition("## Entscheidungen\n")[2].split("### ")[1:]]
    assert [part[0] for part in told] == [
        "2024-03-04T00:00:00Z · Handel angehalten", "2024-03-04T00:00:00Z · Strategie abgeschaltet",
        "2024-03-04T00:00:00Z · Kalender eingelesen", "2024-03-04T00:00:00Z · Grenze verletzt",
    ]  # fmt: skip
    assert told[0][2:8] == [
        "- Beleg: tape:5", "- Wer: anna (operator)", "- Was: Positionen bleiben offen", "- Warum: zu heiß",
        "- Verweis: halt", "- Antwort: angewandt (main:9)",
    ]  # fmt: skip
    assert "- Antwort: abgelehnt: not active (main:10)" in told[1]
    assert "- Was: 3 Einträge aus ff" in told[2]
    assert "- Antwort: noch keine" in told[2]
    assert "- Was: Tagesverlust: 94.999,5 gegen 95.000; Handel angehalten" in told[3]
    assert not any(line.startswith(("- Antwort", "- Warum")) for line in told[3])


def test_a_kind_of_decision_that_has_no_german_name_yet_is_told_by_its_own() -> None:
    document = decision_log("main", [DECISION | {"what": "gate_opened", "content": {}}], [], MOMENT)
    assert "### 2024-03-04T00:00:00Z · gate_opened" in document


def test_news_are_not_told_in_money() -> None:
    news = {"limit": "news_trading", "value_ns": 5, "bound_ns": 9, "symbol": "EURUSD", "halted": False}
    document = decision_log("main", [DECISION | {"what": "limit_breached", "content": news}], [], MOMENT)
    assert "- Was: Handel bei Nachrichten: zu nah an Nachrichten; Handel läuft weiter" in document


# -- how they read -----------------------------------------------------------------------------------------------------


def test_amounts_read_as_germans_write_them() -> None:
    assert [money(amount) for amount in ("90786.019143625", "-0.001", "-1234.5", None)] == [
        "90.786,02", "0,00", "-1.234,50", "–"
    ]  # fmt: skip
    assert [exact(amount) for amount in ("1.193230000", "109000.000000000", "0.000000000")] == [
        "1,19323",
        "109.000",
        "0",
    ]
    assert (ratio(-0.00001), ratio(1234.5678), share(0.2704), share(None)) == ("0,000", "1.234,568", "27,0 %", "–")


@given(st.text())
def test_somebodys_words_stay_words_on_one_line(said: str) -> None:
    shown = text(said)
    assert shown.isprintable()
    for sign in "`*<>[]#|!":
        assert sign not in shown.replace(f"\\{sign}", "")
    lines = stand(state="halted", halt=HALT | {"reason": said}).splitlines()
    assert len(lines) == len(stand(state="halted", halt=HALT).splitlines())
    assert sum(line.startswith("#") for line in lines) == sum(line.startswith("#") for line in stand().splitlines())


def test_what_hides_or_breaks_a_line_is_shown_or_gone() -> None:
    assert text("a\n# b\u2028c\x00d\u202ee <script>") == "a \\# b c\ufffdd\ufffde \\<script\\>"


# -- from the read models ----------------------------------------------------------------------------------------------


async def test_documents_of_one_moment_are_the_same_bytes(queries: Queries) -> None:
    for name in ("AKTUELLER_STAND", "DECISION_LOG"):
        for at in (AsOf(), AsOf(*(stop // 2 for stop in END)), END):
            document = await queries.document(name, at, 1, 2)
            assert document == await queries.document(name, at, 1, 2)
            assert f"`{at.token(queries.desk)}`" in document
            assert document.endswith("\n")
            assert not document.endswith("\n\n")
            assert "None" not in document
            assert all(line == line.rstrip() for line in document.splitlines())


async def test_a_later_decision_log_is_the_earlier_one_with_lines_behind_it(queries: Queries) -> None:
    """But for its head and its counts, which stand before the decisions."""
    logs = []
    for number in range(0, END.ledger + 1, END.ledger // 6):
        event = next((fact.event for fact in reversed(golden("ledger")) if fact.position <= number), None)
        document = await queries.document("DECISION_LOG", AsOf(event.ordinal if event else 0, number, 0), 1, 2)
        logs.append(document.partition("## Entscheidungen\n")[2])
    for earlier, later in itertools.pairwise(logs[1:]):
        assert later.startswith(earlier.rstrip("\n"))
    assert logs[-1].count("### ") > 8


async def test_one_changed_fact_changes_one_line(queries: Queries) -> None:
    found, metrics, counts = await queries.status(END), await queries.metrics(END), await queries.verdict_counts(END)
    before = aktueller_stand(found, metrics, counts, MOMENT)
    for path in (("account", "equity"), ("policy", "version"), ("limits", 0, "room"), ("services", 0, "since")):
        changed = copy.deepcopy(found)
        place: Any = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = "12345"
        after = aktueller_stand(changed, metrics, counts, MOMENT)
        moved = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
        assert len(moved) == 2, path
