"""Canonical ticks, instructions, events, scripts and file sets: the one place where tests and golden files take them.

Numbers come from PCG64.random_raw alone, whose stream numpy keeps stable, so every array is the same bytes everywhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np

from domain.engine import ENGINE, Engine
from domain.events import (
    AccountMarked,
    DayRolled,
    EngineTookOver,
    FillBooked,
    FillEvidence,
    InstructionApplied,
    InstructionRefused,
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
from domain.instructions import (
    AccountOpened,
    CalendarImported,
    CancelRequested,
    EngineActivated,
    FeedCompleted,
    FeedFile,
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    NewsEntry,
    OrderRequested,
    PolicyActivated,
    SignalSubmitted,
    StrategyActivated,
    StrategyDeactivated,
    TapeOpened,
    TradingHalted,
    TradingResumed,
)
from domain.instruments import instrument_for
from domain.policy import Fee, Limits, PaperMarket, Policy, Risk, Sizing, Strategic
from domain.signals.ema_cross import EmaCross
from domain.signals.m1_retest import M1Retest
from domain.signals.m5_bos_retest import M5BosRetest
from domain.snapshot import save
from domain.tape import CLOCK, FROM_BAR, MINUTE, PRAGUE_MIDNIGHT, QUOTE, TRADE, Block, Ticks, empty_ticks
from gateways.feeds.files import FileSet, SourceFile

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
MONDAY = 1_709_510_400_000_000_000  # 2024-03-04T00:00:00Z
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
EVERY_STRATEGY = ("m5_bos_retest", "ema_cross", "m1_retest")
SAID: dict[str, Any] = {"actor": "sequencer", "authority": "operator", "occurred_at_ns": MONDAY}

# Parameters of every strategy with every field written out, so that a changed default does not change what is stored.
_RETEST: dict[str, Any] = {
    "reach": 2, "min_break_points": 1, "window_bars": 60, "tolerance_pips": "0.8", "trigger_pips": "0.8",
    "buffer_pips": "0.2", "reward_ratio": "2.5",
}  # fmt: skip
PARAMETERS: dict[str, dict[str, Any]] = {
    "m5_bos_retest": _RETEST,
    "m1_retest": _RETEST,
    "ema_cross": {"fast": 20, "slow": 60, "on": "ticks"},
}
assert {"m5_bos_retest": M5BosRetest, "m1_retest": M1Retest, "ema_cross": EmaCross}.keys() == PARAMETERS.keys()


# A policy that trades, refuses and is breached within an hour of the market below; every field written out as above.
POLICY = Policy(
    name="canonical",
    version=3,
    strategic=Strategic(
        sessions=(), with_trend=False, atr_pips_min_thousandths=0, atr_pips_max_thousandths=1_000_000,
        news_impact_min=2, news_before_ns=10 * MINUTE_NS, news_after_ns=5 * MINUTE_NS, confidence_min_ppm=100_000,
        bar_age_max_ns=300 * MINUTE_NS, performance_floor="lower", performance_trades_min=5,
        win_rate_target_ppm=700_000, shadow_drawdown_max_thousandths=2_000, performance_size_ppm=500_000,
    ),
    sizing=Sizing(
        method="fixed", fixed_quantity_nanos=50_000 * 10**9, risk_ppm=10_000, kelly_ppm=0, kelly_trades_min=30,
        by_confidence=False, by_drawdown=True, target_ratio_min_thousandths=0,
    ),
    risk=Risk(
        risk_per_trade_max_ppm=None, daily_risk_max_ppm=None, positions_max=2, orders_max=50,
        symbol_exposure_max_ppm=None, currency_exposure_max_ppm=None, signals_per_minute_max=None,
        stale_after_ns=None, on_opposite="reverse",
    ),
    limits=Limits(
        daily_loss_ppm=3_000, max_loss_ppm=100_000, max_loss_kind="trailing", profit_target_ppm=100_000,
        trading_days_min=4, best_day_max_ppm=500_000, no_news_trading=True, flat_before_weekend=True,
    ),
    market=PaperMarket(
        latency_ns=0, latency_jitter_ns=20_000_000_000, slippage_thousandths=500, depth="unlimited", levels_max=5,
        limit_fill="through",
    ),
    fees={"fx": Fee(taker_ppm=30, maker_ppm=10)},
)  # fmt: skip


# -- one of each stored shape ------------------------------------------------------------------------------------------


def _record(**fields: int) -> Ticks:
    record = empty_ticks(1)
    for name, value in fields.items():
        record[name] = value
    return record


TICKS: dict[str, Ticks] = {
    "clock": _record(event_time=MONDAY, receive_time=MONDAY, kind=CLOCK, flags=MINUTE | PRAGUE_MIDNIGHT),
    "quote": _record(
        event_time=MONDAY + 1, receive_time=MONDAY + 2, bid=1_085_030_000, ask=1_085_080_000, bid_size=3 * 10**15,
        ask_size=10**15, instrument=1, kind=QUOTE, reference=7,
    ),
    "trade": _record(
        event_time=MONDAY + 3, receive_time=MONDAY + 4, bid=62_000_010_000_000, ask=62_000_010_000_000,
        bid_size=-25_000_000, instrument=300, kind=TRADE, reference=2**40,
    ),
    "bar": _record(
        event_time=MONDAY + 5, receive_time=MONDAY + 5, bid=-37_630_000_000, ask=-37_600_000_000, instrument=65_535,
        kind=QUOTE, flags=FROM_BAR, reference=1,
    ),
}  # fmt: skip

INSTRUCTIONS: dict[str, Instruction] = {
    instruction.kind: instruction
    for instruction in (
        TapeOpened(id="tape_opened@1", **SAID, record_format="tick64.1", tzdata_version="2025.2"),
        InstrumentDeclared(id="instrument_declared@2", **SAID, number=1, instrument=instrument_for("EURUSD")),
        EngineActivated(id="engine_activated@3", **SAID, engine=1),
        StrategyActivated(
            id="strategy_activated@4", **SAID, strategy="m5_bos_retest", version=1, parameters=_RETEST,
            symbols=("EURUSD", "USDJPY"),
        ),
        StrategyDeactivated(id="strategy_deactivated@5", **SAID, strategy="m5_bos_retest"),
        AccountOpened(id="account_opened@8", **SAID, currency="USD", initial_balance_nanos=100_000 * 10**9),
        PolicyActivated(id="policy_activated@9", **SAID, policy=POLICY),
        CalendarImported(
            id="calendar-1", **SAID, source="calendar.csv",
            entries=(NewsEntry(time_ns=MONDAY + 3600 * SECOND_NS, currency="USD", impact=3, title="Payrolls"),),
        ),
        TradingHalted(id="halt-1", **SAID, reason="lunch", flatten=True),
        TradingResumed(id="resume-1", **SAID, reason="lunch is over"),
        OrderRequested(
            id="order-1", **SAID, symbol="EURUSD", side="buy", type="stop_limit", quantity_nanos=10_000 * 10**9,
            limit_nanos=1_100_500_000, trigger_nanos=1_100_400_000, stop_nanos=1_099_000_000,
            target_nanos=1_103_000_000, time_in_force="gtd", expires_at_ns=MONDAY + 7_200 * SECOND_NS,
        ),
        CancelRequested(id="cancel-1", **SAID, order=17),
        SignalSubmitted(
            id="signal-1", **SAID, strategy="hand_made", symbol="EURUSD", side="sell", entry_nanos=1_100_000_000,
            stop_nanos=1_101_000_000, target_nanos=1_098_000_000, confidence_ppm=800_000,
        ),
        FeedOpened(
            id="feed_opened@6", **SAID, feed="0123456789abcdef",
            files=(
                FeedFile(
                    name="EURUSD_M1.csv.gz", sha256="ab" * 32, format="binarycom", symbol="EURUSD", venue="binarycom",
                    rows=100, rejected=3,
                ),
            ),
            ticks=388, first_time_ns=MONDAY, last_time_ns=MONDAY + 99 * MINUTE_NS,
        ),
        FeedCompleted(id="feed_completed@7", **SAID, feed="0123456789abcdef"),
    )
}  # fmt: skip

_PLACE: dict[str, Any] = {"causation": None, "occurred_at_ns": MONDAY}
_CAUSED: dict[str, Any] = {"causation": 3, "occurred_at_ns": MONDAY}
EVENTS: dict[str, LedgerEvent] = {
    event.type: event
    for event in (
        InstructionApplied(
            number=1, ordinal=4, correlation=1, **_PLACE, instruction_id="strategy_activated@4",
            kind="strategy_activated",
        ),
        InstructionRefused(
            number=2, ordinal=5, correlation=2, **_PLACE, instruction_id="strategy_deactivated@5",
            kind="strategy_deactivated", reason="strategy 'ema_cross' is not active",
        ),
        SignalRaised(
            number=3, ordinal=977, correlation=3, **_PLACE, strategy="m5_bos_retest", version=1,
            parameters_hash="00ff00ff00ff00ff", symbol="EURUSD", side="sell", bar_time_ns=MONDAY - MINUTE_NS,
            level_nanos=1_085_030_000, entry_nanos=1_084_950_000, stop_nanos=1_085_150_000,
            target_nanos=1_084_450_000, confidence_ppm=612_345,
        ),
        EngineTookOver(
            number=4, ordinal=978, correlation=4, **_PLACE, engine=2, before=1, state_sha256="cd" * 32,
        ),
        SignalAssessed(
            number=5, ordinal=977, correlation=3, **_CAUSED, verdict="approved", policy="canonical@3",
            symbol="EURUSD", side="sell", quantity_nanos=50_000 * 10**9, stop_nanos=1_085_150_000,
            target_nanos=1_084_450_000, size_ppm=800_000, risk_nanos=12_345_678_901,
            rules=(
                RuleResult(rule="not_halted", value=0, limit=0, passed=True, says="trading is not halted"),
                RuleResult(rule="positions", value=2, limit=2, passed=True, says="2 of 2"),
            ),
            sizing=SizeEvidence(
                equity_nanos=99_000 * 10**9, fraction_ppm=10_000, kelly="above_risk", kelly_ppm=22_500,
                kelly_trades_min=30, shadow_trades=40, win_rate_ppm=612_500, shadow_drawdown_milli_r=3_400,
                confidence_size_ppm=1_000_000, drawdown_size_ppm=800_000, performance_size_ppm=1_000_000,
                money_nanos=792 * 10**9, stop_distance_nanos=200_000, spread_nanos=60_000, slippage_nanos=10_000,
                thousand_commission_nanos=54_250_000, thousand_loss_nanos=246_913_578, bound="symbol_exposure",
                unfloored_nanos=50_900 * 10**9, cut="lot_step",
            ),
        ),
        OrderPlaced(
            number=6, ordinal=977, correlation=3, **_CAUSED, symbol="EURUSD", side="sell", order_type="market",
            purpose="entry", quantity_nanos=50_000 * 10**9, limit_nanos=0, trigger_nanos=0,
            stop_nanos=1_085_150_000, target_nanos=1_084_450_000, time_in_force="gtc", expires_at_ns=0,
            active_from_ns=MONDAY + 50_000_000, oco=0,
        ),
        OrderMoved(
            number=7, ordinal=980, correlation=3, **_CAUSED, order=6, state="canceled",
            reason="the position is closed", quantity_nanos=50_000 * 10**9,
        ),
        OrderFilled(
            number=8, ordinal=981, correlation=3, **_CAUSED, order=6, execution=2, symbol="EURUSD", side="sell",
            purpose="entry", price_nanos=1_084_940_000, quantity_nanos=20_000 * 10**9, filled_nanos=50_000 * 10**9,
            leaves_nanos=0, state="filled", liquidity="taker", bid_nanos=1_084_950_000, ask_nanos=1_085_010_000,
            displayed_nanos=30_000 * 10**9, slippage_nanos=-5_000, level=1, latency_ns=50_000_000, fee_ppm=25,
            market=FillEvidence(
                basis="quote", trigger_nanos=0, from_bar=True, depth="displayed", levels_max=5,
                slippage_thousandths=500, limit_fill="through", latency_constant_ns=40_000_000,
                latency_jitter_ns=20_000_000, latency_drawn_ns=50_000_000,
            ),
        ),
        FillBooked(
            number=9, ordinal=981, correlation=3, **_CAUSED, symbol="EURUSD", position_nanos=-50_000 * 10**9,
            cost_nanos=-54_247_000_000_000, realised_quote_nanos=0, rate_nanos=10**9, rate_inverse=False,
            realised_nanos=0, fee_nanos=542_470_000, balance_nanos=99_998_643_825_000, floating_nanos=-3_500_000_000,
            equity_nanos=99_995_143_825_000, margin_nanos=1_808_216_000_000, closed=False, trade_nanos=0,
        ),
        AccountMarked(
            number=10, ordinal=990, correlation=10, **_PLACE, balance_nanos=1, floating_nanos=-2, equity_nanos=-1,
            equity_low_nanos=-5, equity_high_nanos=7, margin_nanos=3, daily_room_nanos=-6, total_room_nanos=None,
        ),
        DayRolled(
            number=11, ordinal=991, correlation=11, **_PLACE, balance_nanos=204_000 * 10**9,
            equity_nanos=204_000 * 10**9, daily_limit_nanos=194_000 * 10**9, total_limit_nanos=180_000 * 10**9,
            trading_days=3, best_day_nanos=4_000 * 10**9, target_reached=False, best_day_kept=True,
        ),
        LimitBreached(
            number=12, ordinal=992, correlation=12, **_PLACE, limit="daily_loss", value_nanos=193_999 * 10**9,
            limit_nanos=194_000 * 10**9, symbol="EURUSD", halted=True,
        ),
        ObjectivesReached(
            number=13, ordinal=993, correlation=12, causation=12, occurred_at_ns=MONDAY,
            policy="ftmo-2step-challenge@1", profit_target_nanos=10_000 * 10**9, balance_nanos=110_250 * 10**9,
            trading_days=5, trading_days_min=4, best_day_nanos=4_000 * 10**9,
        ),
    )
}  # fmt: skip
FIRST_COMMIT = list(EVENTS.values())[:3]  # what the golden commit holds


# -- a market ----------------------------------------------------------------------------------------------------------


def market_ticks(count: int, seed: int = 1, symbols: int = 1, start: int = MONDAY, seconds: int = 16) -> Ticks:
    """Quotes of `symbols` instruments in turn of chance: a walk that leans, a pause of hours now and then."""
    draws = np.random.PCG64(seed).random_raw(5 * count).reshape(5, count)
    which, wait, noise, turn, spread = ((row >> np.uint64(11)).astype(np.int64) for row in draws)
    ticks = empty_ticks(count)
    waits = (wait % (2 * seconds * 1000)) * 1_000_000
    waits[wait // 2**20 % 700 == 0] += 5 * 3600 * SECOND_NS
    ticks["event_time"] = ticks["receive_time"] = start + np.cumsum(waits)
    ticks["instrument"] = 1 + which % symbols
    lean = np.where(turn[np.maximum.accumulate(np.where(turn % 60 == 0, np.arange(count), 0))] // 64 % 2 == 1, 1, -1)
    mids = np.zeros(count, np.int64)
    for number in range(1, symbols + 1):
        own = ticks["instrument"] == number
        mids[own] = 110_000 + np.cumsum((noise[own] % 19) - 9 + lean[own])
    ticks["bid"] = (mids - 2 - spread % 4) * 10_000
    ticks["ask"] = (mids + 3) * 10_000
    ticks["kind"], ticks["reference"] = QUOTE, np.arange(1, count + 1)
    return ticks


def with_minutes(ticks: Ticks) -> Ticks:
    """The ticks with a clock record at every full minute that lies between them: arithmetic, no time zone."""
    times = ticks["receive_time"]
    minutes = np.unique((times[:-1] // MINUTE_NS + 1) * MINUTE_NS)
    minutes = minutes[minutes <= times[-1]]
    clock = empty_ticks(len(minutes))
    clock["event_time"] = clock["receive_time"] = minutes
    clock["flags"] = MINUTE
    merged = np.concatenate([clock, ticks])
    return merged[np.argsort(merged["receive_time"], kind="stable")]


# -- a script: what stands on a tape, apart from how it is cut into messages -------------------------------------------

Script = Sequence[Ticks | Instruction]


def declared(number: int) -> InstrumentDeclared:
    instrument = instrument_for(SYMBOLS[number - 1])
    return InstrumentDeclared(id=f"declare-{number}", **SAID, number=number, instrument=instrument)


def activated(strategy: str, *symbols: str, id: str = "", **parameters: Any) -> StrategyActivated:  # noqa: A002
    return StrategyActivated(
        id=id or f"activate-{strategy}-{'-'.join(symbols)}", **SAID, strategy=strategy, version=1,
        parameters=PARAMETERS[strategy] | parameters, symbols=symbols or SYMBOLS[:1],
    )  # fmt: skip


def opening(symbols: int = 1, strategies: Iterable[str] = (), *, trading: bool = False) -> list[Instruction]:
    """What stands before the first tick; with `trading` an account and a policy too."""
    return [
        INSTRUCTIONS["tape_opened"],
        *(declared(number) for number in range(1, symbols + 1)),
        EngineActivated(id="engine_activated", **SAID, engine=ENGINE),
        *([INSTRUCTIONS["account_opened"], INSTRUCTIONS["policy_activated"]] if trading else []),
        *(activated(strategy, *SYMBOLS[:symbols]) for strategy in strategies),
    ]


def golden_script() -> Script:
    """A small fixed tape: two instruments, two strategies, every kind of instruction."""
    ticks = with_minutes(market_ticks(6_000, seed=20, symbols=2))
    midnights = (ticks["kind"] == CLOCK) & (ticks["receive_time"] % (24 * 3600 * SECOND_NS) == 23 * 3600 * SECOND_NS)
    ticks["flags"][midnights] |= PRAGUE_MIDNIGHT
    middle = next(tick for tick in ticks[2_000:] if tick["instrument"] == 1)
    news = NewsEntry(time_ns=int(ticks["receive_time"][1_000]), currency="USD", impact=3, title="Rates")
    near, far = int(middle["ask"]), int(middle["ask"]) + 5_000_000
    return [
        *opening(2, ["m5_bos_retest", "ema_cross"], trading=True),
        CalendarImported(id="news", **SAID, source="golden", entries=(news,)),
        ticks[:2_000],
        TradingHalted(id="halt", **SAID, reason="a golden halt", flatten=True),
        ticks[2_000:2_040],
        TradingResumed(id="resume", **SAID, reason="a golden resume"),
        ordered("bracket", type="market", stop_nanos=near - 3_000_000, target_nanos=near + 3_000_000),
        ordered("far", type="limit", side="sell", limit_nanos=far, time_in_force="day"),
        SignalSubmitted(
            id="theirs", **SAID, strategy="hand_made", symbol="GBPUSD", side="buy",
            entry_nanos=near, stop_nanos=near - 20_000_000, target_nanos=near + 20_000_000,
        ),
        ticks[2_040:3_000],
        activated("m5_bos_retest", "EURUSD", "XAUUSD", id="refused"),
        activated("ema_cross", "EURUSD", id="changed", fast=30),
        ticks[3_000:],
    ]  # fmt: skip


def pinned_script() -> Script:
    """The golden script, and behind it a second phase whose objectives one lucky order reaches."""
    first = golden_script()
    ticks = next(item for item in reversed(first) if isinstance(item, np.ndarray))
    objectives = {"daily_loss_ppm": None, "profit_target_ppm": 100, "trading_days_min": 1, "best_day_max_ppm": None}
    limits = POLICY.limits.model_copy(update=objectives)
    lucky = np.repeat(ticks[ticks["instrument"] == 1][-1:], 3)
    lucky["event_time"] = lucky["receive_time"] = ticks["receive_time"][-1] + np.arange(1, 4) * MINUTE_NS
    for side in ("bid", "ask"):
        lucky[side][1:] += 20_000_000
    return [
        *first,
        *(StrategyDeactivated(id=f"end-{name}", **SAID, strategy=name) for name in ("m5_bos_retest", "ema_cross")),
        PolicyActivated(id="phase", **SAID, policy=POLICY.model_copy(update={"name": "phase", "limits": limits})),
        TradingResumed(id="again", **SAID, reason="a second phase"),
        ordered("lucky", type="market"),
        lucky[:2],
        TradingHalted(id="enough", **SAID, reason="the target is near", flatten=True),
        lucky[2:],
    ]


def ordered(id: str, **terms: Any) -> OrderRequested:  # noqa: A002
    """An order of 20,000 EUR, a purchase unless it says otherwise."""
    asked: dict[str, Any] = {"symbol": "EURUSD", "side": "buy", "quantity_nanos": 20_000 * 10**9}
    return OrderRequested(id=id, **SAID, **asked | terms)


def length(script: Script) -> int:
    """How many ordinals a script takes."""
    return sum(len(item) if isinstance(item, np.ndarray) else 1 for item in script)


def messages(script: Script, cuts: Iterable[int] = (), first: int = 1) -> Iterator[Block | Instructed]:
    """The script as messages: a block ends at every instruction and behind every ordinal of `cuts`."""
    ends, ordinal = sorted(cuts), first
    for item in script:
        if not isinstance(item, np.ndarray):
            yield Instructed(ordinal, item)
            ordinal += 1
            continue
        places = [0, *(cut - ordinal + 1 for cut in ends if ordinal <= cut < ordinal + len(item) - 1), len(item)]
        for start, stop in pairwise(places):
            if stop > start:
                yield Block(ordinal + start, item[start:stop])
        ordinal += len(item)


def up_to(ordinal: int, parts: Iterable[Block | Instructed]) -> Iterator[Block | Instructed]:
    """The messages that begin at or before an ordinal (one that it lies in comes whole)."""
    return (message for message in parts if message[0] <= ordinal)


def behind(script: Script, ordinal: int) -> Script:
    """What is left of a script behind an ordinal."""
    rest: list[Ticks | Instruction] = []
    for item in script:
        size = len(item) if isinstance(item, np.ndarray) else 1
        if ordinal <= 0:
            rest.append(item)
        elif isinstance(item, np.ndarray) and ordinal < size:
            rest.append(item[ordinal:])
        ordinal -= size
    return rest


def lines(events: Iterable[LedgerEvent]) -> list[bytes]:
    """Events as the ledger stores them."""
    return [event.model_dump_json().encode() for event in events]


def ledger(parts: Iterable[Block | Instructed], engine: Engine | None = None) -> list[bytes]:
    """The ledger that an engine (a new one unless given) makes of messages."""
    engine = engine or Engine()
    return lines(event for message in parts for event in engine.fold(message))


def golden_snapshot() -> bytes:
    """An engine inside a bar, with signals behind it and setups armed."""
    engine = Engine()
    ledger(up_to(2_500, messages(golden_script(), [2_500])), engine)
    return save(engine)


# -- files -------------------------------------------------------------------------------------------------------------


def file_set(ticks: Ticks, *symbols: str, name: str = "ticks.csv", options: str = "") -> FileSet:
    """Ticks as if they had been read from one file; `options` stands for what shapes them beside its content."""
    digest = sha256(ticks.tobytes()).hexdigest()
    names = list(symbols or SYMBOLS[:1])
    file = SourceFile(
        name=name, sha256=digest, format="plain", symbol=names[0], venue="test", rows=len(ticks),
        rejected=0, first_time_ns=int(ticks["event_time"][0]) if len(ticks) else None,
        last_time_ns=int(ticks["event_time"][-1]) if len(ticks) else None,
    )  # fmt: skip
    identity = sha256(f"{digest}{options}".encode()).hexdigest()
    return FileSet(symbols=names, files=[file], ticks=ticks, rejects=[], identity=identity)
