"""Which symbol and which venue a file's name speaks of."""

import re
from collections.abc import Iterable
from itertools import pairwise

from domain.errors import InvalidInput, UnknownInstrument
from domain.instruments import TABLE, canonical_symbol, instrument_for

VENUES = frozenset(
    "binarycom binance binanceus bitfinex bitstamp bybit cboe cbot cme coinbase comex deriv dukascopy fxcm gdax "
    "histdata ice kraken mexc mt5 nymex oanda okx".split()
)
_CONTRACT = re.compile(r"^(.+?)[-_ ]?((?:19|20)\d{4})$")
_FUTURE = re.compile(r"^([A-Z0-9]{1,3})[FGHJKMNQUVXZ]\d{1,2}$")  # 6EH4: the March 2024 contract of 6E


def words_in(name: str) -> list[str]:
    """A name cut at everything that is not a letter or a digit."""
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def known_symbol(word: str) -> str | None:
    """The canonical symbol a word stands for, if an instrument has it (a futures contract stands for its root)."""
    name = canonical_symbol(word)
    future = _FUTURE.match(name)
    if future and future[1] in TABLE and TABLE[future[1]].market == "future":
        return future[1]
    try:
        return instrument_for(name).symbol
    except UnknownInstrument:
        return None


def split_contract(symbol: str) -> tuple[str, str | None]:
    """`GC-201312` is the contract 201312 of GC; any other symbol has none."""
    match = _CONTRACT.match(symbol.strip())
    return (canonical_symbol(match[1]), match[2]) if match else (canonical_symbol(symbol), None)


def symbol_in(name: str, default: str | None = None) -> str:
    """The one symbol that a file's name holds; `default` if it holds none, or that and others. Raises InvalidInput."""
    words = words_in(name)
    pairs = [a + b for a, b in pairwise(words) if len(a) == len(b) == 3]  # EUR-USD
    found = sorted({symbol for word in words + pairs if (symbol := known_symbol(word))})
    if len(found) == 1:
        return found[0]
    if default and (not found or chosen_symbol(default) in found):
        return chosen_symbol(default)
    problem = f"its name holds several symbols ({', '.join(found)})" if found else "its name holds no known symbol"
    raise InvalidInput(f"{name}: {problem}. Give it with --symbol, for example --symbol EURUSD.")


def chosen_symbol(symbol: str) -> str:
    """The canonical symbol of --symbol (a contract stands for its root). Raises UnknownInstrument."""
    root = split_contract(symbol)[0]
    return known_symbol(root) or instrument_for(root).symbol


def venue_in(parts: Iterable[str]) -> str | None:
    """The venue named by a path, the part nearest to the file first."""
    for part in reversed(list(parts)):
        for word in words_in(part):
            if word.lower() in VENUES:
                return word.lower()
    return None
