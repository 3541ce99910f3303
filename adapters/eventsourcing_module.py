"""A PERSISTENCE_MODULE of the eventsourcing library: its recorders over our event store on JetStream.

| environment          | holds |
|----------------------|-------|
| CDB_NATS_URL         | the server |
| CDB_NATS_MONITOR_URL | its monitoring address, where `sync_interval: always` shows |
| CDB_STREAM           | the stream of the application's events; snapshots go to `<stream>_SNAPSHOTS` |
| CDB_ALLOW_MEMORY     | `y` to do without the proof of durability (tests) |

The library is synchronous: a thread of the factory's own runs the event loop. Our services use EventStore directly.
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    Notification,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.utils import Environment, resolve_topic, strtobool

from adapters import subjects
from adapters.event_store import EventStore
from adapters.jetstream import Connection, JetStreamLog, connect, provision, require_durable
from adapters.subjects import Stream
from domain.errors import Conflict, DeskError, Unavailable
from domain.ports import Append, Log

T = TypeVar("T")


class LoopThread:
    """One thread that runs an event loop until it is closed."""

    def __init__(self) -> None:
        self._running: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),), name="cdb-recorders", daemon=True)
        self._thread.start()

    async def _main(self) -> None:
        self._closed = asyncio.Event()
        self._running.set_result(asyncio.get_running_loop())
        await self._closed.wait()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._running.result())

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a result; our errors become the library's."""
        try:
            return self.start(coroutine).result()
        except Conflict as conflict:
            raise IntegrityError(str(conflict)) from conflict
        except DeskError as error:
            raise OperationalError(str(error)) from error

    def close(self) -> None:
        self._running.result().call_soon_threadsafe(self._closed.set)
        self._thread.join()


class LogAggregateRecorder(AggregateRecorder):
    """Events or snapshots by aggregate."""

    def __init__(self, thread: LoopThread, store: EventStore) -> None:
        self._thread, self._store = thread, store

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self._thread.call(self._store.append_each(stored_events))
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        if desc and limit == 1 and gt is None and lte is None:
            last = self._thread.call(self._store.last(str(originator_id)))
            return [] if last is None else [last]
        events = self._thread.call(self._store.load(str(originator_id), after_version=gt, until_version=lte))
        return (events[::-1] if desc else events)[:limit]


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Events by aggregate and in the order of the stream, whose sequences are the notification ids."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        return self._thread.call(self._store.append_each(stored_events))

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else max(0, start - 1 if inclusive_of_start else start)

        async def select() -> list[Notification]:
            found: list[Notification] = []
            async for page in self._store.read(after, stop):
                found += [event for event in page if not topics or event.topic in topics]
                if len(found) >= limit:
                    break
            return found[:limit]

        return self._thread.call(select())

    def max_notification_id(self) -> int | None:
        return self._thread.call(self._store.position()) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return LogSubscription(self, gt, topics, self._thread, self._store)


class LogSubscription(Subscription[ApplicationRecorder]):
    """A follower that blocks its reader's thread; `stop` from any thread ends the iteration."""

    def __init__(
        self,
        recorder: ApplicationRecorder,
        gt: int | None,
        topics: Sequence[str],
        thread: LoopThread,
        store: EventStore,
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._thread = thread
        self._pages = store.follow(gt or 0)
        self._ready: list[Notification] = []
        self._waiting: Future[list[Notification]] | None = None
        self._lock = threading.Lock()

    def __next__(self) -> Notification:
        while not self._ready:
            with self._lock:
                if self._has_been_stopped:
                    raise StopIteration
                self._waiting = self._thread.start(self._next_page())
            try:
                page = self._waiting.result()
            except CancelledError:
                raise StopIteration from None
            except Unavailable as error:
                raise OperationalError(str(error)) from error
            self._ready = [event for event in reversed(page) if not self._topics or event.topic in self._topics]
        if self._has_been_stopped:
            raise StopIteration
        return self._ready.pop()

    async def _next_page(self) -> list[Notification]:
        return await anext(self._pages)

    def stop(self) -> None:
        with self._lock:
            super().stop()
            if self._waiting is None or not self._waiting.cancel():
                self._thread.call(self._pages.aclose())


class LogTrackingRecorder(TrackingRecorder):
    """The last processed notification id of each upstream application, on a subject of its own."""

    def __init__(self, thread: LoopThread, log: Log, root: str) -> None:
        self._thread, self._log, self._root = thread, log, root

    def insert_tracking(self, tracking: Tracking) -> None:
        async def insert() -> None:
            await self._log.append(await self._tracked(tracking))

        self._thread.call(insert())

    def max_tracking_id(self, application_name: str) -> int | None:
        last = self._thread.call(self._log.last(self._subject(application_name)))
        return None if last is None else int(last.data)

    async def _tracked(self, tracking: Tracking) -> Append:
        subject = self._subject(tracking.application_name)
        last = await self._log.last(subject)
        if last is not None and int(last.data) >= tracking.notification_id:
            raise IntegrityError(
                f"{tracking.application_name}: notification {tracking.notification_id} cannot follow {int(last.data)}"
            )
        return Append(subject, str(tracking.notification_id).encode(), {}, 0 if last is None else last.sequence)

    def _subject(self, application_name: str) -> str:
        return f"{self._root}.tracking.{subjects.token('application', application_name)}"


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Events and the position they were caused by, stored together or not at all."""

    def __init__(self, thread: LoopThread, store: EventStore, root: str) -> None:
        LogApplicationRecorder.__init__(self, thread, store)
        LogTrackingRecorder.__init__(self, thread, store.log, root)

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int] | None:
        async def insert() -> list[int]:
            beside = [] if tracking is None else [await self._tracked(tracking)]
            return await self._store.append_each(stored_events, beside)

        return self._thread.call(insert())


class JetStreamFactory(InfrastructureFactory[LogTrackingRecorder]):
    """Connects when the first recorder is asked for; `close` ends connection and thread."""

    def __init__(self, env: Environment | dict[str, str] | None) -> None:
        super().__init__(env)
        self._thread: LoopThread | None = None
        self._connection: Connection | None = None
        name = self.env.get("CDB_STREAM") or subjects.token("application", self.env.name or "application").upper()
        self._events = Stream(name, f"{name.lower()}.>", atomic=True)
        self._snapshots = Stream(f"{name}_SNAPSHOTS", f"{name.lower()}_snapshots.>", atomic=True)

    def _open(self) -> tuple[LoopThread, Log]:
        if self._thread is None:
            self._thread = LoopThread()
        streams = (self._events, self._snapshots)
        if self._connection is None:
            self._connection = self._thread.call(self._connect(streams))
            self._log = JetStreamLog(self._connection, streams)
        return self._thread, self._log

    async def _connect(self, streams: Sequence[Stream]) -> Connection:
        url = self.env.get("CDB_NATS_URL")
        if not url:
            raise OSError("CDB_NATS_URL is not set; set it to the address of a NATS server with JetStream")
        connection = await connect(url)
        try:
            allow_memory = strtobool(self.env.get("CDB_ALLOW_MEMORY") or "no")
            await require_durable(connection, self.env.get("CDB_NATS_MONITOR_URL"), allow_memory=allow_memory)
            await provision(connection, streams)
        except BaseException:
            await connection.close()
            raise
        return connection

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        thread, log = self._open()
        snapshots = purpose == "snapshots"
        stream = self._snapshots if snapshots else self._events
        return LogAggregateRecorder(thread, EventStore(log, f"{stream.root}.events", versions_may_skip=snapshots))

    def application_recorder(self) -> ApplicationRecorder:
        thread, log = self._open()
        return LogApplicationRecorder(thread, EventStore(log, f"{self._events.root}.events"))

    def tracking_recorder(self, tracking_recorder_class: type[Any] | None = None) -> LogTrackingRecorder:
        thread, log = self._open()
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        chosen = tracking_recorder_class or (resolve_topic(topic) if topic else LogTrackingRecorder)
        recorder: LogTrackingRecorder = chosen(thread, log, self._events.root)
        return recorder

    def process_recorder(self) -> ProcessRecorder:
        thread, log = self._open()
        return LogProcessRecorder(thread, EventStore(log, f"{self._events.root}.events"), self._events.root)

    def close(self) -> None:
        thread, self._thread = getattr(self, "_thread", None), None
        if thread is not None:
            if self._connection is not None:
                thread.call(self._connection.close())
                self._connection = None
            thread.close()
