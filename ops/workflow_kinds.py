"""Every workflow. A new one is its file, its name in domain/agents.py, its checklist in domain/workflow.py, and a line
here."""

from collections.abc import Mapping

from adapters.jetstream import JetStreamLog
from domain.agents import Workflow
from domain.documents import Documents, Forge
from ops.background import Background
from ops.gatekeeper import Gatekeeper
from ops.role_update import RoleUpdate
from ops.settings import Settings
from ops.signal_tuning import SignalTuning
from ops.workflows import Kind


def kinds(
    settings: Settings,
    gate: Gatekeeper,
    store: JetStreamLog,
    documents: Documents,
    forge: Forge,
    background: Background,
) -> Mapping[Workflow, Kind]:
    """By name. What takes long is done in the background."""
    return {
        "WF2": SignalTuning(gate, store, documents, forge, background),
        "WF3": RoleUpdate(gate, documents),
    }
