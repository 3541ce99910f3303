"""Values as the dashboard writes them: two places for money, an instrument's digits for prices, UTC to the second."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from gateways.dashboard.markup import Cell, gain, tag
from gateways.ledger_words import money, price

FIGURE_SPACE = "\u2007"  # as wide as a digit
NONE = Markup('<span class="none" aria-label="none">–</span>')  # where a number could stand


def when(iso: str | None) -> Markup:
    """`2018-05-30 14:00:05`, on a narrow screen `05-30 14:00`; all times are UTC."""
    if iso is None:
        return NONE
    year, seconds = tag("span", iso[:5], class_="wide"), tag("span", iso[16:19], class_="wide")
    return tag("time", year, iso[5:16].replace("T", " "), seconds, datetime=iso, class_="time")


def when_ns(nanos: int | None) -> str:
    """The same, of nanoseconds since 1970."""
    return "no time yet" if nanos is None else f"{datetime.fromtimestamp(nanos // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def amount(text: str | None) -> Cell:
    """Money: `1,003.21`."""
    return NONE if text is None else money(text)


def result(text: str | None) -> Cell:
    """Money that was made or lost: `+9.64`."""
    if text is None:
        return NONE
    value = round(Decimal(text), 2)
    return gain(f"{value:+z,.2f}" if value else "0.00", float(value))


def priced(text: str | None, digits: int = 0) -> Cell:
    """A price with at least so many places, below others of which some have one more (a mid has it): the points of a
    right aligned column stand below each other."""
    if text is None:
        return NONE
    plain = price(text)
    places = len(plain.partition(".")[2])
    if places < digits:
        plain, places = f"{Decimal(text):.{digits}f}", digits
    return plain + FIGURE_SPACE * (digits + 1 - places)


def number(value: float | None, places: int = 2, unit: str = "") -> Cell:
    """A ratio or a count with its unit."""
    return NONE if value is None else f"{value:z,.{places}f}{unit}"


def share(value: float | None, places: int = 1) -> Cell:
    """A part of one: `24.4 %`."""
    return NONE if value is None else f"{100 * value:z,.{places}f} %"


def spoken(name: str | None) -> str:
    """A stored name as words: `daily_loss` is `daily loss`."""
    return (name or "").replace("_", " ")


def digits_of(standing: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many places the prices of each instrument have."""
    return {row["name"]: row["content"]["instrument"]["digits"] for row in standing if row["kind"] == "instrument"}
