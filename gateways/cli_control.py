"""Commands that change what a desk does: stop, order, cancel, calendar, policies. Resuming is decided in
`cli_governance`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from domain.errors import InvalidInput, Unavailable
from domain.wording import duration, percent, units
from gateways.cli import DeskOption, JsonOption, app, await_result, decimal_of, time_of
from gateways.ledger_words import words
from gateways.terminal import err, out, print_json


class ControlOperations(Protocol):
    """What these commands ask of the desk. Mappings are ready for JSON."""

    async def halt(self, reason: str, *, flatten: bool) -> Mapping[str, Any]: ...

    async def order(self, terms: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def cancel(self, order: str) -> Mapping[str, Any]: ...

    async def import_calendar(self, path: Path) -> Mapping[str, Any]: ...

    def policies(self) -> Sequence[Mapping[str, Any]]: ...


def _thousandths(value: int) -> str:
    return units(value * 1_000_000)


UNITS: dict[str, Callable[[int], str]] = {
    "_ppm": percent,
    "_ns": duration,
    "_nanos": units,
    "_thousandths": _thousandths,
}

calendar = typer.Typer(name="calendar", help="The event calendar of the news rule.", no_args_is_help=True)
app.add_typer(calendar, rich_help_panel="Steer")


@app.command()
def stop(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")] = "stopped by hand",
    flatten: Annotated[bool, typer.Option("--flatten", help="Close every position too.")] = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Halt trading now. It goes ahead of every waiting tick, and holds also while the desk is down."""
    report = await_result(_operations(context, desk).halt(reason, flatten=flatten), as_json=as_json)
    if as_json:
        print_json(report)
    elif "latched" in report:
        out.print(f"[bold red]Halt latched[/bold red] in {report['latched']}")
        out.print("No desk answered. The halt is the next record of its tape, before any tick.")
        out.print(report["reason"], style="dim", markup=False, highlight=False)
    elif not report["ledger"]:
        out.print(f"[bold red]The halt stands[/bold red] at {report['tape']}, before every tick that waits.")
        out.print(report["reason"], style="dim", markup=False, highlight=False)
    else:
        out.print(f"[bold red]Trading is halted[/bold red] at {report['tape']}, answered by {report['ledger']}.")
        out.print("[dim]Stops and targets go on protecting open positions. `cdb resume` ends it.[/dim]")


@app.command()
def order(
    context: typer.Context,
    side: Annotated[str, typer.Argument(help="buy or sell.")],
    symbol: Annotated[str, typer.Argument(help="The instrument, for example EURUSD.")],
    lots: Annotated[str, typer.Argument(help="Size in lots, for example 0.1.")],
    limit: Annotated[str | None, typer.Option("--limit", help="Limit price.")] = None,
    trigger: Annotated[str | None, typer.Option("--trigger", help="Price that triggers a stop order.")] = None,
    stop: Annotated[str | None, typer.Option("--stop", help="Stop loss of the position.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Take profit of the position.")] = None,
    tif: Annotated[str | None, typer.Option("--tif", help="gtc (default), ioc, fok or day.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Market time at which it ends, ISO 8601 (UTC if unnamed).")
    ] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a paper order: market, or limit, stop and stop-limit by the prices given. The rules may refuse it."""
    prices = {"limit": limit, "trigger": trigger, "stop": stop, "target": target}
    kind = "_".join([*(["stop"] if trigger else []), *(["limit"] if limit else [])]) or "market"
    expires_at = time_of("--expires", expires)
    if tif is not None and expires_at is not None:
        raise InvalidInput(f"--tif {tif} and --expires {expires} say two ends of one order; give one of them")
    terms = {
        "side": side,
        "symbol": symbol,
        "type": kind,
        "lots": decimal_of("lots", lots, "0.1"),
        "time_in_force": "gtd" if expires_at is not None else tif or "gtc",
        "expires_at_ns": expires_at or 0,
        **{name: None if text is None else decimal_of(f"--{name}", text, "1.10") for name, text in prices.items()},
    }
    report = await_result(_operations(context, desk).order(terms), as_json=as_json)
    verdict = report.get("verdict")
    if as_json or not verdict:
        _report(report, "The order was judged", as_json)
    else:
        placed = f" as order {report['order']}" if report["order"] else ""
        out.print(Text.assemble(words(verdict), f"{placed}. ", (f"cdb why {verdict['id']}", "dim")))
    if verdict and verdict["verdict"] == "refused":
        raise typer.Exit(2)


@app.command()
def cancel(
    context: typer.Context,
    order: Annotated[str, typer.Argument(help="The order's id, main:123 or 123.")],
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a working order."""
    _report(await_result(_operations(context, desk).cancel(order), as_json=as_json), "Cancelled", as_json)


@calendar.command("import")
def import_calendar(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV: time,currency,impact,title. Times are ISO 8601 (UTC if unnamed), impact low, medium or high."
        ),
    ],
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an event calendar on the desk's tape; from there on the news rule knows it."""
    report = await_result(_operations(context, desk).import_calendar(file), as_json=as_json)
    count = report["entries"]
    _report(report, f"{count:,} {'entry' if count == 1 else 'entries'} imported", as_json)


@app.command()
def policies(context: typer.Context, as_json: JsonOption = False) -> None:
    """The shipped policies, and where each differs from the defaults."""
    for policy in context.obj.operations().policies():
        if as_json:
            print_json(policy)
            continue
        out.print(f"[bold]{policy['policy']}[/bold] [dim]{policy['hash']}[/dim]")
        content = Table.grid(padding=(0, 1, 0, 0))
        for part, values in policy["content"].items():
            said = ", ".join(_shown(name, value) for name, value in values.items())
            content.add_row(Text(f"  {part}", "cyan"), said)
        out.print(content, highlight=False)


def _operations(context: typer.Context, desk: str | None) -> ControlOperations:
    operations: ControlOperations = context.obj.operations(desk)
    return operations


def _report(report: Mapping[str, Any], done: str, as_json: bool) -> None:
    if as_json:
        print_json(report)
    elif report["applied"]:
        out.print(f"{done}: {report['tape']}, answered by {report['ledger']}. [dim]cdb why {report['ledger']}[/dim]")
    elif not report["ledger"]:
        err.print(f"It stands at {report['tape']}; {escape(report['reason'])}", highlight=False)
    else:
        err.print(f"[red]refused:[/red] {escape(report['reason'])}", highlight=False)
    if not report["applied"]:
        raise typer.Exit(2 if report["ledger"] else Unavailable.exit_code)


def _shown(name: str, value: object) -> str:
    """A field of a policy with its unit in words."""
    if isinstance(value, list | tuple):
        return f"{name} {'/'.join(map(str, value))}"
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None:
        unit = next((unit for unit in UNITS if name.endswith(unit)), "")
        return f"no {name.removesuffix(unit)} limit"
    if not isinstance(value, int):
        return f"{name} {value}"
    for unit, in_words in UNITS.items():
        if name.endswith(unit):
            return f"{name.removesuffix(unit)} {in_words(value)}"
    return f"{name} {value:,}"
