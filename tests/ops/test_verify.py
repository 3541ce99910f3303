"""`verify`: a good desk has no divergence, and whatever was changed afterwards is found and named."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import pytest

from adapters import memory
from adapters.memory import MemoryLog
from adapters.snapshots import SnapshotStore
from adapters.tape_log import StoredTape
from domain.engine import ENGINE, Engine
from domain.instructions import EngineActivated
from domain.ports import Append, Log, Message
from domain.snapshot import save
from domain.tape import TICK
from ops.verify import Divergence, Span, Verification
from ops.verify import verify as verify_desk
from ops.verify_governance import Proof
from tests import canonical, logs
from tests.ops.desks import DESK, LAST, LEDGER, SCRIPT, decide, write_tape

TAPE_SUBJECT, LEDGER_SUBJECT = f"tape.{DESK}", f"ledger.{DESK}"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of many pages, and so of many commits."""
    monkeypatch.setattr(memory, "PAGE_MESSAGES", 1)


@pytest.fixture
async def log() -> MemoryLog:
    """A desk that was decided to the end, in many commits."""
    log = MemoryLog()
    await write_tape(log)
    await decide(log)
    return log


@pytest.fixture(params=logs.KINDS)
async def any_log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


async def verify(log: Log, desk: str = DESK, **options: Any) -> Verification:
    return await verify_desk(log, desk, StoredTape(log, desk), **options)


async def copy_of(
    log: Log,
    tape: Callable[[list[Message]], list[Message]] = lambda messages: messages,
    ledger: Callable[[list[bytes]], list[bytes]] = lambda lines: lines,
) -> MemoryLog:
    """The desk with its tape's messages and its ledger's lines edited; the numbers of the ledger stay whole."""
    copy = await logs.copied(log, TAPE_SUBJECT, edit=tape)
    lines = ledger([line for m in await logs.stored(log, LEDGER_SUBJECT) for line in m.data.split(b"\n")])
    sequence, number = 0, 1
    for start in range(0, len(lines), 7):
        part = lines[start : start + 7]
        headers = {"Topic": "commit", "First": str(number), "Count": str(len(part))}
        sequence = await copy.append(Append(LEDGER_SUBJECT, b"\n".join(part), headers, sequence))
        number += len(part)
    return copy


def canonical_engine() -> Engine:
    """The engine as it stands behind the whole desk."""
    engine = Engine()
    for message in canonical.messages(SCRIPT):
        engine.fold(message)
    return engine


def replaced(index: int, line: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[:index], line, *lines[index + 1 :]]


async def test_a_good_desk_has_no_divergence(any_log: Log) -> None:
    desk = logs.new_name()
    await write_tape(any_log, desk=desk)
    await decide(any_log, desk=desk)
    told: list[tuple[int, int]] = []
    found = await verify(any_log, desk, progress=lambda done, total: told.append((done, total)))
    assert found == Verification(
        checked=len(LEDGER), records=LAST, engines=[Span(ENGINE, 1, LAST, "this build")],
        governance=Proof(before_governance=4),
    )  # fmt: skip
    assert found.passed
    assert told[-1] == (LAST, LAST)


async def test_an_empty_desk_is_fine() -> None:
    assert (await verify(MemoryLog())) == Verification()


async def test_how_the_ledger_was_cut_into_commits_does_not_matter(log: MemoryLog) -> None:
    assert (await verify(await copy_of(log))).passed


async def test_verify_writes_nothing(log: MemoryLog) -> None:
    before = [await log.head(stream) for stream in ("TAPE", "LEDGER", "SNAPSHOT")]
    await verify(log)
    assert [await log.head(stream) for stream in ("TAPE", "LEDGER", "SNAPSHOT")] == before


async def test_verify_does_not_trust_a_snapshot(log: MemoryLog) -> None:
    copy = await copy_of(log, ledger=replaced(3, b"{}"))
    snapshot = (await logs.stored(log, f"snapshot.{DESK}"))[-1]
    await copy.append(Append(snapshot.subject, snapshot.data, snapshot.headers, 0))
    assert (await verify(copy)).diverged == 1


@pytest.mark.parametrize("index", [0, 1, 30, len(LEDGER) - 1])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.9])
async def test_one_changed_byte_of_one_event_is_found_and_named(log: MemoryLog, index: int, place: float) -> None:
    line = bytearray(LEDGER[index])
    line[int(place * len(line))] ^= 1
    found = await verify(await copy_of(log, ledger=replaced(index, bytes(line))))
    assert (found.checked, found.diverged, found.unverifiable, found.problem) == (len(LEDGER), 1, 0, None)
    assert not found.passed
    ordinal = json.loads(LEDGER[index])["ordinal"]
    recorded = bytes(line).decode(errors="replace")
    assert found.first_divergence == Divergence(index + 1, f"tape:{ordinal}", recorded, LEDGER[index].decode())


async def test_a_removed_event_is_found_where_it_is_missing(log: MemoryLog) -> None:
    found = await verify(await copy_of(log, ledger=lambda lines: lines[:30] + lines[31:]))
    assert not found.passed
    assert found.first_divergence is not None
    assert found.first_divergence.number == 31
    assert found.first_divergence.recorded == LEDGER[31].decode()


async def test_a_removed_commit_is_found_where_it_is_missing(log: MemoryLog) -> None:
    copy = await logs.copied(log, TAPE_SUBJECT)
    sequence = 0
    messages = await logs.stored(log, LEDGER_SUBJECT)
    removed = messages.pop(10)
    for message in messages:
        sequence = await copy.append(Append(message.subject, message.data, message.headers, sequence))
    found = await verify(copy)
    first = int(removed.headers["First"])
    assert found.diverged == int(removed.headers["Count"])
    assert found.first_divergence is not None
    assert (found.first_divergence.number, found.first_divergence.recorded) == (first, None)
    assert found.first_divergence.recomputed == LEDGER[first - 1].decode()


async def test_an_event_added_at_the_end_is_found(log: MemoryLog) -> None:
    extra = LEDGER[-1].replace(b'"number":%d' % len(LEDGER), b'"number":%d' % (len(LEDGER) + 1))
    found = await verify(await copy_of(log, ledger=lambda lines: [*lines, extra]))
    assert (found.checked, found.diverged) == (len(LEDGER) + 1, 1)
    assert found.first_divergence == Divergence(len(LEDGER) + 1, None, extra.decode(), None)


async def test_an_event_put_in_between_is_found(log: MemoryLog) -> None:
    found = await verify(await copy_of(log, ledger=lambda lines: [*lines[:9], lines[8], *lines[9:]]))
    assert found.first_divergence is not None
    assert found.first_divergence.number == 10


async def test_two_swapped_events_are_found(log: MemoryLog) -> None:
    found = await verify(await copy_of(log, ledger=lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]]))
    assert (found.checked, found.diverged) == (len(LEDGER), 2)
    assert found.first_divergence is not None
    assert found.first_divergence.number == 10


async def test_a_changed_price_on_the_tape_is_found(log: MemoryLog) -> None:
    """The tick whose price a signal names."""
    signal = next(event for event in map(json.loads, LEDGER) if event.get("strategy") == "ema_cross")

    def raised(messages: list[Message]) -> list[Message]:
        return [_with_other_bid(message, signal["ordinal"]) for message in messages]

    found = await verify(await copy_of(log, tape=raised))
    assert not found.passed
    assert found.first_divergence is not None
    assert found.first_divergence.number <= signal["number"]


def _with_other_bid(message: Message, ordinal: int) -> Message:
    place = (ordinal - int(message.headers["First"])) * TICK.itemsize + 16
    if not message.headers["Topic"].startswith("ticks") or not 0 <= place < len(message.data):
        return message
    data = bytearray(message.data)
    data[place + 2] ^= 0x10
    return message._replace(data=bytes(data))


async def test_a_changed_instruction_on_the_tape_is_found(log: MemoryLog) -> None:
    def other(messages: list[Message]) -> list[Message]:
        return [m._replace(data=m.data.replace(b'"fast":20', b'"fast":21')) for m in messages]

    assert (await verify(await copy_of(log, tape=other))).diverged > 10


@pytest.mark.parametrize("index", [0, 3, 12, -2])
async def test_a_message_missing_on_the_tape_is_found_and_the_rest_is_unverifiable(log: MemoryLog, index: int) -> None:
    stored = await logs.stored(log, TAPE_SUBJECT)
    first, after = int(stored[index].headers["First"]), int(stored[index + 1].headers["First"])
    found = await verify(await copy_of(log, tape=lambda ms: [m for m in ms if m.headers["First"] != str(first)]))
    assert found.problem == f"ordinal {first} is missing on the tape: the next message starts at {after}"
    decided = sum(json.loads(line)["ordinal"] < first for line in LEDGER)
    assert (found.checked, found.diverged, found.unverifiable) == (decided, 0, len(LEDGER) - decided)
    assert found.records == first - 1
    assert not found.passed


async def test_the_last_messages_missing_on_the_tape_are_found(log: MemoryLog) -> None:
    found = await verify(await copy_of(log, tape=lambda messages: messages[:-6]))
    assert found.diverged > 0
    assert found.first_divergence is not None
    assert found.first_divergence.recomputed is None


async def test_a_block_that_is_cut_short_is_found(log: MemoryLog) -> None:
    def cut(messages: list[Message]) -> list[Message]:
        return [*messages[:12], messages[12]._replace(data=messages[12].data[:-64]), *messages[13:]]

    found = await verify(await copy_of(log, tape=cut))
    assert "says" in (found.problem or "")
    assert found.unverifiable > 0


@pytest.mark.parametrize("index", [0, 5, -1])
@pytest.mark.parametrize("extra", [0, 1], ids=["as long as decided", "longer than decided"])
async def test_a_commit_that_lies_about_its_count_is_found(log: MemoryLog, index: int, extra: int) -> None:
    copy, sequence = await logs.copied(log, TAPE_SUBJECT), 0
    messages = await logs.stored(log, LEDGER_SUBJECT)
    if extra:
        last = int(messages[-1].headers["First"]) + int(messages[-1].headers["Count"])
        messages.append(messages[-1]._replace(headers={"Topic": "commit", "First": str(last), "Count": "1"}))
    wrong = messages[index]
    messages[index] = wrong._replace(data=wrong.data + b"\n{}")
    for message in messages:
        sequence = await copy.append(Append(message.subject, message.data, message.headers, sequence))
    found = await verify(copy)
    assert not found.passed
    assert "ledger.main: the commit at number" in (found.problem or "")


async def test_a_ledger_shorter_than_the_tape_decides_is_pending_and_not_diverged(log: MemoryLog) -> None:
    found = await verify(await copy_of(log, ledger=lambda lines: lines[:-5]))
    assert (found.checked, found.pending, found.records) == (len(LEDGER) - 5, 5, LAST)
    assert found.passed
    assert (await verify(await copy_of(log, ledger=lambda _: []))).pending == len(LEDGER)


async def test_what_another_engine_decided_is_unverifiable_and_its_version_is_named(log: MemoryLog) -> None:
    await write_tape(log, [EngineActivated(id="newer", **canonical.SAID, engine=ENGINE + 1), canonical.market_ticks(9)])
    more = [b'{"number":%d}' % number for number in range(len(LEDGER) + 1, len(LEDGER) + 4)]
    found = await verify(await copy_of(log, ledger=lambda lines: [*lines, *more]))
    assert (found.checked, found.diverged, found.unverifiable) == (len(LEDGER), 0, 3)
    assert found.problem == (
        f"events {len(LEDGER) + 1} to {len(LEDGER) + 3} were not re-executed: engine {ENGINE + 1} is newer than this "
        f"build, which is engine {ENGINE}; use the newer build"
    )
    assert not found.passed


async def test_a_strategy_version_that_is_not_in_this_build_is_unverifiable(log: MemoryLog) -> None:
    await write_tape(log, [canonical.activated("ema_cross", id="x").model_copy(update={"version": 77})])
    found = await verify(log)
    assert (found.diverged, found.unverifiable) == (0, 0)
    assert "ema_cross v77" in (found.problem or "")
    assert not found.passed


async def test_the_answer_is_plain_data(log: MemoryLog) -> None:
    found = asdict(await verify(await copy_of(log, ledger=replaced(4, b"\xff"))))
    assert json.loads(json.dumps(found))["first_divergence"]["recorded"] == "�"


@pytest.mark.parametrize("lost", ["ledger", "tape"])
async def test_a_snapshot_witnesses_what_the_store_has_lost(log: MemoryLog, lost: str) -> None:
    """A server that drops a damaged block says nothing: only what was stored after it tells."""
    copy = await copy_of(log, **{lost: lambda kept: kept[:-1]})
    assert (await verify(copy)).problem is None
    await SnapshotStore(copy, DESK).save(save(canonical_engine()))
    found = await verify(copy)
    assert found.problem is not None
    assert "what was durable is gone" in found.problem
    assert not found.passed
    if lost == "ledger":
        last = json.loads(LEDGER[-1])
        where = f"tape:{last['ordinal']}"
        assert (found.diverged, found.pending) == (1, 0)
        assert found.first_divergence == Divergence(last["number"], where, None, LEDGER[-1].decode())
