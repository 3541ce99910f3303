"""Every stored shape as today's encoder writes it, by the name of its file here. `python -m tests.golden.shapes` writes
the files that are missing and never one that is there: what was stored once must be readable for ever."""

import asyncio
import json
from pathlib import Path

from pydantic import BaseModel

from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.ops_log import OpsLog
from adapters.snapshots import PART_BYTES, SnapshotStore
from adapters.subjects import governance
from adapters.tape_log import StoredTape
from adapters.token_log import CATEGORY, TokenLog
from domain.engine import ENGINE
from domain.instructions import Instructed
from domain.ports import Append, LedgerEnd, Recorded, TapeEnd
from domain.tape import Block, concatenate
from tests import canonical, canonical_governance, canonical_services
from tests.ops.desks import write_governance

OPERATIONS = canonical_services.OPERATIONS | canonical_governance.OPERATIONS

HERE = Path(__file__).parent
FEED = "0123456789abcdef"

# Shapes that got fields since their first file was written: today's encoder gives the newer file, the old one is read.
GREW = {"tape_opened": "_2", "instrument_declared": "_2", "engine_activated": "_2"}
GREW_MESSAGES = ("block", "block_of_bars", "instruction_in_feed")  # got the header Standing-At


async def _messages() -> dict[str, bytes]:
    """Whole messages, headers and all: one subject of a log for each."""
    log = MemoryLog()
    tape, end = StoredTape(log, "golden"), TapeEnd(ordinal=5, standing=5)
    end = await tape.append(Instructed(6, canonical.INSTRUCTIONS["feed_opened"]), end)
    end = await tape.append(Block(7, concatenate([canonical.TICKS[kind] for kind in ("clock", "quote")])), end, FEED)
    end = await tape.append(Block(9, concatenate([canonical.TICKS[kind] for kind in ("trade", "bar")])), end, FEED)
    end = await tape.append(Instructed(11, canonical.INSTRUCTIONS["strategy_deactivated"]), end, FEED)
    events = [Recorded(event.number, _json(event)) for event in canonical.FIRST_COMMIT]
    await StoredLedger(log, "golden").append(events, LedgerEnd())
    await SnapshotStore(log, "golden").save(b'{"engine":1}\n\x00\x01')
    await SnapshotStore(log, "golden_large").save(bytes(PART_BYTES + 1))
    async with OpsLog.open(log) as ops:
        ops.record(canonical_services.OPERATIONS["service_failed"])
    created, revoked = canonical_services.ACCESS.values()
    token = governance(CATEGORY, created.name)
    await log.append(Append(token, _json(created), {}, 0))  # a new token is never the same bytes
    await TokenLog(log, lambda: revoked.occurred_at_ns).revoke(created.name, revoked.actor, "it was in a chat")
    await write_governance(log, [canonical_governance.MESSAGES[0], canonical_governance.MESSAGES[4]])
    names = {
        "governance.constitution.main": ["founding"],
        "governance.proposal.p-recorded": ["draft"],  # two events, one message
        "tape.golden": ["instruction", *(f"{name}_2" for name in GREW_MESSAGES)],
        "ledger.golden": ["commit"],
        "snapshot.golden": ["snapshot"],
        "snapshot.golden_large": ["snapshot_parts"],
        "ops.core": ["operation"],
        token: ["access"],
    }
    shapes = {}
    for subject, kinds in names.items():
        stored = [message async for page in log.read(subject) for message in page][-len(kinds) :]
        for name, message in zip(kinds, stored, strict=True):
            headers = json.dumps({"subject": message.subject, "headers": message.headers}, indent=1)
            shapes[f"messages/{name}.json"] = headers.encode() + b"\n"
            shapes[f"messages/{name}.bin"] = message.data
    return shapes


def _json(event: BaseModel) -> bytes:
    return event.model_dump_json().encode()


def written_today() -> dict[str, bytes]:
    """File name -> bytes."""
    return {
        **{f"instructions/{kind}{GREW.get(kind, '')}.json": _json(i) for kind, i in canonical.INSTRUCTIONS.items()},
        **{f"events/{kind}.json": _json(event) for kind, event in canonical.EVENTS.items()},
        **{f"operations/{kind}.json": _json(event) for kind, event in OPERATIONS.items()},
        **{f"access/{kind}.json": _json(event) for kind, event in canonical_services.ACCESS.items()},
        **{f"governance/{kind}.json": _json(event) for kind, event in canonical_governance.GOVERNANCE.items()},
        **{f"ticks/{kind}.bin": tick.tobytes() for kind, tick in canonical.TICKS.items()},
        f"snapshots/engine_{ENGINE}.bin": canonical.golden_snapshot(),
        **asyncio.run(_messages()),
    }


if __name__ == "__main__":
    for name, data in written_today().items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(data)
