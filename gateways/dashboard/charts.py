"""Charts as ECharts options. Colours are the page's variables; what a chart shows stands in a table beside it too."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from gateways.dashboard.formats import spoken
from gateways.dashboard.markup import Row
from gateways.ledger_words import money, price, units

Options = dict[str, Any]

_TEXT = {"color": "var(--muted)", "fontSize": 11, "fontFamily": "Roboto, system-ui, sans-serif"}
_INNER = {"showMinLabel": False, "showMaxLabel": False}  # the ends of an axis that fits its curve are odd numbers
_LINE = {"lineStyle": {"color": "var(--line)"}}
_TIP = {
    "trigger": "axis",
    "confine": True,
    "backgroundColor": "var(--card)",
    "borderColor": "var(--line)",
    "textStyle": {"color": "var(--ink)", "fontSize": 12},
    "axisPointer": {"type": "line", "lineStyle": {"color": "var(--muted)"}},
}


def _value_axis(**more: Any) -> Options:
    return {
        "type": "value",
        "scale": True,
        "position": "right",
        "axisLabel": _TEXT,
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "splitLine": _LINE,
        "splitNumber": 4,
    } | more


def _time_axis(**more: Any) -> Options:
    return {
        "type": "time",
        "axisLabel": _TEXT | {"hideOverlap": True},
        "axisLine": _LINE,
        "axisTick": {"show": False},
        "splitLine": {"show": False},
    } | more


def _clock(iso: str) -> str:
    """A time without its zone, which ECharts would turn into the browser's: all times are UTC."""
    return iso[:19]


# -- equity ------------------------------------------------------------------------------------------------------------


def equity_line(curve: Sequence[Row]) -> Options:
    """The curve alone, small."""
    points = [[_clock(row["at"]), float(row["equity"])] for row in curve]
    return {
        "animation": False,
        "grid": {"left": 8, "right": 56, "top": 8, "bottom": 22},
        "tooltip": _TIP,
        "xAxis": _time_axis(),
        "yAxis": _value_axis(splitNumber=3),
        "series": [_curve("Equity", points, "var(--accent)")],
    }


def equity_and_drawdown(curve: Sequence[Row]) -> Options:
    """Equity and balance above, the drawdown from the highest equity below; one time for both."""
    times = [_clock(row["at"]) for row in curve]
    equity = [[at, float(row["equity"])] for at, row in zip(times, curve, strict=True)]
    balance = [[at, float(row["balance"])] for at, row in zip(times, curve, strict=True)]
    fall = [[at, -float(row["drawdown"])] for at, row in zip(times, curve, strict=True)]
    deepest = _curve("Drawdown", fall, "var(--down)") | {"xAxisIndex": 1, "yAxisIndex": 1}
    return {
        "animation": False,
        "legend": {"top": 0, "left": 0, "textStyle": _TEXT, "itemWidth": 16, "itemHeight": 2, "icon": "rect"},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "tooltip": _TIP,
        "grid": [
            {"left": 8, "right": 64, "top": 30, "height": "56%"},
            {"left": 8, "right": 64, "bottom": 24, "height": "22%"},
        ],
        "xAxis": [_time_axis(axisLabel={"show": False}), _time_axis(gridIndex=1)],
        "yAxis": [_value_axis(), _value_axis(gridIndex=1, splitNumber=2)],
        "series": [
            _curve("Equity", equity, "var(--accent)"),
            _curve("Balance", balance, "var(--muted)") | {"lineStyle": {"width": 1, "type": "dashed"}},
            deepest | {"areaStyle": {"color": "var(--down)", "opacity": 0.15}},
        ],
    }


def _curve(name: str, points: list[list[Any]], colour: str) -> Options:
    return {
        "name": name,
        "type": "line",
        "data": points,
        "showSymbol": False,
        "sampling": "lttb",
        "itemStyle": {"color": colour},
        "lineStyle": {"width": 1.5},
    }


# -- market ------------------------------------------------------------------------------------------------------------


AHEAD = 10  # candles' room behind the newest one, for the lines of what is open
BESIDE = 12  # candles that the lines of a signal reach to its sides


class Times:
    """Which candle a time lies in: candles stand side by side, without the hours in which nothing traded."""

    def __init__(self, bars: Sequence[Row]) -> None:
        self._starts = [_clock(bar["time"]) for bar in bars]

    def place(self, iso: str) -> int | None:
        """The index of the candle, None before the first one."""
        found = bisect_right(self._starts, _clock(iso)) - 1
        return found if found >= 0 else None

    @property
    def labels(self) -> list[str]:
        """Month, day and time; of whole days the date."""
        daily = all(start.endswith("T00:00:00") for start in self._starts)
        return [start[:10] if daily else start[5:16].replace("T", " ") for start in self._starts]


def candles(bars: Sequence[Row], signals: Iterable[Row], fills: Iterable[Row], orders: Iterable[Row]) -> Options:
    """Bars of the mid with what the desk saw and did.

    A signal draws the level that broke (dashed, from where its bar was to the signal), a dot at its retest, and, when
    approved, entry, stop and target; a refused one is a cross. Fills are arrows in the direction of the deal; working
    orders are lines to the right edge.
    """
    times = Times(bars)
    drawn = _placed(signals, times)
    bought, sold = ([_dealt(*one) for one in _placed(fills, times) if one[0]["side"] == way] for way in ("buy", "sell"))
    end = len(bars) - 1 + AHEAD
    lines = [line for signal, place in drawn for line in _signal_lines(signal, place, times, end)]
    lines += [line for order in orders for line in _order_line(order, times, end)]
    low, high = _reach(bars, lines)
    data = [[float(bar[name]) for name in ("open", "close", "low", "high")] for bar in bars]
    return {
        "animation": False,
        "grid": {"left": 8, "right": 68, "top": 12, "bottom": 26},
        "tooltip": _TIP | {"axisPointer": {"type": "cross", "label": {"fontSize": 11}}},
        "dataZoom": [{"type": "inside", "start": 0, "end": 100, "minValueSpan": 20}],
        "xAxis": {
            "type": "category",
            "data": [*times.labels, *[""] * AHEAD],
            "axisLabel": _TEXT | {"hideOverlap": True},
            "axisLine": _LINE,
            "axisTick": {"show": False},
        },
        "yAxis": _value_axis(splitNumber=6, min=low, max=high, axisLabel=_TEXT | _INNER),
        "series": [
            {
                "name": "Mid",
                "type": "candlestick",
                "data": data,
                "barMaxWidth": 11,
                "itemStyle": {  # up is hollow: colour is not the only sign
                    "color": "var(--card)",
                    "color0": "var(--down)",
                    "borderColor": "var(--up)",
                    "borderColor0": "var(--down)",
                },
                "markLine": {"symbol": "none", "silent": True, "animation": False, "data": lines},
            },
            _marks("Signal", "circle", "var(--accent)", 9, [_seen(*one) for one in drawn if not _is_refused(*one)]),
            _marks("Refused", _CROSS, "var(--warning)", 9, [_seen(*one) for one in drawn if _is_refused(*one)]),
            _marks("Bought", _ARROW_UP, "var(--buy)", 13, bought, "60%"),
            _marks(
                "Sold",
                _ARROW_DOWN,
                "var(--sell)",
                13,
                sold,
                "-60%",
            ),
        ],
    }


def _reach(bars: Sequence[Row], lines: Sequence[list[Options]]) -> tuple[float, float]:
    """From the lowest to the highest of candles and lines, with a little air."""
    levels = [line[0]["coord"][1] for line in lines]
    low, high = min(float(bar["low"]) for bar in bars), max(float(bar["high"]) for bar in bars)
    span = (high - low) or abs(high) / 1_000
    near = [level for level in levels if low - span < level < high + span]  # a far stop does not flatten the candles
    return round(min([low, *near]) - span / 25, 9), round(max([high, *near]) + span / 25, 9)


_ARROW_UP = "path://M0 10 L5 0 L10 10 L5 7 Z"
_ARROW_DOWN = "path://M0 0 L5 10 L10 0 L5 3 Z"
_CROSS = "path://M0 1 L1 0 L5 4 L9 0 L10 1 L6 5 L10 9 L9 10 L5 6 L1 10 L0 9 L4 5 Z"


def _placed(rows: Iterable[Row], times: Times) -> list[tuple[Row, int]]:
    return [(row, place) for row in rows if (place := times.place(row["at"])) is not None]


def _is_refused(signal: Row, _: int) -> bool:
    return bool(signal["verdict"] == "refused")


def _marks(name: str, symbol: str, colour: str, size: int, data: list[Options], offset: str = "0%") -> Options:
    return {
        "name": name,
        "type": "scatter",
        "symbol": symbol,
        "symbolSize": size,
        "itemStyle": {"color": colour},
        "data": data,
        "z": 5,
        "symbolOffset": [0, offset],
        "tooltip": {"trigger": "item", "formatter": "{b}"},
    }


def _seen(signal: Row, place: int) -> Options:
    refused = signal["refused_by"] or []
    why = f", refused by {', '.join(spoken(rule) for rule in refused)}" if refused else ""
    name = f"{signal['id']} {signal['strategy']} {signal['side']}{why}"
    return {"name": name, "value": [place, float(signal["entry_price"] or signal["level_price"] or 0)]}


def _dealt(fill: Row, place: int) -> Options:
    made = f", result {money(fill['trade_result'])}" if fill["closed"] else ""
    name = f"{fill['id']} {fill['purpose']} {fill['side']} {units(fill['quantity'])} at {price(fill['price'])}{made}"
    return {"name": name, "value": [place, float(fill["price"])]}


def _signal_lines(signal: Row, place: int, times: Times, end: int) -> Iterable[list[Options]]:
    if signal["level_price"] and signal["bar_time"]:
        begun = times.place(signal["bar_time"])
        yield _line(
            max(0, (place if begun is None else begun) - 12), place, signal["level_price"], "var(--muted)", "dashed"
        )
    if signal["verdict"] != "approved":
        return
    until = min(end, place + BESIDE)
    for name, colour in (("entry", "var(--accent)"), ("stop", "var(--down)"), ("target", "var(--up)")):
        if signal[f"{name}_price"]:
            yield _line(place, until, signal[f"{name}_price"], colour, "solid")


def _order_line(order: Row, times: Times, end: int) -> Iterable[list[Options]]:
    level = order["trigger_price"] or order["limit_price"]
    if level:
        begun = times.place(order["placed_at"]) or 0
        colour = {"stop": "var(--down)", "target": "var(--up)"}.get(order["purpose"], "var(--accent)")
        yield _line(begun, end, level, colour, "dotted", f"{order['purpose']} {price(level)}")


def _line(start: int, end: int, level: str, colour: str, dash: str, name: str = "") -> list[Options]:
    style = {"color": colour, "type": dash, "width": 1.2}
    label = {"show": bool(name), "formatter": name, "position": "insideEndTop", "color": colour, "fontSize": 11}
    return [
        {"coord": [start, float(level)], "lineStyle": style, "label": label},
        {"coord": [end, float(level)], "lineStyle": style, "label": label},
    ]
