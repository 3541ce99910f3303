"""Who may approve is what approvers signed, at every position of the stream, whatever else stands there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.approval import encoded, key_id, verify
from domain.approvers import APPROVER_EVENT, ApproverEnrolled, ApproverRevoked, Approvers
from domain.errors import Refused
from tests.signing import EVE, JANA, NOW, OMAR, Key, enrolled, resigned, revoked, signed

KEYS = [Key(seed) for seed in range(11, 15)]
WEAK = (1).to_bytes(32, "little")


def folded(*events: Any) -> Approvers:
    approvers = Approvers("paper-main")
    for sequence, event in enumerate(events, 1):
        approvers.take(sequence, event)
    return approvers


def refusal(approvers: Approvers, event: Any) -> str:
    """Why it may not come next; and that it changes nothing where it stands in the stream nevertheless."""
    with pytest.raises(Refused) as refused:
        approvers.judge(event)
    before, at = approvers.all(), approvers.position + 1
    approvers.take(at, event)
    assert approvers.all() == before
    assert [(one.sequence, one.event, one.refusal.code) for one in approvers.ignored] == [
        (at, event, refused.value.code)
    ]
    return refused.value.code


def test_the_first_key_stands_alone_and_enrols_the_next() -> None:
    approvers = folded(enrolled(JANA), enrolled(OMAR, by=JANA, kind="browser", name="omar"))
    assert [one.enrolment.name for one in approvers.all_held(2)] == ["jana", "omar"]
    assert (approvers.key(OMAR.id, 2), approvers.ignored) == (OMAR.public_key, [])
    verify(signed(OMAR), approvers.key(OMAR.id, 2))


def test_a_key_counts_from_its_enrolment_until_its_revocation() -> None:
    approvers = folded(enrolled(JANA), enrolled(OMAR, by=JANA), revoked(JANA, by=OMAR))
    assert [approvers.held(JANA.id, sequence) for sequence in range(5)] == [False, True, True, False, False]
    assert [approvers.held(OMAR.id, sequence) for sequence in range(5)] == [False, False, True, True, True]
    assert approvers.key(JANA.id, 2) == JANA.public_key
    for sequence, code in ((0, "unknown_key"), (3, "revoked")):
        with pytest.raises(Refused) as refused:
            approvers.key(JANA.id, sequence)
        assert refused.value.code == code


def test_an_approver_may_revoke_its_own_key() -> None:
    assert not folded(enrolled(JANA), enrolled(OMAR, by=JANA), revoked(OMAR, by=OMAR)).held(OMAR.id, 3)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        pytest.param(enrolled(EVE), "not_first", id="a second first key"),
        pytest.param(enrolled(EVE, by=EVE), "unknown_key", id="a key that enrols itself"),
        pytest.param(enrolled(EVE, enrolled_by=JANA.id), "not_first", id="no signature"),
        pytest.param(resigned(enrolled(EVE), JANA), "not_first", id="no name to the signature"),
        pytest.param(resigned(enrolled(EVE, enrolled_by=JANA.id), EVE), "forged", id="signed by a stranger"),
        pytest.param(enrolled(JANA, by=OMAR), "already_enrolled", id="a key twice"),
        pytest.param(enrolled(EVE, by=JANA, environment="live"), "wrong_environment", id="of another environment"),
        pytest.param(enrolled(EVE, by=JANA, key_id=Key(9).id), "other_key", id="another key's name"),
        pytest.param(
            enrolled(EVE, by=JANA, public_key=encoded(WEAK), key_id=key_id(WEAK)), "weak_key", id="of small order"
        ),
        pytest.param(revoked(JANA, by=EVE), "unknown_key", id="revoked by a stranger"),
        pytest.param(resigned(revoked(JANA, by=OMAR), EVE), "forged", id="revoked in another's name"),
        pytest.param(revoked(EVE, by=JANA), "unknown_key", id="revoking who is none"),
        pytest.param(revoked(OMAR, by=JANA, environment="live"), "wrong_environment", id="revoked elsewhere"),
    ],
)
def test_a_hostile_event_changes_nothing_and_is_reported(event: Any, code: str) -> None:
    assert refusal(folded(enrolled(JANA), enrolled(OMAR, by=JANA)), event) == code


@pytest.mark.parametrize(
    ("event", "other"),
    [
        (enrolled(EVE, by=JANA), {"name": "omar", "kind": "browser", "actor": "eve", "occurred_at_ns": NOW + 1}),
        (revoked(OMAR, by=JANA), {"reason": "for fun", "actor": "eve", "occurred_at_ns": NOW + 1}),
    ],
)
def test_every_word_of_an_event_is_signed(event: Any, other: dict[str, Any]) -> None:
    for field, value in other.items():
        edited = event.model_copy(update={field: value})
        assert refusal(folded(enrolled(JANA), enrolled(OMAR, by=JANA)), edited) == "forged"


def test_who_was_revoked_enrols_and_revokes_nobody_and_never_comes_back() -> None:
    def gone() -> Approvers:
        return folded(enrolled(JANA), enrolled(OMAR, by=JANA), revoked(OMAR, by=JANA))

    assert refusal(gone(), enrolled(EVE, by=OMAR)) == "revoked"
    assert refusal(gone(), revoked(JANA, by=OMAR)) == "revoked"
    assert refusal(gone(), revoked(OMAR, by=JANA)) == "revoked"
    assert refusal(gone(), enrolled(OMAR, by=JANA)) == "already_enrolled"


def test_the_last_approver_stays_until_there_is_a_successor() -> None:
    approvers = folded(enrolled(JANA))
    assert refusal(approvers, revoked(JANA, by=JANA)) == "last_approver"
    approvers.take(3, enrolled(OMAR, by=JANA))
    approvers.take(4, revoked(JANA, by=JANA))
    assert [one.enrolment.key_id for one in approvers.all_held(4)] == [OMAR.id]


def test_a_signature_over_one_kind_of_thing_is_none_over_another() -> None:
    verdict = signed().signature
    for event in (enrolled(EVE, by=JANA), revoked(OMAR, by=JANA)):
        approvers = folded(enrolled(JANA), enrolled(OMAR, by=JANA))
        assert refusal(approvers, event.model_copy(update={"signature": verdict})) == "forged"


def test_a_first_key_for_another_environment_leaves_the_place_free() -> None:
    approvers = folded(enrolled(EVE, environment="live"), enrolled(JANA))
    assert [one.enrolment.key_id for one in approvers.all_held(2)] == [JANA.id]


def test_a_weak_first_key_is_none() -> None:
    assert refusal(folded(), enrolled(EVE, public_key=encoded(WEAK), key_id=key_id(WEAK))) == "weak_key"


def test_a_message_that_comes_twice_is_taken_once() -> None:
    approvers = folded(enrolled(JANA), enrolled(OMAR, by=JANA))
    approvers.take(2, enrolled(OMAR, by=JANA))
    approvers.take(1, enrolled(JANA))
    assert (len(approvers.all()), approvers.ignored, approvers.position) == (2, [], 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=14))
def test_who_holds_is_what_a_plain_set_says_at_every_position(steps: list[tuple[bool, int, int, bool]]) -> None:
    """A step: does it enrol, whom, in whose name, and is it signed by that one?"""
    approvers, ever, now = folded(), set[int](), set[int]()
    after, hostile = [set[int]()], []
    for sequence, (enrols, whom, by, honest) in enumerate(steps, 1):
        if enrols and not ever:
            event, good = enrolled(KEYS[whom]), True
        else:
            made = enrolled(KEYS[whom], by=KEYS[by]) if enrols else revoked(KEYS[whom], by=KEYS[by])
            event = made if honest else resigned(made, EVE)
            good = honest and by in now and (whom not in ever if enrols else whom in now and len(now) > 1)
        approvers.take(sequence, event)
        if not good:
            hostile.append(sequence)
        elif enrols:
            now, ever = now | {whom}, ever | {whom}
        else:
            now = now - {whom}
        after.append(now)
    assert [one.sequence for one in approvers.ignored] == hostile
    for sequence, then in enumerate(after):
        assert {index for index, key in enumerate(KEYS) if approvers.held(key.id, sequence)} == then
        assert {one.enrolment.key_id for one in approvers.all_held(sequence)} == {KEYS[index].id for index in then}


@pytest.mark.parametrize(
    ("event", "stored"),
    [
        (
            enrolled(JANA),
            '{"key_id":"fa4d86c3b551aa6c","environment":"paper-main","actor":"jana","occurred_at_ns":"17900000000'
            '00000123","type":"approver_enrolled","name":"jana","public_key":"zswVB9wd3XKVlRwpCIjwla25BE0bc9aW5t8'
            'GXWg71Pw","kind":"file","enrolled_by":"","signature":""}',
        ),
        (
            enrolled(OMAR, by=JANA, name="omar", kind="browser"),
            '{"key_id":"e3c1b362c0df36f6","environment":"paper-main","actor":"jana","occurred_at_ns":"17900000000'
            '00000123","type":"approver_enrolled","name":"omar","public_key":"a3nFfmoJUjkoLASBjpYRLz8DpAAbqXpWTCO'
            'FKj8epfw","kind":"browser","enrolled_by":"fa4d86c3b551aa6c","signature":"TLC9VCAjNwoCzuqeOIMmmNR0Rj4'
            'WZeYl51_0EBanMOWER2Mj7ZuxbFCIt_J07abQgGktH2QQoB0oMDkUHn6iAg"}',
        ),
        (
            revoked(OMAR, by=JANA),
            '{"key_id":"e3c1b362c0df36f6","environment":"paper-main","actor":"jana","occurred_at_ns":"17900000000'
            '00000123","type":"approver_revoked","reason":"lost","revoked_by":"fa4d86c3b551aa6c","signature":"J3S'
            '2o8v0VP5lO92i4FdMQwW_W4lYHrJ3BE6xLgG6yroRt1sdqv6_pHiQF7jeqNkOUyf22k81MNkYf1WIijahAQ"}',
        ),
    ],
)
def test_stored_bytes_are_read_as_they_were_meant(event: Any, stored: str) -> None:
    assert APPROVER_EVENT.validate_json(stored) == event
    assert event.model_dump_json() == stored


@pytest.mark.parametrize(
    "changed",
    [{"name": "Jana"}, {"kind": "card"}, {"public_key": "A" * 42 + "B"}, {"enrolled_by": "jana"}, {"also": 1}],
)
def test_an_event_of_another_shape_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApproverEnrolled(**(enrolled(JANA).model_dump() | changed))


def test_a_revocation_says_why() -> None:
    with pytest.raises(ValidationError):
        ApproverRevoked(**(revoked(OMAR, by=JANA).model_dump() | {"reason": ""}))
