"""Benchmark inputs are the same bytes on every machine."""

from domain.bars import M1
from domain.tape import FROM_BAR
from ops.bench.workloads import (
    T0_NS,
    WORKLOAD_A_SHA256,
    WORKLOAD_B_SHA256,
    as_file_set,
    bar_columns,
    bars,
    columns_hash,
    quote_columns,
    quotes,
)


def test_workload_a_has_the_published_bytes() -> None:
    assert columns_hash(quote_columns(1_000_000)) == WORKLOAD_A_SHA256


def test_workload_b_has_the_published_bytes() -> None:
    assert columns_hash(bar_columns(500_000)) == WORKLOAD_B_SHA256


def test_workload_a_prices_become_exact_nanos() -> None:
    columns, ticks = quote_columns(10_000), quotes(10_000)
    assert [f"{bid:.5f}" for bid in columns["bid"]] == [f"{bid / 1e9:.5f}" for bid in ticks["bid"]]
    assert (ticks["bid"] % 10_000 == 0).all()
    assert (ticks["bid"] < ticks["ask"]).all()


def test_workload_b_prices_become_exact_nanos_without_a_spread() -> None:
    columns, ticks = bar_columns(10_000), bars(10_000)
    assert (ticks["bid"] == ticks["ask"]).all()
    assert (ticks["bid"] % 10_000 == 0).all()
    minutes = ticks["bid"].reshape(-1, 4)
    whole = {name: [round(price * 100_000) * 10_000 for price in columns[name]] for name in "ohlc"}
    assert minutes[:, 0].tolist() == whole["o"]
    assert minutes[:, 3].tolist() == whole["c"]
    assert minutes.max(axis=1).tolist() == whole["h"]
    assert minutes.min(axis=1).tolist() == whole["l"]


def test_workload_b_is_four_ticks_of_a_bar_in_every_minute() -> None:
    ticks = bars(1_000)
    assert (ticks["flags"] == FROM_BAR).all()
    assert set(ticks["instrument"]) == {1}
    assert (ticks["receive_time"] // M1).tolist() == [T0_NS // M1 + 1 + k // 4 for k in range(4_000)]
    opens, closes = ticks["bid"][4::4], ticks["bid"][3:-1:4]
    assert (opens == closes).all()


def test_ticks_take_turns_over_instruments() -> None:
    assert quotes(7, instruments=3)["instrument"].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_another_identity_is_another_feed() -> None:
    ticks = quotes(10)
    assert as_file_set(ticks, "a").identity != as_file_set(ticks, "b").identity
