"""Instrument: what a symbol means in prices. Pips, points and spreads are data, never a guess from the digits.

All prices of the desk are int64 nanos (1e-9 of the quote unit), so 1.20108 is 1_201_080_000.
A point is 10^-digits. A pip is a convention: FX 0.0001, of JPY, HUF and THB quotes 0.01, whatever the digits; brokers
differ for metals, so the table below is the desk's own and explicit (gold 0.1, ten points of a two-digit price).
"""

from decimal import Decimal
from string import ascii_uppercase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput, UnknownInstrument

NANOS = 1_000_000_000

Market = Literal["fx", "metal", "energy", "index", "future", "crypto"]


class Instrument(BaseModel):
    """One tradable symbol. `*_nanos` are price differences in 1e-9 of the quote currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str = Field(min_length=1, max_length=32)
    market: Market
    base: str
    quote: str
    digits: int = Field(ge=0, le=9, description="decimals of a quoted price; one point is 10^-digits")
    pip_nanos: int = Field(gt=0)
    spread_nanos: int = Field(ge=0, description="declared typical spread, used when a file has one price a bar or tick")
    contract_size: int = Field(gt=0, description="units of base in one lot")
    lot_step_nanos: int = Field(10_000_000, gt=0, description="of a lot; sizes are whole multiples of it")
    lot_min_nanos: int = Field(10_000_000, gt=0)
    lot_max_nanos: int = Field(100_000_000_000, gt=0, description="the largest size an order may have")
    margin_ppm: int = Field(33_333, gt=0, le=1_000_000, description="of a position's value that must be covered")

    @property
    def point_nanos(self) -> int:
        """The smallest quoted price step."""
        return int(10 ** (9 - self.digits))

    def nanos(self, name: str, pips: Decimal) -> int:
        """The price difference of so many pips. Raises InvalidInput, naming the parameter, unless it is exact."""
        value = pips * self.pip_nanos
        if value != int(value):
            raise InvalidInput(
                f"{name} = {pips}: {pips} pips of {self.symbol} are {value} nanos, not a whole number; "
                f"use a multiple of {Decimal(1) / self.pip_nanos:f}"
            )
        return int(value)


def _fx(pair: str, spread_pips: str) -> Instrument:
    base, quote = pair[:3], pair[3:]
    digits, pip = (3, "0.01") if quote in _QUOTED_IN_HUNDREDTHS else (5, "0.0001")
    return _instrument(pair, "fx", base, quote, digits, pip, str(Decimal(spread_pips) * Decimal(pip)), 100_000)


def _instrument(
    symbol: str, market: Market, base: str, quote: str, digits: int, pip: str, spread: str, contract: int
) -> Instrument:
    return Instrument(
        symbol=symbol, market=market, base=base, quote=quote, digits=digits, pip_nanos=int(Decimal(pip) * NANOS),
        spread_nanos=int(Decimal(spread) * NANOS), contract_size=contract,
        **(_CRYPTO_LOTS if market == "crypto" else {}),
    )  # fmt: skip


# A lot of crypto is one coin: it trades in small parts, in large numbers, and with little leverage.
_CRYPTO_LOTS = {
    "lot_step_nanos": 10_000,
    "lot_min_nanos": 10_000,
    "lot_max_nanos": 1_000_000_000_000,
    "margin_ppm": 500_000,
}

CURRENCIES = frozenset(
    "AUD CAD CHF CNH CZK DKK EUR GBP HKD HUF ILS JPY MXN NOK NZD PLN RON SEK SGD THB TRY USD ZAR".split()
)
_QUOTED_IN_HUNDREDTHS = frozenset(("JPY", "HUF", "THB"))

TABLE: dict[str, Instrument] = {
    i.symbol: i
    for i in (
        *(_fx(pair, pips) for pair, pips in (
            ("EURUSD", "0.6"), ("GBPUSD", "0.9"), ("USDJPY", "0.7"), ("USDCHF", "1.0"), ("USDCAD", "1.0"),
            ("AUDUSD", "0.8"), ("NZDUSD", "1.2"), ("EURGBP", "0.9"), ("EURJPY", "1.1"), ("GBPJPY", "1.8"),
            ("EURCHF", "1.3"), ("AUDJPY", "1.3"), ("EURHUF", "20"), ("USDHUF", "20"),
        )),
        # symbol, market, base, quote, digits, pip, spread, units in a lot
        _instrument("XAUUSD", "metal", "XAU", "USD", 2, "0.1", "0.30", 100),
        _instrument("XAGUSD", "metal", "XAG", "USD", 3, "0.01", "0.03", 5_000),
        _instrument("WTIUSD", "energy", "WTI", "USD", 2, "0.01", "0.03", 1_000),
        _instrument("BCOUSD", "energy", "BCO", "USD", 2, "0.01", "0.03", 1_000),
        _instrument("US30", "index", "US30", "USD", 1, "1.0", "2.0", 1),
        _instrument("US500", "index", "US500", "USD", 1, "1.0", "0.5", 1),
        _instrument("NAS100", "index", "NAS100", "USD", 1, "1.0", "1.5", 1),
        _instrument("GER40", "index", "GER40", "EUR", 1, "1.0", "1.5", 1),
        _instrument("EUSTX50", "index", "EUSTX50", "EUR", 1, "1.0", "1.5", 1),
        _instrument("6E", "future", "EUR", "USD", 5, "0.0001", "0.00005", 125_000),
        _instrument("GC", "future", "XAU", "USD", 1, "0.1", "0.1", 100),
        _instrument("BTCUSDT", "crypto", "BTC", "USDT", 2, "1.0", "0.01", 1),
        _instrument("BTCUSD", "crypto", "BTC", "USD", 1, "1.0", "0.1", 1),
        _instrument("ETHUSDT", "crypto", "ETH", "USDT", 2, "0.1", "0.01", 1),
        _instrument("XRPETH", "crypto", "XRP", "ETH", 8, "0.0000001", "0.00000002", 1),
    )
}  # fmt: skip

_MARKS = (".", "#", "_", "-")  # between a symbol and a broker's suffix, or between base and quote
# Suffixes that name an account type of the same instrument. Others (PERP, a contract month) name another instrument.
_SUFFIXES = frozenset(["", *ascii_uppercase, *"CASH CENT ECN LIVE MICRO MINI PRO RAW SPOT STD STP".split()])
_DEFAULT_FX_SPREAD_PIPS = "2.0"


def canonical_symbol(symbol: str) -> str:
    """Upper case, no separator, no broker suffix: `EURUSD.m`, `eur/usd`, `EURUSD#`, `EURUSD_i` are all EURUSD."""
    name = symbol.strip().upper().replace("/", "", 1) if symbol.isascii() else symbol
    if _is_known(name):
        return name
    for mark in _MARKS:
        head, _, tail = name.partition(mark)
        if _is_known(head + tail):
            return head + tail
        if _is_known(head) and tail in _SUFFIXES:
            return head
    return name


def _is_known(name: str) -> bool:
    return name in TABLE or _is_fx(name)


def _is_fx(name: str) -> bool:
    return len(name) == 6 and name[:3] in CURRENCIES and name[3:] in CURRENCIES and name[:3] != name[3:]


def instrument_for(symbol: str) -> Instrument:
    """The definition of a symbol: the table, or the rule of its market (FX pair of known currencies).

    Raises UnknownInstrument: a pip is never guessed.
    """
    name = canonical_symbol(symbol)
    if name in TABLE:
        return TABLE[name]
    if _is_fx(name):
        return _fx(name, _DEFAULT_FX_SPREAD_PIPS)
    shown = symbol if len(symbol) <= 40 else f"{symbol[:40]}..."
    raise UnknownInstrument(
        f"symbol {shown!r} is not in the table of instruments and not a pair of known currencies. "
        f"Add a line to domain/instruments.py, or use one of {', '.join(sorted(TABLE))}."
    )
