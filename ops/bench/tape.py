"""Benchmarks of the tape: bulk import, replay through a handler, live ticks, bytes on disk."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from adapters.subjects import TAPE, TOPIC
from adapters.tape_log import StoredTape
from domain.engine import ENGINE, Engine, prepare
from domain.instruments import Instrument, instrument_for
from domain.ports import Append
from domain.signals.handler import SIGNAL, Handler, States
from domain.tape import MAX_BLOCK_RECORDS, Block, Ticks, blocks
from gateways.feeds.files import FeedOptions, read_files
from gateways.file_feed import feed_files
from gateways.sequencer import Activation, Sequencer
from ops.bench.figure import Figure, Stage, per_second, percentile_ms, seconds_since, stage
from ops.bench.workloads import SYMBOL, as_file_set, quotes, write_csv

REPLAY_TICKS = 10_000_000
EMA = Activation("ema_cross", 1, {"fast": 100, "slow": 400, "on": "ticks"}, (SYMBOL,))


async def handler(_: Path) -> AsyncIterator[Figure]:
    """Each handler over ticks in memory, beside one pass that only adds up the mids."""
    ticks = quotes(REPLAY_TICKS)
    parts = [block.records for block in blocks(1, ticks)]
    started = time.perf_counter()
    sum(int(((part["bid"] + part["ask"]) // 2).sum()) for part in parts)
    added = seconds_since(started)
    for name, parameters in (("ema_cross", EMA.parameters), ("m1_retest", {}), ("m5_bos_retest", {})):
        took = min(_handled(name, parameters, parts) for _ in range(3))
        yield Figure(
            "handler" if name == "m5_bos_retest" else f"handler_{name}", per_second(len(ticks), took), "ticks/s",
            "numpy adding up the mids of the same blocks", round(added / took, 3),
            f"{name} over workload A, {len(ticks):,} ticks in memory in blocks of {MAX_BLOCK_RECORDS:,}, best of 3",
        )  # fmt: skip


async def replay_ticks(folder: Path) -> AsyncIterator[Figure]:
    """Workload A from the tape through a handler; the live-recorded tape of small blocks printed apart."""
    async with stage(folder) as at:
        await _import(at, "bulk", quotes(REPLAY_TICKS), activate=True)
        live_count, live_size = 300_000, 10
        await _record(at, "live", quotes(live_count), live_size)
        at.server.stop()
        at.server.start()
        bulk = StoredTape(at.log, "bulk")
        read = per_second(REPLAY_TICKS, await _replay(bulk))
        handled = per_second(REPLAY_TICKS, await _replay(bulk, "ema_cross"))
        decided = per_second(REPLAY_TICKS, await _replay_engine(bulk))
        live = per_second(live_count, await _replay(StoredTape(at.log, "live"), "ema_cross"))
    through = "ema_cross 100/400; server restarted before, page cache warm"
    yield Figure(
        "replay_live_blocks", live, "ticks/s", "replay_ticks", round(live / handled, 4),
        f"{live_count:,} ticks in messages of {live_size}, as a live desk records them, through {through}",
    )  # fmt: skip
    yield Figure(
        "replay_engine", decided, "ticks/s", "replay_ticks", round(decided / handled, 3),
        "the same tape through the engine: every signal made an event",
    )  # fmt: skip
    yield Figure(
        "replay_ticks", handled, "ticks/s", f"reading that tape without a handler ({read:,.0f} ticks/s)",
        round(handled / read, 3),
        f"workload A continued to {REPLAY_TICKS:,} ticks in 960 KiB blocks by direct get, through {through}",
    )  # fmt: skip


async def import_ticks(folder: Path) -> AsyncIterator[Figure]:
    """Parsed ticks onto a tape, every block fsynced, beside bare publishes of the same size. Parsing printed apart."""
    yield _parse(folder)
    count = 5_000_000
    ticks = quotes(count)
    async with stage(folder) as at:
        payload = ticks[:MAX_BLOCK_RECORDS].tobytes()
        sequence, started = 0, time.perf_counter()
        bare = 200
        for _ in range(bare):
            sequence = await at.log.append(Append("tape.bare", payload, {TOPIC: "ticks"}, sequence))
        published = per_second(bare * MAX_BLOCK_RECORDS, seconds_since(started))
        took = await _import(at, "bulk", ticks)
    value = per_second(count, took)
    yield Figure(
        "import_ticks", value, "ticks/s", f"bare fsynced publishes of 960 KiB ({published:,.0f} ticks/s)",
        round(value / published, 3),
        f"{count:,} parsed ticks of workload A through the sequencer, clock records added, one block in flight",
    )  # fmt: skip


async def live_ticks(folder: Path) -> AsyncIterator[Figure]:
    """Single ticks of 100 symbols arriving on a fixed schedule, each timed from its due moment to its durable block."""
    rate, seconds, alone, sequence = 20_000, 10, [], 0
    async with stage(folder) as at:
        payload = quotes(40).tobytes()
        for _ in range(2000):
            started = time.perf_counter_ns()
            sequence = await at.log.append(Append("tape.bare", payload, {TOPIC: "ticks"}, sequence))
            alone.append(time.perf_counter_ns() - started)
        taken, lasted = await _live(at, rate, seconds)
    reached = per_second(len(taken), lasted)
    how = f"100 symbols, {rate:,} single ticks/s on a schedule for {seconds} s, from due time to fsynced"
    for percent in (50, 99):
        bare, value = percentile_ms(alone, percent), percentile_ms(taken, percent)
        slowest = f"; the slowest tick {percentile_ms(taken, 100)} ms"
        yield Figure(f"live_ticks_p{percent}", value, "ms", f"one fsynced publish of 40 ticks, p{percent} ({bare} ms)",
                     round(value / bare, 2), how + slowest)  # fmt: skip
    yield Figure("live_ticks", reached, "ticks/s", f"the schedule; p99 {percentile_ms(taken, 99)} ms",
                 round(reached / rate, 3), how)  # fmt: skip


async def tape_bytes(folder: Path) -> AsyncIterator[Figure]:
    """Bytes a tick takes on disk, with and without the stream's S2 compression."""
    count, sizes, speeds = 5_000_000, {}, {}
    for compressed in (False, True):
        async with stage(folder, (replace(TAPE, compressed=compressed),)) as at:
            await _import(at, "bulk", quotes(count))
            at.server.stop()
            sizes[compressed] = sum(f.stat().st_size for f in at.server.store.rglob("*") if f.is_file()) / count
            at.server.start()
            speeds[compressed] = per_second(count, await _replay(StoredTape(at.log, "bulk")))
    how = f"{count:,} ticks of workload A with their clock records, files of the store after a clean stop"
    yield Figure("tape_bytes_s2", round(sizes[True], 1), "bytes/tick", "the same without compression",
                 round(sizes[True] / sizes[False], 3), f"{how}; reading at {speeds[True]:,.0f} ticks/s")  # fmt: skip
    yield Figure("tape_bytes", round(sizes[False], 1), "bytes/tick", "the record's 64 bytes",
                 round(sizes[False] / 64, 3), f"{how}; reading at {speeds[False]:,.0f} ticks/s")  # fmt: skip


# -- parts ---------------------------------------------------------------------------------------------------------


def _states(name: str, parameters: dict[str, object]) -> tuple[Handler, States]:
    found, checked, _ = prepare(name, None, parameters)
    states = np.zeros(2, found.state)
    states[1] = found.initial(checked, instrument_for(SYMBOL))
    states[1]["instrument"] = 1
    return found, states


def _handled(name: str, parameters: dict[str, object], parts: list[Ticks]) -> float:
    """Seconds of a handler over all parts, compiled before."""
    found, states = _states(name, parameters)
    out = np.zeros(MAX_BLOCK_RECORDS, SIGNAL)
    found.step(states.copy(), parts[0], out)
    started = time.perf_counter()
    for part in parts:
        found.step(states, part, out)
    return seconds_since(started)


async def _import(at: Stage, name: str, ticks: Ticks, *, activate: bool = False) -> float:
    """Seconds to put ticks on a new tape, every block fsynced."""
    files = as_file_set(ticks, f"workload-a-{len(ticks)}")
    async with Sequencer.open(StoredTape(at.log, name)) as sequencer:
        if activate:
            await sequencer.prepare([instrument_for(SYMBOL)], int(ticks["receive_time"][0]))
            await sequencer.activate_engine(ENGINE)
            await sequencer.activate_strategies([EMA])
        started = time.perf_counter()
        await feed_files(sequencer, files)
        return seconds_since(started)


async def _record(at: Stage, name: str, ticks: Ticks, size: int) -> None:
    """Ticks in small messages, as a live tape has them. Not timed, so they are not kept one by one."""
    tape = StoredTape(at.log, name)
    end = await tape.end()
    for block in blocks(1, ticks, size):
        end = await tape.append(block, end)


async def _replay(tape: StoredTape, name: str | None = None) -> float:
    """Seconds to read a whole tape, with every block through a handler if one is named."""
    found, states = _states(name, EMA.parameters) if name else (None, np.zeros(0, SIGNAL))
    out = np.zeros(MAX_BLOCK_RECORDS, SIGNAL)
    if found:
        found.step(states.copy(), quotes(10), out)
    started = time.perf_counter()
    async with aclosing(tape.read()) as pages:
        async for page in pages:
            for message in page:
                if found and isinstance(message, Block):
                    found.step(states, message.records, out)
    return seconds_since(started)


async def _replay_engine(tape: StoredTape) -> float:
    """Seconds to fold a whole tape, every decision made an event."""
    engine, started = Engine(), time.perf_counter()
    async with aclosing(tape.read()) as pages:
        async for page in pages:
            for message in page:
                engine.fold(message)
    return seconds_since(started)


def _parse(folder: Path) -> Figure:
    count = 1_000_000
    with TemporaryDirectory(prefix="cdb-bench-", dir=folder) as made:
        path = Path(made) / "EURUSD_ticks.csv"
        write_csv(path, count)
        options = FeedOptions(symbol=SYMBOL, venue="synthetic")
        read_files([path], options)  # compiles
        started = time.perf_counter()
        read_files([path], options)
        took = seconds_since(started)
    return Figure("parse_csv", per_second(count, took), "rows/s", "none", None, f"{count:,} rows of time,bid,ask in ns")


def _symbols(count: int) -> list[Instrument]:
    euro = instrument_for(SYMBOL)
    return [euro.model_copy(update={"symbol": f"SYM{number:03}"}) for number in range(count)]


async def _live(at: Stage, rate: int, seconds: int) -> tuple[list[int], float]:
    """Durations in ns from each tick's due time to its durable block, and the seconds that all of it took."""
    instruments = _symbols(100)
    ticks = quotes(rate * seconds, len(instruments))
    taken: list[int] = []
    every_ns, sent = 1_000_000_000 // rate, 0
    async with Sequencer.open(StoredTape(at.log, "live"), live=True) as sequencer:
        await sequencer.prepare(instruments, time.time_ns())
        begin = time.perf_counter_ns()
        while sent < len(ticks):
            due = min(len(ticks), (time.perf_counter_ns() - begin) // every_ns)
            for index in range(sent, due):
                done = sequencer.offer(ticks[index : index + 1])
                done.add_done_callback(partial(_took, taken, begin + (index + 1) * every_ns))
            sent = due
            await asyncio.sleep(0.0005)
        await done
        return taken, (time.perf_counter_ns() - begin) / 1e9


def _took(taken: list[int], due_ns: int, _: "asyncio.Future[int]") -> None:
    taken.append(time.perf_counter_ns() - due_ns)
