"""A policy is its content: through JSON and back it is the same, and kernels see every field of it."""

from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from domain import policy as module
from domain.errors import InvalidInput
from domain.policy import PAPER_DEFAULT, POLICIES, POLICY, SESSION_MARKS, Policy, policy_named
from domain.rules import NO_LIMIT

PARTS = ("strategic", "sizing", "risk", "limits", "market")
FIELDS = [(part, name) for part in PARTS for name in type(getattr(PAPER_DEFAULT, part)).model_fields]

shipped = pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
CONSTANTS = {"unlimited": "ANY_SIZE"}  # a choice's constant has its name, but for these
CHOICES = [(part, name) for part, name in FIELDS if isinstance(getattr(getattr(PAPER_DEFAULT, part), name), str)]
field = pytest.mark.parametrize(("part", "name"), FIELDS)


def content(**changes: Any) -> dict[str, Any]:
    return {"name": "mine", "version": 1} | changes


@shipped
def test_a_shipped_policy_goes_through_json_and_comes_back_the_same(policy: Policy) -> None:
    again = Policy.model_validate_json(policy.model_dump_json())
    assert again == policy
    assert again.hash == policy.hash
    assert again.record() == policy.record()


def place(choice: str) -> int:
    """As kernels know it."""
    return int(getattr(module, CONSTANTS.get(choice, choice.upper())))


def test_the_shipped_policies_are_known_by_their_names_and_no_two_are_alike() -> None:
    assert {name: policy.name for name, policy in POLICIES.items()} == {name: name for name in POLICIES}
    assert len({policy.hash for policy in POLICIES.values()}) == len(POLICIES)


def test_kernels_know_every_field_of_every_part() -> None:
    assert list(POLICY.names or ()) == [name for _, name in FIELDS]


@shipped
@field
def test_the_record_holds_every_field_as_kernels_know_it(policy: Policy, part: str, name: str) -> None:
    value, seen = getattr(getattr(policy, part), name), policy.record()[name]
    if name == "sessions":
        assert [session for session, mark in SESSION_MARKS.items() if seen & mark] == list(value)
        assert seen == sum(SESSION_MARKS[session] for session in value)
    elif isinstance(value, str):
        assert seen == place(value)
    else:
        assert seen == (NO_LIMIT if value is None else value)


@field
def test_a_change_of_one_field_changes_that_field_of_the_record_and_the_hash(part: str, name: str) -> None:
    annotation = type(getattr(PAPER_DEFAULT, part)).model_fields[name].annotation
    value = getattr(getattr(PAPER_DEFAULT, part), name)
    other: Any = ("tokyo",)
    if isinstance(value, bool):
        other = not value
    elif value is None:
        other = 0
    elif isinstance(value, int):
        other = value - 1 if value > 1 else value + 1
    elif get_origin(annotation) is Literal:
        other = next(choice for choice in get_args(annotation) if choice != value)
    whole = PAPER_DEFAULT.model_dump(mode="json")
    changed = Policy.model_validate(whole | {part: whole[part] | {name: other}})
    before, after = PAPER_DEFAULT.record(), changed.record()
    assert [field for field in POLICY.names or () if before[field] != after[field]] == [name]
    assert changed.hash != PAPER_DEFAULT.hash


@pytest.mark.parametrize(("part", "name"), CHOICES)
def test_kernels_know_every_choice_by_its_place(part: str, name: str) -> None:
    choices = get_args(type(getattr(PAPER_DEFAULT, part)).model_fields[name].annotation)
    assert [place(choice) for choice in choices] == list(range(len(choices)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"risk": {"positions_max": -1}}, "risk.positions_max = -1: "),
        ({"risk": {"positions": 2}}, "risk.positions = 2: Extra inputs are not permitted"),
        ({"risk": 5}, "risk = 5: "),
        ({"sizing": {"risk_ppm": 100_001}}, "sizing.risk_ppm = 100001: "),
        ({"sizing": {"method": "martingale"}}, "sizing.method = 'martingale': Input should be 'fractional' or 'fixed'"),
        ({"sizing": {"risk_ppm": 1.5}}, "sizing.risk_ppm = 1.5: "),
        ({"sizing": {"risk_ppm": float("nan")}}, "sizing.risk_ppm = nan: "),
        ({"sizing": {"risk_ppm": None}}, "sizing.risk_ppm = None: "),
        ({"strategic": {"sessions": ["london", "paris"]}}, "strategic.sessions.1 = 'paris': "),
        ({"strategic": {"news_impact_min": 4}}, "strategic.news_impact_min = 4: "),
        ({"limits": {"max_loss_kind": "loose"}}, "limits.max_loss_kind = 'loose': "),
        ({"market": {"levels_max": 0}}, "market.levels_max = 0: "),
        ({"fees": {"fx": {"taker_ppm": -1}}}, "fees.fx.taker_ppm = -1: "),
        ({"fees": {"stock": {}}}, "'stock'"),
        ({"name": "No Spaces"}, "name = 'No Spaces': "),
        ({"version": 0}, "version = 0: "),
        ({"surprise": True}, "surprise = True: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_field_and_value(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Policy.model_validate(content(**wrong))
    problem = refused.value.errors()[0]
    assert said in f"{'.'.join(str(part) for part in problem['loc'])} = {problem['input']!r}: {problem['msg']}"


@pytest.mark.parametrize("missing", ["name", "version"])
def test_a_policy_without_name_or_version_is_refused(missing: str) -> None:
    whole = content()
    del whole[missing]
    with pytest.raises(ValidationError, match=f"{missing}\n  Field required"):
        Policy.model_validate(whole)


def test_a_policy_that_says_nothing_has_the_defaults() -> None:
    assert Policy.model_validate(content()) == Policy(name="mine", version=1)


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PAPER_DEFAULT.risk.positions_max = 9  # type: ignore[misc]


@pytest.mark.parametrize("name", ["paper-default", "paper-default@1", "paper-default@v1"])
def test_a_shipped_policy_is_found_by_name_and_version(name: str) -> None:
    assert policy_named(name) is PAPER_DEFAULT


@pytest.mark.parametrize("name", ["paper", "paper-default@2", "", "@1"])
def test_an_unknown_policy_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"policy {name!r} is not in this build; there are paper-default@1, ftmo-"):
        policy_named(name)


def test_the_ftmo_packs_restate_the_published_objectives() -> None:
    def objectives(name: str) -> tuple[int | None, ...]:
        limits = POLICIES[f"ftmo-{name}"].limits
        return limits.profit_target_ppm, limits.daily_loss_ppm, limits.max_loss_ppm, limits.trading_days_min

    assert objectives("2step-challenge") == (100_000, 50_000, 100_000, 4)
    assert objectives("2step-verification") == (50_000, 50_000, 100_000, 4)
    assert objectives("2step-funded") == objectives("2step-funded-swing") == (None, 50_000, 100_000, 0)
    assert objectives("1step-challenge") == (100_000, 30_000, 100_000, 0)
    assert objectives("1step-funded") == objectives("1step-funded-swing") == (None, 30_000, 100_000, 0)
    assert POLICIES["ftmo-1step-challenge"].limits.best_day_max_ppm == 500_000
    strict = {name for name, policy in POLICIES.items() if policy.limits.flat_before_weekend}
    assert strict == {name for name, policy in POLICIES.items() if policy.limits.no_news_trading}
    assert strict == {"ftmo-2step-funded", "ftmo-1step-funded"}
