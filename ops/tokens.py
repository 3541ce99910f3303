"""Access tokens of the HTTP API as the command line asks for them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.token_log import Access, TokenLog
from domain.errors import InvalidInput
from domain.tape import utc
from ops.composition import open_log
from ops.control import who
from ops.settings import Settings

DAY_NS = 86_400 * 10**9
DAYS_MAX = 36_500


class TokenOperations:
    """Implements gateways.cli_token.TokenOperations."""

    _settings: Settings

    async def create_token(self, name: str, role: str, days: int | None) -> Mapping[str, Any]:
        """A new token. `token` is told here and never again; `days` None: it holds for ever."""
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise InvalidInput(f"--days {days} is not within 1 to {DAYS_MAX}; without it the token holds for ever")
        expires_at_ns = 0 if days is None else time.time_ns() + days * DAY_NS
        async with open_log(self._settings) as log:
            tokens = TokenLog(log)
            token = await tokens.create(name, role, who(), expires_at_ns)
            (access,) = [access for access in tokens.tokens() if access.name == name]
        return _row(access) | {"token": token}

    async def tokens(self) -> Sequence[Mapping[str, Any]]:
        """Every token that there ever was."""
        async with open_log(self._settings) as log:
            tokens = TokenLog(log)
            await tokens.load()
        return [_row(access) for access in tokens.tokens()]

    async def revoke_token(self, name: str, reason: str) -> Mapping[str, Any]:
        """From here on the token opens nothing."""
        async with open_log(self._settings) as log:
            return _row(await TokenLog(log).revoke(name, who(), reason))


def _row(access: Access) -> dict[str, Any]:
    revoked, expires = access.revoked_at_ns, access.expires_at_ns
    state = "revoked" if revoked is not None else "valid" if access.holds(time.time_ns()) else "expired"
    return {
        "name": access.name,
        "role": access.role,
        "state": state,
        "by": access.actor,
        "created_at": utc(access.created_at_ns),
        "expires_at": utc(expires) if expires else None,
        "revoked_at": None if revoked is None else utc(revoked),
    }
