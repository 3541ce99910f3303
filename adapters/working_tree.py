"""The checked-out files of a git repository: are they as the branch says, and bringing documents to a newer commit.

No link is ever followed: every folder on the way is opened by itself, a new file takes an old one's name by renaming.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dulwich.errors import ChecksumMismatch
from dulwich.index import ConflictedIndexEntry, Index, IndexEntry, get_unstaged_changes, index_entry_from_stat
from dulwich.line_ending import CRLFAction, line_ending_filter_for_action, read_eol_config, resolve_crlf_action
from dulwich.objects import Blob, ObjectID
from dulwich.repo import Repo

from adapters.git_objects import Entry, entry_at
from domain.documents import DirtyTree, UnsafePath
from domain.errors import InvalidInput

NAMED_AT_MOST = 10  # files in an error
IN_PROGRESS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
CONVERSIONS = (b"filter", b"ident", b"working-tree-encoding")
AS_TEXT = (CRLFAction.TEXT_INPUT, CRLFAction.TEXT_CRLF)
NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC


class Step(NamedTuple):
    """What a file was and will be."""

    old: Entry | None
    new: Entry


class LineEndings:
    """What git's settings make of line endings here. No filter program is ever run."""

    def __init__(self, repository: Repo) -> None:
        self._attributes = repository.get_gitattributes()
        self._core_eol, self._autocrlf, _ = read_eol_config(repository.get_config_stack())

    def stored(self, path: str, content: bytes, before: bytes | None) -> bytes:
        """Content whose lines end with a line feed, as it is to be stored: a document keeps the ending that it has.
        Raises InvalidInput for a path that git would convert by other means."""
        attributes = self._attributes.match_path(path.encode())
        named = [name.decode() for name in CONVERSIONS if attributes.get(name)]
        if named:
            raise InvalidInput(f"{path} has the git attribute {named[0]}, which is not carried out; take it away")
        keep = before is not None and b"\r\n" in before and self._action(path.encode()) not in AS_TEXT
        return content.replace(b"\n", b"\r\n") if keep else content

    def shown(self, path: str, content: bytes) -> bytes:
        """Stored content as the checked-out file has it."""
        conversion = line_ending_filter_for_action(self._action(path.encode()))
        return conversion.smudge(content) if conversion else content

    def same(self, path: str, file: bytes | None, entry: Entry | None) -> bool:
        """Is the checked-out file what is stored?"""
        if file is None or entry is None:
            return file is None and entry is None
        return self.cleaned(Blob.from_string(file), path.encode(), entry.blob.data).id == entry.blob.id

    def cleaned(self, blob: Blob, path: bytes, stored: bytes = b"") -> Blob:
        """A checked-out file as it would be stored, over what is stored."""
        conversion = line_ending_filter_for_action(self._action(path), index_has_crlf=lambda: b"\r\n" in stored)
        return Blob.from_string(conversion.clean(blob.data)) if conversion else blob

    def _action(self, path: bytes) -> CRLFAction:
        return resolve_crlf_action(self._attributes.match_path(path), self._core_eol, self._autocrlf)


class WorkingTree:
    """The way of some documents from one commit's tree to another's. The caller holds git's lock of the index."""

    def __init__(self, repository: Repo, old: ObjectID, new: ObjectID, paths: Iterable[str]) -> None:
        self._repository, self._old = repository, old
        self._root, self._index_path = Path(repository.path), Path(repository.index_path())
        self._endings = LineEndings(repository)
        self._steps = dict(_steps(repository, old, new, paths))

    def require_clean(self) -> None:
        """Raises DirtyTree naming the files that are not as the old commit says, UnsafePath for a link."""
        control = Path(self._repository.controldir())
        busy = [name for name in IN_PROGRESS if (control / name).exists()]
        if busy:
            raise DirtyTree(f"{self._root}: {busy[0]} says that git is in the middle of something; finish or abort it")
        index = self._index()
        entries = index.changes_from_tree(self._repository.object_store, self._old)
        changed = {path for paths, _, _ in entries for path in paths if path}
        changed |= set(get_unstaged_changes(index, str(self._root), self._endings.cleaned))
        dirty = {os.fsdecode(path) for path in changed}
        for path, step in self._steps.items():
            with _folder(self._root, path, make=False) as (folder, name):
                file = None if folder is None else _read(folder, name, path)
            if not self._endings.same(path, file, step.old):
                dirty.add(path)
        if dirty:
            raise DirtyTree(_changed_files(self._root, sorted(dirty)))

    def prepare(self) -> None:
        """Write the new files beside the old ones: what could fail fails here."""
        for path, step in self._steps.items():
            with _folder(self._root, path, make=True) as (folder, name):
                assert folder is not None
                with suppress(FileNotFoundError):
                    os.unlink(_unfinished(name), dir_fd=folder)
                how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW
                made = os.open(_unfinished(name), how, step.new.mode & 0o777, dir_fd=folder)
                with open(made, "wb") as file:
                    with suppress(FileNotFoundError):
                        found = os.lstat(name, dir_fd=folder).st_mode
                        os.fchmod(made, stat.S_IMODE(found) if stat.S_ISREG(found) else 0o600)
                    file.write(self._endings.shown(path, step.new.blob.data))
                    file.flush()
                    os.fsync(made)

    def place(self) -> list[str]:
        """Give the prepared files their names and tell the index. A file that somebody changed meanwhile is left as it
        is; their paths."""
        left, index = [], self._index()
        for path, step in self._steps.items():
            entry = _unseen(step.new)
            try:
                with _folder(self._root, path, make=True) as (folder, name):
                    assert folder is not None
                    self._take(folder, name, path, step)
                    entry = index_entry_from_stat(os.lstat(name, dir_fd=folder), entry.sha, mode=entry.mode)
            except (UnsafePath, DirtyTree):
                left.append(path)
            if _is_ours(index, path.encode(), step):
                index[path.encode()] = entry
        self._write(index)
        return left

    def _take(self, folder: int, name: str, path: str, step: Step) -> None:
        """Raises DirtyTree when the file is neither the old nor the new one, UnsafePath."""
        file = _read(folder, name, path)
        if self._endings.same(path, file, step.new):
            return
        if not self._endings.same(path, file, step.old):
            raise DirtyTree(_changed_files(self._root, [path]))
        os.rename(_unfinished(name), name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)

    def _index(self) -> Index:
        """Raises InvalidInput for the kinds of index that dulwich would not write back whole."""
        try:
            index = self._repository.open_index()
            whole = not any(Path(self._repository.controldir()).glob("sharedindex.*"))
            whole = whole and not any(_is_folder(entry) for _, entry in index.items())
        except ChecksumMismatch:  # an extension that it does not know
            whole = False
        if not whole:
            raise InvalidInput(
                f"{self._root} has a split or sparse index, which cannot be kept; run `git update-index "
                "--no-split-index` and `git sparse-checkout disable`, remove .git/sharedindex.*, or give a bare clone"
            )
        return index

    def _write(self, index: Index) -> None:
        """Under another name first, as git's lock is held. Extensions are caches of git, which it makes anew."""
        scratch = self._index_path.with_name("cdb-index")
        scratch.with_name("cdb-index.lock").unlink(missing_ok=True)
        copy = Index(str(scratch), read=False)
        copy.update(dict(index.items()))
        copy.write()
        os.replace(scratch, self._index_path)


def tidy(root: Path, paths: Iterable[str]) -> None:
    """Remove what `prepare` wrote and nobody needs."""
    for path in paths:
        with suppress(UnsafePath, FileNotFoundError), _folder(root, path, make=False) as (folder, name):
            if folder is not None:
                os.unlink(_unfinished(name), dir_fd=folder)


def _unseen(entry: Entry) -> IndexEntry:
    """What the index says of a file that git has to look at itself."""
    return IndexEntry(ctime=0, mtime=0, dev=0, ino=0, mode=entry.mode, uid=0, gid=0, size=0, sha=entry.blob.id, flags=0)


def _is_folder(entry: IndexEntry | ConflictedIndexEntry) -> bool:
    return isinstance(entry, IndexEntry) and stat.S_ISDIR(entry.mode)


def _is_ours(index: Index, path: bytes, step: Step) -> bool:
    """Does the index hold what we know, or did somebody stage something else?"""
    if path not in index:
        return True
    entry = index[path]
    known = [known.blob.id for known in (step.old, step.new) if known]
    return isinstance(entry, IndexEntry) and entry.sha in known


def _steps(repository: Repo, old: ObjectID, new: ObjectID, paths: Iterable[str]) -> Iterator[tuple[str, Step]]:
    for path in paths:
        after = entry_at(repository, new, path)
        if after is not None:
            yield path, Step(entry_at(repository, old, path), after)


@contextmanager
def _folder(root: Path, path: str, *, make: bool) -> Iterator[tuple[int | None, str]]:
    """The open folder of a path, and the file's name. None: there is no such folder. Raises UnsafePath."""
    *parts, name = path.split("/")
    with ExitStack() as stack:
        folder: int | None = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            if folder is not None:
                stack.callback(os.close, folder)
                folder = _inside(folder, part, path, make=make)
        if folder is not None:
            stack.callback(os.close, folder)
        yield folder, name


def _inside(folder: int, part: str, path: str, *, make: bool) -> int | None:
    """The folder `part` in an open one."""
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
        return os.open(part, os.O_RDONLY | os.O_DIRECTORY | NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:  # a link or a file
        raise UnsafePath(f"{path}: {part} is no folder in the checked-out files; put a folder there") from None


def _read(folder: int, name: str, path: str) -> bytes | None:
    """A file's bytes, None when there is none. Raises UnsafePath."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        raise UnsafePath(f"{path} is no readable file in the checked-out files but a link or something else") from None
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UnsafePath(f"{path} is no file in the checked-out files; put a file there")
        return opened.read()


def _unfinished(name: str) -> str:
    return f".{name}.cdb-unfinished"


def _changed_files(root: Path, files: list[str]) -> str:
    more = f" and {len(files) - NAMED_AT_MOST} more" if len(files) > NAMED_AT_MOST else ""
    return f"{root} has changes that are not committed: {', '.join(files[:NAMED_AT_MOST])}{more}; commit or undo them"
