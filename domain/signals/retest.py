"""The retest machine: a broken level is armed, touched again by a later M1 bar, and left in the break's direction.

On every M1 bar after the arming one: the window shrinks by one, the extreme takes the bar's low, then at most one
transition happens, in this order (a long; a short is its mirror):

| transition | condition | then |
|------------|-----------|------|
| ENTERED    | touched, and close >= the touch bar's high + trigger | signal, setup gone |
| INVALID    | close < level - tolerance | setup gone |
| TOUCHED    | not touched yet, and low <= level + tolerance | waits for the trigger |
| EXPIRED    | window <= 0 | setup gone; a touch on the last bar came first and may still enter on the next |

entry = that close; stop = extreme - buffer, the extreme being the low since the breaking bar, itself included;
target = entry + the reward ratio x (entry - stop), the distance truncated to nanos.
"""

from decimal import Decimal
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from domain.bars import BAR
from domain.instruments import Instrument
from domain.kernel import kernel
from domain.signals.confidence import (
    confidence_ppm,
    momentum_ppm,
    precision_ppm,
    structure_ppm,
    timing_ppm,
    trend_ppm,
)
from domain.signals.handler import LOOSER_DOWN, LOOSER_UP, Exact, Parameters, plain
from domain.signals.structure import MAX_REACH, STRUCTURE, on_close

NOTHING, ENTERED, INVALID, TOUCHED, EXPIRED = range(5)

SETUP = np.dtype(
    [
        ("window_bars", "<i8"),  # parameters: count, then nanos, then thousandths
        ("tolerance", "<i8"),
        ("trigger", "<i8"),
        ("buffer", "<i8"),
        ("reward_thousandths", "<i8"),
        ("pip", "<i8"),
        ("side", "<i8"),  # +1, -1; 0: nothing is armed
        ("level", "<i8"),
        ("window", "<i8"),  # M1 bars left
        ("extreme", "<i8"),  # low since the breaking bar for a long, high for a short
        ("touched", "<i8"),
        ("touch_extreme", "<i8"),  # high of the touch bar for a long, low for a short
        ("structure_ppm", "<i8"),  # terms of the confidence, as they become known
        ("momentum_ppm", "<i8"),
        ("trend_ppm", "<i8"),
        ("precision_ppm", "<i8"),
    ]
)

# What both retest handlers keep for one instrument. `leg` is the bar whose swings count, folded from M1 bars.
STATE = np.dtype([("instrument", "<i8"), ("m1", BAR), ("leg", BAR), ("structure", STRUCTURE), ("setup", SETUP)])


Thousandths = Annotated[Decimal, Field(max_digits=6, decimal_places=3), AfterValidator(plain)]


class RetestParameters(Parameters):
    """Of every handler that enters on a retest. Pips and points are the instrument's."""

    reach: int = Field(
        2, ge=1, le=MAX_REACH, description="bars on either side of a fractal", json_schema_extra=LOOSER_DOWN
    )
    min_break_points: int = Field(
        1, ge=0, le=10_000, description="a close must lie this far beyond the swing", json_schema_extra=LOOSER_DOWN
    )
    window_bars: int = Field(
        60,
        ge=1,
        le=1_440,
        description="M1 bars within which the retest must come",
        json_schema_extra=LOOSER_UP | {"tightens": "down"},
    )
    tolerance_pips: Exact = Field(
        Decimal("0.8"), ge=0, le=1_000, description="either way of the level", json_schema_extra=LOOSER_UP
    )
    trigger_pips: Exact = Field(
        Decimal("0.8"), gt=0, le=1_000, description="beyond the touch bar's extreme", json_schema_extra=LOOSER_DOWN
    )
    buffer_pips: Exact = Field(Decimal("0.2"), ge=0, le=1_000, description="of the stop beyond the extreme")
    reward_ratio: Thousandths = Field(Decimal("2.5"), gt=0, le=100, description="target distance / stop distance")


def initial(parameters: RetestParameters, instrument: Instrument) -> Any:
    """A STATE record with nothing seen yet. Raises InvalidInput for pips that are no whole number of nanos."""
    state = np.zeros(1, STATE)[0]
    state["structure"]["reach"] = parameters.reach
    state["structure"]["min_break"] = parameters.min_break_points * instrument.point_nanos
    setup = state["setup"]
    setup["window_bars"] = parameters.window_bars
    setup["tolerance"] = instrument.nanos("tolerance_pips", parameters.tolerance_pips)
    setup["trigger"] = instrument.nanos("trigger_pips", parameters.trigger_pips)
    setup["buffer"] = instrument.nanos("buffer_pips", parameters.buffer_pips)
    setup["reward_thousandths"] = int(parameters.reward_ratio * 1000)
    setup["pip"] = instrument.pip_nanos
    return state


@kernel
def close_leg(state: Any) -> None:
    """The leg's bar is closed: a break of structure arms the setup, in place of an older one."""
    leg = state.leg
    side, level, against = on_close(state.structure, leg)
    if side != 0:
        arm(state.setup, side, level, against, leg)
    leg.ticks = 0


@kernel
def arm(setup: Any, side: int, level: int, against: bool, bar: Any) -> None:
    """Wait for the retest of `level`, broken by `bar`."""
    setup.side, setup.level, setup.window, setup.touched = side, level, setup.window_bars, 0
    setup.extreme = bar.low if side > 0 else bar.high
    setup.structure_ppm = structure_ppm(side * (bar.close - level), setup.pip)
    setup.momentum_ppm = momentum_ppm(side, bar.open, bar.high, bar.low, bar.close)
    setup.trend_ppm = trend_ppm(against)


@kernel
def advance(setup: Any, bar: Any) -> int:
    """One closed M1 bar: the transition it makes. A setup that is gone has side 0."""
    side = setup.side
    if side == 0:
        return NOTHING
    near, far = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)  # the level's side of the bar, and the other
    setup.window -= 1
    setup.extreme = min(setup.extreme, near) if side > 0 else max(setup.extreme, near)
    if setup.touched != 0 and side * (bar.close - setup.touch_extreme) >= setup.trigger:
        return ENTERED
    if side * (bar.close - setup.level) < -setup.tolerance:
        setup.side = 0
        return INVALID
    if setup.touched == 0 and side * (near - setup.level) <= setup.tolerance:
        setup.touched, setup.touch_extreme = 1, far
        setup.precision_ppm = precision_ppm(near - setup.level, setup.tolerance)
        return TOUCHED
    if setup.window <= 0:
        setup.side = 0
        return EXPIRED
    return NOTHING


@kernel
def enter(setup: Any, bar: Any, signal: Any) -> None:
    """Fill the signal of a setup that `bar` entered; the setup is spent."""
    side = setup.side
    signal.side, signal.bar_time, signal.level, signal.entry = side, bar.start, setup.level, bar.close
    signal.stop = setup.extreme - side * setup.buffer
    signal.target = bar.close + side * scaled(side * (bar.close - signal.stop), setup.reward_thousandths)
    signal.confidence_ppm = confidence_ppm(
        setup.structure_ppm,
        setup.momentum_ppm,
        setup.precision_ppm,
        timing_ppm(setup.window, setup.window_bars),
        setup.trend_ppm,
    )
    setup.side = 0


@kernel
def scaled(distance: int, thousandths: int) -> int:
    """distance x thousandths / 1000, truncated; in two parts, because the whole product may not fit 64 bits."""
    return int(distance // 1000 * thousandths + distance % 1000 * thousandths // 1000)
