"""An older engine in a process of its own: the right wheel is found, and it decides as it did when it was released."""

import json
import os
import zipfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import domain
from domain.engine import ENGINE
from domain.errors import TapeBroken
from domain.instructions import EngineActivated, Instructed
from domain.migration import migrate, place
from domain.tape import Block
from ops.older_engine import NoEngine, OlderEngine, find_wheel, older_engine
from tests import canonical
from tests.golden import shapes
from tests.ops.wheels import OLD, OLD_LAST, OLD_SCRIPT, WHEEL, opening, wheel

CONFIDENT = ("domain/signals/ema_cross.py", "price, price, 0, 0, 1_000_000", "price, price, 0, 0, 999_999")


async def decided(engine: OlderEngine, messages: Iterable[Block | Instructed]) -> list[bytes]:
    """The ledger that an older engine makes of messages."""
    return [line for message in messages for line in await engine.fold(message)]


async def test_it_decides_what_it_decided_when_it_was_released_whatever_stands_in_this_tree(tmp_path: Path) -> None:
    """Its ledger of the golden tape was pinned then."""
    folder = tmp_path / "older wheels, kept"
    folder.mkdir()
    wheel(folder)
    ticks = canonical.with_minutes(canonical.market_ticks(6_000, seed=20, symbols=2))
    script: list[Any] = [
        *opening("m5_bos_retest", "ema_cross"),
        ticks[:3_000],
        canonical.activated("m5_bos_retest", "EURUSD", "XAUUSD", id="refused"),
        canonical.activated("ema_cross", "EURUSD", id="changed", fast=30),
        ticks[3_000:],
    ]
    async with older_engine(folder, OLD) as engine:
        lines = await decided(engine, canonical.messages(script))
        assert engine.name == WHEEL.name
    pinned = json.loads((Path(shapes.__file__).parent / "ledgers.json").read_bytes())[str(OLD)]
    assert (len(lines), sha256(b"\n".join(lines)).hexdigest()) == (pinned["events"], pinned["ledger"])


async def test_another_process_goes_on_from_its_snapshot(tmp_path: Path) -> None:
    cut = 700
    messages = list(canonical.messages(OLD_SCRIPT, [cut]))
    before, after = [m for m in messages if m[0] <= cut], [m for m in messages if m[0] > cut]
    wheel(tmp_path)
    async with older_engine(tmp_path, OLD) as engine:
        first = await decided(engine, before)
        state = await engine.snapshot()
        rest = await decided(engine, after)
        whole = await engine.snapshot()
    async with older_engine(tmp_path, OLD) as engine:
        assert await engine.restore(state)
        assert (engine.ordinal, engine.number) == (cut, len(first))
        assert await decided(engine, after) == rest
        assert (engine.ordinal, engine.number) == (OLD_LAST, len(first) + len(rest))
        assert await engine.snapshot() == whole
    assert len(rest) > 5


async def test_a_change_in_a_kernel_of_the_wheel_changes_what_it_decides(tmp_path: Path) -> None:
    ledgers = []
    for name, edits in (("released", []), ("changed", [CONFIDENT])):
        (tmp_path / name).mkdir()
        wheel(tmp_path / name, *edits)
        async with older_engine(tmp_path / name, OLD) as engine:
            ledgers.append(await decided(engine, canonical.messages(OLD_SCRIPT)))
    assert ledgers[0] != ledgers[1]


async def test_a_tape_that_is_not_whole_is_refused_with_the_engines_own_words(tmp_path: Path) -> None:
    wheel(tmp_path)
    newer = EngineActivated(id="newer", **canonical.SAID, engine=OLD + 1)
    async with older_engine(tmp_path, OLD) as engine:
        with pytest.raises(TapeBroken, match="ordinal 1 is missing on the tape: the next message starts at 5"):
            await engine.fold(Instructed(5, newer))
        with pytest.raises(TapeBroken, match=f"the tape activates engine {OLD + 1} at ordinal 1"):
            await engine.fold(Instructed(1, newer))


async def test_a_snapshot_that_it_cannot_read_changes_nothing(tmp_path: Path) -> None:
    wheel(tmp_path)
    async with older_engine(tmp_path, OLD) as engine:
        for data in (b"", b"garbage", b'{"engine":1}\n'):
            assert not await engine.restore(data)
        assert (engine.ordinal, engine.number) == (0, 0)
        await engine.fold(Instructed(1, canonical.INSTRUCTIONS["feed_completed"]))


async def test_an_engine_that_keeps_its_snapshots_in_a_module_is_run_too(tmp_path: Path) -> None:
    """As engines do since the second: here this very tree's, which also knows what it takes over with."""
    tree = Path(domain.__file__).parent
    with zipfile.ZipFile(tmp_path / "this.whl", "w") as archive:
        for file in tree.rglob("*.py"):
            archive.write(file, Path("domain", file.relative_to(tree)))
    left = (Path(shapes.__file__).parent / "snapshots" / "engine_1.bin").read_bytes()
    taken = migrate(left)
    stands = place(taken)
    async with older_engine(tmp_path, ENGINE) as engine:
        assert await engine.migrate(left) == taken
        assert await engine.restore(taken)
        assert (ENGINE, engine.ordinal, engine.number) == stands
        activated = EngineActivated(id="taken", **canonical.SAID, engine=ENGINE)
        lines = await engine.fold(Instructed(engine.ordinal + 1, activated))
        assert sha256(taken).hexdigest().encode() in b"".join(lines)
        state = await engine.snapshot()
        assert not await engine.restore(left)
        assert await engine.restore(state)


async def test_what_the_engine_prints_does_not_stand_between_its_answers(tmp_path: Path) -> None:
    wheel(tmp_path, ("domain/engine.py", "\nENGINE = 1\n", "\nENGINE = 1\nprint('hello')\n"))
    async with older_engine(tmp_path, OLD) as engine:
        assert await engine.fold(Instructed(1, canonical.INSTRUCTIONS["feed_completed"])) == []


async def test_an_engine_that_fails_is_told_with_its_last_words_and_leaves_no_process(tmp_path: Path) -> None:
    wheel(tmp_path, ("domain/engine.py", "        self.ordinal = 0\n", "        self.ordinal = 0 // 0\n"))
    with pytest.raises(NoEngine, match=f"engine 1 of {WHEEL.name} does not run here: ZeroDivisionError"):
        async with older_engine(tmp_path, OLD):
            pass


async def test_an_engine_that_is_killed_is_told(tmp_path: Path) -> None:
    wheel(tmp_path)
    async with older_engine(tmp_path, OLD) as engine:
        os.kill(engine._process.pid, 9)
        with pytest.raises(NoEngine, match="does not run here: it was stopped"):
            await engine.snapshot()
        with pytest.raises(NoEngine):
            await engine.snapshot()


async def test_the_number_in_the_source_must_be_the_one_that_runs(tmp_path: Path) -> None:
    wheel(tmp_path, ("domain/engine.py", "\nENGINE = 1\n", "\nENGINE = 1\nENGINE += 1\n"))
    with pytest.raises(NoEngine, match=r"engine 1 was asked for, and .* is engine 2"):
        async with older_engine(tmp_path, OLD):
            pass


async def test_nothing_of_a_wheel_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    wheel(tmp_path)
    async with older_engine(tmp_path, OLD) as engine:
        await engine.fold(Instructed(1, canonical.INSTRUCTIONS["feed_completed"]))
        assert list(scratch.glob("*/domain/engine.py"))
    assert not list(scratch.iterdir())


# -- which wheel -------------------------------------------------------------------------------------------------------


def test_every_wheel_that_is_not_the_one_is_named_with_what_it_holds(tmp_path: Path) -> None:
    wheel(tmp_path, ("domain/engine.py", "\nENGINE = 1\n", "\nENGINE: int = 7  # the newest\n"), name="seven.whl")
    wheel(tmp_path, ("domain/engine.py", "\nENGINE = 1\n", "\nTURBINE = 1\n"), name="unnumbered.whl")
    (tmp_path / "broken.whl").write_bytes(WHEEL.read_bytes()[:5_000])
    (tmp_path / "folder.whl").mkdir()
    (tmp_path / "notes.txt").write_text("no wheel")
    with pytest.raises(NoEngine) as told:
        find_wheel(tmp_path, OLD)
    said = str(told.value)
    assert f"no wheel in {tmp_path} has engine 1 (broken.whl: not readable (" in said
    assert "folder.whl: not readable (" in said
    assert "seven.whl: engine 7, unnumbered.whl: no ENGINE in domain/engine.py); put it there" in said
    assert find_wheel(tmp_path, 7).name == "seven.whl"


def test_a_foreign_wheel_or_a_broken_one_does_not_hide_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "broken.whl").write_bytes(b"PK")
    assert find_wheel(wheel(tmp_path).parent, OLD).name == WHEEL.name


def test_two_wheels_of_one_engine_are_one_too_many(tmp_path: Path) -> None:
    wheel(tmp_path, name="a.whl")
    wheel(tmp_path, CONFIDENT, name="b.whl")
    with pytest.raises(NoEngine, match=r"engine 1 is in 2 wheels of .*: a\.whl and b\.whl; leave one of them there"):
        find_wheel(tmp_path, OLD)


@pytest.mark.parametrize("missing", ["nowhere", "a file"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a file").write_bytes(b"")
    with pytest.raises(NoEngine, match=f"{missing} is not a folder"):
        find_wheel(tmp_path / missing, OLD)


def test_an_empty_folder_has_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(NoEngine, match=r"has engine 1 \(there is no wheel\); put it there"):
        find_wheel(tmp_path, OLD)


async def test_a_wheel_whose_engine_is_damaged_is_named(tmp_path: Path) -> None:
    data = bytearray(wheel(tmp_path).read_bytes())
    data[data.index(b"domain/bars.py") + 40] ^= 0xFF
    (tmp_path / WHEEL.name).write_bytes(data)
    with pytest.raises(NoEngine, match=f"{WHEEL.name} could not be unpacked"):
        async with older_engine(tmp_path, OLD):
            pass
