"""Messages that hold consecutive numbers (headers First and Count): how a number is found again on its subject."""

from adapters.subjects import COUNT, FIRST
from domain.errors import TapeBroken
from domain.ports import Log, Message


def first_number(message: Message) -> int:
    """The number of the first item in a message."""
    return number(message, FIRST)


def last_number(message: Message) -> int:
    """The number of the last item in a message."""
    return number(message, FIRST) + number(message, COUNT) - 1


def number(message: Message, header: str) -> int:
    """A header that holds a number. Raises TapeBroken when it does not."""
    text = message.headers.get(header, "")
    if not (text.isascii() and text.isdigit()):
        raise TapeBroken(
            f"{message.subject}: the message at stream sequence {message.sequence} has {text!r} for its header "
            f"{header}, not a number; it was not written by a desk"
        )
    return int(text)


async def sequence_before(log: Log, subject: str, wanted: int) -> int:
    """A stream sequence such that everything of `subject` behind it holds number `wanted` and what follows.

    Binary search: the stream's sequences of one subject have gaps (other subjects lie between), its numbers have none.
    """
    low, newest = 1, await log.last(subject)
    if newest is None or wanted > last_number(newest):
        return newest.sequence if newest else 0
    high = newest.sequence
    while low < high:
        middle = (low + high) // 2
        message = await log.get(subject, middle)
        assert message is not None  # high is a message of this subject
        if last_number(message) >= wanted:
            high = middle
        else:
            low = message.sequence + 1
    return high - 1
