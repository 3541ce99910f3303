"""Moments: found by time, said by token, the same for ever; and an odd event of OPS stops nobody."""

import asyncio
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from adapters.facts import Facts
from adapters.ledger import StoredLedger
from adapters.subjects import ops
from domain.errors import InvalidInput
from domain.ports import Append, Message, Recorded
from ops.moments import Moments, Times
from projections.as_of import AsOf
from tests.ops.ledgers import LINES, PLACES, PLAIN, Counted, desk

TIMES = [place["receive_time"] if isinstance(place, np.void) else place.occurred_at_ns for place in PLACES]
END_NS = int(TIMES[-1])


@pytest.mark.parametrize("back", [1, 2, 50, 400])
async def test_a_market_time_is_all_that_stood_by_then_and_its_token_finds_it_again(back: int) -> None:
    moments = Moments(await desk(), "main")
    asked = int(TIMES[-back])
    at = await moments.at_market_time(asked)
    ordinal = max(place for place, time_ns in enumerate(TIMES, 1) if time_ns <= asked)
    assert at.tape == ordinal
    assert at.ledger == max((event["number"] for event in PLAIN if event["ordinal"] <= ordinal), default=0)
    assert AsOf.parse(at.token("main"), "main") == at
    assert (await moments.times(at)).market_ns == int(TIMES[ordinal - 1])
    assert await moments.at_market_time(asked) == at


async def test_times_at_which_something_may_still_come_are_no_moments() -> None:
    moments = Moments(await desk(), "main")
    with pytest.raises(InvalidInput, match="is ahead of the tape of desk main"):
        await moments.at_market_time(END_NS + 1)
    with pytest.raises(InvalidInput, match="is before the tape"):
        await moments.at_market_time(1)
    with pytest.raises(InvalidInput, match="has not come"):
        await moments.at_recorded_time(time.time_ns() + 10**12)
    with pytest.raises(InvalidInput, match="is before the tape"):
        await moments.at_recorded_time(1)
    newest = await moments.newest()
    assert await moments.at_recorded_time(time.time_ns()) == newest
    with pytest.raises(InvalidInput, match="lies ahead of the log"):
        await moments.times(newest._replace(ledger=newest.ledger + 1))
    assert await moments.times(AsOf()) == Times(None, None)


@pytest.mark.parametrize("token", ["", "x", "MTptYWluOjE", "é", "MTptYWluOjA6MDowOjA6MA", "a" * 5000])
def test_what_is_no_token_is_refused_by_name(token: str) -> None:
    with pytest.raises(InvalidInput, match="is no moment"):
        AsOf.parse(token, "main")


def test_a_token_of_another_desk_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="is a moment of desk other, this is desk main"):
        AsOf.parse(AsOf(1, 2, 3, 4).token("other"), "main")


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"service_started","service":"x","occurred_at_ns":99999999999999999999999,"version":"1"}',
        b'{"type":"service_started","service":"x","occurred_at_ns":1,"version":"1","newer":true}',
        b'{"type":"breaker_opened","service":"x","occurred_at_ns":1,"dependency":"d","failures":1,"last_error":"e",'
        b'"open_seconds":1e999}',
        b'{"type":"service_started"',
    ],
)
async def test_an_event_of_ops_that_cannot_be_read_is_left_out_and_those_behind_it_are_not(odd: bytes) -> None:
    log = await desk()
    good = b'{"type":"service_started","service":"x","occurred_at_ns":1,"version":"1"}'
    end = await log.append(Append(ops("x"), odd, {}, 0))
    await log.append(Append(ops("x"), good, {}, end))
    wanted = frozenset({"service_started", "breaker_opened"})
    facts = [fact async for page in Facts(log, "main").read("ops", 0, wanted) for fact in page.facts]
    assert [fact.event.service for fact in facts] == ["x"]


class Asked(Counted):
    """How often the newest message was asked for, too."""

    async def last(self, subject: str) -> Message | None:
        self.taken += 1
        found: Message | None = await self.log.last(subject)
        return found


async def test_a_past_moment_beside_others_that_were_asked_for_asks_the_log_nothing() -> None:
    log = Asked(await desk(commit=1))
    moments, fresh = Moments(log, "main"), Moments(log.log, "main")
    end = await fresh.newest()
    places = [AsOf(end.tape - back, end.ledger - back, end.ops, end.governance) for back in range(200, 600)]
    first = [await moments.times(at) for at in places]
    log.taken = 0
    assert [await moments.times(at) for at in places] == first
    assert log.taken == 0
    assert first == [await Moments(log.log, "main").times(at) for at in places]


async def test_what_was_remembered_hides_nothing_that_came_since() -> None:
    log = await desk(LINES[:500])
    moments = Moments(log, "main")
    before = await moments.at_market_time(END_NS)
    assert (before.ledger, await moments.times(before)) == (500, await Moments(log, "main").times(before))
    with pytest.raises(InvalidInput, match="lies ahead"):
        await moments.times(before._replace(ledger=len(LINES)))
    lines = [Recorded(*line) for line in enumerate(LINES[500:], 501)]
    ledger = StoredLedger(log, "main")
    await ledger.append(lines, await ledger.end())
    after = await moments.at_market_time(END_NS)
    assert after == await Moments(log, "main").at_market_time(END_NS) == before._replace(ledger=len(LINES))
    assert (await moments.times(after)).recorded_ns == (await log.last("ledger.main")).recorded_at_ns
    assert await moments.at_recorded_time(time.time_ns()) == await moments.newest() == after


@settings(deadline=None, max_examples=60)
@given(data=some.data())
def test_whatever_was_asked_before_a_moment_is_found_as_by_one_who_knows_nothing(data: some.DataObject) -> None:
    async def found() -> None:
        log = await desk(commit=data.draw(some.sampled_from([1, 7, 40, len(LINES)])))
        moments = Moments(log, "main")
        for _ in range(6):
            place = data.draw(some.integers(0, len(TIMES) - 1))
            ordinal = max(at for at, time_ns in enumerate(TIMES, 1) if time_ns <= TIMES[place])
            number = max((event["number"] for event in PLAIN if event["ordinal"] <= ordinal), default=0)
            at = await moments.at_market_time(int(TIMES[place]))
            assert (at.tape, at.ledger) == (ordinal, number)
            assert await moments.times(at) == await Moments(log, "main").times(at)

    asyncio.run(found())
