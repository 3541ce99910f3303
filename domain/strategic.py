"""The product owner's rules: when a signal is worth a trade at all.

A new rule is a function, a line in STRATEGIC and a test. What is not known yet never refuses: it passes and says so.
"""

from typing import Any

from domain.kernel import kernel
from domain.money import PPM, muldiv
from domain.policy import FORBID, SECOND, SESSION_MARKS
from domain.rules import NO_LIMIT, NO_NEWS, Rule
from domain.wording import duration, percent, pips

UNKNOWN = -1  # a value
ALWAYS_OPEN = -1  # the open sessions of a market that has none
CALENDAR_EMPTY = -NO_NEWS  # a distance
NEWS_IGNORED = -1  # a window


@kernel
def alignment(f: Any, p: Any) -> tuple[int, int, bool]:
    """The signal agrees with its pattern: how many of level, stop and target are on the wrong side of the entry."""
    wrong = 0
    if f.entry != 0:
        wrong += 1 if f.level != 0 and f.side * (f.entry - f.level) < 0 else 0
        wrong += 1 if f.stop != 0 and f.side * (f.entry - f.stop) <= 0 else 0
        wrong += 1 if f.target != 0 and f.side * (f.target - f.entry) <= 0 else 0
    return wrong, 0, wrong == 0


def _alignment(value: int, limit: int, passed: bool) -> str:
    if passed:
        return "entry agrees with level, stop and target"
    return f"{value} of level, stop and target on the wrong side of the entry"


@kernel
def trend(f: Any, p: Any) -> tuple[int, int, bool]:
    """The trade goes with the H1 trend (value), once that is known; the limit is the trade's side."""
    return f.trend, f.side, p.with_trend == 0 or f.trend in (0, f.side)


def _trend(value: int, limit: int, passed: bool) -> str:
    if value == 0:
        return "H1 trend is not known yet"
    trade, direction = "buy" if limit > 0 else "sell", "up" if value > 0 else "down"
    if value == limit:
        return f"{trade} goes with the H1 trend, which is {direction}"
    return f"{trade} goes against the H1 trend, which is {direction}{', and may' if passed else ''}"


@kernel
def market_session(f: Any, p: Any) -> tuple[int, int, bool]:
    """One of the policy's sessions is open; value and limit are session marks."""
    if f.always_open != 0:
        return ALWAYS_OPEN, p.sessions, True
    return f.sessions_open, p.sessions, p.sessions == 0 or (f.sessions_open & p.sessions) != 0


def _market_session(value: int, limit: int, passed: bool) -> str:
    if value == ALWAYS_OPEN:
        return "market is always open"
    if limit == 0:
        return "any session is allowed"
    return f"open: {_sessions(value)}" if passed else f"open: {_sessions(value)}; wanted: {_sessions(limit)}"


def _sessions(marks: int) -> str:
    names = [name.replace("_", " ").title() for name, mark in SESSION_MARKS.items() if marks & mark]
    return ", ".join(names) or "none"


@kernel
def volatility(f: Any, p: Any) -> tuple[int, int, bool]:
    """M1 ATR in thousandths of a pip is inside the policy's band; the limit is the bound passed, or the nearer one."""
    low, high = p.atr_pips_min_thousandths, p.atr_pips_max_thousandths
    if f.atr == 0:
        return UNKNOWN, low, True
    value = muldiv(f.atr, 1_000, f.pip)
    nearer = low if low > 0 and value - low <= high - value else high
    return value, nearer, low <= value <= high


def _volatility(value: int, limit: int, passed: bool) -> str:
    if value == UNKNOWN:
        return "M1 ATR is not known yet"
    if limit == NO_LIMIT:
        return f"M1 ATR {pips(value)}, any is allowed"
    if passed:
        return f"M1 ATR {pips(value)} is inside the band, whose nearer bound is {pips(limit)}"
    where = "below the band from" if value < limit else "above the band up to"
    return f"M1 ATR {pips(value)} is {where} {pips(limit)}"


@kernel
def news(f: Any, p: Any) -> tuple[int, int, bool]:
    """No relevant release is near: seconds to it (negative: since it), against the window on that side of it."""
    if p.news_impact_min == 0:
        return 0, NEWS_IGNORED, True
    if f.calendar_entries == 0:
        return CALENDAR_EMPTY, 0, True
    gap = f.news_gap_ns
    if gap == NO_NEWS:
        return NO_NEWS, seconds(p.news_before_ns), True
    window = p.news_before_ns if gap >= 0 else p.news_after_ns
    return seconds(gap), seconds(window), abs(gap) > window


@kernel
def seconds(nanos: int) -> int:
    """Rounded away from 0, so that one nanosecond outside a window does not read as inside."""
    return -(-nanos // SECOND) if nanos >= 0 else nanos // SECOND


def news_says(value: int, limit: int, passed: bool) -> str:
    """The sentence of a rule about news; also of that in domain/risk.py."""
    if limit == NEWS_IGNORED:
        return "news is ignored"
    if value == CALENDAR_EMPTY:
        return "calendar is empty: no news is known"
    if value == NO_NEWS:
        return "no relevant news is near"
    when = f"due in {duration(value * SECOND)}" if value >= 0 else f"{duration(-value * SECOND)} old"
    return f"relevant news is {when}, {'outside' if passed else 'inside'} the window of {duration(limit * SECOND)}"


@kernel
def below_floor(f: Any, p: Any) -> bool:
    """The strategy's shadow results are many enough to be judged, and too weak."""
    if f.shadow_trades < p.performance_trades_min:
        return False
    return bool(_win_rate(f) < p.win_rate_target_ppm or f.shadow_drawdown_milli_r > p.shadow_drawdown_max_thousandths)


@kernel
def performance_floor(f: Any, p: Any) -> tuple[int, int, bool]:
    """A strategy whose shadow results are below the floor trades only if the policy lets it.

    Value is the win rate in ppm, limit its target; before it is judged, -1 - trades and how many trades it takes.
    """
    if f.shadow_trades < p.performance_trades_min:
        return UNKNOWN - f.shadow_trades, p.performance_trades_min, True
    return _win_rate(f), p.win_rate_target_ppm, p.performance_floor != FORBID or not below_floor(f, p)


@kernel
def _win_rate(f: Any) -> int:
    """In ppm, rounded down, so that it reaches a target only when it does exactly."""
    return int(f.shadow_wins * PPM // f.shadow_trades)


def _performance_floor(value: int, limit: int, passed: bool) -> str:
    if value < 0:
        return f"{UNKNOWN - value} of {limit} shadow trades: not judged yet"
    if value < limit:
        consequence = ", which forbids nothing" if passed else ""
        return f"win rate {percent(value)} of shadow trades is below {percent(limit)}{consequence}"
    rate = f"win rate {percent(value)} of shadow trades is at least {percent(limit)}"
    return rate if passed else f"{rate}, but their drawdown is too deep"


@kernel
def minimum_confidence(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.confidence_ppm, p.confidence_min_ppm, f.confidence_ppm >= p.confidence_min_ppm


def _minimum_confidence(value: int, limit: int, passed: bool) -> str:
    return f"confidence {percent(value)} is {'at least' if passed else 'below'} {percent(limit)}"


@kernel
def signal_age(f: Any, p: Any) -> tuple[int, int, bool]:
    """Nanoseconds since the signal's bar ended."""
    return f.bar_age_ns, p.bar_age_max_ns, f.bar_age_ns <= p.bar_age_max_ns


def _signal_age(value: int, limit: int, passed: bool) -> str:
    bound = "any age is allowed" if limit == NO_LIMIT else f"{'at most' if passed else 'more than'} {duration(limit)}"
    return f"signal is {duration(value)} old, {bound}"


STRATEGIC: tuple[Rule, ...] = (
    Rule(alignment, _alignment),
    Rule(trend, _trend),
    Rule(market_session, _market_session),
    Rule(volatility, _volatility),
    Rule(news, news_says),
    Rule(performance_floor, _performance_floor),
    Rule(minimum_confidence, _minimum_confidence),
    Rule(signal_age, _signal_age),
)
