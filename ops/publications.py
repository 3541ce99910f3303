"""What workflows publish: branches of the day that nobody else has, and documents on what stands of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count

from domain.commands import Publication, PullRequestText
from domain.documents import Documents
from domain.governance import Governance

_OVER = frozenset({"rejected", "expired", "withdrawn"})


async def publication(
    documents: Documents, texts: Mapping[str, str], message: str, branch: str, request: PullRequestText | None
) -> Publication:
    """These texts on what stands of their documents now."""
    found = {name: await documents.read(name) for name in texts}
    before = {name: stands.blob if stands else "" for name, stands in found.items()}
    return Publication(documents=dict(texts), before=before, message=message, branch=branch, pull_request=request)


async def free_branch(documents: Documents, governance: Governance, stem: str, run: str, now_ns: int) -> str:
    """`stem-YYYYMMDD`, with -2, -3 behind it where it stands already, or another run has it proposed."""
    proposed = {
        proposal.draft.command.publication.branch
        for proposal in governance.proposals.values()
        if proposal.draft.command.publication and proposal.draft.run != run and proposal.state not in _OVER
    }
    day = f"{stem}-{datetime.fromtimestamp(now_ns // 10**9, UTC):%Y%m%d}"
    for number in count(1):
        branch = day if number == 1 else f"{day}-{number}"
        if branch not in proposed and await documents.tip(branch) is None:
            return branch
    raise AssertionError("numbers do not end")
