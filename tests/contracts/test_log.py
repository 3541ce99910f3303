"""The promises of `domain.ports.Log`, kept by JetStream and by its twin in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from domain.errors import Conflict, InvalidInput
from domain.ports import Append, Message

from .conftest import Bench


def message(subject: str, data: bytes, expected: int | None, **headers: str) -> Append:
    return Append(subject, data, headers, expected)


async def collect(pages: AsyncIterator[list[Message]]) -> list[Message]:
    return [found async for page in pages for found in page]


async def take(pages: AsyncIterator[list[Message]], count: int) -> list[Message]:
    taken: list[Message] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            taken += await anext(pages)
    return taken


async def fill(bench: Bench, count: int, *names: str) -> list[int]:
    """`count` messages on the subjects of these names in turn; their sequences."""
    last = dict.fromkeys(names, 0)
    sequences = []
    for number in range(count):
        name = names[number % len(names)]
        last[name] = await bench.log.append(message(f"{bench.plain}.{name}", str(number).encode(), last[name]))
        sequences.append(last[name])
    return sequences


async def test_what_was_appended_comes_back_as_it_was(bench: Bench) -> None:
    headers = {"Topic": "ticks", "First": "1", "Count": "2"}
    sequence = await bench.log.append(Append(f"{bench.plain}.a", b"\x00\r\n\xff", headers, 0))
    stored = await bench.log.last(f"{bench.plain}.a")
    assert stored is not None
    assert stored._replace(recorded_at_ns=0) == Message(f"{bench.plain}.a", sequence, 0, headers, b"\x00\r\n\xff")
    assert stored.recorded_at_ns > 1_700_000_000_000_000_000


async def test_every_way_of_reading_gives_the_same_message(bench: Bench) -> None:
    sequence = await bench.log.append(message(f"{bench.plain}.a", b"data", 0, Topic="t"))
    last = await bench.log.last(f"{bench.plain}.a")
    followed = bench.log.follow(f"{bench.plain}.a", sequence)
    waiting = asyncio.ensure_future(anext(followed))
    second = await bench.log.append(message(f"{bench.plain}.a", b"more", sequence, Topic="t"))
    assert await bench.log.get(f"{bench.plain}.a", 1) == last
    assert await collect(bench.log.read(f"{bench.plain}.a", 0, sequence)) == [last]
    assert await waiting == [await bench.log.get(f"{bench.plain}.a", second)]
    await followed.aclose()


async def test_sequences_are_the_streams_and_rise_over_all_its_subjects(bench: Bench) -> None:
    assert await bench.log.head(f"P{bench.plain[1:]}") == 0
    assert await fill(bench, 5, "a", "b") == [1, 2, 3, 4, 5]
    assert await bench.log.head(f"P{bench.plain[1:]}") == 5


async def test_a_writer_that_expects_an_older_end_is_refused_and_stores_nothing(bench: Bench) -> None:
    first = await bench.log.append(message(f"{bench.plain}.a", b"first", 0))
    for stale in (0, first + 1):
        with pytest.raises(Conflict, match=rf"{bench.plain}\.a at {stale}"):
            await bench.log.append(message(f"{bench.plain}.a", b"late", stale))
    assert [m.data for m in await collect(bench.log.read(f"{bench.plain}.a"))] == [b"first"]
    await bench.log.append(message(f"{bench.plain}.b", b"other", 0))
    await bench.log.append(message(f"{bench.plain}.a", b"second", first))


async def test_of_many_writers_on_one_end_exactly_one_wins(bench: Bench) -> None:
    tries = [bench.log.append(message(f"{bench.plain}.a", str(n).encode(), 0)) for n in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [o for o in outcomes if not isinstance(o, Conflict)] == [1]
    assert len(await collect(bench.log.read(f"{bench.plain}.>"))) == 1


async def test_even_the_same_bytes_conflict_when_the_first_append_was_acknowledged(bench: Bench) -> None:
    await bench.log.append(message(f"{bench.plain}.a", b"same", 0))
    with pytest.raises(Conflict):
        await bench.log.append(message(f"{bench.plain}.a", b"same", 0))


async def test_nothing_is_found_where_nothing_is(bench: Bench) -> None:
    await bench.log.append(message(f"{bench.plain}.a", b"x", 0))
    assert await bench.log.last(f"{bench.plain}.b") is None
    assert await bench.log.get(f"{bench.plain}.b", 1) is None
    assert await bench.log.get(f"{bench.plain}.a", 2) is None
    assert await collect(bench.log.read(f"{bench.plain}.b")) == []
    assert await collect(bench.log.read(f"{bench.plain}.a", 1)) == []
    assert await collect(bench.log.read(f"{bench.plain}.a", 7)) == []


async def test_get_finds_the_first_message_of_its_subject_at_or_after_a_sequence(bench: Bench) -> None:
    await fill(bench, 6, "a", "b")
    found = [await bench.log.get(f"{bench.plain}.b", sequence) for sequence in range(7)]
    assert [f.sequence if f else None for f in found] == [2, 2, 2, 4, 4, 6, 6]


async def test_the_last_message_of_a_wildcard_is_the_newest_of_all(bench: Bench) -> None:
    await fill(bench, 5, "a", "b.c", "d")
    found = [await bench.log.last(f"{bench.plain}.{pattern}") for pattern in (">", "*", "b.*", "e.*")]
    assert [f.sequence if f else None for f in found] == [5, 4, 5, None]


async def test_reading_one_of_several_interleaved_subjects_leaves_nothing_out(bench: Bench) -> None:
    await fill(bench, 1400, "a", "b", "c.d")
    every = await collect(bench.log.read(f"{bench.plain}.>"))
    assert [int(m.data) for m in every] == list(range(1400))
    assert [m.sequence for m in every] == list(range(1, 1401))
    for index, name in enumerate(("a", "b", "c.d")):
        only = await collect(bench.log.read(f"{bench.plain}.{name}"))
        assert [int(m.data) for m in only] == list(range(index, 1400, 3))
    one_token = await collect(bench.log.read(f"{bench.plain}.*", 100, 900))
    assert [m.sequence for m in one_token] == [n for n in range(101, 901) if n % 3]


@pytest.mark.parametrize("names", [("a",), ("a", "a", "a", "b")])
async def test_any_stretch_can_be_read(bench: Bench, names: tuple[str, ...]) -> None:
    sequences = await fill(bench, 700, *names)
    wanted = [s for s, n in zip(sequences, names * 700, strict=False) if n == "a"]
    for after, until in ((0, None), (0, 1), (5, 5), (9, 3), (249, 251), (100, 690), (698, None), (500, 10_000)):
        stretch = await collect(bench.log.read(f"{bench.plain}.a", after, until))
        assert [m.sequence for m in stretch] == [s for s in wanted if after < s <= (until or s)]


async def test_big_messages_among_small_ones_are_all_read(bench: Bench) -> None:
    last, sizes = 0, [900_000 if n % 40 > 25 else 20 for n in range(120)]
    for size in sizes:
        last = await bench.log.append(message(f"{bench.plain}.a", bytes(size), last))
    assert [len(m.data) for m in await collect(bench.log.read(f"{bench.plain}.a"))] == sizes


async def test_a_batch_is_stored_in_one_piece(bench: Bench) -> None:
    one, two = f"{bench.atomic}.one", f"{bench.atomic}.two"
    assert await bench.log.append_batch([message(one, b"1", 0, Topic="t"), message(two, b"2", 0)]) == 2
    assert await bench.log.append_batch([message(one, b"3", 1), message(one, b"4", None), message(two, b"5", 2)]) == 5
    stored = await collect(bench.log.read(f"{bench.atomic}.>"))
    assert [(m.subject, m.data) for m in stored] == [(one, b"1"), (two, b"2"), (one, b"3"), (one, b"4"), (two, b"5")]
    assert stored[0].headers == {"Topic": "t"}
    assert [m.sequence for m in stored] == [1, 2, 3, 4, 5]


async def test_a_batch_with_one_stale_expectation_stores_nothing(bench: Bench) -> None:
    one, two = f"{bench.atomic}.one", f"{bench.atomic}.two"
    await bench.log.append(message(two, b"taken", 0))
    with pytest.raises(Conflict):
        await bench.log.append_batch([message(one, b"1", 0), message(two, b"2", 0)])
    assert await bench.log.last(one) is None
    assert await bench.log.head(f"A{bench.atomic[1:]}") == 1


async def test_a_batch_of_one_message_is_an_append(bench: Bench) -> None:
    assert await bench.log.append_batch([message(f"{bench.atomic}.one", b"1", 0)]) == 1
    with pytest.raises(Conflict):
        await bench.log.append_batch([message(f"{bench.atomic}.one", b"1", 0)])


async def test_what_cannot_be_stored_whole_is_refused_with_a_reason(bench: Bench) -> None:
    a, b = f"{bench.plain}.a", f"{bench.atomic}.b"
    for refused, reason in (
        (message(a, bytes(1 << 20), 0), "split it"),
        (message(a, b"", None), "must say which sequence"),
        (message(f"{bench.plain}.*", b"", 0), "wildcard"),
        (message("nowhere.a", b"", 0), "lies in no stream"),
        (message(a, b"", 0, Topic="two\nlines"), "white space"),
        (Append(a, b"", {"Nats-Expected-Last-Sequence": "3"}, 0), "server's own"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            await bench.log.append(refused)
    for batch, reason in (
        ([], "a batch of 0"),
        ([message(b, b"", 0)] * 1001, "a batch of 1001"),
        ([message(a, b"", 0), message(f"{a}a", b"", 0)], "atomic stream"),
        ([message(a, b"", 0), message(b, b"", 0)], "one atomic stream"),
        ([message(b, b"", 0), message(b, b"", 0)], "first message"),
        ([message(b, b"", None)], "first message"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            await bench.log.append_batch(batch)
    assert await collect(bench.log.read(f"{bench.plain}.>")) == await collect(bench.log.read(f"{bench.atomic}.>")) == []


async def test_a_stream_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="NOWHERE"):
        await bench.log.head("NOWHERE")


async def test_a_block_of_960_kb_fits(bench: Bench) -> None:
    headers = {"Topic": "ticks", "First": "123456789", "Count": "15000"}
    await bench.log.append(Append(f"{bench.plain}.a", bytes(960_000), headers, 0))


async def test_a_stream_with_a_bound_keeps_the_newest_of_each_subject(bench: Bench) -> None:
    last = {"a": 0, "b": 0}
    for number in range(10):
        name = "ab"[number % 2]
        last[name] = await bench.log.append(message(f"{bench.short}.{name}", str(number).encode(), last[name]))
    assert [m.data for m in await collect(bench.log.read(f"{bench.short}.a"))] == [b"6", b"8"]
    assert [m.sequence for m in await collect(bench.log.read(f"{bench.short}.*"))] == [7, 8, 9, 10]


async def test_a_follower_gets_the_stored_and_then_every_new_message_once(bench: Bench) -> None:
    await fill(bench, 600, "a", "b")
    followed = bench.log.follow(f"{bench.plain}.*", 50)
    first = await take(followed, 550)
    waiting = asyncio.ensure_future(take(followed, 100))
    last = {"a": 599, "b": 600}
    for number in range(100):
        name = "ab"[number % 2]
        last[name] = await bench.log.append(message(f"{bench.plain}.{name}", str(600 + number).encode(), last[name]))
    assert [m.sequence for m in first + await waiting] == list(range(51, 701))
    await followed.aclose()


async def test_a_follower_of_one_subject_hears_nothing_of_the_others(bench: Bench) -> None:
    followed = bench.log.follow(f"{bench.plain}.b")
    waiting = asyncio.ensure_future(take(followed, 2))
    await fill(bench, 5, "a", "b")
    assert [m.data for m in await waiting] == [b"1", b"3"]
    await followed.aclose()


async def test_a_cancelled_follower_can_go_on_from_its_position(bench: Bench) -> None:
    await fill(bench, 3, "a")
    task = asyncio.ensure_future(take(bench.log.follow(f"{bench.plain}.a", 2), 2))
    while not task.done() and await bench.log.head(f"P{bench.plain[1:]}") != 3:
        pass
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await bench.log.append(message(f"{bench.plain}.a", b"new", 3))
    assert [m.sequence for m in await take(bench.log.follow(f"{bench.plain}.a", 3), 1)] == [4]
