"""`cdb tune`: what a strategy would have done under parameters near its own, and whether that is worth a change."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from domain.errors import InvalidInput
from domain.wording import money
from gateways.cli import DeskOption, JsonOption, app, await_result, decimal_of, only
from gateways.terminal import Progress, Progressing, out, print_json

Aim = Literal["frequency", "quality"]


class TuneOperations(Protocol):
    """What this command asks of the desk. The mapping is ready for JSON."""

    async def tune(
        self,
        strategy: str,
        *,
        aim: Aim,
        symbols: Sequence[str],
        tape: str | None,
        candidates: int,
        drawdown_max: float | None,
        progress: Progressing,
    ) -> Mapping[str, Any]: ...


@app.command()
def tune(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="A strategy of this desk; see `cdb strategies`.")],
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="On this symbol alone. Repeatable.")] = None,
    aim: Annotated[str, typer.Option("--aim", help="frequency: looser filters; quality: tighter ones.")] = "frequency",
    candidates: Annotated[int, typer.Option("--candidates", help="How many parameter sets are tried at most.")] = 24,
    drawdown: Annotated[
        str | None,
        typer.Option("--drawdown", help="Deepest fall allowed, in percent (default: that of the current parameters)."),
    ] = None,
    tape: Annotated[str | None, typer.Option("--tape", help="A dataset in place of the desk's own tape.")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the recorded history under other parameters. Nothing is changed; a change is proposed and approved."""
    only("--aim", aim, ["frequency", "quality"])
    with Progress() as progress:
        found = await_result(
            context.obj.operations(desk).tune(
                strategy, aim=aim, symbols=symbol or [], tape=tape, candidates=candidates,
                drawdown_max=_share(drawdown), progress=progress,
            ),
            as_json=as_json,
        )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        print_tuning(found)


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    percent = decimal_of("--drawdown", text, "5")
    if not 0 < percent <= 100:
        raise InvalidInput(f"--drawdown {text} is not above 0 and at most 100 percent; for example --drawdown 5")
    return float(percent) / 100


def print_tuning(found: Mapping[str, Any]) -> None:
    """The current parameters and the candidates, best first; then what it comes to."""
    current, evidence = found["current"], found["evidence"]
    table = Table(
        title=f"Tuning {found['strategy']} for {found['aim']}, tape {evidence['tape']}",
        title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("parameters", overflow="fold", ratio=3)
    for part in ("2/3", "1/3"):
        for name in ("trades/day", "won %", "a trade", "fall %"):
            table.add_column(f"{name}\n{part}", justify="right", no_wrap=True)
    table.add_column("against it\n2/3", overflow="fold", ratio=3)
    table.add_row("[bold]current[/bold]", *_figures(current), "")
    for one in found["candidates"]:
        changed = "\n".join(
            f"{change['name']} {change['current']} -> {change['proposed']}" for change in one["changes"]
        )
        first, *more = one["objections"] or ("",)
        against = f"{first} (and {len(more)} more)" if more else first
        table.add_row(escape(changed), *_figures(one), escape(against), style="bold" if one["best"] else "")
    out.print(table)
    out.print(
        f"2/3: the first {evidence['days'] - evidence['held_out_days']:,} of {evidence['days']:,} days choose; 1/3: "
        "the rest confirm, with what 95 % of chance lies between.",
        style="dim",
    )
    for note in evidence["notes"]:
        out.print(f"Mind: {escape(note)}.", highlight=False)
    if proposal := found["proposal"]:
        for effect in proposal["effects"]:
            out.print(escape(effect), highlight=False)
    colour = "green" if found["proposal"] else "yellow"
    out.print(f"[{colour}]{escape(found['says'])}[/{colour}]", highlight=False)


def _figures(one: Mapping[str, Any]) -> list[str]:
    chosen, held = one["chosen_on"], one["held_out"]
    return [
        *(cell for cell, _ in _cells(chosen)),
        *(f"{cell}\n[dim]{escape(between)}[/dim]" for cell, between in _cells(held)),
    ]


def _cells(outcome: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each figure, and its interval."""
    expectancy = outcome["expectancy_nanos"]
    return [
        _cell(outcome, "trades_per_day", 1, 2),
        _cell(outcome, "win_rate", 100, 1),
        ("" if expectancy is None else money(expectancy), ""),
        _cell(outcome, "drawdown_share", 100, 1),
    ]


def _cell(outcome: Mapping[str, Any], name: str, times: int, places: int) -> tuple[str, str]:
    value, low, high = (outcome[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None or not outcome["trades"]:
        return "", ""
    return f"{times * value:.{places}f}", f"{times * low:.{places}f}-{times * high:.{places}f}"
