"""The event calendar: scheduled releases, known to the desk because an instruction put them on the tape.

Around heavy ones stands the blackout of FTMO's funded Standard accounts: from two minutes before to two minutes after,
both included, no trade in an instrument of the release's currency may be opened or closed, not by a pending order
either (ftmo.com FAQ, news). `not_near_news` in domain/risk.py refuses what would enter then; what waits to enter is
cancelled here when the window begins; what executes all the same is recorded by `watch_news` in domain/account.py.
"""

from typing import Any

import numpy as np

from domain.journal import MOVED
from domain.kernel import kernel
from domain.orders import CANCELED, NEWS_NEAR, is_done, is_exit, move, sweep
from domain.rules import NO_NEWS

RELEASE = np.dtype([("time", "<i8"), ("currency", "<i8"), ("impact", "<i8")])  # ascending by time

NEWS_WINDOW_NS = 120 * 1_000_000_000
HIGH_IMPACT = 3


@kernel
def news_gap(releases: Any, now: int, base: int, quote: int, impact: int, before: int, after: int) -> int:
    """Signed ns to the nearest release of either currency and at least `impact`, of those at most `before` ahead or
    `after` behind: above 0 ahead, below 0 behind; NO_NEWS when there is none."""
    gap = NO_NEWS
    for index in range(_first_from(releases, now - after), len(releases)):
        release = releases[index]
        distance = release.time - now
        if distance > before:
            break
        relevant = release.impact >= impact and (release.currency in (base, quote))
        if relevant and (gap == NO_NEWS or abs(distance) < abs(gap)):
            gap = distance
    return int(gap)


@kernel
def _first_from(releases: Any, time: int) -> int:
    """The index of the first release at or after a time."""
    low, high = 0, len(releases)
    while low < high:
        middle = (low + high) // 2
        if releases[middle].time < time:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def blackout_gap(releases: Any, now: int, base: int, quote: int) -> int:
    """Signed ns to the nearest release in whose blackout an instrument of these currencies is; NO_NEWS: in none."""
    return int(news_gap(releases, now, base, quote, HIGH_IMPACT, NEWS_WINDOW_NS, NEWS_WINDOW_NS))


@kernel
def watch_blackouts(book: Any) -> None:
    """Cancel what waits to enter a market that is in a blackout by now, and say when the next one begins.

    Exits stay, and so does what was let through because it only reduces a position: they protect.
    """
    desk, releases = book.desk[0], book.releases
    desk.next_blackout = 0
    if book.policy[0].no_news_trading == 0:
        return
    for index in range(_first_from(releases, desk.now - NEWS_WINDOW_NS), len(releases)):
        release = releases[index]
        if release.impact < HIGH_IMPACT:
            continue
        if release.time - NEWS_WINDOW_NS > desk.now:
            desk.next_blackout = release.time - NEWS_WINDOW_NS
            break
        _cancel_entries_near(book, index)
    sweep(book)


@kernel
def _cancel_entries_near(book: Any, index: int) -> None:
    currency = book.releases[index].currency
    for place in range(book.desk[0].orders):
        order = book.orders[place]
        market = book.markets[order.instrument]
        if currency not in (market.base, market.quote) or is_exit(order) or order.reduces != 0 or is_done(order):
            continue
        move(book, order, CANCELED, NEWS_NEAR)
        book.journal.moves[book.journal.rows[MOVED] - 1].release = index + 1
