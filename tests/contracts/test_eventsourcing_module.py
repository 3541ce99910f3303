"""The eventsourcing library's own test cases of persistence, all of them, over our module on a real server."""

import itertools
import os
import threading
import time
import uuid
from typing import Any
from unittest.mock import patch

import eventsourcing.tests.application as ta
import eventsourcing.tests.persistence as tp
import pytest
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, Notification, OperationalError, StoredEvent
from eventsourcing.utils import Environment

from adapters import eventsourcing_module as module
from adapters.nats_server import NatsServer

MODULE = "adapters.eventsourcing_module"
STREAMS = itertools.count(1)


@pytest.fixture(autouse=True)
def environment(nats_server: NatsServer) -> Any:
    """Settings of an application whose stream nobody used before."""
    settings = {
        "PERSISTENCE_MODULE": MODULE,
        "CDB_NATS_URL": nats_server.url,
        "CDB_NATS_MONITOR_URL": nats_server.monitor_url,
        "CDB_STREAM": f"LIBRARY{os.getpid()}_{next(STREAMS)}",
    }
    with patch.dict(os.environ, settings):
        yield


def factory(stream: str | None = None) -> module.JetStreamFactory:
    settings = {**os.environ, **({"CDB_STREAM": stream} if stream else {})}
    made = InfrastructureFactory.construct(Environment("Test", settings))
    assert isinstance(made, module.JetStreamFactory)
    return made


class Fresh:
    """A factory of a fresh stream for each recorder that a test case creates."""

    def factory(self) -> Any:
        made = factory(f"LIBRARY{os.getpid()}_{next(STREAMS)}")
        self.addCleanup(made.close)  # type: ignore[attr-defined]
        return made

    def new_originator_id(self) -> str:
        return str(uuid.uuid4())


class TestAggregateRecorder(Fresh, tp.AggregateRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory().aggregate_recorder()


class TestSnapshotRecorder(Fresh, tp.AggregateRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory().aggregate_recorder(purpose="snapshots")


class TestApplicationRecorder(Fresh, tp.ApplicationRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory().application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(Fresh, tp.TrackingRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory().tracking_recorder()


class TestProcessRecorder(Fresh, tp.ProcessRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory().process_recorder()


class TestNonInterleavingNotificationIDs(Fresh, tp.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> Any:
        return self.factory().application_recorder()


class OurTrackingRecorder(module.LogTrackingRecorder):
    pass


class TestInfrastructureFactory(tp.InfrastructureFactoryTestCase[module.JetStreamFactory]):
    def setUp(self) -> None:
        self.env = Environment("TestCase", dict(os.environ))
        super().setUp()

    def expected_factory_class(self) -> Any:
        return module.JetStreamFactory

    def expected_aggregate_recorder_class(self) -> Any:
        return module.LogAggregateRecorder

    def expected_application_recorder_class(self) -> Any:
        return module.LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> Any:
        return module.LogTrackingRecorder

    def tracking_recorder_subclass(self) -> Any:
        return OurTrackingRecorder

    def expected_process_recorder_class(self) -> Any:
        return module.LogProcessRecorder


class TestExampleApplication(ta.ExampleApplicationTestCase):
    expected_factory_topic = f"{MODULE}:JetStreamFactory"


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")
class TestApplication(ta.ApplicationTestCase):
    pass


def test_a_recorder_does_not_overwrite_what_another_process_recorded() -> None:
    factories = [factory(), factory()]
    one, two = (each.application_recorder() for each in factories)
    one.insert_events([StoredEvent("a", 1, "t", b"one")])
    assert two.insert_events([StoredEvent("a", 2, "t", b"two")]) == [2]
    with pytest.raises(IntegrityError):
        one.insert_events([StoredEvent("a", 2, "t", b"late")])
    assert one.insert_events([StoredEvent("a", 3, "t", b"three")]) == [3]
    assert [event.state for event in two.select_events("a")] == [b"one", b"two", b"three"]
    for each in factories:
        each.close()


def test_a_reader_that_waits_for_events_is_released_when_its_subscription_stops() -> None:
    made = factory()
    recorder = made.application_recorder()
    recorder.insert_events([StoredEvent("a", 1, "t", b"one")])
    subscription = recorder.subscribe()
    assert next(subscription).id == 1
    got: list[Notification] = []
    reader = threading.Thread(target=lambda: got.extend(subscription))
    reader.start()
    recorder.insert_events([StoredEvent("a", 2, "t", b"two")])
    while not got and reader.is_alive():
        time.sleep(0.001)
    subscription.stop()
    reader.join(10)
    assert not reader.is_alive()
    assert [n.id for n in got] == [2]
    made.close()


def test_the_thread_of_a_factory_ends_with_it() -> None:
    before = threading.active_count()
    made = factory()
    made.application_recorder()
    assert threading.active_count() > before
    made.close()
    made.close()
    assert threading.active_count() == before


def test_a_factory_without_an_address_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDB_NATS_URL")
    made = factory()
    with pytest.raises(OSError, match="CDB_NATS_URL"):
        made.application_recorder()
    made.close()


def test_a_factory_refuses_a_server_whose_durability_it_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDB_NATS_MONITOR_URL")
    made = factory()
    with pytest.raises(OperationalError, match="CDB_NATS_MONITOR_URL"):
        made.application_recorder()
    made.close()
