"""The governance policy: what is gated about the gate itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.governance_policy import GOVERNANCE_WIDENS, HOUR, GovernancePolicy, governance_widens
from tests.domain.policies import leaves

SECOND = 1_000_000_000
FIELDS = leaves(GovernancePolicy)

NARROW_TO_WIDE: dict[str, list[Any]] = {
    "proposal_expiry_ns": [60 * SECOND, HOUR, 24 * HOUR],
    "pending_max_per_agent": [0, 5, 1_000],
    "order_notional_max_nanos": [0, 1, 4 * 10**18, None],
    "order_risk_max_ppm": [0, 1_000, 1_000_000, None],
    "waiting_alert_ns": [SECOND, HOUR, 2 * HOUR],
    "heartbeat_ns": [SECOND, 30 * SECOND, HOUR],
    "fast_track": [(), ("DECISION_LOG.md",), ("governance/AGENTS.md", "DECISION_LOG.md")],
    "learning_trades_min": [1, 30, 100],
    "learning_win_rate_min_ppm": [1_000_000, 700_000, 0, None],
    "learning_drawdown_max_thousandths": [0, 10_000, None],
}


def fields(before: GovernancePolicy | None, after: GovernancePolicy) -> list[str]:
    return [widening.field for widening in governance_widens(before, after)]


def with_one(path: str, value: Any) -> GovernancePolicy:
    return GovernancePolicy.model_validate({path: value})


def test_every_field_has_its_direction_and_these_tests_know_it() -> None:
    assert set(GOVERNANCE_WIDENS) == set(FIELDS)
    assert set(NARROW_TO_WIDE) | {"version"} == set(FIELDS)


@pytest.mark.parametrize("path", NARROW_TO_WIDE)
def test_every_step_to_the_wider_side_is_named_and_the_way_back_is_free(path: str) -> None:
    line = [with_one(path, value) for value in NARROW_TO_WIDE[path]]
    for place, before in enumerate(line):
        for other, after in enumerate(line):
            assert fields(before, after) == ([path] if other > place else [])


def test_the_order_of_documents_and_the_version_say_nothing() -> None:
    one = GovernancePolicy(version=1, fast_track=("A.md", "B.md"))
    assert fields(one, GovernancePolicy(version=9, fast_track=("B.md", "A.md", "A.md"))) == []


def test_the_first_one_is_judged_against_the_default_that_held_before_it() -> None:
    assert fields(None, GovernancePolicy()) == []
    assert fields(None, GovernancePolicy(order_notional_max_nanos=None, heartbeat_ns=SECOND)) == [
        "order_notional_max_nanos"
    ]


def test_the_defaults_are_those_that_people_know() -> None:
    default = GovernancePolicy()
    assert (default.proposal_expiry_ns, default.waiting_alert_ns) == (24 * HOUR, HOUR)
    assert (default.heartbeat_ns, default.pending_max_per_agent, default.fast_track) == (30 * SECOND, 5, ())


@pytest.mark.parametrize(
    "name",
    ["../AGENTS.md", "/etc/AGENTS.md", "a/../AGENTS.md", "AGENTS.md\n", "AGENTS.txt", ".md", "a//b.md", "..md", ""],
)
def test_no_document_of_the_fast_track_leaves_its_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        GovernancePolicy(fast_track=(name,))


def test_a_sentence_has_units() -> None:
    (only,) = governance_widens(GovernancePolicy(), GovernancePolicy(proposal_expiry_ns=48 * HOUR))
    assert only.sentence == "time before a proposal expires: 48 h instead of 24 h"
    (only,) = governance_widens(GovernancePolicy(), GovernancePolicy(fast_track=("AGENTS.md",)))
    assert only.sentence == "documents committed on main without a pull request: AGENTS.md instead of none"


def test_it_goes_through_json_and_comes_back_the_same() -> None:
    policy = GovernancePolicy(fast_track=("AGENTS.md",), order_risk_max_ppm=None)
    assert GovernancePolicy.model_validate_json(policy.model_dump_json()) == policy


CONTENT = st.fixed_dictionaries({path: st.sampled_from(line) for path, line in NARROW_TO_WIDE.items()})


@settings(deadline=None)
@given(CONTENT, CONTENT, CONTENT)
def test_what_is_free_in_two_steps_is_free_in_one_and_what_is_free_both_ways_is_the_same(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    one, two, three = (GovernancePolicy(**content) for content in (a, b, c))
    if not fields(one, two) and not fields(two, three):
        assert not fields(one, three)
    assert (not fields(one, two) and not fields(two, one)) == (one == two)
