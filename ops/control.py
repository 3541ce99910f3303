"""Instructions from a person at the command line: to the desk that runs, or onto the tape of one that rests."""

import asyncio
import getpass
import os
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from adapters.commands import send_command
from adapters.jetstream import JetStreamLog
from adapters.progress import ask_reached, is_running, only_one
from adapters.tape_log import StoredTape
from domain.engine import prepare
from domain.errors import InvalidInput, Unavailable
from domain.events import InstructionApplied, InstructionRefused
from domain.instructions import Instruction, OrderRequested, StrategyActivated, TradingResumed
from domain.instruments import instrument_for
from domain.tape import position
from gateways.halt_latch import HaltLatch
from gateways.sequencer import Sequencer
from ops.amounts import nanos_of, refuse_oversized
from ops.core import Core
from ops.ledger_reader import LedgerReader
from ops.ledger_rows import on_tape
from ops.session import put_latched
from ops.takeover import make_current

ANSWER_S = 30.0

Asked = TypeVar("Asked", bound=Instruction)


class Outcome(NamedTuple):
    """Where an instruction stands, and what the engine answered."""

    instruction_id: str
    tape: str  # tape:1234
    ledger: str  # main:567; "": no engine has decided yet
    applied: bool
    reason: str  # of a refusal, or why there is no answer


def said(kind: type[Asked], **content: Any) -> Asked:
    """An instruction of a person; the sequencer stamps the time. Raises InvalidInput naming what is wrong with it."""
    try:
        return kind(id=f"cli-{uuid.uuid4().hex}", actor=who(), authority="operator", occurred_at_ns=0, **content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0]).removesuffix("_nanos")
        raise InvalidInput(f"{field} {problem['input']!r}: {problem['msg']}") from None


def as_text(typed: str) -> str:
    """What a person typed, with a question mark for every byte that is no text."""
    return typed.encode("utf-8", "replace").decode()


def who() -> str:
    """The account of the person at the command line."""
    try:
        return as_text(getpass.getuser())
    except (KeyError, OSError, ImportError):  # an account without a name, as containers have it
        return f"uid-{os.getuid()}"


def order_requested(terms: Mapping[str, Any]) -> OrderRequested:
    """An order as a person types it: symbol, side, type, lots, and prices as decimals. Raises InvalidInput."""
    instrument = instrument_for(terms["symbol"])
    prices = {name: terms.get(name) for name in ("limit", "trigger", "stop", "target")}
    quantity_nanos = nanos_of("lots", terms["lots"], instrument.contract_size)
    refuse_oversized(instrument, quantity_nanos)
    return said(
        OrderRequested,
        symbol=instrument.symbol,
        side=terms["side"],
        type=terms["type"],
        quantity_nanos=quantity_nanos,
        time_in_force=terms["time_in_force"],
        expires_at_ns=terms["expires_at_ns"],
        **{f"{name}_nanos": nanos_of(name, price) for name, price in prices.items() if price is not None},
    )


def refuse_impossible(instruction: Instruction) -> None:
    """Refuse at the tape's door what no engine could fold or trade: a tape keeps it for ever. Raises InvalidInput."""
    if isinstance(instruction, StrategyActivated):
        handler, parameters, _ = prepare(instruction.strategy, instruction.version, dict(instruction.parameters))
        for symbol in instruction.symbols:
            handler.initial(parameters, instrument_for(symbol))
    elif isinstance(instruction, OrderRequested):
        refuse_oversized(instrument_for(instruction.symbol), instruction.quantity_nanos)


async def instruct(
    log: JetStreamLog,
    desk: str,
    instruction: Instruction,
    latch: HaltLatch,
    *,
    also_resting: bool = True,
    answer_s: float = ANSWER_S,
) -> Outcome:
    """Put an instruction on a desk's tape and wait for the engine's answer, at most `answer_s`.

    The running desk is asked; where its engine does not decide, there is no answer yet. If no desk runs, this process
    writes the tape and decides on it, unless `also_resting` is False. An id that was said before has its answer
    already. Raises InvalidInput for a desk without a tape, Conflict when the desk starts at this moment, Unavailable.
    """
    refuse_impossible(instruction)
    if await is_running(log.connection, desk, "ws"):
        ordinal, decided = await send_command(log.connection, desk, instruction), False
    elif also_resting:
        ordinal, decided = await _instruct_resting(log, desk, instruction, latch)
    else:
        raise Unavailable(f"nobody writes the tape of desk {desk}{await _others(log, desk)}")
    undecided = Outcome(instruction.id, on_tape(ordinal), "", False, "no engine runs: it decides when it starts")
    if not decided:
        if not await is_running(log.connection, desk, "core"):
            return undecided
        try:
            async with asyncio.timeout(answer_s):
                await ask_reached(log.connection, desk, ordinal)
        except TimeoutError:
            return undecided._replace(reason=f"no engine decided on it within {answer_s:g} s; see `cdb status`")
    return await _answer(log, desk, instruction)


async def _others(log: JetStreamLog, desk: str) -> str:
    """What to say about a desk that may be mistyped."""
    tapes = [subject.removeprefix("tape.") for subject in await log.subjects("tape.*")]
    return "" if desk in tapes else f", which has no tape yet; there are {', '.join(tapes) or 'none'}"


async def _instruct_resting(
    log: JetStreamLog, desk: str, instruction: Instruction, latch: HaltLatch
) -> tuple[int, bool]:
    """Write it as the desk's own services would, in their place; the ordinal, and whether it is decided on. A halt that
    waits goes first, as it was said first; a resume would end it before anybody was shown what it says."""
    tape = StoredTape(log, desk)
    async with AsyncExitStack() as places:
        await places.enter_async_context(only_one(log.connection, desk, "ws"))
        if not (await tape.end()).ordinal:
            raise InvalidInput(f"desk {desk} has no tape yet: give it a feed first (`cdb up --feed ...`)")
        await make_current(log, tape)
        async with Sequencer.open(tape) as sequencer:
            if not sequencer.standing.engine:
                raise InvalidInput(f"tape {desk!r} is a dataset, no desk decides on it; `cdb tapes` lists the tapes")
        if isinstance(instruction, TradingResumed):
            _refuse_latched(desk, latch)
        else:
            await put_latched(tape, latch)
        async with Sequencer.open(tape) as sequencer:
            ordinal = await sequencer.submit(instruction)
        if await is_running(log.connection, desk, "core"):
            return ordinal, False
        await places.enter_async_context(only_one(log.connection, desk, "core"))
        await Core(log, desk, tape).run(until=ordinal)
    return ordinal, True


def _refuse_latched(desk: str, latch: HaltLatch) -> None:
    if waiting := latch.pending():
        raise InvalidInput(
            f"desk {desk} is not resumed while a halt waits in {latch.path} ({waiting.actor}: {waiting.reason}): start "
            "the desk (`cdb up`), which records it, then `cdb resume` asks anew and shows it"
        )


async def _answer(log: JetStreamLog, desk: str, instruction: Instruction) -> Outcome:
    """What the ledger says about an instruction that was decided on, now or when it was said first. Raises InvalidInput
    when another kind of instruction had this id before: then this one is a repetition, and nothing happened."""
    wanted, reader = b'"instruction_id":' + to_json(instruction.id), LedgerReader(log, desk)
    [recorded] = await reader.newest(0, await reader.end(), 1, lambda line: wanted in line)
    event = reader.event(recorded)
    assert isinstance(event, InstructionApplied | InstructionRefused)
    if event.kind != instruction.kind:
        raise InvalidInput(
            f"id {instruction.id!r} was that of a {event.kind} at {on_tape(event.ordinal)}, so this {instruction.kind} "
            "changed nothing; say it under another id"
        )
    return Outcome(
        event.instruction_id,
        on_tape(event.ordinal),
        position(desk, event.number),
        isinstance(event, InstructionApplied),
        event.reason if isinstance(event, InstructionRefused) else "",
    )
