"""Commands that put a feed through the desk and keep it running: run, up, serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import InvalidInput
from gateways.cli import (
    DeskOption,
    EnginesOption,
    FormatOption,
    JsonOption,
    PriceOption,
    SpreadOption,
    StrictOption,
    VenueOption,
    app,
    await_result,
    decimal_of,
    feed_options,
    only,
)
from gateways.summary import print_session
from gateways.terminal import Progress, err, print_json
from gateways.wanted import Wanted

TRADING, READING = ("ws", "core"), ("projector", "api", "governance")

FeedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--feed", help="file:PATH, tape:NAME or demo (synthetic; the default of a new desk). May be repeated."
    ),
]
StrategyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        help="Signal handler, name or name@version; else those that stand (new desk: m5_bos_retest). May be repeated.",
    ),
]
ParamOption = Annotated[
    list[str] | None, typer.Option("--param", help="Strategy parameter NAME=VALUE, or STRATEGY.NAME=VALUE.")
]
SymbolsOption = Annotated[
    list[str] | None,
    typer.Option("--symbol", "--symbols", help="Symbols to trade, also A,B; one names files that do not say."),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Policy, name or name@version (`cdb policies`); else the one that stands (new desk: paper-default).",
    ),
]
BalanceOption = Annotated[str | None, typer.Option("--balance", help="Initial balance of a new desk (100000).")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="Account currency of a new desk (USD).")]
CalendarOption = Annotated[Path | None, typer.Option("--calendar", help="Event calendar (CSV) for the news rule.")]
SpeedOption = Annotated[
    str, typer.Option("--speed", help="max, a number (times real time), or live (as if it happened now).")
]
ExitOption = Annotated[bool, typer.Option("--exit-when-done", help="Stop when the feed has ended.")]


@app.command()
def run(
    context: typer.Context,
    feed: FeedOption = None,
    strategy: StrategyOption = None,
    param: ParamOption = None,
    symbol: SymbolsOption = None,
    policy: PolicyOption = None,
    balance: BalanceOption = None,
    currency: CurrencyOption = None,
    calendar: CalendarOption = None,
    engines: EnginesOption = None,
    speed: SpeedOption = "max",
    exit_when_done: ExitOption = False,
    venue: VenueOption = None,
    format: FormatOption = "auto",  # noqa: A002  the option's name
    price: PriceOption = None,
    spread: SpreadOption = None,
    strict: StrictOption = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a feed on the desk's tape, decide on every tick, keep every decision in the ledger, and stop."""
    wanted = _wanted(
        feed, strategy, param, symbol, policy, balance, currency, calendar, speed,
        feed_options(None, venue, format, price, spread, strict), engines,
    )  # fmt: skip
    operations = context.obj.operations(desk)
    with Progress() as progress:
        report = await_result(operations.run(wanted, progress), as_json=as_json)
    _show_session(report, wanted, as_json=as_json)
    if not exit_when_done:
        err.print(
            "[dim]The feed has ended, and `cdb run` with it (--exit-when-done says that this is meant). "
            "`cdb up` stays and takes orders.[/dim]"
        )


@app.command()
def up(
    context: typer.Context,
    feed: FeedOption = None,
    strategy: StrategyOption = None,
    param: ParamOption = None,
    symbol: SymbolsOption = None,
    policy: PolicyOption = None,
    balance: BalanceOption = None,
    currency: CurrencyOption = None,
    calendar: CalendarOption = None,
    engines: EnginesOption = None,
    speed: SpeedOption = "max",
    exit_when_done: ExitOption = False,
    venue: VenueOption = None,
    format: FormatOption = "auto",  # noqa: A002  the option's name
    price: PriceOption = None,
    spread: SpreadOption = None,
    strict: StrictOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No live view.")] = False,
    no_dashboard: Annotated[
        bool, typer.Option("--no-dashboard", help="Only trade: no read models, no HTTP, no dashboard beside it.")
    ] = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole desk: feed, sequencer, engine, commands and health pages in this process, the read models, the
    HTTP API and the dashboard in one beside it. Ctrl-C stops all of it."""
    wanted = _wanted(
        feed, strategy, param, symbol, policy, balance, currency, calendar, speed,
        feed_options(None, venue, format, price, spread, strict), engines,
    )  # fmt: skip
    operations = context.obj.operations(desk)
    console = None if quiet or as_json else err
    with Progress() as progress:
        report = await_result(
            operations.up(wanted, TRADING, progress, console, until_fed=exit_when_done, dashboard=not no_dashboard),
            as_json=as_json,
        )
    if report:
        _show_session(report, wanted, as_json=as_json)


@app.command()
def serve(
    context: typer.Context,
    services: Annotated[
        list[str],
        typer.Argument(
            help="ws (feed, sequencer, commands), core (the engine); or projector (the read models), api (HTTP and the "
            "dashboard), governance (the decision gate). Several may be named."
        ),
    ],
    feed: FeedOption = None,
    strategy: StrategyOption = None,
    param: ParamOption = None,
    symbol: SymbolsOption = None,
    policy: PolicyOption = None,
    balance: BalanceOption = None,
    currency: CurrencyOption = None,
    calendar: CalendarOption = None,
    speed: SpeedOption = "max",
    exit_when_done: ExitOption = False,
    attached: Annotated[bool, typer.Option("--attached", hidden=True)] = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run services of the desk in a process of their own. The others find them over NATS."""
    services = list(dict.fromkeys(services))
    for service in services:
        only("service", service, [*TRADING, *READING])
    of_feed = [*(strategy or []), *(param or []), *(symbol or []), policy, balance, currency, calendar]
    if "ws" not in services and (feed or exit_when_done or any(of_feed)):
        raise InvalidInput("feeds and what they are traded with belong to `cdb serve ws`: the others read the tape")
    if set(services) <= set(READING):
        reading = context.obj.operations(desk).serve_read_side(services, attached=attached)
        await_result(reading, as_json=as_json, quick=True)
        return
    if not set(services) <= set(TRADING):
        raise InvalidInput(
            f"{' and '.join(READING)} never run in the process that trades: serve them by a command of their own"
        )
    if not feed and any(of_feed):
        raise InvalidInput("strategy, policy, account and calendar are put on the tape with a feed: give --feed too")
    wanted = None
    if feed:
        options = feed_options(None, None, "auto", None, None, strict=False)
        wanted = _wanted(feed, strategy, param, symbol, policy, balance, currency, calendar, speed, options)
    operations = context.obj.operations(desk)
    with Progress() as progress:
        trading = operations.up(wanted, services, progress, None, until_fed=exit_when_done, dashboard=False)
        await_result(trading, as_json=as_json)


def _wanted(
    feed: list[str] | None,
    strategy: list[str] | None,
    param: list[str] | None,
    symbol: list[str] | None,
    policy: str | None,
    balance: str | None,
    currency: str | None,
    calendar: Path | None,
    speed: str,
    options: dict[str, Any],
    engines: Path | None = None,
) -> Wanted:
    symbols = [name for item in symbol or [] for name in item.split(",") if name]
    options["default_symbol"] = symbols[0] if len(symbols) == 1 else None
    return Wanted(
        feed or [],
        options,
        strategy or [],
        dict(_pair(item) for item in param or []),
        symbols,
        speed,
        policy,
        None if balance is None else decimal_of("--balance", balance),
        currency,
        calendar,
        engines,
    )


def _show_session(report: Mapping[str, Any], wanted: Wanted, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        feeds = wanted.feeds or ["demo"]  # without one only the demo is played
        print_session(report, feeds, report["strategies"], report["policy"], report["refusals"])


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise InvalidInput(f"--param {item!r} is not NAME=VALUE; for example --param window_bars=60")
    return name, value
