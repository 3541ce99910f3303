"""A desk for benchmarks of the read side: the engine's own ledger on a real log, and a PostgreSQL beside it."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from adapters.facts import Facts
from adapters.jetstream import JetStreamLog
from adapters.ledger import StoredLedger
from adapters.processes import free_port
from adapters.projection_store import ProjectionStore
from domain.errors import Unavailable
from domain.events import LEDGER_EVENT
from domain.policy import POLICIES
from domain.ports import Recorded
from ops.bench.workloads import as_file_set, bars
from ops.composition import open_log, open_postgres, open_store
from ops.session import Plan, StrategyChoice, run_session
from ops.settings import Settings, variable
from ops.warm import BALANCE_NANOS, CURRENCY
from projections.as_of import AsOf

DESK = "main"
BUSY = ("m1_retest", "m5_bos_retest")  # three quarters of the events are minute marks
USUAL = ("m5_bos_retest",)  # nine tenths are, as in a real year
GIVEN = ("data_dir", "desk", "api_port", "projector_port")
END_WITHIN_S = 10.0


class ReadDesk(NamedTuple):
    """A desk at rest. `events` are in its ledger; `ordinal` is its tape's end."""

    settings: Settings
    log: JetStreamLog
    dsn: str
    facts: Facts
    store: ProjectionStore
    events: int
    ordinal: int


@asynccontextmanager
async def read_desk(folder: Path, minutes: int, strategies: Sequence[str] = BUSY) -> AsyncIterator[ReadDesk]:
    """A new desk that traded so many minutes of workload B under bench-wide; removed afterwards. A busy one has about
    an event a minute, a usual one three in five minutes."""
    with TemporaryDirectory(prefix="cdb-bench-", dir=folder) as made:
        settings = Settings(
            data_dir=Path(made), desk=DESK, nats_url=None, postgres_dsn=None,
            api_port=free_port(), projector_port=free_port(),
        )  # fmt: skip
        async with open_log(settings) as log, open_postgres(settings) as postgres:
            files = as_file_set(bars(minutes), f"workload-b-{minutes}")
            money = CURRENCY, 1_000 * BALANCE_NANOS  # so that it lasts for every minute
            plan = Plan(files, [StrategyChoice(name) for name in strategies], POLICIES["bench-wide"], account=money)
            report = await run_session(log, DESK, plan)
            dsn = await postgres.start()
            async with open_store(dsn, DESK) as store:
                yield ReadDesk(settings, log, dsn, Facts(log, DESK), store, report.events, report.ordinal)


@asynccontextmanager
async def served(settings: Settings, *services: str) -> AsyncIterator[None]:
    """Services of the desk in a process of their own, as `cdb serve` runs them, while the block does."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("CDB_")}
    given = {variable(name): str(getattr(settings, name)) for name in GIVEN}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.main", "serve", *services), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
        env=ours | given,
    )  # fmt: skip
    assert process.stderr is not None
    saying = asyncio.create_task(process.stderr.read())
    try:
        yield
        if process.returncode is not None:
            raise Unavailable(f"`cdb serve {' '.join(services)}` ended: {(await saying).decode(errors='replace')}")
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await saying


async def first_events(desk: ReadDesk, count: int) -> list[Recorded]:
    """The first so many events of the ledger."""
    events: list[Recorded] = []
    async with aclosing(StoredLedger(desk.log, DESK).read()) as pages:
        async for page in pages:
            events += page
            if len(events) >= count:
                break
    return events[:count]


async def appended(desk: ReadDesk) -> AsyncIterator[tuple[int, int]]:
    """Minute marks that go on from the ledger's last one, for ever: the number of each, and when it was durable, in ns
    of the monotonic clock."""
    ledger = StoredLedger(desk.log, DESK)
    end = await ledger.end()
    lines = (event.line for event in reversed(await first_events(desk, end.number)))
    mark = LEDGER_EVENT.validate_json(next(line for line in lines if b'"account_marked"' in line))
    while True:
        number = end.number + 1
        following = mark.model_copy(update={"number": number, "correlation": number})
        end = await ledger.append([Recorded(number, following.model_dump_json().encode())], end)
        yield number, time.monotonic_ns()


def moment(number: int, desk: ReadDesk) -> AsOf:
    """The moment of a ledger event; the instructions all stand before the first tick."""
    return AsOf(tape=desk.ordinal * number // desk.events, ledger=number)
