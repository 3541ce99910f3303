"""What the live view shows is what the engine holds: prices, account, positions, exits and rates."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from adapters.memory import MemoryLog
from domain.engine import Engine
from domain.instructions import Instructed, TradingHalted
from domain.policy import POLICIES
from domain.tape import Block, empty_ticks
from gateways.live_view import Account, Room
from ops import watch
from ops.control import order_requested
from ops.warm import ready_engine
from ops.watch import HALTED, Watch
from tests.ops.desks import core
from tests.ops.test_control import ORDER

POLICY = POLICIES["ftmo-2step-challenge"].model_copy(update={"market": POLICIES["bench-wide"].market, "fees": {}})


class Running:
    """A core whose engine the test drives."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.commit_ms = engine, 0.0

    def quote(self, bid: int, at: int = 1) -> None:
        tick = empty_ticks(1)
        tick["bid"], tick["ask"], tick["instrument"], tick["kind"] = bid, bid + 100_000, 1, 1
        tick["receive_time"] = tick["event_time"] = self.engine.time_ns + at
        self.engine.fold(Block(self.engine.ordinal + 1, tick))

    def say(self, instruction: Any) -> None:
        self.engine.fold(Instructed(self.engine.ordinal + 1, instruction))


@pytest.fixture
def running() -> Running:
    return Running(ready_engine(POLICY, {}))


def look(running: Running, view: Watch | None = None) -> Any:
    return (view or Watch("main", "max", 10)).look(running)  # type: ignore[arg-type]


def test_a_desk_that_has_not_begun_can_be_looked_at() -> None:
    seen = Watch("main", "live", 0).look(core(MemoryLog()))
    assert (seen.quotes, seen.positions, seen.halted, seen.events, seen.dashboard) == ((), (), "", 0, "")
    assert seen.account.daily is seen.account.total is None
    assert seen.ticks_per_second == seen.commit_p50_ms == 0.0


def test_the_dashboard_is_asked_for_at_every_look(running: Running) -> None:
    said = iter(["http://127.0.0.1:8080/", "not running: it was killed"])
    view = Watch("main", "max", 10, lambda: next(said))
    assert [look(running, view).dashboard for _ in range(2)] == ["http://127.0.0.1:8080/", "not running: it was killed"]


def test_a_flat_desk_shows_its_prices_account_and_room(running: Running) -> None:
    running.quote(1_100_000_000)
    seen = look(running)
    [quote] = seen.quotes
    assert (quote.symbol, quote.bid_nanos, quote.ask_nanos, quote.digits) == ("EURUSD", 1_100_000_000, 1_100_100_000, 5)
    assert quote[-1] == pytest.approx(1.0)
    whole = 100_000 * 10**9
    assert seen.account == Account(
        currency="USD", initial_nanos=whole, balance_nanos=whole, floating_nanos=0, equity_nanos=whole, margin_nanos=0,
        daily=Room(5_000 * 10**9, 5_000 * 10**9), total=Room(10_000 * 10**9, 10_000 * 10**9),
    )  # fmt: skip
    assert seen.positions == ()


@pytest.mark.parametrize(("side", "stop", "target"), [("buy", "1.09", "1.2"), ("sell", "1.11", "1.0")])
def test_a_position_shows_its_side_price_exits_and_result(running: Running, side: str, stop: str, target: str) -> None:
    running.quote(1_100_000_000)
    running.say(order_requested(ORDER | {"side": side, "stop": Decimal(stop), "target": Decimal(target)}))
    running.quote(1_100_000_000)
    running.quote(1_101_000_000)
    [position] = look(running).positions
    assert (position.symbol, position.side, position.quantity_nanos) == ("EURUSD", side, 10_000 * 10**9)
    assert position.average_nanos == (1_100_100_000 if side == "buy" else 1_100_000_000)
    assert (position.stop_nanos, position.target_nanos) == (Decimal(stop) * 10**9, Decimal(target) * 10**9)
    moved = 1_101_000_000 - 1_100_100_000 if side == "buy" else 1_100_000_000 - 1_101_100_000
    assert position.floating_nanos == moved * 10_000
    account = look(running).account
    assert account.equity_nanos == account.balance_nanos + account.floating_nanos
    assert account.floating_nanos == position.floating_nanos
    assert account.daily is not None
    assert account.daily.left_nanos == 5_000 * 10**9 + position.floating_nanos


def test_a_halt_is_seen(running: Running) -> None:
    assert look(running).halted == ""
    running.say(TradingHalted(id="h", actor="a", authority="operator", occurred_at_ns=0, reason="x"))
    assert look(running).halted == HALTED


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return iter([now])


def test_rates_are_of_the_last_two_seconds(running: Running, clock: Iterator[list[float]]) -> None:
    [now] = clock
    view = Watch("main", "max", 1_000)
    assert look(running, view).ticks_per_second == 0.0
    for _ in range(10):
        now[0] += 0.5
        view.progress(view._done + 50)
        seen = look(running, view)
    assert seen.ticks_per_second == pytest.approx(100.0)
    assert (seen.ticks_done, seen.ticks_total, seen.speed) == (500, 1_000, "max")
    for idle_s, rate in ((1.0, 50.0), (2.0, 0.0), (3.0, 0.0)):
        now[0] += 1.0
        assert look(running, view).ticks_per_second == pytest.approx(rate), idle_s


def test_what_stood_already_is_no_rate(running: Running, clock: Iterator[list[float]]) -> None:
    [now] = clock
    view = Watch("main", "max", 1_000)
    look(running, view)
    now[0] += 0.5
    view.progress(1_000)  # a feed that is complete
    for _ in range(3):
        assert look(running, view).ticks_per_second == 0.0
        now[0] += 0.5
    assert look(running, view).ticks_done == 1_000


def test_commits_are_counted_from_the_first_look_on(running: Running) -> None:
    view = Watch("main", "max", 1)
    view.observe([])
    look(running, view)
    for running.commit_ms in (1.0, 9.0, 2.0):
        view.observe([])
    assert (look(running, view).commit_ms, look(running, view).commit_p50_ms) == (2.0, 2.0)
