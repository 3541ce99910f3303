"""The sessions that the fault tests interrupt: their input, how it is fed, and what an uninterrupted run leaves behind.

The small one trades two instruments through everything that happens to a desk: fills and exits, verdicts for and
against, halts and resumes, a breached limit, orders from outside, another policy. The year is a real one.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from adapters import subjects
from adapters.memory import MemoryLog
from adapters.snapshots import SnapshotStore
from adapters.subjects import COUNT, FIRST, TOPIC
from adapters.tape_log import StoredTape
from domain.instructions import (
    CalendarImported,
    CancelRequested,
    Instructed,
    Instruction,
    NewsEntry,
    SignalSubmitted,
    TradingHalted,
    TradingResumed,
)
from domain.policy import PAPER_DEFAULT, Limits, Policy
from domain.ports import Log
from domain.tape import TICK, Ticks
from gateways.feeds.files import FeedOptions, FileSet, read_files
from gateways.sequencer import Sequencer
from ops.core import Core
from ops.session import Plan, StrategyChoice, activations_of, carry_out
from tests import canonical
from tests.canonical import SAID, file_set, market_ticks, ordered

DESK = "main"
YEAR = Path("m1", "binarycom_EURUSD_M1_2018.csv.gz")  # of the shared data
SYMBOLS = ("EURUSD", "GBPUSD")
ACCOUNT = ("USD", 100_000 * 10**9)

Script = Sequence[Plan | Instruction]  # feeds one behind the other, and what is said between them
Reach = Callable[[int], Coroutine[Any, Any, None]]


def _sized_ticks() -> Ticks:
    """Two instruments whose quotes are good for 10,000 to 70,000 units: what is larger fills in parts."""
    ticks = market_ticks(16_000, seed=2, symbols=2, seconds=8)
    for side in ("bid_size", "ask_size"):
        ticks[side] = (1 + ticks["reference"] % 7) * 10_000 * 10**9
    return ticks


TICKS = _sized_ticks()


def _policy(name: str, **limits: Any) -> Policy:
    """The canonical policy with these limits, where a quote is good for its size alone."""
    base = canonical.POLICY
    market = base.market.model_copy(update={"depth": "displayed", "levels_max": 1})
    changes = {"name": name, "market": market, "limits": base.limits.model_copy(update=limits)}
    return base.model_copy(update=changes)


def _script() -> Script:
    ample, tight = _policy("ample", daily_loss_ppm=50_000), _policy("tight")
    retests, crossings, slower = (
        StrategyChoice("m5_bos_retest"),
        *(StrategyChoice("ema_cross", parameters={"fast": 3, "slow": slow, "on": "ticks"}) for slow in (9, 12)),
    )
    both, cuts = [retests, crossings], (0, 3_500, 4_500, 9_000, 10_500, 16_000)
    terms = [(both, ample), (both, ample), (both, ample), ([retests, slower], tight), ([retests], ample)]
    plans = [
        Plan(file_set(TICKS[start:stop], *SYMBOLS, name=f"from-{start}.csv"), strategies, policy, ACCOUNT)
        for start, stop, (strategies, policy) in zip(cuts, cuts[1:], terms, strict=False)
    ]
    price, news_ns = int(TICKS["ask"][4_500]), int(TICKS["receive_time"][6_000])
    return [
        plans[0],
        TradingHalted(id="lunch", **SAID, reason="lunch", flatten=True),
        plans[1],
        TradingResumed(id="lunch-is-over", **SAID, reason="lunch is over"),
        CalendarImported(
            id="news", **SAID, source="news.csv",
            entries=(NewsEntry(time_ns=news_ns, currency="USD", impact=3, title="Rates"),),
        ),
        ordered("bracket", type="market", stop_nanos=price - 30_000_000, target_nanos=price + 30_000_000),
        ordered("far", type="limit", side="sell", limit_nanos=price + 90_000_000, time_in_force="day"),
        CancelRequested(id="cancel", **SAID, order=1),  # number 1 is no order
        SignalSubmitted(
            id="theirs", **SAID, strategy="hand_made", symbol="GBPUSD", side="buy",
            entry_nanos=price, stop_nanos=price - 20_000_000, target_nanos=price + 20_000_000,
        ),
        plans[2],
        plans[3],
        TradingResumed(id="after-the-breach", **SAID, reason="the limit was looked at"),
        plans[4],
    ]  # fmt: skip


SCRIPT = _script()


def year(path: Path) -> FileSet:
    """A file of real bars."""
    return read_files([path], FeedOptions())


def year_plan(files: FileSet) -> Plan:
    """A year in which nothing stops trading for good: the default policy without a limit on losses."""
    unlimited = PAPER_DEFAULT.model_copy(
        update={"name": "paper-unlimited", "limits": Limits(daily_loss_ppm=None, max_loss_ppm=None)}
    )
    return Plan(files, [StrategyChoice("m5_bos_retest")], unlimited, ACCOUNT)


def script_of(file: str) -> Script:
    """The year of a file, or without one the small session."""
    return [year_plan(year(Path(file)))] if file else SCRIPT


async def _at_once(_: int) -> None:
    return


async def feed(sequencer: Sequencer, ahead_of: Reach = _at_once, script: Script = SCRIPT) -> None:
    """All of the input onto the tape, or what is not there yet."""
    async with aclosing(sequencer.tape.read()) as pages:
        said = {m.instruction.id async for page in pages for m in page if isinstance(m, Instructed)}
    for item in script:
        if isinstance(item, Plan):
            if item.files.identity[:16] not in sequencer.standing.completed:
                await carry_out(item, activations_of(item), sequencer, ahead_of)
        elif item.id not in said:
            await sequencer.submit(item)


class Recording(NamedTuple):
    """What stands on the log, apart from how it was cut into messages: the tape's records and instructions in order,
    the ledger's lines in order, as bytes; and the newest snapshot of the engine."""

    tape: list[bytes]
    ledger: list[bytes]
    state: bytes | None


async def recording(log: Log, tape: str = DESK, desk: str = DESK) -> Recording:
    """Read both subjects whole; every message must begin where the one before it ended."""
    state = await SnapshotStore(log, desk).load()
    return Recording(await _items(log, subjects.tape(tape)), await _items(log, subjects.ledger(desk)), state)


async def _items(log: Log, subject: str) -> list[bytes]:
    items: list[bytes] = []
    async with aclosing(log.read(subject)) as pages:
        async for page in pages:
            for message in page:
                kind, data, first = message.headers[TOPIC].partition("+")[0], message.data, len(items) + 1
                if kind == "ticks":
                    found = [data[at : at + TICK.itemsize] for at in range(0, len(data), TICK.itemsize)]
                elif kind == "commit":
                    found = data.split(b"\n")
                    assert [json.loads(line)["number"] for line in found] == [*range(first, first + len(found))]
                else:
                    found = [data]
                assert (int(message.headers[FIRST]), int(message.headers[COUNT])) == (first, len(found))
                items += found
    return items


async def uninterrupted(script: Script = SCRIPT) -> Recording:
    """The same session in one piece: one process, blocks of the usual size, a log in memory."""
    log = MemoryLog()
    tape = StoredTape(log, DESK)
    async with Sequencer.open(tape) as sequencer:
        await feed(sequencer, script=script)
    await Core(log, DESK, tape).run(until=sequencer.end.ordinal)
    return await recording(log)


class Reported(NamedTuple):
    """What a worker said is durable: everything up to this tape ordinal and this ledger number."""

    ordinal: int = 0
    number: int = 0


def reports(folder: Path, role: str) -> Path:
    """Where the standard output of a role's workers goes, a line `ordinal number` a report, in all of their lives."""
    return folder / f"{role}.reports"


def reported(folder: Path, role: str) -> Reported:
    """The most that was reported in any life."""
    try:
        lines = reports(folder, role).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        lines = []
    pairs = [[int(word) for word in line.split()] for line in lines] or [[0, 0]]
    return Reported(*(max(column) for column in zip(*pairs, strict=True)))
