"""Governance in memory over a real git repository: a gate, its runs, a person who signs, and a log that dies."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from adapters.documents import GitDocuments, own_repository
from adapters.forge import LocalForge
from adapters.jetstream import JetStreamLog
from adapters.memory import MemoryLog
from domain.agents import USER, Actor, Workflow
from domain.approval import ApprovalBody, Signed, to_sign
from domain.ports import Append
from domain.proposal import Proposal
from domain.workflow import Run
from ops.effects import Effects
from ops.gatekeeper import Gatekeeper, Receipt
from ops.proposal_standing import Standings
from ops.run_requests import Give, Start
from ops.settings import load
from ops.workflows import Kind, Workflows
from tests import signing
from tests.signing import JANA

USER_JANA = Actor("jana", USER)
DESK = "main"
Kinds = Callable[["Governed"], Mapping[Workflow, Kind]]


class Killed(BaseException):
    """The process ends here."""


class MortalLog(MemoryLog):
    """Dies once, at the n-th decision that is stored: before it stands, or as soon as it does."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions, self.dies_at, self.after = 0, 0, False

    async def append(self, message: Append) -> int:
        return await self._decision([message], super().append(message))

    async def append_batch(self, messages: Sequence[Append]) -> int:
        return await self._decision(messages, super().append_batch(messages))

    async def _decision(self, _: Sequence[Append], storing: Any) -> int:
        self.decisions += 1
        dies = self.decisions == self.dies_at
        if dies and not self.after:
            storing.close()
            raise Killed
        sequence = int(await storing)
        if dies:
            raise Killed
        return sequence


class Governed:
    """One process's governance of a log; `again` is the process behind a crash."""

    def __init__(self, folder: Path, kinds: Kinds, log: MortalLog | None = None) -> None:
        self.folder, self._kinds = folder, kinds
        self.log = log or MortalLog()
        self.documents = GitDocuments(own_repository(folder / "documents"))
        self.forge = LocalForge(self.documents.path, folder / "pull-requests")
        self.now = signing.NOW
        stream = cast(JetStreamLog, self.log)  # nothing here reaches a tape
        settings = load(data_dir=folder)
        self.gate = Gatekeeper(
            stream,
            Standings(settings, stream, self.documents),
            Effects(settings, stream, self.documents, self.forge),
            now_ns=self._tick,
        )
        self.workflows = Workflows(self.gate, kinds(self))

    def _tick(self) -> int:
        self.now += 1_000
        return self.now

    @classmethod
    async def open(cls, folder: Path, kinds: Kinds, log: MortalLog | None = None) -> "Governed":
        governed = cls(folder, kinds, log)
        await governed.gate.open("paper-main")
        if not governed.gate.state.approvers.all():
            await governed.gate.enrol(signing.enrolled(JANA))
        return governed

    async def again(self) -> "Governed":
        """A new process on what stands."""
        governed = type(self)(self.folder, self._kinds, self.log)
        governed.now = self.now
        await governed.gate.open("paper-main")
        return governed

    async def start(self, kind: Workflow, goal: str = "as agreed", actor: Actor = USER_JANA, **fields: Any) -> Run:
        """A run, taken as far as it goes."""
        start = Start(action="start", kind=kind, goal=goal, desk=DESK, **fields)
        return await self.workflows.advance((await self.workflows.start(actor, start)).name)

    async def give(self, run: Run, **given: Any) -> Run:
        return await self.workflows.give(Give(action="give", run=run.name, input=given), USER_JANA)

    async def decide(self, run: Run, verdict: str = "approved", reason: str = "as shown") -> Receipt:
        """A signed verdict over what is shown of the run's proposal."""
        return await self.signed(self.proposal(run).name, verdict, reason)

    async def signed(self, name: str, verdict: str = "approved", reason: str = "as shown") -> Receipt:
        """A signed verdict over what is shown of a proposal."""
        proposal = self.gate.state.proposal(name)
        shown = proposal.presented
        assert shown is not None
        draft = proposal.draft
        said = {
            "proposal": proposal.name, "command": draft.command.name, "args_sha256": draft.args_sha256,
            "policy": f"v{draft.policy_version}", "base": shown.base, "shown_sha256": shown.shown_sha256,
            "environment": draft.environment, "nonce": draft.nonce, "expires_at_ns": draft.expires_at_ns,
            "verdict": verdict, "reason": reason, "key_id": JANA.id, "signed_at_ns": self.now,
        }  # fmt: skip
        body = ApprovalBody.model_validate(said)
        return await self.gate.decide(Signed(body=body, signature=JANA.sign(to_sign(body))))

    async def go(self, run: Run) -> Run:
        return await self.workflows.go(run.name, USER_JANA)

    def proposal(self, run: Run) -> Proposal:
        return self.gate.state.proposal(self.run(run).proposals[-1])

    def run(self, run: Run) -> Run:
        return self.gate.state.run(run.name)

    async def text(self, name: str, branch: str | None = None) -> str:
        found = await self.documents.read(name, branch)
        return found.text if found else ""

    def requests(self) -> list[Path]:
        return sorted((self.folder / "pull-requests").glob("*.json"))


def events(governed: Governed) -> list[str]:
    """The type of every event of governance, in order."""
    return [topic for message in governed.log._stored["GOVERNANCE"] for topic in message.headers["Topic"].split(",")]
