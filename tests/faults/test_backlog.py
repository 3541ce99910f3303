"""A halt does not queue behind ticks: by the real server and the real command, with a million of them in line."""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from adapters.commands import send_command, serve_commands
from adapters.jetstream import JetStreamLog
from adapters.nats_server import NatsServer
from adapters.tape_log import StoredTape
from domain.instructions import Instruction, TradingHalted
from domain.policy import policy_named
from domain.tape import MAX_BLOCK_RECORDS
from gateways.file_feed import BLOCKS_AHEAD
from gateways.sequencer import Sequencer
from ops.core import Core
from ops.session import Plan, StrategyChoice, activations_of, beside, carry_out
from tests import logs
from tests.canonical import SAID, file_set, market_ticks
from tests.faults.session import recording

TICKS, EARLIER = 1_000_000, 1_000
HALTED_AT_BLOCKS = 5  # of the backlog's 66: the desk trades before, and nine tenths of the ticks still wait
HALT = TradingHalted(id="halt", **SAID, reason="a backlog")
EMA = StrategyChoice("ema_cross", parameters={"fast": 50, "slow": 200, "on": "ticks"})


class HaltedDesk:
    """Sequencer and engine of a desk, with a backlog of ticks in front; a halt comes by command in the midst of it."""

    def __init__(self, log: JetStreamLog, other: JetStreamLog) -> None:
        self.log, self.other, self.name = log, other, logs.new_name()
        self.tape = StoredTape(log, self.name)
        self.core = Core(log, self.name, self.tape)
        self.sent = self.received = self.folded = self.halted = self.end = 0  # ordinals

    async def run(self, *, as_a_file: bool) -> None:
        await beside(self.core.run(), self._work(as_a_file))

    async def _work(self, as_a_file: bool) -> None:
        ticks = market_ticks(EARLIER + TICKS, seconds=1)
        async with Sequencer.open(self.tape) as sequencer, serve_commands(self.log.connection, self.name, self._take):
            self.sequencer = sequencer
            await self._feed(ticks[:EARLIER])
            rest = ticks[EARLIER:]
            backlog: Awaitable[Any] = asyncio.ensure_future(self._feed(rest) if as_a_file else sequencer.offer(rest))
            blocks = sequencer.blocks + HALTED_AT_BLOCKS
            while sequencer.blocks < blocks:  # noqa: ASYNC110  a look at every block
                await asyncio.sleep(0)
            self.sent = sequencer.end.ordinal
            self.halted = await send_command(self.other.connection, self.name, HALT)
            await backlog
            self.end = sequencer.end.ordinal
            await self.core.reached(self.end)

    async def _feed(self, ticks: Any) -> None:
        plan = Plan(file_set(ticks), [EMA], policy_named("bench-wide"))
        await carry_out(plan, activations_of(plan), self.sequencer, self.core.reached)

    async def _take(self, instruction: Instruction) -> int:
        self.received, self.folded = self.sequencer.end.ordinal, self.core.folded
        return await self.sequencer.submit(instruction)


@pytest.mark.parametrize("as_a_file", [False, True], ids=["offered at once", "of a file"])
async def test_a_backlog_of_a_million_ticks_does_not_delay_a_halt(nats_server: NatsServer, as_a_file: bool) -> None:
    async with AsyncExitStack() as stack:
        log, other = [await stack.enter_async_context(logs.jetstream(nats_server)) for _ in range(2)]
        desk = HaltedDesk(log, other)
        await desk.run(as_a_file=as_a_file)
        stands, _ = await desk.tape.instruction(desk.halted)
        events = [json.loads(line) for line in (await recording(log, desk.name, desk.name)).ledger]
    assert stands.id == HALT.id
    assert desk.halted - desk.received <= MAX_BLOCK_RECORDS + 1  # the block that is being written goes first
    assert desk.end - desk.halted > TICKS * 3 // 4
    if as_a_file:  # and its decision waits for no more than lies between feed and engine
        assert desk.halted - desk.folded <= (BLOCKS_AHEAD + 1) * MAX_BLOCK_RECORDS + 1
    answer = next(place for place, event in enumerate(events) if event.get("instruction_id") == HALT.id)
    assert (events[answer]["type"], events[answer]["ordinal"]) == ("instruction_applied", desk.halted)
    before, after = events[:answer], events[answer + 1 :]
    assert before[-1]["ordinal"] < desk.halted < after[0]["ordinal"]
    assert "approved" in verdicts(before)
    assert verdicts(after) == {"refused"}


def verdicts(events: list[dict[str, Any]]) -> set[str]:
    return {event["verdict"] for event in events if event["type"] == "signal_assessed"}
