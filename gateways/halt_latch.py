"""The halt latch: a file that becomes the next record of a tape when its sequencer cannot be reached.

Whoever may write the folder may stop the desk, whatever else is down. Fail closed: a file that cannot be read is a halt
too. The id lies in the file, so a halt that is written twice is one halt to the engine.
"""

import os
import re
import uuid
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import InvalidInput, Unavailable
from domain.instructions import TradingHalted

LOCK_SECONDS = 1.0
MAX_REASON = 500


class _Latched(BaseModel):
    """The file. Its text is kept short by `set`, so that whatever it holds makes a valid instruction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=128)
    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    flatten: bool


class HaltLatch:
    """The latch of one desk: `<folder>/<desk>.json`. Setting and clearing take turns, also between processes."""

    def __init__(self, folder: Path, desk: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", desk):
            raise InvalidInput(f"{desk!r} cannot name a desk: use 1 to 64 letters, digits, '-' or '_'")
        self.path = folder / f"{desk}.json"
        self._alone = FileLock(folder / f"{desk}.lock", timeout=LOCK_SECONDS)

    def set(self, actor: str, reason: str, *, flatten: bool = False) -> Path:
        """Ask for a halt; it is on disk when this returns. A halt that waits already is replaced, but still flattens
        if it would have. Raises Unavailable when the file cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone:
                waiting = self.pending()
                latched = _Latched(
                    id=f"halt-latch-{uuid.uuid4().hex}",
                    actor=actor or "unknown",
                    reason=reason[:MAX_REASON] or "no reason given",
                    flatten=flatten or (waiting is not None and waiting.flatten),
                )
                _write_durably(self.path, latched.model_dump_json().encode())
        except OSError as error:
            raise Unavailable(
                f"the halt latch {self.path} could not be written ({error}); stop the desk's processes instead"
            ) from None
        return self.path

    def pending(self) -> TradingHalted | None:
        """The halt that waits, at tape time 0. A damaged file is one too, which says so and flattens nothing."""
        try:
            latched = _Latched.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            latched = _Latched(
                id=f"halt-latch-damaged-{self.path.stat().st_mtime_ns}",  # the same again tomorrow is another halt
                actor="sequencer",
                reason=f"the halt latch {self.path.name} is damaged, which counts as a halt",
                flatten=False,
            )
        return TradingHalted(authority="operator", occurred_at_ns=0, **latched.model_dump())

    def clear(self, id: str) -> None:  # noqa: A002  the field's name
        """Remove the halt of this id, and no later one. Raises OSError."""
        with self._alone:
            waiting = self.pending()
            if waiting is not None and waiting.id == id:
                self.path.unlink()


def _write_durably(path: Path, content: bytes) -> None:
    """Whole or not at all, whenever the power fails."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
