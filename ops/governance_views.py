"""What governance answers when it is asked: proposals, approvers, roles and runs as plain JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.governance import Governance
from domain.presentation import title
from domain.proposal import Proposal, ProposalApproved, ProposalRejected, ProposalWithdrawn
from domain.tape import utc
from domain.verdicts import question_of
from domain.workflow import Run

Answer = Mapping[str, Any]
View = Callable[[Governance, Mapping[str, Any], int], Answer]
LISTED_MAX = 200
LISTED_CHARACTERS = 200  # of what somebody wrote; whole where one is asked for by its name


def _short(text: str) -> str:
    return text if len(text) <= LISTED_CHARACTERS else f"{text[: LISTED_CHARACTERS - 1]}…"


def proposal_row(proposal: Proposal, now_ns: int) -> Answer:
    """A proposal in a list."""
    draft = proposal.draft
    over = proposal.pending and proposal.expired(now_ns)
    return {
        "proposal": proposal.name,
        "state": "expired" if over else proposal.state,
        "title": _short(title(draft.command)),
        "command": draft.command.name,
        "actor": draft.actor,
        "role": draft.role,
        "run": draft.run,
        "reason": _short(draft.reason),
        "drafted_at": utc(draft.occurred_at_ns),
        "expires_at": utc(draft.expires_at_ns),
        "waiting_s": max(0, now_ns - draft.occurred_at_ns) // 1_000_000_000 if proposal.pending else None,
        "taint": draft.taint,
    }


def proposal_view(proposal: Proposal, now_ns: int) -> Answer:
    """All of a proposal; `question` is what a signature must answer, while it is pending."""
    draft, presented, verdict = proposal.draft, proposal.presented, proposal.verdict
    signed = verdict.signed if isinstance(verdict, ProposalApproved | ProposalRejected) else None
    why = signed.body.reason if signed else verdict.reason if isinstance(verdict, ProposalWithdrawn) else None
    return {
        **proposal_row(proposal, now_ns),
        "title": title(draft.command),
        "reason": draft.reason,
        "arguments": draft.command.model_dump(mode="json"),
        "args_sha256": draft.args_sha256,
        "widens": list(draft.widens),
        "effects_expected": list(draft.effects),
        "rollback": title(draft.rollback) if draft.rollback else None,
        "rollback_arguments": draft.rollback.model_dump(mode="json") if draft.rollback else None,
        "rolls_back": draft.rolls_back or None,
        "shown": presented.shown if presented else None,
        "base": presented.base if presented else None,
        "question": question_of(draft, presented).model_dump(mode="json") if presented and proposal.pending else None,
        "verdict": None
        if verdict is None
        else {
            "verdict": verdict.type.removeprefix("proposal_"),
            "at": utc(verdict.occurred_at_ns),
            "by": verdict.actor,
            "reason": why,
            "signature": signed.signature if signed else None,
        },
        "effects": [effect.model_dump() for effect in proposal.effects],
        "failed": {"code": proposal.failed.code, "reason": proposal.failed.reason} if proposal.failed else None,
    }


def run_row(run: Run) -> Answer:
    """A run in a list."""
    start = run.start
    return {
        "run": run.name,
        "kind": start.kind,
        "goal": _short(start.goal),
        "desk": start.desk,
        "actor": start.actor,
        "phase": run.phase,
        "mode": run.mode,
        "started_at": utc(start.occurred_at_ns),
        "proposals": list(run.proposals),
        "taint": run.taint,
        "outcome": run.closed.outcome if run.closed else None,
    }


def run_view(run: Run) -> Answer:
    """All of a run."""
    return {
        **run_row(run),
        "goal": run.start.goal,
        "previous": run.start.previous or None,
        "trigger": run.start.trigger,
        "checklist": [
            {"step": step, "done": done, "missing": step in run.missing, **(found.model_dump() if found else {})}
            for step, done in run.checklist
            for found in [run.missing.get(step) or run.steps.get(step)]
        ],
        "milestones": [{"name": name.upper(), "reference": reference} for name, reference in run.milestones],
        "report": run.closed.report if run.closed else None,
    }


def _pending(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    rows = [proposal_row(proposal, now_ns) for proposal in governance.pending() if not proposal.expired(now_ns)]
    return {"proposals": rows}


def _proposals(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    newest = sorted(governance.proposals.values(), key=lambda found: (-found.draft.occurred_at_ns, found.name))
    return {"proposals": [proposal_row(proposal, now_ns) for proposal in newest[:LISTED_MAX]]}


def _proposal(governance: Governance, content: Mapping[str, Any], now_ns: int) -> Answer:
    return proposal_view(governance.proposal(str(content.get("proposal", ""))), now_ns)


def _approvers(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    rows = [
        {
            "name": approver.enrolment.name,
            "key_id": approver.enrolment.key_id,
            "kind": approver.enrolment.kind,
            "enrolled_by": approver.enrolment.enrolled_by or None,
            "enrolled_at": utc(approver.enrolment.occurred_at_ns),
            "held": approver.revoked_at is None,
        }
        for approver in governance.approvers.all()
    ]
    return {"environment": governance.environment, "approvers": rows}


def _roles(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    return {"roles": [role.model_dump(mode="json") for role in governance.active_roles()]}


def _policy(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    return {"environment": governance.environment, "policy": governance.policy.model_dump(mode="json")}


def _runs(governance: Governance, _: Mapping[str, Any], now_ns: int) -> Answer:
    newest = sorted(governance.runs.values(), key=lambda run: (-run.start.occurred_at_ns, run.name))
    return {"runs": [run_row(run) for run in newest[:LISTED_MAX]]}


def _run(governance: Governance, content: Mapping[str, Any], now_ns: int) -> Answer:
    return run_view(governance.run(str(content.get("run", ""))))


VIEWS: dict[str, View] = {
    "pending": _pending,
    "proposals": _proposals,
    "proposal": _proposal,
    "approvers": _approvers,
    "roles": _roles,
    "policy": _policy,
    "runs": _runs,
    "run": _run,
}
