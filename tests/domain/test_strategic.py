"""Every strategic rule passes and fails at its exact boundary, and says why in a sentence."""

from typing import Any

import pytest

from domain.policy import FORBID, LOWER, OBSERVE
from domain.rules import NO_LIMIT, NO_NEWS
from domain.strategic import STRATEGIC, below_floor
from domain.tape import LONDON_OPEN, NEW_YORK_OPEN, SYDNEY_OPEN, TOKYO_OPEN
from tests.domain.facts import MINUTE, SECOND, ask, facts, terms

RULES = {rule.name: rule for rule in STRATEGIC}
LONDON_AND_NEW_YORK = LONDON_OPEN | NEW_YORK_OPEN
SOLD = {"side": -1, "level": 1_100_100_000, "stop": 1_102_000_000, "target": 1_096_000_000, "trend": -1}
JUDGED = {"shadow_trades": 30, "shadow_wins": 21, "shadow_drawdown_milli_r": 10_000}

CASES: list[tuple[str, dict[str, int], dict[str, int], bool, str]] = [
    ("alignment", {}, {}, True, "entry agrees with level, stop and target"),
    ("alignment", SOLD, {}, True, "entry agrees with level, stop and target"),
    ("alignment", {"level": 1_100_000_000}, {}, True, "entry agrees with level, stop and target"),
    ("alignment", {"level": 1_100_000_001}, {}, False, "1 of level, stop and target on the wrong side of the entry"),
    ("alignment", {"stop": 1_100_000_000}, {}, False, "1 of level, stop and target on the wrong side of the entry"),
    ("alignment", {"target": 1_100_000_000}, {}, False, "1 of level, stop and target on the wrong side of the entry"),
    ("alignment", {"side": -1}, {}, False, "3 of level, stop and target on the wrong side of the entry"),
    ("alignment", SOLD | {"side": 1}, {}, False, "3 of level, stop and target on the wrong side of the entry"),
    ("alignment", {"level": 0, "stop": 0, "target": 0}, {}, True, "entry agrees with level, stop and target"),
    ("alignment", {"entry": 0}, {}, True, "entry agrees with level, stop and target"),
    ("trend", {}, {}, True, "buy goes with the H1 trend, which is up"),
    ("trend", SOLD, {}, True, "sell goes with the H1 trend, which is down"),
    ("trend", {"trend": -1}, {}, False, "buy goes against the H1 trend, which is down"),
    ("trend", {"side": -1}, {}, False, "sell goes against the H1 trend, which is up"),
    ("trend", {"side": -1}, {"with_trend": 0}, True, "sell goes against the H1 trend, which is up, and may"),
    ("trend", {"trend": 0}, {}, True, "H1 trend is not known yet"),
    ("market_session", {}, {}, True, "open: London"),
    ("market_session", {"sessions_open": LONDON_AND_NEW_YORK | TOKYO_OPEN}, {}, True, "open: Tokyo, London, New York"),
    ("market_session", {"sessions_open": SYDNEY_OPEN | TOKYO_OPEN}, {}, False,
     "open: Sydney, Tokyo; wanted: London, New York"),
    ("market_session", {"sessions_open": 0}, {}, False, "open: none; wanted: London, New York"),
    ("market_session", {"sessions_open": 0}, {"sessions": 0}, True, "any session is allowed"),
    ("market_session", {"sessions_open": 0, "always_open": 1}, {}, True, "market is always open"),
    ("volatility", {"atr": 30_000}, {}, True, "M1 ATR 0.3 pips is inside the band, whose nearer bound is 0.3 pips"),
    ("volatility", {"atr": 29_900}, {}, False, "M1 ATR 0.299 pips is below the band from 0.3 pips"),
    ("volatility", {"atr": 20_000}, {}, False, "M1 ATR 0.2 pips is below the band from 0.3 pips"),
    ("volatility", {"atr": 1_500_000}, {}, True, "M1 ATR 15 pips is inside the band, whose nearer bound is 15 pips"),
    ("volatility", {"atr": 1_500_100}, {}, False, "M1 ATR 15.001 pips is above the band up to 15 pips"),
    ("volatility", {"atr": 10**15}, {"atr_pips_max_thousandths": NO_LIMIT}, True,
     "M1 ATR 10,000,000,000 pips is inside the band, whose nearer bound is 0.3 pips"),
    ("volatility", {"atr": 200_000}, {"atr_pips_min_thousandths": 0}, True,
     "M1 ATR 2 pips is inside the band, whose nearer bound is 15 pips"),
    ("volatility", {"atr": 1}, {"atr_pips_min_thousandths": 0, "atr_pips_max_thousandths": NO_LIMIT}, True,
     "M1 ATR 0 pips, any is allowed"),
    ("volatility", {"atr": 101}, {"atr_pips_min_thousandths": 0, "atr_pips_max_thousandths": 0}, False,
     "M1 ATR 0.001 pips is above the band up to 0 pips"),
    ("volatility", {"atr": 1}, {}, False, "M1 ATR 0 pips is below the band from 0.3 pips"),
    ("volatility", {"atr": 0}, {}, True, "M1 ATR is not known yet"),
    ("news", {}, {}, True, "no relevant news is near"),
    ("news", {"calendar_entries": 0}, {}, True, "calendar is empty: no news is known"),
    ("news", {"news_gap_ns": 0}, {"news_impact_min": 0}, True, "news is ignored"),
    ("news", {"news_gap_ns": 30 * MINUTE}, {}, False, "relevant news is due in 30 min, inside the window of 30 min"),
    ("news", {"news_gap_ns": 30 * MINUTE + 1}, {}, True,
     "relevant news is due in 30 min 1 s, outside the window of 30 min"),
    ("news", {"news_gap_ns": -30 * MINUTE}, {}, False, "relevant news is 30 min old, inside the window of 30 min"),
    ("news", {"news_gap_ns": -30 * MINUTE - 1}, {}, True,
     "relevant news is 30 min 1 s old, outside the window of 30 min"),
    ("news", {"news_gap_ns": -MINUTE}, {"news_after_ns": 0}, True,
     "relevant news is 1 min old, outside the window of 0 s"),
    ("news", {"news_gap_ns": 0}, {"news_before_ns": 0}, False, "relevant news is due in 0 s, inside the window of 0 s"),
    ("news", {"news_gap_ns": -NO_NEWS}, {}, True,
     "relevant news is 2,562,047 h 47 min 17 s old, outside the window of 30 min"),
    ("performance_floor", JUDGED, {"performance_floor": FORBID}, True,
     "win rate 70 % of shadow trades is at least 70 %"),
    ("performance_floor", JUDGED | {"shadow_wins": 20}, {"performance_floor": FORBID}, False,
     "win rate 66.6666 % of shadow trades is below 70 %"),
    ("performance_floor", JUDGED | {"shadow_wins": 20}, {"performance_floor": LOWER}, True,
     "win rate 66.6666 % of shadow trades is below 70 %, which forbids nothing"),
    ("performance_floor", JUDGED | {"shadow_wins": 20}, {"performance_floor": OBSERVE}, True,
     "win rate 66.6666 % of shadow trades is below 70 %, which forbids nothing"),
    ("performance_floor", JUDGED | {"shadow_drawdown_milli_r": 10_001}, {"performance_floor": FORBID}, False,
     "win rate 70 % of shadow trades is at least 70 %, but their drawdown is too deep"),
    ("performance_floor", {"shadow_trades": 29}, {"performance_floor": FORBID}, True,
     "29 of 30 shadow trades: not judged yet"),
    ("performance_floor", {}, {"performance_floor": FORBID}, True, "0 of 30 shadow trades: not judged yet"),
    ("performance_floor", {"shadow_trades": 10**9, "shadow_wins": 7 * 10**8 - 1}, {"performance_floor": FORBID}, False,
     "win rate 69.9999 % of shadow trades is below 70 %"),
    ("minimum_confidence", {"confidence_ppm": 612_000}, {"confidence_min_ppm": 500_000}, True,
     "confidence 61.2 % is at least 50 %"),
    ("minimum_confidence", {"confidence_ppm": 500_000}, {"confidence_min_ppm": 500_000}, True,
     "confidence 50 % is at least 50 %"),
    ("minimum_confidence", {"confidence_ppm": 499_999}, {"confidence_min_ppm": 500_000}, False,
     "confidence 49.9999 % is below 50 %"),
    ("signal_age", {"bar_age_ns": 5 * MINUTE}, {}, True, "signal is 5 min old, at most 5 min"),
    ("signal_age", {"bar_age_ns": 5 * MINUTE + 1}, {}, False,
     "signal is 5 min 0.000000001 s old, more than 5 min"),
    ("signal_age", {"bar_age_ns": 1}, {"bar_age_max_ns": 0}, False, "signal is 0.000000001 s old, more than 0 s"),
    ("signal_age", {"bar_age_ns": 90 * MINUTE + SECOND // 2}, {"bar_age_max_ns": NO_LIMIT}, True,
     "signal is 1 h 30 min 0.5 s old, any age is allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "policy", "passed", "sentence"), CASES)
def test_a_rule_holds_at_its_boundary_and_says_why(
    name: str, changes: dict[str, int], policy: dict[str, int], passed: bool, sentence: str
) -> None:
    assert ask(RULES[name], facts(**changes), terms(**policy)) == (passed, sentence)


def test_every_rule_is_tried_on_both_sides_of_its_boundary() -> None:
    assert {(name, passed) for name, _, _, passed, _ in CASES} == {(name, p) for name in RULES for p in (True, False)}


def test_the_rules_stand_in_the_order_in_which_a_trader_asks() -> None:
    assert [rule.name for rule in STRATEGIC] == [
        "alignment", "trend", "market_session", "volatility", "news", "performance_floor", "minimum_confidence",
        "signal_age",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "below"),
    [
        (JUDGED, False),
        (JUDGED | {"shadow_wins": 20}, True),
        (JUDGED | {"shadow_drawdown_milli_r": 10_001}, True),
        (JUDGED | {"shadow_trades": 29, "shadow_wins": 0}, False),
    ],
)
def test_a_strategy_is_below_the_floor_only_when_it_can_be_judged(changes: dict[str, int], below: bool) -> None:
    assert below_floor(facts(**changes), terms()) is below


@pytest.mark.parametrize("rule", STRATEGIC, ids=lambda rule: rule.name)
def test_an_ordinary_trade_passes(rule: Any) -> None:
    assert ask(rule, facts(), terms())[0]
