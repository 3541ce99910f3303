"""How a desk stands, by hand: what is said of account and limits, what blocks it, and what may soon."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.postgres_server import PostgresServer
from domain.instructions import AccountOpened, EngineActivated, PolicyActivated, StrategyActivated, TradingHalted
from domain.operations import BreakerHalfOpened, BreakerOpened, EmergencyStopped
from domain.policy import Limits
from domain.tape import utc
from projections.as_of import AsOf
from projections.queries import Queries
from projections.stand_query import status
from tests.canonical import MONDAY, POLICY, SAID
from tests.projections.folds import DAY, event, ledger, nanos, tape
from tests.projections.stored import Facts, Row, end, failed, ops, standing

LIMITED = POLICY.model_copy(update={"limits": Limits(daily_loss_ppm=50_000, max_loss_ppm=100_000)})
OPENED = AccountOpened(**SAID, id="open", currency="USD", initial_balance_nanos=nanos(100_000))
TOLD = tape(
    EngineActivated(**SAID, id="engine", engine=2),
    OPENED,
    PolicyActivated(**SAID, id="policy", policy=LIMITED),
    StrategyActivated(**SAID, id="ema", strategy="ema_cross", version=2, parameters={"fast": 3}, symbols=("EURUSD",)),
    TradingHalted(**SAID | {"actor": "anna"}, id="trading_halted-26", reason="too | much\nnews"),
)
DAYS = ledger(*DAY)
TROUBLED = ops(
    failed(1, "api"),
    failed(2, "core", retry_seconds=None),
    EmergencyStopped(service="core", occurred_at_ns=3 * 10**9, reason="core", attempts=3),
    failed(4, "ws", error="Conflict", retry_seconds=None),
    BreakerOpened(service="ws", occurred_at_ns=5 * 10**9, dependency="nats", failures=5, last_error="TimeoutError",
                  open_seconds=30.0),
    BreakerOpened(service="ws", occurred_at_ns=6 * 10**9, dependency="postgres", failures=5, last_error="OSError",
                  open_seconds=2.5),
    BreakerHalfOpened(service="ws", occurred_at_ns=7 * 10**9, dependency="postgres"),
)  # fmt: skip
FACTS: Facts = {"tape": TOLD, "ledger": DAYS, "ops": TROUBLED}


@pytest.fixture
async def day(postgres_server: PostgresServer) -> AsyncIterator[Queries]:
    """The day by hand, all of it."""
    async with standing(postgres_server, FACTS) as queries:
        yield queries


def when(number: int) -> str:
    return utc(DAY[number - 1].occurred_at_ns)


# -- halts -------------------------------------------------------------------------------------------------------------


async def test_before_an_account_was_opened_a_desk_has_none(day: Queries) -> None:
    stand = await day.status(AsOf())
    assert (stand["state"], stand["account"], stand["limits"], stand["halt"]) == ("no account", None, [], None)
    assert await day.account(AsOf()) is None
    assert stand["mode"] == "paper"
    assert [stand[name] for name in ("policy", "engine", "strategies", "services", "positions")] == [
        None, None, [], [], []
    ]  # fmt: skip


async def test_a_halt_says_who_halted_why_and_how_it_ends(day: Queries) -> None:
    stand = await day.status(AsOf(tape=5, ledger=27))
    assert stand["state"] == "halted"
    assert stand["halt"] == {
        "id": f"{day.desk}:26", "kind": "instruction", "since": when(26), "actor": "anna", "authority": "operator",
        "reason": "too | much\nnews", "instruction_id": "trading_halted-26", "tape": "tape:5", "breach": None,
    }  # fmt: skip
    (blocker,) = stand["blockers"]
    assert (blocker["kind"], blocker["since"], blocker["who"]) == ("halted", when(26), "anna")
    assert blocker["why"] == "too | much\nnews"
    assert "cdb resume" in blocker["what_to_do"]


async def test_a_halt_whose_instruction_the_moment_does_not_have_is_a_halt_all_the_same(day: Queries) -> None:
    stand = await day.status(AsOf(tape=4, ledger=27))
    assert (stand["state"], stand["halt"]["since"], stand["halt"]["id"]) == ("halted", when(26), f"{day.desk}:26")
    assert (stand["halt"]["actor"], stand["halt"]["reason"], stand["halt"]["tape"]) == (None, None, None)
    assert [blocker["kind"] for blocker in stand["blockers"]] == ["halted"]


async def test_a_resumed_desk_trades(day: Queries) -> None:
    for number in (25, 28, 29):
        stand = await day.status(AsOf(tape=5, ledger=number))
        assert (stand["state"], stand["halt"], stand["blockers"]) == ("trading", None, [])


async def test_a_halt_of_a_limit_says_which_and_by_how_much(day: Queries) -> None:
    stand = await day.status(AsOf(tape=5, ledger=30))
    halt = stand["halt"]
    assert (halt["kind"], halt["since"], halt["actor"]) == ("daily_loss", when(30), "engine")
    assert halt["breach"] == {
        "limit": "daily_loss", "value": "95022.630355000", "bound": "95022.630356000", "symbol": "EURUSD",
        "halted": True,
    }  # fmt: skip
    assert halt["reason"] == "equity 95,022.63 is below 95,022.63"
    assert stand["blockers"][0]["what"] == "trading is halted by the limit daily_loss"


# -- account, limits, what stands --------------------------------------------------------------------------------------


async def test_an_account_that_nothing_happened_to_is_as_it_was_opened(day: Queries) -> None:
    stand = await day.status(AsOf(tape=3, ledger=3))
    account = stand["account"]
    assert stand["state"] == "trading"
    assert {account[name] for name in ("initial", "balance", "equity", "margin_free", "day_balance")} == {
        "100000.000000000"
    }
    assert {account[name] for name in ("floating", "margin", "profit", "today", "best_day")} == {"0.000000000"}
    assert (account["currency"], account["trading_days"], account["changed_at"]) == ("USD", 0, None)
    assert stand["limits"] == [
        {"limit": "daily_loss", "at_equity": "95000.000000000", "room": "5000.000000000", "of": "5000.000000000",
         "used_ratio": 0.0},
        {"limit": "max_loss", "at_equity": "90000.000000000", "room": "10000.000000000", "of": "10000.000000000",
         "used_ratio": 0.0},
    ]  # fmt: skip
    assert stand["alerts"] == []


async def test_the_account_is_as_its_newest_mark_says(day: Queries) -> None:
    stand = await day.status(AsOf(tape=3, ledger=15))
    account = stand["account"]
    assert (account["balance"], account["equity"]) == ("99998.372581000", "99995.172581000")
    assert (account["margin_free"], account["profit"]) == ("98186.922581000", "-1.627419000")
    assert (account["today"], account["changed_at"]) == ("-4.827419000", when(15))
    assert [(limit["room"], limit["used_ratio"]) for limit in stand["limits"]] == [
        ("4995.172581000", 0.000965), ("9995.172581000", 0.000483)
    ]  # fmt: skip
    (held,) = stand["positions"]
    assert (held["symbol"], held["side"], held["quantity"]) == ("EURUSD", "sell", "50000.000000000")
    assert (held["average_price"], held["correlation"]) == ("1.084946000", f"{day.desk}:4")
    assert [order["id"] for order in stand["working_orders"]] == [f"{day.desk}:10", f"{day.desk}:9"]


async def test_what_stands_is_told_with_who_made_it_stand(day: Queries) -> None:
    stand = await day.status(AsOf(tape=4))
    by = {"since": utc(MONDAY), "actor": "sequencer", "authority": "operator"}
    assert stand["policy"] == {"name": "canonical", "version": 3, "id": "tape:3"} | by
    assert stand["engine"] == {"engine": 2, "id": "tape:1"} | by
    assert stand["strategies"] == [
        {"strategy": "ema_cross", "version": 2, "symbols": ["EURUSD"], "parameters": {"fast": 3}, "id": "tape:4"} | by
    ]


# -- services ----------------------------------------------------------------------------------------------------------


async def test_services_that_are_down_and_breakers_that_are_not_closed_block(day: Queries) -> None:
    stand = await day.status(AsOf(ops=TROUBLED[-1].position))
    assert [(b["kind"], b["name"], b["what"], b["since"], b["why"]) for b in stand["blockers"]] == [
        ("service_down", "api", "service api: failed", "1970-01-01T00:00:01Z",
         "Unavailable: the log does not answer"),
        ("service_down", "core", "service core: emergency_stopped", "1970-01-01T00:00:03Z",
         "Unavailable: the log does not answer"),
        ("service_down", "ws", "service ws: failed", "1970-01-01T00:00:04Z", "Conflict: the log does not answer"),
        ("breaker_open", "nats", "the breaker of ws for nats: open", "1970-01-01T00:00:05Z", "TimeoutError"),
        ("breaker_open", "postgres", "the breaker of ws for postgres: half_open", "1970-01-01T00:00:07Z", "OSError"),
    ]  # fmt: skip
    advice = [blocker["what_to_do"] for blocker in stand["blockers"]]
    assert "again after 0.5 s" in advice[0]
    assert "cdb resume" in advice[1]
    assert advice[2] == "mend what it names, then start it again"
    assert "asked again after 30 s" in advice[3]


# -- near limits, and past them ----------------------------------------------------------------------------------------

STANDS: list[Row] = [
    {"kind": "account", "content": {"currency": "USD", "initial_balance_nanos": nanos(100_000)}},
    {"kind": "policy", "content": {"policy": {"name": "p", "version": 1, "limits": {
        "daily_loss_ppm": 50_000, "max_loss_ppm": None, "profit_target_ppm": 100_000, "trading_days_min": 4}}},
     "ordinal": 1, "at_ns": 0, "actor": "a", "authority": "operator"},
]  # fmt: skip
NOTHING: Row = dict.fromkeys(
    ("told", "breach", "challenge", "orders", "positions", "services", "breakers", "pending", "roles", "health")
)


def stand_with(daily_room: int | None) -> Any:
    account = {
        "at_ns": MONDAY, "balance": nanos(100_000), "floating": 0, "equity": nanos(100_000), "margin": None,
        "daily_room": daily_room, "total_room": None, "day_balance": nanos(100_000), "trading_days": 1, "best_day": 0,
        "daily_limit": None if daily_room is None else nanos(100_000) - daily_room, "total_limit": None,
        "target_reached": False, "best_day_kept": True, "halted": False, "halt_number": None, "halt_kind": None,
    }  # fmt: skip
    return status(NOTHING | {"account": account, "standing": STANDS}, "main")


@given(st.integers(-nanos(6_000), nanos(7_000)))
@example(-1)
@example(0)
@example(nanos(750))
@example(nanos(1_250))
def test_a_limit_alerts_in_its_last_fifth_and_blocks_once_it_is_passed(room: int) -> None:
    stand = stand_with(room)
    (limit,) = stand["limits"]
    assert Decimal(limit["room"]) * 10**9 == room
    assert limit["of"] == "5000.000000000"
    kinds = [trouble["kind"] for trouble in stand["blockers"] + stand["alerts"]]
    if room < 0:
        assert kinds == ["limit_passed"]
        assert limit["used_ratio"] >= 1
    elif abs(room - nanos(1_000)) > nanos("0.01"):  # the ratio is of six places
        assert kinds == (["limit_near"] if room < nanos(1_000) else [])
    assert limit["used_ratio"] >= 0


def test_a_limit_whose_room_is_not_known_yet_says_so_and_alarms_nobody() -> None:
    stand = stand_with(None)
    assert stand["limits"] == [
        {"limit": "daily_loss", "at_equity": None, "room": None, "of": "5000.000000000", "used_ratio": None}
    ]
    assert stand["blockers"] == stand["alerts"] == []
    assert stand["account"]["profit_target"] == "10000.000000000"
    assert (stand["account"]["margin"], stand["account"]["trading_days_min"]) == ("0.000000000", 4)


# -- small ledgers -----------------------------------------------------------------------------------------------------


async def test_news_and_other_limits_are_told_in_their_own_units(postgres_server: PostgresServer) -> None:
    facts: Facts = {
        "ledger": ledger(
            event("limit_breached", 1, limit="news_trading", value_nanos=-90 * 10**9, limit_nanos=120 * 10**9,
                  halted=False),
            event("limit_breached", 2, limit="money_range", value_nanos=nanos(3), limit_nanos=nanos(2)),
        )
    }  # fmt: skip
    async with standing(postgres_server, facts) as queries:
        money, news = (await queries.decisions(end(facts))).items
    assert news["why"] == "a fill 1 min 30 s from news, within 2 min"
    assert (news["content"]["value_ns"], news["content"]["bound_ns"]) == (-90 * 10**9, 120 * 10**9)
    assert money["why"] == "3 is past 2, the limit money_range"
    assert (money["content"]["value"], money["content"]["halted"]) == ("3.000000000", True)


async def test_what_the_engine_decided_at_the_time_of_an_instruction_is_told_behind_it(
    postgres_server: PostgresServer,
) -> None:
    kinds = ("limit_breached", "objectives_reached", "limit_breached")
    told = ledger(*(event(kind, number, occurred_at_ns=MONDAY) for number, kind in enumerate(kinds, 1)))
    async with standing(postgres_server, {"tape": TOLD, "ledger": told}) as queries:
        items = (await queries.decisions(AsOf(tape=5, ledger=3))).items
    own = [f"{queries.desk}:{number}" for number in (3, 2, 1)]
    assert [item["id"] for item in items] == [*own, "tape:5", "tape:4", "tape:3", "tape:2", "tape:1"]


async def test_an_order_works_until_it_is_done(postgres_server: PostgresServer) -> None:
    states = ("triggered", "amended", "canceled")
    moved = [event("order_moved", n, order=1, state=state) for n, state in enumerate(states, 2)]
    async with standing(postgres_server, {"ledger": ledger(event("order_placed", 1), *moved)}) as queries:
        for number, state in enumerate(("placed", "triggered", "triggered"), 1):
            at = AsOf(ledger=number)
            (order,) = (await queries.status(at))["working_orders"]
            assert order["state"] == state
            assert (await queries.orders(at, state="working")).items == [order]
        assert (await queries.status(AsOf(ledger=4)))["working_orders"] == []
        assert [order["state"] for order in (await queries.orders(AsOf(ledger=4), state="done")).items] == ["canceled"]


async def test_an_order_that_is_filled_in_part_works_on(day: Queries) -> None:
    (order,) = (await day.orders(AsOf(ledger=8), state="working")).items
    assert (order["state"], order["filled"], order["leaves"]) == (
        "partially_filled", "30000.000000000", "20000.000000000"
    )  # fmt: skip
