"""Governance as the command line asks for it, and the approver's key file, which only this machine's person opens."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters import approver_keys
from domain import approvers
from domain.approval import ApprovalBody, Question, decoded, encoded, key_id
from domain.approvers import ApproverEnrolled, ApproverRevoked
from domain.errors import InvalidInput
from domain.policy import POLICIES, Policy, policy_named
from domain.signals.handler import REGISTRY
from gateways.governing import Answer
from ops.composition import open_documents
from ops.control import who
from ops.governance import Here
from ops.settings import Settings


class GovernanceOperations:
    """Implements gateways.cli_governance.GovernanceOperations."""

    _settings: Settings

    async def governance(self, command: str, content: Mapping[str, Any], acting_as: str = "") -> Answer:
        """Ask as the person at this machine, or as the agent of a role. Raises Refused, InvalidInput, Unavailable."""
        return await Here(self._settings).ask(command, content, actor=acting_as, role=acting_as)

    @property
    def desk(self) -> str:
        return self._settings.desk

    @property
    def key_file(self) -> Path:
        """Where this person's key is, or will be."""
        return self._settings.approver_key

    # -- keys ----------------------------------------------------------------------------------------------------------

    async def enrol(self, name: str, public_key: str | None, passphrase: str) -> Answer:
        """Enrol the key of the key file (made when there is none), or with `public_key` another's, such as a browser's.
        All but the first are signed by the key file, which `passphrase` opens."""
        kind = "file" if public_key is None else "browser"
        if public_key is None and not self.key_file.exists():
            await asyncio.to_thread(approver_keys.create, self.key_file, passphrase)
        own = approver_keys.public_key(self.key_file)
        listed = await self.governance("ask", {"about": "approvers"})
        wanted = own if public_key is None else decoded(public_key)
        first = not listed["approvers"]
        event = ApproverEnrolled(
            key_id=key_id(wanted), environment=listed["environment"], actor=who(), occurred_at_ns=time.time_ns(),
            name=name, public_key=encoded(wanted), kind=kind, enrolled_by="" if first else key_id(own),
        )  # fmt: skip
        if not first:
            event = event.model_copy(update={"signature": await self._signed(approvers.to_sign(event), passphrase)})
        return await self.governance("enrol", {"event": event.model_dump(mode="json")})

    async def revoke_approver(self, named: str, reason: str, passphrase: str) -> Answer:
        """Close a key for good, by the key file's signature."""
        listed = await self.governance("ask", {"about": "approvers"})
        unsigned = ApproverRevoked.model_construct(
            key_id=named, environment=listed["environment"], actor=who(), occurred_at_ns=time.time_ns(),
            reason=reason, revoked_by=key_id(approver_keys.public_key(self.key_file)), signature="",
        )  # fmt: skip
        signature = await self._signed(approvers.to_sign(unsigned), passphrase)
        event = ApproverRevoked.model_validate(unsigned.model_dump(exclude={"signature"}) | {"signature": signature})
        return await self.governance("enrol", {"event": event.model_dump(mode="json")})

    async def decide(self, question: Mapping[str, Any], verdict: str, reason: str, passphrase: str) -> Answer:
        """Sign the answer to what was shown, and hand it in."""
        body = ApprovalBody.model_validate(
            Question.model_validate(question).model_dump()
            | {
                "verdict": verdict,
                "reason": reason,
                "key_id": key_id(approver_keys.public_key(self.key_file)),
                "signed_at_ns": time.time_ns(),
            }
        )
        signed = await asyncio.to_thread(approver_keys.sign, self.key_file, passphrase, body)
        return await self.governance("decide", {"signed": signed.model_dump(mode="json")})

    async def _signed(self, message: bytes, passphrase: str) -> str:
        key = await asyncio.to_thread(approver_keys.unlock, self.key_file, passphrase)
        return key.sign(message)

    # -- what can be proposed ------------------------------------------------------------------------------------------

    def policy_of(self, named: str) -> Mapping[str, Any]:
        """A policy of this build by its name, or of a JSON file. Raises InvalidInput."""
        if named.partition("@")[0] in POLICIES:
            return policy_named(named).model_dump(mode="json")
        path = Path(named)
        if not path.is_file():
            raise InvalidInput(f"{named!r} is no policy of this build and no file; `cdb policies` lists the former")
        return Policy.model_validate_json(path.read_bytes()).model_dump(mode="json")

    def strategy_of(self, name: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """The newest version of a strategy with these parameters, whole. Raises InvalidInput."""
        versions = [version for known, version in REGISTRY if known == name]
        if not versions:
            raise InvalidInput(f"there is no strategy {name!r}; `cdb strategies` lists them")
        handler = REGISTRY[name, max(versions)]
        whole = handler.parameters.model_validate(dict(parameters))
        return {"strategy": name, "version": handler.version, "parameters": whole.model_dump(mode="json")}

    async def publication(
        self, texts: Mapping[str, str], message: str, branch: str, title: str, body: str
    ) -> Mapping[str, Any]:
        """What publishes these documents, on what stands of them now."""
        documents = open_documents(self._settings)
        stands = {name: await documents.read(name) for name in texts}
        request = {"title": title, "body": body} if title else None
        return {
            "documents": dict(texts),
            "before": {name: found.blob if found else "" for name, found in stands.items()},
            "message": message,
            "branch": branch,
            "pull_request": request,
        }
