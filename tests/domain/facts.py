"""An ordinary trade that every rule of an ordinary policy lets pass; a test changes what it is about."""

from typing import Any

import numpy as np

from domain.policy import PAPER_DEFAULT
from domain.rules import FACTS, NO_LIMIT, NO_NEWS, Rule
from domain.tape import LONDON_OPEN

NANO = 1_000_000_000
SECOND = NANO
MINUTE = 60 * SECOND
LOT = 1_000 * NANO  # units

ORDINARY = {
    # a buy of EURUSD, its stop 20 pips away
    "own_pattern": 1, "side": 1, "confidence_ppm": 800_000, "bar_age_ns": 1 * SECOND,
    "level": 1_099_900_000, "entry": 1_100_000_000, "stop": 1_098_000_000, "target": 1_104_000_000,
    "quote_age_ns": 0, "pip": 100_000, "point": 10_000,
    "atr": 100_000, "trend": 1, "sessions_open": LONDON_OPEN, "calendar_entries": 7, "news_gap_ns": NO_NEWS,
    "blackout_gap_ns": NO_NEWS,
    # a fresh account of 100,000
    "balance": 100_000 * NANO, "equity": 100_000 * NANO, "peak": 100_000 * NANO,
    "day_balance": 100_000 * NANO, "daily_room": NO_LIMIT, "total_room": NO_LIMIT, "margin_free": 100_000 * NANO,
    # 1,000 units lose 2.00 at the stop and are worth 1,100.00
    "unit_loss": 2 * NANO, "unit_value": 1_100 * NANO, "margin_ppm": 50_000,
    "lot_step": LOT, "lot_min": LOT, "lot_max": 10_000 * LOT,
}  # fmt: skip


def facts(**changes: int) -> Any:
    """One FACTS record."""
    record = np.zeros(1, FACTS)[0]
    for name, value in (ORDINARY | changes).items():
        record[name] = value
    return record


PLAIN = {"by_confidence": 0, "symbol_exposure_max_ppm": NO_LIMIT, "currency_exposure_max_ppm": NO_LIMIT}


def terms(**changes: int) -> Any:
    """One POLICY record: the shipped paper-default, less what scales every size."""
    record = PAPER_DEFAULT.record()
    for name, value in (PLAIN | changes).items():
        record[name] = value
    return record


def ask(rule: Rule, f: Any, p: Any) -> tuple[bool, str]:
    """Whether it passed, and its sentence."""
    value, limit, passed = rule.question(f, p)
    assert isinstance(value, int)
    assert isinstance(limit, int)
    return bool(passed), rule.says(value, limit, bool(passed))
