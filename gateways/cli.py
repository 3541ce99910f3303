"""The command line: what a person types, what they see, and the exit codes that scripts rely on.

Results go to standard output (with --json one object a line), everything else to standard error.
Exit codes: 0 done, 1 the ledger diverges, 2 wrong input, 3 overlap, 4 another writer, 5 not durable, 6 unreachable,
7 the tape is broken or not re-executable here, 130 interrupted.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain.errors import DeskError, InvalidInput

Progressing = Callable[[str, int, int, str], None]  # (stage, done, total, unit)
T = TypeVar("T")


class Operations(Protocol):
    """What the command line asks of the desk; ops gives it. Mappings are ready for JSON."""

    def settings(self) -> Sequence[Mapping[str, str]]: ...

    def strategies(self) -> Sequence[Mapping[str, Any]]: ...

    async def ingest(
        self, paths: Sequence[Path], options: Mapping[str, Any], tape: str | None, progress: Progressing
    ) -> Mapping[str, Any]: ...

    async def tapes(self) -> Sequence[Mapping[str, Any]]: ...

    async def run(
        self,
        feeds: Sequence[str],
        options: Mapping[str, Any],
        strategies: Sequence[str],
        parameters: Mapping[str, str],
        symbols: Sequence[str],
        progress: Progressing,
    ) -> Mapping[str, Any]: ...

    async def signals(
        self, symbol: str | None, strategy: str | None, start: datetime | None, end: datetime | None
    ) -> Sequence[Mapping[str, Any]]: ...

    async def verify(self, progress: Progressing) -> Mapping[str, Any]: ...

    async def bench(self, names: Sequence[str], report: Callable[[Mapping[str, Any]], None]) -> None: ...


out = Console()
err = Console(stderr=True)
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
def run(
    context: typer.Context,
    feed: Annotated[
        list[str] | None, typer.Option("--feed", help="file:PATH, tape:NAME or demo (synthetic). May be repeated.")
    ] = None,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Signal handler, name or name@version.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="Strategy parameter NAME=VALUE, or STRATEGY.NAME=VALUE.")
    ] = None,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="Symbols to watch; one also names files that do not say.")
    ] = None,
    speed: Annotated[str, typer.Option("--speed", help="max: as fast as every decision becomes durable.")] = "max",
    exit_when_done: Annotated[bool, typer.Option("--exit-when-done", help="Stop when the feed has ended.")] = False,
    venue: VenueOption = None,
    format: FormatOption = "auto",  # noqa: A002  the option's name
    price: PriceOption = None,
    spread: SpreadOption = None,
    strict: StrictOption = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a feed on the desk's tape, decide on every tick, and keep every decision in the ledger."""
    _only("--speed", speed, ["max"])
    symbols = symbol or []
    options = _feed_options(None, venue, format, price, spread, strict)
    options["default_symbol"] = symbols[0] if len(symbols) == 1 else None
    parameters = dict(_pair(item) for item in param or [])
    operations = context.obj.operations(desk)
    feeds, names = feed or ["demo"], strategy or ["m5_bos_retest"]
    with _Progress() as progress:
        report = _await(operations.run(feeds, options, names, parameters, symbols, progress), as_json=as_json)
    if as_json:
        _print_json(report)
    else:
        _print_session(report, feeds, names)
    if not exit_when_done:
        err.print("[dim]The feed has ended and holds no more. Give --exit-when-done to say that this is meant.[/dim]")


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
    options = _feed_options(symbol, venue, format, price, spread, strict)
    with _Progress() as progress:
        report = _await(context.obj.operations().ingest(files, options, tape, progress), as_json=as_json)
    if as_json:
        _print_json(report)
        return
    _print_report("Ingested", report)
    if report["rows_rejected"]:
        err.print(
            f"[yellow]{report['rows_rejected']} rows rejected[/yellow], each with its reason in {report['rejects']}"
        )


@app.command()
def tapes(context: typer.Context, as_json: JsonOption = False) -> None:
    """The tapes there are, with where they end."""
    _print_rows("Tapes", _await(context.obj.operations().tapes(), as_json=as_json), as_json=as_json)


@app.command()
def strategies(context: typer.Context, as_json: JsonOption = False) -> None:
    """The signal handlers of this build, with their parameters and defaults."""
    _print_rows("Strategies", context.obj.operations().strategies(), as_json=as_json)


@app.command()
def signals(
    context: typer.Context,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this strategy.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Bar time at or after, ISO 8601 (UTC if unnamed).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Bar time before, ISO 8601.")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """The signals in the desk's ledger."""
    operations = context.obj.operations(desk)
    rows = _await(operations.signals(symbol, strategy, _time("--from", start), _time("--to", end)), as_json=as_json)
    _print_rows("Signals", rows if as_json else [_readable_signal(row) for row in rows], as_json=as_json)


@app.command()
def verify(context: typer.Context, desk: DeskOption = None, as_json: JsonOption = False) -> None:
    """Re-execute the tape and compare every event of the ledger, byte for byte."""
    with _Progress() as progress:
        report = _await(context.obj.operations(desk).verify(progress), as_json=as_json)
    if as_json:
        _print_json(report)
    else:
        _print_report("Verification", {k: v for k, v in report.items() if k != "first_divergence"})
        if first := report["first_divergence"]:
            _print_report(
                "First divergence", {side: "missing" if text is None else text for side, text in first.items()}
            )
        elif report["problem"]:
            out.print("[red]The store cannot be trusted, or not be re-executed here.[/red]")
        elif report["pending"]:
            out.print(
                f"[yellow]{report['pending']:,} decisions of the tape are not in the ledger: the engine was stopped "
                "before them, or the ledger was cut short.[/yellow] Run the feed again, then verify."
            )
        else:
            out.print("[green]The ledger is what this engine computes from the tape.[/green]")
    if report["diverged"]:
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

    def report(figure: Mapping[str, Any]) -> None:
        if as_json:
            _print_json(figure)
        else:
            ratio = f"{figure['ratio']:.3g} x" if figure["ratio"] is not None else ""
            out.print(f"[bold]{figure['name']:<28}[/bold] {figure['value']:>14,} {figure['unit']:<10} {ratio:>10}")
            out.print(f"[dim]    {figure['how']}; baseline: {figure['baseline']}[/dim]")

    _await(context.obj.operations().bench(names or [], report), as_json=as_json)


@app.command()
def settings(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every setting with its value, where it comes from and what it means."""
    rows = context.obj.operations().settings()
    if as_json:
        _print_rows("Settings", rows, as_json=True)
        return
    for row in rows:
        out.print(
            f"[bold]{row['variable']}[/bold] = {row['value'] or '[dim]not set[/dim]'} [dim]({row['source']})[/dim]"
        )
        out.print(f"    {row['description']}", highlight=False)


def run_app(build: Callable[..., Operations]) -> None:
    """Run the command line; a DeskError of any command is one line and its exit code."""
    try:
        app(obj=Session(build), standalone_mode=True)
    except DeskError as error:
        _complain(error)
        sys.exit(error.exit_code)


# -- how a command runs --------------------------------------------------------------------------------------------


def _await(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run to the end; Ctrl-C and SIGTERM cancel it, so that everything it started is stopped."""
    try:
        return asyncio.run(_interruptible(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("interrupted; everything decided so far is durable")
        raise typer.Exit(130) from None
    except DeskError as error:
        if as_json:
            _print_json({"error": type(error).__name__, "message": str(error)})
        raise


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    if sys.platform != "win32":
        for ending in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
    return await task


def _complain(error: DeskError) -> None:
    err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)


class _Progress:
    """Progress bars on standard error: `with _Progress() as progress: progress(stage, done, total, unit)`."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[rate]}"), TimeElapsedColumn(),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progressing:
        self._bar.start()
        return self._update

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _update(self, stage: str, done: int, total: int, unit: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, rate="")
        task = self._bar.tasks[self._tasks[stage]]
        rate = f"{done / task.elapsed:,.0f} {unit}/s" if task.elapsed else ""
        self._bar.update(task.id, completed=done, total=total, rate=rate)


# -- how arguments are read ----------------------------------------------------------------------------------------


def _feed_options(
    symbol: str | None,
    venue: str | None,
    format: str,  # noqa: A002
    price: str | None,
    spread: str | None,
    strict: bool,
) -> dict[str, Any]:
    if price is not None:
        _only("--price", price, ["mid", "bid", "ask"])
    try:
        spread_pips = None if spread is None else Decimal(spread)
    except ArithmeticError:
        raise InvalidInput(f"--spread {spread!r} is not a number of pips; for example --spread 0.6") from None
    options = {"symbol": symbol, "venue": venue, "format": format, "price": price, "strict": strict}
    return options | {"spread_pips": spread_pips}


def _only(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{option} {value!r} is not one of {', '.join(allowed)}")


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise InvalidInput(f"--param {item!r} is not NAME=VALUE; for example --param window_bars=60")
    return name, value


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is not a time; for example 2018-05-30 or 2018-05-30T14:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


# -- how results are shown -----------------------------------------------------------------------------------------


def _print_json(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _readable_signal(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A signal in the width of a terminal: prices without trailing zeros, confidence in percent."""

    def price(text: str | None) -> str:
        return (text or "").rstrip("0").rstrip(".")

    return {
        "id": row["signal_id"],
        "bar UTC": row["bar_time"].removesuffix(":00Z").replace("T", " "),
        "symbol": row["symbol"],
        "side": f"[green]{row['side']}[/green]" if row["side"] == "buy" else f"[red]{row['side']}[/red]",
        "entry": price(row["entry"]),
        "stop": price(row["stop"]),
        "target": price(row["target"]),
        "conf": f"{row['confidence'] / 10_000:.0f} %",
        "tick": row["position"],
    }


def _print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            _print_json(row)
        return
    if not rows:
        out.print(f"{title}: none")
        return
    table = Table(title=f"{title} ({len(rows):,})", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column, value in rows[0].items():
        table.add_column(
            column.replace("_", " "),
            justify="right" if isinstance(value, int | float) else "left",
            overflow="fold",
            no_wrap=len(str(value)) < 24,
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row.values()])
    out.print(table)


def _print_session(report: Mapping[str, Any], feeds: Sequence[str], strategies: Sequence[str]) -> None:
    """The summary of a run: what went in, what came out, how fast, and what to do next."""
    added, seconds = report["ticks_added"], report["seconds"]
    table = Table(
        title="Claire de Binare  [dim]paper desk[/dim]", title_justify="left", show_header=False, box=box.SIMPLE
    )
    table.add_row("desk", report["desk"])
    table.add_row("feed", ", ".join(feeds) + ("  [yellow]synthetic[/yellow]" if "demo" in feeds else ""))
    table.add_row("strategy", ", ".join(strategies))
    table.add_row("rows", f"{report['rows']:,}, rejected {report['rows_rejected']:,}")
    table.add_row("tape", f"{added:,} ticks added, {report['ordinal']:,} records in all")
    table.add_row(
        "ledger", f"[bold]{report['signals']:,} signals[/bold] in this run, {report['events']:,} events in all"
    )
    table.add_row("time", f"{seconds:.2f} s, {added / seconds:,.0f} ticks/s" + ", all fsynced" * bool(added))
    out.print(table)
    if not added:
        out.print("These ticks were on the tape already: nothing was added. Another desk starts afresh: --desk NEW")
    if report["rejects"]:
        err.print(
            f"[yellow]{report['rows_rejected']} rows rejected[/yellow], each with its reason in {report['rejects']}"
        )
    if "demo" in feeds:
        out.print("The demo session is made by arithmetic: no market ever quoted it.")
    out.print("[dim]Next: cdb signals, or cdb verify to re-execute every decision.[/dim]")


def _print_report(title: str, report: Mapping[str, Any]) -> None:
    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in report.items():
        table.add_row(name.replace("_", " "), escape(_cell(value)))
    out.print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def configure_logging(level: str) -> None:
    """Log lines are single lines on standard error."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
