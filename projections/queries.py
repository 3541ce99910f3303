"""Every question that a gateway may ask of the read models, each as of a moment of the desk.

A moment's answer never changes while the read models hold it; ask `newest` which one they hold. Answers are ready for
JSON: projections/answers.py says how they read.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from domain.agents import Role
from domain.errors import InvalidInput
from domain.ports import END, Rows
from domain.tape import utc
from projections.agents_document import render
from projections.answers import Answer, answer
from projections.as_of import AsOf
from projections.decision_query import DECISIONS, decision
from projections.documents import DOCUMENTS, aktueller_stand, decision_log
from projections.governance_query import (
    PENDING,
    PROPOSAL,
    PROPOSALS,
    RUN,
    RUN_ROW,
    STEPS,
    agents_of,
    health,
    proposal_of,
    roles,
    run_of,
    unnumbered,
)
from projections.reading import (
    CURVE,
    WORKING,
    breakers,
    held,
    latest,
    open_positions,
    services,
    standing,
    working_orders,
)
from projections.signals import SIGNALS
from projections.stand_query import ACCOUNT, STATUS, account_of, positions_of, status

Stored = dict[str, Any]

_SHORT = ", ".join(["number", *(column for column in SIGNALS.columns if column not in ("rules", "sizing"))])


class Page(NamedTuple):
    """Rows, newest first; `before` asks for those behind them, None: there are no more."""

    items: list[Answer]
    before: int | None


class Newest(NamedTuple):
    """What every read model holds, the market's time there, and when its newest fact was recorded; None: no fact."""

    at: AsOf
    market_time_ns: int | None
    recorded_at_ns: int | None


class Queries:
    """The questions to one desk. Each raises Unavailable, and InvalidInput for what no row can hold."""

    def __init__(self, rows: Rows, desk: str) -> None:
        self._rows, self.desk = rows, desk

    # -- where the read models stand -----------------------------------------------------------------------------------

    async def newest(self) -> Newest:
        """The moment that every read model has reached."""
        slowest = {
            row["source"]: row
            for row in await self._ask("SELECT DISTINCT ON (source) * FROM checkpoints ORDER BY source, position")
        }
        market = [row["time_ns"] for row in slowest.values() if row["time_ns"] is not None]
        recorded = [slowest[source]["recorded_at_ns"] for source in ("tape", "ledger") if source in slowest]
        at = AsOf(**{source: row["position"] for source, row in slowest.items()})
        return Newest(at, max(market, default=None), max(recorded, default=0) or None)

    async def projections(self) -> list[Answer]:
        """How far every read model is in each of its sources."""
        return await self._answers(
            "SELECT model, source, position, time_ns AS market_time_ns, nullif(recorded_at_ns, 0) AS recorded_at_ns "
            "FROM checkpoints ORDER BY model, source"
        )

    # -- the desk ------------------------------------------------------------------------------------------------------

    async def status(self, at: AsOf) -> Answer:
        """What an operator asks first: state, account, limits, what is open, what stands, what blocks it."""
        (found,) = await self._ask(STATUS, at.tape, at.ledger, at.ops, at.governance)
        return status(found, self.desk)

    async def account(self, at: AsOf) -> Answer | None:
        """The account, None before it was opened."""
        (found,) = await self._ask(ACCOUNT, at.tape, at.ledger)
        return account_of(found, self.desk)

    async def positions(self, at: AsOf, flat: bool = False) -> list[Answer]:
        """What is held of every symbol; with `flat` also what was, for its sums."""
        wanted = f"{latest('positions', 'symbol', '$1')} ORDER BY symbol" if flat else open_positions("$1")
        account = latest("account", "name", "$1")
        (found,) = await self._ask(
            f"SELECT (SELECT floating FROM ({account}) AS account) AS floating, "
            f"(SELECT json_agg(found) FROM ({wanted}) AS found) AS positions",
            at.ledger,
        )
        return positions_of(found["positions"] or (), found["floating"], self.desk)

    async def standing(self, at: AsOf) -> list[Answer]:
        """The instructions that stand, with their content."""
        return await self._answers(standing("$1"), at.tape)

    # -- orders and fills ----------------------------------------------------------------------------------------------

    async def orders(
        self,
        at: AsOf,
        *,
        state: Literal["all", "working", "done"] = "all",
        symbol: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Orders, newest first."""
        few = f"({working_orders('$1')} OFFSET 0) AS orders"  # found by themselves: nobody leafs through all for them
        table, conditions = (few if state == "working" else "orders"), ([f"NOT {WORKING}"] if state == "done" else [])
        return await self._page(table, at.ledger, before, limit, conditions, {"symbol = {}": symbol})

    async def order(self, at: AsOf, number: int) -> Answer | None:
        """One order with its `fills`, oldest first."""
        found = await self._answers(f"SELECT * FROM orders WHERE number = $2 AND {held('$1')}", at.ledger, number)
        if not found:
            return None
        fills = f"SELECT * FROM fills WHERE order_number = $2 AND {held('$1')} ORDER BY number"
        return found[0] | {"fills": await self._answers(fills, at.ledger, number)}

    async def fills(self, at: AsOf, *, symbol: str | None = None, before: int | None = None, limit: int = 50) -> Page:
        """Fills with what their bookings did, newest first."""
        return await self._page("fills", at.ledger, before, limit, [], {"symbol = {}": symbol})

    # -- signals and verdicts ------------------------------------------------------------------------------------------

    async def signals(
        self,
        at: AsOf,
        *,
        verdict: Literal["approved", "refused", "pending"] | None = None,
        strategy: str | None = None,
        symbol: str | None = None,
        rule: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Signals with their verdicts, newest first; `rule`: those that it refused. `signal` tells more of one."""
        pending = verdict == "pending"
        asked = {
            "verdict = {}": None if pending else verdict,
            "strategy = {}": strategy,
            "symbol = {}": symbol,
            "{} = ANY (refused_by)": rule,
        }
        conditions = ["verdict IS NULL"] if pending else []
        return await self._page("signals", at.ledger, before, limit, conditions, asked, columns=_SHORT)

    async def signal(self, at: AsOf, number: int) -> Answer | None:
        """One signal with every rule of its verdict, and how its size came about."""
        found = await self._answers(f"SELECT * FROM signals WHERE number = $2 AND {held('$1')}", at.ledger, number)
        return found[0] if found else None

    async def verdict_counts(self, at: AsOf) -> list[Answer]:
        """By policy: verdicts approved, verdicts refused, and how often each rule refused, the most frequent first."""
        policies: dict[str, Answer] = {}
        counts = latest("verdict_counts", "policy, rule", "$1")
        for row in await self._ask(f"{counts} ORDER BY policy, count DESC, rule", at.ledger):
            policy = policies.setdefault(
                row["policy"], {"policy": row["policy"], "approved": 0, "refused": 0, "rules": []}
            )
            if row["rule"] in ("", "refused"):
                policy[row["rule"] or "approved"] = row["count"]
            else:
                policy["rules"].append({"rule": row["rule"], "refused": row["count"]})
        return list(policies.values())

    # -- decisions -----------------------------------------------------------------------------------------------------

    async def decisions(self, at: AsOf, *, before: int | None = None, limit: int = 50) -> Page:
        """Who told the desk to decide otherwise, with the engine's answer, limits passed and objectives reached, what
        governance decided and refused; newest first. `before` is time in ns: decisions of one time stay on one page,
        which may so be longer than its limit."""
        below = END if before is None else before
        rows = await self._ask(DECISIONS, at.tape, at.ledger, below, limit, at.ops, at.governance)
        items = [decision(row, self.desk) for row in rows]
        return Page(items, rows[-1]["at_ns"] if rows and rows[-1]["more"] else None)

    # -- governance ----------------------------------------------------------------------------------------------------

    async def proposals(
        self,
        at: AsOf,
        *,
        state: Literal["all", "pending", "done"] = "all",
        actor: str | None = None,
        run: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Proposals, newest first; `done`: those that have their verdict."""
        conditions = {"all": [], "pending": [PENDING], "done": [f"NOT {PENDING}"]}[state]
        asked = {"actor = {}": actor, "run = {}": run}
        page = await self._rows_of(PROPOSALS, at.governance, before, limit, conditions, asked)
        return Page([proposal_of(row, self.desk) for row in page.items], page.before)

    async def proposal(self, at: AsOf, name: str) -> Answer | None:
        """One proposal with its arguments, what was shown of it, its verdict and its effects."""
        found = await self._ask(PROPOSAL, at.governance, name)
        return proposal_of(found[0], self.desk) if found else None

    async def agents(self, at: AsOf) -> list[Answer]:
        """Every role with how its agent is, and who was heard of without one."""
        defined, heard = await self._ask(roles("$1"), at.governance), await self._ask(health("$1"), at.ops)
        return list(agents_of(defined, heard, self.desk))

    async def runs(
        self,
        at: AsOf,
        *,
        state: Literal["all", "open", "closed"] = "all",
        kind: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Workflow runs, newest first."""
        conditions = {"all": [], "open": ["phase <> 'closed'"], "closed": ["phase = 'closed'"]}[state]
        asked = {"kind = {}": kind}
        page = await self._rows_of("workflow_runs", at.governance, before, limit, conditions, asked, columns=RUN_ROW)
        return Page([run_of(row, self.desk) for row in page.items], page.before)

    async def run(self, at: AsOf, name: str) -> Answer | None:
        """One run with its `steps`, what it was given, and its report."""
        found = await self._ask(RUN, at.governance, name)
        if not found:
            return None
        steps = await self._ask(f"{STEPS} ORDER BY since, step", at.governance, name)
        return run_of(found[0], self.desk) | {"steps": [unnumbered(step, self.desk) for step in steps]}

    # -- results -------------------------------------------------------------------------------------------------------

    async def equity(
        self, at: AsOf, *, start_ns: int | None = None, end_ns: int | None = None, points: int = 500
    ) -> list[Answer]:
        """The curve between two times, both included, oldest first. Of more points than asked for, neighbours become
        one: as the last of them, with the lowest low, the highest high and the deepest drawdown."""
        start, end = (0 if start_ns is None else start_ns), (END if end_ns is None else end_ns)
        return await self._answers(CURVE, at.ledger, start, end, points)

    async def metrics(self, at: AsOf) -> list[Answer]:
        """What trading made: overall first, then by scope."""
        metrics = latest("metrics", "scope", "$1")
        return await self._answers(f"SELECT * FROM ({metrics}) AS m ORDER BY scope <> 'overall', scope", at.ledger)

    # -- services ------------------------------------------------------------------------------------------------------

    async def services(self, at: AsOf) -> Answer:
        """Every service and every breaker."""
        running, guards = await self._answers(services("$1"), at.ops), await self._answers(breakers("$1"), at.ops)
        return {"services": running, "breakers": guards}

    async def incidents(self, at: AsOf, *, before: int | None = None, limit: int = 50) -> Page:
        """What went wrong with services and what was done, newest first."""
        page = await self._page("incidents", at.ops, before, limit, [], {})
        for incident in page.items:
            incident["id"] = incident["id"].replace(f"{self.desk}:", "ops:", 1)
        return page

    # -- documents -----------------------------------------------------------------------------------------------------

    async def document(self, name: str, at: AsOf, market_time_ns: int | None, recorded_at_ns: int | None) -> str:
        """One of DOCUMENTS as Markdown; the times are when the moment was. Raises InvalidInput for another name."""
        times = {"market_time": market_time_ns, "recorded_time": recorded_at_ns}
        moment = {"as_of": at.token(self.desk)} | {n: None if ns is None else utc(ns) for n, ns in times.items()}
        if name == "AKTUELLER_STAND":
            stand, metrics, counts = await self.status(at), await self.metrics(at), await self.verdict_counts(at)
            return aktueller_stand(stand, metrics, counts, moment)
        if name == "DECISION_LOG":
            decisions, before = [], None
            while True:
                page = await self.decisions(at, before=before, limit=1_000)
                decisions += page.items
                if (before := page.before) is None:
                    return decision_log(self.desk, decisions[::-1], await self.verdict_counts(at), moment)
        if name == "AGENTS":
            defined = await self._ask(roles("$1"), at.governance)
            return render([Role.model_validate(row["role"]) for row in defined if not row["retired"]])
        raise InvalidInput(f"there is no document {name[:60]!r}; there are {', '.join(DOCUMENTS)}")

    # -- asking --------------------------------------------------------------------------------------------------------

    async def _page(
        self,
        table: str,
        place: int,
        before: int | None,
        limit: int,
        conditions: Sequence[str],
        asked: dict[str, str | None],
        columns: str = "*",
    ) -> Page:
        """As _rows_of, ready for JSON."""
        page = await self._rows_of(table, place, before, limit, conditions, asked, columns)
        return Page([answer(row, self.desk) for row in page.items], page.before)

    async def _rows_of(
        self,
        table: str,
        place: int,
        before: int | None,
        limit: int,
        conditions: Sequence[str],
        asked: dict[str, str | None],
        columns: str = "*",
    ) -> Page:
        """Rows of a table with a number. No row is older than its number, so its key leads to those that count."""
        below = place + 1 if before is None else min(before, place + 1)
        given = {condition: value for condition, value in asked.items() if value is not None}
        chosen = [condition.format(f"${n}") for n, condition in enumerate(given, 4)]
        where = " AND ".join([held("$1"), "number < $2", *conditions, *chosen])
        sql = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY number DESC LIMIT $3"
        rows = await self._ask(sql, place, below, limit + 1, *given.values())
        return Page(rows[:limit], rows[limit - 1]["number"] if len(rows) > limit else None)

    async def _answers(self, sql: str, *arguments: Any) -> list[Answer]:
        return [answer(row, self.desk) for row in await self._ask(sql, *arguments)]

    async def _ask(self, sql: str, *arguments: Any) -> list[Stored]:
        """Rows as JSON, so that what is JSON in them has one way to be read."""
        rows = await self._rows.fetch(f"SELECT to_json(found) AS found FROM ({sql}) AS found", *arguments)
        return [json.loads(row["found"]) for row in rows]
