"""ETags, answers that are kept, and the cursors of lists."""

import asyncio
import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Unavailable
from gateways.http.answers import Answers, Rendered, matches
from gateways.http.cursors import Cursor, parse
from gateways.http.problems import Problem
from projections.as_of import AsOf
from tests.gateways.api_desks import AS_OF, MIDDLE, V1, Nobody, Opened, page_of, problem_of, with_query

# -- ETags and what is kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", AS_OF)
async def test_what_a_reader_has_already_is_not_sent_again(golden: Opened, path: str) -> None:
    async with golden.client() as client:
        for query in ({}, {"market_time": MIDDLE}):
            first = await client.get(with_query(path, **query) if query else f"{V1}/{path}")
            for tag in (first.headers["etag"], f'"other", {first.headers["etag"]}', "*"):
                again = await client.get(first.request.url, headers={"if-none-match": tag})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == first.headers["etag"]
            other = await client.get(first.request.url, headers={"if-none-match": '"other"'})
            assert other.content == first.content


async def test_an_etag_is_of_the_moment_the_address_and_the_query(golden: Opened) -> None:
    async with golden.client() as client:
        paths = ["orders", "fills", "orders?limit=3", f"orders?market_time={MIDDLE}"]
        tags = {(await client.get(f"{V1}/{path}")).headers["etag"] for path in paths}
    assert len(tags) == len(paths)


async def test_many_who_ask_the_same_at_once_are_answered_by_one_question(golden: Opened) -> None:
    asked, ask = 0, golden.api.queries.status

    async def counted(at: AsOf) -> Any:
        nonlocal asked
        asked += 1
        return await ask(at)

    golden.api.queries.status = counted  # type: ignore[method-assign]
    async with golden.client() as client:
        answers = await asyncio.gather(*(client.get(f"{V1}/status") for _ in range(20)))
        answers.append(await client.get(f"{V1}/status"))
    assert asked == 1
    assert len({answer.content for answer in answers}) == 1


async def test_what_could_not_be_answered_is_asked_again(golden: Opened) -> None:
    ask = golden.api.queries.status

    async def away(at: AsOf) -> Any:
        raise Unavailable("PostgreSQL does not answer; start it")

    async with golden.client() as client:
        golden.api.queries.status = away  # type: ignore[method-assign]
        problem = problem_of(await client.get(f"{V1}/status"), 503)
        golden.api.queries.status = ask  # type: ignore[method-assign]
        page_of(await client.get(f"{V1}/status"))
    assert (problem["detail"], problem["what_to_do"]) == ("PostgreSQL does not answer; start it", "start it")


async def test_answers_are_kept_within_their_bytes_and_the_oldest_go_first() -> None:
    answers = Answers(Nobody(), kept_bytes=4_000)  # type: ignore[arg-type]

    async def make() -> Rendered:
        return Rendered(b"x" * 500, "")

    for number in range(50):
        await answers._made(("token", f"/{number}", b""), make)
    assert 2_000 < answers._bytes <= 4_000
    assert answers.kept(("token", "/0", b"")) is None
    assert answers.kept(("token", "/49", b"")) is not None


@pytest.mark.parametrize(
    ("header", "same"),
    [(None, False), ("*", True), ('W/"a"', True), ('"a"', True), ('"b" , W/"a"', True), ('"b"', False), ("a", False)],
)
def test_if_none_match_is_compared_weakly(header: str | None, same: bool) -> None:
    assert matches(header, 'W/"a"') is same


async def test_how_far_behind_is_told_of_now_and_never_of_a_moment_that_was_named(golden: Opened) -> None:
    golden.api.stale_ms = lambda moment: 7 if moment.newest else 0  # type: ignore[method-assign]
    newest = (await golden.api.moment()).token
    async with golden.client() as client:
        for _ in range(2):  # rendered, then kept
            assert (await client.get(f"{V1}/status")).json()["stale_ms"] == 7
            assert (await client.get(f"{V1}/status?as_of={newest}")).json()["stale_ms"] == 0
            assert (await client.get(f"{V1}/status?market_time={MIDDLE}")).json()["stale_ms"] == 0


# -- cursors -------------------------------------------------------------------------------------------------------

FILTERS = st.dictionaries(st.sampled_from(["state", "symbol", "type"]), st.none() | st.text() | st.lists(st.text()))
TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,200}", fullmatch=True)


@given(before=st.integers(0, 2**63 - 1), token=TOKENS, path=st.text(), filters=FILTERS)
def test_a_cursor_says_where_it_was_given(before: int, token: str, path: str, filters: dict[str, Any]) -> None:
    cursor = Cursor(before, token)
    assert parse(cursor.text(path, filters), path, filters) == cursor


@given(before=st.integers(0, 2**63 - 1), token=TOKENS, place=st.integers(0), letter=st.sampled_from("aZ09-_=. é"))
def test_a_cursor_that_was_changed_anywhere_is_refused_by_name(
    before: int, token: str, place: int, letter: str
) -> None:
    given = Cursor(before, token).text("/orders", {})
    place %= len(given)
    changed = given[:place] + letter + given[place + 1 :]
    if base64.urlsafe_b64decode(given + "==") == _decoded(changed):
        return
    with pytest.raises(Problem) as refused:
        parse(changed, "/orders", {})
    assert refused.value.field == "cursor"


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "==")
    except ValueError:
        return b""


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("orders?cursor=nonsense", "cursor"),
        ("fills?cursor={cursor}", "cursor"),
        ("orders?cursor={cursor}&state=done", "cursor"),
        ("orders?cursor={cursor}&as_of={as_of}", "as_of"),
        (f"orders?cursor={{cursor}}&market_time={MIDDLE}", "market_time"),
    ],
)
async def test_a_cursor_is_of_its_own_list_and_its_own_moment(golden: Opened, query: str, field: str) -> None:
    async with golden.client() as client:
        first = (await client.get(f"{V1}/orders?limit=1")).json()
        answer = await client.get(f"{V1}/{query.format(cursor=first['next_cursor'], as_of=first['as_of'])}")
    assert problem_of(answer, 422)["field"] == field
