"""What stands of what a proposal changes: what could never be done is refused as it is drafted."""

from pathlib import Path
from typing import Any

import pytest

from domain.commands import COMMAND
from domain.errors import InvalidInput
from domain.gate import Draft
from tests.ops.governed import USER_JANA, Governed

REQUEST = {"title": "Insights", "body": "as discussed"}
PUBLICATION: dict[str, Any] = {
    "documents": {"CDB_INSIGHTS": "# Insights\n"}, "before": {"CDB_INSIGHTS": ""}, "message": "Update CDB_INSIGHTS",
    "branch": "insights", "pull_request": REQUEST,
}  # fmt: skip


@pytest.mark.parametrize(
    "malformed",
    [
        {"branch": "a..b"},
        {"branch": "a.lock"},
        {"message": "Update\n\nProposal: p-1"},
        {"message": " "},
        {"pull_request": REQUEST | {"title": "a\nb"}},
        {"pull_request": REQUEST | {"body": "<!-- cdb:pull-request:p-1 -->"}},
        {"documents": {"CDB_INSIGHTS": "\x1b[2J"}},
        {"documents": {"../../etc/passwd": "x"}},
    ],
    ids=str,
)
async def test_what_could_never_be_published_is_no_proposal(tmp_path: Path, malformed: dict[str, Any]) -> None:
    desk = await Governed.open(tmp_path, lambda _: {})

    def draft(publication: dict[str, Any]) -> Draft:
        command = COMMAND.validate_python({"name": "publish", "publication": publication})
        return Draft(command=command, reason="it is time")

    with pytest.raises(InvalidInput):
        await desk.gate.draft(draft(PUBLICATION | malformed), USER_JANA)
    assert desk.gate.state.pending() == []
    assert (await desk.gate.draft(draft(PUBLICATION), USER_JANA)).status == "pending_decision"
