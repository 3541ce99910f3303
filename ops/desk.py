"""The desk's operations as the command line asks for them: each opens the log, does its work, and closes it."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapters.embedded import private_folder
from adapters.jetstream import JetStreamLog
from adapters.ledger import StoredLedger
from adapters.tape_log import StoredTape
from domain.engine import prepare
from domain.errors import InvalidInput, TapeBroken
from domain.events import LEDGER_EVENT, SignalRaised
from domain.instruments import canonical_symbol
from domain.ports import Log
from domain.signals.handler import REGISTRY
from domain.tape import position, utc
from gateways.feeds.demo import demo_ticks
from gateways.feeds.files import FeedOptions, FileSet, read_files, write_rejects
from gateways.terminal import Progressing, configure_logging
from ops import settings as settings_file
from ops.composition import open_log
from ops.datasets import dataset_name, ingest, read_dataset
from ops.session import StrategyChoice, run_session
from ops.verify import verify

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Desk:
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
        files = read_files(paths, _feed_options(options), _reading(progress))
        rejects = self._write_rejects(files)
        async with open_log(self._settings) as log:
            done = await ingest(log, files, tape, lambda ticks: progress("tape", ticks, len(files.ticks), "ticks"))
        return done._asdict() | {"rejects": rejects}

    async def tapes(self) -> Sequence[Mapping[str, Any]]:
        async with open_log(self._settings) as log:
            return [await _tape_row(log, subject.removeprefix("tape.")) for subject in await log.subjects("tape.*")]

    async def run(
        self,
        feeds: Sequence[str],
        options: Mapping[str, Any],
        strategies: Sequence[str],
        parameters: Mapping[str, str],
        symbols: Sequence[str],
        progress: Progressing,
    ) -> Mapping[str, Any]:
        wanted = tuple(canonical_symbol(symbol) for symbol in symbols) or None
        choices = [_choice(name, parameters, wanted) for name in strategies]
        async with self._files(feeds, options, progress) as (files, log):
            rejects = self._write_rejects(files)
            report = await run_session(
                log,
                self._settings.desk,
                files,
                choices,
                progress=lambda ticks: progress("tape and engine", ticks, len(files.ticks), "ticks"),
            )
        return report._asdict() | {"rejects": rejects}

    async def signals(
        self, symbol: str | None, strategy: str | None, start: datetime | None, end: datetime | None
    ) -> Sequence[Mapping[str, Any]]:
        desk, first, last = self._settings.desk, _nanos(start), _nanos(end)
        wanted = canonical_symbol(symbol) if symbol else None
        async with open_log(self._settings) as log, aclosing(StoredLedger(log, desk).read()) as pages:
            await _must_stand(log, StoredTape(log, desk))
            return [
                _signal_row(event, desk)
                async for page in pages
                for recorded in page
                if isinstance(event := LEDGER_EVENT.validate_json(recorded.line), SignalRaised)
                and wanted in (None, event.symbol)
                and strategy in (None, event.strategy)
                and (first is None or event.bar_time_ns >= first)
                and (last is None or event.bar_time_ns < last)
            ]

    async def verify(self, progress: Progressing) -> Mapping[str, Any]:
        desk = self._settings.desk
        async with open_log(self._settings) as log:
            tape = StoredTape(log, desk)
            await _must_stand(log, tape)
            found = await verify(log, desk, tape, lambda done, total: progress("re-executing", done, total, "records"))
        return asdict(found)

    async def bench(self, names: Sequence[str], report: Callable[[Mapping[str, Any]], None]) -> None:
        from ops.bench.run import run_benchmarks

        folder = private_folder(self._settings.data_dir, "bench")  # the disk that the desk itself would use
        await run_benchmarks(folder, names, report)

    @asynccontextmanager
    async def _files(
        self, feeds: Sequence[str], options: Mapping[str, Any], progress: Progressing
    ) -> AsyncIterator[tuple[FileSet, JetStreamLog]]:
        """One feed from what --feed says: files are read before a server is started."""
        kinds = {feed.partition(":")[0] for feed in feeds}
        if len(kinds) != 1 or (kinds != {"file"} and len(feeds) != 1):
            raise InvalidInput(f"--feed {', '.join(feeds)}: give one or more file:PATH, or one tape:NAME, or demo")
        kind, _, rest = feeds[0].partition(":")
        if kind == "file":
            paths = [Path(feed.partition(":")[2]).expanduser() for feed in feeds]
            files = read_files(paths, _feed_options(options), _reading(progress))
            async with open_log(self._settings) as log:
                yield files, log
        elif kind == "tape" and rest:
            async with open_log(self._settings) as log:
                yield await read_dataset(log, rest), log
        elif feeds[0] == "demo":
            async with open_log(self._settings) as log:
                yield demo_ticks(), log
        else:
            raise InvalidInput(f"--feed {feeds[0]!r} is not file:PATH, tape:NAME or demo")

    def _write_rejects(self, files: FileSet) -> str | None:
        if not files.rejects:
            return None
        path = private_folder(self._settings.data_dir, "rejects") / f"{dataset_name(files)}.csv"
        write_rejects(path, files.rejects)
        return str(path)


async def _tape_row(log: Log, name: str) -> Mapping[str, Any]:
    try:
        end = await StoredTape(log, name).end()
    except TapeBroken as error:  # one broken tape hides no other
        return {"tape": name, "records": None, "market_time": None, "problem": str(error)}
    return {"tape": name, "records": end.ordinal, "market_time": utc(end.time_ns), "problem": None}


def _feed_options(options: Mapping[str, Any]) -> FeedOptions:
    try:
        return FeedOptions(**options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInput(f"--{problem['loc'][0]} {problem['input']!r}: {problem['msg']}") from None


def _choice(name: str, parameters: Mapping[str, str], symbols: tuple[str, ...] | None) -> StrategyChoice:
    match = re.fullmatch(r"([a-z0-9_]+)(?:@v?(\d+))?", name)
    if not match:
        raise InvalidInput(f"--strategy {name!r} is not a name or name@version; `cdb strategies` lists them")
    own = {name.removeprefix(f"{match[1]}."): value for name, value in parameters.items() if _concerns(name, match[1])}
    choice = StrategyChoice(match[1], int(match[2]) if match[2] else None, dict(own), symbols)
    prepare(choice.name, choice.version, choice.parameters)
    return choice


def _concerns(parameter: str, strategy: str) -> bool:
    """`window_bars` is of every strategy, `ema_cross.fast` of that one."""
    return "." not in parameter or parameter.startswith(f"{strategy}.")


def _reading(progress: Progressing) -> Callable[[str, int, int], None]:
    return lambda name, done, total: progress(f"reading {name}", done, total, "B")


async def _must_stand(log: Log, tape: StoredTape) -> None:
    """A mistyped desk is not an empty one."""
    if (await log.last(tape.subject)) is None:
        desks = [subject.removeprefix("tape.") for subject in await log.subjects("tape.*")]
        raise InvalidInput(
            f"no tape is named {tape.name!r}; there are {', '.join(desks) or 'none: `cdb run` makes one'}"
        )


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
        "bar_time": utc(event.bar_time_ns),
        "level": _decimal(event.level_nanos),
        "entry": _decimal(event.entry_nanos),
        "stop": _decimal(event.stop_nanos) if event.stop_nanos else None,
        "target": _decimal(event.target_nanos) if event.target_nanos else None,
        "confidence": event.confidence_ppm,
        "position": position(desk, event.ordinal),
    }


def _decimal(nanos: int) -> str:
    return f"{Decimal(nanos).scaleb(-9):.9f}"


def _nanos(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // timedelta(microseconds=1) * 1000
