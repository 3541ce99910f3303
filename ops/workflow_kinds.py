"""Every workflow. A new one is its file, its name in domain/agents.py, its checklist in domain/workflow.py, and a line
here."""

from collections.abc import Mapping

from adapters.jetstream import JetStreamLog
from domain.agents import Workflow
from domain.documents import Documents, Forge
from ops.gatekeeper import Gatekeeper
from ops.role_update import RoleUpdate
from ops.settings import Settings
from ops.workflows import Kind


def kinds(
    settings: Settings, gate: Gatekeeper, store: JetStreamLog, documents: Documents, forge: Forge
) -> Mapping[Workflow, Kind]:
    """By name."""
    return {
        "WF3": RoleUpdate(gate, documents),
    }
