"""How each service is, and the two pages on its own port that say so: `/health` and `/ready`."""

import asyncio
import importlib.metadata
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from domain.errors import InvalidInput, Unavailable
from ops.settings import variable

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ops.http_server import Server

VERSION = importlib.metadata.version("claire-de-binare")
PATIENCE = "Wait: it becomes ready by itself."

State = Literal["starting", "ready", "failing", "stopped"]
Figure = int | float | str


class Status(NamedTuple):
    """How a service is since when. `error` is its last one, also after it recovered; `advice` is what to do."""

    state: State
    since_ns: int
    error: str | None = None
    advice: str = PATIENCE


class Health:
    """The services of this process. The supervisor says that they start, fail and stop; they say when they are ready,
    and what their figures are (lag, ordinal, latency). A stage (risk of core) is as the service is that it is part of,
    with figures of its own. `needs` names the component that a service cannot do without: while that one is not ready,
    neither is the service, which says why."""

    def __init__(
        self,
        stages: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        *,
        needs: Mapping[str, str] | None = None,
    ) -> None:
        self._now_ns, self._stages, self._needs = now_ns, stages or {}, needs or {}
        self._began_ns = now_ns()
        self._statuses: dict[str, Status] = {}
        self._figures: dict[str, dict[str, Figure]] = {}

    def starting(self, service: str) -> None:
        self._become(service, "starting", self._error_of(service), PATIENCE)

    def ready(self, service: str) -> None:
        self._become(service, "ready", self._error_of(service), "")

    def failing(self, service: str, error: str, advice: str) -> None:
        self._become(service, "failing", error, advice)

    def stopped(self, service: str, error: str | None, advice: str) -> None:
        self._become(service, "stopped", error or self._error_of(service), advice)

    def measure(self, service: str, **figures: Figure) -> None:
        """Set named figures; the others stay."""
        self._figures.setdefault(service, {}).update(figures)

    def status(self, service: str) -> Status:
        name = self._stages.get(service, service)
        own = self._statuses.get(name) or Status("starting", self._began_ns)
        needed = self._statuses.get(self._needs.get(name, ""))
        if own.state not in ("starting", "ready") or needed is None or needed.error is None:
            return own
        error = f"{self._needs[name]}: {needed.error}"
        if needed.state == "ready":
            return own._replace(error=own.error or error)
        return Status("failing", needed.since_ns, error, needed.advice)

    def figures(self, service: str) -> Mapping[str, Figure]:
        return self._figures.get(service, {})

    def uptime_seconds(self) -> float:
        return round((self._now_ns() - self._began_ns) / 1e9, 3)

    def _error_of(self, service: str) -> str | None:
        return self._statuses[service].error if service in self._statuses else None

    def _become(self, service: str, state: State, error: str | None, advice: str) -> None:
        before = self._statuses.get(service) or Status("starting", self._began_ns)
        since_ns = before.since_ns if before.state == state else self._now_ns()
        self._statuses[service] = Status(state, since_ns, error, advice)


class Pages:
    """The pages of services while they are served, by `serve_health`; `ports` has the port of each."""

    def __init__(self, health: Health, host: str, desk: str) -> None:
        self.ports: dict[str, int] = {}
        self._health, self._host, self._desk = health, host, desk
        self._serving: dict[str, tuple[Server, asyncio.Task[None]]] = {}

    async def kept(self, *services: str) -> None:
        """Serve those that ended once more, then wait until one ends. Raises Unavailable when it does: a service whose
        health nobody can ask for is not well, so run this beside it. InvalidInput for a port that is taken by now."""
        for service in services:
            if self._serving[service][1].done():
                self.serve(service, listen(service, self._host, self.ports[service]))
        serving = {self._serving[service][1]: service for service in services}
        done, _ = await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        ended = done.pop()
        service = serving[ended]
        error = asyncio.CancelledError("it was cancelled") if ended.cancelled() else ended.exception()
        why = f"{type(error).__name__}: {error}" if error else "without an error"
        raise Unavailable(
            f"the health pages of {service} on port {self.ports[service]} ended by themselves ({why}); they are served "
            "again with the service's next life"
        )

    def serve(self, service: str, listener: socket.socket) -> None:
        """The two pages of a service, from here on."""
        from uvicorn import Config

        from ops.http_server import GIVE_UP_S, Server, served

        config = Config(
            health_app(self._health, service, self._desk), http="h11", ws="none", lifespan="off", log_config=None,
            log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=GIVE_UP_S,
        )  # fmt: skip
        server = Server(config)
        self.ports[service] = listener.getsockname()[1]
        serving = asyncio.create_task(served(server, listener), name=f"health of {service}")
        serving.add_done_callback(lambda _: listener.close())
        self._serving[service] = server, serving

    async def close(self) -> None:
        """End them all."""
        for server, _ in self._serving.values():
            server.should_exit = True
        await asyncio.gather(*(serving for _, serving in self._serving.values()), return_exceptions=True)


@asynccontextmanager
async def serve_health(
    health: Health, ports: Mapping[str, int], host: str = "127.0.0.1", *, desk: str = "main"
) -> AsyncIterator[Pages]:
    """Answer for each service on its port while the block runs (0 asks for a free one).

    Raises InvalidInput for a port that is taken, before anything is served.
    """
    listening: dict[str, socket.socket] = {}
    pages = Pages(health, host, desk)
    try:
        for service, port in ports.items():
            listening[service] = listen(service, host, port)
        for service, listener in listening.items():
            pages.serve(service, listener)
        yield pages
    finally:
        await pages.close()
        for listener in listening.values():
            listener.close()


def health_app(health: Health, service: str, desk: str) -> "FastAPI":
    """The two pages of one service."""
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def answer(status_code: int, **content: Any) -> JSONResponse:
        about = {"service": service, "desk": desk, "mode": "paper", "version": VERSION}
        return JSONResponse(about | content, status_code)

    @app.get("/health")
    async def alive() -> JSONResponse:
        status = health.status(service)
        return answer(
            200, state=status.state, since_ns=status.since_ns, uptime_seconds=health.uptime_seconds(),
            last_error=status.error, figures=health.figures(service),
        )  # fmt: skip

    @app.get("/ready")
    async def ready() -> JSONResponse:
        status = health.status(service)
        if status.state == "ready":
            return answer(200, ready=True)
        reason = f"{service} is {status.state}" + (f"; last error: {status.error}" if status.error else "")
        return answer(503, ready=False, reason=reason, what_to_do=status.advice)

    return app


def listen(service: str, host: str, port: int) -> socket.socket:
    """Raises InvalidInput for a port that cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, asyncio sends without delay
    try:
        if sys.platform != "win32":  # there the option would let two processes share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InvalidInput(
            f"port {port} of {host} for the service {service} cannot be used: {error.strerror}; "
            f"stop what listens there, or set {variable(f'{service}_port')} to another port"
        ) from None
    return listener
