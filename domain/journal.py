"""The journal: what kernels decide, as records, before anyone reads it. domain/report.py makes events of them.

ENTRIES is the order of things: each names a kind, and the row of that kind's own array. Kernels number the entries;
the arrays are emptied between two stretches of tape, and `has_room` stops the day before one could run over.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.kernel import kernel
from domain.rules import RESULT, SIZED

RAISED, ASSESSED, PLACED, MOVED, FILLED, BOOKED, MARKED, ROLLED, BREACHED, REACHED = range(10)
ENTRIES, ASKED = 10, 11  # places in `rows` of the entries and of the rules' results

ENTRY = np.dtype(
    [
        ("kind", "<i8"),
        ("row", "<i8"),
        ("number", "<i8"),
        ("ordinal", "<i8"),
        ("time", "<i8"),
        ("causation", "<i8"),  # 0: the tape record itself
        ("correlation", "<i8"),
    ]
)

VERDICT = np.dtype(
    [
        ("instrument", "<i8"),
        ("side", "<i8"),
        ("approved", "<i8"),
        ("strategic", "<i8"),  # 1: the strategic rules were asked too
        ("quantity", "<i8"),
        ("stop", "<i8"),
        ("target", "<i8"),
        ("size_ppm", "<i8"),
        ("risk", "<i8"),
        ("result", "<i8"),  # first row of its results
        ("sized", SIZED),
    ]
)

PLACING = np.dtype(
    [
        ("instrument", "<i8"),
        ("side", "<i8"),
        ("type", "<i8"),
        ("purpose", "<i8"),
        ("quantity", "<i8"),
        ("limit", "<i8"),
        ("trigger", "<i8"),
        ("stop", "<i8"),
        ("target", "<i8"),
        ("tif", "<i8"),
        ("expires_at", "<i8"),
        ("active_from", "<i8"),
        ("oco", "<i8"),
    ]
)

MOVE = np.dtype(
    [
        ("order", "<i8"),
        ("state", "<i8"),
        ("reason", "<i8"),
        ("quantity", "<i8"),
        ("release", "<i8"),  # the calendar's entry that is the reason, from 1; 0: none
    ]
)

FILL = np.dtype(
    [
        ("order", "<i8"),
        ("execution", "<i8"),
        ("instrument", "<i8"),
        ("side", "<i8"),
        ("purpose", "<i8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("filled", "<i8"),
        ("leaves", "<i8"),
        ("maker", "<i8"),
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("displayed", "<i8"),
        ("slippage", "<i8"),
        ("level", "<i8"),
        ("latency", "<i8"),
        ("fee_ppm", "<i8"),
        ("basis", "<i8"),  # what the price is, see fills.BASES
        ("trigger", "<i8"),  # 0: none
        ("from_bar", "<i8"),  # 1: the tick is one of those that a bar became
        ("depth", "<i8"),  # the paper market's parameters, as in POLICY
        ("levels_max", "<i8"),
        ("slippage_thousandths", "<i8"),
        ("limit_fill", "<i8"),
        ("latency_constant", "<i8"),
        ("latency_jitter", "<i8"),
        ("latency_drawn", "<i8"),
    ]
)

BOOKING = np.dtype(
    [
        ("instrument", "<i8"),
        ("position", "<i8"),
        ("cost", "<i8"),
        ("realised_quote", "<i8"),
        ("rate", "<i8"),
        ("rate_inverse", "<i8"),
        ("realised", "<i8"),
        ("fee", "<i8"),
        ("balance", "<i8"),
        ("floating", "<i8"),
        ("equity", "<i8"),
        ("margin", "<i8"),
        ("closed", "<i8"),
        ("trade", "<i8"),
    ]
)

MARK = np.dtype(
    [
        ("balance", "<i8"),
        ("floating", "<i8"),
        ("equity", "<i8"),
        ("low", "<i8"),
        ("high", "<i8"),
        ("margin", "<i8"),
        ("daily_limit", "<i8"),
        ("total_limit", "<i8"),
        ("trading_days", "<i8"),
        ("best_day", "<i8"),
        ("target_reached", "<i8"),
        ("best_day_kept", "<i8"),
        ("profit_target", "<i8"),
        ("trading_days_min", "<i8"),
    ]
)

BREACH = np.dtype([("limit", "<i8"), ("value", "<i8"), ("bound", "<i8"), ("instrument", "<i8"), ("halted", "<i8")])

ROWS = 16_384
HEADROOM = 8_192  # one record of the tape can never decide more, see orders.MAX_ORDERS
RESULTS = 65_536

Records = npt.NDArray[np.void]


class Journal(NamedTuple):
    """`rows` counts those used of each kind, then of the entries, then of the results."""

    rows: npt.NDArray[np.int64]
    entries: Records
    verdicts: Records
    results: Records
    placings: Records
    moves: Records
    fills: Records
    bookings: Records
    marks: Records
    breaches: Records


def new_journal() -> Journal:
    """Empty arrays."""
    return Journal(
        np.zeros(12, np.int64),
        np.zeros(4 * ROWS, ENTRY),
        np.zeros(ROWS, VERDICT),
        np.zeros(RESULTS, RESULT),
        np.zeros(ROWS, PLACING),
        np.zeros(ROWS, MOVE),
        np.zeros(ROWS, FILL),
        np.zeros(ROWS, BOOKING),
        np.zeros(ROWS, MARK),
        np.zeros(ROWS, BREACH),
    )


@kernel
def enter(book: Any, kind: int, row: int, causation: int, correlation: int) -> int:
    """Number the next entry, at the record the desk is at; correlation 0 begins a chain. Returns the number."""
    desk, journal = book.desk[0], book.journal
    desk.number += 1
    entry = journal.entries[journal.rows[ENTRIES]]
    journal.rows[ENTRIES] += 1
    entry.kind, entry.row, entry.number, entry.ordinal, entry.time = kind, row, desk.number, desk.ordinal, desk.now
    entry.causation, entry.correlation = causation, correlation if correlation > 0 else desk.number
    return int(desk.number)


@kernel
def take_row(journal: Any, kind: int) -> int:
    """The next free row of a kind."""
    row = journal.rows[kind]
    journal.rows[kind] += 1
    return int(row)


@kernel
def has_room(rows: Any) -> bool:
    """Can one more record of the tape be decided on?"""
    for kind in range(ENTRIES):
        if rows[kind] > ROWS - HEADROOM:
            return False
    return bool(rows[ENTRIES] <= 4 * (ROWS - HEADROOM) and rows[ASKED] <= RESULTS - HEADROOM)


def clear(journal: Journal) -> None:
    """Forget what was read."""
    journal.rows[:] = 0
