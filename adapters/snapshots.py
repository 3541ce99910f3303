"""Engine snapshots over a log: the newest few of each desk, each with its hash; never the truth, only a shortcut."""

import hashlib
import logging

from adapters import subjects
from adapters.subjects import TOPIC
from domain.errors import Conflict, InvalidInput
from domain.ports import Append, Log

log = logging.getLogger("cdb.snapshots")

SHA256 = "Sha256"


class SnapshotStore:
    """The snapshots of one desk."""

    def __init__(self, log: Log, desk: str) -> None:
        self._log, self._subject = log, subjects.snapshot(desk)

    async def load(self) -> bytes | None:
        """The newest snapshot, None when there is none or its bytes are not what was saved."""
        message = await self._log.last(self._subject)
        if message is None or hashlib.sha256(message.data).hexdigest() != message.headers.get(SHA256):
            return None
        return message.data

    async def save(self, data: bytes) -> None:
        """Store one. A concurrent save by another engine wins silently: snapshots are interchangeable."""
        last = await self._log.last(self._subject)
        headers = {TOPIC: "snapshot", SHA256: hashlib.sha256(data).hexdigest()}
        try:
            await self._log.append(Append(self._subject, data, headers, expected=last.sequence if last else 0))
        except Conflict:
            return
        except InvalidInput as error:  # larger than a message: the desk goes on without a shortcut
            log.warning("desk %s: no snapshot was stored: %s", self._subject, error)
