"""Being told by PostgreSQL that the read models of a desk moved on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from adapters.projection_store import CHANNEL, schema_name
from domain.errors import Unavailable

CONNECT_S = 5.0


class News:
    """`moved` is set at every checkpoint, and once at the beginning: what was told before nobody heard. `lost` is set
    when nothing will be told any more."""

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self.moved.set()
        self.lost = False


@asynccontextmanager
async def checkpoint_news(dsn: str, desk: str) -> AsyncIterator[News]:
    """Listen while the block runs. Raises Unavailable."""
    news, schema = News(), schema_name(desk)

    def told(_: Any, __: int, ___: str, payload: str) -> None:
        if payload == schema:
            news.moved.set()

    def lost(_: Any) -> None:
        news.lost = True
        news.moved.set()

    settings = {"application_name": f"cdb listener of {desk}"}
    with _told():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, server_settings=settings)
    try:
        with _told():
            async with asyncio.timeout(CONNECT_S):
                await connection.add_listener(CHANNEL, told)
        connection.add_termination_listener(lost)
        yield news
    finally:
        connection.remove_termination_listener(lost)
        connection.terminate()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"PostgreSQL does not answer: {type(error).__name__}: {error}") from error
