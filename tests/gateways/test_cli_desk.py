"""`cdb run`, `up` and `serve`: what they ask of the desk, and what they refuse before they ask."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict
from tests.gateways.test_cli import REPORT, Fake, command_line


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line(fake, monkeypatch, capsys)


@pytest.mark.parametrize("command", ["run", "up"])
def test_every_choice_is_passed_on(fake: Fake, cdb: Callable[..., Any], command: str) -> None:
    code, out, _ = cdb(
        command, "--feed", "file:a.csv", "--strategy", "ema_cross", "--strategy", "m1_retest@1", "--param",
        "ema_cross.fast=5", "--symbols", "EURUSD,GBPUSD", "--policy", "ftmo-2step-challenge", "--balance", "5000.50",
        "--currency", "EUR", "--calendar", "week.csv", "--speed", "60", "--exit-when-done", "--desk", "d2", "--json",
    )  # fmt: skip
    assert code == 0
    wanted = fake.asked["wanted"]
    assert (wanted.feeds, wanted.strategies) == (["file:a.csv"], ["ema_cross", "m1_retest@1"])
    assert (wanted.parameters, wanted.symbols) == ({"ema_cross.fast": "5"}, ["EURUSD", "GBPUSD"])
    assert (wanted.policy, wanted.balance, wanted.currency) == ("ftmo-2step-challenge", Decimal("5000.50"), "EUR")
    assert (wanted.calendar, wanted.speed, wanted.options["default_symbol"]) == (Path("week.csv"), "60", None)
    assert fake.built["desk"] == "d2"
    assert json.loads(out) == REPORT | {"refusals": {}}


def test_what_is_not_chosen_stays_as_it_stands(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("up", "--quiet")[0] == 0
    wanted = fake.asked["wanted"]
    assert (wanted.policy, wanted.balance, wanted.currency, wanted.calendar, wanted.speed) == (None,) * 4 + ("max",)


@pytest.mark.parametrize(
    ("arguments", "services", "until_fed", "shown"),
    [
        (["up"], ("ws", "core"), False, True),
        (["up", "--exit-when-done"], ("ws", "core"), True, True),
        (["up", "--quiet"], ("ws", "core"), False, False),
        (["up", "--json"], ("ws", "core"), False, False),
        (["serve", "ws"], ("ws",), False, False),
        (["serve", "ws", "--exit-when-done"], ("ws",), True, False),
        (["serve", "core"], ("core",), False, False),
        (["serve", "ws", "core"], ("ws", "core"), False, False),
    ],
)
def test_up_runs_everything_and_serve_one_service(
    fake: Fake, cdb: Callable[..., Any], arguments: list[str], services: tuple[str, ...], until_fed: bool, shown: bool
) -> None:
    assert cdb(*arguments)[0] == 0
    assert (fake.asked["services"], fake.asked["until_fed"], fake.asked["shown"]) == (services, until_fed, shown)
    assert (fake.asked["wanted"] is not None) == (arguments[0] == "up")  # what is served has no feed of its own accord


def test_up_has_a_dashboard_beside_it_unless_nobody_wants_one(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("up")[0] == 0
    assert fake.asked["dashboard"]
    assert cdb("up", "--no-dashboard")[0] == 0
    assert not fake.asked["dashboard"]
    assert cdb("serve", "ws")[0] == 0
    assert not fake.asked["dashboard"]


@pytest.mark.parametrize(
    ("arguments", "served", "attached"),
    [
        (["projector"], ("projector",), False),
        (["api", "projector", "api"], ("api", "projector"), False),
        (["projector", "api", "--attached"], ("projector", "api"), True),
    ],
)
def test_the_read_side_is_served_by_itself(
    fake: Fake, cdb: Callable[..., Any], arguments: list[str], served: tuple[str, ...], attached: bool
) -> None:
    assert cdb("serve", *arguments)[0] == 0
    assert fake.asked == {"served": served, "attached": attached}


def test_a_served_feed_is_passed_on(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("serve", "ws", "--feed", "tape:eurusd", "--policy", "bench-wide", "--speed", "live")[0] == 0
    assert (fake.asked["wanted"].feeds, fake.asked["wanted"].policy) == (["tape:eurusd"], "bench-wide")
    assert fake.asked["wanted"].speed == "live"


def test_a_person_reads_a_summary(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, err = cdb("run", "--feed", "demo")
    assert code == 0
    assert "paper desk" in out
    assert "synthetic" in out
    assert "--exit-when-done" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--balance", "much"], "--balance 'much' is not a number"),
        (["run", "--balance", "nan"], "--balance 'nan' is not a number"),
        (["up", "--balance", "inf"], "--balance 'inf' is not a number"),
        (["up", "--param", "=5"], "--param '=5' is not NAME=VALUE"),
        (["up", "--price", "middle"], "--price 'middle' is not one of mid, bid, ask"),
        (["serve", "web"], "service 'web' is not one of ws, core, projector, api"),
        (["serve", "ws", "projector"], "projector and api and governance never run in the process that trades"),
        (["serve", "projector", "--feed", "demo"], "belong to `cdb serve ws`"),
        (["serve", "core", "--feed", "demo"], "belong to `cdb serve ws`"),
        (["serve", "core", "--exit-when-done"], "belong to `cdb serve ws`"),
        (["serve", "core", "--strategy", "ema_cross"], "belong to `cdb serve ws`"),
        (["serve", "ws", "--policy", "bench-wide"], "give --feed too"),
        (["serve", "ws", "--calendar", "week.csv"], "give --feed too"),
        (["serve", "ws", "--balance", "0"], "give --feed too"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_asked(
    fake: Fake, cdb: Callable[..., Any], arguments: list[str], named: str
) -> None:
    code, out, err = cdb(*arguments)
    assert (code, out) == (2, "")
    assert named in " ".join(err.split())
    assert fake.asked == {}


def test_another_writer_is_one_line_and_exit_code_4(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.fails = Conflict("desk main: another process runs its service ws")
    code, out, err = cdb("up", "--json")
    assert code == 4
    assert json.loads(out)["error"] == "Conflict"
    assert err.strip() == "error: desk main: another process runs its service ws"
