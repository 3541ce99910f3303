"""Metrics: what trading made, by strategy version, and the curve of equity with its drawdown."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from gateways.dashboard.charts import equity_and_drawdown
from gateways.dashboard.formats import NONE, amount, number, result, share, when
from gateways.dashboard.live import Answers
from gateways.dashboard.markup import Cell, Row, empty, tag
from gateways.dashboard.page import Card, ChartCard, Page, grid

POINTS = 600


class Metrics(Page):
    """What trading made."""

    path, title = "/metrics", "Metrics"

    def build(self) -> None:
        with grid():
            self.curve = ChartCard("Equity and drawdown", "three tall")
            self.metrics = Card("Metrics", "three")

    async def show(self, answers: Answers) -> None:
        queries = self.desk.queries
        account = await answers.ask(queries.account)
        currency = account["currency"] if account else ""
        curve = await answers.ask(queries.equity, points=POINTS)
        foot = empty("No booking and no mark yet, so there is no curve.") if not curve else None
        self.curve.fill(equity_and_drawdown(curve) if curve else {}, beside=currency, foot=foot)
        self.metrics.fill(*metrics(await answers.ask(queries.metrics), currency))


class _Line(NamedTuple):
    name: str
    unit: str  # "money": the account's currency
    says: Callable[[Row], Cell]
    means: str


_GROUPS: tuple[tuple[str, tuple[_Line, ...]], ...] = (
    (
        "Trades",
        (
            _Line(
                "Trades", "", lambda m: number(m["trades"], 0), "closed; netting reversals close one and open another"
            ),
            _Line("Win rate", "", lambda m: share(m["win_rate"]), "wins / trades; a result of exactly 0 is no win"),
            _Line("Wins", "", lambda m: number(m["wins"], 0), "net result above 0, fees included"),
            _Line("Losses", "", lambda m: number(m["losses"], 0), "net result below 0"),
            _Line("Trades per day", "", lambda m: number(m["trades_per_day"]), "by Prague days from the first to now"),
            _Line(
                "On active days", "", lambda m: number(m["trades_per_active_day"]), "by days on which a trade closed"
            ),
        ),
    ),
    (
        "Result",
        (
            _Line("Net", "money", lambda m: result(m["net"]), "sum of net results of closed trades"),
            _Line("Profit factor", "", lambda m: number(m["profit_factor"]), "sum of wins / sum of losses"),
            _Line("Expectancy", "money", lambda m: result(m["expectancy"]), "mean net result of a trade"),
            _Line("Expectancy", "R", lambda m: number(m["expectancy_r"]), "mean of result / risk at the stop"),
            _Line("Payoff", "", lambda m: number(m["payoff"]), "average win / average loss"),
            _Line("Average win", "money", lambda m: amount(m["average_win"]), "mean of the wins"),
            _Line(
                "Average loss", "money", lambda m: amount(m["average_loss"]), "mean of the losses, as a positive number"
            ),
        ),
    ),
    (
        "Risk",
        (
            _Line(
                "Sharpe", "", lambda m: number(m["sharpe"]), "of weekday returns, annualised by √252, risk-free rate 0"
            ),
            _Line("Sortino", "", lambda m: number(m["sortino"]), "as Sharpe, by falls only, over all days"),
            _Line("Calmar", "", lambda m: number(m["calmar"]), "return a year / deepest drawdown share"),
            _Line(
                "Max drawdown", "money", lambda m: amount(m["drawdown"]), "from a highest point to the lowest behind it"
            ),
            _Line("Max drawdown", "", lambda m: share(m["drawdown_share"]), "deepest share of a height"),
            _Line(
                "Lasted", "days", lambda m: number(m["drawdown_days"], 1), "until that height was reached again, or now"
            ),
            _Line("From", "UTC", lambda m: when(m["drawdown_from"]), "the height it fell from"),
            _Line("Until", "UTC", lambda m: when(m["drawdown_until"]), "none: it has not recovered"),
            _Line("Daily returns", "", lambda m: number(m["samples"], 0), "samples behind Sharpe, Sortino and Calmar"),
        ),
    ),
)


def metrics(rows: Sequence[Row], currency: str) -> list[Markup]:
    """A line a metric with its unit and definition, a column a scope."""
    if not rows:
        return [empty("No trade has been judged or made yet.")]
    scopes = [tag("th", _scope(row["scope"]), scope="col", class_="number") for row in rows]
    head = tag(
        "tr",
        tag("th", "Metric", scope="col"),
        tag("th", "Unit", scope="col"),
        *scopes,
        tag("th", "Definition", scope="col", class_="wide words"),
    )
    bodies = []
    for group, lines in _GROUPS:
        title = tag("tr", tag("th", group, colspan=3 + len(rows), scope="rowgroup"), class_="group")
        body = (
            tag(
                "tr",
                tag("th", line.name, scope="row"),
                tag("td", currency if line.unit == "money" else line.unit, class_="muted"),
                *(tag("td", line.says(row) or NONE, class_="number") for row in rows),
                tag("td", line.means, class_="wide words muted"),
            )
            for line in lines
        )
        bodies.append(tag("tbody", title, *body))
    held = tag("table", tag("thead", head), *bodies, aria_label="Metrics", class_="metrics")
    return [tag("div", held, class_="scroll", tabindex=0, role="region", aria_label="Metrics")]


def _scope(name: str) -> str:
    return {"overall": "Overall", "request": "Requested orders"}.get(name, name)
