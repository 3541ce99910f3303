"""The parameter sets that are worth a replay: near, in bounds, and the same every time."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.neighbours import changes, neighbours
from domain.signals.ema_cross import EmaCross
from domain.signals.handler import REGISTRY, Parameters
from domain.signals.m5_bos_retest import M5BosRetest

LOOSER = {"reach": -1, "min_break_points": -1, "window_bars": 1, "tolerance_pips": 1, "trigger_pips": -1}


def moved(parameters: Parameters, aim: Any, **options: Any) -> list[dict[str, tuple[Any, Any]]]:
    return [
        {change.name: (change.current, change.proposed) for change in changes(parameters, one)}
        for one in neighbours(parameters, aim, **options)
    ]


parameters = st.builds(
    M5BosRetest,
    reach=st.integers(1, 5),
    min_break_points=st.integers(0, 10_000),
    window_bars=st.integers(1, 1_440),
    tolerance_pips=st.decimals(0, 1_000, places=4),
    trigger_pips=st.decimals("0.001", 1_000, places=4),
    buffer_pips=st.decimals(0, 1_000, places=4),
    reward_ratio=st.decimals("0.001", 100, places=3),
)


@given(parameters, st.sampled_from(["frequency", "quality"]), st.integers(1, 40))
def test_neighbours_are_few_new_within_bounds_and_the_same_every_time(
    current: M5BosRetest, aim: Any, most: int
) -> None:
    found = neighbours(current, aim, most)
    assert found == neighbours(current, aim, most)
    assert len(found) <= most
    assert current not in found
    assert len({one.model_dump_json() for one in found}) == len(found)
    assert all(M5BosRetest.model_validate(one.model_dump(mode="json")) == one for one in found)
    assert all(len(changes(current, one)) in (1, 2) for one in found)


@given(parameters)
def test_for_frequency_filters_only_loosen_and_for_quality_they_only_tighten(current: M5BosRetest) -> None:
    for aim, direction in (("frequency", 1), ("quality", -1)):
        for one in neighbours(current, aim):  # type: ignore[arg-type]
            for change in changes(current, one):
                way = LOOSER.get(change.name, 0)
                assert way or aim == "quality"
                step = getattr(one, change.name) - getattr(current, change.name)
                assert step * way * direction > 0 or not way


@given(parameters)
def test_a_step_at_most_doubles_or_halves(current: M5BosRetest) -> None:
    for one in neighbours(current, "frequency"):
        for change in changes(current, one):
            before, after = (Decimal(getattr(p, change.name)) for p in (current, one))
            if before > 2:
                assert before * Decimal("0.45") - 1 <= after <= before * Decimal("2.2") + 1  # two digits are kept


def test_the_filter_that_is_tightest_against_its_default_is_loosened_first() -> None:
    assert moved(M5BosRetest(), "frequency", most=5) == [
        {"reach": (2, 1)},
        {"min_break_points": (1, 0)},
        {"window_bars": (60, 75)},
        {"tolerance_pips": ("0.8", "1")},
        {"trigger_pips": ("0.8", "0.64")},
    ]
    tight = M5BosRetest(trigger_pips=Decimal("3.2"), window_bars=30)
    assert moved(tight, "frequency", most=2) == [{"trigger_pips": ("3.2", "2.5")}, {"window_bars": (30, 38)}]


def test_what_is_no_filter_moves_either_way_for_quality_alone() -> None:
    assert {"reward_ratio": ("2.5", "2")} in moved(M5BosRetest(), "quality")
    assert not any("reward_ratio" in move for move in moved(M5BosRetest(), "frequency", most=200))


def test_a_filter_at_zero_can_be_loosened_too() -> None:
    shut = M5BosRetest(tolerance_pips=Decimal(0))
    assert moved(shut, "frequency", most=1) == [{"tolerance_pips": ("0", "0.2")}]


def test_values_that_do_not_fit_together_are_left_out() -> None:
    assert all(one.fast < one.slow for one in neighbours(EmaCross(fast=29, slow=30), "quality"))  # type: ignore[attr-defined]
    assert neighbours(EmaCross(fast=29, slow=30), "quality")


@pytest.mark.parametrize("registered", sorted(REGISTRY))
def test_every_strategy_of_this_build_can_be_tuned_both_ways(registered: tuple[str, int]) -> None:
    for aim in ("frequency", "quality"):
        assert neighbours(REGISTRY[registered].parameters(), aim)  # type: ignore[arg-type]
