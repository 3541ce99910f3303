"""Waiting for pages that may not come for a long time."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def or_none(pages: AsyncGenerator[T, None], seconds: float) -> AsyncGenerator[T | None, None]:
    """The pages, and None whenever none came for so long. Closes them at its end."""
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pages))
            await asyncio.wait([coming], timeout=seconds)
            if coming.done():
                page, coming = coming.result(), None
                yield page
            else:
                yield None
    finally:
        if coming:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await pages.aclose()
