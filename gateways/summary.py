"""What a person reads when a session has ended: what it brought, why not more, how fast, and what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from domain.wording import money
from gateways.cells import gain, percent_of, plain
from gateways.terminal import err, out

REASONS_SHOWN = 3


def print_session(
    report: Mapping[str, Any],
    feeds: Sequence[str],
    strategies: Sequence[str],
    policy: str | None,
    refusals: Mapping[str, int] | None = None,
) -> None:
    """The summary of a session. `report` is a SessionReport's fields and `rejects`, the path of the rejected rows or
    None; `policy` None is the standing one; `refusals` says how often each rule refused."""
    desk = plain(report["desk"])
    option = f" --desk {desk}" if desk != "main" else ""
    out.print(Group(Text.assemble(("Claire de Binare", "bold"), ("  paper desk ", "dim"), (desk, "bold")), ""))
    out.print(_result(report))
    out.print(_figures(report, feeds, strategies, policy, refusals or {}))
    if report["halted"]:
        halt = f"Trading is halted: only a person goes on, with cdb resume{option}"
        out.print(Text(halt, "bold red"), soft_wrap=True)
    if not report["ticks_added"]:
        out.print("These ticks were on the tape already: nothing was added. Another desk starts afresh: --desk NEW")
    if report["rejects"]:
        err.print(
            f"[yellow]{report['rows_rejected']:,} rows rejected[/yellow], each with its reason in "
            f"{escape(plain(str(report['rejects'])))}",
            soft_wrap=True,
        )
    if "demo" in feeds:
        out.print("The demo session is made by arithmetic: no market ever quoted it.")
    out.print(_next_steps(option, report.get("dashboard")))


def _result(report: Mapping[str, Any]) -> Text:
    """The account's result since it was opened, in its currency and in percent."""
    initial, equity = report["initial_nanos"], report["equity_nanos"]
    result = gain(equity - initial).append(f" {report['currency']}")
    result.stylize("bold")
    text = Text.assemble("  ", result, "  ", percent_of(equity - initial, initial))
    text.append(f"\n  equity {money(equity)}, opened with {money(initial)}", "dim")
    if still_open := equity - report["balance_nanos"]:
        text.append(", ", "dim").append_text(gain(still_open)).append(" still open", "dim")
    return text


def _figures(
    report: Mapping[str, Any],
    feeds: Sequence[str],
    strategies: Sequence[str],
    policy: str | None,
    refusals: Mapping[str, int],
) -> Table:
    added, seconds, files = report["ticks_added"], report["seconds"], report["files"]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row()
    table.add_row("  trades", _trades(report))
    table.add_row("  signals", _signals(report))
    if refusals:
        table.add_row("  refused by", _reasons(refusals))
    table.add_row("  orders", f"{report['fills']:,} fills, fees of the account {money(report['fees_nanos'])}")
    table.add_row("  feed", _named(feeds).append("  synthetic" if "demo" in feeds else "", "yellow"))
    table.add_row("  strategy", _named(strategies).append(f", policy {plain(policy) if policy else 'as it stands'}"))
    read = f"{report['rows']:,} of {files:,} file{'s' if files != 1 else ''}"
    table.add_row("  rows", f"{read}, rejected {report['rows_rejected']:,}")
    table.add_row("  tape", f"{added:,} ticks added, {report['ordinal']:,} records in all")
    table.add_row("  ledger", f"{report['events']:,} events in all{', every one fsynced' if added else ''}")
    rate = f", {added / seconds:,.0f} ticks/s" if seconds > 0 and added else ""
    table.add_row("  time", f"{seconds:,.2f} s{rate}")
    table.add_row()
    return table


def _trades(report: Mapping[str, Any]) -> Text:
    trades, won = report["trades"], report["won"]
    if not trades:
        return Text("none closed")
    return Text.assemble((f"{trades:,} closed", "bold"), f", {won:,} won ({100 * won / trades:.0f} %)")


def _signals(report: Mapping[str, Any]) -> Text:
    return Text.assemble(
        (f"{report['signals']:,} signals", "bold"), " in this run: ", (f"{report['approved']:,} approved", "green"),
        ", ", (f"{report['refused']:,} refused", "yellow"),
    )  # fmt: skip


def _reasons(refusals: Mapping[str, int]) -> str:
    """The rules that refused most often; one verdict may name several."""
    ranked = sorted(refusals.items(), key=lambda refusal: (-refusal[1], refusal[0]))
    shown = [f"{plain(rule).replace('_', ' ')} {count:,}" for rule, count in ranked[:REASONS_SHOWN]]
    more = len(ranked) - REASONS_SHOWN
    return ", ".join(shown) + (f" and {more} other rule{'s' if more > 1 else ''}" if more > 0 else "")


def _named(names: Sequence[str]) -> Text:
    return Text(plain(", ".join(names)))


def _next_steps(option: str, dashboard: str | None) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    steps = [
        (f"status{option}", "what the desk holds now"),
        (f"why ID{option}", "one decision, back to the tick that caused it"),
        (f"verify{option}", "re-execute every decision and compare"),
    ]
    if dashboard:
        steps += [
            (f"serve projector api{option}", f"the dashboard, at {dashboard}"),
            ("token create", "who may open it: NAME --role operator"),
        ]
    for place, (command, what) in enumerate(steps):
        table.add_row(Text("" if place else "Next:", "dim"), f"cdb {command}", Text(what, "dim"))
    return table
