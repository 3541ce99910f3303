"""Server-sent events over a real server: every event once, from wherever the reader left off."""

import asyncio
import json

import httpx
import pytest

from adapters import processes
from gateways.http_api import create_app
from ops.api import serve
from ops.listening import Listening
from tests.gateways.api_desks import DEADLINE_S, HALF, Nobody, Opened, Stored, served


def client_of(running: Opened, address: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {running.tokens['observer']}"}
    return httpx.AsyncClient(base_url=address, headers=headers, timeout=DEADLINE_S)


async def read_events(stream: httpx.Response, count: int) -> list[dict[str, str]]:
    """So many events of a stream, each with its fields; comments as fields without a name."""
    found, fields = [], dict[str, str]()
    async for line in stream.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            found.append(fields)
            fields = {}
            if len(found) == count:
                break
    return found


async def test_a_stream_goes_on_behind_the_last_id_without_a_gap_or_a_repeat(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    path = "/api/v1/events/stream"
    async with served(running.app) as address, client_of(running, address) as client:
        numbers: list[int] = []
        headers = {"last-event-id": f"{desk.name}:{HALF - 5}"}
        async with asyncio.timeout(DEADLINE_S):
            for count in (4, 5, 30):  # the line with `retry` comes first
                async with client.stream("GET", path, headers=headers) as stream:
                    assert stream.headers["content-type"].startswith("text/event-stream")
                    if count == 30:
                        await desk.tell(40)
                    events = [event for event in await read_events(stream, count) if "data" in event]
                    numbers += [int(event["id"].rpartition(":")[2]) for event in events]
                    rows = [json.loads(event["data"]) for event in events]
                    assert [row["id"] for row in rows] == [event["id"] for event in events]
                    headers = {"last-event-id": events[-1]["id"]} if events else headers
    assert numbers == list(range(HALF - 4, HALF - 4 + len(numbers)))
    assert len(numbers) > 20


async def test_a_quiet_stream_says_that_it_is_still_there(half: tuple[Stored, Opened]) -> None:
    _, running = half
    async with (
        served(running.app) as address,
        client_of(running, address) as client,
        client.stream("GET", "/api/v1/events/stream") as stream,
        asyncio.timeout(DEADLINE_S),
    ):
        events = await read_events(stream, 3)
    assert events == [{"retry": "1000"}, {"": "still here"}, {"": "still here"}]


async def test_a_stream_of_some_types_says_where_to_go_on_behind_the_others(half: tuple[Stored, Opened]) -> None:
    desk, running = half
    async with (
        served(running.app) as address,
        client_of(running, address) as client,
        client.stream(
            "GET", "/api/v1/events/stream?type=day_rolled", headers={"last-event-id": f"{desk.name}:{HALF - 3}"}
        ) as stream,
        asyncio.timeout(DEADLINE_S),
    ):
        events = await read_events(stream, 2)
    assert events[1] == {"id": f"{desk.name}:{HALF}"}


async def test_a_stream_ends_when_its_token_is_revoked(half: tuple[Stored, Opened]) -> None:
    _, running = half
    async with (
        served(running.app) as address,
        client_of(running, address) as client,
        client.stream("GET", "/api/v1/events/stream") as stream,
        asyncio.timeout(DEADLINE_S),
    ):
        lines = stream.aiter_lines()
        await anext(lines)
        await running.token_log.revoke("a-observer", "a test", "done")
        assert [line async for line in lines if line.startswith("data")] == []


@pytest.mark.parametrize("wrong", ["abc", "other:5", "-1"])
async def test_a_last_event_id_that_was_never_given_is_refused(half: tuple[Stored, Opened], wrong: str) -> None:
    _, running = half
    async with running.client() as client:
        answer = await client.get("/api/v1/events/stream", headers={"last-event-id": wrong})
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_a_server_that_is_cancelled_twice_still_ends_in_order(caplog: pytest.LogCaptureFixture) -> None:
    up = asyncio.Event()
    app = create_app(Nobody())  # type: ignore[arg-type]
    serving = asyncio.create_task(serve(app, Listening("127.0.0.1", processes.free_port()), up.set))
    async with asyncio.timeout(DEADLINE_S):
        await up.wait()
        serving.cancel()
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
