"""One value has one canonical form, and no two share theirs: RFC 8785, and what lies beyond its numbers."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.approval import DEPTH_MAX, LARGE_INT, SAFE_INT_MAX, args_hash, canonical
from domain.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | st.integers(-(2**70), 2**70) | st.floats(-SAFE_INT_MAX, SAFE_INT_MAX),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(lambda key: key != LARGE_INT), inner),
    max_leaves=12,
)


def with_large_ints(read: dict[str, Any]) -> Any:
    return int(read[LARGE_INT]) if LARGE_INT in read else read


def test_the_sample_of_rfc_8785_has_its_bytes() -> None:
    sample = {
        "numbers": [333333333.33333329, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(sample) == expected.encode()


def test_keys_stand_in_the_order_of_rfc_8785() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names)))) == order


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_the_safe_numbers_of_rfc_8785_have_their_digits(bits: str, text: str) -> None:
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, 2.0**53, -(2.0**53), 1.7976931348623157e308])
def test_a_float_that_is_no_sure_number_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match=r"args\.risk\.0: .* cannot be signed"):
        canonical({"args": {"risk": [value]}})


@given(VALUES)
def test_every_value_can_be_read_back_so_no_two_share_a_form(value: Any) -> None:
    assert json.loads(canonical(value), object_hook=with_large_ints) == value


@given(st.dictionaries(TEXT.filter(lambda key: key != LARGE_INT), st.integers(-SAFE_INT_MAX, SAFE_INT_MAX) | TEXT))
def test_without_large_numbers_it_is_sorted_json_of_the_standard_library(value: dict[str, Any]) -> None:
    ordered = {key: value[key] for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    plain = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    assert canonical(value) == plain.encode()


def test_a_large_integer_is_neither_its_text_nor_its_neighbour() -> None:
    large = 2**53 + 1
    forms = [canonical(one) for one in (large, str(large), large - 1, -large, {"$int ": str(large)})]
    assert len(set(forms)) == len(forms)
    assert forms[0] == b'{"$int":"9007199254740993"}'
    assert [canonical(edge) for edge in (SAFE_INT_MAX, -SAFE_INT_MAX)] == [b"9007199254740991", b"-9007199254740991"]


@pytest.mark.parametrize(
    "value",
    [
        {"$int": "9007199254740993"},
        {"deep": [{"$int": 1, "other": 2}]},
        {1: "a number as a key"},
        {"a": object()},
        {"a": b"bytes"},
        {"a": {1, 2}},
        "\ud800",
        {"\udfff": 1},
        pytest.param(10**5000, id="an integer of 5,001 digits"),
    ],
)
def test_what_has_no_form_of_its_own_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical(value)


def test_a_nest_without_end_is_refused() -> None:
    nest: list[Any] = []
    nest.append(nest)
    with pytest.raises(InvalidInput, match=f"deeper than {DEPTH_MAX}"):
        canonical(nest)


def test_a_commands_hash_knows_content_and_not_the_order_of_words() -> None:
    command = {"type": "policy.activate", "limits": {"loss_nanos": 2**60, "lots": 3}}
    assert args_hash(command) == args_hash(dict(reversed(command.items())))
    assert args_hash(command) == "408c4a0b91f192161980e3ce7964e4299c679936047324a542c918b84ca3680f"
    assert args_hash(command) != args_hash({"type": "policy.activate", "limits": {"loss_nanos": str(2**60), "lots": 3}})
