"""A desk now, or at a moment of its past: its engine's state (the newest snapshot that may be used and the tape behind
it, folded and not written), and, of now, the halt latch and whether its services answer."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import numpy as np

from adapters import subjects
from adapters.snapshots import SnapshotStore
from adapters.tape_log import StoredTape
from domain.engine import ENGINE, Engine
from domain.errors import TapeBroken, Unavailable
from domain.events import InstructionApplied, LedgerEvent
from domain.instructions import Instructed
from domain.instruments import NANOS
from domain.money import PPM
from domain.objectives import OUTCOMES
from domain.operations import OPS_EVENT, ServiceFailed
from domain.orders import PURPOSES, STATES, STOP_EXIT, TARGET_EXIT, TIMES_IN_FORCE, TYPES
from domain.ports import Log, Recorded
from domain.snapshot import restore
from domain.tape import Block, position, utc
from gateways.asked_moment import NOW, Asked
from gateways.halt_latch import HaltLatch
from ops.composition import open_log
from ops.ledger_reader import LedgerReader
from ops.ledger_rows import decimal, event_row, on_tape
from ops.listening import Listening
from ops.moments import Moments
from ops.settings import Settings
from ops.supervisor import ADVICE
from ops.takeover import kept_state
from ops.tape_lookup import must_stand, row_at
from projections.as_of import AsOf

SERVICES = ("ws", "core", "risk", "execution", "projector", "api", "governance")
PROCESSES = {
    "projector": "read_side",
    "api": "read_side",
    "governance": "governance",
}  # whose end is told by another one
ANSWER_S = 1.0
MAX_ANSWER_BYTES = 64 * 1024
LAST_EVENTS = 5
LOOK_BACK = 10_000  # events among which the last ones worth a line are looked for


async def status(settings: Settings, asked: Asked = NOW) -> dict[str, Any]:
    """Everything that an operator asks first. A store that is away or broken is the answer's `problem`, with the name
    of its error: services and latch are told all the same. The past has neither. Raises InvalidInput for a desk that
    there is not, and for a moment that it never had."""
    now = asked == NOW
    asking = asyncio.gather(*(service_row(settings, name) for name in SERVICES if now))
    state: dict[str, Any] = {"problem": None}
    failed: dict[str, dict[str, str]] = {}
    try:
        async with open_log(settings) as log:
            state |= await state_of(log, settings.desk, asked)
            failed = {name: await _failed(log, name, settings.desk) for name in {*PROCESSES.values()}} if now else {}
    except (Unavailable, TapeBroken) as error:
        state["problem"] = {"error": type(error).__name__, "message": str(error)}
    finally:
        services = await asking
    return {
        "desk": settings.desk,
        "mode": "paper",
        "newest": now,
        **state,
        "latched": latch_row(HaltLatch(settings.data_dir / "halts", settings.desk)) if now else None,
        "services": [_with_process(row, failed) for row in services],
    }


async def moment_of(log: Log, desk: str, asked: Asked) -> AsOf:
    """The moment that was asked for. Raises InvalidInput for one that lies before the tape's begin, or ahead of it."""
    moments = Moments(log, desk)
    if asked.as_of is not None:
        return AsOf.parse(asked.as_of, desk)
    if asked.market_time_ns is not None:
        return await moments.at_market_time(asked.market_time_ns)
    if asked.recorded_time_ns is not None:
        return await moments.at_recorded_time(asked.recorded_time_ns)
    return await moments.newest()


# -- the engine ----------------------------------------------------------------------------------------------------


async def state_of(log: Log, desk: str, asked: Asked = NOW) -> dict[str, Any]:
    """Tape, ledger, account, positions and orders as the engine had them at a moment; `as_of` is its token.

    `undecided` counts events that the tape decides and the ledger lacked: the engine did not run, or was behind.
    """
    tape, reader = StoredTape(log, desk), LedgerReader(log, desk)
    await must_stand(log, tape)
    at = await moment_of(log, desk, asked)
    times, ledger_end = await Moments(log, desk).times(at), at.ledger
    engine = await engine_at(log, tape, at)
    book, paper = engine.desk.book, engine.desk
    state, policy = book.desk[0], paper.policy
    last = await reader.newest(
        max(0, ledger_end - LOOK_BACK), ledger_end, LAST_EVENTS, lambda line: b'"type":"account_marked"' not in line
    )
    return {
        "as_of": at.token(desk),
        "tape_end": on_tape(engine.ordinal),
        "market_time": utc(engine.time_ns),
        "recorded_time": utc(times.recorded_ns) if times.recorded_ns is not None else None,
        "ledger_end": position(desk, ledger_end) if ledger_end else None,
        "undecided": max(0, engine.number - ledger_end),
        "engine": ENGINE,
        "policy": f"{policy.name}@{policy.version}" if policy else None,
        "strategies": [
            {
                "strategy": active.handler.name,
                "version": active.handler.version,
                "symbols": list(active.symbols),
                "parameters": active.parameters.model_dump(mode="json"),
            }
            for active in engine.strategies.values()
        ],
        "halted": bool(state["halted"]),
        "halt": await _halt(reader, tape, ledger_end) if state["halted"] else None,
        "account": _account(engine) if paper.currency else None,
        "positions": [_position(engine, int(number), desk) for number in np.flatnonzero(book.positions["quantity"])],
        "orders": [_order(engine, order, desk) for order in book.orders[: state["orders"]]],
        "last_events": [event_row(reader.event(line), desk) for line in last],
    }


async def engine_at(log: Log, tape: StoredTape, at: AsOf) -> Engine:
    """The engine at a moment. A state that is ahead of its tape or ledger is passed over, as the core does."""
    engine = Engine()
    for data in (await SnapshotStore(log, tape.name).load(), await kept_state(log, tape.name, ENGINE)):
        found = restore(data) if data else None
        if found and found.ordinal <= at.tape and found.number <= at.ledger:
            engine = found
            break
    async with aclosing(tape.read(engine.ordinal)) as pages:
        async for page in pages:
            for message in page:
                if engine.ordinal < at.tape:
                    _fold(engine, message, at.tape)
            if engine.ordinal >= at.tape:
                break
    return engine


def _fold(engine: Engine, message: Block | Instructed, until: int) -> None:
    """Decide on a message up to an ordinal; only where the engine ends counts."""
    if isinstance(message, Block):
        for _ in engine.advance(message._replace(records=message.records[: until + 1 - message.first])):
            pass
    else:
        engine.fold(message)


async def _halt(reader: LedgerReader, tape: StoredTape, ledger_end: int) -> dict[str, Any] | None:
    """What halted the desk last, with who said so and why; None when the ledger does not have it yet."""
    found = await reader.newest(0, ledger_end, 1, _halts)
    return await _halt_row(reader, tape, found[0]) if found else None


async def halts_since_resumed(log: Log, desk: str, most: int) -> tuple[list[dict[str, Any]], int]:
    """What halted the desk since it was resumed last, of that the newest `most` in order; and how many there are."""
    tape, reader, found = StoredTape(log, desk), LedgerReader(log, desk), list[Recorded]()
    end = await reader.end()
    resumed = await reader.newest(0, end, 1, _resumes)
    async with aclosing(reader.between(resumed[0].number if resumed else 0, end)) as pages:
        found += [line async for page in pages for line in page if _halts(line.line)]
    return [await _halt_row(reader, tape, line) for line in found[-most:]], len(found)


async def _halt_row(reader: LedgerReader, tape: StoredTape, recorded: Recorded) -> dict[str, Any]:
    event = reader.event(recorded)
    return event_row(event, reader.desk) | await _said(tape, event)


def _resumes(line: bytes) -> bool:
    return b'"type":"instruction_applied"' in line and b'"kind":"trading_resumed"' in line


def _halts(line: bytes) -> bool:
    applied = b'"type":"instruction_applied"' in line and b'"kind":"trading_halted"' in line
    return applied or (b'"type":"limit_breached"' in line and b'"halted":true' in line)


async def _said(tape: StoredTape, event: LedgerEvent) -> dict[str, Any]:
    if not isinstance(event, InstructionApplied):
        return {}
    instruction = await row_at(tape, event.ordinal)
    return {"actor": instruction.get("actor"), "reason": instruction.get("content", {}).get("reason")}


def _account(engine: Engine) -> dict[str, Any]:
    account, policy = engine.desk.book.account[0], engine.desk.policy
    balance, floating, initial = (int(account[name]) for name in ("balance", "floating", "initial"))
    equity, limits = balance + floating, policy.limits if policy else None
    money = {name: decimal(int(account[name])) for name in ("initial", "balance", "floating")}
    return {
        "currency": engine.desk.currency,
        **money,
        "equity": decimal(equity),
        "margin": decimal(int(account["margin"])),
        "margin_free": decimal(equity - int(account["margin"])),
        "realised": decimal(int(account["realised"])),
        "fees": decimal(int(account["fees"])),
        "today": decimal(equity - int(account["day_balance"])),
        "breached": bool(account["breached"]),
        "daily_room": _room(equity, int(account["daily_limit"]), initial, limits.daily_loss_ppm if limits else None),
        "total_room": _room(equity, int(account["total_limit"]), initial, limits.max_loss_ppm if limits else None),
        "objectives": OUTCOMES[account["outcome"]] if limits and limits.profit_target_ppm is not None else None,
        "trading_days": int(account["trading_days"]),
        "trading_days_min": limits.trading_days_min if limits else 0,
        "profit": decimal(balance - initial),
        "profit_target": decimal(_share(initial, limits.profit_target_ppm))
        if limits and limits.profit_target_ppm is not None
        else None,
    }


def _room(equity: int, limit: int, initial: int, loss_ppm: int | None) -> dict[str, str] | None:
    """How far equity may fall, of how much at the most; None where there is no such limit."""
    if loss_ppm is None:
        return None
    return {"limit": decimal(limit), "left": decimal(equity - limit), "of": decimal(_share(initial, loss_ppm))}


def _share(amount: int, ppm: int) -> int:
    return amount * ppm // PPM


def _position(engine: Engine, number: int, desk: str) -> dict[str, Any]:
    book, instrument = engine.desk.book, engine.desk.instruments[number]
    held, market = book.positions[number], book.markets[number]
    quantity, cost = int(held["quantity"]), int(held["cost"])
    average = Decimal(cost * NANOS) / quantity / NANOS
    exits = {
        purpose: decimal(int(order["trigger"] or order["limit"]))
        for purpose in (STOP_EXIT, TARGET_EXIT)
        for order in book.orders[: book.desk[0]["orders"]]
        if order["instrument"] == number and order["purpose"] == purpose
    }
    return {
        "symbol": instrument.symbol,
        "side": "buy" if quantity > 0 else "sell",
        "quantity": decimal(abs(quantity)),
        "average": f"{average.quantize(Decimal(1).scaleb(-instrument.digits - 1)):.9f}",
        "price": decimal(int(market["bid"] if quantity > 0 else market["ask"])),
        "quoted_at": utc(int(market["time"])),
        "floating": decimal(int(held["floating"])),
        "realised": decimal(int(held["realised"])),
        "fees": decimal(int(held["fees"])),
        "stop": exits.get(STOP_EXIT),
        "target": exits.get(TARGET_EXIT),
        "correlation": position(desk, int(held["correlation"])),
    }


def _order(engine: Engine, order: Any, desk: str) -> dict[str, Any]:
    prices = {
        name: decimal(int(order[name])) if order[name] else None for name in ("limit", "trigger", "stop", "target")
    }
    return {
        "id": position(desk, int(order["number"])),
        "symbol": engine.desk.instruments[int(order["instrument"])].symbol,
        "side": "buy" if order["side"] > 0 else "sell",
        "order_type": TYPES[order["type"]],
        "purpose": PURPOSES[order["purpose"]],
        "state": STATES[order["state"]],
        "quantity": decimal(int(order["quantity"])),
        "leaves": decimal(int(order["quantity"] - order["filled"])),
        **prices,
        "time_in_force": TIMES_IN_FORCE[order["tif"]],
        "expires_at": utc(int(order["expires_at"])) if order["expires_at"] else None,
        "placed_at": utc(int(order["placed_at"])),
    }


# -- what is around it ---------------------------------------------------------------------------------------------


def latch_row(latch: HaltLatch) -> dict[str, Any] | None:
    """The halt that waits for the desk's sequencer."""
    waiting = latch.pending()
    return {"actor": waiting.actor, "reason": waiting.reason, "flatten": waiting.flatten} if waiting else None


async def service_row(settings: Settings, service: str) -> dict[str, Any]:
    """What a service answers to GET /ready: `ready`, `not ready` with the reason, or `not running`."""
    port = getattr(settings, f"{service}_port")
    place = settings.listening if service == "api" else Listening(settings.host, port)
    row = {"service": service, "port": port, "reason": None, "what_to_do": None}
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await _ready(place)
    except ConnectionRefusedError:
        return row | {"state": "not running"}
    except (ssl.SSLError, FileNotFoundError, PermissionError) as error:
        reason = f"TLS with CDB_API_CERTIFICATE={place.certificate} fails: {error}"
        return row | {"state": "not ready", "reason": reason, "what_to_do": "give the certificate that it serves"}
    except (TimeoutError, OSError):
        return row | {"state": "not ready", "reason": f"it gave no answer within {ANSWER_S:g} s"}
    except (ValueError, RecursionError):  # no JSON, or brackets without end
        return row | {"state": "not running", "reason": f"another program answers on port {port}"}
    if answer.get("desk") != settings.desk or answer.get("service") != service:
        who = f"{answer.get('service')} of desk {answer.get('desk')}"
        return row | {"state": "not running", "reason": f"port {port} is taken by {who}"}
    if answer.get("ready") is True:
        return row | {"state": "ready"}
    return row | {"state": "not ready", "reason": answer.get("reason"), "what_to_do": answer.get("what_to_do")}


def _with_process(row: dict[str, Any], failed: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """A service that does not run may say why: its process ended."""
    known = failed.get(PROCESSES.get(row["service"], ""), {})
    return row | known if row["state"] == "not running" and row["reason"] is None else row


async def _failed(log: Log, process: str, desk: str) -> dict[str, str]:
    """Why a process of a desk is not there; nothing when the last that is known is no failure of its."""
    message = await log.last(subjects.ops(process))
    event = OPS_EVENT.validate_json(message.data) if message else None
    if not isinstance(event, ServiceFailed) or not event.message.startswith(f"desk {desk}: "):
        return {}
    return {"reason": event.message, "what_to_do": ADVICE[event.recovery]}


async def _ready(place: Listening) -> Mapping[str, Any]:
    """The JSON of the page. Raises ValueError when it is none, OSError."""
    reader, writer = await asyncio.open_connection(place.reached_at, place.port, ssl=place.trust())
    try:
        writer.write(f"GET /ready HTTP/1.0\r\nHost: {place.called}\r\n\r\n".encode())
        answer = await _read_all(reader)
    finally:
        writer.transport.abort()
    content = json.loads(answer.partition(b"\r\n\r\n")[2])
    if not isinstance(content, dict):
        raise ValueError("the page is no JSON object")
    return content


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < MAX_ANSWER_BYTES and (part := await reader.read(MAX_ANSWER_BYTES)):
        answer += part
    return answer
