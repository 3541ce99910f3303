"""m1_retest: the retest of M1 structure alone: a break of M1 swings, entered on its retest by later M1 bars.

The parts are those of m5_bos_retest (structure.py, retest.py) with every M1 bar as its own leg: at its close the retest
machine looks at it first, then it is tested for a break.
"""

from typing import Any

from pydantic import Field

from domain.bars import M1, extend, mid, open_bar, subscribed
from domain.kernel import kernel
from domain.signals.handler import LOOSER_UP, Handler, Signals, States, register
from domain.signals.retest import ENTERED, STATE, RetestParameters, advance, close_leg, enter, initial
from domain.tape import Ticks


class M1Retest(RetestParameters):
    """Parameters of m1_retest; the swings are those of M1 bars, so the window is shorter."""

    window_bars: int = Field(
        30,
        ge=1,
        le=1_440,
        description="M1 bars within which the retest must come",
        json_schema_extra=LOOSER_UP | {"tightens": "down"},
    )


@kernel
def step(states: States, ticks: Ticks, out: Signals) -> int:
    """The contract of handler.py; a state is retest.STATE with a copy of the M1 bar as its leg."""
    count = 0
    for i in range(len(ticks)):
        tick: Any = ticks[i]
        if not subscribed(states, tick):
            continue
        state: Any = states[tick.instrument]
        time, price, minute = tick.receive_time, mid(tick), state.m1
        if time < minute.start + M1:
            extend(minute, price)
            continue
        if minute.ticks > 0:
            if advance(state.setup, minute) == ENTERED:
                signal: Any = out[count]
                signal.tick, signal.instrument = i, state.instrument
                enter(state.setup, minute, signal)
                count += 1
            state.leg = minute
            close_leg(state)
        open_bar(minute, time, M1, price)
    return count


HANDLER = register(Handler("m1_retest", 1, M1Retest, STATE, initial, step))
