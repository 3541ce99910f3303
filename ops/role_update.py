"""WF3, agents and decisions: a role or a decision is worded, gated, then AGENTS.md and DECISION_LOG.md say so.

Nobody invents a role: a run that has only a goal waits until somebody gives its wording.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.governance_commands import problem
from domain.agents import Role
from domain.commands import Command, DefineRole, Publication, PullRequestText, RecordDecision, RetireRole
from domain.documents import Documents
from domain.errors import Refused
from domain.gate import Draft
from domain.governance import Governance
from domain.presentation import title
from domain.proposal import Proposal
from domain.tape import utc
from domain.workflow import GovernanceUpdated, Run
from ops import run_report
from ops.gatekeeper import Gatekeeper
from ops.publications import free_branch, publication
from ops.workflows import Steps, Waits
from projections.agents_document import render
from projections.german import text

AGENTS, DECISION_LOG = "AGENTS", "DECISION_LOG"
BRANCH = "governance-update"
SAID = "testimony"  # the trigger of a run that somebody's words started


class _Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str = Field(min_length=1, max_length=2_000)
    context: str = Field("", max_length=4_000)
    reference: str = Field("", max_length=500)


class Wording(BaseModel):
    """The input of a run: one of the three. `reason` is why; the goal where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role | None = None
    retire: str | None = Field(None, max_length=64)
    decision: _Decision | None = None
    reason: str = Field("", max_length=500)


class RoleUpdate:
    """Implements ops.workflows.Kind."""

    def __init__(self, gate: Gatekeeper, documents: Documents) -> None:
        self._gate, self._documents = gate, documents

    async def analyse(self, run: Run, steps: Steps) -> None:
        said = run.start.trigger.startswith(SAID)
        command = _command(run, self._gate.state, untrusted=said)
        await steps.finish("wording", title(command), untrusted=said)

    async def plan(self, run: Run) -> Draft | None:
        governance, now_ns = self._gate.state, self._gate.now_ns()
        command = _command(run, governance)
        before = governance.roles[name].role if (name := _role(command)) in governance.roles else None
        if isinstance(command, DefineRole) and command.role == before:
            return None
        texts = {DECISION_LOG: await self._decision_log(run, command, now_ns)}
        if name:
            texts[AGENTS] = render(_roles_after(governance, command))
        published = await self._publication(run, command, texts, now_ns)
        return Draft(
            command=command.model_copy(update={"publication": published}),
            reason=run.start.goal,
            effects=(title(command), f"{', '.join(sorted(texts))} say so"),
            rollback=_rollback(command, before),
        )

    async def _publication(self, run: Run, command: Command, texts: dict[str, str], now_ns: int) -> Publication:
        """On main where the policy takes every document there, else on a branch with a pull request."""
        message = f"Governance: {title(command)}"
        if texts.keys() <= set(self._gate.state.policy.fast_track):
            return await publication(self._documents, texts, message, "", None)
        branch = await free_branch(self._documents, self._gate.state, BRANCH, run.name, now_ns)
        body = "\n".join(
            [f"{text(title(command))}.", "", f"- Goal: {text(run.start.goal)}", f"- Run: {run.name}",
             f"- Documents: {', '.join(sorted(texts))}"]
        )  # fmt: skip
        request = PullRequestText(title=message[:200], body=body)
        return await publication(self._documents, texts, message, branch, request)

    async def _decision_log(self, run: Run, command: Command, now_ns: int) -> str:
        """The log with this entry behind it."""
        stands = await self._documents.read(DECISION_LOG)
        log = stands.text.rstrip() if stands else "# DECISION LOG"
        return f"{log}\n\n{entry(run, command, now_ns)}"

    async def delivered(self, run: Run, proposal: Proposal, steps: Steps) -> None:
        commit, address = _published(proposal)
        published = proposal.draft.command.publication
        assert published is not None
        await steps.finish("documents", f"{', '.join(sorted(published.documents))} committed", commit)
        where = f"branch {published.branch}" if published.branch else "the main branch"
        await steps.finish("delivery", f"on {where}", address)
        await steps.reach(GovernanceUpdated, address)

    def report(self, run: Run, proposals: Sequence[Proposal]) -> str:
        return run_report.report(run, proposals)


def entry(run: Run, command: Command, now_ns: int) -> str:
    """What DECISION_LOG says of it. The proposal's id follows from this text too, so the commit names it."""
    match command:
        case DefineRole():
            what = f"Rolle {command.role.name} (Ebene {command.role.level}): {command.role.purpose}"
            kind, context, reference = "Rolle festgelegt", run.start.goal, AGENTS
        case RetireRole():
            kind, what, context, reference = "Rolle beendet", f"Rolle {command.role}", command.reason, AGENTS
        case RecordDecision():
            kind, what, context = "Entscheidung", command.what, command.context or run.start.goal
            reference = command.reference
        case _:
            raise TypeError(f"WF3 does not {command.name}")
    lines = [
        f"## {utc(now_ns)[:10]} · {kind}",
        "",
        f"- Was: {text(what)}",
        f"- Wann: {utc(now_ns)}",
        f"- Kontext: {text(context)}",
        f"- Wer: {text(run.start.actor)}",
        f"- Ablauf: {run.name}; den Vorschlag nennt der Commit dieser Zeilen",
    ]
    return "\n".join([*lines, *([f"- Verweis: {text(reference)}"] if reference else [])]) + "\n"


def _command(run: Run, governance: Governance, *, untrusted: bool = False) -> DefineRole | RetireRole | RecordDecision:
    """What the run's input asks for. Raises Waits where that is not said, or wrong."""

    def missing(says: str) -> Waits:
        advice = f"give it by `cdb workflow give {run.name} --input JSON`, or end the run by `cdb workflow close`"
        return Waits("wording", f"{says}; {advice}", untrusted=untrusted)

    try:
        wording = Wording.model_validate(run.input)
    except ValidationError as error:
        raise missing(problem(error)) from None
    given = [name for name in ("role", "retire", "decision") if getattr(wording, name) is not None]
    if len(given) != 1:
        raise missing(
            "one of role, retire and decision is needed, "
            + (f"not {' and '.join(given)}" if given else "none is given")
        )
    if wording.role:
        return DefineRole(role=wording.role)
    if wording.decision:
        return RecordDecision(**wording.decision.model_dump())
    assert wording.retire is not None
    known = governance.roles.get(wording.retire)
    if known is None or known.role is None:
        raise missing(f"there is no role {wording.retire!r} to retire")
    return RetireRole(role=wording.retire, reason=wording.reason or run.start.goal[:500])


def _role(command: Command) -> str:
    match command:
        case DefineRole():
            return command.role.name
        case RetireRole():
            return command.role
    return ""


def _roles_after(governance: Governance, command: Command) -> list[Role]:
    others = [role for role in governance.active_roles() if role.name != _role(command)]
    return [*others, command.role] if isinstance(command, DefineRole) else others


def _rollback(command: Command, before: Role | None) -> Command | None:
    if before:
        return DefineRole(role=before)
    return RetireRole(role=_role(command), reason="rolled back") if _role(command) else None


def _published(proposal: Proposal) -> tuple[str, str]:
    """The commit, and where it is looked at: the pull request, or the commit itself."""
    found = {effect.kind: effect.reference for effect in proposal.effects}
    if "commit" not in found:
        raise Refused("invalid_state", f"proposal {proposal.name} has no commit; `cdb show {proposal.name}` says why")
    return found["commit"], found.get("pull_request", found["commit"])
