"""Replays of a recorded tape: unchanged they are the ledger's own figures, changed those of a desk that was so."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import numpy as np
import pytest

from adapters.memory import MemoryLog
from adapters.tape_log import StoredTape
from domain.closed_trades import Trade
from domain.engine import ENGINE, Engine
from domain.errors import InvalidInput
from domain.events import FillBooked, LimitBreached
from domain.instructions import AccountOpened, CancelRequested, EngineActivated, PolicyActivated, StrategyActivated
from domain.ports import Message
from domain.signals.ema_cross import EmaCross
from domain.tape import PRAGUE_MIDNIGHT
from domain.tuning import Proposal
from ops.replays import Reading, Replay, replay
from ops.tuning import Asked, observed, parts_of, tune
from projections.metrics import MODEL
from tests import canonical
from tests.canonical import POLICY, SAID, activated, market_ticks, opening, with_minutes
from tests.logs import Wrapped
from tests.ops.desks import write_tape
from tests.projections.folds import ledger, rows

FAST = {"fast": 5, "slow": 15, "on": "ticks"}
SLOW = {"fast": 9, "slow": 27, "on": "ticks"}
PLAIN = [said for said in canonical.golden_script() if getattr(said, "id", "") != "changed"]  # one set of parameters


def days_of_ticks(count: int, seed: int = 3) -> Any:
    """Quotes of two instruments with marks of time; every 300th minute is called a midnight, so that days go by."""
    ticks = with_minutes(market_ticks(count, seed=seed, symbols=2))
    minutes = np.flatnonzero(ticks["flags"] != 0)
    ticks["flags"][minutes[299::300]] |= PRAGUE_MIDNIGHT
    return ticks


TICKS = days_of_ticks(9_000)
UNLIMITED = POLICY.model_copy(
    update={"limits": POLICY.limits.model_copy(update={"daily_loss_ppm": None, "max_loss_ppm": None})}
)


def script(**parameters: Any) -> list[Any]:
    """A desk that no limit halts before the last third of its days."""
    unlimited = PolicyActivated(id="unlimited", **SAID, policy=UNLIMITED)
    said = [unlimited if isinstance(one, PolicyActivated) else one for one in opening(2, trading=True)]
    return [*said, activated("ema_cross", *canonical.SYMBOLS[:2], **parameters), TICKS]


def events(of: Sequence[Any]) -> list[Any]:
    engine = Engine()
    return [event for message in canonical.messages(of) for event in engine.fold(message)]


async def replayed(of: Sequence[Any], *replays: Replay, cut: int = 100, opening: Sequence[Any] = ()) -> Reading:
    log = MemoryLog()
    tape = StoredTape(log, "main")
    end = await tape.end()
    for message in canonical.messages(of, range(0, 20_000, cut)):
        end = await tape.append(message, end)
    return await replay(tape, replays, opening)


def ema(parameters: dict[str, Any], symbols: tuple[str, ...] | None = None) -> Replay:
    return Replay("ema_cross", 1, EmaCross(**parameters).model_dump(mode="json"), symbols)


# Instructions that change nothing leave in the journal what was read before.
REPEATED = [
    *script(**FAST)[:-1],
    *(part for start in range(0, len(TICKS), 50) for part in (TICKS[start : start + 50], script(**FAST)[3])),
]
NAMES = {
    "trades": "trades", "wins": "wins", "net_nanos": "net", "win_rate": "win_rate", "profit_factor": "profit_factor",
    "expectancy_nanos": "expectancy", "drawdown_nanos": "drawdown", "drawdown_share": "drawdown_share",
}  # fmt: skip


@pytest.mark.parametrize(
    ("of", "strategy", "trades"),
    [
        (script(**FAST), "ema_cross", 100),
        (REPEATED, "ema_cross", 100),
        (PLAIN, "ema_cross", 20),  # with halts, orders of people, signals from outside and refused activations
        (PLAIN, "m5_bos_retest", 3),
    ],
)
async def test_with_nothing_changed_the_figures_are_those_of_the_recorded_ledger(
    of: Sequence[Any], strategy: str, trades: int
) -> None:
    scope = rows(MODEL, "metrics", ledger(*events(of)))[f"{strategy}@1",]
    stands = next(said for said in of if isinstance(said, StrategyActivated) and said.strategy == strategy)
    unchanged = Replay(strategy, 1, stands.parameters)
    await replayed(of, unchanged)
    whole = parts_of(unchanged, seed=1).whole
    assert {name: getattr(whole, name) for name in NAMES} == {name: scope[column] for name, column in NAMES.items()}
    assert whole.trades > trades
    assert unchanged.notes == ()


async def test_days_are_those_since_the_strategy_began_also_those_without_a_signal() -> None:
    run = ema(FAST)
    await replayed(script(**FAST), run)
    midnights = int(np.count_nonzero(TICKS["flags"] & PRAGUE_MIDNIGHT))
    whole = parts_of(run, 1).whole
    assert (whole.days, whole.trades_per_day) == (midnights + 1, whole.trades / (midnights + 1))
    later = [*opening(2, trading=True), TICKS[:5_000], activated("ema_cross", "EURUSD", **FAST), TICKS[5_000:]]
    run = ema(FAST)
    await replayed(later, run)
    assert len(run.days) == int(np.count_nonzero(TICKS["flags"][5_000:] & PRAGUE_MIDNIGHT)) + 1


async def test_changed_parameters_make_the_trades_of_a_desk_that_had_them_from_the_beginning() -> None:
    changed, recorded = ema(SLOW), ema(SLOW)
    await replayed(script(**FAST), changed)
    await replayed(script(**SLOW), recorded)
    assert changed.closed.trades == recorded.closed.trades
    assert len(changed.closed.trades) > 50
    assert parts_of(changed, 5) == parts_of(recorded, 5)


async def test_a_later_change_on_the_tape_is_replaced_too_and_counted_as_a_version() -> None:
    again = [
        *script(**FAST)[:-1],
        TICKS[:5_000],
        activated("ema_cross", *canonical.SYMBOLS[:2], id="b", **SLOW),
        TICKS[5_000:],
    ]
    twice = [*again[:-2], activated("ema_cross", *canonical.SYMBOLS[:2], id="b", **FAST), TICKS[5_000:]]
    replaced, stayed = ema(FAST), ema(FAST)
    await replayed(again, replaced)
    await replayed(twice, stayed)
    assert replaced.closed.trades == stayed.closed.trades
    assert (len(replaced.recorded), len(stayed.recorded)) == (2, 1)


async def test_how_the_tape_was_cut_into_messages_changes_nothing() -> None:
    found = []
    for cut in (37, 100, 9_999):
        run = ema(SLOW)
        reading = await replayed(script(**FAST), run, cut=cut)
        found.append((reading.sha256, reading.seed, reading.first, reading.last, tuple(run.closed.trades)))
    assert len(set(found)) == 1
    other = await replayed(script(**SLOW), ema(SLOW))
    assert other.sha256 != found[0][0]


async def test_replays_side_by_side_do_not_meet() -> None:
    alone = [ema(FAST), ema(SLOW), ema(FAST, ("EURUSD",))]
    for run in alone:
        await replayed(script(**FAST), run)
    together = [ema(FAST), ema(SLOW), ema(FAST, ("EURUSD",))]
    await replayed(script(**FAST), *together)
    assert [run.closed.trades for run in together] == [run.closed.trades for run in alone]
    assert len({len(run.closed.trades) for run in together}) == 3


async def test_a_dataset_gets_an_account_a_policy_and_the_strategy_before_its_first_tick() -> None:
    whole = script(**FAST)
    declared, said = whole[:3], whole[3:-1]  # the tape's own notes; engine, account, policy, strategy
    assert [type(one) for one in said] == [EngineActivated, AccountOpened, PolicyActivated, StrategyActivated]
    desk, dataset = ema(SLOW), ema(SLOW)
    await replayed(whole, desk)
    await replayed([*declared, TICKS], dataset, opening=said)
    assert dataset.closed.trades == desk.closed.trades


async def test_a_cancellation_is_left_out_where_the_numbers_are_other_ones_and_that_is_said() -> None:
    of = script(**FAST)
    of[-1:] = [TICKS[:100], CancelRequested(id="cancel", **SAID, order=3), TICKS[100:]]
    same, other = ema(FAST), ema(SLOW)
    await replayed(of, same, other)
    assert same.notes == ()
    assert other.notes == ("1 cancellations were left out: they name orders by numbers of the ledger",)


async def test_an_older_engines_history_is_decided_by_this_one_and_that_is_said() -> None:
    of = [
        one.model_copy(update={"engine": ENGINE - 1}) if isinstance(one, EngineActivated) else one
        for one in script(**FAST)
    ]
    old, new = ema(FAST), ema(FAST)
    await replayed(of, old)
    await replayed(script(**FAST), new)
    assert old.closed.trades == new.closed.trades
    assert old.notes == (f"engine {ENGINE - 1} decided once; engine {ENGINE} decides all of it here",)


async def test_every_halt_by_a_limit_is_counted() -> None:
    of = [*opening(2, trading=True), activated("ema_cross", *canonical.SYMBOLS[:2], **FAST), TICKS]
    halts = sum(isinstance(event, LimitBreached) and event.halted for event in events(of))
    run = ema(FAST)
    await replayed(of, run)
    assert parts_of(run, 1).whole.halts == halts > 0


async def test_the_history_is_cut_at_a_midnight_and_a_trade_over_it_is_in_neither_part() -> None:
    run = ema(FAST)
    await replayed(script(**FAST), run)
    found, cut = parts_of(run, 1), len(run.days) * 2 // 3
    assert (found.chosen_on.days, found.held_out.days) == (cut, len(run.days) - cut)
    over = [trade for trade in run.closed.trades if trade.opened_day < cut <= trade.closed_day]
    assert found.chosen_on.trades + found.held_out.trades + len(over) == found.whole.trades
    run.closed.trades[:] = [Trade(1, 0, cut - 1, 7), Trade(2, cut - 1, cut, 70), Trade(3, cut, cut, 700)]
    run.closed.halted_days[:] = [0, cut, cut]
    found = parts_of(run, 1)
    assert [part.net_nanos for part in (found.whole, found.chosen_on, found.held_out)] == [777, 7, 700]
    assert [part.halts for part in (found.whole, found.chosen_on, found.held_out)] == [3, 1, 2]


async def test_what_came_of_an_activation_is_what_the_ledger_has_since_then() -> None:
    of = [
        *script(**FAST)[:-1],
        TICKS[:5_000],
        activated("ema_cross", *canonical.SYMBOLS[:2], id="b", **SLOW),
        TICKS[5_000:],
    ]
    since = canonical.length(of[:-2]) + 1
    log = await desk(of)
    found = await observed(log, "main", "ema_cross", since, seed=1)
    results, held = list[int](), dict[str, bool]()  # by symbol: is what is held of the new parameters?
    for event in events(of):
        if isinstance(event, FillBooked):
            if event.closed and held.pop(event.symbol):
                results.append(event.trade_nanos)
            if event.position_nanos:
                held.setdefault(event.symbol, event.ordinal > since)
    assert (found.trades, found.net_nanos) == (len(results), sum(results))
    assert found.trades > 50
    assert found.days == int(np.count_nonzero(TICKS["flags"][5_000:] & PRAGUE_MIDNIGHT)) + 1
    with pytest.raises(InvalidInput, match=f"was not activated at record 8 of tape main, but at .*, {since}"):
        await observed(log, "main", "ema_cross", 8, seed=1)


# -- the whole of it -------------------------------------------------------------------------------------------------


async def desk(of: Sequence[Any]) -> MemoryLog:
    log = MemoryLog()
    await write_tape(log, of)
    return log


async def test_a_tuning_tries_as_many_as_asked_and_says_what_it_stands_on() -> None:
    log, told = await desk(script(**FAST)), list[tuple[int, int]]()
    before = await log.last("ledger.main"), await log.last("tape.main")
    found = await tune(log, "main", Asked("ema_cross", candidates=4), lambda done, total: told.append((done, total)))
    length = canonical.length(script(**FAST))
    assert found.evidence.tried == len(found.candidates) == found.judgement.tried == 4
    assert (found.evidence.first_ordinal, found.evidence.last_ordinal) == (1, length)
    assert told[-1] == (length, length)
    assert found.current.parameters == EmaCross(**FAST)  # type: ignore[arg-type]
    again = await tune(log, "main", Asked("ema_cross", candidates=4))
    assert again.row() == found.row()
    assert json.loads(json.dumps(found.row()))["says"] == found.judgement.says
    assert (await log.last("ledger.main"), await log.last("tape.main")) == before


async def test_a_proposal_holds_the_promise_the_way_back_and_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.tuning.objections", lambda *_, **__: ())
    found = await tune(await desk(script(**FAST)), "main", Asked("ema_cross", candidates=3))
    proposal = found.proposal
    assert proposal is not None
    chosen = found.candidates[found.judgement.proposed or 0]
    assert (proposal.current_version, proposal.proposed_version, proposal.handler_version) == (1, 2, 1)
    assert proposal.rollback == proposal.current_parameters == EmaCross(**FAST).model_dump(mode="json")  # type: ignore[arg-type]
    assert proposal.proposed_parameters == chosen.parameters.model_dump(mode="json")
    assert {one.name: one.proposed for one in proposal.changes}.items() <= proposal.proposed_parameters.items()
    assert proposal.promise.expected == chosen.parts.held_out
    assert proposal.before == found.current.parts.held_out != proposal.promise.expected
    assert proposal.symbols == canonical.SYMBOLS[:2]
    assert proposal.evidence == found.evidence
    assert "3 candidates were tried" in proposal.effects[2]
    assert Proposal.model_validate_json(proposal.model_dump_json()) == proposal


async def test_a_dataset_is_tuned_with_what_the_desk_has_or_a_new_desk_would() -> None:
    log = await desk([*script(**FAST)[:3], TICKS])
    await log_as(log, "dataset", [*script(**FAST)[:3], TICKS])
    found = await tune(log, "none", Asked("ema_cross", tape="dataset", candidates=2))
    assert found.current.parameters == EmaCross()
    assert found.proposal is None
    await log_as(log, "own", script(**FAST))
    found = await tune(log, "own", Asked("ema_cross", tape="dataset", candidates=2))
    assert found.current.parameters == EmaCross(**FAST)  # type: ignore[arg-type]


async def log_as(log: MemoryLog, tape: str, of: Sequence[Any]) -> None:
    await write_tape(log, of, tape)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked("m1_retest"), "'m1_retest' is not active on desk main; active: ema_cross"),
        (Asked("ema_cross", symbols=("XAUUSD",)), "symbol XAUUSD is not on tape main"),
        (Asked("ema_cross", candidates=0), "--candidates 0 is not from 1 to 200"),
        (Asked("ema_cross", candidates=201), "--candidates 201 is not from 1 to 200"),
        (Asked("ema_cross", tape="nowhere"), "no tape is named 'nowhere'"),
    ],
)
async def test_what_cannot_be_tuned_is_refused_with_what_there_is(asked: Asked, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("(", r"\(")):
        await tune(await desk(script(**FAST)[:-1]), "main", asked)


class Endless(Wrapped):
    """A tape that never ends, and whether its reader has left."""

    left = False

    async def read(self, subject: str, after: int = 0, until: int | None = None) -> AsyncGenerator[list[Message], None]:
        try:
            async with aclosing(self.log.read(subject, after, until)) as pages:
                async for page in pages:
                    yield page
            self.at_end.set()
            await asyncio.Event().wait()
        finally:
            self.left = True

    at_end: asyncio.Event


async def test_a_tuning_that_is_cancelled_leaves_the_tape() -> None:
    log = Endless(await desk(script(**FAST)))
    log.at_end = asyncio.Event()
    tuning = asyncio.create_task(tune(log, "main", Asked("ema_cross", candidates=2)))
    async with asyncio.timeout(60):
        await log.at_end.wait()
        tuning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await tuning
    assert log.left


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux gives each thread a priority")
async def test_a_gentle_replay_goes_behind_every_other_thread_and_leaves_them_as_they_were() -> None:
    class Noting(Replay):
        seen: ClassVar[set[int]] = set()

        def take(self, messages: Any) -> None:
            self.seen.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    log, before = await desk(script(**FAST)), os.getpriority(os.PRIO_PROCESS, 0)
    await replay(StoredTape(log, "main"), [Noting("ema_cross", 1)], gently=True)
    assert Noting.seen == {19}
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
