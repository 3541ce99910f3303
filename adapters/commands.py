"""Instructions from outside, by request and reply on core NATS: `cmd.tape.<desk>.<kind>`, a subject per kind so that
permissions can tell them apart.

A request is the instruction's JSON; the reply is `{"ordinal": n}` when it stands on the tape, or `{"error": ...,
"message": ...}`. Nothing here is durable but the tape: who gets no answer sends the same id again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from adapters import subjects
from adapters.connection import Connection, Lost
from domain import errors
from domain.errors import DeskError, InvalidInput, Unavailable
from domain.instructions import INSTRUCTION, Instruction

log = logging.getLogger("cdb.commands")

SERVICE = "tape"
MAX_BYTES = 512 << 10
MAX_WAITING = 1_000
INBOX = ("_INBOX.", "_R_.")  # a client's own; the server's for one of another account, which no client can forge

# The others are the sequencer's own notes.
FROM_OUTSIDE = frozenset(
    "account_opened policy_activated strategy_activated strategy_deactivated calendar_imported trading_halted "
    "trading_resumed order_requested cancel_requested signal_submitted".split()
)

Handle = Callable[[Instruction], Awaitable[int]]  # puts an instruction on the tape; its ordinal when it is durable


class _Reply(BaseModel):
    ordinal: int = 0
    error: str = ""
    message: str = ""


async def send_command(connection: Connection, desk: str, instruction: Instruction, timeout_s: float = 5.0) -> int:
    """Put an instruction on a desk's tape by its sequencer; the ordinal when it is durable.

    Raises Unavailable when nobody answers in time, and what the sequencer refused it with.
    """
    subject, data = subjects.command(SERVICE, instruction.kind, desk), instruction.model_dump_json().encode()
    _refuse_large(subject, data)
    try:
        answer = await connection.ask(subject, data, timeout_s=timeout_s)
    except Lost as lost:
        raise Unavailable(
            f"desk {desk}: {instruction.kind} {instruction.id} was not confirmed ({lost}). See that the desk is up and "
            "send it again with the same id: what stands already is not done twice"
        ) from None
    try:
        reply = _Reply.model_validate_json(answer.data)
    except ValidationError:
        raise DeskError(f"{subject} answered {answer.data[:80]!r}: that is no sequencer; see who serves it") from None
    if reply.error:
        raise _REFUSALS.get(reply.error, DeskError)(reply.message)
    return reply.ordinal


@contextlib.asynccontextmanager
async def serve_commands(connection: Connection, desk: str, handle: Handle) -> AsyncIterator[None]:
    """Give `handle` every command for a desk until the block is left, and answer what comes of it.

    Commands are handled side by side, so that none waits for another to be durable before it can be put in line.
    """
    answering: set[asyncio.Task[None]] = set()

    async def take(message: Msg) -> None:
        # We would publish our answer there with our own permissions, into a stream even.
        if message.reply and not message.reply.startswith(INBOX):
            log.warning(
                "a command on %s wants its answer on %s, which is no inbox: dropped", message.subject, message.reply
            )
            return
        busy = len(answering) >= MAX_WAITING and not message.subject.endswith(".trading_halted")
        task = asyncio.create_task(_answer(connection, message, _busy if busy else handle))
        answering.add(task)
        task.add_done_callback(answering.discard)

    async with connection.serving(subjects.commands(SERVICE, desk), take):
        try:
            yield
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)


async def _busy(instruction: Instruction) -> int:
    raise Unavailable(f"{MAX_WAITING} commands wait already: send {instruction.id} again in a moment")


async def _answer(connection: Connection, message: Msg, handle: Handle) -> None:
    try:
        reply = _Reply(ordinal=await handle(_instruction(message)))
    except asyncio.CancelledError:
        await _reply(
            connection, message, _refusal(Unavailable(f"{message.subject} is being stopped; send the same again"))
        )
        raise
    except DeskError as error:
        reply = _refusal(error)
    except Exception as error:
        log.exception("the command on %s failed", message.subject)
        reply = _refusal(DeskError(f"{message.subject} failed in the desk: {type(error).__name__}; its log says more"))
    await _reply(connection, message, reply)


def _instruction(message: Msg) -> Instruction:
    """What a message asks for. Raises InvalidInput."""
    kind = message.subject.rpartition(".")[2]
    if kind not in FROM_OUTSIDE:
        raise InvalidInput(f"{message.subject}: {kind!r} is no command; there are {', '.join(sorted(FROM_OUTSIDE))}")
    _refuse_large(message.subject, message.data)
    try:
        instruction = INSTRUCTION.validate_json(message.data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise InvalidInput(f"{message.subject}: {field}: {problem['msg'][:500]}") from None
    if instruction.kind != kind:
        raise InvalidInput(f"{message.subject}: the body is of kind {instruction.kind!r}; send it on its own subject")
    return instruction


def _refuse_large(subject: str, data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{subject}: {len(data):,} bytes, a command has at most {MAX_BYTES:,}: split it")


def _refusal(error: DeskError) -> _Reply:
    known = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return _Reply(error=known, message=str(error))


async def _reply(connection: Connection, message: Msg, reply: _Reply) -> None:
    with contextlib.suppress(Lost):  # the sender asks again
        if message.reply:
            await connection.publish(message.reply, reply.model_dump_json(exclude_defaults=True).encode())


# Those that can be raised again from their message alone.
_REFUSALS: dict[str, type[DeskError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, DeskError) and kind.__init__ is DeskError.__init__
}
