"""A row of the ledger or the tape as a person reads it: money with two places, prices without trailing zeros, units."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from rich.text import Text

from gateways.cells import BAD, GOOD, plain
from gateways.decision_lines import side_style

Row = Mapping[str, Any]

_SECOND = 1_000_000_000
QUIET = "dim"


# -- values --------------------------------------------------------------------------------------------------------


def money(text: str) -> str:
    """`-1,003.21`."""
    return f"{Decimal(text):z,.2f}"


def result(text: str, unit: str = "") -> Text:
    """A gain or a loss, signed and in its colour: `+9.64 USD`."""
    value = round(Decimal(text), 2)
    style = GOOD if value > 0 else BAD if value < 0 else ""
    return Text(f"{value:+z,.2f} {unit}".strip() if value else f"0.00 {unit}".strip(), style)


def price(text: str | None) -> str:
    """Without trailing zeros; nothing for none."""
    return "" if text is None else _trimmed(f"{Decimal(text):f}")


def units(text: str) -> str:
    """`50,000`, `0.015`."""
    return _trimmed(f"{Decimal(text):,f}")


def moment(iso: str) -> str:
    """`2024-03-04 02:08:04.254`, UTC."""
    day, _, rest = iso.removesuffix("Z").partition("T")
    clock, _, fraction = rest.partition(".")
    return f"{day} {clock}.{fraction[:3]:0<3}"


def span(nanos: int) -> str:
    """How long: `50 ms`, `32.553 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`; nothing for 0."""
    seconds = nanos // _SECOND
    if nanos <= 0:
        return ""
    if nanos < 1_000_000:
        return f"{nanos // 1_000} µs"
    if seconds < 1:
        return f"{nanos // 1_000_000} ms"
    if seconds < 60:
        return f"{_trimmed(f'{seconds}.{nanos % _SECOND // 1_000_000:03d}')} s"
    for limit, large, small, names in (
        (3_600, 60, 1, ("min", "s")),
        (86_400, 3_600, 60, ("h", "min")),
        (None, 86_400, 3_600, ("d", "h")),
    ):
        if limit is None or seconds < limit:
            rest = seconds % large // small
            return f"{seconds // large:,} {names[0]}" + (f" {rest} {names[1]}" if rest else "")
    raise AssertionError("the last line has no limit")


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def side(row: Row) -> Text:
    """The side in its colour."""
    return Text(row["side"], side_style(row["side"]))


# -- rows ----------------------------------------------------------------------------------------------------------


def words(row: Row) -> Text:
    """What happened, in a line; its id, time and symbol stand beside it."""
    return safe(_WORDS[row["type"]](row))


def safe(text: Text) -> Text:
    """Words from outside cannot steer the terminal."""
    text.plain = plain(text.plain)
    return text


def _quote(row: Row) -> Text:
    return Text.assemble((f"{price(row['bid'])} / {price(row['ask'])}", "bold"), _source(row))


def _trade_print(row: Row) -> Text:
    return Text.assemble("traded ", units(row["size"]), " at ", (price(row["price"]), "bold"), _source(row))


def _source(row: Row) -> tuple[str, str]:
    """Where a tick came from."""
    if row["reference"] is None:
        return "", QUIET
    name = "line" if row.get("file") else "reference"
    bar = ", from a bar" if row["from_bar"] else ""
    return f"  {name} {row['reference']:,}" + (f" of {row['file']}" if row.get("file") else "") + bar, QUIET


def _clock(row: Row) -> Text:
    return Text("clock: " + (", ".join(mark.replace("_", " ") for mark in row["marks"]) or "no mark"))


def _instruction(row: Row) -> Text:
    content = row["content"]
    text = Text.assemble((row["kind"].replace("_", " "), "bold"))
    if row["kind"] == "order_requested":
        text.append_text(Text.assemble(": ", side(content), f" {units(content['quantity'])} {content['symbol']} "))
        text.append(content["type"].replace("_", "-") + _prices(content, "limit", "trigger", "stop", "target"))
    elif row["kind"] == "signal_submitted":
        text.append_text(Text.assemble(f": {content['strategy']} ", side(content), f" {content['symbol']}"))
        text.append(_prices(content, "entry", "stop", "target"))
    elif named := _named(content):
        text.append(f": {named}" + (", and flatten" if content.get("flatten") else ""))
    return text.append(f"  by {row['actor']} ({row['authority']})", QUIET)


def _named(content: Row) -> str:
    """What the other kinds are about."""
    match content:
        case {"instrument": {"symbol": symbol}}:
            return str(symbol)
        case {"policy": {"name": name, "version": version}}:
            return f"{name}@{version}"
        case {"initial_balance": balance, "currency": currency}:
            return f"{money(balance)} {currency}"
    return str(next((content[name] for name in _NAMES if content.get(name)), ""))


def _prices(row: Row, *names: str) -> str:
    return "".join(f", {name} {price(row[name])}" for name in names if row[name] is not None)


def _applied(row: Row) -> Text:
    return Text.assemble(row["kind"].replace("_", " "), (" applied  ", GOOD), (row["instruction_id"], QUIET))


def _refused(row: Row) -> Text:
    return Text.assemble(row["kind"].replace("_", " "), (f" refused: {row['reason']}", BAD))


def _took_over(row: Row) -> Text:
    return Text(f"engine {row['engine']} took over from engine {row['before']}")


def _signal(row: Row) -> Text:
    version = f"@{row['version']}" if row["version"] else ""
    text = Text.assemble((f"{row['strategy']}{version} ", "bold"), side(row), f" at {price(row['entry'])}")
    return text.append(_prices(row, "stop", "target") + f", confidence {row['confidence_ppm'] / 10_000:.0f} %")


def verdict(row: Row) -> Text:
    """A verdict without its reasons."""
    if row["verdict"] == "refused":
        return Text.assemble(("refused ", f"bold {BAD}"), side(row))
    size = "" if row["size_ppm"] == 1_000_000 else f" at {row['size_ppm'] / 10_000:.3g} % of the full size"
    risk = f", risk {money(row['risk'])}" if Decimal(row["risk"]) else ", no stop"
    text = Text.assemble(("approved ", f"bold {GOOD}"), side(row), f" {units(row['quantity'])}{size}{risk}")
    return text.append(_prices(row, "stop", "target"))


def _verdict(row: Row) -> Text:
    failed = [rule["says"] for rule in row["rules"] if not rule["passed"]]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return verdict(row).append(f": {failed[0]}{more}" if failed else "", BAD)


def _order(row: Row) -> Text:
    how = {
        "market": "at market",
        "limit": f"at {price(row['limit'])} or better",
        "stop": f"once {price(row['trigger'])} trades",
        "stop_limit": f"at {price(row['limit'])} or better once {price(row['trigger'])} trades",
    }[row["order_type"]]
    text = Text.assemble((f"{row['purpose']} ", "bold"), side(row), f" {units(row['quantity'])} {how}")
    until = f" until {moment(row['expires_at'])}" if row["expires_at"] else ""
    lasts = "" if row["time_in_force"] == "gtc" else f", {row['time_in_force']}{until}"
    return text.append(lasts)


def _move(row: Row) -> Text:
    amended = f" to {units(row['quantity'])}" if row["state"] == "amended" else ""
    return Text.assemble(f"order {row['order']} ", (f"{row['state']}{amended}", "yellow"), f": {row['reason']}")


def _fill(row: Row) -> Text:
    done = "bought" if row["side"] == "buy" else "sold"
    text = Text.assemble((f"{row['purpose']} ", "bold"), (done, side_style(row["side"])))
    text.append_text(Text.assemble(f" {units(row['quantity'])} at ", (price(row["price"]), "bold")))
    notes = [
        f"{units(row['leaves'])} left" if row["state"] == "partially_filled" else "",
        f"slippage {price(row['slippage'].lstrip('-'))}" if Decimal(row["slippage"]) else "",
        f"level {row['level']}" if row["level"] else "",
        "maker" if row["liquidity"] == "maker" else "",
    ]
    return text.append("".join(f", {note}" for note in notes if note))


def _booking(row: Row) -> Text:
    held = units(row["position"])
    rest = f", fee {money(row['fee'])}, balance {money(row['balance'])}"
    if row["closed"]:
        if Decimal(row["position"]):
            return Text.assemble("the trade before closed ", result(row["trade"]), f", position {held}{rest}")
        return Text.assemble("trade closed ", result(row["trade"]), rest)
    realised = Text.assemble(", realised ", result(row["realised"])) if Decimal(row["realised"]) else Text()
    return Text.assemble(f"position {held}", realised, rest)


def _mark(row: Row) -> Text:
    several = f"{row['marks']} x " if row.get("marks", 1) > 1 else ""
    room = "" if row["daily_room"] is None else f", room {money(row['daily_room'])}"
    low, high = money(row["equity_low"]), money(row["equity_high"])
    return Text(f"{several}equity {money(row['equity'])} ({low} to {high}){room}", QUIET)


def _day(row: Row) -> Text:
    limits = "".join(
        f", {name} limit {money(row[f'{name}_limit'])}" for name in ("daily", "total") if row[f"{name}_limit"]
    )
    reached = ", profit target reached" if row["target_reached"] else ""
    days = f", trading days {row['trading_days']}"
    return Text.assemble(("new day ", "bold"), f"balance {money(row['balance'])}{limits}{days}{reached}")


def _breach(row: Row) -> Text:
    if row["limit"] == "news_trading":
        gap, when = Decimal(row["value"]), "before" if Decimal(row["value"]) >= 0 else "after"
        return Text(f"filled {units(str(abs(gap)))} s {when} news, allowed from {units(row['bound'])} s on", BAD)
    if row["limit"] == "money_range":
        most = money(row["bound"])
        return Text(f"quote {price(row['value'])} refused: at it money would pass {most}; desk halted", f"bold {BAD}")
    halted = "; desk halted and flattened" if row["halted"] else ""
    name = row["limit"].replace("_", " ")
    return Text(f"{name} breached: equity {money(row['value'])} below {money(row['bound'])}{halted}", f"bold {BAD}")


def _reached(row: Row) -> Text:
    days = f"trading days {row['trading_days']} of {row['trading_days_min']}"
    said = f": balance {money(row['balance'])}, profit target {money(row['profit_target'])}, {days}"
    return Text.assemble((f"objectives of {row['policy']} reached", f"bold {GOOD}"), said)


_WORDS: dict[str, Callable[[Row], Text]] = {
    "quote": _quote,
    "trade": _trade_print,
    "clock": _clock,
    "instruction": _instruction,
    "missing": lambda row: Text("the tape does not have this record (any more): run `cdb verify`", BAD),
    "instruction_applied": _applied,
    "instruction_refused": _refused,
    "engine_took_over": _took_over,
    "signal_raised": _signal,
    "signal_assessed": _verdict,
    "order_placed": _order,
    "order_moved": _move,
    "order_filled": _fill,
    "fill_booked": _booking,
    "account_marked": _mark,
    "day_rolled": _day,
    "limit_breached": _breach,
    "objectives_reached": _reached,
}

_NAMES = ("reason", "strategy", "order", "source", "engine", "feed", "tzdata_version")

# What a row is, in a word.
NOUNS = {
    "instruction_applied": "answer", "instruction_refused": "answer", "engine_took_over": "engine",
    "signal_raised": "signal", "signal_assessed": "verdict", "order_placed": "order", "order_moved": "move",
    "order_filled": "fill", "fill_booked": "booking", "account_marked": "mark", "day_rolled": "day",
    "limit_breached": "limit", "objectives_reached": "passed", "quote": "tick", "trade": "tick",
}  # fmt: skip
