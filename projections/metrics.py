"""Metrics: what trading made, of the whole account and of every strategy version. Money in nanos.

Scopes: `overall`; `<strategy>@<version>`, whatever its parameters, by the signal that opened the position; `request`
for orders that were asked for. A netting reversal closes one trade and opens another; what is added to a position
belongs to the trade that is open. A trade counts when it closed, with its net result x, fees included:

    win rate        wins / trades, where x = 0 is no win and is counted apart (zeros)
    profit factor   sum of x > 0 / sum of x < 0                           expectancy  mean of x
    payoff          average win / average loss                            expectancy in R  mean of x / risk,
                    where the risk is that of the verdict which opened the trade (no R for a trade without a stop)
    trades per day  by the Prague days from the scope's first to now, both whole; by those on which a trade closed

The account's curve is its equity with what is open, at every booking and, by its low and high, every minute mark, as in
the read model `equity`: the drawdowns agree. A strategy version's curve is what the account began with plus what the
version's own closed trades made: open positions are not in it, so its falls are those of realised money.

    drawdown        the deepest fall in money, from a highest point to the lowest behind it; days until that height
                    was reached again, or until now. The deepest share of a height may be of another fall.
    returns r       of the samples at the ends of Prague's Mondays to Fridays, what a weekend brings with its Monday's:
                    then a year has about the 252 that annualise. A version is sampled up to its newest verdict or trade
    Sharpe          sqrt(252) x mean r / standard deviation of r (n - 1), risk-free rate 0
    Sortino         sqrt(252) x mean r / sqrt(sum of min(r, 0)^2 / n), over all n
    Calmar          compound return a year / deepest share; fewer than 252 samples are not annualised (GIPS)

What has no value yet, such as a profit factor without a loss, is NULL. Sums are whole numbers (of returns and R in
units of 1e-18), so no figure drifts, and a fold that stops and goes on says the same bits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context
from fractions import Fraction
from typing import NamedTuple

from domain.events import (
    AccountMarked,
    DayRolled,
    FillBooked,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
    SignalAssessed,
    SignalRaised,
)
from domain.ports import Fact, Table, Values
from projections.projection import Fold, ReadModel, Row

METRICS = Table(
    "metrics",
    {"scope": "text"},
    (
        "at_ns", "trades", "wins", "zeros", "losses", "won", "lost", "net",
        "win_rate", "profit_factor", "expectancy", "average_win", "average_loss", "payoff", "r_trades", "expectancy_r",
        "days", "active_days", "trades_per_day", "trades_per_active_day",
        "samples", "year_return", "sharpe", "sortino",
        "drawdown", "drawdown_share", "drawdown_from_ns", "drawdown_until_ns", "drawdown_days", "calmar",
    ),
)  # fmt: skip

OVERALL, REQUEST = "overall", "request"
SAMPLES_A_YEAR = 252
DAY_NS = 86_400_000_000_000
_THURSDAY, _SATURDAY = 3, 5  # Monday is 0; 1 January 1970 was a Thursday
_UNIT = 10**18  # returns and R are counted in whole parts of this size
_DECIMAL = Context(prec=28)  # its power is the same everywhere, which a C library's is not


@dataclass
class Curve:
    """A curve of gains, and its deepest fall. `at_ns` is when it was last at its peak."""

    at_ns: int
    peak: int = 0
    deepest: int = 0
    deepest_share: float = 0.0
    from_ns: int | None = None
    until_ns: int | None = None

    def mark(self, at_ns: int, low: int, high: int, initial: int) -> None:
        """It came between these; which was first is not known, so the fall is reckoned from the high."""
        if high >= self.peak:
            self.at_ns, self.peak = at_ns, high
            if self.from_ns is not None and self.until_ns is None:
                self.until_ns = at_ns
        fall = self.peak - low
        self.deepest_share = max(self.deepest_share, fall / (initial + self.peak))
        if fall > self.deepest:
            self.deepest, self.from_ns, self.until_ns = fall, self.at_ns, None


@dataclass
class Returns:
    """Sums of the returns between samples of a curve of gains; `gain` is the newest sample."""

    gain: int = 0
    count: int = 0
    total: int = 0
    squares: int = 0
    squares_below: int = 0

    def sample(self, gain: int, initial: int, idle: int) -> None:
        """The next sample, behind so many on which nothing changed. A day that begins without equity has no return."""
        before = initial + self.gain
        if before > 0:
            value = round(Fraction((gain - self.gain) * _UNIT, before))
            self.count += idle + 1
            self.total += value
            self.squares += value * value
            self.squares_below += min(value, 0) ** 2
        self.gain = gain

    def sharpe(self) -> float | None:
        spread = self.count * self.squares - self.total**2
        return self._yearly(spread / (self.count * (self.count - 1))) if spread else None

    def sortino(self) -> float | None:
        return self._yearly(self.squares_below / self.count) if self.squares_below else None

    def year_return(self, initial: int) -> float | None:
        if not self.count:
            return None
        growth = _DECIMAL.divide(max(initial + self.gain, 0), initial)
        of_a_year = _DECIMAL.divide(SAMPLES_A_YEAR, max(self.count, SAMPLES_A_YEAR))
        return float(_DECIMAL.subtract(_DECIMAL.power(growth, of_a_year), 1))

    def _yearly(self, variance: float) -> float:
        return math.sqrt(SAMPLES_A_YEAR) * (self.total / self.count) / math.sqrt(variance)


@dataclass
class Scope:
    """The running sums of one scope. `stirred`: something of it happened since it was last sampled."""

    first_day: int
    sampled: int
    curve: Curve
    returns: Returns = field(default_factory=Returns)
    stirred: bool = False
    trades: int = 0
    wins: int = 0
    losses: int = 0
    won: int = 0
    lost: int = 0
    r_trades: int = 0
    r_total: int = 0
    active_days: int = 0
    active_day: int | None = None

    @property
    def net(self) -> int:
        return self.won - self.lost

    def close(self, result: int, risk: int, day: int) -> None:
        """A trade ended."""
        self.stirred = True
        self.trades += 1
        self.wins += result > 0
        self.losses += result < 0
        self.won += max(result, 0)
        self.lost += max(-result, 0)
        if risk > 0:
            self.r_trades += 1
            self.r_total += round(Fraction(result * _UNIT, risk))
        self.active_days += day != self.active_day
        self.active_day = day

    def sample(self, gain: int, initial: int, weekdays: int) -> None:
        """The end of a weekday; on those since the last sample nothing happened."""
        self.returns.sample(gain, initial, weekdays - self.sampled - 1)
        self.sampled, self.stirred = weekdays, False

    def values(self, at_ns: int, day: int, initial: int) -> Values:
        """The columns of METRICS."""
        curve, returns = self.curve, self.returns
        days = day - self.first_day + 1
        until_ns = at_ns if curve.until_ns is None else curve.until_ns
        year_return = returns.year_return(initial)
        return (
            at_ns, self.trades, self.wins, self.trades - self.wins - self.losses, self.losses,
            self.won, self.lost, self.net,
            _ratio(self.wins, self.trades), _ratio(self.won, self.lost),
            _mean(self.net, self.trades), _mean(self.won, self.wins), _mean(self.lost, self.losses),
            _ratio(self.won * self.losses, self.lost * self.wins),
            self.r_trades, _ratio(self.r_total, self.r_trades * _UNIT),
            days, self.active_days, self.trades / days, _ratio(self.trades, self.active_days),
            returns.count, year_return, returns.sharpe(), returns.sortino(),
            curve.deepest, curve.deepest_share, curve.from_ns, curve.until_ns,
            None if curve.from_ns is None else (until_ns - curve.from_ns) / DAY_NS,
            year_return / curve.deepest_share if curve.deepest and year_return is not None else None,
        )  # fmt: skip


@dataclass
class Chain:
    """An approved verdict whose order may still fill. `spent`: that order is filled, and its booking follows."""

    scope: str
    risk: int
    order: int = 0
    spent: bool = False


class Opener(NamedTuple):
    """Whose trade a position is, and what its verdict risked."""

    scope: str
    risk: int


@dataclass
class Memory:
    """`day` counts the Prague days that ended, `weekdays` those of them that are sampled. `chains` are by correlation,
    `openers` by symbol."""

    initial: int | None = None
    day: int = 0
    weekdays: int = 0
    raised: tuple[int, str] = (0, "")  # the newest signal: its verdict comes next, or never
    chains: dict[int, Chain] = field(default_factory=dict)
    openers: dict[str, Opener] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)

    def scope(self, name: str, at_ns: int) -> Scope:
        """A scope, from its first event on."""
        if name not in self.scopes:
            self.scopes[name] = Scope(self.day, self.weekdays, Curve(at_ns))
        return self.scopes[name]


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """A new version of overall at every closed trade and midnight; of another scope when a trade of it closed, and at
    the end of a weekday on which it had a verdict or a closed trade."""
    event = fact.event
    match event:
        case SignalRaised():
            memory.raised = (event.number, f"{event.strategy}@{event.version}")
        case SignalAssessed():
            name = memory.raised[1] if memory.raised[0] == event.causation else REQUEST
            memory.scope(name, event.occurred_at_ns).stirred = True
            if event.verdict == "approved":
                memory.chains[event.correlation] = Chain(name, event.risk_nanos)
        case OrderPlaced() | OrderMoved() | OrderFilled():
            _follow(memory, event)
        case FillBooked():
            initial = _mark(memory, event, event.equity_nanos, event.equity_nanos)
            yield from _book(memory, event, initial)
        case AccountMarked():
            _mark(memory, event, event.equity_low_nanos, event.equity_high_nanos)
        case DayRolled():
            initial = _mark(memory, event, event.equity_nanos, event.equity_nanos)
            yield from _roll(memory, event, initial)
        case _:
            raise TypeError(f"metrics does not listen to {type(event).__name__}")


def _follow(memory: Memory, event: OrderPlaced | OrderMoved | OrderFilled) -> None:
    """A chain lasts as long as its order, which may open a position more than once when it fills in parts."""
    chain = memory.chains.get(event.correlation)
    if chain is None:
        return
    match event:
        case OrderPlaced() if event.purpose in ("entry", "request"):
            chain.order = event.number
        case OrderMoved() if event.order == chain.order and event.state in ("canceled", "expired", "rejected"):
            del memory.chains[event.correlation]
        case OrderFilled() if event.order == chain.order:
            chain.spent = event.state == "filled"


def _mark(memory: Memory, event: FillBooked | AccountMarked | DayRolled, low: int, high: int) -> int:
    """Equity came between these. Returns what the account began with, which its first booking or mark tells."""
    if memory.initial is None:
        booked = event.realised_nanos - event.fee_nanos if isinstance(event, FillBooked) else 0
        memory.initial = event.balance_nanos - booked
    curve, initial = memory.scope(OVERALL, event.occurred_at_ns).curve, memory.initial
    curve.mark(event.occurred_at_ns, low - initial, high - initial, initial)
    return initial


def _book(memory: Memory, event: FillBooked, initial: int) -> Iterator[Row]:
    chain, at_ns = memory.chains.get(event.correlation), event.occurred_at_ns
    if event.closed:
        opener = memory.openers.pop(event.symbol, None)
        risk = opener.risk if opener else 0
        for name in (OVERALL, opener.scope) if opener else (OVERALL,):
            scope = memory.scopes[name]
            scope.close(event.trade_nanos, risk, memory.day)
            if name != OVERALL:
                scope.curve.mark(at_ns, scope.net, scope.net, initial)
            yield Row(METRICS, (name,), scope.values(at_ns, memory.day, initial))
    if event.position_nanos and chain and event.symbol not in memory.openers:
        memory.openers[event.symbol] = Opener(chain.scope, chain.risk)
    if chain and chain.spent:
        del memory.chains[event.correlation]


def _roll(memory: Memory, event: DayRolled, initial: int) -> Iterator[Row]:
    at_ns = event.occurred_at_ns
    # Prague is one or two hours ahead of UTC, where its midnight still has the date of the day that ends.
    weekday = (at_ns // DAY_NS + _THURSDAY) % 7 < _SATURDAY
    memory.weekdays += weekday
    for name, scope in memory.scopes.items():
        if weekday and (scope.stirred or name == OVERALL):
            gain = event.equity_nanos - initial if name == OVERALL else scope.net
            scope.sample(gain, initial, memory.weekdays)
        elif name != OVERALL:
            continue
        yield Row(METRICS, (name,), scope.values(at_ns, memory.day, initial))
    memory.day += 1


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(total: int, count: int) -> int | None:
    """In whole nanos, half to even."""
    return round(Fraction(total, count)) if count else None


MODEL = ReadModel(
    "metrics",
    1,
    (
        Fold(
            "ledger",
            (SignalRaised, SignalAssessed, OrderPlaced, OrderMoved, OrderFilled, FillBooked, AccountMarked, DayRolled),
            Memory,
            evolve,
            (METRICS,),
        ),
    ),
)
