"""Events, trees and status as a person reads them: every kind of row has its words, and nothing steers the terminal."""

import asyncio
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.cells import cell_len
from rich.console import Console

from adapters.memory import MemoryLog
from domain.events import InstructionRefused
from domain.instructions import INSTRUCTION
from gateways import ledger_words
from gateways.ledger_view import Listing, merged, print_status, room_bar
from gateways.ledger_words import NOUNS, moment, money, price, result, span, units, words
from gateways.why_view import print_why
from ops.desk_status import state_of
from ops.ledger_chain import tree
from ops.ledger_queries import Wanted, events, why
from ops.ledger_rows import EVENT_TYPES, event_row, instruction_row, record_row
from tests import canonical
from tests.ops.desks import decide, write_tape

CHAIN = ["signal_raised", "signal_assessed", "order_placed"]
ROWS = {name: event_row(event, "main") for name, event in canonical.EVENTS.items()}
SERVICES = [
    {"service": "ws", "port": 8000, "state": "ready", "reason": None, "what_to_do": None},
    {"service": "core", "port": 8001, "state": "not ready", "reason": "core is starting", "what_to_do": "Wait."},
    {"service": "risk", "port": 8002, "state": "not running", "reason": None, "what_to_do": None},
]


def console(width: int = 100, *, terminal: bool = False) -> Console:
    return Console(width=width, file=io.StringIO(), force_terminal=terminal, color_system=None, legacy_windows=False)


def printed(to: Console) -> list[str]:
    assert isinstance(to.file, io.StringIO)
    return [line.rstrip() for line in to.file.getvalue().splitlines()]


async def golden() -> MemoryLog:
    log = MemoryLog()
    await write_tape(log, canonical.golden_script())
    await decide(log, canonical.length(canonical.golden_script()))
    return log


GOLDEN = asyncio.run(golden())
LINES = canonical.ledger(canonical.messages(canonical.golden_script()))


def told(answer: dict[str, Any], width: int = 100, **options: Any) -> list[str]:
    to = console(width)
    print_why(to, answer, **({"rules": False} | options))
    return printed(to)


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nanos", "says"),
    [
        (0, ""), (999, "0 µs"), (1_500, "1 µs"), (999_999, "999 µs"), (50_000_000, "50 ms"), (999_999_999, "999 ms"),
        (1_000_000_000, "1 s"), (1_500_000_000, "1.5 s"), (59_999_000_000, "59.999 s"), (192_000_000_000, "3 min 12 s"),
        (3_600_000_000_000, "1 h"), (7_500_000_000_000, "2 h 5 min"), (273_600_000_000_000, "3 d 4 h"),
    ],
)  # fmt: skip
def test_a_span_is_told_as_long_as_it_is(nanos: int, says: str) -> None:
    assert span(nanos) == says


def test_values_are_exact_and_short() -> None:
    assert money("-1003.205000000") == "-1,003.20"
    assert money("-0.001000000") == "0.00"
    assert (price("1.100000000"), price("100.000000000"), price(None)) == ("1.1", "100", "")
    assert (units("50000.000000000"), units("0.015000000"), units("1000000")) == ("50,000", "0.015", "1,000,000")
    assert [result(text).plain for text in ("9.642", "-0.004", "0", "-1234.5")] == [
        "+9.64",
        "0.00",
        "0.00",
        "-1,234.50",
    ]
    assert [str(result(text).style) for text in ("9", "-9", "0.001")] == ["green", "red", ""]
    assert moment("2024-03-04T02:08:04.254999999Z") == "2024-03-04 02:08:04.254"
    assert moment("2024-03-04T02:08:04Z") == "2024-03-04 02:08:04.000"


@given(nanos=some.integers(-(2**63), 2**63 - 1))
def test_a_price_loses_nothing(nanos: int) -> None:
    text = f"{Decimal(nanos).scaleb(-9):.9f}"
    assert Decimal(price(text)) == Decimal(units(text).replace(",", "")) == Decimal(text)


# -- words ---------------------------------------------------------------------------------------------------------


def test_every_event_type_has_its_words_and_its_noun() -> None:
    assert set(ROWS) == set(EVENT_TYPES) <= set(ledger_words._WORDS) & set(NOUNS)
    said = {name: words(row).plain for name, row in ROWS.items()}
    assert said == {
        "instruction_applied": "strategy activated applied  strategy_activated@4",
        "instruction_refused": "strategy deactivated refused: strategy 'ema_cross' is not active",
        "engine_took_over": "engine 2 took over from engine 1",
        "signal_raised": "m5_bos_retest@1 sell at 1.08495, stop 1.08515, target 1.08445, confidence 61 %",
        "signal_assessed": "approved sell 50,000 at 80 % of the full size, risk 12.35, stop 1.08515, target 1.08445",
        "order_placed": "entry sell 50,000 at market",
        "order_moved": "order main:6 canceled: the position is closed",
        "order_filled": "entry sold 20,000 at 1.08494, slippage 0.000005, level 1",
        "fill_booked": "position -50,000, fee 0.54, balance 99,998.64",
        "account_marked": "equity 0.00 (0.00 to 0.00), room 0.00",
        "day_rolled": ("new day balance 204,000.00, daily limit 194,000.00, total limit 180,000.00, trading days 3"),
        "limit_breached": "daily loss breached: equity 193,999.00 below 194,000.00; desk halted and flattened",
        "objectives_reached": (
            "objectives of ftmo-2step-challenge@1 reached: balance 110,250.00, profit target 10,000.00, "
            "trading days 5 of 4"
        ),
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "order_placed", "order_type": "limit", "limit": "1.1", "purpose": "target", "time_in_force": "day"},
         "target sell 50,000 at 1.1 or better, day"),
        ({"type": "order_placed", "order_type": "stop", "trigger": "1.2", "purpose": "stop"},
         "stop sell 50,000 once 1.2 trades"),
        ({"type": "order_placed", "order_type": "stop_limit", "limit": "1.1", "trigger": "1.2", "time_in_force": "gtd",
          "expires_at": "2024-03-04T01:00:00Z"},
         "entry sell 50,000 at 1.1 or better once 1.2 trades, gtd until 2024-03-04 01:00:00.000"),
        ({"type": "order_moved", "state": "amended"}, "order main:6 amended to 50,000: the position is closed"),
        ({"type": "order_filled", "state": "partially_filled", "leaves": "30000", "slippage": "0",
          "liquidity": "maker"},
         "entry sold 20,000 at 1.08494, 30,000 left, level 1, maker"),
        ({"type": "fill_booked", "closed": True, "position": "0", "trade": "-9.301"},
         "trade closed -9.30, fee 0.54, balance 99,998.64"),
        ({"type": "fill_booked", "closed": True, "trade": "9.3"},
         "the trade before closed +9.30, position -50,000, fee 0.54, balance 99,998.64"),
        ({"type": "fill_booked", "realised": "5"}, "position -50,000, realised +5.00, fee 0.54, balance 99,998.64"),
        ({"type": "limit_breached", "limit": "news_trading", "value": "-12.5", "bound": "120"},
         "filled 12.5 s after news, allowed from 120 s on"),
        ({"type": "limit_breached", "limit": "money_range", "value": "2001", "bound": "4611686018.4"},
         "quote 2001 refused: at it money would pass 4,611,686,018.40; desk halted"),
        ({"type": "limit_breached", "halted": False}, "daily loss breached: equity 193,999.00 below 194,000.00"),
        ({"type": "signal_assessed", "risk": "0", "stop": None, "target": None, "size_ppm": 1_000_000},
         "approved sell 50,000, no stop"),
        ({"type": "signal_raised", "version": 0, "stop": None, "target": None},
         "m5_bos_retest sell at 1.08495, confidence 61 %"),
    ],
)  # fmt: skip
def test_words_follow_what_the_event_says(change: dict[str, Any], says: str) -> None:
    assert words(ROWS[change["type"]] | change).plain == says


def test_a_refusal_gives_its_first_reason_and_how_many_more() -> None:
    rule = {"rule": "positions", "value": 3, "limit": 2, "passed": False, "says": "3 is above 2"}
    refused = ROWS["signal_assessed"] | {"verdict": "refused", "rules": [rule | {"passed": True}, rule]}
    assert words(refused).plain == "refused sell: 3 is above 2"
    refused["rules"] = [rule, rule, rule]
    assert words(refused).plain == "refused sell: 3 is above 2 (and 2 more)"


def test_records_and_instructions_have_their_words() -> None:
    records = {name: words(record_row(5, record[0], "EURUSD")).plain for name, record in canonical.TICKS.items()}
    assert all(records.values())
    for instruction in canonical.INSTRUCTIONS.values():
        said = words(instruction_row(5, INSTRUCTION.validate_python(instruction.model_dump()), "main")).plain
        assert said.endswith(f"by {instruction.actor} ({instruction.authority})")
        assert said.startswith(instruction.kind.replace("_", " "))
    halt = instruction_row(5, canonical.INSTRUCTIONS["trading_halted"], "main")
    assert words(halt).plain == "trading halted: lunch, and flatten  by sequencer (operator)"


@given(reason=some.text(max_size=60))
def test_words_from_outside_cannot_steer_the_terminal(reason: str) -> None:
    refused = canonical.EVENTS["instruction_refused"].model_copy(update={"reason": f"\x1b[2J{reason}\r\n"})
    assert isinstance(refused, InstructionRefused)
    row = event_row(refused, "main")
    assert words(row).plain.isprintable()
    to = console()
    print_why(
        to,
        _answer(tree(record_row(5, canonical.market_ticks(1)[0], "EURUSD"), [refused], "main", "main:2", {})),
        rules=False,
    )
    Listing(to).add(row)
    assert all(line.isprintable() for line in printed(to))


# -- why -----------------------------------------------------------------------------------------------------------


def _answer(root: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = {"desk": "main", "ledger_end": "main:12", "currency": "USD", "asked": "main:8", "correlation": "main:3"}
    return answer | {"tree": root, "beside": [], "trades": [], "working": [], "lost_before": None} | more


def test_a_tree_reads_like_this() -> None:
    ticks = canonical.market_ticks(1)
    ticks["receive_time"] = canonical.MONDAY
    quote = record_row(977, ticks[0], "EURUSD") | {"file": "EURUSD.csv"}
    chain = [canonical.EVENTS[name] for name in CHAIN]
    filled = canonical.EVENTS["order_filled"].model_copy(
        update={"causation": 6, "occurred_at_ns": canonical.MONDAY + 10**9}
    )
    booked = canonical.EVENTS["fill_booked"].model_copy(
        update={"causation": 8, "occurred_at_ns": canonical.MONDAY + 10**9}
    )
    trade = {
        "symbol": "EURUSD", "side": "sell", "quantity": "50000", "shared": False, "closed": "main:11",
        "purpose": "stop", "held_ns": 192 * 10**9, "risk": "12.35", "result": "-12.3", "r": "-1.00",
    }  # fmt: skip
    root = tree(quote, [*chain, filled, booked], "main", "main:8", {})
    assert told(_answer(root, trades=[trade], working=["main:10"])) == [
        "Why main:8  chain main:3  2024-03-04 UTC  desk main, ledger to main:12",
        "tape:977 tick EURUSD 1.09993 / 1.1  line 1 of EURUSD.csv                          00:00:00.000",
        "└ main:3 signal m5_bos_retest@1 sell at 1.08495, stop 1.08515, target 1.08445,    00:00:00.000",
        "  │ confidence 61 %",
        "  ├ main:5 verdict approved sell 50,000 at 80 % of the full size, risk 12.35,     00:00:00.000",
        "  │   stop 1.08515, target 1.08445",
        "  │   ✓ 2 rules passed, policy canonical@3",
        "  │   size 50,900: the exposure that the instrument may have, cut to lot steps",
        "  │   risk 1 % of equity 99,000.00 x 80 % by drawdown: 792.00 to lose; Kelly",
        "  │   would allow 2.25 %",
        "  │   win rate 61.25 %, drawdown 3.4 R over 40 shadow trades",
        "  │   stop 0.0002 away, spread 0.00006, slippage 0.00001, commission 0.05: 1,000",
        "  │   units lose 0.25",
        "  └ main:6 order entry sell 50,000 at market                                      00:00:00.000",
        "    └ main:8 fill entry sold 20,000 at 1.08494, slippage 0.000005, level 1 ◄      00:00:01.000  +1 s",
        "      │ at the quote; bid 1.08495, ask 1.08501 (of a bar), commission 0.0025 %",
        "      │ level 2 of 5: 30,000 displayed; slippage 0.5 points on market orders",
        "      │ latency 50 ms, of 40 ms and up to 20 ms drawn by a seed",
        "      └ main:9 booking position -50,000, fee 0.54, balance 99,998.64              00:00:01.000",
        "",
        "Result  EURUSD sell 50,000  -12.30 USD  -1.00 R of 12.35  held 3 min 12 s, at its stop main:11",
        "Working at the ledger's end: main:10",
    ]


def test_refusing_rules_have_a_line_each_and_passed_ones_only_when_wanted() -> None:
    refused = next(
        number
        for number, line in enumerate(LINES, 1)
        if b'"verdict":"refused"' in line and line.count(b'"passed":false') == 2
    )
    answer = asyncio.run(why(GOLDEN, "main", str(refused)))
    short, long = told(answer), told(answer, rules=True)
    assert sum("✗ " in line for line in short) == sum("✗ " in line for line in long) == 2
    assert sum("✓ " in line for line in short) == 1
    assert sum("✓ " in line for line in long) > 10
    assert short[-1] == "No trade: refused by 2 rules"


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_of_any_tree_is_wider_than_the_terminal(width: int) -> None:
    for number in range(1, len(LINES) + 1, 37):
        lines = told(asyncio.run(why(GOLDEN, "main", str(number))), width)
        assert all(cell_len(line) <= width for line in lines)
        assert sum("◄" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("types", "says"),
    [
        (["signal_raised"], "No trade: the ledger has no verdict"),
        (CHAIN[:2], "No trade: the order is not in the ledger, which was cut short here"),
        ([*CHAIN, "order_moved"], "No trade: the order ended without a fill"),
        ([*CHAIN, "order_filled"], "No trade: the booking of the fill is not in the ledger"),
        ([*CHAIN, "order_filled", "fill_booked"], "No trade: it only closed"),
        (["instruction_applied"], "└ main:1 answer"),
    ],
)  # fmt: skip
def test_a_chain_without_a_trade_says_why(types: list[str], says: str) -> None:
    record = record_row(5, canonical.market_ticks(1)[0], "EURUSD")
    root = tree(record, [canonical.EVENTS[name] for name in types], "main", "main:3", {})
    assert told(_answer(root))[-1].startswith(says)


def test_a_place_where_nothing_was_decided_and_a_lost_beginning_are_said() -> None:
    record = record_row(5, canonical.market_ticks(1)[0], "EURUSD")
    nothing = _answer(tree(record, [], "main", "tape:5", {}), asked="tape:5", correlation=None)
    assert told(nothing)[-1] == "Nothing was decided here."
    lost = tree({"id": "tape:5", "type": "missing"}, [canonical.EVENTS["order_moved"]], "main", "main:7", {})
    lines = told(_answer(lost, lost_before="main:6"))
    assert lines[1] == "The chain began before main:6, the oldest event that is left."
    assert "the tape does not have this record" in lines[2]
    assert "because of main:3" in lines[3]


def test_a_chain_over_midnight_names_the_days() -> None:
    record = record_row(5, canonical.market_ticks(1)[0], "EURUSD")
    late = canonical.EVENTS["order_moved"].model_copy(update={"occurred_at_ns": canonical.MONDAY + 86_400 * 10**9})
    lines = told(_answer(tree(record, [canonical.EVENTS["signal_raised"], late], "main", "main:7", {})))
    assert lines[-3].endswith("03-05 00:00:00.000  +1 d")


# -- events --------------------------------------------------------------------------------------------------------


def listed(rows: list[dict[str, Any]], *, terminal: bool, **options: Any) -> list[str]:
    to = console(terminal=terminal)
    listing = Listing(to, **options)
    for row in rows:
        listing.add(row)
    listing.close()
    return printed(to)


async def all_rows() -> list[dict[str, Any]]:
    return [row async for row in events(GOLDEN, "main", Wanted(last=None))]


def test_every_event_is_a_line_and_marks_in_a_row_are_one() -> None:
    rows = asyncio.run(all_rows())
    other = [row["id"] for row in rows if row["type"] != "account_marked"]
    runs = sum(
        row["type"] == "account_marked" and (not index or rows[index - 1]["type"] != "account_marked")
        for index, row in enumerate(rows)
    )
    lines = listed(rows, terminal=False)
    assert len(lines) == len(other) + runs
    assert [line.split()[0] for line in lines if " mark " not in line] == other
    assert len(listed(rows, terminal=False, every_mark=True)) == len(rows)


def test_on_a_terminal_days_are_headings_and_lines_fold_inside_their_column() -> None:
    lines = listed(asyncio.run(all_rows()), terminal=True)
    assert [line for line in lines if line.endswith(" UTC")] == ["2024-03-04 UTC", "2024-03-05 UTC", "2024-03-06 UTC"]
    assert all(cell_len(line) <= 100 for line in lines)
    assert any(line.startswith(" " * 42) for line in lines)


def test_merged_marks_keep_the_lowest_and_the_highest_equity() -> None:
    mark = ROWS["account_marked"]
    marks = [mark | {"equity_low": low, "equity_high": high} for low, high in (("5", "9"), ("-7", "8"), ("6", "10.5"))]
    assert words(merged(marks)).plain == "3 x equity 0.00 (-7.00 to 10.50), room 0.00"


# -- status --------------------------------------------------------------------------------------------------------


def shown(state: dict[str, Any], width: int = 100, **more: Any) -> list[str]:
    to = console(width=width, terminal=True)
    print_status(to, {"desk": "main", "problem": None, **state, "latched": None, "services": SERVICES, **more})
    assert all(cell_len(line) <= width for line in printed(to))
    return printed(to)


def test_the_status_shows_account_rooms_halt_and_services() -> None:
    state = asyncio.run(state_of(GOLDEN, "main"))
    lines = shown(state, latched={"actor": "ann", "reason": "\x1b[2Jstop", "flatten": True})
    text = "\n".join(lines)
    assert lines[1] == "HALT WAITS for the sequencer:  [2Jstop (by ann, and flatten)"
    assert lines[2].startswith("HALTED since 2024-03-05 ")
    assert f"equity     {money(state['account']['equity'])}" in text
    assert "trading days 2 of 4   profit target -261.23 of 10,000.00   objectives failed" in text
    assert "ws    8000  ready" in text
    assert "core  8001  not ready    core is starting; Wait." in text
    assert "Positions none" in text


def test_positions_and_orders_are_tables() -> None:
    script = canonical.golden_script()
    log = MemoryLog()
    parts = [message[1] for message in canonical.up_to(2_300, canonical.messages(script, [2_300]))]
    asyncio.run(write_tape(log, parts))
    state = asyncio.run(state_of(log, "main"))
    state["orders"] = [row | {"id": f"main:{'1' * 30}{row['id'][5:]}"} for row in state["orders"]]
    for width in (80, 100):
        text = "\n".join(shown(state, width))
        assert "…" not in text, "an id that is cut is no id"
        assert all(row["id"] in text for row in state["orders"]), text
        assert all(row["correlation"] in text for row in state["positions"]), text
    lines = shown(state)
    head = next(index for index, line in enumerate(lines) if line.startswith("symbol"))
    assert lines[head + 1].split()[:3] == ["EURUSD", "buy", "20,000"]
    assert "Working orders (3)" in lines
    assert any("decisions are not in the ledger yet" in line for line in lines)


def test_a_desk_without_account_and_a_store_that_is_away_say_so() -> None:
    log = MemoryLog()
    asyncio.run(write_tape(log, [*canonical.opening(1), canonical.market_ticks(3)]))
    text = "\n".join(shown(asyncio.run(state_of(log, "main"))))
    assert "No account is open on this desk" in text
    assert "none: no signal is raised" in text
    away = shown({}, problem={"error": "Unavailable", "message": "the server is gone"})
    assert away[:2] == ["Desk main  paper", "Unavailable: the server is gone"]
    assert away[-1].startswith("risk")


@pytest.mark.parametrize(
    ("left", "full", "style"),
    [
        ("300", 20, "green"), ("151", 10, "green"), ("100", 7, "yellow"), ("30", 2, "red"), ("-9", 0, ""),
        ("999", 20, "green"),
    ],
)  # fmt: skip
def test_a_room_is_a_bar_of_what_is_left(left: str, full: int, style: str) -> None:
    bar, text = room_bar({"left": left, "of": "300", "limit": "9700"})
    assert bar.plain == "█" * full + "░" * (20 - full)
    assert not full or str(bar.spans[0].style) == style
    assert text.plain == f"{money(left)} of 300.00, down to 9,700.00"
