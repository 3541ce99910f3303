"""The report of a run: Markdown that links every decision with its verdict and effects, and every step with what it
found. What others said stands there as words, never as Markdown."""

from collections.abc import Iterator, Sequence

from domain.presentation import title
from domain.proposal import Proposal, ProposalApproved, ProposalRejected, ProposalWithdrawn
from domain.tape import utc
from domain.wording import duration
from domain.workflow import Run
from projections.german import text

LENGTH_MAX = 100_000


def report(run: Run, proposals: Sequence[Proposal], more: Sequence[str] = ()) -> str:
    """Of a run that is over; `more` are lines of the kind's own, Markdown already."""
    lines = "\n".join([*_head(run), *_decisions(proposals), *_checklist(run), *more])
    return lines[:LENGTH_MAX].rstrip() + "\n"


def _head(run: Run) -> Iterator[str]:
    start, closed = run.start, run.closed
    assert closed is not None
    took = max(0, closed.occurred_at_ns - start.occurred_at_ns)
    yield f"# {start.kind}: {text(start.goal)}"
    yield ""
    yield f"- Run: {run.name}" + (f", goes on from {start.previous}" if start.previous else "")
    yield f"- Outcome: {closed.outcome.replace('_', ' ')}"
    yield f"- Started: {utc(start.occurred_at_ns)} by {text(start.actor)} ({text(start.trigger)})"
    yield f"- Ended: {utc(closed.occurred_at_ns)} by {text(closed.actor)}, after {duration(took)}"
    for name, reference in run.milestones:
        yield f"- {name.upper()}: {text(reference)}"
    if run.taint:
        yield "- Caution: the run has read text of strangers"
    yield ""


def _decisions(proposals: Sequence[Proposal]) -> Iterator[str]:
    yield "## Decisions"
    yield ""
    for proposal in proposals:
        yield f"- {proposal.name}: {text(title(proposal.draft.command))}, {proposal.state}"
        yield f"  - Drafted: {utc(proposal.draft.occurred_at_ns)} by {text(proposal.draft.actor)}"
        if verdict := proposal.verdict:
            name = verdict.type.removeprefix("proposal_").capitalize()
            why = _why(proposal)
            by = f"{utc(verdict.occurred_at_ns)} by {text(verdict.actor)}"
            yield f"  - {name}: {by}" + (f": {text(why)}" if why else "")
        if failed := proposal.failed:
            yield f"  - Failed: {text(failed.code)}: {text(failed.reason)}"
        yield from (
            f"  - {effect.kind.replace('_', ' ').capitalize()}: {effect.reference}" for effect in proposal.effects
        )
    if not proposals:
        yield "- none"
    yield ""


def _why(proposal: Proposal) -> str:
    verdict = proposal.verdict
    if isinstance(verdict, ProposalApproved | ProposalRejected):
        return verdict.signed.body.reason
    return verdict.reason if isinstance(verdict, ProposalWithdrawn) else ""


def _checklist(run: Run) -> Iterator[str]:
    yield "## Checklist"
    yield ""
    for step, done in run.checklist:
        found = run.steps.get(step) or run.missing.get(step)
        says = (
            ""
            if found is None
            else f": {text(found.says)}" + (f" ({text(found.reference)})" if found.reference else "")
        )
        yield f"- [{'x' if done else ' '}] {step}{says}"
    yield ""
