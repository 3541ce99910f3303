"""What went wrong, as problem+json (RFC 9457): which thing, in which field, and what to do about it."""

from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json
from starlette.exceptions import HTTPException

from domain.errors import DeskError, InvalidInput, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    413: "Body too large",
    422: "Invalid input",
    500: "Internal error",
    503: "Not available now",
}
_ADVICE = {
    400: "send a well-formed request to a name of this desk",
    404: "see /api/v1/openapi.json for every address, and the list that the thing would be in",
    405: "use the method that the header Allow names",
    422: "correct what the detail names and ask again",
    500: "see the log of the service `api`; nothing was changed",
    503: "ask again in a moment; `cdb status` says which service is away",
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "field": {"type": ["string", "null"], "description": "the parameter or the field of the body that is wrong"},
        "what_to_do": {"type": "string"},
        "mode": {"const": "paper"},
    },
    "required": ["type", "title", "status", "detail", "instance", "field", "what_to_do", "mode"],
    "additionalProperties": False,
}


class Problem(HTTPException):
    """An answer that says what is wrong. Raise it anywhere below a route."""

    def __init__(
        self,
        status: int,
        detail: str,
        what_to_do: str = "",
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.field, self.what_to_do = field, what_to_do or _ADVICE.get(status, _ADVICE[400])


class Rendered(NamedTuple):
    """A problem as it goes out."""

    status: int
    headers: dict[str, str]
    body: bytes


def rendered(problem: Problem, path: str) -> Rendered:
    """The problem of a request to this path."""
    title = _TITLES.get(problem.status_code, "Error")
    says = {
        "type": f"urn:claire-de-binare:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": path,
        "field": problem.field,
        "what_to_do": problem.what_to_do,
        "mode": "paper",
    }
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Rendered(problem.status_code, headers | dict(problem.headers or {}), to_json(says, inf_nan_mode="null"))


def of_desk(error: DeskError, field: str | None = None) -> Problem:
    """What an error of the desk is to the caller. Its message names the thing, the value, and behind `;` the step."""
    message = str(error)
    what_to_do = message.rpartition("; ")[2] if "; " in message else ""
    if isinstance(error, InvalidInput):
        return Problem(422, message, what_to_do, field=field)
    advice = "" if isinstance(error, Unavailable) else "run `cdb verify`: it names the first record that is not whole"
    return Problem(503, message, what_to_do or advice, headers={"retry-after": str(RETRY_S)})


async def found(kind: str, name: str, answer: Awaitable[Any]) -> Any:
    """The thing that was asked for by its id. Raises Problem when it is not there."""
    thing = await answer
    if thing is None:
        raise Problem(404, f"there is no {kind} {name[:60]!r} at this moment", field="id")
    return thing
