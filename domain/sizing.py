"""How much a trade may be: `size` turns the money that may be lost at the stop into a quantity of whole lot steps.

    fraction = risk_ppm, or min(risk_ppm, kelly_ppm x max(0, f*)) once kelly_ppm > 0 and there are enough shadow results
    f*       = p - (1 - p) / b,  p = share of winners, b = average win / average loss    (Kelly; p .55, b 2: 0.325)
    money    = min(equity x fraction x size_ppm, room),                                  never below 0
    room     = min(daily room, total room, daily risk allowance - lost today) - open risk
    quantity = floor to lot_step of min(money / loss of a unit at the stop, exposure room / value of a unit,
               free margin / margin of a unit, lot_max)

A quantity below lot_min becomes 0, it is never rounded up. Source: domain facts (d). size_ppm is the product of what
the policy asks for: the confidence and drawdown ladders below, and `performance_size_ppm` below the performance floor;
none is above 1, so an adjustment never lifts the risk over its limit. Method `fixed` takes `fixed_quantity_nanos`,
unadjusted; an order that was asked for keeps its own quantity, and the rules judge it.

Products raise OverflowError when they do not fit 64 bits, sums too.
"""

from typing import Any

from domain.kernel import kernel
from domain.money import NANO, PPM, muldiv, plus
from domain.policy import FIXED, LOWER, REVERSE
from domain.rules import NO_LIMIT
from domain.strategic import below_floor

THOUSAND = 1_000 * NANO  # facts about a trade are those of 1,000 units

DRAWDOWN_LADDER = ((20_000, 1_000_000), (50_000, 800_000), (80_000, 600_000))  # up to this share of the peak: this size
DRAWDOWN_LOWEST = 400_000


@kernel
def size(f: Any, p: Any) -> None:
    """Fills size_ppm, target, unfloored, quantity, risk and margin of FACTS; a quantity above 0 was asked for.

    Raises OverflowError when what an order of fixed or asked-for size loses, or its margin, does not fit 64 bits.
    """
    unit_margin = muldiv(f.unit_value, f.margin_ppm, PPM)
    f.size_ppm = PPM
    if f.quantity > 0:
        f.unfloored = f.quantity
    else:
        f.target = moved_out(f, p)
        f.unfloored = _unfloored(f, p, unit_margin)
        floored = f.unfloored - f.unfloored % f.lot_step
        f.quantity = floored if floored >= f.lot_min else 0
    f.risk = worth(f.quantity, f.unit_loss)
    f.margin = worth(f.quantity, unit_margin)


@kernel
def _unfloored(f: Any, p: Any, unit_margin: int) -> int:
    if f.unit_value <= 0:
        return 0
    if p.method == FIXED:
        return int(min(p.fixed_quantity_nanos, f.lot_max + f.lot_step))  # more is refused alike, and may not fit
    f.size_ppm = adjustment(f, p)
    if f.unit_loss <= 0:
        return 0
    money = min(muldiv(muldiv(f.equity, fraction(f, p), PPM), f.size_ppm, PPM), room(f, p))
    by_risk = affordable(money, f.unit_loss, f.lot_max)
    exposure = exposure_room(f, p)
    by_exposure = f.lot_max if exposure == NO_LIMIT else affordable(exposure, f.unit_value, f.lot_max)
    return int(min(by_risk, by_exposure, affordable(f.margin_free, unit_margin, f.lot_max)))


@kernel
def exposure_room(f: Any, p: Any) -> int:
    """The value that a trade may add before the instrument, or one of its currencies, is exposed too much."""
    symbol, currency = share(f.equity, p.symbol_exposure_max_ppm), share(f.equity, p.currency_exposure_max_ppm)
    if currency == NO_LIMIT:
        return symbol
    return int(min(symbol, plus(currency, -f.side * f.base_exposure), plus(currency, f.side * f.quote_exposure)))


@kernel
def fraction(f: Any, p: Any) -> int:
    """The share of equity, ppm, that a trade of full size may lose."""
    if p.kelly_ppm == 0 or f.shadow_trades < p.kelly_trades_min:
        return int(p.risk_ppm)
    if f.shadow_won_milli_r <= f.shadow_lost_milli_r:
        return 0
    # p - (1 - p) / b is wins / trades x (won - lost) / won, which needs no loser.
    edge = muldiv(f.shadow_won_milli_r - f.shadow_lost_milli_r, PPM, f.shadow_won_milli_r)
    kelly = muldiv(edge, f.shadow_wins, f.shadow_trades)
    return int(min(p.risk_ppm, muldiv(p.kelly_ppm, kelly, PPM)))


@kernel
def adjustment(f: Any, p: Any) -> int:
    """What is left of the full size, ppm."""
    left = PPM
    if p.by_confidence != 0:
        left = muldiv(left, confidence_step(f.confidence_ppm), PPM)
    if p.by_drawdown != 0:
        left = muldiv(left, drawdown_step(f.peak, f.balance), PPM)
    if p.performance_floor == LOWER and below_floor(f, p):
        left = muldiv(left, p.performance_size_ppm, PPM)
    return int(left)


@kernel
def confidence_step(confidence_ppm: int) -> int:
    """The older desk's 0.4 at 0.60 to 1.5 at 0.95 in even steps of 0.05, scaled so that its top is 1; 0.4 below."""
    steps = min(max((confidence_ppm - 600_000) // 50_000, 0), 7)
    return int(PPM * (28 + 11 * steps) // 105)


@kernel
def drawdown_step(peak: int, balance: int) -> int:
    """The drawdown ladder: how much size a balance this far below its peak leaves."""
    for share_ppm, left in DRAWDOWN_LADDER:
        if plus(peak, -balance) <= muldiv(peak, share_ppm, PPM):
            return int(left)
    return DRAWDOWN_LOWEST


@kernel
def room(f: Any, p: Any) -> int:
    """The money that one more trade may lose at its stop without passing a limit of the account; may be below 0."""
    today = plus(share(f.day_balance, p.daily_risk_max_ppm), -f.day_lost)
    return int(plus(min(f.daily_room, f.total_room, today), -f.open_risk))


@kernel
def moved_out(f: Any, p: Any) -> int:
    """The target, at least target_ratio_min x the distance to the stop away, in whole points; none stays none."""
    if f.stop == 0 or f.target == 0 or p.target_ratio_min_thousandths == 0:
        return int(f.target)
    distance = muldiv(abs(f.entry - f.stop), p.target_ratio_min_thousandths, 1_000)
    distance += -distance % f.point
    if f.side > 0:
        return int(max(f.target, plus(f.entry, distance)))
    return int(min(f.target, max(f.entry - distance, f.point)))  # a price stays above 0


@kernel
def position_after(f: Any, p: Any) -> int:
    """The position this trade leads to, signed nanos of units; a reversal closes what is held against it first."""
    if f.own_pattern == 1 and p.on_opposite == REVERSE and f.held * f.side < 0:
        return int(f.side * f.quantity)
    return int(plus(plus(f.held, f.pending), f.side * f.quantity))


@kernel
def worth(quantity: int, per_thousand: int) -> int:
    """The money of a quantity (nanos of units) at so much for 1,000 units."""
    return int(muldiv(quantity, per_thousand, THOUSAND))


@kernel
def affordable(money: int, per_thousand: int, most: int) -> int:
    """The largest quantity up to `most` whose worth is not above `money`; 0 for money below 0."""
    # Below 1 a unit the worth of `most` fits 64 bits, from 1 on the quantity does, however absurd the other one is.
    if per_thousand < THOUSAND and worth(most, per_thousand) <= money:
        return most
    if money <= 0:
        return 0
    quantity = muldiv(money, THOUSAND, per_thousand)
    return int(min(most, quantity - 1 if worth(quantity, per_thousand) > money else quantity))


@kernel
def share(money: int, ppm: int) -> int:
    """A limit of so many ppm of `money`, unless there is none."""
    return NO_LIMIT if ppm == NO_LIMIT else int(muldiv(money, ppm, PPM))
