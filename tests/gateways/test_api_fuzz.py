"""Anything that the OpenAPI document allows, and much that it does not, against the real app: never an error of ours,
never an answer that the document does not know."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from adapters.postgres_server import PostgresServer
from domain.access import Role
from tests.gateways.api_desks import DEADLINE_S, Stored, opened, served
from tests.ops.ledgers import ENTRY, FILL, SIGNAL, VERDICT

# A value may be of the right form and still be refused: no schema can say which words are moments of this desk. So
# "what is allowed is accepted" is not among these; the tests of the API by hand are.
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
    unsupported_method,
)
ENDLESS = "/api/v1/events/stream"  # has tests of its own: an answer without an end is none that can be looked at
SIMPLE = ("/health", "/ready")  # take nothing, so nothing about them can be wrong
NAMES = {"/api/v1/proposals/{id}": {"id": "p-status"}, "/api/v1/runs/{id}": {"id": "wf1-1"}}  # these are no numbers
CASES, MANY_CASES = 500, 10_000


class Place(NamedTuple):
    address: str
    tokens: dict[Role, str]
    moments: list[str]


@pytest.fixture(scope="module")
def place(golden_api: Stored, postgres_server: PostgresServer) -> Iterator[Place]:
    """The app on a real server in a thread of its own."""
    found: list[Place] = []
    up, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with opened(golden_api, postgres_server.dsn) as desk, served(desk.app) as address:
                newest = (await desk.api.moment()).at
                moments = [newest, newest._replace(tape=5_000, ledger=1_000), newest._replace(tape=1, ledger=0, ops=0)]
                found.append(Place(address, desk.tokens, [at.token(desk.api.name) for at in moments]))  # type: ignore[arg-type]
                up.set()
                await stop.wait()
        finally:
            up.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(DEADLINE_S)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(DEADLINE_S)
    loop.close()


def fuzz(place: Place, cases: int) -> None:
    """So many cases, spread over every address that there is: half of what the document allows, half of what not."""
    headers = {"Authorization": f"Bearer {place.tokens['operator']}"}
    schema = schemathesis.openapi.from_url(f"{place.address}/api/v1/openapi.json", headers=headers)
    operations = [found.ok() for found in schema.exclude(path=ENDLESS).get_all_operations()]
    answered: dict[str, Counter[int]] = {operation.path: Counter() for operation in operations}
    each = -(-cases // (2 * len(operations) - len(SIMPLE)))
    for operation in operations:
        modes = [GenerationMode.POSITIVE, *([] if operation.path in SIMPLE else [GenerationMode.NEGATIVE])]
        for mode in modes:

            @seed(20260101)
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), known=st.none() | _known(place))
            def ask(case: schemathesis.Case, known: Mapping[str, str] | None) -> None:
                if known:
                    known = {**known, **NAMES.get(case.path, {})}
                    case.query, case.path_parameters = _meant(case.query, known), _meant(case.path_parameters, known)
                answer = case.call_and_validate(headers=headers, checks=CHECKS, timeout=DEADLINE_S)
                answered[case.path][answer.status_code] += 1

            ask()
    assert sum(counts.total() for counts in answered.values()) >= cases
    assert [path for path, counts in answered.items() if not counts[200]] == []


def _known(place: Place) -> st.SearchStrategy[Mapping[str, str]]:
    """Words that mean something to this desk: what is drawn from the document hardly ever does."""
    return st.fixed_dictionaries(
        {
            "as_of": st.sampled_from(place.moments),
            "from": st.sampled_from(place.moments),
            "id": st.sampled_from([str(number) for number in (SIGNAL, VERDICT, ENTRY, FILL)]),
            "symbol": st.sampled_from(["EURUSD", "gbp/usd", "XAUUSD"]),
        }
    )


def _meant(drawn: Mapping[str, Any] | None, known: Mapping[str, str]) -> dict[str, Any]:
    """The same words with values that mean something, and one moment among them instead of two."""
    told = {name: known.get(name, value) for name, value in (drawn or {}).items()}
    return {name: value for name, value in told.items() if not re.match("from_|to_|recorded_|market_|cursor|to$", name)}


def test_500_cases_of_every_kind_meet_no_error_and_no_unknown_answer(place: Place) -> None:
    fuzz(place, CASES)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_10_000_cases_of_every_kind_meet_no_error_and_no_unknown_answer(place: Place) -> None:
    fuzz(place, MANY_CASES)
