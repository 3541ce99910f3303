"""The supervisor: runs services, notices at once that one failed, and applies the recovery table."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from adapters.breaker import Change
from domain.errors import Conflict
from domain.operations import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    EmergencyStopped,
    OpsEvent,
    Recovery,
    ServiceFailed,
    ServiceRestarted,
    ServiceStarted,
    ServiceStopped,
)
from ops.health import VERSION, Health
from ops.recovery import LONGEST_PAUSE_S, RecoveryTable, backoff, classify

log = logging.getLogger("cdb.supervisor")

WINDOW_S = 60.0
FAILURES_IN_WINDOW = 5  # more of them, and each is one class worse than its error says

MEND = "if this goes on, mend what the reason names."
ADVICE = {
    Recovery.RETRY: f"It is run again by itself; {MEND}",
    Recovery.FALLBACK: f"The desk goes on without it and asks again every {LONGEST_PAUSE_S:g} s; {MEND}",
    Recovery.RESTART: f"It is started again by itself; {MEND}",
    Recovery.EMERGENCY_STOP: "The desk is told to halt. Run `cdb verify`, mend what the reason names, start again.",
    Recovery.STAND_DOWN: "Another writer does its work. If this one should, stop the other and start this one again.",
}

Start = Callable[[], Coroutine[Any, Any, None]]
EmergencyStop = Callable[[str], Awaitable[None]]


class Fault(NamedTuple):
    """A service's failure and what is done about it; `pause_s` None: it stays down."""

    error: BaseException
    recovery: Recovery
    pause_s: float | None
    attempt: int


class Supervisor:
    """Runs services, starts again what fails, and halts the desk when it must. One supervisor is for one `run`.

    `record` takes every OPS event and must not block. `restarts` start anew what a component is, if that is more than
    running it again: a server of ours. `clock` (seconds) and `pause` belong to whoever tests.
    """

    def __init__(
        self,
        health: Health,
        table: RecoveryTable | None = None,
        *,
        record: Callable[[OpsEvent], None],
        restarts: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.health, self.table = health, table or RecoveryTable()
        self._record, self._restarts = record, restarts or {}
        self._clock, self._now_ns, self._pause = clock, now_ns, pause
        self._failures: dict[str, deque[float]] = {}
        self._halting: asyncio.Task[None] | None = None

    async def run(self, services: Mapping[str, Start], emergency_stop: EmergencyStop) -> None:
        """Until every service has come to its end, or this is cancelled. Nothing of them is left behind.

        Raises Conflict when a service lost its place to another writer and no other service runs any more. After an
        emergency stop it stays until it is cancelled, so that `/ready` can say why.
        """
        for name in services:
            self.table.of(name)
        keepers = [
            asyncio.create_task(self._keep(name, start, emergency_stop), name=f"keeper of {name}")
            for name, start in services.items()
        ]
        try:
            await asyncio.wait(keepers, return_when=asyncio.FIRST_EXCEPTION)  # gather would cancel them, and so twice
            errors = [error for keeper in keepers if keeper.done() and (error := keeper.result())]
            if self._halting:
                await self._halting
                await asyncio.get_running_loop().create_future()
        finally:
            tasks = [*keepers, *([self._halting] if self._halting else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if errors:
            raise errors[0]

    async def _keep(self, name: str, start: Start, emergency_stop: EmergencyStop) -> BaseException | None:
        """Run a service to its end; the error if it stays down."""
        self._record(ServiceStarted(**self._of(name), version=VERSION))
        fault: Fault | None = None
        try:
            while True:
                error = await self._once(name, start, fault)
                if error is None:
                    self._stopped(name, "finished")
                    return None
                fault = self._judge(name, error, fault)
                if fault.recovery is Recovery.EMERGENCY_STOP and self._halting is None:
                    reason = f"{name}: {error}"
                    self._halting = asyncio.create_task(self._halt(name, reason, emergency_stop), name="emergency stop")
                if fault.pause_s is None:
                    return error
                await self._pause(fault.pause_s)
                self._record(ServiceRestarted(**self._of(name), version=VERSION, attempt=fault.attempt))
        except asyncio.CancelledError:
            self._stopped(name, "shutdown")
            raise

    async def _once(self, name: str, start: Start, fault: Fault | None) -> BaseException | None:
        """One life of a service. None: it came to its end."""
        self.health.starting(name)
        anew = self._restarts.get(name) if fault and fault.recovery is Recovery.RESTART else None
        life = asyncio.create_task(_live(anew, start), name=name)
        try:
            await asyncio.wait({life})
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        return asyncio.CancelledError("it was cancelled from outside") if life.cancelled() else life.exception()

    def _judge(self, name: str, error: BaseException, before: Fault | None) -> Fault:
        """Decide what is done about a failure, and tell."""
        now, failures = self._clock(), self._failures.setdefault(name, deque())
        failures.append(now)
        while failures[0] < now - WINDOW_S:
            failures.popleft()
        severity = classify(error)
        severity = severity.risen if len(failures) > FAILURES_IN_WINDOW else severity
        recovery = self.table.decide(name, error, severity)
        if isinstance(error, Conflict) and before and not isinstance(before.error, Conflict):
            recovery = Recovery.RESTART  # the other writer may be its own last life, whose append was still on its way
        down = recovery in (Recovery.EMERGENCY_STOP, Recovery.STAND_DOWN)
        pause_s = None if down else LONGEST_PAUSE_S if recovery is Recovery.FALLBACK else backoff(len(failures))
        kind, message = type(error).__name__, str(error) or "no message"
        level = logging.CRITICAL if recovery is Recovery.EMERGENCY_STOP else logging.ERROR
        log.log(level, "%s failed (%s, %s): %s: %s", name, severity, recovery, kind, message)
        self._record(
            ServiceFailed(
                **self._of(name), error=kind, message=message, severity=severity, recovery=recovery,
                retry_seconds=pause_s,
            )
        )  # fmt: skip
        (self.health.stopped if down else self.health.failing)(name, f"{kind}: {message}", ADVICE[recovery])
        return Fault(error, recovery, pause_s, len(failures))

    async def _halt(self, name: str, reason: str, emergency_stop: EmergencyStop) -> None:
        """Send the emergency stop until it is taken."""
        attempt = 1
        while True:
            try:
                await emergency_stop(reason)
            except Exception as error:
                log.critical("the emergency stop was not taken (%s), it is sent again: %s", error, reason)
                await self._pause(backoff(attempt))
                attempt += 1
            else:
                return self._record(EmergencyStopped(**self._of(name), reason=reason, attempts=attempt))

    def _stopped(self, name: str, reason: Any) -> None:
        self.health.stopped(name, None, f"It has stopped ({reason}); start it again if it should run.")
        self._record(ServiceStopped(**self._of(name), reason=reason))

    def _of(self, name: str) -> dict[str, Any]:
        return {"service": name, "occurred_at_ns": self._now_ns()}


async def _live(anew: Callable[[], Awaitable[None]] | None, start: Start) -> None:
    if anew:
        await anew()
    await start()


def breaker_events(
    service: str, record: Callable[[OpsEvent], None], now_ns: Callable[[], int] = time.time_ns
) -> Callable[[Change], None]:
    """What a breaker of a service calls on every change, so that it becomes an OPS event."""

    def tell(change: Change) -> None:
        of: dict[str, Any] = {
            "service": service,
            "occurred_at_ns": now_ns(),
            "dependency": change.dependency,
        }
        match change.state:
            case "open":
                record(
                    BreakerOpened(
                        **of, failures=change.failures, last_error=change.last_error, open_seconds=change.open_seconds
                    )
                )
            case "half_open":
                record(BreakerHalfOpened(**of))
            case "closed":
                record(BreakerClosed(**of))

    return tell
