"""ema_cross: two exponential averages of the mid, or of closed M1 bars' closes; a signal at each change of side.

e[0] = price, then e += 2 / (n + 1) * (price - e); compared from index `slow` on (counted from 0). The first side only
initialises, equal averages keep the side. The averages are the only floats: the mid as float64, plain operations.
A cross has no level to lean on: level = entry, no stop, no target, and no degree: confidence 1,000,000 ppm.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from domain.bars import BAR, M1, extend, mid, open_bar, subscribed
from domain.instruments import Instrument
from domain.kernel import kernel
from domain.signals.handler import LOOSER_DOWN, Handler, Parameters, Signals, States, register
from domain.tape import Ticks

STATE = np.dtype(
    [
        ("instrument", "<i8"),
        ("on_ticks", "<i8"),  # parameters
        ("warm_up", "<i8"),
        ("fast_weight", "<f8"),
        ("slow_weight", "<f8"),
        ("seen", "<i8"),  # prices so far
        ("fast", "<f8"),  # nanos
        ("slow", "<f8"),
        ("side", "<i8"),  # +1 fast above slow, -1 below, 0 not compared yet
        ("m1", BAR),
    ]
)


class EmaCross(Parameters):
    """Spans of the averages in ticks or in M1 bars."""

    fast: int = Field(10, ge=1, le=100_000, json_schema_extra=LOOSER_DOWN)
    slow: int = Field(30, ge=2, le=100_000, json_schema_extra=LOOSER_DOWN)
    on: Literal["ticks", "bars"] = "bars"

    @model_validator(mode="after")
    def fast_is_faster(self) -> "EmaCross":
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be below slow = {self.slow}")
        return self


def initial(parameters: EmaCross, instrument: Instrument) -> Any:
    """A STATE record with nothing seen yet."""
    state = np.zeros(1, STATE)[0]
    state["on_ticks"], state["warm_up"] = parameters.on == "ticks", parameters.slow
    state["fast_weight"], state["slow_weight"] = 2 / (parameters.fast + 1), 2 / (parameters.slow + 1)
    return state


@kernel
def cross(state: Any, price: int) -> bool:
    """Take one price into the averages; did the side change?"""
    if state.seen == 0:
        state.fast = state.slow = float(price)
    else:
        state.fast += state.fast_weight * (price - state.fast)
        state.slow += state.slow_weight * (price - state.slow)
    state.seen += 1
    if state.seen <= state.warm_up or state.fast == state.slow:
        return False
    side, before = 1 if state.fast > state.slow else -1, state.side
    state.side = side
    return bool(before == -side)


@kernel
def step(states: States, ticks: Ticks, out: Signals) -> int:
    """The contract of handler.py."""
    count = 0
    for i in range(len(ticks)):
        tick: Any = ticks[i]
        if not subscribed(states, tick):
            continue
        state: Any = states[tick.instrument]
        time, price, minute = tick.receive_time, mid(tick), state.m1
        if state.on_ticks != 0:
            if cross(state, price):
                _signal(out[count], i, state, time - time % M1, price)
                count += 1
            continue
        if time < minute.start + M1:
            extend(minute, price)
            continue
        if minute.ticks > 0 and cross(state, minute.close):
            _signal(out[count], i, state, minute.start, minute.close)
            count += 1
        open_bar(minute, time, M1, price)
    return count


@kernel
def _signal(signal: Any, tick: int, state: Any, bar_time: int, price: int) -> None:
    signal.tick, signal.instrument, signal.bar_time, signal.side = tick, state.instrument, bar_time, state.side
    signal.level, signal.entry, signal.stop, signal.target, signal.confidence_ppm = price, price, 0, 0, 1_000_000


HANDLER = register(Handler("ema_cross", 1, EmaCross, STATE, initial, step))
