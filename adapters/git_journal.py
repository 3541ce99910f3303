"""A note of the commit that is being made, written before the branch moves: what a killed process left is finished.

The note is also git's lock of the index, under a second name, so that it is known whose lock was left behind.
"""

import os
from contextlib import suppress
from pathlib import Path

from dulwich.repo import Repo
from pydantic import BaseModel, ConfigDict

from domain.errors import Unavailable


class Note(BaseModel):
    """The branch goes from commit `old` to `new`; `paths` are the checked-out files that follow it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str
    old: str
    new: str
    paths: tuple[str, ...]


class Journal:
    """The one note of a repository. Its callers take turns."""

    def __init__(self, repository: Repo) -> None:
        self._path = Path(repository.controldir(), "cdb-documents.json")
        self._index_lock = Path(f"{repository.index_path()}.lock")
        self._common = Path(repository.commondir())

    def read(self) -> Note | None:
        try:
            return Note.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def write(self, note: Note) -> None:
        write_durably(self._path, note.model_dump_json().encode())

    def drop(self) -> None:
        self.release_index()
        self._path.unlink()

    def hold_index(self) -> None:
        """Keep every git program from changing the index or the checked-out branch. Raises Unavailable."""
        try:
            os.link(self._path, self._index_lock)
        except FileExistsError:
            if not self._holds_index():
                raise Unavailable(
                    f"{self._index_lock} stands: git is at work in the checked-out files, or was killed; wait, or "
                    "remove that file when no program of git runs"
                ) from None

    def release_index(self) -> None:
        if self._holds_index():
            self._index_lock.unlink()

    def release_branch(self, note: Note) -> None:
        """Remove the lock of the branch that a killed process of ours left behind: it holds our commit or nothing."""
        lock = self._common / f"refs/heads/{note.branch}.lock"
        with suppress(FileNotFoundError):
            if lock.read_bytes() in (b"", f"{note.new}\n".encode()):
                lock.unlink()

    def _holds_index(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self._path), os.lstat(self._index_lock))
        except FileNotFoundError:
            return False


def write_durably(path: Path, content: bytes) -> None:
    """Whole or not at all, whenever the power fails. Raises OSError."""
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
