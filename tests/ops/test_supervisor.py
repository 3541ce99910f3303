"""The supervisor: a fault is noticed at once, recovered as the table says, and halts the desk when it must."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from adapters.breaker import Breaker
from domain.errors import Conflict, DeskError, Diverged, InvalidInput, TapeBroken, Unavailable
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
from ops import supervisor as supervising
from ops.health import Health
from ops.recovery import ComponentRecovery, RecoveryTable
from ops.supervisor import Supervisor, breaker_events

DEADLINE_S = 20
DIVERGED = Diverged(7, "tape:3", "a", "b")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


class Shop:
    """A supervisor whose pauses take no time, on a clock that the test owns; what it did is remembered."""

    def __init__(self, table: RecoveryTable | None = None, **restarts: Callable[[], Awaitable[None]]) -> None:
        self.events: list[OpsEvent] = []
        self.pauses: list[float] = []
        self.halts: list[str] = []
        self.now = 0.0
        self.health = Health()
        self.supervisor = Supervisor(
            self.health, table, record=self.events.append, restarts=restarts, clock=lambda: self.now, pause=self._pass
        )

    async def _pass(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def halt(self, reason: str) -> None:
        self.halts.append(reason)

    async def run(self, **services: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.supervisor.run(services, self.halt)

    async def run_until(self, condition: Callable[[], bool], **services: Any) -> None:
        """Run until the condition holds, then shut down."""
        running = asyncio.create_task(self.run(**services))
        await until(lambda: condition() or running.done())
        assert not running.done(), f"ended by itself: {running}"
        running.cancel()
        await asyncio.wait({running}, timeout=DEADLINE_S / 2)
        assert running.cancelled()

    def of(self, kind: type[Any], service: str = "core") -> list[Any]:
        return [event for event in self.events if isinstance(event, kind) and event.service == service]


class Failing:
    """A service that ends with these errors, one a life, and then does its work."""

    def __init__(self, *errors: BaseException, work: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.errors, self.lives = list(errors), 0
        self._work = work

    async def __call__(self) -> None:
        self.lives += 1
        if self.errors:
            raise self.errors.pop(0)
        if self._work:
            await self._work()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_failure_is_noticed_within_a_tenth_of_a_second_of_its_symptom() -> None:
    failed_at: list[float] = []
    told: list[tuple[float, OpsEvent]] = []
    clock, health = time.perf_counter, Health()

    async def service() -> None:
        health.ready("core")
        await asyncio.sleep(0)
        failed_at.append(clock())
        raise RuntimeError("a symptom")

    async def beside() -> None:
        health.ready("ws")
        await forever()

    supervisor = Supervisor(health, record=lambda event: told.append((clock(), event)), pause=lambda _: forever())
    running = asyncio.create_task(supervisor.run({"core": service, "ws": beside}, never_called))
    await until(lambda: any(isinstance(event, ServiceFailed) for _, event in told))
    at = next(at for at, event in told if isinstance(event, ServiceFailed))
    assert 0 <= at - failed_at[0] < 0.1
    assert (health.status("core").state, health.status("ws").state) == ("failing", "ready")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def never_called(reason: str) -> None:
    raise AssertionError(f"an emergency stop: {reason}")


async def test_a_service_that_failed_is_started_again_and_everything_is_told() -> None:
    shop = Shop()
    core = Failing(KeyError("bug"), Unavailable("gone"))
    await shop.run(core=core)
    assert core.lives == 3
    assert [type(event) for event in shop.events] == [
        ServiceStarted, ServiceFailed, ServiceRestarted, ServiceFailed, ServiceRestarted, ServiceStopped
    ]  # fmt: skip
    first, second = shop.of(ServiceFailed)
    assert (first.error, first.message, first.severity, first.recovery, first.retry_seconds) == (
        "KeyError", "'bug'", "high", "restart", 0.1
    )  # fmt: skip
    assert (second.error, second.severity, second.recovery, second.retry_seconds) == (
        "Unavailable", "medium", "retry", 0.2
    )  # fmt: skip
    assert [event.attempt for event in shop.of(ServiceRestarted)] == [1, 2]
    assert shop.of(ServiceStopped)[0].reason == "finished"
    assert shop.health.status("core").state == "stopped"


@pytest.mark.parametrize("recovery", ["retry", "fallback", "restart", "emergency_stop"])
@pytest.mark.parametrize(
    ("severity", "error"), [("low", InvalidInput("x")), ("medium", Unavailable("x")), ("high", KeyError("x"))]
)
async def test_what_the_table_says_is_what_is_done(severity: str, error: Exception, recovery: str) -> None:
    restarted: list[str] = []

    async def restart() -> None:
        restarted.append("anew")

    component = ComponentRecovery.model_validate({severity: recovery})
    shop = Shop(RecoveryTable(postgres=component), postgres=restart)
    postgres = Failing(error)
    if recovery == "emergency_stop":
        await shop.run_until(lambda: bool(shop.halts), postgres=postgres)
    else:
        await shop.run(postgres=postgres)
    stops = recovery == "emergency_stop"
    assert postgres.lives == (1 if stops else 2)
    assert shop.halts == ([f"postgres: {error}"] if stops else [])
    assert restarted == (["anew"] if recovery == "restart" else [])
    assert shop.pauses == ([] if stops else [5.0 if recovery == "fallback" else 0.1])
    assert shop.of(ServiceFailed, "postgres")[0].recovery == recovery


async def test_too_many_failures_in_a_minute_are_one_class_worse_and_end_in_an_emergency_stop() -> None:
    shop = Shop()
    core = Failing(*[KeyError("bug")] * 20)
    await shop.run_until(lambda: bool(shop.halts), core=core)
    failed = shop.of(ServiceFailed)
    assert [event.severity for event in failed] == ["high"] * 5 + ["critical"]
    assert shop.pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert (core.lives, len(shop.halts)) == (6, 1)


async def test_failures_with_room_between_them_never_become_worse() -> None:
    shop = Shop()

    async def later() -> None:
        shop.now += supervising.WINDOW_S / 4

    core = Failing(*[KeyError("bug")] * 40)

    async def service() -> None:
        await later()
        await core()

    await shop.run(core=service)
    assert core.lives == 41
    assert {event.severity for event in shop.of(ServiceFailed)} == {"high"}
    assert max(shop.pauses) == 0.8


async def test_a_server_that_stays_away_is_asked_for_ever_and_never_halts_the_desk() -> None:
    shop = Shop()
    core = Failing(*[Unavailable("away")] * 200)
    await shop.run(core=core)
    assert (core.lives, shop.halts, max(shop.pauses)) == (201, [], 5.0)


@pytest.mark.parametrize("critical", ["restart", "emergency_stop"])
@pytest.mark.parametrize("error", [DIVERGED, TapeBroken("ordinal 9 is missing")])
async def test_a_broken_truth_is_never_restarted_and_halts_the_desk_once(error: DeskError, critical: str) -> None:
    shop = Shop(RecoveryTable(core=ComponentRecovery(critical=Recovery(critical))))
    core, ws = Failing(error), Failing(error)
    await shop.run_until(lambda: len(shop.of(EmergencyStopped)) == 1 and ws.lives == 1, core=core, ws=ws)
    assert (core.lives, ws.lives) == (1, 1)
    assert shop.halts == [f"core: {error}"]
    status = shop.health.status("core")
    assert status.state == "stopped"
    assert str(error) in str(status.error)
    assert "cdb verify" in status.advice
    assert shop.of(ServiceStopped) == []  # it did not come to its end: it failed


async def test_what_works_goes_on_beside_what_is_down() -> None:
    shop, told = Shop(), asyncio.Event()

    async def ws() -> None:
        shop.health.ready("ws")
        await until(lambda: bool(shop.halts))
        told.set()
        await forever()

    await shop.run_until(told.is_set, core=Failing(DIVERGED), ws=ws)
    assert [event.reason for event in shop.of(ServiceStopped, "ws")] == ["shutdown"]


async def test_an_emergency_stop_is_sent_until_it_is_taken() -> None:
    shop, attempts = Shop(), list[str]()

    async def halt(reason: str) -> None:
        attempts.append(reason)
        if len(attempts) < 4:
            raise Unavailable("the sequencer is away")

    shop.halt = halt  # type: ignore[method-assign]
    await shop.run_until(lambda: bool(shop.of(EmergencyStopped)), core=Failing(DIVERGED))
    assert len(attempts) == 4
    assert shop.of(EmergencyStopped)[0].attempts == 4
    assert shop.pauses == [0.1, 0.2, 0.4]


async def test_who_loses_to_another_writer_stays_down_and_the_others_go_on() -> None:
    shop, ended = Shop(), asyncio.Event()

    async def ws() -> None:
        await until(lambda: shop.health.status("core").state == "stopped")
        ended.set()

    core = Failing(Conflict("another writer was first"))
    with pytest.raises(Conflict, match="another writer was first"):
        await shop.run(core=core, ws=ws)
    assert ended.is_set()
    assert (core.lives, shop.halts) == (1, [])
    assert shop.of(ServiceFailed)[0].recovery == "stand_down"
    assert "stop the other" in shop.health.status("core").advice


async def test_a_conflict_with_its_own_last_life_costs_a_restart_and_a_second_one_the_place() -> None:
    """An append of a crashed life may land after the next life has read the end."""
    shop = Shop()
    await shop.run(core=Failing(KeyError("crash"), Conflict("its own")))
    assert [event.recovery for event in shop.of(ServiceFailed)] == ["restart", "restart"]
    shop = Shop()
    with pytest.raises(Conflict, match="second"):
        await shop.run(core=Failing(KeyError("crash"), Conflict("first"), Conflict("second")))


async def test_a_restart_that_fails_is_a_failure_too() -> None:
    restart, postgres = Failing(Unavailable("disk full"), Unavailable("disk full")), Failing(Unavailable("killed"))
    shop = Shop(postgres=restart)
    await shop.run(postgres=postgres)
    assert [event.message for event in shop.of(ServiceFailed, "postgres")] == ["killed", "disk full", "disk full"]
    assert (restart.lives, postgres.lives) == (3, 2)


async def test_a_service_that_is_cancelled_from_outside_has_failed() -> None:
    shop = Shop()

    async def cancels_itself() -> None:
        if not shop.of(ServiceFailed):
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await asyncio.sleep(0)

    await shop.run(core=cancels_itself)
    assert [event.error for event in shop.of(ServiceFailed)] == ["CancelledError"]


async def test_a_factory_that_raises_is_a_failure_of_its_service() -> None:
    shop, calls = Shop(), list[int]()

    def factory() -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("half built")
        return Failing()()

    await shop.run(core=factory)
    assert len(calls) == 2


async def test_a_shutdown_ends_every_service_and_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    shop, closed = Shop(), list[str]()

    def service(name: str) -> Callable[[], Any]:
        async def live() -> None:
            shop.health.ready(name)
            try:
                await forever()
            finally:
                await asyncio.sleep(0)  # closing takes a turn of the loop
                closed.append(name)

        return live

    def ready() -> bool:
        return all(shop.health.status(name).state == "ready" for name in ("ws", "core"))

    await shop.run_until(ready, ws=service("ws"), core=service("core"))
    assert sorted(closed) == ["core", "ws"]
    assert asyncio.all_tasks() == before
    assert [event.reason for name in ("ws", "core") for event in shop.of(ServiceStopped, name)] == ["shutdown"] * 2


@pytest.mark.parametrize("moment", ["pause", "emergency stop"])
async def test_a_shutdown_in_the_middle_of_a_recovery_leaves_nothing_behind(moment: str) -> None:
    before = asyncio.all_tasks()
    shop, waits = Shop(), asyncio.Event()

    async def wait(_: Any) -> None:
        waits.set()
        await forever()

    if moment == "pause":
        shop.supervisor._pause = wait
    else:
        shop.halt = wait  # type: ignore[method-assign]
    error = KeyError("bug") if moment == "pause" else DIVERGED
    await shop.run_until(waits.is_set, core=Failing(error))
    assert asyncio.all_tasks() == before


async def test_a_component_without_recovery_is_refused_before_anything_runs() -> None:
    shop, core = Shop(), Failing()
    with pytest.raises(InvalidInput, match="component 'mail' has no recovery"):
        await shop.run(core=core, mail=core)
    assert (core.lives, shop.events) == (0, [])


def test_every_state_of_a_breaker_becomes_an_event() -> None:
    events: list[OpsEvent] = []
    now = [0.0]
    breaker = Breaker(
        "nats", failures=2, successes=1, open_seconds=7, clock=lambda: now[0],
        on_change=breaker_events("core", events.append, now_ns=lambda: 42),
    )  # fmt: skip
    for _ in range(2):
        breaker.failed(Unavailable("away"))
    now[0] = 7.0
    with breaker.guard():
        pass
    of = {"service": "core", "occurred_at_ns": 42, "dependency": "nats"}
    assert events == [
        BreakerOpened(**of, failures=2, last_error="Unavailable: away", open_seconds=7),
        BreakerHalfOpened(**of),
        BreakerClosed(**of),
    ]
