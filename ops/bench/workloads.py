"""Benchmark inputs, the same bytes on every machine: workload A (quotes), CSV and live variants of it, and B (bars)."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.bars import M1
from domain.tape import QUOTE, Ticks, empty_ticks
from gateways.feeds.bars import both_sides, four_ticks
from gateways.feeds.files import FileSet, SourceFile

T0_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
SEED = 42
SYMBOL = "EURUSD"
WORKLOAD_A_SHA256 = "0661ef5f8525d619"  # of a million quotes, as `columns_hash` gives it
WORKLOAD_B_SHA256 = "857b6074237f1169"  # of half a million bars

Columns = dict[str, npt.NDArray[np.generic]]


def quote_columns(count: int = 1_000_000) -> Columns:
    """Workload A: a random walk of 0.1-pip steps with a changing spread and exponential gaps. ns, prices, sizes."""
    random = np.random.default_rng(SEED)
    step = random.integers(-3, 4, count)
    mid = 110_000 + np.cumsum(step)
    mid = np.abs(mid - 50_000) + 50_000
    half = random.integers(2, 7, count)
    gap = random.exponential(100e6, count).astype(np.int64) + 1
    return {
        "ts": T0_NS + np.cumsum(gap),
        "bid": np.round((mid - half) / 1e5, 5),
        "ask": np.round((mid + half) / 1e5, 5),
        "bsz": random.integers(1, 50, count) * 100_000.0,
        "asz": random.integers(1, 50, count) * 100_000.0,
    }


def bar_columns(count: int = 500_000) -> Columns:
    """Workload B: M1 bars of a random walk of closes, each opening at the close before. ns, prices, volumes."""
    random = np.random.default_rng(SEED + 1)
    close = 110_000 + np.cumsum(random.integers(-15, 16, count))
    close = np.abs(close - 50_000) + 50_000
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) + random.integers(0, 12, count)
    low = np.minimum(opened, close) - random.integers(0, 12, count)
    volume = random.integers(1, 500, count) * 1_000.0
    prices = {name: np.round(price / 1e5, 5) for name, price in zip("ohlc", (opened, high, low, close), strict=True)}
    return {"ts": T0_NS + np.arange(1, count + 1, dtype=np.int64) * M1, **prices, "v": volume}


def columns_hash(columns: Columns) -> str:
    """16 hex digits of the columns' bytes in order of name."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(np.ascontiguousarray(columns[name]).tobytes())
    return digest.hexdigest()[:16]


def quotes(count: int, instruments: int = 1) -> Ticks:
    """Workload A as tick records, taking turns over `instruments`."""
    columns = quote_columns(count)
    ticks = empty_ticks(count)
    ticks["event_time"] = ticks["receive_time"] = columns["ts"]
    ticks["bid"] = np.rint(columns["bid"].astype(np.float64) * 1e9)
    ticks["ask"] = np.rint(columns["ask"].astype(np.float64) * 1e9)
    ticks["bid_size"] = columns["bsz"].astype(np.int64) * 1_000_000_000
    ticks["ask_size"] = columns["asz"].astype(np.int64) * 1_000_000_000
    ticks["instrument"] = np.arange(count) % instruments + 1
    ticks["kind"] = QUOTE
    ticks["reference"] = np.arange(1, count + 1)
    return ticks


def bars(count: int) -> Ticks:
    """Workload B as tick records, four a minute, the mid on both sides."""
    columns = bar_columns(count)
    prices = np.stack([np.rint(columns[name].astype(np.float64) * 1e9) for name in "ohlc"]).astype(np.int64)
    bid, ask = both_sides(prices, "mid", 0)
    ticks = four_ticks(columns["ts"].astype(np.int64), bid, ask, np.arange(1, count + 1, dtype=np.int64))
    ticks["instrument"] = 1
    return ticks


def as_file_set(ticks: Ticks, identity: str, symbols: list[str] | None = None) -> FileSet:
    """Ticks as a parsed file would give them."""
    times = ticks["receive_time"]
    source = SourceFile(
        name=identity, sha256=hashlib.sha256(identity.encode()).hexdigest(), format="workload", symbol=SYMBOL,
        venue="synthetic", rows=len(ticks), rejected=0,
        first_time_ns=int(times[0]), last_time_ns=int(times[-1]),
    )  # fmt: skip
    return FileSet(symbols or [SYMBOL], [source], ticks, [], hashlib.sha256(identity.encode()).hexdigest())


def write_csv(path: Path, count: int) -> None:
    """Workload A as a plain tick CSV (time in ns, bid, ask)."""
    columns = quote_columns(count)
    rows = zip(columns["ts"].tolist(), columns["bid"].tolist(), columns["ask"].tolist(), strict=True)
    with path.open("w", newline="\n") as file:
        file.write("time,bid,ask\n")
        file.writelines(f"{time},{bid:.5f},{ask:.5f}\n" for time, bid, ask in rows)
