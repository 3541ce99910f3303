"""From what a person asked for to a plan: choices are checked before a server starts, and a live play can go on."""

import contextlib
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.errors import InvalidInput, Unavailable, UnknownStrategy
from gateways.feeds.demo import demo_ticks
from gateways.feeds.files import FileSet
from gateways.file_feed import as_if_now, feed_files
from gateways.sequencer import Sequencer
from gateways.wanted import Wanted
from ops import plans
from ops.composition import open_log
from ops.plans import Unfed, open_plan
from ops.session import Plan, StrategyChoice, run_session
from ops.settings import Settings
from tests import canonical, logs
from tests.canonical import file_set

OPTIONS: dict[str, Any] = {"symbol": None, "venue": None, "format": "auto", "price": None, "strict": False}
DEMO = Wanted(["demo"], OPTIONS, ["ema_cross"], {}, [])
FILES = file_set(canonical.market_ticks(300, seed=3), "EURUSD")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        *(({"speed": speed}, f"--speed '{speed}' is not") for speed in ("", "0", "-1", "nan", "inf", "fast", "1e9")),
        ({"balance": Decimal(0)}, "--balance 0 is not above 0"),
        ({"balance": Decimal(-5)}, "--balance -5 is not above 0"),
        ({"balance": Decimal("1e10")}, "--balance 1E[+]10 is not above 0 and at most 1,000,000,000"),
        ({"balance": Decimal("0.0000000001")}, "--balance 1E-10 has more decimals"),
        *(({"currency": name}, f"--currency '{name}'") for name in ("", "usd", "EU", "EURO USD", "DOLLARUSD")),
        ({"policy": "reckless"}, "policy 'reckless' is not in this build; there are paper-default@1"),
        ({"policy": "paper-default@2"}, "policy 'paper-default@2'"),
        ({"calendar": Path("nowhere.csv")}, "nowhere.csv: cannot be read"),
        ({"strategies": ["ema cross"]}, "--strategy 'ema cross' is not a name"),
        ({"strategies": ["ema_cross@new"]}, "--strategy 'ema_cross@new'"),
        ({"parameters": {"fast": "-1"}}, "fast = '-1'"),
        ({"parameters": {"nope": "1"}}, "nope"),
        ({"strategies": [], "parameters": {"fast": "5"}}, "--param fast changes a strategy: name it with --strategy"),
        ({"feeds": ["demo:x"]}, "--feed 'demo:x' is not"),
        ({"feeds": ["tape:"]}, "--feed 'tape:' is not"),
        ({"feeds": ["file:"]}, "Give the path of a file"),
        ({"feeds": ["tape:a", "tape:b"]}, "--feed tape:a, tape:b"),
        ({"options": OPTIONS | {"venue": "not a venue"}, "feeds": ["file:x"]}, "--venue 'not a venue'"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_before_a_server_starts(
    settings: Settings, choice: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        async with open_plan(settings, DEMO._replace(**choice), lambda *_: None):
            pytest.fail("it must not open")
    assert not settings.data_dir.exists()


async def test_an_unknown_strategy_is_refused_before_a_server_starts(settings: Settings) -> None:
    for name in ("moon", "ema_cross@99"):
        with pytest.raises(UnknownStrategy, match=name.partition("@")[0]):
            async with open_plan(settings, DEMO._replace(strategies=[name]), lambda *_: None):
                pytest.fail("it must not open")
    assert not settings.data_dir.exists()


async def test_choices_become_a_plan(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "week.csv").write_text("time,currency,impact,title\n2018-06-13,USD,high,Rates\n")
    wanted = DEMO._replace(
        strategies=["ema_cross@v1"], parameters={"ema_cross.fast": "5", "m1_retest.reach": "3"}, symbols=["eurusd.m"],
        policy="bench-wide@1", balance=Decimal("0.5"), currency="EUR", calendar=tmp_path / "week.csv", speed="60",
    )  # fmt: skip
    async with open_plan(settings, wanted, lambda *_: None) as (plan, _):
        assert isinstance(plan, Plan)
        [choice] = plan.strategies
        assert (choice.name, choice.version, choice.parameters) == ("ema_cross", 1, {"fast": "5"})
        assert choice.symbols == ("EURUSD",)
        assert plan.policy is not None
        assert (plan.policy.name, plan.account, plan.live) == ("bench-wide", ("EUR", 500_000_000), False)
        assert plan.calendar is not None
        assert (plan.calendar[0], len(plan.calendar[1])) == ("week.csv", 1)
        assert plan.pace is not None


async def fed(settings: Settings, files: FileSet, taken: int = 99) -> None:
    """The desk's tape as a session with these files left it, or one that was cut after so many messages."""
    async with open_log(settings) as log:
        with contextlib.suppress(Unavailable):
            await run_session(logs.Failing(log, taken), settings.desk, Plan(files, [StrategyChoice("ema_cross")]))


async def unfed(settings: Settings, **choice: Any) -> Plan | Unfed:
    """What a desk does that is started without --feed."""
    wanted = DEMO._replace(feeds=[], strategies=[])._replace(**choice)
    async with open_plan(settings, wanted, lambda *_: None) as (found, _):
        return found


async def test_without_a_feed_a_new_desk_plays_the_demo_and_goes_on_with_it(settings: Settings) -> None:
    for taken in (0, 99):
        await fed(settings, demo_ticks(), taken)
        found = await unfed(settings)
        assert isinstance(found, Plan)
        assert (found.files.identity, found.strategies) == (demo_ticks().identity, [])


async def test_without_a_feed_a_desk_that_had_another_one_plays_nothing_and_says_how_to_go_on(
    settings: Settings,
) -> None:
    says, known = set(), r"the tape of desk main ends at \S+Z, (.*); give --feed to go on"
    for taken in (2, 9, 10, 99):  # cut in the opening, among the first messages of the feed, then whole
        await fed(settings, FILES, taken)
        found = await unfed(settings)
        assert isinstance(found, Unfed)
        told = re.fullmatch(known, found.says)
        assert told, found
        says.add(told[1])
    assert {"before its first feed began", "its feed of ticks.csv is complete"} <= says
    assert says - {"its feed of ticks.csv is complete", "before its first feed began"} <= {
        f"its feed of ticks.csv stopped at tick {done} of 300" for done in (0, 300)
    }


@pytest.mark.parametrize(
    "choice",
    [
        {"strategies": ["ema_cross"]}, {"policy": "bench-wide"}, {"balance": Decimal(5)}, {"currency": "EUR"},
        {"symbols": ["EURUSD"]}, {"engines": Path()},
    ],
)  # fmt: skip
async def test_what_is_put_on_the_tape_with_a_feed_is_refused_without_one(
    settings: Settings, choice: dict[str, Any]
) -> None:
    await fed(settings, FILES)
    with pytest.raises(InvalidInput, match=r"are put on the tape with a feed: .* give --feed to go on"):
        await unfed(settings, **choice)


async def test_a_dataset_is_nothing_that_a_desk_goes_on_with(settings: Settings) -> None:
    async with open_log(settings) as log, Sequencer.open(StoredTape(log, settings.desk)) as writer:
        await feed_files(writer, FILES)
    with pytest.raises(InvalidInput, match="tape 'main' is a dataset"):
        await unfed(settings)


async def test_what_was_not_chosen_is_left_as_it_stands(settings: Settings) -> None:
    async with open_plan(settings, DEMO, lambda *_: None) as (plan, _):
        assert isinstance(plan, Plan)
        assert (plan.policy, plan.account, plan.calendar, plan.pace, plan.live) == (None, None, None, None, False)
    async with open_plan(settings, DEMO._replace(currency="EUR"), lambda *_: None) as (plan, _):
        assert isinstance(plan, Plan)
        assert plan.account == ("EUR", None)
    async with open_plan(settings, DEMO._replace(speed="live"), lambda *_: None) as (plan, _):
        assert isinstance(plan, Plan)
        assert plan.live
        assert abs(int(plan.files.ticks["event_time"][0]) - time.time_ns()) < 60 * 10**9


# -- a recording played live -------------------------------------------------------------------------------------------


async def played(log: Any, files: FileSet) -> FileSet:
    return await plans._as_if_live(log, "main", files)


async def test_a_live_play_that_was_interrupted_goes_on_and_a_finished_one_is_played_anew() -> None:
    log = MemoryLog()
    first = await played(log, FILES)
    with pytest.raises(Unavailable):
        async with Sequencer.open(StoredTape(logs.Failing(log, 4), "main")) as writer:
            await feed_files(writer, first)
    assert (await played(log, FILES)).identity == first.identity
    other = file_set(canonical.market_ticks(300, seed=4), "EURUSD")
    assert (await played(log, other)).identity != as_if_now(other, int(first.ticks["event_time"][0])).identity
    async with Sequencer.open(StoredTape(log, "main")) as writer:
        await feed_files(writer, await played(log, FILES))
    assert (await played(log, FILES)).identity != first.identity
