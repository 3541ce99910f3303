"""Whom the HTTP API answers, and how it refuses: every refusal names what is wrong and what to do."""

import json
from typing import Annotated, Any

import pytest
from fastapi import Body, Form
from fastapi.routing import APIRoute

from domain.access import ROLES
from domain.errors import Unavailable
from gateways.http.guard import BODY_MAX, is_guarded
from gateways.http_api import create_app
from projections.as_of import AsOf
from tests.gateways.api_desks import MIDDLE, V1, Nobody, Opened, page_of, problem_of

# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field", "says"),
    [
        ("status?nonsense=1", "nonsense", "as_of, market_time, recorded_time"),
        ("status?as_of=nonsense", "as_of", "give one that an answer carried"),
        ("status?as_of={ahead}", "as_of", "lies ahead of the log"),
        ("status?as_of={theirs}", "as_of", "desk other"),
        ("status?market_time=yesterday", "market_time", "2018-06-13T18:00Z"),
        ("status?market_time=1971-01-01", "market_time", "begins at"),
        ("status?recorded_time=1971-01-01", "recorded_time", "first written"),
        (f"status?market_time={MIDDLE}&as_of={{newest}}", "market_time", "two moments"),
        ("orders?limit=0", "limit", "limit"),
        ("orders?limit=201", "limit", "limit"),
        ("orders?state=lost", "state", "'all', 'working' or 'done'"),
        ("orders?symbol=%00", "symbol", "symbol"),
        ("orders/abc", "id", "give a number"),
        ("orders/other:1", "id", "give a number"),
        ("orders/0", "id", "give a number"),
        ("why/xyz", "id", "an event is"),
        ("events?type=order_lost", "type", "order_filled"),
        ("events?correlation=tape:1", "correlation", "give a number"),
        ("bars?symbol=NONSUCH", "symbol", "EURUSD"),
        ("bars", "symbol", "symbol is missing"),
        ("bars?symbol=EURUSD&timeframe=M2", "timeframe", "'M1'"),
        ("diff", "from", "a moment to compare with"),
        ("diff?from={newest}&from_market_time=2024-03-05", "from_market_time", "two moments"),
        ("diff?from={newest}&to=nonsense", "to", "give one that an answer carried"),
        ("documents/SECRETS.md", "name", "AKTUELLER_STAND.md"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_its_field_and_what_to_do(
    golden: Opened, path: str, field: str, says: str
) -> None:
    newest = await golden.api.moment()
    words = {
        "newest": newest.token,
        "ahead": newest.at._replace(ledger=newest.at.ledger + 1).token(golden.api.name),
        "theirs": newest.at.token("other"),
    }
    async with golden.client() as client:
        problem = problem_of(await client.get(f"{V1}/{path.format(**words)}"), 422)
    assert problem["field"] == field
    assert says in problem["detail"] + problem["what_to_do"]


@pytest.mark.parametrize("path", ["orders/999999", "signals/2", "why/999999", "why/tape:999999999"])
async def test_what_is_not_there_is_not_found(golden: Opened, path: str) -> None:
    async with golden.client() as client:
        assert problem_of(await client.get(f"{V1}/{path}"), 404)["instance"] == f"{V1}/{path}"


async def test_a_method_that_there_is_not_names_those_that_there_are(golden: Opened) -> None:
    async with golden.client("operator") as client:
        answer = await client.delete(f"{V1}/orders/1")
        assert "not-allowed" in problem_of(answer, 405)["type"]
    assert answer.headers["allow"] == "GET"


async def test_an_error_of_ours_says_so_and_no_more(golden: Opened) -> None:
    async def broken(at: AsOf) -> Any:
        raise RuntimeError("the password is hunter2")

    golden.api.queries.status = broken  # type: ignore[method-assign]
    async with golden.client() as client:
        answer = await client.get(f"{V1}/status")
    problem_of(answer, 500)
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", "text/plain"])
async def test_a_token_that_cannot_be_read_is_not_said_back(golden: Opened, content_type: str) -> None:
    app = create_app(golden.api)

    @app.post("/take")
    async def take(token: Annotated[str, Form(max_length=10)]) -> None: ...

    @app.post("/take/json")
    async def take_json(token: Annotated[str, Body(max_length=10)], other: Annotated[str, Body()]) -> None: ...

    async with golden._replace(app=app).client(None) as client:
        for path in ("/take", "/take/json"):
            for body in (
                "token=cdb_secret_secret",
                '{"token": "cdb_secret_secret", "other": "x"}',
                '"cdb_secret_secret"',
            ):
                answer = await client.post(path, content=body, headers={"content-type": content_type})
                problem_of(answer, 422)
                assert "cdb_secret" not in answer.text


async def test_a_document_as_it_is_is_taken_for_nothing_else(golden: Opened) -> None:
    async with golden.client() as client:
        answer = await client.get(f"{V1}/documents/AKTUELLER_STAND.md?format=markdown")
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")


# -- who may -------------------------------------------------------------------------------------------------------


def test_every_address_needs_a_token_but_health_and_ready() -> None:
    app = create_app(Nobody())  # type: ignore[arg-type]
    paths = set(app.openapi()["paths"]) | {route.path for route in app.routes if isinstance(route, APIRoute)}
    assert {path for path in paths if not is_guarded(path)} == {"/health", "/ready"}
    assert len(paths) > 20


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "},
     {"authorization": "Bearer cdb_nonsense"}, {"authorization": "Basic YTpi"}, {"authorization": "bearer \xff"}],
)  # fmt: skip
async def test_without_a_token_that_opens_nothing_is_told_but_how_to_get_one(
    golden: Opened, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    async with golden.client(None) as client:
        for path in (f"{V1}/status", f"{V1}/openapi.json", "/system/health", f"{V1}/nonsense", f"{V1}/events/stream"):
            answer = await client.get(path, headers=encoded)
            assert "cdb token create" in problem_of(answer, 401)["what_to_do"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
        stopped = await client.post("/system/emergency-stop", json={}, headers=encoded)
        assert stopped.status_code == 401
        assert (await client.get("/health", headers=encoded)).status_code == 200
        assert (await client.get("/ready", headers=encoded)).status_code == 200
    assert not golden.halts.said


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_may_read(golden: Opened, role: str) -> None:
    async with golden.client(role) as client:
        page_of(await client.get(f"{V1}/status"))


async def test_a_revoked_token_opens_nothing_at_once(golden: Opened) -> None:
    async with golden.client("agent") as client:
        page_of(await client.get(f"{V1}/status"))
        await golden.token_log.revoke("a-agent", "a test", "done")
        problem_of(await client.get(f"{V1}/status"), 401)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "observer"])
async def test_operator_agent_and_approver_stop_the_desk(golden: Opened, role: str) -> None:
    async with golden.client(role) as client:
        receipt = page_of(
            await client.post("/system/emergency-stop", json={"reason": " the spread is wide ", "flatten": True})
        )
        page_of(await client.post("/system/emergency-stop"))
    (by, reason, flatten), (_, unnamed, kept) = golden.halts.said
    assert (by.name, by.role, reason, flatten) == (f"a-{role}", role, "the spread is wide", True)
    assert (unnamed, kept) == ("emergency stop over HTTP", False)
    assert receipt["applied"] is True


async def test_an_observer_may_not_stop_the_desk_and_learns_who_may(golden: Opened) -> None:
    async with golden.client("observer") as client:
        problem = problem_of(await client.post("/system/emergency-stop", json={"reason": "x"}), 403)
    assert "--role operator" in problem["what_to_do"]
    assert not golden.halts.said


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None), (b"[]", None), (b'{"reason": 5}', "reason"), (b'{"why": "x"}', "why"),
        (json.dumps({"reason": "x" * 501}).encode(), "reason"), (b'{"flatten": "perhaps"}', "flatten"),
    ],
)  # fmt: skip
async def test_a_stop_that_cannot_be_read_stops_nothing_and_says_so(
    golden: Opened, body: bytes, field: str | None
) -> None:
    async with golden.client("operator") as client:
        answer = await client.post("/system/emergency-stop", content=body, headers={"content-type": "application/json"})
    assert problem_of(answer, 422)["field"] == field
    assert not golden.halts.said


@pytest.mark.parametrize("said", [True, False])
async def test_a_body_that_is_too_large_is_refused_whatever_its_length_was_said_to_be(
    golden: Opened, said: bool
) -> None:
    async def pieces() -> Any:
        for _ in range(BODY_MAX // 1000 + 1):
            yield b" " * 1000

    content = b" " * (BODY_MAX + 1) if said else pieces()
    headers = {"content-type": "application/json"}
    async with golden.client("operator") as client:
        problem_of(await client.post("/system/emergency-stop", content=content, headers=headers), 413)
    assert not golden.halts.said


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]:8080"])
async def test_a_name_that_was_made_to_lead_here_is_not_answered(golden: Opened, host: str) -> None:
    async with golden.client("operator") as client:
        for path in (f"{V1}/status", "/health", "/"):
            assert problem_of(await client.get(path, headers={"host": host}), 400)["field"] == "Host"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "LOCALHOST:1", "localhost", "[::1]", "[::1]:8080"])
async def test_this_machine_has_its_usual_names(golden: Opened, host: str) -> None:
    async with golden.client("operator") as client:
        assert (await client.get("/health", headers={"host": host})).status_code == 200


async def test_no_other_site_is_invited(golden: Opened) -> None:
    async with golden.client() as client:
        answer = await client.get(f"{V1}/status", headers={"origin": "https://evil.example"})
        asked = await client.options(f"{V1}/status", headers={"origin": "https://evil.example"})
    assert not [name for name in (*answer.headers, *asked.headers) if name.startswith("access-control")]
    assert asked.status_code == 405


# -- when things are away ----------------------------------------------------------------------------------------------


async def test_while_the_read_models_are_away_the_desk_can_be_stopped_and_says_what_is_wrong(golden: Opened) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable("the read models cannot be asked: PostgreSQL at 10.9.8.7 does not answer")

    golden.api.moment = away  # type: ignore[method-assign]
    async with golden.client("operator") as client:
        assert (await client.get("/health")).status_code == 200
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "projector" in ready.json()["what_to_do"]
        assert "10.9.8.7" not in ready.text  # nobody needs a token to read this
        answer = await client.get(f"{V1}/status")
        assert answer.headers["retry-after"] == "1"
        problem_of(answer, 503)
        health = (await client.get("/system/health")).json()
        assert (health["as_of"], health["stale_ms"], health["data"]["healthy"]) == (None, None, True)
        page_of(await client.post("/system/emergency-stop", json={"reason": "now"}))
    assert len(golden.halts.said) == 1
