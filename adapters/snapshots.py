"""Engine states over a log, whole or not at all: a desk's newest snapshots, and what an engine took it over with.

A state that no message holds is stored in parts, each on a subject of its own, and then a list of them where the state
would stand. The parts of one list are never written over before the next list stands: they alternate between two sets
of subjects. Whatever is torn nevertheless has another hash, and is none.
"""

import logging
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters import subjects
from adapters.subjects import TOPIC
from domain.errors import Conflict, InvalidInput
from domain.ports import Append, Log, Message

log = logging.getLogger("cdb.snapshots")

SHA256 = "Sha256"
PARTS = "parts"  # the topic of a list
PART_BYTES = 960 * 1024  # as much as a block of the tape


class Parts(BaseModel):
    """What stands in place of a state: the stream sequences of its parts, on the subjects of set 0 or 1."""

    model_config = ConfigDict(frozen=True)

    subjects: int = Field(ge=0, le=1)
    sequences: tuple[int, ...]


class StateStore:
    """The states of one subject, of which the newest counts."""

    def __init__(self, log: Log, subject: str) -> None:
        self._log, self._subject = log, subject

    async def last(self) -> Message | None:
        """What stands there now: the sequence that the next one follows."""
        return await self._log.last(self._subject)

    async def load(self) -> bytes | None:
        """The newest state, None when there is none or its bytes are not what was saved."""
        message = await self.last()
        if message is None:
            return None
        data = await self._joined(message) if message.headers.get(TOPIC) == PARTS else message.data
        return data if data is not None and sha256(data).hexdigest() == message.headers.get(SHA256) else None

    async def save(self, data: bytes, topic: str, behind: Message | None) -> None:
        """Store a state where `behind` is the last. Raises Conflict when another one came; that one is whole."""
        headers, content = {TOPIC: topic, SHA256: sha256(data).hexdigest()}, data
        if len(data) > PART_BYTES:
            headers[TOPIC], content = PARTS, await self._stored_parts(data, _unused(behind))
        await self._log.append(Append(self._subject, content, headers, expected=behind.sequence if behind else 0))

    async def _stored_parts(self, data: bytes, unused: int) -> bytes:
        sequences = []
        for number, start in enumerate(range(0, len(data), PART_BYTES)):
            subject = subjects.state_part(self._subject, unused, number)
            last = await self._log.last(subject)
            part = Append(subject, data[start : start + PART_BYTES], {TOPIC: "part"}, last.sequence if last else 0)
            sequences.append(await self._log.append(part))
        return Parts(subjects=unused, sequences=tuple(sequences)).model_dump_json().encode()

    async def _joined(self, message: Message) -> bytes | None:
        """The parts of a list, one behind the other; None when one is gone."""
        parts, data = _parts(message), list[bytes]()
        if parts is None:
            return None
        for number, sequence in enumerate(parts.sequences):
            part = await self._log.get(subjects.state_part(self._subject, parts.subjects, number), sequence)
            if part is None or part.sequence != sequence:
                return None
            data.append(part.data)
        return b"".join(data)


class SnapshotStore:
    """The snapshots of one desk: never the truth, only a shortcut."""

    def __init__(self, log: Log, desk: str) -> None:
        self._states, self._desk = StateStore(log, subjects.snapshot(desk)), desk

    async def load(self) -> bytes | None:
        """The newest snapshot, None when there is none or its bytes are not what was saved."""
        return await self._states.load()

    async def save(self, data: bytes) -> None:
        """Store one. A concurrent save by another engine wins silently: snapshots are interchangeable."""
        try:
            await self._states.save(data, "snapshot", await self._states.last())
        except Conflict:
            return
        except InvalidInput as error:  # a server that takes only small messages: the desk goes on without a shortcut
            log.warning("desk %s: no snapshot was stored: %s", self._desk, error)


def _parts(message: Message) -> Parts | None:
    try:
        return Parts.model_validate_json(message.data)
    except ValidationError:
        return None


def _unused(behind: Message | None) -> int:
    """The set of subjects that the list standing now does not name."""
    parts = _parts(behind) if behind and behind.headers.get(TOPIC) == PARTS else None
    return 1 - parts.subjects if parts else 0
