"""What changed between two answers: the path of every value that differs, with what it was and what it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

NAMES = ("id", "symbol", "service", "strategy", "limit", "rule", "scope", "name")  # by which rows of a list are matched


class Change(NamedTuple):
    """One value. What is missing on a side is None there."""

    path: tuple[str, ...]
    before: Any
    after: Any


def difference(before: Any, after: Any, path: tuple[str, ...] = ()) -> list[Change]:
    """Every change from one answer to another, in their own order: what was there first, then what came.

    Fields are compared by name, rows of lists by what names them, whatever their order; other lists, and a value that
    became one of another kind, are compared as a whole.
    """
    return list(_changes(before, after, path))


def _changes(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _changes(before.get(name), after.get(name), (*path, str(name)))
        return
    matched = _matched(before, after)
    if matched:
        yield from _changes(*matched, path)
    elif before != after or isinstance(before, bool) != isinstance(after, bool):  # True == 1
        yield Change(path, before, after)


def _matched(before: Any, after: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The rows of two lists by the first of NAMES that every row has and no two of a list share."""
    if not (_is_rows(before) and _is_rows(after)):
        return None
    for name in NAMES:
        was, became = ({str(row[name]): row for row in rows if name in row} for rows in (before, after))
        if len(was) == len(before) and len(became) == len(after):
            return was, became
    return None


def _is_rows(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(row, Mapping) for row in value)
