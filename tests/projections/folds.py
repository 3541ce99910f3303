"""Read models folded in memory: given facts, then rows. And example events: one day of a desk, worked out by hand.

- `rows(MODEL, "orders", ledger(*DAY))`: what the table says at the end, by key and column; `at=7`: at position 7.
- `versions(MODEL, "orders", ledger(*DAY), cuts=[7])`: every version, with a restart behind position 7.
- `check(MODEL, ledger(*DAY))`: what every model owes, whatever it says.
- `DAY`, `golden("ledger")`, `golden("tape")`, `event("order_filled", 9, ...)`: what to fold.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from domain.book import Records
from domain.engine import Engine
from domain.events import LedgerEvent
from domain.instructions import Instructed, Instruction
from domain.ports import END, Checkpoint, Fact, Key, Source, Table, Version
from projections.catalogue import schema
from projections.projection import Fold, Folding, ReadModel
from tests import canonical, canonical_governance
from tests.canonical import EVENTS, MINUTE_NS, MONDAY

RECORDED = MONDAY + 10**12

Row = dict[str, Any]


def nanos(value: str | int) -> int:
    """`nanos("1.0849")`: 1_084_900_000."""
    return int(Decimal(value) * 10**9)


# -- facts -------------------------------------------------------------------------------------------------------------


def event(example: str, number: int, /, **fields: Any) -> Any:
    """The canonical event of a type with other fields: four seconds a number, without cause, a chain of its own."""
    shape = EVENTS[example]
    place = {"number": number, "ordinal": 100 + number, "causation": None, "correlation": number}
    when = {"occurred_at_ns": MONDAY + 4 * number * canonical.SECOND_NS}
    return type(shape).model_validate(shape.model_dump() | place | when | fields)


def ledger(*events: LedgerEvent) -> list[Fact]:
    """Events as facts of the ledger, each at its number."""
    return [Fact(event.number, RECORDED + event.number, event) for event in events]


def tape(*instructions: Instruction) -> list[Fact]:
    """Instructions as facts of the tape, at the ordinals 1, 2, 3."""
    return [Fact(ordinal, RECORDED + ordinal, told) for ordinal, told in enumerate(instructions, 1)]


def governed(messages: Sequence[Sequence[Any]] = canonical_governance.MESSAGES) -> list[Fact]:
    """Messages as facts of governance, at the sequences 1, 2, 3; the events of one share its sequence."""
    return [Fact(place, RECORDED + place, event) for place, told in enumerate(messages, 1) for event in told]


@cache
def golden(source: Source) -> tuple[Fact, ...]:
    """The golden script: its tape's instructions, and the ledger that the engine makes of it."""
    if source == "ledger":
        return tuple(ledger(*(event for moment in golden_moments() for event in moment.events)))
    told = (m for m in canonical.messages(canonical.golden_script()) if isinstance(m, Instructed))
    return tuple(Fact(m.ordinal, RECORDED + m.ordinal, m.instruction) for m in told)


class Moment(NamedTuple):
    """The engine's own book behind a message of the golden script, and what that message made it decide."""

    number: int
    events: list[LedgerEvent]
    desk: Records
    account: Records
    positions: Records
    orders: Records


@cache
def golden_moments() -> tuple[Moment, ...]:
    """The book as the engine kept it, every 60 records and at every instruction: what a read model must come to."""
    engine, moments = Engine(), []
    script = canonical.golden_script()
    for message in canonical.messages(script, range(60, canonical.length(script), 60)):
        events = engine.fold(message)
        book = engine.desk.book
        working = book.orders[: book.desk[0]["orders"]]
        kept = (book.desk[0], book.account[0], book.positions, working)
        moments.append(Moment(engine.number, events, *(records.copy() for records in kept)))
    return tuple(moments)


# -- folding -----------------------------------------------------------------------------------------------------------


def versions(
    model: ReadModel, table: str, facts: Sequence[Fact], cuts: Collection[int] = ()
) -> list[tuple[Key, int, int, Row]]:
    """The versions of a table as the store would hold them: key, since, until, columns; sorted by since and key. At
    every cut the fold stops behind that position, and another one goes on from its checkpoint."""
    columns = _table(model, table).columns
    held = _held(_fold_of(model, table), facts, cuts)[table]
    return sorted(
        ((v.key, v.since, v.until, dict(zip(columns, v.values, strict=True))) for v in held),
        key=lambda version: (version[1], version[0]),
    )


def rows(model: ReadModel, table: str, facts: Sequence[Fact], at: int = END - 1) -> dict[Key, Row]:
    """What a table says at a position (at the end unless given), by key."""
    return {key: row for key, since, until, row in versions(model, table, facts) if since <= at < until}


def row(model: ReadModel, table: str, facts: Sequence[Fact], *key: Any, at: int = END - 1) -> Row:
    """One row."""
    return rows(model, table, facts, at)[key]


def _table(model: ReadModel, name: str) -> Table:
    return next(table for table in model.tables if table.name == name)


def _fold_of(model: ReadModel, table: str) -> Fold:
    return next(fold for fold in model.folds if table in {owned.name for owned in fold.tables})


def _held(fold: Fold, facts: Sequence[Fact], cuts: Collection[int]) -> dict[str, list[Version]]:
    held: dict[str, list[Version]] = {table.name: [] for table in fold.tables}
    folding = Folding(fold)
    for start, stop in pairwise([-1, *sorted(cuts), END]):
        folding.take([fact for fact in facts if start < fact.position <= stop], stop)
        for table, made, replaced in folding.made():
            stood = (
                version._replace(until=replaced[version.key])
                if version.until == END and version.key in replaced
                else version
                for version in held[table.name]
            )
            held[table.name] = [*stood, *made]
        folding = Folding.resumed(fold, Checkpoint(stop, folding.remembered()))
    return held


# -- what every model owes ---------------------------------------------------------------------------------------------

_FITS: dict[str, Callable[[Any], bool]] = {
    "bigint": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "numeric": lambda value: type(value) is int,
    "text": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "double precision": lambda value: type(value) is float,
    "jsonb": lambda value: type(value) is str,
    "text[]": lambda value: isinstance(value, tuple | list) and all(type(item) is str for item in value),
}


def check(model: ReadModel, facts: Sequence[Fact], source: Source = "ledger") -> None:
    """Tables and SQL agree, every value fits its column, a restart anywhere changes nothing, versions never overlap."""
    columns = _sql_columns(schema(model))
    for fold in (fold for fold in model.folds if fold.source == source):
        whole = _held(fold, facts, ())
        positions = [fact.position for fact in facts]
        for cuts in [positions, *([position] for position in positions)]:
            cut = _held(fold, facts, cuts)
            for table in fold.tables:
                assert sorted(cut[table.name]) == sorted(whole[table.name]), (model.name, table.name, cuts)
        for table in fold.tables:
            _check_table(table, columns[table.name], whole[table.name])


def _check_table(table: Table, columns: dict[str, tuple[str, bool]], held: Iterable[Version]) -> None:
    names = [*table.key, *table.columns, "since", "until"]
    assert names == list(columns), f"{table.name}: its SQL has other columns"
    assert {name: columns[name] for name in table.key} == {name: (kind, True) for name, kind in table.key.items()}
    ends: dict[Key, int] = {}
    for version in sorted(held, key=lambda version: version.since):
        assert ends.get(version.key, 0) <= version.since < version.until, (table.name, version)
        ends[version.key] = version.until
        for name, value in zip(names, (*version.key, *version.values, version.since, version.until), strict=True):
            kind, needed = columns[name]
            assert _FITS[kind](value) if value is not None else not needed, (table.name, name, value)


def _sql_columns(sql: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """By table and column: its type, and whether it must not be NULL."""
    lines = re.sub(r"--.*", "", sql)
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", lines, re.DOTALL)
    column = re.compile(rf"^\s+(\w+)\s+({'|'.join(map(re.escape, _FITS))})(\s+NOT NULL)?\s*,", re.MULTILINE)
    return {name: {c: (kind, bool(needed)) for c, kind, needed in column.findall(body)} for name, body in tables}


# -- one day -----------------------------------------------------------------------------------------------------------

_SIGNAL = {"symbol": "EURUSD", "side": "sell", "correlation": 4}
_ENTRY = {"order": 6, "quantity_nanos": nanos(30_000), "price_nanos": nanos("1.08495"), "fee_ppm": 30}
_REST = {"execution": 2, "quantity_nanos": nanos(20_000), "price_nanos": nanos("1.08494")}
_STOP = {"side": "buy", "order_type": "stop", "purpose": "stop", "trigger_nanos": nanos("1.08515")}
_TARGET = {"side": "buy", "order_type": "limit", "purpose": "target", "limit_nanos": nanos("1.08445")}
_EXIT = {"correlation": 4, "quantity_nanos": nanos(30_000), "stop_nanos": 0, "target_nanos": 0, "oco": 9}
_FAILED = [
    {"rule": "not_halted", "value": 0, "limit": 0, "passed": True, "says": "trading is not halted"},
    {"rule": "session", "value": 0, "limit": 1, "passed": False, "says": "no session is open"},
    {"rule": "positions", "value": 3, "limit": 2, "passed": False, "says": "3 of 2"},
]


def _applied(number: int, kind: str) -> Any:
    return event("instruction_applied", number, instruction_id=f"{kind}-{number}", kind=kind)


def _booked(number: int, fill: int, **fields: Any) -> Any:
    return event("fill_booked", number, causation=fill, correlation=4, **{n: nanos(v) for n, v in fields.items()})


# A sale of 50,000 EURUSD in two executions with stop and target, won at the target; an order that was asked for and
# cancelled; a signal refused by two rules; a halt and its end; midnight; a breach. An account of 100,000 USD.
DAY: tuple[Any, ...] = (
    _applied(1, "account_opened"),
    _applied(2, "policy_activated"),
    _applied(3, "strategy_activated"),
    event("signal_raised", 4, **_SIGNAL),
    event("signal_assessed", 5, causation=4, **_SIGNAL),
    event("order_placed", 6, causation=5, **_SIGNAL),
    event("order_filled", 7, causation=6, **_SIGNAL | _ENTRY, execution=1, filled_nanos=nanos(30_000),
          leaves_nanos=nanos(20_000), state="partially_filled", bid_nanos=nanos("1.08495"), level=0),
    _booked(8, 7, position_nanos=-30_000, cost_nanos="-32548.5", fee_nanos="0.976455", balance_nanos="99999.023545",
            floating_nanos="-1.8", equity_nanos="99997.223545", margin_nanos="1084.95"),
    event("order_placed", 9, causation=7, **_EXIT | _STOP),
    event("order_placed", 10, causation=7, **_EXIT | _TARGET),
    event("order_filled", 11, causation=6, **_SIGNAL | _ENTRY | _REST, filled_nanos=nanos(50_000)),
    _booked(12, 11, position_nanos=-50_000, cost_nanos="-54247.3", fee_nanos="0.650964",
            balance_nanos="99998.372581", floating_nanos="-2.7", equity_nanos="99995.672581",
            margin_nanos="1808.243333333"),
    event("order_moved", 13, causation=9, correlation=4, order=9, state="amended",
          reason="an exit covers its whole position"),
    event("order_moved", 14, causation=10, correlation=4, order=10, state="amended",
          reason="an exit covers its whole position"),
    event("account_marked", 15, balance_nanos=nanos("99998.372581"),
          floating_nanos=nanos("-3.2"), equity_nanos=nanos("99995.172581"), equity_low_nanos=nanos("99990"),
          equity_high_nanos=nanos(100_000), margin_nanos=nanos("1808.25"), daily_room_nanos=nanos("4995.172581"),
          total_room_nanos=nanos("9995.172581")),
    event("order_filled", 16, causation=10, correlation=4, order=10, execution=1, side="buy", purpose="target",
          price_nanos=nanos("1.08445"), quantity_nanos=nanos(50_000), liquidity="maker", fee_ppm=10, slippage_nanos=0),
    event("fill_booked", 17, causation=16, correlation=4, position_nanos=0, cost_nanos=0,
          realised_quote_nanos=nanos("24.8"), realised_nanos=nanos("24.8"), fee_nanos=nanos("0.542225"),
          balance_nanos=nanos("100022.630356"), floating_nanos=0, equity_nanos=nanos("100022.630356"),
          margin_nanos=0, closed=True, trade_nanos=nanos("22.630356")),
    event("order_moved", 18, causation=9, correlation=4, order=9),
    _applied(19, "order_requested"),
    event("signal_assessed", 20, causation=19, correlation=19, side="buy", quantity_nanos=nanos(10_000),
          stop_nanos=0, target_nanos=0, size_ppm=1_000_000, risk_nanos=0),
    event("order_placed", 21, causation=20, correlation=19, side="buy", order_type="limit", purpose="request",
          quantity_nanos=nanos(10_000), limit_nanos=nanos("1.08"), stop_nanos=0, target_nanos=0,
          time_in_force="day"),
    _applied(22, "cancel_requested"),
    event("order_moved", 23, causation=21, correlation=19, order=21, reason="it was asked for",
          quantity_nanos=nanos(10_000)),
    event("signal_raised", 24, side="buy", bar_time_ns=MONDAY + MINUTE_NS),
    event("signal_assessed", 25, causation=24, correlation=24, side="buy", verdict="refused", quantity_nanos=0,
          rules=_FAILED),
    _applied(26, "trading_halted"),
    event("instruction_refused", 27, instruction_id="activate-27", kind="strategy_activated",
          reason="strategy ema_cross: no instrument 'XAUUSD' is declared on this tape"),
    _applied(28, "trading_resumed"),
    event("day_rolled", 29, balance_nanos=nanos("100022.630356"), equity_nanos=nanos("100022.630356"),
          daily_limit_nanos=nanos("95022.630356"), total_limit_nanos=nanos(90_000), trading_days=1,
          best_day_nanos=nanos("22.630356")),
    event("limit_breached", 30, value_nanos=nanos("95022.630355"), limit_nanos=nanos("95022.630356")),
)  # fmt: skip
