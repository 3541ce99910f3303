"""Every read model of the desk. A new one is its file, its SQL in schema/, and a line here."""

from hashlib import sha256
from pathlib import Path

from domain.errors import InvalidInput
from projections import (
    agents,
    aktueller_stand,
    blotter,
    decision_log,
    equity,
    metrics,
    positions,
    proposals,
    services,
    signals,
    workflow_runs,
)
from projections.projection import ReadModel

READ_MODELS: tuple[ReadModel, ...] = (
    aktueller_stand.MODEL,
    decision_log.MODEL,
    metrics.MODEL,
    blotter.MODEL,
    positions.MODEL,
    equity.MODEL,
    signals.MODEL,
    services.MODEL,
    proposals.MODEL,
    agents.MODEL,
    workflow_runs.MODEL,
)


def read_model(name: str) -> ReadModel:
    """The read model of that name. Raises InvalidInput naming those that there are."""
    for model in READ_MODELS:
        if model.name == name:
            return model
    raise InvalidInput(f"there is no read model {name!r}; there are {', '.join(model.name for model in READ_MODELS)}")


def schema(model: ReadModel) -> str:
    """The SQL of a read model's tables."""
    return Path(__file__).with_name("schema").joinpath(f"{model.name}.sql").read_text(encoding="utf-8")


def fingerprint(model: ReadModel) -> str:
    """Of a model's version and SQL: what was built under another one is built anew."""
    return sha256(f"{model.version}\n{schema(model)}".encode()).hexdigest()[:16]
