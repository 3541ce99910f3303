"""Commands to governance, by request and reply on core NATS: `cmd.governance.<command>` of the desk's own, and
`cmd.governance.agent.<command>` of whoever holds an agent's credentials; the server's permissions tell them apart.

A request is `{"actor": ..., "role": ..., "content": {...}}`, the reply `{"answer": {...}}` or `{"error": ..., "code":
..., "message": ...}`. Nothing here is durable: who gets no answer asks again, and what stands is not done twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from nats.aio.msg import Msg
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters import subjects
from adapters.commands import INBOX
from adapters.connection import Connection, Lost
from domain import errors
from domain.errors import DeskError, InvalidInput, Refused, Unavailable

log = logging.getLogger("cdb.governance")

SERVICE, AGENT = "governance", "agent"
MAX_BYTES = 960 << 10  # below the server's largest message
MAX_WAITING = 100
ANSWER_S = 60.0  # a command may wait for the engine, for git and for a forge


class Request(BaseModel):
    """Who asks for what. `actor` empty: the person at the machine, which no agent's request may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9_.@ -]*$")
    role: str = Field("", max_length=64)
    content: dict[str, Any] = Field(default_factory=dict)


class _Reply(BaseModel):
    answer: dict[str, Any] | None = None
    error: str = ""
    code: str = ""
    message: str = ""


Handle = Callable[[str, bool, Request], Awaitable[Mapping[str, Any]]]  # the command, is it an agent's, the request


async def ask_governance(
    connection: Connection, command: str, request: Request, timeout_s: float = ANSWER_S
) -> Mapping[str, Any]:
    """The answer of the governance service. Raises what it refused with; Unavailable when nobody answers."""
    subject, data = subjects.command(SERVICE, command), request.model_dump_json().encode()
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{subject}: {len(data):,} bytes, a command has at most {MAX_BYTES:,}: split it")
    try:
        message = await connection.ask(subject, data, timeout_s=timeout_s)
    except Lost as lost:
        raise Unavailable(f"governance did not answer {command} ({lost}); see that it runs, and ask again") from None
    try:
        reply = _Reply.model_validate_json(message.data)
    except ValidationError:
        raise DeskError(f"{subject} answered {message.data[:80]!r}: that is no governance; see who serves it") from None
    if reply.answer is not None:
        return reply.answer
    if reply.error == Refused.__name__:
        raise Refused(reply.code, reply.message)
    raise _RAISED.get(reply.error, DeskError)(reply.message)


@contextlib.asynccontextmanager
async def serve_governance(connection: Connection, handle: Handle) -> AsyncIterator[None]:
    """Give `handle` every command until the block is left, and answer what comes of it."""
    answering: set[asyncio.Task[None]] = set()

    async def take(message: Msg) -> None:
        if not message.reply.startswith(INBOX):  # we would publish there with our own permissions
            log.warning(
                "a command on %s wants its answer on %r, which is no inbox: dropped", message.subject, message.reply
            )
            return
        command, agents = message.subject.rpartition(".")[2], message.subject.split(".")[2] == AGENT
        task = asyncio.create_task(_answer(connection, message, command, agents, handle, len(answering) >= MAX_WAITING))
        answering.add(task)
        task.add_done_callback(answering.discard)

    async with contextlib.AsyncExitStack() as stack:
        for subject in (subjects.commands(SERVICE), subjects.commands(SERVICE, AGENT)):
            await stack.enter_async_context(connection.serving(subject, take))
        try:
            yield
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)


async def _answer(connection: Connection, message: Msg, command: str, agents: bool, handle: Handle, busy: bool) -> None:
    try:
        if busy:
            raise Unavailable(f"{MAX_WAITING} commands wait already: ask again in a moment")
        reply = _Reply(answer=dict(await handle(command, agents, _request(message))))
    except asyncio.CancelledError:
        reply = _refusal(Unavailable("governance is being stopped; ask again"))
    except DeskError as error:
        reply = _refusal(error)
    except Exception as error:
        log.exception("the command on %s failed", message.subject)
        reply = _refusal(DeskError(f"{message.subject} failed: {type(error).__name__}; the service's log says more"))
    with contextlib.suppress(Lost):  # the sender asks again
        await connection.publish(message.reply, _written(reply, command))


def _written(reply: _Reply, command: str) -> bytes:
    """A reply that the server carries."""
    data = reply.model_dump_json(exclude_defaults=True).encode()
    if len(data) <= MAX_BYTES:
        return data
    too_large = InvalidInput(
        f"the answer to {command} has {len(data):,} bytes, at most {MAX_BYTES:,} are sent: ask for one proposal or one "
        "run by its name"
    )
    return _refusal(too_large).model_dump_json(exclude_defaults=True).encode()


def _request(message: Msg) -> Request:
    """Raises InvalidInput."""
    if len(message.data) > MAX_BYTES:
        raise InvalidInput(f"{message.subject}: {len(message.data):,} bytes, at most {MAX_BYTES:,}: split it")
    try:
        return Request.model_validate_json(message.data)
    except ValidationError as error:
        raise InvalidInput(f"{message.subject}: {problem(error)}") from None


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, in a sentence that names the field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the body'}: {first['msg'][:500]}"


def _refusal(error: DeskError) -> _Reply:
    known = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return _Reply(
        error=known, code=getattr(error, "code", "") if isinstance(error, Refused) else "", message=str(error)
    )


# Those that can be raised again from their message alone.
_RAISED: dict[str, type[DeskError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, DeskError) and kind.__init__ is DeskError.__init__
}
