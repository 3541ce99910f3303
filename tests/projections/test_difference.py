"""What changed between two answers: every change and nothing else, by an oracle that looks at every leaf."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections.difference import Change, difference

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["0.5", "1.0", "buy"])
FIELDS = st.sampled_from(["balance", "state", "room"])
ROWS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.dictionaries(FIELDS, LEAVES), max_size=3)


def _answer(children: Any) -> Any:
    rows = ROWS.map(lambda rows: [{"id": name, **row} for name, row in rows.items()])
    return st.dictionaries(FIELDS, children, max_size=3) | st.dictionaries(st.just("orders"), rows)


ANSWERS = st.dictionaries(FIELDS, LEAVES) | st.recursive(_answer(LEAVES), _answer, max_leaves=8)


def leaves(answer: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value that is no mapping and no list of rows, by its path; rows by their id."""
    if isinstance(answer, list) and answer:
        answer = {row["id"]: row for row in answer}
    if not isinstance(answer, dict):
        return {path: answer}
    return {at: value for name, part in answer.items() for at, value in leaves(part, (*path, name)).items()}


def applied(answer: Any, changes: list[Change]) -> dict[tuple[str, ...], Any]:
    """The leaves of an answer with the changes made to it."""
    held = leaves(answer)
    for path, _, after in changes:
        held = {at: value for at, value in held.items() if at[: len(path)] != path}
        held |= {at: value for at, value in leaves(after, path).items() if value not in (None, [])}
    return {at: value for at, value in held.items() if value not in (None, [])}


@given(ANSWERS, ANSWERS)
def test_the_changes_lead_from_one_answer_to_the_other(before: Any, after: Any) -> None:
    changes = difference(before, after)
    assert applied(before, changes) == {at: value for at, value in leaves(after).items() if value not in (None, [])}
    assert all(repr(change.before) != repr(change.after) for change in changes)
    assert len({change.path for change in changes}) == len(changes)


@given(ANSWERS, ANSWERS)
def test_the_way_back_is_the_same_way(before: Any, after: Any) -> None:
    there, back = difference(before, after), difference(after, before)
    assert {(path, repr(was), repr(is_)) for path, was, is_ in there} == {
        (path, repr(is_), repr(was)) for path, was, is_ in back
    }


@given(ANSWERS)
def test_nothing_changes_between_an_answer_and_itself(answer: Any) -> None:
    assert difference(answer, answer) == []


def test_rows_are_matched_by_what_names_them_whatever_their_order() -> None:
    before = [{"symbol": "EURUSD", "quantity": "1"}, {"symbol": "GBPUSD", "quantity": "2"}]
    after = [{"symbol": "GBPUSD", "quantity": "3"}, {"symbol": "EURUSD", "quantity": "1"}]
    assert difference({"positions": before}, {"positions": after}) == [
        Change(("positions", "GBPUSD", "quantity"), "2", "3")
    ]


def test_a_row_that_came_or_went_is_one_change() -> None:
    row = {"id": "main:7", "state": "placed"}
    assert difference({"orders": []}, {"orders": [row]}) == [Change(("orders", "main:7"), None, row)]
    assert difference({"orders": [row]}, {"orders": []}) == [Change(("orders", "main:7"), row, None)]


def test_rows_without_a_name_of_their_own_are_compared_as_a_whole() -> None:
    twice = [{"symbol": "EURUSD", "at": 1}, {"symbol": "EURUSD", "at": 2}]
    assert difference({"rows": twice}, {"rows": twice[:1]}) == [Change(("rows",), twice, twice[:1])]
    assert difference({"symbols": ["A", "B"]}, {"symbols": ["B", "A"]}) == [
        Change(("symbols",), ["A", "B"], ["B", "A"])
    ]


def test_yes_is_not_one() -> None:
    assert difference({"halted": True}, {"halted": 1}) == [Change(("halted",), True, 1)]
