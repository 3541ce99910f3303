"""Who goes first among the instructions that wait for the tape's writer."""

from enum import IntEnum


class Priority(IntEnum):
    """Lowest first, in order of arrival within one; all of them go ahead of waiting ticks."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


_PRIORITIES = {
    "trading_halted": Priority.CRITICAL,
    "trading_resumed": Priority.CRITICAL,  # in line with halts: overtaken by a later halt, it would end that halt
    "cancel_requested": Priority.HIGH,
    "tape_opened": Priority.NORMAL,
    "instrument_declared": Priority.NORMAL,
    "engine_activated": Priority.NORMAL,
    "strategy_activated": Priority.NORMAL,
    "strategy_deactivated": Priority.NORMAL,
    "account_opened": Priority.NORMAL,
    "policy_activated": Priority.NORMAL,
    "order_requested": Priority.NORMAL,
    "signal_submitted": Priority.NORMAL,
    "feed_opened": Priority.NORMAL,
    "feed_completed": Priority.NORMAL,
    "calendar_imported": Priority.LOW,
}


def priority_of(kind: str) -> Priority:
    """The priority of an instruction's kind."""
    return _PRIORITIES[kind]
