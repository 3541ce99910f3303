"""Judging what was tried, and holding a promise against what came of it."""

import random
from typing import Any

import pytest

from domain import outcome as figures_of
from domain.closed_trades import Trade
from domain.outcome import Outcome, outcome_of
from domain.tuning import Parts, Promise, compare, judge, objections

UNIT = 10**9
START = 100_000 * UNIT


def outcome(wins: int, losses: int, *, won: int = 300, lost: int = 100, days: int = 100, halts: int = 0) -> Outcome:
    """Trades in turn, so that no run of losses is long."""
    results = [won * UNIT] * wins + [-lost * UNIT] * losses
    random.Random(1).shuffle(results)
    trades = [Trade(at, 0, 0, result) for at, result in enumerate(results, 1)]
    return outcome_of(trades, days=days, start_nanos=START, currency="USD", seed=1, halts=halts)


def parts(chosen_on: Outcome, held_out: Outcome | None = None) -> Parts:
    return Parts(whole=chosen_on, chosen_on=chosen_on, held_out=held_out or chosen_on)


CURRENT = outcome(40, 60)
MORE = outcome(80, 110)
WIDE: dict[str, Any] = {"drawdown_max": 0.5}


def test_more_trades_that_win_and_earn_as_well_have_nothing_against_them() -> None:
    assert objections(CURRENT, MORE, "frequency", tests=4, **WIDE) == ()


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        (outcome(12, 17), "29 trades, 30 are needed"),
        (outcome(80, 110, won=100), "it loses: -15.79 USD a trade"),
        (outcome(80, 110, won=150), "it earns less: 10.00 USD a day against 60.00 USD"),
        (outcome(80, 110, halts=1), "limits halted it more often: 1 times against 0"),
        (outcome(40, 60), "it trades no more often: 100 trades against 100"),
        (outcome(60, 180, won=900), "its win rate is surely only above 19.9%, the current lower bound is 30.9%"),
    ],
)
def test_each_way_to_be_worse_is_named(worse: Outcome, says: str) -> None:
    assert says in objections(CURRENT, worse, "frequency", **WIDE)


def test_a_deeper_fall_than_allowed_is_named_and_unsaid_it_is_that_of_the_current_parameters() -> None:
    said = f"it falls deeper: {MORE.drawdown_share:.1%} against {CURRENT.drawdown_share:.1%}"
    assert MORE.drawdown_share > CURRENT.drawdown_share
    assert objections(CURRENT, MORE, "frequency") == (said,)
    assert objections(CURRENT, MORE, "frequency", drawdown_max=MORE.drawdown_share) == ()


def test_the_more_were_tried_the_surer_a_win_rate_must_be() -> None:
    close = outcome(77, 118)
    assert objections(CURRENT, close, "frequency", tests=1, **WIDE) == ()
    assert "win rate" in objections(CURRENT, close, "frequency", tests=200, **WIDE)[0]


def test_for_quality_the_lower_bound_must_pass_the_current_win_rate_itself() -> None:
    assert objections(CURRENT, outcome(55, 45), "quality", **WIDE) == ()
    assert "the current win rate is 40.0%" in objections(CURRENT, outcome(45, 55), "quality", **WIDE)[0]
    fewer = outcome(33, 17, won=400)
    assert objections(CURRENT, fewer, "quality", **WIDE) == ()  # less often is no fault then


def test_the_days_of_both_need_not_be_the_same() -> None:
    assert objections(outcome(40, 60, days=100), outcome(30, 42, days=50), "frequency", **WIDE) == ()
    assert objections(outcome(40, 60, days=50), outcome(44, 64, days=100), "frequency", **WIDE) != ()


def test_the_best_is_chosen_by_the_first_part_alone_and_confirmed_by_the_second() -> None:
    often, seldom = outcome(120, 165), outcome(60, 82)
    found = judge(parts(CURRENT), [parts(seldom), parts(often), parts(CURRENT)], "frequency", 0.5)
    assert (found.best, found.proposed, found.order, found.tried) == (1, 1, (1, 0, 2), 3)
    assert "3 candidates tried" in found.says
    assert often.says in found.says


def test_a_best_one_that_does_not_hold_is_not_replaced_by_the_second() -> None:
    faded = parts(outcome(120, 165), outcome(20, 80))
    found = judge(parts(CURRENT), [faded, parts(outcome(60, 82))], "frequency", 0.5)
    assert (found.best, found.proposed) == (0, None)
    assert "did not hold on the last third" in found.says
    assert found.against[0] in found.says


def test_what_happens_in_the_last_third_never_changes_the_choice() -> None:
    tried = [outcome(60, 82), outcome(80, 110), outcome(70, 96)]
    later = [outcome(1, 0), CURRENT, outcome(300, 100)]
    chosen = {judge(parts(CURRENT), [parts(one, last) for one in tried], "frequency", 0.5).best for last in later}
    assert chosen == {1}


def test_no_candidate_is_better_is_said_and_so_is_too_little_history() -> None:
    losing = outcome(20, 80)
    found = judge(parts(losing), [parts(losing)], "frequency", 0.5)
    assert found.says == (
        "No candidate is better: 1 candidate tried, none held on the first two thirds of the history. "
        "The current parameters lose as well."
    )
    short = judge(parts(CURRENT), [parts(outcome(3, 4)), parts(outcome(2, 2))], "frequency")
    assert short.proposed is None
    assert "none closed more than 7 trades" in short.says
    assert judge(parts(CURRENT), [], "frequency").proposed is None


def test_the_luckiest_of_many_without_an_edge_is_seldom_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_of, "RESAMPLES", 2)
    chance, proposed, best = random.Random(2018), 0, 0

    def lucky(count: int, days: int) -> Outcome:
        trades = [Trade(at, 0, 0, chance.choice([250, -100, -100, -100]) * UNIT) for at in range(1, count + 1)]
        return outcome_of(trades, days=days, start_nanos=START, currency="USD", seed=1)

    for _ in range(60):
        current = Parts(whole=CURRENT, chosen_on=lucky(150, 200), held_out=lucky(75, 100))
        tried = [
            Parts(whole=CURRENT, chosen_on=lucky(count, 200), held_out=lucky(count // 2, 100))
            for count in chance.choices(range(150, 220), k=24)
        ]
        found = judge(current, tried, "frequency", 0.5)
        best, proposed = best + (found.best is not None), proposed + (found.proposed is not None)
    assert best > 15, "chance alone makes a good one of many: that is what must be seen through"
    assert proposed <= 6


# -- promises --------------------------------------------------------------------------------------------------------


def promised(expected: Outcome) -> Promise:
    return Promise(strategy="ema_cross", parameters={"fast": 8}, tried=24, expected=expected)


PROMISE = promised(MORE)


def kept(observed: Outcome) -> dict[str, bool | None]:
    return {figure.name: figure.kept for figure in compare(PROMISE, observed).figures}


def test_a_promise_that_comes_true_is_kept_with_its_figures() -> None:
    found = compare(PROMISE, MORE)
    assert found.verdict == "kept"
    assert [figure.name for figure in found.figures] == ["trades_per_day", "win_rate", "drawdown_share"]
    rate = found.figures[1]
    assert (rate.promised, rate.promised_low, rate.observed_high) == (
        MORE.win_rate,
        MORE.win_rate_low,
        MORE.win_rate_high,
    )
    assert compare(PROMISE, outcome(40, 55, days=50)).verdict == "kept"


def test_better_than_promised_is_kept() -> None:
    assert compare(PROMISE, outcome(300, 100)).verdict == "kept"


def test_a_win_rate_or_a_frequency_out_of_reach_is_missed() -> None:
    assert kept(outcome(30, 160)) == {
        "trades_per_day": True,
        "win_rate": False,
        "drawdown_share": kept(outcome(30, 160))["drawdown_share"],
    }
    seldom = compare(PROMISE, outcome(42, 58, days=200))
    assert seldom.verdict == "missed"
    assert "missed in trades per day" in seldom.says


def test_few_trades_are_too_early_unless_they_fell_too_deep_already() -> None:
    early = compare(PROMISE, outcome(0, 5, days=2))
    assert early.verdict == "too_early"
    assert [figure.kept for figure in early.figures] == [None, None, None]
    assert "5 trades, 30 are needed" in early.says
    deep = compare(PROMISE, outcome(0, 5, lost=10_000, days=2))
    assert (deep.verdict, [figure.kept for figure in deep.figures]) == ("missed", [None, None, False])
