"""Git repositories for tests: made with dulwich, judged by dulwich and, where it is installed, by git itself."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo

from adapters.documents import GitDocuments, own_repository
from domain.documents import Change

GIT = shutil.which("git")
AUTHOR = "Claire <claire@desk.test>"
NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str) -> str:
    """What git says; the test is skipped, loudly, where there is none."""
    if GIT is None:
        pytest.skip("NOT TESTED: there is no git on this machine to compare with")
    named = ["-c", "user.name=user", "-c", "user.email=user@desk.test", "-c", "protocol.file.allow=always"]
    environment = {**os.environ, **NO_SETTINGS}
    run = subprocess.run(
        [GIT, *named, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


async def change(documents: GitDocuments, texts: dict[str, str], key: str = "p-1", **fields: object) -> Change:
    """A change on top of the branch's end (a new branch: of the checked-out one's)."""
    branch = str(fields.pop("branch", "main"))
    base = await documents.tip(branch) or await documents.tip()
    made = Change(branch, str(base), texts, "Update AKTUELLER_STAND via MCP Agent", AUTHOR, 1_700_000_000, key)
    return made._replace(**fields)


def own(folder: Path) -> GitDocuments:
    return GitDocuments(own_repository(folder / "documents"))


def bare(folder: Path) -> GitDocuments:
    path = folder / "bare.git"
    porcelain.clone(str(own(folder).path), str(path), bare=True, errstream=io.BytesIO()).close()
    return GitDocuments(path)


def commits(path: Path, branch: str = "main") -> list[str]:
    """The ids of a branch, the newest first."""
    with Repo(str(path)) as repository:
        tip = repository.refs[b"refs/heads/" + branch.encode()]
        return [walked.commit.id.decode() for walked in repository.get_walker(include=[tip])]


def dirty(path: Path) -> list[str]:
    """What is not as the checked-out branch says: staged, changed and new files, and what we may have forgotten."""
    status = porcelain.status(str(path), untracked_files="all")
    found = [*(name for names in status.staged.values() for name in names), *status.unstaged, *status.untracked]
    forgotten = [*path.rglob("*.lock"), *path.rglob("*unfinished*"), path / ".git/cdb-documents.json"]
    left = [file.name for file in forgotten if file.exists() and file.name != "cdb-documents.lock"]
    return [os.fsdecode(name) for name in found] + left


def commit_tree(path: Path, entries: dict[str, tuple[int, bytes]]) -> str:
    """Commit files, links or anything else to main's tree (mode and content by path); the working tree stays."""
    with Repo(str(path)) as repository:
        tip = repository.refs[b"refs/heads/main"]
        before = repository.object_store[tip]
        assert isinstance(before, Commit)
        tree = before.tree
        for name, (mode, content) in entries.items():
            blob = Blob.from_string(content)
            repository.object_store.add_object(blob)
            tree = _with(repository, tree, name.encode().split(b"/"), mode, blob.id)
        made = before.copy()
        assert isinstance(made, Commit)
        made.tree, made.parents, made.message = tree, [tip], b"somebody else\n"
        repository.object_store.add_object(made)
        repository.refs[b"refs/heads/main"] = made.id
        return made.id.decode()


def _with(repository: Repo, tree_id: bytes | None, parts: list[bytes], mode: int, blob: bytes) -> bytes:
    tree = repository.object_store[tree_id] if tree_id else Tree()
    name, *rest = parts
    if rest:
        below = tree[name][1] if name in tree else None
        mode, blob = 0o40000, _with(repository, below, rest, mode, blob)
    tree[name] = (mode, blob)
    repository.object_store.add_object(tree)
    return tree.id
