"""`cdb projections`, `cdb documents` and `cdb diff`: the read models, what they say as documents, and what changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.text import Text

from domain.errors import InvalidInput
from gateways.asked_moment import (
    NOW,
    Asked,
    AsOfOption,
    MarketTimeOption,
    RecordedTimeOption,
    asked_by,
    asked_moment,
)
from gateways.cli import DeskOption, JsonOption, app, await_result
from gateways.difference_view import print_difference
from gateways.ledger_words import moment
from gateways.terminal import Progress, Progressing, out, print_json, print_rows


class ProjectionOperations(Protocol):
    """What these commands ask of the desk. Mappings are ready for JSON."""

    async def projections(self) -> Sequence[Mapping[str, Any]]: ...

    async def rebuild(self, names: Sequence[str], progress: Progressing) -> Sequence[Mapping[str, Any]]: ...

    async def verify_projections(self, names: Sequence[str], progress: Progressing) -> Sequence[Mapping[str, Any]]: ...

    async def documents(self, folder: Path, asked: Asked, progress: Progressing) -> Mapping[str, Any]: ...

    async def difference(self, before: Asked, after: Asked) -> Mapping[str, Any]: ...


projections = typer.Typer(
    name="projections", help="The read models: what is asked, built from the log.", no_args_is_help=True
)
app.add_typer(projections, rich_help_panel="What there is")


@projections.command("list")
def list_them(context: typer.Context, desk: DeskOption = None, as_json: JsonOption = False) -> None:
    """Every read model, and how far behind the log it is."""
    rows = await_result(_operations(context, desk).projections(), as_json=as_json)
    print_rows("Read models", rows if as_json else [_place(row) for row in rows], as_json=as_json)


@projections.command()
def rebuild(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Which read models.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build read models anew from the log. They are asked all the while; the new one takes their place at once."""
    if bool(names) == every:
        raise InvalidInput("say which read models to build anew (`cdb projections list`), or --all")
    with Progress() as progress:
        rows = await_result(_operations(context, desk).rebuild(names or [], progress), as_json=as_json)
    if as_json:
        print_rows("", rows, as_json=True)
        return
    for row in rows:
        stands = ", ".join(f"{source} {position:,}" for source, position in row["positions"].items())
        out.print(Text.assemble((f"{row['model']:<16}", "bold"), f"built up to {stands} in {row['seconds']:.2f} s"))


@projections.command()
def verify(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Which read models (default: all).")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the live rows with a fold from the first event on."""
    with Progress() as progress:
        rows = await_result(_operations(context, desk).verify_projections(names or [], progress), as_json=as_json)
    if as_json:
        print_rows("", rows, as_json=True)
    else:
        print_rows("Read models", [_without_difference(row) for row in rows], as_json=False)
        for row in rows:
            if row["different"]:
                first = ", ".join(f"{name} {value}" for name, value in row["first_difference"].items())
                out.print(Text.assemble((row["model"], "bold red"), f" differs first in {first}"), soft_wrap=True)
    if any(row["different"] for row in rows):
        raise typer.Exit(1)
    if not as_json:
        out.print("[green]Every row is what a fold of the log from its first event gives.[/green]")


@app.command()
def documents(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--out", help="Folder that they are written to.", file_okay=False)] = Path(),
    market_time: MarketTimeOption = None,
    recorded_time: RecordedTimeOption = None,
    as_of: AsOfOption = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write AKTUELLER_STAND.md, DECISION_LOG.md and AGENTS.md, of now or of any moment of the past."""
    asked = asked_moment(as_of, market_time, recorded_time)
    with Progress() as progress:
        report = await_result(_operations(context, desk).documents(folder, asked, progress), as_json=as_json)
    if as_json:
        print_json(report)
        return
    for file in report["files"]:
        out.print(file, markup=False, highlight=False, soft_wrap=True)
    out.print(Text(f"market time {report['market_time']}, as of {report['as_of']}", "dim"), soft_wrap=True)


@app.command()
def diff(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="A market time (ISO 8601, UTC if unnamed), or an as_of.")],
    end: Annotated[str | None, typer.Option("--to", help="Likewise (default: now).")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """What changed between two moments: account, positions, orders, halts, policy, strategies."""
    before, after = asked_by("--from", start), NOW if end is None else asked_by("--to", end)
    report = await_result(_operations(context, desk).difference(before, after), as_json=as_json)
    if as_json:
        print_json(report)
    else:
        print_difference(out, report)


def _operations(context: typer.Context, desk: str | None) -> ProjectionOperations:
    operations: ProjectionOperations = context.obj.operations(desk)
    return operations


def _place(row: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = {name: row[name] for name in ("model", "source", "state", "position", "behind")}
    return shown | {"market time": moment(row["market_time"]) if row["market_time"] else ""}


def _without_difference(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in row.items() if name != "first_difference"}
