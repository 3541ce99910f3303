"""AGENTS.md: every role, the same text for the same roles, and who may do what as the table of commands has it."""

from hypothesis import given
from hypothesis import strategies as st

from domain.agents import COMMANDS, FOUNDING_ROLES, Actor, Role, refuse_unpermitted
from domain.errors import Refused
from projections.agents_document import render

_NAMED = st.text("abcdefghij-", min_size=1, max_size=8).map(lambda text: f"r{text}")


def _may(role: Role, command: str) -> bool:
    try:
        refuse_unpermitted(Actor(role.name, role.level, role), command)  # type: ignore[arg-type]  # of the table
    except Refused:
        return False
    return True


@given(st.permutations(FOUNDING_ROLES))
def test_the_order_of_the_roles_changes_nothing(roles: list[Role]) -> None:
    assert render(roles) == render(FOUNDING_ROLES)


def test_every_role_stands_under_its_level_with_all_that_it_is_for() -> None:
    document = render(FOUNDING_ROLES)
    for role in FOUNDING_ROLES:
        level = document.partition(f"## Ebene {role.level}:")[2].partition("\n## ")[0]
        own = level.partition(f"### {role.name}\n")[2].partition("\n\n###")[0]
        for said in (role.purpose, ", ".join(role.responsibilities), ", ".join(role.workflows) or "keine"):
            assert said in own, role.name


def test_the_table_lets_do_whom_the_gate_lets_do() -> None:
    rows = render(FOUNDING_ROLES).partition("|---|---|---|---|\n")[2].splitlines()
    assert len(rows) == len(COMMANDS)
    for command, line in zip(COMMANDS, rows, strict=True):
        _, says, levels, _, named, _ = (cell.strip() for cell in line.split("|"))
        assert says.endswith(f"(`{command}`)")
        assert levels == ", ".join(map(str, sorted(COMMANDS[command].levels)))
        allowed = {role.name for role in FOUNDING_ROLES if _may(role, command)}
        assert set(named.split(", ")) == (allowed or {"keine"})


def test_nobodys_words_become_markup() -> None:
    hostile = Role(name="x", level=3, purpose="a | b\n## Ebene 0 [x](http://x)", responsibilities=("<b>", "# c"))
    lines = render([hostile]).splitlines()
    assert [line for line in lines if "Zweck" in line] == ["- Zweck: a \\| b \\#\\# Ebene 0 \\[x\\](http:\\//x)"]
    assert "- Zuständig für: \\<b\\>, \\# c" in lines


def test_without_roles_every_level_says_so() -> None:
    assert render([]).count("- keine") == 3


@given(st.lists(_NAMED, unique=True, max_size=5))
def test_a_role_stands_there_once(names: list[str]) -> None:
    document = render([Role(name=name, level=3, purpose="p") for name in names])
    assert [line.removeprefix("### ") for line in document.splitlines() if line.startswith("### ")] == sorted(names)
