"""A verdict counts when its approver signed exactly it, and it answers exactly what was asked."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.approval import (
    ApprovalBody,
    Question,
    Signed,
    check_answer,
    check_signature,
    decoded,
    encoded,
    to_sign,
    verify,
)
from domain.errors import Refused
from tests.signing import EVE, JANA, MINUTE, NOW, OMAR, body, question, signed

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the curve's group

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
OTHER: dict[str, Any] = {  # another value of every field that is signed
    "proposal": "prop-8",
    "command": "policy.retire",
    "args_sha256": "a" * 63 + "b",
    "policy": "governance-4",
    "base": "main:1201:88",
    "shown_sha256": "c" * 64,
    "environment": "paper-other",
    "nonce": "4f1e",
    "expires_at_ns": NOW + 10 * MINUTE + 1,
    "verdict": "rejected",
    "reason": "as agreed, “u”",
    "key_id": OMAR.id,
    "signed_at_ns": NOW + 1,
}
CODES = {
    "proposal": "other_proposal", "command": "edited", "args_sha256": "edited", "policy": "other_policy",
    "base": "stale", "shown_sha256": "not_shown", "environment": "wrong_environment", "nonce": "replayed",
    "expires_at_ns": "edited",
}  # fmt: skip


def code_of(refused: pytest.ExceptionInfo[Refused]) -> str:
    return refused.value.code


@pytest.mark.parametrize(
    ("secret", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
            "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0"
            "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac1"
            "8ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_the_vectors_of_rfc_8032_are_taken_and_nothing_beside_them(
    secret: str, public: str, message: str, signature: str
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert key.public_key().public_bytes_raw().hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    check_signature(bytes.fromhex(message), encoded(bytes.fromhex(signature)), bytes.fromhex(public))
    with pytest.raises(Refused) as refused:
        check_signature(bytes.fromhex(message) + b"\0", encoded(bytes.fromhex(signature)), bytes.fromhex(public))
    assert code_of(refused) == "forged"


def test_what_is_signed_are_these_bytes() -> None:
    assert to_sign(body()).decode() == (
        'cdb.decision.v1\0{"args_sha256":"' + "a" * 64 + '","base":"main:1200:88","command":"policy.activate",'
        '"environment":"paper-main","expires_at_ns":"1790000600000000123","key_id":"' + JANA.id + '","nonce":"4f1d",'
        '"policy":"governance-3","proposal":"prop-7","reason":"as agreed, “ü”","shown_sha256":"' + "b" * 64 + '",'
        '"signed_at_ns":"1790000000000000123","verdict":"approved"}'
    )


@given(reason=TEXT, expires=st.integers(0, 2**63 - 1), verdict=st.sampled_from(["approved", "rejected"]))
def test_a_verdict_stored_and_read_again_still_holds(reason: str, expires: int, verdict: str) -> None:
    made = signed(JANA, body(reason=reason, expires_at_ns=expires, verdict=verdict))
    read = Signed.model_validate_json(made.model_dump_json())
    assert read == made
    verify(read, JANA.public_key)


@pytest.mark.parametrize("field", ApprovalBody.model_fields)
def test_a_body_edited_after_signing_is_refused(field: str) -> None:
    edited = signed().model_copy(update={"body": body(**{field: OTHER[field]})})
    with pytest.raises(Refused) as refused:
        verify(edited, OMAR.public_key if field == "key_id" else JANA.public_key)
    assert code_of(refused) == "forged"


def test_a_stranger_cannot_sign_in_an_approvers_name() -> None:
    forged = signed(EVE, body(JANA))
    with pytest.raises(Refused) as refused:
        verify(forged, JANA.public_key)
    assert code_of(refused) == "forged"
    with pytest.raises(Refused) as refused:
        verify(forged, EVE.public_key)
    assert code_of(refused) == "other_key"


@given(st.integers(0, 511))
def test_a_signature_with_one_other_bit_is_refused(bit: int) -> None:
    good = decoded(signed().signature)
    bad = (int.from_bytes(good, "little") ^ 1 << bit).to_bytes(64, "little")
    with pytest.raises(Refused) as refused:
        verify(Signed(body=body(), signature=encoded(bad)), JANA.public_key)
    assert code_of(refused) == "forged"


def test_a_second_signature_made_of_the_first_is_refused() -> None:
    good = decoded(signed().signature)
    larger = (int.from_bytes(good[32:], "little") + ORDER).to_bytes(32, "little")
    with pytest.raises(Refused) as refused:
        verify(Signed(body=body(), signature=encoded(good[:32] + larger)), JANA.public_key)
    assert code_of(refused) == "forged"


def test_a_signature_has_one_spelling() -> None:
    good = signed().signature
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same_bytes = [
        good[:-1] + other for other in letters if other != good[-1] and decoded(good[:-1] + other) == decoded(good)
    ]
    assert len(same_bytes) == 15
    for bad in [
        *same_bytes,
        good + "==",
        good + "\n",
        " " + good,
        good[:-1],
        good + "A",
        "+" + good[1:],
        "/" + good[1:],
        "",
    ]:
        with pytest.raises(ValidationError):
            Signed(body=body(), signature=bad)


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": "x" * 501},
        {"verdict": "approve"},
        {"verdict": "withdrawn"},
        {"nonce": ""},
        {"args_sha256": "A" * 64},
        {"key_id": "g" * 16},
        {"also": 1},
        *(
            {"expires_at_ns": wrong}
            for wrong in (-1, 2**63, 1.0, True, None, "1.0", "01", "+1", " 1", "1_0", "٣", "", "9" * 30)
        ),
    ],
)
def test_a_body_says_each_thing_in_one_way(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        body(**changed)


def test_an_approvers_answer_to_the_question_is_taken_until_the_last_nanosecond() -> None:
    check_answer(body(), question(), question().expires_at_ns - 1)
    check_answer(body(verdict="rejected"), question(), NOW)


@pytest.mark.parametrize("field", Question.model_fields)
def test_an_answer_to_another_question_is_refused_by_what_differs(field: str) -> None:
    for answer, asked in ((body(), question(**{field: OTHER[field]})), (body(**{field: OTHER[field]}), question())):
        with pytest.raises(Refused, match=field) as refused:
            check_answer(answer, asked, NOW)
        assert code_of(refused) == CODES[field]


@pytest.mark.parametrize(("now", "signed_at"), [(10 * MINUTE, 0), (11 * MINUTE, 0), (0, 10 * MINUTE)])
def test_an_answer_after_the_expiry_is_refused(now: int, signed_at: int) -> None:
    with pytest.raises(Refused) as refused:
        check_answer(body(signed_at_ns=NOW + signed_at), question(), NOW + now)
    assert code_of(refused) == "expired"
