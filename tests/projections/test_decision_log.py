"""The decision log: what was told, what became of it, and how often each rule refused."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ports import Fact
from projections import decision_log
from projections.decision_log import APPROVED, MODEL, REFUSED
from tests.canonical import INSTRUCTIONS, MONDAY, POLICY, SAID
from tests.projections.folds import DAY, check, event, golden, ledger, nanos, row, rows, tape, versions


def test_a_halt_stands_with_who_told_it_by_which_authority_when_and_why() -> None:
    said = row(MODEL, "instructions", tape(INSTRUCTIONS["trading_halted"]), 1)
    content = json.loads(said.pop("content"))
    head = {"id": "halt-1", "kind": "trading_halted", "at_ns": MONDAY, "reason": "lunch"}
    assert said == head | {"actor": SAID["actor"], "authority": SAID["authority"]}
    assert content == {"flatten": True}


def test_what_is_activated_stands_with_its_full_content() -> None:
    told = tape(INSTRUCTIONS["policy_activated"], INSTRUCTIONS["strategy_activated"], INSTRUCTIONS["account_opened"])
    contents = [json.loads(said["content"]) for said in rows(MODEL, "instructions", told).values()]
    assert contents[0] == {"policy": POLICY.model_dump(mode="json")}
    assert contents[1]["symbols"] == ["EURUSD", "USDJPY"]
    assert contents[2] == {"currency": "USD", "initial_balance_nanos": nanos(100_000)}


def test_of_a_calendar_stand_its_source_and_how_many_entries() -> None:
    said = row(MODEL, "instructions", tape(INSTRUCTIONS["calendar_imported"]), 1)
    assert (json.loads(said["content"]), said["reason"]) == ({"source": "calendar.csv", "entries": 1}, None)


def test_orders_signals_and_notes_about_the_tape_are_no_decisions() -> None:
    kinds = {said["kind"] for said in rows(MODEL, "instructions", golden("tape")).values()}
    assert kinds == {
        "engine_activated", "account_opened", "policy_activated", "strategy_activated", "calendar_imported",
        "trading_halted", "trading_resumed",
    }  # fmt: skip


def test_every_instruction_of_the_tape_finds_its_answer_in_the_ledger() -> None:
    answers = rows(MODEL, "answers", golden("ledger"))
    for told in rows(MODEL, "instructions", golden("tape")).values():
        answer = answers[(told["id"],)]
        assert (answer["kind"], answer["applied"], bool(answer["reason"])) == (
            told["kind"], told["id"] != "refused", told["id"] == "refused",
        )  # fmt: skip


def test_a_refusal_says_why() -> None:
    said = row(MODEL, "answers", ledger(*DAY), "activate-27")
    assert (said["number"], said["applied"]) == (27, False)
    assert "no instrument 'XAUUSD'" in said["reason"]


def test_a_breach_stands_with_its_value_and_bound_and_at_midnight_without_an_instrument() -> None:
    said = rows(MODEL, "breaches", ledger(*DAY, event("limit_breached", 31, symbol="")))
    assert said[(30,)] == {
        "limit_name": "daily_loss", "value": nanos("95022.630355"), "bound": nanos("95022.630356"),
        "symbol": "EURUSD", "halted": True, "at_ns": DAY[-1].occurred_at_ns,
    }  # fmt: skip
    assert said[(31,)]["symbol"] is None


_verdicts = st.lists(
    st.tuples(st.sampled_from(["a@1", "a@2"]), st.sets(st.sampled_from(["trend", "news", "positions"]))), max_size=20
)


def _verdict(number: int, policy: str, failed: set[str]) -> Any:
    results = [
        {"rule": rule, "value": 0, "limit": 0, "passed": rule not in failed, "says": ""}
        for rule in ("trend", "news", "positions")
    ]
    verdict = "refused" if failed else "approved"
    return event("signal_assessed", number, policy=policy, verdict=verdict, rules=results)


@given(_verdicts, st.integers(0, 20))
def test_at_any_position_the_counts_are_those_of_the_verdicts_up_to_it(
    verdicts: list[tuple[str, set[str]]], at: int
) -> None:
    facts = ledger(*(_verdict(number, *verdict) for number, verdict in enumerate(verdicts, 1)))
    counted: Counter[tuple[str, str]] = Counter()
    for policy, failed in verdicts[:at]:
        counted.update((policy, rule) for rule in [REFUSED if failed else APPROVED, *failed])
    assert {key: said["count"] for key, said in rows(MODEL, "verdict_counts", facts, at=at).items()} == counted
    assert versions(MODEL, "verdict_counts", facts, cuts=[at]) == versions(MODEL, "verdict_counts", facts)


def test_every_value_fits_its_column_and_no_restart_changes_one() -> None:
    check(MODEL, ledger(*DAY))
    check(MODEL, golden("ledger")[:300])
    check(MODEL, golden("tape"), "tape")


@pytest.mark.parametrize("evolve", [decision_log.told, decision_log.decided])
def test_another_event_is_refused(evolve: Any) -> None:
    fact = Fact(1, 0, event("account_marked", 1))
    with pytest.raises(TypeError, match="does not listen to AccountMarked"):
        list(evolve(decision_log.Memory(), fact))
