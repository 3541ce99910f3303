"""A person who decides, for tests: a key file of the test's own, its passphrase, and a verdict signed with it."""

from typing import Any

from ops.governance_cli import GovernanceOperations

PASSPHRASE = "a passphrase of tests"


async def enrolled(desk: GovernanceOperations) -> None:
    """The desk's key file may decide."""
    if not (await desk.governance("ask", {"about": "approvers"}))["approvers"]:
        await desk.enrol("tester", None, PASSPHRASE)


async def decided(desk: GovernanceOperations, proposal: str, verdict: str = "approved", reason: str = "") -> Any:
    """The receipt of a signed verdict over what is shown now."""
    await enrolled(desk)
    view = await desk.governance("ask", {"about": "proposal", "proposal": proposal})
    return await desk.decide(view["question"], verdict, reason, PASSPHRASE)


async def resumed(desk: GovernanceOperations, reason: str) -> str:
    """Resume the desk; where the instruction stands on the tape."""
    command = {"name": "resume", "desk": desk.desk, "reason": reason}
    drafted = await desk.governance("draft", {"command": command, "reason": reason})
    receipt = await decided(desk, drafted["proposal"], reason=reason)
    [effect] = receipt["effects"]
    return str(effect["reference"])
