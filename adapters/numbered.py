"""Messages that hold consecutive numbers (headers First and Count): how a number is found again on its subject."""

from adapters.subjects import COUNT, FIRST
from domain.ports import Log, Message


def first_number(message: Message) -> int:
    """The number of the first item in a message."""
    return int(message.headers[FIRST])


def last_number(message: Message) -> int:
    """The number of the last item in a message."""
    return first_number(message) + int(message.headers[COUNT]) - 1


async def sequence_before(log: Log, subject: str, number: int) -> int:
    """A stream sequence such that everything of `subject` behind it holds `number` and what follows.

    Binary search: the stream's sequences of one subject have gaps (other subjects lie between), its numbers have none.
    """
    low, newest = 1, await log.last(subject)
    if newest is None or number > last_number(newest):
        return newest.sequence if newest else 0
    high = newest.sequence
    while low < high:
        middle = (low + high) // 2
        message = await log.get(subject, middle)
        assert message is not None  # high is a message of this subject
        if last_number(message) >= number:
            high = middle
        else:
            low = message.sequence + 1
    return high - 1
