"""What every log refuses before it stores anything, in the same words."""

from collections.abc import Sequence

from adapters.subjects import MESSAGE_ID, Stream, stream_of
from domain.errors import Conflict, InvalidInput
from domain.ports import Append

MAX_MESSAGE_BYTES = 1 << 20
TRANSPORT_BYTES = 200  # the headers that the log adds: expected sequence, batch
BATCH_MESSAGES_MAX = 1000


def header_bytes(message: Append) -> int:
    return TRANSPORT_BYTES + sum(len(name) + len(value.encode()) + 4 for name, value in message.headers.items())


def check_message(message: Append, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    """Raise InvalidInput for what cannot be stored or would come back changed."""
    size = len(message.data) + header_bytes(message)
    if size > max_bytes:
        raise InvalidInput(f"a message of {size} bytes for {message.subject}: the log takes {max_bytes}; split it")
    if any(token in ("", "*", ">") for token in message.subject.split(".")):
        raise InvalidInput(f"{message.subject!r} is not the subject of one thing: it has an empty token or a wildcard")
    for name, value in message.headers.items():
        if name.startswith("Nats-") and name != MESSAGE_ID:
            raise InvalidInput(f"header {name} of {message.subject} is the server's own")
        if value != " ".join(value.split()) or not name.isascii():
            raise InvalidInput(f"header {name}: {value!r} of {message.subject} holds white space that would be lost")


def check_single(message: Append, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    check_message(message, max_bytes)
    if message.expected is None:
        raise InvalidInput(f"an append to {message.subject} must say which sequence it expects (0: the first)")


def check_batch(messages: Sequence[Append], streams: Sequence[Stream], max_bytes: int = MAX_MESSAGE_BYTES) -> Stream:
    """The stream that a batch goes to."""
    if not 1 <= len(messages) <= BATCH_MESSAGES_MAX:
        raise InvalidInput(f"a batch of {len(messages)} messages: it takes 1 to {BATCH_MESSAGES_MAX}")
    seen: set[str] = set()
    for message in messages:
        check_message(message, max_bytes)
        if (message.expected is None) != (message.subject in seen):
            raise InvalidInput(f"in a batch exactly the first message of {message.subject} says what it expects")
        seen.add(message.subject)
    found = {stream_of(subject, streams) for subject in seen}
    if len(found) > 1 or not all(stream.atomic for stream in found):
        raise InvalidInput(f"a batch needs one atomic stream for all of {', '.join(sorted(seen))}")
    return found.pop()


def conflict(*messages: Append) -> Conflict:
    expected = ", ".join(f"{m.subject} at {m.expected}" for m in messages if m.expected is not None)
    return Conflict(f"another writer was first: expected {expected}; reload and decide again")
