"""The objectives of a challenge: profit target, trading days, best day; all of them met is said once.

Source: ftmo.com/en/trading-objectives. What an account may lose stands in domain/account.py.
"""

from typing import Any

from domain.journal import MARKED, REACHED, enter, take_row
from domain.kernel import kernel
from domain.money import PPM, muldiv, plus
from domain.rules import NO_LIMIT
from domain.sizing import share

OUTCOMES = ("open", "reached", "failed")  # places: account.outcome
OPEN, ALL_REACHED, FAILED = range(3)


@kernel
def reaches_target(account: Any, policy: Any) -> bool:
    """A target counts closed balance with no open position."""
    if policy.profit_target_ppm == NO_LIMIT or account.open_positions != 0:
        return False
    return bool(account.balance - account.initial >= share(account.initial, policy.profit_target_ppm))


@kernel
def keeps_best_day(account: Any, policy: Any) -> bool:
    """The best day, the one that runs among them, won no more than its share of what all winning days won."""
    if policy.best_day_max_ppm == NO_LIMIT:
        return True
    today = max(account.balance - account.day_balance, 0)
    best, won = max(account.best_day, today), plus(account.won_days, today)
    return bool(best <= muldiv(won, policy.best_day_max_ppm, PPM))


@kernel
def judge_objectives(book: Any, fill_number: int, correlation: int) -> None:
    """Called behind a fill that closed a position, which alone can meet the last objective.

    A limit of loss that was passed has failed them, whatever is won later. Another policy begins afresh, but its profit
    counts from the account's initial balance: FTMO opens a new account for each phase, so does a new desk.
    """
    account, policy = book.account[0], book.policy[0]
    if account.outcome != OPEN or account.trading_days < policy.trading_days_min:
        return
    if not (reaches_target(account, policy) and keeps_best_day(account, policy)):
        return
    account.outcome = ALL_REACHED
    row = take_row(book.journal, MARKED)
    mark = book.journal.marks[row]
    mark.balance, mark.best_day = account.balance, max(account.best_day, account.balance - account.day_balance)
    mark.profit_target = share(account.initial, policy.profit_target_ppm)
    mark.trading_days, mark.trading_days_min = account.trading_days, policy.trading_days_min
    enter(book, REACHED, row, fill_number, correlation)
