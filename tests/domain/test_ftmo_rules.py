"""FTMO's rules for funded Standard accounts: no trades around news, flat over the weekend. Swing is free of both."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.events import InstructionApplied, LedgerEvent, LimitBreached, OrderMoved, SignalAssessed
from domain.instructions import CalendarImported, NewsEntry, PolicyActivated, SignalSubmitted
from domain.snapshot import restore, save
from tests.domain.desks import SECOND, fills, moves, nanos, of, placed
from tests.domain.prague import PRAGUE, PragueDesk, breaches, opened, pack

HIGH = 3

# -- news --------------------------------------------------------------------------------------------------------------

RELEASE = "2024-03-08 14:30:00"


def with_release(
    name: str, currency: str = "USD", impact: int = HIGH, entries: list[tuple[str, int, int]] | None = None
) -> PragueDesk:
    """A desk that knows of one release, or of these (currency, impact, seconds after the usual one)."""
    desk = opened(name, "EURUSD", "GBPJPY", "USDJPY")
    desk.tell(CalendarImported, source="test", entries=tuple(entry(*of) for of in entries or [(currency, impact, 0)]))
    return desk


def entry(currency: str, impact: int, seconds: int) -> NewsEntry:
    """A release so long after the usual one."""
    time = int(datetime.fromisoformat(RELEASE).replace(tzinfo=PRAGUE).timestamp()) + seconds
    return NewsEntry(time_ns=time * SECOND, currency=currency, impact=impact, title="employment")


def at_release(seconds: float) -> str:
    return str(datetime.fromisoformat(RELEASE) + timedelta(seconds=seconds))


INSIDE = [-120, -1, 0, 120]
OUTSIDE = [-120.000001, 120.000001]


@pytest.mark.parametrize("seconds", INSIDE + OUTSIDE)
@pytest.mark.parametrize("name", ["2step-funded", "1step-funded", "2step-funded-swing", "1step-funded-swing"])
def test_a_standard_account_enters_nothing_within_two_minutes_of_its_news(name: str, seconds: float) -> None:
    desk = with_release(name)
    desk.at(at_release(seconds), "1.10000")
    events = desk.tell(SignalSubmitted, strategy="outside", symbol="EURUSD", side="buy", entry_nanos=nanos("1.1"))
    (verdict,) = of(SignalAssessed, events)
    refused = not name.endswith("swing") and seconds in INSIDE
    assert [rule.rule for rule in verdict.rules if not rule.passed] == (["not_near_news"] if refused else [])


@pytest.mark.parametrize("seconds", INSIDE + OUTSIDE)
@pytest.mark.parametrize("name", ["2step-funded", "1step-funded", "2step-funded-swing", "1step-funded-swing"])
def test_a_stop_filled_within_two_minutes_of_news_is_recorded_and_halts_nothing(name: str, seconds: float) -> None:
    desk = with_release(name)
    desk.order("buy", "market", 100_000, stop="1.09500")
    desk.at("2024-03-08 13:00:00", "1.10000")
    events = desk.at(at_release(seconds), "1.09500")
    (fill,) = fills(events)
    assert fill.purpose == "stop"
    broken = not name.endswith("swing") and seconds in INSIDE
    found = of(LimitBreached, events)
    assert [(b.limit, b.symbol, b.halted, b.causation) for b in found] == (
        [("news_trading", "EURUSD", False, fill.number)] if broken else []
    )
    if broken:
        assert (found[0].value_nanos, found[0].limit_nanos) == (-int(seconds * SECOND), 120 * SECOND)
    assert not desk.engine.desk.book.desk[0]["halted"]


@pytest.mark.parametrize(("currency", "impact"), [("EUR", HIGH), ("JPY", HIGH), ("USD", 2)])
def test_only_heavy_news_of_the_pairs_own_currencies_counts(currency: str, impact: int) -> None:
    desk = with_release("2step-funded", currency, impact)
    desk.at(at_release(0), "1.10000")
    desk.hold(1_000, at_release(1), "1.10000")
    assert desk.position() == (0 if currency == "EUR" else 1_000)
    assert not breaches(desk)


# -- orders around news ------------------------------------------------------------------------------------------------


def failed(events: list[LedgerEvent]) -> list[str]:
    """The rules that refused, with their sentences."""
    (verdict,) = of(SignalAssessed, events)
    return [rule.says for rule in verdict.rules if not rule.passed]


@pytest.mark.parametrize("seconds", INSIDE + OUTSIDE)
@pytest.mark.parametrize("name", ["2step-funded", "2step-funded-swing"])
@pytest.mark.parametrize("kind", ["market", "limit"])
def test_an_order_that_is_asked_for_within_two_minutes_of_news_is_refused(name: str, seconds: float, kind: str) -> None:
    desk = with_release(name)
    desk.at(at_release(seconds), "1.10000")
    says = failed(desk.order("buy", kind, 1_000, **({"limit": "1.09000"} if kind == "limit" else {})))
    assert bool(says) == (name == "2step-funded" and seconds in INSIDE)
    assert all("inside the window of 2 min" in sentence for sentence in says)


def test_an_order_that_reduces_a_position_passes_near_news_and_its_fill_is_recorded() -> None:
    desk = with_release("2step-funded")
    desk.hold(3_000, "2024-03-08 13:00:00", "1.10000")
    desk.at(at_release(-60), "1.10000")
    events = desk.hold(-1_000, at_release(-59), "1.10000")
    assert desk.position() == 2_000
    assert [(b.limit, b.value_nanos, b.halted) for b in of(LimitBreached, events)] == [
        ("news_trading", 59 * SECOND, False)
    ]
    assert failed(desk.order("sell", "market", 3_000))  # it would open the other side


def waiting(name: str, **release: Any) -> tuple[PragueDesk, list[int]]:
    """Long EURUSD with stop and target, a limit that only reduces it, and three entries; GBPJPY has one too."""
    desk = with_release(name, **release)
    desk.at("2024-03-08 12:59:59", "1.10000", "GBPJPY")
    desk.at("2024-03-08 12:59:59", "150.000", "USDJPY")
    desk.order("buy", "market", 10_000, stop="1.05000", target="1.20000")
    desk.at("2024-03-08 13:00:00", "1.10000")
    desk.ask("sell", "limit", 5_000, limit="1.15000")
    desk.ask("buy", "limit", 1_000, limit="1.00000", symbol="GBPJPY")
    entries = [
        desk.ask("buy", "limit", 1_000, limit="1.09000"),
        desk.ask("buy", "stop", 1_000, trigger="1.11000"),
        desk.ask("sell", "stop", 20_000, trigger="1.08000", tif="day"),
    ]
    return desk, entries


def test_what_waits_to_enter_is_cancelled_when_the_window_begins_and_the_reason_names_the_news() -> None:
    desk, entries = waiting("2step-funded")
    before = desk.working
    assert not moves(desk.at(at_release(-120.000001), "1.10000"))
    events = desk.at(at_release(-120), "1.12000")  # would trigger the stop: the window comes first
    reason = "heavy news is near: USD employment at 2024-03-08T13:30:00Z"
    assert moves(events) == [(order, "canceled", reason) for order in entries]
    assert not fills(events)
    assert desk.working == [order for order in before if order not in entries]
    assert [fill.purpose for fill in fills(desk.at(at_release(-60), "1.15001"))] == ["request"]
    assert [fill.purpose for fill in fills(desk.at(at_release(-59), "1.20001"))] == ["target"]


def test_a_clock_record_alone_begins_the_window() -> None:
    desk, entries = waiting("2step-funded")
    minute = desk.clock(after=int(datetime.fromisoformat(RELEASE).replace(tzinfo=PRAGUE).timestamp() - 120) * SECOND
                        - desk.now)  # fmt: skip
    assert [order for order, _, _ in moves(minute)] == entries


@pytest.mark.parametrize("release", [{"name": "2step-funded-swing"}, {"name": "2step-funded", "impact": 2}])
def test_a_swing_account_and_light_news_cancel_nothing(release: dict[str, Any]) -> None:
    desk, _ = waiting(**release)
    assert not moves(desk.at(at_release(0), "1.10000"))


def test_a_market_order_that_is_on_its_way_does_not_arrive_within_the_window() -> None:
    desk = with_release("2step-funded")
    desk.at(at_release(-121), "1.10000")
    order = desk.ask("buy", "market", 1_000)
    events = desk.at(at_release(-119), "1.10000")
    assert [moved[:2] for moved in moves(events)] == [(order, "canceled")]
    assert not fills(events)


def test_every_release_has_its_own_window() -> None:
    desk = with_release("2step-funded", entries=[("USD", HIGH, 0), ("EUR", HIGH, 60), ("JPY", HIGH, 90)])
    cancelled = []
    for seconds in (-130, 190, 400):
        desk.at(at_release(seconds), "1.10000")
        desk.order("buy", "limit", 1_000, limit="1.00000")
        cancelled.append([reason for _, _, reason in moves(desk.at(at_release(seconds + 20), "1.10000"))])
    assert [len(found) for found in cancelled] == [1, 0, 0]
    assert "USD employment" in cancelled[0][0]


@pytest.mark.parametrize("late", ["policy", "calendar"])
def test_a_policy_or_a_calendar_that_comes_within_the_window_cancels_at_once(late: str) -> None:
    desk = with_release("2step-funded-swing" if late == "policy" else "2step-funded", entries=[("JPY", HIGH, 0)])
    if late == "policy":
        desk.tell(CalendarImported, source="test", entries=(entry("USD", HIGH, 0),))
    desk.at(at_release(-30), "1.10000")
    order = desk.ask("buy", "limit", 1_000, limit="1.00000")
    if late == "policy":
        events = desk.tell(PolicyActivated, policy=pack("2step-funded"))
    else:
        events = desk.tell(CalendarImported, source="test", entries=(entry("USD", HIGH, 0),))
    assert [moved[:2] for moved in moves(events)] == [(order, "canceled")]
    assert desk.working == []


def test_a_restart_before_the_window_keeps_when_it_begins_and_what_it_is_called() -> None:
    desk, entries = waiting("2step-funded")
    restored = restore(save(desk.engine))
    assert restored is not None
    desk.engine = restored
    assert [(order, "employment" in reason) for order, _, reason in moves(desk.at(at_release(-100), "1.10000"))] == [
        (order, True) for order in entries
    ]


# -- weekend -----------------------------------------------------------------------------------------------------------

# New York's clocks change on 10 March 2024, Prague's on the 31st: between them the week closes an hour earlier there.
FRIDAYS = [("2024-03-08", "22:44:59", "22:45:01"), ("2024-03-15", "21:44:59", "21:45:01")]


@pytest.mark.parametrize(("friday", "before", "after"), FRIDAYS)
@pytest.mark.parametrize("name", ["2step-funded", "1step-funded", "2step-funded-swing", "1step-funded-swing"])
def test_a_standard_account_is_flat_before_the_weekend(name: str, friday: str, before: str, after: str) -> None:
    desk = opened(name)
    desk.at(f"{friday} 09:00:00", "1.10000")
    desk.hold(100_000, f"{friday} 10:00:00", "1.10000")
    desk.order("buy", "limit", 1_000, limit="1.00000")
    assert not of(OrderMoved, desk.at(f"{friday} {before}", "1.10000"))
    events = desk.at(f"{friday} {after}", "1.10000")
    swing = name.endswith("swing")
    assert desk.position() == (100_000 if swing else 0)
    assert [fill.purpose for fill in fills(events)] == ([] if swing else ["flatten"])
    assert [state for _, state, _ in moves(events)] == ([] if swing else ["canceled"])
    assert not desk.engine.desk.book.desk[0]["halted"]


@pytest.mark.parametrize("name", ["2step-funded", "2step-funded-swing"])
def test_a_standard_account_opens_nothing_between_the_weeks_closing_and_its_opening(name: str) -> None:
    desk = opened(name)
    filled = []
    for when in ("2024-03-08 22:30:00", "2024-03-08 22:50:00", "2024-03-10 21:59:00", "2024-03-10 22:01:00"):
        desk.at(when, "1.10000")
        desk.order("buy", "market", 1_000)
        filled.append(len(fills(desk.at(f"{when[:-1]}1", "1.10000"))))
        if desk.position():
            desk.hold(-1_000, f"{when[:-1]}2", "1.10000")
    assert filled == ([1, 0, 0, 1] if name == "2step-funded" else [1, 1, 1, 1])


@pytest.mark.parametrize(("when", "flat"), [("22:44:00", False), ("22:46:00", True)])
def test_a_policy_that_comes_when_the_weekend_is_near_already_flattens_and_refuses(when: str, flat: bool) -> None:
    desk = opened("2step-challenge")
    desk.at("2024-03-08 21:00:00", "1.10000")
    desk.hold(100_000, "2024-03-08 21:30:00", "1.10000")
    waits = desk.ask("buy", "limit", 1_000, limit="1.00000")
    desk.at(f"2024-03-08 {when}", "1.10000")
    events = desk.tell(PolicyActivated, policy=pack("2step-funded"))
    (answer,) = of(InstructionApplied, events)
    assert [moved[:2] for moved in moves(events)] == ([(waits, "canceled")] if flat else [])
    assert [(order.purpose, order.causation) for order in placed(events)] == (
        [("flatten", answer.number)] if flat else []
    )
    closing = fills(desk.at("2024-03-08 22:46:01", "1.10000"))
    assert [fill.purpose for fill in closing] == ["flatten"]  # by the mark, or by the activation behind it
    assert desk.position() == 0
    desk.order("buy", "market", 1_000)
    assert not fills(desk.at("2024-03-08 22:47:00", "1.10000"))


@pytest.mark.parametrize("name", ["2step-challenge", "2step-funded-swing"])
def test_a_policy_without_the_weekend_rule_closes_nothing_when_it_comes(name: str) -> None:
    desk = opened("2step-challenge")
    desk.hold(100_000, "2024-03-08 22:50:00", "1.10000")
    assert not placed(desk.tell(PolicyActivated, policy=pack(name)))


def test_a_policy_that_comes_when_the_week_is_open_again_closes_nothing() -> None:
    desk = opened("2step-challenge")
    desk.hold(100_000, "2024-03-10 22:30:00", "1.10000")
    assert not placed(desk.tell(PolicyActivated, policy=pack("2step-funded")))
