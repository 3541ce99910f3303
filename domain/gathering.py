"""Gathering the facts of one trade: everything that a rule may know, in one FACTS record, before the first is asked."""

from typing import Any

import numpy as np

from domain.account import equity_of, room
from domain.calendar import blackout_gap, news_gap
from domain.instruments import NANOS
from domain.kernel import kernel
from domain.market import ATR_BARS, convert, rate_is_known
from domain.money import PPM, muldiv, plus
from domain.orders import ENTRY, REQUEST, STOP_EXIT, leaves
from domain.performance import summary
from domain.rules import NO_NEWS, TOO_MUCH

_UNIT_LOT = 1_000 * NANOS  # facts.unit_* are of a thousand units


@kernel
def gather(book: Any, number: int, performance: Any) -> None:
    """Everything a rule may know about a trade in this instrument now."""
    facts, desk, account, policy = book.facts[0], book.desk[0], book.account[0], book.policy[0]
    market, held = book.markets[number], book.positions[number].quantity
    facts.quote_age_ns = desk.now - market.time if market.ordinal > 0 else -1
    facts.pip, facts.point, facts.trend = market.pip, market.point, market.trend
    facts.atr = np.int64(market.atr) if market.atr_bars >= ATR_BARS else 0
    facts.sessions_open, facts.always_open = desk.sessions_open, market.always_open
    facts.calendar_entries = len(book.releases)
    facts.news_gap_ns = NO_NEWS
    if policy.news_impact_min > 0:
        facts.news_gap_ns = news_gap(
            book.releases, desk.now, market.base, market.quote,
            policy.news_impact_min, policy.news_before_ns, policy.news_after_ns,
        )  # fmt: skip
    facts.blackout_gap_ns = NO_NEWS
    if policy.no_news_trading != 0:
        facts.blackout_gap_ns = blackout_gap(book.releases, desk.now, market.base, market.quote)
    trades, wins, won, lost, deepest = summary(performance)
    facts.signals_this_minute = performance.signals
    facts.shadow_trades, facts.shadow_wins = trades, wins
    facts.shadow_won_milli_r, facts.shadow_lost_milli_r, facts.shadow_drawdown_milli_r = won, lost, deepest
    equity = equity_of(account)
    facts.halted, facts.balance, facts.equity = desk.halted, account.balance, equity
    facts.peak, facts.day_balance = account.peak, account.day_balance
    facts.day_lost = max(0, account.day_balance - equity)
    facts.daily_room, facts.total_room = room(account, account.daily_limit), room(account, account.total_limit)
    facts.held, facts.margin_free = held, equity - account.margin
    facts.sized.equity, facts.sized.spread = equity, market.ask - market.bid
    _gather_orders(book, number)
    _gather_positions(book, number)
    _gather_costs(book, number)


@kernel
def leave_money_out(facts: Any) -> None:
    """What is left of the facts when their money does not fit 64 bits: a trade that `rate_is_known` refuses."""
    facts.unit_value, facts.unit_loss, facts.open_risk, facts.margin_free = TOO_MUCH, 0, 0, 0
    facts.base_exposure, facts.quote_exposure, facts.quantity = 0, 0, 0
    sized = facts.sized
    sized.distance, sized.slippage, sized.commission = 0, 0, 0


@kernel
def _gather_orders(book: Any, number: int) -> None:
    """Working orders: how many, what entries risk, reserve and expose as if they were filled, and what open positions
    lose from here to their stops."""
    facts, desk = book.facts[0], book.desk[0]
    facts.base_exposure, facts.quote_exposure = 0, 0
    working, entering, risk, entered, reserved, pending = 0, 0, 0, 0, 0, 0
    for index in range(desk.orders):
        order = book.orders[index]
        working += 1
        market = book.markets[order.instrument]
        if order.purpose in (ENTRY, REQUEST):
            risk = plus(risk, order.risk)
            entering += 1 if order.instrument == number else 0
            entered += 1 if book.positions[order.instrument].quantity == 0 and not _is_entered(book, index) else 0
            if order.reduces == 0 and rate_is_known(book.markets, order.instrument):
                price = max(order.limit, order.trigger, market.ask)
                value = convert(book.markets, order.instrument, muldiv(leaves(order), price, NANOS))
                reserved = plus(reserved, muldiv(value, market.margin_ppm, PPM))
                pending = plus(pending, order.side * leaves(order) if order.instrument == number else 0)
                _expose(facts, market, book.markets[number], order.side * value)
        elif order.purpose == STOP_EXIT and rate_is_known(book.markets, order.instrument):
            price = market.bid if order.side < 0 else market.ask
            loss = muldiv(leaves(order), max(0, order.side * (order.trigger - price)), NANOS)
            risk = plus(risk, convert(book.markets, order.instrument, loss))
    facts.orders, facts.entering, facts.open_risk, facts.positions = working, entering, risk, entered
    facts.margin_free = plus(facts.margin_free, -reserved)
    facts.pending = pending


@kernel
def _is_entered(book: Any, before: int) -> bool:
    """Does an earlier working entry order have the same instrument?"""
    for index in range(before):
        order = book.orders[index]
        if order.purpose in (ENTRY, REQUEST) and order.instrument == book.orders[before].instrument:
            return True
    return False


@kernel
def _gather_positions(book: Any, number: int) -> None:
    """What is held: net value of both currencies, how many instruments are in a trade, and the commission that closing
    costs: it belongs to the open risk, so that the room for a new trade holds although equity does not count it yet."""
    facts, market = book.facts[0], book.markets[number]
    for other in range(1, len(book.positions)):
        position = book.positions[other]
        if position.quantity != 0:
            facts.positions += 1
            _expose(facts, book.markets[other], market, convert(book.markets, other, position.cost))
            facts.open_risk += _exit_fee(book, other)


@kernel
def _exit_fee(book: Any, number: int) -> int:
    """Commission of closing a position at once, account money, up and never down."""
    position, market = book.positions[number], book.markets[number]
    price = max(market.bid, market.ask)
    value = convert(book.markets, number, muldiv(abs(position.quantity), price, NANOS))
    return int(muldiv(value, market.taker_ppm, PPM) + 1) if market.taker_ppm > 0 else 0


@kernel
def _expose(facts: Any, its: Any, market: Any, value: int) -> None:
    """Add what a value in one instrument means for both currencies of the trade's own."""
    base = value * ((1 if its.base == market.base else 0) - (1 if its.quote == market.base else 0))
    quote = value * ((1 if its.base == market.quote else 0) - (1 if its.quote == market.quote else 0))
    facts.base_exposure = plus(facts.base_exposure, base)
    facts.quote_exposure = plus(facts.quote_exposure, quote)


@kernel
def _gather_costs(book: Any, number: int) -> None:
    """What a thousand units are worth, and what they lose at the stop: distance, slippage and both commissions."""
    facts, policy, market = book.facts[0], book.policy[0], book.markets[number]
    facts.lot_step, facts.lot_min, facts.lot_max = market.lot_step, market.lot_min, market.lot_max
    facts.margin_ppm, facts.unit_value, facts.unit_loss = market.margin_ppm, 0, 0
    sized = facts.sized
    sized.distance, sized.slippage, sized.commission = 0, 0, 0
    if not rate_is_known(book.markets, number) or market.ordinal == 0:
        return
    value = convert(book.markets, number, muldiv(facts.entry, _UNIT_LOT, NANOS))
    facts.unit_value = value
    distance = facts.side * (facts.entry - facts.stop)
    if facts.stop <= 0 or distance <= 0:
        return
    slippage = 2 * policy.slippage_thousandths * market.point // 1000
    loss = convert(book.markets, number, muldiv(distance + slippage, _UNIT_LOT, NANOS))
    commission = muldiv(value, 2 * market.taker_ppm, PPM)
    sized.distance, sized.slippage, sized.commission = distance, slippage, commission
    facts.unit_loss = plus(loss, commission + 1)  # up, never down
