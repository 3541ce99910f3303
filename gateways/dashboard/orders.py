"""Orders: what the desk asked of the market, and for each of them the tree of why."""

from collections.abc import Sequence
from typing import Literal, get_args

from markupsafe import Markup

from domain.errors import InvalidInput
from gateways.dashboard.elements import Panel
from gateways.dashboard.formats import amount, digits_of, priced, spoken, when
from gateways.dashboard.live import Answers
from gateways.dashboard.markup import Cell, Column, Row, act, badge, empty, join, segments, side, table, tag
from gateways.dashboard.page import Card, Page, grid, leafing, row_place
from gateways.dashboard.why import why_tree
from gateways.ledger_words import units

ROWS = 40
State = Literal["all", "working", "done"]
STATES: tuple[State, ...] = get_args(State)
_MOODS = {
    "filled": ("good", "good"),
    "placed": ("accent", "clock"),
    "triggered": ("accent", "clock"),
    "partially_filled": ("accent", "clock"),
    "rejected": ("bad", "bad"),
}


class Orders(Page):
    """The blotter, and beside it why."""

    path, title = "/orders", "Orders"

    def build(self) -> None:
        self.choices = Panel(heard=self._chosen).classes("choices")
        with grid():
            self.orders = Card("Orders", "two", heard=self._chosen)
            self.tree = Card("Why", "sticky", heard=self._chosen)

    def _chosen(self, what: str, value: str) -> None:
        if what in ("state", "symbol"):
            self.ask(**{what: value, "before": None})
        elif what in ("why", "before"):
            self.ask(**{what: value})

    async def show(self, answers: Answers) -> None:
        queries = self.desk.queries
        digits = digits_of(await answers.ask(queries.standing))
        state: State = next((one for one in STATES if one == self.asked.get("state")), "all")
        symbol = next((one for one in digits if one == self.asked.get("symbol")), None)
        before = row_place(self.asked.get("before"))
        page = await answers.ask(queries.orders, state=state, symbol=symbol, before=before, limit=ROWS)
        why = self.asked.get("why", "")
        self.choices.show(choices(state, sorted(digits), symbol))
        self.orders.fill(blotter(page.items, digits, why), leafing(before, page.before), beside="newest first, UTC")
        self.tree.fill(await self._why(answers, why), beside=act("Close", "why", "") if why else None)

    async def _why(self, answers: Answers, id: str) -> Markup:  # noqa: A002
        if not id:
            return empty("Choose an order to see what led to it: tick, signal, every rule, and what came of it.")
        try:
            answer = await answers.shared(("why", id), lambda: self.desk.why(id, answers.moment.at))
        except InvalidInput as error:
            return empty(str(error))
        return why_tree(answer) if answer else empty(f"{id} did not exist at this moment.")


def choices(state: str, symbols: Sequence[str], symbol: str | None) -> Markup:
    """Which orders."""
    options = (tag("option", one, value=one, selected=one == symbol) for one in symbols)
    every = tag("option", "All symbols", value="", selected=not symbol)
    chosen = tag("select", every, *options, data_act="symbol", data_arg="", aria_label="Symbol")
    return join(segments("state", STATES, state, "State"), chosen)


def blotter(orders: Sequence[Row], digits: dict[str, int], chosen: str) -> Markup:
    """Orders, newest first; the first column opens the tree."""

    def shown(row: Row, price: str | None) -> Cell:
        return priced(price, digits.get(row["symbol"], 0))

    columns = [
        Column("Order", lambda row: act(row["id"], "why", row["id"], label=f"Why {row['id']}")),
        Column("Placed", lambda row: when(row["placed_at"])),
        Column("Symbol", lambda row: row["symbol"], narrow=False),
        Column("Side", lambda row: side(row["side"])),
        Column("Purpose", lambda row: row["purpose"]),
        Column("Type", lambda row: spoken(row["order_type"]), narrow=False),
        Column("Units", lambda row: units(row["quantity"]), "number", narrow=False),
        Column("Asked", lambda row: shown(row, row["trigger_price"] or row["limit_price"]), "number", narrow=False),
        Column("Average", lambda row: shown(row, row["average_price"]), "number", narrow=False),
        Column("Fees", lambda row: amount(row["fees"]), "number", narrow=False),
        Column("State", order_state),
    ]
    nothing = "No order like that at this moment."
    return table("Orders", columns, orders, nothing, key=lambda row: row["id"], chosen=chosen)


def order_state(row: Row) -> Markup:
    """The state in a word, with what ended an order that the market or its time did not want."""
    mood, drawn = _MOODS.get(row["state"], ("quiet", "idle"))
    shown = badge(spoken(row["state"]), mood, drawn)
    told = row["reason"] if row["state"] in ("rejected", "expired") else None
    return join(shown, " ", tag("span", told, class_="muted reason wide")) if told else shown
