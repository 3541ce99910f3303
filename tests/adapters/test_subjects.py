"""Names of streams and subjects: one stream a first token, and no name that could become another subject."""

import pytest

from adapters import subjects
from adapters.subjects import STREAMS
from domain.errors import InvalidInput


def test_every_subject_we_make_lies_in_its_stream() -> None:
    for subject, stream in (
        (subjects.tape("main"), "TAPE"),
        (subjects.ledger("main"), "LEDGER"),
        (subjects.snapshot("main"), "SNAPSHOT"),
        (subjects.governance("proposal", "7"), "GOVERNANCE"),
        (subjects.decision("7"), "GOVERNANCE"),
        (subjects.research("experiment", "7"), "RESEARCH"),
        (subjects.calls("claude", "2026-01-02"), "CALLS"),
        (subjects.ops("core"), "OPS"),
        (subjects.jobs("backtest"), "JOBS"),
        (subjects.AUDIT_SEAL, "AUDIT"),
    ):
        found = subjects.stream_of(subject)
        assert found.name == stream
        assert subjects.matches(found.subjects, subject)


def test_no_two_streams_share_a_first_token() -> None:
    assert len({stream.root for stream in STREAMS}) == len({stream.name for stream in STREAMS}) == len(STREAMS)


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "a\n", "é", "x" * 65])
def test_a_name_that_is_not_one_token_is_refused_with_its_value(name: str) -> None:
    for make in (subjects.tape, subjects.ledger, subjects.snapshot, subjects.ops, subjects.jobs, subjects.decision):
        with pytest.raises(InvalidInput) as refused:
            make(name)
        assert repr(name) in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "subject", "holds"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b", "a.b", True),
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        (">", "a", True),
        ("a.*.c", "a.b.d", False),
    ],
)
def test_wildcards_match_as_nats_defines_them(pattern: str, subject: str, *, holds: bool) -> None:
    assert subjects.matches(pattern, subject) is holds
