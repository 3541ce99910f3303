"""What needs no signature lets no trade through: the desk itself, asked twice at one moment, is the judge.

The same market, account, positions, orders and results stand before two policies, of which the second widens nothing.
What the second approves the first approved too, at no smaller size.
"""

from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.book import keep, take_back
from domain.calendar import RELEASE
from domain.instructions import AccountOpened
from domain.instruments import instrument_for
from domain.journal import ASSESSED
from domain.orders import ACCEPTED, ENTRY, LIMIT, STOP, STOP_EXIT
from domain.paper_desk import PaperDesk, Source
from domain.policy import PAPER_DEFAULT, PPM, Policy
from domain.risk import RISK
from domain.strategic import STRATEGIC
from domain.tape import LONDON_OPEN, NEW_YORK_OPEN, TOKYO_OPEN, WEEK_CLOSING
from domain.trading import RAISED_SIGNAL, RULES, take_signal
from domain.widening import policy_widens
from tests.domain.policies import FIELDS, changed, policies, tightened, values

NANO = 1_000_000_000
SECOND, MINUTE = NANO, 60 * NANO
NOW = 1_709_542_800 * SECOND
UNITS = 1_000 * NANO
NAMES = [rule.name for rule in (*STRATEGIC, *RISK)]

# What stands before the rules. The first of each is a trade that an ordinary policy lets through.
MOMENT: dict[str, list[Any]] = {
    "sessions": [LONDON_OPEN, 0, TOKYO_OPEN, NEW_YORK_OPEN, LONDON_OPEN | WEEK_CLOSING],
    "halted": [0, 1],
    "trend": [1, 0, -1],
    "atr": [100_000, 0, 20_000, 50_000, 1_200_000],
    "age": [0, 20 * SECOND, 45 * SECOND, 90 * SECOND],
    "bar_age": [0, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE],
    "confidence": [1_000_000, 800_000, 300_000, 100_000, 0],
    "stop_pips": [20, 0, 1, 5, 100],
    "target_pips": [50, 0, 20],
    "side": [1, -1],
    "balance": [100_000, 99_000, 97_000, 94_000, 89_000, 103_000],
    "floating": [0, -500, -3_000, 2_000],
    "day_balance": [100_000, 99_000, 96_000, 104_000],
    "highest_day": [100_000, 104_000],
    "margin": [0, 40_000, 95_000],
    "held": [0, 50, -50, 400, -400],  # thousands of EURUSD
    "held_other": [0, 100, -100, -600],  # of GBPUSD
    "entries": [0, 1, 3],  # orders of GBPUSD
    "stops": [0, 1],  # exits of EURUSD
    "signals": [1, 2, 3, 61],
    "results": [(), (2_500, -1_000) * 20, (1_000, -1_000) * 20, (-1_000, 1_500) * 8, (-6_000, *(900,) * 20) * 2],
    "release": [None, (10 * MINUTE, 3), (-20 * MINUTE, 3), (25 * MINUTE, 2), (-40 * MINUTE, 3), (0, 1), (MINUTE, 3)],
}
ORDINARY = {name: choices[0] for name, choices in MOMENT.items()}
ONE_STRANGE = [ORDINARY | {name: choice} for name, choices in MOMENT.items() for choice in choices[1:]]

ONE_STRANGE += [  # an account below its best day: a loss counts from there, if it trails
    ORDINARY | {"highest_day": highest, "balance": balance, "day_balance": balance}
    for highest, balance in ((104_000, 99_000), (110_000, 103_000))
]


def strange_moments(count: int) -> list[dict[str, Any]]:
    """Moments with two to four things that are not ordinary, the same ones always."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(count):
        names = random.choice(sorted(MOMENT), random.integers(2, 5), replace=False)
        found.append(ORDINARY | {name: MOMENT[name][random.integers(1, len(MOMENT[name]))] for name in names})
    return found


class Verdict(NamedTuple):
    """`size` is before it was cut to lots, of a refused trade too; `risk` and its limit are those of one trade."""

    refused_by: frozenset[str]
    size: int
    risk: int
    risk_limit: int


class Court:
    """One moment, before which any policy may be asked."""

    def __init__(self, moment: dict[str, Any]) -> None:
        self.desk = PaperDesk()
        for number, symbol in enumerate(("EURUSD", "GBPUSD"), 1):
            self.desk.declare(number, instrument_for(symbol))
        said = {"id": "a", "actor": "test", "authority": "operator", "occurred_at_ns": NOW}
        self.desk.open_account(AccountOpened(currency="USD", initial_balance_nanos=100_000 * NANO, **said))
        slot = self.desk.slot(Source("test", 1, "of these results"))
        _furnish(self.desk, slot, moment)
        self.signal = _signal(slot, moment)
        self.before = keep(self.desk.book)

    def verdict(self, policy: Policy) -> Verdict:
        """What a desk under this policy says to the moment's signal."""
        book = self.desk.book
        take_back(book, self.before)
        self.desk.activate(policy, 1)
        take_signal(book, self.signal, 0, 1)
        judged, journal = book.journal.verdicts[0], book.journal
        assert journal.rows[ASSESSED] == 1
        results = journal.results[judged["result"] : judged["result"] + RULES].tolist()
        refused = frozenset(name for name, (_, _, passed) in zip(NAMES, results, strict=True) if not passed)
        assert bool(judged["approved"]) == (not refused)
        risk, risk_limit, _ = results[NAMES.index("risk_per_trade")]
        return Verdict(refused, int(judged["sized"]["unfloored"]), risk, risk_limit)


def _furnish(desk: PaperDesk, slot: int, moment: dict[str, Any]) -> None:
    book = desk.book
    book.desk[0]["now"], book.desk[0]["ordinal"] = NOW, 9
    book.desk[0]["sessions_open"], book.desk[0]["halted"] = moment["sessions"], moment["halted"]
    for number, bid, held in ((1, 1_100_000_000, moment["held"]), (2, 1_250_000_000, moment["held_other"])):
        market = book.markets[number]
        market["bid"], market["ask"], market["mid"] = bid, bid + 100_000, bid + 50_000
        market["time"], market["ordinal"], market["atr_bars"] = NOW - moment["age"], 5, 14 if moment["atr"] else 0
        market["atr"], market["trend"] = moment["atr"], moment["trend"]
        book.positions[number]["quantity"] = held * UNITS
        book.positions[number]["cost"] = held * UNITS * bid // NANO
    account = book.account[0]
    account["balance"], account["floating"] = moment["balance"] * NANO, moment["floating"] * NANO
    account["peak"] = max(moment["balance"], moment["highest_day"]) * NANO
    account["day_balance"], account["highest_day"] = moment["day_balance"] * NANO, moment["highest_day"] * NANO
    account["margin"] = moment["margin"] * NANO
    performance = book.performance[slot]
    performance["results"][: len(moment["results"])] = moment["results"]
    performance["count"] = len(moment["results"])
    performance["minute"], performance["signals"] = NOW // MINUTE, moment["signals"] - 1
    _place(book, 2, moment["entries"], 1, purpose=ENTRY, type=LIMIT, limit=1_240_000_000, risk=800 * NANO)
    exits, side = (moment["stops"] if moment["held"] else 0), -1 if moment["held"] > 0 else 1
    _place(book, 1, exits, side, purpose=STOP_EXIT, type=STOP, trigger=1_100_000_000 + side * 4_000_000)
    if moment["release"]:
        distance, impact = moment["release"]
        desk.book = book._replace(releases=np.array([(NOW + distance, desk.currencies["EUR"], impact)], RELEASE))


def _place(book: Any, number: int, count: int, side: int, **terms: int) -> None:
    for _ in range(count):
        order = book.orders[book.desk[0]["orders"]]
        book.desk[0]["orders"] += 1
        order["number"], order["instrument"], order["side"], order["state"] = 1, number, side, ACCEPTED
        order["quantity"] = 50 * UNITS
        for name, value in terms.items():
            order[name] = value


def _signal(slot: int, moment: dict[str, Any]) -> Any:
    side, entry = moment["side"], 1_100_100_000 if moment["side"] > 0 else 1_100_000_000
    raised = np.zeros(1, RAISED_SIGNAL)
    raised["slot"], raised["instrument"], raised["side"], raised["entry"] = slot, 1, side, entry
    raised["stop"] = entry - side * moment["stop_pips"] * 100_000 if moment["stop_pips"] else 0
    raised["target"] = entry + side * moment["target_pips"] * 100_000 if moment["target_pips"] else 0
    raised["confidence_ppm"], raised["bar_end"] = moment["confidence"], NOW - moment["bar_age"]
    return raised


def excused(before: Policy, after: Policy, then: Verdict, now: Verdict) -> set[str]:
    """The rules that a trade may pass for the first time, because limits that tighten shrink a size that they refused.

    Tightening a limit needs no signature, also where the policy aims above its own limit of a trade, as long as what
    the trade risks now is within the limit of then. And a reversal is sized by room that the position it closes takes
    up too, so a currency's limit refuses it and not its smaller sister.
    """
    rules = set()
    most = before.risk.risk_per_trade_max_ppm
    limits_moved = any(getattr(before, part) != getattr(after, part) for part in ("risk", "limits", "market"))
    if most is not None and before.sizing.risk_ppm > most and limits_moved and now.risk <= then.risk_limit:
        rules.add("risk_per_trade")
    if after.risk.on_opposite == "reverse":
        rules.add("currency_exposure")
    return rules


def assert_lets_nothing_through(before: Policy, after: Policy, then: Verdict, now: Verdict) -> None:
    """What `after` approves now `before` approved then."""
    if not now.refused_by:
        assert not then.refused_by or then.refused_by <= excused(before, after, then, now)
        assert now.size <= then.size


# Policies under which, between them, every field decides something.
BASES = {
    "shipped": PAPER_DEFAULT,
    "kelly": changed(PAPER_DEFAULT, {
        "sizing.kelly_ppm": 20_000, "sizing.by_confidence": False, "sizing.by_drawdown": False,
        "strategic.win_rate_target_ppm": 350_000, "strategic.news_impact_min": 1, "limits.max_loss_kind": "trailing",
        "limits.max_loss_ppm": 50_000, "risk.currency_exposure_max_ppm": 4 * PPM, "strategic.sessions": (),
        "risk.on_opposite": "reverse",
    }),
    "fixed": changed(PAPER_DEFAULT, {
        "sizing.method": "fixed", "sizing.fixed_quantity_nanos": 200 * UNITS, "risk.risk_per_trade_max_ppm": None,
        "risk.daily_risk_max_ppm": 25_000, "risk.on_opposite": "reverse", "risk.currency_exposure_max_ppm": 4 * PPM,
        "risk.symbol_exposure_max_ppm": 3 * PPM, "limits.daily_loss_ppm": 15_000, "strategic.with_trend": False,
        "strategic.news_impact_min": 0,
    }),
    "aims too high": changed(PAPER_DEFAULT, {"sizing.risk_ppm": 20_000, "strategic.performance_floor": "observe"}),
}  # fmt: skip


def neighbours(name: str) -> tuple[Policy, ...]:
    """A policy and all that differ from it in one field."""
    base = BASES[name]
    around = [changed(base, {path: value}) for path in FIELDS for value in values(path)]
    return base, *(policy for policy in around if policy != base)


@pytest.mark.parametrize("name", BASES)
def test_between_neighbours_what_widens_nothing_approves_no_trade_that_was_refused_and_none_larger(name: str) -> None:
    around = neighbours(name)
    quiet = [pair for pair in permutations(range(len(around)), 2) if not policy_widens(*(around[i] for i in pair))]
    approved = 0
    for moment in [ORDINARY, *ONE_STRANGE, *strange_moments(30)]:
        court = Court(moment)
        said = [court.verdict(policy) for policy in around]
        approved += sum(not verdict.refused_by for verdict in said)
        for before, after in quiet:
            if not said[after].refused_by:
                assert_lets_nothing_through(around[before], around[after], said[before], said[after])
    assert approved > len(around)


@st.composite
def moments(draw: st.DrawFn) -> dict[str, Any]:
    """An ordinary moment with a few things that are not."""
    strange = draw(st.lists(st.sampled_from(sorted(MOMENT)), max_size=5, unique=True))
    return ORDINARY | {name: draw(st.sampled_from(MOMENT[name])) for name in strange}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """A policy, and one that widens nothing against it."""
    before = draw(policies(most=6))
    return before, draw(tightened(before))


@settings(max_examples=100, deadline=None)
@given(pairs(), moments())
def test_many_fields_at_once_that_widen_nothing_approve_no_trade_that_was_refused(
    pair: tuple[Policy, Policy], moment: dict[str, Any]
) -> None:
    court = Court(moment)
    assert_lets_nothing_through(*pair, *(court.verdict(policy) for policy in pair))
