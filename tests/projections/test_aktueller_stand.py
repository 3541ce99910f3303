"""AKTUELLER_STAND: the account with its limits and its halt, and what stands, against engine, sequencer and paper."""

import json
from functools import reduce
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.engine import ENGINE
from domain.instructions import AccountOpened, PolicyActivated, StrategyDeactivated
from domain.ports import END
from gateways.standing import nothing_stands, stand
from projections.aktueller_stand import MODEL
from tests import canonical
from tests.canonical import POLICY, SAID, activated
from tests.projections import folds
from tests.projections.folds import DAY, Row, event, nanos, row, rows, versions

FACTS = folds.ledger(*DAY)


def account(at: int = END - 1, facts: Any = FACTS) -> Row:
    return row(MODEL, "account", facts, "account", at=at)


# -- account -----------------------------------------------------------------------------------------------------------


def test_before_the_first_booking_nothing_is_said_about_an_account() -> None:
    assert rows(MODEL, "account", FACTS, at=7) == {}


def test_the_first_booking_tells_what_the_day_began_with_and_no_limit_yet() -> None:
    assert account(at=8) == {
        "at_ns": DAY[7].occurred_at_ns, "balance": nanos("99999.023545"), "floating": nanos("-1.8"),
        "equity": nanos("99997.223545"), "margin": nanos("1084.95"), "daily_room": None, "total_room": None,
        "day_balance": nanos(100_000), "daily_limit": None, "total_limit": None, "trading_days": 1, "best_day": 0,
        "target_reached": False, "best_day_kept": True, "halted": False, "halt_number": None, "halt_kind": None,
    }  # fmt: skip


def test_a_mark_tells_the_limits_and_every_booking_behind_it_its_room() -> None:
    limits = {"daily_limit": nanos(95_000), "total_limit": nanos(90_000)}
    marked, booked = account(at=15), account(at=17)
    assert {name: marked[name] for name in limits} == limits == {name: booked[name] for name in limits}
    assert (marked["daily_room"], marked["total_room"]) == (nanos("4995.172581"), nanos("9995.172581"))
    assert (booked["daily_room"], booked["total_room"]) == (nanos("5022.630356"), nanos("10022.630356"))
    assert booked["day_balance"] == nanos(100_000)


def test_a_mark_without_a_limit_ends_it() -> None:
    unlimited = event("account_marked", 18, daily_room_nanos=None, total_room_nanos=5)
    told = account(facts=[*FACTS[:17], *folds.ledger(unlimited)])
    assert (told["daily_limit"], told["daily_room"], told["total_room"]) == (None, None, 5)
    assert told["total_limit"] == unlimited.equity_nanos - 5


def test_midnight_tells_the_new_days_balance_limits_and_objectives() -> None:
    assert account(at=29) == account(at=17) | {
        "at_ns": DAY[28].occurred_at_ns, "day_balance": nanos("100022.630356"), "daily_limit": nanos("95022.630356"),
        "total_limit": nanos(90_000), "daily_room": nanos(5_000), "total_room": nanos("10022.630356"),
        "best_day": nanos("22.630356"),
    }  # fmt: skip


def test_a_midnight_without_limits_has_no_room_to_tell() -> None:
    told = account(facts=folds.ledger(event("day_rolled", 1, daily_limit_nanos=0, total_limit_nanos=-5)))
    assert (told["daily_limit"], told["daily_room"]) == (None, None)
    assert (told["total_limit"], told["total_room"]) == (-5, told["equity"] + 5)


def test_a_halt_stands_from_its_instruction_to_the_resume_and_names_both_kinds_of_cause() -> None:
    def halt(at: int) -> tuple[Any, ...]:
        return tuple(account(at=at)[name] for name in ("halted", "halt_number", "halt_kind"))

    assert [halt(25), halt(26), halt(27)] == [(False, None, None), (True, 26, "instruction"), (True, 26, "instruction")]
    assert [halt(28), halt(30)] == [(False, None, None), (True, 30, "daily_loss")]


def test_a_halt_before_the_first_booking_is_told_without_money() -> None:
    told = account(facts=folds.ledger(event("instruction_applied", 1, kind="trading_halted")))
    assert (told["halted"], told["halt_number"], told["balance"], told["equity"]) == (True, 1, None, None)


def test_a_halt_stands_as_it_began_and_news_halts_nothing() -> None:
    facts = folds.ledger(
        event("limit_breached", 1, limit="news_trading", halted=False),
        event("instruction_applied", 2, kind="trading_halted"),
        event("limit_breached", 3, limit="max_loss"),
        event("instruction_applied", 4, kind="trading_halted"),
    )
    assert rows(MODEL, "account", facts, at=1) == {}
    assert [(account(at, facts)["halt_number"], account(at, facts)["halt_kind"]) for at in (2, 3, 4)] == [
        (2, "instruction")
    ] * 3


def test_at_every_moment_the_account_is_the_engines_at_its_newest_event() -> None:
    told, compared = versions(MODEL, "account", folds.golden("ledger")), 0
    kinds = ("fill_booked", "account_marked", "day_rolled")
    for moment in folds.golden_moments():
        own, now = moment.account, [a for _, since, until, a in told if since <= moment.number < until]
        if not now:
            continue
        (stands,) = now
        assert stands["balance"] == own["balance"]
        assert stands["day_balance"] == own["day_balance"]
        assert stands["halted"] == bool(moment.desk["halted"])
        assert stands["trading_days"] == own["trading_days"]
        if any(one.type == "day_rolled" for one in moment.events):
            assert stands["best_day"] == own["best_day"]
        if moment.events and moment.events[-1].type in kinds and moment.desk["now"] == stands["at_ns"]:
            compared += 1
            assert (stands["floating"], stands["margin"]) == (own["floating"], own["margin"])
            assert stands["daily_limit"] in (None, own["daily_limit"])
    assert compared > 10


AMOUNTS = st.integers(-(10**16), 10**16)
CHANGES = st.sampled_from(
    ["fill_booked", "account_marked", "day_rolled", "limit_breached", "trading_halted", "trading_resumed", "other"]
)


@given(st.lists(st.tuples(CHANGES, AMOUNTS, AMOUNTS, AMOUNTS), max_size=20), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_happens_a_room_is_the_way_from_equity_to_its_limit(
    happened: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    events, halted_by = [], None
    for number, (kind, balance, floating, limit) in enumerate(happened, 1):
        money = {"balance_nanos": balance, "equity_nanos": balance + floating}
        match kind:
            case "fill_booked":
                events.append(event(kind, number, **money, floating_nanos=floating))
            case "account_marked":
                room = balance + floating - limit
                rooms = {"daily_room_nanos": room, "total_room_nanos": None}
                events.append(event(kind, number, **money, floating_nanos=floating, **rooms))
            case "day_rolled":
                events.append(event(kind, number, **money, daily_limit_nanos=limit, total_limit_nanos=0))
            case "limit_breached":
                events.append(event(kind, number, halted=limit > 0))
                halted_by = halted_by or (number if limit > 0 else None)
            case _:
                events.append(event("instruction_applied", number, kind=kind))
                if kind == "trading_resumed":
                    halted_by = None
                elif kind == "trading_halted":
                    halted_by = halted_by or number
    facts = folds.ledger(*events)
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    assert versions(MODEL, "account", facts, cuts) == versions(MODEL, "account", facts)
    for _, _, until, told in versions(MODEL, "account", facts):
        for name in ("daily", "total"):
            limit_then = told[f"{name}_limit"]
            assert told[f"{name}_room"] == (None if limit_then is None else told["equity"] - limit_then)
        if told["equity"] is not None:
            assert told["equity"] == told["balance"] + told["floating"]
        if until == END:
            assert (told["halted"], told["halt_number"]) == (halted_by is not None, halted_by)


# -- what stands -------------------------------------------------------------------------------------------------------


def standing(*instructions: Any, at: int = END - 1) -> dict[Any, Row]:
    return rows(MODEL, "standing", folds.tape(*instructions), at=at)


def content(told: Row) -> Any:
    return json.loads(told["content"])


def test_what_stands_names_its_place_its_author_and_its_whole_content() -> None:
    told = standing(*canonical.opening(2, ["ema_cross"], trading=True))
    assert set(told) == {
        ("instrument", "EURUSD"), ("instrument", "GBPUSD"), ("engine", "engine"), ("account", "account"),
        ("policy", "policy"), ("strategy", "ema_cross"), ("challenge", "challenge"),
    }  # fmt: skip
    policy = told["policy", "policy"]
    assert (policy["ordinal"], policy["at_ns"]) == (6, canonical.MONDAY)
    assert (policy["actor"], policy["authority"]) == ("sequencer", "operator")
    assert content(policy) == {"policy": POLICY.model_dump(mode="json")}
    assert content(told["account", "account"]) == {"currency": "USD", "initial_balance_nanos": nanos(100_000)}
    assert content(told["engine", "engine"])["engine"] == ENGINE
    assert content(told["strategy", "ema_cross"])["parameters"] == canonical.PARAMETERS["ema_cross"]


def test_a_strategy_stands_from_its_activation_to_its_end_in_its_newest_version() -> None:
    told = [
        activated("ema_cross", "EURUSD", id="a"),
        activated("ema_cross", "EURUSD", id="b", fast=30),
        StrategyDeactivated(id="c", **SAID, strategy="ema_cross"),
        StrategyDeactivated(id="d", **SAID, strategy="never_was"),
    ]
    assert [standing(*told, at=at).keys() for at in (0, 3, 4)] == [set(), set(), set()]
    fasts = [content(standing(*told, at=at)["strategy", "ema_cross"])["parameters"]["fast"] for at in (1, 2)]
    assert fasts == [20, 30]


def test_a_repeated_instruction_and_a_second_account_change_nothing() -> None:
    first, second = activated("ema_cross", id="a"), activated("ema_cross", id="b", fast=30)
    told = standing(first, second, first)
    assert told["strategy", "ema_cross"]["ordinal"] == 2
    opened = [AccountOpened(id=id, **SAID, currency="USD", initial_balance_nanos=n) for id, n in (("a", 5), ("b", 6))]  # noqa: A001
    assert content(standing(*opened)["account", "account"])["initial_balance_nanos"] == 5


def test_what_stands_is_what_the_writer_of_the_tape_goes_on_from() -> None:
    facts = folds.golden("tape")
    told = rows(MODEL, "standing", facts)
    writer = reduce(stand, (fact.event for fact in facts), nothing_stands())
    names: dict[str, set[str]] = {}
    for kind, name in told:
        names.setdefault(kind, set()).add(name)
    assert names["instrument"] == set(writer.instruments)
    assert names["strategy"] == set(writer.strategies)
    for name, active in writer.strategies.items():
        assert content(told["strategy", name]) == json.loads(json.dumps(active._asdict()))
    assert writer.policy is not None
    assert content(told["policy", "policy"])["policy"] == writer.policy.model_dump(mode="json")
    assert content(told["engine", "engine"])["engine"] == writer.engine


@given(
    st.lists(st.tuples(st.sampled_from(["on", "off", "policy", "account"]), st.integers(0, 3)), max_size=20), st.data()
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_what_stands_is_the_newest_word_of_each_kind(
    written: list[tuple[str, int]], data: st.DataObject
) -> None:
    instructions: list[Any] = []
    paper: dict[tuple[str, str], int] = {}
    name = ""
    for ordinal, (kind, which) in enumerate(written, 1):
        match kind:
            case "on":
                instructions.append(activated("ema_cross", id=str(ordinal), fast=5 + which))
                paper["strategy", "ema_cross"] = ordinal
            case "off":
                instructions.append(StrategyDeactivated(id=str(ordinal), **SAID, strategy="ema_cross"))
                paper.pop(("strategy", "ema_cross"), None)
            case "policy":
                policy = POLICY.model_copy(update={"name": f"p{which // 2}", "version": which})
                if policy.name != name:
                    paper["challenge", "challenge"] = ordinal
                instructions.append(PolicyActivated(id=str(ordinal), **SAID, policy=policy))
                paper["policy", "policy"], name = ordinal, policy.name
            case _:
                instructions.append(AccountOpened(id=str(ordinal), **SAID, currency="USD", initial_balance_nanos=9))
                paper.setdefault(("account", "account"), ordinal)
    facts = folds.tape(*instructions)
    cuts = data.draw(st.sets(st.integers(0, len(facts))))
    assert {key: told["ordinal"] for key, told in rows(MODEL, "standing", facts).items()} == paper
    assert versions(MODEL, "standing", facts, cuts) == versions(MODEL, "standing", facts)


def test_its_tables_and_its_restarts_are_sound() -> None:
    folds.check(MODEL, FACTS)
    folds.check(MODEL, folds.golden("tape"), "tape")


def test_what_stands_beside_a_strategy_stands_for_good() -> None:
    told = versions(MODEL, "standing", folds.tape(activated("ema_cross"), *canonical.opening(1, trading=True)[1:]))
    assert all(until == END for _, _, until, _ in told)
