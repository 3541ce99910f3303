"""HTML in small pieces. Whatever is not Markup is text and escaped, so words from outside stay words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup, escape

Row = Mapping[str, Any]
Cell = str | Markup | None

_ICONS = {  # strokes in a box of 16 x 16
    "stop": "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z M5.5 8h5",
    "good": "M2.8 8.6l3.3 3.4 7.1-7.6",
    "bad": "M3.5 3.5l9 9 M12.5 3.5l-9 9",
    "warning": "M8 2l6.6 11.6H1.4z M8 6.4v3.4 M8 11.6v.4",
    "clock": "M8 1.8a6.2 6.2 0 1 0 .01 0z M8 4.6V8l2.4 1.6",
    "idle": "M3.5 8h9",
    "up": "M8 3.5l4.5 8h-9z",
    "down": "M8 12.5l4.5-8h-9z",
    "theme": "M8 1.8a6.2 6.2 0 1 0 .01 0z M8 1.8v12.4 M8 5l4-1.6 M8 8.2h6 M8 11.4l4 1.2",
}


def tag(name: str, /, *children: Cell, **attributes: str | int | bool | None) -> Markup:
    """An element. `class_` is class, `data_x` is data-x; None and False leave an attribute out, True leaves it bare."""
    given = Markup().join(
        Markup(" {}").format(key) if value is True else Markup(' {}="{}"').format(key, value)
        for key, value in ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
        if value is not None and value is not False
    )
    opened = Markup("<{}{}>").format(name, given)
    return opened if name in ("input", "br") else opened + join(*children) + Markup("</{}>").format(name)


def join(*children: Cell) -> Markup:
    """Pieces one behind the other."""
    return Markup().join(escape(child) for child in children if child is not None)


def icon(name: str) -> Markup:
    """A drawing beside a word; it says nothing that the word does not."""
    path = tag("path", d=_ICONS[name])
    return tag("svg", path, class_=f"icon icon-{name}", viewBox="0 0 16 16", aria_hidden="true")


def badge(words: str, mood: str, drawn: str | None = None) -> Markup:
    """A state: a word, a drawing, a colour (good, bad, warning, quiet, accent)."""
    return tag("span", icon(drawn) if drawn else None, words, class_=f"badge {mood}")


def empty(words: str) -> Markup:
    """Why there is nothing to see."""
    return tag("p", words, class_="empty")


def facts(pairs: Iterable[tuple[str, Cell]]) -> Markup:
    """Names and values, the values right aligned."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def meter(label: str, used: float | None, says: Cell, beside: Cell) -> Markup:
    """A limit as a bar: how much of it is used, and in words beside what is left."""
    share = min(max(used or 0.0, 0.0), 1.0)
    mood = "bad" if share >= 0.95 else "warning" if share >= 0.8 else "good"
    bar = tag(
        "div",
        tag("div", style=f"width:{100 * share:.2f}%"),
        class_=f"bar {mood}",
        role="meter",
        aria_label=label,
        aria_valuemin=0,
        aria_valuemax=100,
        aria_valuenow=round(100 * share),
        aria_valuetext=f"{100 * share:.0f} % used",
    )
    head = tag("div", tag("span", label), tag("strong", says), class_="meter-head")
    return tag("div", head, bar, tag("div", beside, class_="meter-foot"), class_="meter")


@dataclass(frozen=True)
class Column:
    """A column: its title, what a row says in it, how it aligns, and whether a narrow screen shows it."""

    title: str
    cell: Callable[[Any], Cell]
    kind: Literal["text", "number", "words"] = "text"
    narrow: bool = True


def table(
    label: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    nothing: str,
    *,
    key: Callable[[Any], str] | None = None,
    chosen: str | None = None,
    foot: Sequence[Cell] | None = None,
) -> Markup:
    """A table in a box that scrolls by itself. `key` names a row for updates in place, `chosen` is the row in view."""
    if not rows:
        return empty(nothing)
    kinds = [f"{column.kind}{'' if column.narrow else ' wide'}" for column in columns]
    head = tag("tr", *(tag("th", c.title, scope="col", class_=kind) for c, kind in zip(columns, kinds, strict=True)))
    body = []
    for row in rows:
        name = key(row) if key else None
        cells = (tag("td", c.cell(row), class_=kind) for c, kind in zip(columns, kinds, strict=True))
        body.append(tag("tr", *cells, data_key=name, class_="chosen" if chosen and name == chosen else None))
    sums = (tag("td", cell, class_=kind) for cell, kind in zip(foot or (), kinds, strict=bool(foot)))
    below = tag("tfoot", tag("tr", *sums)) if foot else None
    held = tag("table", tag("thead", head), tag("tbody", *body), below, aria_label=label)
    return tag("div", held, class_="scroll", tabindex=0, role="region", aria_label=label)


def act(words: Cell, name: str, argument: str, *, label: str | None = None, class_: str = "link") -> Markup:
    """A button that tells the panel's listener a name and an argument."""
    return tag("button", words, type="button", data_act=name, data_arg=argument, aria_label=label, class_=class_)


def segments(name: str, words: Sequence[str], chosen: str, label: str) -> Markup:
    """One word of a few, as buttons of which one is pressed."""
    buttons = (
        tag("button", word, type="button", data_act=name, data_arg=word, aria_pressed=str(word == chosen).lower())
        for word in words
    )
    return tag("div", tag("span", label, class_="label"), *buttons, class_="segments", role="group", aria_label=label)


def side(words: str | None) -> Markup:
    """Buy or sell: arrow, word, colour."""
    if words is None:
        return Markup("")
    up = words == "buy"
    return tag("span", icon("up" if up else "down"), words, class_="side " + ("buy" if up else "sell"))


def gain(words: str, value: float) -> Markup:
    """Money that was made or lost; its sign stands in the words."""
    return tag("span", words, class_="gain" if value > 0 else "loss" if value < 0 else "even")
