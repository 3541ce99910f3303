"""The paper desk: what instructions change in the book. Names become numbers here, and what cannot be is refused.

Every method checks before it changes, and raises InvalidInput naming the thing, the value and the next step.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.account import POSITION, flatten, open_account, set_limits
from domain.book import Book, Records, new_book
from domain.calendar import HIGH_IMPACT, RELEASE, watch_blackouts
from domain.errors import InvalidInput
from domain.instructions import AccountOpened, CancelRequested, NewsEntry, OrderRequested, SignalSubmitted
from domain.instruments import Instrument
from domain.market import MARKET, NO_RATE, SAME_CURRENCY, declare
from domain.objectives import OPEN
from domain.orders import (
    ASKED_FOR,
    CANCELED,
    HALTED,
    PURPOSES,
    STATES,
    TIMES_IN_FORCE,
    TYPES,
    cancel_entries,
    check_transition,
    is_exit,
    move,
    sweep,
)
from domain.performance import PERFORMANCE
from domain.policy import Fee, Policy
from domain.signals.handler import BUY, SELL
from domain.tape import MAX_PRICE, utc
from domain.trading import RAISED_SIGNAL, REQUEST_TERMS, assess_request, leave_the_week, take_signal

# Coins that are redeemed at a currency's value count as it: a desk in USD trades BTCUSDT. Source: their issuers' terms.
PEGGED = {"USDT": "USD", "USDC": "USD"}
PRICE_BOUND = 100  # times the market's price: what is farther away is a slip, and its money would not fit

MAX_OUTSIDE = 32  # each has its own limit of signals a minute, so names are few


class Source(NamedTuple):
    """Who raises signals, by slot: a strategy version with its parameters, or (version 0) somebody outside."""

    strategy: str
    version: int
    parameters_hash: str


OUTSIDE = Source("", 0, "")  # slot 0: orders that a person or an agent asked for


class PaperDesk:
    """Account, policy, instruments and sources of signals by name, and the book that holds their state by number."""

    def __init__(self) -> None:
        self.book: Book = new_book()
        self.instruments: dict[int, Instrument] = {}
        self.currencies: dict[str, int] = {}
        self.currency = ""  # of the account; "": none is open
        self.policy: Policy | None = None
        self.sources: list[Source] = [OUTSIDE]
        self.titles: dict[tuple[int, int, int], str] = {}  # of heavy releases, by time, currency code and impact

    @property
    def policy_name(self) -> str:
        """Name and version of what is active."""
        return f"{self.policy.name}@{self.policy.version}" if self.policy else ""

    # -- what stands ---------------------------------------------------------------------------------------------

    def declare(self, number: int, instrument: Instrument) -> None:
        """An instrument, from here on known by `number`."""
        symbols = {known.symbol for known in self.instruments.values()}
        if number in self.instruments or instrument.symbol in symbols:
            raise InvalidInput(f"instrument {instrument.symbol} (number {number}) is declared already")
        self.instruments[number] = instrument
        self.book = self.book._replace(
            markets=_grown(self.book.markets, number + 1, MARKET),
            positions=_grown(self.book.positions, number + 1, POSITION),
        )
        market = self.book.markets[number]
        declare(market, number, instrument)
        market["base"], market["quote"] = self._code(instrument.base), self._code(instrument.quote)
        self._link_rates()
        self._set_fees()

    def open_account(self, opened: AccountOpened) -> None:
        """The desk's one account."""
        if self.currency:
            raise InvalidInput(
                f"an account in {self.currency} is open already; a desk has one: use another desk (--desk NEW)"
            )
        self.currency = opened.currency
        open_account(self.book.account[0], opened.initial_balance_nanos)
        self._link_rates()
        self._start()

    def activate(self, policy: Policy, cause: int) -> None:
        """From here on this policy decides: also on what is open when a weekend or heavy news is near already."""
        if self.policy and self.policy.name != policy.name:
            self.book.account[0]["outcome"] = OPEN
        self.policy = policy
        self.book.policy[0] = policy.record()
        self._set_fees()
        self._start()
        leave_the_week(self.book, cause)
        watch_blackouts(self.book)
        sweep(self.book)

    def slot(self, source: Source) -> int:
        """Where the shadow results of a source are kept; other parameters or another version begin afresh."""
        for slot, known in enumerate(self.sources):
            if slot and (known.strategy, known.version == 0) == (source.strategy, source.version == 0):
                if known != source:
                    self.sources[slot] = source
                    self.book.performance[slot] = np.zeros(1, PERFORMANCE)[0]
                    self._forget_shadows(slot)
                return slot
        self.sources.append(source)
        self.book = self.book._replace(performance=_grown(self.book.performance, len(self.sources), PERFORMANCE))
        return len(self.sources) - 1

    def add_releases(self, entries: tuple[NewsEntry, ...]) -> None:
        """Entries of the event calendar; those known already change nothing."""
        added = np.array([(e.time_ns, self._code(e.currency), e.impact) for e in entries], RELEASE)
        self.book = self.book._replace(releases=np.unique(np.concatenate([self.book.releases, added])))
        for release, entry in zip(added.tolist(), entries, strict=True):
            if entry.impact >= HIGH_IMPACT:
                self.titles.setdefault(release, entry.title)
        watch_blackouts(self.book)

    def _start(self) -> None:
        if self.currency and self.policy:
            self.book.desk[0]["trading"] = 1
            set_limits(self.book)

    def _code(self, currency: str) -> int:
        return self.currencies.setdefault(PEGGED.get(currency, currency), len(self.currencies) + 1)

    def _link_rates(self) -> None:
        """Through which instrument each quote currency becomes account currency, if any."""
        own = self.currencies.get(self.currency, 0) if self.currency else 0
        if self.currency and not own:
            own = self._code(self.currency)
        markets = self.book.markets
        markets["rate_source"] = 0
        pairs: dict[tuple[int, int], int] = {}
        for number in self.instruments:  # the first one declared converts: a later one was not quoted yet
            pairs.setdefault((int(markets[number]["base"]), int(markets[number]["quote"])), number)
        for number in self.instruments:
            market = markets[number]
            direct, inverse = pairs.get((int(market["quote"]), own)), pairs.get((own, int(market["quote"])))
            first = min((pair for pair in (direct, inverse) if pair), default=NO_RATE)  # the other was not quoted yet
            via = SAME_CURRENCY if market["quote"] == own else first
            market["rate_via"], market["rate_inverse"] = via, via > 0 and via != direct
            if via > 0:
                markets[via]["rate_source"] = 1

    def _set_fees(self) -> None:
        fees = self.policy.fees if self.policy else {}
        for number, instrument in self.instruments.items():
            fee = fees.get(instrument.market, Fee())
            market = self.book.markets[number]
            market["taker_ppm"], market["maker_ppm"] = fee.taker_ppm, fee.maker_ppm

    def _forget_shadows(self, slot: int) -> None:
        desk = self.book.desk[0]
        kept = [shadow.copy() for shadow in self.book.shadows[: desk["shadows"]] if shadow["slot"] != slot]
        desk["shadows"] = len(kept)
        for index, shadow in enumerate(kept):
            self.book.shadows[index] = shadow

    # -- what is done --------------------------------------------------------------------------------------------

    def halt(self, cause: int, *, flat: bool) -> None:
        """Nothing is opened from here on; with `flat` every position is closed at its instrument's next quote."""
        self.book.desk[0]["halted"] = 1
        cancel_entries(self.book, 0, HALTED)
        if flat:
            flatten(self.book, cause)
        sweep(self.book)

    def resume(self) -> None:
        """End every halt; a limit that is still passed halts again at the next quote."""
        if not self.book.desk[0]["halted"]:
            raise InvalidInput("trading is not halted: there is nothing to resume")
        self.book.desk[0]["halted"] = 0
        self.book.account[0]["breached"] = 0
        self.book.markets["refused"] = 0

    def request(self, asked: OrderRequested, cause: int) -> None:
        """Judge an order by the risk rules; the verdict and the order, if it is approved, are in the journal."""
        number = self._tradable(asked.symbol)
        self._check_terms(asked, number)
        terms = np.zeros(1, REQUEST_TERMS)
        terms[0] = (
            TYPES.index(asked.type), asked.quantity_nanos, asked.limit_nanos, asked.trigger_nanos,
            TIMES_IN_FORCE.index(asked.time_in_force), asked.expires_at_ns,
        )  # fmt: skip
        side = BUY if asked.side == "buy" else SELL
        try:
            assess_request(self.book, number, side, terms, asked.stop_nanos, asked.target_nanos, cause)
        except OverflowError:
            raise InvalidInput(
                f"the money of {asked.quantity_nanos} nanos of {asked.symbol} at these prices does not fit 64 bits; "
                "ask for a smaller order or a nearer price"
            ) from None

    def cancel(self, asked: CancelRequested) -> None:
        """Cancel a working order that is no exit."""
        working = self.book.orders[: self.book.desk[0]["orders"]]
        places = np.flatnonzero(working["number"] == asked.order)
        if not len(places):
            raise InvalidInput(f"order {asked.order} is not working: it was filled, cancelled, or never placed")
        order = self.book.orders[places[0]]
        if is_exit(order):
            raise InvalidInput(
                f"order {asked.order} is the {PURPOSES[order['purpose']]} of a position and goes with it; "
                "close the position instead"
            )
        check_transition(asked.order, STATES[order["state"]], STATES[CANCELED])
        move(self.book, order, CANCELED, ASKED_FOR)
        sweep(self.book)

    def submit(self, signal: SignalSubmitted, cause: int) -> Records:
        """Raise a signal of somebody else's making at the newest quote; returned as the journal refers to it."""
        number = self._tradable(signal.symbol)
        for name in ("entry_nanos", "stop_nanos", "target_nanos"):
            self._check_price(name, getattr(signal, name), number)
        outside = {source.strategy for source in self.sources if not source.version}
        if signal.strategy not in outside and len(outside) > MAX_OUTSIDE:
            raise InvalidInput(
                f"{MAX_OUTSIDE} names outside submit signals already; {signal.strategy!r} is one too many"
            )
        raised = np.zeros(1, RAISED_SIGNAL)
        raised["slot"] = self.slot(Source(signal.strategy, 0, ""))
        raised["instrument"], raised["side"] = number, BUY if signal.side == "buy" else SELL
        raised["level"] = raised["entry"] = signal.entry_nanos
        raised["stop"], raised["target"] = signal.stop_nanos, signal.target_nanos
        raised["confidence_ppm"] = signal.confidence_ppm
        take_signal(self.book, raised, 0, cause)
        return raised

    def _tradable(self, symbol: str) -> int:
        numbers = {instrument.symbol: number for number, instrument in self.instruments.items()}
        if symbol not in numbers:
            raise InvalidInput(f"no instrument {symbol!r} is declared on this tape; there are {', '.join(numbers)}")
        if not self.book.desk[0]["trading"]:
            raise InvalidInput("the desk has no account or no policy yet: nothing can be traded")
        if not self.book.markets[numbers[symbol]]["ordinal"]:
            raise InvalidInput(f"{symbol} was never quoted on this tape: there is no price to judge by")
        return numbers[symbol]

    def _check_terms(self, asked: OrderRequested, number: int) -> None:
        """What an order of this type must and must not say."""
        wanted = {"limit_nanos": "limit" in asked.type, "trigger_nanos": "stop" in asked.type}
        for name, needed in wanted.items():
            if bool(getattr(asked, name)) != needed:
                raise InvalidInput(
                    f"a {asked.type} order {'needs' if needed else 'has no'} {name}: {getattr(asked, name)}"
                )
        for name in ("limit_nanos", "trigger_nanos", "stop_nanos", "target_nanos"):
            self._check_price(name, getattr(asked, name), number)
        market, now = self.book.markets[number], int(self.book.desk[0]["now"])
        if asked.quantity_nanos > market["lot_max"]:
            raise InvalidInput(f"quantity_nanos {asked.quantity_nanos} is above the largest lot {market['lot_max']}")
        if (asked.time_in_force == "gtd") != bool(asked.expires_at_ns):
            raise InvalidInput(f"expires_at_ns {asked.expires_at_ns} belongs to gtd orders, and they need it")
        if asked.expires_at_ns and asked.expires_at_ns <= now:
            raise InvalidInput(f"expires_at_ns {utc(asked.expires_at_ns)} is not after {utc(now)}, when it was asked")
        side = 1 if asked.side == "buy" else -1
        entry = asked.limit_nanos or asked.trigger_nanos or int(market["ask"] if side > 0 else market["bid"])
        if asked.stop_nanos and side * (entry - asked.stop_nanos) <= 0:
            raise InvalidInput(f"stop_nanos {asked.stop_nanos} is not on the losing side of the entry {entry}")
        if asked.target_nanos and side * (asked.target_nanos - entry) <= 0:
            raise InvalidInput(f"target_nanos {asked.target_nanos} is not on the winning side of the entry {entry}")

    def _check_price(self, name: str, price: int, number: int) -> None:
        mid = int(self.book.markets[number]["mid"])
        if price > PRICE_BOUND * mid:
            raise InvalidInput(f"{name} {price} is more than {PRICE_BOUND} times the market's {mid}")
        if price > MAX_PRICE:
            raise InvalidInput(f"{name} {price} is above {MAX_PRICE}, where a thousand units' money no longer fits")


def _grown(records: npt.NDArray[np.void], count: int, dtype: Any) -> Records:
    """The same records and, up to `count`, empty ones."""
    if len(records) >= count:
        return records
    return np.concatenate([records, np.zeros(count - len(records), dtype)])
