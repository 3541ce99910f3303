"""Documents in a git repository: read at any commit, committed once, the checked-out files kept as the branch says.

A commit is objects first, then one compare-and-set of the branch. Nothing runs git's program, its hooks or its filters.
"""

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dulwich.index import index_entry_from_stat
from dulwich.objects import ZERO_SHA, Blob, ObjectID, Tree
from dulwich.objects import Commit as GitCommit
from dulwich.refs import HEADREF, SYMREF, Ref
from dulwich.repo import Repo
from filelock import FileLock, Timeout

from adapters.git_journal import Journal, Note
from adapters.git_objects import (
    FILE_MODE,
    Entry,
    branch_ref,
    by_key,
    checked_out,
    commit_of,
    entry_at,
    opened,
    store,
    tip_of,
    with_files,
)
from adapters.working_tree import LineEndings, WorkingTree, tidy
from domain import documents
from domain.documents import Change, Commit, DirtyTree, NothingToChange, StaleBase, Text
from domain.errors import InvalidInput, Unavailable

log = logging.getLogger("cdb.documents")

LOCK_SECONDS = 30.0
LATEST_S = 1 << 36  # what is later was given in another unit than seconds
OURS = "Claire de Binare <cdb@localhost>"
README = b"""# Claire de Binare

The documents of the desk. It writes them here itself, each change after a person approved it.
"""
_ID = re.compile(r"[0-9a-f]{40}")


class GitDocuments:
    """The documents of one repository, bare or checked out. Every call opens it anew and works in a thread."""

    def __init__(self, repository: Path, wait_s: float = LOCK_SECONDS) -> None:
        self.path, self._wait_s = repository, wait_s

    async def main(self) -> str:
        return await asyncio.to_thread(self._main)

    async def tip(self, branch: str | None = None) -> str | None:
        return await asyncio.to_thread(self._tip, branch)

    async def read(self, document: str, at: str | None = None) -> Text | None:
        return await asyncio.to_thread(self._read, document, at)

    async def diff(self, document: str, text: str, at: str | None = None) -> str:
        return await asyncio.to_thread(self._diff, document, text, at)

    async def find(self, branch: str, key: str) -> Commit | None:
        return await asyncio.to_thread(self._find, branch, key)

    async def commit(self, change: Change) -> Commit:
        return await asyncio.to_thread(self._commit, change)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _main(self) -> str:
        with opened(self.path) as repository:
            ref = checked_out(repository)
        if ref is None:
            raise InvalidInput(f"{self.path} has no branch checked out (HEAD is detached); check one out")
        return ref.decode().removeprefix("refs/heads/")

    def _tip(self, branch: str | None) -> str | None:
        with opened(self.path) as repository:
            tip = tip_of(repository, HEADREF if branch is None else branch_ref(documents.checked_branch(branch)))
            return tip.decode() if tip else None

    def _read(self, document: str, at: str | None) -> Text | None:
        path = documents.path_of(document)
        with opened(self.path) as repository:
            commit = _commit_at(repository, at)
            entry = entry_at(repository, commit.tree, path)
            if entry is None:
                return None
            text = documents.text_of(document, entry.blob.data)
            return Text(document, path, text, entry.blob.id.decode(), commit.id.decode())

    def _diff(self, document: str, text: str, at: str | None) -> str:
        documents.content_of(document, text)
        before = self._read(document, at)
        return documents.difference(documents.path_of(document), before.text if before else None, text)

    def _find(self, branch: str, key: str) -> Commit | None:
        with opened(self.path) as repository:
            tip = tip_of(repository, branch_ref(documents.checked_branch(branch)))
            standing = by_key(repository, tip, documents.checked_key(key)) if tip else None
            return Commit(standing, branch, made=False) if standing else None

    # -- committing ----------------------------------------------------------------------------------------------------

    def _commit(self, change: Change) -> Commit:
        contents = {documents.path_of(name): documents.content_of(name, text) for name, text in change.texts.items()}
        ref = branch_ref(documents.checked_branch(change.branch))
        message = documents.commit_message(change.message, change.key)
        author = documents.checked_author(change.author)
        if not contents or not 0 <= change.at_s < LATEST_S:
            raise InvalidInput(
                f"a commit needs a document ({len(contents)} given) and a time in s ({change.at_s} given)"
            )
        with self._alone() as repository:
            journal = Journal(repository)
            _recover(repository, journal)
            tip = tip_of(repository, ref)
            standing = by_key(repository, tip, change.key) if tip else None
            if standing:
                return Commit(standing, change.branch, made=False)
            base = _commit_at(repository, change.base)
            if tip is not None and tip != base.id:
                raise _stale(change, tip)
            tree = with_files(repository, base.tree, _changed(repository, base, contents))
            if tree == base.tree:
                raise NothingToChange(
                    f"{', '.join(change.texts)} on {change.branch}: nothing to change; all is as wanted"
                )
            made = _made(repository, tree, [base.id], message, author, change.at_s)
            _move(repository, journal, change, ref, made, sorted(contents), tip)
            return Commit(made.id.decode(), change.branch, made=True)

    @contextmanager
    def _alone(self) -> Iterator[Repo]:
        """The repository while no other process of ours commits. Raises Unavailable."""
        with opened(self.path) as repository:
            lock = FileLock(Path(repository.commondir(), "cdb-documents.lock"), timeout=self._wait_s)
        try:
            lock.acquire()
        except Timeout:
            raise Unavailable(
                f"another process commits to {self.path} for over {self._wait_s:g} s; try again"
            ) from None
        except OSError as error:
            raise Unavailable(f"{lock.lock_file} cannot be written ({error}); allow it and try again") from error
        try:
            with opened(self.path) as repository:
                yield repository
        finally:
            lock.release()


def own_repository(path: Path) -> Path:
    """The desk's own repository, made with a first commit when there is none. That commit is the same everywhere.
    Raises Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
            if not path.exists():
                unfinished = path.with_suffix(".unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                _begin(unfinished)
                os.replace(unfinished, path)
    except OSError as error:
        raise Unavailable(f"the repository {path} cannot be made ({error}); correct that and try again") from error
    return path


def _begin(path: Path) -> None:
    Repo.init(str(path), mkdir=True, default_branch=b"main").close()
    with opened(path) as repository:
        blob = Blob.from_string(README)
        tree = with_files(repository, _empty_tree(repository), {"README.md": Entry(FILE_MODE, blob)})
        commit = _made(repository, tree, [], "The documents of the desk\n", OURS, 0)
        repository.refs.set_if_equals(branch_ref("main"), ZERO_SHA, commit.id)
        readme = path / "README.md"
        readme.write_bytes(README)
        index = repository.open_index()
        index[b"README.md"] = index_entry_from_stat(readme.lstat(), blob.id)
        index.write()


def _commit_at(repository: Repo, at: str | None) -> GitCommit:
    """A commit by its id, its branch, or None for what is checked out. Raises InvalidInput."""
    if at is not None and _ID.fullmatch(at):
        return commit_of(repository, at)
    tip = tip_of(repository, HEADREF if at is None else branch_ref(documents.checked_branch(at)))
    if tip is None:
        named = "HEAD" if at is None else f"the branch {at}"
        raise InvalidInput(f"{named} of {repository.path} has no commit; make one with git, or name another branch")
    return commit_of(repository, tip.decode())


def _changed(repository: Repo, base: GitCommit, contents: Mapping[str, bytes]) -> dict[str, Entry]:
    """The files as they are to be stored."""
    endings, changed = LineEndings(repository), {}
    for path, content in contents.items():
        before = entry_at(repository, base.tree, path)
        stored = endings.stored(path, content, before.blob.data if before else None)
        changed[path] = Entry(before.mode if before else FILE_MODE, Blob.from_string(stored))
    return changed


def _made(repository: Repo, tree: ObjectID, parents: list[ObjectID], message: str, author: str, at_s: int) -> GitCommit:
    commit = GitCommit()
    commit.tree, commit.parents = tree, parents
    commit.author = commit.committer = author.encode()
    commit.author_time = commit.commit_time = at_s
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding, commit.message = b"UTF-8", message.encode()
    store(repository, commit)
    return commit


def _move(
    repository: Repo,
    journal: Journal,
    change: Change,
    ref: Ref,
    made: GitCommit,
    paths: list[str],
    tip: ObjectID | None,
) -> None:
    """Take the branch to the commit, and the checked-out files with it. Raises StaleBase, DirtyTree, UnsafePath."""
    _require_not_elsewhere(repository, ref)
    here = not repository.bare and checked_out(repository) == ref
    if here and tip is None:
        raise InvalidInput(f"{change.branch} is checked out in {repository.path} and has no commit; make one with git")
    base = commit_of(repository, made.parents[0].decode())
    note = Note(branch=change.branch, old=base.id.decode(), new=made.id.decode(), paths=tuple(paths) if here else ())
    tree = WorkingTree(repository, base.tree, made.tree, paths) if here else None
    journal.write(note)
    moved = finished = False
    try:
        if tree:
            journal.hold_index()
            tree.require_clean()
            tree.prepare()
        moved = repository.refs.set_if_equals(
            ref, tip or ZERO_SHA, made.id, made.committer, made.commit_time, 0, b"commit: " + change.key.encode()
        )
        if not moved:
            raise _stale(change, tip_of(repository, ref))
        left = tree.place() if tree else []
        finished = True
    finally:
        tidy(Path(repository.path), note.paths)
        journal.release_index()
        if finished or not moved:  # else the next commit finishes what the note says
            journal.drop()
    if left:
        raise DirtyTree(
            f"the commit {note.new} stands on {change.branch}, but {', '.join(left)} changed at that moment and was "
            "left as it is; compare it with `git diff`"
        )


def _recover(repository: Repo, journal: Journal) -> None:
    """Finish what a killed process noted: the checked-out files follow a branch that moved; else nothing happened."""
    note = journal.read()
    if note is None:
        return
    ref = branch_ref(note.branch)
    journal.release_branch(note)
    root = Path(repository.path)
    if note.paths and tip_of(repository, ref) == note.new.encode() and checked_out(repository) == ref:
        old, new = (commit_of(repository, commit).tree for commit in (note.old, note.new))
        tree = WorkingTree(repository, old, new, note.paths)
        journal.hold_index()
        try:
            tree.prepare()
            left = tree.place()
        finally:
            journal.release_index()
        if left:
            log.warning("%s: %s changed since commit %s and was left as it is", root, ", ".join(left), note.new)
    tidy(root, note.paths)
    journal.drop()


def _require_not_elsewhere(repository: Repo, ref: Ref) -> None:
    """A branch that another worktree has checked out must not move under it."""
    common, own = Path(repository.commondir()), Path(repository.controldir())
    bare = repository.get_config().get_boolean((b"core",), b"bare", False)
    for head in [*([] if bare else [common / "HEAD"]), *common.glob("worktrees/*/HEAD")]:
        if not head.parent.samefile(own) and head.read_bytes().strip() == SYMREF + ref:
            raise InvalidInput(f"{ref.decode()} is checked out in another worktree ({head.parent.name}); commit there")


def _stale(change: Change, tip: ObjectID | None) -> StaleBase:
    stands = tip.decode() if tip else "nothing"
    return StaleBase(
        f"{change.branch} stands at {stands}, the change was prepared on {change.base}; read the documents again and "
        "present it anew"
    )


def _empty_tree(repository: Repo) -> ObjectID:
    store(repository, Tree())
    return Tree().id
