"""The forge in the data directory: its files, its numbers, and when a branch may be offered again."""

import asyncio
import json
from pathlib import Path

import pytest

from adapters.forge import LocalForge
from domain.errors import InvalidInput
from tests.repositories import change, git, own


async def test_a_request_is_a_file_that_a_person_can_read(tmp_path):
    documents = own(tmp_path)
    done = await documents.commit(await change(documents, {"AGENTS": "1\n"}, branch="one"))
    forge = LocalForge(documents.path, tmp_path / "pull-requests")
    made = await forge.open_pull_request("one", "main", "Rolle", "Was und warum.", "p-1")
    assert made.url == "pull-requests/1.json"
    for _ in range(2):
        assert await forge.comment(1, "gut", "o-1") == "pull-requests/1.json#comment-1"
    told = json.loads((tmp_path / made.url).read_text())
    assert (told["commit"], told["branch"], told["base"], told["key"]) == (done.id, "one", "main", "p-1")
    assert told["body"].startswith("Was und warum.\n")
    assert [said["key"] for said in told["comments"]] == ["o-1"]


async def test_a_branch_that_was_taken_over_may_be_offered_again(tmp_path):
    documents = own(tmp_path)
    forge = LocalForge(documents.path, tmp_path / "pull-requests")
    for number in (1, 2):
        await documents.commit(await change(documents, {"AGENTS": f"{number}\n"}, f"p-{number}", branch="one"))
        assert (await forge.open_pull_request("one", "main", "Rolle", "", f"p-{number}")).number == number
        git(documents.path, "merge", "-q", "one")


async def test_requests_that_are_made_at_once_get_numbers_of_their_own(tmp_path):
    documents = own(tmp_path)
    for number in range(6):
        base = await documents.tip("main")
        await documents.commit(await change(documents, {"AGENTS": f"{number}\n"}, branch=f"b-{number}", base=base))
    forges = [LocalForge(documents.path, tmp_path / "pull-requests") for _ in range(6)]
    made = await asyncio.gather(
        *(forge.open_pull_request(f"b-{n}", "main", "Rolle", "", f"p-{n}") for n, forge in enumerate(forges))
    )
    assert sorted(each.number for each in made) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"number": 1, "surprise": 2}'])
async def test_a_file_that_is_no_request_is_named(tmp_path: Path, content: bytes):
    forge = LocalForge(own(tmp_path).path, tmp_path / "pull-requests")
    (tmp_path / "pull-requests").mkdir()
    (tmp_path / "pull-requests/1.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"1\.json is no pull request"):
        await forge.find("p-1")
