"""Long work of the governance service: by name, one piece at a time, and nobody waits for it for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Found = TypeVar("Found")


class Background:
    """Use `open_background`. `patience_s` is how long `result` waits; None: to the end."""

    def __init__(self, patience_s: float | None) -> None:
        self._patience_s = patience_s
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._turn = asyncio.Lock()

    async def result(self, name: str, work: Callable[[], Awaitable[Found]]) -> Found | None:
        """What came of a piece of work, given once; None while it is under way. Raises what the work raised."""
        task: asyncio.Task[Found] | None = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._alone(work), name=name)
        await asyncio.wait({task}, timeout=self._patience_s)
        if not task.done():
            return None
        del self._tasks[name]
        return task.result()

    async def _alone(self, work: Callable[[], Awaitable[Found]]) -> Found:
        async with self._turn:
            return await work()

    async def stop(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks.values():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@asynccontextmanager
async def open_background(patience_s: float | None = None) -> AsyncIterator[Background]:
    """What is under way when the block ends is cancelled."""
    background = Background(patience_s)
    try:
        yield background
    finally:
        await background.stop()
