"""What the desk needs from outside. Adapters implement these; every port has an in-memory twin under the same tests."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from domain.instructions import Instructed, Instruction
from domain.tape import Block


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
        """The newest message of a subject or wildcard."""

    async def get(self, subject: str, sequence: int) -> Message | None:
        """The first message of `subject` at or after a stream sequence."""

    def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        """Pages of stored messages of one subject or wildcard with after < sequence (<= until), oldest first, up to
        what was stored when the end was reached."""

    def follow(self, subject: str, after: int = 0) -> AsyncGenerator[list[Message], None]:
        """As read, then for ever: pages of new messages as they come. Survives a restart of the server without a gap
        or a repeat; the caller keeps the position (the last sequence it took)."""

    async def head(self, stream: str) -> int:
        """The last sequence of a stream, 0 when empty."""

    async def subjects(self, pattern: str) -> list[str]:
        """The subjects under a wildcard that hold messages, sorted."""


class TapeEnd(NamedTuple):
    """Where a tape's one writer stands: everything it must know to go on, read from the last message alone.

    `ordinal` and `time_ns` are of the last record (0 on an empty tape); `after_tick` says that it is a market tick;
    `standing` is the ordinal of the newest standing instruction (0: none); `fed` counts the market ticks of `feed` so
    far. `standing_at` is the standing instruction's stream sequence, a hint where it is found (0: unknown).
    """

    ordinal: int = 0
    time_ns: int = 0
    after_tick: bool = False
    standing: int = 0
    feed: str = ""
    fed: int = 0
    sequence: int = 0
    standing_at: int = 0


class TapeLog(Protocol):
    """One tape. Messages are blocks of records or single instructions; both are addressed by ordinal."""

    name: str

    async def end(self) -> TapeEnd:
        """Where the tape ends now."""

    async def append(self, message: Block | Instructed, end: TapeEnd, feed: str = "") -> TapeEnd:
        """Store the next message behind `end`. Raises Conflict when another writer was first."""

    async def instruction(self, ordinal: int) -> tuple[Instruction, int]:
        """The instruction at an ordinal, and the ordinal of the standing one before it (0: none)."""

    def read(self, after: int = 0) -> AsyncGenerator[list[Block | Instructed], None]:
        """Pages of what stands behind an ordinal, up to the end."""

    def follow(self, after: int = 0) -> AsyncGenerator[list[Block | Instructed], None]:
        """As read, then for ever."""


class Recorded(NamedTuple):
    """One ledger event as it is stored: its number and its bytes."""

    number: int
    line: bytes


class LedgerEnd(NamedTuple):
    """`number` is the last event's (0: none)."""

    number: int = 0
    sequence: int = 0


# -- read models ---------------------------------------------------------------------------------------------------

Source = Literal["ledger", "tape", "ops", "governance"]

END = 2**63 - 1  # `until` of a version that still holds

Key = tuple[Any, ...]
Values = tuple[Any, ...]


class Fact(NamedTuple):
    """One event as it stands in its source. `position` is its ledger number, its tape ordinal, or its stream's
    sequence; `recorded_at_ns` is the log's clock and decides nothing."""

    position: int
    recorded_at_ns: int
    event: Any


class FactPage(NamedTuple):
    """Facts in order, and where the source stands behind them: also when nothing there was a wanted fact.

    `time_ns` is the market's time there (None where the source has none), `recorded_at_ns` the log's.
    """

    facts: list[Fact]
    position: int
    time_ns: int | None
    recorded_at_ns: int


class Table(NamedTuple):
    """A table of versions: `key` gives each key column its PostgreSQL type, `columns` name the rest, in order.
    Every table has `since` and `until` beside them."""

    name: str
    key: Mapping[str, str]
    columns: tuple[str, ...]


class Version(NamedTuple):
    """A row as it was for since <= position < until."""

    key: Key
    since: int
    until: int
    values: Values


class Made(NamedTuple):
    """What a stretch of facts made of one table: versions, and since when keys that stood before are replaced."""

    table: Table
    versions: Sequence[Version]
    replaced: Mapping[Key, int]


class Checkpoint(NamedTuple):
    """Where a fold stands in its source, and what it remembers there (JSON)."""

    position: int = 0
    memory: bytes | None = None
    time_ns: int | None = None
    recorded_at_ns: int = 0


class Rows(Protocol):
    """Reading the read models; nothing can be written here."""

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        """The rows of a query. Raises Unavailable."""
