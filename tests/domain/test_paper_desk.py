"""What instructions may not do to a desk: identities, conversion, margin and counts hold against hostile ones."""

import pytest

from domain.events import SignalAssessed, SignalRaised
from domain.instructions import InstrumentDeclared, PolicyActivated, SignalSubmitted, StrategyActivated
from domain.instruments import Instrument, instrument_for
from domain.paper_desk import MAX_OUTSIDE
from domain.policy import POLICIES
from tests.domain.desks import Desk, fills, nanos, of, placed, policy, quoted, refusal

EVERY_TICK = {"fast": 1, "slow": 2, "on": "ticks"}


def submitted(desk: Desk, strategy: str, symbol: str = "EURUSD") -> list[object]:
    prices = {"entry_nanos": nanos("1.1"), "stop_nanos": nanos("1.09"), "target_nanos": nanos("1.12")}
    return list(desk.tell(SignalSubmitted, strategy=strategy, symbol=symbol, side="buy", **prices))


def failed(desk: Desk) -> set[str]:
    """The rules that refused the last verdict."""
    return {rule.rule for rule in of(SignalAssessed, desk.events)[-1].rules if not rule.passed}


def test_a_signal_from_outside_does_not_take_the_identity_of_the_desks_own_strategy() -> None:
    desk = quoted()
    desk.tell(StrategyActivated, strategy="ema_cross", version=1, symbols=("EURUSD",), parameters=EVERY_TICK)
    for step in range(12):
        desk.quote(f"1.1000{step % 2}", f"1.1001{step % 2}")
    before = desk.engine.desk.book.performance.copy()
    submitted(desk, "ema_cross")
    assert desk.engine.desk.book.performance[: len(before)].tobytes() == before.tobytes()
    desk.quote("1.10005", "1.10015")
    desk.quote("1.10000", "1.10010")
    assert [event.version for event in of(SignalRaised, desk.events)][-2:] != [0, 0]


def test_a_refused_signal_uses_up_no_name() -> None:
    desk = quoted()
    for number in range(MAX_OUTSIDE + 2):
        far = desk.tell(
            SignalSubmitted, strategy=f"far_{number}", symbol="EURUSD", side="buy", entry_nanos=nanos(1_000)
        )
        assert "more than 100 times" in refusal(far)
    assert of(SignalRaised, submitted(desk, "mine"))


def test_names_outside_are_few_so_no_limit_is_evaded_by_renaming() -> None:
    desk = quoted()
    for number in range(MAX_OUTSIDE):
        assert of(SignalRaised, submitted(desk, f"name_{number}"))
    assert "one too many" in refusal(submitted(desk, "another"))
    assert of(SignalRaised, submitted(desk, "name_3"))


def test_a_pair_that_is_declared_later_does_not_take_over_the_conversion() -> None:
    desk = Desk(policy(), "USDJPY")
    desk.quote("150.00", "150.01")
    desk.order("buy", "market", 100_000)
    desk.quote("149.00", "149.01")
    floating = int(desk.engine.desk.book.account[0]["floating"])
    assert floating < 0
    reverse = instrument_for("USDJPY").model_copy(update={"symbol": "JPYUSD", "base": "JPY", "quote": "USD"})
    assert isinstance(reverse, Instrument)
    desk.tell(InstrumentDeclared, number=2, instrument=reverse)
    desk.quote("149.00", "149.01")
    assert int(desk.engine.desk.book.account[0]["floating"]) == floating


def test_orders_of_one_instrument_count_as_one_position() -> None:
    desk = Desk(policy(risk={"positions_max": 2}), "EURUSD", "GBPUSD", "USDCHF")
    for symbol in desk.symbols:
        desk.quote("1.10000", "1.10010", symbol=symbol)
    for _ in range(3):
        assert placed(desk.order("buy", "limit", 1_000, limit="1.05"))
    assert placed(desk.order("buy", "limit", 1_000, symbol="GBPUSD", limit="1.05"))
    desk.order("buy", "limit", 1_000, symbol="USDCHF", limit="1.05")
    assert failed(desk) == {"positions"}


def test_margin_is_spent_by_working_orders_too() -> None:
    desk = Desk(POLICIES["ftmo-2step-challenge"], "EURUSD")
    desk.quote("1.10000", "1.10010")
    terms = {"limit": "1.09900", "stop": "1.09895"}
    assert placed(desk.order("buy", "limit", 1_500_000, **terms))  # 55,000 of margin
    assert placed(desk.order("buy", "limit", 1_000_000, **terms))
    desk.order("buy", "limit", 1_000_000, **terms)
    assert failed(desk) == {"free_margin"}


def test_no_number_of_orders_makes_a_position_larger_than_the_instruments_bound() -> None:
    desk = Desk(policy(), "EURUSD", balance=100_000_000)
    desk.quote("1.10000", "1.10010")
    assert fills([*desk.order("buy", "market", 6_000_000), *desk.quote("1.10000", "1.10010")])
    desk.order("buy", "market", 6_000_000)
    assert failed(desk) == {"largest_lot"}
    assert placed(desk.order("sell", "market", 6_000_000))


@pytest.mark.parametrize("method", ["fixed", "fractional"])
@pytest.mark.parametrize(("lots", "opened"), [(50, 50), (51, 49), (99, 1)])
def test_a_reversal_is_one_order_and_opens_what_the_largest_lot_leaves(lots: int, opened: int, method: str) -> None:
    """100 lots are the largest of EURUSD: a venue takes no order of 102, whatever it closes."""
    size = {"fixed_quantity_nanos": nanos(lots * 100_000)}
    reverse = {"on_opposite": "reverse"}
    desk = Desk(policy(sizing=size, risk=reverse), "EURUSD", balance=100_000_000)
    desk.quote("1.10000", "1.10010")
    prices = {"entry_nanos": nanos("1.1")}
    desk.tell(SignalSubmitted, strategy="theirs", symbol="EURUSD", side="buy", **prices)
    desk.quote("1.10000", "1.10010")
    if method == "fractional":
        desk.tell(PolicyActivated, policy=policy(sizing={"method": method, "risk_ppm": 100_000}, risk=reverse))
        prices["stop_nanos"] = nanos("1.11")
        opened = 100 - lots
    events = desk.tell(SignalSubmitted, strategy="theirs", symbol="EURUSD", side="sell", **prices)
    assert failed(desk) == set()
    assert [order.quantity_nanos for order in placed(events)] == [nanos((lots + opened) * 100_000)]
    desk.quote("1.10000", "1.10010")
    assert desk.position() == -opened * 100_000


def test_a_position_of_the_largest_lot_leaves_a_reversal_no_room() -> None:
    size = {"fixed_quantity_nanos": nanos(10_000_000)}
    desk = Desk(policy(sizing=size, risk={"on_opposite": "reverse"}), "EURUSD", balance=100_000_000)
    desk.quote("1.10000", "1.10010")
    for side in ("buy", "sell"):
        desk.tell(SignalSubmitted, strategy="theirs", symbol="EURUSD", side=side, entry_nanos=nanos("1.1"))
        desk.quote("1.10000", "1.10010")
    assert failed(desk) == {"smallest_lot"}
    assert desk.position() == 10_000_000


def test_an_order_without_a_stop_is_refused_where_risk_is_limited() -> None:
    desk = Desk(POLICIES["ftmo-2step-challenge"], "EURUSD")
    desk.quote("1.10000", "1.10010")
    desk.order("buy", "market", 10_000)
    assert failed(desk) == {"stop_is_known"}
    assert placed(desk.order("buy", "market", 10_000, stop="1.09900"))


def test_a_fixed_size_above_the_lots_is_refused_and_overflows_nothing() -> None:
    desk = Desk(policy(sizing={"fixed_quantity_nanos": nanos(10_000_000)}), "BTCUSD")
    desk.quote("60000.0", "60001.0")
    prices = {"entry_nanos": nanos("60000"), "stop_nanos": nanos("59000"), "target_nanos": nanos("62000")}
    desk.tell(SignalSubmitted, strategy="theirs", symbol="BTCUSD", side="buy", **prices)
    assert "largest_lot" in failed(desk)


def test_working_orders_are_exposed_as_if_they_were_filled() -> None:
    risk = {"symbol_exposure_max_ppm": 2_000_000, "currency_exposure_max_ppm": 3_000_000}
    desk = Desk(policy(risk=risk), "EURUSD", "GBPUSD")
    for symbol in desk.symbols:
        desk.quote("1.10000", "1.10010", symbol=symbol)
    assert placed(desk.order("buy", "limit", 100_000, limit="1.09"))
    desk.order("buy", "limit", 100_000, limit="1.09")
    assert failed(desk) == {"symbol_exposure"}
    assert placed(desk.order("buy", "limit", 150_000, symbol="GBPUSD", limit="1.09"))
    desk.order("buy", "market", 40_000, symbol="GBPUSD")
    assert failed(desk) == {"symbol_exposure", "currency_exposure"}
