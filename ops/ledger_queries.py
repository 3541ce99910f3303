"""What a desk's ledger answers: an event back to its tick and forward to its result, and the events one by one.

An id is a number of the ledger, `123` or `main:123`, or a place on the tape, `tape:123`. Nothing is written.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, TapeBroken
from domain.events import FillBooked, LedgerEvent, LimitBreached, OrderMoved, OrderPlaced
from domain.instruments import canonical_symbol
from domain.ports import Log, Recorded
from domain.tape import position
from gateways.asked_moment import NOW, Asked
from ops.composition import open_log
from ops.desk_status import state_of, status
from ops.ledger_chain import Chain, trade_row, tree
from ops.ledger_reader import FIRST_WINDOW, LedgerReader
from ops.ledger_rows import EVENT_TYPES, event_row, on_tape
from ops.settings import Settings
from ops.tape_lookup import account_currency, must_stand, row_at
from projections.difference import difference

MOMENT = ("as_of", "market_time", "recorded_time", "tape_end", "ledger_end")  # of a state: which one it is
HELD = ("engine", "policy", "strategies", "halted", "halt", "account", "positions", "orders")  # what may change

SHOWN = 50  # events of a listing that says neither where to begin nor how many

_ID = re.compile(r"(?:([a-z0-9][a-z0-9_-]{0,31}):)?([1-9][0-9]{0,17})")
_BOOKED = b'"type":"fill_booked"'


class LedgerQueries:
    """`why`, `events` and `status` of a desk. Implements gateways.cli_ledger.LedgerOperations."""

    _settings: Settings

    async def why(self, id: str) -> Mapping[str, Any]:  # noqa: A002  what a person calls it
        """The tree that an id stands in. Raises InvalidInput for one that does not exist."""
        async with open_log(self._settings) as log:
            return await why(log, self._settings.desk, id)

    async def events(
        self,
        *,
        types: Sequence[str] = (),
        start_ns: int | None = None,
        end_ns: int | None = None,
        after: int | None = None,
        last: int | None = None,
        correlation: str | None = None,
        symbol: str | None = None,
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Rows of the ledger, see Wanted."""
        desk = self._settings.desk
        wanted = Wanted.of(desk, types, start_ns, end_ns, after, last, correlation, symbol)
        async with open_log(self._settings) as log, aclosing(events(log, desk, wanted)) as rows:
            async for row in rows:
                yield row

    async def status(self, asked: Asked = NOW) -> Mapping[str, Any]:
        """The desk at a moment, see ops.desk_status."""
        return await status(self._settings, asked)

    async def difference(self, before: Asked, after: Asked) -> Mapping[str, Any]:
        """What the engine held otherwise at one moment than at another."""
        desk = self._settings.desk
        async with open_log(self._settings) as log:
            was, became = [await state_of(log, desk, asked) for asked in (before, after)]
        changes = difference(_held(was), _held(became))
        return {
            "desk": desk,
            "mode": "paper",
            "from": {name: was[name] for name in MOMENT},
            "to": {name: became[name] for name in MOMENT},
            "changes": [change._asdict() | {"path": list(change.path)} for change in changes],
        }


def _held(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in HELD}


# -- ids -----------------------------------------------------------------------------------------------------------


class Id(NamedTuple):
    """What a person asked for: `number` of the ledger, or an ordinal of the tape."""

    on_tape: bool
    number: int


def parse_id(text: str, desk: str) -> Id:
    """Raises InvalidInput for what is no id, or one of another desk."""
    match = _ID.fullmatch(text.strip())
    if not match:
        raise InvalidInput(f"{text[:40]!r} is no id; {_what_ids_look_like(desk)}")
    if match[1] not in (None, "tape", desk):
        raise InvalidInput(f"{text!r} is an event of desk {match[1]}, this is desk {desk}; give --desk {match[1]}")
    return Id(match[1] == "tape", int(match[2]))


def _what_ids_look_like(desk: str) -> str:
    return f"an event is 123 or {desk}:123, a place on the tape is tape:123; `cdb events` lists events"


# -- why -----------------------------------------------------------------------------------------------------------


async def why(log: Log, desk: str, text: str) -> dict[str, Any]:
    """The tree of an event's chain from the tape record on, with the trades it opened; of a place on the tape, what was
    decided there.

    `tree` is the record, nested by `children`; `trades` the results; `working` the chain's orders that may still fill;
    `beside` what else was decided at the record of an instruction or a breach (orders that a halt cancelled);
    `lost_before` is set when the chain began before the oldest event that the ledger still has.
    """
    wanted, reader, tape = parse_id(text, desk), LedgerReader(log, desk), StoredTape(log, desk)
    await must_stand(log, tape)
    end = await reader.end()
    answer = {"desk": desk, "ledger_end": position(desk, end) if end else None}
    answer["currency"] = await account_currency(tape)
    if wanted.on_tape:
        return answer | await decided_at(reader, tape, wanted.number)
    asked = await reader.at(wanted.number) if wanted.number <= end else None
    if asked is None:
        first = await reader.first()
        if first <= wanted.number <= end:
            raise TapeBroken(
                f"event {position(desk, wanted.number)} was durable and is gone; run `cdb verify`, and restore the "
                "store from a backup"
            )
        holds = f"holds {position(desk, first)} to {position(desk, end)}" if end else "is empty"
        raise InvalidInput(
            f"there is no event {position(desk, wanted.number)}: the ledger of desk {desk} {holds}; "
            f"{_what_ids_look_like(desk)}"
        )
    return answer | await chain_of(reader, tape, asked, end)


async def chain_of(reader: LedgerReader, tape: StoredTape, asked: LedgerEvent, end: int) -> dict[str, Any]:
    desk, first = reader.desk, await reader.first()
    chain, beside = await _follow(reader, asked.correlation, max(first, asked.correlation), end)
    root = next(iter(chain.events.values()))
    record = await row_at(tape, root.ordinal)
    together = record["type"] == "instruction" or isinstance(root, LimitBreached)
    asked_id = position(desk, asked.number)
    return {
        "asked": asked_id,
        "correlation": position(desk, asked.correlation),
        "tree": tree(record, chain.events.values(), desk, asked_id, {}),
        "beside": [event_row(event, desk) for event in beside] if together else [],
        "trades": [trade_row(trade, desk, await _closing(reader, chain, trade.closed)) for trade in chain.trades],
        "working": [position(desk, order) for order in sorted(chain.working)],
        "lost_before": position(desk, first) if asked.correlation < first else None,
    }


async def _follow(reader: LedgerReader, correlation: int, start: int, end: int) -> tuple[Chain, list[LedgerEvent]]:
    """The chain, read from `start` until nothing can belong to it any more, and others' events at its first record."""
    chain, beside, needle = Chain(correlation), list[LedgerEvent](), f'"correlation":{correlation},'.encode()
    first, last, at_first = 0, 0, True  # ordinals of the chain so far, and whether the ledger is still at its first
    async with aclosing(reader.between(start - 1, end)) as pages:
        async for page in pages:
            for line in page:
                if needle in line.line:
                    event = reader.event(line)
                    chain.take(event)
                    first, last = first or event.ordinal, event.ordinal
                elif chain.open and _BOOKED in line.line:
                    booking = reader.event(line)
                    assert isinstance(booking, FillBooked)
                    chain.take_of_others(booking)
                elif chain.events and (at_first or chain.settled):
                    event = reader.event(line)
                    at_first = event.ordinal == first
                    if at_first:
                        beside.append(event)
                    if chain.settled and event.ordinal > last:
                        return chain, beside
    return chain, beside


async def _closing(reader: LedgerReader, chain: Chain, booking: FillBooked | None) -> LedgerEvent | None:
    """The fill that a closing booking was made for."""
    if booking is None or booking.causation is None:
        return None
    return chain.events.get(booking.causation) or await reader.at(booking.causation)


async def decided_at(reader: LedgerReader, tape: StoredTape, ordinal: int) -> dict[str, Any]:
    end = (await tape.end()).ordinal
    if ordinal > end:
        raise InvalidInput(
            f"there is no record {on_tape(ordinal)}: the tape of desk {tape.name} ends at {on_tape(end)}; "
            f"{_what_ids_look_like(tape.name)}"
        )
    before = await reader.before(lambda event: event.ordinal >= ordinal)
    until = await reader.before(lambda event: event.ordinal > ordinal)
    async with aclosing(reader.between(before, until)) as pages:
        decided = [reader.event(line) async for page in pages for line in page]
    causes = {event.causation for event in decided if event.causation and event.causation <= before}
    found = [cause for number in sorted(causes) if (cause := await reader.at(number))]
    times = {cause.number: cause.occurred_at_ns for cause in found}
    return {
        "asked": on_tape(ordinal),
        "correlation": None,
        "tree": tree(await row_at(tape, ordinal), decided, reader.desk, on_tape(ordinal), times),
        "beside": [],
        "trades": [],
        "working": [],
        "lost_before": None,
    }


# -- events --------------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """Which events: of these types (none: all), from `start_ns` to before `end_ns` of market time, behind number
    `after`, of one correlation, of one symbol; of those the newest `last` (None: all)."""

    types: frozenset[str] = frozenset()
    start_ns: int | None = None
    end_ns: int | None = None
    after: int = 0
    last: int | None = SHOWN
    correlation: int | None = None
    symbol: str | None = None

    @classmethod
    def of(
        cls,
        desk: str,
        types: Sequence[str],
        start_ns: int | None,
        end_ns: int | None,
        after: int | None,
        last: int | None,
        correlation: str | None,
        symbol: str | None,
    ) -> "Wanted":
        """From what a person says. Without `last` it is all when something says where to begin, else SHOWN.

        Raises InvalidInput naming what is wrong.
        """
        for name in types:
            if name not in EVENT_TYPES:
                raise InvalidInput(f"there is no event type {name[:60]!r}; there are {', '.join(EVENT_TYPES)}")
        for option, value, least in (("after", after, 0), ("last", last, 1)):
            if value is not None and value < least:
                raise InvalidInput(f"{option} {value} is too small; give a number from {least} on")
        chain = parse_id(correlation, desk) if correlation else None
        if chain and chain.on_tape:
            raise InvalidInput(f"correlation {correlation!r} is a place on the tape; `cdb why {correlation}` shows it")
        begins = start_ns is not None or after is not None or chain is not None
        return cls(
            frozenset(types),
            start_ns,
            end_ns,
            after or 0,
            last or (None if begins else SHOWN),
            chain.number if chain else None,
            canonical_symbol(symbol) if symbol else None,
        )

    def may_match(self, line: bytes) -> bool:
        """Can the event in this line be one? Read from its bytes; a move does not say its symbol."""
        if self.correlation and f'"correlation":{self.correlation},'.encode() not in line:
            return False
        if self.types and not any(f'"type":"{name}"'.encode() in line for name in self.types):
            return False
        return not self.symbol or f'"symbol":"{self.symbol}"'.encode() in line or b'"type":"order_moved"' in line


async def events(log: Log, desk: str, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None]:
    """The wanted events as rows, oldest first; with `last` only the ledger's end is read."""
    reader = LedgerReader(log, desk)
    await must_stand(log, StoredTape(log, desk))
    after, until = await _bounds(reader, wanted)
    symbols = OrderSymbols(reader)
    if wanted.last is None:
        async with aclosing(reader.between(after, until)) as pages:
            async for page in pages:
                for line in page:
                    if wanted.may_match(line.line) and (row := await symbols.row(line, wanted.symbol)):
                        yield row
        return
    rows: list[dict[str, Any]] = []
    everything = not (wanted.types or wanted.symbol or wanted.correlation)
    window = wanted.last if everything else max(wanted.last, FIRST_WINDOW)
    while len(rows) < wanted.last and until > after:
        lines = await reader.newest(after, until, wanted.last, wanted.may_match, window)
        found = [row for line in lines if (row := await symbols.row(line, wanted.symbol))]
        rows = found[-(wanted.last - len(rows)) :] + rows
        until = lines[0].number - 1 if len(lines) == wanted.last else after
    for row in rows:
        yield row


async def _bounds(reader: LedgerReader, wanted: Wanted) -> tuple[int, int]:
    """Numbers after which, and up to which, wanted events can stand."""
    after, until = max(wanted.after, await reader.first() - 1), await reader.end()
    if wanted.correlation:
        after = max(after, wanted.correlation - 1)
    if (start_ns := wanted.start_ns) is not None:
        after = max(after, await reader.before(lambda event: event.occurred_at_ns >= start_ns))
    if (end_ns := wanted.end_ns) is not None:
        until = await reader.before(lambda event: event.occurred_at_ns >= end_ns)
    return after, until


class OrderSymbols:
    """Rows in which a move has the symbol of its order."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._known: dict[int, str] = {}

    async def row(self, line: Recorded, symbol: str | None) -> dict[str, Any] | None:
        """The row of an event; None when it is of another symbol."""
        event = self._reader.event(line)
        row = event_row(event, self._reader.desk)
        if isinstance(event, OrderPlaced):
            self._known[event.number] = event.symbol
        elif isinstance(event, OrderMoved):
            if event.order not in self._known:
                order = await self._reader.at(event.order)
                self._known[event.order] = order.symbol if isinstance(order, OrderPlaced) else ""
            row["symbol"] = self._known[event.order] or None
        return row if symbol in (None, row.get("symbol")) else None
