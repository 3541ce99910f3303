"""The engine is a pure fold: the same tape gives the same ledger, however it was cut, stopped and continued."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.engine import ENGINE, Engine, OtherEngine, prepare
from domain.errors import InvalidInput, TapeBroken
from domain.events import LEDGER_EVENT, InstructionApplied, InstructionRefused, SignalRaised
from domain.instructions import EngineActivated, Instruction, StrategyDeactivated
from domain.snapshot import restore, save
from domain.tape import Block, concatenate
from tests import canonical
from tests.canonical import EVERY_STRATEGY, SAID, activated, behind, ledger, length, messages, opening


def busy_script() -> list[Any]:
    """Three instruments, three strategies, clock records, and instructions of every outcome between the ticks."""
    ticks = canonical.with_minutes(canonical.market_ticks(3_000, seed=3, symbols=3))
    between: list[Instruction] = [
        StrategyDeactivated(id="stop-m1", **SAID, strategy="m1_retest"),
        activated("ema_cross", "EURUSD", "USDJPY", id="fewer", **EVERY_MINUTE),
        activated("m5_bos_retest", "NAS100", id="refused"),
        activated("m1_retest", *canonical.SYMBOLS, id="again"),
        activated("m5_bos_retest", *canonical.SYMBOLS, id="other", window_bars=30),
        canonical.INSTRUCTIONS["feed_completed"],
    ]
    script: list[Any] = opening(3, EVERY_STRATEGY, trading=True)
    for part, instruction in zip(np.array_split(ticks, len(between)), between, strict=True):
        script += [part, instruction]
    return script


EVERY_MINUTE: dict[str, Any] = {"fast": 1, "slow": 2, "on": "bars"}  # an ema_cross that coincides with others
BUSY = busy_script()
BUSY_LEDGER = ledger(messages(BUSY))
ORDINALS = st.integers(1, length(BUSY))


def events_of(script: Any) -> list[Any]:
    return [LEDGER_EVENT.validate_json(line) for line in ledger(messages(script))]


def signals_of(script: Any) -> list[SignalRaised]:
    return [event for event in events_of(script) if isinstance(event, SignalRaised)]


# -- packing and snapshots ---------------------------------------------------------------------------------------------


def test_the_busy_tape_tests_something() -> None:
    events = [LEDGER_EVENT.validate_json(line) for line in BUSY_LEDGER]
    signals = [event for event in events if isinstance(event, SignalRaised)]
    assert {signal.strategy for signal in signals} == set(EVERY_STRATEGY)
    assert len({signal.symbol for signal in signals}) == 3
    assert len(signals) > 80
    assert len({signal.ordinal for signal in signals}) < len(signals)  # some ticks raise more than one


@given(st.lists(ORDINALS, max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_cut_of_the_tape_into_blocks_gives_the_same_ledger(cuts: list[int]) -> None:
    assert ledger(messages(BUSY, cuts)) == BUSY_LEDGER


def test_one_record_a_block_gives_the_same_ledger() -> None:
    assert ledger(messages(BUSY, range(length(BUSY)))) == BUSY_LEDGER


@given(st.lists(ORDINALS, max_size=20), ORDINALS)
@settings(max_examples=100, deadline=None)
def test_a_snapshot_at_any_ordinal_continues_to_the_same_ledger(cuts: list[int], stop: int) -> None:
    engine = Engine()
    before = ledger(canonical.up_to(stop, messages(BUSY, [*cuts, stop])), engine)
    assert engine.ordinal == stop
    restored = restore(save(engine))
    assert restored is not None
    assert (restored.ordinal, restored.number) == (stop, len(before))
    assert before + ledger(messages(behind(BUSY, stop), cuts, first=stop + 1), restored) == BUSY_LEDGER


def test_a_restored_engine_takes_the_same_snapshot() -> None:
    engine = Engine()
    ledger(messages(BUSY), engine)
    restored = restore(save(engine))
    assert restored is not None
    assert save(restored) == save(engine)


def test_snapshots_do_not_depend_on_the_cut_either() -> None:
    whole, pieces = Engine(), Engine()
    ledger(messages(BUSY), whole)
    ledger(messages(BUSY, range(0, length(BUSY), 7)), pieces)
    assert save(whole) == save(pieces)


def test_the_engine_that_goes_on_after_a_snapshot_is_not_changed_by_it() -> None:
    engine, stop = Engine(), length(BUSY) // 2
    before = ledger(canonical.up_to(stop, messages(BUSY, [stop])), engine)
    restored = restore(save(engine))
    assert restored is not None
    rest = list(messages(behind(BUSY, stop), first=stop + 1))
    assert before + ledger(rest, restored) == before + ledger(rest, engine) == BUSY_LEDGER


def with_meta(**changes: Any) -> bytes:
    meta, _, states = canonical.golden_snapshot().partition(b"\n")
    return json.dumps(json.loads(meta) | changes).encode() + b"\n" + states


def with_strategy(**changes: Any) -> bytes:
    meta = json.loads(canonical.golden_snapshot().partition(b"\n")[0])
    return with_meta(strategies=[meta["strategies"][0] | changes, *meta["strategies"][1:]])


def with_answers(digests: bytes) -> bytes:
    """The last bytes of a snapshot are the digests of what was answered."""
    head, _, body = canonical.golden_snapshot().partition(b"\n")
    count = json.loads(head)["answered"]
    return with_meta(answered=len(digests) // 16).partition(b"\n")[0] + b"\n" + body[: -16 * count] + digests


def test_the_snapshot_that_the_next_test_breaks_is_whole() -> None:
    assert restore(with_answers(b"1" * 16 + b"2" * 16)) is not None
    assert restore(with_meta()) is not None
    assert restore(with_strategy()) is not None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_meta(engine=ENGINE + 1), id="of a newer engine"),
        pytest.param(with_meta(engine=ENGINE - 1), id="of an older engine"),
        pytest.param(with_meta(strategies=[]), id="with states of no strategy"),
        pytest.param(with_strategy(layout="[('instrument', '<i8')]"), id="of another state layout"),
        pytest.param(with_strategy(strategy="forgotten"), id="of a strategy that is not in this build"),
        pytest.param(with_strategy(version=2), id="of a version that is not in this build"),
        pytest.param(with_strategy(parameters={"reach": 99}), id="with parameters out of bounds"),
        pytest.param(with_strategy(states=10**30), id="with more states than there can be"),
        pytest.param(with_strategy(states=-1), id="with fewer states than none"),
        pytest.param(with_meta(answered=-1), id="with fewer answers than none"),
        pytest.param(with_answers(b"2" * 16 + b"1" * 16), id="with answers that do not ascend"),
        pytest.param(with_answers(b"1" * 16 + b"1" * 16), id="with an answer twice"),
        pytest.param(canonical.golden_snapshot() + b"\0", id="with a byte too many"),
        pytest.param(canonical.golden_snapshot()[:-1], id="with a byte too few"),
        pytest.param(canonical.golden_snapshot().partition(b"\n")[0], id="without its states"),
        pytest.param(canonical.golden_snapshot().partition(b"\n")[2], id="without its head"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="of nothing"),
        pytest.param(b"[]\n", id="of a list"),
        pytest.param(b"\xff\xfe\n\x00", id="of no text"),
        pytest.param(b"[" * 100_000, id="of brackets"),
    ],
)
def test_a_snapshot_that_is_not_ours_is_none_and_never_an_error(data: bytes) -> None:
    assert restore(data) is None


@given(st.integers(0, len(canonical.golden_snapshot()) - 1))
@settings(max_examples=60, deadline=None)
def test_a_snapshot_cut_short_anywhere_is_none(size: int) -> None:
    assert restore(canonical.golden_snapshot()[:size]) is None


@given(st.binary(max_size=200), st.integers(0, len(canonical.golden_snapshot())))
@settings(max_examples=100, deadline=None)
def test_garbage_in_a_snapshot_is_never_an_error(garbage: bytes, place: int) -> None:
    whole = canonical.golden_snapshot()
    restore(whole[:place] + garbage + whole[place + len(garbage) :])
    restore(garbage)


# -- instructions ------------------------------------------------------------------------------------------------------


def test_a_repeated_instruction_changes_nothing() -> None:
    ticks = canonical.market_ticks(2_000)
    once = activated("ema_cross")
    stopped = StrategyDeactivated(id="stop", **SAID, strategy="ema_cross")
    plain = events_of([*opening(1), once, ticks, stopped, ticks[:0]])
    again = events_of([*opening(1), once, ticks[:900], once, once, ticks[900:], stopped, once, stopped])
    assert [e.model_dump(exclude={"ordinal"}) for e in again] == [e.model_dump(exclude={"ordinal"}) for e in plain]


def test_a_repeat_is_known_by_its_id_alone_also_when_it_was_refused() -> None:
    refused = activated("ema_cross", "NAS100", id="the-same")
    better = activated("ema_cross", "EURUSD", id="the-same")
    kinds = [type(event) for event in events_of([*opening(1), refused, better])]
    assert kinds.count(InstructionRefused) == 1
    assert kinds[-1] is InstructionRefused
    assert len(kinds) == 3  # declared, engine, refused


def test_a_snapshot_remembers_what_was_answered() -> None:
    engine = Engine()
    script = [*opening(1), activated("ema_cross")]
    ledger(messages(script), engine)
    restored = restore(save(engine))
    assert restored is not None
    assert ledger(messages([activated("ema_cross")], first=engine.ordinal + 1), restored) == []


def test_every_answer_is_remembered_through_snapshots_at_16_bytes_each() -> None:
    ids = [f"{number:0128}" for number in range(5_000)]
    said = [StrategyDeactivated(id=name, **SAID, strategy="hope") for name in ids]
    start, engine = Engine(), Engine()
    ledger(messages(opening(1)), start)
    ledger(messages([*opening(1), *said]), engine)
    assert len(save(engine)) - len(save(start)) < 16 * len(ids) + 100
    restored = restore(save(engine))
    assert restored is not None
    assert ledger(messages(said, first=engine.ordinal + 1), restored) == []
    assert len(ledger(messages([said[0].model_copy(update={"id": "new"})], first=restored.ordinal + 1), restored)) == 1
    assert len(restored.answered) == len(engine.answered) + 1


def test_notes_about_the_tape_are_not_answered() -> None:
    notes = [canonical.INSTRUCTIONS[kind] for kind in ("tape_opened", "feed_opened", "feed_completed")]
    assert events_of(notes) == []


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (activated("ema_cross", "EURUSD", "NAS100"), "no instrument 'NAS100' is declared"),
        (activated("ema_cross", fast=70), "fast = 70 must be below slow = 60"),
        (activated("ema_cross", fast="many"), "ema_cross: fast = 'many'"),
        (activated("ema_cross", speed=3), "ema_cross: speed = 3"),
        (activated("m5_bos_retest", tolerance_pips="0.000000001"), "tolerance_pips"),
        (StrategyDeactivated(id="x", **SAID, strategy="m5_bos_retest"), "strategy 'm5_bos_retest' is not active"),
        (canonical.declared(1).model_copy(update={"id": "twice"}), r"EURUSD \(number 1\) is declared already"),
        (canonical.declared(2).model_copy(update={"id": "place", "number": 1}), r"GBPUSD \(number 1\) is declared"),
        (canonical.declared(1).model_copy(update={"id": "name", "number": 9}), r"EURUSD \(number 9\) is declared"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_and_changes_nothing(
    instruction: Instruction, reason: str
) -> None:
    ticks = canonical.market_ticks(1_500)
    start = [*opening(1), activated("ema_cross", id="running"), ticks[:700]]
    events = events_of([*start, instruction, ticks[700:]])
    [refused] = [event for event in events if isinstance(event, InstructionRefused)]
    assert re.search(reason, refused.reason), refused.reason
    assert (refused.instruction_id, refused.kind) == (instruction.id, instruction.kind)
    assert refused.ordinal == length(start) + 1
    fields = {"number", "ordinal", "correlation"}
    signals = [e.model_dump(exclude=fields) for e in events if isinstance(e, SignalRaised)]
    assert signals == [e.model_dump(exclude=fields) for e in signals_of([*start, ticks[700:]])]
    assert len(signals) > 5


def test_a_refusal_fits_into_a_commit_whatever_the_instruction_says() -> None:
    """An answer that the log cannot take would stop the desk for ever."""
    noise = "'\"" * 200_000
    for instruction in (
        activated("ema_cross", id="noise", fast=noise),
        activated("ema_cross", noise, id="noise"),
        activated("ema_cross", id="noise", **{noise: 1}),
        StrategyDeactivated(id="noise", **SAID, strategy=noise),
    ):
        refused = events_of([*opening(1), instruction])[-1]
        assert isinstance(refused, InstructionRefused)
        assert len(refused.model_dump_json()) < 10_000
        assert refused.reason.startswith("strategy ")


def test_every_event_is_numbered_and_says_where_and_when_it_was_decided() -> None:
    events = events_of(BUSY)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    numbers = {event.number: event for event in events}
    for event in events:
        cause = numbers[event.causation] if event.causation else event
        assert (event.correlation, cause.number <= event.number) == (cause.correlation, True)
    assert [event.occurred_at_ns for event in events] == sorted(event.occurred_at_ns for event in events)
    assert [event.ordinal for event in events] == sorted(event.ordinal for event in events)
    items = [item for part in BUSY for item in (part if isinstance(part, np.ndarray) else [part])]
    for event in events:
        item = items[event.ordinal - 1]
        if isinstance(event, SignalRaised):
            assert event.occurred_at_ns == item["receive_time"]
            assert canonical.SYMBOLS[item["instrument"] - 1] == event.symbol
        elif isinstance(event, InstructionApplied | InstructionRefused):
            assert event.instruction_id == item.id


# -- strategies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [EVERY_STRATEGY, EVERY_STRATEGY[::-1]])
def test_signals_of_one_tick_come_in_order_of_activation(order: tuple[str, ...]) -> None:
    ticks = canonical.market_ticks(4_000, seed=9)
    faster = [activated(name, **(EVERY_MINUTE if name == "ema_cross" else {})) for name in order]
    signals = signals_of([*opening(1), *faster, ticks])
    together = [
        [signal.strategy for signal in signals if signal.ordinal == ordinal]
        for ordinal in {signal.ordinal for signal in signals}
    ]
    together = [names for names in together if len(names) > 1]
    assert len(together) > 5
    assert all(names == sorted(names, key=order.index) for names in together)


def test_a_strategy_that_starts_again_stands_last_in_order() -> None:
    engine = Engine()
    stop = StrategyDeactivated(id="stop", **SAID, strategy="m5_bos_retest")
    ledger(messages([*opening(1, EVERY_STRATEGY), stop, activated("m5_bos_retest", id="back")]), engine)
    assert list(engine.strategies) == ["ema_cross", "m1_retest", "m5_bos_retest"]
    changed = activated("ema_cross", id="changed", fast=5)
    ledger(messages([changed], first=engine.ordinal + 1), engine)
    assert list(engine.strategies) == ["ema_cross", "m1_retest", "m5_bos_retest"]


def without_place(signals: list[SignalRaised], symbol: str) -> list[dict[str, Any]]:
    excluded = {"number", "ordinal", "correlation"}
    return [signal.model_dump(exclude=excluded) for signal in signals if signal.symbol == symbol]


@pytest.mark.parametrize("strategy", EVERY_STRATEGY)
def test_activating_the_same_again_keeps_the_state_and_adds_the_symbols(strategy: str) -> None:
    ticks = canonical.market_ticks(3_000, seed=4, symbols=2)
    one, both = activated(strategy, "EURUSD"), activated(strategy, "EURUSD", "GBPUSD")
    interrupted = signals_of([*opening(2), one, ticks[:1_500], both, ticks[1_500:]])
    assert without_place(interrupted, "EURUSD") == without_place(signals_of([*opening(2), one, ticks]), "EURUSD")
    fresh = signals_of([*opening(2), both, ticks[1_500:]])
    assert without_place(interrupted, "GBPUSD") == without_place(fresh, "GBPUSD") != []


def test_other_parameters_start_fresh() -> None:
    ticks = canonical.market_ticks(3_000, seed=4)
    other = activated("ema_cross", id="other", fast=7)
    changed = signals_of([*opening(1), activated("ema_cross"), ticks[:1_500], other, ticks[1_500:]])
    fresh = signals_of([*opening(1), other, ticks[1_500:]])
    late = [signal for signal in changed if signal.ordinal > length(opening(1)) + 1_501]
    assert without_place(late, "EURUSD") == without_place(fresh, "EURUSD") != []


def test_a_symbol_left_out_and_taken_back_starts_fresh() -> None:
    ticks = canonical.market_ticks(3_000, seed=4, symbols=2)
    only, both = activated("ema_cross", "EURUSD", id="only"), activated("ema_cross", "EURUSD", "GBPUSD")
    back = activated("ema_cross", "EURUSD", "GBPUSD", id="back")
    signals = signals_of([*opening(2), both, ticks[:1_000], only, ticks[1_000:1_500], back, ticks[1_500:]])
    places = [signal.ordinal - length(opening(2)) for signal in signals if signal.symbol == "GBPUSD"]
    assert [place for place in places if 1_001 < place <= 1_502] == []
    late = [signal for signal in signals if signal.ordinal > length(opening(2)) + 1_503]
    fresh = signals_of([*opening(2), both, ticks[1_500:]])
    assert without_place(late, "GBPUSD") == without_place(fresh, "GBPUSD") != []


def test_a_deactivated_strategy_is_silent_and_forgets() -> None:
    ticks = canonical.market_ticks(3_000, seed=4)
    stop, start = StrategyDeactivated(id="stop", **SAID, strategy="ema_cross"), activated("ema_cross", id="start")
    signals = signals_of(
        [*opening(1), activated("ema_cross"), ticks[:1_000], stop, ticks[1_000:2_000], start, ticks[2_000:]]
    )
    first = length(opening(1)) + 1
    assert any(signal.ordinal <= first + 1_000 for signal in signals)
    assert not any(first + 1_000 < signal.ordinal <= first + 2_002 for signal in signals)
    late = [signal for signal in signals if signal.ordinal > first + 2_002]
    fresh = signals_of([*opening(1), activated("ema_cross"), ticks[2_000:]])
    assert without_place(late, "EURUSD") == without_place(fresh, "EURUSD") != []


def test_equal_parameters_written_otherwise_have_one_hash() -> None:
    _, _, written = prepare("m5_bos_retest", 1, {"tolerance_pips": "0.80", "reach": 2})
    _, _, default = prepare("m5_bos_retest", None, {})
    assert written == default
    assert prepare("m1_retest", 1, {})[2] != default
    with pytest.raises(InvalidInput, match="reach = 9"):
        prepare("m5_bos_retest", 1, {"reach": 9})


# -- what cannot be folded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-1, 1, 100])
def test_an_ordinal_that_is_missing_or_repeated_breaks_the_tape(shift: int) -> None:
    engine = Engine()
    ticks = canonical.market_ticks(10)
    ledger(messages([*opening(1), ticks]), engine)
    following = engine.ordinal + 1
    before = save(engine)
    with pytest.raises(TapeBroken, match=f"ordinal {following} is missing.* starts at {following + shift}"):
        engine.fold(Block(following + shift, ticks))
    with pytest.raises(TapeBroken, match=f"ordinal {following} is missing"):
        ledger(messages([activated("ema_cross")], first=following + shift), engine)
    assert save(engine) == before
    assert engine.fold(Block(following, ticks[-1:])) == []


@pytest.mark.parametrize("field", ["receive_time", "kind", "instrument"])
def test_a_record_that_no_sequencer_writes_breaks_the_tape(field: str) -> None:
    engine, ticks = Engine(), canonical.market_ticks(10)
    ledger(messages(opening(1)), engine)
    ticks[7][field] = {"receive_time": ticks[6]["receive_time"] - 1, "kind": 3, "instrument": 9}[field]
    before = save(engine)
    with pytest.raises(TapeBroken, match=f"the record at ordinal {engine.ordinal + 8} is impossible"):
        engine.fold(Block(engine.ordinal + 1, ticks))
    assert save(engine) == before


def test_time_may_stand_still_but_not_go_back_between_blocks() -> None:
    engine, ticks = Engine(), canonical.market_ticks(10)
    ledger(messages([*opening(1), ticks]), engine)
    assert engine.fold(Block(engine.ordinal + 1, ticks[-1:])) == []
    with pytest.raises(TapeBroken, match="impossible"):
        engine.fold(Block(engine.ordinal + 1, ticks[-2:-1]))


def test_a_tape_of_another_engine_is_not_decided_by_this_one() -> None:
    engine = Engine()
    ledger(messages(opening(1)), engine)
    other = EngineActivated(id="newer", **SAID, engine=ENGINE + 1)
    place = engine.ordinal + 1
    with pytest.raises(OtherEngine, match=rf"engine {ENGINE + 1} at ordinal {place}; this build is engine {ENGINE}"):
        ledger(messages([other], first=place), engine)


@pytest.mark.parametrize("changes", [{"strategy": "forgotten"}, {"version": 99}])
def test_a_strategy_that_is_not_in_this_build_stops_the_engine(changes: dict[str, Any]) -> None:
    unknown = activated("ema_cross").model_copy(update=changes)
    with pytest.raises(OtherEngine, match="not in this build"):
        ledger(messages([*opening(1), unknown]))


def test_the_applied_instructions_are_told() -> None:
    events = events_of(opening(2, ["ema_cross"]))
    assert [(e.instruction_id, e.kind) for e in events if isinstance(e, InstructionApplied)] == [
        ("declare-1", "instrument_declared"),
        ("declare-2", "instrument_declared"),
        ("engine_activated", "engine_activated"),
        ("activate-ema_cross-EURUSD-GBPUSD", "strategy_activated"),
    ]


def test_read_only_records_as_the_log_gives_them_are_taken() -> None:
    ticks = canonical.market_ticks(2_000)
    stored = np.frombuffer(ticks.tobytes(), ticks.dtype)
    script = opening(1, EVERY_STRATEGY)
    assert ledger(messages([*script, stored])) == ledger(messages([*script, concatenate([ticks])]))
