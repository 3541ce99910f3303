"""What is done about a fault: the severity of every kind of error, and a table that an operator may change."""

import asyncio

import pytest

from domain.errors import Conflict, Diverged, InvalidInput, NotDurable, Overlap, TapeBroken, Unavailable
from domain.operations import Recovery, Severity
from ops.recovery import ComponentRecovery, RecoveryTable, backoff, classify


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (InvalidInput("x"), "low"),
        (Overlap("x"), "low"),
        (Unavailable("x"), "medium"),
        (ConnectionResetError("x"), "medium"),
        (TimeoutError("x"), "medium"),
        (Conflict("x"), "high"),
        (KeyError("a bug"), "high"),
        (asyncio.CancelledError("x"), "high"),
        (NotDurable("x"), "critical"),
        (TapeBroken("x"), "critical"),
        (Diverged(7, "tape:3", "a", "b"), "critical"),
    ],
)
def test_an_error_has_the_severity_of_its_kind(error: BaseException, severity: str) -> None:
    assert classify(error) == severity


def test_severities_rise_by_one_and_critical_is_the_worst() -> None:
    assert [severity.risen for severity in Severity] == ["medium", "high", "critical", "critical"]


def test_pauses_grow_and_are_capped() -> None:
    assert [backoff(n) for n in (1, 2, 3, 4, 6, 7, 1000)] == [0.1, 0.2, 0.4, 0.8, 3.2, 5.0, 5.0]


def test_an_operator_changes_the_table_for_one_component() -> None:
    table = RecoveryTable.changed("core.high=emergency_stop, postgres.medium=retry,")
    assert table.core == ComponentRecovery(high=Recovery.EMERGENCY_STOP)
    assert table.postgres.medium == "retry"
    assert (table.ws, table.nats, table.postgres.high) == (RecoveryTable().ws, RecoveryTable().nats, "fallback")
    assert RecoveryTable.changed("") == RecoveryTable()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("core.critical=retry", "would leave a critical fault"),
        ("postgres.critical=fallback", "use restart or emergency_stop"),
        ("core.high=stand_down", "use retry, fallback, restart"),
        ("core.high=ignore", "core.high"),
        ("core.worst=retry", "severities: low, medium, high, critical"),
        ("corn.high=retry", "components: ws, core, nats, snapshots, feeds, calendar, postgres"),
        ("core", "'core' is not component.severity=recovery"),
        ("core.high", "core.high"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_one_line(changes: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        RecoveryTable.changed(changes)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
