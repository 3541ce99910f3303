"""Brackets: stop and target follow their position from its first part to its end, and so do reductions by hand."""

from typing import Any

import pytest

from domain.instructions import TradingHalted
from domain.tape import WEEK_CLOSING
from tests.domain.desks import Desk, fills, moves, nanos, placed, policy, quoted, refusal


def sizes(desk: Desk) -> dict[str, int]:
    """What the working exits still leave, in units, by purpose."""
    found: dict[str, int] = {}
    book = desk.engine.desk.book
    for order in book.orders[: book.desk[0]["orders"]]:
        purpose = {1: "stop", 2: "target", 3: "flatten"}.get(int(order["purpose"]))
        if purpose:
            assert purpose not in found
            found[purpose] = int(order["quantity"] - order["filled"]) // nanos(1)
    return found


# -- brackets ----------------------------------------------------------------------------------------------------------


def bracket(units: int = 10_000, **market: Any) -> tuple[Desk, tuple[int, int]]:
    """A long position with its stop and target working."""
    desk = quoted(**market)
    desk.ask("buy", "market", units, stop="1.09900", target="1.10100")
    stop, target = placed(desk.quote("1.10000", "1.10010"))
    assert stop.oco == target.oco == stop.number
    return desk, (stop.number, target.number)


def test_the_exits_of_a_position_cannot_be_cancelled() -> None:
    desk, (stop, target) = bracket()
    for number, purpose in ((stop, "stop"), (target, "target")):
        assert refusal(desk.cancel(number)) == (
            f"order {number} is the {purpose} of a position and goes with it; close the position instead"
        )
    assert desk.working == [stop, target]


@pytest.mark.parametrize(("bid", "ask_", "hit"), [("1.09890", "1.09900", 0), ("1.10110", "1.10120", 1)])
def test_one_exit_fills_and_the_other_is_cancelled(bid: str, ask_: str, hit: int) -> None:
    desk, exits = bracket()
    found = desk.quote(bid, ask_)
    assert [fill.order for fill in fills(found)] == [exits[hit]]
    assert (exits[1 - hit], "canceled", "the position is closed") in moves(found)
    assert (desk.position(), desk.working) == (0, [])


def test_exits_cover_what_is_filled_of_an_entry_and_follow_it() -> None:
    desk = quoted(levels_max=2)
    desk.ask("buy", "market", 10_000, stop="1.09900", target="1.10100")
    desk.quote("1.10000", "1.10010", 2_000)
    assert sizes(desk) == {"stop": 4_000, "target": 4_000}
    desk.quote("1.10000", "1.10010")
    assert sizes(desk) == {"stop": 10_000, "target": 10_000}


def test_a_position_reduced_by_hand_takes_its_exits_along() -> None:
    desk, exits = bracket()
    desk.ask("sell", "market", 4_000)
    found = desk.quote("1.10000", "1.10010")
    assert moves(found) == [(number, "amended", "an exit covers its whole position") for number in exits]
    assert sizes(desk) == {"stop": 6_000, "target": 6_000}


@pytest.mark.parametrize("units", [10_000, 15_000])
def test_a_position_closed_or_reversed_by_hand_cancels_its_exits(units: int) -> None:
    desk, exits = bracket()
    desk.ask("sell", "market", units)
    found = desk.quote("1.10000", "1.10010")
    assert moves(found) == [(number, "canceled", "the position is closed") for number in exits]
    assert desk.working == []


def test_a_stop_that_fills_in_parts_leaves_the_target_what_it_leaves_itself() -> None:
    desk, (stop, target) = bracket(levels_max=1)
    desk.quote("1.09890", "1.09900", 3_000)
    assert sizes(desk) == {"stop": 7_000, "target": 7_000}
    found = desk.quote("1.10110", "1.10120")  # the stop goes on filling, and comes first
    assert [(f.order, f.execution) for f in fills(found)] == [(stop, 2)]
    assert moves(found) == [(target, "canceled", "the position is closed")]


def test_a_reversal_in_parts_has_its_exits_from_the_first_part_that_is_a_new_position() -> None:
    desk = quoted(levels_max=1)
    desk.ask("sell", "market", 10_000)
    desk.quote("1.10000", "1.10010")
    desk.ask("buy", "market", 20_000, stop="1.09000", target="1.11000")
    assert placed(desk.quote("1.10000", "1.10010", 4_000)) == []
    assert placed(desk.quote("1.10000", "1.10010", 6_000)) == []
    assert len(placed(desk.quote("1.10000", "1.10010", 3_000))) == 2
    assert sizes(desk) == {"stop": 3_000, "target": 3_000}
    desk.quote("1.10000", "1.10010")
    assert sizes(desk) == {"stop": 10_000, "target": 10_000}


def test_the_rest_of_an_entry_that_fills_behind_its_stop_is_protected_again() -> None:
    desk = quoted(levels_max=1)
    desk.ask("buy", "limit", 5_000, limit="1.10010", stop="1.10000")
    desk.quote("1.10001", "1.10010", 2_000)
    assert [f.purpose for f in fills(desk.quote("1.10000", "1.10015"))] == ["stop"]
    desk.quote("1.10001", "1.10009")
    assert (desk.position(), sizes(desk)) == (3_000, {"stop": 3_000})


def test_of_two_brackets_on_one_position_the_nearer_stop_and_the_nearer_target_hold() -> None:
    desk, (stop, target) = bracket()
    desk.ask("buy", "market", 1_000, stop="1.09950", target="1.10500")
    found = desk.quote("1.10000", "1.10010")
    assert moves(found)[-1] == (stop, "canceled", "a nearer exit of its position takes its place")
    (nearer,) = placed(found)
    assert (nearer.purpose, nearer.quantity_nanos) == ("stop", nanos(11_000))
    assert desk.working == [target, nearer.number]
    desk.ask("buy", "market", 1_000, stop="1.09000", target="1.10050")
    (target_now,) = placed(desk.quote("1.10000", "1.10010"))
    assert desk.working == [nearer.number, target_now.number]
    assert sizes(desk) == {"stop": 12_000, "target": 12_000}


def test_as_many_brackets_as_a_policy_allows_fill_at_one_quote() -> None:
    desk = quoted()
    for index in range(200):
        desk.ask("buy", "limit", 1_000, limit="1.09500", stop=f"{1.09 + index / 1e5:.5f}", target="1.11000")
    assert len(fills(desk.quote("1.09400", "1.09410"))) == 200
    assert (desk.position(), sizes(desk)) == (200_000, {"stop": 200_000, "target": 200_000})


# -- halts and the week's end ------------------------------------------------------------------------------------------


def test_a_halt_cancels_entries_and_lets_exits_protect() -> None:
    desk, exits = bracket()
    entry = desk.ask("buy", "limit", 1_000, limit="1.09000")
    assert moves(desk.tell(TradingHalted, reason="lunch")) == [(entry, "canceled", "the desk was halted")]
    assert desk.working == list(exits)
    assert [fill.purpose for fill in fills(desk.quote("1.09800", "1.09810"))] == ["stop"]


@pytest.mark.parametrize("why", ["halt", "weekend"])
def test_flattening_closes_at_the_next_quote_and_takes_the_exits_away(why: str) -> None:
    desk = Desk(policy(limits={"flat_before_weekend": True}))
    desk.quote("1.10000", "1.10010")
    desk.ask("buy", "market", 10_000, stop="1.09900", target="1.10100")
    exits = [order.number for order in placed(desk.quote("1.10000", "1.10010"))]
    found = desk.tell(TradingHalted, reason="enough", flatten=True) if why == "halt" else desk.clock(WEEK_CLOSING)
    assert moves(found) == [(number, "canceled", "the position is flattened") for number in exits]
    assert [(f.purpose, f.price_nanos) for f in fills(desk.quote("1.09990", "1.10000"))] == [
        ("flatten", nanos("1.09990"))
    ]
    assert (desk.position(), desk.working) == (0, [])


# -- reductions --------------------------------------------------------------------------------------------------------


def test_two_reductions_never_open_a_position_while_the_desk_is_halted() -> None:
    desk = quoted()
    desk.ask("buy", "market", 10_000)
    desk.quote("1.10000", "1.10010")
    desk.tell(TradingHalted, reason="lunch")
    first, second = desk.ask("sell", "market", 6_000), desk.ask("sell", "market", 10_000)
    found = desk.quote("1.10000", "1.10010")
    assert [(f.order, f.quantity_nanos // nanos(1)) for f in fills(found)] == [(first, 6_000), (second, 4_000)]
    assert moves(found) == [(second, "canceled", "the position is closed")]
    assert (desk.position(), desk.working) == (0, [])


@pytest.mark.parametrize("halted", [True, False])
def test_a_resting_reduction_goes_with_the_position_that_its_stop_closed(halted: bool) -> None:
    desk, (stop, target) = bracket()
    if halted:
        desk.tell(TradingHalted, reason="lunch")
    by_hand = desk.ask("sell", "limit", 10_000, limit="1.10050")
    found = desk.quote("1.09890", "1.09900")
    assert [f.order for f in fills(found)] == [stop]
    assert {number for number, state, _ in moves(found) if state == "canceled"} == {target, by_hand}
    assert fills(desk.quote("1.10200", "1.10210")) == []


def test_fok_asks_no_more_of_a_quote_than_the_position_it_reduces() -> None:
    desk = quoted(levels_max=1)
    desk.ask("buy", "market", 10_000)
    desk.quote("1.10000", "1.10010", 10_000)
    desk.ask("sell", "market", 8_000)
    desk.ask("sell", "market", 10_000, tif="fok")
    found = fills(desk.quote("1.10000", "1.10010", 10_000))
    assert [f.quantity_nanos // nanos(1) for f in found] == [8_000, 2_000]
