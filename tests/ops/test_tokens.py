"""What `cdb token` does: a token that is told once, opens what its role may, and can be closed."""

import json
from pathlib import Path

import pytest

from adapters.nats_server import NatsServer
from adapters.token_log import TokenLog
from domain.errors import InvalidInput
from ops.settings import Settings
from ops.tokens import TokenOperations
from tests import logs


class Asking(TokenOperations):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings


@pytest.fixture
def asking(nats_server: NatsServer, tmp_path: Path) -> Asking:
    return Asking(
        Settings(data_dir=tmp_path, nats_url=nats_server.url, nats_monitor_url=nats_server.monitor_url)
    )  # fmt: skip


async def holder(server: NatsServer, token: str) -> str | None:
    """Whose token it is, as the API asks."""
    async with logs.jetstream(server) as log:
        tokens = TokenLog(log)
        await tokens.load()
        found = tokens.find(token)
    return f"{found.name}, {found.role}" if found else None


async def test_a_token_opens_until_it_is_revoked_and_is_told_only_once(asking: Asking, nats_server: NatsServer) -> None:
    name = logs.new_name()
    made = await asking.create_token(name, "operator", None)
    assert (made["name"], made["role"], made["state"], made["expires_at"]) == (name, "operator", "valid", None)
    assert await holder(nats_server, made["token"]) == f"{name}, operator"
    listed = [row for row in await asking.tokens() if row["name"] == name]
    assert listed == [{key: value for key, value in made.items() if key != "token"}]
    assert made["token"] not in json.dumps(listed)
    revoked = await asking.revoke_token(name, "she left")
    assert revoked["state"] == "revoked"
    assert revoked["revoked_at"] > made["created_at"]
    assert await holder(nats_server, made["token"]) is None
    assert await asking.revoke_token(name, "again") == revoked


async def test_a_token_may_end_by_itself(asking: Asking) -> None:
    made = await asking.create_token(logs.new_name(), "observer", 1)
    assert made["state"] == "valid"
    assert made["created_at"] < made["expires_at"]


@pytest.mark.parametrize("days", [0, -1, 36_501, 10**12])
async def test_days_that_make_no_sense_are_refused(asking: Asking, days: int) -> None:
    with pytest.raises(InvalidInput, match=f"--days {days} is not within 1 to 36500"):
        await asking.create_token(logs.new_name(), "observer", days)


async def test_a_role_that_there_is_not_and_a_name_that_was_given_are_refused(asking: Asking) -> None:
    name = logs.new_name()
    with pytest.raises(InvalidInput, match="there is no role 'boss'"):
        await asking.create_token(name, "boss", None)
    await asking.create_token(name, "agent", None)
    with pytest.raises(InvalidInput, match="a name is given once"):
        await asking.create_token(name, "agent", None)
