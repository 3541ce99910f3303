"""A plain-Python oracle of the benchmark's strategy, written from DESIGN's text ("Workloads"); nothing of our kernels.

EMA: e[0] = mid, then e += 2 / (n + 1) * (mid - e), compared from index `slow` on; the first side only initialises.
Always in the market from the first change of side on: one netting order to the other side, filled at the opposite side
of the quote, with a fee of 2e-5 of its value. Money and prices are nanos; every value is rounded once, half to even.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

NANO = 1_000_000_000
SIZE = 100_000 * NANO
FEE = Fraction(2, 100_000)


class Quote(NamedTuple):
    """Bid and ask, nanos."""

    bid: int
    ask: int

    @property
    def mid(self) -> int:
        return (self.bid + self.ask) // 2


class Result(NamedTuple):
    """What is left at the end: how many orders, and the account's money in nanos."""

    orders: int
    balance: int
    equity: int
    fees: int


def half_even(value: Fraction) -> int:
    """To whole nanos; Python rounds halves to even."""
    return round(value)


def sides(prices: Iterable[int], fast: int, slow: int) -> list[tuple[int, int]]:
    """(index, +1 or -1) of every price at which the fast average is newly above or below the slow one."""
    changes: list[tuple[int, int]] = []
    quick = lazy = 0.0
    side = 0
    for index, price in enumerate(prices):
        if index == 0:
            quick = lazy = float(price)
        else:
            quick += 2 / (fast + 1) * (price - quick)
            lazy += 2 / (slow + 1) * (price - lazy)
        if index < slow or quick == lazy:
            continue
        now = 1 if quick > lazy else -1
        if side == -now:
            changes.append((index, now))
        side = now
    return changes


def trade(initial: int, changes: Iterable[tuple[int, Quote]], last: Quote) -> Result:
    """The account after an order at each (side, quote), valued at the last quote's side that would close it."""
    balance, held, cost, fees, orders = initial, 0, 0, 0, 0
    for side, quote in changes:
        price = quote.ask if side > 0 else quote.bid
        quantity = side * SIZE - held
        worth = half_even(Fraction(abs(quantity) * price, NANO))
        fee = half_even(worth * FEE)
        whole = half_even(Fraction(side * SIZE * price, NANO))
        if held:  # what is held is paid back at this price, the rest is the new position
            balance += side * -half_even(Fraction(SIZE * price, NANO)) - cost
        balance -= fee
        held, cost, fees, orders = side * SIZE, whole, fees + fee, orders + 1
    price = last.bid if held > 0 else last.ask
    return Result(orders, balance, balance + half_even(Fraction(held * price, NANO)) - cost, fees)


def workload_a(initial: int, quotes: Sequence[Quote]) -> Result:
    """EMA 100/400 of the mid of every quote; an order fills at the very quote that changed the side."""
    changes = sides((quote.mid for quote in quotes), 100, 400)
    return trade(initial, ((side, quotes[index]) for index, side in changes), quotes[-1])


def workload_b(initial: int, opens: Sequence[int], closes: Sequence[int]) -> Result:
    """EMA 10/30 of M1 closes; an order fills at the open of the bar after, without a spread."""
    changes = [(index + 1, side) for index, side in sides(closes, 10, 30) if index + 1 < len(opens)]
    filled = ((side, Quote(opens[index], opens[index])) for index, side in changes)
    return trade(initial, filled, Quote(closes[-1], closes[-1]))
