"""Documents in a git repository: read and committed by name, once, without touching what is somebody else's."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from dulwich import porcelain
from filelock import FileLock

from adapters.documents import GitDocuments, own_repository
from adapters.git_journal import Journal, Note
from adapters.working_tree import WorkingTree
from domain.documents import DirtyTree, NotADocument, NothingToChange, StaleBase, UnknownDocument, UnsafePath
from domain.errors import InvalidInput, Unavailable
from tests.repositories import NO_SETTINGS, bare, change, commit_tree, commits, dirty, git, own

STAND = "backoffice/docs/AKTUELLER_STAND.md"


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**NO_SETTINGS, "HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power fails here


@pytest.fixture(params=[own, bare], ids=["checked out", "bare"])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> GitDocuments:
    return request.param(tmp_path)


# -- reading and committing ----------------------------------------------------------------------------------------


async def test_what_was_committed_is_read_at_its_branch_its_commit_and_not_before(documents):
    before = await documents.tip()
    assert await documents.read("AGENTS") is None
    done = await documents.commit(await change(documents, {"AGENTS": "# Rollen\n- ä\n", "strategies/ema.json": "{}"}))
    assert done.made
    for at in (None, "main", done.id):
        text = await documents.read("AGENTS", at)
        assert (text.text, text.commit, text.path) == (
            "# Rollen\n- ä\n",
            done.id,
            "backoffice/docs/governance/AGENTS.md",
        )
        assert (await documents.read("strategies/ema.json", at)).text == "{}"
    assert await documents.read("AGENTS", before) is None
    assert len(text.blob) == 40


async def test_a_commit_depends_on_nothing_but_what_was_given(tmp_path):
    ids = set()
    for folder in ("a", "b"):
        documents = own(tmp_path / folder)
        ids.add((await documents.commit(await change(documents, {"AGENTS": "x\n"}))).id)
    assert len(ids) == 1


async def test_another_branch_begins_at_its_base_and_leaves_the_files_alone(tmp_path):
    documents = own(tmp_path)
    main = await documents.tip()
    done = await documents.commit(await change(documents, {"AKTUELLER_STAND": "neu\n"}, branch="status-1"))
    assert await documents.tip("main") == main
    assert await documents.tip("status-1") == done.id
    assert await documents.tip("none") is None
    assert not (documents.path / STAND).exists()
    assert not dirty(documents.path)


async def test_a_commit_on_the_checked_out_branch_brings_its_files_along(tmp_path):
    documents = own(tmp_path)
    for number in (1, 2):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": f"{number}\n"}, f"p-{number}"))
        assert (documents.path / STAND).read_text() == f"{number}\n"
        assert not dirty(documents.path)
    assert git(documents.path, "status", "--porcelain", "-uall") == ""
    assert git(documents.path, "log", "-1", "--format=%(trailers:key=Proposal,valueonly)").strip() == "p-2"
    assert git(documents.path, "diff", "HEAD~1", "--stat").count("|") == 1
    git(documents.path, "fsck", "--strict")


async def test_a_key_is_committed_once_whatever_came_after_it(documents):
    asked = await change(documents, {"AGENTS": "1\n"}, "p-1")
    first = await documents.commit(asked)
    await documents.commit(await change(documents, {"AGENTS": "2\n"}, "p-2"))
    assert await documents.commit(asked) == first._replace(made=False)
    assert (await documents.read("AGENTS")).text == "2\n"
    assert len(commits(documents.path)) == 3


async def test_a_key_of_one_branch_says_nothing_about_another(documents):
    one = await documents.commit(await change(documents, {"AGENTS": "1\n"}, branch="one"))
    two = await documents.commit(await change(documents, {"AGENTS": "1\n"}, branch="two", base=await documents.tip()))
    assert two.made
    assert one.id == two.id  # the same parent, text and time are the same commit


async def test_what_changes_nothing_is_refused(documents):
    await documents.commit(await change(documents, {"AGENTS": "1\n"}))
    with pytest.raises(NothingToChange, match="AGENTS on main: nothing to change"):
        await documents.commit(await change(documents, {"AGENTS": "1\n"}, "p-2"))
    assert len(commits(documents.path)) == 2


async def test_a_moved_branch_makes_a_change_stale(documents):
    asked = await change(documents, {"AGENTS": "1\n"}, "p-1")
    await documents.commit(await change(documents, {"DECISION_LOG": "1\n"}, "p-2"))
    with pytest.raises(StaleBase, match=f"prepared on {asked.base}"):
        await documents.commit(asked)


async def test_of_many_writers_one_wins_and_the_others_are_told(documents):
    asked = [await change(documents, {"AGENTS": f"{number}\n"}, f"p-{number}") for number in range(8)]
    done = await asyncio.gather(*(GitDocuments(documents.path).commit(each) for each in asked), return_exceptions=True)
    won = [each for each in done if not isinstance(each, Exception)]
    assert len(won) == 1
    assert sum(isinstance(each, StaleBase) for each in done) == 7
    assert commits(documents.path)[0] == won[0].id
    assert len(commits(documents.path)) == 2


@pytest.mark.parametrize("branch", ["main", "side", "new"])
async def test_a_branch_that_git_moves_at_the_last_moment_is_not_overwritten(tmp_path, monkeypatch, branch):
    documents = own(tmp_path)
    await documents.commit(await change(documents, {"DECISION_LOG": "1\n"}, branch="side"))
    asked = await change(documents, {"AGENTS": "1\n"}, "p-2", branch=branch)
    theirs = (await documents.commit(asked._replace(branch="theirs", key="p-3"))).id
    write = Journal.write

    def moved(journal: Journal, note: Note) -> None:
        write(journal, note)
        (documents.path / ".git/refs/heads" / branch).write_text(f"{theirs}\n")

    monkeypatch.setattr(Journal, "write", moved)
    with pytest.raises((StaleBase, DirtyTree)):
        await documents.commit(asked)
    assert await documents.tip(branch) == theirs
    assert not (documents.path / ".git/cdb-documents.json").exists()


async def test_a_writer_that_never_ends_is_named(documents):
    folder = documents.path / ".git" if (documents.path / ".git").exists() else documents.path
    with FileLock(folder / "cdb-documents.lock"), pytest.raises(Unavailable, match="another process commits"):
        await GitDocuments(documents.path, wait_s=0.05).commit(await change(documents, {"AGENTS": "1\n"}))


async def test_a_difference_names_the_files_of_the_repository(documents):
    await documents.commit(await change(documents, {"AGENTS": "1\n2\n"}))
    diff = await documents.diff("AGENTS", "1\n3\n", "main")
    assert diff.splitlines()[:2] == [f"--- a/{'backoffice/docs/governance/AGENTS.md'}", f"+++ b/{_agents()}"]
    assert diff.splitlines()[-2:] == ["-2", "+3"]
    assert await documents.diff("AGENTS", "1\n2\n") == ""


def _agents() -> str:
    return "backoffice/docs/governance/AGENTS.md"


# -- names and contents --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "AGENTS\0", "strategies/../x.json", "\uff21GENTS", "a\\b"])
async def test_nothing_outside_the_list_is_read_compared_or_written(documents, name):
    before = commits(documents.path)
    for work in (
        documents.read(name),
        documents.diff(name, "x"),
        documents.commit(await change(documents, {name: "x"})),
    ):
        with pytest.raises(UnknownDocument):
            await work
    assert commits(documents.path) == before


@pytest.mark.parametrize(
    "entries",
    [
        {"backoffice/docs/AKTUELLER_STAND.md": (0o120000, b"/etc/passwd")},
        {"backoffice/docs/AKTUELLER_STAND.md": (0o120000, b"nowhere")},
        {"backoffice/docs": (0o120000, b"/etc")},
        {"backoffice": (0o120000, b"../outside")},
        {"backoffice": (0o100644, b"a file")},
        {"backoffice/docs": (0o160000, b"a submodule")},
        {"backoffice/docs/AKTUELLER_STAND.md/x": (0o100644, b"in a folder of its name")},
    ],
)
async def test_a_link_in_the_committed_tree_is_neither_read_nor_replaced(documents, entries):
    tip = commit_tree(documents.path, entries)
    with pytest.raises(UnsafePath, match="AKTUELLER_STAND"):
        await documents.read("AKTUELLER_STAND")
    for branch in ("main", "other"):
        with pytest.raises(UnsafePath):
            await documents.commit(await change(documents, {"AKTUELLER_STAND": "x\n"}, branch=branch))
    assert commits(documents.path)[0] == tip


async def test_a_stored_document_that_is_no_text_or_too_large_is_refused(documents):
    commit_tree(documents.path, {STAND: (0o100644, b"\xff\xfe"), _agents(): (0o100644, b"a" * ((1 << 20) + 1))})
    for name in ("AKTUELLER_STAND", "AGENTS"):
        with pytest.raises(NotADocument, match=name):
            await documents.read(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"branch": "../x"},
        {"branch": "HEAD"},
        {"key": "a b"},
        {"author": "nobody"},
        {"message": "Proposal: p-9"},
        {"texts": {}},
        {"at_s": -1},
        {"at_s": 1_700_000_000_000_000_000},
        {"base": "0" * 40},
        {"base": "none"},
        {"texts": {"AGENTS": "a\0"}},
    ],
)
async def test_what_cannot_be_committed_is_refused_and_leaves_nothing(tmp_path, wrong):
    documents = own(tmp_path)
    asked = (await change(documents, {"AGENTS": "1\n"}))._replace(**wrong)
    with pytest.raises(InvalidInput):
        await documents.commit(asked)
    assert len(commits(documents.path)) == 1
    assert not dirty(documents.path)


# -- somebody else's files -----------------------------------------------------------------------------------------


def _edited(path: Path) -> None:
    (path / "README.md").write_text("mine")


def _staged(path: Path) -> None:
    (path / "mine.txt").write_text("mine")
    porcelain.add(str(path), [str(path / "mine.txt")])


def _deleted(path: Path) -> None:
    (path / "README.md").unlink()


def _untracked(path: Path) -> None:
    (path / STAND).parent.mkdir(parents=True)
    (path / STAND).write_text("mine")


@pytest.mark.parametrize(
    ("spoil", "named"), [(_edited, "README.md"), (_staged, "mine.txt"), (_deleted, "README.md"), (_untracked, STAND)]
)
async def test_a_dirty_tree_is_named_and_not_touched_but_another_branch_may_be_written(tmp_path, spoil, named):
    documents = own(tmp_path)
    spoil(documents.path)
    before = dirty(documents.path)
    asked = await change(documents, {"AKTUELLER_STAND": "x\n"})
    with pytest.raises(DirtyTree, match=named):
        await documents.commit(asked)
    assert len(commits(documents.path)) == 1
    assert (await documents.commit(asked._replace(branch="other"))).made
    assert dirty(documents.path) == before == [named]


async def test_files_that_git_does_not_know_are_nobodys_trouble(tmp_path):
    documents = own(tmp_path)
    (documents.path / "notes.txt").write_text("mine")
    assert (await documents.commit(await change(documents, {"AKTUELLER_STAND": "x\n"}))).made
    assert dirty(documents.path) == ["notes.txt"]


@pytest.mark.parametrize("target", ["outside/file.md", "nowhere"])
@pytest.mark.parametrize("linked", ["backoffice", "backoffice/docs", STAND])
async def test_a_link_in_the_checked_out_files_is_never_written_through(tmp_path, linked, target):
    documents = own(tmp_path)
    outside = tmp_path / "outside"
    (outside / "docs").mkdir(parents=True)
    (outside / "file.md").write_text("mine")
    link = documents.path / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    pointed = tmp_path / target if linked == STAND or target == "nowhere" else outside
    link.symlink_to(pointed)
    with pytest.raises(UnsafePath, match=STAND):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": "x\n"}))
    assert len(commits(documents.path)) == 1
    assert link.is_symlink()
    assert {file.name for file in outside.rglob("*")} == {"docs", "file.md"}
    assert (outside / "file.md").read_text() == "mine"


async def test_a_document_that_becomes_a_link_between_check_and_write_is_left(tmp_path, monkeypatch):
    documents = own(tmp_path)
    await documents.commit(await change(documents, {"AKTUELLER_STAND": "1\n"}))
    outside = tmp_path / "outside.md"
    outside.write_text("1\n")
    prepare = WorkingTree.prepare

    def swapped(tree: WorkingTree) -> None:
        prepare(tree)
        (documents.path / STAND).unlink()
        (documents.path / STAND).symlink_to(outside)

    monkeypatch.setattr(WorkingTree, "prepare", swapped)
    asked = await change(documents, {"AKTUELLER_STAND": "2\n"}, "p-2")
    with pytest.raises(DirtyTree, match=rf"stands on main, but {STAND} changed"):
        await documents.commit(asked)
    assert outside.read_text() == "1\n"
    assert (documents.path / STAND).is_symlink()
    assert not (await documents.commit(asked)).made
    assert dirty(documents.path) == [STAND]


async def test_a_document_that_is_edited_between_check_and_write_keeps_the_edit(tmp_path, monkeypatch):
    documents = own(tmp_path)
    prepare = WorkingTree.prepare

    def edited(tree: WorkingTree) -> None:
        prepare(tree)
        (documents.path / STAND).write_text("mine")

    monkeypatch.setattr(WorkingTree, "prepare", edited)
    asked = await change(documents, {"AKTUELLER_STAND": "2\n", "AGENTS": "2\n"})
    with pytest.raises(DirtyTree, match=STAND):
        await documents.commit(asked)
    assert (documents.path / STAND).read_text() == "mine"
    assert (documents.path / _agents()).read_text() == "2\n"
    assert dirty(documents.path) == [STAND]


async def test_a_folder_that_becomes_a_link_between_check_and_write_stops_the_commit(tmp_path, monkeypatch):
    documents = own(tmp_path)
    await documents.commit(await change(documents, {"AKTUELLER_STAND": "1\n"}))
    outside = tmp_path / "outside"
    shutil.copytree(documents.path / "backoffice/docs", outside)
    check = WorkingTree.require_clean

    def swapped(tree: WorkingTree) -> None:
        check(tree)
        os.rename(documents.path / "backoffice/docs", tmp_path / "away")
        (documents.path / "backoffice/docs").symlink_to(outside)

    monkeypatch.setattr(WorkingTree, "require_clean", swapped)
    with pytest.raises(UnsafePath, match="docs is no folder"):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": "2\n"}, "p-2"))
    assert [file.name for file in outside.iterdir()] == ["AKTUELLER_STAND.md"]
    assert (outside / "AKTUELLER_STAND.md").read_text() == "1\n"
    assert len(commits(documents.path)) == 2


@pytest.mark.parametrize("lock", ["index.lock", "refs/heads/main.lock"])
async def test_a_lock_of_git_is_respected(tmp_path, lock):
    documents = own(tmp_path)
    held = documents.path / ".git" / lock
    held.write_bytes(b"of somebody else")
    asked = await change(documents, {"AKTUELLER_STAND": "x\n"})
    for _ in range(2):
        with pytest.raises(Unavailable, match=lock):
            await documents.commit(asked)
        assert held.read_bytes() == b"of somebody else"
    held.unlink()
    assert (await documents.commit(asked)).made
    assert not dirty(documents.path)


async def test_a_merge_that_is_not_finished_is_not_committed_over(tmp_path):
    documents = own(tmp_path)
    (documents.path / ".git/MERGE_HEAD").write_text("0" * 40)
    with pytest.raises(DirtyTree, match="MERGE_HEAD"):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": "x\n"}))


# -- repositories of other people ----------------------------------------------------------------------------------


async def test_the_desks_own_repository_is_made_once_and_the_same_everywhere(tmp_path):
    documents, other = own(tmp_path / "a"), own(tmp_path / "b")
    tip = await documents.tip()
    assert tip == await other.tip()
    (tmp_path / "a/documents.unfinished").mkdir()
    assert await own(tmp_path / "a").tip() == tip
    assert not dirty(documents.path)
    assert (documents.path / "README.md").read_bytes().startswith(b"# Claire de Binare")


def test_one_repository_is_made_by_many_at_once(tmp_path):
    async def made() -> list[Path]:
        return await asyncio.gather(*(asyncio.to_thread(own_repository, tmp_path / "documents") for _ in range(8)))

    assert set(asyncio.run(made())) == {tmp_path / "documents"}
    assert len(commits(tmp_path / "documents")) == 1


async def test_what_is_no_repository_or_has_no_commit_says_what_to_do(tmp_path):
    with pytest.raises(InvalidInput, match="CDB_DOCUMENTS_REPO"):
        await GitDocuments(tmp_path).tip()
    porcelain.init(str(tmp_path / "new")).close()
    documents = GitDocuments(tmp_path / "new")
    assert await documents.tip() is None
    with pytest.raises(InvalidInput, match="has no commit"):
        await documents.read("AGENTS")
    asked = (await change(own(tmp_path), {"AGENTS": "1\n"}))._replace(base="main")
    with pytest.raises(InvalidInput, match="has no commit"):
        await documents.commit(asked)


async def test_no_hook_and_no_filter_of_the_repository_ever_runs(tmp_path):
    documents = own(tmp_path)
    ran = tmp_path / "ran"
    hooks = "pre-commit prepare-commit-msg commit-msg post-commit reference-transaction post-checkout post-index-change"
    for name in [*hooks.split(), "post-rewrite", "fsmonitor-watchman", "pre-push"]:
        hook = documents.path / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
        hook.chmod(0o755)
    with (documents.path / ".git/config").open("a") as config:
        config.write(f'[filter "evil"]\n\tclean = touch {ran}\n\tsmudge = touch {ran}\n\tprocess = touch {ran}\n')
    assert (await documents.commit(await change(documents, {"AKTUELLER_STAND": "1\n"}))).made
    (documents.path / ".git/info").mkdir(exist_ok=True)
    (documents.path / ".git/info/attributes").write_text("*.md filter=evil\n")
    with pytest.raises(InvalidInput, match="attribute filter"):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": "2\n"}, "p-2"))
    os.utime(documents.path / "README.md", (1, 1))  # so that its content is looked at
    assert (await documents.commit(await change(documents, {"strategies/ema.json": "{}\n"}, "p-3"))).made
    assert not ran.exists()


@pytest.mark.parametrize(
    ("config", "attributes", "file", "stored"),
    [
        ("autocrlf = true", "", b"1\r\n2\r\n", b"1\n2\n"),
        ("autocrlf = input", "", b"1\n2\n", b"1\n2\n"),
        ("eol = crlf", "* text=auto\n", b"1\r\n2\r\n", b"1\n2\n"),
        ("autocrlf = false", "*.md text eol=crlf\n", b"1\r\n2\r\n", b"1\n2\n"),
        ("autocrlf = true", "*.md -text\n", b"1\n2\n", b"1\n2\n"),
    ],
)
async def test_line_endings_follow_the_settings_of_the_repository(tmp_path, config, attributes, file, stored):
    documents = own(tmp_path)
    if attributes:
        (documents.path / ".gitattributes").write_text(attributes)
        git(documents.path, "add", ".")
        git(documents.path, "commit", "-qm", "attributes")
    with (documents.path / ".git/config").open("a") as opened:
        opened.write(f"[core]\n\t{config}\n")
    for number, text in enumerate(("1\n2\n", "1\n3\n", "1\n2\n")):
        await documents.commit(await change(documents, {"AKTUELLER_STAND": text}, f"p-{number}"))
        assert git(documents.path, "status", "--porcelain", "-uall") == ""
    assert (documents.path / STAND).read_bytes() == file
    assert git(documents.path, "cat-file", "blob", f"HEAD:{STAND}").encode() == stored.replace(b"\r", b"")
    assert (await documents.read("AKTUELLER_STAND")).text == "1\n2\n"


async def test_a_document_keeps_the_line_ending_that_it_was_stored_with(documents):
    commit_tree(documents.path, {STAND: (0o100755, b"1\r\n2\r\n")})
    asked = await change(documents, {"AKTUELLER_STAND": "1\n2\n3\n"}, branch="other", base=await documents.tip())
    assert (await documents.read("AKTUELLER_STAND")).text == "1\n2\n"
    await documents.commit(asked)
    told = git(documents.path, "diff", "--stat", "main", "other")
    assert "1 insertion(+)" in told
    assert "deletion" not in told
    assert git(documents.path, "ls-tree", "other", STAND).startswith("100755")


async def test_a_branch_that_another_worktree_has_checked_out_does_not_move_under_it(tmp_path):
    documents = own(tmp_path)
    git(documents.path, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    with pytest.raises(InvalidInput, match="another worktree"):
        await documents.commit(await change(documents, {"AGENTS": "1\n"}, branch="side"))
    beside = GitDocuments(tmp_path / "side")
    with pytest.raises(InvalidInput, match="another worktree"):
        await beside.commit(await change(beside, {"AGENTS": "1\n"}, branch="main"))
    assert (await beside.commit(await change(beside, {"AGENTS": "1\n"}, branch="side"))).made
    assert (tmp_path / "side" / _agents()).read_text() == "1\n"
    assert git(tmp_path / "side", "status", "--porcelain") == git(documents.path, "status", "--porcelain") == ""


async def test_a_worktree_of_a_bare_repository_is_brought_along(tmp_path):
    hub = bare(tmp_path)
    git(hub.path, "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    documents = GitDocuments(tmp_path / "tree")
    assert (await documents.commit(await change(documents, {"AGENTS": "1\n"}))).made
    assert (tmp_path / "tree" / _agents()).read_text() == "1\n"
    assert git(tmp_path / "tree", "status", "--porcelain") == ""


async def test_packed_branches_and_objects_are_read_and_moved(documents):
    await documents.commit(await change(documents, {"AGENTS": "1\n"}, "p-1"))
    git(documents.path, "gc", "-q")
    git(documents.path, "pack-refs", "--all")
    await documents.commit(await change(documents, {"AGENTS": "2\n"}, "p-2"))
    assert (await documents.read("AGENTS")).text == "2\n"
    assert not (await documents.commit(await change(documents, {"AGENTS": "1\n"}, "p-1"))).made
    git(documents.path, "fsck", "--strict")


async def test_a_detached_head_has_no_branch_to_bring_along(tmp_path):
    documents = own(tmp_path)
    git(documents.path, "checkout", "-q", "--detach")
    await documents.commit(await change(documents, {"AGENTS": "1\n"}))
    assert not (documents.path / _agents()).exists()
    assert git(documents.path, "status", "--porcelain") == ""


async def test_an_index_that_cannot_be_kept_whole_is_refused(tmp_path):
    documents = own(tmp_path)
    git(documents.path, "update-index", "--split-index")
    with pytest.raises(InvalidInput, match="split"):
        await documents.commit(await change(documents, {"AGENTS": "1\n"}))
    assert git(documents.path, "status", "--porcelain") == ""


async def test_a_damaged_repository_is_named(tmp_path):
    documents = own(tmp_path)
    shutil.rmtree(documents.path / ".git/objects")
    (documents.path / ".git/objects").mkdir()
    with pytest.raises((InvalidInput, Unavailable), match="documents"):
        await documents.read("AGENTS")
