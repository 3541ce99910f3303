"""Benchmark inputs are the same bytes on every machine."""

from ops.bench.workloads import WORKLOAD_A_SHA256, as_file_set, columns_hash, quote_columns, quotes


def test_workload_a_has_the_published_bytes() -> None:
    assert columns_hash(quote_columns(1_000_000)) == WORKLOAD_A_SHA256


def test_workload_a_prices_become_exact_nanos() -> None:
    columns, ticks = quote_columns(10_000), quotes(10_000)
    assert [f"{bid:.5f}" for bid in columns["bid"]] == [f"{bid / 1e9:.5f}" for bid in ticks["bid"]]
    assert (ticks["bid"] % 10_000 == 0).all()
    assert (ticks["bid"] < ticks["ask"]).all()


def test_ticks_take_turns_over_instruments() -> None:
    assert quotes(7, instruments=3)["instrument"].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_another_identity_is_another_feed() -> None:
    ticks = quotes(10)
    assert as_file_set(ticks, "a").identity != as_file_set(ticks, "b").identity
