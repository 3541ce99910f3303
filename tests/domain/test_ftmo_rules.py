"""FTMO's rules for funded Standard accounts: no trades around news, flat over the weekend. Swing is free of both."""

from datetime import datetime, timedelta

import pytest

from domain.events import LimitBreached, OrderMoved, SignalAssessed
from domain.instructions import CalendarImported, NewsEntry, SignalSubmitted
from tests.domain.desks import SECOND, fills, moves, nanos, of
from tests.domain.prague import PRAGUE, PragueDesk, breaches, opened

HIGH = 3

# -- news --------------------------------------------------------------------------------------------------------------

RELEASE = "2024-03-08 14:30:00"


def with_release(name: str, currency: str = "USD", impact: int = HIGH) -> PragueDesk:
    """A desk that knows of one release."""
    desk = opened(name)
    time = int(datetime.fromisoformat(RELEASE).replace(tzinfo=PRAGUE).timestamp()) * SECOND
    entry = NewsEntry(time_ns=time, currency=currency, impact=impact, title="employment")
    desk.tell(CalendarImported, source="test", entries=(entry,))
    return desk


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
    assert [rule.rule for rule in verdict.rules if not rule.passed] == (["news"] if refused else [])


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
    desk.hold(1_000, at_release(0), "1.10000")
    assert [b.limit for b in breaches(desk)] == (["news_trading"] if currency == "EUR" else [])


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
