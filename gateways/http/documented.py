"""What the OpenAPI document says of every answer: its shape, an example (examples.json), and every status there is."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from gateways.http import events, problems

Responses = dict[int | str, dict[str, Any]]

_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_ETAG = {
    "ETag": {"description": "Of this moment, address and query; weak, for `stale_ms` may differ.", "schema": _TEXT}
}
_PROBLEMS = {
    400: "The Host header is no name of this desk, or the request cannot be read.",
    401: "There is no bearer token, or it opens nothing.",
    403: "The token's role may not do this.",
    404: "There is no such thing at this moment.",
    413: "The body is too large.",
    422: "A parameter or a field is wrong, or unknown; `field` names it.",
    500: "An error of ours; the log of the service has it.",
    503: "What the answer needs is away: the read models, the log, or their place is not reached yet.",
}
_ALWAYS = (400, 401, 413, 422, 500, 503)


def about(name: str, *, missing: bool = False, refused: bool = False) -> Responses:
    """An answer with its moment. `missing`: the thing may not be there; `refused`: a role may be too small."""
    content = {"application/json": {"schema": _wrapped(name), "example": name}}
    more = (*((404,) if missing else ()), *((403,) if refused else ()))
    said: Responses = {200: {"description": "The answer.", "content": content}}
    if name in _AS_OF:
        said[200]["headers"] = _ETAG
        said[304] = {"description": "If-None-Match names this answer: it is as it was.", "headers": _ETAG}
    return said | _problems(*_ALWAYS, *more)


def document_answer() -> Responses:
    """A document, wrapped or as it is."""
    said = about("document")
    said[200]["content"]["text/markdown"] = {"schema": _TEXT, "example": _examples()["document"]["text"]}
    return said


def stream_answer() -> Responses:
    """Server-sent events."""
    example = f"id: main:12\nevent: order_filled\ndata: {json.dumps(_examples()['events'][0])}\n\n: still here\n\n"
    content = {events.MEDIA_TYPE: {"schema": _TEXT, "example": example}}
    return {200: {"description": "Events without an end.", "content": content}} | _problems(*_ALWAYS)


def open_answer(example: dict[str, Any], not_ready: dict[str, Any] | None = None) -> Responses:
    """A page without a token."""

    def page(shown: dict[str, Any]) -> dict[str, Any]:
        return {"application/json": {"schema": {"type": "object"}, "example": shown}}

    said: Responses = {200: {"description": "Yes.", "content": page(example)}}
    if not_ready:
        said[503] = {"description": "Not yet: why, and what to do.", "content": page(not_ready)}
    return said | _problems(400, 422, 500)


def _problems(*statuses: int) -> Responses:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _PROBLEMS[status], "content": {problems.MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(statuses)
    }


_AS_OF = frozenset(
    "status account positions metrics equity verdicts document diff orders order fills signals signal decisions "
    "events why bars proposals proposal agents runs run".split()
)
_MAY_BE_NULL = frozenset({"account"})
_ALWAYS_THERE = {  # of things that are of several kinds
    "events": ["causation", "correlation", "id", "occurred_at", "tape", "type"],
    "account": [],
    "emergency stop": ["reason"],
}


@cache
def _examples() -> dict[str, Any]:
    examples: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
    return examples


def put_examples(operation: dict[str, Any]) -> None:
    """An example in the place of each name of one: FastAPI would take from it what is null."""
    for response in operation["responses"].values():
        shown = response.get("content", {}).get("application/json", {})
        if isinstance(shown.get("example"), str):
            more = {"scanned_through": None} if shown["example"] == "events" else {}
            shown["example"] = {**_examples()["wrapping"], "data": _examples()[shown["example"]], **more}


def _wrapped(name: str) -> dict[str, Any]:
    """The schema of an answer: data has the fields of its example, and may get more."""
    example = _examples()[name]
    row = example[0] if isinstance(example, list) else example
    kind = ["object", "null"] if name in _MAY_BE_NULL else "object"
    fields: dict[str, Any] = {"type": kind, "required": _ALWAYS_THERE.get(name, sorted(row))}
    data = {"type": "array", "items": fields} if isinstance(example, list) else fields
    properties = {
        "data": data,
        "as_of": _MAYBE | {"description": "The moment, as a word to ask with; null: no read model is there."},
        "market_time": _MAYBE | {"description": "The market's time at the moment."},
        "recorded_time": _MAYBE | {"description": "When the newest fact of the moment was recorded."},
        "stale_ms": {
            "type": ["integer", "null"],
            "description": "By how much the newest answer is behind the log, in recorded time; 0: it holds all of it.",
        },
        "mode": {"const": "paper"},
        "next_cursor": _MAYBE | {"description": "Of lists: asks for the next page at the same moment; null: no more."},
    }
    if name == "events":
        says = "The event down to which this page looked; null: down to the first that could be wanted."
        properties["scanned_through"] = _MAYBE | {"description": says}
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }
