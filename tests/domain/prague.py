"""Desks under FTMO packs, on tapes whose clock records are those of a sequencer: Prague midnights, New York weeks."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from domain.events import DayRolled, LedgerEvent, LimitBreached
from domain.policy import Policy, policy_named
from domain.ports import TapeEnd
from domain.tape import QUOTE, empty_ticks
from gateways.clock import with_clock
from tests.domain.desks import SECOND, Desk, nanos, of, policy

PRAGUE = ZoneInfo("Europe/Prague")


def pack(name: str, **changes: Any) -> Policy:
    """The limits and news rules of a pack, without its fees, latency and sizes: the worked examples have none."""
    shipped = policy_named(f"ftmo-{name}")
    return policy(
        limits=shipped.limits.model_dump() | changes, strategic=shipped.strategic.model_dump(exclude={"sessions"})
    )


class PragueDesk(Desk):
    """A desk whose clock records are those that a sequencer writes before each quote."""

    def at(self, when: str, price: str, symbol: str | None = None) -> list[LedgerEvent]:
        """A quote without a spread at a time of Prague's clocks (`2024-03-04 10:00:00`), with the clock before it."""
        moment = datetime.fromisoformat(when).replace(tzinfo=PRAGUE).astimezone(UTC)
        tick = empty_ticks(1)
        tick["event_time"] = tick["receive_time"] = int(moment.timestamp()) * SECOND + moment.microsecond * 1_000
        tick["bid"] = tick["ask"] = nanos(price)
        tick["instrument"], tick["kind"] = self.symbols.index(symbol or self.symbols[0]) + 1, QUOTE
        return self.feed(with_clock(tick, TapeEnd(self.engine.ordinal, self.now, after_tick=True)))

    def earn(self, when: str, dollars: int) -> list[LedgerEvent]:
        """Buy a lot of EURUSD and sell it again, with this result (whole tens), within three seconds."""
        moment = datetime.fromisoformat(when)
        first, second, third = (str(moment + timedelta(seconds=k)) for k in range(3))
        events = self.at(first, "1.10000")
        self.order("buy", "market", 100_000)
        events += self.at(second, "1.10000")
        self.order("sell", "market", 100_000)
        return events + self.at(third, f"{1.1 + dollars / 100_000:.5f}")

    def hold(self, units: int, when: str, price: str, symbol: str | None = None) -> list[LedgerEvent]:
        """A market order, filled at this quote: above 0 a purchase."""
        self.order("buy" if units > 0 else "sell", "market", abs(units), symbol=symbol)
        return self.at(when, price, symbol)


def opened(name: str, *symbols: str, balance: int = 100_000, **changes: Any) -> PragueDesk:
    """A desk under a pack's limits, on Monday 4 March 2024, whose instruments have been quoted."""
    desk = PragueDesk(pack(name, **changes), *symbols, balance=balance)
    for symbol in desk.symbols:
        desk.at("2024-03-04 10:00:00", "1.10000", symbol)
    return desk


def day(events: list[LedgerEvent]) -> DayRolled:
    """The one day that rolled."""
    (rolled,) = of(DayRolled, events)
    return rolled


def breaches(desk: Desk) -> list[LimitBreached]:
    return of(LimitBreached, desk.events)
