"""What the desk needs from outside. Adapters implement these; every port has an in-memory twin under the same tests."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One stored message. `sequence` is the stream's; `recorded_at_ns` is the server's clock and decides nothing."""

    subject: str
    sequence: int
    recorded_at_ns: int
    headers: Mapping[str, str]
    data: bytes


class Append(NamedTuple):
    """One message to store. `expected` is the stream sequence of the subject's last message (0: there is none yet);
    None takes part in a batch behind an earlier message of the same subject."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    expected: int | None


class Log(Protocol):
    """Durable, ordered, append-only messages by subject. An append that returned is on disk."""

    async def append(self, message: Append) -> int:
        """Store one message and return its stream sequence. Raises Conflict when `expected` does not hold.

        An unknown outcome (lost connection, timeout) is recovered here: the subject's last message is read back, and
        the same bytes and headers on top of `expected` count as success. Raises Unavailable past the retry budget.
        """

    async def append_batch(self, messages: Sequence[Append]) -> int:
        """Store all or none, return the last sequence. Subjects must lie in one stream that allows atomic batches."""

    async def last(self, subject: str) -> Message | None:
        """The newest message of one subject (no wildcard)."""

    async def get(self, subject: str, sequence: int) -> Message | None:
        """The first message of `subject` at or after a stream sequence."""

    def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncIterator[list[Message]]:
        """Pages of stored messages of one subject or wildcard with after < sequence (<= until), oldest first, up to
        what was stored when the end was reached."""

    def follow(self, subject: str, after: int = 0) -> AsyncIterator[list[Message]]:
        """As read, then for ever: pages of new messages as they come. Survives a restart of the server without a gap
        or a repeat; the caller keeps the position (the last sequence it took)."""

    async def head(self, stream: str) -> int:
        """The last sequence of a stream, 0 when empty."""
