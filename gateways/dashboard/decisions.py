"""Decisions: what waits for a person, who works here and at what, who stopped and resumed the desk and why; and the log
of all that was decided."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup
from nicegui import ui

from gateways.dashboard.elements import Panel
from gateways.dashboard.formats import NONE, amount, spoken, when
from gateways.dashboard.live import Answers
from gateways.dashboard.markup import Cell, Column, Row, badge, empty, facts, join, table, tag
from gateways.dashboard.overview import state, state_badge
from gateways.dashboard.page import Card, Page, grid, leafing, row_place, stack
from gateways.dashboard.proposals import agents, browser_key, decide_dialog, decided_proposals, pending, runs
from projections.answers import Answer

ROWS = 50
PAGES_MAX = 20  # so far back halts are looked for
PENDING_MAX, DONE_MAX, RUNS_MAX = 20, 20, 20
AGAIN_S = 20.0  # what waits has waited longer then, also on a silent desk
_STOPS = ("trading_halted", "trading_resumed", "limit_breached")


class Decisions(Page):
    """What waits for a person, who works here and at what, and who stopped or resumed the desk."""

    path, title = "/decisions", "Decisions"

    def build(self) -> None:
        by = self.frame.principal
        with grid():
            self.pending = Card("Pending proposals", "two")
            with stack():
                self.state = Card("State")
                if by.may_decide:
                    Card("Key of this browser").fill(browser_key(by.name))
            self.done = Card("Verdicts", "three")
            self.runs = Card("Workflow runs", "half")
            self.agents = Card("Roles and agents", "half")
            self.stops = Card("Halts and resumes", "three")
        if by.may_decide:
            Panel(decide_dialog())
        ui.timer(AGAIN_S, self.frame.again, immediate=False)

    async def show(self, answers: Answers) -> None:
        queries, following = self.desk.queries, self.frame.as_of is None
        status = await answers.ask(queries.status)
        waiting = (await answers.ask(queries.proposals, state="pending", limit=PENDING_MAX)).items
        whole = [await answers.ask(queries.proposal, row["proposal"]) for row in waiting]
        now_ns = time.time_ns() if following else answers.moment.recorded_at_ns or 0
        may_decide = following and self.frame.principal.may_decide
        self.pending.fill(*pending([row for row in whole if row], now_ns, may_decide=may_decide))
        self.state.fill(*state(status), beside=state_badge(status["state"]))
        done = await answers.ask(queries.proposals, state="done", limit=DONE_MAX)
        self.done.fill(decided_proposals(done.items), beside="newest first, UTC")
        self.runs.fill(runs((await answers.ask(queries.runs, limit=RUNS_MAX)).items), beside="newest first, UTC")
        self.agents.fill(agents(await answers.ask(queries.agents)))
        self.stops.fill(stops(await self._stops(answers)), beside="newest first, UTC")

    async def _stops(self, answers: Answers) -> list[Answer]:
        found: list[Answer] = []
        before: int | None = None
        for _ in range(PAGES_MAX):
            page = await answers.ask(self.desk.queries.decisions, before=before, limit=ROWS)
            found += [row for row in page.items if row["what"] in _STOPS]
            before = page.before
            if before is None or len(found) >= ROWS:
                break
        return found


class Log(Page):
    """Every decision about how the desk decides, and how often each rule refused."""

    path, title = "/log", "Decision log"

    def build(self) -> None:
        with grid():
            self.log = Card("Decision log", "two", heard=self._chosen)
            self.counts = Card("Verdicts by rule")

    def _chosen(self, what: str, value: str) -> None:
        if what == "before":
            self.ask(before=value)

    async def show(self, answers: Answers) -> None:
        queries, before = self.desk.queries, row_place(self.asked.get("before"))
        page = await answers.ask(queries.decisions, before=before, limit=ROWS)
        self.log.fill(decided(page.items), leafing(before, page.before), beside="newest first, UTC")
        self.counts.fill(*verdicts(await answers.ask(queries.verdict_counts)))


def stops(rows: Sequence[Row]) -> Markup:
    """Who stopped and resumed the desk, when and why."""
    columns = [
        Column("Time", lambda row: when(row["when"])),
        Column("What", _what),
        Column("Who", _who),
        Column("Why", lambda row: row["why"] or tag("span", "no reason was given", class_="muted"), "words"),
        Column("Answer", _answer, narrow=False),
        Column("Reference", lambda row: row["id"], narrow=False),
    ]
    nothing = "Nobody has halted this desk, and no limit was passed."
    return table("Halts and resumes", columns, rows, nothing, key=lambda row: row["id"])


def decided(rows: Sequence[Row]) -> Markup:
    """Every decision: what, when, who, why, reference."""
    columns = [
        Column("Time", lambda row: when(row["when"])),
        Column("What", _what),
        Column("About", _about, "words"),
        Column("Who", _who),
        Column("Why", lambda row: row["why"] or NONE, "words", narrow=False),
        Column("Answer", _answer, narrow=False),
        Column("Reference", lambda row: row["id"], narrow=False),
    ]
    return table("Decision log", columns, rows, "Nothing has been decided yet.", key=lambda row: row["id"])


def verdicts(policies: Sequence[Row]) -> Iterator[Markup]:
    """By policy, how many signals passed and which rules refused the others."""
    if not policies:
        yield empty("No signal has been assessed yet.")
    for policy in policies:
        total = policy["approved"] + policy["refused"]
        yield tag("h3", policy["policy"])
        yield facts([("Approved", _of(policy["approved"], total)), ("Refused", _of(policy["refused"], total))])
        columns = [
            Column("Rule", lambda row: spoken(row["rule"])),
            Column("Refused", lambda row: f"{row['refused']:,}", "number"),
            Column("Of all", partial(_refused_of, total), "number"),
        ]
        yield table(f"Rules of {policy['policy']}", columns, policy["rules"], "No rule has refused yet.")
    if policies:
        yield tag("p", "A verdict may be refused by several rules, so their counts add up to more.", class_="muted")


def _refused_of(total: int, row: Row) -> str:
    return f"{100 * row['refused'] / total:.1f} %"


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,}"


def _what(row: Row) -> Markup:
    mood, drawn = {
        "trading_halted": ("bad", "stop"),
        "limit_breached": ("bad", "warning"),
        "trading_resumed": ("good", "good"),
        "objectives_reached": ("good", "good"),
    }.get(row["what"], ("quiet", "idle"))
    return badge(spoken(row["what"]), mood, drawn)


def _who(row: Row) -> Markup:
    return join(row["who"], " ", tag("span", f"({row['authority']})", class_="muted wide")) if row["who"] else NONE


def _answer(row: Row) -> Cell:
    answered = row["answer"]
    if answered is None:
        return NONE
    if answered["applied"]:
        return badge("applied", "good", "good")
    return join(badge("refused", "warning", "bad"), f" {answered['reason']}")


def _about(row: Row) -> Cell:
    """What a decision is about, in a few words; the rest of it stands in the tape at its reference."""
    says: Mapping[str, Any] = row["content"] or {}
    match row["what"]:
        case "policy_activated":
            return f"{says['policy']['name']}@{says['policy']['version']}"
        case "strategy_activated":
            return f"{says['strategy']}@{says['version']} on {', '.join(says['symbols'])}"
        case "account_opened":
            return join(amount(says["initial_balance"]), f" {says['currency']}")
        case "engine_activated":
            return f"engine {says['engine']}"
        case "trading_halted":
            return "and flatten" if says.get("flatten") else NONE
        case "limit_breached":
            return spoken(says["limit"])
        case "objectives_reached":
            return f"profit target of {says['policy']}"
    named = (
        f"{spoken(name)} {value}" for name, value in says.items() if isinstance(value, str | int) and name != "reason"
    )
    return ", ".join(named) or NONE
