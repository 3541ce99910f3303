"""What the HTTP API answers, on the golden desk in a real PostgreSQL, and the document that describes it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import M1
from domain.tape import CLOCK, utc
from gateways.api_desk import EVENTS_SCANNED
from gateways.http.guard import is_guarded
from gateways.times import time_ns
from ops import ledger_as_of
from projections.answers import decimal
from projections.as_of import AsOf
from projections.difference import difference
from tests.canonical_governance import MESSAGES
from tests.gateways.api_desks import AS_OF, LISTS, MIDDLE, V1, Opened, page_of, problem_of, with_query
from tests.ops.ledgers import LINES, PLACES, PLAIN, VERDICT

WRAPPING = {"data", "as_of", "market_time", "recorded_time", "stale_ms", "mode", "next_cursor"}


# -- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", AS_OF)
async def test_every_answer_carries_its_moment_and_says_that_it_is_paper(golden: Opened, path: str) -> None:
    async with golden.client() as client:
        answer = (await client.get(f"{V1}/{path}")).json()
    newest = await golden.api.moment()
    assert set(answer) == (WRAPPING | {"scanned_through"} if path == "events" else WRAPPING)
    assert (answer["mode"], answer["stale_ms"], answer["as_of"]) == ("paper", 0, newest.token)
    assert answer["market_time"] == utc(newest.market_time_ns or 0)
    assert AsOf.parse(answer["as_of"], golden.api.name).ledger == len(LINES)


@pytest.mark.parametrize("path", AS_OF)
async def test_a_moment_is_the_same_by_its_token_by_its_market_time_and_when_it_was_the_newest(
    golden: Opened, path: str
) -> None:
    async with golden.client() as client:
        newest = (await client.get(f"{V1}/{path}")).json()
        named = (await client.get(with_query(path, as_of=newest["as_of"]))).json()
        assert named == newest
        by_time = (await client.get(with_query(path, market_time=MIDDLE))).json()
        assert by_time["market_time"] <= MIDDLE
        assert (await client.get(with_query(path, as_of=by_time["as_of"]))).json() == by_time
        by_record = (await client.get(with_query(path, recorded_time=newest["recorded_time"]))).json()
        assert by_record["as_of"].startswith(newest["as_of"][:20])


async def test_the_past_says_what_was_so_and_not_what_came_after(golden: Opened) -> None:
    before = time_ns(MIDDLE)
    async with golden.client() as client:
        shown = page_of(await client.get(with_query("orders", market_time=MIDDLE, limit=200)))
        events = page_of(await client.get(with_query("events", market_time=MIDDLE, limit=1)))
    placed = [event for event in PLAIN if event["type"] == "order_placed" and event["occurred_at_ns"] <= before]
    assert [int(row["id"].rpartition(":")[2]) for row in shown] == [event["number"] for event in placed][::-1][:200]
    assert int(events[0]["id"].rpartition(":")[2]) == sum(event["occurred_at_ns"] <= before for event in PLAIN)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 7])
async def test_pages_of_a_list_are_the_whole_list_at_the_first_pages_moment(
    golden: Opened, path: str, limit: int
) -> None:
    async with golden.client() as client:
        whole = page_of(await client.get(with_query(path, limit=200, market_time=MIDDLE)))
        rows, answer = [], (await client.get(with_query(path, limit=limit, market_time=MIDDLE))).json()
        moments = {answer["as_of"]}
        while True:
            rows += answer["data"]
            if answer["next_cursor"] is None or len(rows) >= 200:
                break
            answer = (await client.get(with_query(path, limit=limit, cursor=answer["next_cursor"]))).json()
            moments.add(answer["as_of"])
    assert rows[: len(whole)] == whole[: len(rows)]
    assert len(moments) == 1


async def test_prices_and_money_are_decimal_strings_with_nine_places(golden: Opened) -> None:
    async with golden.client() as client:
        order = page_of(await client.get(f"{V1}/orders?limit=1"))[0]
        account = page_of(await client.get(f"{V1}/account"))
    for amount in (order["quantity"], order["average_price"], account["balance"], account["equity"]):
        assert re.fullmatch(r"-?\d+\.\d{9}", amount)


async def test_one_order_is_the_row_of_the_list_with_its_fills(golden: Opened) -> None:
    async with golden.client() as client:
        row = page_of(await client.get(f"{V1}/orders?limit=1"))[0]
        order = page_of(await client.get(f"{V1}/orders/{row['id']}"))
        fills = page_of(await client.get(f"{V1}/fills?limit=200"))
    assert {name: order[name] for name in row} == row
    assert order["fills"] == [fill for fill in reversed(fills) if fill["order"] == row["id"]]


async def test_a_signal_alone_has_every_rule_of_its_verdict(golden: Opened) -> None:
    rules = next(event for event in PLAIN if event["number"] == VERDICT)["rules"]
    async with golden.client() as client:
        signal = page_of(await client.get(f"{V1}/signals/{VERDICT - 1}"))
    assert [rule["rule"] for rule in signal["rules"]] == [rule["rule"] for rule in rules]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("type=order_filled", lambda event: event["type"] == "order_filled"),
        ("type=day_rolled&type=limit_breached", lambda event: event["type"] in ("day_rolled", "limit_breached")),
        (f"correlation={VERDICT - 1}", lambda event: event["correlation"] == VERDICT - 1),
        (f"start={MIDDLE}", lambda event: event["occurred_at_ns"] >= time_ns(MIDDLE)),
        (f"end={MIDDLE}", lambda event: event["occurred_at_ns"] < time_ns(MIDDLE)),
        ("actor=sequencer", lambda event: "instruction_id" in event),
        ("actor=nobody", lambda event: False),
        ("symbol=gbp/usd&type=signal_raised", lambda e: e["type"] == "signal_raised" and e["symbol"] == "GBPUSD"),
    ],
)
async def test_events_are_those_that_were_asked_for(golden: Opened, query: str, holds: Any) -> None:
    async with golden.client() as client:
        rows = page_of(await client.get(f"{V1}/events?limit=200&{query}"))
    wanted = [event["number"] for event in PLAIN if holds(event)]
    assert [int(row["id"].rpartition(":")[2]) for row in rows] == wanted[::-1][:200]


async def test_a_page_of_events_that_looked_through_its_stretch_says_how_far_and_leads_on(
    golden: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_as_of, "EVENTS_SCANNED", 1_000)
    async with golden.client() as client:
        first = (await client.get(f"{V1}/events?actor=nobody")).json()
        assert (first["data"], first["scanned_through"]) == ([], f"{golden.api.name}:{len(LINES) - 999}")
        second = (await client.get(f"{V1}/events?actor=nobody&cursor={first['next_cursor']}")).json()
        assert (second["data"], second["scanned_through"], second["next_cursor"]) == ([], None, None)
        document = (await client.get(f"{V1}/openapi.json")).json()
    assert f"looks through {EVENTS_SCANNED:,} events" in document["paths"][f"{V1}/events"]["get"]["description"]


async def test_why_ends_at_the_moment(golden: Opened) -> None:
    async with golden.client() as client:
        late = page_of(await client.get(f"{V1}/why/{VERDICT}"))
        at = AsOf(10**6, VERDICT, 0, 0)._replace(tape=PLAIN[VERDICT - 1]["ordinal"]).token(golden.api.name)
        early = page_of(await client.get(f"{V1}/why/{VERDICT}?as_of={at}"))
        gone = await client.get(f"{V1}/why/{VERDICT + 1}?as_of={at}")
    assert json.dumps(late).count('"order_placed"') > 0
    assert json.dumps(early).count('"order_placed"') == 0
    assert early["ledger_end"].endswith(f":{VERDICT}")
    problem_of(gone, 404)


async def test_why_a_place_on_the_tape_says_what_was_decided_there_up_to_the_moment(golden: Opened) -> None:
    ordinal = PLAIN[VERDICT - 1]["ordinal"]
    there = [event["number"] for event in PLAIN if event["ordinal"] == ordinal]
    async with golden.client() as client:
        for last in (there[0] - 1, there[0], there[-1]):
            at = AsOf(ordinal, last).token(golden.api.name)
            tree = page_of(await client.get(f"{V1}/why/tape:{ordinal}?as_of={at}"))["tree"]
            decided = {int(number) for number in re.findall(rf'"id": "{golden.api.name}:(\d+)"', json.dumps(tree))}
            assert decided == {number for number in there if number <= last}


LENGTHS = {"M1": M1, "M5": 5 * M1, "H1": 60 * M1, "H4": 240 * M1, "D1": 1440 * M1}


def bars_by_hand(until: int, length: int) -> list[dict[str, Any]]:
    """EURUSD's bars of the script up to an ordinal, in plain Python."""
    found: dict[int, list[int]] = {}
    for place in PLACES[:until]:
        if isinstance(place, np.void) and place["kind"] != CLOCK and place["instrument"] == 1:
            start = int(place["receive_time"]) // length * length
            found.setdefault(start, []).append((int(place["bid"]) + int(place["ask"])) // 2)
    return [
        {
            "time": utc(start),
            "open": decimal(mids[0]),
            "high": decimal(max(mids)),
            "low": decimal(min(mids)),
            "close": decimal(mids[-1]),
            "ticks": len(mids),
        }
        for start, mids in sorted(found.items())
    ]


@pytest.mark.parametrize("timeframe", LENGTHS)
@pytest.mark.parametrize("cut", [0, 1, 40, 700, 1_500])
async def test_bars_are_those_of_the_tape_up_to_the_moment_and_the_last_one_may_be_under_way(
    golden: Opened, timeframe: str, cut: int
) -> None:
    newest, length = (await golden.api.moment()).at, LENGTHS[timeframe]
    count = 10 if timeframe == "H1" else 30  # behind the instructions of an earlier time, or from the first record on
    at = newest._replace(tape=newest.tape - cut)
    async with golden.client() as client:
        address = f"{V1}/bars?symbol=EUR/USD&timeframe={timeframe}&count={count}&as_of={at.token(golden.api.name)}"
        answer = (await client.get(address)).json()
    now_ns = time_ns(answer["market_time"])
    first_ns = now_ns // length * length - (count - 1) * length
    wanted = [bar for bar in bars_by_hand(at.tape, length) if time_ns(bar["time"]) >= first_ns]
    assert [{**bar, "closed": time_ns(bar["time"]) + length <= now_ns} for bar in wanted] == answer["data"]
    assert len(wanted) > 1


async def test_bars_before_a_time_are_whole_although_the_tape_goes_on(golden: Opened) -> None:
    async with golden.client() as client:
        every = page_of(await client.get(f"{V1}/bars?symbol=EURUSD&count=60"))
        end = every[-5]["time"]
        early = page_of(await client.get(f"{V1}/bars?symbol=EURUSD&count=60&end={end}"))
    assert early[-5:] == every[-10:-5]


async def test_a_difference_is_that_of_the_two_statuses(golden: Opened) -> None:
    async with golden.client() as client:
        was = page_of(await client.get(f"{V1}/status?market_time={MIDDLE}"))
        became = page_of(await client.get(f"{V1}/status"))
        diff = page_of(await client.get(f"{V1}/diff?from_market_time={MIDDLE}"))
        back = page_of(await client.get(f"{V1}/diff?from={diff['to']['as_of']}&to={diff['from']['as_of']}"))
    told = [(tuple(change["path"]), change["before"], change["after"]) for change in diff["changes"]]
    assert told == [tuple(change) for change in difference(was, became)]
    assert {(*change["path"], "x") for change in back["changes"]} == {(*path, "x") for path, *_ in told}


async def test_a_document_is_the_same_wrapped_and_as_it_is(golden: Opened) -> None:
    async with golden.client() as client:
        wrapped = page_of(await client.get(f"{V1}/documents/DECISION_LOG.md"))
        plain = await client.get(f"{V1}/documents/DECISION_LOG.md?format=markdown")
    assert plain.headers["content-type"].startswith("text/markdown")
    assert plain.text == wrapped["text"]
    assert plain.text.startswith("# DECISION LOG")


async def test_the_lag_of_every_read_model_is_told(golden: Opened) -> None:
    async with golden.client() as client:
        lag = page_of(await client.get(f"{V1}/projections"))
    ends = {"ledger": len(LINES), "tape": (await golden.api.moment()).at.tape, "ops": 4, "governance": len(MESSAGES)}
    assert all((row["end"], row["behind"]) == (ends[row["source"]], 0) for row in lag)


async def test_no_webhook_is_configured_and_it_says_so(golden: Opened) -> None:
    async with golden.client() as client:
        told = page_of(await client.get("/webhook/status"))
    assert told["configured"] is False
    assert "no webhook is configured" in told["says"]


# -- the document ------------------------------------------------------------------------------------------------------


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


async def test_examples_have_the_fields_of_real_answers(golden: Opened) -> None:
    real = {
        "/positions": f"?market_time={MIDDLE}", "/orders/{id}": "", "/bars": "?symbol=EURUSD",
        "/diff": f"?from_market_time={MIDDLE}", "/events": "?type=order_filled",
    }  # fmt: skip
    checked = 0
    async with golden.client("operator") as client:
        document = (await client.get(f"{V1}/openapi.json")).json()
        for path, operation in _operations(document):
            content = operation["responses"]["200"]["content"]
            if "application/json" not in content or not is_guarded(path) or "post" in document["paths"][path]:
                continue
            order = page_of(await client.get(f"{V1}/orders?limit=1"))[0]["id"]
            ids = {
                "/orders/{id}": order, "/signals/{id}": str(VERDICT - 1), "/why/{id}": str(VERDICT),
                "/proposals/{id}": "p-status", "/runs/{id}": "wf1-1",
            }  # fmt: skip
            address = path.replace("{id}", ids.get(path.removeprefix(V1), "")).replace("{name}", "DECISION_LOG.md")
            answer = (await client.get(address + real.get(path.removeprefix(V1), ""))).json()
            example = content["application/json"]["example"]
            assert _fields(example) == _fields(answer), path
            checked += 1
    assert checked >= 25


def _fields(answer: dict[str, Any]) -> tuple[set[str], set[str]]:
    data = answer["data"][0] if isinstance(answer["data"], list) else answer["data"]
    return set(answer), set(data)


async def test_the_document_names_every_status_and_asks_for_a_token(golden: Opened) -> None:
    async with golden.client() as client:
        document = (await client.get(f"{V1}/openapi.json")).json()
    for path, operation in _operations(document):
        if is_guarded(path):
            assert operation["security"] == [{"token": []}], path
            assert {"200", "400", "401", "413", "422", "500", "503"} <= set(operation["responses"]), path
            assert operation["description"], path


@settings(deadline=None)
@given(st.text())
def test_only_paths_below_the_guarded_ones_are_guarded(rest: str) -> None:
    assert is_guarded(f"/api/{rest}")
    assert not is_guarded(f"/apis{rest}")
