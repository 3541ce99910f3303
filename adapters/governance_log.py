"""Governance on the log: aggregates by the event store, one message a decision, and their events in order.

Tokens stand on the same stream and are read by `token_log`. What cannot be read, or cannot stand where it does, is
nobody's decision: it is reported and folded by nobody.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError, StoredEvent
from pydantic import ValidationError

from adapters import subjects
from adapters.event_store import EventStore, decode
from adapters.token_log import CATEGORY as TOKEN
from domain.aggregate import Event, stored
from domain.approvers import ApproverEnrolled, ApproverRevoked
from domain.errors import Conflict, DeskError
from domain.governance import GOVERNANCE_EVENT, Governance, GovernanceEvent
from domain.ports import Log, Message

logger = logging.getLogger("cdb.governance")

ROOT = subjects.GOVERNANCE.root
_TOKENS = f"{ROOT}.{TOKEN}."


class Said(NamedTuple):
    """An event at its stream sequence; events of one decision share it. `recorded_at_ns` is the log's clock."""

    sequence: int
    recorded_at_ns: int
    event: GovernanceEvent


class Foreign(NamedTuple):
    """A message of the stream that is no event of governance, and why."""

    sequence: int
    subject: str
    why: str


class GovernanceLog:
    """The log as governance writes and reads it."""

    def __init__(self, log: Log) -> None:
        self._log, self._store = log, EventStore(log, ROOT)

    async def append(self, events: Sequence[Event | ApproverEnrolled | ApproverRevoked]) -> int:
        """Store one decision, all or nothing, one message an aggregate; the last sequence. Raises Conflict when another
        one wrote to an aggregate first, Unavailable."""
        try:
            return await self._store.append([_stored(event) for event in events])
        except (KeyError, ValueError, TypeError) as error:  # of the store: what stands there is no event
            raise DeskError(
                f"governance cannot write behind what it cannot read ({error!r}); run `cdb verify`"
            ) from None
        except IntegrityError as error:
            raise Conflict(f"governance was changed by another at this moment; ask again ({error})") from None

    async def read(self, after: int = 0) -> AsyncGenerator[list[Said | Foreign], None]:
        """Pages of what stands behind a sequence, up to the end."""
        async with aclosing(self._log.read(subjects.GOVERNANCE.subjects, after)) as pages:
            async for page in pages:
                yield [said for message in page for said in events_of(message)]

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Said | Foreign], None]:
        """As read, then for ever."""
        async with aclosing(self._log.follow(subjects.GOVERNANCE.subjects, after)) as pages:
            async for page in pages:
                yield [said for message in page for said in events_of(message)]

    async def catch_up(self, governance: Governance) -> list[Foreign]:
        """Fold what stands behind a state's position; what could not be folded is given back, and told."""
        foreign: list[Foreign] = []
        async with aclosing(self.read(governance.position)) as pages:
            async for page in pages:
                foreign += take(governance, page)
        return foreign


def take(governance: Governance, page: Sequence[Said | Foreign]) -> list[Foreign]:
    """Fold a page; what could not be folded is given back, and told."""
    foreign: list[Foreign] = []
    for said in page:
        found = said
        if isinstance(said, Said):
            try:
                governance.take(said.sequence, said.event)
            except Exception as error:  # whatever it is, one message keeps nobody from folding the next
                why = f"{type(error).__name__}: {error}"
                found = Foreign(said.sequence, f"{ROOT}.{_about(said.event)}", why)
        else:
            governance.position = said.sequence  # what cannot be read is told once
        if isinstance(found, Foreign):
            logger.error("%s at %d is no decision of governance: %s", found.subject, found.sequence, found.why)
            foreign.append(found)
    return foreign


def events_of(message: Message) -> list[Said | Foreign]:
    """The events of one message of the stream, in order; none of a token's."""
    if message.subject.startswith(_TOKENS):
        return []
    try:
        events = [GOVERNANCE_EVENT.validate_json(event.state) for event in decode(ROOT, message)]
        for event in events:
            if f"{ROOT}.{_about(event)}" != message.subject:
                raise ValueError(f"it speaks of {_about(event)}")
    except Exception as error:  # bytes of a stranger may break anything
        why = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        return [Foreign(message.sequence, message.subject, why)]
    return [Said(message.sequence, message.recorded_at_ns, event) for event in events]


def _about(event: Event | ApproverEnrolled | ApproverRevoked) -> str:
    return event.originator_id if isinstance(event, Event) else f"approver.{event.key_id}"


def _stored(event: Event | ApproverEnrolled | ApproverRevoked) -> StoredEvent:
    """A key is enrolled once, and revoked once at the most: these are its two versions."""
    if isinstance(event, Event):
        return stored(event)
    version = 1 if isinstance(event, ApproverEnrolled) else 2
    return StoredEvent(_about(event), version, event.type, event.model_dump_json().encode())
