"""An approver's key lies in a file that only its owner reads, only a passphrase opens, and nothing overwrites."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters import approver_keys
from domain.approval import encoded, key_id, verify
from domain.errors import InvalidInput
from tests.signing import OMAR, body

PASSPHRASE = "schöne Grüße 7"


WORK = approver_keys._WORK


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Less work a guess than a real key file has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approver_keys, "_WORK", 2**10)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key file of the right passphrase."""
    path = tmp_path_factory.mktemp("desk") / "keys" / "jana.json"
    approver_keys.create(path, PASSPHRASE)
    return path


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    path = tmp_path / "jana.json"
    path.touch(0o600)
    path.write_bytes(made.read_bytes())
    return path


def test_a_key_made_once_signs_what_its_public_half_verifies(made: Path) -> None:
    public_key = approver_keys.public_key(made)
    signed = approver_keys.sign(made, PASSPHRASE, body(key_id=key_id(public_key)))
    verify(signed, public_key)


def test_a_guess_costs_128_mebibytes_and_a_real_key_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 128 * 8 * WORK == 128 << 20  # bytes of scrypt with r = 8
    monkeypatch.setattr(approver_keys, "_WORK", WORK)
    approver_keys.create(tmp_path / "keys" / "jana.json", PASSPHRASE)
    assert approver_keys.unlock(tmp_path / "keys" / "jana.json", PASSPHRASE)


def test_only_the_owner_reaches_file_and_folder(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_the_private_half_is_not_legible(made: Path) -> None:
    private = approver_keys.unlock(made, PASSPHRASE)._private.private_bytes_raw()
    kept = made.read_bytes()
    assert not any(form in kept for form in (private, private.hex().encode(), encoded(private).encode()))


def test_two_files_of_one_passphrase_share_nothing(made: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    approver_keys.create(tmp_path / "other.json", PASSPHRASE)
    one, other = (json.loads(path.read_bytes()) for path in (made, tmp_path / "other.json"))
    assert [name for name in one if one[name] == other[name]] == ["format"]


@pytest.mark.parametrize("wrong", ["", "schöne Grüße 8", "schöne Grüße 7 "])
def test_another_passphrase_opens_nothing(made: Path, wrong: str) -> None:
    with pytest.raises(InvalidInput, match="another passphrase, or the file was changed"):
        approver_keys.unlock(made, wrong)


def test_a_file_with_another_public_half_does_not_open(copied: Path) -> None:
    kept = json.loads(copied.read_bytes()) | {"public_key": encoded(OMAR.public_key)}
    copied.write_text(json.dumps(kept))
    with pytest.raises(InvalidInput, match="the file was changed"):
        approver_keys.unlock(copied, PASSPHRASE)


def test_a_verdict_that_names_another_key_is_not_signed(made: Path) -> None:
    with pytest.raises(InvalidInput, match=f"names key {OMAR.id}"):
        approver_keys.sign(made, PASSPHRASE, body(OMAR))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_reach_is_refused(copied: Path, mode: int) -> None:
    copied.chmod(mode)
    with pytest.raises(InvalidInput, match=f"chmod 600 {copied}"):
        approver_keys.public_key(copied)


def test_no_key_is_made_in_a_folder_that_others_reach(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InvalidInput, match=f"chmod 700 {tmp_path}"):
        approver_keys.create(tmp_path / "jana.json", PASSPHRASE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["a file", "a link", "a link to nowhere"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    tmp_path.chmod(0o700)
    path, kept = tmp_path / "jana.json", tmp_path / "kept"
    if there != "a link to nowhere":
        kept.write_text("mine")
    if there == "a file":
        kept.rename(path)
    else:
        path.symlink_to(kept)
    with pytest.raises(InvalidInput, match="never overwritten"):
        approver_keys.create(path, PASSPHRASE)
    assert kept.exists() == (there == "a link")
    assert path.is_symlink() or path.read_text() == "mine"


def test_a_key_that_could_not_be_written_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(approver_keys.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        approver_keys.create(tmp_path / "keys" / "jana.json", PASSPHRASE)
    assert list((tmp_path / "keys").iterdir()) == []


@pytest.mark.parametrize("short", ["", "seven 7", "üüüüüüü"])
def test_a_short_passphrase_makes_no_key(tmp_path: Path, short: str) -> None:
    with pytest.raises(InvalidInput, match="at least 8"):
        approver_keys.create(tmp_path / "keys" / "jana.json", short)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "changed",
    [{"format": "cdb.approver-key.v2"}, {"salt": "A"}, {"sealed": ""}, {"also": 1}, {"public_key": "A" * 44}, None],
)
def test_another_files_content_is_named_as_what_it_is_not(copied: Path, changed: dict[str, Any] | None) -> None:
    copied.write_text(json.dumps(json.loads(copied.read_bytes()) | changed) if changed else "-----BEGIN KEY-----")
    with pytest.raises(InvalidInput, match="no key file of an approver"):
        approver_keys.public_key(copied)


def test_only_a_file_itself_is_read(copied: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(copied)
    os.mkfifo(pipe, 0o600)
    for path in (link, pipe, tmp_path):
        with pytest.raises(InvalidInput, match=f"{path} "):
            approver_keys.public_key(path)
    with pytest.raises(InvalidInput, match="there is no key file"):
        approver_keys.public_key(tmp_path / "none.json")


def test_what_belongs_to_somebody_else_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approver_keys.os, "geteuid", lambda: copied.stat().st_uid + 1)
    with pytest.raises(InvalidInput, match=f"{copied} belongs to another account"):
        approver_keys.public_key(copied)
    with pytest.raises(InvalidInput, match=f"{copied.parent} belongs to another account"):
        approver_keys.create(copied.parent / "other.json", PASSPHRASE)
