"""Orders: the states they may pass through, how long they are good for, and how they are cancelled."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from domain.errors import IllegalTransition
from domain.instructions import OrderRequested, SignalSubmitted
from domain.orders import ORDER, STATES, TRANSITIONS, check_transition, fill, may_become
from domain.tape import MINUTE, PRAGUE_MIDNIGHT
from tests.domain.desks import SECOND, Desk, fills, moves, nanos, placed, quoted, refusal

TERMINAL = {"denied", "rejected", "filled", "canceled", "expired"}

# FIX 4.4 Volume 4, appendix D, as the domain notes adapt it; written here a second time on purpose.
WORKING_ON = {"pending_update", "pending_cancel", "partially_filled", "filled", "canceled", "expired"}
AFTER = {
    "initialized": {"denied", "pending_approval", "submitted"},
    "pending_approval": {"submitted", "denied", "expired"},
    "submitted": WORKING_ON | {"rejected", "accepted"},
    "accepted": WORKING_ON | {"triggered", "rejected"},
    "triggered": WORKING_ON | {"rejected"},
    "pending_update": WORKING_ON - {"pending_update", "pending_cancel"} | {"accepted", "triggered"},
    "pending_cancel": WORKING_ON - {"pending_update", "pending_cancel"} | {"accepted", "triggered"},
    "partially_filled": WORKING_ON,
    **{state: set() for state in TERMINAL},
}


# -- the state machine -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [*product(STATES, STATES)])
def test_every_transition_that_the_table_does_not_allow_is_refused_by_name(before: str, after: str) -> None:
    if after in AFTER[before]:
        check_transition(7, before, after)
        return
    with pytest.raises(IllegalTransition, match=rf"order 7 is {before} and cannot become {after}; it may become"):
        check_transition(7, before, after)


def test_a_cancel_that_the_table_does_not_allow_is_refused_by_name() -> None:
    desk = quoted()
    order = desk.ask("buy", "limit", 1_000, limit="1.05000")
    desk.engine.desk.book.orders[0]["state"] = STATES.index("pending_approval")
    says = refusal(desk.cancel(order))
    assert f"order {order} is pending_approval and cannot become canceled; it may become submitted" in says
    assert desk.working == [order]


def test_kernels_follow_the_same_table() -> None:
    numbers = range(len(STATES))
    allowed = {(b, a) for b, a in product(numbers, numbers) if may_become(b, a)}
    assert allowed == {(b, a) for b in numbers for a in TRANSITIONS[b]}
    assert {STATES[b] for b in numbers if not TRANSITIONS[b]} == TERMINAL


@pytest.mark.parametrize("quantity", [0, -1, 11])
def test_an_execution_never_fills_nothing_or_more_than_an_order_leaves(quantity: int) -> None:
    order = np.zeros(1, ORDER)
    order[0]["quantity"], order[0]["state"] = 10, STATES.index("accepted")
    with pytest.raises(ValueError, match="nothing, or more than"):
        fill(order[0], quantity)


def test_no_execution_comes_behind_a_terminal_state() -> None:
    order = np.zeros(1, ORDER)
    order[0]["quantity"], order[0]["state"] = 10, STATES.index("canceled")
    with pytest.raises(ValueError, match="its state does not allow"):
        fill(order[0], 5)


# -- time in force -----------------------------------------------------------------------------------------------------

TERMS: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit": "1.10030"},
    "stop": {"trigger": "1.10030"},
    "stop_limit": {"trigger": "1.10030", "limit": "1.10031"},
}
TRIGGERED_FIRST = {"stop", "stop_limit"}


def waiting(kind: str, tif: str, **more: Any) -> tuple[Desk, int]:
    """A buy of 5,000 that was asked for at 1.10010."""
    desk = quoted(levels_max=2)
    return desk, desk.ask("buy", kind, 5_000, tif=tif, **TERMS[kind], **more)


@pytest.mark.parametrize("kind", TERMS)
def test_ioc_takes_what_is_there_when_it_arrives_or_triggers_and_cancels_the_rest(kind: str) -> None:
    desk, number = waiting(kind, "ioc")
    if kind in TRIGGERED_FIRST:
        assert desk.quote("1.10000", "1.10029", 1_000) == []  # not triggered yet: it waits
    found = desk.quote("1.10020", "1.10030", 2_000)
    filled = sum(f.quantity_nanos for f in fills(found)) // nanos(1)
    assert filled == (2_000 if kind == "limit" else 4_000)  # two levels; the limit allows one
    assert moves(found)[-1] == (number, "canceled", "what could not be filled at once is cancelled (IOC)")
    assert desk.working == []


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize("whole", [True, False])
def test_fok_fills_whole_at_once_or_not_at_all(kind: str, whole: bool) -> None:
    desk, number = waiting(kind, "fok")
    levels = 1 if kind == "limit" else 2
    found = desk.quote("1.10020", "1.10030", 5_000 // levels - (0 if whole else 1))
    assert sum(f.quantity_nanos for f in fills(found)) == (nanos(5_000) if whole else 0)
    gone = (number, "canceled", "it could not be filled whole at once (FOK)")
    assert (gone in moves(found)) is not whole
    assert desk.working == []


def test_fok_counts_what_another_order_left_of_the_deeper_levels() -> None:
    desk = quoted(levels_max=3)
    desk.ask("buy", "market", 4_000)
    desk.ask("buy", "market", 3_000, tif="fok")
    desk.ask("buy", "market", 2_000, tif="fok")
    found = fills(desk.quote("1.10000", "1.10010", 2_000))
    assert [(f.level, f.quantity_nanos // nanos(1)) for f in found] == [(0, 2_000), (1, 2_000), (2, 2_000)]


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_what_must_fill_at_once_never_rests(tif: str) -> None:
    desk = quoted()
    number = desk.ask("buy", "limit", 1_000, limit="1.09000", tif=tif)
    assert [state for order, state, _ in moves(desk.quote("1.10000", "1.10010")) if order == number] == ["canceled"]


@pytest.mark.parametrize("kind", [kind for kind in TERMS if kind != "market"])
def test_a_day_order_ends_at_pragues_midnight_and_a_gtc_order_does_not(kind: str) -> None:
    desk = quoted()
    far = {"limit": {"limit": "1.09000"}}.get(kind, TERMS[kind])
    day, gtc = (desk.ask("buy", kind, 1_000, tif=tif, **far) for tif in ("day", "gtc"))
    assert moves(desk.clock(MINUTE)) == []
    assert moves(desk.clock(MINUTE | PRAGUE_MIDNIGHT)) == [(day, "expired", "the trading day ended")]
    assert desk.working == [gtc]


@pytest.mark.parametrize("by", ["clock", "quote"])
def test_a_gtd_order_ends_at_its_time_whatever_record_comes_and_fills_no_more(by: str) -> None:
    desk = quoted()
    number = desk.ask("buy", "limit", 1_000, limit="1.09000", tif="gtd", expires_at_ns=desk.now + 2 * SECOND)
    assert desk.clock(after=2 * SECOND - 1) == []
    found = desk.clock(after=1) if by == "clock" else desk.quote("1.08000", "1.08010", after=1)
    assert moves(found) == [(number, "expired", "its time ran out")]
    assert found[0].occurred_at_ns == desk.now
    assert fills(desk.quote("1.08000", "1.08010")) == []


def test_of_two_gtd_orders_each_ends_at_its_own_time() -> None:
    desk = quoted()
    late, early = (
        desk.ask("buy", "limit", 1_000, limit="1.09000", tif="gtd", expires_at_ns=desk.now + wait * SECOND)
        for wait in (9, 3)
    )
    assert [moves(desk.clock(after=3 * SECOND))[0][0] for _ in range(3) if desk.working == [late, early]] == [early]
    assert desk.clock(after=5 * SECOND) == []
    assert moves(desk.clock(after=SECOND)) == [(late, "expired", "its time ran out")]


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_working_order_is_cancelled_once_and_then_no_more() -> None:
    desk = quoted()
    number = desk.ask("buy", "limit", 1_000, limit="1.09000")
    assert moves(desk.cancel(number)) == [(number, "canceled", "it was asked for")]
    assert refusal(desk.cancel(number)) == (f"order {number} is not working: it was filled, cancelled, or never placed")
    assert fills(desk.quote("1.08000", "1.08010")) == []


def test_the_rest_of_a_partial_fill_can_be_cancelled_and_what_was_filled_stays() -> None:
    desk = quoted(levels_max=1)
    number = desk.ask("buy", "market", 3_000)
    desk.quote("1.10000", "1.10010", 1_000)
    assert moves(desk.cancel(number)) == [(number, "canceled", "it was asked for")]
    assert (desk.position(), fills(desk.quote("1.10000", "1.10010"))) == (1_000, [])


def test_what_was_filled_or_never_placed_cannot_be_cancelled() -> None:
    desk = quoted()
    number = desk.ask("buy", "market", 1_000)
    desk.quote("1.10000", "1.10010")
    for wrong in (number, 10**9, 1):
        assert refusal(desk.cancel(wrong)).startswith(f"order {wrong} is not working")


@pytest.mark.parametrize(
    ("kind", "terms", "says"),
    [
        ("limit", {}, "a limit order needs limit_nanos: 0"),
        ("market", {"limit": "1.1"}, "a market order has no limit_nanos: 1100000000"),
        ("stop", {"limit": "1.1", "trigger": "1.1"}, "a stop order has no limit_nanos: 1100000000"),
        ("stop_limit", {"limit": "1.1"}, "a stop_limit order needs trigger_nanos: 0"),
        ("market", {"stop": "1.10011"}, "stop_nanos 1100110000 is not on the losing side of the entry 1100100000"),
        ("market", {"target": "1.10010"}, "target_nanos 1100100000 is not on the winning side of the entry 1100100000"),
        ("market", {"tif": "gtd"}, "expires_at_ns 0 belongs to gtd orders, and they need it"),
        ("market", {"expires_at_ns": 5}, "expires_at_ns 5 belongs to gtd orders, and they need it"),
        ("market", {"tif": "gtd", "expires_at_ns": 5}, "is not after 2024-03-04T09:00:01Z, when it was asked"),
        ("limit", {"limit": "1000"}, "limit_nanos 1000000000000 is more than 100 times the market's 1100050000"),
    ],
)
def test_an_order_whose_terms_do_not_fit_its_type_is_refused_by_name(
    kind: str, terms: dict[str, Any], says: str
) -> None:
    assert says in refusal(quoted().order("buy", kind, 1_000, **terms))


def test_the_same_instruction_twice_places_one_order() -> None:
    desk = quoted()
    for _ in range(2):
        desk.tell(OrderRequested, id="same", symbol="EURUSD", side="buy", type="market", quantity_nanos=nanos(1_000))
    assert len(placed(desk.events)) == 1


def test_an_order_whose_money_does_not_fit_is_refused_and_the_desk_goes_on() -> None:
    desk = Desk(None, "BTCUSDT")
    desk.quote("100000", "100001")
    assert "limit_nanos 9500000000000000 is above" in refusal(desk.order("sell", "limit", "0.001", limit="9500000"))
    assert refusal(
        desk.tell(
            SignalSubmitted, strategy="hand_made", symbol="BTCUSDT", side="sell", entry_nanos=nanos(100_000),
            stop_nanos=nanos(9_500_000),
        )
    ).startswith("stop_nanos")  # fmt: skip
    assert len(placed(desk.order("buy", "market", "0.001"))) == 1
