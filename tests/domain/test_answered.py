"""What was answered is known for ever, by 16 bytes, in whatever order and however often it came."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import answered as module
from domain.answered import DIGEST, Answered

IDS = st.lists(st.text(min_size=1, max_size=5) | st.sampled_from([f"id-{number}" for number in range(40)]), max_size=60)


@pytest.fixture(scope="module", autouse=True)
def sorted_in_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RECENT", 7)
        yield


def holding(ids: list[str]) -> Answered:
    answered = Answered()
    for name in ids:
        answered.add(name)
    return answered


@given(IDS, IDS)
def test_it_is_a_set_of_ids(added: list[str], asked: list[str]) -> None:
    answered = holding(added)
    assert [name in answered for name in added + asked] == [name in set(added) for name in added + asked]
    assert len(answered) == len(set(added))


@given(IDS)
def test_its_bytes_are_the_ascending_digests_in_whatever_order_they_came(ids: list[str]) -> None:
    wanted = b"".join(sorted({sha256(name.encode()).digest()[:16] for name in ids}))
    assert holding(ids).digests().tobytes() == holding(ids[::-1] + ids).digests().tobytes() == wanted


@given(IDS, IDS)
def test_it_goes_on_from_its_bytes(before: list[str], later: list[str]) -> None:
    kept = Answered(np.frombuffer(holding(before).digests().tobytes(), DIGEST))
    for name in later:
        kept.add(name)
    assert kept.digests().tobytes() == holding(before + later).digests().tobytes()
    assert all(name in kept for name in before + later)


@pytest.mark.parametrize("ends", [b"\0", b"\0\0\0", b"\x80", b"\xff"])
def test_digests_differ_by_their_last_bytes_and_ascend_by_all(ends: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy drops nul bytes at the end of what it takes out of an array."""
    monkeypatch.setattr(module, "_digest", lambda name: name.encode().ljust(16 - len(ends), b"\x01") + ends)
    answered = holding(["b", "a", "c"])
    assert [name in answered for name in "abcd"] == [True, True, True, False]
    raw = answered.digests().tobytes()
    assert [raw[at : at + 16] for at in range(0, 48, 16)] == [module._digest(name) for name in "abc"]


@pytest.mark.parametrize("digests", [[b"b" * 16, b"a" * 16], [b"a" * 16, b"a" * 16], [b"\x80" * 16, b"\x7f" * 16]])
def test_digests_that_do_not_ascend_are_refused(digests: list[bytes]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        Answered(np.array(digests, DIGEST))
