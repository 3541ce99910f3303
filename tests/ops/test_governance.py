"""The governance service as a process of its own, on real servers: what agents reach by their own credentials, and what
stands behind kill -9."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.connection import Connection, Denied, connect
from adapters.documents import GitDocuments
from adapters.embedded import EmbeddedServers
from adapters.governance_commands import Request, ask_governance
from adapters.permissions import AGENT, AGENT_COMMANDS
from domain.agents import COMMANDS
from domain.errors import DeskError, Refused
from domain.governance import Governance
from domain.operations import OPS_EVENT, CommandRefused
from ops.governance import open_governor
from ops.settings import load
from ops.verify_governance import prove
from tests import approving, logs
from tests.ops.desks import Cdb, until, write_quotes

POLICY = {"name": "activate_policy", "desk": "main"}


@pytest.fixture
async def cdb(tmp_path: Path) -> AsyncIterator[Cdb]:
    found = Cdb(tmp_path / "data")
    yield found
    await found.close()


@asynccontextmanager
async def agents(cdb: Cdb) -> AsyncIterator[Connection]:
    """A connection with the agents' own credentials."""
    servers = EmbeddedServers(cdb.path)
    servers.running_nats()  # learns where it listens
    async with await connect(servers.nats_url_of(AGENT), budget_s=10) as connection:
        yield connection


def draft(**content: Any) -> dict[str, Any]:
    return {"command": content, "reason": "the analysis says so"}


def publication(number: int) -> dict[str, Any]:
    return {
        "name": "publish",
        "publication": {
            "documents": {"CDB_INSIGHTS": f"# Insights\n\nNumber {number}.\n"},
            "before": {"CDB_INSIGHTS": ""},
            "message": "Update CDB_INSIGHTS",
            "branch": f"insights-{number}",
            "pull_request": {"title": f"Insights {number}", "body": "as discussed"},
        },
    }


async def refusals(cdb: Cdb) -> list[CommandRefused]:
    async with cdb.log() as log:
        stored = [OPS_EVENT.validate_json(message.data) for message in await logs.stored(log, "ops.governance")]
    return [event for event in stored if isinstance(event, CommandRefused)]


async def test_an_agent_proposes_by_its_own_credentials_and_a_person_decides_beside_it(
    cdb: Cdb, tmp_path: Path
) -> None:
    quotes, desk = write_quotes(tmp_path / "EURUSD.csv", 300), cdb.desk()
    await cdb("run", "--feed", f"file:{quotes}", "--exit-when-done")
    service = await cdb.start("serve", "governance")
    await cdb.ready(service, "governance")
    async with agents(cdb) as connection:

        async def ask(command: str, actor: str, content: Any, role: str = "") -> Any:
            return await ask_governance(connection, command, Request(actor=actor, role=role, content=content))

        wide = draft(**POLICY, policy=desk.policy_of("bench-wide"))
        drafted = await ask("draft", "session-lead", wide, "risk-architect")
        assert (drafted["status"], drafted["state"]) == ("pending_decision", "presented")
        view = await ask("ask", "session-lead", {"about": "proposal", "proposal": drafted["proposal"]})
        assert "bench-wide" in view["shown"]
        await until(lambda: _waiting(cdb, 1))

        for command, actor, content, code in (
            ("draft", "gemini", wide, "not_permitted"),
            ("apply", "session-lead", {"proposal": drafted["proposal"]}, "invalid_state"),
            ("draft", "nobody", draft(**POLICY, policy=desk.policy_of("ftmo-1step-funded")), "unknown_role"),
            ("withdraw", "risk-architect", {"proposal": drafted["proposal"], "reason": "x"}, "not_permitted"),
            ("draft", "", wide, "unknown_role"),  # who names no actor is not taken for the user
        ):
            with pytest.raises(Refused) as refused:
                await ask(command, actor, content)
            assert refused.value.code == code, (command, actor, refused.value)
        for command in ("decide", "enrol"):
            with pytest.raises(Denied):
                await ask(command, "session-lead", {})

        applied = await approving.decided(desk, drafted["proposal"])
        assert (applied["state"], applied["effects"][0]["kind"]) == ("applied", "instruction")
        tighter = desk.policy_of("bench-wide") | {"version": 2}
        tighter["risk"] = dict(tighter["risk"]) | {"positions_max": 1}
        assert (await ask("draft", "risk-architect", draft(**POLICY, policy=tighter)))["state"] == "applied"
    await cdb.interrupted(service)
    assert {(event.actor, event.code) for event in await refusals(cdb)} >= {
        ("gemini", "not_permitted"), ("session-lead", "invalid_state"), ("nobody", "unknown_role"),
    }  # fmt: skip
    await cdb.assert_verified()


async def test_every_command_that_agents_may_send_is_one_of_the_table() -> None:
    assert set(AGENT_COMMANDS) <= set(COMMANDS)
    assert not {"decide", "enrol"} & set(AGENT_COMMANDS)


async def test_two_services_on_one_log_take_turns(cdb: Cdb) -> None:
    first = await cdb.start("serve", "governance")
    await cdb.ready(first, "governance")
    second = Cdb(cdb.path)
    try:
        standby = await second.start("serve", "governance")
        await until(lambda: _says(second, "starting"))
        await cdb.interrupted(first)
        await second.ready(standby, "governance")
        assert (await cdb.desk().governance("ask", {"about": "roles"}))["roles"]
    finally:
        await second.close()


async def _waiting(cdb: Cdb, pending: int) -> bool:
    page = await cdb.page("governance")
    return page is not None and (page[1]["figures"]["pending"], page[1]["figures"]["overdue"]) == (pending, 0)


async def _says(cdb: Cdb, state: str) -> bool:
    page = await cdb.page("governance")
    return page is not None and page[1]["state"] == state


async def rounds(cdb: Cdb, times: int, seed: int) -> None:
    """Approve publications while the service is killed at random moments of their delivery."""
    chance, desk = random.Random(seed), cdb.desk()
    await approving.enrolled(desk)
    for number in range(1, times + 1):
        drafted = await desk.governance("draft", draft(**publication(number)))
        service = await cdb.start("serve", "governance")
        await cdb.ready(service, "governance")
        deciding = asyncio.create_task(approving.decided(desk, drafted["proposal"]))
        await asyncio.sleep(chance.random() * 0.8)  # a moment of the delivery, which is what is drawn
        service.kill()
        await service.wait()
        with contextlib.suppress(DeskError):  # who gets no answer asks again
            await deciding
        again = await desk.governance("ask", {"about": "proposal", "proposal": drafted["proposal"]})
        if again["question"]:
            await approving.decided(desk, drafted["proposal"])
        settings = load(data_dir=cdb.path)
        async with open_governor(settings) as (governor, log):
            await governor.gate.sweep()
            state: Governance = governor.gate.state
            assert state.proposal(drafted["proposal"]).state == "applied", number
            assert (await prove(log, "main", [])).findings == []
        documents = GitDocuments(cdb.path / "documents")
        found = await documents.read("CDB_INSIGHTS", f"insights-{number}")
        assert found is not None
        assert f"Number {number}." in found.text
    requests = sorted((cdb.path / "pull-requests").glob("*.json"))
    assert len(requests) == times, requests


async def test_a_killed_delivery_is_finished_once(cdb: Cdb) -> None:
    await rounds(cdb, 2, 1)


@pytest.mark.slow
async def test_killed_deliveries_are_finished_once(cdb: Cdb) -> None:
    await rounds(cdb, 20, 2)
