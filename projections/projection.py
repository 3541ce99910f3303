"""The shape of a read model: a name, what it listens to, a pure fold, and the versions of rows that the fold makes.

A read model is never asked for what it was: every row says from which position of its source on it held, and up to
which. One question therefore has one answer now and the same answer, for the same position, in a year. Each fold hears
one source only, so folds of different sources commute, and how the streams interleaved decides nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter

from domain.ports import END, Checkpoint, Fact, Key, Made, Source, Table, Values, Version

_POSITIONS = (("number",), ("ordinal",))  # keys by which rows are called like a fact: by its position


class Row(NamedTuple):
    """What a row is from its fact's position on; without `values` there is none any more."""

    table: Table
    key: Key
    values: Values | None


@dataclass(frozen=True)
class Fold:
    """What a read model makes of one source.

    `evolve` takes the working memory and a fact, changes that memory only, and gives the rows that became different.
    The memory is a dataclass that starts without arguments and stays small: it is stored with every checkpoint.
    """

    source: Source
    listens: tuple[type[BaseModel], ...]
    memory: type[Any]
    evolve: Callable[[Any, Fact], Iterable[Row]]
    tables: tuple[Table, ...]

    @cached_property
    def memory_type(self) -> TypeAdapter[Any]:
        """How the memory becomes JSON and comes back."""
        return TypeAdapter(self.memory)


@dataclass(frozen=True)
class ReadModel:
    """A name, and a fold for each source it hears. A change of schema or fold is a new version: it is built anew."""

    name: str
    version: int
    folds: tuple[Fold, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(table for fold in self.folds for table in fold.tables)


class Versions:
    """The versions of one table that a stretch of facts made.

    `replaced` says at which position this stretch first touched a key: the version that stood before ends there. A row
    that is called by its fact's own position has none before it.
    """

    def __init__(self, table: Table) -> None:
        self.replaced: dict[Key, int] = {}
        self._called_by_position = tuple(table.key) in _POSITIONS
        self._open: dict[Key, tuple[int, Values]] = {}
        self._closed: list[Version] = []

    def put(self, position: int, key: Key, values: Values | None) -> None:
        """The row is this from `position` on; what it was earlier at the same position never held."""
        before = self._open.pop(key, None)
        if before is None:
            if not self._called_by_position or key[0] != position:
                self.replaced.setdefault(key, position)
        elif before[0] < position:
            self._closed.append(Version(key, before[0], position, before[1]))
        if values is not None:
            self._open[key] = (position, values)

    def all(self) -> list[Version]:
        """Every version; those that still hold at the stretch's end last."""
        return [*self._closed, *(Version(key, since, END, values) for key, (since, values) in self._open.items())]

    def at(self, position: int) -> dict[Key, Values]:
        """The rows as they were at a position. For tests and oracles: reads every version."""
        held = [version for version in self.all() if version.since <= position < version.until]
        return {version.key: version.values for version in held}


@dataclass
class Folding:
    """A fold on its way: its memory, where it stands, and the versions it made since they were last taken."""

    fold: Fold
    memory: Any = None
    position: int = 0
    versions: dict[str, Versions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = self.fold.memory() if self.memory is None else self.memory
        self.renew()

    def take(self, facts: Iterable[Fact], position: int) -> None:
        """Fold what stands behind where it is, and stand at `position` then."""
        listens, evolve, versions = frozenset(self.fold.listens), self.fold.evolve, self.versions
        for fact in facts:
            if fact.position > self.position and type(fact.event) in listens:
                for table, key, values in evolve(self.memory, fact):
                    versions[table.name].put(fact.position, key, values)
        self.position = max(self.position, position)

    def made(self) -> list[Made]:
        """What was made since the stretch began, of the tables that changed."""
        made = (
            Made(table, self.versions[table.name].all(), self.versions[table.name].replaced)
            for table in self.fold.tables
        )
        return [stretch for stretch in made if stretch.versions or stretch.replaced]

    def renew(self) -> None:
        """Begin a new stretch."""
        self.versions = {table.name: Versions(table) for table in self.fold.tables}

    def remembered(self) -> bytes:
        """The memory as JSON."""
        return self.fold.memory_type.dump_json(self.memory)

    @classmethod
    def resumed(cls, fold: Fold, at: Checkpoint) -> "Folding":
        """The fold where an earlier one stopped."""
        return cls(fold, fold.memory_type.validate_json(at.memory) if at.memory else None, at.position)


def event_names(folds: Iterable[Fold]) -> frozenset[str]:
    """The stored names of what folds listen to."""
    listened = {event for fold in folds for event in fold.listens}
    return frozenset(str((event.model_fields.get("type") or event.model_fields["kind"]).default) for event in listened)
