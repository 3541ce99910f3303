"""What a trader and an operator do: run a feed, keep the desk up, halt it, ask for orders."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from rich.console import Console

from adapters.progress import only_one
from domain.errors import InvalidInput
from domain.instructions import CalendarImported, CancelRequested, Instruction, TradingHalted
from domain.policy import POLICIES
from domain.ports import Log
from gateways.feeds.news import calendar_parts
from gateways.live_view import TOKEN_ADVICE, LiveView
from gateways.terminal import Progressing, err
from gateways.wanted import Wanted
from ops.composition import open_log
from ops.control import Outcome, instruct, order_requested, said
from ops.halting import halt_reason, stop_desk
from ops.ledger_reader import LedgerReader
from ops.ledger_rows import event_row
from ops.plans import Unfed, calendar_of, open_plan
from ops.read_services import ReadServices, while_stdin_is_open
from ops.read_side import ReadSide, address
from ops.rejects import written_rejects
from ops.services import DeskServices, halt_latch
from ops.session import Plan, report_of, run_session
from ops.settings import Settings
from ops.warm import warmed_up
from ops.watch import Watch

log = logging.getLogger("cdb.trading")

JUDGED = ("signal_assessed", "order_placed")


class TradingOperations:
    """Of gateways.cli.Operations, what changes a desk."""

    _settings: Settings

    async def run(self, wanted: Wanted, progress: Progressing) -> Mapping[str, Any]:
        """Put a feed on the tape and decide on it, then stop."""
        await warmed_up(progress)
        desk = self._settings.desk
        async with (
            open_plan(self._settings, wanted, progress) as (plan, log),
            only_one(log.connection, desk, "ws"),
            only_one(log.connection, desk, "core"),
        ):
            if isinstance(plan, Unfed):
                raise InvalidInput(plan.says)
            rejects, ticks = written_rejects(self._settings, plan.files), len(plan.files.ticks)

            def told(done: int) -> None:
                progress("tape and engine", done, ticks, "ticks")

            report = await run_session(log, desk, plan, latch=halt_latch(self._settings), progress=told)
        return report._asdict() | {"rejects": rejects, "dashboard": address(self._settings)}

    async def up(
        self,
        wanted: Wanted | None,
        services: Sequence[str],
        progress: Progressing,
        console: Console | None,
        *,
        until_fed: bool,
        dashboard: bool,
    ) -> Mapping[str, Any] | None:
        """Run services until they are stopped, or until the feed is decided on; with a dashboard, the read side runs in
        a process beside them. The report is None without a feed."""
        await warmed_up(progress)
        async with AsyncExitStack() as stack:
            if wanted:
                found, log = await stack.enter_async_context(open_plan(self._settings, wanted, progress))
                plan = found if isinstance(found, Plan) else None
                if isinstance(found, Unfed):
                    err.print(f"no feed: orders and halts are taken, no tick comes; {found.says}", markup=False)
            else:
                plan, log = None, await stack.enter_async_context(open_log(self._settings))
            rejects = written_rejects(self._settings, plan.files) if plan else None
            speed, ticks = (wanted.speed, len(plan.files.ticks)) if wanted and plan else ("no feed", 0)
            side = await stack.enter_async_context(ReadSide.beside(self._settings, log)) if dashboard else None
            watch = Watch(self._settings.desk, speed, ticks, lambda: side.dashboard if side else "")
            desk = DeskServices(self._settings, log, plan, observe=watch.observe, progress=watch.progress)
            started = time.perf_counter()
            if console:
                watch.view = await stack.enter_async_context(LiveView(lambda: watch.look(desk.core), console))
                if side and not watch.view.is_shown:
                    console.print(f"dashboard {side.dashboard}   {TOKEN_ADVICE}", highlight=False, soft_wrap=True)
            await desk.run(services, until_fed=until_fed)
            if plan is None:
                return None
            seconds = time.perf_counter() - started
            report = report_of(self._settings.desk, plan, desk.tally, desk.core.engine, desk.ticks_added, seconds)
        return report._asdict() | {"rejects": rejects, "dashboard": address(self._settings)}

    async def serve_read_side(self, services: Sequence[str], *, attached: bool) -> None:
        """Run services of the read side until they are stopped; `attached`, no longer than standard input is open."""
        async with open_log(self._settings) as log:
            running = ReadServices(self._settings, log).run(services)
            if attached:
                log.connection.revive = None  # whoever started this process sees to the server
                running = while_stdin_is_open(running)
            await running

    async def halt(self, reason: str, *, flatten: bool) -> Mapping[str, Any]:
        """Stop trading now: by the running sequencer; whatever is in the way of that, a latch stops the desk before
        its next record."""
        halt = said(TradingHalted, reason=halt_reason(reason), flatten=flatten)
        return await stop_desk(self._settings, halt)

    async def import_calendar(self, path: Path) -> Mapping[str, Any]:
        """Put an event calendar on the tape. The report is of its last piece, or of the first that was refused."""
        entries = await calendar_of(self._settings, path)
        for part in calendar_parts(entries):
            outcome = await self._instruct(said(CalendarImported, source=path.name, entries=part))
            if not outcome.applied:
                break
        return {"entries": len(entries)} | outcome._asdict()

    async def order(self, terms: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask for a paper order. `verdict` is the rules' row of the ledger, `order` the id of what they let pass, each
        None where there is none."""
        order = order_requested(terms)
        async with open_log(self._settings) as log:
            outcome = await instruct(log, self._settings.desk, order, halt_latch(self._settings))
            judged = await self._judged(log, outcome.ledger) if outcome.applied else []
        verdict, placed = (next((row for row in judged if row["type"] == kind), None) for kind in JUDGED)
        return outcome._asdict() | {"verdict": verdict, "order": placed["id"] if placed else None}

    async def _judged(self, log: Log, answer: str) -> list[dict[str, Any]]:
        """What was decided on an order, as rows: it stands behind the answer, at the same place of the tape."""
        desk, number = self._settings.desk, int(answer.rpartition(":")[2])
        reader = LedgerReader(log, desk)
        async with aclosing(reader.between(number - 1, await reader.end())) as pages:
            events = [reader.event(line) for line in await anext(pages, [])]
        return [event_row(event, desk) for event in events if event.correlation == number]

    async def cancel(self, order: str) -> Mapping[str, Any]:
        """Cancel a working order by its id."""
        number = order.removeprefix(f"{self._settings.desk}:")
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise InvalidInput(f"order {order!r} is not an id such as {self._settings.desk}:123; see `cdb status`")
        return (await self._instruct(said(CancelRequested, order=int(number))))._asdict()

    def policies(self) -> Sequence[Mapping[str, Any]]:
        """The shipped policies, with what they change."""
        return [
            {
                "policy": f"{policy.name}@{policy.version}",
                "hash": policy.hash,
                "content": policy.model_dump(mode="json", exclude_defaults=True, exclude={"name", "version", "fees"}),
            }
            for policy in POLICIES.values()
        ]

    async def _instruct(self, instruction: Instruction) -> Outcome:
        async with open_log(self._settings) as log:
            return await instruct(log, self._settings.desk, instruction, halt_latch(self._settings))
