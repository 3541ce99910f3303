"""The live view: what a frame says of a look and of events, that it always fits, and when it is drawn at all."""

import asyncio
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from domain.events import LedgerEvent, OrderFilled, OrderPlaced, SignalAssessed
from gateways.decision_lines import LINES_KEPT, POINTS_KEPT, Decisions
from gateways.live_view import Account, LiveView, Look, Position, Quote, Room, frame
from tests.canonical import EVENTS, MINUTE_NS, MONDAY

UNIT = 10**9
ACCOUNT = Account(
    "USD", 100_000 * UNIT, 100_300 * UNIT, 12_400_000_000, 100_312_400_000_000, 2_550 * UNIT,
    Room(4_000 * UNIT, 5_000 * UNIT), None,
)  # fmt: skip
LOOK = Look(
    "main", MONDAY + 60 * MINUTE_NS, "max", 430, 1_000, 118_000.0, 12_345, 3_210.0, 0.71, 0.64,
    (Quote("EURUSD", 1_085_030_000, 1_085_090_000, 5, 0.6), Quote("USDJPY", 0, 0, 3, 0.0)), ACCOUNT,
    (Position("EURUSD", "sell", 50_000 * UNIT, 1_084_940_000, 1_085_150_000, 0, -3_500_000_000),), "",
)  # fmt: skip


def changed(name: str, number: int, causation: int | None = None, **fields: Any) -> Any:
    return EVENTS[name].model_copy(update={"number": number, "causation": causation} | fields)


def lines_of(drawn: Group, width: int = 200) -> list[str]:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(drawn)
    return console.export_text().splitlines()


def text_of(events: list[LedgerEvent], look: Look = LOOK, width: int = 120) -> str:
    decisions = Decisions()
    decisions.observe(events)
    return "\n".join(lines_of(frame(look, decisions, width, 40)))


def styled(drawn: Group, words: str, place: str = "") -> str:
    """The styles under `place` (or these words) in the first line where the words stand."""
    for line in drawn.renderables:
        assert isinstance(line, Text)
        if words in line.plain:
            at = line.plain.rfind(place or words)
            return " ".join(str(style) for start, end, style in line.spans if start <= at < end) + f" {line.style}"
    raise AssertionError(f"{words!r} is not in the frame")


def plain_lines(drawn: Group) -> list[str]:
    return [line.plain for line in drawn.renderables if isinstance(line, Text)]


# -- it fits -----------------------------------------------------------------------------------------------------------

NANOS = st.integers(-(2**63), 2**63 - 1)
WORDS = st.text(max_size=90)
SYMBOLS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=32)
ROOMS = st.none() | st.builds(Room, NANOS, NANOS)
LOOKS = st.builds(
    Look, WORDS, st.integers(0, 2**63 - 1), WORDS, st.integers(0, 10**12), st.integers(0, 10**12),
    st.floats(0, 1e12), st.integers(0, 10**12), st.floats(0, 1e12), st.floats(0, 1e6), st.floats(0, 1e6),
    st.lists(
        st.builds(Quote, SYMBOLS, NANOS, NANOS, st.integers(0, 9), st.floats(0, 1e9)), max_size=12
    ).map(tuple),
    st.builds(Account, st.just("USDT"), NANOS, NANOS, NANOS, NANOS, NANOS, ROOMS, ROOMS),
    st.lists(
        st.builds(Position, SYMBOLS, st.sampled_from(["buy", "sell"]), NANOS, NANOS, NANOS, NANOS, NANOS), max_size=9
    ).map(tuple),
    WORDS, WORDS | st.just("http://127.0.0.1:8080/"),
)  # fmt: skip
SEQUENCES = st.lists(st.sampled_from(sorted(EVENTS)), max_size=40)


@given(LOOKS, SEQUENCES, WORDS, st.integers(60, 200), st.integers(24, 70))
@settings(max_examples=60, deadline=None)
def test_a_frame_has_exactly_the_height_and_width_of_the_terminal_whatever_it_shows(
    look: Look, kinds: list[str], reason: str, width: int, height: int
) -> None:
    decisions = Decisions()
    decisions.observe([EVENTS[kind] for kind in kinds])
    decisions.observe([changed("instruction_refused", 1, reason=reason)])
    lines = plain_lines(frame(look, decisions, width, height))
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {max(width, 80)}
    assert all(letter.isprintable() for line in lines for letter in line)


def test_the_same_look_and_events_give_the_same_frame() -> None:
    decisions = Decisions()
    decisions.observe(list(EVENTS.values()))
    first, second = (lines_of(frame(LOOK, decisions, 100, 30)) for _ in range(2))
    assert first == second


def test_words_from_outside_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2J\r\nall is well\x07\x9b1A\u202e"
    look = LOOK._replace(halted=hostile, desk=hostile, dashboard=hostile)
    drawn = text_of([changed("instruction_refused", 1, reason=hostile)], look)
    assert not set(drawn) & set("\x1b\r\x07\x9b\u202e")
    assert len(drawn.splitlines()) == 40


# -- what it says ------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_named_with_how_to_get_in_or_why_it_is_not_there() -> None:
    assert "dashboard" not in text_of([])
    for width in (80, 120):
        drawn = text_of([], LOOK._replace(dashboard="http://127.0.0.1:8080/"), width)
        assert "dashboard http://127.0.0.1:8080/" in drawn
        assert "cdb token create NAME --role operator" in drawn
    drawn = text_of([], LOOK._replace(dashboard="not running: port 8080 is taken"))
    assert "dashboard not running: port 8080 is taken" in drawn
    assert "token" not in drawn


def test_the_header_names_desk_time_speed_and_progress() -> None:
    drawn = text_of([])
    for words in ("paper desk main", "Mon 2024-03-04 01:00:00 UTC", "speed max", " 43 %", "430 of 1,000 ticks"):
        assert words in drawn
    assert "430 ticks" in text_of([], LOOK._replace(ticks_total=0))
    endless = plain_lines(frame(LOOK._replace(speed="x" * 200, desk="y" * 200), Decisions(), 80, 24))
    assert {len(line) for line in endless} == {80}
    assert " 99 %" in text_of([], LOOK._replace(ticks_done=999_999, ticks_total=1_000_000))


def test_prices_have_their_digits_and_a_mark_of_where_they_moved() -> None:
    drawn = text_of([])
    assert "1.08503" in drawn
    assert "0.6p" in drawn
    assert "not quoted yet" in drawn
    quote = LOOK.quotes[0]
    for was, mark, style in ((1, "▲", "green"), (-1, "▼", "red")):
        before = LOOK._replace(quotes=(quote._replace(bid_nanos=quote.bid_nanos - was),))
        marked = frame(LOOK, Decisions(), 80, 24, before)
        assert style in styled(marked, mark)
    assert "▲" not in drawn
    assert "▼" not in drawn


def test_the_account_shows_its_result_and_how_much_of_each_limit_is_left() -> None:
    drawn = frame(LOOK, Decisions(), 120, 30)
    shown = "\n".join(lines_of(drawn))
    for words in ("100,312.40 USD", "+0.31 %", "+312.40", "4,000.00 left", "no limit"):
        assert words in shown
    assert "green" in styled(drawn, "+0.31 %")
    assert "bright_black" not in styled(drawn, "100,312.40 USD")  # the frame's colour stays the frame's
    daily = next(line for line in lines_of(drawn) if "4,000.00 left" in line)
    assert daily.count("━") == 4 * (daily.count("━") + daily.count("─")) // 5
    for left, style, place in (
        (2_500, "green", "━"),
        (2_000, "yellow", "━"),
        (1_000, "red", "━"),
        (-1, "red", "-1.00"),
    ):
        account = ACCOUNT._replace(daily=Room(left * UNIT, 5_000 * UNIT))
        drawn = frame(LOOK._replace(account=account), Decisions(), 120, 30)
        assert style in styled(drawn, f"{left:,}.00 left", place)


def test_what_finds_no_place_is_counted() -> None:
    quotes = tuple(Quote(f"SYM{number}", 1, 2, 5, 1.0) for number in range(20))
    positions = LOOK.positions * 5
    drawn = "\n".join(lines_of(frame(LOOK._replace(quotes=quotes, positions=positions), Decisions(), 80, 24)))
    assert "SYM5" in drawn
    assert "and 14 more" in drawn
    assert "and 4 more" in drawn
    assert "flat" in text_of([], LOOK._replace(positions=()))


def test_a_verdict_takes_the_line_of_its_signal() -> None:
    signal = EVENTS["signal_raised"]
    verdict = changed("signal_assessed", 4, signal.number)
    assert "signal" in text_of([signal])
    told = [line for line in text_of([signal, verdict]).splitlines() if "EURUSD  sell" in line]
    assert len(told) == 1
    assert "approved 50,000, risk 12.35 USD" in told[0]
    assert "m5_bos_retest" in told[0]
    assert "approved 50,000, without a stop" in text_of([changed("signal_assessed", 4, stop_nanos=0, risk_nanos=0)])


def test_a_refused_signal_says_why_in_the_words_of_the_first_rule_that_refused() -> None:
    verdict = EVENTS["signal_assessed"]
    assert isinstance(verdict, SignalAssessed)
    passed = verdict.rules[0]
    first = passed.model_copy(update={"passed": False, "says": "open: Sydney; wanted: London"})
    last = first.model_copy(update={"says": "trading is halted"})
    refused = changed("signal_assessed", 4, verdict="refused", rules=(passed, first, last))
    drawn = text_of([refused], width=80)
    assert "refused  open: Sydney; wanted: London" in drawn
    assert "halted" not in drawn


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("order_placed", "order    market 50,000"),
        ("order_filled", "filled   20,000 at 1.08494 after 50 ms"),
        ("instruction_applied", "strategy activated"),
        ("instruction_refused", "strategy 'ema_cross' is not active"),
        ("engine_took_over", "2 goes on from where 1 stopped"),
        ("day_rolled", "in Prague, balance 204,000.00 USD"),
        ("limit_breached", "daily loss: equity 193,999.00, trading is halted"),
        ("objectives_reached", "passed   all objectives of ftmo-2step-challenge@1, balance 110,250.00 USD"),
    ],
)
def test_a_decision_is_one_line(kind: str, words: str) -> None:
    drawn = text_of([EVENTS[kind]])
    assert sum(words in line for line in drawn.splitlines()) == 1


def test_every_kind_is_told_but_what_the_account_and_its_chart_show() -> None:
    silent = set()
    for kind, event in EVENTS.items():
        decisions = Decisions()
        decisions.observe([event])
        if not decisions.lines:
            silent.add(kind)
    assert silent == {"account_marked", "fill_booked", "order_moved"}


def test_halts_and_breaches_are_red() -> None:
    decisions = Decisions()
    decisions.observe([EVENTS["limit_breached"], changed("instruction_applied", 1, kind="trading_halted")])
    drawn = frame(LOOK._replace(halted="daily loss"), decisions, 100, 30)
    for words in ("daily loss: equity", "breach", "trading halted", "HALTED  daily loss"):
        assert "red" in styled(drawn, words)
    assert "HALTED" not in text_of([])


def test_exits_and_their_cancelling_are_not_told_but_a_cancelled_entry_is() -> None:
    moved = EVENTS["order_moved"]
    exits = [changed("order_placed", 6, purpose="stop"), moved]
    assert "EURUSD  sell" not in text_of(exits)
    drawn = text_of([EVENTS["order_placed"], moved, moved])
    assert drawn.count("canceled the position is closed") == 1


# -- closed trades and their R -----------------------------------------------------------------------------------------


class Desk:
    """Makes the events of trades in one symbol, in the order the core makes them."""

    def __init__(self) -> None:
        self.events: list[LedgerEvent] = []
        self.position = 0

    def next(self, kind: str, causation: int | None = None, **fields: Any) -> Any:
        self.events.append(changed(kind, len(self.events) + 1, causation, **fields))
        return self.events[-1]

    def approved(self, side: str, risk: int) -> OrderPlaced:
        signal = self.next("signal_raised", side=side)
        verdict = self.next("signal_assessed", signal.number, side=side, risk_nanos=risk)
        order: OrderPlaced = self.next("order_placed", verdict.number, side=side)
        return order

    def fill(
        self, order: int, side: str, quantity: int, *, trade: int = 0, leaves: int = 0, purpose: str = "entry"
    ) -> None:
        fill: OrderFilled = self.next(
            "order_filled", order, order=order, side=side, quantity_nanos=quantity, leaves_nanos=leaves, purpose=purpose
        )
        before, self.position = self.position, self.position + (quantity if side == "buy" else -quantity)
        closed = before != 0 and before * self.position <= 0
        self.next(
            "fill_booked", fill.number, position_nanos=self.position, closed=closed, trade_nanos=trade if closed else 0
        )

    def closed_lines(self) -> list[str]:
        return [line for line in text_of(self.events).splitlines() if " closed " in line]


def test_a_closed_trade_has_its_result_in_money_and_in_the_risk_it_was_approved_with() -> None:
    desk = Desk()
    entry = desk.approved("buy", 200 * UNIT)
    desk.fill(entry.number, "buy", 600, leaves=400)
    desk.fill(entry.number, "buy", 400)
    desk.fill(999, "sell", 1_000, trade=-100 * UNIT, purpose="stop")
    (line,) = desk.closed_lines()
    assert "EURUSD  buy  closed   stop at 1.08494  -100.00 USD  -0.5 R" in line
    entry = desk.approved("sell", 50 * UNIT)
    desk.fill(entry.number, "sell", 1_000)
    desk.fill(998, "buy", 1_000, trade=75 * UNIT, purpose="target")
    assert "EURUSD  sell closed   target at 1.08494  +75.00 USD  +1.5 R" in desk.closed_lines()[1]


def test_a_reversal_is_measured_by_the_risk_of_the_trade_it_ends() -> None:
    desk = Desk()
    desk.fill(desk.approved("buy", 100 * UNIT).number, "buy", 1_000)
    desk.fill(desk.approved("sell", 400 * UNIT).number, "sell", 2_000, trade=100 * UNIT)
    desk.fill(997, "buy", 1_000, trade=100 * UNIT, purpose="flatten")
    reversed_line, flattened = desk.closed_lines()
    assert "reversed at 1.08494  +100.00 USD  +1.0 R" in reversed_line
    assert "flattened at 1.08494  +100.00 USD  +0.2 R" in flattened


def test_no_r_is_claimed_where_the_risk_is_not_known() -> None:
    desk = Desk()  # the session began with this position open
    desk.position = 1_000
    desk.fill(996, "sell", 1_000, trade=100 * UNIT, purpose="target")
    desk.fill(desk.approved("buy", 100 * UNIT).number, "buy", 1_000)
    desk.fill(desk.approved("buy", 100 * UNIT).number, "buy", 500)  # a second signal's order joined the trade
    desk.fill(995, "sell", 1_500, trade=100 * UNIT, purpose="stop")
    lines = desk.closed_lines()
    assert len(lines) == 2
    assert not any(" R " in line for line in lines)


# -- the chart ---------------------------------------------------------------------------------------------------------


def marked(minute: int, equity: int) -> LedgerEvent:
    return changed("account_marked", minute + 1, occurred_at_ns=MONDAY + minute * MINUTE_NS, equity_nanos=equity * UNIT)


MARKS = st.lists(st.tuples(st.integers(0, 600), st.integers(90_000, 110_000)), min_size=1, max_size=50)


@given(MARKS, st.integers(0, 900))
@settings(max_examples=40, deadline=None)
def test_each_column_of_the_chart_is_the_equity_at_the_end_of_its_stretch_of_time(
    marks: list[tuple[int, int]], now: int
) -> None:
    marks = sorted(marks, key=lambda mark: mark[0])
    decisions = Decisions()
    decisions.observe([marked(minute, equity) for minute, equity in marks])
    account = ACCOUNT._replace(equity_nanos=marks[-1][1] * UNIT)
    look = LOOK._replace(time_ns=MONDAY + now * MINUTE_NS, account=account)
    upper, lower = (line[41:78] for line in lines_of(frame(look, decisions, 80, 24))[4:6])
    first, last, expected = marks[0][0], max(now, marks[-1][0]), []  # a look may be older than the newest event
    for column in range(37):
        end = first * MINUTE_NS + (last - first) * MINUTE_NS * (column + 1) // 37
        expected.append([equity for minute, equity in marks if minute * MINUTE_NS <= end][-1])
    low, scale = min(expected), max(max(expected) - min(expected), 1)
    heights = [" ▁▂▃▄▅▆▇█".index(under) + " ▁▂▃▄▅▆▇█".index(over) for over, under in zip(upper, lower, strict=True)]
    assert heights == [1 + (equity - low) * 15 // scale for equity in expected]


def test_memory_stays_bounded_over_a_long_session_and_keeps_both_ends_of_the_curve() -> None:
    decisions = Decisions()
    for start in range(0, 50_000, 1_000):
        decisions.observe([marked(minute, minute) for minute in range(start, start + 1_000)])
        decisions.observe([EVENTS["signal_raised"]] * 100)
    assert len(decisions.lines) == LINES_KEPT
    assert POINTS_KEPT // 2 <= len(decisions.equity) <= POINTS_KEPT
    assert decisions.equity[0] == (MONDAY, 0)
    assert decisions.equity[-1] == (MONDAY + 49_999 * MINUTE_NS, 49_999 * UNIT)
    assert decisions.equity == sorted(decisions.equity)


def test_finished_orders_are_forgotten() -> None:
    desk = Desk()
    for _ in range(50):
        desk.fill(desk.approved("buy", UNIT).number, "buy", 1_000)
        desk.fill(10**6, "sell", 1_000, purpose="stop")
        order = desk.approved("buy", UNIT)
        desk.next("order_moved", order.number, order=order.number)
    decisions = Decisions()
    decisions.observe(desk.events)
    assert not decisions._orders
    assert not decisions._trades


# -- the view ----------------------------------------------------------------------------------------------------------


class Looking:
    """Gives looks and notes how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.thrice = asyncio.Event()

    def __call__(self) -> Look:
        self.asked += 1
        if self.asked == 3:
            self.thrice.set()
        return LOOK


@pytest.mark.parametrize(
    "console",
    [
        Console(file=io.StringIO(), width=120),
        Console(file=io.StringIO(), force_terminal=True, width=79, height=24),
        Console(file=io.TextIOWrapper(io.BytesIO(), "ascii"), force_terminal=True, width=120, height=24),
        Console(file=io.StringIO(), force_terminal=True, width=120, height=24, _environ={"TERM": "dumb"}),
    ],
    ids=["a pipe", "too narrow", "no Unicode", "a dumb terminal"],
)
async def test_where_no_view_can_be_shown_there_is_none(console: Console) -> None:
    look = Looking()
    async with LiveView(look, console) as view:
        assert not view.is_shown
        view.observe(list(EVENTS.values()))
        await asyncio.sleep(0)
    assert look.asked == 0
    console.file.flush()
    assert console.file.tell() == 0


async def test_the_view_is_drawn_again_and_again_and_its_last_frame_stays() -> None:
    look, screen = Looking(), io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30, _environ={"TERM": "xterm"})
    async with LiveView(look, console) as view:
        await asyncio.wait_for(look.thrice.wait(), 30)
        view.observe([EVENTS["limit_breached"]])
        drawing = look.asked
    live, left = screen.getvalue().split("\x1b[?1049l")
    assert live.count("Claire de Binare") == drawing
    assert left.count("Claire de Binare") == 1
    assert "trading is halted" in left
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is back


async def test_observing_draws_nothing() -> None:
    look = Looking()
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30, _environ={"TERM": "xterm"})
    async with LiveView(look, console) as view:
        for _ in range(1_000):
            view.observe(list(EVENTS.values()))
        assert look.asked == 0


async def test_a_failing_session_gets_its_terminal_back() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30, _environ={"TERM": "xterm"})
    look = Looking()

    async def session() -> None:
        async with LiveView(look, console):
            await asyncio.wait_for(look.thrice.wait(), 30)
            raise RuntimeError("the tape broke")

    with pytest.raises(RuntimeError, match="the tape broke"):
        await session()
    assert screen.getvalue().count("\x1b[?1049h") == screen.getvalue().count("\x1b[?1049l") == 1
