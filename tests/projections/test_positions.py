"""Positions: what is held and what it brought, against the engine's book and a hand-kept list of bookings."""

from collections import Counter, defaultdict
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.engine import Engine
from projections.aktueller_stand import MODEL as STAND
from projections.answers import decimal
from projections.positions import MODEL
from projections.projection import Folding
from projections.stand_query import positions_of
from tests import canonical
from tests.canonical import SYMBOLS
from tests.projections import folds
from tests.projections.folds import DAY, event, nanos, row, rows, versions

FACTS = folds.ledger(*DAY)


def test_a_position_is_built_and_closed_and_stays_as_a_flat_row_with_its_sums() -> None:
    assert rows(MODEL, "positions", FACTS, at=7) == {}
    opened, grown, flat = (row(MODEL, "positions", FACTS, "EURUSD", at=at) for at in (8, 16, 30))
    assert opened == {
        "quantity": nanos(-30_000), "cost": nanos("-32548.5"), "average_price": nanos("1.08495"), "realised": 0,
        "fees": nanos("0.976455"), "trades": 0, "opened_at_ns": DAY[7].occurred_at_ns,
        "changed_at_ns": DAY[7].occurred_at_ns, "correlation": 4,
    }  # fmt: skip
    assert grown == opened | {
        "quantity": nanos(-50_000), "cost": nanos("-54247.3"), "average_price": nanos("1.084946"),
        "fees": nanos("1.627419"), "changed_at_ns": DAY[11].occurred_at_ns,
    }  # fmt: skip
    assert flat == {
        "quantity": 0, "cost": 0, "average_price": None, "realised": nanos("24.8"), "fees": nanos("2.169644"),
        "trades": 1, "opened_at_ns": None, "changed_at_ns": DAY[16].occurred_at_ns, "correlation": None,
    }  # fmt: skip


def test_a_position_that_turns_to_the_other_side_is_closed_and_opened_anew() -> None:
    facts = folds.ledger(
        event("fill_booked", 1, position_nanos=nanos(10), cost_nanos=nanos(11), correlation=70),
        event("fill_booked", 2, position_nanos=nanos(-5), cost_nanos=nanos(-6), closed=True, realised_nanos=7),
    )
    turned = row(MODEL, "positions", facts, "EURUSD")
    assert (turned["quantity"], turned["average_price"], turned["trades"]) == (nanos(-5), nanos("1.2"), 1)
    assert (turned["opened_at_ns"], turned["correlation"]) == (facts[1].event.occurred_at_ns, 2)
    assert row(MODEL, "positions", facts, "EURUSD", at=1)["correlation"] == 70


def test_at_every_moment_positions_are_those_of_the_engines_book() -> None:
    told, held = versions(MODEL, "positions", folds.golden("ledger")), 0
    for moment in folds.golden_moments():
        at = {key[0]: position for key, since, until, position in told if since <= moment.number < until}
        open_ones = {symbol: (p["quantity"], p["cost"], p["correlation"]) for symbol, p in at.items() if p["quantity"]}
        held += bool(open_ones)
        assert open_ones == {
            SYMBOLS[number - 1]: (p["quantity"], p["cost"], p["correlation"])
            for number, p in enumerate(moment.positions)
            if p["quantity"]
        }
        assert sum(p["realised"] for p in at.values()) == moment.account["realised"]
        assert sum(p["fees"] for p in at.values()) == moment.account["fees"]
    assert held > 80


def test_what_is_said_of_a_floating_result_is_what_the_engines_book_has() -> None:
    """Wherever the account was told last at the record that the engine stands at; of several symbols one after the
    other and at once."""
    told = [fact.event for fact in folds.golden("ledger") if fact.event.type in ("fill_booked", "account_marked")]
    held, account = (versions(*table, folds.golden("ledger")) for table in ((MODEL, "positions"), (STAND, "account")))
    engine, script, seen = Engine(), canonical.golden_script(), Counter[int]()
    ends = {event.ordinal: event.number for event in told}
    for message in canonical.messages(script, sorted(ends)):
        engine.fold(message)
        if (number := ends.get(engine.ordinal)) is None:
            continue
        stands = [{"symbol": key[0]} | p for key, since, until, p in held if since <= number < until]
        floating = next(row["floating"] for _, since, until, row in account if since <= number < until)
        book = enumerate(engine.desk.book.positions)
        own = {SYMBOLS[place - 1]: int(p["floating"]) for place, p in book if p["quantity"]}
        said = {row["symbol"]: row["floating"] for row in positions_of(stands, floating, "main")}
        assert sum(own.values()) == floating
        assert said == {
            row["symbol"]: None if len(own) > 1 and row["symbol"] in own else decimal(own.get(row["symbol"], 0))
            for row in stands
        }
        seen[len(own)] += 1
    assert min(seen[1], seen[2]) > 100
    assert seen[0]


@given(st.lists(st.tuples(st.sampled_from([-7, -1, 0, 0, 1, 3]), st.integers(-(10**12), 10**12)), max_size=5))
def test_a_floating_result_is_never_given_to_a_position_that_it_may_not_be_of(held: list[tuple[int, int]]) -> None:
    """`held` are quantities with what each floats; only their sum is told."""
    rows_of = [{"symbol": f"S{place}", "quantity": quantity} for place, (quantity, _) in enumerate(held)]
    total = sum(floating for quantity, floating in held if quantity)
    said = [row["floating"] for row in positions_of(rows_of, total, "main")]
    for (quantity, floating), shown in zip(held, said, strict=True):
        assert shown in (None, f"{Decimal(floating if quantity else 0).scaleb(-9):.9f}")
    if sum(quantity != 0 for quantity, _ in held) < 2:
        assert None not in said
    assert [row["floating"] for row in positions_of(rows_of, None, "main")] == [
        None if quantity else "0.000000000" for quantity, _ in held
    ]


def test_its_tables_and_its_restarts_are_sound() -> None:
    folds.check(MODEL, FACTS)
    folds.check(MODEL, [fact for fact in folds.golden("ledger") if fact.event.type == "fill_booked"])


# -- random bookings ---------------------------------------------------------------------------------------------------

QUANTITIES = st.integers(-4, 4) | st.integers(-(10**17), 10**17)
PRICES = st.integers(-(4 * 10**10), 10**13)


@st.composite
def bookings(draw: st.DrawFn) -> list[Any]:
    """Bookings of three symbols, netted as the account nets them."""
    held: dict[str, int] = defaultdict(int)
    made = []
    for number in range(1, draw(st.integers(1, 25)) + 1):
        symbol = draw(st.sampled_from(SYMBOLS))
        before, quantity = held[symbol], draw(QUANTITIES)
        held[symbol] = quantity
        cost = quantity * draw(PRICES) // 10**9 if quantity else 0
        made.append(
            event(
                "fill_booked", number, symbol=symbol, position_nanos=quantity, cost_nanos=cost,
                closed=before != 0 and before * quantity <= 0, realised_nanos=draw(st.integers(-(10**15), 10**15)),
                fee_nanos=draw(st.integers(0, 10**12)), correlation=1000 + number,
            )
        )  # fmt: skip
    return made


@given(bookings(), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_is_booked_the_rows_are_what_the_list_of_bookings_says(booked: list[Any], data: st.DataObject) -> None:
    facts = folds.ledger(*booked)
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    told = versions(MODEL, "positions", facts, cuts)
    for at in range(1, len(facts) + 1):
        now = {key[0]: position for key, since, until, position in told if since <= at < until}
        assert now.keys() == {one.symbol for one in booked[:at]}
        for symbol, position in now.items():
            own = [one for one in booked[:at] if one.symbol == symbol]
            assert position == _by_hand(own)


def _by_hand(own: list[Any]) -> dict[str, Any]:
    last = own[-1]
    opening = None
    for place, one in enumerate(own):
        side = (one.position_nanos > 0) - (one.position_nanos < 0)
        earlier = own[place - 1].position_nanos if place else 0
        if side and earlier * side <= 0:
            opening = one
    with localcontext(prec=60):
        exact = Decimal(last.cost_nanos) * 10**9 / last.position_nanos if last.position_nanos else None
        average = None if exact is None else int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    return {
        "quantity": last.position_nanos,
        "cost": last.cost_nanos,
        "average_price": average,
        "realised": sum(one.realised_nanos for one in own),
        "fees": sum(one.fee_nanos for one in own),
        "trades": sum(one.closed for one in own),
        "opened_at_ns": opening.occurred_at_ns if opening and last.position_nanos else None,
        "changed_at_ns": last.occurred_at_ns,
        "correlation": opening.correlation if opening and last.position_nanos else None,
    }


def test_memory_is_one_row_a_symbol() -> None:
    folding = Folding(MODEL.folds[0])
    folding.take(folds.golden("ledger"), folds.golden("ledger")[-1].position)
    assert len(folding.remembered()) < 500
