"""What the contract of domain/signals/handler.py promises, for every registered handler."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import domain.signals
from domain.errors import UnknownStrategy
from domain.signals.handler import REGISTRY, SIGNAL, Handler, find, register
from domain.tape import CLOCK
from tests.domain import market

assert domain.signals
SYMBOLS = {1: "EURUSD", 2: "USDJPY", 3: "XAUUSD"}
SCALE = {1: 1, 2: 100, 3: 1_000}  # nanos of a point against EURUSD's

handlers = pytest.mark.parametrize("handler", REGISTRY.values(), ids=lambda h: f"{h.name}-v{h.version}")


def session(count: int = 60_000) -> Any:
    """Three instruments and clock records, in one order of time."""
    parts = []
    for number, scale in SCALE.items():
        part = market.walk(number, count // 3, step=6)
        part["bid"] *= scale
        part["ask"] *= scale
        part["instrument"] = number
        parts.append(part)
    clock = market.quotes(np.arange(parts[0]["receive_time"][0], parts[0]["receive_time"][-1], 3_600 * 10**9), 0)
    clock["kind"], clock["instrument"] = CLOCK, 0
    ticks = np.concatenate([clock, *parts])
    return ticks[np.argsort(ticks["receive_time"], kind="stable")]


TICKS = session()


def whole(handler: Handler) -> tuple[Any, Any]:
    states = market.states_for(handler, {}, SYMBOLS)
    signals = market.step(handler, states, TICKS)
    assert len(signals) > 50
    return signals, states


def in_pieces(handler: Handler, cuts: Any, between: Callable[[Any], Any] = lambda states: states) -> tuple[Any, Any]:
    """The run cut into steps; `between` may replace the states at each cut."""
    states = market.states_for(handler, {}, SYMBOLS)
    found, first = [], 0
    for part in np.split(TICKS, cuts):
        signals = market.step(handler, states, part)
        signals["tick"] += first
        found.append(signals)
        first += len(part)
        states = between(states)
    return np.concatenate(found), states


@handlers
def test_the_output_on_any_prefix_is_a_prefix_of_the_output_on_the_whole(handler: Handler) -> None:
    signals, _ = whole(handler)
    for cut in np.random.default_rng(7).integers(0, len(TICKS) + 1, 200):
        on_prefix = market.step(handler, market.states_for(handler, {}, SYMBOLS), TICKS[:cut])
        assert on_prefix.tobytes() == signals[signals["tick"] < cut].tobytes()


@handlers
def test_the_future_changes_nothing_that_was_said(handler: Handler) -> None:
    signals, _ = whole(handler)
    cut = len(TICKS) // 2
    other = TICKS.copy()
    other["bid"][cut:] //= 2
    other["ask"][cut:] //= 2
    changed = market.step(handler, market.states_for(handler, {}, SYMBOLS), other)
    assert changed[changed["tick"] < cut].tobytes() == signals[signals["tick"] < cut].tobytes()


@handlers
def test_state_is_its_bytes_saved_and_restored_at_any_cut(handler: Handler) -> None:
    signals, states = whole(handler)
    cuts = np.sort(np.random.default_rng(8).integers(0, len(TICKS), 300))
    restored = in_pieces(handler, cuts, lambda state: np.frombuffer(bytearray(state.tobytes()), handler.state))
    assert restored[0].tobytes() == signals.tobytes()
    assert restored[1].tobytes() == states.tobytes()


@handlers
@pytest.mark.parametrize("seed", range(5))
def test_any_cut_of_the_ticks_into_steps_gives_the_same_signals_and_state(handler: Handler, seed: int) -> None:
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, len(TICKS), random.choice([1, 20, 2_000])))
    signals, states = in_pieces(handler, cuts)
    assert (signals.tobytes(), states.tobytes()) == tuple(part.tobytes() for part in whole(handler))


@handlers
def test_one_tick_a_step_gives_the_same_signals(handler: Handler) -> None:
    signals, _ = in_pieces(handler, range(1, len(TICKS)))
    assert signals.tobytes() == whole(handler)[0].tobytes()


@handlers
def test_each_of_many_instruments_is_treated_as_if_it_were_alone(handler: Handler) -> None:
    signals, _ = whole(handler)
    for number, symbol in SYMBOLS.items():
        rows = np.flatnonzero(TICKS["instrument"] == number)
        alone = market.signals(handler, TICKS[rows], symbol)
        alone["tick"] = rows[alone["tick"]]
        assert len(alone) > 10
        assert alone.tobytes() == signals[signals["instrument"] == number].tobytes()


@handlers
def test_instruments_without_a_state_and_clock_records_leave_no_trace(handler: Handler) -> None:
    states = market.states_for(handler, {}, {2: "USDJPY"})
    untouched = states[:2].tobytes()
    signals = market.step(handler, states, TICKS)  # instrument 1 is not subscribed, 3 lies beyond the array
    assert set(signals["instrument"]) == {2}
    assert states[:2].tobytes() == untouched
    before = states.tobytes()
    late = TICKS[TICKS["kind"] == CLOCK].copy()
    late["receive_time"] += 10**15
    late["instrument"] = 2  # even so
    assert len(market.step(handler, states, late)) == 0
    assert states.tobytes() == before


@handlers
def test_read_only_ticks_as_the_log_gives_them_are_taken(handler: Handler) -> None:
    stored = np.frombuffer(TICKS.tobytes(), TICKS.dtype)
    assert (
        market.step(handler, market.states_for(handler, {}, SYMBOLS), stored).tobytes() == whole(handler)[0].tobytes()
    )


@handlers
def test_a_signal_fills_every_field_of_its_record(handler: Handler) -> None:
    """What stood in `out` before must not shine through into the ledger."""
    signals, _ = whole(handler)
    dirty = np.frombuffer(bytearray(b"\xaa" * (SIGNAL.itemsize * len(TICKS))), SIGNAL)
    count = handler.step(market.states_for(handler, {}, SYMBOLS), TICKS, dirty)
    assert dirty[:count].tobytes() == signals.tobytes()


@handlers
def test_confidence_lies_between_nothing_and_one(handler: Handler) -> None:
    signals, _ = whole(handler)
    assert signals["confidence_ppm"].min() >= 0
    assert signals["confidence_ppm"].max() <= 1_000_000


def test_the_registry_holds_the_three_strategies_and_finds_the_newest_version() -> None:
    assert {name for name, _ in REGISTRY} >= {"m5_bos_retest", "m1_retest", "ema_cross"}
    assert find("ema_cross") is find("ema_cross", 1)


def test_an_unknown_strategy_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownStrategy, match=r"'moon'.*ema_cross v1, m1_retest v1, m5_bos_retest v1"):
        find("moon")
    with pytest.raises(UnknownStrategy, match="ema_cross v9"):
        find("ema_cross", 9)


def test_a_version_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="twice"):
        register(find("ema_cross"))
