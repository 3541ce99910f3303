"""Why: every chain of the ledger against the ledger read as plain JSON, its results, and what is refused."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from domain.errors import InvalidInput, TapeBroken
from domain.events import FillBooked
from domain.ports import LedgerEnd, Recorded
from ops.composition import open_log
from ops.desk_status import state_of
from ops.ledger_chain import Chain, trade_row
from ops.ledger_queries import LedgerQueries, parse_id, why
from ops.settings import load
from tests import canonical
from tests.ops.desks import decide, write_tape
from tests.ops.ledgers import (
    CHAIN,
    CHAINS,
    END,
    ENTRY,
    FILL,
    LINES,
    PLACES,
    PLAIN,
    SCRIPT,
    SIGNAL,
    STOP,
    TARGET,
    VERDICT,
    Counted,
    decided,
    desk,
    nodes,
    number,
)


async def test_why_finds_every_event_of_the_chain_and_no_other() -> None:
    log = await desk()
    for correlation in CHAINS:
        chain = [event["number"] for event in PLAIN if event["correlation"] == correlation]
        for asked in {chain[0], chain[len(chain) // 2], chain[-1]}:
            answer = await why(log, "main", str(asked))
            assert decided(answer["tree"]) == chain
            assert [node["id"] for node in nodes(answer["tree"]) if node["asked"]] == [f"main:{asked}"]
            assert answer["tree"]["id"] == f"tape:{PLAIN[chain[0] - 1]['ordinal']}"
            assert json.loads(json.dumps(answer)) == answer


async def test_every_child_hangs_at_its_cause_with_the_time_between() -> None:
    log = await desk()
    for correlation in CHAINS:
        tree = (await why(log, "main", f"main:{correlation}"))["tree"]
        for parent in nodes(tree):
            assert [number(child) for child in parent["children"]] == sorted(
                number(child) for child in parent["children"]
            )
            for child in parent["children"]:
                event = PLAIN[number(child) - 1]
                cause = PLAIN[event["causation"] - 1] if event["causation"] else event
                assert child["causation"] == (parent["id"] if event["causation"] else None)
                assert child["after_ns"] == event["occurred_at_ns"] - cause["occurred_at_ns"]


def trades_of(correlation: int) -> list[tuple[str, int, int | None, str | None]]:
    """Symbol, opening and closing number and result of what a chain opened: one walk over all bookings."""
    held: dict[str, int] = {}
    open_at: dict[str, int] = {}
    found: list[list[Any]] = []
    for event in PLAIN:
        if event["type"] != "fill_booked":
            continue
        symbol, quantity = event["symbol"], event["position_nanos"]
        if event["closed"] and symbol in open_at:
            found[open_at.pop(symbol)][2:] = [event["number"], event["trade_nanos"]]
        if quantity and (not held.get(symbol) or event["closed"]):
            open_at[symbol] = len(found)
            found.append([(symbol, event["correlation"]), event["number"], None, None])
        held[symbol] = quantity
    return [
        (who[0], opened, closed, None if result is None else f"{Decimal(result).scaleb(-9):.9f}")
        for who, opened, closed, result in found
        if who[1] == correlation
    ]


async def test_the_result_is_that_of_the_trade_that_the_chain_opened_whoever_closed_it() -> None:
    log, seen = await desk(), set[str | None]()
    for correlation in CHAINS:
        answer = await why(log, "main", str(correlation))
        found = [
            (
                trade["symbol"],
                int(trade["opened"][5:]),
                int(trade["closed"][5:]) if trade["closed"] else None,
                trade["result"],
            )
            for trade in answer["trades"]
        ]
        assert found == trades_of(correlation)
        for trade in answer["trades"]:
            seen.add(trade["purpose"])
            assert (trade["r"] is None) == (trade["risk"] is None)
            if trade["risk"]:
                assert abs(Decimal(trade["r"]) - Decimal(trade["result"]) / Decimal(trade["risk"])) <= Decimal("0.005")
    assert seen >= {"stop", "target", "flatten", "entry"}


async def test_the_tree_begins_with_the_very_tick() -> None:
    log = await desk()
    signal = next(event for event in PLAIN if event["type"] == "signal_raised")
    quote: Any = PLACES[signal["ordinal"] - 1]
    root = (await why(log, "main", str(signal["number"])))["tree"]
    assert (root["type"], root["symbol"], root["reference"]) == ("quote", signal["symbol"], quote["reference"])
    assert (Decimal(root["bid"]), Decimal(root["ask"])) == tuple(
        Decimal(int(quote[side])).scaleb(-9) for side in ("bid", "ask")
    )
    halt = next(event["number"] for event in PLAIN if event.get("kind") == "trading_halted")
    said = (await why(log, "main", str(halt)))["tree"]
    assert (said["type"], said["actor"], said["authority"]) == ("instruction", "sequencer", "operator")
    assert said["content"] == {"reason": "a golden halt", "flatten": True}


async def test_a_place_on_the_tape_tells_everything_that_was_decided_there() -> None:
    log = await desk()
    places = {event["ordinal"] for event in PLAIN if event["type"] in ("order_filled", "order_moved", "day_rolled")}
    for ordinal in [*sorted(places)[:20], 1, CHAIN[0]["ordinal"], END]:
        answer = await why(log, "main", f"tape:{ordinal}")
        assert decided(answer["tree"]) == [event["number"] for event in PLAIN if event["ordinal"] == ordinal]
        assert answer["tree"]["asked"]
        for child in answer["tree"]["children"]:
            event = PLAIN[number(child) - 1]
            if event["causation"]:
                cause = PLAIN[event["causation"] - 1]
                assert child["after_ns"] == event["occurred_at_ns"] - cause["occurred_at_ns"]


async def test_a_halt_shows_what_it_closed_and_at_its_record_what_it_cancelled() -> None:
    ticks = canonical.market_ticks(60)
    script = [
        *canonical.opening(1, trading=True),
        ticks[:20],
        canonical.ordered("bought", type="market"),
        canonical.ordered("far", type="limit", limit_nanos=10**9),
        ticks[20:],
        canonical.INSTRUCTIONS["trading_halted"],
    ]
    log = MemoryLog()
    await write_tape(log, script)
    await decide(log, canonical.length(script))
    end = (await StoredLedger(log, "main").end()).number
    answer = await why(log, "main", str(end - 2))
    assert answer["tree"]["kind"] == "trading_halted"
    assert decided(answer["tree"]) == [end - 2, end]
    assert answer["working"] == [f"main:{end}"]
    assert [(row["id"], row["reason"]) for row in answer["beside"]] == [(f"main:{end - 1}", "the desk was halted")]


async def test_a_number_is_not_taken_for_one_that_begins_with_it() -> None:
    placed = canonical.EVENTS["order_placed"]
    orders = [placed.model_copy(update={"number": place, "correlation": place}) for place in range(1, 13)]
    answer = await why(await desk(canonical.lines(orders)), "main", "1")
    assert decided(answer["tree"]) == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        "0", "-5", "main:0", "main:-1", "99999999999999999999", "9" * 5000, f"{len(LINES) + 1}",
        f"main:{len(LINES) + 1}", "main:", ":5", "", " ", "abc", "1.5", "1e3", "+7", "007", "１２", "main:12:3",
        "tape:0", f"tape:{END + 1}", "tape:999999999999999999", "MAIN:5", "main:5\n7", "'; drop",
    ],
)  # fmt: skip
async def test_an_id_that_is_none_is_refused_with_what_ids_look_like(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="an event is 123 or main:123, a place on the tape is tape:123") as refused:
        await why(await desk(), "main", wrong)
    assert wrong.strip()[:15].split("\n")[0] in str(refused.value)
    assert len(str(refused.value)) < 300


async def test_an_unknown_number_names_where_the_ledger_ends() -> None:
    with pytest.raises(
        InvalidInput, match=f"no event main:9999: the ledger of desk main holds main:1 to main:{len(LINES)};"
    ):
        await why(await desk(), "main", "9999")
    with pytest.raises(InvalidInput, match="the ledger of desk main is empty"):
        await why(await desk([]), "main", "1")


async def test_an_id_of_another_desk_names_the_desk_to_ask() -> None:
    with pytest.raises(InvalidInput, match="of desk other, this is desk main; give --desk other"):
        await why(await desk(), "main", "other:5")
    with pytest.raises(InvalidInput, match="no tape is named 'mian'; there are main"):
        await why(await desk(), "mian", "5")
    assert parse_id("main:5", "main") == parse_id(" 5 ", "main") == (False, 5)


async def test_a_ledger_that_ends_inside_a_chain_says_what_still_works() -> None:
    answer = await why(await desk(LINES[:TARGET]), "main", str(SIGNAL))
    assert decided(answer["tree"]) == [SIGNAL, VERDICT, ENTRY, FILL, FILL + 1, STOP, TARGET]
    assert answer["working"] == [f"main:{STOP}", f"main:{TARGET}"]
    assert [(trade["closed"], trade["result"], trade["r"]) for trade in answer["trades"]] == [(None, None, None)]


async def test_a_chain_that_lost_its_beginning_shows_the_rest() -> None:
    log = await desk(LINES[ENTRY - 1 :], first=ENTRY)
    answer = await why(log, "main", str(TARGET))
    assert answer["lost_before"] == f"main:{ENTRY}"
    assert decided(answer["tree"]) == [event["number"] for event in CHAIN if event["number"] >= ENTRY]
    assert answer["tree"]["children"][0]["after_ns"] is None
    with pytest.raises(InvalidInput, match=f"holds main:{ENTRY} to main:{len(LINES)};"):
        await why(log, "main", str(SIGNAL))


async def test_a_hole_in_the_ledger_is_never_passed_over() -> None:
    log = await desk(LINES[:ENTRY])
    end = await StoredLedger(log, "main").end()
    await StoredLedger(log, "main").append([Recorded(TARGET, LINES[TARGET - 1])], end)
    with pytest.raises(TapeBroken, match=f"has no events {ENTRY + 1} to {TARGET - 1}"):
        await why(log, "main", str(SIGNAL))
    with pytest.raises(TapeBroken, match=f"main:{FILL} was durable and is gone"):
        await why(log, "main", str(FILL))


async def test_an_event_that_cannot_be_read_is_named() -> None:
    with pytest.raises(TapeBroken, match="event 2 of the ledger of desk main is not readable"):
        await why(await desk([LINES[0], b'{"number":2,"type":"coup"}']), "main", "2")


async def test_a_tape_that_lost_the_tick_does_not_hide_the_chain() -> None:
    log = await desk()
    short = MemoryLog()
    await write_tape(short, SCRIPT[:5])
    async for page in StoredLedger(log, "main").read():
        await StoredLedger(short, "main").append(page, await StoredLedger(short, "main").end())
    answer = await why(short, "main", str(FILL))
    assert answer["tree"]["type"] == "missing"
    assert decided(answer["tree"]) == [event["number"] for event in CHAIN]


async def test_a_settled_chain_is_answered_without_reading_on() -> None:
    log = Counted(await desk(commit=1))
    refused = next(event["number"] for event in PLAIN if event.get("verdict") == "refused")
    answer = await why(log, "main", str(refused))
    assert decided(answer["tree"]) == [refused - 1, refused]
    assert log.taken < 100


async def test_a_tick_of_a_file_names_its_line() -> None:
    script = [*canonical.opening(1), canonical.INSTRUCTIONS["feed_opened"], canonical.market_ticks(3)]
    log = MemoryLog()
    await write_tape(log, [*script, canonical.INSTRUCTIONS["feed_completed"], canonical.market_ticks(1)])
    first = canonical.length(script) - 2
    inside, behind = [(await why(log, "main", f"tape:{ordinal}"))["tree"] for ordinal in (first, first + 4)]
    assert (inside["reference"], inside["file"], inside["symbol"]) == (1, "EURUSD_M1.csv.gz", "EURUSD")
    assert (behind["reference"], behind["file"], behind["symbol"]) == (1, None, "EURUSD")


def booked(number: int, correlation: int, position: int, **more: Any) -> Any:
    """A fill and its booking of EURUSD, by a purchase or sale of ten units."""
    place = {"correlation": correlation, "symbol": "EURUSD"}
    fill = {"number": number, "causation": None, "side": more.pop("side", "buy"), "quantity_nanos": 10, **place}
    booking = {"number": number + 1, "causation": number, "position_nanos": position, **place}
    return (
        canonical.EVENTS["order_filled"].model_copy(update=fill),
        canonical.EVENTS["fill_booked"].model_copy(update=booking | more),
    )


def test_a_trade_that_others_are_part_of_has_no_r() -> None:
    closing = {"side": "sell", "closed": True, "trade_nanos": 7}
    for others, position, shared in ((5, 20, True), (5, 5, False), (3, 20, False)):
        chain = Chain(3)
        for event in (canonical.EVENTS["signal_assessed"], *booked(10, 3, 10)):
            chain.take(event)
        for event in booked(20, others, position):
            if others == 3:
                chain.take(event)
            elif isinstance(event, FillBooked):
                chain.take_of_others(event)
        chain.take_of_others(booked(30, 9, 0, **closing)[1])
        (trade,) = chain.trades
        row = trade_row(trade, "main", None)
        assert (row["shared"], row["r"] is None, row["closed"]) == (shared, shared, "main:31")
        assert chain.settled


def test_who_adds_to_a_position_shares_its_trade_and_who_reduces_it_opens_none() -> None:
    for side, position, opened in (("buy", 30, [True]), ("sell", 30, []), ("buy", 10, [False]), ("sell", -10, [False])):
        chain = Chain(3)
        for event in booked(10, 3, position, side=side):
            chain.take(event)
        assert [trade.shared for trade in chain.trades] == opened


# -- on the desk's own server --------------------------------------------------------------------------------------


async def test_the_desk_asks_its_own_server(tmp_path: Path) -> None:
    class Desk(LedgerQueries):
        _settings = load(data_dir=tmp_path / "data")

    async with open_log(Desk._settings) as log:
        await write_tape(log, SCRIPT)
        await StoredLedger(log, "main").append([Recorded(*line) for line in enumerate(LINES, 1)], LedgerEnd())
    assert await Desk().why(f"main:{TARGET}") == await why(await desk(), "main", f"{TARGET}")
    listed = [row async for row in Desk().events(last=3)]
    assert [number(row) for row in listed] == [len(LINES) - 2, len(LINES) - 1, len(LINES)]
    status = await Desk().status()
    held = await state_of(await desk(), "main") | {"recorded_time": status["recorded_time"]}  # each log has its clock
    assert status.items() >= {"desk": "main", "problem": None, **held}.items()
