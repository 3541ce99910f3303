"""The summary of a session: what it says of good, bad, empty and enormous ones."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateways.summary import print_session
from gateways.terminal import out

UNIT = 10**9
REPORT: dict[str, Any] = {
    "desk": "main", "files": 2, "rows": 12_000, "rows_rejected": 0, "ticks_added": 11_988, "ordinal": 12_345,
    "events": 456, "signals": 40, "approved": 12, "refused": 28, "fills": 24, "trades": 12, "won": 7,
    "currency": "USD", "initial_nanos": 100_000 * UNIT, "balance_nanos": 100_300 * UNIT,
    "equity_nanos": 100_312_400_000_000, "fees_nanos": 45_200_000_000, "halted": False, "seconds": 0.5,
    "rejects": None,
}  # fmt: skip
Shown = Callable[..., tuple[str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Standard output and error of a summary whose report differs in these fields."""
    monkeypatch.setenv("COLUMNS", "100")

    def show(
        feeds: tuple[str, ...] = ("file:a.csv",),
        refusals: Mapping[str, int] | None = None,
        policy: str | None = "paper-default@1",
        **fields: Any,
    ) -> tuple[str, str]:
        print_session(REPORT | fields, feeds, ("m5_bos_retest",), policy, refusals)
        printed = capsys.readouterr()
        return printed.out, printed.err

    return show


def test_a_session_is_told_in_money_percent_trades_and_speed(shown: Shown) -> None:
    text, errors = shown()
    for words in (
        "paper desk main", "+312.40 USD  +0.31 %", "equity 100,312.40, opened with 100,000.00", "+12.40 still open",
        "12 closed, 7 won (58 %)", "40 signals in this run: 12 approved, 28 refused", "24 fills", "45.20",
        "m5_bos_retest, policy paper-default@1", "12,000 of 2 files, rejected 0", "11,988 ticks added",
        "23,976 ticks/s", "every one fsynced", "cdb status", "cdb why ID", "cdb verify",
    ):  # fmt: skip
        assert words in text
    assert not errors


def test_the_way_to_the_dashboard_is_shown_where_there_is_one(shown: Shown) -> None:
    assert "dashboard" not in shown()[0]
    text, _ = shown(dashboard="http://127.0.0.1:8080/", desk="d2")
    assert "cdb serve projector api --desk d2" in text
    assert "http://127.0.0.1:8080/" in text
    assert "cdb token create" in text


def test_a_loss_has_a_minus_and_nothing_open_is_not_mentioned(shown: Shown) -> None:
    text, _ = shown(equity_nanos=95_000 * UNIT, balance_nanos=95_000 * UNIT)
    assert "-5,000.00 USD  -5.00 %" in text
    assert "still open" not in text
    text, _ = shown(equity_nanos=-3 * UNIT, balance_nanos=97 * UNIT)
    assert "-100,003.00 USD  -100.00 %" in text
    assert "-100.00 still open" in text
    text, _ = shown(equity_nanos=100_000 * UNIT)
    assert "  0.00 USD  0.00 %" in text


@pytest.mark.parametrize(("change", "colour"), [(1, "\x1b[1;32m"), (-1, "\x1b[1;31m")])
def test_won_money_is_green_and_lost_money_red(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, change: int, colour: str
) -> None:
    monkeypatch.setattr(out, "_force_terminal", True)
    monkeypatch.setattr(out, "_color_system", 1)
    text, _ = shown(equity_nanos=(100_000 + change) * UNIT)
    assert f"{colour}{'+' if change > 0 else ''}{change}.00 USD" in text


def test_a_session_that_added_nothing_says_so_and_divides_by_nothing(shown: Shown) -> None:
    nothing = dict.fromkeys(
        ("files", "rows", "ticks_added", "signals", "approved", "refused", "fills", "trades", "won", "initial_nanos",
         "balance_nanos", "equity_nanos", "fees_nanos"), 0,
    )  # fmt: skip
    text, _ = shown(**nothing, seconds=0.0)
    assert "nothing was added" in text
    assert "--desk NEW" in text
    assert "none closed" in text
    assert "ticks/s" not in text
    assert "fsynced" not in text
    assert "%" not in text
    text, _ = shown(seconds=0.0)
    assert "ticks/s" not in text
    assert "nothing was added" not in text


def test_a_halted_desk_says_how_it_goes_on(shown: Shown) -> None:
    assert "with cdb resume\n" in shown(halted=True)[0]
    assert "with cdb resume --desk gold\n" in shown(halted=True, desk="gold")[0]
    assert "halted" not in shown()[0]


def test_the_next_steps_name_the_desk_where_it_is_not_the_default_one(shown: Shown) -> None:
    assert "--desk" not in shown()[0]
    text, _ = shown(desk="gold")
    for command in ("status", "why ID", "verify"):
        assert f"cdb {command} --desk gold " in text


def test_rejected_rows_are_named_on_standard_error(shown: Shown) -> None:
    path = "/data/[bold]/" + "long/" * 40 + "rejects.csv"
    text, errors = shown(rows_rejected=1_234, rejects=path)
    assert errors.strip() == f"1,234 rows rejected, each with its reason in {path}"
    assert "rejects.csv" not in text


def test_synthetic_data_is_never_taken_for_a_market(shown: Shown) -> None:
    text, _ = shown(feeds=("demo",))
    assert "demo  synthetic" in text
    assert "no market ever quoted it" in text
    assert "synthetic" not in shown()[0]


def test_the_rules_that_refused_most_are_named_first(shown: Shown) -> None:
    counts = {"news": 2, "market_session": 12_000, "trend": 40, "volatility": 40, "signal_age": 1}
    text, _ = shown(refusals=counts)
    assert "market session 12,000, trend 40, volatility 40 and 2 other rules" in text
    assert "trend 1 " in shown(refusals={"trend": 1})[0]
    assert "and 1 other rule " in shown(refusals=dict(zip("abcd", range(4), strict=True)))[0]
    assert "refused by" not in shown(refusals={})[0]
    assert "refused by" not in shown()[0]


def test_without_a_policy_of_its_own_the_session_had_the_standing_one(shown: Shown) -> None:
    assert "policy as it stands" in shown(policy=None)[0]


def test_words_from_outside_are_neither_markup_nor_control(shown: Shown) -> None:
    text, errors = shown(feeds=("file:[red]\x1b[2Jb.csv",), policy="[/]", rejects="a\nb", rows_rejected=1)
    assert "[red] [2Jb.csv" in text
    assert "policy [/]" in text
    assert "\x1b" not in text + errors
    assert errors.endswith("a b\n")


COUNTS = st.integers(0, 10**18)


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("rows", "ticks_added", "events", "signals", "approved", "refused", "fills"), COUNTS)
        | {name: st.integers(-(2**63), 2**63 - 1) for name in ("initial_nanos", "balance_nanos", "equity_nanos")}
        | {"trades": COUNTS, "seconds": st.floats(0, 1e9), "halted": st.booleans()}
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_number_is_too_large_or_too_small_to_be_told(shown: Shown, fields: dict[str, Any]) -> None:
    text, _ = shown(**fields, won=fields["trades"] // 2)
    assert f"{fields['signals']:,} signals" in text
    assert max(len(line) for line in text.splitlines()) <= 100
