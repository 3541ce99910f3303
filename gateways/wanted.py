"""What a person asked a desk to trade, as the command line read it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple


class Wanted(NamedTuple):
    """`feeds` are file:PATH, tape:NAME or demo; `options` those of gateways.feeds.FeedOptions. What is not
    chosen (no strategy, a policy, balance or currency that is None) is as it stands; no feed is the demo, on a desk
    that had no other.
    `speed` is max, live, or how many times as fast as the market."""

    feeds: Sequence[str]
    options: Mapping[str, Any]
    strategies: Sequence[str]
    parameters: Mapping[str, str]
    symbols: Sequence[str]
    speed: str = "max"
    policy: str | None = None
    balance: Decimal | None = None
    currency: str | None = None
    calendar: Path | None = None
    engines: Path | None = None  # a folder with wheels of older engines
