"""`cdb events` and `cdb status` on a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateways.cells import BAD, GOOD
from gateways.ledger_words import NOUNS, QUIET, Row, moment, money, price, result, safe, side, units, words

BAR = 20  # characters of a full bar of room
NARROW = 100  # columns below which tables say less
ID_WIDTH = 12


# -- events --------------------------------------------------------------------------------------------------------


class Listing:
    """Events as they come, a line each. On a terminal days are headings and long lines fold; else a line stays one.

    Marks of the account that follow one another become one line, unless `every_mark`.
    """

    def __init__(self, console: Console, *, every_mark: bool = False) -> None:
        self._console, self._every_mark = console, every_mark
        self._day = ""
        self._marks: list[Row] = []

    def add(self, row: Row) -> None:
        """The next event."""
        if row["type"] == "account_marked" and not self._every_mark:
            self._marks.append(row)
            return
        self.close()
        self._print(row)

    def close(self) -> None:
        """Nothing more comes."""
        if self._marks:
            marks, self._marks = self._marks, []
            self._print(merged(marks))

    def _print(self, row: Row) -> None:
        name = row["id"]
        day, _, clock = moment(row["occurred_at"]).partition(" ")
        noun = NOUNS.get(row["type"], "")
        symbol = row.get("symbol") or ""
        if not self._console.is_terminal:
            line = Text.assemble(f"{name:<{ID_WIDTH}} {day} {clock} {symbol:<8} {noun:<8} ", words(row))
            self._console.print(line, soft_wrap=True)
            return
        if day != self._day:
            self._console.print(Text(f"{day} UTC", "bold"))
            self._day = day
        cells = Table.grid(padding=(0, 1, 0, 0))
        for width in (ID_WIDTH, 12, 7, 7):
            cells.add_column(min_width=width, no_wrap=True)
        cells.add_row(Text(name, "cyan"), Text(clock, QUIET), Text(symbol, "bold"), Text(noun, QUIET), words(row))
        self._console.print(cells)


def merged(marks: Sequence[Row]) -> Row:
    """Marks that follow one another as one: the last, with the lowest and the highest equity of all."""
    low = min(Decimal(mark["equity_low"]) for mark in marks)
    high = max(Decimal(mark["equity_high"]) for mark in marks)
    return {**marks[-1], "equity_low": str(low), "equity_high": str(high), "marks": len(marks)}


# -- status --------------------------------------------------------------------------------------------------------


def print_status(console: Console, status: Row) -> None:
    """The desk on one screen."""
    console.print(_title(status))
    for warning in _warnings(status):
        console.print(safe(warning))
    if not status["problem"]:
        console.print(_running(status))
        _print_account(console, status["account"])
        _print_rows(console, "Positions", [_position(row) for row in status["positions"]])
        _print_rows(console, "Working orders", [_order(row) for row in status["orders"]])
        if status["last_events"]:
            console.print("\nLast events", style="bold")
            listing = Listing(console)
            for row in status["last_events"]:
                listing.add(row)
            listing.close()
    if status["services"]:
        _print_services(console, status["services"])


def _title(status: Row) -> Text:
    title = Text.assemble(("Desk ", "bold"), (status["desk"], "bold cyan"), ("  paper", QUIET))
    if status["problem"]:
        return title
    ends = (
        f"  {moment(status['market_time'])} UTC at {status['tape_end']}, ledger to {status['ledger_end'] or 'nothing'}"
    )
    title.append(ends)
    if not status.get("newest", True):
        recorded = f", recorded {moment(status['recorded_time'])}" if status["recorded_time"] else ""
        title.append("\nAs it was then", "yellow").append(f"{recorded}; as of {status['as_of']}")
    return title


def _warnings(status: Row) -> Iterable[Text]:
    if problem := status["problem"]:
        yield Text.assemble((problem["error"], f"bold {BAD}"), f": {problem['message']}")
    if latched := status["latched"]:
        flat = ", and flatten" if latched["flatten"] else ""
        yield Text.assemble(
            ("HALT WAITS", f"bold {BAD}"), f" for the sequencer: {latched['reason']} (by {latched['actor']}{flat})"
        )
    if status.get("halted"):
        yield Text.assemble(("HALTED", f"bold {BAD}"), _halt(status["halt"]))
    if status.get("undecided"):
        yield Text(
            f"{status['undecided']:,} decisions are not in the ledger yet: the engine is behind or down.", "yellow"
        )


def _halt(halt: Row | None) -> Text:
    if halt is None:
        return Text()
    since = f" since {moment(halt['occurred_at'])} ({halt['id']}): "
    if "reason" in halt:
        return Text(f"{since}{halt['reason']} (by {halt['actor']})")
    return Text.assemble(since, words(halt))


def _running(status: Row) -> Text:
    strategies = ", ".join(
        f"{active['strategy']}@{active['version']} on {' '.join(active['symbols'])}" for active in status["strategies"]
    )
    policy, none = status["policy"] or "none", "none: no signal is raised"
    return Text.assemble(("Policy ", QUIET), policy, ("   Strategies ", QUIET), strategies or none)


def _print_account(console: Console, account: Row | None) -> None:
    if account is None:
        console.print("\n[yellow]No account is open on this desk: signals are recorded, nothing is traded.[/yellow]")
        return
    console.print(Text.assemble(("\nAccount ", "bold"), account["currency"]))
    table = Table.grid(padding=(0, 3, 0, 0))
    for justify in ("left", "right") * 3:
        table.add_column(justify=justify, no_wrap=True)
    coloured, plain = result, money
    for cells in (
        (("equity", plain), ("floating", coloured), ("today", coloured)),
        (("balance", plain), ("realised", coloured), ("margin", plain)),
        (("initial", plain), ("fees", plain), ("margin_free", plain)),
    ):
        table.add_row(
            *(cell for name, show in cells for cell in (Text(name.replace("_", " "), QUIET), show(account[name])))
        )
    console.print(table)
    rooms = Table.grid(padding=(0, 2, 0, 0))
    for name, room in (("room today", account["daily_room"]), ("room total", account["total_room"])):
        rooms.add_row(Text(name, QUIET), *(room_bar(room) if room else (Text("no limit", QUIET), Text())))
    console.print(rooms)
    console.print(_objectives(account))


def room_bar(room: Row) -> tuple[Text, Text]:
    """What is left of a room as a bar, and in money."""
    left, of = Decimal(room["left"]), Decimal(room["of"])
    share = min(Decimal(1), max(Decimal(0), left / of)) if of else Decimal(0)
    full = round(share * BAR)
    style = GOOD if share > Decimal("0.5") else "yellow" if share > Decimal("0.2") else BAD
    bar = Text.assemble(("█" * full, style), ("░" * (BAR - full), QUIET))
    return bar, Text(f"{money(room['left'])} of {money(room['of'])}, down to {money(room['limit'])}")


def _objectives(account: Row) -> Text:
    days, least = account["trading_days"], account["trading_days_min"]
    text = Text.assemble(("trading days ", QUIET), f"{days}" + (f" of {least}" if least else ""))
    if target := account["profit_target"]:
        text.append_text(Text.assemble(("   profit target ", QUIET), result(account["profit"]), f" of {money(target)}"))
    if outcome := _OUTCOMES.get(account["objectives"]):
        text.append("   objectives ", QUIET).append(*outcome)
    return text


_OUTCOMES = {"reached": ("reached", GOOD), "failed": ("failed", BAD)}


def _position(row: Row) -> Mapping[str, Any]:
    return {
        "symbol": Text(row["symbol"], "bold"),
        "side": side(row),
        "quantity": Text(units(row["quantity"]), justify="right"),
        "average": price(row["average"]),
        "now": price(row["price"]),
        "floating": result(row["floating"]),
        "stop": price(row["stop"]) or "none",
        "target": price(row["target"]) or "none",
        "why": Text(row["correlation"], "cyan"),
    }


def _order(row: Row) -> Mapping[str, Any]:
    return {
        "order": Text(row["id"], "cyan"),
        "symbol": Text(row["symbol"], "bold"),
        "for": row["purpose"],
        "side": side(row),
        "open": Text(units(row["leaves"]), justify="right"),
        "type": row["order_type"].replace("_", "-"),
        "at": ", ".join(price(row[name]) for name in ("trigger", "limit") if row[name]) or "market",
        "state": row["state"].replace("_", " "),
        "placed": Text(moment(row["placed_at"])[5:16], QUIET),
    }


def _print_rows(console: Console, title: str, rows: list[Mapping[str, Any]]) -> None:
    if not rows:
        console.print(Text.assemble((f"\n{title} ", "bold"), ("none", QUIET)))
        return
    console.print(Text.assemble((f"\n{title} ", "bold"), (f"({len(rows)})", QUIET)))
    table = Table(box=None, padding=(0, 2 if console.width >= NARROW else 1, 0, 0), pad_edge=False, header_style=QUIET)
    numbers = {"quantity", "average", "now", "floating", "stop", "target", "open", "at"}
    names = [name for name in rows[0] if console.width >= NARROW or name not in ("placed", "type")]
    for name in names:
        whole = name in ("order", "why")  # an id that is folded cannot be copied
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    console.print(table)


def _print_services(console: Console, services: Iterable[Row]) -> None:
    console.print("\nServices", style="bold")
    styles = {"ready": GOOD, "not ready": "yellow", "not running": QUIET}
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in services:
        reason = "; ".join(text for text in (row["reason"], row["what_to_do"]) if text)
        table.add_row(
            row["service"], Text(str(row["port"]), QUIET), Text(row["state"], styles[row["state"]]), safe(Text(reason))
        )
    console.print(table)
