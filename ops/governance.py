"""The governance service: every command of COMMANDS to its handler, who asks, what is refused and recorded, and the
sweep. It runs as a service of its own, or for one command in the process that asks when no service runs."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.governance_commands import Request, ask_governance, problem, serve_governance
from adapters.jetstream import JetStreamLog
from adapters.ops_log import OpsLog
from adapters.permissions import GOVERNANCE
from adapters.progress import is_running, only_one
from adapters.testimony_log import testify
from domain.agents import USER, Actor, refuse_unpermitted
from domain.approval import Signed
from domain.approvers import APPROVER_EVENT
from domain.commands import Desk
from domain.errors import Conflict, DeskError, InvalidInput, Refused
from domain.gate import Draft
from domain.instructions import CancelRequested, Instruction
from domain.operations import CommandRefused, OpsEvent
from domain.ports import Log
from domain.testimony import Testimony
from domain.workflow import triggered_by
from ops.agent_watch import AgentWatch, Heartbeat
from ops.background import open_background
from ops.composition import open_documents, open_forge, open_log
from ops.control import Outcome, instruct, who
from ops.effects import Effects
from ops.gatekeeper import Gatekeeper, Receipt
from ops.governance_views import VIEWS, run_view
from ops.learning import Learning
from ops.proposal_standing import Standings
from ops.role_update import SAID
from ops.services import halt_latch
from ops.session import beside
from ops.settings import Settings
from ops.workflow_kinds import kinds
from ops.workflows import Workflows

log = logging.getLogger("cdb.governance")

SERVICE = "governance"
EVERYWHERE = "all"  # one service for all desks of a log
SWEEP_EVERY_S = 1.0
STANDBY_S = 1.0
CONVERSATION = "conversation"
PATIENCE_S = 0.2  # that the service has with long work before it goes on with other things

Content = Mapping[str, Any]
Handler = Callable[[Actor, Content], Awaitable[Content]]
Say = Callable[[str, Instruction], Awaitable[Outcome]]  # a desk, an instruction for it


class Governor:
    """Every command to governance, on one log. `record` takes OPS events and must not block; `say` puts an instruction
    on a desk's tape and waits for the engine's answer."""

    def __init__(
        self, gate: Gatekeeper, workflows: Workflows, store: Log, record: Callable[[OpsEvent], None], say: Say
    ) -> None:
        self.gate, self.workflows, self._store, self._record, self._say = gate, workflows, store, record, say
        self.agents = AgentWatch(record, gate.now_ns)
        self._handlers: dict[str, Handler] = {
            "ask": self._ask,
            "draft": self._draft,
            "order": self._draft,
            "decide": self._decide,
            "withdraw": self._withdraw,
            "apply": self._apply,
            "enrol": self._enrol,
            "run": self._run,
            "record": self._testify,
            "heartbeat": self._heartbeat,
            "cancel": self._cancel,
        }

    async def handle(self, command: str, from_agent: bool, request: Request) -> Content:
        """The answer. A refusal is recorded and raised, and so is what is no valid command. Raises Refused,
        InvalidInput, Unavailable."""
        name = request.actor or who()
        try:
            handler = self._handlers.get(command)
            if handler is None:
                raise InvalidInput(f"{command!r} is no command of governance; there are {', '.join(self._handlers)}")
            actor = self._actor(from_agent, request)
            if command not in ("draft", "order"):  # the gate judges these by what is drafted
                refuse_unpermitted(actor, command)  # type: ignore[arg-type]  # a key of the handlers is a command
            try:
                return await handler(actor, request.content)
            except ValidationError as error:
                raise InvalidInput(f"{command}: {problem(error)}") from None
        except (Refused, InvalidInput) as refused:
            about = str(request.content.get("proposal") or request.content.get("run") or "")[:128]
            self._record(
                CommandRefused(
                    service=SERVICE, occurred_at_ns=self.gate.now_ns(), actor=name[:128], command=command[:64],
                    code=getattr(refused, "code", "invalid"), message=str(refused)[:2_000], subject=about,
                )
            )  # fmt: skip
            raise

    async def onward(self, command: str, answer: Content) -> Content:
        """The answer once the run that it is about has gone as far as it goes: what the service's sweep does."""
        if command not in ("run", "decide", "withdraw"):
            return answer
        name = str(answer.get("run") or self.gate.state.proposal(str(answer.get("proposal"))).draft.run)
        if name:
            run = await self.workflows.advance(name)
            return run_view(run) if command == "run" else answer
        return answer

    def _actor(self, from_agent: bool, request: Request) -> Actor:
        """An agent is who its records say; whoever has the desk's own credentials and names no agent is the user."""
        if from_agent and not request.actor:
            raise Refused("unknown_role", "an agent's command names its actor")
        if request.actor:
            return self.gate.state.actor(request.actor, request.role)
        return Actor(who(), USER)

    # -- the commands --------------------------------------------------------------------------------------------------

    async def _ask(self, _: Actor, content: Content) -> Content:
        about = str(content.get("about", ""))
        if about == "agents":
            return self.agents.view(self.gate.state.active_roles())
        if about not in VIEWS:
            raise InvalidInput(f"ask about {about[:60]!r}: there are {', '.join([*VIEWS, 'agents'])}")
        if about == "proposal":
            await self.gate.present(str(content.get("proposal", "")))
        return VIEWS[about](self.gate.state, content, self.gate.now_ns())

    async def _draft(self, actor: Actor, content: Content) -> Content:
        draft = Draft.model_validate(dict(content))
        if draft.run:
            raise Refused("not_permitted", f"run {draft.run[:80]} proposes by its own plan alone; draft without a run")
        return _plain(await self.gate.draft(draft, actor))

    async def _decide(self, _: Actor, content: Content) -> Content:
        return _plain(await self.gate.decide(Signed.model_validate(content.get("signed"))))

    async def _withdraw(self, actor: Actor, content: Content) -> Content:
        named = _Named.model_validate(dict(content))
        return _plain(await self.gate.withdraw(named.proposal, actor, named.reason))

    async def _apply(self, actor: Actor, content: Content) -> Content:
        return _plain(await self.gate.apply(_Named.model_validate(dict(content)).proposal, actor))

    async def _enrol(self, _: Actor, content: Content) -> Content:
        event = APPROVER_EVENT.validate_python(content.get("event"))
        await self.gate.enrol(event)
        return {"key_id": event.key_id, "type": event.type}

    async def _run(self, actor: Actor, content: Content) -> Content:
        return await self.workflows.command(actor, content)

    async def _testify(self, actor: Actor, content: Content) -> Content:
        """Store what somebody says; a conversation that announces a responsibility starts a run, which waits for its
        wording."""
        said = _Said.model_validate(dict(content))
        if said.run:
            self.gate.state.run(said.run)
        testimony = Testimony(
            occurred_at_ns=self.gate.now_ns(), asserted_by=actor.name, role=actor.role.name if actor.role else "",
            untrusted=actor.level != USER, **said.model_dump(exclude={"desk"}),
        )  # fmt: skip
        place = await testify(self._store, testimony)
        kind = triggered_by(said.text) if said.category == CONVERSATION else None
        run = await self.workflows.triggered(kind, said.text, said.desk, f"{SAID} {place}") if kind else None
        return {"testimony": place, "run": run.name if run else None}

    async def _heartbeat(self, actor: Actor, content: Content) -> Content:
        self.agents.heard(actor, Heartbeat.model_validate(dict(content)))
        return {"agent": actor.name, "again_within_s": self.gate.state.policy.heartbeat_ns // 1_000_000_000}

    async def _cancel(self, actor: Actor, content: Content) -> Content:
        """Take a working order back: that widens nothing, so no signature is needed."""
        asked = _Cancel.model_validate(dict(content))
        authority = actor.role.name if actor.role else "operator"
        instruction = CancelRequested(
            id=f"cancel-{uuid.uuid4().hex}", actor=actor.name, authority=authority, occurred_at_ns=0, order=asked.order
        )
        return (await self._say(asked.desk, instruction))._asdict()

    async def sweep(self) -> None:
        """Record what has expired and who is silent, and go on with what was begun."""
        self.agents.sweep(self.gate.state.policy.heartbeat_ns)
        await self.gate.sweep()


class _Named(BaseModel):
    proposal: str
    reason: str = "withdrawn"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")

    category: str
    text: str
    run: str = ""
    desk: Desk = "main"


class _Cancel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    desk: Desk
    order: int = Field(ge=1)


def _plain(receipt: Receipt) -> Content:
    """A receipt ready for JSON."""
    return receipt._asdict() | {"effects": [effect.model_dump() for effect in receipt.effects]}


# -- where it runs -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_governor(
    settings: Settings, patience_s: float | None = None
) -> AsyncIterator[tuple[Governor, JetStreamLog]]:
    """Governance of the log in this process, in nobody else's while the block lasts. `patience_s` as in
    ops/background.py. Raises Conflict when another process has it, Unavailable."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_log(settings, GOVERNANCE))
        await stack.enter_async_context(only_one(store.connection, EVERYWHERE, SERVICE))
        events = await stack.enter_async_context(OpsLog.open(store))
        documents = open_documents(settings)
        forge = open_forge(settings)
        gate = Gatekeeper(store, Standings(settings, store, documents), Effects(settings, store, documents, forge))
        await gate.open(settings.environment)
        background = await stack.enter_async_context(open_background(patience_s))
        workflows = Workflows(gate, kinds(settings, gate, store, documents, forge, background))

        async def say(desk: str, instruction: Instruction) -> Outcome:
            latch = halt_latch(settings.model_copy(update={"desk": desk}))
            return await instruct(store, desk, instruction, latch)

        yield Governor(gate, workflows, store, events.record, say), store


async def serve(settings: Settings, *, ready: Callable[[], None], measure: Callable[..., None]) -> None:
    """The service, until it is cancelled; while another process has its place it stands by. `measure` takes what its
    page shows: how many proposals wait, and how many of them longer than the governance policy wants. Raises
    Unavailable."""
    while True:
        try:
            async with (
                open_governor(settings, PATIENCE_S) as (governor, store),
                serve_governance(store.connection, governor.handle),
            ):
                ready()
                # Each at its own pace: a long run delays no verdict.
                verdicts = _every(partial(_swept, governor, measure))
                await beside(
                    verdicts, _every(partial(_worked, governor, Learning(store, governor.gate, governor.workflows)))
                )
        except Conflict as conflict:
            log.info("governance stands by: %s", conflict)
            await asyncio.sleep(STANDBY_S)


async def _swept(governor: Governor, measure: Callable[..., None]) -> None:
    """Record what expired, go on with what was begun, and tell what waits."""
    state, now_ns = governor.gate.state, governor.gate.now_ns()
    waited_ns = [now_ns - proposal.draft.occurred_at_ns for proposal in state.pending()]
    overdue = sum(waited > state.policy.waiting_alert_ns for waited in waited_ns)
    measure(pending=len(waited_ns), overdue=overdue, oldest_waiting_s=max(waited_ns, default=0) // 10**9)
    await governor.sweep()


async def _worked(governor: Governor, learning: Learning) -> None:
    """Take every run as far as it goes, and start those that a weak strategy asks for."""
    await governor.workflows.sweep()
    await learning.sweep()


async def _every(sweep: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await sweep()
        except DeskError as error:
            log.warning("a sweep of governance was left: %s", error)
        except Exception:  # what nobody foresaw ends no service
            log.exception("a sweep of governance failed")
        await asyncio.sleep(SWEEP_EVERY_S)


class Here(NamedTuple):
    """Governance as gateways ask it (gateways/governing.py): by the service that runs, else in this process."""

    settings: Settings

    async def ask(self, command: str, content: Content, *, actor: str = "", role: str = "") -> Content:
        """Raises Refused, InvalidInput, Unavailable."""
        request = Request(actor=actor, role=role, content=dict(content))
        async with open_log(self.settings) as store:
            if await is_running(store.connection, EVERYWHERE, SERVICE):
                return await ask_governance(store.connection, command, request)
        async with open_governor(self.settings) as (governor, _):
            return await governor.onward(command, await governor.handle(command, False, request))
