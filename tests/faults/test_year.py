"""The real year, EURUSD of 2018: money and quantities are conserved to the last nano, and kill -9 changes nothing."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from adapters.ledger import StoredLedger
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from domain.events import (
    LEDGER_EVENT,
    AccountMarked,
    DayRolled,
    FillBooked,
    LedgerEvent,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
)
from domain.policy import policy_named
from gateways.feeds.files import FileSet
from ops.session import Plan, StrategyChoice, run_session
from ops.verify import verify
from tests import logs
from tests.domain.account_oracle import Oracle
from tests.faults.rounds import ALL, Scene, play
from tests.faults.session import YEAR, uninterrupted, year, year_plan

BARS = 362_586
KILLS_A_YEAR = 4
ROUNDS = 20

# A year is a hundred full blocks; smaller ones make it some hundred messages.
BLOCK_RECORDS = (2_000, 15_360)
MOMENTS = ((0, 0.5), (5, 0.02), (40, 0.02), (120, 0.02))

BOS, CROSSINGS = StrategyChoice("m5_bos_retest"), StrategyChoice("ema_cross", parameters={"fast": 10, "slow": 30})


@pytest.fixture
def path(shared_data: Path) -> Path:
    return shared_data / YEAR


class Books:
    """An account of one symbol, kept from what the ledger says of orders and executions alone: what it says of money
    and of quantities must agree, to the last nano."""

    def __init__(self, initial: int) -> None:
        self.initial, self.oracle = initial, Oracle(initial)
        self.wanted: dict[int, int] = {}  # quantity, by order
        self.filled: Counter[int] = Counter()
        self.unbooked: list[OrderFilled] = []
        self.position = self.realised = self.fees = self.trades = 0
        self.counted: Counter[str] = Counter()

    @property
    def balance(self) -> int:
        return self.initial + self.realised - self.fees

    def take(self, event: LedgerEvent) -> None:
        self.counted[event.type] += 1
        if isinstance(event, OrderPlaced):
            self.wanted[event.number] = event.quantity_nanos
        elif isinstance(event, OrderMoved):
            assert event.quantity_nanos == self.wanted[event.order] or event.state == "amended"
            self.wanted[event.order] = event.quantity_nanos
        elif isinstance(event, OrderFilled):
            self._fill(event)
        elif isinstance(event, FillBooked):
            self._book(event)
        elif isinstance(event, AccountMarked):
            assert event.balance_nanos == self.balance
            assert event.equity_nanos == event.balance_nanos + event.floating_nanos
            assert event.equity_low_nanos <= event.equity_nanos <= event.equity_high_nanos
        elif isinstance(event, DayRolled):
            assert event.balance_nanos == self.balance

    def _fill(self, fill: OrderFilled) -> None:
        self.filled[fill.order] += fill.quantity_nanos
        assert fill.filled_nanos == self.filled[fill.order]
        assert fill.filled_nanos + fill.leaves_nanos == self.wanted[fill.order]
        assert (fill.state == "filled") == (fill.leaves_nanos == 0)
        self.position += fill.quantity_nanos if fill.side == "buy" else -fill.quantity_nanos
        self.unbooked.append(fill)

    def _book(self, booked: FillBooked) -> None:
        (fill,) = self.unbooked  # one booking an execution, at once
        self.unbooked.clear()
        assert (booked.causation, booked.ordinal) == (fill.number, fill.ordinal)
        self.oracle.quotes[fill.symbol] = fill.bid_nanos, fill.ask_nanos
        expected = self.oracle.execute(fill)
        assert {name: getattr(booked, name) for name in expected} == expected
        self.realised += booked.realised_nanos
        self.fees += booked.fee_nanos
        self.trades += booked.trade_nanos
        self.counted["closed"] += booked.closed
        assert booked.balance_nanos == self.balance
        assert booked.equity_nanos == booked.balance_nanos + booked.floating_nanos
        assert booked.position_nanos == self.position
        if not self.position:
            assert self.balance == self.initial + self.trades


PLANS = [
    pytest.param(lambda files: Plan(files, [BOS]), 300, id="as cdb run"),
    pytest.param(year_plan, 500, id="without a limit on losses"),
    pytest.param(
        lambda files: Plan(files, [BOS, CROSSINGS], policy_named("bench-wide")),
        5_000,
        id="thousands of trades",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("plan", "trades"), PLANS)
async def test_money_and_quantities_of_a_year_are_conserved_to_the_last_nano_and_its_ledger_verifies(
    nats_server: NatsServer, path: Path, plan: Callable[[FileSet], Plan], trades: int
) -> None:
    desk, files = logs.new_name(), year(path)
    async with logs.jetstream(nats_server) as log:
        report = await run_session(log, desk, plan(files))
        books = Books(report.initial_nanos)
        async with aclosing(StoredLedger(log, desk).read()) as pages:
            async for page in pages:
                for recorded in page:
                    books.take(LEDGER_EVENT.validate_json(recorded.line))
        verified = await verify(log, desk, StoredTape(log, desk))
    assert report.ticks_added == len(files.ticks) == 4 * BARS
    assert (report.balance_nanos, report.fees_nanos) == (books.balance, books.fees)
    books.oracle.quotes["EURUSD"] = int(files.ticks["bid"][-1]), int(files.ticks["ask"][-1])
    assert report.equity_nanos == books.balance + books.oracle.floating()
    counted = books.counted
    assert (report.fills, report.trades) == (counted["fill_booked"], counted["closed"])
    assert report.events == counted.total() - counted["closed"]
    assert report.trades >= trades
    assert not books.unbooked
    assert (verified.checked, verified.diverged, verified.pending) == (report.events, 0, 0)
    assert verified.passed


@pytest.mark.slow
def test_a_year_whose_processes_are_killed_ends_as_the_uninterrupted_one(tmp_path: Path, path: Path) -> None:
    expected = asyncio.run(uninterrupted([year_plan(year(path))]))
    scene = Scene(expected, BLOCK_RECORDS, MOMENTS, str(path))
    rounds = 0
    while rounds < ROUNDS:
        seed = random.randrange(2**32)
        folder = tmp_path / str(seed)
        rounds += play(folder, scene, lambda dice: [dice.choice(ALL)], KILLS_A_YEAR, seed) > 0
        shutil.rmtree(folder)
