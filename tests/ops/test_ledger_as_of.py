"""Leafing through the ledger: every wanted event once, in pages that each look through a bounded stretch."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gateways.api_desk import Wanted
from ops import ledger_as_of
from ops.ledger_as_of import events_at
from projections.as_of import AsOf
from projections.queries import Page
from tests import canonical
from tests.ops.ledgers import END, LINES, PLACES, PLAIN, Counted, desk, number

LOG = asyncio.run(desk())
LAST = len(LINES)
ACTORS = {ordinal: place.actor for ordinal, place in enumerate(PLACES, 1) if hasattr(place, "actor")}


async def leaf(log: Any, wanted: Wanted, limit: int, until: int = LAST) -> list[Page]:
    """Every page, the newest first."""
    pages, before = list[Page](), None
    while not pages or before is not None:
        pages.append(await events_at(log, "main", wanted, AsOf(END, until), before, limit))
        before = pages[-1].before
    return pages


def by_hand(wanted: Wanted, until: int) -> list[int]:
    orders = {event["number"]: event["symbol"] for event in PLAIN if event["type"] == "order_placed"}

    def symbol(event: dict[str, Any]) -> str | None:
        return orders[event["order"]] if event["type"] == "order_moved" else event.get("symbol")

    return [
        event["number"]
        for event in reversed(PLAIN[:until])
        if (not wanted.types or event["type"] in wanted.types)
        and wanted.symbol in (None, symbol(event))
        and wanted.correlation in (None, event["correlation"])
        and (wanted.start_ns is None or event["occurred_at_ns"] >= wanted.start_ns)
        and (wanted.end_ns is None or event["occurred_at_ns"] < wanted.end_ns)
        and (wanted.actor is None or ("instruction_id" in event and ACTORS[event["ordinal"]] == wanted.actor))
    ]


TIMES = some.none() | some.sampled_from([event["occurred_at_ns"] for event in PLAIN])
WANTED = some.builds(
    Wanted,
    types=some.lists(some.sampled_from(sorted({event["type"] for event in PLAIN})), max_size=2),
    correlation=some.none() | some.integers(1, LAST),
    symbol=some.none() | some.sampled_from(["EURUSD", "GBPUSD", "USDJPY"]),
    actor=some.none() | some.sampled_from([*sorted(set(ACTORS.values())), "nobody"]),
    start_ns=TIMES,
    end_ns=TIMES,
)


@settings(deadline=None, max_examples=50)
@given(
    wanted=WANTED,
    limit=some.sampled_from([7, 50, 200]),
    until=some.integers(0, LAST),
    scanned=some.sampled_from([40, 333, LAST - 1, LAST, 2 * LAST]),
)
def test_all_pages_together_are_every_wanted_event_once(wanted: Wanted, limit: int, until: int, scanned: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_as_of, "EVENTS_SCANNED", scanned)
        pages = asyncio.run(leaf(LOG, wanted, limit, until))
    assert [number(row) for page in pages for row in page.items] == by_hand(wanted, until)
    assert all(len(page.items) <= limit for page in pages)
    places = [page.before for page in pages[:-1]]
    assert places == sorted(set(places), reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize("wanted", [Wanted(actor="nobody"), Wanted(symbol="XAUUSD"), Wanted(["engine_took_over"])])
async def test_a_page_reads_no_more_than_its_stretch_and_says_how_far_it_looked(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_as_of, "EVENTS_SCANNED", 100)
    log = Counted(await desk(commit=1))
    page = await events_at(log, "main", wanted, AsOf(END, LAST), None, 50)
    assert page == Page([], LAST - 99)
    assert log.taken < 100 + 50 * 12  # and a binary search for each move whose order is not known
    assert len(await leaf(LOG, wanted, 50)) == -(-LAST // 100)


async def test_of_those_that_an_instruction_caused_so_many_are_looked_at_as_the_page_has_room_for() -> None:
    lines = canonical.lines(
        [
            canonical.EVENTS["instruction_applied"].model_copy(update={"number": at, "ordinal": 1})
            for at in range(1, 300)
        ]
    )
    log = Counted(await desk(lines, commit=1))
    page = await events_at(log, "main", Wanted(actor="nobody"), AsOf(END, 299), None, 10)
    assert page == Page([], 290)
    whole = await events_at(log, "main", Wanted(actor=ACTORS[1]), AsOf(END, 299), None, 10)
    assert ([number(row) for row in whole.items], whole.before) == (list(range(299, 289, -1)), 290)
