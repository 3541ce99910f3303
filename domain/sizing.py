"""How much a trade may be: `size` turns the money that may be lost at the stop into a quantity of whole lot steps.

    fraction = risk_ppm, or min(risk_ppm, kelly_ppm x max(0, f*)) once kelly_ppm > 0 and there are enough shadow results
    f*       = p - (1 - p) / b,  p = share of winners, b = average win / average loss    (Kelly; p .55, b 2: 0.325)
    money    = min(equity x fraction x size_ppm, room),                                  never below 0
    room     = min(daily room, total room, daily risk allowance - lost today) - open risk
    quantity = floor to lot_step of min(money / loss of a unit at the stop, exposure room / value of a unit,
               free margin / margin of a unit, lot_max - what a reversal closes first)

A quantity below lot_min becomes 0, it is never rounded up. Source: domain facts (d). size_ppm is the product of what
the policy asks for: the confidence and drawdown ladders below, and `performance_size_ppm` below the performance floor;
none is above 1, so an adjustment never lifts the risk over its limit. Method `fixed` takes `fixed_quantity_nanos`,
unadjusted; an order that was asked for keeps its own quantity, and the rules judge it.

Each step is kept in `facts.sized` (rules.SIZED) for the verdict: the fractions and multipliers, the money, which bound
was the smallest, and what lots cut off.

Products raise OverflowError when they do not fit 64 bits, sums too.
"""

from typing import Any

from domain.kernel import kernel
from domain.money import NANO, PPM, muldiv, plus
from domain.policy import FIXED, LOWER, REVERSE
from domain.rules import NO_LIMIT
from domain.strategic import below_floor

# What became of Kelly: the policy has none, too few shadow results, no edge in them, above the policy's risk, used.
KELLY = ("not_used", "too_few_trades", "no_edge", "above_risk", "used")
NOT_USED, TOO_FEW_TRADES, NO_EDGE, ABOVE_RISK, USED = range(5)

# What fixed the size before lots; of equal bounds the first in this order of asking.
BOUNDS = (
    "asked", "fixed", "no_rate", "no_stop", "largest_lot", "risk", "kelly", "daily_loss_room", "total_loss_room",
    "daily_risk_room", "symbol_exposure", "currency_exposure", "free_margin",
)  # fmt: skip
(
    ASKED, FIXED_SIZE, NO_RATE, NO_STOP, LARGEST_LOT, BY_RISK, BY_KELLY, DAILY_LOSS_ROOM, TOTAL_LOSS_ROOM,
    DAILY_RISK_ROOM, SYMBOL_EXPOSURE, CURRENCY_EXPOSURE, FREE_MARGIN,
) = range(13)  # fmt: skip

CUTS = ("none", "lot_step", "smallest_lot")  # how lots changed the size
UNCUT, TO_LOT_STEP, BELOW_SMALLEST_LOT = range(3)

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
    _begin(f, p)
    if f.quantity > 0:
        f.unfloored = f.quantity
    else:
        f.target = moved_out(f, p)
        f.unfloored = _unfloored(f, p, unit_margin)
        floored = f.unfloored - f.unfloored % f.lot_step
        f.quantity = floored if floored >= f.lot_min else 0
        f.sized.cut = UNCUT if f.quantity == f.unfloored else TO_LOT_STEP if f.quantity > 0 else BELOW_SMALLEST_LOT
    f.sized.unfloored = f.unfloored
    f.risk = worth(f.quantity, f.unit_loss)
    f.margin = worth(f.quantity, unit_margin)


@kernel
def _begin(f: Any, p: Any) -> None:
    """The evidence of a size that nothing was asked about yet."""
    sized = f.sized
    sized.fraction_ppm, sized.kelly, sized.kelly_ppm, sized.kelly_trades_min = 0, NOT_USED, 0, p.kelly_trades_min
    sized.shadow_trades, sized.shadow_drawdown_milli_r = f.shadow_trades, f.shadow_drawdown_milli_r
    sized.win_rate_ppm = f.shadow_wins * PPM // f.shadow_trades if f.shadow_trades > 0 else 0
    sized.confidence_size_ppm, sized.drawdown_size_ppm, sized.performance_size_ppm = PPM, PPM, PPM
    sized.money, sized.loss, sized.bound, sized.cut = 0, f.unit_loss, ASKED, UNCUT


@kernel
def _unfloored(f: Any, p: Any, unit_margin: int) -> int:
    sized = f.sized
    if f.unit_value <= 0:
        sized.bound = NO_RATE
        return 0
    largest = max(0, f.lot_max - against(f, p))
    if p.method == FIXED:
        sized.bound = FIXED_SIZE
        if largest < f.lot_max:
            return _narrowed(f, p.fixed_quantity_nanos, largest, LARGEST_LOT)
        return int(min(p.fixed_quantity_nanos, f.lot_max + f.lot_step))  # more is refused alike, and may not fit
    f.size_ppm = adjustment(f, p)
    if f.unit_loss <= 0:
        sized.bound = NO_STOP
        return 0
    bound = _allow(f, p)
    sized.bound, quantity = LARGEST_LOT, largest
    quantity = _narrowed(f, quantity, affordable(sized.money, f.unit_loss, largest), bound)
    exposure = exposure_room(f, p)
    if exposure != NO_LIMIT:
        bound = SYMBOL_EXPOSURE if exposure == share(f.equity, p.symbol_exposure_max_ppm) else CURRENCY_EXPOSURE
        quantity = _narrowed(f, quantity, affordable(exposure, f.unit_value, largest), bound)
    return _narrowed(f, quantity, affordable(f.margin_free, unit_margin, largest), FREE_MARGIN)


@kernel
def _allow(f: Any, p: Any) -> int:
    """Fills the money that may be lost at the stop; returns the bound that made it so small."""
    left = room(f, p)
    full = muldiv(muldiv(f.equity, fraction(f, p), PPM), f.size_ppm, PPM)
    f.sized.money = min(full, left)
    if full <= left:
        return BY_KELLY if f.sized.kelly in (USED, NO_EDGE) else BY_RISK
    if left == plus(f.daily_room, -f.open_risk):
        return DAILY_LOSS_ROOM
    return TOTAL_LOSS_ROOM if left == plus(f.total_room, -f.open_risk) else DAILY_RISK_ROOM


@kernel
def _narrowed(f: Any, quantity: int, most: int, bound: int) -> int:
    """The smaller one; the bound is named when it is the new one."""
    if most >= quantity:
        return int(quantity)
    f.sized.bound = bound
    return int(most)


@kernel
def exposure_room(f: Any, p: Any) -> int:
    """The value that a trade may add before the instrument, or one of its currencies, is exposed too much."""
    symbol, currency = share(f.equity, p.symbol_exposure_max_ppm), share(f.equity, p.currency_exposure_max_ppm)
    if currency == NO_LIMIT:
        return symbol
    return int(min(symbol, _left(currency, f.side * f.base_exposure), _left(currency, -f.side * f.quote_exposure)))


@kernel
def _left(limit: int, used: int) -> int:
    """What is left of a limit; more than fits 64 bits is no limit."""
    return NO_LIMIT if used < 0 and limit > NO_LIMIT + used else int(plus(limit, -used))


@kernel
def fraction(f: Any, p: Any) -> int:
    """The share of equity, ppm, that a trade of full size may lose."""
    sized = f.sized
    sized.fraction_ppm, sized.kelly, sized.kelly_ppm = p.risk_ppm, NOT_USED, 0
    if p.kelly_ppm == 0 or f.shadow_trades < p.kelly_trades_min:
        sized.kelly = NOT_USED if p.kelly_ppm == 0 else TOO_FEW_TRADES
        return int(p.risk_ppm)
    if f.shadow_won_milli_r <= f.shadow_lost_milli_r:
        sized.fraction_ppm, sized.kelly = 0, NO_EDGE
        return 0
    # p - (1 - p) / b is wins / trades x (won - lost) / won, which needs no loser.
    edge = muldiv(f.shadow_won_milli_r - f.shadow_lost_milli_r, PPM, f.shadow_won_milli_r)
    kelly = muldiv(edge, f.shadow_wins, f.shadow_trades)
    sized.kelly_ppm = muldiv(p.kelly_ppm, kelly, PPM)
    sized.fraction_ppm = min(p.risk_ppm, sized.kelly_ppm)
    sized.kelly = USED if sized.kelly_ppm < p.risk_ppm else ABOVE_RISK
    return int(sized.fraction_ppm)


@kernel
def adjustment(f: Any, p: Any) -> int:
    """What is left of the full size, ppm: each adjustment of what the one before left."""
    sized = f.sized
    sized.confidence_size_ppm = confidence_step(f.confidence_ppm) if p.by_confidence != 0 else PPM
    sized.drawdown_size_ppm = drawdown_step(f.peak, f.balance) if p.by_drawdown != 0 else PPM
    lowered = p.performance_floor == LOWER and below_floor(f, p)
    sized.performance_size_ppm = p.performance_size_ppm if lowered else PPM
    left = muldiv(sized.confidence_size_ppm, sized.drawdown_size_ppm, PPM)
    return int(muldiv(left, sized.performance_size_ppm, PPM))


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
    if against(f, p) > 0:
        return int(f.side * f.quantity)
    return int(plus(plus(f.held, f.pending), f.side * f.quantity))


@kernel
def against(f: Any, p: Any) -> int:
    """What a signal's reversal closes before it opens, in the same order; 0 for anything else."""
    reverses = f.own_pattern == 1 and p.on_opposite == REVERSE and f.held * f.side < 0
    return int(abs(f.held)) if reverses else 0


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
    """A limit of so many ppm of `money`, unless there is none; one that does not fit 64 bits is none."""
    if ppm == NO_LIMIT or money > NO_LIMIT // (ppm // PPM + 1):
        return NO_LIMIT
    return int(muldiv(money, ppm, PPM))
