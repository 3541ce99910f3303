"""What the services of a desk ask each other over core NATS: who runs one already, and how far the engine has come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from adapters import subjects
from adapters.commands import INBOX
from adapters.connection import Connection, Lost
from domain.errors import Conflict

SERVICE, NAME = "core", "reached"
HERE = "here"
ASK_S = 2.0  # an answer may take as long as the engine needs; then it is asked again

Reached = Callable[[int], Awaitable[None]]  # returns when every decision up to a tape ordinal is durable


# -- who runs a service ----------------------------------------------------------------------------------------------


async def is_running(connection: Connection, desk: str, service: str) -> bool:
    """Whether a process runs this service of a desk; one that is too busy to answer does. Raises Unavailable."""
    subject = subjects.command(service, HERE, desk)

    async def ask() -> bool:
        try:
            await connection.client.request(subject, b"", timeout=ASK_S)
        except NoRespondersError:
            return False
        except NatsTimeoutError:
            return True
        except NatsError as error:
            raise Lost(str(error)) from None
        return True

    return await connection.retry(f"asking who runs {service} of desk {desk}", ask)


@contextlib.asynccontextmanager
async def only_one(connection: Connection, desk: str, service: str) -> AsyncIterator[None]:
    """Be the process that runs this service of a desk, for as long as the block lasts. Raises Conflict when another
    one does; of two that come at the same moment, the expected sequence of what they write decides."""
    if await is_running(connection, desk, service):
        raise Conflict(
            f"desk {desk}: another process runs its service {service}; nothing was done. Stop that one first, or use "
            "another desk (--desk NEW)"
        )

    async def here(message: Msg) -> None:
        await _reply(connection, message)

    async with connection.serving(subjects.command(service, HERE, desk), here):
        await is_running(connection, desk, service)  # by our own question we know that the next one finds us
        yield


# -- how far the engine has come -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serve_reached(connection: Connection, desk: str, reached: Reached) -> AsyncIterator[None]:
    """Answer whoever asks, as soon as the ordinal in the question is reached."""
    answering: set[asyncio.Task[None]] = set()

    async def answer(message: Msg) -> None:
        with contextlib.suppress(ValueError):
            await reached(int(message.data))
            await _reply(connection, message)

    async def take(message: Msg) -> None:
        task = asyncio.create_task(answer(message))
        answering.add(task)
        task.add_done_callback(answering.discard)

    async with connection.serving(subjects.command(SERVICE, NAME, desk), take):
        try:
            yield
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)


async def ask_reached(connection: Connection, desk: str, ordinal: int, again_s: float = 0.2) -> None:
    """Wait until the engine of a desk has reached an ordinal; while no engine runs, the backlog waits with us."""
    while True:
        try:
            await connection.ask(subjects.command(SERVICE, NAME, desk), str(ordinal).encode(), timeout_s=ASK_S)
        except Lost:
            await asyncio.sleep(again_s)
        else:
            return


async def _reply(connection: Connection, message: Msg) -> None:
    """Give a question back as its answer; to an inbox only, for we could write into a stream."""
    with contextlib.suppress(Lost):  # whoever asked asks again
        if message.reply.startswith(INBOX):
            await connection.publish(message.reply, message.data)
