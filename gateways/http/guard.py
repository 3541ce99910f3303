"""The door of the API, pure ASGI: the name it was called by, how much it takes, who asks; and the quick way out for an
answer that is rendered already."""

from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import DeskError
from gateways.api_desk import ASKER, Principal
from gateways.http.answers import Answers, matches
from gateways.http.problems import Problem, of_desk, rendered

BODY_MAX = 16 << 10  # an emergency stop is the largest thing that is sent here
GUARDED = ("/api", "/system", "/webhook")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
PRINCIPAL = "cdb.principal"
TOKEN = "cdb.token"

_NAMES_A_MOMENT = (b"as_of", b"time", b"cursor")


class Guard:
    """`hosts` are the names that this desk may be called by, without ports: a page of another site whose name was made
    to lead here (DNS rebinding) has another one. Every path below GUARDED needs a token."""

    def __init__(self, app: ASGIApp, answers: Answers, hosts: Collection[str] = LOOPBACK) -> None:
        self._app, self._answers = app, answers
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            self._refuse_stranger(headers)
            if is_guarded(scope["path"]):
                scope[TOKEN] = _bearer(headers)
                scope[PRINCIPAL] = await self._principal(scope[TOKEN])
                ASKER.set(scope[PRINCIPAL].name)
                if scope["type"] == "http" and await self._answered(scope, headers, send):
                    return None
                receive = _limited(headers, receive)
            await self._app(scope, receive, send)
        except Problem as problem:
            await _refuse(scope, receive, send, problem)

    def _refuse_stranger(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
        if name not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            raise Problem(400, f"this desk has no name {host[:100]!r}", f"call it by one of {names}", field="Host")

    async def _principal(self, token: str) -> Principal:
        try:
            principal = await self._answers.desk.principal(token)
        except DeskError as error:
            raise of_desk(error) from error
        if principal is None:
            raise _unknown("the token opens nothing: it is mistyped, revoked or expired")
        return principal

    async def _answered(self, scope: Scope, headers: Headers, send: Send) -> bool:
        """Send what was rendered for the newest moment, if it was."""
        query = scope["query_string"]
        if scope["method"] != "GET" or any(name in query for name in _NAMES_A_MOMENT):
            return False
        try:
            moment = await self._answers.desk.moment()
        except DeskError:
            return False  # whoever answers in full says why
        found = self._answers.kept((moment.token, scope["path"], query))
        if found is None:
            return False
        fields = found.headers()
        if matches(headers.get("if-none-match"), found.etag):
            await _send(send, 304, fields, b"")
        else:
            body = found.whole(self._answers.desk.stale_ms(moment))
            await _send(send, 200, fields | {"content-type": "application/json"}, body)
        return True


def is_guarded(path: str) -> bool:
    """Does this path need a token?"""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED)


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("the request has no bearer token")
    return token.strip()


def _unknown(detail: str) -> Problem:
    return Problem(
        401,
        detail,
        "send the header `Authorization: Bearer TOKEN`; `cdb token create NAME --role observer` makes a token",
        field="Authorization",
        headers={"www-authenticate": 'Bearer realm="claire-de-binare"'},
    )


def _limited(headers: Headers, receive: Receive) -> Receive:
    """Raises Problem as soon as a body is longer than BODY_MAX, whatever its length was said to be."""
    said = headers.get("content-length", "0")
    if said.isascii() and said.isdigit() and int(said) > BODY_MAX:
        raise _too_large()
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_MAX:
            raise _too_large()
        return message

    return receiving


def _too_large() -> Problem:
    return Problem(413, f"the body is longer than {BODY_MAX:,} bytes", "send less: nothing here needs as much")


async def _refuse(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:100]})
    else:
        answer = rendered(problem, scope["path"])
        await _send(send, answer.status, answer.headers, answer.body)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    fields: list[tuple[bytes, bytes]] = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    if status != 304:
        fields.append((b"content-length", b"%d" % len(body)))
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": fields}
    await send(start)
    await send({"type": "http.response.body", "body": body})
