"""The tape: the totally ordered input of a desk. One record is 64 bytes, the same on the wire, in the log and in numba.

| field         | bytes | meaning |
|---------------|-------|---------|
| event_time    | i8    | ns since 1970 UTC, the venue's or the file's own clock |
| receive_time  | i8    | ns since 1970 UTC, tape time: it decides, and never goes back on a tape (files: event time) |
| bid, ask      | i8 x2 | nanos (1e-9). A quote's two sides; a trade has its price in both |
| bid_size      | i8    | nanos of units on the bid; of a trade its signed size (negative: the seller was aggressor) |
| ask_size      | i8    | nanos of units on the ask; 0 of a trade |
| instrument    | u4    | number given by the tape's own `instrument_declared` records, from 1; 0 on clock records |
| kind          | u2    | CLOCK, QUOTE or TRADE |
| flags         | u2    | of a market tick FROM_BAR; of a clock record its marks (MINUTE, PRAGUE_MIDNIGHT, ...) |
| reference     | i8    | the line of the file it came from (from 1), or the venue's own update number; 0 none |

All fields are little-endian; the mid is (bid + ask) // 2 for quotes and trades alike.
A position on a tape is its ordinal: 1, 2, 3 ... over records and instructions alike.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.kernel import kernel

TICK = np.dtype(
    [
        ("event_time", "<i8"),
        ("receive_time", "<i8"),
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("bid_size", "<i8"),
        ("ask_size", "<i8"),
        ("instrument", "<u4"),
        ("kind", "<u2"),
        ("flags", "<u2"),
        ("reference", "<i8"),
    ]
)
assert TICK.itemsize == 64  # a stored shape is for ever
_WHOLE = np.dtype("V64")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ticks = npt.NDArray[np.void]  # a one-dimensional array of TICK

CLOCK, QUOTE, TRADE = 0, 1, 2

FROM_BAR = 1  # one of the four ticks that a bar of a file became

# Marks of a clock record. Sessions are those of domain facts (e): local hours, Monday to Friday.
MINUTE = 1 << 0
PRAGUE_MIDNIGHT = 1 << 1
WEEK_OPEN = 1 << 2
WEEK_CLOSE = 1 << 3
SYDNEY_OPEN, SYDNEY_CLOSE = 1 << 4, 1 << 5
TOKYO_OPEN, TOKYO_CLOSE = 1 << 6, 1 << 7
LONDON_OPEN, LONDON_CLOSE = 1 << 8, 1 << 9
NEW_YORK_OPEN, NEW_YORK_CLOSE = 1 << 10, 1 << 11
SECOND = 1 << 12  # the live clock, once a second
WEEK_CLOSING = 1 << 13  # 15 minutes before WEEK_CLOSE: time to be flat

MAX_PRICE = 2**62 // 1_000  # nanos: rules reckon in the money of a thousand units

MAX_BLOCK_RECORDS = 15_360  # 960 KiB: with its headers under the server's message limit of 1 MiB


class Block(NamedTuple):
    """A stretch of records as one message holds it. `first` is the ordinal of records[0]."""

    first: int
    records: Ticks

    @property
    def last(self) -> int:
        return self.first + len(self.records) - 1


def position(name: str, number: int) -> str:
    """The public name of a place: `tape:1234` on a desk's tape, `main:1234` in the ledger of desk main."""
    return f"{name}:{number}"


def utc(time_ns: int) -> str:
    """A time as people read it: ISO 8601 with Z, and nanoseconds only if there are any."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09d}Z" if nanos else f"{text}Z"


def empty_ticks(count: int) -> Ticks:
    """`count` zeroed records."""
    return np.zeros(count, TICK)


def decode(payload: bytes | memoryview) -> Ticks:
    """The records of a block's payload, without a copy (read-only, as the log is)."""
    return np.frombuffer(payload, TICK)


def market(records: Ticks) -> npt.NDArray[np.bool_]:
    """Which records are market ticks, not clock records."""
    mask: npt.NDArray[np.bool_] = records["kind"] != CLOCK
    return mask


@kernel
def is_usable(tick: Any) -> bool:
    """Is it a price at all: above 0, not crossed, and not so high that no money can follow?"""
    return bool(0 < tick.bid <= tick.ask <= MAX_PRICE)


@kernel
def impossible(records: Ticks, after_ns: int, declared: npt.NDArray[np.bool_], usable: npt.NDArray[np.bool_]) -> int:
    """The index of the first record that goes back in time, is of no kind, or names no declared instrument; else -1.

    `declared` is by instrument number; number 0 is what clock records, and only they, have. On the way usable[i] is
    filled: is records[i] a clock record, or has it a usable price?
    """
    time_ns = after_ns
    for index in range(len(records)):
        record = records[index]
        if record.receive_time < time_ns or record.kind > TRADE or (record.kind == CLOCK) != (record.instrument == 0):
            return index
        if record.kind != CLOCK and (record.instrument >= len(declared) or not declared[record.instrument]):
            return index
        usable[index] = record.kind == CLOCK or is_usable(record)
        time_ns = record.receive_time
    return -1


def blocks(first: int, records: Ticks, size: int = MAX_BLOCK_RECORDS) -> Iterator[Block]:
    """Cut records into blocks of at most `size`; ordinals do not depend on the cut."""
    for start in range(0, len(records), size):
        yield Block(first + start, records[start : start + size])


def whole(records: Ticks) -> npt.NDArray[np.void]:
    """The records as opaque 64-byte items, for moving them about: numpy copies field by field otherwise, ten times
    slower."""
    return records.view(_WHOLE)


def concatenate(parts: list[Ticks]) -> Ticks:
    """One array of all parts (none: an empty array)."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([whole(part) for part in parts]).view(TICK) if parts else empty_ticks(0)
