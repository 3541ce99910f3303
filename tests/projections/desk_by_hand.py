"""A desk by hand, which keeps plain lists of what happened, and the metrics' definitions over those whole lists."""

import math
import statistics
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from domain.events import LedgerEvent
from projections.metrics import DAY_NS, OVERALL, REQUEST
from tests.projections.folds import Row, event, nanos

INITIAL = nanos(100_000)
MINUTE_NS = 60 * 10**9
PRAGUE = ZoneInfo("Europe/Prague")
FIRST_DAY = date(2024, 3, 4)  # a Monday, four weeks before the clocks change

BOS, EMA = ("bos", 2), ("ema", 1)
SCOPES = {BOS: "bos@2", EMA: "ema@1", None: REQUEST}
Who = tuple[str, int] | None  # None: an order that was asked for


@dataclass
class Told:
    """A fact of a scope, for the oracle: at which number, when, on which day, and what a closed trade made."""

    number: int
    at_ns: int
    day: int
    scope: str
    result: int = 0
    risk: int = 0
    closed: bool = False


@dataclass
class Desk:
    """A desk by hand: writes the ledger that an engine would, and keeps plain lists of what happened."""

    events: list[LedgerEvent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    points: list[tuple[int, int, int, int]] = field(default_factory=list)  # number, time, low and high of equity
    samples: list[tuple[int, int, bool, int]] = field(default_factory=list)  # number, day, is a weekday, equity
    open: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # scope, risk, correlation
    balance: int = INITIAL
    floating: int = 0
    fee: int = 0
    day: int = 0
    minute: int = 0

    @property
    def now(self) -> int:
        return _prague_ns(FIRST_DAY + timedelta(days=self.day)) + 9 * 3600 * 10**9 + self.minute * MINUTE_NS

    def tell(self, example: str, **fields: Any) -> int:
        number = len(self.events) + 1
        self.events.append(event(example, number, **{"occurred_at_ns": self.now} | fields))
        return number

    def judge(self, who: Who, risk: int = 0, verdict: str = "approved") -> tuple[int, int]:
        """Returns the chain's correlation and the number of the order (0: refused)."""
        self.minute += 1
        if who:
            cause = chain = self.tell("signal_raised", strategy=who[0], version=who[1])
        else:
            cause = chain = self.tell("instruction_applied", kind="order_requested")
        self.told.append(Told(chain + 1, self.now, self.day, SCOPES[who]))
        verdict_number = self.tell(
            "signal_assessed", causation=cause, correlation=chain, verdict=verdict, risk_nanos=risk
        )
        if verdict == "refused":
            return chain, 0
        purpose = "entry" if who else "request"
        return chain, self.tell("order_placed", causation=verdict_number, correlation=chain, purpose=purpose)

    def fill(
        self, symbol: str, chain: int, order: int, position: int, *, result: int | None = None, whole: bool = True,
        purpose: str = "entry",
    ) -> None:  # fmt: skip
        """One execution and its booking; with a result the open trade closes."""
        state = "filled" if whole else "partially_filled"
        fill = self.tell(
            "order_filled", causation=order, correlation=chain, order=order, symbol=symbol, state=state,
            purpose=purpose,
        )  # fmt: skip
        realised, fee = result or 0, self.fee
        self.balance += realised - fee
        number = self.tell(
            "fill_booked", causation=fill, correlation=chain, symbol=symbol, position_nanos=position,
            realised_nanos=realised, fee_nanos=fee, balance_nanos=self.balance, floating_nanos=self.floating,
            equity_nanos=self.balance + self.floating, closed=result is not None, trade_nanos=result or 0,
        )  # fmt: skip
        self.points.append((number, self.now, self.balance + self.floating, self.balance + self.floating))
        if result is not None:
            scope, risk, _ = self.open.pop(symbol)
            self.told.append(Told(number, self.now, self.day, scope, result, risk, closed=True))

    def enter(self, symbol: str, who: Who, risk: int) -> None:
        """Open a position, or add to the open one, which stays whose it was."""
        chain, order = self.judge(who, risk)
        self.fill(symbol, chain, order, 1)
        self.open.setdefault(symbol, (SCOPES[who], risk, chain))

    def leave(self, symbol: str, result: int) -> None:
        """Close the open position by an exit of its own chain."""
        self.minute += 1
        chain = self.open[symbol][2]
        exit_order = self.tell("order_placed", correlation=chain, purpose="stop", symbol=symbol)
        self.fill(symbol, chain, exit_order, 0, result=result, purpose="stop")

    def reverse(self, symbol: str, who: Who, risk: int, result: int) -> None:
        """One netting order: the open trade closes, and the new chain opens the other way."""
        chain, order = self.judge(who, risk)
        self.fill(symbol, chain, order, -1, result=result)
        self.open[symbol] = (SCOPES[who], risk, chain)

    def trade(self, who: Who, result: int, risk: int = 0) -> None:
        self.enter("EURUSD", who, risk)
        self.leave("EURUSD", result)

    def mark(self, floating: int, below: int = 0, above: int = 0) -> None:
        self.minute += 1
        self.floating = floating
        now = self.balance + floating
        number = self.tell(
            "account_marked", balance_nanos=self.balance, floating_nanos=floating, equity_nanos=now,
            equity_low_nanos=now - below, equity_high_nanos=now + above,
        )  # fmt: skip
        self.points.append((number, self.now, now - below, now + above))

    def roll(self) -> None:
        ended = FIRST_DAY + timedelta(days=self.day)
        midnight, now = _prague_ns(ended + timedelta(days=1)), self.balance + self.floating
        number = self.tell("day_rolled", occurred_at_ns=midnight, balance_nanos=self.balance, equity_nanos=now)
        self.points.append((number, midnight, now, now))
        self.samples.append((number, self.day, ended.weekday() < 5, now))
        self.day, self.minute = self.day + 1, 0


def _prague_ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=PRAGUE).timestamp()) * 10**9


# -- the oracle: the definitions, over whole lists ---------------------------------------------------------------------


def expected(desk: Desk, scope: str, number: int, at_ns: int) -> Row:
    """What a version of a scope that an event made must say."""
    told = [t for t in desk.told if t.number <= number and scope in (OVERALL, t.scope)]
    trades = [t for t in told if t.closed]
    results = [t.result for t in trades]
    wins, losses = [x for x in results if x > 0], [-x for x in results if x < 0]
    rs = [Fraction(t.result, t.risk) for t in trades if t.risk > 0]
    rolls = [sample for sample in desk.samples if sample[0] <= number]
    today = rolls[-1][1] if rolls and rolls[-1][0] == number else len(rolls)  # at midnight the day that ended
    days = today - (0 if scope == OVERALL else told[0].day) + 1
    active = len({t.day for t in trades})
    curve = _curve(desk, scope, told, rolls)
    return {
        "at_ns": at_ns, "trades": len(results), "wins": len(wins), "zeros": results.count(0), "losses": len(losses),
        "won": sum(wins), "lost": sum(losses), "net": sum(results),
        "win_rate": len(wins) / len(results) if results else None,
        "profit_factor": sum(wins) / sum(losses) if losses else None,
        "expectancy": round(Fraction(sum(results), len(results))) if results else None,
        "average_win": round(Fraction(sum(wins), len(wins))) if wins else None,
        "average_loss": round(Fraction(sum(losses), len(losses))) if losses else None,
        "payoff": statistics.fmean(wins) / statistics.fmean(losses) if wins and losses else None,
        "r_trades": len(rs), "expectancy_r": float(statistics.mean(rs)) if rs else None,
        "days": days, "active_days": active, "trades_per_day": len(trades) / days,
        "trades_per_active_day": len(trades) / active if active else None,
        **_ratios([Fraction(b, a) - 1 for a, b in pairwise([INITIAL, *curve]) if a > 0]),
        **_fall(desk, scope, told, number, at_ns, Fraction(max(curve[-1], 0), INITIAL) - 1 if curve else None),
    }  # fmt: skip


def _curve(desk: Desk, scope: str, told: list[Told], rolls: list[tuple[int, int, bool, int]]) -> list[int]:
    """The samples: of an account its equity, of another scope what its trades made, up to the end of its last day."""
    if scope == OVERALL:
        return [sample[3] for sample in rolls if sample[2]]
    ends = [end for end, _, weekday, _ in rolls if weekday and end > told[0].number]
    last = max(min((end for end in ends if end > t.number), default=0) for t in told)
    return [INITIAL + sum(t.result for t in told if t.closed and t.number < end) for end in ends if end <= last]


def _ratios(exact: list[Fraction]) -> Row:
    returns = [Fraction(round(r * 10**18), 10**18) for r in exact]  # finer differences are none
    mean = statistics.mean(returns) if returns else Fraction(0)
    below = [min(r, Fraction(0)) for r in returns]
    varies = len(set(returns)) > 1
    return {
        "samples": len(returns),
        "sharpe": math.sqrt(252) * float(mean) / math.sqrt(statistics.variance(returns)) if varies else None,
        "sortino": math.sqrt(252) * float(mean) / math.sqrt(statistics.mean(r * r for r in below))
        if any(below)
        else None,
    }


def _fall(desk: Desk, scope: str, told: list[Told], number: int, at_ns: int, year_return: Fraction | None) -> Row:
    """Of fewer than 252 samples, the only ones here, the return of a year is the return."""
    if scope == OVERALL:
        points = [(at, low, high) for n, at, low, high in desk.points if n <= number]
        points = [(points[0][0], INITIAL, INITIAL), *points]
    else:
        points, level = [(told[0].at_ns, INITIAL, INITIAL)], INITIAL
        for t in told:
            if t.closed:
                level += t.result
                points.append((t.at_ns, level, level))
    peaks = [max(high for _, _, high in points[: j + 1]) for j in range(len(points))]
    falls = [peak - low for peak, (_, low, _) in zip(peaks, points, strict=True)]
    deepest, bottom = max(falls), falls.index(max(falls))
    share = max(fall / peak for fall, peak in zip(falls, peaks, strict=True))
    since = max(at for at, _, high in points[: bottom + 1] if high == peaks[bottom]) if deepest else None
    until = next((at for at, _, high in points[bottom + 1 :] if deepest and high >= peaks[bottom]), None)
    return {
        "year_return": None if year_return is None else float(year_return),
        "drawdown": deepest, "drawdown_share": share, "drawdown_from_ns": since, "drawdown_until_ns": until,
        "drawdown_days": None if since is None else ((until or at_ns) - since) / DAY_NS,
        "calmar": float(year_return) / share if deepest and year_return is not None else None,
    }  # fmt: skip
