"""A listing of the ledger is what a plain search finds, and its end is found without reading the rest."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from domain.errors import InvalidInput
from domain.ports import Log
from ops.ledger_queries import SHOWN, Wanted, events
from ops.ledger_reader import LedgerReader
from ops.ledger_rows import EVENT_TYPES
from tests import canonical
from tests.ops.ledgers import CHAINS, LINES, ORDERS, PLAIN, Counted, desk, number

LOG = asyncio.run(desk())


async def rows(log: Log, wanted: Wanted) -> list[dict[str, Any]]:
    return [row async for row in events(log, "main", wanted)]


def matching(wanted: Wanted) -> list[int]:
    """The numbers of the wanted events, one by one."""

    def symbol(event: dict[str, Any]) -> str | None:
        return ORDERS[event["order"]]["symbol"] if event["type"] == "order_moved" else event.get("symbol")

    found = [
        event["number"]
        for event in PLAIN
        if event["number"] > wanted.after
        and (not wanted.types or event["type"] in wanted.types)
        and (wanted.start_ns is None or event["occurred_at_ns"] >= wanted.start_ns)
        and (wanted.end_ns is None or event["occurred_at_ns"] < wanted.end_ns)
        and wanted.correlation in (None, event["correlation"])
        and wanted.symbol in (None, symbol(event))
    ]
    return found if wanted.last is None else found[-wanted.last :]


TIMES = some.none() | some.sampled_from([event["occurred_at_ns"] for event in PLAIN]).flatmap(
    lambda time: some.sampled_from([time - 1, time, time + 1])
)
WANTED = some.builds(
    Wanted,
    types=some.frozensets(some.sampled_from(EVENT_TYPES), max_size=3),
    start_ns=TIMES,
    end_ns=TIMES,
    after=some.just(0) | some.integers(0, 2_000),
    last=some.none() | some.integers(1, 60) | some.integers(1, 3_000),
    correlation=some.none() | some.sampled_from(CHAINS) | some.integers(1, 2_000),
    symbol=some.none() | some.sampled_from(["EURUSD", "GBPUSD", "USDJPY"]),
)


@settings(deadline=None, max_examples=150)
@given(wanted=WANTED)
def test_a_listing_is_what_a_plain_search_finds(wanted: Wanted) -> None:
    async def listed() -> list[int]:
        return [number(row) for row in await rows(LOG, wanted)]

    assert asyncio.run(listed()) == matching(wanted)


async def test_the_end_of_the_ledger_is_listed_without_reading_the_rest() -> None:
    log = Counted(await desk(commit=1))
    assert [number(row) for row in await rows(log, Wanted())] == list(range(len(LINES) - SHOWN + 1, len(LINES) + 1))
    assert log.taken < SHOWN + 30


async def test_the_newest_that_match_are_found_over_many_windows() -> None:
    reader = LedgerReader(LOG, "main")
    signals = [event["number"] for event in PLAIN if event["type"] == "signal_raised"]
    for window in (1, 3, 5_000):
        found = await reader.newest(0, len(LINES), 7, lambda line: b'"type":"signal_raised"' in line, window)
        assert [line.number for line in found] == signals[-7:]


async def test_a_move_is_listed_with_the_symbol_of_its_order() -> None:
    moved = await rows(LOG, Wanted(types=frozenset(["order_moved"]), last=None))
    assert [row["symbol"] for row in moved] == [
        ORDERS[event["order"]]["symbol"] for event in PLAIN if event["type"] == "order_moved"
    ]


def test_what_a_person_wants_is_checked_and_completed() -> None:
    def of(**given: Any) -> Wanted:
        names = ("start_ns", "end_ns", "after", "last", "correlation", "symbol")
        asked: dict[str, Any] = {"types": (), **dict.fromkeys(names), **given}
        return Wanted.of("main", **asked)

    monday = canonical.MONDAY
    assert of() == Wanted(last=SHOWN)
    assert of(end_ns=monday, symbol="eur/usd").last == SHOWN
    assert of(symbol="eur/usd").symbol == "EURUSD"
    assert of(start_ns=monday + 1) == Wanted(start_ns=monday + 1, last=None)
    assert of(after=0).last is of(correlation="main:5").last is None
    assert of(after=3, last=2) == Wanted(after=3, last=2)
    for given_, says in (
        ({"types": ["tick"]}, "no event type 'tick'; there are instruction_applied, .*limit_breached"),
        ({"after": -1}, "after -1 is too small"),
        ({"last": 0}, "last 0 is too small"),
        ({"correlation": "tape:5"}, "a place on the tape; `cdb why tape:5`"),
        ({"correlation": "other:5"}, "--desk other"),
    ):
        with pytest.raises(InvalidInput, match=says):
            of(**given_)


async def test_an_empty_ledger_lists_nothing_and_a_mistyped_desk_is_named() -> None:
    log = await desk([])
    assert await rows(log, Wanted()) == await rows(log, Wanted(last=None, start_ns=1, end_ns=2)) == []
    with pytest.raises(InvalidInput, match="no tape is named 'mian'"):
        await anext(events(log, "mian", Wanted()))
