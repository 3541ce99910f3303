"""Overview: how the desk stands. State and what blocks it, money and limits, what is open, services and read models."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from gateways.dashboard.charts import equity_line
from gateways.dashboard.elements import Panel
from gateways.dashboard.formats import NONE, amount, digits_of, number, priced, result, spoken, when
from gateways.dashboard.live import Answers
from gateways.dashboard.markup import Cell, Column, Row, badge, empty, facts, icon, join, meter, side, table, tag
from gateways.dashboard.page import Card, ChartCard, Page, address, grid, stack
from gateways.ledger_words import units

POINTS = 240
LAST_FILLS = 8


class Overview(Page):
    """How the desk stands."""

    path, title = "/", "Overview"

    def build(self) -> None:
        self.figures = Panel(tag="section").classes("figures").props('aria-label="Account"')
        with grid():
            self.state = Card("State")
            self.limits = Card("Limits")
            self.equity = ChartCard("Equity")
        with grid():
            with stack("two"):
                self.positions = Card("Positions")
                self.orders = Card("Working orders")
                self.fills = Card("Last fills")
            with stack():
                self.stands = Card("What stands")
                self.services = Card("Services")
                self.models = Card("Read models")

    async def show(self, answers: Answers) -> None:
        queries, following = self.desk.queries, self.frame.as_of is None
        status = await answers.ask(queries.status)
        digits = digits_of(await answers.ask(queries.standing))
        curve = await answers.ask(queries.equity, points=POINTS)
        fills = await answers.ask(queries.fills, limit=LAST_FILLS)
        account = status["account"]
        self.figures.show(figures(account))
        self.state.fill(*state(status), beside=state_badge(status["state"]))
        self.limits.fill(*limits(status), beside=account and account["currency"])
        self.equity.fill(equity_line(curve), beside=f"{account['currency']}, whole desk" if account else None)
        self.positions.fill(positions(status, digits), beside=self._link("/market", "Market"))
        self.orders.fill(working(status["working_orders"], digits), beside=self._link("/orders", "All orders"))
        self.fills.fill(last_fills(fills.items, digits), beside=self._link("/orders", "All orders"))
        self.stands.fill(stands(status))
        self.services.fill(services(status, self.frame.live.health if following else ()))
        self.models.fill(read_models(self.frame.live.lag), beside="now")

    def _link(self, path: str, words: str) -> Markup:
        return tag("a", words, href=address(path, self.frame.as_of))


def figures(account: Mapping[str, Any] | None) -> Markup:
    """The account in large numbers."""
    if account is None:
        return empty("No account has been opened on this desk yet.")
    currency = account["currency"]
    shown = (
        ("Equity", amount(account["equity"])),
        ("Balance", amount(account["balance"])),
        ("Floating", result(account["floating"])),
        ("Today", result(account["today"])),
        ("Since opening", result(account["profit"])),
        ("Margin free", amount(account["margin_free"])),
        ("Trading days", number(account["trading_days"], 0)),
    )
    return join(
        *(
            tag(
                "div",
                tag("span", name, class_="label"),
                tag("strong", value),
                tag("span", "days" if name == "Trading days" else currency, class_="unit"),
            )
            for name, value in shown
        )
    )


def state_badge(state: str) -> Markup:
    """Trading, halted, or no account: word, drawing, colour."""
    mood, drawn = {"trading": ("good", "good"), "halted": ("bad", "stop")}.get(state, ("quiet", "idle"))
    return badge(state.capitalize(), mood, drawn)


def state(status: Mapping[str, Any]) -> Iterator[Markup]:
    """Why the desk stands still, what may stop it soon, and what to do."""
    for mood, drawn, troubles in (("bad", "stop", status["blockers"]), ("warning", "warning", status["alerts"])):
        for trouble in troubles:
            yield tag(
                "div",
                tag("strong", badge("Blocked" if mood == "bad" else "Alert", mood, drawn), " ", trouble["what"]),
                tag("p", trouble["why"] or "no reason was given"),
                tag("p", "since ", when(trouble["since"]), f" by {trouble['who']}" if trouble["who"] else ""),
                tag("p", "→ ", trouble["what_to_do"], class_="advice"),
                class_=f"trouble {mood}",
            )
    if not status["blockers"] and not status["alerts"]:
        nothing = (
            "Nothing blocks the desk." if status["state"] == "trading" else "The desk waits for its first records."
        )
        yield empty(nothing)
    pending = len(status["pending_decisions"])
    yield facts([("Decisions pending", f"{pending:,}"), ("Mode", status["mode"])])


def limits(status: Mapping[str, Any]) -> Iterator[Markup]:
    """Every limit as a bar with the room that is left, and the account's objectives."""
    account = status["account"]
    if account is None or not status["limits"]:
        yield empty("The policy in force has no loss limits." if account else "No account, no limits.")
    for limit in status["limits"]:
        room = amount(limit["room"])
        used = f"{100 * (limit['used_ratio'] or 0):.1f} % of {amount(limit['of'])} used"
        halts = join("halts at equity ", amount(limit["at_equity"])) if limit["at_equity"] else None
        says = join(room, " left") if limit["room"] is not None else NONE
        beside = join(tag("span", used), tag("span", halts))
        yield meter(spoken(limit["limit"]).capitalize(), limit["used_ratio"], says, beside)
    if account and Decimal(account["profit_target"] or 0) > 0:
        reached = max(0.0, float(Decimal(account["profit"]) / Decimal(account["profit_target"])))
        says = join(amount(account["profit"]), " of ", amount(account["profit_target"]))
        words = f"{100 * reached:.1f} % reached"
        yield tag("div", meter("Profit target", min(reached, 0.79), says, words), class_="objective")
    if account and account["trading_days_min"]:
        yield facts([("Trading days", f"{account['trading_days']} of {account['trading_days_min']}")])
    if account and account["objectives"]:
        yield facts([("Objectives", objectives(account["objectives"]))])


def objectives(said: Mapping[str, Any]) -> Markup:
    """Open, reached or failed, and since when."""
    mood, drawn = {"reached": ("good", "good"), "failed": ("bad", "bad")}.get(said["outcome"], ("quiet", "idle"))
    since = join(" since ", when(said["at"])) if said["at"] else ""
    return join(badge(said["outcome"].capitalize(), mood, drawn), since)


def positions(status: Mapping[str, Any], digits: Mapping[str, int]) -> Markup:
    """What is open, with its exits. Of several positions the read models know the floating result of all together."""
    rows, account = status["positions"], status["account"]
    exits = {(order["symbol"], order["purpose"]): order for order in status["working_orders"]}

    def exit_price(row: Row, purpose: str) -> Cell:
        order = exits.get((row["symbol"], purpose))
        return priced((order["trigger_price"] or order["limit_price"]) if order else None, digits.get(row["symbol"], 0))

    columns = [
        Column("Symbol", lambda row: row["symbol"]),
        Column("Side", lambda row: side(row["side"])),
        Column("Units", lambda row: units(row["quantity"]), "number"),
        Column("Average", lambda row: priced(row["average_price"], digits.get(row["symbol"], 0)), "number"),
        Column("Stop", lambda row: exit_price(row, "stop"), "number"),
        Column("Target", lambda row: exit_price(row, "target"), "number"),
        Column("Floating", lambda row: result(row["floating"]), "number"),
        Column("Realised so far", lambda row: result(row["realised"]), "number", narrow=False),
        Column("Opened", lambda row: when(row["opened_at"]), narrow=False),
    ]
    total = [None, None, None, None, None, "All", result(account["floating"]), None, None] if len(rows) > 1 else None
    return table("Positions", columns, rows, "No position is open.", key=lambda row: row["symbol"], foot=total)


def working(orders: Sequence[Row], digits: Mapping[str, int]) -> Markup:
    """Orders that may still fill."""
    columns = [
        Column("Order", lambda row: row["id"]),
        Column("Symbol", lambda row: row["symbol"]),
        Column("Side", lambda row: side(row["side"])),
        Column("Purpose", lambda row: row["purpose"]),
        Column("Type", lambda row: spoken(row["order_type"]), narrow=False),
        Column("Units", lambda row: units(row["leaves"]), "number"),
        Column(
            "Price",
            lambda row: priced(row["trigger_price"] or row["limit_price"], digits.get(row["symbol"], 0)),
            "number",
        ),
        Column("State", lambda row: spoken(row["state"]), narrow=False),
        Column("Placed", lambda row: when(row["placed_at"]), narrow=False),
    ]
    return table("Working orders", columns, orders, "No order is working.", key=lambda row: row["id"])


def last_fills(fills: Sequence[Row], digits: Mapping[str, int]) -> Markup:
    """The newest fills; a result stands where a trade closed."""
    columns = [
        Column("Time", lambda row: when(row["at"])),
        Column("Symbol", lambda row: row["symbol"], narrow=False),
        Column("Side", lambda row: side(row["side"])),
        Column("Purpose", lambda row: row["purpose"]),
        Column("Units", lambda row: units(row["quantity"]), "number", narrow=False),
        Column("Price", lambda row: priced(row["price"], digits.get(row["symbol"], 0)), "number"),
        Column("Fee", lambda row: amount(row["fee"]), "number", narrow=False),
        Column("Result", lambda row: result(row["trade_result"]) if row["closed"] else NONE, "number"),
    ]
    return table("Last fills", columns, fills, "Nothing has been filled yet.", key=lambda row: row["id"])


def stands(status: Mapping[str, Any]) -> Markup:
    """Which policy, strategies and engine decide."""
    policy, engine = status["policy"], status["engine"]
    pairs: list[tuple[str, Cell]] = [("Policy", f"{policy['name']}@{policy['version']}" if policy else NONE)]
    for strategy in status["strategies"]:
        words = f"{strategy['strategy']}@{strategy['version']} on {', '.join(strategy['symbols'])}"
        pairs.append(("Strategy", words))
    if not status["strategies"]:
        pairs.append(("Strategy", NONE))
    pairs.append(("Engine", f"{engine['engine']}" if engine else NONE))
    return facts(pairs)


def services(status: Mapping[str, Any], health: Sequence[Row]) -> Markup:
    """What each service answers now, or, in the past, what it had reported."""
    answering = {row["service"]: row for row in health}
    reported = {row["service"]: row for row in status["services"]}
    rows = []
    for name in dict.fromkeys([*answering, *reported]):
        answered, told = answering.get(name), reported.get(name)
        says = answered["state"] if answered else spoken(told["state"] if told else None)
        good, quiet = says in ("ready", "running", "started", "healthy"), says in ("not running", "stopped")
        mood, drawn = ("good", "good") if good else ("quiet", "idle") if quiet else ("warning", "warning")
        why = (answered and answered["reason"]) or (told and told["message"]) or ""
        rows.append({"service": name, "state": badge(says, mood, drawn), "why": why})
    for guard in status["breakers"]:
        if guard["state"] != "closed":
            name, why = f"{guard['service']} → {guard['dependency']}", guard["last_error"] or ""
            rows.append(
                {"service": name, "state": badge(f"breaker {guard['state']}", "warning", "warning"), "why": why}
            )
    columns = [
        Column("Service", lambda row: row["service"]),
        Column("State", lambda row: row["state"]),
        Column("Says", lambda row: row["why"], "words", narrow=False),
    ]
    if not any(row["why"] for row in rows):
        columns.pop()
    return table("Services", columns, rows, "No service had reported by then.", key=lambda row: row["service"])


def read_models(lag: Sequence[Row]) -> Markup:
    """How far each read model is behind what the log holds: the position that it has reached, and what is missing."""
    models: dict[str, int] = {}
    for row in lag:
        models[row["model"]] = models.get(row["model"], 0) + int(row["behind"])
    rows = [{"model": model, "behind": behind} for model, behind in models.items()]
    current = tag("span", icon("good"), " current", class_="current")
    columns = [
        Column("Read model", lambda row: spoken(row["model"])),
        Column("Behind, facts", lambda row: f"{row['behind']:,}", "number"),
        Column("", lambda row: badge("behind", "warning", "clock") if row["behind"] else current),
    ]
    return table("Read models", columns, rows, "Not known yet.", key=lambda row: row["model"])
