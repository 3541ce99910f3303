"""How long a server waits for a client who takes nothing of its answer: what waits for him is memory of ours."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE_S = 30.0


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
