"""Metrics against plain statistics over the whole list, and what a running sum could get wrong."""

import math
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import equity, metrics
from projections.metrics import DAY_NS, MODEL, OVERALL, REQUEST
from projections.projection import Folding
from tests.projections.desk_by_hand import BOS, EMA, INITIAL, Desk, expected
from tests.projections.folds import DAY, Row, check, event, golden, ledger, nanos, row, rows, versions

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
    desk = Desk(fee=draw(st.sampled_from([0, 7])))
    for name, *terms in draw(st.lists(_steps, max_size=40)):
        match name:
            case "leave" | "reverse" if terms[0] not in desk.open:
                continue
            case "mark" if not desk.points:
                continue  # nothing floats before the first booking
            case "refuse":
                desk.judge(terms[0], verdict="refused")
            case "cancel":
                chain, order = desk.judge(terms[0])
                desk.tell("order_moved", causation=order, correlation=chain, order=order, state="canceled")
            case _:
                getattr(desk, name)(*terms)
    return desk


def _same(said: Row, wanted: Row) -> None:
    assert said.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, float):
            assert said[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            assert said[name] == value, name


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
    returns = [(100_000 + b) / (100_000 + a) - 1 for a, b in pairwise([0, *levels])]
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
        assert says(desk, scope)["samples"] == 4  # Thursday began with a debt: it has no return
    facts = ledger(*desk.events)
    assert versions(MODEL, "metrics", facts, range(len(facts))) == versions(MODEL, "metrics", facts)


def test_an_account_that_ends_in_debt_has_lost_all() -> None:
    desk = Desk()
    desk.trade(BOS, -2 * INITIAL)
    desk.roll()
    assert (says(desk)["year_return"], says(desk)["drawdown_share"], says(desk)["calmar"]) == (-1.0, 2.0, -0.5)


def test_a_trade_that_closes_days_behind_its_signal_is_sampled_then() -> None:
    desk = Desk()
    desk.enter("EURUSD", BOS, risk=1)
    desk.roll()
    desk.roll()
    assert says(desk, "bos@2")["samples"] == 1
    desk.leave("EURUSD", nanos(1_000))
    desk.roll()
    assert (says(desk, "bos@2")["samples"], says(desk, "bos@2")["year_return"]) == (3, 0.01)


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
