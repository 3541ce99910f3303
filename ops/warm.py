"""Compiling the engine's kernels before anyone waits for them: half a minute on a machine's first start, then cached.

numba compiles on the first call. Inside an event loop that would hold up every answer of a server for as long, so the
first call is made here, on a tape of two ticks, in a thread.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from domain.engine import ENGINE, Engine
from domain.instructions import (
    AccountOpened,
    EngineActivated,
    Instructed,
    Instruction,
    InstrumentDeclared,
    PolicyActivated,
    StrategyActivated,
    TapeOpened,
)
from domain.instruments import instrument_for
from domain.policy import PAPER_DEFAULT, Policy
from domain.signals.handler import find
from domain.tape import MINUTE, QUOTE, Block, empty_ticks

SYMBOL, CURRENCY, BALANCE_NANOS = "EURUSD", "USD", 100_000 * 1_000_000_000
_SAID: Mapping[str, Any] = {"actor": "sequencer", "authority": "operator", "occurred_at_ns": 0}


def ready_engine(policy: Policy, strategies: Mapping[str, Mapping[str, Any]]) -> Engine:
    """An engine that is ready for ticks of instrument 1, an EURUSD; strategies by name with their parameters."""
    engine = Engine()
    opening: list[Instruction] = [
        TapeOpened(id="1", **_SAID, record_format="tick64.1", tzdata_version="none"),
        InstrumentDeclared(id="2", **_SAID, number=1, instrument=instrument_for(SYMBOL)),
        EngineActivated(id="3", **_SAID, engine=ENGINE),
        AccountOpened(id="4", **_SAID, currency=CURRENCY, initial_balance_nanos=BALANCE_NANOS),
        PolicyActivated(id="5", **_SAID, policy=policy),
    ]
    for name, parameters in strategies.items():
        terms = {"version": find(name).version, "parameters": dict(parameters), "symbols": (SYMBOL,)}
        opening.append(StrategyActivated(id=name, **_SAID, strategy=name, **terms))
    for ordinal, instruction in enumerate(opening, 1):
        engine.fold(Instructed(ordinal, instruction))
    return engine


@cache
def warm_up() -> None:
    """Compile, or load from the cache, everything that a block of ticks needs."""
    engine = ready_engine(PAPER_DEFAULT, {})
    records = empty_ticks(2)
    records["kind"], records["instrument"], records["flags"] = (0, QUOTE), (0, 1), (MINUTE, 0)
    records["bid"] = records["ask"] = 1_100_000_000
    engine.fold(Block(engine.ordinal + 1, records))


async def warmed_up(progress: Callable[[str, int, int, str], None] | None = None) -> None:
    """The same beside everything else; `progress` is told when it takes a while."""
    compiling = asyncio.create_task(asyncio.to_thread(warm_up))
    done, _ = await asyncio.wait({compiling}, timeout=1)
    if not done and progress:
        progress("compiling the rules (once on this machine)", 0, 1, "")
    await compiling
    if not done and progress:
        progress("compiling the rules (once on this machine)", 1, 1, "")
