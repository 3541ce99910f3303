"""The journal told as ledger events: numbers become names, choices become words, results become sentences."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args

from domain import journal as kinds
from domain.account import LIMITS
from domain.book import Records
from domain.events import (
    AccountMarked,
    DayRolled,
    FillBooked,
    FillEvidence,
    LedgerEvent,
    LimitBreached,
    ObjectivesReached,
    OrderFilled,
    OrderMoved,
    OrderPlaced,
    RuleResult,
    SignalAssessed,
    SignalRaised,
    SizeEvidence,
)
from domain.fills import BASES
from domain.orders import AMENDED, NEWS_NEAR, PURPOSES, REASONS, STATES, TIMES_IN_FORCE, TYPES
from domain.paper_desk import PaperDesk
from domain.policy import PaperMarket
from domain.risk import RISK
from domain.rules import NO_LIMIT, Rule
from domain.sizing import BOUNDS, CUTS, KELLY
from domain.strategic import STRATEGIC
from domain.tape import utc

_RULES = (*STRATEGIC, *RISK)
_MOVES = {**dict(enumerate(STATES)), AMENDED: "amended"}
_DEPTHS, _LIMIT_FILLS = (get_args(PaperMarket.model_fields[choice].annotation) for choice in ("depth", "limit_fill"))


def events_of(desk: PaperDesk, raised: Records) -> list[LedgerEvent]:
    """Every entry of the desk's journal as its event, in order; `raised` holds the signals that entries refer to."""
    journal = desk.book.journal
    teller = _Teller(desk, raised)
    return [
        teller.tell[kind](row, {
            "number": number, "ordinal": ordinal, "causation": causation or None, "correlation": correlation,
            "occurred_at_ns": time,
        })
        for kind, row, number, ordinal, time, causation, correlation in journal.entries[
            : journal.rows[kinds.ENTRIES]
        ].tolist()
    ]  # fmt: skip


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


class _Teller:
    def __init__(self, desk: PaperDesk, raised: Records) -> None:
        self._journal, self._raised, self._sources = desk.book.journal, raised, desk.sources
        self._symbols = {number: instrument.symbol for number, instrument in desk.instruments.items()}
        self._policy = desk.policy_name
        self._releases, self._titles = desk.book.releases, desk.titles
        self._currencies = {code: currency for currency, code in desk.currencies.items()}
        self.tell: dict[int, Callable[[int, dict[str, Any]], LedgerEvent]] = {
            kinds.RAISED: self._signal,
            kinds.ASSESSED: self._verdict,
            kinds.PLACED: self._order,
            kinds.MOVED: self._move,
            kinds.FILLED: self._fill,
            kinds.BOOKED: self._booking,
            kinds.MARKED: self._mark,
            kinds.ROLLED: self._day,
            kinds.BREACHED: self._breach,
            kinds.REACHED: self._reached,
        }

    def _signal(self, row: int, place: dict[str, Any]) -> SignalRaised:
        signal = _fields(self._raised[row])
        source = self._sources[signal["slot"]]
        return SignalRaised(
            **place,
            strategy=source.strategy,
            version=source.version,
            parameters_hash=source.parameters_hash,
            symbol=self._symbols[signal["instrument"]],
            side=_side(signal["side"]),
            bar_time_ns=signal["bar_time"],
            level_nanos=signal["level"],
            entry_nanos=signal["entry"],
            stop_nanos=signal["stop"],
            target_nanos=signal["target"],
            confidence_ppm=signal["confidence_ppm"],
        )

    def _verdict(self, row: int, place: dict[str, Any]) -> SignalAssessed:
        verdict = _fields(self._journal.verdicts[row])
        rules = _RULES if verdict["strategic"] else RISK
        first = verdict["result"]
        results = self._journal.results[first : first + len(rules)].tolist()
        return SignalAssessed(
            **place,
            verdict="approved" if verdict["approved"] else "refused",
            policy=self._policy,
            symbol=self._symbols[verdict["instrument"]],
            side=_side(verdict["side"]),
            quantity_nanos=verdict["quantity"],
            stop_nanos=verdict["stop"],
            target_nanos=verdict["target"],
            size_ppm=verdict["size_ppm"],
            risk_nanos=verdict["risk"],
            rules=tuple(_result(rule, *result) for rule, result in zip(rules, results, strict=True)),
            sizing=_sizing(_fields(self._journal.verdicts[row]["sized"])),
        )

    def _order(self, row: int, place: dict[str, Any]) -> OrderPlaced:
        order = _fields(self._journal.placings[row])
        return OrderPlaced(
            **place,
            symbol=self._symbols[order["instrument"]],
            side=_side(order["side"]),
            order_type=TYPES[order["type"]],
            purpose=PURPOSES[order["purpose"]],
            quantity_nanos=order["quantity"],
            limit_nanos=order["limit"],
            trigger_nanos=order["trigger"],
            stop_nanos=order["stop"],
            target_nanos=order["target"],
            time_in_force=TIMES_IN_FORCE[order["tif"]],
            expires_at_ns=order["expires_at"],
            active_from_ns=order["active_from"],
            oco=order["oco"],
        )

    def _move(self, row: int, place: dict[str, Any]) -> OrderMoved:
        move = _fields(self._journal.moves[row])
        return OrderMoved(
            **place,
            order=move["order"],
            state=_MOVES[move["state"]],
            reason=self._news(move["release"] - 1) if move["release"] else REASONS[move["reason"]],
            quantity_nanos=move["quantity"],
        )

    def _news(self, index: int) -> str:
        """Why an entry was cancelled near this entry of the calendar."""
        time, currency, impact = self._releases[index].item()
        title = self._titles.get((time, currency, impact), "")
        name = " ".join(part for part in (self._currencies[currency], title) if part)
        return f"{REASONS[NEWS_NEAR]}: {name} at {utc(time)}"

    def _fill(self, row: int, place: dict[str, Any]) -> OrderFilled:
        fill = _fields(self._journal.fills[row])
        return OrderFilled(
            **place,
            order=fill["order"],
            execution=fill["execution"],
            symbol=self._symbols[fill["instrument"]],
            side=_side(fill["side"]),
            purpose=PURPOSES[fill["purpose"]],
            price_nanos=fill["price"],
            quantity_nanos=fill["quantity"],
            filled_nanos=fill["filled"],
            leaves_nanos=fill["leaves"],
            state="partially_filled" if fill["leaves"] else "filled",
            liquidity="maker" if fill["maker"] else "taker",
            bid_nanos=fill["bid"],
            ask_nanos=fill["ask"],
            displayed_nanos=fill["displayed"],
            slippage_nanos=fill["slippage"],
            level=fill["level"],
            latency_ns=fill["latency"],
            fee_ppm=fill["fee_ppm"],
            market=_market(
                fill["basis"],
                fill["trigger"],
                fill["from_bar"],
                fill["depth"],
                fill["levels_max"],
                fill["slippage_thousandths"],
                fill["limit_fill"],
                fill["latency_constant"],
                fill["latency_jitter"],
                fill["latency_drawn"],
            ),
        )

    def _booking(self, row: int, place: dict[str, Any]) -> FillBooked:
        booking = _fields(self._journal.bookings[row])
        return FillBooked(
            **place,
            symbol=self._symbols[booking["instrument"]],
            position_nanos=booking["position"],
            cost_nanos=booking["cost"],
            realised_quote_nanos=booking["realised_quote"],
            rate_nanos=booking["rate"],
            rate_inverse=bool(booking["rate_inverse"]),
            realised_nanos=booking["realised"],
            fee_nanos=booking["fee"],
            balance_nanos=booking["balance"],
            floating_nanos=booking["floating"],
            equity_nanos=booking["equity"],
            margin_nanos=booking["margin"],
            closed=bool(booking["closed"]),
            trade_nanos=booking["trade"],
        )

    def _mark(self, row: int, place: dict[str, Any]) -> AccountMarked:
        mark = _fields(self._journal.marks[row])
        return AccountMarked(
            **place,
            balance_nanos=mark["balance"],
            floating_nanos=mark["floating"],
            equity_nanos=mark["equity"],
            equity_low_nanos=mark["low"],
            equity_high_nanos=mark["high"],
            margin_nanos=mark["margin"],
            daily_room_nanos=_room(mark["equity"], mark["daily_limit"]),
            total_room_nanos=_room(mark["equity"], mark["total_limit"]),
        )

    def _day(self, row: int, place: dict[str, Any]) -> DayRolled:
        mark = _fields(self._journal.marks[row])
        return DayRolled(
            **place,
            balance_nanos=mark["balance"],
            equity_nanos=mark["equity"],
            daily_limit_nanos=_limit(mark["daily_limit"]),
            total_limit_nanos=_limit(mark["total_limit"]),
            trading_days=mark["trading_days"],
            best_day_nanos=mark["best_day"],
            target_reached=bool(mark["target_reached"]),
            best_day_kept=bool(mark["best_day_kept"]),
        )

    def _breach(self, row: int, place: dict[str, Any]) -> LimitBreached:
        breach = _fields(self._journal.breaches[row])
        return LimitBreached(
            **place,
            limit=LIMITS[breach["limit"]],
            value_nanos=breach["value"],
            limit_nanos=breach["bound"],
            symbol=self._symbols.get(breach["instrument"], ""),
            halted=bool(breach["halted"]),
        )

    def _reached(self, row: int, place: dict[str, Any]) -> ObjectivesReached:
        mark = _fields(self._journal.marks[row])
        return ObjectivesReached(
            **place,
            policy=self._policy,
            profit_target_nanos=mark["profit_target"],
            balance_nanos=mark["balance"],
            trading_days=mark["trading_days"],
            trading_days_min=mark["trading_days_min"],
            best_day_nanos=mark["best_day"],
        )


@lru_cache(maxsize=4_096)  # most rules say the same of most trades
def _result(rule: Rule, value: int, limit: int, passed: int) -> RuleResult:
    says = rule.says(value, limit, bool(passed))
    return RuleResult(rule=rule.name, value=value, limit=limit, passed=bool(passed), says=says)


def _sizing(sized: dict[str, int]) -> SizeEvidence:
    return SizeEvidence(
        equity_nanos=sized["equity"],
        fraction_ppm=sized["fraction_ppm"],
        kelly=KELLY[sized["kelly"]],
        kelly_ppm=sized["kelly_ppm"],
        kelly_trades_min=sized["kelly_trades_min"],
        shadow_trades=sized["shadow_trades"],
        win_rate_ppm=sized["win_rate_ppm"],
        shadow_drawdown_milli_r=sized["shadow_drawdown_milli_r"],
        confidence_size_ppm=sized["confidence_size_ppm"],
        drawdown_size_ppm=sized["drawdown_size_ppm"],
        performance_size_ppm=sized["performance_size_ppm"],
        money_nanos=sized["money"],
        stop_distance_nanos=sized["distance"],
        spread_nanos=sized["spread"],
        slippage_nanos=sized["slippage"],
        thousand_commission_nanos=sized["commission"],
        thousand_loss_nanos=sized["loss"],
        bound=BOUNDS[sized["bound"]],
        unfloored_nanos=sized["unfloored"],
        cut=CUTS[sized["cut"]],
    )


@lru_cache(maxsize=4_096)  # most fills are made under the same parameters
def _market(
    basis: int, trigger: int, from_bar: int, depth: int, levels: int, slippage: int, limit_fill: int,
    constant: int, jitter: int, drawn: int,
) -> FillEvidence:  # fmt: skip
    return FillEvidence(
        basis=BASES[basis],
        trigger_nanos=trigger,
        from_bar=bool(from_bar),
        depth=_DEPTHS[depth],
        levels_max=levels,
        slippage_thousandths=slippage,
        limit_fill=_LIMIT_FILLS[limit_fill],
        latency_constant_ns=constant,
        latency_jitter_ns=jitter,
        latency_drawn_ns=drawn,
    )


def _room(equity: int, limit: int) -> int | None:
    return None if limit == NO_LIMIT else equity - limit


def _limit(limit: int) -> int | None:
    return None if limit == NO_LIMIT else limit


def _fields(record: Any) -> dict[str, int]:
    return dict(zip(record.dtype.names, record.item(), strict=True))
