"""The circuit breaker around an outside dependency, and the log behind one.

Closed, every call goes through; so many failures in a row open it, and calls are refused at once. After a while it is
half open: a few calls at a time go through, enough successes in a row close it, one failure opens it again.
"""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Literal, NamedTuple, TypeVar

from adapters.subjects import TAPE, matches
from domain.errors import Conflict, Diverged, InvalidInput, Overlap, TapeBroken, Unavailable
from domain.ports import Append, Log, Message

BOUNDS = {"failures": (1, 100), "open_seconds": (1, 600), "successes": (1, 100)}  # none of them switches it off
CALLERS_FAULT = (InvalidInput, Overlap, Conflict, TapeBroken, Diverged)  # the dependency answered, or was never asked

State = Literal["closed", "open", "half_open"]
T = TypeVar("T")


class Change(NamedTuple):
    """A breaker's new state. `failures` in a row, `last_error` and `open_seconds` tell why and how long it is open."""

    dependency: str
    state: State
    failures: int
    last_error: str
    open_seconds: float


class Breaker:
    """One dependency's breaker; for the calls of one event loop. `clock` is in seconds and never goes back.

    Errors of `callers_fault` say nothing about the dependency, a cancelled call neither; every other error counts.
    For asyncpg add its DataError, IntegrityConstraintViolationError and SyntaxOrAccessError.
    """

    def __init__(
        self,
        dependency: str,
        *,
        failures: int = 5,
        open_seconds: float = 30.0,
        successes: int = 3,
        callers_fault: tuple[type[Exception], ...] = CALLERS_FAULT,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        for name, value in (("failures", failures), ("open_seconds", open_seconds), ("successes", successes)):
            low, high = BOUNDS[name]
            if not low <= value <= high:
                raise InvalidInput(f"breaker {dependency}: {name} {value} is not within {low} to {high}; correct it")
        self.dependency = dependency
        self.state: State = "closed"
        self._failures_to_open, self._open_seconds, self._successes_to_close = failures, open_seconds, successes
        self._callers_fault, self._clock, self._on_change = callers_fault, clock, on_change
        self._failures = self._successes = self._trying = 0
        self._last_error = ""
        self._retry_at = 0.0
        self._era = 0  # grows with every change of state: an answer to a call of an earlier state tells nothing

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation behind the breaker. Raises Unavailable without running it while the breaker is open."""
        with self.guard():
            return await operation()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Hold one call. Raises Unavailable, naming dependency, last error and next try, while the breaker is open."""
        self._admit()
        with self.watch():
            yield

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count one call's outcome, but never refuse it."""
        era = self._era
        self._trying += 1
        try:
            yield
        except Exception as error:
            if era == self._era:
                self.failed(error)
            raise
        else:
            if era == self._era:
                self._succeeded()
        finally:
            if era == self._era:
                self._trying -= 1

    def failed(self, error: Exception) -> None:
        """Count an error that a call outside of `guard` ended with."""
        if isinstance(error, self._callers_fault) or self.state == "open":
            return
        self._last_error = f"{type(error).__name__}: {error}"
        self._failures += 1
        if self.state == "half_open" or self._failures >= self._failures_to_open:
            self._retry_at = self._clock() + self._open_seconds
            self._become("open")

    def _succeeded(self) -> None:
        if self.state == "open":
            return
        self._failures = 0
        self._successes += 1
        if self.state == "half_open" and self._successes >= self._successes_to_close:
            self._become("closed")

    def _admit(self) -> None:
        if self.state == "open":
            wait = self._retry_at - self._clock()
            if wait > 0:
                raise self._refusal(f"it is tried again in {math.ceil(wait)} s")
            self._become("half_open")
        if self.state == "half_open" and self._trying >= self._successes_to_close:
            raise self._refusal(f"{self._trying} calls are trying it now; ask again")

    def _become(self, state: State) -> None:
        self.state = state
        self._era += 1
        self._successes = self._trying = 0
        if self._on_change:
            self._on_change(Change(self.dependency, state, self._failures, self._last_error, self._open_seconds))

    def _refusal(self, next_try: str) -> Unavailable:
        return Unavailable(
            f"{self.dependency} is not asked: its breaker opened after {self._failures} failures in a row, "
            f"the last one {self._last_error}; {next_try}"
        )


class GuardedLog:
    """domain.ports.Log behind a breaker.

    What concerns a tape is counted but never refused: halts and the emergency stop travel on it, and nothing may stand
    in their way. `read` and `follow` pass through as well, and only their failures count.
    """

    def __init__(self, log: Log, breaker: Breaker) -> None:
        self._log, self._breaker = log, breaker

    async def append(self, message: Append) -> int:
        with self._guard(message.subject):
            return await self._log.append(message)

    async def append_batch(self, messages: Sequence[Append]) -> int:
        with self._breaker.guard():
            return await self._log.append_batch(messages)

    async def last(self, subject: str) -> Message | None:
        with self._guard(subject):
            return await self._log.last(subject)

    async def get(self, subject: str, sequence: int) -> Message | None:
        with self._guard(subject):
            return await self._log.get(subject, sequence)

    async def head(self, stream: str) -> int:
        with self._breaker.guard():
            return await self._log.head(stream)

    async def subjects(self, pattern: str) -> list[str]:
        with self._breaker.guard():
            return await self._log.subjects(pattern)

    def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        return self._counted(self._log.read(subject, after, until))

    def follow(self, subject: str, after: int = 0) -> AsyncGenerator[list[Message], None]:
        return self._counted(self._log.follow(subject, after))

    def _guard(self, subject: str) -> AbstractContextManager[None]:
        return self._breaker.watch() if matches(TAPE.subjects, subject) else self._breaker.guard()

    async def _counted(self, pages: AsyncGenerator[list[Message], None]) -> AsyncGenerator[list[Message], None]:
        async with aclosing(pages):
            try:
                async for page in pages:
                    yield page
            except Exception as error:
                self._breaker.failed(error)
                raise
