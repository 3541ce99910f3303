"""The circuit breaker: it opens, tries again and closes as counted, and never stands in the way of a halt."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.breaker import BOUNDS, Breaker, Change, GuardedLog
from adapters.memory import MemoryLog
from domain.errors import Conflict, Diverged, InvalidInput, Overlap, TapeBroken, Unavailable
from domain.ports import Append, Message
from tests.logs import Wrapped

AWAY = Unavailable("no answer")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class AgainstItsModel(RuleBasedStateMachine):
    """Calls overlap as they like; the model is the table of a circuit breaker and nothing else."""

    @initialize(failures=st.integers(1, 4), open_seconds=st.integers(1, 5), successes=st.integers(1, 4))
    def make(self, failures: int, open_seconds: int, successes: int) -> None:
        self.clock, self.told, self.expected = Clock(), [], []
        self.limits = failures, open_seconds, successes
        self.breaker = Breaker(
            "nats", failures=failures, open_seconds=open_seconds, successes=successes, clock=self.clock,
            on_change=lambda change: self.told.append(change.state),
        )  # fmt: skip
        self.calls: list[tuple[AbstractContextManager[None], int]] = []
        self.state, self.fails, self.passes, self.opened_at, self.changes = "closed", 0, 0, 0.0, 0

    def become(self, state: str) -> None:
        self.state, self.fails, self.passes = state, 0, 0
        self.opened_at = self.clock.now
        self.changes += 1
        self.expected.append(state)

    def fail(self) -> None:
        if self.state == "open":
            return
        self.fails += 1
        if self.state == "half_open" or self.fails == self.limits[0]:
            self.become("open")

    @rule(refusable=st.booleans())
    def begin(self, refusable: bool) -> None:
        call = self.breaker.guard() if refusable else self.breaker.watch()
        if refusable and self.state == "open" and self.clock.now - self.opened_at >= self.limits[1]:
            self.become("half_open")
        trying = sum(era == self.changes for _, era in self.calls)
        refused = self.state == "open" or (self.state == "half_open" and trying >= self.limits[2])
        if refusable and refused:
            with pytest.raises(Unavailable, match=r"^nats is not asked"):
                call.__enter__()
        else:
            call.__enter__()
            self.calls.append((call, self.changes))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100), outcome=st.sampled_from(["success", "failure", "callers fault", "cancelled"]))
    def finish(self, which: int, outcome: str) -> None:
        call, era = self.calls.pop(which % len(self.calls))
        errors: dict[str, BaseException] = {
            "failure": AWAY,
            "callers fault": Conflict("first"),
            "cancelled": asyncio.CancelledError(),
        }
        error = errors.get(outcome)
        assert not call.__exit__(type(error) if error else None, error, None)
        if era != self.changes:
            return
        if outcome == "failure":
            self.fail()
        elif outcome == "success" and self.state != "open":
            self.fails, self.passes = 0, self.passes + 1
            if self.state == "half_open" and self.passes == self.limits[2]:
                self.become("closed")

    @rule()
    def fail_outside_of_a_call(self) -> None:
        self.breaker.failed(AWAY)
        self.fail()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state == self.state
        assert self.told == self.expected


AgainstItsModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTheBreakerDoesWhatItsModelDoes = AgainstItsModel.TestCase


def opened(breaker: Breaker, error: Exception = AWAY) -> Breaker:
    while breaker.state != "open":
        breaker.failed(error)
    return breaker


async def test_by_default_five_failures_open_it_for_thirty_seconds_and_three_successes_close_it() -> None:
    clock, changes = Clock(), list[Change]()
    breaker = Breaker("postgres", clock=clock, on_change=changes.append)
    asked = 0

    async def ask(error: Exception | None = None) -> str:
        nonlocal asked
        asked += 1
        if error:
            raise error
        return "answer"

    for _ in range(5):
        with pytest.raises(ConnectionError):
            await breaker.call(lambda: ask(ConnectionError("refused")))
    clock.now += 29.5
    with pytest.raises(Unavailable, match=r"postgres .* 5 failures .* ConnectionError: refused; .* again in 1 s"):
        await breaker.call(ask)
    assert asked == 5
    clock.now += 0.5
    assert [await breaker.call(ask) for _ in range(3)] == ["answer"] * 3
    assert [change.state for change in changes] == ["open", "half_open", "closed"]
    assert changes[0] == Change("postgres", "open", 5, "ConnectionError: refused", 30.0)


@pytest.mark.parametrize("error", [InvalidInput("x"), Conflict("x"), Overlap("x"), TapeBroken("x"), None])
def test_what_the_caller_did_wrong_opens_nothing(error: Exception | None) -> None:
    breaker = Breaker("nats", failures=1)
    with pytest.raises((InvalidInput, Conflict, Overlap, TapeBroken, Diverged)), breaker.guard():
        raise error or Diverged(1, "tape:1", None, "x")
    assert breaker.state == "closed"


def test_a_dependency_may_have_errors_of_its_own_that_are_the_callers_fault() -> None:
    breaker = Breaker("postgres", failures=1, callers_fault=(KeyError,))
    breaker.failed(KeyError("no such row"))
    assert breaker.state == "closed"
    breaker.failed(Conflict("counts here"))
    assert breaker.state == "open"


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("beyond", ["below", "above", math.nan, math.inf, 0, -1])
def test_no_bound_lets_it_be_switched_off(name: str, beyond: Any) -> None:
    low, high = BOUNDS[name]
    value = {"below": low - 0.5, "above": high + 1}.get(beyond, beyond)
    with pytest.raises(InvalidInput, match=f"breaker nats: {name}"):
        Breaker("nats", **{name: value})


class Away(Wrapped):
    """A log that counts what it is asked, and answers nothing while it is away."""

    def __init__(self) -> None:
        super().__init__(MemoryLog())
        self.away, self.asked = False, 0

    def __getattr__(self, name: str) -> Any:
        async def answer(*arguments: Any) -> Any:
            self.asked += 1
            if self.away:
                raise AWAY
            return await getattr(self.log, name)(*arguments)

        return answer

    async def read(self, *arguments: Any) -> AsyncGenerator[list[Message], None]:
        if self.away:
            raise AWAY
        async for page in self.log.read(*arguments):
            yield page

    follow = read


EVENT = Append("ledger.main", b"event", {}, 0)
ASKS: dict[str, Any] = {
    "append": lambda log, stream: log.append(EVENT._replace(subject=f"{stream}.main")),
    "append_batch": lambda log, _: log.append_batch([EVENT]),
    "last": lambda log, stream: log.last(f"{stream}.main"),
    "get": lambda log, stream: log.get(f"{stream}.main", 1),
    "head": lambda log, _: log.head("LEDGER"),
    "subjects": lambda log, _: log.subjects("ledger.*"),
    "read": lambda log, stream: anext(log.read(f"{stream}.main")),
    "follow": lambda log, stream: anext(log.follow(f"{stream}.main")),
}


@pytest.mark.parametrize("ask", ASKS)
async def test_every_failure_of_the_log_counts(ask: str) -> None:
    log = Away()
    log.away = True
    breaker = Breaker("nats", failures=2)
    guarded = GuardedLog(log, breaker)
    for _ in range(2):
        assert breaker.state == "closed"
        with pytest.raises(Unavailable, match="no answer"):
            await ASKS[ask](guarded, "ledger")
    assert breaker.state == "open"


@pytest.mark.parametrize("ask", sorted(set(ASKS) - {"read", "follow"}))
async def test_an_open_breaker_does_not_ask_the_log(ask: str) -> None:
    log, breaker = Away(), opened(Breaker("nats"))
    with pytest.raises(Unavailable, match="nats is not asked"):
        await ASKS[ask](GuardedLog(log, breaker), "ledger")
    assert log.asked == 0


async def test_no_breaker_stands_in_the_way_of_a_halt() -> None:
    """A halt is an instruction on the tape: its writer reads the tape's end, walks back and appends."""
    log, breaker = Away(), opened(Breaker("nats"))
    guarded = GuardedLog(log, breaker)
    assert await guarded.last("tape.main") is None
    sequence = await guarded.append(Append("tape.main", b"halt", {}, 0))
    assert (await guarded.get("tape.main", 1)).data == b"halt"
    assert [m.data async for page in guarded.read("tape.main") for m in page] == [b"halt"]
    assert sequence == 1
    assert breaker.state == "open"


async def test_a_healthy_log_is_the_same_behind_a_breaker() -> None:
    log = MemoryLog()
    guarded = GuardedLog(log, Breaker("nats"))
    assert await guarded.append(EVENT) == 1
    with pytest.raises(Conflict):
        await guarded.append(EVENT)
    stored = await guarded.last("ledger.main")
    assert stored == await log.last("ledger.main") == await guarded.get("ledger.main", 0)
    assert [page async for page in guarded.read("ledger.main", 0, 1)] == [[stored]]
    assert (await guarded.head("LEDGER"), await guarded.subjects("ledger.*")) == (1, ["ledger.main"])
    following = guarded.follow("ledger.main")
    assert await anext(following) == [stored]
    await following.aclose()
