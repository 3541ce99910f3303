"""Server-sent events: ledger events as they become visible, from wherever a reader left off."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing

from pydantic_core import to_json

from domain.errors import DeskError
from gateways.api_desk import Change

HEARTBEAT_S = 15.0
MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
RETRY_MS = 1_000


async def stream(
    changes: AsyncGenerator[list[Change], None],
    types: Collection[str],
    may_read: Callable[[], Awaitable[bool]],
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncGenerator[bytes, None]:
    """The wanted changes as text, and a comment whenever there was none for so long. Ends when its reader may not read
    on, and when the desk cannot: whoever comes again with the last id misses nothing."""
    yield b"retry: %d\n\n" % RETRY_MS
    with contextlib.suppress(DeskError):
        async with aclosing(_or_none(changes, heartbeat_s)) as pages:
            async for page in pages:
                if not await may_read():
                    return
                yield _text(page, types) if page else b": still here\n\n"


def _text(page: Sequence[Change], types: Collection[str]) -> bytes:
    """Each change as an event of its type. Behind those that were not wanted stands where to go on, without a word."""
    parts = [
        b"id: %b\nevent: %b\ndata: %b\n\n"
        % (change.row["id"].encode(), change.row["type"].encode(), to_json(change.row))
        for change in page
        if not types or change.row["type"] in types
    ]
    if types and page[-1].row["type"] not in types:
        parts.append(b"id: %b\n\n" % page[-1].row["id"].encode())
    return b"".join(parts)


async def _or_none(
    changes: AsyncGenerator[list[Change], None], seconds: float
) -> AsyncGenerator[list[Change] | None, None]:
    """The pages, and None whenever none came for so long."""
    coming: asyncio.Task[list[Change]] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(changes))
            await asyncio.wait([coming], timeout=seconds)
            if coming.done():
                page, coming = coming.result(), None
                yield page
            else:
                yield None
    finally:
        if coming:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await coming
        await changes.aclose()
