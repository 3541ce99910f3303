"""Canonical events of the streams beside tape and ledger: one of every kind of OPS, and of access tokens."""

from typing import Any

from domain.access import AccessEvent, TokenCreated, TokenRevoked
from domain.operations import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    EmergencyStopped,
    OpsEvent,
    OpsEventsDropped,
    Recovery,
    ServiceFailed,
    ServiceRestarted,
    ServiceStarted,
    ServiceStopped,
    Severity,
)
from tests.canonical import MONDAY

_CORE: dict[str, Any] = {"service": "core", "occurred_at_ns": MONDAY}
OPERATIONS: dict[str, OpsEvent] = {
    event.type: event
    for event in (
        ServiceStarted(**_CORE, version="0.3.0"),
        ServiceRestarted(**_CORE, version="0.3.0", attempt=2),
        ServiceFailed(
            **_CORE, error="Unavailable", message="the log does not answer", severity=Severity.MEDIUM,
            recovery=Recovery.RETRY, retry_seconds=0.4,
        ),
        ServiceStopped(**_CORE, reason="shutdown"),
        EmergencyStopped(**_CORE, reason="core: event 7 is another one", attempts=3),
        BreakerOpened(**_CORE, dependency="nats", failures=5, last_error="TimeoutError", open_seconds=30.0),
        BreakerHalfOpened(**_CORE, dependency="nats"),
        BreakerClosed(**_CORE, dependency="nats"),
        OpsEventsDropped(**_CORE, count=12),
    )
}  # fmt: skip

_TOKEN: dict[str, Any] = {"name": "night-shift", "actor": "jana", "occurred_at_ns": MONDAY}
ACCESS: dict[str, AccessEvent] = {
    event.type: event
    for event in (
        TokenCreated(**_TOKEN, role="operator", sha256="ab" * 32, expires_at_ns=MONDAY + 10**15),
        TokenRevoked(**_TOKEN | {"occurred_at_ns": MONDAY + 1}, reason="it was in a chat"),
    )
}
