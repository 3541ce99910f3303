"""Metrics against plain statistics over the whole list, and what a running sum could get wrong."""

import math
import statistics
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import LedgerEvent
from projections import equity, metrics
from projections.metrics import DAY_NS, MODEL, OVERALL, REQUEST
from projections.projection import Folding
from tests.projections.folds import DAY, Row, check, event, golden, ledger, nanos, row, rows, versions

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
        if who:
            self.told[-1].number = chain
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
        realised, fee = (result or 0) + 7, 7
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
    returns = _returns(desk, scope, told, rolls)
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
        **_ratios(returns),
        **_fall(desk, scope, told, number, at_ns, math.prod(1 + r for r in returns) - 1 if returns else None),
    }  # fmt: skip


def _returns(desk: Desk, scope: str, told: list[Told], rolls: list[tuple[int, int, bool, int]]) -> list[Fraction]:
    if scope == OVERALL:
        curve = [sample[3] for sample in rolls if sample[2]]
    else:
        ends = [end for end, _, weekday, _ in rolls if weekday and end > told[0].number]
        lively = {min((end for end in ends if end > t.number), default=0) for t in told}
        ends = [end for end in ends if end <= max(lively)]
        curve = [INITIAL + sum(t.result for t in told if t.closed and t.number < end) for end in ends]
    return [Fraction(b, a) - 1 for a, b in zip([INITIAL, *curve], curve, strict=False) if a > 0]


def _ratios(returns: list[Fraction]) -> Row:
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


def _same(said: Row, wanted: Row) -> None:
    assert said.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, float):
            assert said[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            assert said[name] == value, name


# -- any desk ----------------------------------------------------------------------------------------------------------

_results = st.one_of(st.integers(-3, 3), st.integers(-(10**13), 10**13))
_risks = st.sampled_from([0, 1, 3 * 10**9, 10**12 + 7])
_who = st.sampled_from([BOS, EMA, None])
_symbols = st.sampled_from(["EURUSD", "USDJPY"])
_money = st.integers(0, 5 * 10**12)
_steps = st.one_of(
    st.tuples(st.just("enter"), _symbols, _who, _risks),
    st.tuples(st.just("leave"), _symbols, _results),
    st.tuples(st.just("leave"), _symbols, _results),
    st.tuples(st.just("reverse"), _symbols, _who, _risks, _results),
    st.tuples(st.just("refuse"), _who),
    st.tuples(st.just("cancel"), _who),
    st.tuples(st.just("mark"), st.integers(-(10**13), 10**13), _money, _money),
    st.tuples(st.just("roll")),
    st.tuples(st.just("roll")),
)


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    desk = Desk()
    for name, *terms in draw(st.lists(_steps, max_size=40)):
        match name:
            case "leave" | "reverse" if terms[0] not in desk.open:
                continue
            case "refuse":
                desk.judge(terms[0], verdict="refused")
            case "cancel":
                chain, order = desk.judge(terms[0])
                desk.tell("order_moved", causation=order, correlation=chain, order=order, state="canceled")
            case _:
                getattr(desk, name)(*terms)
    return desk


@given(desks())
@settings(deadline=None)
def test_every_version_says_what_plain_statistics_say_of_the_whole_list(desk: Desk) -> None:
    for (scope,), since, _, said in versions(MODEL, "metrics", ledger(*desk.events)):
        _same(said, expected(desk, scope, since, desk.events[since - 1].occurred_at_ns))


@given(desks())
@settings(deadline=None)
def test_every_closed_trade_and_every_midnight_has_its_version(desk: Desk) -> None:
    made = {(scope, since) for (scope,), since, _, _ in versions(MODEL, "metrics", ledger(*desk.events))}
    closed = {(scope, t.number) for t in desk.told if t.closed for scope in (OVERALL, t.scope)}
    assert closed | {(OVERALL, sample[0]) for sample in desk.samples} <= made


@given(desks(), st.data())
@settings(deadline=None)
def test_a_restart_at_any_cut_leaves_every_bit_the_same(desk: Desk, data: st.DataObject) -> None:
    facts = ledger(*desk.events)
    cuts = data.draw(st.sets(st.integers(0, len(facts)), max_size=4))
    assert versions(MODEL, "metrics", facts, cuts) == versions(MODEL, "metrics", facts)


@given(desks())
@settings(deadline=None)
def test_the_drawdown_is_the_deepest_of_the_equity_curve(desk: Desk) -> None:
    facts = ledger(*desk.events)
    curve = rows(equity.MODEL, "equity", facts)
    for (scope,), since, _, said in versions(MODEL, "metrics", facts):
        if scope == OVERALL:
            assert said["drawdown"] == max(point["drawdown"] for (number,), point in curve.items() if number <= since)


# -- by hand -----------------------------------------------------------------------------------------------------------


def says(desk: Desk, scope: str = OVERALL) -> Row:
    return row(MODEL, "metrics", ledger(*desk.events), scope)


def test_the_golden_vector() -> None:
    desk = Desk()
    for result in (100, -50, 200, -50):
        desk.trade(BOS, nanos(result), risk=nanos(50))
    for scope in (OVERALL, "bos@2"):
        said = says(desk, scope)
        assert (said["trades"], said["win_rate"], said["profit_factor"]) == (4, 0.5, 3.0)
        assert (said["expectancy"], said["expectancy_r"]) == (nanos(50), 1.0)
        assert (said["average_win"], said["average_loss"], said["payoff"]) == (nanos(150), nanos(50), 3.0)
        assert (said["days"], said["trades_per_day"], said["trades_per_active_day"]) == (1, 4.0, 4.0)


def test_a_trade_that_made_nothing_is_no_win_and_stands_apart() -> None:
    desk = Desk()
    for result in (5, 0, 0, -5):
        desk.trade(BOS, result)
    said = says(desk)
    assert (said["trades"], said["wins"], said["zeros"], said["losses"]) == (4, 1, 2, 1)
    assert said["win_rate"] == 0.25


def test_without_a_loss_there_is_no_profit_factor_and_without_a_win_it_is_nothing() -> None:
    winner, loser = Desk(), Desk()
    winner.trade(BOS, 5)
    loser.trade(BOS, -5)
    assert (says(winner)["profit_factor"], says(winner)["payoff"], says(winner)["calmar"]) == (None, None, None)
    assert (says(loser)["profit_factor"], says(loser)["payoff"]) == (0.0, None)


def test_before_the_first_trade_a_day_has_no_figures_and_no_drawdown() -> None:
    desk = Desk()
    desk.roll()
    said = says(desk)
    assert (said["trades"], said["days"], said["samples"], said["drawdown"]) == (0, 1, 1, 0)
    unknown = "win_rate profit_factor expectancy payoff expectancy_r sharpe sortino calmar drawdown_days"
    assert [said[name] for name in unknown.split()] == [None] * 9


def test_a_reversal_closes_one_trade_of_its_opener_and_opens_one_of_the_other() -> None:
    desk = Desk()
    desk.enter("EURUSD", BOS, risk=10)
    desk.reverse("EURUSD", EMA, 20, result=30)
    desk.leave("EURUSD", -20)
    assert (says(desk, "bos@2")["net"], says(desk, "bos@2")["expectancy_r"]) == (30, 3.0)
    assert (says(desk, "ema@1")["net"], says(desk, "ema@1")["expectancy_r"]) == (-20, -1.0)
    assert says(desk)["trades"] == 2


def test_what_another_signal_adds_to_a_position_belongs_to_the_trade_that_is_open() -> None:
    desk = Desk()
    desk.enter("EURUSD", BOS, risk=10)
    desk.enter("EURUSD", EMA, risk=20)
    desk.leave("EURUSD", 5)
    assert says(desk, "bos@2")["trades"] == 1
    assert ("ema@1",) not in rows(MODEL, "metrics", ledger(*desk.events))


def test_an_order_that_fills_in_parts_may_open_a_position_twice() -> None:
    desk = Desk()
    chain, order = desk.judge(BOS, 10)
    for whole in (False, True):
        desk.fill("EURUSD", chain, order, 1, whole=whole)
        desk.open["EURUSD"] = ("bos@2", 10, chain)
        desk.leave("EURUSD", 5)
    assert says(desk, "bos@2")["r_trades"] == 2


def test_a_flattening_of_another_chain_closes_the_trade_of_who_opened_it() -> None:
    desk = Desk()
    desk.enter("EURUSD", None, risk=0)
    halt = desk.tell("instruction_applied", kind="trading_halted")
    flatten = desk.tell("order_placed", causation=halt, correlation=halt, purpose="flatten")
    desk.fill("EURUSD", halt, flatten, 0, result=-4, purpose="flatten")
    said = says(desk, REQUEST)
    assert (said["trades"], said["net"], said["r_trades"], said["expectancy_r"]) == (1, -4, 0, None)


def test_a_weekend_has_no_sample_of_its_own_and_its_result_is_monday_s() -> None:
    desk = Desk()
    for day in range(35):  # over the night in which the clocks change
        if day % 7 == 5:
            desk.trade(BOS, nanos(10 * (day + 1)))  # on a Saturday
        desk.roll()
    said, wanted = says(desk), [10 * (day + 1) for day in (5, 12, 19, 26)]
    assert (said["samples"], said["days"]) == (25, 35)
    levels = [sum(wanted[: index // 5]) for index in range(25)]  # a Monday's sample is the first behind a weekend
    returns = [(100_000 + b) / (100_000 + a) - 1 for a, b in zip([0, *levels], levels, strict=False)]
    wanted_sharpe = math.sqrt(252) * statistics.mean(returns) / statistics.stdev(returns)
    assert said["sharpe"] == pytest.approx(wanted_sharpe, rel=1e-9)


def test_a_version_that_trades_no_more_is_not_sampled_any_more() -> None:
    desk = Desk()
    for result in (nanos(10), nanos(-5)):
        desk.trade(BOS, result)
        desk.roll()
    before = says(desk, "bos@2")
    for _ in range(7):
        desk.roll()
    assert says(desk, "bos@2") == before
    desk.trade(BOS, nanos(1))
    desk.roll()
    assert says(desk, "bos@2")["samples"] == 8  # Monday to Monday, and Wednesday behind two days without a sample


def test_a_drawdown_runs_until_its_height_is_reached_again() -> None:
    desk = Desk()
    desk.trade(BOS, nanos(100))
    desk.roll()
    desk.trade(BOS, nanos(-60))
    entered = desk.points[-2][1]  # the last booking at that height
    assert (says(desk)["drawdown"], says(desk)["drawdown_until_ns"]) == (nanos(60), None)
    for _ in range(3):
        desk.roll()
    said = says(desk)
    assert (said["drawdown_from_ns"], said["drawdown_until_ns"]) == (entered, None)
    assert said["drawdown_days"] == (said["at_ns"] - entered) / DAY_NS
    desk.trade(BOS, nanos(60))
    recovered = says(desk)
    assert recovered["drawdown_until_ns"] == desk.now
    desk.roll()
    assert says(desk)["drawdown_days"] == recovered["drawdown_days"]


def test_a_year_of_samples_is_annualised_and_less_is_not() -> None:
    desk = Desk()
    desk.trade(BOS, nanos(21_000))
    for _ in range(7 * 72):
        desk.roll()
    said = says(desk)
    assert said["samples"] == 360
    assert said["year_return"] == pytest.approx(1.21 ** (252 / 360) - 1, rel=1e-14)
    assert row(MODEL, "metrics", ledger(*desk.events[:-200]), OVERALL)["year_return"] == 0.21


def test_sums_beyond_64_bits_stay_exact_and_an_account_in_debt_breaks_nothing() -> None:
    desk = Desk()
    for result in (2**62, -(2**62), -(2**62), 2**62, 2**62, -(2**62), 2**62 + 1):
        desk.trade(BOS, result)
        desk.roll()
    for scope in (OVERALL, "bos@2"):
        assert (says(desk, scope)["won"], says(desk, scope)["lost"]) == (2**64 + 1, 3 * 2**62)
        assert says(desk, scope)["samples"] < 7  # a day that begins with a debt has no return
    facts = ledger(*desk.events)
    assert versions(MODEL, "metrics", facts, range(len(facts))) == versions(MODEL, "metrics", facts)


def test_what_is_over_is_not_remembered() -> None:
    desk, folding = Desk(), Folding(MODEL.folds[0])
    for _ in range(50):
        desk.trade(BOS, 5)
        desk.judge(EMA, verdict="refused")
        chain, order = desk.judge(None)
        desk.tell("order_moved", causation=order, correlation=chain, order=order, state="expired")
        desk.tell("signal_raised", strategy="unheard", version=1)  # a desk without an account gives no verdict
        desk.roll()
    folding.take(ledger(*desk.events), len(desk.events))
    assert (folding.memory.chains, folding.memory.openers) == ({}, {})
    assert len(folding.remembered()) < 3_000


def test_a_trade_whose_opening_was_never_told_counts_in_overall_alone() -> None:
    booked = event("fill_booked", 9, closed=True, position_nanos=0, trade_nanos=-3, realised_nanos=0, fee_nanos=3)
    assert {key: said["net"] for key, said in rows(MODEL, "metrics", ledger(booked)).items()} == {(OVERALL,): -3}


@pytest.mark.parametrize("facts", [ledger(*DAY), golden("ledger")[:400]], ids=["a day", "the golden ledger"])
def test_every_value_fits_its_column_and_no_restart_changes_one(facts: Any) -> None:
    check(MODEL, facts)


def test_another_event_is_refused() -> None:
    with pytest.raises(TypeError, match="does not listen to LimitBreached"):
        list(metrics.evolve(metrics.Memory(), ledger(event("limit_breached", 1))[0]))
