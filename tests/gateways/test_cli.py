"""The command line over operations of the test's own: what it passes on, what it prints, how it exits."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict, DeskError, InvalidInput, NotDurable, Overlap, TapeBroken, Unavailable
from gateways.cli import HEADS, app, run_app
from gateways.wanted import Wanted
from ops.session import SessionReport

SIGNAL = {
    "signal_id": "main:4",
    "strategy": "m5_bos_retest",
    "version": 1,
    "symbol": "EURUSD",
    "side": "buy",
    "bar_time": "2018-01-02T01:06:00Z",
    "occurred_at": "2018-01-02T01:07:00.000000001Z",
    "level": "1.201780000",
    "entry": "1.202160000",
    "stop": "1.201570000",
    "target": "1.203635000",
    "confidence": 514860,
    "position": "tape:341",
}
VERIFIED = {
    "checked": 3,
    "diverged": 0,
    "unverifiable": 0,
    "pending": 0,
    "records": 9,
    "first_divergence": None,
    "engines": [{"engine": 2, "first": 1, "last": 9, "reexecuted_by": "this build"}],
    "problem": None,
    "governance": {"events": 0, "signatures": 0, "instructions": 0, "declared": 0, "findings": []},
}
REPORT = SessionReport(
    desk="main", files=1, rows=2, rows_rejected=0, ticks_added=8, ordinal=12, events=4, signals=1, approved=1,
    refused=0, fills=2, trades=1, won=1, strategies=["ema_cross@1"],
    policy="paper-default@1", currency="USD", initial_nanos=100_000 * 10**9,
    balance_nanos=100_010 * 10**9, equity_nanos=100_010 * 10**9, fees_nanos=5 * 10**9, halted=False, refusals={},
    seconds=0.5,
)._asdict() | {"rejects": None}  # fmt: skip
APPLIED = {"instruction_id": "cli-1", "tape": "tape:12", "ledger": "main:5", "applied": True, "reason": ""}


class Fake:
    """Operations that note what they were asked and answer what the test says."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.built: dict[str, Any] = {}
        self.fails: DeskError | None = None
        self.verified: Mapping[str, Any] = VERIFIED
        self.signal: Mapping[str, Any] = SIGNAL
        self.outcome: Mapping[str, Any] = APPLIED

    def build(self, **options: Any) -> "Fake":
        self.built = options
        return self

    def settings(self) -> list[dict[str, str]]:
        return [{"name": "desk", "variable": "CDB_DESK", "value": "main", "source": "default", "description": "Name."}]

    def strategies(self) -> list[dict[str, Any]]:
        return [{"strategy": "ema_cross", "version": 1, "parameters": "fast=10"}]

    async def tapes(self) -> list[dict[str, Any]]:
        return []

    async def ingest(self, paths: Any, options: Any, tape: Any, progress: Any) -> dict[str, Any]:
        self._note(paths=paths, options=options, tape=tape)
        progress("tape", 1, 2, "ticks")
        keys = ("tape", "files", "rows", "ticks_added", "rows_rejected", "blocks", "seconds")
        return dict(zip(keys, ("eurusd-1", 1, 2, 8, 1, 1, 0.1), strict=True)) | {"rejects": "rejects.csv"}

    async def run(self, wanted: Wanted, progress: Any) -> dict[str, Any]:
        self._note(wanted=wanted)
        progress("reading a.csv", 1, 2, "B")
        return REPORT

    async def up(
        self, wanted: Wanted | None, services: Any, progress: Any, console: Any, *, until_fed: bool, dashboard: bool
    ) -> dict[str, Any] | None:
        shown = console is not None
        self._note(wanted=wanted, services=tuple(services), shown=shown, until_fed=until_fed, dashboard=dashboard)
        return REPORT if wanted else None

    async def serve_read_side(self, services: Any, *, attached: bool) -> None:
        self._note(served=tuple(services), attached=attached)

    async def signals(self, symbol: Any, strategy: Any, start_ns: Any, end_ns: Any) -> list[Mapping[str, Any]]:
        self._note(symbol=symbol, strategy=strategy, start_ns=start_ns, end_ns=end_ns)
        return [self.signal]

    async def verify(self, progress: Any, engines: Path | None = None) -> Mapping[str, Any]:
        self._note(engines=engines)
        return self.verified

    async def halt(self, reason: str, *, flatten: bool) -> Mapping[str, Any]:
        self._note(reason=reason, flatten=flatten)
        return self.outcome

    async def resume(self, reason: str) -> Mapping[str, Any]:
        self._note(reason=reason)
        return self.outcome

    async def order(self, terms: Mapping[str, Any]) -> Mapping[str, Any]:
        self._note(terms=terms)
        return self.outcome

    async def cancel(self, order: str) -> Mapping[str, Any]:
        self._note(order=order)
        return self.outcome

    async def import_calendar(self, path: Path) -> Mapping[str, Any]:
        self._note(path=path)
        return {"entries": 1_234} | self.outcome

    def policies(self) -> list[dict[str, Any]]:
        content = {
            "limits": {"daily_loss_ppm": 50_000},
            "risk": {"risk_per_trade_max_ppm": None},
            "strategic": {"sessions": ["london", "new_york"]},
        }
        return [{"policy": "ftmo-x@1", "hash": "0123456789abcdef", "content": content}]

    async def bench(self, names: Any, report: Callable[[Mapping[str, Any]], None]) -> None:
        report({"name": "append", "value": 0.3, "unit": "ms", "baseline": "raw", "ratio": 1.1, "how": "so"})

    def _note(self, **asked: Any) -> None:
        if self.fails:
            raise self.fails
        self.asked = asked


@pytest.fixture
def fake() -> Fake:
    return Fake()


def command_line(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`cdb` with these arguments: its exit code, and what it printed on either output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cdb", *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as stop:
            run_app(fake.build)
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line(fake, monkeypatch, capsys)


def test_run_without_options_leaves_feed_and_strategy_to_what_the_desk_has(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("run", "--exit-when-done")
    assert code == 0
    assert (fake.asked["wanted"].feeds, fake.asked["wanted"].strategies) == ([], [])
    assert "ema_cross@1, policy paper-default@1" in out
    assert "synthetic" in out


def test_run_passes_everything_on(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb(
        "--data-dir", "D", "run", "--feed", "file:a.csv", "--feed", "file:b.csv", "--strategy", "ema_cross@1",
        "--param", "fast=5", "--symbol", "EURUSD", "--speed", "max", "--exit-when-done", "--price", "bid",
        "--spread", "0.6", "--venue", "oanda", "--strict", "--desk", "d2", "--json",
    )  # fmt: skip
    assert code == 0
    assert fake.built == {"data_dir": Path("D"), "log_level": None, "desk": "d2"}
    assert fake.asked["wanted"] == Wanted(
        feeds=["file:a.csv", "file:b.csv"],
        options={
            "symbol": None, "default_symbol": "EURUSD", "venue": "oanda", "format": "auto", "price": "bid",
            "strict": True, "spread_pips": Decimal("0.6"),
        },
        strategies=["ema_cross@1"],
        parameters={"fast": "5"},
        symbols=["EURUSD"],
    )  # fmt: skip
    assert json.loads(out)["signals"] == 1


def test_ingest_ends_with_one_object(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("ingest", "a.csv", "b.csv", "--symbol", "EURUSD", "--json")
    assert code == 0
    assert fake.asked["paths"] == [Path("a.csv"), Path("b.csv")]
    assert set(json.loads(out)) >= {"tape", "files", "rows", "ticks_added", "rows_rejected", "blocks", "seconds"}


def test_ingest_names_the_rejects_file(cdb: Callable[..., Any]) -> None:
    code, _, err = cdb("ingest", "a.csv")
    assert code == 0
    assert "1 rows rejected" in err
    assert "rejects.csv" in err


def test_signals_are_one_object_a_line(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb(
        "signals", "--symbol", "EURUSD", "--from", "2018-01-02", "--to", "2018-01-03T00:00+02:00", "--json"
    )
    assert code == 0
    assert json.loads(out) == SIGNAL
    assert fake.asked["start_ns"] == 1_514_851_200 * 10**9
    assert fake.asked["end_ns"] == (1_514_937_600 - 7_200) * 10**9


def test_a_signal_from_outside_has_the_time_at_which_it_came(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.signal = SIGNAL | {"bar_time": None, "strategy": "tv", "version": 0}
    _, out, _ = cdb("signals")
    assert "2018-01-02 01:07 EURUSD" in out
    assert "tape:341" in out


def test_every_command_has_a_place_in_the_help(cdb: Callable[..., Any]) -> None:
    _, out, _ = cdb("--help")
    assert out.index("Trade") < out.index("Look") < out.index("Steer") < out.index("What there is")
    assert {command.rich_help_panel for command in app.registered_commands} == set(HEADS)


def test_a_command_without_a_head_is_shown_all_the_same(
    cdb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))

    @app.command()
    def newcomer() -> None:
        """Just made."""

    assert "newcomer" in cdb("--help")[1]


@pytest.mark.parametrize("module", ["cli", "cli_control", "cli_desk", "cli_ledger"])
def test_any_part_of_the_command_line_can_be_imported_first(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import gateways.{module}"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_person_reads_a_signal_without_trailing_zeros(cdb: Callable[..., Any]) -> None:
    _, out, _ = cdb("signals")
    assert "1.20216 " in out
    assert "51 %" in out


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({}, 0),
        ({"pending": 4}, 0),
        ({"problem": "what was durable is gone"}, 7),
        (
            {
                "diverged": 1,
                "first_divergence": {"number": 2, "position": "tape:9", "recorded": "a", "recomputed": "b"},
            },
            1,
        ),
        ({"unverifiable": 2, "problem": "the tape activates engine 9"}, 7),
    ],
)
def test_verify_exits_by_what_it_found(fake: Fake, cdb: Callable[..., Any], found: dict[str, Any], code: int) -> None:
    fake.verified = VERIFIED | found
    exited, out, _ = cdb("verify", "--json")
    assert exited == code
    assert json.loads(out.splitlines()[-1]) == VERIFIED | found
    exited, out, _ = cdb("verify")
    assert exited == code
    assert ("is what this engine computes" in out) == (found == {})
    assert ("b" in out.split("recomputed")[-1]) if found.get("diverged") else "First divergence" not in out


def test_verify_names_every_engine_of_a_tape_that_had_more_than_one(fake: Fake, cdb: Callable[..., Any]) -> None:
    older = {"engine": 1, "first": 1, "last": 1_234, "reexecuted_by": None}
    newer = {"engine": 2, "first": 1_235, "last": 2_000, "reexecuted_by": "this build"}
    fake.verified = VERIFIED | {"engines": [newer]}
    assert "engine 2" not in cdb("verify")[1]
    fake.verified = VERIFIED | {"engines": [older, newer]}
    _, out, _ = cdb("verify")
    assert "engine 1: records 1 to 1,234, re-executed by nothing" in out
    assert "engine 2: records 1,235 to 2,000, re-executed by this build" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [(InvalidInput, 2), (Overlap, 3), (Conflict, 4), (NotDurable, 5), (Unavailable, 6), (TapeBroken, 7)],
)
def test_an_error_is_one_line_and_its_exit_code(
    fake: Fake, cdb: Callable[..., Any], error: type[DeskError], code: int
) -> None:
    fake.fails = error("the value 7 is wrong [of 8]; do this instead")
    exited, out, err = cdb("verify", "--json")
    assert exited == code
    assert err.strip() == "error: the value 7 is wrong [of 8]; do this instead"
    assert json.loads(out) == {"error": error.__name__, "message": "the value 7 is wrong [of 8]; do this instead"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--param", "fast"], "'fast'"),
        (["run", "--price", "middle"], "'middle'"),
        (["run", "--spread", "wide"], "'wide'"),
        (["signals", "--from", "yesterday"], "'yesterday'"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(
    cdb: Callable[..., Any], arguments: list[str], named: str
) -> None:
    code, _, err = cdb(*arguments)
    assert code == 2
    assert named in err
    assert "Traceback" not in err


def test_tables_and_lists_are_json_on_demand(cdb: Callable[..., Any]) -> None:
    for command in ("settings", "strategies"):
        assert json.loads(cdb(command, "--json")[1])
        assert cdb(command)[0] == 0
    assert "none" in cdb("tapes")[1]
    assert json.loads(cdb("bench", "append", "--json")[1])["ratio"] == 1.1
    assert "1.1 x" in cdb("bench")[1]
