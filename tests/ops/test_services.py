"""`cdb up` and `cdb serve` as processes with servers of their own: they start, are stopped, go on, leave nothing."""

import asyncio
import contextlib
import getpass
import json
import signal
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import processes
from adapters.commands import send_command
from adapters.jetstream import JetStreamLog
from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.nats_server import NatsServer
from adapters.permissions import GOVERNANCE
from adapters.tape_log import StoredTape
from domain.errors import Conflict, DeskError, Diverged, InvalidInput, Unavailable
from domain.instructions import Instructed, StrategyActivated, TradingHalted
from domain.ports import Append, LedgerEnd, Log, Recorded
from domain.tape import MAX_BLOCK_RECORDS, market
from gateways.feeds.demo import demo_ticks
from gateways.feeds.files import FeedOptions, FileSet, read_files
from gateways.file_feed import BLOCKS_AHEAD, Pace, as_if_now
from gateways.sequencer import Sequencer
from ops.control import order_requested, said
from ops.services import DeskServices, halt_latch
from ops.session import Plan, StrategyChoice, run_session
from ops.settings import Settings
from ops.verify import verify
from tests import approving, canonical, logs
from tests.canonical import file_set
from tests.faults.session import Recording, recording
from tests.ops.desks import DEADLINE_S, SERVICES, Cdb, Ended, ended, instructions, ledger, tape_of, until, write_quotes

STRATEGY = ("--strategy", "ema_cross", "--param", "on=ticks", "--param", "fast=3", "--param", "slow=9")
CHOICE = StrategyChoice("ema_cross", parameters={"on": "ticks", "fast": "3", "slow": "9"})
ORDER = {"symbol": "EURUSD", "side": "buy", "type": "market", "lots": Decimal("0.1"), "time_in_force": "gtc"}
ORDER |= {"expires_at_ns": 0}
CALENDAR = "time,currency,impact,title\n2018-06-13T18:00Z,USD,high,Rate decision\n2018-06-14,EUR,low,Speech\n"


@pytest.fixture
async def cdb(passable_tmp: Path) -> AsyncIterator[Cdb]:
    desk = Cdb(passable_tmp / "data")
    yield desk
    await desk.close()


@pytest.fixture
def quotes(tmp_path: Path) -> Path:
    """A minute of quotes, ten a second."""
    return write_quotes(tmp_path / "EURUSD.csv", 600)


async def undisturbed(files: FileSet, *choices: StrategyChoice) -> Recording:
    """What a session leaves behind that nobody stops."""
    log = MemoryLog()
    await run_session(log, "main", Plan(files, list(choices)))
    return await recording(log)


def ordinal(report: dict[str, Any]) -> int:
    return int(report["tape"].removeprefix("tape:"))


async def test_up_plays_the_demo_reports_and_leaves_nothing_behind(cdb: Cdb) -> None:
    first = await cdb("up", "--feed", "demo", "--exit-when-done", "--json")
    assert first.code == 0, first
    [report] = first.rows
    assert (report["ticks_added"], report["signals"], report["rejects"]) == (104_700, 30, None)
    assert report["approved"] + report["refused"] == 30
    cdb.assert_nothing_is_left()
    again = (await cdb("up", "--feed", "demo", "--exit-when-done", "--json")).rows[-1]
    assert (again["ticks_added"], again["ordinal"], again["events"]) == (0, report["ordinal"], report["events"])
    async with cdb.log() as log:
        left, whole = await recording(log), await undisturbed(demo_ticks(), StrategyChoice("m5_bos_retest"))
        assert (left.tape, left.ledger) == (whole.tape, whole.ledger)
    await cdb.assert_verified()
    cdb.assert_nothing_is_left()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_in_the_middle_of_a_paced_feed_it_goes_on_to_the_same_tape_and_ledger(
    cdb: Cdb, quotes: Path, by: signal.Signals
) -> None:
    feed = ("--feed", f"file:{quotes}", *STRATEGY, "--json")
    process = await cdb.start("up", *feed, "--speed", "20")
    await cdb.ready(process, *SERVICES)
    for service in SERVICES:
        status, page = await cdb.page(service) or (0, {})
        assert (status, page["service"], page["desk"], page["mode"]) == (200, service, "main", "paper")
    await cdb.reaches(100)
    stopped = await cdb.interrupted(process, by)
    assert (stopped.code, stopped.rows) == (130, [])
    assert "interrupted; everything decided so far is durable" in stopped.said
    assert "Traceback" not in stopped.said
    assert [await cdb.page(service) for service in SERVICES] == [None] * 4
    cdb.assert_nothing_is_left()
    rest = await cdb("up", *feed, "--exit-when-done")
    assert 0 < rest.rows[-1]["ticks_added"] < 600, rest
    async with cdb.log() as log:
        left, whole = await recording(log), await undisturbed(read_files([quotes], FeedOptions()), CHOICE)
        assert (left.tape, left.ledger) == (whole.tape, whole.ledger)
    await cdb.assert_verified()


async def test_a_running_desk_is_halted_resumed_and_asked_and_no_second_one_disturbs_it(
    cdb: Cdb, tmp_path: Path
) -> None:
    feed = ("up", "--feed", f"file:{write_quotes(tmp_path / 'EURUSD.csv', 6_000)}", *STRATEGY, "--json")
    calendar = tmp_path / "calendar.csv"
    calendar.write_text(CALENDAR)
    running, desk = await cdb.start(*feed, "--speed", "10"), cdb.desk()
    await cdb.ready(running, "ws", "core")
    await cdb.reaches(50)

    before = await cdb.ordinal()
    [halted] = (await cdb("stop", "--reason", "the test says so", "--json")).rows
    assert halted["applied"]
    assert halted["ledger"].startswith("main:")
    assert before < ordinal(halted) < 3_000  # of the six thousand ticks that wait
    order = await desk.order(ORDER)
    assert order["applied"]  # as an instruction; the verdict is below
    unknown = await desk.cancel("main:999999")
    assert not unknown["applied"]
    assert "order 999999 is not working" in unknown["reason"]
    imported = await desk.import_calendar(calendar)
    assert (imported["applied"], imported["entries"]) == (True, 2)

    second = Cdb(cdb.path)
    others = (feed, ("serve", "ws"), ("serve", "core"), ("run", "--feed", "demo", "--json"))
    for refused in await asyncio.gather(*(second(*other) for other in others)):
        assert refused.code == 4, refused
        assert "desk main: another process runs its service" in refused.said
        assert len(refused.said.splitlines()) == 1, refused

    unsigned = await cdb("resume", "--reason", "a script wants it")
    assert unsigned.code == 8
    assert "only a person resumes a desk" in unsigned.said
    resumed = await approving.resumed(desk, "the test goes on")

    await cdb.reaches(int(resumed.removeprefix("tape:")) + 10)  # nobody has disturbed it
    for service in SERVICES:
        assert (await cdb.page(service, "ready") or (0,))[0] == 200
        assert (await cdb.page(service) or (0, {}))[1]["last_error"] is None
    assert (await cdb.interrupted(running)).code == 130
    async with cdb.log() as log:
        standing = {message.instruction.kind: message.instruction for message in await instructions(log)}
        assert standing["trading_halted"].reason == "the test says so"
        assert standing["trading_resumed"].reason == "the test goes on"
        assert standing["trading_resumed"].actor == getpass.getuser()
        assert [message.instruction.kind for message in await instructions(log)].count("feed_opened") == 1
        judged = [one for one in await verdicts(log) if one["ordinal"] == ordinal(order)]
    assert [one["verdict"] for one in judged] == ["refused"]
    assert "not_halted" in broken(judged[0])
    await cdb.assert_verified()


async def verdicts(log: Log) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await recording(log)).ledger if b'"type":"signal_assessed"' in line]


def broken(verdict: dict[str, Any]) -> list[str]:
    return [rule["rule"] for rule in verdict["rules"] if not rule["passed"]]


async def test_a_halt_without_a_desk_is_latched_and_stands_before_the_first_tick(cdb: Cdb, quotes: Path) -> None:
    [latched] = (await cdb("stop", "--reason", "before anything", "--json")).rows
    assert Path(latched["latched"]).exists()
    feed = ("--feed", f"file:{quotes}", *STRATEGY, "--exit-when-done", "--json")
    [report] = (await cdb("up", *feed)).rows
    assert (report["halted"], report["approved"], report["ticks_added"]) == (True, 0, 600)
    assert report["signals"] == report["refused"] > 20
    async with cdb.log() as log:
        stored = await tape_of(log)
        [halt] = [message for message in await instructions(log) if message.instruction.kind == "trading_halted"]
        assert halt.instruction.reason == "before anything"
        assert halt.ordinal < min(message.first for message in stored if not isinstance(message, Instructed))
        assert all("not_halted" in broken(one) for one in await verdicts(log))
    assert not Path(latched["latched"]).exists()

    # Of a desk that rests, a halt is the next record also where the next command has nothing else to write.
    for command in ("run", "up"):
        assert await approving.resumed(cdb.desk(), "once more")
        assert "latched" in await cdb.desk().halt("", flatten=False)
        assert (await cdb(command, *feed)).rows[-1]["halted"], command
    await cdb.assert_verified()


async def test_two_processes_decide_as_one_does(cdb: Cdb) -> None:
    writer = await cdb.start("serve", "ws", "--feed", "demo", "--exit-when-done", "--json")
    await cdb.ready(writer, "ws")
    assert await cdb.page("core") is None
    async with cdb.log() as log:

        async def ticks() -> int:
            blocks = [message for message in await tape_of(log) if not isinstance(message, Instructed)]
            return int(sum(market(block.records).sum() for block in blocks))

        async def is_ahead() -> bool:
            return await ticks() > 0.9 * BLOCKS_AHEAD * MAX_BLOCK_RECORDS

        await until(is_ahead)
        assert await ticks() <= BLOCKS_AHEAD * MAX_BLOCK_RECORDS  # the rest waits for an engine
    assert writer.returncode is None
    engine = await cdb.start("serve", "core")
    done = await ended(writer)
    assert done.code == 0, done
    assert cdb.server() is not None  # the engine still uses it
    assert (await cdb.interrupted(engine)).code == 130
    cdb.assert_nothing_is_left()
    async with cdb.log() as log:
        left, whole = await recording(log), await undisturbed(demo_ticks(), StrategyChoice("m5_bos_retest"))
        assert (left.tape, left.ledger) == (whole.tape, whole.ledger)
    await cdb.assert_verified()


async def test_a_recording_played_live_is_stamped_now_and_goes_on_when_it_was_stopped(cdb: Cdb, tmp_path: Path) -> None:
    quotes = write_quotes(tmp_path / "EURUSD.csv", 40)
    feed = ("up", "--feed", f"file:{quotes}", *STRATEGY, "--speed", "live", "--json")
    began = np.datetime64("now", "ns").astype(np.int64)
    process = await cdb.start(*feed)
    await cdb.ready(process, "ws", "core")
    await cdb.reaches(20)
    assert (await cdb.interrupted(process)).code == 130
    rest = await cdb(*feed, "--exit-when-done")
    assert rest.code == 0, rest
    assert 0 < rest.rows[-1]["ticks_added"] < 40
    async with cdb.log() as log:
        blocks = [message.records for message in await tape_of(log) if not isinstance(message, Instructed)]
    records = np.concatenate(blocks)
    ticks = records[market(records)]
    assert ticks["bid"].tolist() == read_files([quotes], FeedOptions()).ticks["bid"].tolist()
    assert began < ticks["receive_time"][0] < ticks["receive_time"][-1] < began + 60 * 10**9
    assert (np.diff(records["receive_time"]) >= 0).all()
    assert len(records) > len(ticks)  # the clock ticks every second
    await cdb.assert_verified()


async def test_several_files_are_one_session_merged_by_time(cdb: Cdb, tmp_path: Path) -> None:
    euro = write_quotes(tmp_path / "EURUSD.csv", 50, step_ms=300)
    pound = write_quotes(tmp_path / "GBPUSD.csv", 50, step_ms=200, start="2018-06-13T12:00:00.050")
    done = await cdb("up", "--feed", f"file:{pound}", "--feed", f"file:{euro}", "--exit-when-done", "--json")
    assert (done.code, done.rows[0]["files"], done.rows[0]["ticks_added"]) == (0, 2, 100)
    async with cdb.log() as log:
        blocks = [message.records for message in await tape_of(log) if not isinstance(message, Instructed)]
    records = np.concatenate(blocks)
    ticks = records[market(records)]
    assert (np.diff(ticks["receive_time"]) >= 0).all()
    assert np.bincount(ticks["instrument"]).tolist() == [0, 50, 50]


BAD: list[tuple[str, ...]] = [
    ("up", "--speed", "nan"),
    ("run", "--balance", "0.0000000001"),
    ("up", "--currency", "euro"),
    ("up", "--policy", "paper-default@9"),
    ("up", "--symbol", "NAS100"),
    ("up", "--calendar", "nowhere.csv"),
    ("serve", "ws", "--balance", "5"),
    ("order", "buy", "EURUSD", "1e999999"),
    ("cancel", "0"),
    ("calendar", "import", "nowhere.csv"),
]


async def test_what_cannot_be_is_one_line_exit_code_2_and_nothing_written(cdb: Cdb) -> None:
    gate = asyncio.Semaphore(2)

    async def refused(arguments: tuple[str, ...]) -> Ended:
        async with gate:
            return await cdb(*arguments)

    for arguments, answer in zip(BAD, await asyncio.gather(*map(refused, BAD)), strict=True):
        assert answer.code == 2, (arguments, answer)
        assert len(answer.said.splitlines()) == 1, (arguments, answer.said)
        assert answer.said.startswith("error: "), (arguments, answer.said)
    async with cdb.log() as log:
        assert await log.subjects("tape.*") == []


# -- in this process ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[JetStreamLog]:
    async with logs.jetstream(nats_server) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ports = {f"{service}_port": processes.free_port() for service in SERVICES}
    return Settings(data_dir=tmp_path / "data", desk=logs.new_name(), **ports)  # type: ignore[arg-type]


FILES = file_set(canonical.market_ticks(300, seed=3), "EURUSD")
PLAN = Plan(FILES, [CHOICE])


async def run(services: DeskServices, *, until_fed: bool = True) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await services.run(("ws", "core"), until_fed=until_fed)


async def test_a_diverged_ledger_ends_a_run_that_somebody_waits_for_and_halts_the_desk(
    log: JetStreamLog, settings: Settings
) -> None:
    line = b'{"number":1,"type":"instruction_applied","of":"somebody else"}'
    await StoredLedger(log, settings.desk).append([Recorded(1, line)], LedgerEnd())
    with pytest.raises(Diverged, match="ledger event 1"):
        await run(DeskServices(settings, log, PLAN))
    kinds = [message.instruction.kind for message in await instructions(log, settings.desk)]
    assert halt_latch(settings).pending() is not None or "trading_halted" in kinds
    assert await ledger(log, settings.desk) == [line]


async def test_a_clock_behind_the_tape_is_told_at_once(log: JetStreamLog, settings: Settings) -> None:
    future = file_set(canonical.market_ticks(5, start=time.time_ns() + 10**15), "EURUSD")
    await run_session(log, settings.desk, Plan(future, [CHOICE]))
    played = as_if_now(FILES, time.time_ns() + 10**16)  # so that only the clock is in the way
    with pytest.raises(DeskError, match=r"wall clock is .* s behind the end of the tape"):
        await run(DeskServices(settings, log, PLAN._replace(files=played, live=True)))


async def test_who_loses_the_tape_to_another_writer_stops_and_says_so(log: JetStreamLog, settings: Settings) -> None:
    """Both came at the same moment, so that neither saw the other."""
    running = asyncio.create_task(run(DeskServices(settings, log, PLAN._replace(pace=Pace(50.0)))))
    tape = StoredTape(log, settings.desk)

    async def has_begun() -> bool:
        assert not running.done(), running
        return bool((await tape.end()).fed)

    await until(has_begun)
    while True:
        with contextlib.suppress(Conflict):
            async with Sequencer.open(tape) as intruder:
                await intruder.declare(TradingHalted, reason="the other writer")
            break
    with pytest.raises(Conflict):
        await running


class OnceAway(logs.Wrapped):
    """Loses the ack of one message of the tape, the `at`-th; all else is passed on."""

    def __init__(self, log: JetStreamLog, at: int) -> None:
        super().__init__(log)
        self.left = at

    async def append(self, message: Append) -> int:
        sequence = await self.log.append(message)
        self.left -= message.subject.startswith("tape.")
        if self.left == 0:
            self.left = -1
            raise Unavailable("the test cut the line")
        return sequence


async def test_what_a_session_added_counts_all_lives_of_its_sequencer(
    log: JetStreamLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateways.file_feed.MAX_BLOCK_RECORDS", 50)
    away = OnceAway(log, 8)  # the first block of the feed
    services = DeskServices(settings, away, PLAN)  # type: ignore[arg-type]
    await run(services)
    assert away.left < 0
    assert services.ticks_added == 300
    again = DeskServices(settings, log, PLAN)
    await run(again)
    assert again.ticks_added == 0


async def test_no_command_can_spoil_the_tape_of_a_desk_that_runs(
    log: JetStreamLog, settings: Settings, nats_server: NatsServer
) -> None:
    services = DeskServices(settings, log, PLAN)
    running = asyncio.create_task(run(services, until_fed=False))

    async def is_fed() -> bool:
        assert not running.done(), running
        return services.ticks_added == 300

    await until(is_fed)
    spoiling = [
        (said(StrategyActivated, strategy="moon", version=1, parameters={}, symbols=("EURUSD",)), "moon"),
        (said(StrategyActivated, strategy="ema_cross", version=9, parameters={}, symbols=("EURUSD",)), "v9"),
    ]
    async with logs.jetstream(nats_server, GOVERNANCE) as may_activate:
        for instruction, named in spoiling:
            with pytest.raises(InvalidInput, match=named):
                await send_command(may_activate.connection, settings.desk, instruction)
    ordinal = await send_command(log.connection, settings.desk, order_requested(ORDER))
    await services.core.reached(ordinal)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await verify(log, settings.desk, StoredTape(log, settings.desk))).passed
