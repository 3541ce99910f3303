"""Governance behind a dashboard in tests: the real governor over the golden desk's log, on the clock of the browser."""

import time
from collections.abc import Mapping
from typing import Any, cast

from adapters.governance_commands import Request
from domain.approval import decoded, encoded, key_id
from domain.approvers import ApproverEnrolled, to_sign
from domain.operations import CommandRefused
from domain.ports import Log
from ops.gatekeeper import Receipt
from ops.governance import Governor
from ops.workflows import Workflows
from projections.answers import Answer
from tests.canonical_governance import ENVIRONMENT, JAN
from tests.governing import Governed


class Deciding(Governed):
    """The golden governance, in which jan's key decides."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.refused: list[CommandRefused] = []
        self.governor = Governor(self.gate, cast(Workflows, None), self.log, self.refused.append, cast(Any, None))

    def clock(self) -> int:
        return time.time_ns()

    async def ask(self, command: str, content: Mapping[str, Any]) -> Answer:
        """As ops.api.governed does, without a server between."""
        return dict(await self.governor.handle(command, False, Request(content=dict(content))))

    async def drafted(self, what: str, **changes: Any) -> Receipt:
        """A proposal of the session lead to record this in DECISION_LOG."""
        return await self.draft(name="record_decision", what=what, context="the weekly review", **changes)

    async def withdrawn(self) -> None:
        """None of the session lead's proposals waits any more: an agent has a few at most."""
        for proposal in self.gate.state.pending():
            if proposal.draft.actor == "session-lead":
                await self.gate.withdraw(proposal.name, self.actor(), "the test is over")

    async def enrol(self, name: str, public_key: str) -> None:
        """As `cdb approver enrol NAME --public-key` of jan does."""
        event = ApproverEnrolled(
            key_id=key_id(decoded(public_key)), environment=ENVIRONMENT, actor="jan", occurred_at_ns=self.clock(),
            name=name, public_key=encoded(decoded(public_key)), kind="browser", enrolled_by=JAN.id,
        )  # fmt: skip
        await self.gate.enrol(event.model_copy(update={"signature": JAN.sign(to_sign(event))}))
