"""What a rule is: a named question to the facts of one trade, with its limit and the sentence a person reads.

    rule(facts, policy) -> (value, limit, passed)

Facts is one FACTS record, everything a rule may know, gathered before the first is asked; policy is one POLICY record.
A rule is a kernel of its own; `every` asks all of a list, in order, none is skipped.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from domain.kernel import F, kernel

# How a size came about, for the verdict: what sizing started from, and what each step left.
SIZED = np.dtype(
    [
        ("equity", "<i8"),
        ("fraction_ppm", "<i8"),  # of equity that a trade of full size may lose
        ("kelly", "<i8"),  # what became of Kelly, see sizing.KELLY
        ("kelly_ppm", "<i8"),  # the policy's share of f*; 0: not used, or no edge
        ("kelly_trades_min", "<i8"),
        ("shadow_trades", "<i8"),
        ("win_rate_ppm", "<i8"),
        ("shadow_drawdown_milli_r", "<i8"),
        ("confidence_size_ppm", "<i8"),  # what each adjustment leaves of the size; 1,000,000: all
        ("drawdown_size_ppm", "<i8"),
        ("performance_size_ppm", "<i8"),
        ("money", "<i8"),  # that may be lost at the stop, adjusted, within every room; below 0: none is left
        ("distance", "<i8"),  # from the entry to the stop, price nanos; 0: no stop
        ("spread", "<i8"),  # of the newest quote; the distance of a market order has it inside
        ("slippage", "<i8"),  # in and out, price nanos
        ("commission", "<i8"),  # of 1,000 units, in and out, account money
        ("loss", "<i8"),  # of 1,000 units at the stop, account money
        ("bound", "<i8"),  # what fixed the size before lots, see sizing.BOUNDS
        ("unfloored", "<i8"),
        ("cut", "<i8"),  # how lots changed it, see sizing.CUTS
    ]
)

FACTS = np.dtype(
    [
        # the signal or the requested order
        ("own_pattern", "<i8"),  # 1: a signal, the desk's own or submitted; 0: an order that was asked for
        ("side", "<i8"),  # +1 buy, -1 sell
        ("level", "<i8"),  # prices in nanos; 0: there is none
        ("entry", "<i8"),  # where the taker would get in now: ask of a buy, bid of a sell; or the order's own price
        ("stop", "<i8"),
        ("target", "<i8"),
        ("confidence_ppm", "<i8"),
        ("bar_age_ns", "<i8"),  # since the signal's bar ended; 0 without a bar
        # its market
        ("quote_age_ns", "<i8"),  # -1: never quoted
        ("pip", "<i8"),  # nanos
        ("point", "<i8"),  # nanos
        ("atr", "<i8"),  # M1 ATR(14) in nanos, 0: not known yet
        ("trend", "<i8"),  # of H1: +1, -1; 0: not known yet
        ("sessions_open", "<i8"),  # marks
        ("always_open", "<i8"),  # 1: this market knows no sessions
        ("calendar_entries", "<i8"),  # how many the desk knows at all
        ("news_gap_ns", "<i8"),  # signed distance to the nearest relevant entry (+ ahead, - behind), NO_NEWS: none near
        ("blackout_gap_ns", "<i8"),  # the same to the release in whose blackout it is, NO_NEWS: it is in none
        ("signals_this_minute", "<i8"),  # of its strategy, this one among them
        # its strategy's shadow results
        ("shadow_trades", "<i8"),  # in the window
        ("shadow_wins", "<i8"),
        ("shadow_won_milli_r", "<i8"),  # sum over winners, thousandths of R
        ("shadow_lost_milli_r", "<i8"),  # sum over losers, positive
        ("shadow_drawdown_milli_r", "<i8"),  # deepest fall of the running sum
        # the account, money in nanos of its currency
        ("halted", "<i8"),
        ("balance", "<i8"),
        ("equity", "<i8"),
        ("peak", "<i8"),  # highest balance so far
        ("day_balance", "<i8"),  # at midnight Prague
        ("day_lost", "<i8"),  # day_balance - equity, at least 0
        ("daily_room", "<i8"),  # equity above the daily limit; NO_LIMIT: there is none
        ("total_room", "<i8"),
        ("open_risk", "<i8"),  # what open positions and working entries lose at their stops from here
        ("positions", "<i8"),  # instruments with a position or a working entry order
        ("orders", "<i8"),  # working
        ("held", "<i8"),  # this instrument's position, nanos of units, signed
        ("pending", "<i8"),  # what its working entry orders would add to that
        ("entering", "<i8"),  # working entry orders of this instrument
        ("margin_free", "<i8"),
        # the trade as it is sized (0 before)
        ("unit_loss", "<i8"),  # lost at the stop by 1,000 units, costs included, nanos of account money; 0: no stop
        (
            "unit_value",
            "<i8",
        ),  # value of 1,000 units, nanos of account money; 0: no rate is known, or TOO_MUCH
        ("margin_ppm", "<i8"),  # of that value
        ("lot_step", "<i8"),  # nanos of units
        ("lot_min", "<i8"),
        ("lot_max", "<i8"),
        ("size_ppm", "<i8"),  # what adjustments leave of the full size
        ("quantity", "<i8"),  # nanos of units; 0: below the smallest lot
        ("unfloored", "<i8"),  # before it was cut to the lot step, and to the smallest lot
        ("risk", "<i8"),  # lost at the stop, account money
        ("margin", "<i8"),  # needed
        ("base_exposure", "<i8"),  # net value of the base currency, held and pending, before the trade, account money
        ("quote_exposure", "<i8"),  # of the quote currency
        ("sized", SIZED),
    ]
)

NO_NEWS = np.iinfo(np.int64).max
NO_LIMIT = np.iinfo(np.int64).max
TOO_MUCH = -1  # a value of 1,000 units: this trade's money does not fit 64 bits

RESULT = np.dtype([("value", "<i8"), ("limit", "<i8"), ("passed", "<i8")])

Question = Callable[[Any, Any], tuple[int, int, bool]]


class Rule(NamedTuple):
    """A rule as it stands in a list. `says(value, limit, passed)` is its sentence, with units."""

    question: Question
    says: Callable[[int, int, bool], str]

    @property
    def name(self) -> str:
        return str(self.question.__name__)


def every(rules: Sequence[Rule]) -> Callable[[Any, Any, Any, int], int]:
    """A kernel `ask(facts, policy, results, first) -> failed`: fills results[first:] (RESULT), counts what failed.

    The list is halved down to single rules, because a kernel is compiled with all that it calls.
    """
    if len(rules) == 1:
        question = rules[0].question

        def ask_one(facts: Any, policy: Any, results: Any, first: int) -> int:
            value, limit, passed = question(facts, policy)
            results[first].value, results[first].limit, results[first].passed = value, limit, passed
            return 0 if passed else 1

        return _named(ask_one, rules)
    half = len(rules) // 2
    earlier, later = every(rules[:half]), every(rules[half:])

    def ask(facts: Any, policy: Any, results: Any, first: int) -> int:
        return earlier(facts, policy, results, first) + later(facts, policy, results, first + half)

    return _named(ask, rules)


def _named(function: F, rules: Sequence[Rule]) -> F:
    """The kernel of a closure under a name of its own. Machine code is linked by qualified name, also code that came
    from the cache of another process: two closures of one name would be taken for each other."""
    names = [rule.name for rule in rules]
    suffix = names[0] if len(names) == 1 else sha256(" ".join(names).encode()).hexdigest()[:16]
    function.__qualname__ = function.__name__ = f"{function.__name__}_{suffix}"
    return kernel(function)
