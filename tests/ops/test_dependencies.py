"""What is asked from outside: a fault is met as the recovery table says, behind a breaker that nothing switches off."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.breaker import BOUNDS, CALLERS_FAULT, Breaker
from adapters.memory import MemoryLog
from adapters.subjects import snapshot
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Unavailable
from domain.ports import Append
from ops import dependencies
from ops.core import Core
from ops.dependencies import Dependency, OptionalSnapshots, breaker_of
from ops.plans import calendar_of, files_of
from ops.recovery import ComponentRecovery, RecoveryTable
from ops.settings import Settings
from tests import logs
from tests.ops.desks import DESK, LAST, LEDGER, ledger, write_quotes, write_tape

AWAY, BUG = Unavailable("away"), KeyError("a bug")


class Asked:
    """An operation that fails with these errors, one a time, and then answers 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.times = list(errors), 0

    async def __call__(self) -> int:
        self.times += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


class Desk:
    """One dependency of a desk whose pauses take no time; what is done about its faults is remembered."""

    def __init__(self, **recovery: str) -> None:
        self.pauses: list[float] = []
        self.restarts = 0
        self.halts: list[str] = []
        table = RecoveryTable(postgres=ComponentRecovery.model_validate(recovery))
        self.breaker = Breaker("postgres")
        self.dependency = Dependency(
            self.breaker, table, restart=self._restart, emergency_stop=self._halt, pause=self._pass
        )

    async def _pass(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def _restart(self) -> None:
        self.restarts += 1

    async def _halt(self, reason: str) -> None:
        self.halts.append(reason)


@pytest.mark.parametrize(("severity", "error"), [("medium", AWAY), ("high", BUG)], ids=["medium", "high"])
@pytest.mark.parametrize("recovery", ["retry", "fallback", "restart", "emergency_stop"])
async def test_what_the_table_says_is_what_is_done_about_a_dependency(
    severity: str, error: Exception, recovery: str
) -> None:
    desk, asked = Desk(**{severity: recovery}), Asked(error, error)
    if recovery == "emergency_stop":
        with pytest.raises(type(error)):
            await desk.dependency.ask(asked)
    else:
        assert await desk.dependency.ask(asked) == (None if recovery == "fallback" else 7)
    again = recovery in ("retry", "restart")
    assert asked.times == (3 if again else 1)
    assert desk.pauses == ([0.1, 0.2] if again else [])
    assert desk.restarts == (2 if recovery == "restart" else 0)
    assert desk.halts == ([f"postgres: {error}"] if recovery == "emergency_stop" else [])


@pytest.mark.parametrize("error", [kind.__new__(kind) for kind in CALLERS_FAULT])
async def test_what_the_caller_erred_in_is_neither_asked_again_nor_counted(error: Exception) -> None:
    desk, asked = Desk(), Asked(*[error] * 10)
    for _ in range(10):
        with pytest.raises(type(error)):
            await desk.dependency.ask(asked)
    assert (asked.times, desk.breaker.state, desk.pauses) == (10, "closed", [])


@pytest.mark.parametrize("recovery", ["retry", "restart"])
async def test_a_dependency_that_stays_away_is_left_alone_when_its_breaker_opens(recovery: str) -> None:
    desk, asked = Desk(medium=recovery), Asked(*[AWAY] * 99)
    with pytest.raises(Unavailable, match=r"^away$"):
        await desk.dependency.ask(asked)
    assert (asked.times, desk.breaker.state, desk.pauses) == (5, "open", [0.1, 0.2, 0.4, 0.8])
    with pytest.raises(Unavailable, match="postgres is not asked"):
        await desk.dependency.ask(asked)
    assert asked.times == 5


async def test_a_restart_that_fails_counts_as_a_failure() -> None:
    async def broken() -> None:
        raise Unavailable("no disk")

    breaker = Breaker("postgres")

    async def at_once(_: float) -> None:
        return

    dependency = Dependency(breaker, RecoveryTable(), restart=broken, pause=at_once)
    asked = Asked(AWAY)
    with pytest.raises(Unavailable, match="no disk"):
        await dependency.ask(asked)
    assert (asked.times, breaker.state) == (1, "open")


def test_a_dependency_without_a_line_in_the_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="component 'moon' has no recovery"):
        Dependency(Breaker("moon"), RecoveryTable())


@pytest.mark.parametrize("dependency", ["nats", "snapshots", "feeds", "calendar", "postgres"])
async def test_no_setting_and_no_table_turns_a_breaker_off(dependency: str) -> None:
    widest: dict[str, Any] = {f"breaker_{name}": high for name, (_, high) in BOUNDS.items()}
    for name, (low, high) in BOUNDS.items():
        for value in (low - 1, high + 1):
            with pytest.raises(ValueError, match=f"breaker_{name}"):
                Settings(**{f"breaker_{name}": value})
    breaker, asked = breaker_of(Settings(**widest), dependency), Asked(*[AWAY] * 1_000)
    for recovery in ("retry", "fallback", "restart"):
        table = RecoveryTable.changed(f"{dependency}.medium={recovery}")
        while breaker.state == "closed":
            await asked_once(Dependency(breaker, table, pause=_at_once), asked)
    assert (breaker.state, asked.times) == ("open", BOUNDS["failures"][1])


async def asked_once(dependency: Dependency, asked: Asked) -> None:
    try:
        await dependency.ask(asked)
    except Unavailable as error:
        assert error is AWAY  # noqa: PT017  either way it is counted


async def _at_once(_: float) -> None:
    return


# -- the snapshot bucket -----------------------------------------------------------------------------------------------


class NoBucket(logs.Wrapped):
    """A log that is well but for the snapshots of a desk."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.asked = 0

    def _refuse(self, subject: str) -> None:
        if subject == snapshot(DESK):
            self.asked += 1
            raise Unavailable("the bucket is away")

    async def append(self, message: Append) -> int:
        self._refuse(message.subject)
        return int(await self.log.append(message))

    async def last(self, subject: str) -> Any:
        self._refuse(subject)
        return await self.log.last(subject)


async def test_a_desk_whose_snapshots_are_away_decides_the_same_and_asks_them_no_more_after_a_while() -> None:
    states: list[str] = []
    log = NoBucket(MemoryLog())
    await write_tape(log)
    breaker = breaker_of(Settings(), "snapshots", lambda change: states.append(change.state))
    snapshots = OptionalSnapshots(log, DESK, Dependency(breaker, RecoveryTable()))
    for until in (*range(1, LAST, LAST // 8), LAST):
        await Core(log, DESK, StoredTape(log, DESK), snapshots=snapshots).run(until=until)
    assert await ledger(log) == LEDGER
    assert (states, log.asked) == (["open"], 5)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    real = dependencies.backoff
    monkeypatch.setattr(dependencies, "backoff", lambda failures: real(failures) / 1_000)
    return Settings(data_dir=tmp_path / "data")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, times: int, code: int) -> Callable[[], int]:
    """`Path.<name>` fails so many times as a disk does. Returns how often it was tried."""
    real, tried = getattr(Path, name), [0]

    def read(path: Path, *arguments: Any, **named: Any) -> Any:
        tried[0] += 1
        if tried[0] <= times:
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, name, read)
    return lambda: tried[0]


OPTIONS = {"default_symbol": "EURUSD"}


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
async def test_a_disk_that_answers_late_is_asked_again_for_files_and_calendar(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    quotes = write_quotes(tmp_path / "EURUSD.csv", 5)
    calendar = tmp_path / "calendar.csv"
    calendar.write_text("time,currency,impact,title\n2018-06-13T18:00Z,USD,high,Rates\n")
    tried = failing(monkeypatch, "read_bytes", 2, code)
    assert len((await files_of(settings, [quotes], OPTIONS, lambda *_: None)).ticks) == 5
    assert tried() == 3
    tried = failing(monkeypatch, "open", 2, code)
    assert [entry.title for entry in await calendar_of(settings, calendar)] == ["Rates"]
    assert tried() == 3


async def test_a_disk_that_stays_away_is_named_after_five_attempts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotes = write_quotes(tmp_path / "EURUSD.csv", 5)
    tried = failing(monkeypatch, "read_bytes", 99, errno.EIO)
    with pytest.raises(Unavailable, match=r"EURUSD\.csv: its disk does not answer now"):
        await files_of(settings, [quotes], OPTIONS, lambda *_: None)
    assert tried() == 5
    without = settings.model_copy(update={"recovery": "feeds.medium=fallback"})
    with pytest.raises(Unavailable, match="feeds could not be read, and nothing stands in"):
        await files_of(without, [quotes], OPTIONS, lambda *_: None)


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG])
async def test_a_wrong_path_is_refused_at_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    tried = failing(monkeypatch, "read_bytes", 99, code)
    with pytest.raises(InvalidInput, match=r"x\.csv: cannot be read \(.*Give the path of a file"):
        await files_of(settings, [tmp_path / "x.csv"], OPTIONS, lambda *_: None)
    assert tried() == 1


async def test_a_reader_at_fault_is_not_asked_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def bug(*_: Any) -> None:
        calls.append(1)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ops.plans.read_files", bug)
    with pytest.raises(ZeroDivisionError):
        await files_of(settings, [tmp_path / "x.csv"], OPTIONS, lambda *_: None)
    assert len(calls) == 1
