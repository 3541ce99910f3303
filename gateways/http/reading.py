"""What may be read: every address below /api/v1 that tells of a moment of the desk."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from domain.errors import DeskError
from domain.tape import utc
from gateways.api_desk import EVENTS_SCANNED, Moment, Wanted
from gateways.http import asked, events
from gateways.http.answers import CACHE, Answers
from gateways.http.asked import event_number, nanos
from gateways.http.documented import about, document_answer, stream_answer
from gateways.http.guard import TOKEN
from gateways.http.problems import Problem, found, of_desk
from projections.difference import difference
from projections.queries import Page

Id = Annotated[str, Path(max_length=60, examples=["main:12"])]
Document = Literal["AKTUELLER_STAND.md", "DECISION_LOG.md", "AGENTS.md"]


def desk_routes(answers: Answers) -> APIRouter:
    """The desk as it stands: status, account, positions, metrics, documents, and what lies between two moments."""
    router, queries = APIRouter(tags=["desk"]), answers.desk.queries

    @router.get("/status", responses=about("status"))
    async def status(request: Request, at: Annotated[asked.At, Query()]) -> Response:
        """What an operator asks first: state, account, limits, what is open, what blocks the desk."""
        return await answers.about(request, at, lambda moment: queries.status(moment.at))

    @router.get("/account", responses=about("account"))
    async def account(request: Request, at: Annotated[asked.At, Query()]) -> Response:
        """Balance, equity and objectives; `data` is null before an account was opened."""
        return await answers.about(request, at, lambda moment: queries.account(moment.at))

    @router.get("/positions", responses=about("positions"))
    async def positions(request: Request, at: Annotated[asked.Positions, Query()]) -> Response:
        """What is held of every symbol. `floating` is null while several are open: the ledger marks them as a whole."""
        return await answers.about(request, at, lambda moment: queries.positions(moment.at, at.flat))

    @router.get("/metrics", responses=about("metrics"))
    async def metrics(request: Request, at: Annotated[asked.At, Query()]) -> Response:
        """What trading made: overall, and by strategy version."""
        return await answers.about(request, at, lambda moment: queries.metrics(moment.at))

    @router.get("/equity", responses=about("equity"))
    async def equity(request: Request, at: Annotated[asked.Equity, Query()]) -> Response:
        """The curve, oldest first; neighbours that became one point keep their extremes."""
        start, end = nanos(at.start), nanos(at.end)
        last = None if end is None else end - 1

        async def curve(moment: Moment) -> Any:
            return await queries.equity(moment.at, start_ns=start, end_ns=last, points=at.points)

        return await answers.about(request, at, curve)

    @router.get("/verdicts", responses=about("verdicts"))
    async def verdicts(request: Request, at: Annotated[asked.At, Query()]) -> Response:
        """By policy: verdicts approved and refused, and how often each rule refused."""
        return await answers.about(request, at, lambda moment: queries.verdict_counts(moment.at))

    @router.get("/documents/{name}", responses=document_answer())
    async def document(
        request: Request, name: Annotated[Document, Path()], at: Annotated[asked.Document, Query()]
    ) -> Response:
        """A document as of a moment, in German: the same bytes for the same moment."""

        async def text(moment: Moment) -> str:
            times = moment.market_time_ns, moment.recorded_at_ns
            return await queries.document(name.removesuffix(".md"), moment.at, *times)

        async def wrapped(moment: Moment) -> Any:
            return {"name": name, "media_type": "text/markdown", "text": await text(moment)}

        if at.format == "markdown":
            moment = await answers.moment(at.as_of, at.market_time, at.recorded_time)
            headers = {"cache-control": CACHE, "x-content-type-options": "nosniff"}
            return Response(await text(moment), media_type="text/markdown", headers=headers)
        return await answers.about(request, at, wrapped)

    @router.get("/diff", responses=about("diff"))
    async def diff(request: Request, at: Annotated[asked.Diff, Query()]) -> Response:
        """What of the status differs between two moments: the path of every value, what it was, what it is."""
        if (at.from_as_of, at.from_market_time, at.from_recorded_time) == (None, None, None):
            raise Problem(
                422, "from is missing", "give from, from_market_time or from_recorded_time: a moment to compare with",
                field="from",
            )  # fmt: skip
        before = await answers.moment(at.from_as_of, at.from_market_time, at.from_recorded_time, "from")
        after = await answers.moment(at.to_as_of, at.to_market_time, at.to_recorded_time, "to")

        async def changes(moment: Moment) -> Any:
            was, became = await queries.status(before.at), await queries.status(moment.at)
            return {
                "from": _place(before),
                "to": _place(moment),
                "changes": [change._asdict() for change in difference(was, became)],
            }

        return await answers.of(request, after, changes, also=before.token)

    return router


def _place(moment: Moment) -> dict[str, str | None]:
    times = {"market_time": moment.market_time_ns, "recorded_time": moment.recorded_at_ns}
    return {"as_of": moment.token} | {
        name: None if time_ns is None else utc(time_ns) for name, time_ns in times.items()
    }


def trading_routes(answers: Answers) -> APIRouter:
    """Orders, fills, signals and decisions: lists, newest first, and single things by their id."""
    router, queries, name = APIRouter(tags=["trading"]), answers.desk.queries, answers.desk.name

    @router.get("/orders", responses=about("orders"))
    async def orders(request: Request, at: Annotated[asked.Orders, Query()]) -> Response:
        """Orders, newest first."""

        async def page(moment: Moment, before: int | None) -> Page:
            return await queries.orders(moment.at, state=at.state, symbol=at.symbol, before=before, limit=at.limit)

        return await answers.page(request, at, page)

    @router.get("/orders/{id}", responses=about("order", missing=True))
    async def order(request: Request, id: Id, at: Annotated[asked.At, Query()]) -> Response:  # noqa: A002
        """One order with its fills."""
        number = event_number(id, name, "id")
        return await answers.about(request, at, lambda moment: found("order", id, queries.order(moment.at, number)))

    @router.get("/fills", responses=about("fills"))
    async def fills(request: Request, at: Annotated[asked.Fills, Query()]) -> Response:
        """Fills with what their bookings did, newest first."""

        async def page(moment: Moment, before: int | None) -> Page:
            return await queries.fills(moment.at, symbol=at.symbol, before=before, limit=at.limit)

        return await answers.page(request, at, page)

    @router.get("/signals", responses=about("signals"))
    async def signals(request: Request, at: Annotated[asked.Signals, Query()]) -> Response:
        """Signals with their verdicts, newest first; a single one has every rule too."""

        async def page(moment: Moment, before: int | None) -> Page:
            wanted = at.model_dump(include={"verdict", "strategy", "symbol", "rule", "limit"})
            return await queries.signals(moment.at, before=before, **wanted)

        return await answers.page(request, at, page)

    @router.get("/signals/{id}", responses=about("signal", missing=True))
    async def signal(request: Request, id: Id, at: Annotated[asked.At, Query()]) -> Response:  # noqa: A002
        """One signal with every rule of its verdict."""
        number = event_number(id, name, "id")
        return await answers.about(request, at, lambda moment: found("signal", id, queries.signal(moment.at, number)))

    @router.get("/decisions", responses=about("decisions"))
    async def decisions(request: Request, at: Annotated[asked.Listed, Query()]) -> Response:
        """What changed how the desk decides, limits that were passed, and what governance decided and refused, newest
        first. Those of one time stay on one page, which may so be longer than its limit."""

        async def page(moment: Moment, before: int | None) -> Page:
            return await queries.decisions(moment.at, before=before, limit=at.limit)

        return await answers.page(request, at, page)

    return router


_EVENTS = (
    f"Ledger events, newest first. An answer looks through {EVENTS_SCANNED:,} events at the most, and closely at "
    "`limit` of them: who said what (`actor`) and which order moved (`symbol`) is not in the event itself. So a page "
    "may hold fewer than `limit`, or none, while there are more: `scanned_through` is the event down to which it "
    "looked, and `next_cursor` goes on below it; when both are null, everything was looked through."
)


def log_routes(answers: Answers, heartbeat_s: float) -> APIRouter:
    """The log itself: events, the tree of one, bars of the tape, and events as they come."""
    router, desk = APIRouter(tags=["log"]), answers.desk

    @router.get("/events", responses=about("events"), description=_EVENTS)
    async def list_events(request: Request, at: Annotated[asked.Events, Query()]) -> Response:
        chain = None if at.correlation is None else event_number(at.correlation, desk.name, "correlation")
        wanted = Wanted(at.type, chain, at.symbol, at.actor, nanos(at.start), nanos(at.end))

        async def page(moment: Moment, before: int | None) -> Page:
            return await desk.events(wanted, moment.at, before=before, limit=at.limit)

        return await answers.page(request, at, page, scanned=True)

    @router.get("/events/stream", response_class=StreamingResponse, responses=stream_answer())
    async def follow(
        request: Request,
        at: Annotated[asked.Stream, Query()],
        last_event_id: Annotated[str | None, Header(max_length=60, description="Where to go on: `main:12`.")] = None,
    ) -> Response:
        """Ledger events as soon as the read models show them, without an end. Begins behind Last-Event-ID, without it
        behind what is shown now."""
        after = None if not last_event_id else event_number(last_event_id, desk.name, "Last-Event-ID")
        token = request.scope[TOKEN]

        async def may_read() -> bool:
            return await desk.principal(token) is not None

        text = events.stream(desk.changes(after), at.type, may_read, heartbeat_s)
        return events.Streamed(text, media_type=events.MEDIA_TYPE, headers=events.HEADERS)

    @router.get("/why/{id}", responses=about("why", missing=True))
    async def why(request: Request, id: Id, at: Annotated[asked.At, Query()]) -> Response:  # noqa: A002
        """Any event, or a place on the tape: back to the tick that caused it, and forward to its result."""

        async def tree(moment: Moment) -> Any:
            try:
                return await desk.why(id, moment.at)
            except DeskError as error:
                raise of_desk(error, "id") from error

        return await answers.about(request, at, lambda moment: found("event", id, tree(moment)))

    @router.get("/bars", responses=about("bars"))
    async def bars(request: Request, at: Annotated[asked.Bars, Query()]) -> Response:
        """Bars of the mid as the tape made them, oldest first; the one under way has `closed` false."""

        async def tape(moment: Moment) -> Any:
            try:
                return await desk.bars(at.symbol, at.timeframe, moment.at, end_ns=nanos(at.end), count=at.count)
            except DeskError as error:
                raise of_desk(error, "symbol") from error

        return await answers.about(request, at, tape)

    @router.get("/projections", responses=about("projections"))
    async def projections(at: Annotated[asked.Nothing, Query()]) -> Response:
        """How far every read model is behind the log, now."""
        return await answers.now(await desk.lag())

    return router
