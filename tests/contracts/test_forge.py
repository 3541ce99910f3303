"""Both forges: a branch is offered once under a key, said once what is said, and found again."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from dulwich import porcelain

from adapters.documents import GitDocuments
from adapters.forge import LocalForge
from adapters.github import GitHubForge
from domain.documents import Forge
from domain.errors import Conflict, InvalidInput
from tests.github_server import NAME, TOKEN, serving
from tests.repositories import NO_SETTINGS, change, own

TITLE = "Update AKTUELLER_STAND via MCP Agent"


class Bench(NamedTuple):
    """A forge of some documents, and another one of the same, as after a restart."""

    forge: Forge
    again: Forge
    documents: GitDocuments


@pytest.fixture(params=["local", "github"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, value in {**NO_SETTINGS, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    documents = own(tmp_path)
    if request.param == "local":
        folder = tmp_path / "pull-requests"
        yield Bench(LocalForge(documents.path, folder), LocalForge(documents.path, folder), documents)
        return
    remote, token = tmp_path / "remote.git", tmp_path / "token"
    porcelain.init(str(remote), bare=True).close()
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n")
    with serving(remote) as github:
        forges = [GitHubForge(documents.path, NAME, token, github.url, pauses_s=(0,)) for _ in range(2)]
        yield Bench(*forges, documents)


async def offered(bench: Bench, branch: str, key: str) -> str:
    """A branch with a commit, and main where reviewers see it."""
    done = await bench.documents.commit(
        await change(bench.documents, {"AKTUELLER_STAND": f"{key}\n"}, key, branch=branch)
    )
    await bench.forge.publish("main")
    return done.id


async def test_a_branch_is_offered_once_under_a_key(bench):
    await offered(bench, "status-1", "p-1")
    made = await bench.forge.open_pull_request("status-1", "main", TITLE, "Was und warum.", "p-1")
    assert (made.number, made.branch, made.base, made.title) == (1, "status-1", "main", TITLE)
    assert made.url
    assert await bench.again.open_pull_request("status-1", "main", "other", "other", "p-1") == made
    assert await bench.again.find("p-1") == made
    assert await bench.forge.find("p-2") is None
    assert await bench.forge.find("p-") is None


async def test_each_branch_has_a_number_of_its_own(bench):
    for number, branch in enumerate(("one", "two", "three"), start=1):
        await offered(bench, branch, f"p-{number}")
        assert (await bench.forge.open_pull_request(branch, "main", TITLE, "", f"p-{number}")).number == number
    assert (await bench.again.find("p-2")).branch == "two"


async def test_a_branch_that_is_offered_is_not_offered_under_another_key(bench):
    await offered(bench, "one", "p-1")
    await bench.forge.open_pull_request("one", "main", TITLE, "", "p-1")
    with pytest.raises(Conflict, match="one is offered already as pull request 1"):
        await bench.forge.open_pull_request("one", "main", TITLE, "", "p-2")


async def test_a_comment_is_said_once_under_a_key(bench):
    await offered(bench, "one", "p-1")
    made = await bench.forge.open_pull_request("one", "main", TITLE, "", "p-1")
    first = await bench.forge.comment(made.number, "Trefferquote: 51 %", "o-1")
    second = await bench.forge.comment(made.number, "Trefferquote: 52 %", "o-2")
    assert first != second
    assert await bench.again.comment(made.number, "Trefferquote: 51 %", "o-1") == first


async def test_a_branch_is_published_as_it_stands_and_again_when_it_grew(bench):
    first = await offered(bench, "one", "p-1")
    assert await bench.forge.publish("one") == first
    assert await bench.forge.publish("one") == first
    second = await bench.documents.commit(await change(bench.documents, {"AGENTS": "x\n"}, "p-2", branch="one"))
    assert await bench.again.publish("one") == second.id


@pytest.mark.parametrize(
    ("branch", "base", "title", "body", "key"),
    [
        ("none", "main", TITLE, "", "p-1"),
        ("one", "none", TITLE, "", "p-1"),
        ("../x", "main", TITLE, "", "p-1"),
        ("one", "ma in", TITLE, "", "p-1"),
        ("one", "main", "", "", "p-1"),
        ("one", "main", "a\nb", "", "p-1"),
        ("one", "main", TITLE, "<!-- cdb:pull-request:p-9 -->", "p-1"),
        ("one", "main", TITLE, "", "p 1"),
    ],
)
async def test_what_cannot_be_offered_is_refused_and_not_found(bench, branch, base, title, body, key):
    await offered(bench, "one", "p-0")
    with pytest.raises(InvalidInput):
        await bench.forge.open_pull_request(branch, base, title, body, key)
    assert await bench.forge.find("p-1") is None
    assert await bench.forge.find("p-9") is None


async def test_a_comment_needs_a_pull_request_and_no_marker_of_its_own(bench):
    await offered(bench, "one", "p-1")
    made = await bench.forge.open_pull_request("one", "main", TITLE, "", "p-1")
    with pytest.raises(InvalidInput):
        await bench.forge.comment(made.number + 1, "x", "o-1")
    with pytest.raises(InvalidInput):
        await bench.forge.comment(made.number, "<!-- cdb:comment:o-9 -->", "o-1")


async def test_a_crash_between_commit_and_pull_request_is_made_good_by_asking_for_both_again(bench):
    asked = await change(bench.documents, {"AKTUELLER_STAND": "x\n"}, "p-1", branch="status-1")
    await bench.documents.commit(asked)
    await bench.forge.publish("main")
    restarted = GitDocuments(bench.documents.path)
    assert await bench.again.find("p-1") is None
    assert not (await restarted.commit(asked)).made
    made = await bench.again.open_pull_request("status-1", "main", TITLE, "", "p-1")
    assert await bench.forge.open_pull_request("status-1", "main", TITLE, "", "p-1") == made
