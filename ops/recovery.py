"""What is done about a fault: its severity by the kind of error, and the recovery table of every component."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from domain.errors import Conflict, Diverged, InvalidInput, NotDurable, Overlap, TapeBroken, Unavailable
from domain.operations import Recovery, Severity

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
DERIVED = ("postgres", "projector", "api", "governance", "read_side")  # trading never waits for any of these

CLASSES: tuple[tuple[Severity, tuple[type[BaseException], ...]], ...] = (
    (Severity.CRITICAL, (Diverged, TapeBroken, NotDurable)),
    (Severity.MEDIUM, (Unavailable, ConnectionError, TimeoutError)),
    (Severity.LOW, (InvalidInput, Overlap)),
)


def classify(error: BaseException) -> Severity:
    """How bad an error is that ended a service; one that nobody foresaw is the service's own fault (high)."""
    return next((severity for severity, errors in CLASSES if isinstance(error, errors)), Severity.HIGH)


class ComponentRecovery(BaseModel):
    """What is done about each class of fault of one component."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Recovery = Recovery.RETRY
    medium: Recovery = Recovery.RETRY
    high: Recovery = Recovery.RESTART
    critical: Recovery = Recovery.EMERGENCY_STOP

    @model_validator(mode="after")
    def _never_leaves_a_critical_fault(self) -> Self:
        if self.critical not in (Recovery.RESTART, Recovery.EMERGENCY_STOP):
            raise ValueError(f"critical={self.critical} would leave a critical fault; use restart or emergency_stop")
        if Recovery.STAND_DOWN in (self.low, self.medium, self.high):
            raise ValueError("stand_down is for a lost race of writers only; use retry, fallback, restart")
        return self


class RecoveryTable(BaseModel):
    """The recovery of every component; a new component is a new line here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ws: ComponentRecovery = ComponentRecovery()
    core: ComponentRecovery = ComponentRecovery()
    nats: ComponentRecovery = ComponentRecovery(medium=Recovery.RESTART)
    snapshots: ComponentRecovery = ComponentRecovery(medium=Recovery.FALLBACK, high=Recovery.FALLBACK)  # a shortcut
    feeds: ComponentRecovery = ComponentRecovery(high=Recovery.EMERGENCY_STOP)  # a reader at fault would fail again
    calendar: ComponentRecovery = ComponentRecovery(high=Recovery.EMERGENCY_STOP)
    postgres: ComponentRecovery = ComponentRecovery(  # it holds derived data only: the desk can do without
        medium=Recovery.RESTART, high=Recovery.FALLBACK, critical=Recovery.RESTART
    )
    projector: ComponentRecovery = ComponentRecovery(critical=Recovery.RESTART)
    api: ComponentRecovery = ComponentRecovery(critical=Recovery.RESTART)
    governance: ComponentRecovery = ComponentRecovery(critical=Recovery.RESTART)  # what is doubtful stays undecided
    read_side: ComponentRecovery = ComponentRecovery(critical=Recovery.RESTART)  # the process of projector and API

    @classmethod
    def changed(cls, changes: str) -> Self:
        """The defaults with an operator's changes: `core.high=emergency_stop, postgres.medium=retry`. Raises
        InvalidInput."""
        table = cls().model_dump()
        for change in filter(None, (part.strip() for part in changes.split(","))):
            place, _, recovery = change.partition("=")
            component, _, severity = place.partition(".")
            if severity not in table.get(component, ()):
                raise InvalidInput(
                    f"{change!r} is not component.severity=recovery; components: {', '.join(table)}; "
                    f"severities: {', '.join(Severity)}"
                )
            table[component][severity] = recovery
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise InvalidInput(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None

    def of(self, component: str) -> ComponentRecovery:
        """One component's recovery. Raises InvalidInput for one that has none."""
        if component not in type(self).model_fields:
            raise InvalidInput(f"component {component!r} has no recovery; add it to RecoveryTable in ops/recovery.py")
        found: ComponentRecovery = getattr(self, component)
        return found

    def decide(self, component: str, error: BaseException, severity: Severity) -> Recovery:
        """What is done about an error. Two kinds no table can change: a restart would only meet them again. Whoever
        only reads goes on asking: the desk's own services meet the same, and stop it."""
        if isinstance(error, Conflict):
            return Recovery.FALLBACK if component in DERIVED else Recovery.STAND_DOWN
        if isinstance(error, Diverged | TapeBroken):
            return Recovery.FALLBACK if component in DERIVED else Recovery.EMERGENCY_STOP
        recovery: Recovery = getattr(self.of(component), severity)
        return recovery


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in the window: 0.1, 0.2, 0.4 ... 5."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)))
