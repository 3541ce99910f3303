"""Binary.com one-minute bars: `time,open,high,low,close`, UTC, one price a bar, which is the mid."""

from gateways.feeds.fields import ISO_TIME, PRICE
from gateways.feeds.sheet import Format, Request, Sheet, a_header, one_price_bars, read_columns
from gateways.feeds.sources import Source

COLUMNS = {"time": ISO_TIME, "open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE}


def _read(source: Source, request: Request) -> Sheet:
    rows = read_columns(source, COLUMNS)
    return one_price_bars(rows, COLUMNS, rows.values[0], rows.values[1:5], request)


FORMATS = (
    Format(
        name="binarycom", expects="the header time,open,high,low,close",
        recognises=a_header("time,open,high,low,close"), read=_read, venue=lambda _: "binarycom",
        one_price="mid",
    ),
)  # fmt: skip
