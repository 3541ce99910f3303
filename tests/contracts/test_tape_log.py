"""The promises of `domain.ports.TapeLog` over both logs: everything is found by ordinal, and what lies is refused."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from adapters import handover
from adapters.handover import Handover
from adapters.numbered import last_number, sequence_before
from adapters.tape_log import StoredTape
from domain.errors import Conflict, TapeBroken, Unavailable
from domain.instructions import Instructed, OrderRequested, TradingHalted, TradingResumed
from domain.ports import Append, Log, Message, TapeEnd
from domain.tape import MAX_BLOCK_RECORDS, Block, empty_ticks
from tests import canonical, logs
from tests.canonical import SAID

Items = list[Block | Instructed]


@pytest.fixture(params=logs.KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with logs.opened(request) as opened:
        yield opened


@pytest.fixture
def tape(log: Log) -> StoredTape:
    return StoredTape(log, logs.new_name())


async def write(tape: StoredTape, *items: Any, feed: str = "") -> TapeEnd:
    """Arrays and instructions, one message each, behind the end."""
    end = await tape.end()
    for message in canonical.messages(items, first=end.ordinal + 1):
        end = await tape.append(message, end, feed)
    return end


async def everything(tape: StoredTape, after: int = 0) -> Items:
    return [message async for page in tape.read(after) for message in page]


def flat(messages: Items) -> list[tuple[int, bytes]]:
    """(ordinal, content) one by one: what does not depend on the cut."""
    found = []
    for message in messages:
        if isinstance(message, Block):
            found += [(message.first + i, record.tobytes()) for i, record in enumerate(message.records)]
        else:
            found.append((message.ordinal, message.instruction.model_dump_json().encode()))
    return found


TICKS = canonical.market_ticks(200)
SCRIPT: list[Any] = [
    *canonical.opening(1), TICKS[:1], TICKS[1:90], canonical.INSTRUCTIONS["feed_opened"], TICKS[90:91], TICKS[91:],
]  # fmt: skip


async def test_a_tape_comes_back_as_it_was_written(tape: StoredTape) -> None:
    await write(tape, *SCRIPT)
    assert flat(await everything(tape)) == flat(list(canonical.messages(SCRIPT)))


async def test_an_empty_tape_has_an_empty_end(tape: StoredTape) -> None:
    assert await tape.end() == TapeEnd()
    assert await everything(tape) == []
    assert await everything(tape, after=7) == []


async def test_the_end_that_is_read_is_the_end_that_was_written(tape: StoredTape) -> None:
    end = TapeEnd()
    items = [*SCRIPT, canonical.TICKS["clock"], TICKS[:3], canonical.INSTRUCTIONS["feed_completed"]]
    for number, message in enumerate(canonical.messages(items)):
        feed = ("", "f1", "f1", "f2")[number % 4]
        end = await tape.append(message, end, feed)
        assert await tape.end() == end
        assert end.feed == feed
    last = canonical.length(SCRIPT) + 5
    assert (end.ordinal, end.standing) == (last, last)


async def test_a_block_that_ends_with_a_clock_record_says_so(tape: StoredTape) -> None:
    assert not (await write(tape, np.concatenate([TICKS[:2], canonical.TICKS["clock"]]))).after_tick
    assert not (await tape.end()).after_tick
    assert (await write(tape, TICKS[:1])).after_tick


async def test_the_ticks_of_a_feed_are_counted_without_clock_records(tape: StoredTape) -> None:
    block = np.concatenate([TICKS[:4], canonical.TICKS["clock"]])
    assert (await write(tape, block, block, feed="f1")).fed == 8
    assert (await write(tape, canonical.INSTRUCTIONS["engine_activated"], feed="f1")).fed == 8
    assert (await write(tape, block, feed="f1")).fed == 12
    assert (await write(tape, block, feed="f2")).fed == 4
    assert (await write(tape, block)).fed == 0
    assert (await write(tape, block, feed="f1")).fed == 4  # of another stretch: nobody asks for the first any more


@pytest.mark.parametrize("after", [0, 1, 3, 4, 5, 50, 94, 95, 96, 97, 204])
async def test_a_tape_is_read_from_behind_any_ordinal(tape: StoredTape, after: int) -> None:
    await write(tape, *SCRIPT)
    assert flat(await everything(tape, after)) == flat(list(canonical.messages(SCRIPT)))[after:]
    assert all(len(m.records) for m in await everything(tape, after) if isinstance(m, Block))


async def test_any_ordinal_is_found_with_other_tapes_between(log: Log, tape: StoredTape) -> None:
    others = [StoredTape(log, logs.new_name()) for _ in range(2)]
    random, ticks, cuts = np.random.default_rng(3), TICKS, [0]
    ends = {other.name: await write(other, *canonical.opening(1)) for other in others}
    end = TapeEnd()
    while end.ordinal < len(ticks):
        for other in random.choice(others, random.integers(0, 4)):
            ends[other.name] = await other.append(Block(ends[other.name].ordinal + 1, ticks[:3]), ends[other.name])
        size = int(random.integers(1, 6))
        block = Block(end.ordinal + 1, ticks[end.ordinal : end.ordinal + size])
        end = await tape.append(block, end)
        cuts.append(end.ordinal)
    messages = await logs.stored(log, tape.subject)
    for ordinal in range(1, len(ticks) + 1):
        before = await sequence_before(log, tape.subject, ordinal)
        behind = [message for message in messages if message.sequence > before]
        assert last_number(behind[0]) >= ordinal
        assert int(behind[0].headers["First"]) <= ordinal
    assert await sequence_before(log, tape.subject, end.ordinal + 1) >= messages[-1].sequence
    for after in (0, 1, 57, end.ordinal - 1, end.ordinal):
        assert flat(await everything(tape, after)) == flat([Block(1, ticks)])[after:]
    assert await sequence_before(log, f"tape.{logs.new_name()}", 1) == 0


async def test_following_gives_what_stands_and_then_what_comes(tape: StoredTape) -> None:
    written = flat(list(canonical.messages([*SCRIPT, *SCRIPT])))
    await write(tape, *SCRIPT)
    for after in (0, 50, len(written) // 2, len(written) // 2 + 5):
        found: list[tuple[int, bytes]] = []
        async with aclosing(tape.follow(after)) as pages, asyncio.timeout(20):
            while len(found) < len(written) - after:
                if len(found) >= len(written) // 2 - after and (await tape.end()).ordinal < len(written):
                    await write(tape, *SCRIPT)
                found += flat(await anext(pages))
        assert found == written[after:]


async def test_a_follower_ahead_of_the_tape_waits_for_its_ordinal(tape: StoredTape) -> None:
    await write(tape, TICKS[:10])
    async with aclosing(tape.follow(12)) as pages, asyncio.timeout(20):
        waiting = asyncio.ensure_future(anext(pages))
        await write(tape, TICKS[10:15])
        found = await waiting
        while not found:
            found = await anext(pages)
    assert flat(found) == flat([Block(13, TICKS[12:15])])


# -- the handover: writer and follower are one object ----------------------------------------------------------------


Mischief = Callable[[list[Message], Message], list[Message]]  # (held back so far, given now) -> what is handed over


def dropped(held: list[Message], message: Message) -> list[Message]:
    return [message] if random.random() < 0.5 else []


def repeated(held: list[Message], message: Message) -> list[Message]:
    held.append(message)
    return [message, message, random.choice(held)]


def swapped(held: list[Message], message: Message) -> list[Message]:
    held.append(message)
    if len(held) < 3:
        return []
    late = random.sample(held, len(held))
    held.clear()
    return late


def nothing_wrong(held: list[Message], message: Message) -> list[Message]:
    return [message]


@pytest.mark.parametrize("mischief", [nothing_wrong, dropped, repeated, swapped])
async def test_a_handover_that_loses_repeats_or_swaps_costs_no_record_and_no_order(
    tape: StoredTape, mischief: Mischief, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "SILENCE_S", 0.02)
    held: list[Message] = []
    give, taken = Handover.give, 0

    def badly(self: Handover, message: Message) -> None:
        for one in mischief(held, message):
            give(self, one)

    async def counted(self: Handover, last: int) -> list[Message]:
        nonlocal taken
        page = await behind(self, last)
        taken += len(page)
        return page

    behind = Handover.behind
    monkeypatch.setattr(Handover, "give", badly)
    monkeypatch.setattr(Handover, "behind", counted)
    end, found, written = TapeEnd(), list[tuple[int, bytes]](), list[tuple[int, bytes]]()
    async with aclosing(tape.follow()) as pages, asyncio.timeout(60):
        for message in canonical.messages(SCRIPT * 3, [*range(0, 1_000, 20)]):
            end = await tape.append(message, end)
            written += flat([message])
            if random.random() < 0.7:  # else the follower falls behind
                while len(found) < len(written):
                    found += flat(await anext(pages))
        while len(found) < len(written):
            found += flat(await anext(pages))
    assert found == written
    assert taken > 5


async def test_what_is_durable_is_handed_over_without_its_delivery(log: Log) -> None:
    tape = StoredTape(Deaf(log), logs.new_name())
    async with aclosing(tape.follow()) as pages, asyncio.timeout(20):
        following = asyncio.ensure_future(anext(pages))
        await asyncio.sleep(0)  # it follows before anything is written
        end = await tape.append(Block(1, TICKS[:1]), TapeEnd())
        assert flat(await following) == flat([Block(1, TICKS[:1])])  # delivered, and now it knows its writer
        following = asyncio.ensure_future(anext(pages))
        end = await tape.append(Block(2, TICKS[1:5]), end)
        assert flat(await following) == flat([Block(2, TICKS[1:5])])
        ticks = TICKS[5:9].copy()
        await tape.append(Block(6, ticks), end)
        ticks["bid"] = 0  # whoever offered them may use the array again: what was stored is what is decided on
        assert flat(await anext(pages)) == flat([Block(6, TICKS[5:9])])


class Deaf(logs.Wrapped):
    """Its follower gets one page, and nothing that comes behind it."""

    async def follow(self, subject: str, after: int = 0) -> AsyncGenerator[list[Message], None]:
        async with aclosing(self.log.follow(subject, after)) as pages:
            yield await anext(pages)
            await asyncio.Event().wait()


async def test_nothing_is_handed_over_before_it_is_durable(log: Log) -> None:
    gated, line = logs.Gated(log), Handover()
    tape = StoredTape(gated, logs.new_name())
    tape._handovers.add(line)
    appending = asyncio.ensure_future(tape.append(Block(1, TICKS[:1]), TapeEnd()))
    await gated.arrived.wait()
    assert not line.follows(0)
    gated.gate.set()
    await appending
    assert line.follows(0)


@pytest.mark.parametrize("stores", [False, True], ids=["nothing stored", "only the ack lost"])
async def test_an_append_that_failed_hands_nothing_over_and_the_log_tells_what_stands(log: Log, stores: bool) -> None:
    tape = StoredTape(logs.Failing(log, 1, stores=stores), logs.new_name())
    line = Handover()
    tape._handovers.add(line)
    end = await tape.append(Block(1, TICKS[:1]), TapeEnd())
    with pytest.raises(Unavailable):
        await tape.append(Block(2, TICKS[1:2]), end)
    assert line.follows(0)
    assert not [*(await line.behind(0))[1:]]
    again = StoredTape(log, tape.name)  # the next sequencer
    await again.append(Block(2 + stores, TICKS[2:3]), await again.end())
    expected = [Block(1, TICKS[:1]), *([Block(2, TICKS[1:2])] if stores else []), Block(2 + stores, TICKS[2:3])]
    found: list[tuple[int, bytes]] = []
    async with aclosing(tape.follow()) as pages, asyncio.timeout(20):
        while len(found) < len(expected):
            found += flat(await anext(pages))
    assert found == flat(expected)


async def test_a_second_writer_conflicts_and_writes_nothing(tape: StoredTape) -> None:
    old = await write(tape, *SCRIPT)
    end = await tape.append(Block(old.ordinal + 1, TICKS[:1]), old)
    before = flat(await everything(tape))
    note = canonical.INSTRUCTIONS["feed_opened"]
    for message in (Block(old.ordinal + 1, TICKS[:2]), Instructed(old.ordinal + 1, note)):
        with pytest.raises(Conflict):
            await tape.append(message, old)
        with pytest.raises(Conflict):
            await tape.append(message, TapeEnd())
    assert flat(await everything(tape)) == before
    assert await tape.end() == end


async def test_standing_instructions_are_a_chain_to_the_first(tape: StoredTape) -> None:
    end = await write(tape, *SCRIPT)
    chain, ordinal = [], end.standing
    while ordinal:
        instruction, before = await tape.instruction(ordinal)
        assert before < ordinal
        chain.append((ordinal, instruction))
        ordinal = before
    placed = [m for m in canonical.messages(SCRIPT) if isinstance(m, Instructed)]
    assert chain[::-1] == placed
    for nowhere in (5, 50, end.ordinal + 1):
        with pytest.raises(TapeBroken, match=f"no instruction stands at ordinal {nowhere}"):
            await tape.instruction(nowhere)


PASSING = [
    TradingHalted(id="halt", **SAID, reason="a test"),
    TradingResumed(id="resume", **SAID, reason="a test"),
    OrderRequested(id="order", **SAID, symbol="EURUSD", side="buy", type="market", quantity_nanos=10**12),
]


async def test_what_does_not_stand_is_a_message_outside_the_chain(tape: StoredTape, log: Log) -> None:
    opening = canonical.opening(1)
    end = await write(tape, *opening, TICKS[:2], *PASSING, TICKS[2:4], PASSING[0])
    assert (end.ordinal, end.standing) == (len(opening) + 8, len(opening))
    assert await tape.end() == end
    passed = [m for m in await everything(tape) if isinstance(m, Instructed)][len(opening) :]
    assert [instructed.instruction for instructed in passed] == [*PASSING, PASSING[0]]
    assert await tape.instruction(passed[1].ordinal) == (PASSING[1], len(opening))
    end = await write(tape, canonical.activated("ema_cross"))
    assert end.standing == end.ordinal
    assert await tape.instruction(end.ordinal) == (canonical.activated("ema_cross"), len(opening))
    assert {message.headers["Standing"] for message in (await logs.stored(log, tape.subject))[len(opening) :]} == {
        str(len(opening))
    }


async def test_an_instruction_is_found_in_whatever_order_they_are_asked_for(tape: StoredTape, log: Log) -> None:
    other = StoredTape(log, logs.new_name())
    for item in [*canonical.opening(3), TICKS[:9], *PASSING, TICKS[9:12], *canonical.opening(1)]:
        await write(tape, item)
        await write(other, item, TICKS[-1:])
    placed = [m for m in await everything(tape) if isinstance(m, Instructed)]
    for index in [
        *range(len(placed)),
        *reversed(range(len(placed))),
        *np.random.default_rng(1).permutation(len(placed)),
    ]:
        assert (await tape.instruction(placed[index].ordinal))[0] == placed[index].instruction
        with pytest.raises(TapeBroken, match="no instruction stands at ordinal 8"):
            await tape.instruction(8)


async def test_a_full_block_fits_with_its_headers(tape: StoredTape) -> None:
    full = empty_ticks(MAX_BLOCK_RECORDS)
    full["kind"] = 1
    end = await tape.append(Block(10**15, full), TapeEnd(ordinal=10**15 - 1, standing=10**15 - 1), "f" * 16)
    assert (await tape.end()) == end


async def lie(tape: StoredTape, log: Log, data: bytes, **headers: str) -> None:
    whole = {"Topic": "ticks", "First": "1", "Count": "3", "Standing": "0"} | headers
    await log.append(Append(tape.subject, data, whole, 0))


@pytest.mark.parametrize(
    ("data", "headers", "reason"),
    [
        (TICKS[:2].tobytes(), {}, "the block at ordinal 1 says 3 records, has 2"),
        (TICKS[:4].tobytes(), {}, "the block at ordinal 1 says 3 records, has 4"),
        (b"", {}, "the block at ordinal 1 says 3 records, has 0"),
        (TICKS[:3].tobytes()[:-1], {}, "the block at ordinal 1 says 3 records, has 2.98"),
        (b"{}", {"Topic": "feed_opened", "Count": "1"}, "the instruction at ordinal 1 is not readable"),
        (b"\xff", {"Topic": "feed_opened", "Count": "1"}, "the instruction at ordinal 1 is not readable"),
    ],
)
async def test_a_message_that_is_not_what_it_says_breaks_the_tape(
    log: Log, tape: StoredTape, data: bytes, headers: dict[str, str], reason: str
) -> None:
    await lie(tape, log, data, **headers)
    with pytest.raises(TapeBroken, match=f"{tape.name}: {reason}"):
        await everything(tape)
    with pytest.raises(TapeBroken, match=f"{tape.name}: {reason}"):
        await tape.end()


@pytest.mark.parametrize("header", ["First", "Count", "Standing"])
@pytest.mark.parametrize("value", [None, "", "x", "-1", "٣"])
async def test_a_message_without_its_numbers_is_refused_by_name(
    log: Log, tape: StoredTape, header: str, value: str | None
) -> None:
    headers = {"Topic": "ticks", "First": "1", "Count": "1", "Standing": "0"}
    headers = {name: text for name, text in (headers | {header: value}).items() if text is not None}
    try:
        await log.append(Append(tape.subject, TICKS[:1].tobytes(), headers, 0))
    except UnicodeEncodeError:
        pytest.fail("the log must carry what a foreign writer wrote")
    with pytest.raises(TapeBroken, match=f"header {header}"):
        await tape.end()
