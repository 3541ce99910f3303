"""The handover: what a writer made durable, in line for a follower in the same process, ahead of its delivery.

The log stays the truth. Only a message whose append returned, and so is on disk, is handed over; the follower takes it
only directly behind what it has. A repetition is left out; where one is missing, or none comes, the log delivers.
"""

import asyncio
from collections import deque

from adapters.numbered import first_number, last_number
from domain.ports import Message

WAITING_MAX = 8  # messages of at most 1 MiB: a follower that is further behind gets them from the log
SILENCE_S = 1.6  # longer than a live desk's second: a desk that rests waits for the log, not for a writer


class Handover:
    """Messages that hold consecutive numbers (headers First and Count), from one writer to one follower."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque(maxlen=WAITING_MAX)
        self._news = asyncio.Event()

    def give(self, message: Message) -> None:
        """Put a durable message in line; the oldest one falls out of a line that is full."""
        self._waiting.append(message)
        self._news.set()

    def follows(self, last: int) -> bool:
        """Whether nothing is missing between number `last` and the line."""
        return bool(self._waiting) and first_number(self._waiting[0]) <= last + 1

    async def behind(self, last: int) -> list[Message]:
        """What waits in one piece behind number `last`, or else comes next; none where one is missing or none comes."""
        while True:
            page: list[Message] = []
            while self.follows(last):
                message = self._waiting.popleft()
                if last_number(message) > last:
                    page.append(message)
                    last = last_number(message)
            if page or self._waiting:
                return page
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._news.wait()
            except TimeoutError:
                return page
