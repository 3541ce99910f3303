"""The two elements that NiceGUI does not have: markup that changes in place, and a chart in the page's colours."""

from collections.abc import Callable
from typing import Any

import nicegui.elements.echart  # noqa: F401  brings the ECharts of the wheel to the browser as "nicegui-echart"
from markupsafe import Markup
from nicegui import ui

Heard = Callable[[str, str], Any]  # what was done, with which argument


class Panel(ui.element, component="files/panel.js"):
    """Markup of which only what differs is changed in the browser: focus, scrolling and open details stay.

    `heard` is called for elements with data-act (clicked, or changed where they are a choice) and their data-arg.
    """

    def __init__(self, shown: Markup | None = None, *, heard: Heard | None = None, tag: str = "div") -> None:
        super().__init__()
        self._props["tag"] = tag
        self._props["html"] = str(shown or "")
        if heard:
            self.on("act", lambda told: heard(str(told.args["act"])[:40], str(told.args["arg"])[:200]))

    def show(self, shown: Markup) -> None:
        """Have this markup in the panel; the same again costs nothing."""
        if self._props["html"] != str(shown):
            self._props["html"] = str(shown)
            self.update()


class Chart(ui.element, component="files/chart.js"):
    """An ECharts chart. A colour is the name of one of the page's variables: `var(--up)`."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._props["label"] = label
        self._props["options"] = {}

    def show(self, options: dict[str, Any]) -> None:
        """Draw this; the same again costs nothing."""
        if self._props["options"] != options:
            self._props["options"] = options
            self.update()
