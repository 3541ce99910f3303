"""`cdb tune` over answers of the test's own: what it passes on, prints, and exits with."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from domain.closed_trades import Trade
from domain.neighbours import Change
from domain.outcome import outcome_of
from domain.tuning import Parts
from gateways.cli import run_app
from gateways.cli_tune import TuneOperations


def figures(count: int) -> dict[str, Any]:
    trades = [Trade(at, 0, 0, (300 if at % 2 else -200) * 10**9) for at in range(1, count + 1)]
    outcome = outcome_of(trades, days=20, start_nanos=10**14, currency="USD", seed=1)
    return Parts(whole=outcome, chosen_on=outcome, held_out=outcome).model_dump(mode="json")


def found(**other: Any) -> dict[str, Any]:
    change = Change(name="window_bars", current=60, proposed=75).model_dump()
    worse = {"changes": [change], "objections": ["it loses: [red] USD", "and more"], "best": False}
    best = {"changes": [change, change | {"name": "reach"}], "objections": [], "best": True}
    answer = {
        "strategy": "m5_bos_retest", "aim": "frequency", "mode": "paper", "says": "No candidate [is] better.",
        "current": {"parameters": {"reach": 2}} | figures(0),
        "candidates": [best | figures(50), worse | figures(10)],
        "against": [], "evidence": {"tape": "main", "days": 60, "held_out_days": 20, "notes": ["it was [older]"]},
        "proposal": None,
    }  # fmt: skip
    return answer | other


class Fake:
    """Operations that note what they were asked."""

    asked: Any = None
    answer = found()

    def build(self, **options: Any) -> "Fake":
        return self

    async def tune(self, strategy: str, **asked: Any) -> dict[str, Any]:
        self.asked = {"strategy": strategy} | asked
        asked["progress"]("replaying", 1, 2, "records")
        return self.answer


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cdb", "tune", *arguments])
        monkeypatch.setattr("gateways.terminal.out._width", 140)
        with pytest.raises(SystemExit) as stop:
            run_app(fake.build)  # type: ignore[arg-type]  # what this command asks of it is TuneOperations
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_options_are_passed_on_and_json_is_the_whole_answer(fake: Fake, cdb: Callable[..., Any]) -> None:
    operations: TuneOperations = fake
    assert operations is fake
    code, out, _ = cdb("m5_bos_retest", "--symbol", "EURUSD", "--aim", "quality", "--drawdown", "7.5",
                       "--candidates", "6", "--tape", "eurusd-1", "--json")  # fmt: skip
    assert (code, json.loads(out)) == (0, fake.answer)
    fake.asked.pop("progress")
    assert fake.asked == {
        "strategy": "m5_bos_retest", "aim": "quality", "symbols": ["EURUSD"], "tape": "eurusd-1", "candidates": 6,
        "drawdown_max": 0.075,
    }  # fmt: skip


def test_without_options_the_desks_own_tape_is_tuned_for_frequency(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("ema_cross")[0] == 0
    fake.asked.pop("progress")
    assert fake.asked == {
        "strategy": "ema_cross", "aim": "frequency", "symbols": [], "tape": None, "candidates": 24,
        "drawdown_max": None,
    }  # fmt: skip


def test_the_table_shows_every_candidate_with_its_changes_figures_and_faults(cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("m5_bos_retest")
    assert code == 0
    assert "Tuning m5_bos_retest for frequency, tape main" in out
    assert out.count("window_bars 60 -> 75") == 2
    assert "it loses: [red] USD (and 1 more)" in out
    assert "2.50" in out  # trades a day
    assert "1.90-3.30" in out
    assert "the first 40 of 60 days choose" in out
    assert "Mind: it was [older]." in out
    assert "No candidate [is] better." in out


def test_a_proposals_effects_are_said(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.answer = found(proposal={"effects": ["Expected: more [trades]."]}, says="One candidate is better.")
    out = cdb("m5_bos_retest")[1]
    assert "Expected: more [trades]." in out
    assert "One candidate is better." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--aim", "speed"), "--aim 'speed' is not one of frequency, quality"),
        (("--drawdown", "0"), "--drawdown 0 is not above 0 and at most 100 percent"),
        (("--drawdown", "101"), "--drawdown 101 is not above 0"),
        (("--drawdown", "deep"), "--drawdown 'deep' is not a number"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_desk_is(
    fake: Fake, cdb: Callable[..., Any], arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = cdb("m5_bos_retest", *arguments)
    assert (code, fake.asked) == (2, None)
    assert says in err
