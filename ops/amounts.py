"""Money, prices and sizes as a person types them: to nanos exactly, or refused with the bound that they pass."""

from decimal import Decimal, Inexact, localcontext

from domain.errors import InvalidInput
from domain.instruments import NANOS, Instrument
from domain.wording import units

MOST = 1_000_000_000  # of money, lots or a price: what is larger is a slip, and its nanos would not fit


def nanos_of(name: str, value: Decimal, unit: int = 1) -> int:
    """`value` times `unit` in nanos. Raises InvalidInput where it is out of bounds or would have to be rounded."""
    if not (value.is_finite() and 0 < value <= MOST):
        raise InvalidInput(f"{name} {value} is not above 0 and at most {MOST:,}")
    try:
        with localcontext() as exact:  # a product of more digits than Decimal keeps would be rounded without a word
            exact.traps[Inexact] = True
            nanos = value * unit * NANOS
            whole = nanos == int(nanos)
    except Inexact:
        whole = False
    if not whole:
        raise InvalidInput(f"{name} {value} has more decimals than the desk keeps; round it")
    return int(nanos)


def refuse_oversized(instrument: Instrument, quantity_nanos: int) -> None:
    """Raises InvalidInput for more than the instrument's largest order; the smallest one is a rule's to judge, because
    what closes a position may be smaller."""
    largest = instrument.contract_size * instrument.lot_max_nanos
    if quantity_nanos > largest:
        lots = units(quantity_nanos // instrument.contract_size)
        raise InvalidInput(
            f"{lots} lots are above {units(instrument.lot_max_nanos)}, the largest order of {instrument.symbol} "
            f"({units(largest)} units); ask for less, or in several orders"
        )
