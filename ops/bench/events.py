"""Benchmarks of the event store: append beside the bare publish, load of an aggregate, follow."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from adapters.event_store import EventStore
from adapters.subjects import TOPIC
from domain.ports import Append
from ops.bench.figure import Figure, Stage, per_second, percentile_ms, seconds_since, stage

STATE = (
    b'{"number":1,"reason":"a governance event of about two hundred bytes, as they are in practice","padding":"'
    + b"x" * 90
    + b'"}'
)
PREFIX = "governance"


async def append(folder: Path) -> AsyncIterator[Figure]:
    """One event of a warm aggregate through the store, in turn with a bare publish of the same bytes."""
    count = 2000
    async with stage(folder) as at:
        store = EventStore(at.log, PREFIX)
        stored, bare = [], []
        for version in range(1, count + 1):
            started = time.perf_counter_ns()
            await store.append([_event("bench.warm", version)])
            stored.append(time.perf_counter_ns() - started)
            started = time.perf_counter_ns()
            await at.log.connection.client.request("ops.bench", STATE, timeout=15)
            bare.append(time.perf_counter_ns() - started)
        packed = await _packed(at, store)
    how = f"{count:,} appends of one {len(STATE)} B event with the expected sequence, in turn with the bare publish"
    yield packed
    for percent in (99, 50):
        value, raw = percentile_ms(stored, percent), percentile_ms(bare, percent)
        yield Figure("append_p99" if percent == 99 else "append", value, "ms",
                     f"a bare fsynced publish, p{percent} ({raw} ms)", round(value / raw, 3), how)  # fmt: skip


async def _packed(at: Stage, store: EventStore) -> Figure:
    five, one = [], []
    for number in range(300):
        started = time.perf_counter_ns()
        await store.append([_event(f"bench.five-{number}", version) for version in range(1, 6)])
        five.append(time.perf_counter_ns() - started)
        started = time.perf_counter_ns()
        await store.append([_event(f"bench.one-{number}", 1)])
        one.append(time.perf_counter_ns() - started)
    value, raw = percentile_ms(five, 50), percentile_ms(one, 50)
    return Figure("append_five", value, "ms", f"one event of a new aggregate, p50 ({raw} ms)", round(value / raw, 3),
                  "five events of a new aggregate in one message, p50 of 300")  # fmt: skip


async def load(folder: Path) -> AsyncIterator[Figure]:
    """An aggregate of 100 events, each its own message, beside the bytes of one direct get."""
    async with stage(folder) as at:
        store = EventStore(at.log, PREFIX)
        for version in range(1, 101):
            await store.append([_event("bench.hundred", version)])
        loaded, got = [], []
        for _ in range(200):
            started = time.perf_counter_ns()
            events = await EventStore(at.log, PREFIX).load("bench.hundred")
            loaded.append(time.perf_counter_ns() - started)
            started = time.perf_counter_ns()
            await at.log.last(f"{PREFIX}.bench.hundred")
            got.append(time.perf_counter_ns() - started)
        assert len(events) == 100
    value, raw = percentile_ms(loaded, 50), percentile_ms(got, 50)
    yield Figure("load", value, "ms", f"one direct get, p50 ({raw} ms)", round(value / raw, 2),
                 "load of an aggregate of 100 events in 100 messages, nothing cached, p50 of 200")  # fmt: skip


async def follow(folder: Path) -> AsyncIterator[Figure]:
    """Catching up with stored events beside appending them; then one event from publish to follower."""
    count = 20_000
    async with stage(folder) as at:
        sequences = asyncio.Semaphore(64)

        async def write(number: int) -> None:
            async with sequences:
                await at.log.append(Append(f"{PREFIX}.bench.{number}", STATE, {TOPIC: "bench"}, 0))

        started = time.perf_counter()
        await asyncio.gather(*[write(number) for number in range(count)])
        wrote = seconds_since(started)
        taken = 0
        started = time.perf_counter()
        async with aclosing(at.log.follow(f"{PREFIX}.>")) as pages:
            async for page in pages:
                taken += len(page)
                if taken == count:
                    break
            caught_up = seconds_since(started)
            latencies = []
            for number in range(500):
                started_ns = time.perf_counter_ns()
                writing = asyncio.ensure_future(
                    at.log.append(Append(f"{PREFIX}.late.{number}", STATE, {TOPIC: "bench"}, 0))
                )
                await anext(pages)
                latencies.append(time.perf_counter_ns() - started_ns)
                await writing
    yield Figure("follow_latency", percentile_ms(latencies, 50), "ms", f"p99 {percentile_ms(latencies, 99)} ms", None,
                 "from the call of append to the event at an idle follower, p50 of 500")  # fmt: skip
    value = per_second(count, caught_up)
    yield Figure("follow", value, "events/s", "appending them, 64 at a time", round(wrote / caught_up, 1),
                 f"catching up with {count:,} events of {count:,} aggregates, one a message")  # fmt: skip


def _event(aggregate: str, version: int) -> StoredEvent:
    return StoredEvent(aggregate, version, "bench.happened", STATE)
