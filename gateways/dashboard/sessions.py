"""Who sits at a browser: a token is asked for once, then kept in memory behind a signed cookie that says nothing."""

import secrets
import time
from typing import NamedTuple

from itsdangerous import BadSignature, Signer
from starlette.requests import cookie_parser

from domain.errors import Unavailable
from gateways.api_desk import ApiDesk, Principal

LASTS_S = 30 * 86_400
SESSIONS_MAX = 32  # of one token; one more ends the oldest of them
ASK_AGAIN_S = 30.0  # a revoked token loses its pages after so long, and the stop at once


class _Session(NamedTuple):
    token: str
    opened_at: float
    principal: Principal
    asked_at: float


class Sessions:
    """The browsers that showed a token. They end with this process, with the token, on request, or after 30 days."""

    def __init__(self, desk: ApiDesk) -> None:
        self._desk = desk
        self._signer = Signer(secrets.token_bytes(32))
        self._open: dict[str, _Session] = {}
        self.cookie = f"cdb_session_{desk.name}"  # cookies know no port: another desk on this host has another one

    async def open(self, token: str) -> str | None:
        """The cookie's value for whoever shows this token. None: it opens nothing."""
        principal = await self._desk.principal(token)
        if principal is None:
            return None
        now = time.monotonic()
        self._open = {name: one for name, one in self._open.items() if now - one.opened_at < LASTS_S}
        same = [name for name, one in self._open.items() if one.principal.name == principal.name]
        if len(same) == SESSIONS_MAX:
            del self._open[same[0]]
        name = secrets.token_urlsafe(32)
        self._open[name] = _Session(token, now, principal, now)
        return self._signer.sign(name).decode()

    async def principal(self, cookie: str | None, *, now: bool = False) -> Principal | None:
        """Who this is; with `now` the token is looked at again, else at times."""
        name = self._name(cookie)
        session = self._open.get(name)
        if session is None or time.monotonic() - session.opened_at >= LASTS_S:
            return None
        if now or time.monotonic() - session.asked_at >= ASK_AGAIN_S:
            try:
                principal = await self._desk.principal(session.token)
            except Unavailable:  # without its log the desk shows nothing new, but it must be possible to stop it
                return session.principal
            if principal is None:
                self._open.pop(name, None)
                return None
            session = session._replace(principal=principal, asked_at=time.monotonic())
            if name in self._open:
                self._open[name] = session
        return session.principal

    def close(self, cookie: str | None) -> None:
        """Forget the session."""
        self._open.pop(self._name(cookie), None)

    def cookie_in(self, header: str) -> str | None:
        """Our cookie's value in a Cookie header."""
        return cookie_parser(header).get(self.cookie)  # the standard library's gives up at another app's odd cookie

    def _name(self, cookie: str | None) -> str:
        try:
            return self._signer.unsign(cookie or "").decode()
        except BadSignature:
            return ""
