"""`cdb stop`, `resume`, `order`, `cancel`, `calendar`, `policies`: what they ask, what they answer, how they exit."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Unavailable
from tests.gateways.test_cli import APPLIED, Fake, command_line

REFUSED = APPLIED | {"applied": False, "reason": "order 7 is not working [as such]"}
UNDECIDED = APPLIED | {"applied": False, "ledger": "", "reason": "no engine runs"}
LATCHED = {"latched": "halts/main.json", "reason": "nobody writes the tape"}
COMMANDS = [["order", "buy", "EURUSD", "1"], ["cancel", "7"], ["calendar", "import", "week.csv"]]


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line(fake, monkeypatch, capsys)


def test_a_halt_is_passed_on_and_its_place_named(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("stop", "--reason", "news at two", "--flatten", "--desk", "d2")
    assert code == 0
    assert fake.asked == {"reason": "news at two", "flatten": True}
    assert fake.built["desk"] == "d2"
    assert "Trading is halted at tape:12, answered by main:5." in out
    assert json.loads(cdb("stop", "--json")[1]) == APPLIED


@pytest.mark.parametrize(
    ("outcome", "told"),
    [(LATCHED, "Halt latched in halts/main.json"), (UNDECIDED, "The halt stands at tape:12")],
)
def test_a_halt_that_nobody_answers_is_a_halt(
    fake: Fake, cdb: Callable[..., Any], outcome: dict[str, Any], told: str
) -> None:
    fake.outcome = outcome
    code, out, _ = cdb("stop")
    assert code == 0
    assert told in out
    assert outcome["reason"] in out
    assert "Trading is halted" not in out


@pytest.mark.parametrize(
    ("prices", "kind"),
    [
        ([], "market"),
        (["--limit", "1.1"], "limit"),
        (["--trigger", "1.2"], "stop"),
        (["--limit", "1.1", "--trigger", "1.2"], "stop_limit"),
        (["--stop", "1.0", "--target", "1.3"], "market"),
    ],
)
def test_the_prices_given_make_the_type_of_an_order(
    fake: Fake, cdb: Callable[..., Any], prices: list[str], kind: str
) -> None:
    assert cdb("order", "sell", "EURUSD", "0.25", *prices, "--tif", "day")[0] == 0
    given = dict(zip([name[2:] for name in prices[::2]], map(Decimal, prices[1::2]), strict=True))
    assert fake.asked["terms"] == {
        "side": "sell", "symbol": "EURUSD", "type": kind, "lots": Decimal("0.25"), "time_in_force": "day",
        "expires_at_ns": 0, **dict.fromkeys(("limit", "trigger", "stop", "target")), **given,
    }  # fmt: skip


VERDICT = {
    "id": "main:6", "type": "signal_assessed", "verdict": "approved", "side": "buy", "quantity": "10000", "risk": "0",
    "size_ppm": 1_000_000, "stop": None, "target": None, "rules": [],
}  # fmt: skip


def test_an_order_is_told_with_its_verdict_and_its_id(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.outcome = APPLIED | {"verdict": VERDICT, "order": "main:7"}
    code, out, _ = cdb("order", "buy", "EURUSD", "0.1")
    assert (code, out) == (0, "approved buy 10,000, no stop as order main:7. cdb why main:6\n")


def test_an_order_that_the_rules_refuse_says_why_and_exits_with_2(fake: Fake, cdb: Callable[..., Any]) -> None:
    rule = {"rule": "positions", "value": 3, "limit": 2, "passed": False, "says": "3 are open, 2 may be"}
    fake.outcome = APPLIED | {"verdict": VERDICT | {"verdict": "refused", "rules": [rule]}, "order": None}
    code, out, _ = cdb("order", "buy", "EURUSD", "0.1")
    assert (code, out) == (2, "refused buy: 3 are open, 2 may be. cdb why main:6\n")
    code, out, _ = cdb("order", "buy", "EURUSD", "0.1", "--json")
    assert (code, json.loads(out)) == (2, fake.outcome)


def test_no_digit_of_a_price_or_of_a_time_is_lost(fake: Fake, cdb: Callable[..., Any]) -> None:
    digits = "1.10000000000000000000000000000000001"
    cdb("order", "buy", "EURUSD", "1", "--limit", digits, "--expires", "2018-06-13T12:00:00.123456789Z")
    terms = fake.asked["terms"]
    assert str(terms["limit"]) == digits
    assert terms["expires_at_ns"] == 1_528_891_200_123_456_789


def test_a_time_at_which_an_order_ends_makes_it_good_till_then(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("order", "buy", "EURUSD", "1", "--limit", "1.1", "--expires", "2018-06-13T12:00+02:00")[0] == 0
    terms = fake.asked["terms"]
    assert (terms["time_in_force"], terms["expires_at_ns"]) == ("gtd", 1_528_884_000 * 10**9)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_is_refused_says_why_and_exits_with_2(fake: Fake, cdb: Callable[..., Any], command: list[str]) -> None:
    fake.outcome = REFUSED
    code, _, err = cdb(*command)
    assert (code, err.strip()) == (2, "refused: order 7 is not working [as such]")
    code, out, _ = cdb(*command, "--json")
    assert code == 2
    assert json.loads(out)["applied"] is False


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_no_engine_has_decided_is_no_success_and_no_refusal(
    fake: Fake, cdb: Callable[..., Any], command: list[str]
) -> None:
    fake.outcome = UNDECIDED
    code, _, err = cdb(*command)
    assert (code, err.strip()) == (Unavailable.exit_code, "It stands at tape:12; no engine runs")
    assert "refused" not in err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_is_applied_names_its_places(cdb: Callable[..., Any], command: list[str]) -> None:
    code, out, _ = cdb(*command)
    assert code == 0
    assert "tape:12, answered by main:5" in out
    code, out, _ = cdb(*command, "--json")
    assert (code, json.loads(out)["ledger"]) == (0, "main:5")


def test_a_calendar_is_passed_on_and_counted(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert "1,234 entries imported" in cdb("calendar", "import", "week.csv")[1]
    assert fake.asked == {"path": Path("week.csv")}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["order", "buy", "EURUSD", "lots"], "lots 'lots' is not a number"),
        (["order", "buy", "EURUSD", "inf"], "lots 'inf' is not a number"),
        (["order", "buy", "EURUSD", "1_0"], "lots '1_0' is not a number; for example lots 0.1"),
        (["order", "buy", "EURUSD", "\uff11"], "lots '\uff11' is not a number"),
        (
            ["order", "buy", "EURUSD", "1", "--limit", "cheap"],
            "--limit 'cheap' is not a number; for example --limit 1",
        ),
        (["order", "buy", "EURUSD", "1", "--stop", "1,10"], "--stop '1,10' is not a number"),
        (["order", "buy", "EURUSD", "1", "--trigger", "-inf"], "--trigger '-inf' is not a number"),
        (["order", "buy", "EURUSD", "1", "--limit", "1e99999"], "--limit '1e99999' is not a number"),
        (["order", "buy", "EURUSD", "1", "--expires", "2018-06-13T12:00:00.1234567891"], "is finer than a nanosecond"),
        (["order", "buy", "EURUSD", "1", "--target", "nan"], "--target 'nan' is not a number"),
        (
            ["order", "buy", "EURUSD", "1", "--tif", "ioc", "--expires", "2018-06-13T12:00Z"],
            "--tif ioc and --expires 2018-06-13T12:00Z say two ends of one order",
        ),
        (["order", "buy", "EURUSD", "1", "--expires", "soon"], "--expires 'soon' is not a time"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_asked(
    fake: Fake, cdb: Callable[..., Any], arguments: list[str], named: str
) -> None:
    code, out, err = cdb(*arguments)
    assert (code, out) == (2, "")
    assert named in " ".join(err.split())
    assert fake.asked == {}


def test_policies_can_be_read_and_parsed(cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("policies")
    assert code == 0
    assert "ftmo-x@1" in out
    assert "daily_loss 5 %" in out
    assert "sessions london/new_york" in out
    assert "no risk_per_trade_max limit" in out
    assert "None" not in out
    assert json.loads(cdb("policies", "--json")[1])["policy"] == "ftmo-x@1"
