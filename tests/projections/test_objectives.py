"""Trading days and objectives as the read models tell them, against the engine's own account at every record."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.postgres_server import PostgresServer
from domain.events import ObjectivesReached
from domain.instructions import PolicyActivated, TradingResumed
from domain.objectives import OUTCOMES
from domain.policy import Policy
from domain.ports import Fact
from domain.tape import utc
from projections import decision_log
from projections.aktueller_stand import MODEL
from projections.as_of import AsOf
from tests.domain.desks import of
from tests.domain.prague import PragueDesk, pack
from tests.projections import folds
from tests.projections.folds import event, versions
from tests.projections.stored import standing

FIRST = datetime.fromisoformat("2024-03-04 11:00:00")  # by Prague's clocks
KINDS = ("hold", "turn", "earn", "lose", "midnight", "policy", "resume")
Deed = tuple[str, int]  # what is done, and how: a number whose remainders choose


class Kept(NamedTuple):
    """A moment with what the engine itself keeps there."""

    at: AsOf
    trading_days: int
    outcome: str


class Story(PragueDesk):
    """A desk that keeps what its engine says behind every deed."""

    clock: datetime
    kept: list[Kept]

    def do(self, deed: Deed) -> None:
        """Trade two symbols at 1.10000 and around, let midnights pass, change policies, resume."""
        kind, how = deed
        self.clock += timedelta(minutes=1 + how % 50)
        match kind:
            case "hold":
                self.hold((-1, 1)[how % 2] * 1_000 * (1 + how % 3), str(self.clock), "1.10000", self._symbol(how))
            case "turn":  # to the other side, or flat, if there is a position
                held = round(self.position(self._symbol(how)))
                if held:
                    self.hold(-held * (1 + how % 2), str(self.clock), "1.10010", self._symbol(how))
            case "earn" | "lose":
                self.earn(str(self.clock), {"earn": 60, "lose": -70}[kind] * 100)
            case "midnight":
                self.clock = self.clock.replace(hour=0, minute=0) + timedelta(days=1 + how % 2, seconds=1)
                self.at(str(self.clock), "1.10000")
            case "policy":
                self.tell(PolicyActivated, policy=phase(how % 2, 1 + how % 3))
            case "resume":
                self.tell(TradingResumed, reason="on with it")
        self.keep()

    def keep(self) -> None:
        """Remember this moment."""
        account, engine = self.engine.desk.book.account[0], self.engine
        days, outcome = int(account["trading_days"]), OUTCOMES[account["outcome"]]
        self.kept.append(Kept(AsOf(tape=engine.ordinal, ledger=engine.number), days, outcome))

    def facts(self) -> dict[Any, list[Fact]]:
        """Its tape's instructions and its ledger."""
        ordinal, told = 0, []
        for said in self.script:
            ordinal += len(said) if not hasattr(said, "kind") else 1
            if hasattr(said, "kind"):
                told.append(Fact(ordinal, folds.RECORDED + ordinal, said))
        return {"tape": told, "ledger": folds.ledger(*self.events)}

    def _symbol(self, how: int) -> str:
        return self.symbols[how // 2 % 2]


def phase(number: int, version: int) -> Policy:
    """A challenge of 10 % in two trading days; another `number` has another name."""
    policy = pack("2step-challenge", trading_days_min=2, daily_loss_ppm=60_000)
    return policy.model_copy(update={"name": f"phase-{number}", "version": version})


def story(deeds: Sequence[Deed]) -> Story:
    """What a desk of 100,000 under the first phase comes to."""
    desk = Story(phase(0, 1), "EURUSD", "GBPUSD")
    desk.clock, desk.kept = FIRST, []
    for symbol in desk.symbols:
        desk.at(str(FIRST), "1.10000", symbol)
    desk.keep()
    for deed in deeds:
        desk.do(deed)
    return desk


# -- trading days ------------------------------------------------------------------------------------------------------

DEEDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99)), max_size=25)


def told_days(facts: Sequence[Fact], at: Sequence[int], cuts: Sequence[int] = ()) -> list[int]:
    """The trading days that the read model tells at these positions; a fold restarts at every cut."""
    told = versions(MODEL, "account", facts, cuts)
    days = [[row["trading_days"] for _, since, until, row in told if since <= place < until] for place in at]
    return [found[0] if found else 0 for found in days]


@given(DEEDS, st.data())
@settings(max_examples=60, deadline=None)
def test_at_every_record_the_read_model_counts_the_trading_days_that_the_engine_counts(
    deeds: list[Deed], data: st.DataObject
) -> None:
    desk = story(deeds)
    facts = desk.facts()["ledger"]
    cuts = data.draw(st.lists(st.integers(0, len(facts)), max_size=4))
    numbers = [kept.at.ledger for kept in desk.kept]
    assert told_days(facts, numbers, cuts) == [kept.trading_days for kept in desk.kept]


def test_a_trading_day_counts_from_its_first_opened_position_on() -> None:
    hold, turn, night = ("hold", 1), ("turn", 1), ("midnight", 0)
    deeds = [hold, ("hold", 3), night, turn, turn, ("hold", 1), night, night, ("turn", 3)]
    desk = story(deeds)
    days = [kept.trading_days for kept in desk.kept]
    # A purchase, one of the other symbol, a night; turned over, turned again, one more, two nights, the other turned.
    assert days == [0, 1, 1, 1, 2, 2, 2, 2, 2, 3]
    assert told_days(desk.facts()["ledger"], [kept.at.ledger for kept in desk.kept]) == days


def test_what_only_closes_or_adds_makes_no_trading_day() -> None:
    desk = story([("hold", 1), ("midnight", 0), ("hold", 1), ("midnight", 0), ("turn", 0), ("midnight", 0)])
    assert [kept.trading_days for kept in desk.kept] == [0, 1, 1, 1, 1, 1, 1]
    assert told_days(desk.facts()["ledger"], [kept.at.ledger for kept in desk.kept])[-1] == 1


# -- objectives --------------------------------------------------------------------------------------------------------

PASSED: list[Deed] = [("earn", 0), ("midnight", 0), ("earn", 0)]
FAILED: list[Deed] = [("midnight", 0), ("resume", 0), ("lose", 0)]
RESUMED: list[Deed] = [("midnight", 0), ("resume", 0)]
SAME, OTHER, SAME_OTHER, FIRST_AGAIN = ("policy", 2), ("policy", 1), ("policy", 5), ("policy", 0)


async def outcomes(postgres_server: PostgresServer, desk: Story) -> list[Any]:
    """The objectives that the read models tell at every moment that the desk kept."""
    async with standing(postgres_server, desk.facts()) as queries:
        accounts = [await queries.account(kept.at) for kept in desk.kept]
        assert [(await queries.status(kept.at))["account"] for kept in desk.kept] == accounts
    return [account and account["objectives"] for account in accounts]


async def test_at_every_moment_objectives_are_told_as_the_engine_keeps_them(postgres_server: PostgresServer) -> None:
    """A challenge is passed, failed, kept by a new version of its policy, begun afresh by one of another name."""
    drawn = random.Random(1)
    some = [(drawn.choice(KINDS), drawn.randrange(100)) for _ in range(60)]
    passed = [*PASSED, SAME, *FAILED]
    failed = [OTHER, *FAILED, SAME_OTHER, *RESUMED, *PASSED]
    desk = story([*passed, *failed, FIRST_AGAIN, *PASSED, *some])
    told = await outcomes(postgres_server, desk)
    assert [said["outcome"] for said in told] == [kept.outcome for kept in desk.kept]
    assert [said["trading_days"] for said in told] == [kept.trading_days for kept in desk.kept]
    changes = [after["outcome"] for before, after in pairwise(told) if after["id"] != before["id"]]
    assert changes[:5] == ["reached", "open", "failed", "open", "reached"]


async def test_a_passed_challenge_is_told_wherever_a_trader_looks(postgres_server: PostgresServer) -> None:
    desk = story(PASSED)
    (reached,) = of(ObjectivesReached, desk.events)
    before, after = AsOf(desk.engine.ordinal, reached.number - 1), desk.kept[-1].at
    async with standing(postgres_server, desk.facts()) as queries:
        id_, at = f"{queries.desk}:{reached.number}", utc(reached.occurred_at_ns)
        account, earlier = await queries.account(after), await queries.account(before)
        assert account
        assert earlier
        goal = {"profit": "12000.000000000", "profit_target": "10000.000000000", "trading_days": 2,
                "trading_days_min": 2, "best_day_kept": True}  # fmt: skip
        assert account["objectives"] == {"outcome": "reached", "at": at, "id": id_} | goal
        assert earlier["objectives"] == {"outcome": "open", "at": None, "id": None} | goal
        assert (earlier["target_reached"], account["target_reached"]) == (False, True)

        decisions = (await queries.decisions(after)).items
        assert decisions[0] == {
            "id": id_, "what": "objectives_reached", "when": at, "who": "engine", "authority": "policy",
            "why": "balance 112,000.00 meets the profit target 10,000.00, 2 trading days of 2",
            "reference": "phase-0@1", "answer": None,
            "content": {"policy": "phase-0@1", "profit_target": "10000.000000000", "balance": "112000.000000000",
                        "trading_days": 2, "trading_days_min": 2, "best_day": "6000.000000000"},
        }  # fmt: skip
        assert (await queries.decisions(before)).items == decisions[1:]
        assert (await queries.decisions(after, limit=1)).items == decisions[:1]

        stand = await queries.document("AKTUELLER_STAND", after, 1, 2)
        assert f"## Ziele\n\n- Stand: erreicht seit {at} ({id_})\n- Gewinn: 12.000,00 von 10.000,00\n" in stand
        assert "- Handelstage: 2 von 2" in stand
        assert "- Stand: offen\n" in await queries.document("AKTUELLER_STAND", before, 1, 2)
        log = (await queries.document("DECISION_LOG", after, 1, 2)).partition("Ziele erreicht\n\n")[2].splitlines()
        assert log == [
            f"- Beleg: {id_}", "- Wer: engine (policy)",
            "- Was: Bestand 112.000,00, Gewinnziel 10.000,00, 2 Handelstage von 2", "- Verweis: phase-0@1",
        ]  # fmt: skip


async def test_only_a_limit_of_loss_fails_a_challenge(postgres_server: PostgresServer) -> None:
    facts, told = story([]).facts(), []
    for number, limit in enumerate(("news_trading", "money_range", "max_loss"), len(facts["ledger"]) + 1):
        facts["ledger"] += folds.ledger(event("limit_breached", number, limit=limit))
    async with standing(postgres_server, facts) as queries:
        for fact in facts["ledger"][-3:]:
            account = await queries.account(AsOf(facts["tape"][-1].position, fact.position))
            told.append(account and account["objectives"]["outcome"])
    assert told == ["open", "open", "failed"]


async def test_a_policy_that_asks_for_no_profit_has_no_objectives(postgres_server: PostgresServer) -> None:
    desk = story([])
    desk.tell(PolicyActivated, policy=pack("2step-challenge", profit_target_ppm=None))
    desk.keep()
    assert [said and said["outcome"] for said in await outcomes(postgres_server, desk)] == ["open", None]


def test_the_tables_of_a_passed_challenge_and_their_restarts_are_sound() -> None:
    facts = story([*PASSED, OTHER, *FAILED]).facts()
    for model in (MODEL, decision_log.MODEL):
        folds.check(model, facts["ledger"])
        folds.check(model, facts["tape"], "tape")
