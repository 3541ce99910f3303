"""Policy: every limit and choice that stands between a signal and a fill, named and versioned.

A policy is activated by an instruction on the tape with its full content, so a replay switches at the same record.
Fields are integers of a named unit: ppm (millionths), nanos (1e-9), ns, thousandths. A limit of None is none, and one
of 0 allows nothing. POLICY is the same as a numpy record, one i8 a field, for the kernels: a bool is 0 or 1, a choice
is its place in the list, sessions are mark bits, None is NO_LIMIT.

The FTMO packs restate FTMO's published objectives (academy.ftmo.com, ftmo.com/en/trading-objectives), November 2026.
"""

import json
from hashlib import sha256
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput
from domain.instruments import Market
from domain.rules import NO_LIMIT
from domain.tape import LONDON_OPEN, NEW_YORK_OPEN, SYDNEY_OPEN, TOKYO_OPEN

PPM = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
MONTH = 30 * 24 * 60 * MINUTE

Session = Literal["sydney", "tokyo", "london", "new_york"]
SESSION_MARKS: dict[str, int] = {
    "sydney": SYDNEY_OPEN, "tokyo": TOKYO_OPEN, "london": LONDON_OPEN, "new_york": NEW_YORK_OPEN,
}  # fmt: skip

# Places in the lists of choices, as kernels know them.
REFUSE, REVERSE = 0, 1  # on_opposite
FRACTIONAL, FIXED = 0, 1  # method
STATIC, TRAILING, TRAILING_LOCKED = 0, 1, 2  # max_loss_kind
THROUGH, TOUCH = 0, 1  # limit_fill
DISPLAYED, ANY_SIZE = 0, 1  # depth
OBSERVE, LOWER, FORBID = 0, 1, 2  # performance_floor


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Strategic(_Part):
    """The product owner's rules: when a signal is worth a trade at all."""

    sessions: tuple[Session, ...] = Field((), description="one of these must be open; none named: any time")
    with_trend: bool = Field(False, description="refuse against the direction of the H1 trend, once it is known")
    atr_pips_min_thousandths: int = Field(0, ge=0, le=1_000_000_000, description="M1 ATR(14), thousandths of a pip")
    atr_pips_max_thousandths: int | None = Field(None, ge=0, le=1_000_000_000)
    news_impact_min: int = Field(0, ge=0, le=3, description="calendar entries from this impact on; 0: news is ignored")
    news_before_ns: int = Field(0, ge=0, le=86_400 * SECOND)
    news_after_ns: int = Field(0, ge=0, le=86_400 * SECOND)
    confidence_min_ppm: int = Field(0, ge=0, le=PPM)
    bar_age_max_ns: int | None = Field(None, ge=0, le=MONTH, description="from the end of the signal's bar")
    performance_floor: Literal["observe", "lower", "forbid"] = Field("lower", description="what a weak strategy gets")
    performance_trades_min: int = Field(30, ge=1, le=100, description="shadow results before it is judged")
    win_rate_target_ppm: int = Field(700_000, ge=0, le=PPM)
    shadow_drawdown_max_thousandths: int = Field(
        10_000, ge=0, le=1_000_000_000, description="of R, over the window of shadow results"
    )
    performance_size_ppm: int = Field(500_000, ge=0, le=PPM, description="size below the floor")


class Sizing(_Part):
    """How much: domain/sizing.py has the formula."""

    method: Literal["fractional", "fixed"] = "fractional"
    fixed_quantity_nanos: int = Field(0, ge=0, le=10_000_000 * SECOND, description="units of base, method fixed")
    risk_ppm: int = Field(10_000, ge=0, le=100_000, description="of equity a trade may lose at its stop")
    kelly_ppm: int = Field(0, ge=0, le=PPM, description="share of the Kelly fraction; 0: Kelly is not used")
    kelly_trades_min: int = Field(30, ge=1, le=100, description="of the last 100")
    by_confidence: bool = Field(False, description="scale by the confidence ladder")
    by_drawdown: bool = Field(True, description="scale down with the account's drawdown")
    target_ratio_min_thousandths: int = Field(0, ge=0, le=100_000, description="a nearer target is moved out to this")


class Risk(_Part):
    """What must hold for the sized order. Money is a share of equity unless said otherwise."""

    risk_per_trade_max_ppm: int | None = Field(10_000, ge=0, le=PPM)
    daily_risk_max_ppm: int | None = Field(
        50_000, ge=0, le=PPM, description="of the day's opening balance: lost and at risk"
    )
    positions_max: int = Field(2, ge=0, le=250)
    orders_max: int = Field(200, ge=0, le=200, description="working orders")
    symbol_exposure_max_ppm: int | None = Field(None, ge=0, le=1_000 * PPM)
    currency_exposure_max_ppm: int | None = Field(None, ge=0, le=1_000 * PPM)
    signals_per_minute_max: int | None = Field(
        None, ge=0, le=1_000_000, description="of one strategy, by the market's clock"
    )
    stale_after_ns: int | None = Field(30 * SECOND, ge=0, le=MONTH)
    on_opposite: Literal["refuse", "reverse"] = Field("refuse", description="a signal against an open position")


class Limits(_Part):
    """The account's limits and objectives. Shares of the initial balance. Limits are tested at every tick."""

    daily_loss_ppm: int | None = Field(50_000, ge=0, le=PPM, description="below the balance at midnight Prague")
    max_loss_ppm: int | None = Field(100_000, ge=0, le=PPM)
    max_loss_kind: Literal["static", "trailing", "trailing_locked"] = Field(
        "static", description="trailing: behind the highest midnight balance; locked: never above the initial balance"
    )
    profit_target_ppm: int | None = Field(None, ge=0, le=100 * PPM)
    trading_days_min: int = Field(0, ge=0, le=1_000)
    best_day_max_ppm: int | None = Field(
        None, ge=0, le=PPM, description="of all profit, one day's; missing it is no failure"
    )
    no_news_trading: bool = Field(False, description="no trade from 2 minutes before heavy news to 2 minutes after it")
    flat_before_weekend: bool = Field(
        False, description="positions are closed before the week ends; other breaks of more than 2 h are not known"
    )


class Fee(_Part):
    """Commission of one side of a trade, ppm of its value."""

    taker_ppm: int = Field(0, ge=0, le=100_000)
    maker_ppm: int = Field(0, ge=0, le=100_000)


class PaperMarket(_Part):
    """The fill model; every fill names what it used."""

    latency_ns: int = Field(50_000_000, ge=0, le=60 * SECOND)
    latency_jitter_ns: int = Field(0, ge=0, le=60 * SECOND, description="drawn from the causing ordinal, added")
    slippage_thousandths: int = Field(0, ge=0, le=1_000_000, description="of a point, against a taker")
    depth: Literal["displayed", "unlimited"] = Field("displayed", description="how much a quote is good for")
    levels_max: int = Field(5, ge=1, le=5, description="price levels of the displayed size a taker walks, a point each")
    limit_fill: Literal["through", "touch"] = Field("through", description="when a resting limit fills")


Fees = dict[Market, Fee]


class Policy(_Part):
    """All of it. `version` counts up for every change of a name's content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    version: int = Field(ge=1)
    strategic: Strategic = Strategic()
    sizing: Sizing = Sizing()
    risk: Risk = Risk()
    limits: Limits = Limits()
    market: PaperMarket = PaperMarket()
    fees: Fees = Field(default_factory=dict)

    @property
    def hash(self) -> str:
        """16 hex digits that name the content."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()[:16]

    def record(self) -> Any:
        """One POLICY record."""
        record = np.zeros(1, POLICY)[0]
        for part in _PARTS:
            values = getattr(self, part)
            for name, field in type(values).model_fields.items():
                record[name] = _number(field.annotation, getattr(values, name))
        return record


_PARTS = ("strategic", "sizing", "risk", "limits", "market")

POLICY = np.dtype([(name, "<i8") for part in _PARTS for name in type(Policy.model_fields[part].default).model_fields])


def _number(annotation: Any, value: Any) -> int:
    if isinstance(value, tuple):
        return sum(SESSION_MARKS[session] for session in set(value))  # a name said twice is no other session
    if get_origin(annotation) is Literal:
        return get_args(annotation).index(value)
    return NO_LIMIT if value is None else int(value)


# -- the shipped ones ----------------------------------------------------------------------------------------------

_PAPER_FEES: Fees = {
    "fx": Fee(taker_ppm=25, maker_ppm=25),  # 2.50 USD a lot of 100,000 USD, each side
    "metal": Fee(taker_ppm=25, maker_ppm=25),
    "energy": Fee(taker_ppm=25, maker_ppm=25),
    "index": Fee(),
    "future": Fee(taker_ppm=20, maker_ppm=20),
    "crypto": Fee(taker_ppm=600, maker_ppm=200),  # 6 and 2 basis points
}

PAPER_DEFAULT = Policy(
    name="paper-default",
    version=1,
    strategic=Strategic(
        sessions=("london", "new_york"), with_trend=True, atr_pips_min_thousandths=300, atr_pips_max_thousandths=15_000,
        news_impact_min=3, news_before_ns=30 * MINUTE, news_after_ns=30 * MINUTE, bar_age_max_ns=5 * MINUTE,
    ),
    sizing=Sizing(by_confidence=True),
    risk=Risk(symbol_exposure_max_ppm=20 * PPM, currency_exposure_max_ppm=30 * PPM, signals_per_minute_max=60),
    fees=_PAPER_FEES,
)  # fmt: skip


def _ftmo(name: str, limits: Limits) -> Policy:
    return Policy(
        name=f"ftmo-{name}",
        version=1,
        strategic=Strategic(performance_floor="observe"),
        limits=limits,
        fees=_PAPER_FEES,
    )


_TWO_STEP = {"daily_loss_ppm": 50_000, "max_loss_ppm": 100_000}
_ONE_STEP = {"daily_loss_ppm": 30_000, "max_loss_ppm": 100_000, "max_loss_kind": "trailing"}
_STANDARD = {"no_news_trading": True, "flat_before_weekend": True}  # funded Standard; a Swing account is free of both

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        PAPER_DEFAULT,
        _ftmo("2step-challenge", Limits(**_TWO_STEP, profit_target_ppm=100_000, trading_days_min=4)),
        _ftmo("2step-verification", Limits(**_TWO_STEP, profit_target_ppm=50_000, trading_days_min=4)),
        _ftmo("2step-funded", Limits(**_TWO_STEP, **_STANDARD)),
        _ftmo("2step-funded-swing", Limits(**_TWO_STEP)),
        _ftmo("1step-challenge", Limits(**_ONE_STEP, profit_target_ppm=100_000, best_day_max_ppm=500_000)),
        _ftmo("1step-funded", Limits(**_ONE_STEP, **_STANDARD)),
        _ftmo("1step-funded-swing", Limits(**_ONE_STEP)),
        Policy(  # every rule is evaluated and none is near: for benchmarks
            name="bench-wide",
            version=1,
            strategic=Strategic(performance_floor="observe"),
            sizing=Sizing(method="fixed", fixed_quantity_nanos=100_000 * SECOND, by_drawdown=False),
            risk=Risk(risk_per_trade_max_ppm=None, daily_risk_max_ppm=None, positions_max=250, on_opposite="reverse"),
            limits=Limits(daily_loss_ppm=None, max_loss_ppm=None),
            market=PaperMarket(latency_ns=0, depth="unlimited"),
            fees={"fx": Fee(taker_ppm=20, maker_ppm=20)},
        ),
    )
}


def policy_named(name: str) -> Policy:
    """A shipped policy, by `name` or `name@version`. Raises InvalidInput."""
    base, _, version = name.partition("@")
    found = POLICIES.get(base)
    if found is None or (version and version.removeprefix("v") != str(found.version)):
        known = ", ".join(f"{policy.name}@{policy.version}" for policy in POLICIES.values())
        raise InvalidInput(f"policy {name!r} is not in this build; there are {known}")
    return found
