"""Aggregates of governance and research: the eventsourcing library's, with pydantic events and time as an argument.

An aggregate's id is `category.name`, so that its subject is its id behind the stream's root.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from eventsourcing.domain import BaseAggregate, CanMutateAggregate
from eventsourcing.persistence import StoredEvent
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Name = str  # of one aggregate within its category: what one token of a subject may be


class Event(BaseModel, CanMutateAggregate[str]):
    """Something that happened to an aggregate. `occurred_at_ns` is UTC of the handler that decided it; `actor` is who
    asked for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    originator_id: str = Field(pattern=r"^[a-z_]{1,32}\.[A-Za-z0-9_-]{1,64}$")
    originator_version: int = Field(ge=1, lt=2**63)
    occurred_at_ns: int = Field(ge=0, lt=2**63)
    actor: str = Field(min_length=1, max_length=128)
    if not TYPE_CHECKING:  # the library's word for it, cut to microseconds; no field, so it is not stored
        timestamp: ClassVar[datetime] = property(
            lambda event: _EPOCH + timedelta(microseconds=event.occurred_at_ns // 1_000)
        )

    @property
    def name(self) -> Name:
        """Which aggregate of its category."""
        return self.originator_id.partition(".")[2]

    @staticmethod
    def create_timestamp() -> datetime:
        """The library's own clock, which must never decide."""
        raise TypeError("an event's time is an argument: give occurred_at_ns")


Of = TypeVar("Of", bound=Event)


class Aggregate(BaseAggregate[str]):
    """`category` is the first part of every id. State changes in `apply` of the events alone."""

    category: ClassVar[str]

    @classmethod
    def empty(cls, name: Name) -> Self:
        """The aggregate before its first event, at version 0."""
        refuse_name(cls.category, name)
        aggregate = cls.__new__(cls)
        aggregate.__base_init__(f"{cls.category}.{name}", 0, _EPOCH)
        aggregate.begin()
        return aggregate

    def begin(self) -> None:
        """Set what holds before the first event."""
        raise NotImplementedError

    @property
    def name(self) -> Name:
        return self.id.partition(".")[2]

    def happen(self, kind: type[Of], now_ns: int, actor: str, /, **content: Any) -> Of:
        """An event at this time by this actor; it is pending until it was stored."""
        event = kind(
            originator_id=self.id,
            originator_version=self.version + 1,
            occurred_at_ns=now_ns,
            actor=actor,
            **content,
        )
        event.mutate(self)
        self.pending_events.append(event)
        return event

    def take(self, event: Event) -> Self:
        """Fold one stored event. Raises the library's OriginatorIDError or OriginatorVersionError for a foreign one."""
        event.mutate(self)
        return self


def stored(event: Event) -> StoredEvent:
    """An event as the store takes it: its topic is its type."""
    kind: str = getattr(event, "type")  # noqa: B009  # every stored event has one, Event itself is never stored
    return StoredEvent(event.originator_id, event.originator_version, kind, event.model_dump_json().encode())


def refuse_name(kind: str, name: str) -> None:
    """Raises InvalidInput for what cannot name an aggregate."""
    if not name or len(name) > 64 or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise InvalidInput(f"{name[:80]!r} cannot name a {kind}: use 1 to 64 letters, digits, '-' or '_'")
