"""Stopping a desk, whoever says so: by its running sequencer, or by a latch that stops it before its next record."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from domain.errors import DeskError
from domain.instructions import TradingHalted
from gateways.halt_latch import MAX_REASON, HaltLatch
from ops.composition import open_running
from ops.control import as_text, instruct
from ops.services import halt_latch
from ops.settings import Settings

log = logging.getLogger("cdb.halting")

STOP_S = 2.0  # how long a halt waits for a server that is away, before it is latched; and then for its answer


def halt_reason(said: str) -> str:
    """What was said, as a halt can hold it: bytes that are no text, or too many of them, never stop a stop."""
    return as_text(said).strip()[:MAX_REASON] or "no reason given"


async def stop_desk(settings: Settings, halt: TradingHalted) -> Mapping[str, Any]:
    """Halt the desk. Returns the sequencer's outcome, or `latched` (the file) and the `reason` why it had to be."""
    # The latch that goes first makes no folder: a running desk is stopped also where none can be made.
    desk, latch = settings.desk, HaltLatch(settings.data_dir / "halts", settings.desk)
    try:
        async with open_running(settings, STOP_S) as store:
            return (await instruct(store, desk, halt, latch, also_resting=False, answer_s=STOP_S))._asdict()
    except Exception as error:  # whatever it is, the desk must stop
        why = str(error) if isinstance(error, DeskError) else f"{type(error).__name__}: {error}"
        log.debug("the halt could not be delivered", exc_info=error)
        waits = await asyncio.to_thread(lambda: halt_latch(settings).set(halt.actor, halt.reason, flatten=halt.flatten))
        return {"latched": str(waits), "reason": why}
