"""Shadow results: what every signal would have made, traded or not, told by a plain list of them."""

from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import LedgerEvent, SignalAssessed
from domain.instructions import SignalSubmitted, StrategyActivated
from domain.performance import MAX_SHADOWS, WINDOW
from domain.tape import TRADE, empty_ticks
from tests.domain.desks import SECOND, Desk, fills, nanos, of, placed, policy

POINT = 10_000
SYMBOLS = ("EURUSD", "GBPUSD")


class Shadow(NamedTuple):
    """A signal that is followed; prices in points, 0: none."""

    strategy: str
    symbol: str
    side: int
    entry: int
    stop: int
    target: int

    def result(self, price: int) -> int:
        gain, distance = self.side * (price - self.entry), self.side * (self.entry - self.stop)
        if not self.stop or distance <= 0:
            return 1_000 * ((gain > 0) - (gain < 0))
        return max(-1_000_000, min(1_000_000, round(Fraction(1_000 * gain, distance))))


class Oracle:
    """Open shadows in order of age, and each strategy's results."""

    def __init__(self) -> None:
        self.quotes: dict[str, tuple[int, int]] = {}
        self.open: list[Shadow] = []
        self.results: dict[str, list[int]] = {"one": [], "two": []}

    def quote(self, symbol: str, bid: int, ask: int) -> None:
        self.quotes[symbol] = (bid, ask)
        for shadow in [shadow for shadow in self.open if shadow.symbol == symbol]:
            price = bid if shadow.side > 0 else ask
            if shadow.stop and shadow.side * (price - shadow.stop) <= 0:
                self._close(shadow, price)
            elif shadow.target and shadow.side * (price - shadow.target) >= 0:
                self._close(shadow, shadow.target)

    def signal(self, strategy: str, symbol: str, side: int, stop: int, target: int) -> None:
        bid, ask = self.quotes[symbol]
        for shadow in list(self.open):
            if shadow[:3] == (strategy, symbol, -side):
                self._close(shadow, bid if shadow.side > 0 else ask)
        self.open.append(Shadow(strategy, symbol, side, ask if side > 0 else bid, stop, target))

    def _close(self, shadow: Shadow, price: int) -> None:
        self.open.remove(shadow)
        self.results[shadow.strategy].append(shadow.result(price))


def summary(results: list[int]) -> tuple[int, int, int, int, int]:
    """Trades, wins, won, lost and the deepest fall of the running sum, of the last 100."""
    window = results[-100:]
    sums = [sum(window[:k]) for k in range(len(window) + 1)]
    falls = [max(sums[: k + 1]) - total for k, total in enumerate(sums)]
    won = [result for result in window if result > 0]
    return len(window), len(won), sum(won), -sum(result for result in window if result < 0), max(falls)


def submit(desk: Desk, side: int, strategy: str = "one", symbol: str = "EURUSD", **exits: int) -> list[LedgerEvent]:
    """A signal of this strategy; stop and target in points."""
    prices = {f"{name}_nanos": points * POINT for name, points in exits.items()}
    number = desk.symbols.index(symbol) + 1
    entry = int(desk.engine.desk.book.markets[number]["mid"])
    return desk.tell(
        SignalSubmitted, strategy=strategy, symbol=symbol, side="buy" if side > 0 else "sell", entry_nanos=entry,
        **prices,
    )  # fmt: skip


def quote(desk: Desk, bid: int, ask: int, symbol: str = "EURUSD") -> None:
    desk.quote(f"{bid / 100_000:.5f}", f"{ask / 100_000:.5f}", symbol=symbol)


def recorded(desk: Desk, strategy: str) -> tuple[int, list[int]]:
    """How many results there were, and those still in the window, oldest first."""
    slot = [source.strategy for source in desk.engine.desk.sources].index(strategy)
    record = desk.engine.desk.book.performance[slot]
    count = int(record["count"])
    return count, [int(record["results"][k % WINDOW]) for k in range(max(0, count - WINDOW), count)]


def told(desk: Desk) -> tuple[int, ...]:
    """What the newest verdict knew of its strategy's results."""
    facts = desk.engine.desk.book.facts[0]
    names = ("trades", "wins", "won_milli_r", "lost_milli_r", "drawdown_milli_r")
    return tuple(int(facts[f"shadow_{name}"]) for name in names)


QUOTED = st.tuples(st.just("quote"), st.integers(0, 1), st.integers(-40, 40), st.integers(0, 4))
RAISED = st.tuples(
    st.just("signal"), st.integers(0, 1), st.sampled_from([1, -1]), st.sampled_from(["one", "two"]),
    st.integers(-5, 30), st.integers(-5, 60),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(QUOTED | RAISED, max_size=120))
def test_shadow_results_are_those_of_a_plain_list(steps: list[tuple[Any, ...]]) -> None:
    desk, oracle = Desk(policy(), *SYMBOLS), Oracle()
    used = set()
    for step in [("quote", 0, 0, 2), ("quote", 1, 0, 2), *steps]:
        symbol = SYMBOLS[step[1]]
        if step[0] == "quote":
            bid, ask = 110_000 + step[2], 110_000 + step[2] + step[3]
            quote(desk, bid, ask, symbol)
            oracle.quote(symbol, bid, ask)
            continue
        _, _, side, strategy, risk, gain = step
        mid = sum(oracle.quotes[symbol]) // 2
        stop, target = (mid - side * risk if risk else 0), (mid + side * gain if gain else 0)
        submit(desk, side, strategy, symbol, stop=stop, target=target)
        oracle.signal(strategy, symbol, side, stop, target)
        used.add(strategy)
        assert told(desk) == summary(oracle.results[strategy])
    for strategy in used:
        results = oracle.results[strategy]
        assert recorded(desk, strategy) == (len(results), results[-WINDOW:])
    assert desk.engine.desk.book.desk[0]["shadows"] == len(oracle.open)


def trade_shadows(desk: Desk, *gains: int) -> None:
    """Signals one after the other, each closed at its target or stop so many points away."""
    for gain in gains:
        quote(desk, 110_000, 110_000)
        submit(desk, 1, stop=109_900, target=110_200)
        quote(desk, 110_000 + gain, 110_000 + gain)


def test_only_the_last_hundred_results_count() -> None:
    desk = Desk()
    trade_shadows(desk, *[-100] * 60, *[200] * 70)
    assert recorded(desk, "one") == (130, [-1_000] * 30 + [2_000] * 70)
    submit(desk, 1)
    assert told(desk) == (100, 70, 140_000, 30_000, 30_000)


def test_a_gap_through_the_stop_loses_more_than_one_r_and_a_gap_through_the_target_wins_no_more() -> None:
    desk = Desk()
    trade_shadows(desk, -350, 900)
    assert recorded(desk, "one") == (2, [-3_500, 2_000])


def test_drawdown_is_the_deepest_fall_of_the_running_sum_and_starts_from_nothing() -> None:
    desk = Desk()
    trade_shadows(desk, -100, -100, 200, 200, -100, 200, -100, -100, -100, 200)
    submit(desk, 1)
    assert told(desk) == (10, 4, 8_000, 6_000, 3_000)


def test_at_most_512_shadows_are_open_and_the_oldest_is_given_up() -> None:
    desk = Desk()
    for signal in range(MAX_SHADOWS + 1):
        quote(desk, 120_000 + signal, 120_000 + signal)
        submit(desk, 1)
    entries = desk.engine.desk.book.shadows["entry"].tolist()
    assert entries == [(120_000 + signal) * POINT for signal in range(1, 513)]
    quote(desk, 110_000, 110_000)
    submit(desk, -1)
    assert recorded(desk, "one") == (512, [-1_000] * WINDOW)
    assert desk.engine.desk.book.desk[0]["shadows"] == 1


@pytest.mark.parametrize("side", [1, -1])
def test_a_strategy_that_was_forbidden_recovers_by_what_it_would_have_made(side: int) -> None:
    strategic = {"performance_floor": "forbid", "performance_trades_min": 4, "win_rate_target_ppm": 600_000}
    desk, verdicts = Desk(policy(strategic=strategic)), []
    for gain in (-100, -100, -100, -100, 200, 200, 200, 200, 200, 200):
        quote(desk, 110_000, 110_000)
        (verdict,) = of(SignalAssessed, submit(desk, side, stop=110_000 - side * 100, target=110_000 + side * 200))
        verdicts.append([rule.rule for rule in verdict.rules if not rule.passed])
        quote(desk, 110_000 + side * gain, 110_000 + side * gain)
        quote(desk, 110_000 + side * gain, 110_000 + side * gain)
    quote(desk, 110_000, 110_000)
    (verdict,) = of(SignalAssessed, submit(desk, side, stop=110_000 - side * 100, target=110_000 + side * 200))
    assert verdicts == [[]] * 4 + [["performance_floor"]] * 6
    assert verdict.verdict == "approved"


def test_another_strategys_results_and_other_instruments_are_kept_apart() -> None:
    desk = Desk(policy(), *SYMBOLS)
    quote(desk, 110_000, 110_000)
    quote(desk, 110_000, 110_000, "GBPUSD")
    submit(desk, 1, "one", stop=109_900)
    submit(desk, 1, "two", stop=109_900)
    submit(desk, -1, "one", "GBPUSD", stop=110_100)  # opposite, but of another instrument
    submit(desk, -1, "two", stop=110_100)
    assert (recorded(desk, "one"), recorded(desk, "two")) == ((0, []), (1, [0]))


def test_a_trade_print_of_a_quoted_instrument_fills_nothing_and_opens_no_shadow_at_its_price() -> None:
    desk = Desk(policy(risk={"on_opposite": "reverse"}))
    every = {"fast": 1, "slow": 2, "on": "ticks"}
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("EURUSD",), parameters=every)
    for bid in (110_000, 110_010, 110_020, 110_010):
        quote(desk, bid, bid + 10)
    before = desk.position()
    print_ = empty_ticks(1)
    print_["kind"], print_["instrument"], print_["bid"], print_["ask"] = TRADE, 1, nanos("1.3"), nanos("1.3")
    print_["event_time"] = print_["receive_time"] = desk.now + SECOND
    (order,) = placed(desk.feed(print_))
    assert desk.position() == before
    book = desk.engine.desk.book
    assert book.shadows["entry"][: book.desk[0]["shadows"]].tolist() == [nanos("1.1002")]
    filled = fills(desk.quote("1.10000", "1.10010"))[0]
    assert (filled.order, filled.price_nanos) == (order.number, nanos("1.10010"))
