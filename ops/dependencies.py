"""What is asked from outside: each dependency behind a breaker, its faults met as the recovery table says."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeVar

from adapters.breaker import CALLERS_FAULT, Breaker, Change
from adapters.snapshots import SnapshotStore
from domain.errors import Unavailable
from domain.operations import Recovery
from domain.ports import Log
from ops.recovery import RecoveryTable, backoff, classify
from ops.settings import Settings

log = logging.getLogger("cdb.dependencies")

T = TypeVar("T")


def breaker_of(settings: Settings, dependency: str, on_change: Callable[[Change], None] | None = None) -> Breaker:
    """A dependency's breaker with the limits of the settings; none of them switches it off."""
    return Breaker(
        dependency,
        failures=settings.breaker_failures,
        open_seconds=settings.breaker_open_seconds,
        successes=settings.breaker_successes,
        on_change=on_change,
    )


class Dependency:
    """One thing outside. The breaker's name is that of its line in the recovery table.

    `restart` starts anew what it is, `emergency_stop` halts the desk; `pause` belongs to whoever tests.
    """

    def __init__(
        self,
        breaker: Breaker,
        table: RecoveryTable,
        *,
        restart: Callable[[], Awaitable[None]] | None = None,
        emergency_stop: Callable[[str], Awaitable[None]] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        table.of(breaker.dependency)
        self.name, self.breaker = breaker.dependency, breaker
        self._table, self._restart, self._emergency_stop, self._pause = table, restart, emergency_stop, pause

    async def ask(self, operation: Callable[[], Awaitable[T]]) -> T | None:
        """The operation's answer, or None where the table says `fallback`.

        With `retry` and `restart` it is asked again, later each time, until the breaker opens; then, and for what the
        caller erred in, the operation's own error is raised.
        """
        failures, anew = 0, operation
        while True:
            try:
                return await self.breaker.call(anew)
            except CALLERS_FAULT:
                raise
            except Exception as error:
                failures, severity = failures + 1, classify(error)
                recovery = self._table.decide(self.name, error, severity)
                log.warning("%s failed (%s, %s): %s: %s", self.name, severity, recovery, type(error).__name__, error)
                if recovery is Recovery.FALLBACK:
                    return None
                if recovery is Recovery.EMERGENCY_STOP and self._emergency_stop:
                    await self._emergency_stop(f"{self.name}: {error}")
                if recovery is Recovery.EMERGENCY_STOP or self.breaker.state == "open":
                    raise
            await self._pause(backoff(failures))
            anew = partial(self._restarted, operation) if recovery is Recovery.RESTART else operation

    async def _restarted(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self._restart:
            await self._restart()
        return await operation()


async def read_outside(settings: Settings, name: Literal["feeds", "calendar"], read: Callable[[], T]) -> T:
    """What `read` reads from files before anything of it is used. Raises what it raised last; nothing can stand in."""

    async def reading() -> T:
        return read()

    dependency = Dependency(breaker_of(settings, name), RecoveryTable.changed(settings.recovery))
    found = await dependency.ask(reading)
    if found is None:
        raise Unavailable(f"the {name} could not be read, and nothing stands in for them; see the log, then try again")
    return found


class OptionalSnapshots(SnapshotStore):
    """The snapshots of a desk that goes on without them: a start is slower then, nothing else."""

    def __init__(self, store: Log, desk: str, dependency: Dependency) -> None:
        super().__init__(store, desk)
        self._dependency = dependency

    async def load(self) -> bytes | None:
        return await self._dependency.ask(super().load)

    async def save(self, data: bytes) -> None:
        await self._dependency.ask(partial(super().save, data))
