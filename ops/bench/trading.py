"""Benchmarks of the trading day: tick to durable verdict and fill, signals admitted, rules alone, workloads A and B."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adapters.ledger import StoredLedger
from adapters.subjects import TOPIC
from domain import journal
from domain.account import equity_of
from domain.engine import Engine
from domain.instruments import Instrument, instrument_for
from domain.policy import POLICIES, Policy
from domain.ports import Append, LedgerEnd, Recorded
from domain.tape import Block, Ticks, blocks
from domain.trading import RAISED_SIGNAL, take_signal
from ops.bench.figure import Figure, Stage, per_second, percentile_ms, seconds_since, stage
from ops.bench.live_desk import EVERY_TICK, WARM_TICKS, live_desk, quote
from ops.bench.workloads import SYMBOL, bars, quotes
from ops.warm import CURRENCY, ready_engine

WIDE = POLICIES["bench-wide"]
REFUSING = WIDE.model_copy(
    update={"name": "bench-refusing", "risk": WIDE.risk.model_copy(update={"on_opposite": "refuse"})}
)
ROUNDS = 2_000


async def tick_to_verdict(folder: Path) -> AsyncIterator[Figure]:
    """A tick that raises a signal, from offered to its refusal durable."""
    async for figure in _chain(folder, "tick_to_verdict", REFUSING, "signal_assessed"):
        yield figure


async def tick_to_fill(folder: Path) -> AsyncIterator[Figure]:
    """A tick that raises a signal, from offered to order, fill and booking durable."""
    async for figure in _chain(folder, "tick_to_fill", WIDE, "order_filled"):
        yield figure


async def _chain(folder: Path, name: str, policy: Policy, wanted: str) -> AsyncIterator[Figure]:
    for apart in (True, False):
        async for figure in _chain_of(folder, f"{name}_apart" if apart else name, policy, wanted, apart=apart):
            yield figure


async def _chain_of(folder: Path, name: str, policy: Policy, wanted: str, *, apart: bool) -> AsyncIterator[Figure]:
    """Single ticks, each waited for; between them the chain's two publishes alone, with the same bytes."""
    whole, alone = list[int](), list[int]()
    async with stage(folder) as at, live_desk(at, policy, [instrument_for(SYMBOL)], apart=apart) as desk:
        tape_end, ledger_end, size = 0, 0, 0
        for tick in range(WARM_TICKS, WARM_TICKS + ROUNDS + 100):
            started, before = time.monotonic_ns(), desk.sequencer.end.ordinal
            done = desk.sequencer.offer(quote(tick, 1))
            events, durable = await desk.decided.behind(before, wanted)
            took = durable - started
            await done
            data = b"\n".join(event.model_dump_json().encode() for event in events)
            started = time.monotonic_ns()
            tape_end = await at.log.append(Append("tape.bare", bytes(64), {TOPIC: "ticks"}, tape_end))
            ledger_end = await at.log.append(Append("ledger.bare", data, {TOPIC: "commit"}, ledger_end))
            if tick >= WARM_TICKS + 100:
                alone.append(time.monotonic_ns() - started)
                whole.append(took)
                size += len(data)
    where = "sequencer and engine in two processes" if apart else "sequencer and engine in one process"
    for percent in (99, 50):
        value, bare = percentile_ms(whole, percent), percentile_ms(alone, percent)
        yield Figure(
            name if percent == 50 else f"{name}_p{percent}", value, "ms",
            f"the chain's two fsynced publishes alone, p{percent} ({bare} ms)", round(value / bare, 3),
            f"{where}: {ROUNDS:,} single ticks from offered to {wanted} durable, {size // ROUNDS:,} bytes a commit, "
            f"p{percent}; the slowest {percentile_ms(whole, 100)} ms",
        )  # fmt: skip


async def admission(folder: Path) -> AsyncIterator[Figure]:
    """Signals of 100 instruments raised, judged, traded and durable in a second of live ticks."""
    seconds, size, alone, sequence = 5.0, 50, 0, 0
    instruments = [_named(number) for number in range(1, 101)]
    async with stage(folder) as at:
        started = time.perf_counter()
        while seconds_since(started) < 2:
            sequence = await at.log.append(Append("ledger.bare", bytes(4_000), {TOPIC: "commit"}, sequence))
            alone += 1
        published = per_second(alone, seconds_since(started))
        async with live_desk(at, WIDE, instruments) as desk:
            started, tick, last = time.perf_counter(), 100 * WARM_TICKS, desk.sequencer.end.ordinal
            while seconds_since(started) < seconds:
                for _ in range(size):
                    done = desk.sequencer.offer(quote(tick // 100, tick % 100 + 1))
                    tick += 1
                last = await done
                await desk.reached(last)
            took = seconds_since(started)
            verdicts = desk.decided.counts["signal_assessed"]
    yield Figure(
        "admission", per_second(verdicts, took), "signals/s",
        f"bare fsynced publishes of 4 kB, one after the other ({published:,.0f}/s)",
        round(verdicts / took / published, 2),
        f"100 instruments, bursts of {size} single live ticks, a signal at each: verdict, order, fill and booking "
        "durable; the older desk admitted 60 a minute. A policy may set signals_per_minute_max",
    )  # fmt: skip


async def rules(folder: Path) -> AsyncIterator[Figure]:
    """Every rule on one signal, in process: raised, shadowed, judged, placed."""
    engine, took, looked = _engine(WIDE, EVERY_TICK), [], []
    engine.fold(Block(engine.ordinal + 1, quote(0, 1)))
    raised = np.zeros(1, RAISED_SIGNAL)
    raised["instrument"], raised["slot"], raised["side"] = 1, 1, 1
    book = engine.desk.book
    for _ in range(20_000):
        journal.clear(book.journal)
        raised["side"] *= -1
        started = time.perf_counter_ns()
        take_signal(book, raised, 0, 0)
        took.append(time.perf_counter_ns() - started)
        book.desk[0]["orders"] = 0
        started = time.perf_counter_ns()
        journal.clear(book.journal)
        looked.append(time.perf_counter_ns() - started)
    for percent in (50, 99):
        value = round(percentile_ms(took, percent) * 1e3, 2)
        yield Figure(
            f"rules_p{percent}" if percent == 50 else "rules", value, "us", "a call that only empties the journal",
            round(value / (percentile_ms(looked, percent) * 1e3), 2),
            f"a signal through all strategic and risk rules, sizing and placing, called from Python, p{percent}",
        )  # fmt: skip


async def backtest(folder: Path) -> AsyncIterator[Figure]:
    """Workloads A and B under bench-wide, every rule evaluated; with the ledger written printed apart."""
    a, b = {"fast": 100, "slow": 400, "on": "ticks"}, {"fast": 10, "slow": 30, "on": "bars"}
    for name, ticks, parameters, of, unit in (
        ("backtest_a", quotes(1_000_000), a, 1_000_000, "ticks/s"),
        ("backtest", bars(500_000), b, 500_000, "bars/s"),
    ):
        _backtest(_engine(WIDE, parameters), ticks[:1_000])
        took, orders, engine = min((_backtest(_engine(WIDE, parameters), ticks) for _ in range(3)), key=lambda r: r[0])
        equity = f"{orders:,} orders, final equity {equity_of(engine.desk.book.account[0]) / 1e9:,.9f} {CURRENCY}"
        async with stage(folder) as at:
            ledger, written, events, commits = await _with_ledger(at, _engine(WIDE, parameters), ticks)
        yield Figure(
            f"{name}_ledger", per_second(events, written), "events/s",
            f"{commits} bare fsynced publishes of the same bytes ({ledger:.2f} s)", round(ledger / written, 3),
            f"the same with {events:,} events made, written and fsynced: {of / written:,.0f} {unit}",
        )  # fmt: skip
        yield Figure(
            name, per_second(of, took), unit, "with the ledger written", round(written / took, 1),
            f"{'EMA 100/400 on ticks' if of == 1_000_000 else 'EMA 10/30 on closes of M1 bars, four ticks a bar'}, "
            f"every rule evaluated, events not materialised; {equity}; best of 3",
        )  # fmt: skip


# -- parts ---------------------------------------------------------------------------------------------------------


def _named(number: int) -> Instrument:
    return instrument_for(SYMBOL).model_copy(update={"symbol": f"SYM{number:03}"})


def _engine(policy: Policy, parameters: dict[str, Any]) -> Engine:
    return ready_engine(policy, {"ema_cross": parameters})


def _backtest(engine: Engine, ticks: Ticks) -> tuple[float, int, Engine]:
    """Seconds for all ticks, the orders placed, and the engine behind them."""
    orders, started = 0, time.perf_counter()
    for block in blocks(engine.ordinal + 1, ticks):
        for _ in engine.advance(block):
            orders += int(engine.desk.book.journal.rows[journal.PLACED])
    return seconds_since(started), orders, engine


async def _with_ledger(at: Stage, engine: Engine, ticks: Ticks) -> tuple[float, float, int, int]:
    """Seconds of the bare publishes, then of deciding and writing; how many events and commits that were."""
    ledger, end, sizes, started = StoredLedger(at.log, "main"), LedgerEnd(), list[int](), time.perf_counter()
    for block in blocks(engine.ordinal + 1, ticks):
        if events := [Recorded(event.number, event.model_dump_json().encode()) for event in engine.fold(block)]:
            end = await ledger.append(events, end)
            sizes.append(sum(len(event.line) + 1 for event in events))
    took, sequence, started = seconds_since(started), 0, time.perf_counter()
    for size in sizes:
        for part in _parts(size):
            sequence = await at.log.append(Append("ledger.bare", bytes(part), {TOPIC: "commit"}, sequence))
    return seconds_since(started), took, end.number, len(sizes)


def _parts(size: int, most: int = 512 << 10) -> Iterator[int]:
    while size > 0:
        yield min(size, most)
        size -= most
