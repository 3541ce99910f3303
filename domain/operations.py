"""Every fact of OPS: what happened to the services and to what they depend on. The engine never reads these.

Times are UTC nanoseconds of the service's own clock. A service fills `ops.<service>` with one event a message.
Stored names are for ever: a new field gets a default, old bytes live in tests/golden/.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Nanos = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]


class Severity(StrEnum):
    """How bad a fault is; the recovery of each class is configured per component."""

    LOW = "low"  # a caller erred, the service is well
    MEDIUM = "medium"  # what the service needs is away, and may come back
    HIGH = "high"  # the service itself is at fault
    CRITICAL = "critical"  # the truth is in doubt

    @property
    def risen(self) -> "Severity":
        """One class worse; critical is the worst."""
        classes = list(Severity)
        return classes[min(classes.index(self) + 1, len(classes) - 1)]


class Recovery(StrEnum):
    """What is done about a fault."""

    RETRY = "retry"  # run it again, later each time
    FALLBACK = "fallback"  # the desk goes on without it and asks again at the longest interval
    RESTART = "restart"  # start anew what the component is (a server of ours), then run it again
    EMERGENCY_STOP = "emergency_stop"  # halt the desk; the component stays down
    STAND_DOWN = "stand_down"  # another writer does the work: the component stays down, the desk goes on


class _OpsEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    service: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    occurred_at_ns: Nanos


class ServiceStarted(_OpsEvent):
    """A service was started by its supervisor."""

    type: Literal["service_started"] = "service_started"
    version: str


class ServiceRestarted(_OpsEvent):
    """A service was started again after it failed; `attempt` counts its failures in the supervisor's window."""

    type: Literal["service_restarted"] = "service_restarted"
    version: str
    attempt: Count


class ServiceFailed(_OpsEvent):
    """A service ended with an error; `error` is its class. What is done about it stands beside it."""

    type: Literal["service_failed"] = "service_failed"
    error: str
    message: str
    severity: Severity
    recovery: Recovery
    retry_seconds: float | None = Field(ge=0)


class ServiceStopped(_OpsEvent):
    """A service came to its end without an error."""

    type: Literal["service_stopped"] = "service_stopped"
    reason: Literal["finished", "shutdown"]


class EmergencyStopped(_OpsEvent):
    """A critical fault of the service halted the desk, and why; `attempts` is how often the halt was sent."""

    type: Literal["emergency_stopped"] = "emergency_stopped"
    reason: str
    attempts: Count


class BreakerOpened(_OpsEvent):
    """The service no longer asks a dependency after so many failures in a row; it tries again after `open_seconds`."""

    type: Literal["breaker_opened"] = "breaker_opened"
    dependency: str
    failures: Count
    last_error: str
    open_seconds: float = Field(gt=0)


class BreakerHalfOpened(_OpsEvent):
    """The service tries a dependency again."""

    type: Literal["breaker_half_opened"] = "breaker_half_opened"
    dependency: str


class BreakerClosed(_OpsEvent):
    """A dependency answers again."""

    type: Literal["breaker_closed"] = "breaker_closed"
    dependency: str


class CommandRefused(_OpsEvent):
    """Governance said no: to whom, to what, by which rule. `subject` is what it was about: a proposal, a run."""

    type: Literal["command_refused"] = "command_refused"
    actor: str = Field(max_length=128)
    command: str = Field(max_length=64)
    code: str = Field(max_length=64)
    message: str = Field(max_length=2_000)
    subject: str = Field("", max_length=128)


class AgentSeen(_OpsEvent):
    """An agent reports again, or for the first time; what it is at is its own word."""

    type: Literal["agent_seen"] = "agent_seen"
    agent: str = Field(max_length=64)
    state: Literal["idle", "working", "failing"]
    doing: str = Field("", max_length=500)


class AgentSilent(_OpsEvent):
    """An agent has not reported for longer than the governance policy allows."""

    type: Literal["agent_silent"] = "agent_silent"
    agent: str = Field(max_length=64)
    last_seen_ns: Nanos


class OpsEventsDropped(_OpsEvent):
    """So many older events of the service were lost before this place: the log was away for longer than they fit."""

    type: Literal["ops_events_dropped"] = "ops_events_dropped"
    count: Count


OpsEvent = Annotated[
    ServiceStarted
    | ServiceRestarted
    | ServiceFailed
    | ServiceStopped
    | EmergencyStopped
    | BreakerOpened
    | BreakerHalfOpened
    | BreakerClosed
    | OpsEventsDropped
    | CommandRefused
    | AgentSeen
    | AgentSilent,
    Field(discriminator="type"),
]

OPS_EVENT: TypeAdapter[OpsEvent] = TypeAdapter(OpsEvent)
