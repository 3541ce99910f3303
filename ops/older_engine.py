"""Older engines: found in a folder of wheels (`--engines DIR`), each run in a process of its own.

Only the `domain` package of a wheel is unpacked, into a temporary folder, and only there it is imported: nothing of an
older build comes into this process.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from domain.errors import InvalidInput, TapeBroken
from domain.instructions import Instructed, Instruction
from domain.tape import Block
from ops import older_worker
from ops.older_worker import FRAME, ORDINAL, PLACE

ENGINE_FILE = "domain/engine.py"
END_WITHIN_S = 5.0

_VERSION = re.compile(r"^ENGINE\s*(?::[^=\n]+)?=\s*(\d+)\s*(?:#.*)?$", re.MULTILINE)


class NoEngine(InvalidInput):
    """An engine version is not at hand, or does not run here."""


def find_wheel(folder: Path, engine: int) -> Path:
    """The one wheel in `folder` whose engine has that version. Raises NoEngine, saying what each wheel holds."""
    if not folder.is_dir():
        raise NoEngine(f"--engines {folder} is not a folder; name the folder of the older wheels")
    wheels = {path: _engine_of(path) for path in sorted(folder.glob("*.whl"))}
    found = [path for path, version in wheels.items() if version == engine]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(path.name for path in found)
        raise NoEngine(f"engine {engine} is in {len(found)} wheels of {folder}: {names}; leave one of them there")
    seen = ", ".join(
        f"{path.name}: {version if isinstance(version, str) else f'engine {version}'}"
        for path, version in wheels.items()
    )
    raise NoEngine(f"no wheel in {folder} has engine {engine} ({seen or 'there is no wheel'}); put it there")


def _engine_of(wheel: Path) -> int | str:
    """The engine's version, read from the source without running it; or why there is none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            source = archive.read(ENGINE_FILE).decode()
    except KeyError:
        return f"no {ENGINE_FILE}"
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        return f"not readable ({error})"
    found = _VERSION.search(source)
    return int(found[1]) if found else f"no ENGINE in {ENGINE_FILE}"


@contextlib.asynccontextmanager
async def older_engine(folder: Path, engine: int) -> "AsyncIterator[OlderEngine]":
    """Engine `engine` of a wheel in `folder`, as it stands before the first record; it ends with the block.

    Raises NoEngine when there is none or it does not start.
    """
    wheel = find_wheel(folder, engine)
    with tempfile.TemporaryDirectory(prefix="cdb-engine-", ignore_cleanup_errors=True) as unpacked:
        _unpack(wheel, unpacked)
        with tempfile.TemporaryFile() as complaints:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", older_worker.__file__, unpacked, str(engine),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=complaints,
                env={**os.environ, "NUMBA_CACHE_DIR": str(Path(unpacked, "numba"))},
            )  # fmt: skip
            try:
                older = OlderEngine(engine, wheel.name, process, complaints)
                await older.started()
                yield older
            finally:
                await _end(process)


def _unpack(wheel: Path, folder: str) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith("domain/")])
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise NoEngine(f"{wheel.name} could not be unpacked ({error}); get that wheel again") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class OlderEngine:
    """The engine of another build. `ordinal` and `number` are as of domain.engine.Engine."""

    def __init__(self, engine: int, name: str, process: asyncio.subprocess.Process, complaints: IO[bytes]) -> None:
        self.engine, self.name = engine, name
        self.ordinal = self.number = 0
        self._process, self._complaints = process, complaints

    async def started(self) -> None:
        """Wait until it is there. Raises NoEngine."""
        await self._answer()

    async def fold(self, message: Block | Instructed) -> list[bytes]:
        """The events that it decides on one message, as the ledger stores them. Raises TapeBroken, NoEngine."""
        if isinstance(message, Block):
            last = message.last
            letter, content = await self._ask(b"B", ORDINAL.pack(message.first), message.records.tobytes())
        else:
            last = message.ordinal
            letter, content = await self._ask(b"I", ORDINAL.pack(last), _as_stored(message.instruction))
        if letter == b"X":
            raise TapeBroken(content.decode())
        lines = content.split(b"\n") if content else []
        self.ordinal, self.number = last, self.number + len(lines)
        return lines

    async def restore(self, data: bytes) -> bool:
        """Go on from a snapshot of that engine; False when it cannot read it."""
        letter, content = await self._ask(b"R", data)
        self.ordinal, self.number = PLACE.unpack(content)
        return letter == b"P"

    async def snapshot(self) -> bytes:
        """Its state as it stands, in its own format."""
        return (await self._ask(b"S"))[1]

    async def migrate(self, data: bytes) -> bytes:
        """What it takes over with, from a snapshot of an engine before it; its own build knows how."""
        return (await self._ask(b"M", data))[1]

    async def _ask(self, letter: bytes, *content: bytes) -> tuple[bytes, bytes]:
        questions = self._process.stdin
        assert questions is not None
        questions.write(FRAME.pack(sum(len(part) for part in content), letter))
        questions.writelines(content)
        with contextlib.suppress(ConnectionError):  # it ended: the answer that is missing says so
            await questions.drain()
        return await self._answer()

    async def _answer(self) -> tuple[bytes, bytes]:
        answers = self._process.stdout
        assert answers is not None
        try:
            length, letter = FRAME.unpack(await answers.readexactly(FRAME.size))
            return letter, await answers.readexactly(length)
        except asyncio.IncompleteReadError:
            await self._process.wait()
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace").splitlines()
            reason = next((line for line in reversed(said) if line and not line[0].isspace()), "it was stopped")
            raise NoEngine(f"engine {self.engine} of {self.name} does not run here: {reason}") from None


def _as_stored(instruction: Instruction) -> bytes:
    """Only what stands on the tape: a field that was added since would be unknown to the older build."""
    fields = instruction.model_dump(mode="json", exclude_unset=True)
    return json.dumps(fields | {"kind": instruction.kind}).encode()
