"""Pages of a pinned moment, moments that stay as they were, and how PostgreSQL is asked."""

import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from adapters.postgres_server import PostgresServer
from domain.errors import InvalidInput
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS
from projections.decision_query import DECISIONS
from projections.governance_query import PROPOSAL, PROPOSALS
from projections.queries import Page, Queries
from projections.stand_query import ACCOUNT, STATUS
from tests.projections.folds import golden
from tests.projections.stored import FACTS, Row, StoredDesk, end

END = end()

# -- pages and moments -------------------------------------------------------------------------------------------------

Leaf = Callable[[Queries, AsOf, int | None, int], Awaitable[Page]]
LEAVES: dict[str, Leaf] = {
    "orders": lambda q, at, before, limit: q.orders(at, before=before, limit=limit),
    "done orders": lambda q, at, before, limit: q.orders(at, state="done", before=before, limit=limit),
    "working orders": lambda q, at, before, limit: q.orders(at, state="working", before=before, limit=limit),
    "fills": lambda q, at, before, limit: q.fills(at, before=before, limit=limit),
    "signals": lambda q, at, before, limit: q.signals(at, before=before, limit=limit),
    "incidents": lambda q, at, before, limit: q.incidents(at, before=before, limit=limit),
    "decisions": lambda q, at, before, limit: q.decisions(at, before=before, limit=limit),
    "proposals": lambda q, at, before, limit: q.proposals(at, before=before, limit=limit),
    "decided proposals": lambda q, at, before, limit: q.proposals(at, state="done", before=before, limit=limit),
    "pending proposals": lambda q, at, before, limit: q.proposals(at, state="pending", before=before, limit=limit),
    "runs": lambda q, at, before, limit: q.runs(at, before=before, limit=limit),
}


async def leafed(
    leaf: Leaf, queries: Queries, at: AsOf, limit: int, turned: Callable[[], Awaitable[None]]
) -> list[Row]:
    items: list[Row] = []
    before = None
    while True:
        page = await leaf(queries, at, before, limit)
        items += page.items
        if page.before is None:
            return items
        assert len(page.items) >= limit  # no page but the last is short
        before = page.before
        await turned()


@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)
async def test_pages_of_a_pinned_moment_give_every_row_once_while_later_rows_arrive(
    leaf: Leaf, growing: tuple[StoredDesk, Queries]
) -> None:
    desk, queries = growing
    at = AsOf(*(stop // 2 for stop in END))
    await desk.grow(at)
    whole = (await leaf(queries, at, None, 10_000)).items
    steps = iter(range(1, 100))

    async def later() -> None:
        step = next(steps)
        await desk.grow(AsOf(*(min(stop, start + step * 40) for start, stop in zip(at, END, strict=True))))

    for limit in (1, 3, 16):
        assert await leafed(leaf, queries, at, limit, later) == whole
    await desk.grow(END)
    assert (await leaf(queries, at, None, 10_000)).items == whole
    assert len({row.get("id") or row.get("run") or row["proposal"] for row in whole}) == len(whole)


async def test_decisions_of_one_time_stay_on_one_page(queries: Queries) -> None:
    everything = (await queries.decisions(END, limit=1_000)).items
    times = [len(list(group)) for _, group in itertools.groupby(everything, key=lambda row: row["when"])]
    assert max(times) > 1
    page, sizes = await queries.decisions(END, limit=1), []
    while page.before is not None:
        sizes.append(len(page.items))
        page = await queries.decisions(END, limit=1, before=page.before)
    assert [*sizes, len(page.items)] == times


async def test_an_old_moment_is_answered_the_same_when_more_has_happened(growing: tuple[StoredDesk, Queries]) -> None:
    desk, queries = growing
    told = []
    for step in range(1, 9):
        at = AsOf(*(stop * step // 8 for stop in END))
        await desk.grow(at)
        assert (await queries.newest()).at == at
        told.append((at, await everything(queries, at)))
    for at, then in told:
        assert await everything(queries, at) == then


async def everything(queries: Queries, at: AsOf) -> list[Any]:
    return [
        await queries.status(at),
        await queries.account(at),
        await queries.positions(at, flat=True),
        await queries.orders(at),
        await queries.orders(at, state="working"),
        await queries.fills(at),
        await queries.signals(at),
        await queries.verdict_counts(at),
        await queries.decisions(at),
        await queries.equity(at, points=20),
        await queries.metrics(at),
        await queries.services(at),
        await queries.incidents(at),
        await queries.standing(at),
        await queries.document("AKTUELLER_STAND", at, 1, 2),
        await queries.document("DECISION_LOG", at, 1, 2),
        await queries.document("AGENTS", at, 1, 2),
        await queries.proposals(at),
        [await queries.proposal(at, name) for name in ("p-recorded", "p-tighter", "p-waits")],
        await queries.agents(at),
        await queries.runs(at),
        await queries.run(at, "wf1-1"),
    ]


async def test_the_newest_moment_is_what_every_read_model_has_reached(growing: tuple[StoredDesk, Queries]) -> None:
    desk, queries = growing
    assert await queries.newest() == (AsOf(), None, None)
    await desk.grow(END)
    last = golden("tape")[-1]
    recorded = max(FACTS[source][-1].recorded_at_ns for source in ("tape", "ledger"))
    assert await queries.newest() == (END, last.event.occurred_at_ns, recorded)
    assert {(row["model"], row["source"]): row["position"] for row in await queries.projections()} == {
        (model.name, fold.source): END.of(fold.source) for model in READ_MODELS for fold in model.folds
    }


async def test_a_read_model_that_is_behind_holds_the_newest_moment_back(growing: tuple[StoredDesk, Queries]) -> None:
    desk, queries = growing
    await desk.grow(END._replace(ledger=100))
    await desk.grow(END, models=[model.name for model in READ_MODELS if model.name != "signals"])
    assert (await queries.newest()).at == END._replace(ledger=100)


# -- how it is asked ---------------------------------------------------------------------------------------------------


async def test_what_no_row_can_hold_is_an_error_of_the_asker(queries: Queries) -> None:
    for question in (
        queries.orders(END, symbol="EUR\0USD"),
        queries.signals(END, rule="\ud800"),
        queries.order(END, 2**63),
        queries.decisions(END, before=-(2**63) - 1),
        queries.fills(END, limit=-5),
    ):
        with pytest.raises(InvalidInput, match="no row has such a value"):
            await question
    with pytest.raises(InvalidInput, match="there is no document 'TAGEBUCH'; there are AKTUELLER_STAND"):
        await queries.document("TAGEBUCH", END, None, None)
    quoted = "' OR 1=1 --"
    assert (await queries.orders(END, symbol=quoted)).items == []
    assert (await queries.signals(END, strategy=quoted, symbol=quoted, rule=quoted)).items == []


async def test_the_stand_leafs_through_no_table_that_grows(
    golden_desk: StoredDesk, postgres_server: PostgresServer
) -> None:
    """An index serves every moment: with tables this small PostgreSQL would rather read them, so it may not."""
    connection = await asyncpg.connect(postgres_server.dsn, server_settings={"search_path": golden_desk.store.schema})
    await connection.execute("SET enable_seqscan = off")
    for at in (END, AsOf(*(stop // 3 for stop in END))):
        told = STATUS
        for place, position in enumerate(at, 1):
            told = told.replace(f"${place}", str(position))
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {told}"))
        assert "Seq Scan" not in plan
        assert "orders_until_since_idx" in plan
    await connection.close()


@pytest.mark.parametrize(
    "sql", [ACCOUNT, STATUS, DECISIONS, PROPOSAL, PROPOSALS], ids="account status decisions proposal proposals".split()
)
def test_of_a_read_model_the_table_that_a_build_replaces_first_is_asked_first(sql: str) -> None:
    """Else the two may each hold a lock that the other one waits for."""
    asked = re.findall(r"(?:FROM|JOIN) (\w+)", sql)
    for model in READ_MODELS:
        names = [table.name for table in model.tables]
        own = [name for name in asked if name in names]
        if len(set(own)) > 1:
            assert own[0] == names[0], model.name
