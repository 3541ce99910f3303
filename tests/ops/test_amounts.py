"""What a person types becomes nanos exactly, and no order passes the bound of its instrument."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from domain.errors import InvalidInput
from domain.instruments import TABLE, instrument_for
from ops.amounts import MOST, nanos_of, refuse_oversized
from ops.control import order_requested, refuse_impossible
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
