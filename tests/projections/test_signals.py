"""Signals with their verdicts: which rules refused, and what was asked for without a signal."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ports import END
from projections.projection import Folding
from projections.signals import MODEL, Memory
from tests.projections import folds
from tests.projections.folds import DAY, event, nanos, row, rows, versions

FACTS = folds.ledger(*DAY)
DECIDED = ("verdict", "verdict_number", "quantity", "risk", "size_ppm", "policy", "refused_by", "rules", "sizing")
ONLY_SIGNALS = ("version", "parameters_hash", "bar_time_ns", "level_price", "entry_price", "confidence_ppm")


def test_a_signal_stands_before_its_verdict_and_then_with_it() -> None:
    raised, assessed = (row(MODEL, "signals", FACTS, 4, at=at) for at in (4, 5))
    assert raised == {
        "correlation": 4, "at_ns": DAY[3].occurred_at_ns, "strategy": "m5_bos_retest", "version": 1,
        "parameters_hash": "00ff00ff00ff00ff", "symbol": "EURUSD", "side": "sell",
        "bar_time_ns": DAY[3].bar_time_ns, "level_price": nanos("1.08503"), "entry_price": nanos("1.08495"),
        "stop_price": nanos("1.08515"), "target_price": nanos("1.08445"), "confidence_ppm": 612_345,
        **dict.fromkeys(DECIDED),
    }  # fmt: skip
    assert assessed == raised | {
        "verdict": "approved", "verdict_number": 5, "quantity": nanos(50_000), "risk": 12_345_678_901,
        "size_ppm": 800_000, "policy": "canonical@3", "refused_by": [], "rules": assessed["rules"],
        "sizing": assessed["sizing"],
    }  # fmt: skip
    assert json.loads(assessed["rules"]) == [rule.model_dump() for rule in DAY[4].rules]
    assert json.loads(assessed["sizing"]) == DAY[4].sizing.model_dump()


def test_a_refused_signal_names_the_rules_that_did_not_pass_and_only_those() -> None:
    refused = row(MODEL, "signals", FACTS, 24)
    assert (refused["verdict"], refused["quantity"]) == ("refused", 0)
    assert refused["refused_by"] == ["session", "positions"]
    assert [rule["rule"] for rule in json.loads(refused["rules"])] == ["not_halted", "session", "positions"]


def test_an_order_that_was_asked_for_has_a_row_under_its_verdicts_number() -> None:
    asked = row(MODEL, "signals", FACTS, 20)
    assert (asked["strategy"], asked["verdict_number"], asked["side"]) == ("request", 20, "buy")
    assert (asked["correlation"], asked["at_ns"]) == (19, DAY[19].occurred_at_ns)
    assert [asked[name] for name in ONLY_SIGNALS] == [None] * len(ONLY_SIGNALS)
    assert rows(MODEL, "signals", FACTS).keys() == {(4,), (20,), (24,)}


def test_a_signal_without_bar_stop_and_target_says_that_there_is_none() -> None:
    bare = event("signal_raised", 1, strategy="hand_made", version=0, parameters_hash="", bar_time_ns=0, stop_nanos=0,
                 target_nanos=0)  # fmt: skip
    told = row(MODEL, "signals", folds.ledger(bare), 1)
    assert (told["bar_time_ns"], told["stop_price"], told["target_price"], told["version"]) == (None, None, None, 0)


def test_signals_of_a_desk_without_account_are_not_remembered_for_a_verdict_that_never_comes() -> None:
    folding = Folding(MODEL.folds[0])
    silent = folds.ledger(*(event("signal_raised", number) for number in range(1, 200)))
    folding.take(silent, 199)
    assert len(folding.remembered()) < 600
    folding.take(folds.ledger(event("signal_assessed", 200, causation=199)), 200)
    assert folding.memory == Memory()


def test_a_verdict_is_never_given_to_another_signal() -> None:
    facts = folds.ledger(event("signal_raised", 5), event("signal_assessed", 6, causation=1))
    assert row(MODEL, "signals", facts, 5)["verdict"] is None
    assert row(MODEL, "signals", facts, 6)["strategy"] == "request"


def test_its_tables_and_its_restarts_are_sound() -> None:
    folds.check(MODEL, FACTS)
    kinds = ("signal_raised", "signal_assessed")
    folds.check(MODEL, [fact for fact in folds.golden("ledger") if fact.event.type in kinds][:60])


@st.composite
def ledgers(draw: st.DrawFn) -> list[Any]:
    """Signals with and without verdicts, and orders that were asked for, in any order."""
    events: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(["signal", "silent", "request"]), max_size=15)):
        number = len(events) + 1
        entry = draw(st.integers(1, 2**60))
        if kind != "request":
            events.append(event("signal_raised", number, entry_nanos=entry))
        if kind != "silent":
            passed = draw(st.lists(st.booleans(), min_size=1, max_size=4))
            rules = [
                {"rule": f"rule_{place}", "value": entry, "limit": -entry, "passed": ok, "says": f"„{place}“ 'ß'\n"}
                for place, ok in enumerate(passed)
            ]
            cause = {"signal": number, "request": number - 1 or None}[kind]
            if kind == "request":
                events.append(event("instruction_applied", number, kind="order_requested"))
                cause = number
            verdict = "approved" if all(passed) else "refused"
            events.append(event("signal_assessed", number + 1, causation=cause, rules=rules, verdict=verdict))
    return events


@given(ledgers(), st.data())
@settings(max_examples=150, deadline=None)
def test_every_signal_and_every_request_has_its_row_with_its_own_verdict(
    events: list[Any], data: st.DataObject
) -> None:
    facts = folds.ledger(*events)
    verdicts = {one.causation: one for one in events if one.type == "signal_assessed"}
    expected = {}
    for one in events:
        own = verdicts.get(one.number)
        if one.type == "signal_raised":
            expected[one.number] = (one.entry_nanos, own)
        elif one.type == "instruction_applied" and own:
            expected[own.number] = (None, own)
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    held = versions(MODEL, "signals", facts, cuts)
    told = {key[0]: signal for key, _, until, signal in held if until == END}
    assert {number: (signal["entry_price"], signal["verdict_number"]) for number, signal in told.items()} == {
        number: (entry, own.number if own else None) for number, (entry, own) in expected.items()
    }
    for number, (_, own) in expected.items():
        if own:
            assert told[number]["refused_by"] == [rule.rule for rule in own.rules if not rule.passed]
            assert (told[number]["verdict"] == "approved") == (told[number]["refused_by"] == [])
            assert json.loads(told[number]["rules"]) == [rule.model_dump() for rule in own.rules]
