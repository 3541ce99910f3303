"""What a row must be beside readable: positive, uncrossed, ordered in itself, in time and near its neighbours."""

import numpy as np

from domain.kernel import kernel
from gateways.feeds.fields import (
    BAD_NUMBER,
    BAD_TIME,
    EMPTY,
    GOOD,
    I8,
    NEGATIVE_SIZE,
    OTHER_UNIT,
    TOO_LARGE,
    TOO_MANY_DECIMALS,
    U1,
    WRONG_FIELDS,
)

NOT_POSITIVE, CROSSED, HIGH_BELOW_LOW, OUTSIDE_RANGE, OFF_SCALE = 20, 21, 22, 23, 24
TIME_BACK, TIME_AHEAD, UNMATCHED, NO_QUOTE_YET, NOT_A_MINUTE = 25, 26, 27, 28, 29

REASONS = {
    WRONG_FIELDS: "wrong number of fields",
    EMPTY: "{field}: empty",
    BAD_NUMBER: "{field}: not a decimal number",
    TOO_MANY_DECIMALS: "{field}: more than 9 decimals",
    TOO_LARGE: "{field}: too large",
    BAD_TIME: "{field}: not a time of this format",
    NEGATIVE_SIZE: "{field}: negative size",
    OTHER_UNIT: "{field}: an epoch of another unit (s, ms, us, ns) than the file's first rows",
    NOT_POSITIVE: "zero or negative price",
    CROSSED: "bid above ask",
    HIGH_BELOW_LOW: "high below low",
    OUTSIDE_RANGE: "open or close outside high and low",
    OFF_SCALE: "price off by a factor of 100 or more from its neighbours",
    TIME_BACK: "time goes back (or a bar's time repeats)",
    TIME_AHEAD: "time ahead of the rows behind it",
    UNMATCHED: "no bar of this time on the other side",
    NO_QUOTE_YET: "no bid or no ask known yet",
    NOT_A_MINUTE: "a bar does not start on a minute",
}

SCALE_FACTOR = 100  # no market moves this far between two rows; the usual corruption is a factor of 1000
_GROUPS = 16  # int64 nanos have room for ten prices that are all a factor of 100 apart


@kernel
def _judge_alone(time: I8, bid: I8, ask: I8, bars: bool, code: U1) -> None:
    for r in range(len(time)):
        if code[r] != GOOD:
            continue
        for p in range(len(bid)):
            if bid[p, r] <= 0 or ask[p, r] <= 0:
                code[r] = NOT_POSITIVE
        if code[r] == GOOD and bars:
            for side in (bid, ask):
                o, h, low, c = side[0, r], side[1, r], side[2, r], side[3, r]
                if h < low:
                    code[r] = HIGH_BELOW_LOW
                elif o > h or o < low or c > h or c < low:
                    code[r] = OUTSIDE_RANGE
            if code[r] == GOOD and time[r] % 60_000_000_000 != 0:
                code[r] = NOT_A_MINUTE
        if code[r] == GOOD:
            for p in range(len(bid)):
                if bid[p, r] > ask[p, r]:
                    code[r] = CROSSED


@kernel
def _apart(low_a: int, high_a: int, low_b: int, high_b: int) -> bool:
    return high_a // SCALE_FACTOR >= low_b or high_b // SCALE_FACTOR >= low_a


@kernel
def _judge_scale(low: I8, high: I8, code: U1, group: I8, count: I8, latest: I8) -> None:
    """Each row joins the group whose latest row it is near to, the group seen last first; the largest group is right.
    So a bad first row, bad stretches and single bad rows are all told from a market that drifts far.

    `group` (a row each) is filled; `count` and `latest` (a group each) begin as zeros.
    """
    for r in range(len(code)):
        if code[r] != GOOD:
            continue
        joined = -1
        if not _apart(low[r], high[r], low[r], high[r]):
            for g in range(_GROUPS):
                if count[g] == 0:
                    if joined < 0:
                        joined = g
                    break
                k = latest[g]
                if not _apart(low[k], high[k], low[r], high[r]) and (joined < 0 or k > latest[joined]):
                    joined = g
        if joined >= 0:
            count[joined] += 1
            latest[joined] = r
        group[r] = joined
    right = np.argmax(count)
    for r in range(len(code)):
        if code[r] == GOOD and group[r] != right:
            code[r] = OFF_SCALE


@kernel
def _follows(earlier: int, later: int, bars: bool) -> bool:
    return later > earlier or (later == earlier and not bars)


@kernel
def _stands_ahead(time: I8, bars: bool, code: U1, before: int, last: int, row: int) -> bool:
    """Whether the accepted row `last` is wrong and not `row`, which lies before it: `row` fits behind `before`, the row
    accepted earlier (-1: none), and the next two later times lie before `last` as well.

    Equal times say nothing: in a stretch that comes again they lie before `last` too. At the file's end fewer times do,
    even none; but of a file's first two rows alone, the first stands.
    """
    if time[row] == time[last] or (before >= 0 and not _follows(time[before], time[row], bars)):
        return False
    latest, later, behind = time[row], 0, 0
    for k in range(row + 1, len(time)):
        if code[k] != GOOD:
            continue
        if time[k] < latest or time[k] >= time[last]:
            return False
        behind += 1
        if time[k] > latest:
            latest = time[k]
            later += 1
            if later == 2:
                return True
    return before >= 0 or behind > 0


@kernel
def _judge_time(time: I8, bars: bool, code: U1) -> None:
    """Rows are accepted in order; where one lies before the last accepted, the rows behind tell which of both is wrong.
    A row of the same time as the one refused just before has the same rows behind: so each is looked at a few times."""
    before, last, refused = -1, -1, -1
    for r in range(len(time)):
        if code[r] != GOOD:
            continue
        if last < 0 or _follows(time[last], time[r], bars):
            before, last = last, r
        elif (refused < 0 or time[r] != time[refused]) and _stands_ahead(time, bars, code, before, last, r):
            code[last] = TIME_AHEAD
            last, refused = r, -1
        else:
            code[r] = TIME_BACK
            refused = r


def judge(time: I8, bid: I8, ask: I8, bars: bool, code: U1) -> None:
    """Mark in `code` every row that is not acceptable. `bid` and `ask` are [1, n] of ticks, [4, n] (OHLC) of bars."""
    _judge_alone(time, np.ascontiguousarray(bid), np.ascontiguousarray(ask), bars, code)
    low, high = np.minimum(bid.min(axis=0), ask.min(axis=0)), np.maximum(bid.max(axis=0), ask.max(axis=0))
    group, count, latest = np.zeros(len(code), np.int64), np.zeros(_GROUPS, np.int64), np.zeros(_GROUPS, np.int64)
    _judge_scale(low, high, code, group, count, latest)
    _judge_time(time, bars, code)
