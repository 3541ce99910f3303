"""Streams made ready, and the proof that the server keeps what it acknowledges."""

import asyncio
import json
import urllib.request
from collections.abc import Sequence
from functools import partial
from typing import Any

from adapters.connection import Connection, Lost, Refused
from adapters.subjects import STREAMS, Stream
from domain.errors import InvalidInput, NotDurable, Unavailable

STREAM_NOT_FOUND = 10059
FIXED = ("storage", "retention", "deny_delete", "deny_purge")  # the server never changes these, or only one way
LIMITS = ("max_age", "max_bytes", "max_msgs")  # what would drop the truth silently


def stream_config(stream: Stream) -> dict[str, Any]:
    """The server's configuration of one stream."""
    keeps = not stream.work_queue
    return {
        "name": stream.name,
        "subjects": [stream.subjects],
        "retention": "workqueue" if stream.work_queue else "limits",
        "discard": "old",
        "storage": "memory" if stream.in_memory else "file",
        "compression": "s2" if stream.compressed else "none",
        "max_msgs_per_subject": stream.keep_per_subject or -1,
        "allow_direct": keeps,
        "allow_atomic": stream.atomic,
        "deny_delete": keeps,
        "deny_purge": keeps,
    }


async def provision(connection: Connection, streams: Sequence[Stream] = STREAMS) -> None:
    """Create what is missing, update what may be. Raises InvalidInput for a stream that contradicts its definition."""
    for stream in streams:
        await connection.retry(f"providing stream {stream.name}", partial(_provide, connection, stream))


async def _provide(connection: Connection, stream: Stream) -> None:
    wanted = stream_config(stream)
    found = await _found(connection, stream)
    try:
        if found is None:
            await connection.api(f"STREAM.CREATE.{stream.name}", {**wanted, "num_replicas": 1})
            return
        for field in FIXED:
            if found.get(field, False) != wanted[field] and not (field.startswith("deny_") and wanted[field]):
                raise _contradiction(stream, f"{field} {found.get(field)!r}, wanted {wanted[field]!r}")
        for field in LIMITS:
            if not stream.work_queue and found.get(field, -1) > 0:
                raise _contradiction(stream, f"a limit {field} of {found[field]}, wanted none")
        if any(found.get(field, False) != value for field, value in wanted.items()):
            await connection.api(f"STREAM.UPDATE.{stream.name}", found | wanted)
    except Refused as refused:
        raise InvalidInput(f"stream {stream.name} over {stream.subjects}: {refused}") from None


async def _found(connection: Connection, stream: Stream) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await connection.api(f"STREAM.INFO.{stream.name}"))["config"]
    except Refused as refused:
        if refused.err_code != STREAM_NOT_FOUND:
            raise
        return None
    return config


def _contradiction(stream: Stream, what: str) -> InvalidInput:
    return InvalidInput(
        f"stream {stream.name} exists with {what}; nothing was changed. "
        "Back it up and recreate it, or use another server or data folder"
    )


async def require_durable(
    connection: Connection, monitor_url: str | None = None, *, allow_memory: bool = False
) -> None:
    """Refuse (NotDurable) a server that acknowledges what is not on disk. A client cannot see `sync_interval: always`,
    so the server's monitoring address is needed. `allow_memory` is for tests: then only JetStream itself is."""
    try:
        await connection.retry("asking for JetStream", lambda: connection.api("INFO"))
    except (Refused, Unavailable) as error:
        if isinstance(error, Unavailable) and not connection.is_up:
            raise
        raise NotDurable(f"NATS at {connection.place} has no JetStream ({error}); start it with -js") from None
    if allow_memory:
        return
    if monitor_url is None:
        raise NotDurable(
            f"whether NATS at {connection.place} fsyncs before it acknowledges is only visible on its monitoring port: "
            "start it with http_port and set CDB_NATS_MONITOR_URL, or allow memory-only storage explicitly"
        )
    jsz = await connection.retry("asking for its storage", partial(_monitored, connection, monitor_url))
    if not jsz.get("config", {}).get("sync_always"):
        raise NotDurable(
            f"NATS at {connection.place} acknowledges before it fsyncs: set `jetstream {{ sync_interval: always }}`"
        )


async def _monitored(connection: Connection, monitor_url: str) -> dict[str, Any]:
    """What the monitoring address says of the server that we are connected to. Raises Lost when that one went away."""
    server_id = connection.server_id
    try:
        jsz = await asyncio.to_thread(_fetch, f"{monitor_url.rstrip('/')}/jsz")
    except (OSError, ValueError) as error:
        problem = f"the monitoring address {monitor_url} does not answer ({error}); correct it"
    else:
        if jsz.get("server_id") == server_id:
            return jsz
        problem = f"{monitor_url} is the monitoring address of another server than {connection.place}; correct it"
    await connection.api("INFO")
    if connection.server_id != server_id:  # a restarted server has another id, and is asked again
        raise Lost("the server was started again")
    raise NotDurable(problem)


def _fetch(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("not an http address")
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
