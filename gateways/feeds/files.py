"""Files of market data become tick records and rejects: nothing is dropped silently, and a bad row is never fatal."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain.errors import InvalidInput, Overlap
from domain.instruments import instrument_for
from domain.tape import TRADE, Ticks, concatenate, utc
from gateways.feeds.bars import Price
from gateways.feeds.fields import GOOD
from gateways.feeds.file_set import FeedOptions, FileSet, Reject, SourceFile, write_rejects
from gateways.feeds.formats import format_of
from gateways.feeds.naming import chosen_symbol, symbol_in
from gateways.feeds.pairing import alone, join, without_side
from gateways.feeds.sheet import Format, Request, Sheet
from gateways.feeds.sources import Source, open_source

__all__ = ["FILES_MAX", "FeedOptions", "FileSet", "Reject", "SourceFile", "read_files", "write_rejects"]

FILES_MAX = 4_000  # the tape names a feed's files in one record, and a message holds 1 MiB

_TEXT_MAX = 200
_STRICT_SHOWN = 5
_IDENTITY_VERSION = "files-2"  # to be raised whenever the same files would give other ticks


class _Reading(NamedTuple):
    source: Source
    format: Format
    request: Request
    sheet: Sheet

    @property
    def side(self) -> Price | None:
        return self.format.side(self.source) if self.format.side else None

    @property
    def key(self) -> str:
        """Everything that decides what ticks the file gives: its part of the identity."""
        request, symbol = self.request, self.request.instrument.symbol
        spread = request.spread_nanos if self.format.own_spread else request.spread
        basis = [request.price, spread] if request.price else []
        detail = self.side or self.format.detail(self.source)
        return json.dumps([self.format.name, symbol, request.venue, detail, basis, self.source.sha256])


class _Part(NamedTuple):
    """The ticks of one file, or of a bid file and an ask file together."""

    key: str
    files: list[SourceFile]
    ticks: Ticks
    rejects: list[Reject]

    @property
    def first(self) -> int:
        return int(self.ticks["event_time"][0]) if len(self.ticks) else 0

    @property
    def last(self) -> int:
        return int(self.ticks["event_time"][-1]) if len(self.ticks) else 0


def read_files(
    paths: Sequence[Path], options: FeedOptions, progress: Callable[[str, int, int], None] | None = None
) -> FileSet:
    """Read files of any known format. Before and after each, `progress` gets (name, bytes done, bytes in all).

    Raises InvalidInput (unreadable, empty, too many, no symbol, half a pair, `strict` with rejects), UnknownFormat,
    Overlap.
    """
    if not paths:
        raise InvalidInput("no file was named. Give at least one, for example EURUSD_M1.csv.gz.")
    if len(paths) > FILES_MAX:
        raise InvalidInput(
            f"{len(paths)} files are too many for one feed, which takes at most {FILES_MAX}. Give them in several "
            "calls, the earliest first (`cdb ingest --tape NAME` puts all of them on one tape)."
        )
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    keys: set[str] = set()
    parts: list[_Part] = []
    halves: list[_Reading] = []
    for path, size, done in zip(paths, sizes, accumulate(sizes), strict=True):
        if progress:
            progress(path.name, done - size, sum(sizes))
        reading = _read(path, options)
        if progress:
            progress(path.name, done, sum(sizes))
        if reading.key in keys:
            continue
        keys.add(reading.key)
        if reading.side:
            halves.append(reading)
        else:
            parts.append(_part([reading], reading.sheet.ticks()))
    parts.extend(_joined(halves, options))
    parts.sort(key=lambda part: (part.first, part.key))
    _refuse_overlap(parts)
    rejects = [reject for part in parts for reject in part.rejects]
    if options.strict and rejects:
        raise InvalidInput(_strict_message(rejects))
    symbols = sorted({part.files[0].symbol for part in parts})
    return FileSet(
        symbols=symbols,
        files=[file for part in parts for file in part.files],
        ticks=_merged(parts, symbols),
        rejects=rejects,
        identity=sha256("\n".join([_IDENTITY_VERSION, *sorted(part.key for part in parts)]).encode()).hexdigest(),
    )


def _read(path: Path, options: FeedOptions) -> _Reading:
    source = open_source(path, options.symbol or options.default_symbol)
    known = format_of(source, options.format)
    symbol = chosen_symbol(options.symbol) if options.symbol else symbol_in(source.place, options.default_symbol)
    instrument = instrument_for(symbol)
    price = options.price or known.one_price if known.one_price else None
    venue = (options.venue or known.venue(source)).lower()
    request = Request(instrument, venue, price, options.spread_nanos(instrument))
    sheet = known.read(source, request).judged()
    if not len(sheet.rows.line):
        raise InvalidInput(f"{source.place}: there is no row below the header. Fetch it again, or leave it out.")
    return _Reading(source, known, request, sheet)


def _joined(halves: list[_Reading], options: FeedOptions) -> list[_Part]:
    """Bid files with their ask files; one alone only if --price says which side it is."""
    groups: dict[tuple[str, str, str], list[_Reading]] = {}
    for half in halves:
        name = without_side(half.source) if len(halves) > 2 else ""
        groups.setdefault((half.request.instrument.symbol, half.request.venue, name), []).append(half)
    parts = []
    for group in groups.values():
        match sorted(group, key=lambda half: half.side or "", reverse=True):
            case [bid, ask] if (bid.side, ask.side) == ("bid", "ask"):
                parts.append(_part([bid, ask], join(bid.sheet, ask.sheet)))
            case same if options.price in ("bid", "ask") and all(half.side == options.price for half in same):
                parts.extend(_lone(half, options.price) for half in same)
            case [half]:
                other = "ask" if half.side == "bid" else "bid"
                raise InvalidInput(
                    f"{half.source.name}: holds only {half.side} bars. Give the {other} file with it, "
                    f"or --price {half.side} to put the other side at the instrument's spread."
                )
            case several:
                listed = ", ".join(sorted(half.source.name for half in several))
                raise InvalidInput(
                    f"{listed}: not one bid and one ask file. Pairs need names that differ only in bid/ask."
                )
    return parts


def _lone(half: _Reading, side: Price) -> _Part:
    sheet = alone(half.sheet, side, half.request.spread)
    return _part([half._replace(sheet=sheet, request=half.request._replace(price=side))], sheet.ticks())


def _part(readings: list[_Reading], ticks: Ticks) -> _Part:
    first, last = (int(ticks["event_time"][0]), int(ticks["event_time"][-1])) if len(ticks) else (None, None)
    files, rejects = [], []
    for reading in readings:
        source, (rows, *_) = reading.source, reading.sheet
        bad = np.flatnonzero(rows.code != GOOD)
        for row in bad:
            text = source.text[rows.begin[row] : min(rows.end[row], rows.begin[row] + 4 * _TEXT_MAX)].tobytes()
            shown = text.decode("utf-8", "replace")[:_TEXT_MAX]
            rejects.append(Reject(source.place, int(rows.line[row]), reading.sheet.reason(int(row)), shown))
        files.append(
            SourceFile(
                name=source.name, sha256=source.sha256, format=reading.format.name,
                symbol=reading.request.instrument.symbol, venue=reading.request.venue,
                rows=len(rows.line), rejected=len(bad), first_time_ns=first, last_time_ns=last,
            )
        )  # fmt: skip
    return _Part("\n".join(reading.key for reading in readings), files, ticks, rejects)


def _refuse_overlap(parts: list[_Part]) -> None:
    """Two files of one symbol and venue must not cover the same time; trades may lie beside quotes."""
    latest: dict[tuple[str, str, bool], _Part] = {}
    for part in parts:
        if not len(part.ticks):
            continue
        file = part.files[0]
        key = file.symbol, file.venue, bool((part.ticks["kind"] == TRADE).all())
        earlier = latest.get(key)
        if earlier is not None and part.first < earlier.last:
            raise Overlap(
                f"{earlier.files[0].name} and {file.name} both cover {utc(part.first)} to "
                f"{utc(min(part.last, earlier.last))} of {file.symbol} on {file.venue}. Leave one of them out."
            )
        latest[key] = part


def _merged(parts: list[_Part], symbols: list[str]) -> Ticks:
    """All ticks by (event time, venue, symbol, row). Parts come sorted by their first time."""
    for part in parts:
        part.ticks["instrument"] = 1 + symbols.index(part.files[0].symbol)
    filled = [part for part in parts if len(part.ticks)]
    if all(earlier.last < later.first for earlier, later in pairwise(filled)):
        return concatenate([part.ticks for part in filled])
    # Each part is in time already, so a stable sort by time alone keeps venue, symbol and row for equal times.
    by_venue = sorted(filled, key=lambda part: (part.files[0].venue, part.files[0].symbol))
    ticks = concatenate([part.ticks for part in by_venue])
    return ticks[np.argsort(ticks["event_time"], kind="stable")]


def _strict_message(rejects: list[Reject]) -> str:
    shown = "; ".join(f"{one.file} line {one.line}: {one.reason}" for one in rejects[:_STRICT_SHOWN])
    return f"{len(rejects)} rows are not acceptable ({shown}). Mend the file, or leave --strict out."
