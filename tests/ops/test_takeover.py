"""A newer engine takes over: exactly where the older one stood, with its state kept before the record that needs it."""

import asyncio
import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from adapters import memory, snapshots
from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.snapshots import SnapshotStore
from adapters.subjects import kept_state as kept_subject
from adapters.tape_log import StoredTape
from domain.engine import ENGINE, OtherEngine
from domain.errors import Conflict, Diverged, InvalidInput, Unavailable
from domain.events import LEDGER_EVENT, EngineTookOver
from domain.instructions import EngineActivated, Instructed
from domain.migration import migrate, place
from domain.ports import Append, Log, Message, Recorded
from domain.snapshot import restore, save
from domain.tape import Block
from gateways.sequencer import Sequencer
from ops.older_engine import older_engine
from ops.takeover import RELEASES, kept_state, take_over
from ops.verify import verify
from tests import canonical, logs
from tests.ops import wheels
from tests.ops.desks import DESK, core, ledger, write_tape
from tests.ops.wheels import MORE, OLD, OLD_LAST, go_on, old_tape, taken_over

LEDGER = f"ledger.{DESK}"
SNAPSHOT = f"snapshot.{DESK}"
KEPT = kept_subject(DESK, ENGINE)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of many pages, and so of many commits."""
    monkeypatch.setattr(memory, "PAGE_MESSAGES", 1)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of engine 1."""
    folder = tmp_path_factory.mktemp("older wheels")
    wheels.wheel(folder)
    return folder


@pytest.fixture(scope="module")
def finished(engines: Path) -> MemoryLog:
    """A desk as the last run of engine 1 left it: everything decided, its snapshot at the tape's end."""

    async def made() -> MemoryLog:
        log = await old_tape()
        await taken_over(log, engines)
        return await without_takeover(log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "PAGE_MESSAGES", 1)
        return asyncio.run(made())


async def without_takeover(log: Log) -> MemoryLog:
    copy = await logs.copied(log, LEDGER, SNAPSHOT)
    return await with_messages(copy, (await logs.stored(log, wheels.TAPE))[:-1])


async def with_messages(log: MemoryLog, messages: list[Message]) -> MemoryLog:
    """These too, in order, behind nothing."""
    sequence = 0
    for message in messages:
        sequence = await log.append(Append(message.subject, message.data, message.headers, sequence))
    return log


async def copy_of(log: Log) -> MemoryLog:
    return await logs.copied(log, wheels.TAPE, LEDGER, SNAPSHOT)


async def contents(log: Log) -> list[list[bytes]]:
    return [[m.data for m in await logs.stored(log, s)] for s in (wheels.TAPE, LEDGER, SNAPSHOT, KEPT)]


def activations(tape: list[Any]) -> list[tuple[int, int]]:
    """Ordinal and version of every activation on a tape."""
    return [
        (message.ordinal, message.instruction.engine)
        for message in tape
        if isinstance(message, Instructed) and isinstance(message.instruction, EngineActivated)
    ]


async def messages_of(log: Log) -> list[Any]:
    return [message async for page in StoredTape(log, DESK).read() for message in page]


async def test_the_state_is_kept_and_its_hash_stands_in_the_ledger(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    decided = len(await ledger(log))
    left = await SnapshotStore(log, DESK).load()
    assert left is not None
    await taken_over(log)
    kept = await kept_state(log, DESK, ENGINE)
    assert kept == migrate(left)
    assert activations(await messages_of(log))[-1] == (OLD_LAST + 1, ENGINE)
    await write_tape(log, MORE)
    await go_on(log)
    events = [LEDGER_EVENT.validate_json(line) for line in (await ledger(log))[decided:]]
    said = [event for event in events if event.ordinal == OLD_LAST + 1]
    assert [event.number for event in said] == [decided + 1, decided + 2]
    took_over = next(event for event in said if isinstance(event, EngineTookOver))
    assert (took_over.engine, took_over.before, took_over.state_sha256) == (ENGINE, OLD, sha256(kept).hexdigest())
    assert any(event.type == "signal_raised" for event in events)


async def test_a_server_keeps_the_state_beside_the_desks_own_snapshots(
    finished: MemoryLog, request: pytest.FixtureRequest
) -> None:
    """Under a name that no desk can have, so that newer snapshots of no desk push it out."""
    desk = logs.new_name()
    async with logs.jetstream(request.getfixturevalue("nats_server")) as log:
        for subject in (wheels.TAPE, LEDGER, SNAPSHOT):
            stored, sequence = await logs.stored(finished, subject), 0
            for message in stored:
                name = subject.replace(DESK, desk)
                sequence = await log.append(Append(name, message.data, message.headers, sequence))
        await taken_over(log, desk=desk)
        for number in range(5):
            await SnapshotStore(log, desk).save(b'{"engine":%d}' % number)
        left = (await logs.stored(finished, SNAPSHOT))[-1].data
        assert await kept_state(log, desk, ENGINE) == migrate(left)
        assert await SnapshotStore(log, desk).load() == b'{"engine":4}'
        with pytest.raises(InvalidInput):
            await kept_state(log, f"{desk}@engine_{ENGINE}", ENGINE)


async def test_nothing_is_done_twice_and_nothing_where_there_is_nothing_to_take_over(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    await taken_over(log)
    before = await contents(log)
    await taken_over(log)
    assert await contents(log) == before
    empty = MemoryLog()
    await taken_over(empty)
    assert await contents(empty) == [[], [], [], []]


async def test_the_core_starts_from_the_kept_state(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    decided = await ledger(log)
    await taken_over(log)
    end = await write_tape(log, MORE)
    for _ in range(2):
        await core(log).run(until=end.ordinal)
        lines = await ledger(log)
        assert lines[: len(decided)] == decided
        assert b'"engine_took_over"' in lines[len(decided)] + lines[len(decided) + 1]
        assert json.loads(lines[-1])["ordinal"] > OLD_LAST + 1
        kept = await logs.stored(log, KEPT)  # its own snapshot is lost: from the kept state again, and compared
        log = await with_messages(await logs.copied(log, wheels.TAPE, LEDGER), kept)


async def test_states_that_no_message_holds_are_taken_over_and_gone_on_from(
    engines: Path, finished: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older engine's last snapshot, what is kept of it, and the new engine's snapshots: all in parts."""
    monkeypatch.setattr(snapshots, "PART_BYTES", 500)
    log = await logs.copied(finished, wheels.TAPE)
    await taken_over(log, engines)
    whole = await copy_of(finished)
    await taken_over(whole)
    assert await kept_state(log, DESK, ENGINE) == await kept_state(whole, DESK, ENGINE)
    lists = [(await logs.stored(log, subject))[-1].headers["Topic"] for subject in (SNAPSHOT, KEPT)]
    assert lists == [snapshots.PARTS, snapshots.PARTS]
    end = await write_tape(log, MORE)
    for _ in range(2):
        await core(log).run(until=end.ordinal)
    await write_tape(whole, MORE)
    await core(whole).run(until=end.ordinal)
    assert await ledger(log) == await ledger(whole)
    assert (await verify(log, DESK, StoredTape(log, DESK), engines=engines)).passed


async def test_an_older_engine_that_is_given_decides_first_what_it_has_not(engines: Path, finished: MemoryLog) -> None:
    """From nothing, and from an older snapshot with a part of the ledger: the same ledger, state and take-over."""
    whole = await copy_of(finished)
    await taken_over(whole)
    wanted = await contents(whole)
    half = await logs.copied(finished, wheels.TAPE)
    await with_messages(half, (await logs.stored(finished, LEDGER))[:3])
    await taken_over(half, engines)
    found = await contents(half)
    assert await ledger(half) == await ledger(whole)
    assert (found[0], found[3]) == (wanted[0], wanted[3])


async def test_an_older_engine_goes_on_from_its_newest_snapshot(
    engines: Path, finished: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More ticks came, and engine 1 did not see them: only they are read."""
    log = await copy_of(finished)
    end = await write_tape(log, [canonical.activated("ema_cross", "EURUSD", id="later", fast=7)])
    starts: list[int] = []
    read = StoredTape.read
    monkeypatch.setattr(StoredTape, "read", lambda tape, after=0: (starts.append(after), read(tape, after))[1])
    await taken_over(log, engines)
    assert starts == [OLD_LAST]
    kept = place(await kept_state(log, DESK, ENGINE) or b"")
    assert kept is not None
    assert (kept.ordinal, kept.number) == (end.ordinal, len(await ledger(log)))


async def test_an_engine_that_has_not_come_to_the_end_is_asked_to_by_name(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    end = await write_tape(log, MORE)
    before = await contents(log)
    with pytest.raises(InvalidInput) as told:
        await taken_over(log)
    assert str(told.value) == (
        f"desk {DESK} belongs to engine {OLD}, which has not stored where it stands at the tape's end, ordinal "
        f"{end.ordinal}: run engine {OLD} (claire-de-binare {RELEASES[OLD]}) once more to the end of the tape, or give "
        f"--engines DIR with its wheel; then engine {ENGINE} takes over"
    )
    assert await contents(log) == before


@pytest.mark.parametrize("damage", ["no snapshot", "other bytes", "another engine's"])
async def test_a_snapshot_that_cannot_be_trusted_is_none(finished: MemoryLog, damage: str) -> None:
    log = await logs.copied(finished, wheels.TAPE, LEDGER)
    data = (await logs.stored(finished, SNAPSHOT))[-1]
    if damage == "other bytes":
        await with_messages(log, [data._replace(data=data.data[:-1])])
    if damage == "another engine's":
        await SnapshotStore(log, DESK).save(data.data.replace(b'"engine":1', b'"engine":9', 1))
    with pytest.raises(InvalidInput, match="run engine 1"):
        await taken_over(log)


async def test_a_ledger_that_is_not_what_the_snapshot_stands_on_is_not_taken_over(finished: MemoryLog) -> None:
    log = await logs.copied(finished, wheels.TAPE, SNAPSHOT)
    await with_messages(log, (await logs.stored(finished, LEDGER))[:-1])
    with pytest.raises(InvalidInput, match=r"the ledger of desk main holds \d+: run `cdb verify`"):
        await taken_over(log)
    assert len(activations(await messages_of(log))) == 1


async def test_an_older_engine_compares_what_stands_in_the_ledger(engines: Path, finished: MemoryLog) -> None:
    lines = await ledger(finished)
    log = await logs.copied(finished, wheels.TAPE)
    changed = [lines[0], lines[1].replace(b"applied", b"refused", 1), *lines[2:5]]
    stored = StoredLedger(log, DESK)
    await stored.append([Recorded(*numbered) for numbered in enumerate(changed, 1)], await stored.end())
    with pytest.raises(Diverged) as found:
        await taken_over(log, engines)
    assert (found.value.number, found.value.recomputed) == (2, lines[1].decode())
    assert await ledger(log) == changed


async def test_a_newer_engines_desk_is_left_alone(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    await write_tape(log, [EngineActivated(id="newer", **canonical.SAID, engine=ENGINE + 1)])
    with pytest.raises(InvalidInput, match=f"is decided by engine {ENGINE + 1}, this build is engine {ENGINE}"):
        await taken_over(log)


async def test_the_state_is_durable_before_the_record_that_needs_it(finished: MemoryLog) -> None:
    """Cut at every append: the desk belongs to one engine, and another attempt finishes the take-over."""
    done = await copy_of(finished)
    await taken_over(done)
    for appends, stores in [(0, False), (0, True), (1, False), (1, True)]:
        log = await copy_of(finished)
        with pytest.raises(Unavailable):
            await taken_over(logs.Failing(log, appends, stores=stores))
        if len(activations(await messages_of(log))) == 2:
            assert await kept_state(log, DESK, ENGINE) is not None
        await taken_over(log)
        assert (await contents(log))[3] == (await contents(done))[3]
        assert len(activations(await messages_of(log))) == 2


async def test_a_record_that_came_between_stops_the_take_over(finished: MemoryLog) -> None:
    """A live clock goes on beside it: the state would not be the one at the activation."""
    log = await copy_of(finished)
    tape = StoredTape(log, DESK)
    async with Sequencer.open(tape) as sequencer:

        class Slow(logs.Wrapped):
            async def append(self, message: Append) -> int:
                sequence: int = await self.log.append(message)
                await sequencer.instruct(lambda o, t: canonical.activated("ema_cross", "EURUSD", id="between"))
                return sequence

        with pytest.raises(InvalidInput, match=f"ordinal {OLD_LAST + 1} came onto tape main before engine"):
            await take_over(Slow(log), DESK, tape, sequencer)
    assert len(activations(await messages_of(log))) == 1


async def test_of_two_builds_at_once_one_takes_over(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    tape = StoredTape(log, DESK)
    async with Sequencer.open(tape) as late:
        await taken_over(log)
        await write_tape(log, MORE)
        with pytest.raises(Conflict, match="another process writes it"):
            await take_over(log, DESK, tape, late)
    assert len(activations(await messages_of(log))) == 2


async def test_a_state_that_was_not_activated_decides_nothing(finished: MemoryLog) -> None:
    """The take-over was cut short and engine 1 went on: this build's engine must not decide on its records."""
    log = await copy_of(finished)
    await taken_over(log)
    kept = await kept_state(log, DESK, ENGINE)
    engine = restore(kept or b"")
    assert engine is not None
    for message in canonical.messages([MORE[0][:3], canonical.activated("ema_cross", "EURUSD")]):
        before = save(engine, migrated_from=OLD)
        with pytest.raises(OtherEngine, match=f"engine {OLD} decides on ordinal {OLD_LAST + 1}"):
            engine.fold(message._replace(**{message._fields[0]: OLD_LAST + 1}))
        assert save(engine, migrated_from=OLD) == before


async def test_every_strategy_raises_the_signals_that_it_would_have_raised(engines: Path, finished: MemoryLog) -> None:
    """In the middle of bars and setups: engine 1 alone over the golden ticks, and with a take-over between."""
    ticks = canonical.with_minutes(canonical.market_ticks(6_000, seed=20, symbols=2))
    script = [*wheels.opening("m5_bos_retest", "m1_retest", "ema_cross"), ticks[:3_000]]
    ordinal = canonical.length(script)
    async with older_engine(engines, OLD) as older:
        for message in canonical.messages(script):
            await older.fold(message)
        left, decided = await older.snapshot(), older.number
        wanted = await older.fold(Block(ordinal + 1, ticks[3_000:]))
    engine = restore(migrate(left))
    assert engine is not None
    engine.fold(Instructed(ordinal + 1, EngineActivated(id="taken", **canonical.SAID, engine=ENGINE)))
    found = canonical.lines(engine.fold(Block(ordinal + 2, ticks[3_000:])))

    def signals(lines: list[bytes], shift: int) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in lines]
        return [
            event | {"number": 0, "correlation": 0, "ordinal": event["ordinal"] - shift}
            for event in events
            if event["type"] == "signal_raised"
        ]

    assert signals(found, 1) == signals(wanted, 0)
    assert {event["strategy"] for event in signals(wanted, 0)} == {"m5_bos_retest", "m1_retest", "ema_cross"}
    assert decided > 10


async def test_a_kept_state_with_other_bytes_is_none(finished: MemoryLog) -> None:
    log = await copy_of(finished)
    await taken_over(log)
    kept = (await logs.stored(log, KEPT))[-1]
    await log.append(Append(KEPT, kept.data[:-1], kept.headers, kept.sequence))
    assert await kept_state(log, DESK, ENGINE) is None
    assert await kept_state(log, DESK, ENGINE + 1) is None


def test_the_release_of_every_older_engine_is_known_and_is_not_this_one() -> None:
    assert list(RELEASES) == list(range(1, ENGINE))
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] not in RELEASES.values()
