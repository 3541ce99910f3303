"""The blotter: every order as it stands and every fill with its booking, against the engine's book and plain Python."""

import json
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import OrderFilled
from domain.orders import PURPOSES, TIMES_IN_FORCE, TYPES
from domain.ports import END
from projections.blotter import MODEL, Memory
from projections.projection import Folding
from tests.projections import folds
from tests.projections.folds import DAY, Row, event, nanos, row, rows, versions

FACTS = folds.ledger(*DAY)
WORKING = {"placed", "triggered", "partially_filled"}


def order(number: int, at: int = END - 1) -> Row:
    return row(MODEL, "orders", FACTS, number, at=at)


# -- a day -------------------------------------------------------------------------------------------------------------


def test_an_order_stands_with_all_its_terms_from_its_placing_on() -> None:
    assert rows(MODEL, "orders", FACTS, at=5) == {}
    assert order(6, at=6) == {
        "correlation": 4, "causation": 5, "symbol": "EURUSD", "side": "sell", "order_type": "market",
        "purpose": "entry", "state": "placed", "quantity": nanos(50_000), "filled": 0, "leaves": nanos(50_000),
        "average_price": None, "fees": 0, "limit_price": None, "trigger_price": None,
        "stop_price": nanos("1.08515"), "target_price": nanos("1.08445"), "time_in_force": "gtc",
        "expires_at_ns": None, "active_from_ns": DAY[5].active_from_ns, "oco": None,
        "placed_at_ns": DAY[5].occurred_at_ns, "changed_at_ns": DAY[5].occurred_at_ns, "reason": None,
    }  # fmt: skip
    exits = [row(MODEL, "orders", FACTS, number, at=10) for number in (9, 10)]
    assert [(o["trigger_price"], o["limit_price"], o["stop_price"], o["oco"]) for o in exits] == [
        (nanos("1.08515"), None, None, 9),
        (None, nanos("1.08445"), None, 9),
    ]


def test_an_order_fills_piece_by_piece_at_the_average_of_its_fills_and_pays_when_they_are_booked() -> None:
    told = [
        (o["state"], o["filled"] // 10**9, o["leaves"] // 10**9, o["average_price"], o["fees"])
        for o in (order(6, at) for at in (7, 8, 11, 12, 30))
    ]
    assert told == [
        ("partially_filled", 30_000, 20_000, 1_084_950_000, 0),
        ("partially_filled", 30_000, 20_000, 1_084_950_000, nanos("0.976455")),
        ("filled", 50_000, 0, 1_084_946_000, nanos("0.976455")),
        ("filled", 50_000, 0, 1_084_946_000, nanos("1.627419")),
        ("filled", 50_000, 0, 1_084_946_000, nanos("1.627419")),
    ]


def test_an_amended_exit_keeps_its_state_and_a_cancelled_one_says_why() -> None:
    assert (order(9, at=12)["quantity"], order(9, at=12)["state"]) == (nanos(30_000), "placed")
    amended, canceled = order(9, at=13), order(9)
    assert (amended["quantity"], amended["leaves"], amended["state"]) == (nanos(50_000), nanos(50_000), "placed")
    assert (canceled["state"], canceled["reason"]) == ("canceled", "the position is closed")
    assert canceled["changed_at_ns"] == DAY[17].occurred_at_ns > canceled["placed_at_ns"]


def test_a_fill_stands_at_once_and_says_what_it_brought_when_it_is_booked() -> None:
    before, after = (row(MODEL, "fills", FACTS, 16, at=at) for at in (16, 17))
    unbooked = {"realised": 0, "fee": 0, "closed": False, "trade_result": 0}
    assert {name: before[name] for name in unbooked} == unbooked
    assert before | {
        "realised": nanos("24.8"), "fee": nanos("0.542225"), "closed": True, "trade_result": nanos("22.630356"),
    } == after  # fmt: skip
    assert (after["order_number"], after["execution"], after["purpose"], after["liquidity"]) == (
        10,
        1,
        "target",
        "maker",
    )
    assert (after["price"], after["quantity"]) == (nanos("1.08445"), nanos(50_000))


def test_columns_and_details_of_a_fill_together_tell_all_that_is_stored() -> None:
    for number in (7, 11, 16):
        stored = DAY[number - 1].model_dump(mode="json")
        details = json.loads(row(MODEL, "fills", FACTS, number)["details"])
        in_columns = set(stored) - set(details)
        assert details.items() <= stored.items()
        assert in_columns == {
            "type", "number", "causation", "correlation", "occurred_at_ns", "order", "execution", "symbol", "side",
            "purpose", "price_nanos", "quantity_nanos", "liquidity",
        }  # fmt: skip


def test_a_field_that_a_fill_gets_one_day_stands_in_its_details() -> None:
    class Grown(OrderFilled):
        volatility_ppm: int = 7

    grown = Grown.model_validate(DAY[6].model_dump())
    fold = MODEL.folds[0]
    memory = Memory()
    list(fold.evolve(memory, FACTS[5]))
    filled, _ = fold.evolve(memory, FACTS[6]._replace(event=grown))
    assert filled.values is not None
    assert json.loads(filled.values[-1])["volatility_ppm"] == 7


def test_memory_holds_working_orders_and_nothing_of_what_is_done() -> None:
    folding = Folding(MODEL.folds[0])
    sizes = []
    for fact in FACTS:
        folding.take([fact], fact.position)
        sizes.append((len(folding.memory.orders), len(folding.memory.fills)))
    assert sizes[5:18] == [(1, 0), (1, 1), (1, 0), (2, 0), (3, 0), (3, 1), (2, 0), (2, 0), (2, 0), (2, 0), (2, 1),
                           (1, 0), (0, 0)]  # fmt: skip
    assert folding.memory == Memory()


def test_its_tables_and_its_restarts_are_sound() -> None:
    folds.check(MODEL, FACTS)
    kinds = ("order_placed", "order_moved", "order_filled", "fill_booked")
    folds.check(MODEL, [fact for fact in folds.golden("ledger") if fact.event.type in kinds][:80])


# -- the engine's own book ---------------------------------------------------------------------------------------------


def test_at_every_moment_the_working_orders_are_those_of_the_engines_book() -> None:
    facts, busy = folds.golden("ledger"), 0
    told = versions(MODEL, "orders", facts)
    for moment in folds.golden_moments():
        at = {key[0]: order for key, since, until, order in told if since <= moment.number < until}
        working = {number: order for number, order in at.items() if order["state"] in WORKING}
        busy += bool(working)
        assert {
            number: (
                o["order_type"], o["purpose"], o["time_in_force"], o["quantity"], o["filled"], o["limit_price"] or 0,
                o["trigger_price"] or 0, o["stop_price"] or 0, o["target_price"] or 0, o["expires_at_ns"] or 0,
                o["active_from_ns"], o["placed_at_ns"], o["oco"] or 0, o["correlation"],
            )
            for number, o in working.items()
        } == {
            int(o["number"]): (
                TYPES[o["type"]], PURPOSES[o["purpose"]], TIMES_IN_FORCE[o["tif"]], o["quantity"], o["filled"],
                o["limit"], o["trigger"], o["stop"], o["target"], o["expires_at"], o["active_from"], o["placed_at"],
                o["oco"], o["correlation"],
            )
            for o in moment.orders
        }  # fmt: skip
    assert busy > 40


def test_every_fill_of_the_golden_ledger_is_booked_and_its_order_paid_for_it() -> None:
    facts = folds.golden("ledger")
    fills, orders = rows(MODEL, "fills", facts), rows(MODEL, "orders", facts)
    bookings = {fact.event.causation: fact.event for fact in facts if fact.event.type == "fill_booked"}
    assert {number: fill["fee"] for (number,), fill in fills.items()} == {
        number: booking.fee_nanos for number, booking in bookings.items()
    }
    for (number,), told in orders.items():
        own = [fill for fill in fills.values() if fill["order_number"] == number]
        assert told["fees"] == sum(fill["fee"] for fill in own)
        assert told["filled"] == sum(fill["quantity"] for fill in own)
        assert [fill["execution"] for fill in own] == list(range(1, len(own) + 1))


@pytest.mark.parametrize(
    ("prices", "average"),
    [((1, 2), 2), ((2, 3), 2), ((-1, -2), -2), ((-2, -3), -2), ((1, 1, 2), 1), ((1, 2, 2), 2), ((-1, -2, -2), -2)],
)
def test_an_average_price_between_two_nanos_is_the_nearer_one_and_of_equals_the_even_one(
    prices: tuple[int, ...], average: int
) -> None:
    count = len(prices)
    fills = [
        event("order_filled", number, order=1, price_nanos=price, quantity_nanos=1, filled_nanos=number - 1,
              leaves_nanos=count + 1 - number, state="filled" if number > count else "partially_filled")
        for number, price in enumerate(prices, 2)
    ]  # fmt: skip
    facts = folds.ledger(event("order_placed", 1, quantity_nanos=count), *fills)
    assert row(MODEL, "orders", facts, 1)["average_price"] == average


# -- random lives ------------------------------------------------------------------------------------------------------


class Life(NamedTuple):
    """An order as a person would keep it on paper: its fills, and what else happened."""

    quantity: int
    fills: list[tuple[int, int]]  # price, quantity
    fees: list[int]
    state: str
    reason: str | None

    @property
    def filled(self) -> int:
        return sum(quantity for _, quantity in self.fills)

    def row(self) -> Row:
        return {
            "state": self.state, "quantity": self.quantity, "filled": self.filled,
            "leaves": self.quantity - self.filled, "average_price": self.average(), "fees": sum(self.fees),
            "reason": self.reason,
        }  # fmt: skip

    def average(self) -> int | None:
        if not self.fills:
            return None
        with localcontext(prec=60):
            exact = Decimal(sum(price * quantity for price, quantity in self.fills)) / self.filled
            return int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


QUANTITIES = st.integers(1, 6) | st.integers(1, 10**17)
PRICES = st.integers(-5, 5) | st.integers(-4 * 10**10, 2**52)
STEPS = [
    "place",
    "fill",
    "fill",
    "fill",
    "trigger",
    "amend",
    "fill",
    "fill",
    "fill",
    "book",
    "book",
    "canceled",
    "expired",
    "rejected",
]


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Any], dict[int, dict[int, Row]]]:
    """Events of some orders that live side by side, and what every order is, by number, behind every event."""
    events: list[Any] = []
    orders: dict[int, Life] = {}
    unbooked: list[tuple[int, int]] = []  # fill, its order
    expected: dict[int, dict[int, Row]] = {}
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=6, max_size=40)):
        number = len(events) + 1
        alive = [n for n, life in orders.items() if life.state in WORKING]
        if step == "place" or not orders:
            quantity = draw(QUANTITIES)
            orders[number] = Life(quantity, [], [], "placed", None)
            made = event("order_placed", number, quantity_nanos=quantity)
        elif step == "book" and unbooked:
            fill, whose = unbooked.pop(draw(st.integers(0, len(unbooked) - 1)))
            orders[whose].fees.append(draw(st.integers(0, 10**12)))
            made = event("fill_booked", number, causation=fill, fee_nanos=orders[whose].fees[-1])
        elif step == "book" or not alive:
            continue
        else:
            whose = draw(st.sampled_from(alive))
            life = orders[whose]
            if step == "fill":
                quantity, price = draw(st.integers(1, life.quantity - life.filled)), draw(PRICES)
                life = life._replace(fills=[*life.fills, (price, quantity)])
                state = "filled" if life.filled == life.quantity else "partially_filled"
                life = life._replace(state=state)
                made = event(
                    "order_filled", number, order=whose, price_nanos=price, quantity_nanos=quantity, state=state,
                    filled_nanos=life.filled, leaves_nanos=life.quantity - life.filled, execution=len(life.fills),
                )  # fmt: skip
                unbooked.append((number, whose))
            else:
                state = {"trigger": "triggered", "amend": "amended"}.get(step, step)
                quantity = life.filled + draw(QUANTITIES) if step == "amend" else life.quantity
                life = life._replace(
                    quantity=quantity, state=life.state if step == "amend" else state, reason=f"because {number}"
                )
                made = event(
                    "order_moved", number, order=whose, state=state, reason=life.reason, quantity_nanos=quantity
                )
            orders[whose] = life
        events.append(made)
        expected[number] = {n: life.row() for n, life in orders.items()}
    return events, expected


@given(lives())
@settings(max_examples=150, deadline=None)
def test_whatever_orders_live_through_their_rows_are_what_a_person_would_have_on_paper(
    lived: tuple[list[Any], dict[int, dict[int, Row]]],
) -> None:
    events, expected = lived
    told = versions(MODEL, "orders", folds.ledger(*events))
    for at, orders in expected.items():
        rows_then = {key[0]: order for key, since, until, order in told if since <= at < until}
        assert {n: {name: o[name] for name in orders[n]} for n, o in rows_then.items()} == orders
        assert all(order["filled"] + order["leaves"] == order["quantity"] for order in rows_then.values())


@given(lives(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_restart_anywhere_makes_the_same_versions(
    lived: tuple[list[Any], dict[int, dict[int, Row]]], data: st.DataObject
) -> None:
    facts = folds.ledger(*lived[0])
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    for table in ("orders", "fills"):
        assert versions(MODEL, table, facts, cuts) == versions(MODEL, table, facts)
