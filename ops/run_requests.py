"""What a workflow run is asked for: to start, to take what it lacked, to end."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.agents import Workflow
from domain.commands import DOCUMENT_BYTES_MAX, Desk


def _fits(given: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(given))
    if size > DOCUMENT_BYTES_MAX:
        raise ValueError(f"{size:,} bytes, a run takes at most {DOCUMENT_BYTES_MAX:,}: name documents instead")
    return given


Input = Annotated[dict[str, Any], AfterValidator(_fits)]


class Start(BaseModel):
    """What starts a run. `input` is the kind's own: a strategy to tune, a role to define."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["start"]
    kind: Workflow
    goal: str = Field(min_length=1, max_length=2_000)
    desk: Desk
    previous: str = Field("", max_length=64)
    trigger: str = Field("command", max_length=200)
    input: Input = Field(default_factory=dict)


class Give(BaseModel):
    """What a waiting run lacked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["give"]
    run: str
    input: Input = Field(min_length=1)


class Close(BaseModel):
    """End a run. Without an outcome it is what its phase says: failed in delivery, else abandoned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["close"]
    run: str
    outcome: Literal["nothing_to_do", "failed", "abandoned"] | None = None
