"""A figure: what was measured, beside what, and how."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from adapters.connection import connect
from adapters.embedded import NatsServer
from adapters.jetstream import JetStreamLog
from adapters.provision import provision
from adapters.subjects import STREAMS, Stream


class Figure(NamedTuple):
    """`ratio` is value over the baseline's value, both of this run; None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    baseline: str
    ratio: float | None
    how: str


class Stage(NamedTuple):
    """A server of the benchmark's own."""

    server: NatsServer
    log: JetStreamLog


@asynccontextmanager
async def stage(folder: Path, streams: tuple[Stream, ...] = STREAMS) -> AsyncIterator[Stage]:
    """A fresh fsyncing server with its streams in `folder`, removed afterwards."""
    with TemporaryDirectory(prefix="cdb-bench-", dir=folder) as made:
        server = NatsServer(Path(made) / "nats")
        server.start()
        try:
            async with await connect(server.url) as connection:
                await provision(connection, streams)
                yield Stage(server, JetStreamLog(connection, streams))
        finally:
            server.stop()


def seconds_since(started: float) -> float:
    return time.perf_counter() - started


def percentile_ms(samples_ns: Iterable[int], percent: float) -> float:
    """A percentile of durations, in milliseconds."""
    return round(float(np.percentile(np.fromiter(samples_ns, np.float64), percent)) / 1e6, 4)


def per_second(count: int, seconds: float) -> float:
    return round(count / seconds)
