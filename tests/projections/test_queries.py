"""Every question at many moments of the golden script, on PostgreSQL, against plain Python over the same facts."""

import itertools
import random
from typing import Any

import pytest

from domain.tape import utc
from projections.answers import answer
from projections.as_of import AsOf
from projections.queries import Page, Queries
from projections.stand_query import positions_of
from tests.projections.folds import golden, golden_moments
from tests.projections.stored import Row, end, said

END = end()
WORKING = ("placed", "triggered", "partially_filled")
_drawn = random.Random(4)
MOMENTS = [
    AsOf(),
    AsOf(tape=END.tape),
    AsOf(ledger=END.ledger),
    *(AsOf(_drawn.randint(0, END.tape), _drawn.randint(0, END.ledger), _drawn.randint(0, END.ops)) for _ in range(25)),
    *(AsOf(END.tape, number, END.ops) for number in range(0, END.ledger, 97)),
    END,
]


def shown(desk: str, rows: list[Row]) -> list[Row]:
    return [answer(row, desk) for row in rows]


def newest(rows: list[Row], **wanted: Any) -> list[Row]:
    """Rows with these values, newest first."""
    return [row for row in reversed(rows) if all(row[name] == value for name, value in wanted.items())]


# -- against plain Python ----------------------------------------------------------------------------------------------


async def test_orders_and_fills_are_those_of_the_facts_up_to_the_moment(queries: Queries) -> None:
    name, seen = queries.desk, 0
    for at in MOMENTS:
        orders, fills = said("orders", at), said("fills", at)
        working = [order for order in orders if order["state"] in WORKING]
        done = [order for order in orders if order["state"] not in WORKING]
        seen += len(working)
        for state, expected in (("all", orders), ("working", working), ("done", done)):
            for symbol in (None, "GBPUSD"):
                wanted = {"symbol": symbol} if symbol else {}
                page = await queries.orders(at, state=state, symbol=symbol, limit=1_000)  # type: ignore[arg-type]
                assert page == Page(shown(name, newest(expected, **wanted)), None)
        assert (await queries.fills(at, limit=1_000)).items == shown(name, newest(fills))
        assert (await queries.fills(at, symbol="EURUSD", limit=1_000)).items == shown(
            name, newest(fills, symbol="EURUSD")
        )
        for order in orders[::9]:
            own = [fill for fill in fills if fill["order_number"] == order["number"]]
            assert await queries.order(at, order["number"]) == answer(order, name) | {"fills": shown(name, own)}
        assert await queries.order(at, at.ledger + 1) is None
    assert seen > 20


async def test_signals_are_those_of_the_facts_up_to_the_moment(queries: Queries) -> None:
    name = queries.desk
    for at in MOMENTS:
        signals = said("signals", at)
        short = [{column: row[column] for column in row if column not in ("rules", "sizing")} for row in signals]
        rules = {rule for row in signals for rule in row["refused_by"] or ()}
        asked: list[tuple[Row, list[Row]]] = [
            ({}, newest(short)),
            ({"verdict": "approved"}, newest(short, verdict="approved")),
            ({"verdict": "refused"}, newest(short, verdict="refused")),
            ({"verdict": "pending"}, newest(short, verdict=None)),
            ({"strategy": "request"}, newest(short, strategy="request")),
            ({"strategy": "ema_cross", "symbol": "GBPUSD"}, newest(short, strategy="ema_cross", symbol="GBPUSD")),
            *(({"rule": rule}, [row for row in newest(short) if rule in (row["refused_by"] or ())]) for rule in rules),
        ]
        for question, expected in asked:
            page = await queries.signals(at, limit=1_000, **question)
            assert page == Page(shown(name, expected), None), question
        for signal in signals[::17]:
            assert await queries.signal(at, signal["number"]) == answer(signal, name)
        assert await queries.signal(at, at.ledger + 1) is None


async def test_a_signal_whose_verdict_the_moment_does_not_have_is_pending(queries: Queries) -> None:
    raised = next(fact for fact in golden("ledger") if fact.event.type == "signal_raised" and fact.position > 500)
    at = END._replace(ledger=raised.position)
    (pending,) = (await queries.signals(at, verdict="pending")).items
    assert (pending["id"], pending["verdict"]) == (f"{queries.desk}:{raised.position}", None)
    found = await queries.signal(END, raised.position)
    assert found
    assert found["verdict"] in ("approved", "refused")
    assert len(found["rules"]) > 10


async def test_positions_are_those_of_the_facts_up_to_the_moment(queries: Queries) -> None:
    flat_seen = 0
    for at in MOMENTS:
        held = said("positions", at)
        is_open = [row for row in held if row["quantity"]]
        flat_seen += len(held) - len(is_open)
        (account,) = said("account", at) or [{"floating": None}]
        assert await queries.positions(at) == positions_of(is_open, account["floating"], queries.desk)
        assert await queries.positions(at, flat=True) == positions_of(held, account["floating"], queries.desk)
    assert flat_seen


async def test_verdicts_are_counted_as_the_facts_say(queries: Queries) -> None:
    for at in MOMENTS:
        verdicts = [row for row in said("signals", at) if row["verdict"]]
        expected = []
        for policy in sorted({row["policy"] for row in verdicts}):
            of_it = [row for row in verdicts if row["policy"] == policy]
            rules = [rule for row in of_it for rule in row["refused_by"]]
            counted = sorted((-rules.count(rule), rule) for rule in set(rules))
            expected.append(
                {
                    "policy": policy,
                    "approved": sum(row["verdict"] == "approved" for row in of_it),
                    "refused": sum(row["verdict"] == "refused" for row in of_it),
                    "rules": [{"rule": rule, "refused": -count} for count, rule in counted],
                }
            )
        assert await queries.verdict_counts(at) == expected


async def test_decisions_are_instructions_breaches_and_what_governance_decided_and_refused(queries: Queries) -> None:
    for at in MOMENTS:
        answers = {row["instruction_id"]: row for row in said("answers", at)}
        told = [decided(row, answers.get(row["id"]), queries.desk) for row in said("instructions", at)]
        passed = [breached(row, queries.desk) for row in said("breaches", at)]
        ruled = [ruled_by(row, at) for row in said("governance_decisions", at)]
        refused = [refusal(row) for row in said("refusals", at)]
        page = await queries.decisions(at, limit=1_000)
        expected = sorted(told + passed + ruled + refused, reverse=True, key=lambda row: row[0])
        assert [shortly(item) for item in page.items] == [row for _, row in expected]
        assert page.before is None


def decided(row: Row, answered: Row | None, desk: str) -> tuple[Any, ...]:
    answer_ = answered and (f"{desk}:{answered['number']}", answered["applied"], answered["reason"])
    place = (row["at_ns"], 0, row["ordinal"], 0)
    return place, (utc(row["at_ns"]), f"tape:{row['ordinal']}", row["kind"], row["actor"], row["id"], answer_)


def breached(row: Row, desk: str) -> tuple[Any, ...]:
    place = (row["at_ns"], 1, row["number"], 0)
    when = utc(row["at_ns"])
    return place, (when, f"{desk}:{row['number']}", "limit_breached", "engine", row["limit_name"], None)


def ruled_by(row: Row, at: AsOf) -> tuple[Any, ...]:
    """With what became of an approved proposal, of which the story's governance is the oracle."""
    place = (row["at_ns"], 2, row["number"], row["version"])
    (stood,) = [one for one in said("proposal_states", at) if one["proposal"] == row["proposal"]] or [None]
    answer_ = None
    if stood and row["what"].startswith("proposal_") and stood["state"] in ("applied", "failed", "rolled_back"):
        reason = {"failed": stood["failed_reason"], "rolled_back": "rolled back later"}.get(stood["state"])
        answer_ = (f"proposal:{row['proposal']}", stood["state"] != "failed", reason)
    id_ = f"governance:{row['number']}.{row['version']}"
    return place, (utc(row["at_ns"]), id_, row["what"], row["who"], row["reference"], answer_)


def refusal(row: Row) -> tuple[Any, ...]:
    place = (row["at_ns"], 3, row["number"], 0)
    return place, (utc(row["at_ns"]), f"ops:{row['number']}", "command_refused", row["actor"], row["subject"], None)


def shortly(item: Row) -> tuple[Any, ...]:
    answer_ = item["answer"] and (item["answer"]["id"], item["answer"]["applied"], item["answer"]["reason"])
    return (*(item[name] for name in ("when", "id", "what", "who", "reference")), answer_)


async def test_metrics_and_what_stands_and_services_are_those_of_the_facts(queries: Queries) -> None:
    for at in MOMENTS:
        metrics = sorted(said("metrics", at), key=lambda row: (row["scope"] != "overall", row["scope"]))
        assert await queries.metrics(at) == shown(queries.desk, metrics)
        assert await queries.standing(at) == shown(queries.desk, said("standing", at))
        found = await queries.services(at)
        assert found["services"] == shown(queries.desk, said("services", at))
        assert found["breakers"] == shown(queries.desk, said("breakers", at))
        incidents = (await queries.incidents(at)).items
        assert [(row["id"], row["type"]) for row in incidents] == [
            (f"ops:{row['number']}", row["type"]) for row in newest(said("incidents", at))
        ]


async def test_the_stand_is_what_the_engine_itself_kept(queries: Queries) -> None:
    symbols = {said_["number"]: said_["instrument"]["symbol"] for said_ in _declared()}
    compared = halted = 0
    for moment in golden_moments()[::5]:
        at = AsOf(int(moment.desk["ordinal"]), moment.number, 0)
        stand, own = await queries.status(at), moment.account
        compared += len(moment.orders)
        halted += bool(moment.desk["halted"])
        assert (stand["state"] == "halted") == bool(moment.desk["halted"])
        assert [number(order) for order in stand["working_orders"]] == sorted(
            (int(order["number"]) for order in moment.orders), reverse=True
        )
        quantities = enumerate(moment.positions["quantity"])
        assert {p["symbol"]: p["quantity"] for p in stand["positions"]} == {
            symbols[place]: f"{abs(int(held)) / 10**9:.9f}" for place, held in quantities if held
        }
        if stand["account"]:
            assert stand["account"]["balance"] == f"{int(own['balance']) // 10**9}.{int(own['balance']) % 10**9:09d}"
            assert stand["account"] == await queries.account(at)
        assert stand["positions"] == await queries.positions(at)
        assert stand["working_orders"] == (await queries.orders(at, state="working")).items
    assert compared > 10
    assert halted


def _declared() -> list[Row]:
    kinds = [fact.event for fact in golden("tape") if fact.event.kind == "instrument_declared"]
    return [event.model_dump() for event in kinds]


def number(row: Row) -> int:
    return int(row["id"].rpartition(":")[2])


# -- the curve ---------------------------------------------------------------------------------------------------------


def curve(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in ("at", "balance", "equity", "low", "high", "drawdown")} for row in rows]


async def test_a_curve_of_few_points_has_each_of_them_between_both_times(queries: Queries) -> None:
    for at in MOMENTS:
        points = said("equity", at)
        assert await queries.equity(at, points=5_000) == curve(shown(queries.desk, points))
        if len(points) > 10:
            start, stop = points[3]["at_ns"], points[-4]["at_ns"]
            inside = [point for point in points if start <= point["at_ns"] <= stop]
            found = await queries.equity(at, start_ns=start, end_ns=stop, points=5_000)
            assert found == curve(shown(queries.desk, inside))


@pytest.mark.parametrize("points", [1, 2, 7, 100, 1_209, 1_210])
async def test_a_thinned_curve_keeps_the_extremes_of_every_stretch(queries: Queries, points: int) -> None:
    for at in [END._replace(ledger=ledger) for ledger in (2, 40, 700, END.ledger)]:
        every = said("equity", at)
        least, more = divmod(len(every), points)  # the first stretches have one point more
        sizes = [least + (place < more) for place in range(points)]
        rest = iter(every)
        stretches = [list(itertools.islice(rest, size)) for size in sizes if size]
        expected = [
            stretch[-1]
            | {name: min(row[name] for row in stretch) for name in ("low",)}
            | {name: max(row[name] for row in stretch) for name in ("high", "drawdown")}
            for stretch in stretches
        ]
        assert await queries.equity(at, points=points) == curve(shown(queries.desk, expected))


def test_the_golden_script_asks_enough_of_these_tests() -> None:
    assert {"filled", "canceled"} <= {row["state"] for row in said("orders", END)}
    assert {row["applied"] for row in said("answers", END)} == {True, False}
    for table in ("fills", "breaches", "metrics", "standing", "incidents", "breakers"):
        assert said(table, END), table
