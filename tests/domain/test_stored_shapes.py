"""What was stored once is read for ever: old bytes give the same values, and today's encoder the same bytes."""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from adapters.facts import Facts
from adapters.ledger import StoredLedger
from adapters.memory import MemoryLog
from adapters.snapshots import PART_BYTES, SnapshotStore
from adapters.subjects import state_part
from adapters.tape_log import StoredTape
from adapters.token_log import Access, TokenLog
from domain.access import ACCESS_EVENT, AccessEvent
from domain.engine import ENGINE
from domain.events import LEDGER_EVENT, LedgerEvent
from domain.governance import GOVERNANCE_EVENT, GovernanceEvent
from domain.instructions import INSTRUCTION, Instructed, Instruction
from domain.operations import OPS_EVENT, OpsEvent
from domain.ports import Append, Fact, TapeEnd
from domain.snapshot import restore
from domain.tape import TICK, Block, decode
from tests import canonical, canonical_governance, canonical_services
from tests.golden import shapes

GOLDEN = Path(shapes.__file__).parent
STORED = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.*") if path.parent != GOLDEN)

SNAPSHOT = f"snapshots/engine_{ENGINE}.bin"
OLDER = [name for name in STORED if name.startswith("snapshots/") and name != SNAPSHOT]
GREW = [f"instructions/{kind}.json" for kind in shapes.GREW] + [
    f"messages/{name}.{suffix}" for name in shapes.GREW_MESSAGES for suffix in ("json", "bin")
]

today = cache(shapes.written_today)


def kinds(union: Any, field: str) -> set[str]:
    return {member.model_fields[field].default for member in get_args(get_args(union)[0])}


async def stored_log(*names: str) -> tuple[MemoryLog, str]:
    """A log with old messages in it, and the name that they were stored under."""
    log, sequence = MemoryLog(), 0
    for name in names:
        envelope = json.loads((GOLDEN / f"messages/{name}.json").read_bytes())
        data = (GOLDEN / f"messages/{name}.bin").read_bytes()
        sequence = await log.append(Append(envelope["subject"], data, envelope["headers"], sequence))
    return log, "golden"


async def stored_messages(*names: str) -> MemoryLog:
    """As stored_log, of messages that are each the first of their subjects."""
    log = MemoryLog()
    for name in names:
        envelope = json.loads((GOLDEN / f"messages/{name}.json").read_bytes())
        data = (GOLDEN / f"messages/{name}.bin").read_bytes()
        await log.append(Append(envelope["subject"], data, envelope["headers"], 0))
    return log


def test_every_instruction_and_event_and_kind_of_record_has_a_golden_file() -> None:
    instructions = {Path(name).stem for name in STORED if name.startswith("instructions/")}
    assert instructions - {kind + newer for kind, newer in shapes.GREW.items()} == kinds(Instruction, "kind")
    unions = {"events": LedgerEvent, "operations": OpsEvent, "access": AccessEvent, "governance": GovernanceEvent}
    for folder, union in unions.items():
        assert {Path(name).stem for name in STORED if name.startswith(f"{folder}/")} == kinds(union, "type")
    assert set(STORED) - {*OLDER, *GREW} == set(today())


@pytest.mark.parametrize("name", [name for name in STORED if name not in (*OLDER, *GREW)])
def test_the_encoder_of_today_gives_the_old_bytes(name: str) -> None:
    assert today()[name] == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("kind", canonical.INSTRUCTIONS)
def test_an_old_instruction_is_read_as_it_was_meant(kind: str) -> None:
    stored = (GOLDEN / f"instructions/{kind}.json").read_bytes()
    assert INSTRUCTION.validate_json(stored) == canonical.INSTRUCTIONS[kind]


@pytest.mark.parametrize("kind", canonical.EVENTS)
def test_an_old_event_is_read_as_it_was_meant(kind: str) -> None:
    assert LEDGER_EVENT.validate_json((GOLDEN / f"events/{kind}.json").read_bytes()) == canonical.EVENTS[kind]


@pytest.mark.parametrize("kind", shapes.OPERATIONS)
def test_an_old_event_of_a_service_is_read_as_it_was_meant(kind: str) -> None:
    stored = (GOLDEN / f"operations/{kind}.json").read_bytes()
    assert OPS_EVENT.validate_json(stored) == shapes.OPERATIONS[kind]


@pytest.mark.parametrize("kind", canonical_services.ACCESS)
def test_an_old_event_of_a_token_is_read_as_it_was_meant(kind: str) -> None:
    stored = (GOLDEN / f"access/{kind}.json").read_bytes()
    assert ACCESS_EVENT.validate_json(stored) == canonical_services.ACCESS[kind]


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("operations/service_failed", "severity", "low medium high critical"),
        ("operations/service_failed", "recovery", "retry fallback restart emergency_stop stand_down"),
        ("operations/service_stopped", "reason", "finished shutdown"),
        ("access/token_created", "role", "observer operator agent approver"),
    ],
)
def test_every_word_that_could_be_stored_is_still_read_and_written(name: str, field: str, words: str) -> None:
    union: Any = ACCESS_EVENT if name.startswith("access/") else OPS_EVENT
    stored = json.loads((GOLDEN / f"{name}.json").read_bytes())
    for word in words.split():
        event = union.validate_python(stored | {field: word})
        assert json.loads(event.model_dump_json())[field] == word


@pytest.mark.parametrize("kind", canonical_governance.GOVERNANCE)
def test_an_old_event_of_governance_is_read_as_it_was_meant(kind: str) -> None:
    stored = (GOLDEN / f"governance/{kind}.json").read_bytes()
    assert GOVERNANCE_EVENT.validate_json(stored) == canonical_governance.GOVERNANCE[kind]


async def test_old_messages_of_governance_are_read_as_they_were_meant() -> None:
    """The second holds two events, which share its sequence."""
    log = await stored_messages("founding", "draft")
    wanted = frozenset(canonical_governance.GOVERNANCE)
    facts = [fact async for page in Facts(log, "golden").read("governance", 0, wanted) for fact in page.facts]
    founded, drafted = canonical_governance.MESSAGES[0], canonical_governance.MESSAGES[4]
    assert [(fact.position, fact.event) for fact in facts] == [(1, *founded), (2, drafted[0]), (2, drafted[1])]


@pytest.mark.parametrize(("kind", "evidence"), [("signal_assessed", "sizing"), ("order_filled", "market")])
def test_what_was_recorded_before_there_was_evidence_has_none(kind: str, evidence: str) -> None:
    event = canonical.EVENTS[kind]
    older = event.model_dump_json(exclude={evidence})
    assert LEDGER_EVENT.validate_json(older) == event.model_copy(update={evidence: None})


@pytest.mark.parametrize("kind", canonical.TICKS)
def test_an_old_record_is_read_as_it_was_meant(kind: str) -> None:
    stored = decode((GOLDEN / f"ticks/{kind}.bin").read_bytes())
    assert stored.tolist() == canonical.TICKS[kind].tolist()


def test_the_fields_of_a_record_lie_where_the_table_says() -> None:
    """By hand, so that a reader in another language may trust it."""
    stored = (GOLDEN / "ticks/trade.bin").read_bytes()
    places = {name: (int(offset), dtype.str) for name, (dtype, offset, *_) in (TICK.fields or {}).items()}
    assert places == {
        "event_time": (0, "<i8"),
        "receive_time": (8, "<i8"),
        "bid": (16, "<i8"),
        "ask": (24, "<i8"),
        "bid_size": (32, "<i8"),
        "ask_size": (40, "<i8"),
        "instrument": (48, "<u4"),
        "kind": (52, "<u2"),
        "flags": (54, "<u2"),
        "reference": (56, "<i8"),
    }
    assert int.from_bytes(stored[32:40], "little", signed=True) == -25_000_000
    assert (stored[48:52], stored[52:54]) == (b"\x2c\x01\x00\x00", b"\x02\x00")


@pytest.mark.parametrize("newer", ["", "_2"])
async def test_old_tape_messages_are_read_as_they_were_meant(newer: str) -> None:
    log, name = await stored_log("instruction", *(f"{name}{newer}" for name in shapes.GREW_MESSAGES))
    tape = StoredTape(log, name)
    opened, first, second, deactivated = [message async for page in tape.read(after=5) for message in page]
    assert opened == Instructed(6, canonical.INSTRUCTIONS["feed_opened"])
    assert deactivated == Instructed(11, canonical.INSTRUCTIONS["strategy_deactivated"])
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    assert (first.first, second.first) == (7, 9)
    records = np.concatenate([first.records, second.records])
    assert records.tolist() == np.concatenate([*canonical.TICKS.values()]).tolist()
    end = await tape.end()
    assert end == TapeEnd(11, canonical.MONDAY, True, 11, shapes.FEED, 3, 4, standing_at=4)
    assert await tape.instruction(11) == (canonical.INSTRUCTIONS["strategy_deactivated"], 6)


async def test_the_end_of_an_old_block_is_read_as_it_was_meant() -> None:
    log, name = await stored_log("instruction", "block")
    assert await StoredTape(log, name).end() == TapeEnd(8, canonical.MONDAY + 2, True, 6, shapes.FEED, 1, 2)


async def test_an_old_commit_is_read_as_it_was_meant() -> None:
    log, name = await stored_log("commit")
    recorded = [event async for page in StoredLedger(log, name).read() for event in page]
    assert [LEDGER_EVENT.validate_json(event.line) for event in recorded] == canonical.FIRST_COMMIT
    assert [event.number for event in recorded] == [1, 2, 3]


async def test_an_old_message_of_a_service_is_read_as_it_was_meant() -> None:
    log, _ = await stored_log("operation")
    pages = [page async for page in Facts(log, "golden").read("ops", 0, frozenset({"service_failed"}))]
    event = canonical_services.OPERATIONS["service_failed"]
    assert [page.facts for page in pages] == [[Fact(1, pages[0].recorded_at_ns, event)]]


async def test_an_old_message_of_a_token_is_read_as_it_was_meant() -> None:
    """It revokes the token that the first of the golden events created."""
    log, created = MemoryLog(), canonical_services.ACCESS["token_created"]
    envelope = json.loads((GOLDEN / "messages/access.json").read_bytes())
    for sequence, name in enumerate(("access/token_created.json", "messages/access.bin")):
        data = (GOLDEN / name).read_bytes()
        await log.append(Append(envelope["subject"], data, envelope["headers"], sequence))
    tokens = TokenLog(log)
    await tokens.load()
    assert tokens.tokens() == [
        Access(
            created.name,
            "operator",
            "ab" * 32,
            "jana",
            canonical.MONDAY,
            canonical.MONDAY + 10**15,
            canonical.MONDAY + 1,
        ),
    ]


async def test_an_old_snapshot_message_is_read_as_it_was_meant() -> None:
    log, name = await stored_log("snapshot")
    assert await SnapshotStore(log, name).load() == b'{"engine":1}\n\x00\x01'


async def test_an_old_snapshot_in_parts_is_read_as_it_was_meant() -> None:
    log, _ = await stored_log("snapshot")
    data = bytes(PART_BYTES + 1)
    for number, part in enumerate((data[:PART_BYTES], data[PART_BYTES:])):
        await log.append(Append(state_part("snapshot.golden_large", 0, number), part, {"Topic": "part"}, 0))
    envelope = json.loads((GOLDEN / "messages/snapshot_parts.json").read_bytes())
    stored = (GOLDEN / "messages/snapshot_parts.bin").read_bytes()
    await log.append(Append(envelope["subject"], stored, envelope["headers"], 0))
    assert await SnapshotStore(log, "golden_large").load() == data


def test_an_old_engine_snapshot_goes_on_as_if_it_had_never_been_stored() -> None:
    engine = restore((GOLDEN / SNAPSHOT).read_bytes())
    assert engine is not None
    ordinal, number = engine.ordinal, engine.number
    whole = canonical.ledger(canonical.messages(canonical.golden_script()))
    rest = canonical.behind(canonical.golden_script(), ordinal)
    assert 0 < number < len(whole)
    assert canonical.ledger(canonical.messages(rest, first=ordinal + 1), engine) == whole[number:]


def test_a_snapshot_of_an_older_engine_is_not_taken() -> None:
    older = (GOLDEN / SNAPSHOT).read_bytes().replace(b'{"engine":%d,' % ENGINE, b'{"engine":%d,' % (ENGINE - 1), 1)
    assert [restore(data) for data in (older, *((GOLDEN / name).read_bytes() for name in OLDER))] == [
        None for _ in (0, *OLDER)
    ]


def test_whatever_changes_a_ledger_raises_engine() -> None:
    """A red test here means: the rules of this build decide otherwise than those of the same ENGINE number did. Raise
    ENGINE in domain/engine.py and add its line to tests/golden/ledgers.json; the old lines stay."""
    pinned = json.loads((GOLDEN / "ledgers.json").read_bytes())
    assert str(ENGINE) in pinned, f"add the golden ledger of engine {ENGINE} to tests/golden/ledgers.json"
    script = canonical.pinned_script()
    events = canonical.ledger(canonical.messages(script))
    tape = b"".join(i.tobytes() if isinstance(i, np.ndarray) else i.model_dump_json().encode() for i in script)
    assert pinned[str(ENGINE)] == {
        "tape": sha256(tape).hexdigest(),
        "events": len(events),
        "ledger": sha256(b"\n".join(events)).hexdigest(),
    }
    assert max(map(int, pinned)) == ENGINE


def test_the_golden_ledger_holds_something_of_everything() -> None:
    stored = canonical.ledger(canonical.messages(canonical.pinned_script()))
    events = [LEDGER_EVENT.validate_json(line) for line in stored]
    assert {event.type for event in events} == kinds(LedgerEvent, "type") - {"engine_took_over"}
    signals = [event for event in events if event.type == "signal_raised" and event.version]
    assert {(s.strategy, s.symbol, s.side) for s in signals} == {
        (strategy, symbol, side)
        for strategy in ("m5_bos_retest", "ema_cross")
        for symbol in ("EURUSD", "GBPUSD")
        for side in ("buy", "sell")
    }
