"""The promises of the event store, over JetStream and over the log in memory alike."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate
from eventsourcing.persistence import IntegrityError, Notification, StoredEvent
from eventsourcing.utils import get_topic, register_topic, resolve_topic
from pydantic import BaseModel, ConfigDict

from adapters.event_store import EventStore
from domain.errors import InvalidInput

from .conftest import Bench


def event(aggregate_id: str, version: int, state: bytes = b"{}", topic: str = "thing.happened") -> StoredEvent:
    return StoredEvent(aggregate_id, version, topic, state)


@pytest.fixture
def store(bench: Bench) -> EventStore:
    return EventStore(bench.log, bench.atomic)


async def collect(pages: AsyncIterator[list[Notification]]) -> list[Notification]:
    return [found async for page in pages for found in page]


def named(events: Iterable[StoredEvent]) -> list[tuple[Any, int]]:
    return [(each.originator_id, each.originator_version) for each in events]


async def test_what_one_decision_recorded_comes_back_as_it_was_from_one_message(
    store: EventStore, bench: Bench
) -> None:
    events = [event("order.1", 1, b'{"a":1}', "order.placed"), event("order.1", 2, b"\x00\n,", "order.filled")]
    assert await store.append(events) == 1
    assert await store.load("order.1") == events
    assert await store.last("order.1") == events[1]
    [message] = [m async for page in bench.log.read(f"{bench.atomic}.>") for m in page]
    assert message.subject == f"{bench.atomic}.order.1"
    assert message.data == b'{"a":1}\x00\n,'
    assert message.headers == {
        "Topic": "order.placed,order.filled",
        "First": "1",
        "Count": "2",
        "Sizes": "7,3",
        "Nats-Msg-Id": f"{bench.atomic}.order.1:1",
    }


async def test_versions_of_an_aggregate_leave_no_gap_and_no_fork(store: EventStore) -> None:
    await store.append([event("order.1", 1), event("order.1", 2)])
    for wrong in ([1], [2], [4], [3, 5], [3, 3]):
        with pytest.raises(IntegrityError):
            await store.append([event("order.1", version) for version in wrong])
    with pytest.raises(IntegrityError):
        await store.append([event("order.2", 2)])
    await store.append([event("order.1", 3)])
    assert named(await store.load("order.1")) == [("order.1", 1), ("order.1", 2), ("order.1", 3)]
    assert await store.load("order.2") == []


@pytest.mark.parametrize("warm", [True, False])
async def test_of_two_stores_that_decided_on_the_same_version_one_must_decide_again(
    bench: Bench, *, warm: bool
) -> None:
    one, two = EventStore(bench.log, bench.atomic), EventStore(bench.log, bench.atomic)
    await one.append([event("order.1", 1)])
    if warm:
        await two.load("order.1")
    await one.append([event("order.1", 2, b"one")])
    with pytest.raises(IntegrityError):
        await two.append([event("order.1", 2, b"two")])
    await two.append([event("order.1", 3, b"two")])
    assert [e.state for e in await one.load("order.1")] == [b"{}", b"one", b"two"]


async def test_a_decision_over_two_aggregates_is_stored_whole_or_not_at_all(store: EventStore) -> None:
    both = [event("proposal.1", 1), event("strategy.1", 1), event("proposal.1", 2)]
    assert await store.append(both) == 2
    with pytest.raises(IntegrityError):
        await store.append([event("proposal.1", 3), event("strategy.1", 1)])
    assert named(await collect(store.read())) == [("proposal.1", 1), ("proposal.1", 2), ("strategy.1", 1)]


async def test_two_aggregates_of_which_one_was_changed_meanwhile_are_both_left_alone(bench: Bench) -> None:
    one, two = EventStore(bench.log, bench.atomic), EventStore(bench.log, bench.atomic)
    await one.append([event("proposal.1", 1), event("strategy.1", 1)])
    await two.append([event("strategy.1", 2)])
    with pytest.raises(IntegrityError):
        await one.append([event("proposal.1", 2), event("strategy.1", 2)])
    assert await bench.log.head(f"A{bench.atomic[1:]}") == 3


async def test_a_stretch_of_versions_can_be_loaded_also_from_inside_a_message(store: EventStore) -> None:
    await store.append([event("order.1", version) for version in range(1, 6)])
    await store.append([event("order.1", version) for version in range(6, 9)])
    for after, until in ((None, None), (0, 3), (2, 7), (5, None), (8, None), (7, 100), (3, 3)):
        found = await store.load("order.1", after_version=after, until_version=until)
        assert [e.originator_version for e in found] == list(range((after or 0) + 1, min(until or 8, 8) + 1))


async def test_an_aggregate_in_hand_catches_up_with_what_others_recorded(bench: Bench) -> None:
    one, two = EventStore(bench.log, bench.atomic), EventStore(bench.log, bench.atomic)
    await one.append([event("order.1", 1), event("order.1", 2)])
    await two.append([event("order.1", 3)])
    await two.append([event("order.1", 4)])
    assert named(await one.load("order.1", after_version=2)) == [("order.1", 3), ("order.1", 4)]
    assert await one.load("order.1", after_version=4) == []


async def test_a_store_that_forgets_is_as_right_as_one_that_remembers(bench: Bench) -> None:
    store = EventStore(bench.log, bench.atomic, remember=1)
    for version in (1, 2, 3):
        for name in "abc":
            await store.append([event(f"order.{name}", version)])
    assert named(await store.load("order.b")) == [("order.b", 1), ("order.b", 2), ("order.b", 3)]


async def test_reading_and_following_keep_events_of_one_decision_together(store: EventStore) -> None:
    followed = store.follow()
    first = asyncio.ensure_future(anext(followed))
    await store.append([event("order.1", 1), event("order.1", 2)])
    assert [(n.id, n.originator_version) for n in await asyncio.wait_for(first, 10)] == [(1, 1), (1, 2)]
    await store.append([event("order.2", 1), event("order.2", 2)])
    assert [(n.id, n.originator_version) for n in await asyncio.wait_for(anext(followed), 10)] == [(2, 1), (2, 2)]
    await followed.aclose()
    assert [n.id for n in await collect(store.read())] == [1, 1, 2, 2]
    assert [n.id for n in await collect(store.read(1))] == [2, 2]
    assert [n.id for n in await collect(store.read(0, 1))] == [1, 1]
    assert await store.position() == 2


async def test_every_event_has_a_position_of_its_own_when_asked(store: EventStore) -> None:
    assert await store.append_each([event("a.1", 1), event("b.1", 1), event("a.1", 2)]) == [1, 2, 3]
    assert await store.append_each([event("a.1", 3)]) == [4]
    assert named(await store.load("a.1")) == [("a.1", 1), ("a.1", 2), ("a.1", 3)]


async def test_snapshots_may_skip_versions_but_never_go_back(bench: Bench) -> None:
    store = EventStore(bench.log, bench.atomic, versions_may_skip=True)
    await store.append([event("order.1", 7)])
    await store.append([event("order.1", 20)])
    for wrong in (20, 7):
        with pytest.raises(IntegrityError):
            await store.append([event("order.1", wrong)])


@pytest.mark.parametrize("name", ["", "a b", "order.*", "order.>", "a..b", "ä", "x" * 65])
async def test_an_id_that_is_no_subject_is_refused(store: EventStore, name: str) -> None:
    with pytest.raises(InvalidInput, match="of kind aggregate: use 1 to 64"):
        await store.append([event(name, 1)])


# An aggregate as governance will have them: the library's domain layer, frozen pydantic events with stable topics.


class Changed(BaseModel, CanMutateAggregate[str]):
    model_config = ConfigDict(frozen=True, extra="forbid")

    originator_id: str
    originator_version: int
    timestamp: datetime

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        register_topic(cls.TOPIC, cls)


class LimitSet(Changed, CanInitAggregate[str]):
    TOPIC: ClassVar[str] = "test.limit.set"

    originator_topic: str
    limit_bps: int


class LimitTightened(Changed):
    TOPIC: ClassVar[str] = "test.limit.tightened"

    limit_bps: int

    def apply(self, aggregate: "Limit") -> None:
        aggregate.limit_bps = self.limit_bps


class Limit(BaseAggregate[str]):
    TOPIC: ClassVar[str] = "test.limit"

    def __init__(self, limit_bps: int) -> None:
        self.limit_bps = limit_bps

    @classmethod
    def set(cls, name: str, limit_bps: int, at: datetime) -> "Limit":
        return cls._create(LimitSet, id=f"limit.{name}", limit_bps=limit_bps, timestamp=at)

    def tighten(self, limit_bps: int, at: datetime) -> None:
        self.trigger_event(LimitTightened, limit_bps=limit_bps, timestamp=at)


def to_stored(change: Any) -> StoredEvent:
    state = change.model_dump_json(exclude={"originator_id", "originator_version"}).encode()
    return StoredEvent(change.originator_id, change.originator_version, get_topic(type(change)), state)


def from_stored(stored: StoredEvent) -> Any:
    envelope = {"originator_id": stored.originator_id, "originator_version": stored.originator_version}
    return resolve_topic(stored.topic).model_validate(json.loads(stored.state) | envelope)


async def test_an_aggregate_of_frozen_pydantic_events_is_folded_back_from_the_store(store: EventStore) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    limit = Limit.set("daily", 500, at)
    limit.tighten(400, at)
    recorded = limit.collect_events()
    await store.append([to_stored(change) for change in recorded])
    limit.tighten(300, at)
    await store.append([to_stored(change) for change in limit.collect_events()])

    folded: Any = None
    stored = await store.load("limit.daily")
    for change in map(from_stored, stored):
        folded = change.mutate(folded)
    assert isinstance(folded, Limit)
    assert folded == limit
    assert (folded.version, folded.limit_bps, folded.modified_on) == (3, 300, at)
    assert [each.topic for each in stored] == ["test.limit.set", "test.limit.tightened", "test.limit.tightened"]
    with pytest.raises(ValueError, match="frozen"):
        recorded[0].limit_bps = 1000
