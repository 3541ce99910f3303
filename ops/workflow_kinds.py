"""Every workflow. A new one is its file, its name in domain/agents.py, its checklist in domain/workflow.py, and a line
here."""

from collections.abc import Mapping
from functools import partial

from adapters.jetstream import JetStreamLog
from domain.agents import Workflow
from domain.documents import Documents, Forge
from ops.background import Background
from ops.dashboard_pictures import DashboardPictures, panel_links
from ops.desk_sight import DeskSight
from ops.gatekeeper import GATE, Gatekeeper
from ops.role_update import RoleUpdate
from ops.settings import Settings
from ops.signal_tuning import SignalTuning
from ops.status_refresh import StatusRefresh
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
        "WF1": StatusRefresh(
            gate,
            documents,
            DeskSight(settings),
            DashboardPictures(settings, store, GATE.name),
            partial(panel_links, settings),
        ),
        "WF2": SignalTuning(gate, store, documents, forge, background),
        "WF3": RoleUpdate(gate, documents),
    }
