"""Documents and forge by the settings."""

import pytest

from domain.errors import InvalidInput
from ops.composition import open_documents, open_forge
from ops.settings import load
from tests.repositories import change, own


async def test_without_a_setting_the_desk_has_a_repository_and_a_forge_of_its_own(tmp_path):
    settings = load(data_dir=tmp_path / "desk")
    documents, forge = open_documents(settings), open_forge(settings)
    asked = await change(documents, {"AGENTS": "1\n"}, branch="one")  # type: ignore[arg-type]
    await documents.commit(asked)
    made = await forge.open_pull_request("one", "main", "Rolle", "", asked.key)
    assert (settings.data_dir / made.url).is_file()
    assert (await open_documents(settings).read("AGENTS", "one")).text == "1\n"


async def test_the_documents_of_another_repository_are_used_where_they_are(tmp_path):
    theirs = own(tmp_path / "theirs")
    settings = load(data_dir=tmp_path / "desk", documents_repo=theirs.path)
    assert await open_documents(settings).tip() == await theirs.tip()
    await open_forge(settings).publish("main")
    assert not (tmp_path / "desk").exists()


def test_github_needs_a_repository_and_a_token_file(tmp_path):
    given = {"data_dir": tmp_path, "documents_repo": own(tmp_path).path, "forge": "github"}
    with pytest.raises(InvalidInput, match="CDB_GITHUB_REPOSITORY"):
        open_forge(load(**given))
    with pytest.raises(InvalidInput, match="CDB_GITHUB_TOKEN_FILE"):
        open_forge(load(**given, github_repository="desk/backoffice"))
    open_forge(load(**given, github_repository="desk/backoffice", github_token_file=tmp_path / "token"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("github_url", "http://github.example"),  # the token would go in the clear
        ("github_url", "https://user:secret@github.example"),
        ("github_url", "https://github.example/x"),
        ("github_repository", "backoffice"),
        ("github_repository", "../backoffice/x"),
        ("forge", "gitlab"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name, value):
    with pytest.raises(InvalidInput, match=name.replace("_", "-")):
        load(**{name: value})
