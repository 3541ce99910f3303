"""Access tokens: shown once, stored as a hash, known to every follower, closed for good."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.memory import MemoryLog
from adapters.token_log import TokenLog
from domain.access import ACCESS_EVENT, ROLES, TokenCreated
from domain.errors import Conflict, InvalidInput, TapeBroken, Unavailable
from domain.ports import Append, Log
from tests import logs

DEADLINE_S = 30
NOW = 1_700_000_000_000_000_000


class Clock:
    now_ns = NOW

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture(params=logs.KINDS)
async def any_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def until(holds: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.005)


async def test_a_token_opens_its_role_to_whoever_reads_the_log_and_the_log_has_only_its_hash(any_log: Log) -> None:
    name = logs.new_name()
    token = await TokenLog(any_log).create(name, "agent", "jana")
    reader = TokenLog(any_log)
    await reader.load()
    found = reader.find(token)
    assert found is not None
    assert (found.name, found.role, found.actor) == (name, "agent", "jana")
    [message] = await logs.stored(any_log, f"governance.token.{name}")
    assert json.loads(message.data)["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert token.removeprefix("cdb_").encode() not in message.data
    assert len(token.removeprefix("cdb_")) == 43  # 256 bits, six a letter


@pytest.mark.parametrize("near", ["", "cdb_", "x", "{token}x", "{short}", "{other}", "{upper}", "ü" * 100])
async def test_what_is_not_the_token_opens_nothing(near: str) -> None:
    tokens = TokenLog(MemoryLog())
    token = await tokens.create("one", "operator", "jana")
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert tokens.find(near.format(token=token, short=token[:-1], other=other, upper=token.upper())) is None
    assert tokens.find(token) is not None


async def test_a_revoked_token_opens_nothing_from_then_on_for_every_follower(any_log: Log) -> None:
    name = logs.new_name()
    async with TokenLog(any_log).following() as follower:
        writer = TokenLog(any_log)
        token = await writer.create(name, "approver", "jana")
        await until(lambda: follower.find(token))
        assert (await writer.revoke(name, "karel", "it was in a chat")).revoked_at_ns
        assert writer.find(token) is None
        await until(lambda: not follower.find(token))


async def test_revoking_twice_records_nothing_more() -> None:
    log = MemoryLog()
    tokens = TokenLog(log)
    await tokens.create("one", "observer", "jana")
    first = await tokens.revoke("one", "jana", "done")
    assert await TokenLog(log).revoke("one", "karel", "once more") == first
    assert len(await logs.stored(log, "governance.token.*")) == 2


async def test_an_own_event_that_comes_again_brings_no_revoked_token_back() -> None:
    log = MemoryLog()
    tokens = TokenLog(log)
    token = await tokens.create("one", "observer", "jana")
    created, *_ = await logs.stored(log, "governance.token.*")
    await tokens.revoke("one", "jana", "done")
    tokens._take([created])
    assert tokens.find(token) is None


async def test_a_token_ends_at_the_very_nanosecond_that_was_said() -> None:
    clock = Clock()
    tokens = TokenLog(MemoryLog(), clock)
    token = await tokens.create("short", "observer", "jana", NOW + 10)
    clock.now_ns = NOW + 9
    assert tokens.find(token) is not None
    clock.now_ns = NOW + 10
    assert tokens.find(token) is None


async def test_a_name_is_given_once_also_after_it_was_revoked() -> None:
    log = MemoryLog()
    await TokenLog(log).create("one", "observer", "jana")
    await TokenLog(log).revoke("one", "jana", "done")
    with pytest.raises(InvalidInput, match="there was a token 'one' already"):
        await TokenLog(log).create("one", "observer", "jana")


async def test_of_two_who_take_a_name_at_once_one_has_it(any_log: Log) -> None:
    name, gated = logs.new_name(), logs.Gated(any_log)
    slow = asyncio.create_task(TokenLog(gated).create(name, "observer", "jana"))
    await gated.arrived.wait()
    token = await TokenLog(any_log).create(name, "operator", "karel")
    gated.gate.set()
    with pytest.raises(Conflict, match=name):
        await slow
    reader = TokenLog(any_log)
    await reader.load()
    found = reader.find(token)
    assert found is not None
    assert found.actor == "karel"


@pytest.mark.parametrize(
    ("name", "role", "expires", "says"),
    [
        ("", "observer", 0, "cannot name a token"),
        ("a.b", "observer", 0, "cannot name a token"),
        ("*", "observer", 0, "cannot name a token"),
        ("One", "observer", 0, "cannot name a token"),
        ("a" * 33, "observer", 0, "cannot name a token"),
        ("one", "root", 0, ", ".join(ROLES)),
        ("one", "observer", NOW, "give a later time"),
    ],
)
async def test_what_cannot_be_a_token_is_refused_and_nothing_stands(
    name: str, role: str, expires: int, says: str
) -> None:
    log = MemoryLog()
    with pytest.raises(InvalidInput, match=says):
        await TokenLog(log, Clock()).create(name, role, "jana", expires)
    assert not await logs.stored(log, "governance.>")


async def test_revoking_what_there_is_not_names_what_there_is() -> None:
    tokens = TokenLog(MemoryLog())
    await tokens.create("one", "observer", "jana")
    with pytest.raises(InvalidInput, match="there are one"):
        await tokens.revoke("two", "jana", "why not")


@pytest.mark.parametrize(
    "forged",
    [
        b"no json",
        b'{"type":"token_promoted","name":"one"}',
        b'{"type":"token_created","name":"one","actor":"x","occurred_at_ns":1,"role":"root","sha256":""}',
        TokenCreated(name="two", actor="x", occurred_at_ns=1, role="operator", sha256="0" * 64)
        .model_dump_json()
        .encode(),
    ],
)
async def test_what_cannot_be_read_closes_its_token_and_no_other(
    forged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    log = MemoryLog()
    tokens = TokenLog(log)
    one, two = [await tokens.create(name, "observer", "jana") for name in ("one", "two")]
    end = (await log.last("governance.token.one")).sequence  # type: ignore[union-attr]
    await log.append(Append("governance.token.one", forged, {}, end))
    reader = TokenLog(log)
    await reader.load()
    assert reader.find(one) is None
    assert reader.find(two) is not None
    assert "its token is closed" in caplog.text


@pytest.mark.parametrize("error", [Unavailable("cut"), TapeBroken("a page is not whole"), RuntimeError("a surprise")])
async def test_whatever_goes_wrong_while_following_a_token_revoked_afterwards_opens_nothing(error: Exception) -> None:
    log = MemoryLog()
    token = await TokenLog(log).create("one", "observer", "jana")
    away = _Away(log, error)
    async with TokenLog(away).following(pause_s=0.001) as follower:
        await until(lambda: away.refused)
        await TokenLog(log).revoke("one", "jana", "done")
        away.is_away = False
        await until(lambda: follower.find(token) is None)


async def test_while_the_log_is_away_what_was_known_counts_and_then_it_goes_on() -> None:
    log = MemoryLog()
    token = await TokenLog(log).create("one", "observer", "jana")
    away = _Away(log)
    async with TokenLog(away).following(pause_s=0.001) as follower:
        await until(lambda: away.refused > 2)
        assert follower.find(token) is not None
        away.is_away = False
        await TokenLog(log).revoke("one", "jana", "done")
        await until(lambda: follower.find(token) is None)


async def test_events_are_stored_as_the_golden_shapes_say() -> None:
    log = MemoryLog()
    await TokenLog(log, Clock()).create("one", "observer", "jana", NOW + 1)
    [message] = await logs.stored(log, "governance.token.one")
    event = ACCESS_EVENT.validate_json(message.data)
    assert event.model_dump_json().encode() == message.data
    assert set(json.loads(message.data)) == {
        "name", "actor", "occurred_at_ns", "type", "role", "sha256", "expires_at_ns",
    }  # fmt: skip


class _Away(logs.Wrapped):
    is_away, refused = True, 0

    def __init__(self, log: Log, error: Exception | None = None) -> None:
        super().__init__(log)
        self.error = error or Unavailable("the test cut the line")

    async def follow(self, subject: str, after: int = 0) -> Any:
        if self.is_away:
            self.refused += 1
            raise self.error
        async for page in self.log.follow(subject, after):
            yield page
