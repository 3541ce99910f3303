"""The published workloads under `bench-wide`: order counts and final equity are those of a plain-Python oracle."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from domain import journal
from domain.engine import Engine
from domain.instructions import AccountOpened, Instructed, Instruction, PolicyActivated, StrategyActivated
from domain.policy import policy_named
from domain.tape import Block, Ticks
from ops.bench import workloads
from tests.canonical import INSTRUCTIONS, SAID, declared
from tests.domain import trading_oracle as oracle
from tests.domain.trading_oracle import NANO, Quote, Result

INITIAL = 10_000_000 * NANO  # what 18,549 fees and a losing strategy leave something of
KINDS = (journal.ASSESSED, journal.PLACED, journal.FILLED, journal.BOOKED)


def nanos(prices: Any) -> list[int]:
    """Five-digit prices as whole nanos, not through the code that is tested."""
    return [round(price * 100_000) * 10_000 for price in prices.tolist()]


def traded(ticks: Ticks, **parameters: Any) -> tuple[Result, set[int]]:
    """Orders and account of the engine, and the counts of what stands in the journal for each of them."""
    engine, counts = Engine(), dict.fromkeys(KINDS, 0)
    strategy: Instruction = StrategyActivated(
        id="strategy", **SAID, strategy="ema_cross", version=1, parameters=parameters, symbols=("EURUSD",)
    )
    for instruction in (
        INSTRUCTIONS["tape_opened"],
        declared(1),
        AccountOpened(id="account", **SAID, currency="USD", initial_balance_nanos=INITIAL),
        PolicyActivated(id="policy", **SAID, policy=policy_named("bench-wide")),
        strategy,
    ):
        engine.fold(Instructed(engine.ordinal + 1, instruction))
    for _ in engine.advance(Block(engine.ordinal + 1, ticks)):
        for kind in KINDS:
            counts[kind] += int(engine.desk.book.journal.rows[kind])
    account = engine.desk.book.account[0]
    balance, floating, fees = (int(account[name]) for name in ("balance", "floating", "fees"))
    return Result(counts[journal.PLACED], balance, balance + floating, fees), set(counts.values())


@pytest.mark.timeout(300)
def test_workload_a_trades_3206_times_and_ends_with_the_oracles_equity() -> None:
    columns = workloads.quote_columns(1_000_000)
    quotes = [Quote(bid, ask) for bid, ask in zip(nanos(columns["bid"]), nanos(columns["ask"]), strict=True)]
    result, counts = traded(workloads.quotes(1_000_000), fast=100, slow=400, on="ticks")
    assert result == oracle.workload_a(INITIAL, quotes)
    assert result.orders == 3_206
    assert counts == {3_206}  # verdicts, orders, fills and bookings alike


@pytest.mark.timeout(300)
def test_workload_b_trades_18549_times_and_ends_with_the_oracles_equity() -> None:
    columns = workloads.bar_columns(500_000)
    opens, closes = nanos(columns["o"]), nanos(columns["c"])
    assert opens[1:] == closes[:-1]
    result, counts = traded(workloads.bars(500_000), fast=10, slow=30, on="bars")
    assert result == oracle.workload_b(INITIAL, opens, closes)
    assert result.orders == 18_549
    assert counts == {18_549}


def test_the_oracles_averages_are_those_of_their_definition() -> None:
    prices = np.random.default_rng(1).integers(1_000, 1_100, 200).tolist()
    changes = dict(oracle.sides(prices, 3, 8))
    assert changes
    assert all(before == -after for before, after in pairwise(changes.values()))
    assert min(changes) > 8


def test_the_oracles_account_by_hand() -> None:
    bought, sold = Quote(1_099_000_000, 1_100_000_000), Quote(1_110_000_000, 1_111_000_000)
    result = oracle.trade(INITIAL, [(1, bought), (-1, sold)], Quote(1_105_000_000, 1_106_000_000))
    fees = (110_000 + 222_000) * NANO * 2 // 100_000
    assert result == Result(2, INITIAL + 1_000 * NANO - fees, INITIAL + 1_400 * NANO - fees, fees)
