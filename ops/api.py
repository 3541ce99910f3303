"""The desk behind the HTTP API and the dashboard: read models as of any moment, the log behind them, and the stop."""

import asyncio
import socket
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

from adapters.connection import Connection
from adapters.governance_commands import Request, ask_governance
from adapters.jetstream import JetStreamLog
from adapters.ops_log import OpsLog
from adapters.token_log import TokenLog
from domain.errors import InvalidInput, Refused, Unavailable
from domain.instructions import TradingHalted
from domain.instruments import canonical_symbol
from domain.operations import CommandRefused
from domain.ports import Log
from gateways.api_desk import Change, Moment, Principal, Timeframe, Wanted
from gateways.dashboard import mount
from gateways.http_api import create_app
from ops.composition import open_postgres
from ops.desk_status import SERVICES, service_row
from ops.halting import halt_reason, stop_desk
from ops.health import VERSION, listen
from ops.http_server import GIVE_UP_S, PatientProtocol, Server, served
from ops.ledger_as_of import Changes, events_at, why_at
from ops.listening import Listening
from ops.moments import Moments
from ops.settings import Settings
from ops.tape_bars import bars_of, warm_up
from ops.turns import Turns
from ops.visible import SOURCES, Visible
from projections.answers import Answer
from projections.as_of import AsOf
from projections.queries import Page

WAIT_S = 1.0  # for a moment that the log has and the read models do not
MOMENTS_KEPT = 4_096
READING_THE_LOG = 4  # at once: NATS cuts off a client that lets more than 64 MiB wait

Stop = Callable[[Principal, str, bool], Awaitable[Answer]]
Look = Callable[[], Awaitable[list[Answer]]]
Govern = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Record = Callable[[CommandRefused], None]


class DeskApi:
    """Implements gateways.api_desk.ApiDesk. `stop` halts the desk, `look` asks its services how they are, `govern` asks
    governance as a person, and `record` takes what is refused before that."""

    def __init__(
        self, log: Log, visible: Visible, tokens: TokenLog, *, stop: Stop, look: Look, govern: Govern, record: Record
    ) -> None:
        self.name, self.queries = visible.desk, visible.queries
        self._log, self._visible, self._tokens = log, visible, tokens
        self._stop, self._look, self._govern, self._record = stop, look, govern, record
        self._moments, self._changes = Moments(log, self.name), Changes(log, visible)
        self._log_turns = Turns("the log", READING_THE_LOG)
        self._named: OrderedDict[AsOf, Moment] = OrderedDict()
        self._now: Moment | None = None

    # -- moments -------------------------------------------------------------------------------------------------------

    async def moment(
        self, as_of: str | None = None, market_time_ns: int | None = None, recorded_time_ns: int | None = None
    ) -> Moment:
        given = [value for value in (as_of, market_time_ns, recorded_time_ns) if value is not None]
        if not given:
            return self._newest()
        if len(given) > 1:
            raise InvalidInput("as_of, market_time and recorded_time are moments each; give one of them")
        at = None if as_of is None else AsOf.parse(as_of, self.name)
        moment = (at and self._named.get(at)) or await self._found(at, market_time_ns, recorded_time_ns)
        if not self._visible.holds(moment.at):
            await self._reached(moment)
        return moment

    def _newest(self) -> Moment:
        newest = self._visible.now()
        if self._now is None or self._now.at != newest.at:
            token = newest.at.token(self.name)
            self._now = Moment(newest.at, token, newest.market_time_ns, newest.recorded_at_ns, True)
        return self._now

    async def _found(self, at: AsOf | None, market_time_ns: int | None, recorded_time_ns: int | None) -> Moment:
        async with self._log_turns.turn():
            if market_time_ns is not None:
                at = await self._moments.at_market_time(market_time_ns)
            elif recorded_time_ns is not None:
                at = await self._moments.at_recorded_time(recorded_time_ns)
            assert at is not None  # one of the three was given
            if at in self._named:  # also by somebody else meanwhile
                return self._named[at]
            times = await self._moments.times(at)
        moment = self._named[at] = Moment(at, at.token(self.name), times.market_ns, times.recorded_ns, False)
        if len(self._named) > MOMENTS_KEPT:
            self._named.popitem(last=False)
        return moment

    async def _reached(self, moment: Moment) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._visible.reached(moment.at)
        except TimeoutError:
            stands = self._visible.now().at
            behind = ", ".join(
                f"{source} {stands.of(source)} of {moment.at.of(source)}"
                for source in SOURCES
                if stands.of(source) < moment.at.of(source)
            )
            raise Unavailable(
                f"the read models of desk {self.name} have not reached this moment: {behind}; ask again in a moment, "
                "and see that the projector runs (`cdb projections list`)"
            ) from None

    def stale_ms(self, moment: Moment) -> int:
        return self._visible.stale_ms() if moment.newest else 0

    async def lag(self) -> list[Answer]:
        places, ends = await self.queries.projections(), await self._visible.ends()
        return [
            {name: place[name] for name in ("model", "source", "position")}
            | {"end": ends[place["source"]], "behind": max(0, ends[place["source"]] - place["position"])}
            | {name: place[name] for name in ("market_time", "recorded_at")}
            for place in places
        ]

    # -- the log -------------------------------------------------------------------------------------------------------

    async def why(self, id: str, at: AsOf) -> Answer | None:  # noqa: A002
        async with self._log_turns.turn():
            return await why_at(self._log, self.name, id, at)

    async def events(self, wanted: Wanted, at: AsOf, *, before: int | None = None, limit: int = 50) -> Page:
        async with self._log_turns.turn():
            return await events_at(self._log, self.name, wanted, at, before, limit)

    async def bars(
        self, symbol: str, timeframe: Timeframe, at: AsOf, *, end_ns: int | None = None, count: int = 300
    ) -> list[Answer]:
        declared = {row["name"]: row for row in await self.queries.standing(at) if row["kind"] == "instrument"}
        name = canonical_symbol(symbol)
        if name not in declared:
            there = ", ".join(sorted(declared)) or "none"
            raise InvalidInput(f"desk {self.name} had no instrument {symbol[:40]!r} at this moment; there are {there}")
        number = int(declared[name]["content"]["number"])
        async with self._log_turns.turn():
            return await bars_of(self._log, self.name, number, timeframe, at, end_ns=end_ns, count=count)

    def changes(self, after: int | None = None) -> AsyncGenerator[list[Change], None]:
        return self._changes.follow(after)

    # -- who, and how the desk is --------------------------------------------------------------------------------------

    async def principal(self, token: str) -> Principal | None:
        access = self._tokens.find(token)
        return Principal(access.name, access.role) if access else None

    async def halt(self, by: Principal, reason: str, *, flatten: bool) -> Answer:
        return await self._stop(by, reason, flatten)

    async def govern(self, by: Principal, command: Literal["ask", "decide"], content: Mapping[str, Any]) -> Answer:
        if not by.may_decide:
            why = f"{by.name} is {by.role} here and may not {command}; a person decides, as operator or approver"
            self._record(
                CommandRefused(
                    service="api", occurred_at_ns=time.time_ns(), actor=by.name, command=command, code="not_permitted",
                    message=why,
                )
            )  # fmt: skip
            raise Refused("not_permitted", why)
        return dict(await self._govern(command, content))

    async def health(self) -> list[Answer]:
        return await self._look()


async def halted(settings: Settings, by: Principal, reason: str, flatten: bool) -> Answer:
    """Stop trading now: by the running sequencer, else by a latch that stops the desk before its next record."""
    halt = TradingHalted(
        id=f"api-{uuid.uuid4().hex}", actor=by.name, authority=by.role, occurred_at_ns=0,
        reason=halt_reason(reason), flatten=flatten,
    )  # fmt: skip
    return dict(await stop_desk(settings, halt))


async def governed(connection: Connection, command: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the governance service answers the person who asks."""
    return await ask_governance(connection, command, Request(content=dict(content)))


async def looked_at(settings: Settings) -> list[Answer]:
    """What every service of the desk answers."""
    return list(await asyncio.gather(*(service_row(settings, service) for service in SERVICES)))


# -- serving -------------------------------------------------------------------------------------------------------


async def serve_api(settings: Settings, log: JetStreamLog, *, ready: Callable[[], None]) -> None:
    """The HTTP API and the dashboard of a desk, until it is cancelled; `ready` is called once it listens. It listens
    also while PostgreSQL is away, and says so: the emergency stop needs none of it.

    Raises InvalidInput for a place that it must not, or cannot listen at; Unavailable when the log is away.
    """
    listening = settings.listening
    listening.refuse_open()
    async with (
        open_postgres(settings) as postgres,
        Visible.open(log, settings.desk, postgres.start) as visible,
        TokenLog(log).following() as tokens,
        OpsLog.open(log) as events,
    ):
        desk = DeskApi(
            log, visible, tokens, stop=partial(halted, settings), look=partial(looked_at, settings),
            govern=partial(governed, log.connection), record=events.record,
        )  # fmt: skip
        warming = asyncio.create_task(asyncio.to_thread(warm_up), name="bars")
        app = create_app(desk, hosts=listening.hosts, version=VERSION, mount=mount)
        try:
            await serve(app, listening, ready)
        finally:
            await asyncio.wait({warming})


async def serve(app: FastAPI, listening: Listening, ready: Callable[[], None]) -> None:
    """Run an app until it is cancelled, on an event loop that runs already. Raises Unavailable when the server ends by
    itself: an API that answers nobody is not well."""
    server = _Server(
        uvicorn.Config(
            app, http=PatientProtocol, ssl_certfile=listening.certificate, ssl_keyfile=listening.key,
            proxy_headers=bool(listening.proxy), forwarded_allow_ips=listening.proxy or None,
            log_config=None, log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=GIVE_UP_S,
        ),
        ready,
    )  # fmt: skip
    with listen("api", listening.host, listening.port) as listener:
        serving = asyncio.create_task(served(server, listener), name="http api")
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            while not serving.done():  # being cancelled once more ends it no sooner: seconds are all that it takes
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({serving})
    raise Unavailable(f"the HTTP server on port {listening.port} ended by itself; it is started again")


class _Server(Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
