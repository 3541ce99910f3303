"""m5_bos_retest: equal to the brute-force oracle on random walks and on the real files, tick by tick."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.bars import M1
from domain.errors import InvalidInput
from domain.instruments import instrument_for
from domain.signals.m5_bos_retest import HANDLER, M5BosRetest
from domain.signals.retest import initial, scaled
from tests.domain import market, oracle

FILES = {
    "binarycom_EURUSD_M1_2017.csv.gz": ("EURUSD", None),
    "binarycom_EURUSD_M1_2018.csv.gz": ("EURUSD", 2_435),
    "binarycom_GBPUSD_M1_2017H2-2018.csv.gz": ("GBPUSD", None),
    "binarycom_USDCAD_M1_2018.csv.gz": ("USDCAD", None),
}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    step=st.integers(1, 8),
    seconds=st.sampled_from([8.0, 25.0, 70.0]),
    gap=st.sampled_from([0.0, 0.003, 0.03]),
    parameters=market.RETEST_PARAMETERS,
)
def test_signals_equal_the_oracle_on_random_walks_with_gaps(
    seed: int, step: int, seconds: float, gap: float, parameters: dict[str, Any]
) -> None:
    ticks = market.walk(seed, 5_000, step=step, seconds=seconds, gap=gap)
    expected, _ = oracle.retests(oracle.bars_of(ticks, M1), oracle.rules(5 * M1, **parameters))
    assert market.plain(market.signals(HANDLER, ticks, **parameters)) == expected


def test_the_walks_of_the_comparison_go_through_every_branch() -> None:
    happened: Counter[str] = Counter()
    for seed in range(4):
        for window in (1, 3, 60):
            ticks = market.walk(seed, 20_000, step=8)
            expected, outcome = oracle.retests(oracle.bars_of(ticks, M1), oracle.Rules(window=window))
            assert market.plain(market.signals(HANDLER, ticks, window_bars=window)) == expected
            happened += outcome
    branches = {
        *(f"{what} {side:+d}" for what in ("BOS", "CHOCH", "touched", "invalid", "entered") for side in (1, -1)),
        "expired untouched", "expired touched", "replaced", "entered after a touch on the last bar",
    }  # fmt: skip
    assert branches == set(happened)


@pytest.mark.parametrize("name", FILES)
def test_signals_equal_the_oracle_on_a_real_year(name: str, shared_data: Path) -> None:
    symbol, count = FILES[name]
    rows = market.read_rows(shared_data / "m1" / name)
    signals = market.signals(HANDLER, market.bar_ticks(rows), symbol)
    columns = [column.tolist() for column in rows]
    minutes = [
        oracle.Bar(*bar, 4, 4 * (i + 1), following)
        for i, (*bar, following) in enumerate(zip(*(c[:-1] for c in columns), columns[0][1:], strict=True))
    ]
    expected, _ = oracle.retests(minutes, oracle.Rules())
    assert len(expected) > 1_000
    assert market.plain(signals) == expected
    if count:
        assert len(signals) == count


# A long worked out by hand, in points: M5 highs 110, 130, 120, 110, so with a reach of 1 the swing 130 is known at the
# third close; the fourth bar stays below, the fifth closes at 141 and breaks it by 1.1 pips.
LEGS = [110, 130, 120, 110]
RISE = [110, 112, 115, 120, 141]
HAND = {"reach": 1, "window_bars": 3}


def run_by_hand(*after: int) -> list[dict[str, int]]:
    closes = [price for leg in LEGS for price in [leg] * 5] + RISE + list(after)
    return market.plain(market.signals(HANDLER, market.minutes(*closes), **HAND))


def test_a_long_by_hand_enters_above_the_touch_bar_with_stop_and_target_from_the_breaking_bar() -> None:
    (signal,) = run_by_hand(138, 146, 146)
    point = market.POINT
    assert signal == {
        "tick": 27,
        "bar_time": market.T0 + 26 * M1,
        "side": 1,
        "level": 130 * point,
        "entry": 146 * point,
        "stop": 108 * point,  # 110 is the breaking bar's low
        "target": (146 + 95) * point,
        # structure 0.3 + 0.06 x 1.1; momentum 31/31; precision 0 (8 points off of 8); timing 1/3; trend BOS
        "confidence_ppm": (40 * 366_000 + 20 * 1_000_000 + 0 + 10 * 333_333 + 10 * 1_000_000) // 100,
    }


@pytest.mark.parametrize(
    ("after", "entered"),
    [
        ((138, 145, 145), False),  # one point short of the trigger
        ((139, 147, 147, 147), False),  # one point too far above the level to be a touch
        ((138, 121, 150, 150), False),  # a close more than the tolerance below the level ends it
        ((138, 122, 150, 150), True),  # a close at the tolerance does not
        ((138, 140, 140, 150, 150), False),  # expired with the third bar
        ((141, 142, 138, 146, 146), True),  # touched by the third and last bar, entered on the next
        ((141, 142, 138, 140, 146, 146), False),  # ... and only on the next
        ((138, 146), False),  # nobody has closed the entering bar yet
    ],
)
def test_each_transition_by_hand(after: tuple[int, ...], entered: bool) -> None:
    assert len(run_by_hand(*after)) == entered


def test_a_short_is_the_mirror_of_a_long() -> None:
    ticks = market.walk(11, 60_000)
    ticks["bid"] = ticks["ask"] = (ticks["bid"] + ticks["ask"]) // 2
    mirrored = ticks.copy()
    mirrored["bid"] = mirrored["ask"] = 2_400_000_000 - ticks["bid"]
    longs = [s for s in market.plain(market.signals(HANDLER, ticks)) if s["side"] == 1]
    assert len(longs) > 20
    expected = [
        {k: 2_400_000_000 - v if k in ("level", "entry", "stop", "target") else v for k, v in s.items()} | {"side": -1}
        for s in longs
    ]
    # High breaks are tested first, but never at the same bar as a low break that would win: so the mirror is exact.
    assert [s for s in market.plain(market.signals(HANDLER, mirrored)) if s["side"] == -1] == expected


def test_the_same_walk_in_another_pip_gives_the_same_signals_scaled() -> None:
    ticks = market.walk(3, 20_000)
    ticks["bid"] = ticks["ask"] = (ticks["bid"] + ticks["ask"]) // 2
    yen = ticks.copy()
    yen["bid"] = yen["ask"] = ticks["bid"] * 100
    one, other = market.plain(market.signals(HANDLER, ticks)), market.plain(market.signals(HANDLER, yen, "USDJPY"))
    assert len(one) > 20
    assert [s["stop"] * 100 for s in one] == [s["stop"] for s in other]
    assert [s["confidence_ppm"] for s in one] == [s["confidence_ppm"] for s in other]


def test_the_defaults_are_those_of_the_strategy() -> None:
    state = initial(M5BosRetest(), instrument_for("EURUSD"))
    setup = state["setup"]
    assert (state["structure"]["reach"], state["structure"]["min_break"]) == (2, 10_000)
    assert (setup["window_bars"], setup["tolerance"], setup["trigger"], setup["buffer"]) == (60, 80_000, 80_000, 20_000)
    assert (setup["reward_thousandths"], setup["pip"]) == (2_500, 100_000)


@pytest.mark.parametrize(
    "parameters",
    [
        {"trigger_pips": 0}, {"tolerance_pips": "-0.1"}, {"reward_ratio": "2.5001"}, {"reach": 6}, {"reach": 0},
        {"window_bars": 0}, {"tolerance_pips": "nan"}, {"buffer_pips": "1e-99999"}, {"unknown": 1},
    ],
)  # fmt: skip
def test_parameters_out_of_bounds_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        M5BosRetest(**parameters)


def test_pips_that_are_no_whole_number_of_nanos_are_refused_with_their_name() -> None:
    with pytest.raises(InvalidInput, match=r"trigger_pips = 0.001: .* XRPETH"):
        initial(M5BosRetest(trigger_pips=Decimal("0.001")), instrument_for("XRPETH"))


def test_a_parameter_has_one_form_however_it_was_written() -> None:
    written = [M5BosRetest(tolerance_pips=value).model_dump_json() for value in ("0.80", 0.8, Decimal("0.8"), "8e-1")]
    assert len(set(written)) == 1


@given(st.integers(0, 10**15), st.integers(1, 100_000))
@example(10**15, 100_000)
@settings(deadline=None)
def test_reward_distances_are_exact_where_a_plain_product_would_wrap(distance: int, thousandths: int) -> None:
    assert scaled(distance, thousandths) == distance * thousandths // 1000


def test_a_signal_is_raised_by_the_tick_that_closes_its_bar() -> None:
    ticks = market.walk(2, 20_000)
    signals = market.signals(HANDLER, ticks)
    times = ticks["receive_time"]
    assert len(signals) > 20
    assert np.all(times[signals["tick"]] >= signals["bar_time"] + M1)
    assert np.all(times[signals["tick"] - 1] < signals["bar_time"] + M1)
