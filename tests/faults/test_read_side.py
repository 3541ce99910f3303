"""The real year, EURUSD of 2018, with its read side beside it: PostgreSQL and the projector killed at random moments.

The desk must decide what it decides undisturbed, and every read model must be what a fold from the first event gives;
also when the whole database was thrown away.
"""

import asyncio
import json
import random
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from adapters import processes
from gateways.asked_moment import NOW
from ops.composition import open_postgres
from ops.settings import load
from projections.catalogue import READ_MODELS
from tests.faults.session import YEAR
from tests.ops.desks import Cdb, Ended, until

ROUNDS = 3
DEADLINE_S = 300
KILLS_AT_REST = 6
FIGURES = ("ordinal", "events", "signals", "approved", "refused", "fills", "trades", "balance_nanos", "equity_nanos")


@pytest.fixture
async def cdb(passable_tmp: Path) -> AsyncIterator[Cdb]:
    desk = Cdb(passable_tmp / "data", dashboard=True)
    yield desk
    await desk.close()


def read_side(parent: Process) -> psutil.Process | None:
    """The process beside a desk that runs."""
    try:
        children = psutil.Process(parent.pid).children()
        return next((child for child in children if "projector" in child.cmdline()), None)
    except psutil.NoSuchProcess:
        return None


def runs(process: Process) -> psutil.Process | None:
    """The process, unless it is gone."""
    try:
        found = psutil.Process(process.pid)
        return found if processes.alive(found) else None
    except psutil.NoSuchProcess:
        return None


async def kill(cdb: Cdb, dice: random.Random, side: psutil.Process | None, story: list[str]) -> None:
    """Kill PostgreSQL, the process of projector and API, or both; what is not there is not killed."""
    victims = {"postgres": cdb.postgres(), "read side": side}
    for name in dice.choice((["postgres"], ["read side"], ["postgres", "read side"])):
        victim = victims[name]
        if victim is not None and processes.alive(victim):
            await asyncio.to_thread(processes.kill, victim)
            story.append(name)


async def finished(process: Process) -> Ended:
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], err.decode())


async def every_row(cdb: Cdb) -> dict[str, str]:
    """A hash of every table's rows."""
    found = {}
    async with open_postgres(load(data_dir=cdb.path)) as postgres:
        connection = await asyncpg.connect(await postgres.start())
        try:
            for table in (table.name for model in READ_MODELS for table in model.tables):
                found[table] = await connection.fetchval(
                    f"SELECT count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) "
                    f"FROM desk_main.{table} AS t"
                )
        finally:
            await connection.close()
    return found


async def assert_equal_to_a_fold(cdb: Cdb) -> None:
    found = await cdb.desk().verify_projections([], lambda *_: None)
    assert {row["model"]: row["different"] for row in found} == {model.name: 0 for model in READ_MODELS}, found
    assert sum(row["checked"] for row in found) > 100_000


async def caught_up(cdb: Cdb) -> bool:
    return all(row["state"] == "current" for row in await cdb.desk().projections())


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_year_whose_read_side_is_killed_at_random_trades_the_same_and_reads_the_same(
    cdb: Cdb, shared_data: Path
) -> None:
    feed = ("--feed", f"file:{shared_data / YEAR}", "--exit-when-done", "--json")
    async with asyncio.timeout(DEADLINE_S):
        [undisturbed] = (await finished(await Cdb(cdb.path.with_name("undisturbed")).start("up", *feed))).rows
    for _ in range(ROUNDS):
        seed, story = random.randrange(2**32), list[str]()
        dice = random.Random(seed)
        try:
            await one_round(cdb, feed, undisturbed, dice, story)
        except BaseException as error:
            error.add_note(f"seed {seed}, killed: {', '.join(story) or 'nothing yet'}")
            raise
        shutil.rmtree(cdb.path)


async def one_round(
    cdb: Cdb, feed: tuple[str, ...], undisturbed: dict[str, Any], dice: random.Random, story: list[str]
) -> None:
    desk = await cdb.start("up", *feed, "--speed", "1000000")  # so that there is time to kill in
    running = asyncio.create_task(finished(desk))
    while not running.done():
        await asyncio.wait({running}, timeout=dice.random() * 2)
        await kill(cdb, dice, read_side(desk), story)
    ended = await running
    assert ended.code == 0, ended
    assert {name: ended.rows[-1][name] for name in FIGURES} == {name: undisturbed[name] for name in FIGURES}
    cdb.assert_nothing_is_left()

    serving = await cdb.start("serve", "projector")  # of a desk that rests, killed while it catches up
    for _ in range(KILLS_AT_REST):
        await asyncio.sleep(dice.random() * 2)
        await kill(cdb, dice, runs(serving), story)
        if serving.returncode is not None or not runs(serving):
            await serving.wait()
            serving = await cdb.start("serve", "projector")
    await cdb.ready(serving, "projector")
    await until(lambda: caught_up(cdb))
    await assert_equal_to_a_fold(cdb)
    assert (await cdb.interrupted(serving)).code == 130

    await cdb.desk().documents(cdb.path / "documents", NOW, lambda *_: None)  # with the end of that service as well
    stood = await every_row(cdb)
    shutil.rmtree(cdb.path / "postgres")
    await cdb.desk().rebuild([], lambda *_: None)
    assert await every_row(cdb) == stood
    await assert_equal_to_a_fold(cdb)
    cdb.assert_nothing_is_left()
