"""m5_bos_retest: a break of M5 structure, entered on its retest by M1 bars.

At the close of an M1 bar the retest machine (retest.py) looks at that bar first; then, if the M5 bucket has ended too,
the M5 bar closes and structure.py tests it for a break, which arms the machine for the M1 bars that follow. Defaults:
fractal of 2 bars, break by 1 point, window of 60 M1 bars, tolerance and trigger 0.8 pip, stop 0.2 pip beyond the
extreme, target at 2.5 times the risk. The signal is raised by the tick that closes the entering M1 bar.
"""

from typing import Any

from domain.bars import M1, M5, extend, fold, mid, open_bar, subscribed
from domain.kernel import kernel
from domain.signals.handler import Handler, Signals, States, register
from domain.signals.retest import ENTERED, STATE, RetestParameters, advance, close_leg, enter, initial
from domain.tape import Ticks


class M5BosRetest(RetestParameters):
    """Parameters of m5_bos_retest; the swings are those of M5 bars."""


@kernel
def step(states: States, ticks: Ticks, out: Signals) -> int:
    """The contract of handler.py; a state is retest.STATE with the M5 bar as its leg."""
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
            fold(state.leg, minute, M5)
            if advance(state.setup, minute) == ENTERED:
                signal: Any = out[count]
                signal.tick, signal.instrument = i, state.instrument
                enter(state.setup, minute, signal)
                count += 1
            if time >= state.leg.start + M5:
                close_leg(state)
        open_bar(minute, time, M1, price)
    return count


HANDLER = register(Handler("m5_bos_retest", 1, M5BosRetest, STATE, initial, step))
