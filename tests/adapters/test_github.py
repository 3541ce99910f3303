"""GitHub as it is on bad days: done once, whatever the answer was, and the token is told to nobody else."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from dulwich import porcelain
from dulwich.repo import Repo

from adapters.documents import GitDocuments
from adapters.github import GitHubForge
from domain.errors import Conflict, DeskError, InvalidInput, Unavailable
from tests.github_server import NAME, TOKEN, Fault, GitHub, serving
from tests.repositories import NO_SETTINGS, change, commit_tree, own

TITLE = "Update AKTUELLER_STAND via MCP Agent"
RATE = {"message": "API rate limit exceeded for user ID 1."}
REMOTE_MAIN = b"refs/heads/main"


class Bench(NamedTuple):
    forge: GitHubForge
    github: GitHub
    documents: GitDocuments
    token: Path

    async def open(self, key: str = "p-1", branch: str = "status-1") -> int:
        return (await self.forge.open_pull_request(branch, "main", TITLE, "warum", key)).number


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A branch status-1 that waits to be offered, and main at the remote."""
    for name, value in {**NO_SETTINGS, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    documents, remote, token = own(tmp_path), tmp_path / "remote.git", tmp_path / "token"
    porcelain.init(str(remote), bare=True).close()
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n")
    with serving(remote) as github:
        forge = GitHubForge(documents.path, NAME, token, github.url, pauses_s=(0, 0), rate_wait_s=1)
        await documents.commit(await change(documents, {"AKTUELLER_STAND": "neu\n"}, branch="status-1"))
        await forge.publish("main")
        github.calls.clear()
        yield Bench(forge, github, documents, token)


def posts(bench: Bench) -> int:
    return sum(call.startswith("POST /api") for call in bench.github.calls)


# -- once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"])
async def test_a_failing_answer_is_followed_by_a_look_and_not_by_a_second_request(bench, status, done):
    after = {"Retry-After": "0"} if status.startswith("503") else {}
    bench.github.faults = [
        Fault("GET", "/pulls$", status, {}, {"message": "oops"}),
        Fault("POST", "/pulls$", status, after, {"message": "oops"}, done),
        Fault("POST", "/comments$", status, after, {"message": "oops"}, done),
    ]
    number = await bench.open()
    await bench.forge.comment(number, "Trefferquote: 51 %", "o-1")
    assert len(bench.github.pulls) == 1
    assert len(bench.github.comments[number]) == 1
    assert posts(bench) == (2 if done else 4)


async def test_a_server_that_stays_away_is_named_and_asked_a_few_times_only(bench):
    bench.github.faults = [Fault("GET", "/pulls$", "500 Internal Server Error", {}, {}) for _ in range(9)]
    with pytest.raises(Unavailable, match="500"):
        await bench.open()
    assert len(bench.github.faults) == 6
    away = GitHubForge(bench.documents.path, NAME, bench.token, "http://127.0.0.1:9", pauses_s=())
    with pytest.raises(Unavailable, match="could not be asked"):
        await away.find("p-1")
    with pytest.raises(Unavailable, match="could not be asked"):
        await away.publish("main")


async def test_a_call_that_was_refused_for_its_rate_is_repeated(bench):
    for headers in ({"Retry-After": "0"}, {"X-RateLimit-Reset": str(int(time.time()) - 5)}):
        bench.github.faults.append(Fault("POST", "/pulls$", "403 Forbidden", headers, RATE))
    await bench.open()
    assert len(bench.github.pulls) == 1
    assert posts(bench) == 3


async def test_a_long_wait_for_the_rate_is_told_instead_of_waited_for(bench):
    far = {"X-RateLimit-Reset": str(int(time.time()) + 3600)}
    bench.github.faults = [Fault("POST", "/pulls$", "403 Forbidden", far, RATE)]
    with pytest.raises(Unavailable, match="allows no more calls now"):
        await bench.open()
    assert posts(bench) == 1
    assert await bench.open() == 1


async def test_a_request_that_somebody_made_at_the_same_moment_is_found(bench):
    bench.github.add_pull("status-1", "main", TITLE, "warum\n\n<!-- cdb:pull-request:p-1 -->\n")
    bench.github.faults = [Fault("GET", "/pulls$", "200 OK", {}, []) for _ in range(2)]  # lists lag behind
    assert await bench.open() == 1
    assert posts(bench) == 1
    bench.github.faults = [Fault("GET", "/pulls$", "200 OK", {}, []) for _ in range(2)]
    with pytest.raises(Conflict, match="offered already as pull request 1"):
        await bench.open("p-2")


async def test_a_closed_request_is_still_found_by_its_key_and_does_not_hold_the_branch(bench):
    assert await bench.open() == 1
    bench.github.pulls[0]["state"] = "closed"
    assert await bench.open() == 1
    assert await bench.open("p-2") == 2


async def test_an_old_request_is_found_behind_many_newer_ones(bench):
    await bench.open()
    for number in range(230):
        bench.github.add_pull(f"b-{number}", "main", TITLE, None if number % 2 else "by hand")
    assert (await bench.forge.find("p-1")).number == 1


async def test_a_strangers_marker_stands_for_nothing(bench):
    mark = "<!-- cdb:pull-request:p-1 -->"
    bench.github.add_pull("status-1", "main", "mine", mark, user="stranger", repo="stranger/backoffice")
    gone = bench.github.add_pull("status-1", "main", "mine", mark)
    gone["head"]["repo"] = None  # a copy that was deleted
    gone["state"] = "closed"
    assert await bench.forge.find("p-1") is None
    number = await bench.open()
    assert number == 3
    bench.github.add_comment(number, "<!-- cdb:comment:o-1 -->", user="stranger")
    await bench.forge.comment(number, "Trefferquote: 51 %", "o-1")
    assert [said["user"]["login"] for said in bench.github.comments[number]] == ["stranger", "desk-bot"]


# -- the branch ----------------------------------------------------------------------------------------------------


async def test_a_branch_of_others_at_the_remote_is_never_overwritten(bench):
    commit_tree(bench.github.remote, {"theirs.md": (0o100644, b"theirs")})
    with Repo(str(bench.github.remote)) as remote:
        theirs = remote.refs[REMOTE_MAIN]
    await bench.documents.commit(await change(bench.documents, {"AGENTS": "ours\n"}, "p-2"))
    with pytest.raises(Conflict, match=f"stands at {theirs.decode()} on the remote"):
        await bench.forge.publish("main")
    with Repo(str(bench.github.remote)) as remote:
        assert remote.refs[REMOTE_MAIN] == theirs


async def test_settings_and_hooks_of_the_repository_have_no_part_in_a_push(bench, tmp_path):
    ran = tmp_path / "ran"
    git = bench.documents.path / ".git"
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\ntouch {ran}\n")
    helper.chmod(0o755)
    (git / "hooks/pre-push").write_text(helper.read_text())
    (git / "hooks/pre-push").chmod(0o755)
    with (git / "config").open("a") as config:
        config.write(
            f'[credential]\n\thelper = {helper}\n[url "http://127.0.0.1:9/"]\n\tinsteadOf = {bench.github.url}/\n'
        )
        config.write("[http]\n\tproxy = http://127.0.0.1:9\n\textraHeader = X: y\n[push]\n\tfollowTags = true\n")
    assert await bench.open() == 1
    assert not ran.exists()


# -- the token -----------------------------------------------------------------------------------------------------


async def test_the_token_stands_in_no_log_and_no_error(bench, caplog):
    caplog.set_level(logging.DEBUG)
    bench.github.faults = [
        Fault("POST", "/pulls$", "500 Internal Server Error", {}, {"message": f"who sent {TOKEN}?"}),
        Fault("POST", "/pulls$", "422 Unprocessable Entity", {}, {"message": f"what is {TOKEN}?", "errors": [TOKEN]}),
    ]
    with pytest.raises(InvalidInput) as refused:
        await bench.open()
    assert TOKEN not in str(refused.value)
    bench.github.tokens = set()
    for work in (bench.forge.find("p-1"), bench.forge.publish("status-1"), bench.forge.comment(1, "x", "o-1")):
        with pytest.raises(InvalidInput, match=r"does not know the token of .*token; put a valid one there") as refused:
            await work
        assert TOKEN not in str(refused.value)
    assert TOKEN not in caplog.text
    assert caplog.records


async def test_a_changed_token_holds_at_once(bench):
    bench.github.tokens = {"another"}
    with pytest.raises(InvalidInput):
        await bench.open()
    bench.token.write_text("another")
    assert await bench.open() == 1


async def test_a_token_without_the_right_is_told_what_it_needs(bench):
    bench.github.faults = [
        Fault("POST", "/pulls$", "403 Forbidden", {}, {"message": "Resource not accessible by integration"})
    ]
    with pytest.raises(InvalidInput, match="it needs to write contents and pull requests"):
        await bench.open()
    bench.github.faults = [Fault("GET", "git-upload|git-receive|info/refs", "404 Not Found", {}, {})]
    with pytest.raises(InvalidInput, match="unknown to the token"):
        await bench.forge.publish("main")


@pytest.mark.parametrize(
    ("mode", "content"), [(0o644, TOKEN), (0o640, TOKEN), (0o600, ""), (0o600, "a\nb"), (0o600, "ä")]
)
async def test_a_token_file_that_others_may_read_or_that_holds_no_token_is_refused(bench, mode, content):
    bench.token.write_text(content)
    bench.token.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600" if mode != 0o600 else "must hold one token"):
        await bench.forge.find("p-1")
    assert bench.github.calls == []


async def test_a_token_file_that_is_none_is_named(bench, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        forge = GitHubForge(bench.documents.path, NAME, path, bench.github.url)
        with pytest.raises(DeskError, match=str(path)):
            await forge.find("p-1")
