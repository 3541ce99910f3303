"""The evidence of a verdict's size and of a fill as lines that a person reads; rows are those of ops/ledger_rows.py."""

from collections.abc import Iterator
from decimal import Decimal

from domain.wording import percent
from gateways.ledger_words import Row, money, price, span, units

FULL = 1_000_000  # ppm

_BOUNDS = {
    "asked": "it was asked for",
    "fixed": "the policy fixes it",
    "no_rate": "no rate to the account's currency is known",
    "no_stop": "there is no stop to reckon with",
    "largest_lot": "the largest lot",
    "risk": "the risk of a trade",
    "kelly": "Kelly",
    "daily_loss_room": "the room above the daily loss limit",
    "total_loss_room": "the room above the total loss limit",
    "daily_risk_room": "the daily risk that is left",
    "symbol_exposure": "the exposure that the instrument may have",
    "currency_exposure": "the exposure that a currency may have",
    "free_margin": "the free margin",
}
_CUTS = {"lot_step": ", cut to lot steps", "smallest_lot": ", which is below the smallest lot"}


def size_lines(sizing: Row) -> Iterator[str]:
    """Bound, risk with every adjustment, Kelly, the shadow results, and what the stop costs."""
    yield f"size {units(sizing['unfloored'])}: {_BOUNDS[sizing['bound']]}{_CUTS.get(sizing['cut'], '')}"
    if sizing["bound"] not in ("asked", "fixed", "no_rate", "no_stop"):
        sizes = {name: sizing[f"{name}_size_ppm"] for name in ("confidence", "drawdown", "performance")}
        adjusted = "".join(f" x {percent(left)} by {name}" for name, left in sizes.items() if left != FULL)
        yield (
            f"risk {percent(sizing['fraction_ppm'])} of equity {money(sizing['equity'])}"
            f"{adjusted or ', not adjusted'}: {money(sizing['money'])} to lose; {_kelly(sizing)}"
        )
    if sizing["shadow_trades"]:
        fall = f"{Decimal(sizing['shadow_drawdown_milli_r']) / 1000:f} R"
        trades = f"{sizing['shadow_trades']} shadow trades"
        yield f"win rate {percent(sizing['win_rate_ppm'])}, drawdown {fall} over {trades}"
    if Decimal(sizing["stop_distance"]):
        yield (
            f"stop {price(sizing['stop_distance'])} away, spread {price(sizing['spread'])}, "
            f"slippage {price(sizing['slippage'])}, commission {money(sizing['thousand_commission'])}: "
            f"1,000 units lose {money(sizing['thousand_loss'])}"
        )


def _kelly(sizing: Row) -> str:
    share = percent(sizing["kelly_ppm"])
    return {
        "not_used": "no Kelly in this policy",
        "too_few_trades": f"no Kelly before {sizing['kelly_trades_min']} shadow trades, {sizing['shadow_trades']} now",
        "no_edge": "Kelly finds no edge",
        "above_risk": f"Kelly would allow {share}",
        "used": f"Kelly allows {share}",
    }[sizing["kelly"]]


def fill_lines(fill: Row) -> Iterator[str]:
    """What the price is, how deep the market was, and the latency that was drawn."""
    market = fill["market"]
    yield f"{_basis(market, fill)}, commission {percent(fill['fee_ppm'])}"
    if market["basis"] == "limit":
        how = {"through": "once the market trades through them", "touch": "once the market touches them"}
        yield f"limits fill {how[market['limit_fill']]}"
    else:
        shown = "any size" if fill["displayed"] is None else f"{units(fill['displayed'])} displayed"
        slippage = f"{_thousandths(market['slippage_thousandths'])} points"
        yield f"level {fill['level'] + 1} of {market['levels_max']}: {shown}; slippage {slippage} on market orders"
    yield _latency(market)


def _basis(market: Row, fill: Row) -> str:
    tick = " (of a bar)" if market["from_bar"] else ""
    quote = f"bid {price(fill['bid'])}, ask {price(fill['ask'])}{tick}"
    if market["basis"] == "trigger":
        return f"at its trigger {price(market['trigger'])}, passed inside the bar; {quote}"
    if market["basis"] == "limit":
        return f"at its limit; {quote}"
    if market["trigger"] is not None:
        return f"at the quote, its trigger was {price(market['trigger'])}; {quote}"
    return f"at the quote; {quote}"


def _latency(market: Row) -> str:
    drawn = span(market["latency_drawn_ns"]) or "0 s"
    if not market["latency_jitter_ns"]:
        return f"latency {drawn}, constant"
    constant, jitter = span(market["latency_constant_ns"]) or "0 s", span(market["latency_jitter_ns"])
    return f"latency {drawn}, of {constant} and up to {jitter} drawn by a seed"


def _thousandths(value: int) -> str:
    return f"{Decimal(value).scaleb(-3).normalize():f}"
