"""The command line: what a person types, what they see, and the exit codes that scripts rely on.

Results go to standard output (with --json one object a line), everything else to standard error.
Exit codes: 0 done, 1 the ledger diverges, 2 wrong input, 3 overlap, 4 another writer, 5 not durable, 6 unreachable,
7 the tape is broken or not re-executable here, 8 governance refuses, 130 interrupted.
"""

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from domain.errors import DeskError, InvalidInput
from gateways.terminal import (
    Progress,
    Progressing,
    complain,
    err,
    out,
    print_figure,
    print_json,
    print_report,
    print_rows,
    print_verification,
    readable_signal,
)
from gateways.times import time_ns
from gateways.wanted import Wanted

T = TypeVar("T")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


class Operations(Protocol):
    """What the command line asks of the desk; ops gives it. Mappings are ready for JSON."""

    def settings(self) -> Sequence[Mapping[str, str]]: ...

    def strategies(self) -> Sequence[Mapping[str, Any]]: ...

    async def ingest(
        self, paths: Sequence[Path], options: Mapping[str, Any], tape: str | None, progress: Progressing
    ) -> Mapping[str, Any]: ...

    async def tapes(self) -> Sequence[Mapping[str, Any]]: ...

    async def run(self, wanted: Wanted, progress: Progressing) -> Mapping[str, Any]: ...

    async def up(
        self,
        wanted: Wanted | None,
        services: Sequence[str],
        progress: Progressing,
        console: Console | None,
        *,
        until_fed: bool,
        dashboard: bool,
    ) -> Mapping[str, Any] | None: ...

    async def serve_read_side(self, services: Sequence[str], *, attached: bool) -> None: ...

    async def signals(
        self, symbol: str | None, strategy: str | None, start_ns: int | None, end_ns: int | None
    ) -> Sequence[Mapping[str, Any]]: ...

    async def verify(self, progress: Progressing, engines: Path | None = None) -> Mapping[str, Any]: ...

    async def bench(self, names: Sequence[str], report: Callable[[Mapping[str, Any]], None]) -> None: ...


app = typer.Typer(
    name="cdb",
    help="Claire de Binare: a paper-trading desk whose only truth is a log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DeskOption = Annotated[str | None, typer.Option("--desk", help="Name of the desk (default: main).")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Symbol of the files, whatever their names say.")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="Venue of the files, when their paths do not say.")]
FormatOption = Annotated[str, typer.Option("--format", help="Format of the files; auto recognises it.")]
PriceOption = Annotated[str | None, typer.Option("--price", help="What a single price a bar is: mid, bid or ask.")]
SpreadOption = Annotated[str | None, typer.Option("--spread", help="Spread in pips around a single price a bar.")]
EnginesOption = Annotated[
    Path | None, typer.Option("--engines", help="Folder with wheels of older engines.", exists=True, file_okay=False)
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse a file with any bad row.")]


class Session:
    """What the options before the command said, and how operations are built from them."""

    def __init__(self, build: Callable[..., Operations]) -> None:
        self._build = build
        self.options: dict[str, Any] = {}

    def operations(self, desk: str | None = None) -> Operations:
        return self._build(**self.options, desk=desk)


@app.callback()
def common(
    context: typer.Context,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder of the embedded servers' data (CDB_DATA_DIR).")
    ] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")] = None,
) -> None:
    """Options of every command stand before it."""
    context.obj.options = {"data_dir": data_dir, "log_level": log_level}


@app.command()
def ingest(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files of market data; .gz and .zip are opened.")],
    symbol: SymbolOption = None,
    venue: VenueOption = None,
    format: FormatOption = "auto",  # noqa: A002  the option's name
    price: PriceOption = None,
    spread: SpreadOption = None,
    strict: StrictOption = False,
    tape: Annotated[
        str | None, typer.Option("--tape", help="Append to this tape instead of one named by content.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset tape from files. The same files again add nothing; an interrupted import continues."""
    options = feed_options(symbol, venue, format, price, spread, strict)
    with Progress() as progress:
        report = await_result(context.obj.operations().ingest(files, options, tape, progress), as_json=as_json)
    if as_json:
        print_json(report)
        return
    print_report("Ingested", report)
    if report["rows_rejected"]:
        err.print(
            f"[yellow]{report['rows_rejected']} rows rejected[/yellow], each with its reason in {report['rejects']}"
        )


@app.command()
def tapes(context: typer.Context, as_json: JsonOption = False) -> None:
    """The tapes there are, with where they end."""
    print_rows("Tapes", await_result(context.obj.operations().tapes(), as_json=as_json), as_json=as_json)


@app.command()
def strategies(context: typer.Context, as_json: JsonOption = False) -> None:
    """The signal handlers of this build, with their parameters and defaults."""
    print_rows("Strategies", context.obj.operations().strategies(), as_json=as_json)


@app.command()
def signals(
    context: typer.Context,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this strategy.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Bar time (from outside: arrival) at or after, ISO 8601, UTC if unnamed."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Bar time before, ISO 8601.")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """The signals in the desk's ledger, oldest first; a strategy may have no stop or target."""
    operations = context.obj.operations(desk)
    first, last = time_of("--from", start), time_of("--to", end)
    rows = await_result(operations.signals(symbol, strategy, first, last), as_json=as_json)
    print_rows("Signals", rows if as_json else [readable_signal(row) for row in rows], as_json=as_json)


@app.command()
def verify(
    context: typer.Context, engines: EnginesOption = None, desk: DeskOption = None, as_json: JsonOption = False
) -> None:
    """Re-execute the tape and compare every event of the ledger, byte for byte."""
    with Progress() as progress:
        report = await_result(context.obj.operations(desk).verify(progress, engines), as_json=as_json)
    if as_json:
        print_json(report)
    else:
        print_verification(report)
    if report["diverged"] or report["governance"]["findings"]:
        raise typer.Exit(1)
    if report["problem"] or report["unverifiable"]:
        raise typer.Exit(7)


@app.command()
def bench(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Which benchmarks (default: all).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the desk on this machine: one figure a line, with its ratio to a baseline of the same run."""

    report = print_json if as_json else print_figure
    await_result(context.obj.operations().bench(names or [], report), as_json=as_json)


@app.command()
def settings(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every setting with its value, where it comes from and what it means."""
    rows = context.obj.operations().settings()
    if as_json:
        print_rows("Settings", rows, as_json=True)
        return
    for row in rows:
        value = escape(row["value"]) or "[dim]not set[/dim]"
        out.print(f"[bold]{row['variable']}[/bold] = {value} [dim]({row['source']})[/dim]")
        out.print(f"    {row['description']}", highlight=False)


def run_app(build: Callable[..., Operations]) -> None:
    """Run the command line; a DeskError of any command is one line and its exit code."""
    arrange()
    try:
        app(obj=Session(build), standalone_mode=True)
    except DeskError as error:
        complain(error)
        sys.exit(error.exit_code)


# -- how a command runs --------------------------------------------------------------------------------------------


def await_result(work: Coroutine[Any, Any, T], *, as_json: bool, quick: bool = False) -> T:
    """Run to the end; Ctrl-C and SIGTERM cancel it, so that everything it started is stopped. `quick`: on uvloop, which
    answers about half as many more questions a second."""
    try:
        with asyncio.Runner(loop_factory=_uvloop() if quick else None) as runner:
            return runner.run(_interruptible(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("interrupted; everything decided so far is durable")
        raise typer.Exit(130) from None
    except DeskError as error:
        if as_json:
            print_json({"error": type(error).__name__, "message": str(error)})
        raise


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    if sys.platform != "win32":
        for ending in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
    return await task


# -- how arguments are read ----------------------------------------------------------------------------------------


def decimal_of(option: str, text: str, example: str = "100000") -> Decimal:
    """A number as it was typed, however many digits it has. Raises InvalidInput naming the option."""
    if not NUMBER.fullmatch(text):
        raise InvalidInput(f"{option} {text[:60]!r} is not a number; for example {option} {example}")
    return Decimal(text)


def feed_options(
    symbol: str | None,
    venue: str | None,
    format: str,  # noqa: A002
    price: str | None,
    spread: str | None,
    strict: bool,
) -> dict[str, Any]:
    if price is not None:
        only("--price", price, ["mid", "bid", "ask"])
    spread_pips = None if spread is None else decimal_of("--spread", spread, "0.6")
    options = {"symbol": symbol, "venue": venue, "format": format, "price": price, "strict": strict}
    return options | {"spread_pips": spread_pips}


def only(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{option} {value!r} is not one of {', '.join(allowed)}")


def time_of(option: str, text: str | None) -> int | None:
    """A time as it was typed, in nanoseconds since 1970 UTC. Raises InvalidInput naming the option."""
    if text is None:
        return None
    try:
        return time_ns(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text[:60]!r} {error}") from None


# Commands that have a file of their own put themselves beside these.
from gateways import (  # noqa: E402
    cli_control,  # noqa: F401
    cli_desk,  # noqa: F401
    cli_governance,  # noqa: F401
    cli_ledger,  # noqa: F401
    cli_projections,  # noqa: F401
    cli_token,  # noqa: F401
    cli_tune,  # noqa: F401
    cli_workflow,  # noqa: F401
)

# A new command gets its place here.
HEADS = {
    "Trade": "up run serve",
    "Look": "status diff why events signals documents verify tune",
    "Steer": "stop resume order cancel",
    "Decide": "pending show approve reject withdraw apply_it agents",
    "What there is": "policies strategies ingest tapes settings bench",
}


def arrange() -> None:
    """Put the commands in the order of their heads, for the help. One without a head comes last, under none."""
    heads = {name: head for head, names in HEADS.items() for name in names.split()}
    commands = {command.callback.__name__: command for command in app.registered_commands if command.callback}
    for name in heads.keys() & commands.keys():
        commands[name].rich_help_panel = heads[name]
    order = [*heads, *(name for name in commands if name not in heads)]
    app.registered_commands = [commands[name] for name in order if name in commands]
