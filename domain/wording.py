"""How numbers of the core read in a sentence: exact, with units, without a trailing zero."""

from decimal import Decimal

_SECOND = 1_000_000_000


def money(nanos: int) -> str:
    """Account money to its hundredth, `-1,003.21`; its currency is the account's and is not named."""
    return f"{Decimal(nanos).scaleb(-9):z,.2f}"


def units(nanos: int) -> str:
    """A size: `1,000`, `0.015`."""
    return _trimmed(nanos, 9)


def percent(ppm: int) -> str:
    """`61.2 %`."""
    return f"{_trimmed(ppm, 4)} %"


def pips(thousandths: int) -> str:
    """`0.3 pips`."""
    return f"{_trimmed(thousandths, 3)} pips"


def thousandths(value: int) -> str:
    """A number that is kept in thousandths: `2.5`."""
    return _trimmed(value, 3)


def duration(nanos: int) -> str:
    """A length of time, exact: `2 h`, `5 min`, `1 min 30.5 s`."""
    minutes, rest = divmod(nanos, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours:,} h" if hours else "", f"{minutes} min" if minutes else "", f"{units(rest)} s" if rest else ""]
    return " ".join(part for part in parts if part) or "0 s"


def _trimmed(value: int, places: int) -> str:
    return f"{Decimal(value).scaleb(-places).normalize():z,f}"
