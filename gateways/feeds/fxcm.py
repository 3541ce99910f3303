"""FXCM one-minute bars: `timestamp,open,high,low,close` with +00:00, bid and ask in two files read together."""

from gateways.feeds.binarycom import COLUMNS
from gateways.feeds.pairing import side_of
from gateways.feeds.sheet import Format, Request, Sheet, a_header, any_line, bar_sheet, read_columns
from gateways.feeds.sources import Source

_header = a_header("timestamp,open,high,low,close")
_line = any_line(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00(,[0-9.]+){4}")


def _read(source: Source, request: Request) -> Sheet:
    """One side, standing for both until `pairing` gives it the other."""
    rows = read_columns(source, COLUMNS)
    return bar_sheet(rows, COLUMNS, rows.values[0], rows.values[1:5], rows.values[1:5])


FORMATS = (
    Format(
        name="fxcm", expects="the header timestamp,open,high,low,close and times that end in +00:00",
        recognises=lambda source: _header(source) and _line(source),
        read=_read, venue=lambda _: "fxcm", side=side_of,
    ),
)  # fmt: skip
