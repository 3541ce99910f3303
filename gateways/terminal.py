"""What a person sees: progress bars, tables and summaries on a terminal, and JSON lines for scripts."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from domain.errors import DeskError
from domain.presentation import visible

Progressing = Callable[[str, int, int, str], None]  # (stage, done, total, unit)

WIDE = 100  # columns from which a table shows what is said elsewhere too

out = Console()
err = Console(stderr=True)


def complain(error: DeskError) -> None:
    err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=not err.is_terminal)


class Progress:
    """Progress bars on standard error: `with Progress() as progress: progress(stage, done, total, unit)`."""

    def __init__(self) -> None:
        self._bar = Bars(
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
        rate = f"{done / task.elapsed:,.0f} {unit}/s" if unit and task.elapsed else ""
        self._bar.update(task.id, completed=done, total=total, rate=rate)


def said(text: str) -> Text:
    """Text that others wrote: nothing in it drives the terminal."""
    return Text("\n".join(visible(line) for line in text.split("\n")))


def in_cell(text: str) -> str:
    """Such text in a cell of `print_rows`, where markup counts."""
    return escape(visible(text))


def print_json(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def readable_signal(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A signal in the width of a terminal: prices without trailing zeros, confidence in percent."""

    def price(text: str | None) -> str:
        return (text or "").rstrip("0").rstrip(".")

    return {
        "id": row["signal_id"],
        "bar UTC": (row["bar_time"] or row["occurred_at"])[:16].replace("T", " "),
        "symbol": row["symbol"],
        "side": f"[green]{row['side']}[/green]" if row["side"] == "buy" else f"[red]{row['side']}[/red]",
        "entry": price(row["entry"]),
        "stop": price(row["stop"]),
        "target": price(row["target"]),
        "conf": f"{row['confidence'] / 10_000:.0f} %",
        "tick": row["position"],
    } | ({"strategy": row["strategy"]} if out.width >= WIDE else {})


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
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


def print_verification(report: Mapping[str, Any]) -> None:
    """What `verify` found, and what it means."""
    said = ("first_divergence", "engines", "governance", *(() if report["problem"] else ("problem",)))
    shown = {name: value for name, value in report.items() if name not in said}
    print_report("Verification", shown)
    if len(report["engines"]) > 1:
        for span in report["engines"]:
            by = span["reexecuted_by"] or "nothing"
            out.print(f"engine {span['engine']}: records {span['first']:,} to {span['last']:,}, re-executed by {by}")
    _print_proof(report["governance"])
    if first := report["first_divergence"]:
        print_report("First divergence", {side: "missing" if text is None else text for side, text in first.items()})
    elif report["problem"]:
        out.print("[red]The store cannot be trusted, or not be re-executed here.[/red]")
    elif report["pending"]:
        out.print(
            f"[yellow]{report['pending']:,} decisions of the tape are not in the ledger: the engine was stopped "
            "before them, or the ledger was cut short.[/yellow] Run the feed again, then verify."
        )
    else:
        out.print("[green]The ledger is what this engine computes from the tape.[/green]")


def _print_proof(proof: Mapping[str, Any]) -> None:
    """What was proven of governance."""
    if not proof["events"] and not proof["findings"]:
        return
    print_report("Governance", {name: value for name, value in proof.items() if name != "findings"})
    for finding in proof["findings"]:
        out.print(Text(f"{finding['place']} ({finding['code']}): {finding['why']}", style="red"), soft_wrap=True)
    if not proof["findings"]:
        out.print("[green]Every signature holds, and every gated instruction was granted.[/green]")


def print_figure(figure: Mapping[str, Any]) -> None:
    """One figure of a benchmark, what it is compared with, and how it was measured."""
    ratio = f"{figure['ratio']:.3g} x" if figure["ratio"] is not None else ""
    out.print(f"[bold]{figure['name']:<28}[/bold] {figure['value']:>14,} {figure['unit']:<10} {ratio:>10}")
    out.print(f"[dim]    {figure['how']}; baseline: {figure['baseline']}[/dim]")


def print_report(title: str, report: Mapping[str, Any]) -> None:
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
