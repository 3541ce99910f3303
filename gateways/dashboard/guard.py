"""The dashboard's door: every request and socket needs a session and our own origin, every answer is locked in."""

from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateways.dashboard.sessions import Sessions

PREFIX = "/dashboard"
FILES = f"{PREFIX}/files"
OPEN = (f"{PREFIX}/login", f"{FILES}/")  # say nothing of the desk but its name

BODY_MAX = 64 << 10  # a form, or what a page says without a websocket

# NiceGUI compiles its templates in the browser, hence the two unsafe words; nothing is fetched from any other host.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all a browser hides the origin of our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Middleware before NiceGUI, whose socket answers any origin. Other paths of the app pass unseen."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not (path == PREFIX or path.startswith(f"{PREFIX}/")):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookie = self._sessions.cookie_in(headers.get("cookie", ""))
        if scope["type"] == "http" and scope["method"] == "POST" and _is_large(headers):
            await _refuse(scope, receive, send, 413, f"a body of a said length, at most {BODY_MAX:,} bytes, is taken")
        elif is_foreign(headers):
            await _refuse(scope, receive, send, 403, f"requests from {headers['origin'][:200]} are not taken")
        elif not path.startswith(OPEN) and await self._sessions.principal(cookie) is None:
            await self._ask_who(scope, receive, send)
        else:
            scope["cdb_cookie"] = cookie
            await self._app(scope, receive, _locked_in(send, path) if scope["type"] == "http" else send)

    async def _ask_who(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and "_nicegui_ws" not in scope["path"]:
            there = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            answer = RedirectResponse(f"{PREFIX}/login?next={quote(there, safe='/')}", 303)
            await answer(scope, receive, _locked_in(send))
        else:
            await _refuse(scope, receive, send, 401, f"sign in at {PREFIX}/login")


def is_foreign(headers: Headers) -> bool:
    """Does another site's page ask? A browser says so for every socket and every request that is more than a look."""
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _is_large(headers: Headers) -> bool:
    said = headers.get("content-length", "")
    return not said.isdigit() or int(said) > BODY_MAX


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:100]})
    else:
        await PlainTextResponse(why, status)(scope, receive, _locked_in(send))


def _locked_in(send: Send, path: str = "") -> Send:
    versioned = path.startswith((f"{FILES}/", f"{PREFIX}/_nicegui/"))  # what changes gets another address
    kept = "private, max-age=31536000, immutable" if versioned else "no-store"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", kept)
        await send(message)

    return sending
