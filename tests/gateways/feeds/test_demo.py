"""The bundled session: the same bytes everywhere, and enough in it for a first run to show something."""

import numpy as np

from domain.instruments import instrument_for
from domain.signals.handler import SIGNAL
from domain.signals.m5_bos_retest import HANDLER
from gateways.feeds.demo import demo_ticks


def test_the_session_never_changes() -> None:
    assert demo_ticks().identity == "c95d792a7349e78f90e1456d17843bd5dce5894f899c318c65473acea90ec050"


def test_the_session_is_two_days_of_sound_quotes_labelled_synthetic() -> None:
    files = demo_ticks()
    ticks, (file,) = files.ticks, files.files
    assert (file.venue, file.format, files.symbols) == ("synthetic", "synthetic", ["EURUSD"])
    assert len(ticks) == file.rows == 104_700
    assert (np.diff(ticks["event_time"]) >= 0).all()
    assert (ticks["ask"] - ticks["bid"] >= 50_000).all()
    assert (ticks["bid"] % 10_000 == 0).all()
    days = np.unique(ticks["event_time"] // (86_400 * 10**9))
    assert len(days) == 2
    per_hour = np.bincount(ticks["event_time"] // (3600 * 10**9) % 24)
    assert per_hour.max() > 8 * per_hour.min()


def test_the_session_gives_a_few_dozen_signals_on_both_sides() -> None:
    ticks = demo_ticks().ticks
    states, out = np.zeros(2, HANDLER.state), np.zeros(len(ticks), SIGNAL)
    states[1] = HANDLER.initial(HANDLER.parameters(), instrument_for("EURUSD"))
    states[1]["instrument"] = 1
    signals = out[: HANDLER.step(states, ticks, out)]
    assert 24 <= len(signals) <= 60
    assert min((signals["side"] > 0).sum(), (signals["side"] < 0).sum()) >= 8
