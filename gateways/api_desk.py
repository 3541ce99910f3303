"""What the HTTP API and the dashboard ask of a desk. ops/api.py implements it; tests have one in memory."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, Protocol, get_args

from domain.access import MAY_DECIDE, MAY_STOP, Role
from projections.answers import Answer
from projections.as_of import AsOf
from projections.queries import Page, Queries

Timeframe = Literal["M1", "M5", "M15", "M30", "H1", "H4", "D1"]

TIMEFRAMES: tuple[Timeframe, ...] = get_args(Timeframe)
BARS_MAX = 1_000
EVENTS_SCANNED = 20_000  # for one page

ASKER: ContextVar[str] = ContextVar("asker", default="")  # the name of the token that asks: turns go round by it


class Moment(NamedTuple):
    """A moment that the read models have reached, as a place and as its token. Times are UTC ns; None: no fact yet.

    `newest`: it was asked for as "now", so a later question may get another one.
    """

    at: AsOf
    token: str
    market_time_ns: int | None
    recorded_at_ns: int | None
    newest: bool


class Principal(NamedTuple):
    """Who asks: the name of a token, and its role."""

    name: str
    role: Role

    @property
    def may_stop(self) -> bool:
        """Every role but an observer's may halt the desk; nobody may resume it from here."""
        return self.role in MAY_STOP

    @property
    def may_decide(self) -> bool:
        """A person's roles may hand in what a key has signed; an agent's and an observer's may not."""
        return self.role in MAY_DECIDE


class Change(NamedTuple):
    """A ledger event that the read models show by now. `number` is its place, where a stream goes on."""

    number: int
    row: Answer


class Wanted(NamedTuple):
    """Which ledger events: of these types (none: all), of the chain that begins at event number `correlation`, of a
    symbol, between two market times (the end is not included); of an actor: what was answered to his instructions."""

    types: Sequence[str] = ()
    correlation: int | None = None
    symbol: str | None = None
    actor: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None


class ApiDesk(Protocol):
    """One desk. Every method may raise Unavailable, and InvalidInput for a value that cannot be meant."""

    name: str
    queries: Queries

    async def moment(
        self, as_of: str | None = None, market_time_ns: int | None = None, recorded_time_ns: int | None = None
    ) -> Moment:
        """The moment of a token or of a time, without any the newest that the read models hold.

        One that the log has and the read models do not is waited for, a second at the most. Raises Unavailable saying
        how far they are, InvalidInput for two answers to "when", for no moment, and for one that lies ahead of the log.
        """

    def stale_ms(self, moment: Moment) -> int:
        """By how much the answer about a moment is behind the log, in recorded time: from the newest fact that every
        read model holds to the newest that the log has, of the source (tape, ledger, ops, governance) that is furthest
        behind. 0 when they hold all of it, and for a moment that was asked for by name: of that one nothing can be
        missing."""

    async def why(self, id: str, at: AsOf) -> Answer | None:  # noqa: A002  what a person calls it
        """The tree that an event (`main:12`, `12`) or a place on the tape (`tape:12`) stands in, as ops/ledger_queries
        has it, up to the moment. None: there is no such id at that moment."""

    async def events(self, wanted: Wanted, at: AsOf, *, before: int | None = None, limit: int = 50) -> Page:
        """Ledger events as rows (ops/ledger_rows.event_row), newest first. A page is looked for in EVENTS_SCANNED
        events, and in `limit` that may be wanted by what their lines say: it may hold fewer, and `before` goes on."""

    async def bars(
        self, symbol: str, timeframe: Timeframe, at: AsOf, *, end_ns: int | None = None, count: int = 300
    ) -> list[Answer]:
        """The last bars that begin before `end_ns` (None: up to the moment), oldest first: {time, open, high, low,
        close, ticks, closed}. Prices are decimal strings of the mid; a bar without a tick does not exist, the one under
        way has `closed` false. They begin at most `count` timeframes before the end."""

    def changes(self, after: int | None = None) -> AsyncGenerator[list[Change], None]:
        """Ledger events behind a number (None: behind the newest), oldest first, for ever: each as soon as every read
        model shows it, and never before. Behind a number that is not there yet it waits."""

    async def halt(self, by: Principal, reason: str, *, flatten: bool) -> Answer:
        """Stop trading now, as `cdb stop` does. {instruction_id, tape, ledger, applied, reason}, or, where no sequencer
        answers, {latched, reason}: the halt is then the tape's next record. Never InvalidInput."""

    async def govern(self, by: Principal, command: Literal["ask", "decide"], content: Mapping[str, Any]) -> Answer:
        """What governance answers (gateways/governing.py) to a person at the dashboard. What a verdict does is its
        signature's, not the token's. Raises Refused, recorded, where the token's role may not decide; Unavailable where
        no governance service runs."""

    async def lag(self) -> list[Answer]:
        """Per read model and source: {model, source, position, end, behind, market_time, recorded_at}."""

    async def principal(self, token: str) -> Principal | None:
        """Whose token this is. None: nobody's, a revoked or an expired one."""

    async def health(self) -> list[Answer]:
        """What the services of the desk answer: {service, port, state, reason, what_to_do}."""
