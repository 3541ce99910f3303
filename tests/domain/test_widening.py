"""What in a policy needs a signature: every field has its direction, and small steps never add up to a large one."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.policy import PAPER_DEFAULT, POLICIES, PPM, SESSION_MARKS, Fee, Policy
from domain.rules import NO_LIMIT
from domain.widening import POLICY_WIDENS, policy_widens
from tests.domain.policies import FIELDS, changed, one_of, policies, tightened, value_at, values

SECOND = 1_000_000_000
UNIT = 1_000_000_000

# From narrow to wide, as a risk officer would say it; every step of every line.
NARROW_TO_WIDE: dict[str, list[Any]] = {
    "strategic.sessions": [("london",), ("tokyo", "london"), ("new_york", "london", "tokyo"), ()],
    "strategic.with_trend": [True, False],
    "strategic.atr_pips_min_thousandths": [1_000, 300, 0],
    "strategic.atr_pips_max_thousandths": [0, 15_000, None],
    "strategic.news_impact_min": [1, 2, 3, 0],
    "strategic.news_before_ns": [60 * SECOND, SECOND, 0],
    "strategic.news_after_ns": [60 * SECOND, SECOND, 0],
    "strategic.confidence_min_ppm": [PPM, 1, 0],
    "strategic.bar_age_max_ns": [0, SECOND, None],
    "strategic.performance_floor": ["forbid", "lower", "observe"],
    "strategic.performance_trades_min": [1, 2, 100],
    "strategic.win_rate_target_ppm": [PPM, 700_000, 0],
    "strategic.shadow_drawdown_max_thousandths": [0, 1, 1_000_000_000],
    "strategic.performance_size_ppm": [0, 1, PPM],
    "sizing.risk_ppm": [0, 1, 9_999, 10_000],
    "sizing.kelly_ppm": [1, 250_000, PPM, 0],
    "sizing.kelly_trades_min": [1, 30, 100],
    "sizing.by_confidence": [True, False],
    "sizing.by_drawdown": [True, False],
    "risk.risk_per_trade_max_ppm": [10_000, 10_001, PPM, None],
    "risk.daily_risk_max_ppm": [0, 50_000, None],
    "risk.positions_max": [0, 2, 250],
    "risk.orders_max": [0, 199, 200],
    "risk.symbol_exposure_max_ppm": [0, PPM, 1_000 * PPM, None],
    "risk.currency_exposure_max_ppm": [0, PPM, 1_000 * PPM, None],
    "risk.signals_per_minute_max": [0, 60, None],
    "risk.stale_after_ns": [0, 30 * SECOND, None],
    "risk.on_opposite": ["refuse", "reverse"],
    "limits.daily_loss_ppm": [0, 5, 50_000, None],
    "limits.max_loss_ppm": [0, 5, 100_000, None],
    "limits.max_loss_kind": ["trailing", "trailing_locked", "static"],
    "limits.trading_days_min": [1_000, 4, 0],
    "limits.best_day_max_ppm": [0, 500_000, None],
    "limits.no_news_trading": [True, False],
    "limits.flat_before_weekend": [True, False],
    "market.latency_ns": [60 * SECOND, 1, 0],
    "market.latency_jitter_ns": [60 * SECOND, 1, 0],
    "market.slippage_thousandths": [1_000_000, 1, 0],
    "market.depth": ["displayed", "unlimited"],
    "market.levels_max": [1, 5],
    "market.limit_fill": ["through", "touch"],
}
ANY_CHANGE: dict[str, list[Any]] = {
    "name": ["mine", "yours"],
    "sizing.method": ["fractional", "fixed"],
    "sizing.fixed_quantity_nanos": [0, UNIT, 10_000_000 * UNIT],
    "sizing.target_ratio_min_thousandths": [0, 1, 100_000],
    "limits.profit_target_ppm": [None, 0, 100_000],
    "fees": [{}, {"fx": Fee(taker_ppm=1)}, {"fx": Fee(maker_ppm=1)}, {"metal": Fee(taker_ppm=1)}],
}  # fmt: skip
NEVER = {"version"}
STEPS = [(path, *pair) for path, line in NARROW_TO_WIDE.items() for pair in pairwise(line)]
QUIET = changed(PAPER_DEFAULT, {"sizing.risk_ppm": 0})  # aims at nothing, so no limit is below what it aims at


def fields(before: Policy | None, after: Policy) -> list[str]:
    """What widens, by name."""
    return [widening.field for widening in policy_widens(before, after)]


def test_every_field_of_a_policy_has_its_direction_and_no_other_one_has() -> None:
    assert set(POLICY_WIDENS) == set(FIELDS)


def test_these_tests_know_every_field_too() -> None:
    assert set(NARROW_TO_WIDE) | set(ANY_CHANGE) | NEVER == set(FIELDS)


@pytest.mark.parametrize(("path", "narrow", "wide"), STEPS)
def test_a_step_to_the_wider_side_is_named_and_the_way_back_is_free(path: str, narrow: Any, wide: Any) -> None:
    narrower, wider = changed(QUIET, {path: narrow}), changed(QUIET, {path: wide})
    assert fields(narrower, wider) == [path]
    assert fields(wider, narrower) == []
    assert fields(wider, wider) == []


@pytest.mark.parametrize("path", ANY_CHANGE)
def test_where_no_side_is_tighter_every_change_is_named(path: str) -> None:
    for before in ANY_CHANGE[path]:
        for after in ANY_CHANGE[path]:
            expected = [path] if before != after else []
            assert fields(changed(QUIET, {path: before}), changed(QUIET, {path: after})) == expected


def test_the_first_policy_always_widens() -> None:
    (only,) = policy_widens(None, PAPER_DEFAULT)
    assert (only.field, only.before, only.after) == ("policy", None, "paper-default@1")


def test_a_version_alone_widens_nothing_and_hides_nothing() -> None:
    assert fields(PAPER_DEFAULT, changed(PAPER_DEFAULT, {"version": 2})) == []
    risky = changed(PAPER_DEFAULT, {"version": 2, "risk.risk_per_trade_max_ppm": 20_000})
    assert fields(PAPER_DEFAULT, risky) == ["risk.risk_per_trade_max_ppm"]
    assert fields(risky, PAPER_DEFAULT) == []


def test_what_means_the_same_widens_nothing() -> None:
    for one, other in (
        ({"strategic.sessions": ("london", "tokyo")}, {"strategic.sessions": ("tokyo", "london", "london")}),
        ({"fees": {}}, {"fees": {"crypto": Fee()}}),
        ({"risk.positions_max": 1}, {"risk.positions_max": True}),
        ({"risk.positions_max": 2}, {"risk.positions_max": "2"}),
        ({"sizing.by_drawdown": True}, {"sizing.by_drawdown": 1}),
    ):  # fmt: skip
        assert fields(changed(PAPER_DEFAULT, one), changed(PAPER_DEFAULT, other)) == []
        assert fields(changed(PAPER_DEFAULT, other), changed(PAPER_DEFAULT, one)) == []


def test_a_session_named_again_and_again_is_no_other_session_to_the_kernels() -> None:
    """Its mark, added up four times, would be that of another one."""
    for name, mark in SESSION_MARKS.items():
        assert changed(PAPER_DEFAULT, {"strategic.sessions": (name,) * 4}).record()["sessions"] == mark


def test_no_value_of_a_field_is_what_kernels_take_for_no_limit() -> None:
    for path in FIELDS:
        assert NO_LIMIT not in values(path)
    with pytest.raises(ValueError, match="less than or equal"):
        changed(PAPER_DEFAULT, {"risk.symbol_exposure_max_ppm": NO_LIMIT})


# -- sizes above their own limit -------------------------------------------------------------------------------------

REFUSED = changed(PAPER_DEFAULT, {"sizing.risk_ppm": 20_000, "sizing.by_confidence": False})  # a trade may risk 10,000


@pytest.mark.parametrize(
    ("path", "smaller"),
    [
        ("sizing.risk_ppm", 10_000),
        ("sizing.kelly_ppm", 250_000),
        ("sizing.by_confidence", True),
        ("strategic.performance_size_ppm", 100_000),
        ("strategic.win_rate_target_ppm", PPM),
    ],
)
def test_a_smaller_size_widens_where_the_larger_one_was_refused(path: str, smaller: Any) -> None:
    (only,) = policy_widens(REFUSED, changed(REFUSED, {path: smaller}))
    assert only.field == path
    assert "sized for a risk of 2 % and refused above 1 %" in only.sentence
    fitting = changed(REFUSED, {"risk.risk_per_trade_max_ppm": 20_000})
    assert fields(fitting, changed(fitting, {path: smaller})) == []


def test_tightening_a_limit_needs_no_signature_where_sizes_are_refused_either() -> None:
    for tighter in ({"limits.daily_loss_ppm": 10_000}, {"risk.risk_per_trade_max_ppm": 0}, {"risk.positions_max": 0}):
        assert fields(REFUSED, changed(REFUSED, tighter)) == []


def test_what_aims_even_higher_is_named_once() -> None:
    assert fields(REFUSED, changed(REFUSED, {"sizing.risk_ppm": 30_000})) == ["sizing.risk_ppm"]


def test_what_scales_fractional_sizes_says_nothing_about_fixed_ones() -> None:
    fixed = changed(REFUSED, {"sizing.method": "fixed"})
    assert fields(fixed, changed(fixed, {"sizing.by_confidence": True, "sizing.risk_ppm": 10_000})) == []


def test_a_raise_hidden_among_many_tightenings_is_the_only_one_named() -> None:
    hidden = {
        "strategic.confidence_min_ppm": 900_000, "strategic.bar_age_max_ns": 301 * SECOND, "risk.positions_max": 1,
        "risk.daily_risk_max_ppm": 10_000, "limits.max_loss_ppm": 50_000, "version": 2,
    }  # fmt: skip
    assert fields(PAPER_DEFAULT, changed(PAPER_DEFAULT, hidden)) == ["strategic.bar_age_max_ns"]


# -- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            {"risk.risk_per_trade_max_ppm": 10_000},
            {"risk.risk_per_trade_max_ppm": None},
            "largest risk of a trade, of equity: no limit instead of 1 %",
        ),
        ({"strategic.bar_age_max_ns": SECOND}, {"strategic.bar_age_max_ns": 90 * SECOND},
         "largest age of a signal's bar: 1 min 30 s instead of 1 s"),
        ({"strategic.sessions": ("london",)}, {"strategic.sessions": ()},
         "sessions to trade in: any time instead of london"),
        ({"strategic.news_impact_min": 1}, {"strategic.news_impact_min": 0},
         "news that stops trading: no impact at all instead of impact 1 and heavier"),
        ({"strategic.atr_pips_min_thousandths": 300}, {"strategic.atr_pips_min_thousandths": 0},
         "smallest M1 ATR: 0 pips instead of 0.3 pips"),
        ({"sizing.by_drawdown": True}, {"sizing.by_drawdown": False}, "smaller sizes in a drawdown: off instead of on"),
        ({"market.slippage_thousandths": 2_500}, {"market.slippage_thousandths": 0},
         "slippage in points: 0 instead of 2.5; paper results look better than they would be"),
        ({"fees": {"fx": Fee(taker_ppm=25, maker_ppm=10)}}, {"fees": {}},
         "commission of a taker / a maker: none instead of fx 0.0025 % / 0.001 %; a lower fee flatters paper results, "
         "and results under other fees do not compare"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_it_was_and_what_it_becomes_with_units(
    before: dict[str, Any], after: dict[str, Any], sentence: str
) -> None:
    (only,) = policy_widens(changed(QUIET, before), changed(QUIET, after))
    assert only.sentence == sentence


@pytest.mark.parametrize("after", POLICIES.values(), ids=lambda policy: policy.name)
def test_every_widening_between_shipped_policies_reads_as_a_sentence(after: Policy) -> None:
    for before in POLICIES.values():
        for widening in policy_widens(before, after):
            assert " instead of " in widening.sentence
            assert not {"None", "True", "False", "[", "{"} & set(widening.sentence.replace("[", " [ ").split())
            assert widening.before != widening.after


# -- laws ------------------------------------------------------------------------------------------------------------


def meaning(policy: Policy) -> dict[str, Any]:
    """The content that risk depends on, one way to say each thing."""
    found = {path: value_at(policy, path) for path in FIELDS if path not in NEVER}
    found["strategic.sessions"] = frozenset(policy.strategic.sessions)
    found["fees"] = {name: fee for name, fee in policy.fees.items() if fee != Fee()}
    return found


@st.composite
def near(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Two policies that differ in a few fields, or only in how they are written."""
    before = draw(policies(most=4))
    return before, draw(policies(before, most=2))


@settings(max_examples=300, deadline=None)
@given(near())
def test_two_policies_that_widen_nothing_against_each_other_are_the_same(pair: tuple[Policy, Policy]) -> None:
    one, other = pair
    same = meaning(one) == meaning(other)
    assert (not policy_widens(one, other) and not policy_widens(other, one)) == same


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_chain_of_tightenings_stays_free_and_so_does_its_sum(data: st.DataObject) -> None:
    chain = [data.draw(policies(most=10))]
    for _ in range(3):
        chain.append(data.draw(tightened(chain[-1])))
        assert not policy_widens(chain[-2], chain[-1])
        assert not policy_widens(chain[0], chain[-1])


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(sorted(FIELDS)))
def test_no_raise_comes_in_small_free_steps(data: st.DataObject, path: str) -> None:
    """Three values of one field, whatever the rest: what is free twice is free in one step."""
    base = data.draw(policies(most=6))
    a, b, c = (changed(base, {path: data.draw(one_of(path))}) for _ in range(3))
    if not policy_widens(a, b) and not policy_widens(b, c):
        assert not policy_widens(a, c)
