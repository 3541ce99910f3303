"""Deciding in a browser: what a proposal asks, the bytes to sign, and the signed verdict on its way to governance.

These routes are the dashboard's own, behind its session and its origin: a token alone opens none of them, and what
decides is the signature of an enrolled key, which governance checks.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from domain.approval import ApprovalBody, encoded, to_sign
from domain.errors import DeskError, InvalidInput, Refused
from gateways.api_desk import ApiDesk
from gateways.dashboard.guard import PREFIX
from gateways.dashboard.sessions import Sessions

DECIDING = f"{PREFIX}/deciding"

Content = Annotated[dict[str, Any], Body()]


def routes(desk: ApiDesk, sessions: Sessions) -> APIRouter:
    """What files/deciding.js asks, below DECIDING. A refusal is `{code, says}`."""
    router = APIRouter(include_in_schema=False)

    async def governed(request: Request, command: Literal["ask", "decide"], content: Mapping[str, Any]) -> Response:
        try:
            principal = await sessions.principal(request.cookies.get(sessions.cookie), now=True)
            if principal is None:
                return refused(401, "signed_out", "Signed out: sign in again to decide.")
            return JSONResponse(dict(await desk.govern(principal, command, content)))
        except Refused as error:
            return refused(403 if error.code == "not_permitted" else 409, error.code, str(error))
        except InvalidInput as error:
            return refused(422, "invalid", str(error))
        except DeskError as error:
            return refused(503, "unavailable", str(error))

    @router.post("/approvers")
    async def approvers(request: Request) -> Response:
        """The keys that decide, and in which environment."""
        return await governed(request, "ask", {"about": "approvers"})

    @router.post("/question")
    async def question(request: Request, content: Content) -> Response:
        """A proposal as it stands now, presented again where its base has moved."""
        return await governed(request, "ask", {"about": "proposal", "proposal": content.get("proposal")})

    @router.post("/body")
    async def body(content: Content) -> Response:
        """The bytes of a verdict as they are to be signed: nothing is asked of governance yet."""
        try:
            return JSONResponse({"bytes": encoded(to_sign(ApprovalBody.model_validate(content)))})
        except InvalidInput as error:
            return refused(422, "invalid", str(error))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            return refused(422, "invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @router.post("/verdict")
    async def verdict(request: Request, content: Content) -> Response:
        """A verdict with its signature."""
        return await governed(request, "decide", {"signed": content.get("signed")})

    return router


def refused(status: int, code: str, says: str) -> Response:
    return JSONResponse({"code": code, "says": says}, status)
