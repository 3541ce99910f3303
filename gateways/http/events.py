"""Server-sent events: ledger events as they become visible, from wherever a reader left off."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing

from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Send

from domain.errors import DeskError
from gateways.api_desk import Change
from gateways.waiting import or_none

HEARTBEAT_S = 15.0
MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
RETRY_MS = 1_000


class Streamed(StreamingResponse):
    """A stream that is closed with its response, and not whenever nobody refers to it any more."""

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):  # type: ignore[type-var]  # it is the generator that was given
            await super().stream_response(send)


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
        async with aclosing(or_none(changes, heartbeat_s)) as pages:
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
