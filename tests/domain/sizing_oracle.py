"""The formula of domain/sizing.py in exact fractions; money and shares are rounded once each, half to even."""

from fractions import Fraction
from math import floor

from domain.policy import LOWER
from domain.rules import NO_LIMIT

PPM = 1_000_000


def expected_fraction(f: dict[str, int], p: dict[str, int]) -> int:
    trades, wins = f["shadow_trades"], f["shadow_wins"]
    won, lost = Fraction(f["shadow_won_milli_r"]), Fraction(f["shadow_lost_milli_r"])
    if p["kelly_ppm"] == 0 or trades < p["kelly_trades_min"]:
        return p["risk_ppm"]
    if wins == 0 or won == 0:
        return 0
    win = Fraction(wins, trades)
    if lost == 0 or trades == wins:
        f_star = win * (1 - lost / won)
    else:
        b = (won / wins) / (lost / (trades - wins))
        f_star = win - (1 - win) / b
    return min(p["risk_ppm"], max(0, floor(p["kelly_ppm"] * f_star)))


def expected_size_ppm(f: dict[str, int], p: dict[str, int]) -> int:
    left = PPM
    if p["by_confidence"]:
        place = next((i for i, percent in enumerate(range(95, 60, -5)) if f["confidence_ppm"] >= percent * 10_000), 7)
        left = round(left * Fraction(floor(PPM * (Fraction(150) - place * Fraction(110, 7)) / 150), PPM))
    if p["by_drawdown"]:
        lost = f["peak"] - f["balance"]
        steps = [(Fraction(2, 100), 10), (Fraction(5, 100), 8), (Fraction(8, 100), 6)]
        left = round(left * Fraction(next((s for bound, s in steps if lost <= round(f["peak"] * bound)), 4), 10))
    weak = f["shadow_trades"] >= p["performance_trades_min"] and (
        Fraction(f["shadow_wins"], f["shadow_trades"]) < Fraction(7, 10) or f["shadow_drawdown_milli_r"] > 10_000
    )
    if p["performance_floor"] == LOWER and weak:
        left = round(left * Fraction(p["performance_size_ppm"], PPM))
    return left


def expected_room(f: dict[str, int], p: dict[str, int]) -> int:
    rooms = [f["daily_room"], f["total_room"]]
    if p["daily_risk_max_ppm"] != NO_LIMIT:
        rooms.append(round(Fraction(f["day_balance"] * p["daily_risk_max_ppm"], PPM)) - f["day_lost"])
    return min(rooms) - f["open_risk"]


def expected_money(f: dict[str, int], p: dict[str, int], share_ppm: int) -> int:
    full = round(Fraction(f["equity"] * share_ppm, PPM))
    return max(0, min(round(Fraction(full * expected_size_ppm(f, p), PPM)), expected_room(f, p)))


def in_lots(f: dict[str, int], exact: Fraction) -> int:
    lots = floor(exact) // f["lot_step"] * f["lot_step"]
    return lots if lots >= f["lot_min"] else 0
