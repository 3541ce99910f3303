"""What every page of the dashboard is: a path, a title, what it shows of a moment, and links that keep the moment."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol
from urllib.parse import urlencode

from markupsafe import Markup
from nicegui import ui

from domain.ports import END
from gateways.api_desk import Principal
from gateways.dashboard.elements import Chart, Heard, Panel
from gateways.dashboard.guard import PREFIX
from gateways.dashboard.live import Answers, Live
from gateways.dashboard.markup import Cell, join, tag


class Frame(Protocol):
    """What a page knows of the browser's window around it."""

    live: Live
    principal: Principal
    as_of: str | None  # the moment that the page was turned to, None: it follows the newest

    def again(self) -> None:
        """Show the page anew, because something else of it was asked for."""


class Page:
    """One page in one browser. `build` makes its elements, `show` fills them with what the desk says of a moment."""

    path: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, frame: Frame, asked: Mapping[str, str]) -> None:
        self.frame = frame
        self.desk = frame.live.desk
        self.asked = dict(asked)  # what the address says beside the moment
        self.build()

    def build(self) -> None:
        raise NotImplementedError

    async def show(self, answers: Answers) -> None:
        """Raises what the desk raises."""
        raise NotImplementedError

    def ask(self, **chosen: str | None) -> None:
        """Something else is to be shown on this page: the address says so too, None takes a word out of it."""
        self.asked = {name: value for name, value in {**self.asked, **chosen}.items() if value}
        self.frame.again()


class Card(Panel):
    """A titled part of a page."""

    def __init__(self, title: str, area: str = "", *, heard: Heard | None = None) -> None:
        super().__init__(heard=heard, tag="section")
        self._title = title
        self.classes(f"card {area}")
        self.props(f'aria-label="{title}"')
        self.fill(tag("p", "Loading", class_="empty"))

    def fill(self, *shown: Cell, beside: Cell = None) -> None:
        """What stands under the title, and beside it."""
        head = tag("header", tag("h2", self._title), tag("div", beside, class_="beside") if beside else None)
        self.show(join(head, *shown))


class ChartCard:
    """A titled part of a page that is a chart, with words under the title."""

    def __init__(self, title: str, area: str = "", *, heard: Heard | None = None) -> None:
        with ui.element("section").classes(f"card chart-card {area}").props(f'aria-label="{title}"'):
            self._title = title
            self._head = Panel(tag("h2", title), heard=heard, tag="header")
            self.chart = Chart(title)
            self._foot = Panel(tag="footer")

    def fill(self, options: dict[str, Any], beside: Cell = None, foot: Cell = None) -> None:
        """The chart, what stands beside its title, and below it."""
        self._head.show(join(tag("h2", self._title), tag("div", beside, class_="beside") if beside else None))
        self.chart.show(options)
        self._foot.show(join(foot))


def address(path: str, as_of: str | None, asked: Mapping[str, str] | None = None) -> str:
    """A page's address, at a moment."""
    words = {**(asked or {}), **({"as_of": as_of} if as_of else {})}
    return f"{PREFIX}{path}" + (f"?{urlencode(words)}" if words else "")


def leafing(before: int | None, further: int | None) -> Markup:
    """The buttons to older and newer rows; nothing where there is one page only."""
    if before is None and further is None:
        return Markup()
    newest = tag("button", "Newest", type="button", data_act="before", data_arg="", disabled=before is None)
    older = tag("button", "Older", type="button", data_act="before", data_arg=further or "", disabled=further is None)
    return tag("div", newest, older, class_="leafing")


def row_place(text: str | None) -> int | None:
    """The place in an address to leaf from; what is none counts as not said."""
    return int(text) if text and text.isascii() and text.isdigit() and int(text) <= END else None


def grid() -> ui.element:
    """The page's cards beside each other, as the window has room."""
    return ui.element("div").classes("grid")


def stack(area: str = "") -> ui.element:
    """Cards below each other in one column of a grid."""
    return ui.element("div").classes(f"stack {area}")
