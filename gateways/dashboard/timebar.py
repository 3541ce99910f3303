"""The time slider: every page turned to any moment of the tape, by sliding, stepping, or a time that is typed."""

from collections.abc import Callable

from markupsafe import Markup
from nicegui import events, ui

from gateways.api_desk import Moment
from gateways.dashboard.elements import Panel
from gateways.dashboard.formats import when_ns
from gateways.dashboard.markup import badge, join, tag
from gateways.times import time_ns

SECOND = 1_000_000_000
STEPS = {"1 minute": 60, "15 minutes": 900, "1 hour": 3_600, "1 day": 86_400, "1 week": 604_800}  # seconds
FIRST_STEP = "1 hour"
SLIDE_EVERY_S = 0.12
HINT = "2018-05-30 14:00"

Turn = Callable[[int | None], None]  # to a market time in ns, None: back to the newest moment


class TimeBar:
    """The controls of one page. `turn` is told where to."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._step_s = STEPS[FIRST_STEP]
        self._at_s: int | None = None
        self._asked_s = 0  # over a weekend it is later than the last record, and steps go on from here
        self._began_s, self._newest_s = 0, 0
        with ui.element("section").classes("timebar").props('aria-label="Moment shown"'):
            self._badge = Panel(heard=self._heard).classes("moment").props("role=status")
            self._button("earlier", "◀", -1)
            self._slider = ui.element("input").classes("slider").props('type=range aria-label="Market time"')
            self._slider.on(
                "input", self._slid, js_handler="(e) => emit(Number(e.target.value))", throttle=SLIDE_EVERY_S
            )
            self._button("later", "▶", 1)
            self._choice = Panel(_steps(), heard=self._heard).classes("step")
            self._form = Panel(_jump(""), tag="form").classes("jump")
            self._form.on("submit", self._jumped, js_handler=_EMIT_TYPED)

    def show(self, moment: Moment, newest: Moment, began_ns: int | None, *, following: bool, stale_ms: int) -> None:
        """The controls at a moment; the slider reaches from the tape's beginning to its newest record."""
        at, end = moment.market_time_ns, newest.market_time_ns
        self._badge.show(_said(moment, following, stale_ms))
        if at is None or end is None:
            self._slider.props("disabled")
            return
        self._began_s = min(began_ns if began_ns is not None else at, at) // SECOND
        self._newest_s = -(-end // SECOND)
        self._at_s = self._newest_s if following else max(at // SECOND, self._asked_s)
        reach = self._newest_s - self._began_s
        step = self._step_s if reach > self._step_s else 1
        told = {
            "min": self._newest_s - -(-reach // step) * step,  # a browser counts steps from here: the end must be one
            "max": self._newest_s,
            "step": step,
            "value": self._at_s,
            "aria-valuetext": f"{when_ns(at)} UTC",
            "disabled": False,
        }
        if any(self._slider.props.get(name) != value for name, value in told.items()):
            self._slider.props.update(told)
            self._slider.update()

    def _button(self, label: str, drawn: str, way: int) -> None:
        button = ui.element("button").props(f'type=button aria-label="Step {label}"').classes("step-button")
        button.on("click", lambda: self._stepped(way))
        with button:
            Panel(Markup(drawn), tag="span").props("aria-hidden=true")

    def _to(self, seconds: int) -> None:
        self._asked_s = 0 if seconds >= self._newest_s else max(seconds, self._began_s)
        self._turn(self._asked_s * SECOND or None)

    def _stepped(self, way: int) -> None:
        if self._at_s is not None:
            self._to(self._at_s + way * self._step_s)

    def _slid(self, told: events.GenericEventArguments) -> None:
        if isinstance(told.args, int | float):
            step = int(self._slider.props.get("step", 1))
            self._to(self._newest_s if told.args > self._newest_s - step else int(told.args))

    def _heard(self, what: str, value: str) -> None:
        if what == "live":
            self._to(self._newest_s)
        elif what == "step" and value in STEPS:
            self._step_s = STEPS[value]
            self._slider.props["step"] = self._step_s
            self._slider.update()

    def _jumped(self, told: events.GenericEventArguments) -> None:
        text = str(told.args)[:40].strip()
        try:
            self._to(time_ns(text) // SECOND)
        except ValueError as error:
            self._form.show(_jump(f"{text!r} {error}" if text else f"write a time such as {HINT}"))
        else:
            self._form.show(_jump(""))


_EMIT_TYPED = "(e) => { e.preventDefault(); emit(e.target.elements.time.value); }"


def _said(moment: Moment, following: bool, stale_ms: int) -> Markup:
    """Which moment it is, and whether it is the newest."""
    at = tag("time", when_ns(moment.market_time_ns), class_="time")
    if following:
        behind = badge(f"{stale_ms / 1000:.1f} s behind", "warning", "clock") if stale_ms >= 1_000 else None
        return join(badge("Live", "good", "good"), at, tag("span", "UTC", class_="unit"), behind)
    back = tag("button", "Back to live", type="button", data_act="live", data_arg="", class_="back")
    return join(badge("As of", "warning", "clock"), at, tag("span", "UTC", class_="unit"), back)


def _steps() -> Markup:
    options = (tag("option", name, value=name, selected=name == FIRST_STEP) for name in STEPS)
    return tag("select", *options, data_act="step", data_arg="", aria_label="Step of the arrows")


def _jump(wrong: str) -> Markup:
    field = tag(
        "input",
        name="time",
        placeholder=HINT,
        aria_label="Jump to a time, UTC",
        autocomplete="off",
        size=16,
        maxlength=40,
        aria_invalid="true" if wrong else None,
    )
    said = tag("span", wrong, class_="wrong", role="alert") if wrong else None
    return join(field, tag("button", "Jump", type="submit"), said)
