"""The desk while it trades, on a terminal: prices, account, limits, positions and the last decisions, in one frame.

`frame` draws what a Look and the decisions say and nothing else; LiveView draws it a few times a second. A terminal
narrower than 80 columns, a pipe and a terminal without Unicode get no view at all.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from domain.events import LedgerEvent
from domain.wording import money, units
from gateways.cells import BAD, FRAME, GOOD, bar, blocks, boxed, fit, gain, percent_of, plain, rows_of, rule, spread
from gateways.decision_lines import SECOND, Decisions, side_style, told

REFRESH_S = 0.2
COLUMNS_MIN, WIDE = 80, 100
TOKEN_ADVICE = "token: cdb token create NAME --role operator"
CHART_ROWS_MIN, ACCOUNT_ROWS, POSITION_ROWS_MIN = 2, 5, 2


class Quote(NamedTuple):
    """Both prices 0: never quoted."""

    symbol: str
    bid_nanos: int
    ask_nanos: int
    digits: int
    spread_pips: float


class Room(NamedTuple):
    """How far equity may fall until a limit is passed, and how far the policy lets it fall at all."""

    left_nanos: int
    whole_nanos: int


class Account(NamedTuple):
    """Money in nanos of `currency`; a room is None where there is no such limit."""

    currency: str
    initial_nanos: int
    balance_nanos: int
    floating_nanos: int
    equity_nanos: int
    margin_nanos: int
    daily: Room | None
    total: Room | None


class Position(NamedTuple):
    """An open position; stop and target 0: none."""

    symbol: str
    side: str
    quantity_nanos: int
    average_nanos: int
    stop_nanos: int
    target_nanos: int
    floating_nanos: int


class Look(NamedTuple):
    """What the desk is at this moment. `ticks_total` 0: not known; `halted` is the reason, "" while trading;
    `dashboard` its address or why there is none, "" when none is wanted."""

    desk: str
    time_ns: int
    speed: str
    ticks_done: int
    ticks_total: int
    ticks_per_second: float
    events: int
    events_per_second: float
    commit_ms: float
    commit_p50_ms: float
    quotes: tuple[Quote, ...]
    account: Account
    positions: tuple[Position, ...]
    halted: str
    dashboard: str = ""


# -- the frame -----------------------------------------------------------------------------------------------------


def frame(look: Look, decisions: Decisions, width: int, height: int, before: Look | None = None) -> Group:
    """`height` lines of `width` cells (at least 80); prices are marked by how they moved since the look `before`."""
    width = max(width, COLUMNS_MIN)
    inner, left = width - 4, 36 if width < WIDE else 44
    right = width - left - 7
    head = list(_header(look, width))
    top_rows = max(CHART_ROWS_MIN + ACCOUNT_ROWS, min(len(look.quotes), height // 4))
    position_rows = max(POSITION_ROWS_MIN, height // 10)
    decision_rows = max(1, height - len(head) - top_rows - position_rows - 4)
    quotes = rows_of(_quotes(look, before, left), top_rows, len(look.quotes))
    account = _account(look, decisions.equity, right, top_rows - ACCOUNT_ROWS)
    positions = rows_of(_positions(look, inner), position_rows, len(look.positions))
    lines = [
        *head,
        Text.assemble(rule("╭", "prices", left + 3), rule("┬", "account", right + 3), ("╮", FRAME)),
        *(boxed(fit(quote, left), fit(amount, right)) for quote, amount in zip(quotes, account, strict=True)),
        Text.assemble(rule("├", "positions", left + 3), (f"┴{'─' * (right + 2)}┤", FRAME)),
        *(boxed(fit(position, inner)) for position in positions),
        Text.assemble(rule("├", "decisions", width - 1), ("┤", FRAME)),
        *(boxed(fit(line, inner)) for line in _decisions(look, decisions, inner, decision_rows)),
        Text.assemble(rule("╰", _pace(look), width - 1), ("╯", FRAME)),
    ]
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return Group(*lines)


def _header(look: Look, width: int) -> Iterator[Text]:
    name = Text.assemble((" Claire de Binare", "bold"), ("  paper desk ", "dim"), (plain(look.desk), "bold"))
    time = datetime.fromtimestamp(look.time_ns // SECOND, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
    when = Text.assemble((time if look.time_ns else "", "bold"), ("  speed ", "dim"), plain(look.speed), " ")
    yield spread(name, when, width)
    if look.ticks_total > 0:
        share = 100 * look.ticks_done // look.ticks_total
        count = f" {share:3d} %  {look.ticks_done:,} of {look.ticks_total:,} ticks "
        yield Text.assemble(" ", bar(look.ticks_done, look.ticks_total, width - len(count) - 1, "cyan"), count)
    else:
        yield fit(Text(f" {look.ticks_done:,} ticks", "dim"), width)
    if look.dashboard:
        advice = Text(f"{TOKEN_ADVICE} ", "dim") if look.dashboard.startswith("http") else Text()
        yield spread(Text.assemble((" dashboard ", "dim"), plain(look.dashboard)), advice, width)
    if look.halted:
        yield fit(Text(f" HALTED  {plain(look.halted)}", "bold white on red"), width)


def _quotes(look: Look, before: Look | None, width: int) -> Iterator[Text]:
    known = {quote.symbol: quote.bid_nanos for quote in before.quotes} if before else {}
    for symbol, bid, ask, digits, pips in look.quotes:
        if bid == ask == 0:
            yield Text.assemble(f"{symbol:<8.8} ", ("not quoted yet", "dim"))
            continue
        was = known.get(symbol, bid)
        mark, style = ("▲", GOOD) if bid > was else ("▼", BAD) if bid < was else (" ", "")
        prices = Text.assemble(
            f"{symbol:<8.8}", (f"{mark}{_price(bid, digits):>10}", style), f"{_price(ask, digits):>11}"
        )
        yield spread(prices, Text(f"{pips:,.1f}p", "dim"), width)


def _account(look: Look, points: list[tuple[int, int]], width: int, chart_rows: int) -> Iterator[Text]:
    account = look.account
    change = account.equity_nanos - account.initial_nanos
    equity = Text.assemble(("equity   ", "dim"), (f"{money(account.equity_nanos)} {account.currency}", "bold"))
    yield spread(equity, percent_of(change, account.initial_nanos), width)
    yield from _chart(points, look, width, chart_rows)
    balance = Text.assemble(("balance  ", "dim"), money(account.balance_nanos))
    yield spread(balance, Text.assemble(("result ", "dim"), gain(change)), width)
    floating = Text.assemble(("floating ", "dim"), gain(account.floating_nanos))
    yield spread(floating, Text.assemble(("margin ", "dim"), money(account.margin_nanos)), width)
    yield _room("daily    ", account.daily, width)
    yield _room("total    ", account.total, width)


def _room(name: str, room: Room | None, width: int) -> Text:
    """A limit: how much of what may be lost is left. Below a half it is yellow, below a quarter red."""
    if room is None:
        return Text(f"{name}no limit", "dim")
    quarters = 4 * room.left_nanos // room.whole_nanos if room.whole_nanos > 0 else 0
    style = BAD if quarters < 1 else "yellow" if quarters < 2 else GOOD
    left = Text(f" {money(room.left_nanos)} left", BAD if style == BAD else "")
    length = max(width - len(name) - len(left), 0)
    return Text.assemble((name, "dim"), bar(room.left_nanos, room.whole_nanos, length, style), left)


def _chart(points: list[tuple[int, int]], look: Look, width: int, rows: int) -> Iterator[Text]:
    """Equity over tape time; every column shows what it was when its stretch of time ended."""
    now = max(look.time_ns, points[-1][0]) if points else look.time_ns
    curve = [*points, (now, look.account.equity_nanos)]
    times = [time for time, _ in curve]
    ends = [times[0] + (now - times[0]) * (column + 1) // width for column in range(width)]
    values = [curve[bisect_right(times, end) - 1][1] for end in ends]
    return blocks(values, rows, GOOD if curve[-1][1] >= curve[0][1] else BAD)


def _positions(look: Look, width: int) -> Iterator[Text]:
    if not look.positions:
        yield Text("flat", "dim")
    for position in look.positions:
        symbol = position.symbol
        text = Text.assemble(
            f"{symbol:<8.8} ", (f"{position.side:<4} ", side_style(position.side)),
            f"{units(position.quantity_nanos):>9}", (" at ", "dim"), _price_of(look, symbol, position.average_nanos),
        )  # fmt: skip
        for name, price in (("stop", position.stop_nanos), ("target", position.target_nanos)):
            if price:
                text = Text.assemble(text, (f"  {name} ", "dim"), _price_of(look, symbol, price))
        yield spread(text, gain(position.floating_nanos), width)


def _decisions(look: Look, decisions: Decisions, width: int, rows: int) -> Iterator[Text]:
    """The newest decision stands lowest."""
    newest = list(islice(reversed(decisions.lines), rows))[::-1]
    for line in newest:
        yield told(line, lambda symbol, nanos: _price_of(look, symbol, nanos), look.account.currency, width)
    yield from [Text()] * (rows - len(newest))


def _pace(look: Look) -> str:
    return (
        f"{look.ticks_per_second:,.0f} ticks/s ─ {look.events:,} events, {look.events_per_second:,.0f}/s ─ "
        f"commit {look.commit_ms:,.2f} ms, median {look.commit_p50_ms:,.2f}"
    )


def _price_of(look: Look, symbol: str, nanos: int) -> str:
    digits = next((quote.digits for quote in look.quotes if quote.symbol == symbol), None)
    return units(nanos) if digits is None else _price(nanos, digits)


def _price(nanos: int, digits: int) -> str:
    return f"{Decimal(nanos).scaleb(-9):.{digits}f}"


# -- the view ------------------------------------------------------------------------------------------------------


class LiveView:
    """`async with LiveView(look, console) as view:` draws until it is left; the last frame stays on the terminal."""

    def __init__(self, look: Callable[[], Look], console: Console) -> None:
        self._look, self._console = look, console
        self._decisions = Decisions()
        self._before: Look | None = None
        self._drawing: asyncio.Task[None] | None = None

    @property
    def is_shown(self) -> bool:
        """Whether this terminal can show a view."""
        console = self._console
        able = console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
        return able and console.width >= COLUMNS_MIN

    def observe(self, events: list[LedgerEvent]) -> None:
        """Take in events that are durable; nothing is drawn here."""
        if self._drawing:
            self._decisions.observe(events)

    async def __aenter__(self) -> "LiveView":
        if self.is_shown:
            self._drawing = asyncio.create_task(self._draw(), name="live view")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._drawing:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)
            self._console.print(self._frame())

    async def _draw(self) -> None:
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(self._frame(), refresh=True)
                await asyncio.sleep(REFRESH_S)

    def _frame(self) -> Group:
        look = self._look()
        drawn = frame(look, self._decisions, *self._console.size, self._before)
        self._before = look
        return drawn
