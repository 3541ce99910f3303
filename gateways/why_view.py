"""`cdb why` on a terminal: the tick and what it caused as a tree, times and latencies beside it, the result below."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateways.cells import BAD, GOOD
from gateways.evidence import fill_lines, size_lines
from gateways.ledger_words import NOUNS, QUIET, Row, moment, money, result, safe, span, units, verdict, words

HOW_CLOSED = {
    "stop": "at its stop",
    "target": "at its target",
    "flatten": "flattened",
    "entry": "turned by",
    "request": "by request",
}


class _Line(NamedTuple):
    """A node, the guides of its first and of its further lines, and the row above it."""

    node: Row
    first: str
    further: str
    parent: Row | None


def print_why(console: Console, answer: Row, *, rules: bool) -> None:
    """The answer of `why`; with `rules` every rule of a verdict on a line of its own."""
    lines = list(_lines(answer["tree"], "", "", None))
    days = {moment(line.node["occurred_at"])[:10] for line in lines if "occurred_at" in line.node}
    chain = f"  chain {answer['correlation']}" if answer["correlation"] else ""
    ledger = f"desk {answer['desk']}, ledger to {answer['ledger_end'] or 'nothing yet'}"
    when = min(days) if len(days) == 1 else ""
    console.print(
        Text.assemble(
            ("Why ", "bold"), (answer["asked"], "bold reverse"), chain, f"  {when} UTC", (f"  {ledger}", QUIET)
        )
    )
    if answer["lost_before"]:
        console.print(Text(f"The chain began before {answer['lost_before']}, the oldest event that is left.", BAD))
    _print_tree(console, lines, rules, with_day=len(days) > 1)
    if answer["beside"]:
        console.print(Text("\nAt the same record", "bold"))
        for row in answer["beside"]:
            symbol = f"{row['symbol']} " if row.get("symbol") else ""
            console.print(Text.assemble("  ", (f"{row['id']} ", "cyan"), symbol, words(row)))
    results = list(_results(answer))
    if results:
        console.print()
    for line in results:
        console.print(line)


def _lines(node: Row, first: str, further: str, parent: Row | None) -> Iterator[_Line]:
    children = node["children"]
    yield _Line(node, first, further + ("│ " if children else "  "), parent)
    for child in children:
        last = child is children[-1]
        yield from _lines(child, further + ("└ " if last else "├ "), further + ("  " if last else "│ "), node)


def _print_tree(console: Console, lines: list[_Line], rules: bool, *, with_day: bool) -> None:
    times = [_time(line.node, with_day=with_day) for line in lines]
    afters = [_after(line) for line in lines]
    widths = [max(len(text) for text in column) for column in (times, afters)]
    room = max(30, console.width - sum(widths) - 4)
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(width=room, no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    for line, time, after in zip(lines, times, afters, strict=True):
        style = QUIET if line.node.get("after_ns") == 0 else ""
        table.add_row(_guided(console, line, room, rules), Text(time, style), Text(after))
    console.print(table)


def _guided(console: Console, line: _Line, width: int, rules: bool) -> Text:
    """The node's text, wrapped behind its guides."""
    room = width - len(line.further)  # the first line could be longer by two
    wrapped = [part for text in _texts(line, rules) for part in safe(text).wrap(console, room)]
    guides = [line.first, *[line.further] * (len(wrapped) - 1)]
    return Text("\n").join(Text.assemble((guide, QUIET), part) for guide, part in zip(guides, wrapped, strict=True))


def _texts(line: _Line, rules: bool) -> Iterator[Text]:
    node, parent = line.node, line.parent
    symbol = node.get("symbol") or ""
    text = Text.assemble((node["id"], "bold reverse" if node["asked"] else "cyan"), " ")
    text.append(f"{NOUNS.get(node['type'], '')} ".lstrip(), QUIET)
    if symbol and (parent is None or parent.get("symbol") != symbol):
        text.append(f"{symbol} ", "bold")
    text.append_text(verdict(node) if node["type"] == "signal_assessed" else words(node))
    if parent and node.get("causation") and parent["id"] != node["causation"]:
        text.append(f"  because of {node['causation']}", QUIET)
    if node["asked"]:
        text.append(" ◄", "bold")
    yield text
    if node["type"] == "signal_assessed":
        yield from _rules(node, rules)
        if node["sizing"]:
            yield from (Text(line, QUIET) for line in size_lines(node["sizing"]))
    elif node["type"] == "order_filled" and node["market"]:
        yield from (Text(line, QUIET) for line in fill_lines(node))


def _rules(node: Row, every: bool) -> Iterator[Text]:
    """What refused, then what passed: in one line, or each."""
    passed = [rule for rule in node["rules"] if rule["passed"]]
    for rule in node["rules"]:
        if not rule["passed"]:
            yield Text(f"✗ {rule['rule'].replace('_', ' ')}: {rule['says']}", BAD)
    if every:
        for rule in passed:
            yield Text.assemble(("✓ ", GOOD), (f"{rule['rule'].replace('_', ' ')}: {rule['says']}", QUIET))
    elif passed:
        yield Text(f"✓ {len(passed)} rules passed, policy {node['policy']}", QUIET)


def _time(node: Row, *, with_day: bool) -> str:
    if "occurred_at" not in node:
        return ""
    return moment(node["occurred_at"])[5 if with_day else 11 :]


def _after(line: _Line) -> str:
    after = line.node.get("after_ns")
    return f"+{span(after)}" if after else ""


def _results(answer: Row) -> Iterator[Text]:
    """How it ended, as far as the ledger goes."""
    for trade in answer["trades"]:
        yield _trade(trade, answer["currency"] or "")
    if answer["working"]:
        yield Text(f"Working at the ledger's end: {', '.join(answer['working'])}", "yellow")
    if answer["trades"] or answer["working"]:
        return
    if answer["correlation"] is None:
        yield from () if answer["tree"]["children"] else [Text("Nothing was decided here.")]
        return
    nodes = [line.node for line in _lines(answer["tree"], "", "", None)]
    by_type = {node["type"]: node for node in nodes}
    verdict_row = by_type.get("signal_assessed")
    if "signal_raised" not in by_type and not verdict_row:
        return
    if verdict_row is None:
        why = "the ledger has no verdict: no account or policy stood, or it was cut short here"
    elif verdict_row["verdict"] == "refused":
        failed = sum(not rule["passed"] for rule in verdict_row["rules"])
        why = f"refused by {failed} rule{'s' if failed > 1 else ''}"
    elif "order_placed" not in by_type:
        why = "the order is not in the ledger, which was cut short here; run `cdb verify`"
    elif "order_filled" in by_type and "fill_booked" not in by_type:
        why = "the booking of the fill is not in the ledger, which was cut short here; run `cdb verify`"
    elif "order_filled" in by_type:
        why = "it only closed, in whole or in part, what another chain had opened"
    else:
        why = "the order ended without a fill"
    yield Text.assemble(("No trade", "bold"), f": {why}")


def _trade(trade: Row, currency: str) -> Text:
    text = Text.assemble((f"{trade['symbol']} {trade['side']} {units(trade['quantity'])}", "bold"))
    if trade["shared"]:
        text.append(" (with other orders)")
    risk = money(trade["risk"]) if trade["risk"] else ""
    if trade["result"] is None:
        return Text.assemble(("Open    ", "bold yellow"), text, "  no result yet", f", risk {risk}" if risk else "")
    text = Text.assemble(("Result  ", "bold"), text, "  ", result(trade["result"], currency))
    if trade["r"]:
        text.append_text(Text.assemble("  ", result(trade["r"], "R"), f" of {risk}"))
    else:
        text.append("  no R" if trade["risk"] or trade["shared"] else "  no R: no stop is known", QUIET)
    how = HOW_CLOSED.get(trade["purpose"], "closed")
    return text.append(f"  held {span(trade['held_ns']) or '0 s'}, {how}").append(f" {trade['closed']}", "cyan")
