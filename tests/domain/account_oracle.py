"""A plain account in USD, in exact fractions: what each booking and each mark must say. Nothing of our kernels.

Every amount is rounded once to whole nanos, halves to even; a reduced position gives up its cost in proportion.
"""

from fractions import Fraction

from domain.events import OrderFilled

NANO, PPM = 10**9, 10**6
# To USD: its own money, direct, inverse through itself, inverse through another, direct through another.
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "EURJPY", "EURGBP")
PRICES = {"EURUSD": 1.1, "GBPUSD": 1.27, "USDJPY": 149.0, "EURJPY": 163.0, "EURGBP": 0.86}
VIA = {"EURUSD": None, "GBPUSD": None, "USDJPY": "USDJPY", "EURJPY": "USDJPY", "EURGBP": "GBPUSD"}


def rounded(value: Fraction | int) -> int:
    """To whole nanos, halves to even."""
    return round(value)


class Oracle:
    """An account in USD that is told of quotes and executions, and knows what each booking must say."""

    def __init__(self, initial: int) -> None:
        self.balance = self.low = self.high = initial
        self.quotes: dict[str, tuple[int, int]] = {}
        self.held = dict.fromkeys(SYMBOLS, 0)
        self.cost = dict.fromkeys(SYMBOLS, 0)
        self.margin = dict.fromkeys(SYMBOLS, 0)
        self.trade = dict.fromkeys(SYMBOLS, 0)  # net result so far of the trade that is open

    def rate(self, symbol: str) -> Fraction:
        via = VIA[symbol]
        mid = Fraction(sum(self.quotes[via]) // 2, NANO) if via else Fraction(1)
        return 1 / mid if via == "USDJPY" else mid

    def floating(self) -> int:
        total = 0
        for symbol, quantity in self.held.items():
            if quantity:
                price = self.quotes[symbol][0 if quantity > 0 else 1]
                value = rounded(Fraction(quantity * price, NANO))
                total += rounded((value - self.cost[symbol]) * self.rate(symbol))
        return total

    def observe(self) -> None:
        equity = self.balance + self.floating()
        self.low, self.high = min(self.low, equity), max(self.high, equity)

    def execute(self, fill: OrderFilled) -> dict[str, int | bool]:
        symbol, quantity, side = fill.symbol, fill.quantity_nanos, 1 if fill.side == "buy" else -1
        held, cost, rate = self.held[symbol], self.cost[symbol], self.rate(symbol)
        closing = min(quantity, abs(held)) if held * side < 0 else 0
        value = rounded(Fraction(quantity * fill.price_nanos, NANO))
        paid_back = value if closing == quantity else rounded(Fraction(closing * fill.price_nanos, NANO))
        released = rounded(Fraction(cost * closing, abs(held))) if closing else 0
        realised_quote = -side * paid_back - released if closing else 0
        realised = rounded(realised_quote * rate)
        fee = rounded(rounded(Fraction(abs(value) * fill.fee_ppm, PPM)) * rate)
        closed = closing > 0 and closing == abs(held)
        self.cost[symbol] = cost - released + side * (value - paid_back if closing else value)
        self.held[symbol] = held + side * quantity
        self.balance += realised - fee
        exit_fee = rounded(Fraction(fee * closing, quantity))
        trade = self.trade[symbol] + realised - exit_fee
        self.trade[symbol] = (0 if closed else trade) - (fee - exit_fee)
        worth = rounded(abs(self.cost[symbol]) * rate)
        self.margin[symbol] = rounded(Fraction(worth * 33_333, PPM))
        self.observe()
        floating = self.floating()
        return {
            "position_nanos": self.held[symbol], "cost_nanos": self.cost[symbol],
            "realised_quote_nanos": realised_quote, "realised_nanos": realised, "fee_nanos": fee,
            "balance_nanos": self.balance, "floating_nanos": floating, "equity_nanos": self.balance + floating,
            "margin_nanos": sum(self.margin.values()), "closed": closed, "trade_nanos": trade if closed else 0,
        }  # fmt: skip

    def mark(self) -> dict[str, int]:
        floating = self.floating()
        told = {
            "balance_nanos": self.balance, "floating_nanos": floating, "equity_nanos": self.balance + floating,
            "equity_low_nanos": self.low, "equity_high_nanos": self.high, "margin_nanos": sum(self.margin.values()),
        }  # fmt: skip
        self.low = self.high = self.balance + floating
        return told
