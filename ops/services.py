"""The services of a desk, supervised: `ws` (feed, sequencer, commands) and `core` (the engine), together or apart, and
beside them the connection to NATS that they stand on: lost, none of them is ready."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from adapters.breaker import Change, GuardedLog
from adapters.commands import serve_commands
from adapters.connection import Refused
from adapters.embedded import private_folder
from adapters.jetstream import JetStreamLog
from adapters.ops_log import OpsLog
from adapters.progress import ask_reached, only_one, serve_reached
from adapters.tape_log import StoredTape
from domain.errors import DeskError, InvalidInput, Overlap, Unavailable
from domain.events import LedgerEvent
from domain.instructions import Instruction
from gateways.file_feed import fed_of
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Sequencer
from ops.control import refuse_impossible
from ops.core import Core
from ops.dependencies import Dependency, OptionalSnapshots, breaker_of
from ops.health import Health, Pages, serve_health
from ops.recovery import RecoveryTable
from ops.session import Plan, Tally, activations_of, beside, carry_out, put_latched
from ops.settings import Settings
from ops.supervisor import Supervisor, breaker_events
from ops.takeover import make_current

STAGES = {"risk": "core", "execution": "core"}  # parts of the engine's one loop: they are as it is
NATS = "nats"
NEEDS = {"ws": NATS, "core": NATS}
MEASURE_EVERY_S = 0.5
SAVE_S = 2.0

Reaching = Callable[[int], Coroutine[Any, Any, None]]  # returns when every decision up to an ordinal is durable


def halt_latch(settings: Settings) -> HaltLatch:
    """Where a halt waits for this desk's sequencer."""
    return HaltLatch(private_folder(settings.data_dir, "halts"), settings.desk)


class DeskServices:
    """What runs of one desk in this process. `core`, `tally` and `ticks_added` may be looked at while it runs."""

    def __init__(
        self,
        settings: Settings,
        log: JetStreamLog,
        plan: Plan | None,
        *,
        observe: Callable[[list[LedgerEvent]], None] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._settings, self._plan, self._log = settings, plan, log
        self._activations = activations_of(plan) if plan else []
        self._observe, self._progress = observe, progress
        self._latch = halt_latch(settings)
        self._table = RecoveryTable.changed(settings.recovery)
        self._ops: OpsLog | None = None
        self._store = GuardedLog(log, breaker_of(settings, NATS, partial(self._on_breaker, NATS)))
        self._tape = StoredTape(self._store, settings.desk)
        self.health, self.tally, self.ticks_added = Health(STAGES, needs=NEEDS), Tally(), 0
        self._fed_before: int | None = None
        snapshots = breaker_of(settings, "snapshots", partial(self._on_breaker, "core"))
        self.core = Core(
            self._store,
            settings.desk,
            self._tape,
            observe=self._decided,
            snapshots=OptionalSnapshots(
                log, settings.desk, Dependency(snapshots, self._table, emergency_stop=self.emergency_stop)
            ),
        )

    async def run(self, names: Sequence[str], *, until_fed: bool = False) -> None:
        """Run these services until they are cancelled, or with `until_fed` until the whole feed is decided on.

        Raises InvalidInput, Overlap for a feed that the tape cannot take; Conflict when another process runs this desk.
        """
        try:
            await self._run(names, until_fed=until_fed)
        finally:
            with contextlib.suppress(DeskError, TimeoutError):  # a start from an older snapshot is as good, only slower
                async with asyncio.timeout(SAVE_S):
                    await self.core.save()

    async def _run(self, names: Sequence[str], *, until_fed: bool) -> None:
        settings, health = self._settings, self.health
        ports = {
            "ws": settings.ws_port,
            "core": settings.core_port,
            "risk": settings.risk_port,
            "execution": settings.execution_port,
        }
        mine = {name: port for name, port in ports.items() if STAGES.get(name, name) in names}
        async with AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(only_one(self._log.connection, settings.desk, name))
            if "ws" in names:
                current = (self._plan.files, self._plan.engines) if self._plan else ()
                await make_current(self._log, self._tape, *current)
                await put_latched(self._tape, self._latch)
            self._ops = await stack.enter_async_context(OpsLog.open(self._store))
            pages = await stack.enter_async_context(serve_health(health, mine, settings.host, desk=settings.desk))
            await self._supervised(names, self._ops, pages, until_fed=until_fed)

    async def _supervised(self, names: Sequence[str], ops: OpsLog, pages: Pages, *, until_fed: bool) -> None:
        """Each service under a supervisor of its own, so that one which lost its place ends the run of all."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        faults: list[Exception] = []
        lives: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "ws": lambda: self._ws(ended, together="core" in names, until_fed=until_fed),
            "core": self._core,
            NATS: self._nats,
        }

        async def live(name: str) -> None:
            own = [service for service in pages.ports if STAGES.get(service, service) == name]
            try:
                await (beside(pages.kept(*own), lives[name]()) if own else lives[name]())
            except Exception as error:
                faults.append(error)
                raise

        async def stop(reason: str) -> None:
            await self.emergency_stop(reason)
            if until_fed and not ended.done():
                ended.set_exception(faults[-1])  # the feed will never be decided on: nobody must wait for it

        connection = self._log.connection
        revive, connection.revive = connection.revive, None  # from here on it is started again as the table says
        restarts = {NATS: revive} if revive else {}

        def supervised(name: str) -> Coroutine[Any, Any, None]:
            supervisor = Supervisor(self.health, self._table, record=ops.record, restarts=restarts)
            return supervisor.run({name: partial(live, name)}, stop)

        running = [asyncio.create_task(supervised(name), name=f"supervisor of {name}") for name in (NATS, *names)]
        try:
            done, _ = await asyncio.wait({*running, ended}, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
        finally:
            for supervisor in running:
                supervisor.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            connection.revive = revive

    async def emergency_stop(self, reason: str) -> None:
        """Halt the desk; its sequencer looks at the latch before every message."""
        self._latch.set("supervisor", reason)

    async def _nats(self) -> None:
        """The connection: its loss is a fault of its own, told at once and not when a service's patience ends."""
        connection = self._log.connection
        await connection.up()
        self.health.ready(NATS)
        raise Unavailable(f"the connection to NATS at {connection.place} was lost ({await connection.lost()})")

    async def _core(self) -> None:
        """The engine; ready once it has decided on all that was on the tape when it started."""
        caught_up = (await self._tape.end()).ordinal
        async with serve_reached(self._log.connection, self._settings.desk, self.core.reached):
            await beside(self.core.run(), self._attend(caught_up))

    async def _attend(self, caught_up: int) -> None:
        await self.core.reached(caught_up)
        self.health.ready("core")
        while True:
            self._measure()
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _ws(self, ended: "asyncio.Future[None]", *, together: bool, until_fed: bool) -> None:
        """The tape's writer: the feed, and what is commanded, for as long as the desk is up."""
        try:
            await self._write_tape(ended, self.core.reached if together else self._reached_elsewhere, until_fed)
        except DeskError as error:
            callers = isinstance(error, InvalidInput | Overlap) or type(error) is DeskError
            if not callers or isinstance(error, Refused):  # what a server refuses, it may take later
                raise
            if not ended.done():
                ended.set_exception(error)  # the caller's mistake: to try again would not mend it

    async def _write_tape(self, ended: "asyncio.Future[None]", reached: Reaching, until_fed: bool) -> None:
        live = self._plan is not None and self._plan.live
        async with Sequencer.open(self._tape, latch=self._latch, live=live) as sequencer:

            async def take(instruction: Instruction) -> int:
                refuse_impossible(instruction)
                return await sequencer.submit(instruction)

            async with serve_commands(self._log.connection, self._settings.desk, take):
                self.health.ready("ws")
                if self._plan:
                    if self._fed_before is None:  # of this run's first life: a later one finds what it had added
                        self._fed_before = fed_of(sequencer, self._plan.files)
                    await carry_out(self._plan, self._activations, sequencer, reached, self._progress)
                    self.ticks_added = len(self._plan.files.ticks) - self._fed_before
                    await reached(sequencer.end.ordinal)
                if until_fed and not ended.done():
                    ended.set_result(None)
                await sequencer.lost()  # commands are taken until the desk is stopped

    async def _reached_elsewhere(self, ordinal: int) -> None:
        await ask_reached(self._log.connection, self._settings.desk, ordinal)

    def _on_breaker(self, service: str, change: Change) -> None:
        if self._ops:
            breaker_events(service, self._ops.record)(change)

    def _decided(self, events: list[LedgerEvent]) -> None:
        self.tally.observe(events)
        if self._observe:
            self._observe(events)

    def _measure(self) -> None:
        """What the pages of the engine and of its stages show."""
        core, tally = self.core, self.tally
        self.health.measure("core", ordinal=core.folded, events=core.engine.number, commit_ms=core.commit_ms)
        self.health.measure("risk", approved=tally.verdicts["approved"], refused=tally.verdicts["refused"])
        self.health.measure("execution", orders=tally.events["order_placed"], fills=tally.events["order_filled"])
