"""A sheet: what one format read from one text, a column per fact; and the description every format gives of itself."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.errors import UnknownFormat
from domain.instruments import Instrument
from domain.tape import QUOTE, Ticks, empty_ticks
from gateways.feeds.bars import Price, both_sides, four_ticks
from gateways.feeds.checks import REASONS, judge
from gateways.feeds.fields import GOOD, I8
from gateways.feeds.sources import Source
from gateways.feeds.tokenizer import Rows, read_rows


class Request(NamedTuple):
    """What a reader must know beside the text. `price` is set for files with one price a bar; `spread_nanos` is the
    caller's own, None leaves it to the file or the instrument."""

    instrument: Instrument
    venue: str
    price: Price | None
    spread_nanos: int | None

    @property
    def spread(self) -> int:
        """The spread of a file that has none of its own."""
        return self.instrument.spread_nanos if self.spread_nanos is None else self.spread_nanos


class Sheet(NamedTuple):
    """One entry a data row, good or bad. `bid` and `ask` are [1, n] of ticks and [4, n] (OHLC) of bars; time is UTC."""

    rows: Rows
    columns: tuple[str, ...]
    time: I8
    bid: I8
    ask: I8
    kind: npt.NDArray[np.uint16]
    bid_size: I8
    ask_size: I8

    @property
    def bars(self) -> bool:
        return len(self.bid) == 4

    def judged(self) -> "Sheet":
        """The sheet with every row that is not acceptable marked."""
        judge(self.time, self.bid, self.ask, self.bars, self.rows.code)
        return self

    def ticks(self) -> Ticks:
        """The tick records of the good rows."""
        good = self.rows.code == GOOD
        time, line = self.time[good], self.rows.line[good]
        if self.bars:
            return four_ticks(time, self.bid[:, good], self.ask[:, good], line)
        ticks = empty_ticks(len(time))
        ticks["event_time"] = ticks["receive_time"] = time
        ticks["bid"], ticks["ask"] = self.bid[0, good], self.ask[0, good]
        ticks["bid_size"], ticks["ask_size"] = self.bid_size[good], self.ask_size[good]
        ticks["kind"], ticks["reference"] = self.kind[good], line
        return ticks

    def reason(self, row: int) -> str:
        """Why a row was rejected, in words."""
        return REASONS[int(self.rows.code[row])].format(field=self.columns[int(self.rows.field[row])])


class Format(NamedTuple):
    """A file format. `one_price` is what a bar's single price is unless the caller says otherwise (None: the file has
    both sides, or ticks), `own_spread` that its bars carry one; `side` is set where bid and ask come in two files;
    `detail` is what the reader takes from the name, so it is part of what the import is."""

    name: str
    expects: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source, Request], Sheet]
    venue: Callable[[Source], str]
    one_price: Price | None = None
    own_spread: bool = False
    detail: Callable[[Source], str] = lambda _: ""
    side: Callable[[Source], Price] | None = None


def read_columns(source: Source, columns: dict[str, int], delimiter: str = ",", header: bool = True) -> Rows:
    """The rows of a text whose columns are named with their kind."""
    return read_rows(source.text, source.start, delimiter, tuple(columns.values()), header)


def bar_sheet(rows: Rows, columns: dict[str, int], time: I8, bid: I8, ask: I8) -> Sheet:
    """A sheet of bars: quotes of unknown size."""
    count = len(rows.line)
    zero = np.zeros(count, np.int64)
    return Sheet(rows, tuple(columns), time, bid, ask, np.full(count, QUOTE, np.uint16), zero, zero)


def one_price_bars(rows: Rows, columns: dict[str, int], time: I8, price: I8, request: Request) -> Sheet:
    """A sheet of bars of one price, its other side at the spread's distance."""
    assert request.price is not None
    return bar_sheet(rows, columns, time, *both_sides(price, request.price, request.spread))


def tick_sheet(
    rows: Rows, columns: dict[str, int], time: I8, bid: I8, ask: I8, kind: int | npt.NDArray[np.uint16] = QUOTE,
    bid_size: I8 | None = None, ask_size: I8 | None = None,
) -> Sheet:  # fmt: skip
    """A sheet of ticks, sizes 0 where the file has none."""
    zero = np.zeros(len(rows.line), np.int64)
    kinds = np.broadcast_to(np.asarray(kind, np.uint16), zero.shape)
    return Sheet(
        rows, tuple(columns), time, bid[None, :], ask[None, :], kinds,
        zero if bid_size is None else bid_size, zero if ask_size is None else ask_size,
    )  # fmt: skip


def any_line(pattern: str) -> Callable[[Source], bool]:
    """Recognises a text without a header: one of its first lines is of this pattern (a bad first line is no reason to
    refuse a file)."""
    compiled = re.compile(pattern)
    return lambda source: any(compiled.fullmatch(line) for line in source.sample)


def a_header(pattern: str) -> Callable[[Source], bool]:
    """Recognises a text by its header line."""
    compiled = re.compile(pattern)
    return lambda source: bool(compiled.fullmatch(source.header))


def unknown_format(source: Source, reason: str) -> UnknownFormat:
    """The refusal, with the line it rests on."""
    return UnknownFormat(f"{source.place}, line 1 {source.sample[0][:80]!r}: {reason}")
