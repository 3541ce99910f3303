"""Engines at work again: this build's, or an older one's in a process of its own, behind one shape."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from domain.engine import ENGINE, Engine
from domain.instructions import Instructed
from domain.migration import migrate
from domain.snapshot import restore, save
from domain.tape import Block
from ops.older_engine import NoEngine, older_engine

THIS_BUILD = "this build"


class Reexecution(Protocol):
    """An engine of some version; `name` says where it comes from."""

    name: str

    async def fold(self, message: Block | Instructed) -> list[bytes]:
        """The events decided on one message, as the ledger stores them. Raises TapeBroken, NoEngine."""

    async def restore(self, data: bytes) -> bool:
        """Go on from a snapshot; False when it is not readable."""

    async def snapshot(self) -> bytes:
        """The whole state, in that engine's format."""

    async def migrate(self, data: bytes) -> bytes:
        """What it takes over with, from a snapshot of an engine before it."""


class ThisBuild:
    """The engine of this build."""

    name = THIS_BUILD

    def __init__(self) -> None:
        self._engine = Engine()

    async def fold(self, message: Block | Instructed) -> list[bytes]:
        return [event.model_dump_json().encode() for event in self._engine.fold(message)]

    async def restore(self, data: bytes) -> bool:
        restored = restore(data)
        self._engine = restored or self._engine
        return restored is not None

    async def snapshot(self) -> bytes:
        return save(self._engine)

    async def migrate(self, data: bytes) -> bytes:
        return migrate(data)


async def start(engine: int, engines: Path | None, stack: AsyncExitStack) -> Reexecution:
    """An engine of that version before its first record; `stack` ends it. Raises NoEngine with what to do."""
    if engine == ENGINE:
        return ThisBuild()
    if engine > ENGINE:
        raise NoEngine(f"engine {engine} is newer than this build, which is engine {ENGINE}; use the newer build")
    if engines is None:
        raise NoEngine(f"engine {engine} is not in this build; give --engines DIR with its wheel")
    return await stack.enter_async_context(older_engine(engines, engine))
