"""What made a size and a fill is told in lines that a person reads, and nothing of it is left out."""

from typing import Any

import pytest

from gateways.evidence import fill_lines, size_lines
from ops.ledger_rows import event_row
from tests import canonical

SIZING: dict[str, Any] = event_row(canonical.EVENTS["signal_assessed"], "main")["sizing"]
FILL: dict[str, Any] = event_row(canonical.EVENTS["order_filled"], "main")
RISK = "risk 1 % of equity 99,000.00"


def test_a_size_tells_its_bound_its_adjustments_its_shadow_results_and_its_stop() -> None:
    assert list(size_lines(SIZING)) == [
        "size 50,900: the exposure that the instrument may have, cut to lot steps",
        f"{RISK} x 80 % by drawdown: 792.00 to lose; Kelly would allow 2.25 %",
        "win rate 61.25 %, drawdown 3.4 R over 40 shadow trades",
        "stop 0.0002 away, spread 0.00006, slippage 0.00001, commission 0.05: 1,000 units lose 0.25",
    ]


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        ({"drawdown_size_ppm": 1_000_000}, 1, f"{RISK}, not adjusted: 792.00 to lose; Kelly would allow 2.25 %"),
        ({"confidence_size_ppm": 505_000, "performance_size_ppm": 500_000}, 1,
         f"{RISK} x 50.5 % by confidence x 80 % by drawdown x 50 % by performance: 792.00 to lose; "
         "Kelly would allow 2.25 %"),
        ({"kelly": "not_used"}, 1, f"{RISK} x 80 % by drawdown: 792.00 to lose; no Kelly in this policy"),
        ({"kelly": "too_few_trades", "shadow_trades": 29}, 1,
         f"{RISK} x 80 % by drawdown: 792.00 to lose; no Kelly before 30 shadow trades, 29 now"),
        ({"kelly": "no_edge"}, 1, f"{RISK} x 80 % by drawdown: 792.00 to lose; Kelly finds no edge"),
        ({"kelly": "used"}, 1, f"{RISK} x 80 % by drawdown: 792.00 to lose; Kelly allows 2.25 %"),
        ({"cut": "smallest_lot", "bound": "kelly"}, 0, "size 50,900: Kelly, which is below the smallest lot"),
        ({"cut": "none", "bound": "asked"}, 0, "size 50,900: it was asked for"),
        ({"bound": "fixed"}, 1, "win rate 61.25 %, drawdown 3.4 R over 40 shadow trades"),
        ({"shadow_trades": 0}, 2, "stop 0.0002 away, spread 0.00006, slippage 0.00001, commission 0.05: "
         "1,000 units lose 0.25"),
    ],
)  # fmt: skip
def test_a_size_tells_what_the_event_says(change: dict[str, Any], place: int, says: str) -> None:
    assert list(size_lines(SIZING | change))[place] == says


def test_a_size_without_stop_or_results_is_one_line() -> None:
    nothing = {"bound": "no_stop", "shadow_trades": 0, "stop_distance": "0", "cut": "none", "unfloored": "0"}
    assert list(size_lines(SIZING | nothing)) == ["size 0: there is no stop to reckon with"]


def test_a_fill_tells_every_parameter_of_the_market_that_made_it() -> None:
    assert list(fill_lines(FILL)) == [
        "at the quote; bid 1.08495, ask 1.08501 (of a bar), commission 0.0025 %",
        "level 2 of 5: 30,000 displayed; slippage 0.5 points on market orders",
        "latency 50 ms, of 40 ms and up to 20 ms drawn by a seed",
    ]


@pytest.mark.parametrize(
    ("change", "market", "lines"),
    [
        ({}, {"basis": "trigger", "trigger": "1.0852"}, {0: "at its trigger 1.0852, passed inside the bar; "}),
        (
            {},
            {"trigger": "1.0852", "from_bar": False},
            {0: "at the quote, its trigger was 1.0852; bid 1.08495, ask 1.08501, c"},
        ),
        ({}, {"basis": "limit"}, {0: "at its limit; bid", 1: "limits fill once the market trades through them"}),
        ({}, {"basis": "limit", "limit_fill": "touch"}, {1: "limits fill once the market touches them"}),
        ({"displayed": None, "level": 0}, {}, {1: "level 1 of 5: any size; slippage 0.5 points"}),
        ({}, {"latency_jitter_ns": 0}, {2: "latency 50 ms, constant"}),
        ({}, {"latency_jitter_ns": 0, "latency_drawn_ns": 0}, {2: "latency 0 s, constant"}),
        ({}, {"latency_constant_ns": 0}, {2: "latency 50 ms, of 0 s and up to 20 ms drawn by a seed"}),
    ],
)
def test_a_fill_tells_what_the_event_says(
    change: dict[str, Any], market: dict[str, Any], lines: dict[int, str]
) -> None:
    told = list(fill_lines(FILL | change | {"market": FILL["market"] | market}))
    assert all(told[place].startswith(says) for place, says in lines.items())


def test_evidence_is_readable_in_rows_too() -> None:
    assert (SIZING["stop_distance"], SIZING["equity"], SIZING["fraction_ppm"]) == (
        "0.000200000",
        "99000.000000000",
        10_000,
    )
    assert (FILL["market"]["trigger"], FILL["market"]["latency_drawn_ns"]) == (None, 50_000_000)
