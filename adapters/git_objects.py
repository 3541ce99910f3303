"""What stands in a git repository, and new objects for it; no branch and no checked-out file is touched here."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    MissingCommitError,
    NotGitRepository,
    ObjectMissing,
    WrongObjectException,
)
from dulwich.file import FileLocked
from dulwich.object_store import commit_tree_changes
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.refs import HEADREF, SYMREF, Ref
from dulwich.repo import Repo, UnsupportedExtension, UnsupportedVersion

from domain.documents import UnsafePath, holds_key
from domain.errors import InvalidInput, Unavailable

FILE_MODE = 0o100644
KEY_SEARCH = 2_000  # commits; a crash is recovered long before so many follow
BRANCHES = b"refs/heads/"

DAMAGED = (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    KeyError,
    MissingCommitError,
    ObjectMissing,
    WrongObjectException,
)

T = TypeVar("T")


class Entry(NamedTuple):
    """A file in a tree."""

    mode: int
    blob: Blob


@contextmanager
def opened(path: Path) -> Iterator[Repo]:
    """The repository for one piece of work. Raises InvalidInput when it is none or damaged, Unavailable when git or
    the disk is in the way."""
    try:
        with closing(Repo(str(path))) as repository:
            if repository.object_format.name != "sha1":
                raise InvalidInput(f"the repository {path} names its objects by another hash than SHA-1; give another")
            repository.object_store.fsync_object_files = True
            yield repository
    except NotGitRepository:
        raise InvalidInput(
            f"{path} is no git repository; correct CDB_DOCUMENTS_REPO, or run `git init` there"
        ) from None
    except (UnsupportedExtension, UnsupportedVersion) as error:
        raise InvalidInput(
            f"the repository {path} is of a kind that is not supported ({error!r}); give another"
        ) from None
    except FileLocked as locked:
        raise Unavailable(
            f"{os.fsdecode(locked.lockfilename)} stands: another program works on this repository, or was killed; "
            "wait, or remove that file when no program of git runs"
        ) from None
    except DAMAGED as error:
        raise InvalidInput(f"the repository {path} is damaged ({error!r}); run `git fsck` there") from error
    except OSError as error:
        raise Unavailable(
            f"the repository {path} could not be worked on ({error}); correct that and try again"
        ) from error


def branch_ref(branch: str) -> Ref:
    return Ref(BRANCHES + branch.encode())


def checked_out(repository: Repo) -> Ref | None:
    """The branch that HEAD names, which may not have a commit yet. None: HEAD is detached."""
    value = repository.refs.read_ref(HEADREF)
    return Ref(value.removeprefix(SYMREF)) if value and value.startswith(SYMREF) else None


def tip_of(repository: Repo, ref: Ref) -> ObjectID | None:
    try:
        return repository.refs[ref]
    except KeyError:
        return None


def commit_of(repository: Repo, id: str) -> Commit:  # noqa: A002  the field's name
    """Raises InvalidInput when there is no such commit."""
    try:
        found = repository.object_store[ObjectID(id.encode())]
    except KeyError:
        found = None
    if not isinstance(found, Commit):
        raise InvalidInput(f"there is no commit {id} in {repository.path}; read the branch's end again")
    return found


def entry_at(repository: Repo, tree_id: ObjectID, path: str) -> Entry | None:
    """The file at a path of a tree. Raises UnsafePath when anything on the way is no folder, or the end no file."""
    *folders, name = path.encode().split(b"/")
    tree = _tree(repository, tree_id)
    for folder in folders:
        if folder not in tree:
            return None
        mode, id_ = tree[folder]
        if not stat.S_ISDIR(mode):
            raise UnsafePath(_unsafe(path, folder, "a folder"))
        tree = _tree(repository, id_)
    if name not in tree:
        return None
    mode, id_ = tree[name]
    if not stat.S_ISREG(mode):
        raise UnsafePath(_unsafe(path, name, "a file"))
    blob = repository.object_store[id_]
    assert isinstance(blob, Blob)
    return Entry(mode, blob)


def with_files(repository: Repo, tree_id: ObjectID, files: Mapping[str, Entry]) -> ObjectID:
    """A tree that holds these files beside what stands in the given one."""
    for entry in files.values():
        store(repository, entry.blob)
    changes = [(path.encode(), entry.mode, entry.blob.id) for path, entry in sorted(files.items())]
    return _unlocked(lambda: commit_tree_changes(repository.object_store, tree_id, changes))


def store(repository: Repo, made: ShaFile) -> None:
    _unlocked(lambda: repository.object_store.add_object(made))


def by_key(repository: Repo, tip: ObjectID, key: str) -> str | None:
    """The newest commit whose trailer names this key, among the last KEY_SEARCH of a branch."""
    for walked in repository.get_walker(include=[tip], max_entries=KEY_SEARCH):
        if holds_key(walked.commit.message.decode(errors="replace"), key):
            return walked.commit.id.decode()
    return None


def _tree(repository: Repo, id_: ObjectID) -> Tree:
    tree = repository.object_store[id_]
    assert isinstance(tree, Tree)
    return tree


def _unsafe(path: str, part: bytes, wanted: str) -> str:
    return (
        f"{path}: {part.decode()} is not {wanted} in this repository but a link or something else; put {wanted} there"
    )


def _unlocked(work: Callable[[], T]) -> T:
    """dulwich writes an object through a lock file, which a killed process leaves behind for ever. An object is its
    name's content, so whoever writes it again writes the same."""
    while True:
        try:
            return work()
        except FileLocked as locked:
            os.unlink(locked.lockfilename)
