"""Looking at a desk while it runs: what the live view shows, read from the engine's own state."""

import statistics
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from domain.account import equity_of
from domain.engine import Engine
from domain.events import LedgerEvent
from domain.orders import STOP_EXIT, TARGET_EXIT
from domain.rules import NO_LIMIT
from gateways.live_view import Account, LiveView, Look, Position, Quote, Room
from ops.core import Core

NANOS = 1_000_000_000
RATE_OVER_S = 2.0
HALTED = "trading is halted"


class Watch:
    """Collects what a running desk tells, and looks at its engine. Set `view` to hand events on to it."""

    def __init__(self, desk: str, speed: str, ticks: int, dashboard: Callable[[], str] = str) -> None:
        self.view: LiveView | None = None
        self._desk, self._speed, self._ticks, self._dashboard = desk, speed, ticks, dashboard
        self._done = 0
        self._commits: deque[float] = deque(maxlen=200)
        self._past: deque[tuple[float, int, int]] = deque()  # (seconds, ticks, events)
        self._core: Core | None = None

    def progress(self, ticks: int) -> None:
        """So many ticks of the feed are durable; what is told first may stand there from another session."""
        if not self._done:
            self._past.clear()
        self._done = ticks

    def observe(self, events: list[LedgerEvent]) -> None:
        """These events are durable."""
        if self._core:
            self._commits.append(self._core.commit_ms)
        if self.view:
            self.view.observe(events)

    def look(self, core: Core) -> Look:
        """What the desk is at this moment."""
        self._core, engine = core, core.engine
        ticks_per_second, events_per_second = self._rates(engine.number)
        desk, book = engine.desk, engine.desk.book
        return Look(
            desk=self._desk,
            time_ns=engine.time_ns,
            speed=self._speed,
            ticks_done=self._done,
            ticks_total=self._ticks,
            ticks_per_second=ticks_per_second,
            events=engine.number,
            events_per_second=events_per_second,
            commit_ms=core.commit_ms,
            commit_p50_ms=statistics.median(self._commits) if self._commits else 0.0,
            quotes=tuple(_quote(engine, number) for number in desk.instruments),
            account=_account(engine),
            positions=tuple(_position(engine, int(n)) for n in np.flatnonzero(book.positions["quantity"])),
            halted=HALTED if book.desk[0]["halted"] else "",
            dashboard=self._dashboard(),
        )

    def _rates(self, events: int) -> tuple[float, float]:
        now = time.monotonic()
        self._past.append((now, self._done, events))
        while now - self._past[0][0] > RATE_OVER_S:
            self._past.popleft()
        then, ticks, before = self._past[0]
        seconds = now - then
        return ((self._done - ticks) / seconds, (events - before) / seconds) if seconds > 0 else (0.0, 0.0)


def _quote(engine: Engine, number: int) -> Quote:
    instrument, market = engine.desk.instruments[number], engine.desk.book.markets[number]
    bid, ask = int(market["bid"]), int(market["ask"])
    return Quote(instrument.symbol, bid, ask, instrument.digits, (ask - bid) / instrument.pip_nanos)


def _account(engine: Engine) -> Account:
    account = engine.desk.book.account[0]
    return Account(
        currency=engine.desk.currency,
        initial_nanos=int(account["initial"]),
        balance_nanos=int(account["balance"]),
        floating_nanos=int(account["floating"]),
        equity_nanos=equity_of(account),
        margin_nanos=int(account["margin"]),
        daily=_room(account, "daily_limit", "day_balance"),
        total=_room(account, "total_limit", "initial"),
    )


def _room(account: np.void, limit: str, base: str) -> Room | None:
    if account[limit] == NO_LIMIT:
        return None
    return Room(equity_of(account) - int(account[limit]), max(int(account[base]) - int(account[limit]), 1))


def _position(engine: Engine, number: int) -> Position:
    book = engine.desk.book
    position, orders = book.positions[number], book.orders[: book.desk[0]["orders"]]
    quantity = int(position["quantity"])
    exits = {int(o["purpose"]): int(o["trigger"] or o["limit"]) for o in orders if o["instrument"] == number}
    return Position(
        symbol=engine.desk.instruments[number].symbol,
        side="buy" if quantity > 0 else "sell",
        quantity_nanos=abs(quantity),
        average_nanos=round(int(position["cost"]) * NANOS / quantity),
        stop_nanos=exits.get(STOP_EXIT, 0),
        target_nanos=exits.get(TARGET_EXIT, 0),
        floating_nanos=int(position["floating"]),
    )
