"""The wall between agents and the desk, on real servers: the embedded one, and one with the file that is shipped."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import nats_server as server_module
from adapters import processes
from adapters.commands import FROM_OUTSIDE, send_command, serve_commands
from adapters.connection import Denied, connect
from adapters.jetstream import JetStreamLog, provision
from adapters.nats_server import NatsServer, binary
from adapters.permissions import AGENT, AGENT_COMMANDS, DESK, GATED_INSTRUCTIONS, GOVERNANCE, GOVERNED, accounts
from adapters.subjects import STREAMS, decision
from domain.errors import Conflict
from domain.instructions import Instruction
from domain.ports import Append
from ops.composition import open_log
from ops.nats.configuration import PASSWORDS, SHIPPED, rendered_passwords
from ops.read_side import _environment
from ops.settings import Settings, load
from tests.gateways.test_standing import OUTSIDE

UrlOf = Callable[[str], str]
HALTED = "cmd.tape.main.trading_halted"
VICTIMS = (
    "governance.decision.x",
    "tape.main",
    "ledger.main",
    "$JS.API.STREAM.DELETE.TAPE",
    "cmd.tape.main.trading_resumed",
)
ATTACKS = {  # what an agent says, and where it wants an answer
    **dict.fromkeys(
        (
            *(f"governance.{category}.x" for category in (*GOVERNED, "token")),
            "tape.main", "ledger.main", "ops.core", "calls.agent.2026-01-01", "snapshot.main", "research.insight.x",
            "audit.seal", "jobs.tune",
            "cmd.governance.decide", "cmd.governance.enrol",
            "cmd.governance.agent.draft", "cmd.governance.agent.decide",
            *(f"cmd.tape.main.{kind}" for kind in sorted(FROM_OUTSIDE - {"trading_halted"})),
            "cmd.tape.trading_halted", "cmd.tape.main.trading_halted.more", "cmd.core.main.reached", "cmd.ws.main.here",
            "_INBOX.somebody", "_R_.somebody.1", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.DESK.CONNZ",
        ),
        "",
    ),
    "$JS.API.INFO": "_INBOX.a",
    "$JS.API.CONSUMER.CREATE.TAPE.thief": "_INBOX.a",
    "$JS.API.CONSUMER.DURABLE.CREATE.TAPE.thief": "_INBOX.a",
    "$JS.API.DIRECT.GET.TAPE": "governance.decision.x",
    "$JS.API.DIRECT.GET.TAPE.tape.main": "governance.decision.x",
    "$JS.API.STREAM.MSG.GET.TAPE": "governance.decision.x",
    "$JS.API.STREAM.PURGE.GOVERNANCE": "_INBOX.a",
    "$JS.API.STREAM.DELETE.TAPE": "_INBOX.a",
    "$JS.API.STREAM.UPDATE.TAPE": "_INBOX.a",
    "$JS.API.STREAM.CREATE.MINE": "_INBOX.a",
    "$JS.DESK.API.INFO": "_INBOX.a",
}  # fmt: skip
BODIES = {  # of what needs one to be an attack
    "$JS.API.CONSUMER.CREATE.TAPE.thief": {
        "stream_name": "TAPE",
        "config": {"name": "thief", "deliver_subject": "governance.decision.x", "ack_policy": "none"},
        "action": "create",
    },
    "$JS.API.DIRECT.GET.TAPE": {"last_by_subj": "tape.main"},
    "$JS.API.STREAM.MSG.GET.TAPE": {"last_by_subj": "tape.main"},
    "$JS.API.STREAM.CREATE.MINE": {"name": "MINE", "subjects": ["governance.decision.>"], "storage": "memory"},
}


class Peer(NamedTuple):
    """A client as anybody could write one, and what the server said against it."""

    client: Client
    errors: list[str]

    async def says(self, subject: str, data: bytes = b"a", reply: str = "") -> list[str]:
        """What the server has against it."""
        self.errors.clear()
        await self.client.publish(subject, data, reply)
        await settled(self.client)
        return list(self.errors)


async def settled(client: Client) -> None:
    """Until the server has answered to everything: the first PING overtakes what the client still holds."""
    await client.flush()
    await client.flush()


@contextlib.asynccontextmanager
async def peer(url: str) -> AsyncIterator[Peer]:
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error).removeprefix("nats: "))

    client = await nats.connect(url, error_cb=on_error, allow_reconnect=False)
    try:
        yield Peer(client, errors)
    finally:
        await client.close()


class Desk:
    """The desk's side: its streams, and everything that is said in its account."""

    def __init__(self, log: JetStreamLog, client: Client, heard: asyncio.Queue[Msg]) -> None:
        self.log, self._client, self._heard = log, client, heard

    async def heads(self) -> dict[str, int]:
        return {stream.name: await self.log.head(stream.name) for stream in STREAMS}

    async def hears(self) -> list[Msg]:
        """What was said since it was asked last, up to what it says itself now."""
        marker, heard = f"test.{uuid.uuid4().hex}", []
        await self._client.publish(marker, b"")
        while (message := await self._heard.get()).subject != marker:
            if not message.subject.startswith("test."):
                heard.append(message)
        return heard


@contextlib.asynccontextmanager
async def desk_of(url_of: UrlOf) -> AsyncIterator[Desk]:
    async with asyncio.timeout(60), await connect(url_of(GOVERNANCE)) as connection, peer(url_of(GOVERNANCE)) as ears:
        await provision(connection)
        log = JetStreamLog(connection)
        with contextlib.suppress(Conflict):  # of the test before
            await log.append(Append("tape.main", b"a tick", {}, 0))
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        await ears.client.subscribe(">", cb=heard.put)
        await settled(ears.client)
        yield Desk(log, ears.client, heard)


@pytest.fixture(scope="module", params=["embedded", "shipped"])
def url_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UrlOf]:
    """The address of each user."""
    folder = tmp_path_factory.mktemp("wall")
    if request.param == "embedded":
        server = NatsServer(folder)
        server.start()
        yield server.url_of
        server.stop()
        return
    port, passwords = shipped_to(folder)
    process = processes.launch([str(binary()), "-c", str(folder / SHIPPED.name)], folder / "log")
    try:
        processes.await_ready(process, lambda: "Server is ready" in (folder / "log").read_text(), folder / "log")
        yield lambda user: f"nats://{user}:{passwords[user]}@127.0.0.1:{port}"
    finally:
        processes.stop(process)


def shipped_to(folder: Path) -> tuple[int, dict[str, str]]:
    """The shipped configuration with new passwords, on loopback and free ports."""
    text, port, monitor_port = SHIPPED.read_text(), processes.free_port(), processes.free_port()
    (folder / SHIPPED.name).write_text(
        text.replace("0.0.0.0", "127.0.0.1")
        .replace("port: 4222", f"port: {port}")
        .replace(":8222", f":{monitor_port}")
        .replace('"/data"', json.dumps(str(folder)))
    )
    lines = rendered_passwords()
    (folder / PASSWORDS).write_text(lines)
    found = [line.split(": ") for line in lines.splitlines()]
    return port, {name.removesuffix("_PASSWORD").lower(): json.loads(password) for name, password in found}


@pytest.fixture
async def desk(url_of: UrlOf) -> AsyncIterator[Desk]:
    async with desk_of(url_of) as opened:
        yield opened


@pytest.fixture
async def agent(url_of: UrlOf) -> AsyncIterator[Peer]:
    async with peer(url_of(AGENT)) as opened:
        yield opened


# -- agents ------------------------------------------------------------------------------------------------------------


async def test_what_an_agent_may_not_say_is_refused_by_name_and_reaches_nobody(desk: Desk, agent: Peer) -> None:
    before = await desk.heads()
    await desk.hears()
    for subject, reply in ATTACKS.items():
        body = json.dumps(BODIES.get(subject, {})).encode()
        assert await agent.says(subject, body, reply) == [f'permissions violation for publish to "{subject.lower()}"']
    assert await desk.hears() == []
    assert await desk.heads() == before
    assert await desk.log.subjects("governance.>") == []


async def test_the_account_alone_keeps_an_agent_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the user's own limits forgotten one day, nothing of the desk would be there to be reached."""

    def unlimited(passwords: dict[str, str]) -> dict[str, object]:
        table = accounts(passwords)
        del table["AGENTS"]["users"][0]["permissions"]
        return table

    monkeypatch.setattr(server_module, "accounts", unlimited)
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with desk_of(server.url_of) as desk, peer(server.url_of(AGENT)) as agent:
            before = await desk.heads()
            await desk.hears()
            heard = await agent.client.subscribe(">")
            for subject, reply in ATTACKS.items():
                await agent.says(subject, json.dumps(BODIES.get(subject, {})).encode(), reply)
            assert await desk.hears() == []
            assert await desk.heads() == before
            own = heard.pending_msgs
            await desk.log.append(Append("tape.other", b"another tick", {}, 0))
            await settled(agent.client)
            assert heard.pending_msgs == own
    finally:
        server.stop()


@pytest.mark.parametrize("subject", [">", "tape.*", "ledger.main", "cmd.>", "governance.>", "$JS.>", "_R_.>", "*.main"])
async def test_an_agent_hears_nothing_of_the_desk(desk: Desk, agent: Peer, subject: str) -> None:
    answers = await agent.client.subscribe("_INBOX.>")
    heard = await agent.client.subscribe(subject)
    await settled(agent.client)
    assert agent.errors == [f'permissions violation for subscription to "{subject.lower()}"']
    last = await desk.log.last("tape.main")
    assert last
    await desk.log.append(Append("tape.main", b"another tick", {}, last.sequence))
    await desk.log.connection.client.publish("_INBOX.somebody", b"an answer")
    await desk.hears()
    await settled(agent.client)
    assert (heard.pending_msgs, answers.pending_msgs) == (0, 0)


async def test_an_answer_that_an_agent_wants_elsewhere_stays_in_its_own_account(
    desk: Desk, agent: Peer, url_of: UrlOf
) -> None:
    taken: list[str] = []

    async def take(instruction: Instruction) -> int:
        taken.append(instruction.kind)
        return len(taken)

    before = await desk.heads()
    halt = OUTSIDE["trading_halted"].model_dump_json().encode()
    async with await connect(url_of(DESK)) as serving, serve_commands(serving, "main", take):
        await desk.hears()
        for victim in VICTIMS:
            assert await agent.says(HALTED, halt, victim) == []
            assert await agent.says("cmd.governance.draft", b"{}", victim) == []
        for reserved in ("_R_.somebody.1", "$JS.ACK.TAPE.x.1.1.1.1.1"):
            against = await agent.says(HALTED, halt, reserved)
            assert against == [f'permissions violation for publish with reply of "{reserved.lower()}"']
        async with await connect(url_of(DESK)) as asking:
            assert await send_command(asking, "main", OUTSIDE["trading_halted"]) == len(VICTIMS) + 1
        heard = await desk.hears()
    asked = [message for message in heard if message.subject.startswith("cmd.")][:-1]
    assert [message.subject for message in asked] == [HALTED, "cmd.governance.agent.draft"] * len(VICTIMS)
    assert all(message.reply.startswith("_R_.") for message in asked)
    said = {message.subject for message in heard}
    assert said.isdisjoint(VICTIMS)
    assert {message.reply for message in asked if message.subject == HALTED} <= said  # it was answered, to the agent
    assert await desk.heads() == before


async def test_an_agent_halts_the_desk_and_is_answered(desk: Desk, url_of: UrlOf) -> None:
    taken: list[Instruction] = []

    async def take(instruction: Instruction) -> int:
        taken.append(instruction)
        return 7

    async with (
        await connect(url_of(DESK)) as serving,
        await connect(url_of(AGENT)) as agent,
        serve_commands(serving, "main", take),
    ):
        assert await send_command(agent, "main", OUTSIDE["trading_halted"]) == 7
        with pytest.raises(Denied, match=r"does not let this user publish cmd\.tape\.main\.trading_resumed"):
            await send_command(agent, "main", OUTSIDE["trading_resumed"], timeout_s=3_600)
    assert taken == [OUTSIDE["trading_halted"]]


@pytest.mark.parametrize("name", AGENT_COMMANDS)
async def test_a_command_of_an_agent_arrives_as_an_agents(desk: Desk, url_of: UrlOf, name: str) -> None:
    arrived: list[str] = []

    async def take(message: Msg) -> None:
        arrived.append(message.subject)
        await message.respond(b"heard: " + message.data)

    async with (
        await connect(url_of(GOVERNANCE)) as governance,
        await connect(url_of(AGENT)) as agent,
        governance.serving("cmd.governance.>", take),
    ):
        assert (await agent.ask(f"cmd.governance.{name}", b"this")).data == b"heard: this"
    assert arrived == [f"cmd.governance.agent.{name}"]


# -- the desk's own services -------------------------------------------------------------------------------------------


async def test_the_services_of_the_desk_speak_for_no_gate(desk: Desk, url_of: UrlOf) -> None:
    before = await desk.heads()
    denied = [
        *(f"governance.{category}.x" for category in GOVERNED),
        *(f"cmd.tape.{name}.{kind}" for name in ("main", "other") for kind in GATED_INSTRUCTIONS),
    ]
    async with peer(url_of(DESK)) as service, await connect(url_of(DESK)) as connection:
        await desk.hears()
        for subject in denied:
            assert await service.says(subject) == [f'permissions violation for publish to "{subject.lower()}"']
        assert await desk.hears() == []
        with pytest.raises(Denied, match=r"governance\.decision\.x"):
            await JetStreamLog(connection).append(Append(decision("x"), b"approved", {}, 0))
        with pytest.raises(Denied, match="trading_resumed"):
            await send_command(connection, "main", OUTSIDE["trading_resumed"], timeout_s=3_600)
        assert await desk.heads() == before
        for allowed in (
            *(f"cmd.tape.main.{kind}" for kind in FROM_OUTSIDE - {*GATED_INSTRUCTIONS}),
            "cmd.governance.decide",
        ):
            assert await service.says(allowed) == []


async def test_the_governance_service_says_what_is_gated(tmp_path: Path) -> None:
    """By its own log, with a server of the data directory."""
    settings = Settings(data_dir=tmp_path)
    async with open_log(settings) as log, open_log(settings, GOVERNANCE) as governance:
        with pytest.raises(Denied):
            await log.append(Append(decision("x"), b"forged", {}, 0))
        assert await governance.append(Append(decision("x"), b"approved", {}, 0)) == 1
        assert (await log.last(decision("x"))).data == b"approved"  # type: ignore[union-attr]
        assert await log.append(Append("governance.token.one", b"a token", {}, 0)) == 2
        taken: list[str] = []

        async def take(instruction: Instruction) -> int:
            taken.append(instruction.kind)
            return len(taken)

        async with serve_commands(log.connection, "main", take):
            for kind in GATED_INSTRUCTIONS:
                await send_command(governance.connection, "main", OUTSIDE[kind])
        assert tuple(taken) == GATED_INSTRUCTIONS


async def test_with_a_server_of_its_own_the_governance_service_has_an_address_of_its_own(
    nats_server: NatsServer,
) -> None:
    given = {"nats_url": nats_server.url, "nats_monitor_url": nats_server.monitor_url}
    both = load(**given, governance_nats_url=nats_server.url_of(GOVERNANCE))
    name = f"x{uuid.uuid4().hex[:12]}"
    async with open_log(both, GOVERNANCE) as governance:
        await governance.append(Append(decision(name), b"approved", {}, 0))
    for settings, user in ((both, DESK), (load(**given), GOVERNANCE)):
        async with open_log(settings, user) as log:
            with pytest.raises(Denied):
                await log.append(Append(decision(f"{name}b"), b"forged", {}, 0))


def test_the_process_of_the_read_side_does_not_learn_the_governance_services_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDB_GOVERNANCE_NATS_URL", "nats://governance:s3cret@127.0.0.1:4222")
    settings = load(nats_url="nats://desk:known@127.0.0.1:4222")
    environment = _environment(settings, "read_side")
    assert environment["CDB_NATS_URL"] == "nats://desk:known@127.0.0.1:4222"
    assert "s3cret" not in "".join(environment.values())
    assert "s3cret" in _environment(settings, "governance")["CDB_GOVERNANCE_NATS_URL"]
