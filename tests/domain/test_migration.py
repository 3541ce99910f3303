"""What engine 1 left: every strategy goes on where it was, and whatever is not such a state is refused by name."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.engine import ENGINE, Engine
from domain.errors import InvalidInput
from domain.instruments import instrument_for
from domain.migration import STEPS, Place, migrate, place
from domain.snapshot import restore, save
from tests.golden import shapes

OLD = (Path(shapes.__file__).parent / "snapshots" / "engine_1.bin").read_bytes()
LINE, _, STATES = OLD.partition(b"\n")
HEAD: dict[str, Any] = json.loads(LINE)

# Hashes of what the golden snapshot becomes: they stand in ledgers. Before an engine is released, correct its own here.
PINNED = {2: "92aa08e541bddf421f9b5731b9aac3e4e590c8637ebda792ea8cf46f0e82490c"}


def snapshot(states: bytes = STATES, **changed: Any) -> bytes:
    """The golden snapshot with other fields or bytes."""
    return json.dumps(HEAD | changed).encode() + b"\n" + states


def migrated(data: bytes = OLD) -> Engine:
    engine = restore(migrate(data))
    assert engine is not None
    return engine


def test_there_is_a_step_from_every_older_engine() -> None:
    assert sorted(STEPS) == list(range(1, ENGINE))


def test_what_a_step_gives_is_pinned_because_its_hash_stands_in_ledgers() -> None:
    assert PINNED[ENGINE] == sha256(migrate(OLD)).hexdigest()


def test_the_newer_engine_stands_where_the_older_one_stood() -> None:
    engine = migrated()
    assert place(migrate(OLD)) == Place(ENGINE, HEAD["ordinal"], HEAD["number"])
    assert (engine.ordinal, engine.number, engine.time_ns) == (HEAD["ordinal"], HEAD["number"], HEAD["time_ns"])
    assert len(engine.answered) == len(HEAD["answered"])
    assert all(instruction_id in engine.answered for instruction_id in HEAD["answered"])
    assert list(engine.strategies) == [saved["strategy"] for saved in HEAD["strategies"]]
    assert b"".join(active.states.tobytes() for active in engine.strategies.values()) == STATES


def test_the_hash_of_the_bytes_is_what_it_will_say_when_it_takes_over() -> None:
    assert migrated().took_over == (1, sha256(migrate(OLD)).hexdigest())


def test_it_keeps_what_the_tape_said_of_an_instrument_and_adds_what_is_known_today() -> None:
    stored = json.loads(instrument_for("BTCUSD").model_dump_json(include=HEAD["instruments"]["1"].keys()))
    engine = migrated(snapshot(instruments=HEAD["instruments"] | {"3": stored | {"spread_nanos": 77}}))
    assert engine.desk.instruments[3] == instrument_for("BTCUSD").model_copy(update={"spread_nanos": 77})
    assert engine.desk.instruments[1].symbol == HEAD["instruments"]["1"]["symbol"]


def test_strategies_share_no_place_for_their_results() -> None:
    slots = [active.slot for active in migrated().strategies.values()]
    assert slots == [1, 2]


def test_a_desk_without_strategies_and_instruments_is_migrated_too() -> None:
    engine = migrated(snapshot(b"", strategies=[], instruments={}))
    assert (engine.strategies, engine.desk.instruments) == ({}, {})


def test_the_same_bytes_give_the_same_bytes_and_change_nothing_in_between() -> None:
    first = migrate(OLD)
    migrated(snapshot(ordinal=7))
    assert migrate(OLD) == first
    assert save(migrated(), migrated_from=1) == first


@pytest.mark.parametrize("engine", [0, ENGINE, ENGINE + 1])
def test_only_an_older_engine_is_followed(engine: int) -> None:
    with pytest.raises(InvalidInput, match=f"is of engine {engine}; engine {ENGINE} follows engine 1"):
        migrate(snapshot(engine=engine))


@pytest.mark.parametrize("data", [b"", b"garbage", b"[]\n", b'{"engine":1}', b"\xff\n", b'{"engine":1' + LINE[11:-1]])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    assert place(data) is None
    with pytest.raises(InvalidInput, match="is not readable"):
        migrate(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (snapshot(STATES[:-1]), "buffer"),
        (snapshot(STATES + b"\0"), "1 bytes are left over"),
        (snapshot(time_ns="late"), "time_ns"),
        (snapshot(strategies=[HEAD["strategies"][0] | {"layout": "other"}]), "m5_bos_retest v1 had another state"),
        (snapshot(strategies=[HEAD["strategies"][0] | {"strategy": "hope"}]), "'hope v1' is not in this build"),
        (snapshot(strategies=[HEAD["strategies"][0] | {"states": -1}]), "states"),
        (snapshot(instruments={"1": {"symbol": "EURUSD", "pip_nanos": 0}}), "pip_nanos"),
        (snapshot(instruments={"1": {}}), "None"),
    ],
)
def test_a_state_that_is_damaged_is_refused_with_its_place(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"engine 1 at ordinal {HEAD['ordinal']} cannot become one of") as told:
        migrate(data)
    assert why in str(told.value)


@given(st.binary() | st.from_regex(rb'\{"engine":-?[0-9]{1,20},"ordinal":.{1,9},"number":[0-9]\}\n.*'))
def test_where_a_snapshot_was_taken_is_never_guessed(data: bytes) -> None:
    found = place(data)
    assert found is None or (min(found) >= 0 and json.loads(data.partition(b"\n")[0])["engine"] == found.engine)


def test_true_is_no_number() -> None:
    assert place(b'{"engine":1,"ordinal":true,"number":3}\n') is None
    assert place(b'{"engine":1,"ordinal":2,"number":3,"more":[]}\nstate') == Place(1, 2, 3)
