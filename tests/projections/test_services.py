"""Services, breakers and incidents, as the OPS events tell them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.operations import (
    AgentSilent,
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
from domain.ports import Fact
from projections import services
from projections.services import MODEL
from tests.projections.folds import check, row, rows, versions


def ops(*events: OpsEvent) -> list[Fact]:
    """Events as facts of OPS; other subjects take every second sequence of the stream."""
    return [Fact(2 * place, 10**18 + place, event) for place, event in enumerate(events, 1)]


def at(second: int, service: str = "core") -> dict[str, Any]:
    return {"service": service, "occurred_at_ns": second * 10**9}


STARTED = ServiceStarted(**at(1), version="0.2.0")
FAILED = ServiceFailed(
    **at(2), error="Unavailable", message="the log does not answer", severity=Severity.MEDIUM,
    recovery=Recovery.RETRY, retry_seconds=0.5,
)  # fmt: skip
RESTARTED = ServiceRestarted(**at(3), version="0.2.1", attempt=1)
LOST = FAILED.model_copy(update={"severity": Severity.CRITICAL, "recovery": Recovery.EMERGENCY_STOP})
OPENED = BreakerOpened(**at(4), dependency="nats", failures=5, last_error="TimeoutError", open_seconds=30.0)
HALF_OPEN, CLOSED = (BreakerHalfOpened(**at(5), dependency="nats"), BreakerClosed(**at(6), dependency="nats"))


SILENT = AgentSilent(**at(9, "governance"), agent="codex", last_seen_ns=10**9)


def test_a_service_that_failed_says_of_what_and_what_is_done() -> None:
    assert row(MODEL, "services", ops(STARTED, FAILED), "core") == {
        "state": "failed", "since_ns": 2 * 10**9, "version": "0.2.0", "error": "Unavailable",
        "message": "the log does not answer", "severity": "medium", "recovery": "retry", "retry_seconds": 0.5,
        "attempt": 0,
    }  # fmt: skip


def test_a_service_that_runs_again_still_shows_why_until_it_is_started_anew() -> None:
    again = row(MODEL, "services", ops(STARTED, FAILED, RESTARTED), "core")
    assert (again["state"], again["version"], again["attempt"]) == ("running", "0.2.1", 1)
    assert (again["error"], again["retry_seconds"]) == ("Unavailable", None)
    anew = row(MODEL, "services", ops(STARTED, FAILED, RESTARTED, STARTED), "core")
    assert (anew["error"], anew["message"], anew["attempt"]) == (None, None, 0)


def test_a_service_whose_fault_halted_the_desk_shows_the_fault() -> None:
    stopped = EmergencyStopped(**at(3), reason="core: the tape is broken", attempts=2)
    said = row(MODEL, "services", ops(STARTED, LOST, stopped), "core")
    assert (said["state"], said["error"], said["severity"]) == ("emergency_stopped", "Unavailable", "critical")
    assert (said["message"], said["retry_seconds"]) == ("the log does not answer", None)


def test_a_service_that_stopped_says_why_and_of_no_fault() -> None:
    said = row(MODEL, "services", ops(STARTED, FAILED, ServiceStopped(**at(4), reason="shutdown")), "core")
    assert (said["state"], said["message"], said["error"], said["version"]) == ("stopped", "shutdown", None, "0.2.0")


def test_a_failure_of_a_service_whose_start_was_lost_is_told_all_the_same() -> None:
    said = row(MODEL, "services", ops(OpsEventsDropped(**at(1), count=7), FAILED), "core")
    assert (said["state"], said["version"]) == ("failed", None)


def test_an_open_breaker_says_why_until_it_is_closed() -> None:
    half = row(MODEL, "breakers", ops(OPENED, HALF_OPEN), "core", "nats")
    assert half == {
        "state": "half_open", "since_ns": 5 * 10**9, "failures": 5, "last_error": "TimeoutError", "open_seconds": 30.0
    }  # fmt: skip
    closed = row(MODEL, "breakers", ops(OPENED, HALF_OPEN, CLOSED), "core", "nats")
    assert closed == {
        "state": "closed", "since_ns": 6 * 10**9, "failures": 0, "last_error": None, "open_seconds": None
    }  # fmt: skip


def test_breakers_of_two_services_on_one_dependency_are_two() -> None:
    other = CLOSED.model_copy(update={"service": "ws"})
    states = {key: said["state"] for key, said in rows(MODEL, "breakers", ops(OPENED, other)).items()}
    assert states == {("core", "nats"): "open", ("ws", "nats"): "closed"}


def test_a_half_open_breaker_shows_its_own_reason_and_no_older_one() -> None:
    other = OPENED.model_copy(update={"service": "ws", "failures": 9})
    assert row(MODEL, "breakers", ops(OPENED, other, HALF_OPEN), "core", "nats")["failures"] == 5
    lost = row(MODEL, "breakers", ops(OPENED, CLOSED, HALF_OPEN), "core", "nats")
    assert (lost["state"], lost["failures"], lost["last_error"]) == ("half_open", 0, None)


def test_everything_but_a_start_and_a_stop_is_an_incident() -> None:
    dropped = OpsEventsDropped(**at(7), count=7)
    facts = ops(
        STARTED, FAILED, RESTARTED, OPENED, HALF_OPEN, CLOSED, dropped, ServiceStopped(**at(8), reason="finished"),
        SILENT,
    )  # fmt: skip
    said = rows(MODEL, "incidents", facts)
    assert [(number, incident["type"]) for (number,), incident in said.items()] == [
        (4, "service_failed"), (6, "service_restarted"), (8, "breaker_opened"), (10, "breaker_half_opened"),
        (12, "breaker_closed"), (14, "ops_events_dropped"), (18, "agent_silent"),
    ]  # fmt: skip
    assert json.loads(said[(14,)]["content"]) == {"count": 7}


_any_event = st.sampled_from(
    [STARTED, FAILED, RESTARTED, LOST, OPENED, HALF_OPEN, CLOSED, ServiceStopped(**at(9), reason="finished")]
)
_STATES = {
    "service_started": "running", "service_restarted": "running", "service_failed": "failed",
    "service_stopped": "stopped", "breaker_opened": "open", "breaker_half_opened": "half_open",
    "breaker_closed": "closed",
}  # fmt: skip


@given(st.lists(st.tuples(_any_event, st.sampled_from(["core", "ws"])), max_size=30), st.integers(0, 60))
def test_whatever_comes_the_newest_word_of_each_decides(told: list[tuple[OpsEvent, str]], cut: int) -> None:
    facts = ops(*(event.model_copy(update={"service": service}) for event, service in told))
    for table, family in (("services", "service_"), ("breakers", "breaker_")):
        newest = {service: _STATES[event.type] for event, service in told if event.type.startswith(family)}
        assert {key[0]: said["state"] for key, said in rows(MODEL, table, facts).items()} == newest
        assert versions(MODEL, table, facts, cuts=[cut]) == versions(MODEL, table, facts)
    check(MODEL, facts, "ops")


def test_another_event_is_refused() -> None:
    with pytest.raises(TypeError, match="does not listen to int"):
        list(services.evolve(services.Memory(), Fact(1, 0, 5)))
