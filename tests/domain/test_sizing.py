"""A size never risks more than any limit leaves, is as large as they allow, and is never rounded up."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.policy import FIXED, FRACTIONAL, LOWER, OBSERVE, POLICY, REFUSE, REVERSE
from domain.rules import FACTS, NO_LIMIT
from domain.sizing import (
    BOUNDS,
    CUTS,
    adjustment,
    affordable,
    confidence_step,
    drawdown_step,
    fraction,
    plus,
    position_after,
    size,
)
from domain.sizing import KELLY as KELLY_SAYS
from tests.domain.facts import LOT, NANO, facts, terms
from tests.domain.sizing_oracle import expected_fraction, expected_money, expected_size_ppm, in_lots

PPM = 1_000_000
THOUSAND = 1_000 * NANO
JUDGED = {"shadow_trades": 60, "shadow_wins": 30, "shadow_won_milli_r": 70_000, "shadow_lost_milli_r": 31_000}
KELLY = {"kelly_ppm": 250_000, "kelly_trades_min": 30, "risk_ppm": 100_000}
NO_ADJUSTMENT = {"by_drawdown": 0, "by_confidence": 0, "performance_floor": OBSERVE}

MONEY = st.integers(-(10**12), 10**14) | st.integers(10**13, 10**17)  # up to 100 million
COUNT = st.integers(0, 100)
# What may be hostile. A draw changes a few of these fields of an ordinary trade, so that most draws have a size.
STRANGE_FACTS = {
    "equity": MONEY, "balance": MONEY, "peak": MONEY, "day_balance": MONEY, "daily_room": MONEY, "total_room": MONEY,
    "day_lost": st.integers(0, 10**13), "open_risk": st.integers(0, 10**13), "margin_free": MONEY,
    "confidence_ppm": st.integers(0, PPM), "shadow_trades": COUNT, "shadow_wins": COUNT,
    "shadow_won_milli_r": st.integers(0, 10**6), "shadow_lost_milli_r": st.integers(0, 10**6),
    "shadow_drawdown_milli_r": st.integers(0, 20_000),
    "unit_loss": st.integers(0, 50) | st.integers(1, 10**10) | st.integers(1, 10**13),
    "unit_value": st.integers(0, 50) | st.integers(1, 10**15), "margin_ppm": st.integers(0, PPM),
    "lot_step": st.sampled_from([1, 10_000, NANO]), "lot_min": st.sampled_from([1, NANO, 10 * LOT]),
    "lot_max": st.sampled_from([10 * LOT, 10**9 * NANO]),
}  # fmt: skip
STRANGE_TERMS = {
    "risk_ppm": st.integers(0, 100_000), "kelly_ppm": st.integers(0, PPM), "kelly_trades_min": st.integers(1, 60),
    "by_confidence": st.integers(0, 1), "by_drawdown": st.integers(0, 1),
    "performance_floor": st.sampled_from([OBSERVE, LOWER]), "performance_trades_min": st.integers(1, 60),
    "performance_size_ppm": st.integers(0, PPM), "daily_risk_max_ppm": st.integers(0, 100_000),
}  # fmt: skip


@st.composite
def trades(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, int]]:
    """Facts and policy, all fields."""
    usual = (
        {name: int(facts()[name]) for name in FACTS.names or () if name != "sized"},
        {name: int(terms()[name]) for name in POLICY.names or ()},
    )
    for values, strange in zip(usual, (STRANGE_FACTS, STRANGE_TERMS), strict=True):
        for name in draw(st.lists(st.sampled_from(sorted(strange)), max_size=6, unique=True)):
            values[name] = draw(strange[name])
    if draw(st.booleans()):
        usual[0].update(JUDGED)
    usual[0]["shadow_wins"] = min(usual[0]["shadow_wins"], usual[0]["shadow_trades"])
    return usual


def sized(f: Any, p: Any) -> Any:
    size(f, p)
    return f


@settings(deadline=None, max_examples=200)
@given(trades())
def test_the_size_is_the_formula_in_exact_fractions(trade: tuple[dict[str, int], dict[str, int]]) -> None:
    f, p = trade
    result = sized(facts(**f), terms(**p))
    assert abs(fraction(facts(**f), terms(**p)) - expected_fraction(f, p)) <= 2  # Kelly is rounded on the way
    assert result["size_ppm"] == (expected_size_ppm(f, p) if f["unit_value"] > 0 else PPM)
    unit_margin = round(Fraction(f["unit_value"] * f["margin_ppm"], PPM))
    money = expected_money(f, p, fraction(facts(**f), terms(**p)))
    if f["unit_value"] == 0 or f["unit_loss"] == 0:
        assert result["quantity"] == result["unfloored"] == 0
    else:
        exact = min(Fraction(money * THOUSAND, f["unit_loss"]), Fraction(f["lot_max"]))
        if unit_margin > 0:
            exact = min(exact, Fraction(max(f["margin_free"], 0) * THOUSAND, unit_margin))
        elif f["margin_free"] < 0:
            exact = Fraction(0)
        assert abs(result["unfloored"] - exact) <= 1
        assert result["quantity"] in {in_lots(f, exact), in_lots(f, exact + Fraction(1, 2))}
    assert result["risk"] == round(Fraction(int(result["quantity"]) * f["unit_loss"], THOUSAND))
    assert result["margin"] == round(Fraction(int(result["quantity"]) * unit_margin, THOUSAND))


@settings(deadline=None, max_examples=200)
@given(trades())
def test_the_risk_is_never_above_what_any_limit_leaves_to_the_nano(
    trade: tuple[dict[str, int], dict[str, int]],
) -> None:
    f, p = trade
    result = sized(facts(**f), terms(**p))
    assert 0 <= result["risk"] <= expected_money(f, p, p["risk_ppm"])
    assert 0 <= result["margin"] <= max(f["margin_free"], 0)


@settings(deadline=None, max_examples=200)
@given(trades())
def test_a_size_is_whole_lot_steps_between_the_smallest_and_the_largest_lot_and_never_rounded_up(
    trade: tuple[dict[str, int], dict[str, int]],
) -> None:
    f, p = trade
    result = sized(facts(**f), terms(**p))
    assert 0 <= result["quantity"] <= result["unfloored"] <= f["lot_max"]
    assert result["quantity"] % f["lot_step"] == 0
    if result["quantity"] == 0:
        assert in_lots(f, Fraction(int(result["unfloored"]))) == 0
    else:
        assert result["quantity"] >= f["lot_min"]
        assert result["quantity"] + f["lot_step"] > result["unfloored"]


@settings(deadline=None, max_examples=200)
@given(
    trades(),
    st.sampled_from(
        [("equity", 1), ("daily_room", 1), ("total_room", 1), ("day_balance", 1), ("margin_free", 1), ("balance", 1),
         ("confidence_ppm", 1), ("open_risk", -1), ("day_lost", -1), ("unit_loss", -1), ("margin_ppm", -1),
         ("shadow_lost_milli_r", -1), ("shadow_drawdown_milli_r", -1)]
    ),
    st.integers(1, 10**12),
)  # fmt: skip
def test_more_money_and_less_danger_never_make_a_trade_smaller(
    trade: tuple[dict[str, int], dict[str, int]], better: tuple[str, int], step: int
) -> None:
    (f, p), (name, sign) = trade, better
    changed = f[name] + sign * (step if abs(f[name]) > 10**7 else step % 1_000)
    assume(changed > 0 if sign < 0 else f[name] < NO_LIMIT - step)
    before, after = sized(facts(**f), terms(**p)), sized(facts(**(f | {name: changed})), terms(**p))
    assert after["quantity"] >= before["quantity"]


@settings(deadline=None)
@given(st.integers(0, 8 * 10**18), st.integers(0, 10**13) | st.integers(0, 8 * 10**18), st.integers(1, 8 * 10**18))
def test_what_is_affordable_never_costs_more_than_the_money(money: int, per_thousand: int, most: int) -> None:
    quantity = affordable(money, per_thousand, most)
    assert 0 <= quantity <= most
    assert round(Fraction(quantity * per_thousand, THOUSAND)) <= money
    assert quantity == most or (quantity + 1) * per_thousand > money * THOUSAND


def test_rounding_up_by_half_a_nano_does_not_spend_a_nano_too_much() -> None:
    assert affordable(1, 3 * THOUSAND, LOT) == 0
    assert affordable(5, 3 * THOUSAND, LOT) == 1  # 1.67 rounds to 2, which would cost 6
    assert sized(facts(equity=5 * 100, lot_step=1, lot_min=1, unit_loss=3 * THOUSAND), terms())["risk"] == 3


# -- examples --------------------------------------------------------------------------------------------------------


def test_an_ordinary_trade_risks_one_percent() -> None:
    result = sized(facts(unit_loss=2_055_000_000), terms())
    assert (result["size_ppm"], result["quantity"]) == (PPM, 486 * LOT)  # 1,000.00 / 2.055 = 486.618 lots
    assert result["unfloored"] == 486_618_004_866_180
    assert result["risk"] == 998_730_000_000
    assert result["margin"] == 486 * 55 * NANO


@pytest.mark.parametrize("limit", ["daily_room", "total_room"])
def test_a_room_leaves_what_open_risk_has_not_taken(limit: str) -> None:
    assert sized(facts(open_risk=300 * NANO, **{limit: 500 * NANO}), terms())["risk"] == 200 * NANO
    assert sized(facts(open_risk=500 * NANO, **{limit: 500 * NANO}), terms())["quantity"] == 0
    assert sized(facts(open_risk=501 * NANO, **{limit: 500 * NANO}), terms())["quantity"] == 0


def test_the_daily_risk_allowance_counts_what_is_lost_and_what_is_at_risk() -> None:
    f = {"day_lost": 3_000 * NANO, "open_risk": 1_900 * NANO}
    assert sized(facts(**f), terms())["risk"] == 100 * NANO
    assert sized(facts(**f), terms(daily_risk_max_ppm=0))["risk"] == 1_000 * NANO


@pytest.mark.parametrize("missing", ["unit_loss", "unit_value", "equity", "margin_free"])
def test_without_a_stop_a_rate_or_money_there_is_no_size(missing: str) -> None:
    result = sized(facts(**{missing: 0}), terms())
    assert (result["quantity"], result["risk"], result["margin"]) == (0, 0, 0)


def test_a_size_below_the_smallest_lot_is_nothing() -> None:
    assert sized(facts(unit_loss=1_000 * NANO), terms())["quantity"] == LOT
    result = sized(facts(unit_loss=1_000 * NANO + 1), terms())
    assert (result["quantity"], result["unfloored"]) == (0, LOT - 1)


@pytest.mark.parametrize("side", [1, -1])
def test_a_size_ends_where_the_instrument_or_one_of_its_currencies_is_exposed_enough(side: int) -> None:
    """1,000 units are worth 1,100; the equity is 100,000 and the plain size 500 lots, worth 550,000."""
    short = {"unit_loss": 2 * NANO, "side": side}
    assert sized(facts(**short), terms(symbol_exposure_max_ppm=2_200_000))["quantity"] == 200 * LOT
    held = facts(**short, base_exposure=side * 110_000 * NANO, quote_exposure=-side * 110_000 * NANO)
    assert sized(held.copy(), terms(currency_exposure_max_ppm=2_200_000))["quantity"] == 100 * LOT
    hedge = facts(**short, base_exposure=-side * 110_000 * NANO, quote_exposure=side * 110_000 * NANO)
    assert sized(hedge, terms(currency_exposure_max_ppm=2_200_000))["quantity"] == 300 * LOT


def test_no_stop_and_no_price_makes_the_size_of_a_signal_overflow() -> None:
    assert sized(facts(unit_loss=1, margin_ppm=1), terms())["quantity"] == 10_000 * LOT
    assert sized(facts(unit_loss=8 * 10**18), terms())["quantity"] == 0
    assert sized(facts(unit_value=8 * 10**18), terms())["quantity"] == 0
    assert sized(facts(lot_max=8 * 10**18, margin_ppm=0), terms())["risk"] == 1_000 * NANO


def test_a_fixed_size_is_neither_adjusted_nor_stopped_by_a_missing_stop() -> None:
    p = terms(method=FIXED, fixed_quantity_nanos=100 * LOT + 1, by_confidence=1)
    result = sized(facts(unit_loss=0, balance=1, confidence_ppm=0), p)
    assert (result["quantity"], result["unfloored"], result["size_ppm"]) == (100 * LOT, 100 * LOT + 1, PPM)
    assert sized(facts(unit_value=0), p)["quantity"] == 0


@pytest.mark.parametrize("method", [FRACTIONAL, FIXED])
def test_an_order_that_was_asked_for_keeps_its_own_quantity_and_target(method: int) -> None:
    p = terms(method=method, target_ratio_min_thousandths=9_000)
    result = sized(facts(own_pattern=0, quantity=LOT + 1), p)
    assert (result["quantity"], result["unfloored"], result["size_ppm"]) == (LOT + 1, LOT + 1, PPM)
    assert result["target"] == facts()["target"]
    assert (result["risk"], result["margin"]) == (2 * NANO, 55 * NANO)


def test_a_second_sizing_starts_from_the_facts_not_from_the_first() -> None:
    f = sized(facts(), terms())
    f["quantity"], f["equity"] = 0, 10_000 * NANO
    assert sized(f, terms())["quantity"] == 50 * LOT


# -- Kelly -----------------------------------------------------------------------------------------------------------

HALF_AND_A_BIT = {"shadow_trades": 100, "shadow_wins": 55, "shadow_won_milli_r": 110_000, "shadow_lost_milli_r": 45_000}


def test_kelly_of_fifty_five_percent_at_two_to_one_is_0_325() -> None:
    assert fraction(facts(**HALF_AND_A_BIT), terms(**(KELLY | {"kelly_ppm": PPM, "risk_ppm": PPM}))) == 325_000
    assert fraction(facts(**HALF_AND_A_BIT), terms(**KELLY)) == 81_250
    assert fraction(facts(**HALF_AND_A_BIT), terms(**(KELLY | {"risk_ppm": 10_000}))) == 10_000


@pytest.mark.parametrize(
    ("changes", "share_ppm"),
    [
        ({"shadow_trades": 29}, 100_000),  # too few results: the fixed fraction
        ({"shadow_lost_milli_r": 110_000}, 0),  # no edge
        ({"shadow_lost_milli_r": 10**15}, 0),
        ({"shadow_wins": 0, "shadow_won_milli_r": 0}, 0),
        ({"shadow_wins": 0, "shadow_won_milli_r": 0, "shadow_lost_milli_r": 0}, 0),
        ({"shadow_lost_milli_r": 0, "shadow_wins": 20}, 50_000),  # no losers: a quarter of p
    ],
)
def test_kelly_waits_for_results_and_asks_for_an_edge(changes: dict[str, int], share_ppm: int) -> None:
    assert fraction(facts(**(HALF_AND_A_BIT | changes)), terms(**KELLY)) == share_ppm


# -- adjustments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        (-1, 1_000_000), (0, 1_000_000), (2_000_000, 1_000_000), (2_000_001, 800_000), (5_000_000, 800_000),
        (5_000_001, 600_000), (8_000_000, 600_000), (8_000_001, 400_000), (200_000_000, 400_000),
    ],
)  # fmt: skip
def test_the_drawdown_ladder_has_its_steps(lost: int, left: int) -> None:
    assert drawdown_step(100_000_000, 100_000_000 - lost) == left


@pytest.mark.parametrize(
    ("confidence", "left"),
    [
        (0, 266_666), (600_000, 266_666), (649_999, 266_666), (650_000, 371_428), (700_000, 476_190),
        (750_000, 580_952), (800_000, 685_714), (850_000, 790_476), (900_000, 895_238), (949_999, 895_238),
        (950_000, 1_000_000), (1_000_000, 1_000_000),
    ],
)  # fmt: skip
def test_the_confidence_ladder_has_its_steps(confidence: int, left: int) -> None:
    assert confidence_step(confidence) == left


def test_adjustments_multiply_and_each_can_be_left_out() -> None:
    weak = facts(confidence_ppm=900_000, balance=96_000 * NANO, shadow_trades=30)
    assert adjustment(weak, terms(**NO_ADJUSTMENT)) == PPM
    assert adjustment(weak, terms(**(NO_ADJUSTMENT | {"by_confidence": 1}))) == 895_238
    assert adjustment(weak, terms(**(NO_ADJUSTMENT | {"by_drawdown": 1}))) == 800_000
    assert adjustment(weak, terms(**(NO_ADJUSTMENT | {"performance_floor": LOWER}))) == 500_000
    assert adjustment(weak, terms(by_confidence=1)) == 358_095  # 0.895238 x 0.8 x 0.5
    assert sized(weak, terms())["risk"] == 400 * NANO


@settings(deadline=None)
@given(trades())
def test_no_adjustment_ever_lifts_a_size_above_the_full_one(trade: tuple[dict[str, int], dict[str, int]]) -> None:
    f, p = trade
    assert 0 <= adjustment(facts(**f), terms(**p)) <= PPM


# -- the target ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "ratio", "target"),
    [
        ({}, 0, 1_104_000_000),
        ({}, 2_000, 1_104_000_000),
        ({}, 2_001, 1_104_010_000),  # 20 pips x 2.001, in whole points
        ({}, 3_000, 1_106_000_000),
        ({}, 1_500, 1_104_000_000),  # never nearer
        ({"target": 0}, 3_000, 0),
        ({"stop": 0}, 3_000, 1_104_000_000),
        ({"side": -1, "stop": 1_102_000_000, "target": 1_099_000_000}, 2_500, 1_095_000_000),
        ({"side": -1, "stop": 1_102_000_000, "target": 1_090_000_000}, 2_500, 1_090_000_000),
        ({"side": -1, "stop": 2_200_000_000, "target": 1_090_000_000}, 2_500, 10_000),  # no price below a point
    ],
)
def test_a_target_too_near_is_moved_out_and_no_other(changes: dict[str, int], ratio: int, target: int) -> None:
    assert sized(facts(**changes), terms(target_ratio_min_thousandths=ratio))["target"] == target


# -- what a trade leads to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "on_opposite", "after"),
    [
        ({}, REFUSE, 3), ({"held": 2}, REVERSE, 5), ({"held": -2}, REFUSE, 1), ({"held": -2}, REVERSE, 3),
        ({"held": -2, "own_pattern": 0}, REVERSE, 1), ({"held": 2, "side": -1}, REVERSE, -3),
        ({"held": 2, "side": -1, "own_pattern": 0}, REVERSE, -1), ({"held": -2, "side": -1}, REVERSE, -5),
    ],
)  # fmt: skip
def test_a_reversal_closes_what_is_held_and_everything_else_nets(
    changes: dict[str, int], on_opposite: int, after: int
) -> None:
    assert position_after(facts(quantity=3, **changes), terms(on_opposite=on_opposite)) == after


# -- 64 bits ---------------------------------------------------------------------------------------------------------

WHOLE = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(WHOLE, WHOLE)
def test_a_sum_is_exact_or_an_overflow(a: int, b: int) -> None:
    if -(2**63) <= a + b < 2**63:
        assert plus(a, b) == a + b
    else:
        with pytest.raises(OverflowError):
            plus(a, b)


@settings(deadline=None)
@given(st.integers(1, 4 * 10**18), st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, PPM))
def test_a_risk_or_margin_past_64_bits_is_an_error_not_a_small_number(
    quantity: int, unit_loss: int, unit_value: int, margin_ppm: int
) -> None:
    f = facts(own_pattern=0, quantity=quantity, unit_loss=unit_loss, unit_value=unit_value, margin_ppm=margin_ppm)
    unit_margin = round(Fraction(unit_value * margin_ppm, PPM))
    exact = [round(Fraction(quantity * unit, THOUSAND)) for unit in (unit_loss, unit_margin)]
    if max(exact) >= 2**63:
        with pytest.raises(OverflowError):
            size(f, terms())
    elif max(exact) < 9 * 10**18:
        size(f, terms())
        assert [f["risk"], f["margin"]] == exact


# -- evidence ----------------------------------------------------------------------------------------------------------

# How each bound is taken away, of facts and of policy.
FREE: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "largest_lot": ({"lot_max": 10**18}, {}),
    "risk": ({}, {"risk_ppm": PPM}),
    "kelly": ({}, {"kelly_ppm": 0}),
    "daily_loss_room": ({"daily_room": NO_LIMIT}, {}),
    "total_loss_room": ({"total_room": NO_LIMIT}, {}),
    "daily_risk_room": ({}, {"daily_risk_max_ppm": 0}),
    "symbol_exposure": ({}, {"symbol_exposure_max_ppm": 0}),
    "currency_exposure": ({}, {"currency_exposure_max_ppm": 0}),
    "free_margin": ({"margin_free": 10**18}, {}),
}


@settings(deadline=None, max_examples=300)
@given(trades(), st.sampled_from([0, 50_000, 2_000_000]), st.sampled_from([0, 60_000, 3_000_000]))
def test_the_bound_that_is_named_fixes_the_size_alone(
    trade: tuple[dict[str, int], dict[str, int]], symbol: int, currency: int
) -> None:
    f, p = trade
    p = p | {"symbol_exposure_max_ppm": symbol, "currency_exposure_max_ppm": currency}
    result = sized(facts(**f), terms(**p))
    named = BOUNDS[result["sized"]["bound"]]
    assert result["sized"]["unfloored"] == result["unfloored"]
    changed = "lot_step" if result["quantity"] else "smallest_lot"
    assert CUTS[result["sized"]["cut"]] == ("none" if result["quantity"] == result["unfloored"] else changed)
    if named in ("no_rate", "no_stop"):
        assert result["unfloored"] == 0
        return
    for name, (facts_free, terms_free) in FREE.items():
        if name != named:
            f, p = f | facts_free, p | terms_free
    assert sized(facts(**f), terms(**p))["unfloored"] == result["unfloored"]


@settings(deadline=None, max_examples=100)
@given(trades())
def test_each_adjustment_is_named_with_what_it_leaves(trade: tuple[dict[str, int], dict[str, int]]) -> None:
    f, p = trade
    evidence = sized(facts(**f), terms(**p))["sized"]
    off = {"by_confidence": 0, "by_drawdown": 0, "performance_floor": OBSERVE}
    for name, term in (
        ("confidence", "by_confidence"),
        ("drawdown", "by_drawdown"),
        ("performance", "performance_floor"),
    ):
        alone = expected_size_ppm(f, p | off | {term: p[term]})
        assert evidence[f"{name}_size_ppm"] == (alone if f["unit_value"] > 0 else PPM)
    wins, seen = f["shadow_wins"], f["shadow_trades"]
    assert evidence["win_rate_ppm"] == (wins * PPM // seen if seen else 0)
    assert evidence["shadow_drawdown_milli_r"] == f["shadow_drawdown_milli_r"]
    if BOUNDS[evidence["bound"]] not in ("no_rate", "no_stop"):
        assert abs(evidence["fraction_ppm"] - expected_fraction(f, p)) <= 2  # Kelly is rounded on the way
        assert max(0, int(evidence["money"])) == expected_money(f, p, int(evidence["fraction_ppm"]))


@pytest.mark.parametrize(
    ("changes", "policy", "kelly", "kelly_ppm", "fraction_ppm"),
    [
        ({}, {"kelly_ppm": 0}, "not_used", 0, 10_000),
        ({"shadow_trades": 29, "shadow_wins": 16}, KELLY, "too_few_trades", 0, 100_000),
        ({"shadow_won_milli_r": 45_000}, KELLY, "no_edge", 0, 0),
        ({}, KELLY, "used", 81_250, 81_250),
        ({}, KELLY | {"risk_ppm": 10_000}, "above_risk", 81_250, 10_000),
    ],
)
def test_what_became_of_kelly_is_said(
    changes: dict[str, int], policy: dict[str, int], kelly: str, kelly_ppm: int, fraction_ppm: int
) -> None:
    evidence = sized(facts(**(HALF_AND_A_BIT | changes)), terms(**policy))["sized"]
    assert KELLY_SAYS[evidence["kelly"]] == kelly
    assert (evidence["kelly_ppm"], evidence["fraction_ppm"]) == (kelly_ppm, fraction_ppm)


@pytest.mark.parametrize(
    ("changes", "policy", "bound"),
    [
        ({}, {}, "risk"),
        ({"lot_max": 100 * LOT}, {}, "largest_lot"),
        ({"daily_room": 500 * NANO}, {}, "daily_loss_room"),
        ({"total_room": 500 * NANO}, {}, "total_loss_room"),
        ({"day_lost": 4_900 * NANO}, {}, "daily_risk_room"),
        ({}, {"symbol_exposure_max_ppm": 100_000}, "symbol_exposure"),
        ({}, {"currency_exposure_max_ppm": 100_000}, "currency_exposure"),
        ({"margin_free": 1_000 * NANO}, {}, "free_margin"),
        (JUDGED | {"shadow_won_milli_r": 32_000}, KELLY, "kelly"),
        ({"unit_value": 0}, {}, "no_rate"),
        ({"unit_loss": 0}, {}, "no_stop"),
        ({}, {"method": FIXED, "fixed_quantity_nanos": LOT}, "fixed"),
        ({"quantity": LOT}, {}, "asked"),
    ],
)
def test_what_fixes_a_size_has_a_name(changes: dict[str, int], policy: dict[str, int], bound: str) -> None:
    assert BOUNDS[sized(facts(**changes), terms(**policy))["sized"]["bound"]] == bound


@pytest.mark.parametrize(("equity", "cut"), [(100_000, "none"), (100_100, "lot_step"), (190, "smallest_lot")])
def test_what_lots_made_of_a_size_is_said(equity: int, cut: str) -> None:
    assert CUTS[sized(facts(equity=equity * NANO), terms())["sized"]["cut"]] == cut
