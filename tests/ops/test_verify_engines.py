"""`verify` over one ledger of two engines: each span by its own engine, or named as what could not be re-executed."""

import asyncio
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from adapters import memory
from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.snapshots import SHA256
from adapters.subjects import kept_state as kept_subject
from adapters.tape_log import StoredTape
from domain.engine import ENGINE
from domain.errors import InvalidInput
from domain.instructions import EngineActivated
from domain.migration import place
from domain.ports import Append, LedgerEnd, Log, Message, Recorded
from ops.takeover import kept_state
from ops.verify import Span, Verification
from ops.verify import verify as verify_desk
from ops.verify_governance import Proof
from tests import canonical, logs
from tests.ops.desks import DESK, ledger, write_tape
from tests.ops.wheels import MORE, OLD, OLD_LAST, OLD_SCRIPT, TAPE, WHEEL, two_engines, wheel

KEPT = kept_subject(DESK, ENGINE)
LAST = OLD_LAST + 1 + canonical.length(MORE)
NOT_HERE = f"engine {OLD} is not in this build; give --engines DIR with its wheel"
CONFIDENT = ("domain/signals/ema_cross.py", "price, price, 0, 0, 1_000_000", "price, price, 0, 0, 999_999")
UNGOVERNED = Proof(before_governance=2)
OLD_SPAN, NEW_SPAN = Span(OLD, 1, OLD_LAST, WHEEL.name), Span(ENGINE, OLD_LAST + 1, LAST, "this build")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of many pages."""
    monkeypatch.setattr(memory, "PAGE_MESSAGES", 3)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of engine 1."""
    folder = tmp_path_factory.mktemp("older wheels")
    wheel(folder)
    return folder


@pytest.fixture(scope="module")
def log(engines: Path) -> MemoryLog:
    """A desk that engine 1 and then this build decided; no test changes it."""
    return asyncio.run(two_engines(engines))


@pytest.fixture(scope="module")
def lines(log: MemoryLog) -> list[bytes]:
    """Its ledger."""
    return asyncio.run(ledger(log))


@pytest.fixture(scope="module")
def old(log: MemoryLog) -> int:
    """How many events engine 1 decided."""
    stands = place((asyncio.run(logs.stored(log, KEPT)))[0].data)
    assert stands is not None
    return stands.number


@pytest.fixture(scope="module")
def taken(lines: list[bytes]) -> int:
    """The number of the event with which this build's engine took over."""
    return next(number for number, line in enumerate(lines, 1) if b'"engine_took_over"' in line)


async def verify(log: Log, engines: Path | None = None) -> Verification:
    return await verify_desk(log, DESK, StoredTape(log, DESK), engines=engines)


def unchanged(items: list[Any]) -> list[Any]:
    return items


async def copy_of(
    log: Log,
    tape: Callable[[list[Message]], list[Message]] = unchanged,
    ledger_lines: list[bytes] | None = None,
    kept: Callable[[bytes], bytes] | None = lambda data: data,
) -> MemoryLog:
    """The desk with its tape, its ledger and its kept state edited; the state's own hash header stays right."""
    copy = await logs.copied(log, TAPE, edit=tape)
    stored = StoredLedger(copy, DESK)
    wanted = await ledger(log) if ledger_lines is None else ledger_lines
    await stored.append([Recorded(*numbered) for numbered in enumerate(wanted, 1)], LedgerEnd())
    for message in await logs.stored(log, KEPT) if kept else []:
        assert kept is not None
        data = kept(message.data)
        await copy.append(Append(KEPT, data, {**message.headers, SHA256: sha256(data).hexdigest()}, 0))
    return copy


def changed(lines: list[bytes], number: int) -> list[bytes]:
    """The ledger with one digit of one event changed."""
    line = lines[number - 1].replace(b'"occurred_at_ns":1', b'"occurred_at_ns":2', 1)
    assert line != lines[number - 1]
    return [*lines[: number - 1], line, *lines[number:]]


async def test_both_spans_are_re_executed_by_their_own_engine(
    log: MemoryLog, engines: Path, lines: list[bytes]
) -> None:
    assert await verify(log, engines) == Verification(
        checked=len(lines), records=LAST, engines=[OLD_SPAN, NEW_SPAN], governance=UNGOVERNED
    )


async def test_without_its_wheel_a_span_is_unverifiable_and_the_next_one_is_checked(
    log: MemoryLog, lines: list[bytes], old: int
) -> None:
    found = await verify(log)
    assert found == Verification(
        checked=len(lines) - old,
        unverifiable=old,
        records=LAST,
        problem=f"events 1 to {old:,} were not re-executed: {NOT_HERE}",
        engines=[Span(OLD, 1, OLD_LAST, None), NEW_SPAN],
        governance=UNGOVERNED,
    )
    assert old > 10
    assert len(lines) > old + 5
    assert not found.passed


async def test_a_folder_without_that_engine_is_no_help_and_says_what_is_in_it(
    log: MemoryLog, tmp_path: Path, old: int
) -> None:
    wheel(tmp_path, ("domain/engine.py", "\nENGINE = 1\n", "\nENGINE = 77\n"))
    found = await verify(log, tmp_path)
    assert (found.diverged, found.unverifiable) == (0, old)
    assert f"no wheel in {tmp_path} has engine 1 ({WHEEL.name}: engine 77)" in (found.problem or "")


async def test_a_folder_that_is_none_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere is not a folder"):
        await verify(log, tmp_path / "nowhere")


async def test_one_changed_event_of_either_span_is_found_where_it_can_be(
    log: MemoryLog, engines: Path, lines: list[bytes], taken: int, old: int
) -> None:
    for number in (1, old):
        copy = await copy_of(log, ledger_lines=changed(lines, number))
        for folder, diverged in [(None, 0), (engines, 1)]:
            found = await verify(copy, folder)
            assert found.diverged == diverged
            assert not found.passed
        assert found.first_divergence is not None
        assert (found.first_divergence.number, found.first_divergence.recomputed) == (
            number, lines[number - 1].decode(),
        )  # fmt: skip
        assert found.first_divergence.position == f"tape:{json.loads(lines[number - 1])['ordinal']}"
    for number in (old + 1, taken, len(lines)):
        found = await verify(await copy_of(log, ledger_lines=changed(lines, number)))
        assert found.diverged == 1
        assert found.first_divergence is not None
        assert found.first_divergence.number == number


async def test_another_engine_of_the_same_number_diverges(log: MemoryLog, tmp_path: Path, lines: list[bytes]) -> None:
    wheel(tmp_path, CONFIDENT)
    found = await verify(log, tmp_path)
    wrong = [line for line in lines if b'"ema_cross"' in line and json.loads(line)["ordinal"] <= OLD_LAST]
    assert found.diverged == len(wrong) > 0
    assert (found.checked, found.unverifiable) == (len(lines), 0)


# -- the state that was kept -------------------------------------------------------------------------------------------


def forget(data: bytes) -> bytes:
    """A state in which one instruction was never answered: the last 16 bytes are its digest."""
    head, _, body = data.partition(b"\n")
    answered = json.loads(head)["answered"]
    return head.replace(b'"answered":%d,' % answered, b'"answered":%d,' % (answered - 1)) + b"\n" + body[:-16]


async def test_a_changed_state_is_not_the_one_whose_hash_stands_in_the_ledger(
    log: MemoryLog, engines: Path, taken: int
) -> None:
    copy = await copy_of(log, kept=forget)
    found = await verify(copy)
    assert found.first_divergence is not None
    assert found.first_divergence.number == taken
    found = await verify(copy, engines)
    assert found.diverged == 0
    assert found.problem == (
        f"the state that engine {ENGINE} took over with at ordinal {OLD_LAST + 1} is not what engine {OLD} left; "
        "restore the store from a backup"
    )


async def test_a_changed_state_with_its_hash_in_the_ledger_is_found_by_the_older_engine(
    log: MemoryLog, engines: Path, lines: list[bytes], taken: int
) -> None:
    state = await kept_state(log, DESK, ENGINE)
    assert state is not None
    forged = lines[taken - 1].replace(sha256(state).hexdigest().encode(), sha256(forget(state)).hexdigest().encode())
    copy = await copy_of(log, kept=forget, ledger_lines=[*lines[: taken - 1], forged, *lines[taken:]])
    assert (await verify(copy)).diverged == 0
    found = await verify(copy, engines)
    assert found.diverged == 1
    assert found.first_divergence is not None
    assert (found.first_divergence.number, found.first_divergence.recorded) == (taken, forged.decode())


async def test_a_lost_state_can_be_recomputed_by_the_older_engine_only(
    log: MemoryLog, engines: Path, lines: list[bytes]
) -> None:
    copy = await copy_of(log, kept=None)
    found = await verify(copy)
    assert (found.checked, found.diverged, found.unverifiable) == (0, 0, len(lines))
    assert found.problem == (
        f"events 1 to {len(lines)} were not re-executed: {NOT_HERE}; no state is kept that engine {ENGINE} took over "
        f"with at ordinal {OLD_LAST + 1}; restore the store from a backup"
    )
    found = await verify(copy, engines)
    assert (found.checked, found.diverged, found.unverifiable) == (len(lines), 0, 0)
    assert f"took over with at ordinal {OLD_LAST + 1} is lost; restore" in (found.problem or "")
    assert not found.passed


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: b"garbage", id="garbage"),
        pytest.param(lambda data: data[:-1], id="cut short"),
        pytest.param(lambda data: data.replace(b'"ordinal":', b'"ordinal":9', 1), id="of another place"),
    ],
)
async def test_a_state_that_nothing_can_start_from_makes_the_rest_unverifiable(
    log: MemoryLog, edit: Callable[[bytes], bytes], lines: list[bytes]
) -> None:
    found = await verify(await copy_of(log, kept=edit))
    assert (found.checked, found.diverged, found.unverifiable) == (0, 0, len(lines))
    assert f"events 1 to {len(lines)} were not re-executed: {NOT_HERE}; " in (found.problem or "")


# -- what is not whole -------------------------------------------------------------------------------------------------


async def test_an_engine_that_fails_on_the_way_leaves_the_rest_of_its_span_unverifiable(
    log: MemoryLog, tmp_path: Path, lines: list[bytes], old: int
) -> None:
    refused = ("domain/engine.py", "active_strategies = list(", "assert first < 700\n        active_strategies = list(")
    wheel(tmp_path, refused)
    found = await verify(log, tmp_path)
    decided = found.checked - (len(lines) - old)
    assert 0 < decided < old
    assert (found.diverged, found.unverifiable) == (0, old - decided)
    assert found.problem == (
        f"events {decided + 1} to {old} were not re-executed: engine {OLD} of {WHEEL.name} does not run here: "
        "AssertionError"
    )
    assert found.engines == [Span(OLD, 1, OLD_LAST, None), NEW_SPAN]


async def test_a_message_missing_in_a_span_that_is_not_re_executed_is_found(log: MemoryLog, lines: list[bytes]) -> None:
    found = await verify(await copy_of(log, tape=lambda messages: [*messages[:8], *messages[9:]]))
    assert (found.checked, found.diverged, found.unverifiable) == (0, 0, len(lines))
    assert "is missing on the tape" in (found.problem or "")
    assert NOT_HERE in (found.problem or "")


async def test_a_ledger_that_ends_in_the_older_span_is_pending_and_not_diverged(
    log: MemoryLog, engines: Path, lines: list[bytes], old: int
) -> None:
    copy = await copy_of(log, ledger_lines=lines[:10])
    found = await verify(copy)
    assert (found.checked, found.diverged, found.unverifiable) == (0, 0, 10)
    assert found.pending == len(lines) - old
    found = await verify(copy, engines)
    assert (found.checked, found.diverged, found.unverifiable, found.pending) == (10, 0, 0, len(lines) - 10)
    assert found.passed


async def test_an_event_that_the_tape_does_not_decide_is_found_behind_two_engines(
    log: MemoryLog, lines: list[bytes]
) -> None:
    found = await verify(await copy_of(log, ledger_lines=[*lines, lines[-1]]))
    assert found.diverged == 1
    assert found.first_divergence is not None
    assert (found.first_divergence.number, found.first_divergence.recomputed) == (len(lines) + 1, None)


async def test_a_tape_that_goes_back_to_an_older_engine_is_unverifiable_from_there(
    log: MemoryLog, engines: Path, lines: list[bytes]
) -> None:
    copy = await copy_of(log)
    await write_tape(copy, [EngineActivated(id="back", **canonical.SAID, engine=OLD)])
    found = await verify(copy, engines)
    assert (found.checked, found.diverged, found.unverifiable) == (len(lines), 0, 0)
    assert found.problem == (
        "some records of the tape were not re-executed: the tape goes back from "
        f"engine {ENGINE} to engine {OLD} at ordinal {LAST + 1}"
    )
    assert found.engines == [OLD_SPAN, NEW_SPAN, Span(OLD, LAST + 1, LAST + 1, None)]


async def test_a_tape_that_never_activated_an_engine_of_this_build_is_unverifiable_as_a_whole() -> None:
    log = MemoryLog()
    await write_tape(log, OLD_SCRIPT)
    await StoredLedger(log, DESK).append([Recorded(1, b"{}"), Recorded(2, b"{}")], LedgerEnd())
    found = await verify(log)
    assert found == Verification(
        unverifiable=2,
        records=OLD_LAST,
        problem=f"events 1 to 2 were not re-executed: {NOT_HERE}",
        engines=[Span(OLD, 1, OLD_LAST, None)],
        governance=UNGOVERNED,
    )
