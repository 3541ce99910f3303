"""Access tokens on the log: created, revoked, and known to whoever follows. Only a token's SHA-256 is ever stored.

A token is `cdb_` and 256 random bits, so its bare hash cannot be guessed back; it is shown once, to whoever made it.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from adapters import subjects
from adapters.subjects import TOPIC
from domain.access import ACCESS_EVENT, ROLES, AccessEvent, Role, TokenCreated, TokenRevoked
from domain.errors import Conflict, InvalidInput, Unavailable
from domain.ports import Append, Log, Message

logger = logging.getLogger("cdb.access")

ACCESS = "access"
CATEGORY = "token"
BITS = 256
RETRY_PAUSE_S = 1.0  # beyond the log's own retry budget

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_EVERY = f"{subjects.GOVERNANCE.root}.{CATEGORY}.*"


class Access(NamedTuple):
    """A token by its name, as the log has it. Times are UTC ns; `expires_at_ns` 0: for ever; None: not revoked."""

    name: str
    role: Role
    sha256: str
    actor: str
    created_at_ns: int
    expires_at_ns: int
    revoked_at_ns: int | None = None

    def holds(self, now_ns: int) -> bool:
        """Does it open anything at this time?"""
        return self.revoked_at_ns is None and (not self.expires_at_ns or now_ns < self.expires_at_ns)


class TokenLog:
    """Every token of a log. `create`, `revoke` and `find` speak of what `load` or `following` read last."""

    def __init__(self, log: Log, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._log, self._now_ns = log, now_ns
        self._known: dict[str, Access] = {}
        self._ends: dict[str, int] = {}  # the last sequence of each name
        self._position = 0

    # -- changing ------------------------------------------------------------------------------------------------------

    async def create(self, name: str, role: str, actor: str, expires_at_ns: int = 0) -> str:
        """A new token, which nobody can be told again. Raises InvalidInput for what cannot be one, Conflict when the
        name was taken at this moment, Unavailable."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name[:60]!r} cannot name a token: use up to 32 lower-case letters, digits, '-' and '_'"
            )
        known = next((known for known in ROLES if known == role), None)
        if known is None:
            raise InvalidInput(f"there is no role {role[:60]!r}; there are {', '.join(ROLES)}")
        now_ns = self._now_ns()
        if expires_at_ns and expires_at_ns <= now_ns:
            raise InvalidInput(f"token {name!r} would expire before it begins; give a later time")
        await self.load()
        if name in self._known:
            raise InvalidInput(
                f"there was a token {name!r} already, and a name is given once, so that the log says who did what; "
                "choose another (`cdb token list` shows them)"
            )
        token = f"cdb_{secrets.token_urlsafe(BITS // 8)}"
        await self._append(
            TokenCreated(
                name=name,
                actor=actor,
                occurred_at_ns=now_ns,
                role=known,
                sha256=_sha256(token),
                expires_at_ns=expires_at_ns,
            )
        )
        return token

    async def revoke(self, name: str, actor: str, reason: str) -> Access:
        """The token opens nothing from here on. Revoking it again records nothing. Raises InvalidInput, Unavailable."""
        await self.load()
        access = self._known.get(name)
        if access is None:
            names = ", ".join(sorted(self._known)) or "none: `cdb token create` makes one"
            raise InvalidInput(f"there is no token {name[:60]!r}; there are {names}")
        if access.revoked_at_ns is None:
            await self._append(
                TokenRevoked(name=name, actor=actor, occurred_at_ns=self._now_ns(), reason=reason[:500] or "no reason")
            )
        return self._known[name]

    # -- knowing -------------------------------------------------------------------------------------------------------

    def tokens(self) -> list[Access]:
        """Every token that there ever was, by name."""
        return [self._known[name] for name in sorted(self._known)]

    def find(self, token: str) -> Access | None:
        """Whose token this is. None: nobody's, a revoked or an expired one. Takes as long for a near miss as for a far
        one."""
        digest, now_ns, found = _sha256(token), self._now_ns(), None
        for access in self._known.values():
            if hmac.compare_digest(digest, access.sha256):
                found = access
        return found if found and found.holds(now_ns) else None

    async def load(self) -> None:
        """Read what came since. Raises Unavailable."""
        async with aclosing(self._log.read(_EVERY, self._position)) as pages:
            async for page in pages:
                self._take(page)

    @asynccontextmanager
    async def following(self, pause_s: float = RETRY_PAUSE_S) -> "AsyncIterator[TokenLog]":
        """Know every token, and within moments every new and every revoked one, while the block runs. While the log is
        away what was known last counts. Raises Unavailable when it is at the beginning."""
        await self.load()
        task = asyncio.create_task(self._follow(pause_s), name="access tokens")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self, pause_s: float) -> None:
        while True:
            try:
                async with aclosing(self._log.follow(_EVERY, self._position)) as pages:
                    async for page in pages:
                        self._take(page)
            except Unavailable:
                await asyncio.sleep(pause_s)
            except Exception:  # whatever it was: who does not follow never hears that a token was revoked
                logger.exception("the access tokens cannot be followed, it is tried again")
                await asyncio.sleep(pause_s)

    # -- the log -------------------------------------------------------------------------------------------------------

    async def _append(self, event: AccessEvent) -> None:
        """One event a message, behind what is known of its name."""
        subject = subjects.governance(CATEGORY, event.name)
        data = event.model_dump_json().encode()
        try:
            sequence = await self._log.append(Append(subject, data, {TOPIC: ACCESS}, self._ends.get(event.name, 0)))
        except Conflict as conflict:
            raise Conflict(
                f"token {event.name!r} was changed by another at this moment; try again ({conflict})"
            ) from None
        self._fold(event, sequence)

    def _take(self, page: list[Message]) -> None:
        for message in page:
            name = message.subject.rpartition(".")[2]
            try:
                event = ACCESS_EVENT.validate_json(message.data)
                if event.name != name:
                    raise ValueError(f"it speaks of token {event.name!r}")
            except ValueError as error:
                logger.error("message %d on %s cannot be read, its token is closed: %s", message.sequence, name, error)
                self._known.pop(name, None)
                self._ends[name] = message.sequence
            else:
                self._fold(event, message.sequence)
            self._position = max(self._position, message.sequence)

    def _fold(self, event: AccessEvent, sequence: int) -> None:
        """What was folded before changes nothing: an own event is folded at once, and comes again."""
        if sequence <= self._ends.get(event.name, 0):
            return
        self._ends[event.name] = sequence
        access = self._known.get(event.name)
        if isinstance(event, TokenCreated):
            self._known[event.name] = Access(
                event.name, event.role, event.sha256, event.actor, event.occurred_at_ns, event.expires_at_ns
            )
        elif access:
            self._known[event.name] = access._replace(revoked_at_ns=event.occurred_at_ns)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
