"""The golden script's ledger for the tests of what is asked of it: as lines, as plain JSON, and on a desk."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import numpy as np

from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from domain.ports import LedgerEnd, Message, Recorded
from tests import canonical
from tests.logs import Wrapped
from tests.ops.desks import write_tape

SCRIPT = canonical.golden_script()
LINES = canonical.ledger(canonical.messages(SCRIPT))
PLAIN: list[dict[str, Any]] = [json.loads(line) for line in LINES]
CHAINS = sorted({event["correlation"] for event in PLAIN if event["type"] != "account_marked"})
ORDERS = {event["number"]: event for event in PLAIN if event["type"] == "order_placed"}
# A chain of an entry that waited for its fill, then had a stop and a target, of which one filled.
TARGET = next(order for order in ORDERS.values() if order["purpose"] == "target")["number"]
CHAIN = [event for event in PLAIN if event["correlation"] == PLAIN[TARGET - 1]["correlation"]]
SIGNAL, VERDICT, ENTRY, FILL = (event["number"] for event in CHAIN[:4])
STOP = TARGET - 1
END = canonical.length(SCRIPT)
PLACES = [place for item in SCRIPT for place in (item if isinstance(item, np.ndarray) else [item])]


async def desk(lines: list[bytes] = LINES, first: int = 1, commit: int = 40) -> MemoryLog:
    """The script's tape, and a ledger of these lines from number `first` on, so many a commit."""
    log = MemoryLog()
    await write_tape(log, SCRIPT)
    end, ledger = LedgerEnd(), StoredLedger(log, "main")
    recorded = [Recorded(*numbered) for numbered in enumerate(lines, first)]
    for start in range(0, len(recorded), commit):
        end = await ledger.append(recorded[start : start + commit], end)
    return log


def nodes(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """A node and all below it."""
    return [tree, *(found for child in tree["children"] for found in nodes(child))]


def number(row: Mapping[str, Any]) -> int:
    return int(row["id"].rpartition(":")[2])


def decided(tree: dict[str, Any]) -> list[int]:
    return sorted(number(node) for node in nodes(tree) if node["id"].startswith("main:"))


class Counted(Wrapped):
    """Small pages, and how many messages were taken."""

    taken = 0

    async def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        async for page in self.log.read(subject, after, until):
            for message in page:
                self.taken += 1
                yield [message]

    async def get(self, subject: str, sequence: int) -> Message | None:
        self.taken += 1
        found: Message | None = await self.log.get(subject, sequence)
        return found
