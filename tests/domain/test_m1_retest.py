"""m1_retest: the same parts on M1 structure alone."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import M1
from domain.signals.m1_retest import HANDLER, M1Retest
from tests.domain import market, oracle


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    step=st.integers(1, 8),
    gap=st.sampled_from([0.0, 0.003, 0.03]),
    parameters=market.RETEST_PARAMETERS,
)
def test_signals_equal_the_oracle_with_legs_of_one_minute(
    seed: int, step: int, gap: float, parameters: dict[str, Any]
) -> None:
    ticks = market.walk(seed, 3_000, step=step, gap=gap)
    expected, _ = oracle.retests(oracle.bars_of(ticks, M1), oracle.rules(M1, **parameters))
    assert market.plain(market.signals(HANDLER, ticks, **parameters)) == expected


def test_the_walks_of_the_comparison_hold_many_signals_of_both_sides() -> None:
    ticks = market.walk(1, 20_000)
    expected, _ = oracle.retests(oracle.bars_of(ticks, M1), oracle.Rules(leg=M1, window=M1Retest().window_bars))
    assert market.plain(market.signals(HANDLER, ticks)) == expected
    sides = [signal["side"] for signal in expected]
    assert min(sides.count(1), sides.count(-1)) > 20


def test_the_bar_that_breaks_is_not_the_bar_that_touches() -> None:
    """Bar 3 breaks 120 from below, so its own low lies under the level; the touch must come later."""
    ticks = market.minutes(110, 120, 115, 122, 135, 140, 140)
    assert len(market.signals(HANDLER, ticks, reach=1)) == 0
    ticks = market.minutes(110, 120, 115, 122, 121, 130, 130)
    assert market.signals(HANDLER, ticks, reach=1)["entry"].tolist() == [130 * market.POINT]
