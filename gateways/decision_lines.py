"""The last decisions of a desk, one line each: a signal with its verdict, orders, fills, closed trades, breaches."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, assert_never

from rich.text import Text

from domain.events import (
    AccountMarked,
    DayRolled,
    EngineTookOver,
    FillBooked,
    InstructionApplied,
    InstructionRefused,
    LedgerEvent,
    LimitBreached,
    ObjectivesReached,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
    SignalAssessed,
    SignalRaised,
)
from domain.wording import duration, money, units
from gateways.cells import GOOD, gain, plain

LINES_KEPT, POINTS_KEPT = 200, 1_024
SECONDS_FROM = 90  # cells: below, the sentence of a rule needs them
BUY, SELL = "cyan", "magenta"
SECOND = 1_000_000_000

Price = Callable[[str, int], str]  # symbol, nanos -> as the symbol's prices are written


class Line(NamedTuple):
    """An event to tell, and the one it completes: a verdict its signal, a closed trade its fill, a move its order."""

    event: LedgerEvent
    cause: LedgerEvent | None = None
    risk_nanos: int = 0  # of the trade that closed; 0: not known


class Decisions:
    """The last decisions, and equity over the session: at most LINES_KEPT and POINTS_KEPT."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=LINES_KEPT)
        self.equity: list[tuple[int, int]] = []  # (tape time, nanos), ascending
        self._orders: dict[int, tuple[OrderPlaced, int]] = {}  # working entries with their risk; exits go untold
        self._trades: dict[str, tuple[int, int]] = {}  # symbol -> (the order that opened it, its risk)

    def observe(self, events: list[LedgerEvent]) -> None:
        for event in events:
            match event:
                case SignalRaised() | InstructionApplied() | InstructionRefused() | EngineTookOver() | LimitBreached():
                    self.lines.append(Line(event))
                case SignalAssessed():
                    signal = self._last(event.causation)
                    if isinstance(signal, SignalRaised):
                        self.lines.pop()
                    self.lines.append(Line(event, signal))
                case OrderPlaced():
                    if event.purpose not in ("stop", "target"):
                        verdict = self._last(event.causation)
                        risk = verdict.risk_nanos if isinstance(verdict, SignalAssessed) else 0
                        self._orders[event.number] = event, risk
                        self.lines.append(Line(event))
                case OrderMoved():
                    if event.order in self._orders:
                        self.lines.append(Line(event, self._orders[event.order][0]))
                        if event.state in ("canceled", "expired", "rejected"):
                            del self._orders[event.order]
                case OrderFilled():
                    self.lines.append(Line(event))
                case FillBooked():
                    self._book(event)
                case AccountMarked():
                    self._mark(event.occurred_at_ns, event.equity_nanos)
                case ObjectivesReached():
                    self.lines.append(Line(event))
                case DayRolled():
                    self.lines.append(Line(event))
                    self._mark(event.occurred_at_ns, event.equity_nanos)
                case _:
                    assert_never(event)

    def _last(self, number: int | None) -> LedgerEvent | None:
        """The event that was told last, if it has this number: what the core decides at once stands side by side."""
        return self.lines[-1].event if self.lines and self.lines[-1].event.number == number else None

    def _book(self, event: FillBooked) -> None:
        self._mark(event.occurred_at_ns, event.equity_nanos)
        fill = self._last(event.causation)
        if not isinstance(fill, OrderFilled):
            return
        trade = self._trades.get(event.symbol, (0, 0))
        if event.closed:
            self.lines.pop()
            self.lines.append(Line(event, fill, trade[1]))
        signed = fill.quantity_nanos if fill.side == "buy" else -fill.quantity_nanos
        if event.position_nanos == 0:
            self._trades.pop(event.symbol, None)
        elif event.closed or event.position_nanos == signed:
            self._trades[event.symbol] = fill.order, self._orders[fill.order][1] if fill.order in self._orders else 0
        elif event.position_nanos * signed > 0 and fill.order != trade[0]:
            self._trades[event.symbol] = trade[0], 0  # another order joined: one signal's risk is not the trade's
        if fill.leaves_nanos == 0:
            self._orders.pop(fill.order, None)

    def _mark(self, time_ns: int, equity_nanos: int) -> None:
        self.equity.append((time_ns, equity_nanos))
        if len(self.equity) > POINTS_KEPT:
            del self.equity[1:-1:2]


# -- in words ------------------------------------------------------------------------------------------------------


def told(line: Line, price: Price, currency: str, width: int) -> Text:
    """The line for `width` cells. Seconds and the aside (strategy, order, latency) only where there is room."""
    event = line.event
    clock = datetime.fromtimestamp(event.occurred_at_ns // SECOND, UTC).strftime(
        "%H:%M:%S" if width >= SECONDS_FROM else "%H:%M"
    )
    symbol, side = _subject(line)
    word, text, aside = _words(line, price, currency)
    text = Text.assemble(
        (f"{clock} ", "dim"), f"{symbol:<7.7} ", (f"{side:<4} ", side_style(side)), (f"{word:<8} ", text.style), text,
    )  # fmt: skip
    room = width - text.cell_len - len(aside)
    return text.append(" " * room + aside, "dim") if room >= 2 else text


def side_style(side: str) -> str:
    return BUY if side == "buy" else SELL


def _subject(line: Line) -> tuple[str, str]:
    """Symbol and side, as far as there are any; of a closed trade its own side, not that of the order which closed."""
    event, cause = line.event, line.cause
    if isinstance(event, SignalRaised | SignalAssessed | OrderPlaced | OrderFilled):
        return event.symbol, event.side
    if isinstance(cause, OrderPlaced):
        return cause.symbol, cause.side
    if isinstance(cause, OrderFilled):
        return cause.symbol, "buy" if cause.side == "sell" else "sell"
    return (event.symbol if isinstance(event, LimitBreached) else ""), ""


def _words(line: Line, price: Price, currency: str) -> tuple[str, Text, str]:
    """What it is, the sentence, and the aside; the sentence's own style is that of the word too."""
    event, cause = line.event, line.cause
    match event:
        case SignalRaised():
            return "signal", Text(f"at {price(event.symbol, event.entry_nanos)}"), event.strategy
        case SignalAssessed():
            strategy = cause.strategy if isinstance(cause, SignalRaised) else ""
            if event.verdict == "refused":
                reason = next((rule.says for rule in event.rules if not rule.passed), "")
                return "refused", Text(plain(reason), "yellow"), strategy
            risk = f"risk {money(event.risk_nanos)} {currency}" if event.stop_nanos else "without a stop"
            return "approved", Text(f"{units(event.quantity_nanos)}, {risk}", GOOD), strategy
        case OrderPlaced():
            level = event.limit_nanos or event.trigger_nanos
            at = f" at {price(event.symbol, level)}" if level else ""
            order = Text(f"{event.order_type.replace('_', ' ')} {units(event.quantity_nanos)}{at}")
            return "flatten" if event.purpose == "flatten" else "order", order, f"#{event.number}"
        case OrderMoved():
            return event.state, Text(plain(event.reason), "yellow"), f"#{event.order}"
        case OrderFilled():
            left = f", {units(event.leaves_nanos)} left" if event.leaves_nanos else ""
            at = price(event.symbol, event.price_nanos)
            fill = Text(f"{units(event.quantity_nanos)} at {at} after {_wait(event.latency_ns)}{left}")
            return "filled", fill, f"#{event.order}"
        case FillBooked():
            assert isinstance(cause, OrderFilled)
            how, latency = _CLOSED_BY[cause.purpose], f"after {_wait(cause.latency_ns)}"
            at = price(event.symbol, cause.price_nanos)
            result = f"  {event.trade_nanos / line.risk_nanos:+,.1f} R" if line.risk_nanos else ""
            closed = Text.assemble(f"{how} {at}  ", gain(event.trade_nanos), f" {currency}{result}", style="bold")
            return "closed", closed, latency
        case LimitBreached():
            return "breach", Text(_breach(event), "bold red"), ""
        case ObjectivesReached():
            reached = f"all objectives of {plain(event.policy)}, balance {money(event.balance_nanos)} {currency}"
            return "passed", Text(reached, f"bold {GOOD}"), ""
        case DayRolled():
            return "midnight", Text(f"in Prague, balance {money(event.balance_nanos)} {currency}", "dim"), ""
        case InstructionApplied():
            style = {"trading_halted": "bold red", "trading_resumed": "bold green"}.get(event.kind, "dim")
            return "applied", Text(event.kind.replace("_", " "), style), plain(event.instruction_id)
        case InstructionRefused():
            return "refused", Text(f"{event.kind.replace('_', ' ')}: {plain(event.reason)}", "yellow"), ""
        case EngineTookOver():
            return "engine", Text(f"{event.engine} goes on from where {event.before} stopped", "dim"), ""
        case AccountMarked():
            raise AssertionError("an account's mark is a point of the chart, not a line")
        case _:
            assert_never(event)


_CLOSED_BY = {
    "entry": "reversed at", "request": "closed at", "stop": "stop at", "target": "target at", "flatten": "flattened at",
}  # fmt: skip


def _breach(event: LimitBreached) -> str:
    if event.limit == "news_trading":
        return f"filled {_wait(abs(event.value_nanos))} {'before' if event.value_nanos >= 0 else 'after'} news"
    if event.limit == "money_range":
        return f"quote {units(event.value_nanos)} refused: money would not fit, trading is halted"
    halted = ", trading is halted" if event.halted else ""
    return f"{event.limit.replace('_', ' ')}: equity {money(event.value_nanos)}{halted}"


def _wait(nanos: int) -> str:
    """Short waits in milliseconds, others to the second."""
    return f"{nanos / 1e6:,.0f} ms" if nanos < 10 * SECOND else duration(nanos // SECOND * SECOND)
