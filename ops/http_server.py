"""An HTTP server in a process that does more than serve: signals are not its own, and it waits for no client for long,
neither while it runs (what waits for one is memory of ours) nor when it ends."""

import asyncio
import socket
from contextlib import nullcontext

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE_S = 30.0
END_S = 1.0  # for answers that are under way; streams have no end of their own
GIVE_UP_S = 3  # for work whose client is gone


class Server(uvicorn.Server):
    """Configure it with `timeout_graceful_shutdown=GIVE_UP_S`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # Ctrl-C is the command's

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers come to their end for END_S, then cut every connection: whoever works for one hears of it."""
        cutting = asyncio.get_running_loop().call_later(END_S, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


async def served(server: Server, listener: socket.socket) -> None:
    """Run a server until it ends; however it ends, nobody is answered any more."""
    try:
        await server.serve([listener])
    except (Exception, asyncio.CancelledError):
        if server.started:  # its own loop ended, those that accept for it did not
            await server.shutdown([listener])
        raise


class PatientProtocol(HttpToolsProtocol):
    """A connection that is cut when its answer waits and nothing of it was taken for PATIENCE_S: whoever reads a stream
    comes again with the last id that he has. A slow one who takes something goes on."""

    _waiting: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More waits than a client should let wait."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """He took it."""
        self._wait_no_more()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._waiting = self.loop.call_later(PATIENCE_S, self._look, left)

    def _look(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._wait()
        else:
            self.transport.abort()

    def _wait_no_more(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None
