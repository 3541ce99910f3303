"""Every rule about the sized order passes and fails at its exact boundary, and says why in a sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.policy import FIXED, REFUSE, REVERSE
from domain.risk import RISK, reduces
from domain.rules import FACTS, NO_LIMIT
from domain.sizing import size
from domain.tape import WEEK_CLOSING
from tests.domain.facts import LOT, NANO, SECOND, ask, facts, terms

RULES = {rule.name: rule for rule in RISK}

SIZED = {"quantity": 100 * LOT, "unfloored": 100 * LOT + 7, "risk": 200 * NANO, "margin": 5_500 * NANO}
WAY_OUT = {"own_pattern": 0, "held": -150 * LOT}  # an order that was asked for and reduces
NO_NEWS_TRADING = {"no_news_trading": 1}
WEEKEND = {"sessions_open": WEEK_CLOSING}
NO_RISK_LIMIT = {"risk_per_trade_max_ppm": NO_LIMIT, "daily_risk_max_ppm": NO_LIMIT}
RATE, NO_RATE = {"signals_per_minute_max": 60}, {"signals_per_minute_max": NO_LIMIT}
# value of 100,000 EUR bought: 110,000.00 of account money more of the base currency, as much less of the quote currency
EXPOSED = {"base_exposure": 40_000 * NANO, "quote_exposure": -30_000 * NANO}

CASES: list[tuple[str, dict[str, int], dict[str, int], bool, str]] = [
    ("not_before_weekend", {}, {}, True, "the weekend is not near"),
    ("not_before_weekend", WEEKEND, {"flat_before_weekend": 1}, False, "the account is flat over the weekend"),
    ("not_before_weekend", WEEKEND, {}, True, "the weekend is near, but the order may go through it"),
    ("not_near_news", {"blackout_gap_ns": 0}, {}, True, "the account may trade near news"),
    ("not_near_news", {"calendar_entries": 0}, NO_NEWS_TRADING, True, "calendar is empty: no news is known"),
    ("not_near_news", {}, NO_NEWS_TRADING, True, "no relevant news is near"),
    ("not_near_news", {"blackout_gap_ns": 90 * SECOND}, NO_NEWS_TRADING, False,
     "relevant news is due in 1 min 30 s, inside the window of 2 min"),
    ("not_near_news", {"blackout_gap_ns": -1}, NO_NEWS_TRADING, False,
     "relevant news is 1 s old, inside the window of 2 min"),
    ("not_near_news", {"blackout_gap_ns": 0} | WAY_OUT, NO_NEWS_TRADING, True,
     "relevant news is due in 0 s, inside the window of 2 min, but the order only reduces a position"),
    ("signal_rate", {"signals_this_minute": 61}, NO_RATE, True, "signal 61 of this minute, no limit"),
    ("signal_rate", {"signals_this_minute": 1}, {"signals_per_minute_max": 0}, False,
     "signal 1 of this minute, above the 0 allowed"),
    ("signal_rate", {"signals_this_minute": 60}, RATE, True, "signal 60 of this minute, of 60 allowed"),
    ("signal_rate", {"signals_this_minute": 61}, RATE, False, "signal 61 of this minute, above the 60 allowed"),
    ("signal_rate", {"signals_this_minute": 9, "own_pattern": 0}, {"signals_per_minute_max": 8}, True,
     "signal 9 of this minute, of 8 allowed"),
    ("not_halted", {}, {}, True, "trading is not halted"),
    ("not_halted", {"halted": 1}, {}, False, "trading is halted"),
    ("not_halted", {"halted": 1} | WAY_OUT, {}, True, "trading is halted, but the order only reduces a position"),
    ("price_is_fresh", {"quote_age_ns": 30 * SECOND}, {}, True, "price is 30 s old, at most 30 s"),
    ("price_is_fresh", {"quote_age_ns": 30 * SECOND + 1}, {}, False, "price is 30.000000001 s old, more than 30 s"),
    ("price_is_fresh", {"quote_age_ns": 250_000_000}, {"stale_after_ns": NO_LIMIT}, True,
     "price is 0.25 s old, any age is allowed"),
    ("price_is_fresh", {"quote_age_ns": 1}, {"stale_after_ns": 0}, False,
     "price is 0.000000001 s old, more than 0 s"),
    ("price_is_fresh", {"quote_age_ns": -1}, {"stale_after_ns": NO_LIMIT}, False, "there was no price yet"),
    ("rate_is_known", {"unit_value": 1}, {}, True, "1,000 units are worth 0.00"),
    ("rate_is_known", {}, {}, True, "1,000 units are worth 1,100.00"),
    ("rate_is_known", {"unit_value": 0}, {}, False, "no rate to the account's currency is known"),
    ("stop_is_known", {}, {}, True, "1,000 units lose 2.00 at the stop"),
    ("stop_is_known", {"unit_loss": 0, "quantity": 0}, {}, False, "no stop, and the size needs one"),
    ("stop_is_known", {"unit_loss": 0, "quantity": 0}, {"method": FIXED}, False, "no stop, and the size needs one"),
    ("stop_is_known", {"unit_loss": 0, "own_pattern": 0}, {}, False, "no stop, and the size needs one"),
    ("stop_is_known", {"unit_loss": 0, "quantity": 0}, {"method": FIXED} | NO_RISK_LIMIT, True,
     "no stop, and the size does not need one"),
    ("stop_is_known", {"unit_loss": 0, "own_pattern": 0}, NO_RISK_LIMIT, True,
     "no stop, and the size does not need one"),
    ("stop_is_known", {"unit_loss": 0} | WAY_OUT, {}, True, "no stop, and the size does not need one"),
    ("smallest_lot", {"quantity": LOT, "unfloored": LOT}, {}, True, "size 1,000 fills the smallest lot 1,000"),
    ("smallest_lot", {"quantity": 0, "unfloored": LOT - 1}, {}, False,
     "size 999.999999999 does not fill the smallest lot 1,000"),
    ("smallest_lot", {"own_pattern": 0, "quantity": 5 * NANO, "unfloored": 5 * NANO, "held": -5 * NANO}, {}, True,
     "size 5 closes the position"),
    ("smallest_lot", {"own_pattern": 0, "quantity": 5 * NANO, "unfloored": 5 * NANO, "held": -6 * NANO}, {}, False,
     "size 5 does not fill the smallest lot 1,000"),
    ("lot_step", {}, {}, True, "size 100,000 is in steps of 1,000"),
    ("lot_step", {"quantity": LOT + 1}, {}, False, "size 1,000.000000001 is not in steps of 1,000"),
    ("lot_step", {"own_pattern": 0, "quantity": LOT + 1, "held": -LOT - 1}, {}, True,
     "size 1,000.000000001 closes the position"),
    ("largest_lot", {"quantity": 10_000 * LOT}, {}, True, "size 10,000,000 is at most the largest 10,000,000"),
    ("largest_lot", {"quantity": 10_000 * LOT + 1}, {}, False,
     "size 10,000,000.000000001 is above the largest 10,000,000"),
    ("largest_lot", {"quantity": 6_000 * LOT, "held": -4_000 * LOT}, {"on_opposite": REVERSE}, True,
     "size 10,000,000 is at most the largest 10,000,000"),
    ("largest_lot", {"quantity": 6_000 * LOT, "held": -4_001 * LOT}, {"on_opposite": REVERSE}, False,
     "size 10,001,000 is above the largest 10,000,000"),
    ("largest_lot", {"quantity": 6_000 * LOT, "held": -4_001 * LOT}, {"on_opposite": REFUSE}, True,
     "size 6,000,000 is at most the largest 10,000,000"),
    ("risk_per_trade", {"risk": 1_000 * NANO}, {}, True, "risk 1,000.00 of 1,000.00 allowed"),
    ("risk_per_trade", {"risk": 1_000 * NANO + 1}, {}, False, "risk 1,000.00 is above 1,000.00 allowed"),
    ("risk_per_trade", {"risk": 1_234_567 * NANO}, {"risk_per_trade_max_ppm": NO_LIMIT}, True,
     "risk 1,234,567.00, no limit"),
    ("risk_per_trade", {"risk": 1}, {"risk_per_trade_max_ppm": 0}, False, "risk 0.00 is above 0.00 allowed"),
    ("risk_per_trade", {"risk": 1_200 * NANO} | WAY_OUT, {}, True,
     "risk 1,200.00 is above 1,000.00 allowed, but the order reduces it"),
    ("risk_per_trade", {"equity": -NANO, "risk": 0}, {}, False, "risk 0.00 is above -0.01 allowed"),
    ("daily_risk", {"day_lost": 3_000 * NANO, "open_risk": 1_800 * NANO}, {}, True,
     "today's loss with open and new risk 5,000.00 of 5,000.00 allowed"),
    ("daily_risk", {"day_lost": 3_000 * NANO, "open_risk": 1_800 * NANO + 1}, {}, False,
     "today's loss with open and new risk 5,000.00 is above 5,000.00 allowed"),
    ("daily_risk", {"day_lost": 9_000 * NANO}, {"daily_risk_max_ppm": NO_LIMIT}, True,
     "today's loss with open and new risk 9,200.00, no limit"),
    ("daily_risk", {"day_lost": 9_000 * NANO} | WAY_OUT, {}, True,
     "today's loss with open and new risk 9,200.00 is above 5,000.00 allowed, but the order reduces it"),
    ("daily_loss_room", {}, {}, True, "open and new risk before the daily limit 200.00, no limit"),
    ("daily_loss_room", {"open_risk": 800 * NANO, "daily_room": 1_000 * NANO}, {}, True,
     "open and new risk before the daily limit 1,000.00 of 1,000.00 allowed"),
    ("daily_loss_room", {"open_risk": 801 * NANO, "daily_room": 1_000 * NANO}, {}, False,
     "open and new risk before the daily limit 1,001.00 is above 1,000.00 allowed"),
    ("daily_loss_room", {"daily_room": -NANO} | WAY_OUT, {}, True,
     "open and new risk before the daily limit 200.00 is above -1.00 allowed, but the order reduces it"),
    ("total_loss_room", {"open_risk": 800 * NANO, "total_room": 1_000 * NANO}, {}, True,
     "open and new risk before the total limit 1,000.00 of 1,000.00 allowed"),
    ("total_loss_room", {"open_risk": 800 * NANO, "total_room": 1_000 * NANO - 1}, {}, False,
     "open and new risk before the total limit 1,000.00 is above 1,000.00 allowed"),
    ("total_loss_room", {"total_room": 0} | WAY_OUT, {}, True,
     "open and new risk before the total limit 200.00 is above 0.00 allowed, but the order reduces it"),
    ("positions", {"positions": 1}, {}, True, "instruments in the market: 2 of 2 allowed"),
    ("positions", {"positions": 2}, {}, False, "instruments in the market: 3 is above 2 allowed"),
    ("positions", {"positions": 3, "held": LOT}, {}, True,
     "instruments in the market: 3 is above 2 allowed, but this is one of them"),
    ("positions", {"positions": 2, "entering": 1}, {}, True, "instruments in the market: 2 of 2 allowed"),
    ("positions", {}, {"positions_max": 0}, False, "instruments in the market: 1 is above 0 allowed"),
    ("working_orders", {}, {"orders_max": 0}, False, "working orders: 1 is above 0 allowed"),
    ("one_way", {}, {}, True, "no position stands in its way"),
    ("one_way", {"entering": 1}, {}, False, "an entry order is working already"),
    ("one_way", {"held": LOT}, {"on_opposite": REVERSE}, False, "a position of 1,000 is open already"),
    ("one_way", {"side": -1, "held": -LOT}, {"on_opposite": REVERSE}, False, "a position of 1,000 is open already"),
    ("one_way", {"held": -LOT}, {"on_opposite": REFUSE}, False, "a position of 1,000 stands against it"),
    ("one_way", {"held": -LOT}, {"on_opposite": REVERSE}, True,
     "a position of 1,000 stands against it, which it may change"),
    ("one_way", {"held": -LOT, "entering": 1}, {"on_opposite": REVERSE}, False,
     "a position of 1,000 stands against it"),
    ("one_way", {"own_pattern": 0, "held": LOT, "entering": 1}, {}, True, "adds to a position of 1,000"),
    ("one_way", {"own_pattern": 0, "held": -LOT}, {}, True,
     "a position of 1,000 stands against it, which it may change"),
    ("working_orders", {"orders": 199}, {}, True, "working orders: 200 of 200 allowed"),
    ("working_orders", {"orders": 200}, {}, False, "working orders: 201 is above 200 allowed"),
    ("symbol_exposure", {}, {"symbol_exposure_max_ppm": 1_100_000}, True,
     "exposure in this instrument 110,000.00 of 110,000.00 allowed"),
    ("symbol_exposure", {}, {"symbol_exposure_max_ppm": 1_099_999}, False,
     "exposure in this instrument 110,000.00 is above 109,999.90 allowed"),
    ("symbol_exposure", {"held": 100 * LOT}, {"symbol_exposure_max_ppm": 2_199_999}, False,
     "exposure in this instrument 220,000.00 is above 219,999.90 allowed"),
    ("symbol_exposure", {"held": -200 * LOT}, {"symbol_exposure_max_ppm": 1}, True,
     "exposure in this instrument 110,000.00 is above 0.10 allowed, but the order reduces it"),
    ("symbol_exposure", {"held": -100 * LOT}, {"symbol_exposure_max_ppm": 1, "on_opposite": REVERSE}, False,
     "exposure in this instrument 110,000.00 is above 0.10 allowed"),
    ("symbol_exposure", {}, {"symbol_exposure_max_ppm": 0}, False,
     "exposure in this instrument 110,000.00 is above 0.00 allowed"),
    ("symbol_exposure", {}, {"symbol_exposure_max_ppm": NO_LIMIT}, True,
     "exposure in this instrument 110,000.00, no limit"),
    ("currency_exposure", EXPOSED, {"currency_exposure_max_ppm": 1_500_000}, True,
     "exposure in one currency 150,000.00 of 150,000.00 allowed"),
    ("currency_exposure", EXPOSED, {"currency_exposure_max_ppm": 1_499_999}, False,
     "exposure in one currency 150,000.00 is above 149,999.90 allowed"),
    ("currency_exposure", EXPOSED | {"base_exposure": -150_000 * NANO}, {"currency_exposure_max_ppm": 1_399_999},
     False, "exposure in one currency 140,000.00 is above 139,999.90 allowed"),
    ("currency_exposure", {"base_exposure": -300_000 * NANO, "quote_exposure": 300_000 * NANO},
     {"currency_exposure_max_ppm": 1}, True,
     "exposure in one currency 190,000.00 is above 0.10 allowed, but the order reduces it"),
    ("currency_exposure", EXPOSED | WAY_OUT, {"currency_exposure_max_ppm": 1}, True,
     "exposure in one currency 150,000.00 is above 0.10 allowed, but the order reduces it"),
    ("currency_exposure", EXPOSED, {"currency_exposure_max_ppm": NO_LIMIT}, True,
     "exposure in one currency 150,000.00, no limit"),
    ("currency_exposure", {"held": -100 * LOT, "base_exposure": -110_000 * NANO, "quote_exposure": 110_000 * NANO},
     {"currency_exposure_max_ppm": 1_100_000, "on_opposite": REVERSE}, True,
     "exposure in one currency 110,000.00 of 110,000.00 allowed"),
    ("free_margin", {"margin_free": 5_500 * NANO}, {}, True, "margin 5,500.00 of 5,500.00 allowed"),
    ("free_margin", {"margin_free": 5_500 * NANO - 1}, {}, False, "margin 5,500.00 is above 5,500.00 allowed"),
    ("free_margin", {"margin_free": -NANO} | WAY_OUT, {}, True,
     "margin 5,500.00 is above -1.00 allowed, but the order reduces it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "policy", "passed", "sentence"), CASES)
def test_a_rule_holds_at_its_boundary_and_says_why(
    name: str, changes: dict[str, int], policy: dict[str, int], passed: bool, sentence: str
) -> None:
    assert ask(RULES[name], facts(**(SIZED | changes)), terms(**policy)) == (passed, sentence)


def test_every_rule_is_tried_on_both_sides_of_its_boundary() -> None:
    assert {(name, passed) for name, _, _, passed, _ in CASES} == {(name, p) for name in RULES for p in (True, False)}


def test_an_ordinary_trade_passes() -> None:
    f, p = facts(), terms()
    size(f, p)
    assert f["quantity"] == 500 * LOT
    assert [rule.name for rule in RISK if not ask(rule, f, p)[0]] == []


@pytest.mark.parametrize(
    ("changes", "only_reduces"),
    [
        ({"held": -LOT}, True),
        ({"held": -2 * LOT}, True),
        ({"held": -LOT + 1}, False),  # it would cross to the other side
        ({"held": 0}, False),
        ({"held": LOT}, False),
        ({"held": LOT, "side": -1}, True),
        ({"held": -LOT, "quantity": 0}, False),
        ({"held": -LOT, "own_pattern": 1}, False),
    ],
)
def test_only_an_order_that_was_asked_for_and_never_crosses_to_the_other_side_reduces(
    changes: dict[str, int], only_reduces: bool
) -> None:
    assert reduces(facts(**({"own_pattern": 0, "quantity": LOT} | changes))) is only_reduces


MONEY = st.integers(-(10**17), 10**17)
HOSTILE = {
    "halted": st.integers(0, 1),
    "equity": MONEY, "balance": MONEY, "peak": MONEY, "day_balance": MONEY, "day_lost": st.integers(0, 10**17),
    "daily_room": MONEY | st.just(NO_LIMIT), "total_room": MONEY | st.just(NO_LIMIT), "margin_free": MONEY,
    "open_risk": st.integers(0, 10**17), "positions": st.integers(0, 300),
    "unit_loss": st.integers(0, 8 * 10**14),  # of 10,000 lots it still fits 64 bits; past them `size` raises
    "base_exposure": MONEY, "quote_exposure": MONEY,
}  # fmt: skip
MAY_REFUSE_A_WAY_OUT = {"price_is_fresh", "rate_is_known", "smallest_lot", "lot_step", "largest_lot", "working_orders"}


@settings(deadline=None)  # the first call compiles
@given(st.fixed_dictionaries(HOSTILE), st.integers(1, 10_000), st.integers(0, 9_999), st.sampled_from([1, -1]))
def test_nothing_about_risk_exposure_or_halt_stands_in_the_way_of_getting_out(
    account: dict[str, int], lots: int, left: int, side: int
) -> None:
    f = facts(own_pattern=0, side=side, held=-side * (lots + left) * LOT, quantity=lots * LOT, **account)
    p = terms(currency_exposure_max_ppm=1, symbol_exposure_max_ppm=1, risk_per_trade_max_ppm=1)
    size(f, p)
    assert {rule.name for rule in RISK if not ask(rule, f, p)[0]} <= MAY_REFUSE_A_WAY_OUT - {"lot_step"}


@pytest.mark.parametrize("rule", ["daily_risk", "daily_loss_room", "total_loss_room"])
def test_a_sum_of_risk_past_64_bits_is_an_error_not_a_small_number(rule: str) -> None:
    f = facts(risk=2**62, open_risk=2**62, daily_room=NANO, total_room=NANO)
    with pytest.raises(OverflowError, match="sum of money"):
        RULES[rule].question(f, terms())


@pytest.mark.parametrize("rule", ["symbol_exposure", "currency_exposure"])
def test_an_exposure_past_64_bits_is_an_error_not_a_small_number(rule: str) -> None:
    f = facts(quantity=4 * 10**18, unit_value=10**15)
    with pytest.raises(OverflowError):
        RULES[rule].question(f, terms())


def test_asking_changes_nothing_and_answers_the_same_again() -> None:
    f, p = facts(), terms()
    before = np.array([f], FACTS).tobytes(), p.tobytes()
    assert [ask(rule, f, p) for rule in RISK] == [ask(rule, f, p) for rule in RISK]
    assert (np.array([f], FACTS).tobytes(), p.tobytes()) == before
