"""WF1, status refresh: what the desk's state is, each step with its evidence; then AKTUELLER_STAND says so, on a branch
with a pull request."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

from domain.commands import Publication, Publish, PullRequestText
from domain.documents import Documents, content_of
from domain.errors import DeskError, Refused
from domain.gate import Draft
from domain.proposal import Proposal
from domain.workflow import Run, StatusRefreshAnalysisStarted, StatusRefreshDelivered
from ops import run_report
from ops.dashboard_pictures import Pictures
from ops.desk_sight import STAND, Look, Sight
from ops.gatekeeper import Gatekeeper
from ops.publications import free_branch, publication
from ops.workflows import Steps, Waits
from projections.answers import Answer
from projections.document_changes import changes, says_the_same
from projections.german import text

CANONICAL = (STAND, "CDB_FOUNDATION", "CDB_INSIGHTS")
BRANCH = "status-auto-refresh"
MESSAGE = "Update AKTUELLER_STAND via MCP Agent"
CHANGES_MAX = 200

Links = Callable[[str], Mapping[str, str]]  # pages' addresses by name, at a moment


class StatusRefresh:
    """Implements ops.workflows.Kind. `links` gives the dashboard's pages at a moment."""

    def __init__(self, gate: Gatekeeper, documents: Documents, look: Look, pictures: Pictures, links: Links) -> None:
        self._gate, self._documents, self._look = gate, documents, look
        self._pictures, self._links = pictures, links

    async def analyse(self, run: Run, steps: Steps) -> None:
        await steps.reach(StatusRefreshAnalysisStarted, run.start.desk)
        if {"services", "metrics", "blockers"} - run.steps.keys():
            sight = await self._sight(run, "services")
            await steps.finish("services", _services(sight.status), sight.as_of)
            await steps.finish("metrics", _metrics(sight.metrics), sight.as_of)
            await steps.finish("blockers", _blockers(sight.status), sight.as_of)
        if "documents" not in run.steps:
            await steps.finish("documents", await self._canonical(), await self._documents.tip() or "")
        if "screenshots" not in run.steps:
            taken, why = await self._pictures.take(run.name)
            says = [f"{picture.page}: {picture.file}, sha256 {picture.sha256}" for picture in taken]
            folder = taken[0].file.rpartition("/")[0] if taken else ""
            await steps.finish("screenshots", "; ".join([*says, *([why] if why else [])]) or "none", folder)

    async def _sight(self, run: Run, step: str) -> Sight:
        """The desk at the run's moment: that of its first step, so that all of its evidence is of one moment; for a
        second proposal, now. Raises Waits."""
        first = run.steps.get("services")
        try:
            return await self._look(run.start.desk, first.reference if first and not run.proposals else None)
        except DeskError as error:
            raise Waits(step, str(error)[:2_000]) from error

    async def _canonical(self) -> str:
        found = {name: await self._documents.read(name) for name in CANONICAL}
        return "; ".join(
            f"{name}: {len(stands.text.splitlines())} lines, blob {stands.blob}" if stands else f"{name}: there is none"
            for name, stands in found.items()
        )

    async def plan(self, run: Run) -> Draft | None:
        sight = await self._sight(run, "draft")
        stands = await self._documents.read(STAND)
        if stands and says_the_same(stands.text, sight.text):
            return None
        changed = changes(stands.text if stands else None, sight.text)
        request = PullRequestText(title=f"{STAND}: desk {run.start.desk}", body=self._body(run, sight, changed))
        branch = await free_branch(self._documents, self._gate.state, BRANCH, run.name, self._gate.now_ns())
        published = await publication(self._documents, {STAND: sight.text}, MESSAGE, branch, request)
        return Draft(
            command=Publish(publication=published),
            reason=run.start.goal,
            effects=tuple(changed[:30]),
            rollback=_rollback(stands.text, sight.text) if stands else None,
        )

    def _body(self, run: Run, sight: Sight, changed: Sequence[str]) -> str:
        more = [f"- and {len(changed) - CHANGES_MAX} more"] if len(changed) > CHANGES_MAX else []
        parts = [
            "## Changelog", "", *(f"- {line}" for line in changed[:CHANGES_MAX]), *more, "",
            "## Panels", "", *(f"- [{page}]({link})" for page, link in self._links(sight.as_of).items()), "",
            "## Evidence", "", f"- Run: {run.name}, as of `{sight.as_of}`", f"- Goal: {text(run.start.goal)}",
        ]  # fmt: skip
        return "\n".join(parts)[:50_000]

    async def delivered(self, run: Run, proposal: Proposal, steps: Steps) -> None:
        found = {effect.kind: effect.reference for effect in proposal.effects}
        if "pull_request" not in found:
            raise Refused("invalid_state", f"proposal {proposal.name} has no pull request; `cdb show {proposal.name}`")
        await steps.finish("delivery", f"commit {found['commit']}", found["pull_request"])
        await steps.reach(StatusRefreshDelivered, found["pull_request"])

    def report(self, run: Run, proposals: Sequence[Proposal]) -> str:
        return run_report.report(run, proposals)


def _services(status: Answer) -> str:
    rows = [f"{row['service']} {row['state']}" for row in status["services"]]
    return f"{len(rows)} services: {', '.join(rows) or 'none'}; desk {status['state']}"[:20_000]


def _metrics(metrics: Sequence[Answer]) -> str:
    overall = next((scope for scope in metrics if scope["scope"] == "overall"), None)
    if overall is None:
        return "no closed trade yet"
    return f"{overall['trades']} closed trades, {overall['wins']} won, net {overall['net']}"


def _blockers(status: Answer) -> str:
    rows = [f"{row['kind']}: {row['name']}" for row in status["blockers"]]
    return f"{len(rows)} open blockers" + (f": {', '.join(rows)}" if rows else "")


def _rollback(old: str, new: str) -> Publish:
    """The old text, on what will stand once the new one is taken over."""
    content = content_of(STAND, new)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    published = Publication(documents={STAND: old}, before={STAND: blob}, message=f"Restore {STAND}")
    return Publish(publication=published)
