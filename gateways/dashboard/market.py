"""Market: candles with what the desk saw in them and did about it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from markupsafe import Markup

from domain.errors import InvalidInput
from gateways.api_desk import TIMEFRAMES, Timeframe
from gateways.dashboard.charts import candles
from gateways.dashboard.elements import Panel
from gateways.dashboard.formats import NONE, digits_of, priced, result, share, spoken, when
from gateways.dashboard.live import Answers
from gateways.dashboard.markup import Cell, Column, Row, badge, empty, icon, join, segments, side, table, tag
from gateways.dashboard.page import Card, ChartCard, Page, address, grid
from projections.answers import Answer

COUNTS = ("60", "120", "240", "480")
ROWS = 200  # the newest signals and fills, of which those in view are shown

Word = TypeVar("Word", bound=str)


class Market(Page):
    """Candles, signals, orders and fills of one symbol."""

    path, title = "/market", "Market"

    def build(self) -> None:
        self.choices = Panel(heard=self._chosen).classes("choices")
        with grid():
            self.chart = ChartCard("Candles", "three tall")
            self.signals = Card("Signals in view", "two")
            self.fills = Card("Fills in view")

    def _chosen(self, what: str, value: str) -> None:
        if what in ("symbol", "timeframe", "bars"):
            self.ask(**{what: value})

    async def show(self, answers: Answers) -> None:
        queries = self.desk.queries
        digits = digits_of(await answers.ask(queries.standing))
        symbol = _one_of(self.asked.get("symbol"), sorted(digits), "")
        timeframe = _one_of(self.asked.get("timeframe"), TIMEFRAMES, "M5")
        count = _one_of(self.asked.get("bars"), COUNTS, COUNTS[1])
        self.choices.show(choices(sorted(digits), symbol, timeframe, count))
        bars, why = await self._bars(answers, symbol, timeframe, int(count))
        if not bars:
            self.chart.fill({}, foot=empty(why))
            self.signals.fill(empty("No bars are in view."))
            self.fills.fill(empty("No bars are in view."))
            return
        begun = bars[0]["time"]
        signals = (await answers.ask(queries.signals, symbol=symbol, limit=ROWS)).items
        fills = (await answers.ask(queries.fills, symbol=symbol, limit=ROWS)).items
        orders = (await answers.ask(queries.orders, state="working", symbol=symbol)).items
        signals, fills = ([row for row in rows if row["at"] >= begun] for rows in (signals, fills))
        places = digits[symbol]
        self.chart.fill(candles(bars, signals, fills, orders), last_bar(bars[-1], symbol, timeframe, places), LEGEND)
        self.signals.fill(self._signals(signals, places), beside=f"{len(signals)}")
        self.fills.fill(self._fills(fills, places), beside=f"{len(fills)}")

    async def _bars(self, answers: Answers, symbol: str, timeframe: Timeframe, count: int) -> tuple[list[Answer], str]:
        """The candles, or why there are none."""
        if not symbol:
            return [], "The tape has declared no instrument yet."
        key = ("bars", symbol, timeframe, count)
        asked = partial(self.frame.live.bars.up_to, answers.moment, symbol, timeframe, count)
        try:
            return await answers.shared(key, asked), f"{symbol} has no bar up to this moment."
        except InvalidInput as error:  # too much tape for so many long bars
            return [], str(error)

    def _signals(self, rows: Sequence[Row], digits: int) -> Markup:
        columns = [
            Column("Time", lambda row: when(row["at"])),
            Column("Side", lambda row: side(row["side"])),
            Column("Level", lambda row: priced(row["level_price"], digits), "number", narrow=False),
            Column("Entry", lambda row: priced(row["entry_price"], digits), "number"),
            Column("Stop", lambda row: priced(row["stop_price"], digits), "number", narrow=False),
            Column("Target", lambda row: priced(row["target_price"], digits), "number", narrow=False),
            Column("Confidence", lambda row: share(_ppm(row["confidence_ppm"]), 0), "number", narrow=False),
            Column("Verdict", verdict, "words"),
            Column("", self._why),
        ]
        return table("Signals in view", columns, rows, "No signal in these bars.", key=lambda row: row["id"])

    def _fills(self, rows: Sequence[Row], digits: int) -> Markup:
        columns = [
            Column("Time", lambda row: when(row["at"])),
            Column("Side", lambda row: side(row["side"])),
            Column("Purpose", lambda row: row["purpose"]),
            Column("Price", lambda row: priced(row["price"], digits), "number"),
            Column("Result", lambda row: result(row["trade_result"]) if row["closed"] else NONE, "number"),
            Column("", self._why),
        ]
        return table("Fills in view", columns, rows, "No fill in these bars.", key=lambda row: row["id"])

    def _why(self, row: Row) -> Markup:
        there = address("/orders", self.frame.as_of, {"why": row["id"]})
        return tag("a", "Why", href=there, aria_label=f"Why {row['id']}")


def verdict(row: Row) -> Markup:
    """What the rules said, and which of them refused."""
    if row["verdict"] is None:
        return badge("no verdict", "quiet", "idle")
    if row["verdict"] == "approved":
        return badge("approved", "good", "good")
    rules = ", ".join(spoken(rule) for rule in row["refused_by"] or ())
    return join(badge("refused", "quiet", "bad"), " ", tag("span", rules, class_="muted"))


def choices(symbols: Sequence[str], symbol: str, timeframe: str, count: str) -> Markup:
    """The bar above the chart: symbol, timeframe, how many candles."""
    options = (tag("option", name, value=name, selected=name == symbol) for name in symbols)
    picked = tag("select", *options, data_act="symbol", data_arg="", aria_label="Symbol")
    return join(
        picked, segments("timeframe", TIMEFRAMES, timeframe, "Timeframe"), segments("bars", COUNTS, count, "Bars")
    )


def last_bar(bar: Mapping[str, str], symbol: str, timeframe: str, digits: int) -> Markup:
    """The newest candle in numbers."""
    prices = (
        join(f"{name[0].upper()} ", tag("b", (priced(bar[name], digits) or "").rstrip()))
        for name in ("open", "high", "low", "close")
    )
    return tag("span", f"{symbol} {timeframe}, mid  ", join(*(join(one, "  ") for one in prices)), class_="quote")


def _one_of(said: str | None, words: Sequence[Word], otherwise: Word) -> Word:
    """The word that was asked for if there is such a one, else the usual one, else the first."""
    found = next((word for word in words if word == said), otherwise)
    return found if found in words or not words else words[0]


def _ppm(value: int | None) -> float | None:
    return None if value is None else value / 1_000_000


def _key(drawn: Markup, words: str) -> Markup:
    return tag("span", drawn, words)


LEGEND: Cell = tag(
    "p",
    _key(tag("i", class_="key hollow"), "up"),
    _key(tag("i", class_="key full"), "down"),
    _key(tag("i", class_="key dashed"), "level that broke"),
    _key(tag("i", class_="key dot"), "signal at its retest"),
    _key(icon("bad"), "refused"),
    _key(icon("up"), "bought"),
    _key(icon("down"), "sold"),
    _key(tag("i", class_="key solid"), "entry, stop, target"),
    _key(tag("i", class_="key dotted"), "working order"),
    class_="legend",
)
