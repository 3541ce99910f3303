"""What stands at one place of a desk's tape: a record with symbol, file and line, or an instruction with its actor."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from adapters.tape_log import StoredTape
from domain.errors import InvalidInput
from domain.instructions import AccountOpened, FeedCompleted, FeedOpened, Instructed, Instruction, InstrumentDeclared
from domain.ports import Log
from domain.tape import Block
from ops.ledger_rows import instruction_row, on_tape, record_row


async def must_stand(log: Log, tape: StoredTape) -> None:
    """A mistyped desk is not an empty one: raises InvalidInput for a tape that holds nothing, naming those that do."""
    if (await log.last(tape.subject)) is None:
        desks = [subject.removeprefix("tape.") for subject in await log.subjects("tape.*")]
        raise InvalidInput(
            f"no tape is named {tape.name!r}; there are {', '.join(desks) or 'none: `cdb run` makes one'}"
        )


async def row_at(tape: StoredTape, ordinal: int) -> dict[str, Any]:
    """The row of a place. One that the tape does not have (any more) is of type `missing`."""
    async with aclosing(tape.read(ordinal - 1)) as pages:
        page: list[Block | Instructed] = await anext(pages, [])
    match page:
        case [Instructed(ordinal=at, instruction=instruction), *_] if at == ordinal:
            return instruction_row(ordinal, instruction, tape.name)
        case [Block(first=first, records=records), *_] if first == ordinal:
            return await _with_names(tape, record_row(ordinal, records[0], None), int(records[0]["instrument"]))
    return {"id": on_tape(ordinal), "type": "missing"}


async def account_currency(tape: StoredTape) -> str | None:
    """The currency of the desk's account; a second account is refused, so the first one counts."""
    currency = None
    async for _, instruction in _standing(tape):
        if isinstance(instruction, AccountOpened):
            currency = instruction.currency
    return currency


async def _with_names(tape: StoredTape, row: dict[str, Any], instrument: int) -> dict[str, Any]:
    """The symbol of a market tick, and the file that `reference` counts the lines of, when only one can be meant."""
    if row["type"] == "clock":
        return row
    ordinal, feed, over = int(row["id"].rpartition(":")[2]), None, False
    async for at, instruction in _standing(tape):
        if isinstance(instruction, InstrumentDeclared) and instruction.number == instrument:
            row["symbol"] = instruction.instrument.symbol
        elif at < ordinal and isinstance(instruction, FeedOpened | FeedCompleted) and feed is None and not over:
            over = isinstance(instruction, FeedCompleted)
            feed = instruction if isinstance(instruction, FeedOpened) else None
    names = [file.name for file in feed.files if file.symbol == row["symbol"]] if feed else []
    return row | {"file": names[0] if len(names) == 1 else None}


async def _standing(tape: StoredTape) -> AsyncIterator[tuple[int, Instruction]]:
    """The standing instructions with their ordinals, the newest first."""
    ordinal = (await tape.end()).standing
    while ordinal:
        at = ordinal
        instruction, ordinal = await tape.instruction(at)
        yield at, instruction
