"""What in a change widens risk, so that the decision gate knows what needs a signature.

Every function answers with a list of Widening; an empty one needs no signature. What is not certainly tighter widens.

| change     | tightens                                                                   |
|------------|----------------------------------------------------------------------------|
| a policy   | a field that moves the way POLICY_WIDENS does not name                     |
| a strategy | deactivated, fewer symbols, a parameter moved the way its model says       |
| an order   | its value, and with a stop also what it may lose, are within the two limits |

Paper results are evidence for people, so what flatters them widens too: any other fee, and a paper market that fills
sooner, nearer, more, or at a touch.
"""

from typing import NamedTuple

from domain.directions import (
    Line,
    Widening,
    along,
    any_added,
    any_added_or_empty,
    at,
    changed,
    count,
    larger,
    larger_or_zero,
    never,
    on_off,
    smaller,
    widened,
)
from domain.engine import prepare
from domain.governance_policy import GovernancePolicy
from domain.instructions import OrderRequested, StrategyActivated
from domain.instruments import NANOS
from domain.money import PPM
from domain.policy import Policy
from domain.signals.handler import Parameters
from domain.wording import duration, money, percent, pips, thousandths, units

_FLATTERS = "paper results look better than they would be"
_OTHER_FEES = "a lower fee flatters paper results, and results under other fees do not compare"
_REFITTED = "a larger one risks more, and a smaller one may pass limits that refused it"


def _sessions(names: list[str]) -> str:
    return ", ".join(names) or "any time"


def _impact(impact: int) -> str:
    return f"impact {impact} and heavier" if impact else "no impact at all"


def _fees(fees: dict[str, dict[str, int]]) -> str:
    named = (f"{name} {percent(fee['taker_ppm'])} / {percent(fee['maker_ppm'])}" for name, fee in sorted(fees.items()))
    return ", ".join(named) or "none"


def _other_fees(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> bool:
    """A market that is not named pays nothing."""
    return any(
        before.get(name, {}).get(side, 0) != after.get(name, {}).get(side, 0)
        for name in before | after
        for side in ("taker_ppm", "maker_ppm")
    )


# Every field of Policy. A value that widens nothing by itself, but is no tighter either, is `changed`.
POLICY_WIDENS: dict[str, Line] = {
    "name": Line(changed, "name", str, "objectives begin afresh under another name"),
    "version": Line(never, "version", count),
    # when a signal is worth a trade
    "strategic.sessions": Line(any_added_or_empty, "sessions to trade in", _sessions),
    "strategic.with_trend": Line(smaller, "refusal of trades against the H1 trend", on_off),
    "strategic.atr_pips_min_thousandths": Line(smaller, "smallest M1 ATR", pips),
    "strategic.atr_pips_max_thousandths": Line(larger, "largest M1 ATR", pips),
    "strategic.news_impact_min": Line(larger_or_zero, "news that stops trading", _impact),
    "strategic.news_before_ns": Line(smaller, "pause before news", duration),
    "strategic.news_after_ns": Line(smaller, "pause after news", duration),
    "strategic.confidence_min_ppm": Line(smaller, "least confidence of a signal", percent),
    "strategic.bar_age_max_ns": Line(larger, "largest age of a signal's bar", duration),
    "strategic.performance_floor": Line(along("forbid", "lower", "observe"), "what a weak strategy gets", str),
    "strategic.performance_trades_min": Line(larger, "shadow results before a strategy is judged", count),
    "strategic.win_rate_target_ppm": Line(smaller, "win rate below which a strategy is weak", percent),
    "strategic.shadow_drawdown_max_thousandths": Line(larger, "drawdown in R above which it is weak", thousandths),
    "strategic.performance_size_ppm": Line(larger, "size that a weak strategy keeps", percent),
    # how much
    "sizing.method": Line(
        changed, "method of sizing", str, "fixed sizes know no stop, and fractional ones no quantity"
    ),
    "sizing.fixed_quantity_nanos": Line(changed, "fixed size in units", units, _REFITTED),
    "sizing.risk_ppm": Line(larger, "risk a trade is sized for, of equity", percent),
    "sizing.kelly_ppm": Line(larger_or_zero, "share of the Kelly fraction (0 %: not used)", percent),
    "sizing.kelly_trades_min": Line(larger, "shadow results before Kelly is used", count),
    "sizing.by_confidence": Line(smaller, "smaller sizes for less confidence", on_off),
    "sizing.by_drawdown": Line(smaller, "smaller sizes in a drawdown", on_off),
    "sizing.target_ratio_min_thousandths": Line(
        changed, "least distance of a target, in stops", thousandths, "it moves the exits of trades"
    ),
    # what must hold for the sized order
    "risk.risk_per_trade_max_ppm": Line(larger, "largest risk of a trade, of equity", percent),
    "risk.daily_risk_max_ppm": Line(larger, "largest loss and risk of a day, of its opening balance", percent),
    "risk.positions_max": Line(larger, "instruments in the market at once", count),
    "risk.orders_max": Line(larger, "working orders at once", count),
    "risk.symbol_exposure_max_ppm": Line(larger, "largest exposure in an instrument, of equity", percent),
    "risk.currency_exposure_max_ppm": Line(larger, "largest exposure in a currency, of equity", percent),
    "risk.signals_per_minute_max": Line(larger, "signals of a strategy in a minute", count),
    "risk.stale_after_ns": Line(larger, "largest age of a price", duration),
    "risk.on_opposite": Line(along("refuse", "reverse"), "what a signal against a position does", str),
    # the account
    "limits.daily_loss_ppm": Line(larger, "largest loss of a day, of the initial balance", percent),
    "limits.max_loss_ppm": Line(larger, "largest loss of the account, of the initial balance", percent),
    "limits.max_loss_kind": Line(along("trailing", "trailing_locked", "static"), "kind of the largest loss", str),
    "limits.profit_target_ppm": Line(changed, "profit target", percent, "it is what results are judged by"),
    "limits.trading_days_min": Line(smaller, "least trading days", count),
    "limits.best_day_max_ppm": Line(larger, "largest share of one day in all profit", percent),
    "limits.no_news_trading": Line(smaller, "no trading around heavy news", on_off),
    "limits.flat_before_weekend": Line(smaller, "flat before the weekend", on_off),
    # how the paper market fills
    "market.latency_ns": Line(smaller, "latency", duration, _FLATTERS),
    "market.latency_jitter_ns": Line(smaller, "latency that is drawn", duration, _FLATTERS),
    "market.slippage_thousandths": Line(smaller, "slippage in points", thousandths, _FLATTERS),
    "market.depth": Line(along("displayed", "unlimited"), "depth of the market", str, _FLATTERS),
    "market.levels_max": Line(larger, "price levels that an order takes", count, _FLATTERS),
    "market.limit_fill": Line(along("through", "touch"), "what fills a limit", str, _FLATTERS),
    "fees": Line(_other_fees, "commission of a taker / a maker", _fees, _OTHER_FEES),
}

# What makes a size smaller without being a limit of it.
_SCALES = (
    *(field for field in POLICY_WIDENS if field.startswith("sizing.")),
    "strategic.performance_floor", "strategic.performance_trades_min", "strategic.win_rate_target_ppm",
    "strategic.shadow_drawdown_max_thousandths", "strategic.performance_size_ppm",
)  # fmt: skip


def policy_widens(before: Policy | None, after: Policy) -> list[Widening]:
    """What needs a signature when this policy takes that one's place; the first one always does."""
    if before is None:
        named = f"{after.name}@{after.version}"
        return [Widening("policy", None, named, f"{named} is the first policy: nothing was traded before it")]
    found = widened(POLICY_WIDENS, before, after)
    return found + _let_through(before, after, {widening.field for widening in found})


def _let_through(before: Policy, after: Policy, named: set[str]) -> list[Widening]:
    """Where full sizes risk more than a trade may, each is refused: what makes them smaller lets trades through."""
    aimed, most = before.sizing.risk_ppm, before.risk.risk_per_trade_max_ppm
    if before.sizing.method == "fixed" or most is None or aimed <= most:
        return []
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    why = (
        f"trades are sized for a risk of {percent(aimed)} and refused above {percent(most)}: "
        "a smaller size lets them through"
    )
    return [
        Widening(field, at(old, field), at(new, field), f"{POLICY_WIDENS[field].what} changes while {why}")
        for field in _SCALES
        if field not in named and at(old, field) != at(new, field)
    ]


def strategy_widens(
    before: StrategyActivated | None, after: StrategyActivated | None, policy: Policy | None
) -> list[Widening]:
    """What needs a signature when a strategy is activated in place of its active version (None: it is not active), or
    deactivated (after is None). `policy` is the active one; without one the strictest is taken for granted.

    Raises UnknownStrategy, InvalidInput for parameters that no activation could have.
    """
    if after is None:
        return []
    new = f"{after.strategy} v{after.version}"
    _, parameters, fingerprint = prepare(after.strategy, after.version, after.parameters)
    if before is None:
        return [Widening("strategy", None, new, f"{new} starts to trade {', '.join(after.symbols)}")]
    old = f"{before.strategy} v{before.version}"
    if old != new:
        return [Widening("strategy", old, new, f"{new} takes the place of {old}: its signals are other ones")]
    _, known, known_fingerprint = prepare(before.strategy, before.version, before.parameters)
    found = _parameters_widen(known, parameters)
    if known_fingerprint != fingerprint and (policy is None or _judges_by_results(policy)):
        why = (
            "other parameters begin their shadow results afresh: until enough are there, a weak strategy has full size"
        )
        found.append(Widening("parameters", known_fingerprint, fingerprint, why))
    if any_added(before.symbols, after.symbols):
        added = ", ".join(symbol for symbol in after.symbols if symbol not in before.symbols)
        found.append(Widening("symbols", list(before.symbols), list(after.symbols), f"{added} is traded too"))
    return found


def _judges_by_results(policy: Policy) -> bool:
    return policy.strategic.performance_floor != "observe" or policy.sizing.kelly_ppm > 0


def _parameters_widen(before: Parameters, after: Parameters) -> list[Widening]:
    """Both are of one model; only a direction that the model is certain of tightens."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    found = []
    for name, field in type(after).model_fields.items():
        was, is_now = getattr(before, name), getattr(after, name)
        declared = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        tightens = declared.get("tightens")
        if was == is_now or (tightens == "up" and is_now > was) or (tightens == "down" and is_now < was):
            continue
        why = "that is the wider way" if tightens else "nobody knows that this is tighter"
        sentence = f"{name}: {new[name]} instead of {old[name]}; {why}"
        found.append(Widening(f"parameters.{name}", old[name], new[name], sentence))
    return found


class OrderFacts(NamedTuple):
    """What an order is judged by when it is asked for; None is not known.

    `price_nanos`: what the market asks or bids for a unit; `rate_nanos`: account money for one of the quote currency;
    `equity_nanos`: of the account.
    """

    price_nanos: int | None
    rate_nanos: int | None
    equity_nanos: int | None


def order_widens(order: OrderRequested, limits: GovernancePolicy, facts: OrderFacts) -> list[Widening]:
    """What needs a signature in an order that an agent asks for: its value, and with a stop also what it loses there.

    Reaching a limit is within it. The price is the highest that the order names or the market has, so a limit far away
    makes no order look small; amounts are rounded up. The sentences name the limits alone: they are signed, and what
    the order is worth moves with every tick.
    """
    largest, riskiest = limits.order_notional_max_nanos, limits.order_risk_max_ppm
    if largest is None and riskiest is None:
        return []
    if not _known(facts.price_nanos) or not _known(facts.rate_nanos):
        return [Widening("order", None, order.symbol, f"what {order.symbol} is worth in account money is not known")]
    price, rate, found = int(facts.price_nanos or 0), int(facts.rate_nanos or 0), []
    value = _account_money(order.quantity_nanos, max(price, order.limit_nanos, order.trigger_nanos), rate)
    if largest is not None and value > largest:
        sentence = f"the order is worth more than {money(largest)}, the most that needs no signature"
        found.append(Widening("order.notional", largest, value, sentence))
    if order.stop_nanos and riskiest is not None:
        found += _risk_widens(order, order.limit_nanos or order.trigger_nanos or price, rate, riskiest, facts)
    return found


def _risk_widens(order: OrderRequested, entry: int, rate: int, riskiest: int, facts: OrderFacts) -> list[Widening]:
    distance = (entry - order.stop_nanos) * (1 if order.side == "buy" else -1)
    if distance <= 0 or not _known(facts.equity_nanos):
        why = "its stop is not on the losing side" if distance <= 0 else "the account's equity is not known"
        return [Widening("order.risk", riskiest, None, f"what the order may lose is not known: {why}")]
    risk = _account_money(order.quantity_nanos, distance, rate)
    allowed = int(facts.equity_nanos or 0) * riskiest // PPM
    if risk <= allowed:
        return []
    sentence = (
        f"the order may lose more than {percent(riskiest)} of equity at its stop, the most that needs no signature"
    )
    return [Widening("order.risk", allowed, risk, sentence)]


def _known(amount: int | None) -> bool:
    return amount is not None and amount > 0


def _account_money(quantity: int, price: int, rate: int) -> int:
    """Account money of a quantity at a price, up and never down; whole numbers of Python, which never wrap."""
    return -(-int(quantity) * price * rate // (NANOS * NANOS))
