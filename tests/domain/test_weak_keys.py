"""A public key under which anybody can sign is none. The curve's own arithmetic finds them all."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from domain.approval import Signed, encoded, key_id, refuse_weak, to_sign, verify
from domain.errors import Refused
from tests.signing import Key, body

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT = pow(2, (PRIME - 1) // 4, PRIME)  # of -1


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Edwards addition, as RFC 8032 writes it."""
    product = CURVE_D * a[0] * b[0] * a[1] * b[1] % PRIME
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, PRIME)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, PRIME)
    return x % PRIME, y % PRIME


def times(factor: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    for bit in bin(factor)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def points(y: int) -> list[tuple[int, int]]:
    """The points with this y."""
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * ROOT % PRIME
    return [(x, y), (-x % PRIME, y)] if x * x % PRIME == square else []


def torsion() -> set[tuple[int, int]]:
    """The eight points of small order: what is left of any point, times the group's order."""
    found = {times(ORDER, point) for y in range(2, 40) for point in points(y)}
    assert len(found) == 8
    assert all(times(8, point) == (0, 1) for point in found)
    return found


def test_every_key_of_small_order_is_refused_in_both_spellings() -> None:
    for _, y in torsion():
        for sign in (0, 1 << 255):
            with pytest.raises(Refused) as refused:
                refuse_weak((y | sign).to_bytes(32, "little"))
            assert refused.value.code == "weak_key"


def test_a_signature_that_needs_no_key_passes_openssl_and_not_the_desk() -> None:
    weak, made_up = (1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    said = body(key_id=key_id(weak))
    Ed25519PublicKey.from_public_bytes(weak).verify(made_up, to_sign(said))
    with pytest.raises(Refused) as refused:
        verify(Signed(body=said, signature=encoded(made_up)), weak)
    assert refused.value.code == "weak_key"


@pytest.mark.parametrize("beyond", range(19))
def test_a_key_has_one_spelling(beyond: int) -> None:
    for sign in (0, 1 << 255):
        with pytest.raises(Refused) as refused:
            refuse_weak((PRIME + beyond | sign).to_bytes(32, "little"))
        assert refused.value.code == "weak_key"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Refused) as refused:
        refuse_weak(b"\x09" * length)
    assert refused.value.code == "weak_key"


@given(st.integers(1, 2**256 - 1))
def test_no_honest_key_is_called_weak(seed: int) -> None:
    refuse_weak(Key(seed).public_key)


def test_a_key_is_called_by_its_hash() -> None:
    assert (
        key_id(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")) == "21fe31dfa154a261"
    )
