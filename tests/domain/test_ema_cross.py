"""ema_cross: flips of two averages, counted as every engine counts them on the shared workloads."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.bars import M1
from domain.signals.ema_cross import HANDLER, EmaCross
from tests.domain import market, oracle


def flips(prices: list[int], fast: int, slow: int) -> list[tuple[int, int]]:
    """(index, new side) in a plain loop."""
    found = []
    quick = lazy = float(prices[0])
    side = 0
    for i, price in enumerate(prices):
        if i > 0:
            quick += 2 / (fast + 1) * (price - quick)
            lazy += 2 / (slow + 1) * (price - lazy)
        if i < slow or quick == lazy:
            continue
        now = 1 if quick > lazy else -1
        if now == -side:
            found.append((i, now))
        side = now
    return found


@pytest.fixture
def workloads(shared_data: Path) -> Any:
    spec = importlib.util.spec_from_file_location("workloads", shared_data.parent / "workloads.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nanos(prices: Any) -> Any:
    return np.rint(prices * 1e5).astype(np.int64) * market.POINT


def test_workload_a_flips_3206_times(workloads: Any) -> None:
    data = workloads.gen_ticks(1_000_000)
    assert workloads.sha(data) == "0661ef5f8525d619"
    ticks = market.quotes(data["ts"], 0)
    ticks["bid"], ticks["ask"] = nanos(data["bid"]), nanos(data["ask"])
    signals = market.signals(HANDLER, ticks, fast=100, slow=400, on="ticks")
    expected = flips(((ticks["bid"] + ticks["ask"]) // 2).tolist(), 100, 400)
    assert signals[["tick", "side"]].tolist() == expected
    assert len(expected) == 3_206


def test_workload_b_flips_18549_times(workloads: Any) -> None:
    data = workloads.gen_bars(500_000)
    assert workloads.sha(data) == "857b6074237f1169"
    rows = market.Rows(data["ts"] - M1, *(nanos(data[k]) for k in "ohlc"))  # the file's time is the bar's close
    ticks = market.bar_ticks(rows)
    last = market.quotes(data["ts"][-1:], ticks["bid"][-1:])
    signals = market.signals(HANDLER, np.concatenate([ticks, last]), fast=10, slow=30, on="bars")
    expected = flips(rows.close.tolist(), 10, 30)
    assert list(zip(signals["tick"] // 4 - 1, signals["side"], strict=True)) == expected
    assert len(expected) == 18_549


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), fast=st.integers(1, 20), more=st.integers(1, 40))
def test_flips_on_ticks_and_on_bars_equal_a_plain_loop(seed: int, fast: int, more: int) -> None:
    ticks = market.walk(seed, 2_000, gap=0.01)
    slow = fast + more
    on_ticks = market.signals(HANDLER, ticks, fast=fast, slow=slow, on="ticks")
    assert on_ticks[["tick", "side"]].tolist() == flips(((ticks["bid"] + ticks["ask"]) // 2).tolist(), fast, slow)

    bars = oracle.bars_of(ticks, M1)
    on_bars = market.signals(HANDLER, ticks, fast=fast, slow=slow, on="bars")
    expected = [
        (bars[i].closed_by, bars[i].start, bars[i].close, side)
        for i, side in flips([b.close for b in bars], fast, slow)
    ]
    assert on_bars[["tick", "bar_time", "entry", "side"]].tolist() == expected


def test_the_first_side_only_initialises() -> None:
    ticks = market.quotes(market.T0 + np.arange(100) * market.SECOND, np.arange(100) * market.POINT)
    assert len(market.signals(HANDLER, ticks, fast=2, slow=5, on="ticks")) == 0


def test_averages_are_not_compared_before_index_slow() -> None:
    up_then_down = [10, 20, 30, 40, 50, 0, 0, 0, 0]  # the averages cross at index 5 or 6
    ticks = market.quotes(market.T0 + np.arange(9) * market.SECOND, np.array(up_then_down) * market.POINT)
    assert market.signals(HANDLER, ticks, fast=1, slow=4, on="ticks")["tick"].tolist() == [5]
    assert market.signals(HANDLER, ticks, fast=1, slow=5, on="ticks")["tick"].tolist() == []


def test_a_signal_has_the_price_as_level_and_entry_and_neither_stop_nor_target() -> None:
    signals = market.signals(HANDLER, market.walk(1, 5_000), fast=5, slow=20, on="ticks")
    assert len(signals) > 20
    assert np.array_equal(signals["level"], signals["entry"])
    assert not signals["stop"].any()
    assert not signals["target"].any()
    assert set(signals["confidence_ppm"]) == {1_000_000}
    assert np.all(np.abs(np.diff(signals["side"])) == 2)


@pytest.mark.parametrize("parameters", [{"fast": 30, "slow": 30}, {"fast": 0}, {"on": "trades"}, {"slow": 10**9}])
def test_parameters_that_make_no_cross_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmaCross(**parameters)
