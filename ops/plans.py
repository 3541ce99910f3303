"""From what a person asked for to a plan: files are read and choices checked before a server is started."""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from adapters import subjects
from adapters.jetstream import JetStreamLog
from adapters.tape_log import StoredTape
from domain.engine import prepare
from domain.errors import InvalidInput
from domain.instructions import FeedOpened, NewsEntry
from domain.instruments import canonical_symbol
from domain.policy import policy_named
from domain.ports import Log, TapeEnd
from domain.tape import utc
from gateways.feeds.demo import demo_ticks
from gateways.feeds.files import FeedOptions, FileSet, read_files
from gateways.feeds.news import read_calendar
from gateways.file_feed import Pace, as_if_now
from gateways.standing import Standing, read_standing
from gateways.terminal import Progressing
from gateways.wanted import Wanted
from ops.amounts import nanos_of
from ops.composition import open_log
from ops.datasets import read_dataset
from ops.dependencies import read_outside
from ops.session import Plan, StrategyChoice
from ops.settings import Settings

SECOND = 1_000_000_000


class Unfed(NamedTuple):
    """A desk for which nobody named a feed, and that had another one than the demo: where its tape ends, in words."""

    says: str


@asynccontextmanager
async def open_plan(
    settings: Settings, wanted: Wanted, progress: Progressing
) -> AsyncIterator[tuple[Plan | Unfed, JetStreamLog]]:
    """The plan, and the log that it will be written to. Raises InvalidInput, UnknownStrategy."""
    if wanted.parameters and not wanted.strategies:
        raise InvalidInput(f"--param {next(iter(wanted.parameters))} changes a strategy: name it with --strategy")
    symbols = tuple(canonical_symbol(symbol) for symbol in wanted.symbols) or None
    choices = [_choice(name, wanted.parameters, symbols) for name in wanted.strategies]
    policy = policy_named(wanted.policy) if wanted.policy else None
    account = _account(wanted.balance, wanted.currency)
    calendar = (wanted.calendar.name, await calendar_of(settings, wanted.calendar)) if wanted.calendar else None
    live, pace = wanted.speed == "live", _pace(wanted.speed)
    async with _files(settings, wanted, progress) as (files, log):
        if isinstance(files, Unfed):
            if choices or symbols or policy or account or calendar or wanted.engines:
                raise InvalidInput(
                    f"strategy, policy, account, calendar and engines are put on the tape with a feed: {files.says}"
                )
            yield files, log
            return
        played = await _as_if_live(log, settings.desk, files) if live and len(files.ticks) else files
        governed = bool(await log.subjects(f"{subjects.GOVERNANCE.root}.approver.*"))
        yield Plan(played, choices, policy, account, calendar, pace, wanted.engines, live, symbols, governed), log


async def _as_if_live(log: Log, desk: str, files: FileSet) -> FileSet:
    """Played from now on; a play of the same files that was interrupted goes on."""
    tape = StoredTape(log, desk)
    end = await tape.end()
    if end.feed:
        began_ns = (await read_standing(tape, end)).feeds[end.feed].first_time_ns
        interrupted = as_if_now(files, began_ns)
        if interrupted.identity.startswith(end.feed):
            return interrupted
    return as_if_now(files, time.time_ns())


@asynccontextmanager
async def _files(
    settings: Settings, wanted: Wanted, progress: Progressing
) -> AsyncIterator[tuple[FileSet | Unfed, JetStreamLog]]:
    """One feed from what --feed says."""
    feeds = wanted.feeds
    if not feeds:
        async with open_log(settings) as log:
            yield await _feed_of(log, settings.desk), log
        return
    kinds = {feed.partition(":")[0] for feed in feeds}
    if len(kinds) != 1 or (kinds != {"file"} and len(feeds) != 1):
        raise InvalidInput(f"--feed {', '.join(feeds)}: give one or more file:PATH, or one tape:NAME, or demo")
    kind, _, rest = feeds[0].partition(":")
    if kind == "file":
        paths = [Path(feed.partition(":")[2]).expanduser() for feed in feeds]
        files = await files_of(settings, paths, wanted.options, progress)
        async with open_log(settings) as log:
            yield files, log
    elif kind == "tape" and rest:
        async with open_log(settings) as log:
            yield await read_dataset(log, rest), log
    elif feeds[0] == "demo":
        async with open_log(settings) as log:
            yield demo_ticks(), log
    else:
        raise InvalidInput(f"--feed {feeds[0]!r} is not file:PATH, tape:NAME or demo")


async def _feed_of(log: Log, desk: str) -> FileSet | Unfed:
    """What a desk goes on with when nobody names a feed. Raises InvalidInput for a dataset."""
    tape, demo = StoredTape(log, desk), demo_ticks()
    end = await tape.end()
    standing = await read_standing(tape, end)
    if not standing.opened:
        return demo
    if standing.feeds and not standing.engine:
        raise InvalidInput(f"tape {desk!r} is a dataset, no desk decides on it; `cdb tapes` lists the tapes")
    last = next(reversed(standing.feeds.values()), None)
    if last and {file.sha256 for file in last.files} == {file.sha256 for file in demo.files}:
        return demo
    far = _how_far(last, standing, end)
    return Unfed(f"the tape of desk {desk} ends at {utc(end.time_ns // SECOND * SECOND)}, {far}; give --feed to go on")


def _how_far(last: FeedOpened | None, standing: Standing, end: TapeEnd) -> str:
    if last is None:
        return "before its first feed began"
    names, done = ", ".join(file.name for file in last.files), end.fed if end.feed == last.feed else 0
    far = "is complete" if last.feed in standing.completed else f"stopped at tick {done:,} of {last.ticks:,}"
    return f"its feed of {names} {far}"


async def files_of(
    settings: Settings, paths: Sequence[Path], options: Mapping[str, Any], progress: Progressing
) -> FileSet:
    """Files of ticks, read behind a breaker. Raises InvalidInput, Unavailable."""
    return await read_outside(settings, "feeds", partial(read_files, paths, feed_options(options), reading(progress)))


async def calendar_of(settings: Settings, path: Path) -> tuple[NewsEntry, ...]:
    """An event calendar, read behind a breaker. Raises InvalidInput, Unavailable."""
    return await read_outside(settings, "calendar", partial(read_calendar, path))


def feed_options(options: Mapping[str, Any]) -> FeedOptions:
    """What the caller says about files. Raises InvalidInput naming the option."""
    try:
        return FeedOptions(**options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInput(f"--{problem['loc'][0]} {problem['input']!r}: {problem['msg']}") from None


def reading(progress: Progressing) -> Callable[[str, int, int], None]:
    """Progress of reading files, as the terminal shows it."""
    return lambda name, done, total: progress(f"reading {name}", done, total, "B")


def _pace(speed: str) -> Pace | None:
    if speed == "max":
        return None
    try:
        times = 1.0 if speed == "live" else float(speed)
    except ValueError:
        times = 0.0
    if not 0.01 <= times <= 1_000_000:
        raise InvalidInput(
            f"--speed {speed!r} is not max, live, or a number from 0.01 to 1000000 (times real time); for example 60"
        )
    return Pace(times)


def _account(balance: Decimal | None, currency: str | None) -> tuple[str | None, int | None] | None:
    if balance is None and currency is None:
        return None
    if currency is not None and not re.fullmatch(r"[A-Z]{3,8}", currency):
        raise InvalidInput(f"--currency {currency!r} is not a currency such as USD")
    return currency, None if balance is None else nanos_of("--balance", balance)


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
