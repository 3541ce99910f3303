"""The HTTP API of a desk: what the read models say of any moment, the log behind them, and the emergency stop."""

import logging
from collections.abc import Callable, Collection
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from domain.errors import DeskError
from gateways.api_desk import ApiDesk
from gateways.http import problems
from gateways.http.answers import Answers
from gateways.http.asked import field_of
from gateways.http.documented import put_examples
from gateways.http.events import HEARTBEAT_S
from gateways.http.governed import governance_routes
from gateways.http.guard import LOOPBACK, Guard, is_guarded
from gateways.http.problems import Problem
from gateways.http.reading import desk_routes, log_routes, trading_routes
from gateways.http.system import open_routes, system_routes

PREFIX = "/api/v1"
DOCUMENT = f"{PREFIX}/openapi.json"

log = logging.getLogger("cdb.api")


def create_app(
    desk: ApiDesk,
    *,
    hosts: Collection[str] = LOOPBACK,
    heartbeat_s: float = HEARTBEAT_S,
    version: str = "1",
    mount: Callable[[FastAPI, ApiDesk], None] | None = None,
) -> FastAPI:
    """The app of one desk. `hosts` are the names that it may be called by, without ports; a stream says that it is
    still there every `heartbeat_s`; `mount` adds what else is behind the same door."""
    app = FastAPI(
        title="Claire de Binare", version=version, description=__doc__, redirect_slashes=False,
        openapi_url=None, docs_url=None, redoc_url=None,  # their pages fetch scripts from foreign hosts
    )  # fmt: skip
    answers = Answers(desk)
    reading = APIRouter(prefix=PREFIX)
    of_desk, of_trading, of_governance = desk_routes(answers), trading_routes(answers), governance_routes(answers)
    for routes in (of_desk, of_trading, of_governance, log_routes(answers, heartbeat_s)):
        reading.include_router(routes)
    for routes in (reading, system_routes(answers), open_routes(answers)):
        app.include_router(routes)

    @app.get(DOCUMENT, include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DeskError, _of_desk)
    app.add_exception_handler(Exception, _broken)
    if mount:
        mount(app, desk)
    app.add_middleware(Guard, answers=answers, hosts=hosts)
    return app


# -- what goes wrong -----------------------------------------------------------------------------------------------


def _answer(request: Request, problem: Problem) -> Response:
    says = problems.rendered(problem, request.url.path)
    return Response(says.body, says.status, says.headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return _answer(request, error)
    detail = f"{request.method} {request.url.path[:100]}: {error.detail}"
    return _answer(request, Problem(error.status_code, detail, headers=error.headers))


async def _of_desk(request: Request, error: Exception) -> Response:
    assert isinstance(error, DeskError)
    return _answer(request, problems.of_desk(error))


async def _broken(request: Request, error: Exception) -> Response:
    return _answer(request, Problem(500, f"{type(error).__name__} while answering"))  # the server's log has the rest


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = field_of(first["loc"])
    match first["type"]:
        case "extra_forbidden":
            detail, what_to_do = f"there is no parameter or field {str(field)[:60]!r} here", "leave it out"
            if known := _parameters(request):
                what_to_do += f"; there are {', '.join(known)}"
        case "missing":
            detail, what_to_do = f"{field} is missing", f"give {field}"
        case "json_invalid":
            field, detail, what_to_do = None, "the body is no JSON", 'send a JSON object, as {"reason": "..."}'
        case _:
            said = str(first["msg"]).removeprefix("Value error, ")
            secret = field in (None, "token")  # a whole body may hold a token too
            value = "" if secret else f" {str(first['input'])[:60]!r}"
            detail, what_to_do = f"{field or 'the body'}{value}: {said}", f"correct {field or 'the body'}"
    return _answer(request, Problem(422, detail, what_to_do, field=field))


def _parameters(request: Request) -> list[str]:
    """The names of the query parameters of an address."""
    for path, operations in request.app.openapi()["paths"].items():
        if request.method.lower() in operations and compile_path(path)[0].match(request.url.path):
            parameters = operations[request.method.lower()].get("parameters", ())
            return [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    return []


# -- what is there -------------------------------------------------------------------------------------------------


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once: every guarded address needs a bearer token."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = document.setdefault("components", {})
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        components.setdefault("schemas", {})["Problem"] = problems.SCHEMA
        for path, operations in document["paths"].items():
            for operation in operations.values():
                put_examples(operation)
                if is_guarded(path):
                    operation["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema
