"""Any bytes at all: a desk error or a counted result, never a crash, never a lost row."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DeskError
from domain.tape import FROM_BAR
from gateways.feeds.files import FeedOptions, read_files
from tests.gateways.feeds import samples
from tests.gateways.feeds.samples import VALID, zipped

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

INNER: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "histdata-ticks": (samples.HISTDATA_TICKS.encode(), bytes),
    "mt5-m1": (samples.MT5_M1.encode(), bytes),
    "lean-quote-ticks": (samples.LEAN_QUOTES.encode(), lambda text: zipped(m20140501_eurusd_tick_quote__csv=text)),
    "lean-trade-ticks": (samples.LEAN_TRADES.encode(), lambda text: zipped(m20131007_gc_tick_trade__csv=text)),
    "lean-quote-minutes": (samples.LEAN_MINUTES.encode(), lambda text: zipped(m20140501_xauusd_minute_quote__csv=text)),
}


def survives(name: str, content: bytes, options: dict[str, Any]) -> None:
    """Reading raises a DeskError, or every row is accounted for and every tick is sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            files = read_files([path], FeedOptions(**options))
        except DeskError:
            return
    (file,) = files.files
    assert file.rejected == len(files.rejects) <= file.rows
    ticks = files.ticks
    assert len(ticks) == (file.rows - file.rejected) * (4 if (ticks["flags"] & FROM_BAR).any() else 1)
    assert (np.diff(ticks["event_time"]) >= 0).all()
    assert ((ticks["bid"] > 0) & (ticks["ask"] >= ticks["bid"])).all()


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """A few bytes of a valid file replaced, removed, inserted or repeated."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(content))), draw(st.integers(0, 12))
        new = draw(
            st.binary(max_size=6)
            | st.sampled_from([b"", b"\n", b",", b"-", b"9" * 30, b".", b"\t", b"\r", b"\x00", b";", b"\xff", b" "])
            | st.just(bytes(content[at : at + 40]))
        )
        content[at : at + size] = new
    return bytes(content)


@quick
@given(
    st.sampled_from(["EURUSD.csv", "EURUSD.csv.gz", "20140501_quote.zip", "EURUSD-bid.csv"]), st.binary(max_size=400)
)
def test_random_bytes_are_refused_or_counted(name: str, content: bytes) -> None:
    for magic in (b"", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\xff\xfe", b"time,bid,ask\n"):
        survives(name, magic + content, {})


@pytest.mark.parametrize("name", VALID)
@quick
@given(st.data())
def test_mutations_of_valid_files_are_refused_or_counted(name: str, data: st.DataObject) -> None:
    file, content, options = VALID[name]
    survives(file, data.draw(mutated(content)), options)


@pytest.mark.parametrize("name", INNER)
@quick
@given(st.data())
def test_mutations_of_the_text_inside_are_refused_or_counted(name: str, data: st.DataObject) -> None:
    text, pack = INNER[name]
    file, _, options = VALID[name]
    survives(file.removesuffix(".gz"), pack(data.draw(mutated(text))), options)
