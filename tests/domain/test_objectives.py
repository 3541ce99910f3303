"""A challenge is passed once, at the very fill that meets the last of its objectives; a breach fails it for good."""

from itertools import accumulate
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import ObjectivesReached
from domain.instructions import PolicyActivated, TradingResumed
from tests.domain.desks import fills, nanos, of
from tests.domain.prague import PragueDesk, breaches, opened, pack


def reached(desk: PragueDesk) -> list[ObjectivesReached]:
    return of(ObjectivesReached, desk.events)


def earned(desk: PragueDesk, *results: int) -> list[int]:
    """Earn a result a day from Tuesday, 5 March 2024 on; the days (from 0) at whose closing fill all was reached."""
    found = []
    for number, dollars in enumerate(results):
        events = desk.earn(f"2024-03-{5 + number:02} 10:00:00", dollars)
        found += [number for event in of(ObjectivesReached, events) if event.ordinal == desk.engine.ordinal]
    return found


def outcome(desk: PragueDesk) -> int:
    return int(desk.engine.desk.book.account[0]["outcome"])


def test_a_2_step_challenge_is_passed_at_the_fill_that_meets_target_and_trading_days() -> None:
    """FTMO: 10 % of the initial 100,000 are 10,000, closed, on at least 4 trading days."""
    desk = opened("2step-challenge")
    assert earned(desk, 6_000, 5_000, -500, -400, 300) == [3]  # met on the second day, but for the days
    (event,) = reached(desk)
    assert (event.policy, event.profit_target_nanos, event.balance_nanos) == ("test@1", nanos(10_000), nanos(110_100))
    assert (event.trading_days, event.trading_days_min, event.best_day_nanos) == (4, 4, nanos(6_000))
    assert event.causation in {fill.number for fill in fills(desk.events)}


def test_the_target_is_exact_and_said_once() -> None:
    assert earned(opened("2step-verification"), 1_000, 1_000, 1_000, 1_990, 10, 500, -2_000, 2_000) == [4]


def test_a_challenge_is_not_passed_while_any_position_is_open() -> None:
    desk = opened("2step-challenge", "EURUSD", "GBPUSD", trading_days_min=1)
    desk.hold(1_000, "2024-03-04 11:00:00", "1.10000", "GBPUSD")
    desk.earn("2024-03-04 12:00:00", 10_000)
    assert not reached(desk)
    events = desk.hold(-1_000, "2024-03-04 13:00:00", "1.10000", "GBPUSD")
    assert [event.balance_nanos for event in of(ObjectivesReached, events)] == [nanos(110_000)]


def test_a_1_step_challenge_waits_until_the_best_day_is_at_most_half_of_what_was_won() -> None:
    assert earned(opened("1step-challenge"), 6_000, 4_000, -500, 1_900, 100) == [4]
    assert earned(opened("1step-challenge"), 10_000) == []


def test_a_funded_account_has_nothing_to_pass() -> None:
    assert earned(opened("2step-funded"), 20_000, 20_000, 20_000, 20_000, 20_000) == []


def test_a_breach_fails_the_challenge_whatever_is_won_after_it() -> None:
    desk = opened("2step-challenge", trading_days_min=1)
    desk.earn("2024-03-04 11:00:00", -6_000)
    assert len(breaches(desk)) == 1
    desk.at("2024-03-05 09:00:00", "1.10000")
    desk.tell(TradingResumed, reason="go on")
    desk.earn("2024-03-05 10:00:00", 30_000)
    assert not reached(desk)
    assert outcome(desk) == 2


def test_a_fill_that_meets_the_last_objective_below_a_limit_of_loss_passes_nothing() -> None:
    desk = opened("2step-challenge", trading_days_min=2)
    assert earned(desk, 25_000, -6_000) == []
    assert [breach.limit for breach in breaches(desk)] == ["daily_loss"]


def test_the_next_phase_begins_afresh_and_the_same_policy_again_does_not() -> None:
    desk = opened("2step-challenge", trading_days_min=1)
    assert earned(desk, 10_000) == [0]
    again = pack("2step-challenge", trading_days_min=1)
    desk.tell(PolicyActivated, policy=again.model_copy(update={"version": 2}))
    desk.earn("2024-03-06 10:00:00", 10)
    assert len(reached(desk)) == 1
    desk.tell(PolicyActivated, policy=again.model_copy(update={"name": "next-phase"}))
    assert outcome(desk) == 0
    desk.earn("2024-03-07 10:00:00", 10)
    assert [event.policy for event in reached(desk)] == ["test@1", "next-phase@1"]


def oracle(results: list[int], least: int, share: int) -> list[int]:
    """The first day on which all is met, from the text of the objectives alone."""
    for day, total in enumerate(accumulate(results)):
        won = sum(result for result in results[: day + 1] if result > 0)
        best = max(0, *results[: day + 1])
        if total >= 10_000 and day + 1 >= least and best * 100 <= won * share:
            return [day]
    return []


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([-1_000, 500, 3_000, 4_000, 6_000, 7_000]), min_size=2, max_size=6),
    st.integers(0, 4),
    st.integers(40, 70),
)
def test_any_run_of_days_passes_when_an_oracle_in_plain_python_says(results: list[int], least: int, share: int) -> None:
    limits: dict[str, Any] = {"daily_loss_ppm": None, "max_loss_ppm": None, "best_day_max_ppm": share * 10_000}
    desk = opened("1step-challenge", trading_days_min=least, **limits)
    assert earned(desk, *results) == oracle(results, least, share)
