"""How the system is, and its emergency stop: the addresses that the desk's predecessors were operated by."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from domain.errors import DeskError
from gateways.api_desk import Principal
from gateways.http import asked
from gateways.http.answers import Answers
from gateways.http.documented import about, open_answer
from gateways.http.guard import PRINCIPAL
from gateways.http.problems import Problem

NO_WEBHOOK = "no webhook is configured: nothing can be sent to this desk but what /api/v1/openapi.json lists"


def system_routes(answers: Answers) -> APIRouter:
    """Status, health, stop, and webhooks, of which there are none yet."""
    router, desk = APIRouter(tags=["system"]), answers.desk

    @router.get("/system/status", responses=about("system status"))
    async def status(at: Annotated[asked.Nothing, Query()]) -> Response:
        """How the desk stands now, with what its services answer and how far the read models are."""
        stands = await desk.queries.status((await desk.moment()).at)
        told = {name: stands[name] for name in ("desk", "mode", "state", "halt", "blockers", "alerts")}
        return await answers.now(told | {"services": await desk.health(), "projections": await desk.lag()})

    @router.get("/system/health", responses=about("system health"))
    async def health(at: Annotated[asked.Nothing, Query()]) -> Response:
        """What every service answers; also when the read models are away."""
        services = await desk.health()
        healthy = all(service["state"] == "ready" for service in services)
        return await answers.now({"desk": desk.name, "healthy": healthy, "services": services})

    @router.post("/system/emergency-stop", responses=about("emergency stop", refused=True))
    async def emergency_stop(
        request: Request,
        at: Annotated[asked.Nothing, Query()],
        stop: Annotated[asked.Stop | None, Body()] = None,
    ) -> Response:
        """Halt trading now. It goes ahead of every waiting tick, and holds also while the desk is down. Only a person
        ends it, with `cdb resume`."""
        principal: Principal = request.scope[PRINCIPAL]
        if not principal.may_stop:
            raise Problem(
                403, f"{principal.name} is {principal.role} and may not stop the desk",
                "use a token of an operator, an agent or an approver: `cdb token create NAME --role operator`",
            )  # fmt: skip
        stop = stop or asked.Stop()
        return await answers.now(
            await desk.halt(principal, stop.reason.strip() or asked.NO_REASON, flatten=stop.flatten)
        )

    @router.get("/webhook/status", responses=about("webhook status"))
    async def webhooks(at: Annotated[asked.Nothing, Query()]) -> Response:
        """Which webhooks there are."""
        return await answers.now({"configured": False, "webhooks": [], "says": NO_WEBHOOK})

    return router


def open_routes(answers: Answers) -> APIRouter:
    """What whoever watches the process asks, without a token: is it there, and does it answer?"""
    router, desk = APIRouter(tags=["process"]), answers.desk
    page: dict[str, Any] = {"service": "api", "desk": desk.name, "mode": "paper"}

    @router.get("/health", responses=open_answer({**page, "state": "ready"}))
    async def health() -> JSONResponse:
        """This process is there."""
        return JSONResponse({**page, "state": "ready"})

    @router.get("/ready", responses=open_answer({**page, "ready": True}, {**page, "ready": False, **_AWAY}))
    async def ready() -> JSONResponse:
        """The read models can be asked. Why they cannot be is told to those who have a token."""
        try:
            await desk.moment()
        except DeskError:
            return JSONResponse({**page, "ready": False, **_AWAY}, 503)
        return JSONResponse({**page, "ready": True})

    return router


_AWAY = {
    "reason": "the read models cannot be asked",
    "what_to_do": "see that PostgreSQL and the projector run: `cdb status`, `cdb projections list`",
}
