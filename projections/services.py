"""Services: how each stands, its breakers, and every incident. From the OPS events; times are the services' own clocks.
An agent that fell silent is an incident too; how agents are otherwise is told by projections/agents.py.

A service is `running`, `failed` (what is done about it stands beside it), `emergency_stopped` (its fault halted the
desk) or `stopped`. The error is of its newest failure since it was started: a service that runs again still shows why.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from domain.operations import (
    AgentSilent,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    EmergencyStopped,
    OpsEventsDropped,
    ServiceFailed,
    ServiceRestarted,
    ServiceStarted,
    ServiceStopped,
)
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row

SERVICES = Table(
    "services",
    {"service": "text"},
    ("state", "since_ns", "version", "error", "message", "severity", "recovery", "retry_seconds", "attempt"),
)
BREAKERS = Table(
    "breakers",
    {"service": "text", "dependency": "text"},
    ("state", "since_ns", "failures", "last_error", "open_seconds"),
)
INCIDENTS = Table("incidents", {"number": "bigint"}, ("service", "type", "at_ns", "content"))

INCIDENT = (
    ServiceRestarted,
    ServiceFailed,
    EmergencyStopped,
    BreakerOpened,
    BreakerHalfOpened,
    BreakerClosed,
    OpsEventsDropped,
    AgentSilent,
)


@dataclass(frozen=True)
class Service:
    """A row of SERVICES."""

    state: str = "running"
    since_ns: int = 0
    version: str | None = None
    error: str | None = None
    message: str | None = None
    severity: str | None = None
    recovery: str | None = None
    retry_seconds: float | None = None
    attempt: int = 0


@dataclass(frozen=True)
class OpenBreaker:
    """What a breaker that is not closed was opened for."""

    failures: int
    last_error: str
    open_seconds: float


@dataclass
class Memory:
    """Every service as it stands, and by service and dependency the breakers that are not closed."""

    services: dict[str, Service] = field(default_factory=dict)
    breakers: dict[str, dict[str, OpenBreaker]] = field(default_factory=dict)


def evolve(memory: Memory, fact: Fact) -> Iterator[Row]:
    """The service or breaker as it is from here on, and the incident if it is one."""
    event = fact.event
    match event:
        case ServiceStarted() | ServiceRestarted() | ServiceFailed() | EmergencyStopped() | ServiceStopped():
            after = _service(memory.services.get(event.service, Service()), event)
            memory.services[event.service] = after
            yield Row(SERVICES, (event.service,), tuple(vars(after).values()))
        case BreakerOpened() | BreakerHalfOpened() | BreakerClosed():
            yield _breaker(memory.breakers.setdefault(event.service, {}), event)
        case OpsEventsDropped() | AgentSilent():
            pass
        case _:
            raise TypeError(f"services does not listen to {type(event).__name__}")
    if isinstance(event, INCIDENT):
        content = event.model_dump_json(exclude={"service", "type", "occurred_at_ns"})
        yield Row(INCIDENTS, (fact.position,), (event.service, event.type, event.occurred_at_ns, content))


def _service(before: Service, event: Any) -> Service:
    at_ns = event.occurred_at_ns
    match event:
        case ServiceStarted():
            return Service(since_ns=at_ns, version=event.version)
        case ServiceRestarted():
            return replace(
                before, state="running", since_ns=at_ns, version=event.version, retry_seconds=None,
                attempt=event.attempt,
            )  # fmt: skip
        case ServiceFailed():
            return replace(
                before, state="failed", since_ns=at_ns, error=event.error, message=event.message,
                severity=event.severity.value, recovery=event.recovery.value, retry_seconds=event.retry_seconds,
            )  # fmt: skip
        case EmergencyStopped():
            return replace(before, state="emergency_stopped", since_ns=at_ns, retry_seconds=None)
    return Service("stopped", at_ns, before.version, message=event.reason)


def _breaker(opened: dict[str, OpenBreaker], event: BreakerOpened | BreakerHalfOpened | BreakerClosed) -> Row:
    key = (event.service, event.dependency)
    match event:
        case BreakerOpened():
            state = "open"
            opened[event.dependency] = OpenBreaker(event.failures, event.last_error, event.open_seconds)
        case BreakerHalfOpened():
            state = "half_open"
        case BreakerClosed():
            opened.pop(event.dependency, None)
            return Row(BREAKERS, key, ("closed", event.occurred_at_ns, 0, None, None))
    why = opened.get(event.dependency)
    told = (why.failures, why.last_error, why.open_seconds) if why else (0, None, None)
    return Row(BREAKERS, key, (state, event.occurred_at_ns, *told))


MODEL = ReadModel(
    "services",
    3,
    (Fold("ops", (ServiceStarted, ServiceStopped, *INCIDENT), Memory, evolve, (SERVICES, BREAKERS, INCIDENTS)),),
)
