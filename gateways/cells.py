"""Pieces of a terminal's frame: money in colour, bars, and texts of an exact width."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

from rich.text import Text

from domain.wording import money

GOOD, BAD, FRAME = "green", "red", "bright_black"
BLOCKS = " ▁▂▃▄▅▆▇█"


def gain(nanos: int) -> Text:
    """Money with its sign, green won and red lost."""
    amount = money(nanos)
    return Text(f"+{amount}" if nanos > 0 and amount != "0.00" else amount, mood(nanos))


def percent_of(nanos: int, whole_nanos: int) -> Text:
    """A change as a share of the whole, signed and coloured; nothing when there is no whole."""
    if whole_nanos <= 0:
        return Text()
    share = f"{Decimal(100 * nanos) / whole_nanos:z,.2f} %"
    return Text(f"+{share}" if nanos > 0 and share != "0.00 %" else share, mood(nanos))


def mood(nanos: int) -> str:
    return GOOD if nanos > 0 else BAD if nanos < 0 else ""


def plain(text: str) -> str:
    """Words from outside on one line: what steers a terminal becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def fit(text: Text, width: int) -> Text:
    """Exactly `width` cells."""
    fitted = text.copy()
    fitted.truncate(width, overflow="ellipsis", pad=True)
    return fitted


def spread(left: Text, right: Text, width: int) -> Text:
    """Left and right in one line of `width` cells; what does not fit is cut from the left one first."""
    if right.cell_len >= width:
        return fit(right, width)
    return Text.assemble(fit(left, width - right.cell_len - 1), " ", right)


def rows_of(lines: Iterator[Text], rows: int, count: int) -> Iterator[Text]:
    """Exactly so many rows; the last one says how many of `count` found no place."""
    shown = list(islice(lines, rows))
    if count > rows:
        shown[-1] = Text(f"and {count - rows + 1} more", "dim")
    yield from shown
    yield from [Text()] * (rows - len(shown))


def bar(part: int, whole: int, width: int, style: str) -> Text:
    filled = min(max(width * part // whole, 0), width) if whole > 0 else 0
    return Text.assemble(("━" * filled, style), ("─" * (width - filled), FRAME))


def blocks(values: list[int], rows: int, style: str) -> Iterator[Text]:
    """A chart of a column a value between the smallest and the largest, highest row first."""
    low, scale = min(values), max(values) - min(values) or 1
    levels = [1 + (value - low) * (8 * rows - 1) // scale for value in values]
    for row in reversed(range(rows)):
        yield Text("".join(BLOCKS[min(max(level - 8 * row, 0), 8)] for level in levels), style)


def rule(start: str, title: str, width: int) -> Text:
    """A frame's upper or lower edge, from its corner to before the next one."""
    edge = Text.assemble((f"{start}─ ", FRAME), (title, "dim"), " ")
    edge.truncate(width - 1, overflow="ellipsis")
    return edge.append("─" * (width - edge.cell_len), FRAME)


def boxed(*cells: Text) -> Text:
    """Cells of exact width, side by side inside a frame."""
    line = Text()
    for place, cell in enumerate(cells):
        line.append(" │ " if place else "│ ", FRAME).append_text(cell)
    return line.append(" │", FRAME)
