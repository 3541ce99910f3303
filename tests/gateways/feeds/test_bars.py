"""One bar, four ticks; one price, two sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.feeds.bars import both_sides, four_ticks

prices = st.integers(1, 2**61 - 1)
spreads = st.integers(0, 10**15)


@given(prices, spreads)
def test_bid_and_ask_around_a_mid_give_that_mid_back_for_odd_and_even_spreads(price: int, spread: int) -> None:
    bid, ask = both_sides(np.array([price]), "mid", spread)
    assert (bid + ask) // 2 == price
    assert ask - bid == spread


@given(prices, spreads)
def test_a_known_side_stays_and_the_other_is_the_spread_away(price: int, spread: int) -> None:
    assert [side.tolist() for side in both_sides(np.array([price]), "bid", spread)] == [[price], [price + spread]]
    assert [side.tolist() for side in both_sides(np.array([price]), "ask", spread)] == [[price - spread], [price]]


@pytest.mark.parametrize(
    ("ohlc", "order"),
    [
        ((100, 130, 90, 110), (100, 90, 130, 110)),  # the low is nearer
        ((100, 110, 70, 80), (100, 110, 70, 80)),  # the high is nearer
        ((100, 120, 80, 110), (100, 80, 120, 110)),  # a tie: low first
        ((100, 100, 100, 100), (100, 100, 100, 100)),
    ],
)
def test_the_extreme_nearer_to_the_open_comes_first(
    ohlc: tuple[int, int, int, int], order: tuple[int, int, int, int]
) -> None:
    side = np.array(ohlc)[:, None]
    ticks = four_ticks(np.array([60_000_000_000]), side, side + 2, np.array([7]))
    assert tuple(ticks["bid"]) == order
    assert tuple(ticks["ask"] - 2) == order
    assert tuple(ticks["event_time"] // 1_000_000) == (60_000, 75_000, 90_000, 119_999)
    assert set(ticks["reference"]) == {7}
