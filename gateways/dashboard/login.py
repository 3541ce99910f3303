"""Signing in and out, and the emergency stop: plain forms that need no socket and as little else as can be."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from markupsafe import Markup

from domain.errors import DeskError
from gateways.api_desk import ApiDesk
from gateways.dashboard.guard import PREFIX
from gateways.dashboard.markup import join, tag
from gateways.dashboard.sessions import LASTS_S, Sessions

NO_REASON = "emergency stop on the dashboard"
REASON_MAX = 500

_PAGES = re.compile(rf"{PREFIX}/[\w/?=&%.:+~-]*", re.A)


def routes(desk: ApiDesk, sessions: Sessions, head: Markup) -> APIRouter:
    """The forms of one desk, under the dashboard's prefix."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def ask(next: Annotated[str, Query(max_length=2_000)] = "") -> Response:  # noqa: A002
        return HTMLResponse(login_page(desk.name, head, next))

    @router.post("/login")
    async def take(
        request: Request,
        token: Annotated[str, Form(max_length=500)],
        next: Annotated[str, Form(max_length=2_000)] = "",  # noqa: A002
    ) -> Response:
        try:
            cookie = await sessions.open(token.strip())
        except DeskError as error:
            return HTMLResponse(login_page(desk.name, head, next, str(error)), 503)
        if cookie is None:
            why = "This token opens nothing: it is mistyped, revoked or expired. `cdb token create` makes one."
            return HTMLResponse(login_page(desk.name, head, next, why), 401)
        answer = RedirectResponse(next if _PAGES.fullmatch(next) else f"{PREFIX}/", 303)
        answer.set_cookie(
            sessions.cookie,
            cookie,
            max_age=LASTS_S,
            path=PREFIX,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post("/logout")
    async def leave(request: Request) -> Response:
        sessions.close(request.cookies.get(sessions.cookie))
        answer = RedirectResponse(f"{PREFIX}/login", 303)
        answer.delete_cookie(sessions.cookie, path=PREFIX)
        return answer

    router.post("/stop")(_stopping(desk, sessions))
    return router


def _stopping(desk: ApiDesk, sessions: Sessions) -> Callable[..., Awaitable[Response]]:
    async def stop(
        request: Request,
        reason: Annotated[str, Form(max_length=REASON_MAX)] = "",
        flatten: Annotated[bool, Form()] = False,
    ) -> Response:
        """Halt the desk; the answer says in words what is known then."""
        try:
            principal = await sessions.principal(request.cookies.get(sessions.cookie), now=True)
            if principal is None:
                return JSONResponse({"stopped": False, "says": "Signed out: sign in again to stop the desk."}, 401)
            if not principal.may_stop:
                says = f"{principal.name} is {principal.role} here and may not stop the desk."
                return JSONResponse({"stopped": False, "says": says}, 403)
            receipt = await desk.halt(principal, reason.strip() or NO_REASON, flatten=flatten)
        except DeskError as error:
            return JSONResponse({"stopped": False, "says": f"Not stopped: {error}"}, 503)
        return JSONResponse(said(receipt))

    return stop


def said(receipt: dict[str, object]) -> dict[str, object]:
    """A halt's receipt in words: applied, on its way, or refused by the engine."""
    if receipt.get("latched"):
        return {"stopped": True, "says": f"The halt is latched: {receipt['reason']}. Nothing trades before it is read."}
    if receipt.get("applied"):
        return {"stopped": True, "says": f"Trading is halted: {receipt['tape']}, ledger {receipt['ledger']}."}
    stands = f"The halt stands at {receipt['tape']}"
    return {"stopped": not receipt.get("ledger"), "says": f"{stands}, but {receipt['reason']}."}


def login_page(desk: str, head: Markup, next: str, wrong: str = "") -> Markup:  # noqa: A002
    """The page that asks for a token."""
    form = tag(
        "form",
        tag("h1", "Claire de Binare"),
        tag("p", "Desk ", tag("strong", desk), ", paper trading.", class_="muted"),
        tag("label", "Token", for_="token"),
        tag(
            "input",
            type="password",
            id="token",
            name="token",
            autocomplete="current-password",
            required=True,
            autofocus=True,
            aria_describedby="wrong" if wrong else None,
        ),
        tag("input", type="hidden", name="next", value=next),
        tag("p", wrong, id="wrong", class_="wrong", role="alert") if wrong else None,
        tag("button", "Sign in", type="submit", class_="primary"),
        tag("p", "A token is made with ", tag("code", "cdb token create"), ".", class_="muted"),
        method="post",
        action=f"{PREFIX}/login",
        class_="login",
    )
    head = join(
        head,
        tag("title", f"Sign in · {desk}"),
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
    )
    page = tag("html", tag("head", head), tag("body", tag("main", form), class_="plain"), lang="en")
    return Markup("<!doctype html>") + page
