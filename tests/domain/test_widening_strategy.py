"""What in a strategy's activation and in an agent's order needs a signature."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from domain.errors import InvalidInput, UnknownStrategy
from domain.governance_policy import GovernancePolicy
from domain.instructions import OrderRequested, StrategyActivated
from domain.policy import PAPER_DEFAULT, Policy
from domain.signals import ema_cross
from domain.signals.handler import REGISTRY, Parameters
from domain.widening import OrderFacts, order_widens, strategy_widens
from tests.domain import market
from tests.domain.policies import changed

NANO = 1_000_000_000
SAID = {"id": "a", "actor": "an agent", "authority": "agent", "occurred_at_ns": 0}
OBSERVED = changed(PAPER_DEFAULT, {"strategic.performance_floor": "observe"})  # results decide nothing


def active(strategy: str = "m5_bos_retest", *, symbols: tuple[str, ...] = ("EURUSD",), **parameters: Any) -> Any:
    return StrategyActivated(strategy=strategy, version=1, parameters=parameters, symbols=symbols, **SAID)


def fields(before: Any, after: Any, policy: Policy | None = OBSERVED) -> list[str]:
    return [widening.field for widening in strategy_widens(before, after, policy)]


# -- strategies ----------------------------------------------------------------------------------------------------


def test_a_strategy_that_begins_widens_and_one_that_ends_does_not() -> None:
    (only,) = strategy_widens(None, active(symbols=("EURUSD", "GBPUSD")), OBSERVED)
    assert only.sentence == "m5_bos_retest v1 starts to trade EURUSD, GBPUSD"
    assert fields(active(), None) == []
    assert fields(None, None) == []


def test_another_strategy_in_its_place_widens_whatever_its_parameters() -> None:
    assert fields(active(), active("m1_retest")) == ["strategy"]


def test_another_version_widens(monkeypatch: pytest.MonkeyPatch) -> None:
    known = REGISTRY["m5_bos_retest", 1]
    monkeypatch.setitem(REGISTRY, ("m5_bos_retest", 2), known._replace(version=2))
    assert fields(active(), active().model_copy(update={"version": 2})) == ["strategy"]


def test_new_symbols_widen_and_fewer_do_not() -> None:
    two = ("EURUSD", "GBPUSD")
    assert fields(active(), active(symbols=two)) == ["symbols"]
    assert fields(active(symbols=two), active()) == []
    assert fields(active(symbols=two), active(symbols=two[::-1])) == []
    assert fields(active(), active(symbols=("EURUSD", "EURUSD"))) == []
    (swapped,) = strategy_widens(active(), active(symbols=("GBPUSD",)), OBSERVED)
    assert (swapped.before, swapped.after, swapped.sentence) == (["EURUSD"], ["GBPUSD"], "GBPUSD is traded too")


@pytest.mark.parametrize(
    ("strategy", "name", "other"),
    [
        ("m5_bos_retest", name, other)
        for name, other in (
            ("reach", 3), ("min_break_points", 2), ("tolerance_pips", "0.7"), ("trigger_pips", "0.9"),
            ("buffer_pips", "0.3"), ("reward_ratio", "2.6"),
        )
    ] + [("ema_cross", "fast", 11), ("ema_cross", "slow", 31), ("ema_cross", "on", "ticks")],
)  # fmt: skip
def test_a_parameter_of_no_certain_direction_widens_both_ways(strategy: str, name: str, other: Any) -> None:
    """Stop distance, target ratio and what makes confidence: each may bring more trades, or larger ones."""
    assert fields(active(strategy), active(strategy, **{name: other})) == [f"parameters.{name}"]
    assert fields(active(strategy, **{name: other}), active(strategy)) == [f"parameters.{name}"]


@pytest.mark.parametrize(("strategy", "usual"), [("m5_bos_retest", 60), ("m1_retest", 30)])
def test_a_shorter_window_is_free_and_a_longer_one_is_not(strategy: str, usual: int) -> None:
    assert fields(active(strategy), active(strategy, window_bars=usual - 1)) == []
    assert fields(active(strategy), active(strategy, window_bars=usual + 1)) == ["parameters.window_bars"]
    (only,) = strategy_widens(active(strategy), active(strategy, window_bars=1_440), OBSERVED)
    assert only.sentence == f"window_bars: 1440 instead of {usual}; that is the wider way"


def test_a_parameter_that_tightens_upwards_is_free_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    class Timid(Parameters):
        least: Decimal = Field(Decimal(1), json_schema_extra={"tightens": "up"})
        hint: int = Field(1, json_schema_extra={"shown": "never"})

    monkeypatch.setitem(REGISTRY, ("timid", 1), ema_cross.HANDLER._replace(name="timid", parameters=Timid))
    assert fields(active("timid"), active("timid", least=2)) == []
    assert fields(active("timid"), active("timid", least="0.5")) == ["parameters.least"]
    assert fields(active("timid"), active("timid", hint=2)) == ["parameters.hint"]


def test_what_means_the_same_is_no_change() -> None:
    same = active(tolerance_pips="0.8000", reach=True + 1, window_bars="60", reward_ratio=2.5)
    assert fields(active(), same, None) == []
    assert fields(same, active(), None) == []
    assert fields(active(reach=1), active(reach=True), None) == []


@pytest.mark.parametrize(
    ("changes", "afresh"),
    [
        ({"strategic.performance_floor": "observe"}, False),
        ({"strategic.performance_floor": "lower"}, True),
        ({"strategic.performance_floor": "forbid"}, True),
        ({"strategic.performance_floor": "observe", "sizing.kelly_ppm": 1}, True),
    ],
)
def test_a_tighter_parameter_widens_where_it_makes_bad_results_forgotten(changes: dict[str, Any], afresh: bool) -> None:
    expected = ["parameters"] if afresh else []
    assert fields(active(), active(window_bars=1), changed(PAPER_DEFAULT, changes)) == expected
    assert fields(active(), active(), changed(PAPER_DEFAULT, changes)) == []


def test_without_a_policy_results_are_taken_to_decide() -> None:
    assert fields(active(), active(window_bars=1), None) == ["parameters"]


def test_parameters_that_no_activation_could_have_are_an_error() -> None:
    with pytest.raises(InvalidInput, match="reach = 9"):
        fields(active(), active(reach=9))
    with pytest.raises(InvalidInput, match="leverage"):
        fields(None, active(leverage=1))
    with pytest.raises(InvalidInput, match="window_bars"):
        fields(active(), active(window_bars=2**63))
    with pytest.raises(UnknownStrategy):
        fields(None, active("nobody"))


@pytest.mark.parametrize("name", ["m5_bos_retest", "m1_retest"])
@pytest.mark.parametrize("seed", range(4))
def test_a_shorter_window_only_leaves_signals_out_and_makes_none_more_confident(name: str, seed: int) -> None:
    """What `tightens` promises, on random walks."""
    ticks = market.walk(seed, 20_000, step=8)
    handler, fewer = REGISTRY[name, 1], 0
    wide: dict[int, Any] = {}
    for window in (200, 60, 12, 3, 1):
        found = {signal["tick"]: signal for signal in market.plain(market.signals(handler, ticks, window_bars=window))}
        for tick, signal in found.items() if wide else ():
            assert signal["confidence_ppm"] <= wide[tick]["confidence_ppm"]
            assert signal | {"confidence_ppm": 0} == wide[tick] | {"confidence_ppm": 0}
        fewer += len(wide) - len(found) if wide else 0
        wide = found
    assert fewer > 10


# -- orders --------------------------------------------------------------------------------------------------------

LIMITS = GovernancePolicy(order_notional_max_nanos=10_000 * NANO, order_risk_max_ppm=1_000)
FACTS = OrderFacts(price_nanos=1_100_000_000, rate_nanos=NANO, equity_nanos=100_000 * NANO)
INT64_MAX = 2**63 - 1


def order(units: int | str = 9_000, side: str = "buy", kind: str = "market", **terms: int) -> OrderRequested:
    quantity = int(Decimal(units) * NANO)
    return OrderRequested.model_validate(
        {"symbol": "EURUSD", "side": side, "type": kind, "quantity_nanos": quantity} | terms | SAID
    )


def judged(asked: OrderRequested, limits: GovernancePolicy = LIMITS, **facts: Any) -> list[str]:
    return [widening.field for widening in order_widens(asked, limits, FACTS._replace(**facts))]


def test_an_order_up_to_the_limit_is_free_and_one_above_it_is_not() -> None:
    exact = LIMITS.model_copy(update={"order_notional_max_nanos": 9_900 * NANO})
    assert judged(order(), exact) == []
    (only,) = order_widens(order("9000.000000001"), exact, FACTS)
    assert only.sentence == "the order is worth more than 9,900.00, the most that needs no signature"
    assert (only.before, only.after) == (9_900 * NANO, 9_900 * NANO + 2)  # rounded up


def test_what_is_signed_of_an_order_above_its_limits_does_not_move_with_the_market() -> None:
    asked = order(90_000, stop_nanos=1_000_000_000)
    first, moved = (
        [widening.sentence for widening in order_widens(asked, LIMITS, facts)]
        for facts in (FACTS, OrderFacts(1_100_010_000, 1_000_010_000, 99_000 * NANO))
    )
    assert first == moved == [
        "the order is worth more than 10,000.00, the most that needs no signature",
        "the order may lose more than 0.1 % of equity at its stop, the most that needs no signature",
    ]  # fmt: skip


def test_a_stop_adds_a_limit_and_takes_none_away() -> None:
    assert judged(order(stop_nanos=1_090_000_000)) == []  # 90.00 of 100.00
    assert judged(order(5_000, stop_nanos=1_080_000_000)) == []  # 100.00
    assert judged(order(stop_nanos=1_088_000_000)) == ["order.risk"]  # 108.00
    assert judged(order(90_000, stop_nanos=1_099_999_000)) == ["order.notional"]
    assert judged(order(90_000, stop_nanos=1_000_000_000)) == ["order.notional", "order.risk"]


def test_risk_counts_from_where_the_order_would_enter() -> None:
    assert judged(order(kind="limit", limit_nanos=1_050_000_000, stop_nanos=1_040_000_000)) == []
    assert judged(order(kind="stop", trigger_nanos=1_110_000_000, stop_nanos=1_095_000_000)) == ["order.risk"]


@pytest.mark.parametrize("missing", [None, 0, -1])
@pytest.mark.parametrize("fact", ["price_nanos", "rate_nanos"])
def test_an_order_whose_money_nobody_can_tell_needs_a_signature(fact: str, missing: int | None) -> None:
    assert judged(order("0.000000001"), **{fact: missing}) == ["order"]


def test_a_risk_that_nobody_can_tell_needs_a_signature() -> None:
    assert judged(order(1, stop_nanos=1_090_000_000), equity_nanos=None) == ["order.risk"]
    assert judged(order(1, stop_nanos=1_090_000_000), equity_nanos=-5) == ["order.risk"]
    assert judged(order(1, stop_nanos=1_110_000_000)) == ["order.risk"]
    assert judged(order(1, "sell", stop_nanos=1_100_000_000)) == ["order.risk"]
    assert judged(order(1), equity_nanos=None) == []


@pytest.mark.parametrize(
    ("kind", "prices", "widens"),
    [
        ("limit", {"limit_nanos": 1}, ["order.notional"]),  # worth what the market says
        ("limit", {"limit_nanos": 1_100_000_000}, ["order.notional"]),
        ("stop", {"trigger_nanos": 2_000_000_000}, ["order.notional"]),
        ("stop_limit", {"trigger_nanos": 1, "limit_nanos": 2}, ["order.notional"]),
    ],
)
def test_no_price_that_an_order_names_makes_it_look_smaller(
    kind: str, prices: dict[str, int], widens: list[str]
) -> None:
    assert judged(order(9_091, kind=kind, **prices)) == widens


def test_a_price_above_the_markets_counts_as_it_is_asked_for() -> None:
    assert judged(order(9_000, "sell", "limit", limit_nanos=1_200_000_000)) == ["order.notional"]


def test_no_limit_asks_for_nothing_and_a_limit_of_nothing_lets_nothing_through() -> None:
    free = GovernancePolicy(order_notional_max_nanos=None, order_risk_max_ppm=None)
    assert judged(order(4_000_000_000), free, price_nanos=None) == []
    none = GovernancePolicy(order_notional_max_nanos=0, order_risk_max_ppm=0)
    assert judged(order("0.000000001", stop_nanos=1_099_999_999), none) == ["order.notional", "order.risk"]
    risk_only = GovernancePolicy(order_notional_max_nanos=None, order_risk_max_ppm=1_000)
    assert judged(order(4_000_000_000), risk_only) == []


@settings(deadline=None)
@given(
    quantity=st.integers(1, 4 * 10**18) | st.integers(1, 10**14),
    price=st.integers(1, INT64_MAX) | st.integers(10**8, 10**10),
    rate=st.integers(1, INT64_MAX) | st.just(NANO),
    equity=st.integers(1, INT64_MAX),
    stop=st.integers(0, 4 * 10**18) | st.integers(10**8, 10**10),
    side=st.sampled_from(["buy", "sell"]),
    largest=st.none() | st.integers(0, 4 * 10**18),
    riskiest=st.none() | st.integers(0, 1_000_000),
    kind=st.sampled_from([int, np.int64]),
)
def test_the_two_limits_are_exact_at_any_size_also_of_numpys_numbers(
    quantity: int, price: int, rate: int, equity: int, stop: int, side: str,
    largest: int | None, riskiest: int | None, kind: type,
) -> None:  # fmt: skip
    asked = order(side=side, stop_nanos=stop).model_copy(update={"quantity_nanos": quantity})
    limits = GovernancePolicy(order_notional_max_nanos=largest, order_risk_max_ppm=riskiest)
    expected = []
    if largest is not None and Fraction(quantity * price * rate, NANO**2) > largest:
        expected.append("order.notional")
    if stop and riskiest is not None:
        lost = (price - stop) * (1 if side == "buy" else -1)
        risk = ceil(Fraction(quantity * lost * rate, NANO**2))
        if lost <= 0 or risk > Fraction(equity * riskiest, 1_000_000):
            expected.append("order.risk")
    assert judged(asked, limits, price_nanos=kind(price), rate_nanos=kind(rate), equity_nanos=kind(equity)) == expected
