"""Which benchmarks there are, and how they run: one after the other, figures as they come."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput
from ops.bench import events, http, projections, tape, trading
from ops.bench.figure import Figure

BENCHMARKS: dict[str, Callable[[Path], AsyncIterator[Figure]]] = {
    "handler": tape.handler,
    "replay_ticks": tape.replay_ticks,
    "import_ticks": tape.import_ticks,
    "live_ticks": tape.live_ticks,
    "tape_bytes": tape.tape_bytes,
    "append": events.append,
    "load": events.load,
    "follow": events.follow,
    "tick_to_verdict": trading.tick_to_verdict,
    "tick_to_fill": trading.tick_to_fill,
    "admission": trading.admission,
    "rules": trading.rules,
    "backtest": trading.backtest,
    "projection_rebuild": projections.projection_rebuild,
    "as_of": projections.as_of,
    "event_to_row": projections.event_to_row,
    "http_status": http.http_status,
    "http_orders": http.http_orders,
}


async def run_benchmarks(folder: Path, names: Sequence[str], report: Callable[[Mapping[str, Any]], None]) -> None:
    """Run the named benchmarks (none named: all) on the disk of `folder`; each ends with the figure of its own name."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise InvalidInput(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        async for figure in BENCHMARKS[name](folder):
            report(figure._asdict())
