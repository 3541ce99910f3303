"""Governance, proven again over what the tape holds: who granted each gated instruction, and what a start declared."""

from typing import Any

from adapters.tape_log import StoredTape
from domain.instructions import (
    FeedOpened,
    Instructed,
    Instruction,
    InstrumentDeclared,
    OrderRequested,
    PolicyActivated,
    StrategyActivated,
    StrategyDeactivated,
    TradingResumed,
)
from domain.policy import Policy
from domain.ports import TapeEnd
from ops.verify_governance import Proof, is_walked, prove
from tests import canonical
from tests.governing import Governed


def policy(version: int, orders_max: int) -> Policy:
    risk = canonical.POLICY.risk.model_copy(update={"orders_max": orders_max})
    return canonical.POLICY.model_copy(update={"version": version, "risk": risk})


class Taped(Governed):
    """A desk with governance whose tape is written past every handler."""

    def __init__(self) -> None:
        super().__init__()
        self._tape, self._end = StoredTape(self.log, "main"), TapeEnd()
        self.walked: list[Instructed] = []

    async def says(self, kind: type[Any], actor: str = "sequencer", name: str = "", **content: Any) -> str:
        """An instruction as a start declares it, or as somebody else says it; the place of it."""
        place = Instructed(self._end.ordinal + 1, canonical.INSTRUCTIONS["trading_halted"])
        named = name or f"{kind.model_fields['kind'].default}@{place.ordinal}"
        said = {"id": named, "actor": actor, "authority": "operator", "occurred_at_ns": canonical.MONDAY} | content
        instruction: Instruction = kind(**said)
        self._end = await self._tape.append(place._replace(instruction=instruction), self._end)
        if is_walked(instruction):
            self.walked.append(place._replace(instruction=instruction))
        return f"tape:{place.ordinal}"

    async def strategy(self, *symbols: str) -> str:
        wanted = canonical.activated("ema_cross", *symbols)
        return await self.says(StrategyActivated, **wanted.model_dump(exclude={"id", "actor", "authority", "kind"}))

    async def declares(self, number: int) -> str:
        return await self.says(InstrumentDeclared, number=number, instrument=canonical.declared(number).instrument)

    async def opens(self) -> str:
        opened = canonical.INSTRUCTIONS["feed_opened"].model_dump(exclude={"id", "actor", "authority", "kind"})
        return await self.says(FeedOpened, **opened)

    async def proof(self) -> Proof:
        return await prove(self.log, "main", self.walked)


async def test_a_start_that_widened_what_stood_is_found_by_verify() -> None:
    desk = await Taped().open()
    await desk.declares(1)
    await desk.says(PolicyActivated, policy=canonical.POLICY)
    await desk.strategy("EURUSD")  # the first start is the desk's own affair
    await desk.opens()
    await desk.says(PolicyActivated, policy=policy(8, 1))
    unsigned = [await desk.says(PolicyActivated, policy=policy(9, 99))]
    await desk.declares(2)
    await desk.strategy("EURUSD", "GBPUSD")  # a feed brings it for the first time
    await desk.declares(3)
    await desk.opens()
    unsigned.append(await desk.strategy("EURUSD", "GBPUSD", canonical.declared(3).instrument.symbol))
    await desk.says(StrategyDeactivated, strategy="ema_cross")
    found = await desk.proof()
    assert [(finding.place, finding.code) for finding in found.findings] == [(place, "unsigned") for place in unsigned]
    assert found.declared == 5


async def test_every_kind_that_only_the_gate_may_say_is_traced_to_its_proposal() -> None:
    desk = await Taped().open()
    order = canonical.INSTRUCTIONS["order_requested"].model_dump(exclude={"id", "actor", "authority", "kind"})
    unsigned = [
        await desk.says(StrategyDeactivated, "eve", "mine", strategy="ema_cross"),
        await desk.says(OrderRequested, "eve", "theirs", **order | {"authority": "proposal:p-none"}),
    ]
    await desk.says(OrderRequested, "jan", "own", **order)
    assert [(finding.place, finding.code) for finding in (await desk.proof()).findings] == [
        (place, "unsigned") for place in unsigned
    ]


async def test_what_an_operator_said_before_anybody_could_sign_is_counted_and_no_finding() -> None:
    desk = await Taped().open(enrolled=False)
    await desk.says(TradingResumed, "jan", "first", reason="go on")
    await desk.says(PolicyActivated, "jan", "second", policy=canonical.POLICY)
    await desk.says(PolicyActivated, policy=policy(9, 99))
    alone = await desk.proof()
    assert (alone.before_governance, alone.declared, alone.findings) == (2, 1, [])
    await desk.open()
    late = await desk.says(TradingResumed, "jan", "third", reason="go on")
    found = await desk.proof()
    assert (found.before_governance, found.declared) == (2, 1)
    assert [(finding.place, finding.code) for finding in found.findings] == [(late, "unsigned")]
