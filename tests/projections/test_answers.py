"""How rows read in an answer: exact decimals, times in UTC, ids with the name of their log."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections.answers import answer, content, decimal
from projections.catalogue import READ_MODELS
from tests.canonical import MONDAY

IDS = {
    "number": 7, "causation": 6, "correlation": 4, "order_number": 5, "verdict_number": 8, "oco": 3, "ordinal": 12,
}  # fmt: skip


@given(st.integers(-(2**63), 2**63 - 1))
def test_nanos_become_the_exact_decimal_with_nine_places(nanos: int) -> None:
    text = decimal(nanos)
    assert Decimal(text) * 10**9 == nanos
    assert len(text.partition(".")[2]) == 9


@given(st.integers(10**30, 10**40))
def test_sums_beyond_64_bits_stay_exact(nanos: int) -> None:
    whole, _, part = decimal(-nanos).partition(".")
    assert int(whole + part) == -nanos


def test_ids_carry_the_name_of_their_log() -> None:
    assert answer({name: IDS[name] for name in IDS if name != "ordinal"}, "main") == {
        "id": "main:7", "causation": "main:6", "correlation": "main:4", "order": "main:5", "verdict_id": "main:8",
        "oco": "main:3",
    }  # fmt: skip
    assert answer({"ordinal": 12, "oco": None}, "main") == {"id": "tape:12", "oco": None}


def test_times_and_money_read_without_their_unit_and_positions_are_left_out() -> None:
    row = {"since_ns": MONDAY, "price": -5, "expires_at_ns": None, "confidence_ppm": 7, "since": 3, "until": 9}
    assert answer(row, "main") == {
        "since": "2024-03-04T00:00:00Z", "price": "-0.000000005", "expires_at": None, "confidence_ppm": 7,
    }  # fmt: skip


def test_stored_content_reads_like_a_row_and_keeps_what_lies_deeper() -> None:
    says: dict[str, Any] = {"initial_balance_nanos": 10**9, "policy": {"risk_nanos": 5}, "limit_nanos": None}
    assert content(says) == {"initial_balance": "1.000000000", "policy": {"risk_nanos": 5}, "limit": None}
    assert answer({"details": says}, "main") == {"details": content(says)}


def test_no_column_of_money_or_size_is_told_as_a_number() -> None:
    """Every bigint of the tables becomes text, but for what counts."""
    counts = {"execution", "trades", "attempt", "failures", "wins", "zeros", "losses", "r_trades", "days", "samples",
              "active_days", "trading_days", "trading_days_min", "version", "confidence_ppm", "size_ppm",
              "count", "policy_version", "level", "attempts", "refusals"}  # fmt: skip
    own = {"daily_room", "total_room", "daily_limit", "total_limit", "halt_number", "value", "bound"}  # told otherwise
    floats = {"win_rate", "profit_factor", "payoff", "expectancy_r", "trades_per_day", "trades_per_active_day",
              "year_return", "sharpe", "sortino", "drawdown_share", "drawdown_days", "calmar", "retry_seconds",
              "open_seconds"}  # fmt: skip
    for table in (table for model in READ_MODELS for table in model.tables):
        numbers = {name for name, kind in _kinds(table.name).items() if kind in ("bigint", "numeric")}
        said = answer(dict.fromkeys(numbers - counts - own - floats - {"since", "until"}, 1), "main")
        assert [name for name, value in said.items() if not isinstance(value, str)] == [], table.name


def _kinds(table: str) -> dict[str, str]:
    from projections.catalogue import schema

    model = next(model for model in READ_MODELS if table in {own.name for own in model.tables})
    block = schema(model).partition(f"CREATE TABLE {table} ")[2].partition(");")[0]
    lines = [line.split() for line in block.splitlines()[1:] if line.strip()]
    return {words[0]: words[1] for words in lines if words[0] != "PRIMARY"}
