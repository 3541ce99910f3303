"""The closed trades of one strategy, read from the journal of an engine whose events nobody tells.

What a read model learns from the ledger, a backtest takes from the journal's records at a hundredth of the time. A
trade is the strategy's whose signal opened the position; its result has the fees inside.
"""

from typing import NamedTuple

import numpy as np

from domain.book import Records
from domain.journal import BOOKED, BREACHED, ENTRIES, RAISED, ROLLED, Journal
from domain.paper_desk import PaperDesk

_FOLLOWED = (RAISED, BOOKED, ROLLED, BREACHED)


class Trade(NamedTuple):
    """Days count the Prague midnights since the tape's beginning; `result` is net, nanos of the account's currency."""

    ordinal: int  # at which it was opened
    opened_day: int
    closed_day: int
    result: int


class ClosedTrades:
    """Follows the journal of one desk. `day` is the day now, `halted_days` those on which a limit halted trading."""

    def __init__(self, strategy: str, version: int) -> None:
        self.trades: list[Trade] = []
        self.halted_days: list[int] = []
        self.day = 0
        self._scope = (strategy, version)
        self._number = 0  # of the newest event that was read
        self._chains: set[int] = set()  # correlations of the strategy's signals
        self._open: dict[int, tuple[int, int] | None] = {}  # by instrument: ordinal and day; None: not the strategy's

    def take(self, desk: PaperDesk, raised: Records) -> None:
        """What the journal holds now, each event once. `raised` are the signals that its entries refer to."""
        journal = desk.book.journal
        entries = journal.entries[: journal.rows[ENTRIES]]
        fresh = entries[np.isin(entries["kind"], _FOLLOWED) & (entries["number"] > self._number)]
        self._number = max(self._number, int(desk.book.desk[0]["number"]))
        fields = ("kind", "row", "number", "ordinal", "correlation")
        for kind, row, number, ordinal, correlation in fresh[list(fields)].tolist():
            if kind == ROLLED:
                self.day += 1
            elif kind == BREACHED:
                if journal.breaches[row]["halted"]:
                    self.halted_days.append(self.day)
            elif kind == BOOKED:
                self._book(journal, row, ordinal, correlation)
            elif row < len(raised) and desk.sources[raised[row]["slot"]][:2] == self._scope:
                self._chains.add(number)

    def _book(self, journal: Journal, row: int, ordinal: int, correlation: int) -> None:
        booking = journal.bookings[row]
        instrument = int(booking["instrument"])
        if booking["closed"]:
            opened = self._open.pop(instrument, None)
            if opened:
                self.trades.append(Trade(*opened, self.day, int(booking["trade"])))
        if booking["position"] and instrument not in self._open:
            self._open[instrument] = (ordinal, self.day) if correlation in self._chains else None
