"""The desk's operations as the command line asks for them: each opens the log, does its work, and closes it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from adapters.embedded import private_folder
from adapters.ledger import StoredLedger
from adapters.tape_log import StoredTape
from domain.errors import TapeBroken
from domain.events import LEDGER_EVENT, SignalRaised
from domain.instruments import canonical_symbol
from domain.ports import Log
from domain.signals.handler import REGISTRY
from domain.tape import position, utc
from gateways.terminal import Progressing, configure_logging
from ops import settings as settings_file
from ops.composition import open_log
from ops.datasets import ingest
from ops.governance_cli import GovernanceOperations
from ops.ledger_queries import LedgerQueries
from ops.ledger_rows import on_tape
from ops.plans import files_of
from ops.projections_cli import ProjectionOperations
from ops.rejects import written_rejects
from ops.tape_lookup import must_stand
from ops.tokens import TokenOperations
from ops.trading import TradingOperations
from ops.tuning import TuningOperations
from ops.verify import verify
from ops.warm import warmed_up


class Desk(
    TradingOperations, LedgerQueries, ProjectionOperations, TokenOperations, TuningOperations, GovernanceOperations
):
    """One desk of one data directory (or server). Implements gateways.cli.Operations."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._settings = settings_file.load(**options)
        configure_logging(self._settings.log_level)

    def settings(self) -> Sequence[Mapping[str, str]]:
        return [line._asdict() for line in settings_file.listing(self._settings, **self._options)]

    def strategies(self) -> Sequence[Mapping[str, Any]]:
        return [
            {"strategy": name, "version": version, "parameters": _defaults(name, version)}
            for name, version in sorted(REGISTRY)
        ]

    async def ingest(
        self, paths: Sequence[Path], options: Mapping[str, Any], tape: str | None, progress: Progressing
    ) -> Mapping[str, Any]:
        files = await files_of(self._settings, paths, options, progress)
        rejects = written_rejects(self._settings, files)
        async with open_log(self._settings) as log:
            done = await ingest(log, files, tape, lambda ticks: progress("tape", ticks, len(files.ticks), "ticks"))
        return done._asdict() | {"rejects": rejects}

    async def tapes(self) -> Sequence[Mapping[str, Any]]:
        async with open_log(self._settings) as log:
            return [await _tape_row(log, subject.removeprefix("tape.")) for subject in await log.subjects("tape.*")]

    async def signals(
        self, symbol: str | None, strategy: str | None, start_ns: int | None, end_ns: int | None
    ) -> Sequence[Mapping[str, Any]]:
        desk = self._settings.desk
        wanted = canonical_symbol(symbol) if symbol else None
        async with open_log(self._settings) as log, aclosing(StoredLedger(log, desk).read()) as pages:
            await must_stand(log, StoredTape(log, desk))
            return [
                _signal_row(event, desk)
                async for page in pages
                for recorded in page
                if isinstance(event := LEDGER_EVENT.validate_json(recorded.line), SignalRaised)
                and wanted in (None, event.symbol)
                and strategy in (None, event.strategy)
                and (start_ns is None or _time_ns(event) >= start_ns)
                and (end_ns is None or _time_ns(event) < end_ns)
            ]

    async def verify(self, progress: Progressing, engines: Path | None = None) -> Mapping[str, Any]:
        desk = self._settings.desk
        await warmed_up(progress)
        async with open_log(self._settings) as log:
            tape = StoredTape(log, desk)
            await must_stand(log, tape)
            found = await verify(
                log, desk, tape, lambda done, total: progress("re-executing", done, total, "records"), engines=engines
            )
        return asdict(found)

    async def bench(self, names: Sequence[str], report: Callable[[Mapping[str, Any]], None]) -> None:
        from ops.bench.run import run_benchmarks

        folder = private_folder(self._settings.data_dir, "bench")  # the disk that the desk itself would use
        await run_benchmarks(folder, names, report)


async def _tape_row(log: Log, name: str) -> Mapping[str, Any]:
    try:
        end = await StoredTape(log, name).end()
    except TapeBroken as error:  # one broken tape hides no other
        return {"tape": name, "records": None, "market_time": None, "problem": str(error)}
    return {"tape": name, "records": end.ordinal, "market_time": utc(end.time_ns), "problem": None}


def _defaults(name: str, version: int) -> str:
    dumped = REGISTRY[name, version].parameters().model_dump(mode="json")
    return ", ".join(f"{key}={value}" for key, value in dumped.items())


def _signal_row(event: SignalRaised, desk: str) -> dict[str, Any]:
    return {
        "signal_id": position(desk, event.number),
        "strategy": event.strategy,
        "version": event.version,
        "symbol": event.symbol,
        "side": event.side,
        "bar_time": utc(event.bar_time_ns) if event.bar_time_ns else None,
        "occurred_at": utc(event.occurred_at_ns),
        "level": _decimal(event.level_nanos),
        "entry": _decimal(event.entry_nanos),
        "stop": _decimal(event.stop_nanos) if event.stop_nanos else None,
        "target": _decimal(event.target_nanos) if event.target_nanos else None,
        "confidence": event.confidence_ppm,
        "position": on_tape(event.ordinal),
    }


def _decimal(nanos: int) -> str:
    return f"{Decimal(nanos).scaleb(-9):.9f}"


def _time_ns(event: SignalRaised) -> int:
    """Of its bar; a signal from outside has none and counts from when it came."""
    return event.bar_time_ns or event.occurred_at_ns
