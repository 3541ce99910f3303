"""Which moment a person asks for: now, a market time, a time of recording, or the token of an earlier answer."""

import re
from typing import Annotated, NamedTuple

import typer

from domain.errors import InvalidInput
from gateways.times import time_ns

_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{15,}")  # a time begins with its year

MarketTimeOption = Annotated[
    str | None, typer.Option("--market-time", help="As the desk was at this market time, ISO 8601 (UTC if unnamed).")
]
RecordedTimeOption = Annotated[
    str | None, typer.Option("--recorded-time", help="As it was when the log had recorded no more than until then.")
]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="As it was at the moment of an answer's as_of.")]


class Asked(NamedTuple):
    """At most one of these is given; none of them: now."""

    as_of: str | None = None
    market_time_ns: int | None = None
    recorded_time_ns: int | None = None


NOW = Asked()


def asked_moment(as_of: str | None, market_time: str | None, recorded_time: str | None) -> Asked:
    """What the three options say. Raises InvalidInput for two answers to one question, and for what is no time."""
    options = {"--as-of": as_of, "--market-time": market_time, "--recorded-time": recorded_time}
    given = [option for option, text in options.items() if text is not None]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)} are two moments; give one of them")
    return Asked(as_of, _time("--market-time", market_time), _time("--recorded-time", recorded_time))


def asked_by(option: str, text: str) -> Asked:
    """A market time or a token in one option. Raises InvalidInput."""
    if _TOKEN.fullmatch(text):
        return Asked(as_of=text)
    return Asked(market_time_ns=_time(option, text))


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return time_ns(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text[:60]!r} {error}") from None
