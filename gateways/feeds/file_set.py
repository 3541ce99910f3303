"""A file set: what the caller says about files, and what became of them: ticks, rejects and an identity."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput
from domain.instructions import FeedFile
from domain.instruments import Instrument
from domain.tape import Ticks
from gateways.feeds.bars import Price


class FeedOptions(BaseModel):
    """What the caller says about files. Symbol and venue hold for all of them; without, each name is asked.

    `symbol` overrides every name. `default_symbol` is that of files whose names do not say one; of a zip's tables it
    picks the one that agrees with it, a futures contract (GC-201312) too.
    `price` concerns only files with one price a bar, `spread_pips` only those of them that need a spread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str | None = None
    default_symbol: str | None = None
    venue: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    format: str = "auto"
    price: Price | None = None
    spread_pips: Decimal | None = Field(
        None, ge=0, le=1_000_000, description="instead of the instrument's declared one"
    )
    strict: bool = False

    def spread_nanos(self, instrument: Instrument) -> int | None:
        """The caller's spread in price nanos, if there is one."""
        if self.spread_pips is None:
            return None
        nanos = self.spread_pips * instrument.pip_nanos
        if nanos != int(nanos):
            raise InvalidInput(f"--spread {self.spread_pips}: {instrument.symbol} has no step below 1e-9. Round it.")
        return int(nanos)


class Reject(NamedTuple):
    """A row that was not taken. `line` counts from 1 in the unpacked text; a zip's member stands behind a colon."""

    file: str
    line: int
    reason: str
    text: str


class SourceFile(FeedFile):
    """What became of one file. Rows are the non-blank lines below the header. Times are of its ticks, ns UTC."""

    first_time_ns: int | None
    last_time_ns: int | None


@dataclass(frozen=True, eq=False)
class FileSet:
    """Files merged by (event time, venue, symbol, row). A tick's instrument is 1 + the index in `symbols`. `identity`
    names the content: the same files with the same meaning in any order and folder have the same one."""

    symbols: list[str]
    files: list[SourceFile]
    ticks: Ticks
    rejects: list[Reject]
    identity: str


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """The rejects as a CSV file: file, line, reason, text."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(Reject._fields)
        writer.writerows(rejects)
