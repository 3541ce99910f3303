"""The desk's operations on embedded servers of their own: what `cdb` does, without the terminal."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInput, UnknownStrategy
from domain.instructions import SignalSubmitted
from domain.ports import Append
from gateways.halt_latch import HaltLatch
from gateways.times import time_ns
from gateways.wanted import Wanted
from ops.bench.workloads import write_csv
from ops.composition import open_log
from ops.control import instruct, said
from ops.desk import Desk
from ops.settings import load

OPTIONS: dict[str, Any] = {"symbol": None, "venue": None, "format": "auto", "price": None, "strict": False}
OPTIONS |= {"spread_pips": None}


def no_progress(stage: str, done: int, total: int, unit: str) -> None:
    assert done <= total
    assert unit


class Shell:
    """A data folder, and `cdb` commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def desk(self, name: str = "main") -> Desk:
        return Desk(data_dir=self.folder / "data", desk=name)

    def csv(self, name: str, count: int = 2000) -> Path:
        path = self.folder / name
        write_csv(path, count)
        return path

    async def run(self, *feeds: str, desk: str = "main", strategies: Any = ("ema_cross",), **more: Any) -> Any:
        parameters, symbols = more.pop("parameters", {}), more.pop("symbols", ())
        options = OPTIONS | {"default_symbol": symbols[0] if symbols else None}
        wanted = Wanted(feeds, options, strategies, parameters, symbols, **more)
        return await self.desk(desk).run(wanted, no_progress)


@pytest.fixture
def cdb(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


async def test_the_demo_runs_verifies_and_adds_nothing_again(cdb: Shell) -> None:
    report = await cdb.run("demo", strategies=["m5_bos_retest"])
    assert report["ticks_added"] == 104_700
    assert report["signals"] == 30
    again = await cdb.run("demo", strategies=["m5_bos_retest"])
    assert (again["ticks_added"], again["signals"], again["events"]) == (0, 0, report["events"])
    found = await cdb.desk().verify(no_progress)
    assert (found["checked"], found["diverged"], found["problem"]) == (report["events"], 0, None)
    signals = await cdb.desk().signals(None, None, None, None)
    numbers = [int(signal["signal_id"].removeprefix("main:")) for signal in signals]
    assert (len(numbers), numbers[0], numbers) == (30, 6, sorted(set(numbers)))
    assert {signal["symbol"] for signal in signals} == {"EURUSD"}
    assert all(len(signal["entry"].partition(".")[2]) == 9 for signal in signals)


async def test_a_signal_from_outside_is_listed_by_the_time_at_which_it_came(cdb: Shell) -> None:
    await cdb.run("demo")
    asked = said(SignalSubmitted, strategy="tv", symbol="EURUSD", side="buy", entry_nanos=1_090_000_000)
    async with open_log(load(data_dir=cdb.folder / "data")) as log:
        assert (await instruct(log, "main", asked, HaltLatch(cdb.folder, "main"))).applied
    desk, day = cdb.desk(), time_ns("2024-03-06T23:59")
    [row] = await desk.signals(None, "tv", day, None)
    assert (row["bar_time"], row["occurred_at"][:16], row["version"]) == (None, "2024-03-06T23:59", 0)
    assert await desk.signals(None, "tv", None, day) == []
    for kind in ("signal_id", "position"):  # both are what cdb why takes
        assert (await desk.why(row[kind]))["asked"] == row[kind]
    every = await desk.signals(None, None, None, None)
    assert len(every) == len(await desk.signals(None, None, 0, day)) + len(await desk.signals(None, None, day, None))
    assert len({row["position"] for row in every} & {row["signal_id"] for row in every}) == 0


async def test_an_order_comes_back_with_its_verdict(cdb: Shell) -> None:
    await cdb.run("demo")
    order = {"symbol": "EURUSD", "side": "buy", "type": "market", "time_in_force": "gtc", "expires_at_ns": 0}
    placed = await cdb.desk().order(order | {"lots": Decimal("0.1"), "stop": Decimal("1.08")})
    assert (placed["verdict"]["verdict"], placed["verdict"]["quantity"]) == ("approved", "10000.000000000")
    assert placed["order"] in [row["id"] for row in (await cdb.desk().status())["orders"]]
    refused = await cdb.desk().order(order | {"lots": Decimal("0.1")})
    assert (refused["verdict"]["verdict"], refused["order"], refused["applied"]) == ("refused", None, True)
    late = await cdb.desk().order(
        order | {"lots": Decimal(1), "type": "limit", "limit": Decimal(1), "expires_at_ns": 5}
    )
    assert (late["applied"], late["verdict"], late["order"]) == (False, None, None)
    before = await cdb.desk().tapes()
    with pytest.raises(InvalidInput, match="above"):
        await cdb.desk().order(order | {"lots": Decimal(101)})
    assert await cdb.desk().tapes() == before
    far = await cdb.desk().order(order | {"lots": Decimal(1), "type": "limit", "limit": Decimal(5_000)})
    assert (far["applied"], "more than 100 times the market's" in far["reason"]) == (False, True)


async def test_files_by_name_and_by_tape_are_the_same_feed(cdb: Shell) -> None:
    made = await cdb.desk().ingest([cdb.csv("EURUSD.csv")], OPTIONS, None, no_progress)
    assert (made["ticks_added"], made["rows_rejected"], made["rejects"]) == (2000, 0, None)
    assert (await cdb.run(f"tape:{made['tape']}"))["ticks_added"] == 2000
    assert (await cdb.run(f"file:{cdb.folder / 'EURUSD.csv'}"))["ticks_added"] == 0
    tapes = await cdb.desk().tapes()
    assert [tape["tape"] for tape in tapes] == [made["tape"], "main"]
    assert all(tape["records"] > 2000 and tape["problem"] is None for tape in tapes)


async def test_one_broken_tape_hides_no_other(cdb: Shell) -> None:
    await cdb.run("demo")
    async with open_log(load(data_dir=cdb.folder / "data")) as log:
        await log.append(Append("tape.foreign", b"hello", {}, 0))
    broken, good = await cdb.desk().tapes()
    assert "not a number" in broken["problem"]
    assert (good["tape"], good["problem"]) == ("main", None)


async def test_a_parameter_can_be_of_one_strategy(cdb: Shell) -> None:
    feed = f"file:{cdb.csv('EURUSD.csv')}"
    both = ("ema_cross", "m5_bos_retest")
    with pytest.raises(InvalidInput, match="fast"):
        await cdb.run(feed, strategies=both, parameters={"fast": "5"})
    assert (await cdb.run(feed, strategies=both, parameters={"ema_cross.fast": "5"}))["ticks_added"] == 2000


async def test_a_file_keeps_the_symbol_that_its_name_says(cdb: Shell) -> None:
    pound, nameless = f"file:{cdb.csv('GBPUSD.csv')}", f"file:{cdb.csv('quotes.csv', 2100)}"
    with pytest.raises(InvalidInput, match="EURUSD is not in the feed, which has GBPUSD"):
        await cdb.run(pound, symbols=["EURUSD"])
    assert (await cdb.run(nameless, symbols=["EURUSD.m"], desk="other"))["ticks_added"] == 2100


@pytest.mark.parametrize("feeds", [("ticks.csv",), ("tape:",), ("demo", "demo"), ("demo", "file:x.csv"), ("live",)])
async def test_a_feed_that_is_none_is_refused(cdb: Shell, feeds: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="--feed"):
        await cdb.run(*feeds)
    assert not (cdb.folder / "data" / "nats").exists()


async def test_what_cannot_be_is_refused_before_anything_is_written(cdb: Shell) -> None:
    feed = f"file:{cdb.csv('EURUSD.csv')}"
    with pytest.raises(UnknownStrategy, match="nope"):
        await cdb.run(feed, strategies=["nope"])
    with pytest.raises(InvalidInput, match="ema cross"):
        await cdb.run(feed, strategies=["ema cross"])
    with pytest.raises(InvalidInput, match="no tape is named 'main'; there are none"):
        await cdb.desk().verify(no_progress)
    with pytest.raises(InvalidInput, match="holds no ticks"):
        await cdb.run("tape:unknown")


async def test_a_desk_is_not_fed_by_ingest_and_a_mistyped_one_is_named(cdb: Shell) -> None:
    feed = cdb.csv("EURUSD.csv")
    await cdb.run(f"file:{feed}")
    with pytest.raises(InvalidInput, match="desk's own"):
        await cdb.desk().ingest([cdb.csv("EURUSD_b.csv", 50)], OPTIONS, "main", no_progress)
    for question in (cdb.desk("mian").verify(no_progress), cdb.desk("mian").signals(None, None, None, None)):
        with pytest.raises(InvalidInput, match="no tape is named 'mian'; there are main"):
            await question


async def test_rejected_rows_stand_in_a_file(cdb: Shell) -> None:
    path = cdb.csv("EURUSD.csv", 100)
    path.write_text(path.read_text() + "soon,1.1,1.2\n")
    made = await cdb.desk().ingest([path], OPTIONS, None, no_progress)
    assert made["rows_rejected"] == 1
    assert "102" in Path(made["rejects"]).read_text()


def test_strategies_and_settings_can_be_listed(cdb: Shell) -> None:
    assert {row["strategy"] for row in cdb.desk().strategies()} == {"ema_cross", "m1_retest", "m5_bos_retest"}
    assert {row["variable"] for row in cdb.desk().settings()} >= {"CDB_DATA_DIR", "CDB_NATS_URL"}


async def test_a_benchmark_that_is_none_is_refused(cdb: Shell) -> None:
    with pytest.raises(InvalidInput, match="no benchmark 'nope'; there are handler"):
        await cdb.desk().bench(["nope"], print)


@pytest.mark.parametrize("what", ["rejects", "bench"])
async def test_whoever_makes_the_data_folder_first_makes_it_private(cdb: Shell, what: str) -> None:
    if what == "rejects":
        path = cdb.csv("EURUSD.csv", 100)
        path.write_text(path.read_text() + "soon,1.1,1.2\n")
        await cdb.desk().ingest([path], OPTIONS, None, no_progress)
    else:
        with pytest.raises(InvalidInput, match="no benchmark"):
            await cdb.desk().bench(["nope"], print)
    for folder in (cdb.folder / "data", cdb.folder / "data" / what):
        assert folder.stat().st_mode & 0o077 == 0


async def test_a_data_folder_that_cannot_be_is_one_clear_line(cdb: Shell) -> None:
    (cdb.folder / "data").write_text("a file stands in its place")
    path = cdb.csv("EURUSD.csv", 100)
    path.write_text(path.read_text() + "soon,1.1,1.2\n")
    for command in (cdb.desk().ingest([path], OPTIONS, None, no_progress), cdb.desk().bench(["append"], print)):
        with pytest.raises(InvalidInput, match=r"data directory .* cannot be used: .*--data-dir"):
            await command
