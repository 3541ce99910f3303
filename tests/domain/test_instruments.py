"""What a pip is: data for each instrument, never a guess."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInput, UnknownInstrument
from domain.instruments import CURRENCIES, TABLE, canonical_symbol, instrument_for


@pytest.mark.parametrize(
    ("symbol", "pip", "point", "contract"),
    [
        ("EURUSD", 100_000, 10_000, 100_000),
        ("USDJPY", 10_000_000, 1_000_000, 100_000),
        ("EURHUF", 10_000_000, 1_000_000, 100_000),
        ("NOKSEK", 100_000, 10_000, 100_000),
        ("XAUUSD", 100_000_000, 10_000_000, 100),
        ("XAGUSD", 10_000_000, 1_000_000, 5_000),
        ("WTIUSD", 10_000_000, 10_000_000, 1_000),
        ("GER40", 1_000_000_000, 100_000_000, 1),
        ("BTCUSDT", 1_000_000_000, 10_000_000, 1),
        ("ETHUSDT", 100_000_000, 10_000_000, 1),
        ("XRPETH", 100, 10, 1),
    ],
)
def test_pip_point_and_contract_of_each_market(symbol: str, pip: int, point: int, contract: int) -> None:
    found = instrument_for(symbol)
    assert (found.symbol, found.pip_nanos, found.point_nanos, found.contract_size) == (symbol, pip, point, contract)


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("EURUSD.m", "EURUSD"), ("EURUSD.r", "EURUSD"), ("EURUSD#", "EURUSD"), ("EURUSD_i", "EURUSD"),
        ("eurusd.raw", "EURUSD"), ("USDJPY-ECN", "USDJPY"), ("XAUUSD.pro", "XAUUSD"), ("US30.cash", "US30"),
        ("EUR/USD", "EURUSD"), ("EUR_USD", "EURUSD"), ("eur-usd", "EURUSD"), ("BTC-USDT", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"), (" EURUSD ", "EURUSD"), ("btcusdt", "BTCUSDT"), ("EUR/USD.m", "EURUSD"),
    ],
)  # fmt: skip
def test_a_broker_suffix_or_separator_does_not_change_the_instrument(written: str, symbol: str) -> None:
    assert instrument_for(written).symbol == symbol
    assert canonical_symbol(canonical_symbol(written)) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        "", " ", ".", "#", "_", ".m", "EUR", "EURUSDX", "EUREUR", "EURXXX", "XXXUSD", "DOGEUSDT", "BTCUSD-PERP",
        "6E-H24", "EURUSD.m.m", "EUR//USD", "../EURUSD", "EURUSD;DROP", "EURUSD\x00", "EURUSD.\x00", "EURUSD.>",
        "EURUSD.*", "tape.EURUSD", "ＥＵＲＵＳＤ", "uſdjpy", "ЕURUSD", "EUR USD", "EURUSD\nGBPUSD", "A" * 1_000_000,
        "EURUSD" + ".m" * 9_999,
    ],
    ids=lambda symbol: repr(symbol[:12]),
)  # fmt: skip
def test_a_hostile_or_unknown_symbol_is_refused_in_a_short_line(symbol: str) -> None:
    with pytest.raises(UnknownInstrument) as refused:
        instrument_for(symbol)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)
    assert "domain/instruments.py" in str(refused.value)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_an_instrument_or_refused(symbol: str) -> None:
    try:
        found = instrument_for(symbol)
    except UnknownInstrument:
        return
    assert found.symbol in TABLE or {found.base, found.quote} < CURRENCIES


def test_every_definition_of_the_table_is_consistent() -> None:
    for symbol, instrument in TABLE.items():
        assert symbol == instrument.symbol == canonical_symbol(symbol)
        assert instrument.pip_nanos % instrument.point_nanos == 0
        assert instrument.spread_nanos > 0
        assert instrument.spread_nanos % 2 == 0, "half of it lies on either side of a mid"


def test_declared_spreads_are_exact() -> None:
    assert instrument_for("EURUSD").spread_nanos == 60_000
    assert instrument_for("GBPJPY").spread_nanos == 18_000_000
    assert instrument_for("SEKNOK").spread_nanos == 200_000


def test_pips_become_nanos_exactly_or_not_at_all() -> None:
    assert instrument_for("EURUSD").nanos("trigger_pips", Decimal("0.8")) == 80_000
    assert instrument_for("USDJPY").nanos("trigger_pips", Decimal("0.8")) == 8_000_000
    with pytest.raises(InvalidInput, match=r"trigger_pips = 0\.000001: .* EURUSD .* multiple of 0\.00001"):
        instrument_for("EURUSD").nanos("trigger_pips", Decimal("0.000001"))
