"""Testimonies on the log: one message each, on the subject of whoever said it and of its UTC day."""

import re

from adapters import subjects
from adapters.subjects import TOPIC
from domain.errors import Conflict
from domain.ports import Append, Log
from domain.tape import utc
from domain.testimony import Testimony

TESTIMONY = "testimony"
ATTEMPTS = 5  # of one actor at the same moment
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


async def testify(log: Log, testimony: Testimony) -> str:
    """Store it; where it stands, as `CALLS:12`. Raises Conflict when the actor says too much at once, Unavailable."""
    actor = _NO_TOKEN.sub("_", testimony.asserted_by)[:64]
    subject, data = subjects.calls(actor, utc(testimony.occurred_at_ns)[:10]), testimony.model_dump_json().encode()
    for attempt in range(ATTEMPTS):
        last = await log.last(subject)
        try:
            sequence = await log.append(Append(subject, data, {TOPIC: TESTIMONY}, last.sequence if last else 0))
            return f"{subjects.CALLS.name}:{sequence}"
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returned or raised")
