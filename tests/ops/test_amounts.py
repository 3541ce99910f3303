"""What a person types becomes nanos exactly, and no order passes the bound of its instrument."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput
from domain.instruments import TABLE, instrument_for
from ops.amounts import MOST, nanos_of, refuse_far_prices, refuse_oversized
from ops.control import order_requested, refuse_impossible
from ops.tape_lookup import newest_price
from tests import canonical
from tests.ops.desks import DESK, write_tape
from tests.ops.test_control import ORDER


@given(some.decimals(allow_nan=True, allow_infinity=True), some.sampled_from([1, 100, 5_000, 100_000, 125_000]))
def test_an_amount_is_exact_or_refused(value: Decimal, unit: int) -> None:
    wanted = Fraction(value) * unit * 10**9 if value.is_finite() and abs(value.adjusted()) < 400 else None
    if wanted is not None and 0 < value <= MOST and wanted.denominator == 1:
        assert nanos_of("lots", value, unit) == wanted
    else:
        with pytest.raises(InvalidInput, match=r"lots .* (is not above 0|has more decimals)"):
            nanos_of("lots", value, unit)


@pytest.mark.parametrize("digits", range(1, 60))
def test_no_number_of_digits_is_rounded_away(digits: int) -> None:
    value = Decimal("1." + "0" * digits + "1")
    if digits < 9:
        assert nanos_of("limit", value) == 10**9 + 10 ** (8 - digits)
    else:
        with pytest.raises(InvalidInput, match="has more decimals than the desk keeps; round it"):
            nanos_of("limit", value)
    assert nanos_of("limit", Decimal("1." + "0" * digits)) == 10**9


@pytest.mark.parametrize("symbol", sorted(TABLE))
def test_the_largest_order_is_the_bound_of_every_instrument(symbol: str) -> None:
    instrument = instrument_for(symbol)
    largest = instrument.contract_size * instrument.lot_max_nanos
    refuse_oversized(instrument, largest)
    with pytest.raises(InvalidInput, match=f"the largest order of {symbol} .* ask for less, or in several orders"):
        refuse_oversized(instrument, largest + instrument.contract_size)


def test_an_order_that_is_too_large_does_not_pass_the_door_of_a_running_desk_either() -> None:
    order = order_requested(ORDER | {"lots": Decimal(100)})
    refuse_impossible(order)
    with pytest.raises(InvalidInput, match="lots are above 100, the largest order of EURUSD"):
        refuse_impossible(order.model_copy(update={"quantity_nanos": order.quantity_nanos + 1}))


@pytest.mark.parametrize("name", ["limit", "trigger", "stop", "target"])
def test_a_price_that_is_a_slip_is_named_with_its_bound(name: str) -> None:
    near, far = (order_requested(ORDER | {name: Decimal(price)}) for price in ("110", "110.000000001"))
    refuse_far_prices(near, 1_100_000_000)
    with pytest.raises(InvalidInput, match=rf"{name} 110\.000000001 is above 110, 100 times .* EURUSD, 1\.1;"):
        refuse_far_prices(far, 1_100_000_000)


async def test_the_newest_price_is_that_of_the_symbol_itself() -> None:
    log = MemoryLog()
    tape = StoredTape(log, DESK)
    assert await newest_price(tape, "EURUSD") is None
    await write_tape(log)
    ticks = canonical.market_ticks(500, seed=12, symbols=2, start=canonical.MONDAY + 10**14)
    for number, symbol in enumerate(canonical.SYMBOLS[:2], 1):
        assert await newest_price(tape, symbol) == ticks["bid"][ticks["instrument"] == number][-1]
    assert await newest_price(tape, "XAUUSD") is None
