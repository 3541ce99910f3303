"""`cdb why`, `cdb events` and `cdb status` over answers of the test's own: what they pass on, print, and exit with."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from domain.errors import DeskError, InvalidInput
from gateways import cli_ledger
from gateways.asked_moment import NOW, Asked
from gateways.cli import run_app
from ops.ledger_rows import event_row
from tests import canonical

ROWS = [event_row(event, "main") for event in canonical.EVENTS.values()]
ANSWER: dict[str, Any] = {
    "desk": "main", "ledger_end": "main:12", "currency": "USD", "asked": "main:7", "correlation": "main:3",
    "tree": {"id": "tape:9", "type": "missing", "asked": False, "children": []},
    "beside": [], "trades": [], "working": [], "lost_before": None,
}  # fmt: skip
AWAY = {"error": "Unavailable", "message": "the server is gone"}
STATUS: dict[str, Any] = {"desk": "main", "mode": "paper", "problem": AWAY, "latched": None, "services": []}
EVERYTHING = dict.fromkeys(("start_ns", "end_ns", "after", "last", "correlation", "symbol")) | {"types": []}


class Fake:
    """Operations that note what they were asked."""

    def __init__(self) -> None:
        self.asked: Any = None
        self.built: dict[str, Any] = {}
        self.fails: DeskError | None = None
        self.rows = ROWS
        self.found: dict[str, Any] = STATUS
        self.closed = False

    def build(self, **options: Any) -> "Fake":
        self.built = options
        return self

    async def why(self, id: str) -> dict[str, Any]:  # noqa: A002
        self._note(id)
        return ANSWER

    async def events(self, **asked: Any) -> AsyncGenerator[dict[str, Any], None]:
        self._note(asked)
        try:
            for row in self.rows:
                yield row
        finally:
            self.closed = True

    async def status(self, asked: Asked = NOW) -> dict[str, Any]:
        self._note(asked)
        return self.found

    def _note(self, asked: Any) -> None:
        self.asked = asked
        if self.fails:
            raise self.fails


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cdb", *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as stop:
            run_app(fake.build)  # type: ignore[arg-type]  # what these commands ask of it is LedgerOperations
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_why_passes_the_id_on_and_prints_the_tree(fake: Fake, cdb: Callable[..., Any]) -> None:
    operations: cli_ledger.LedgerOperations = fake
    assert operations is fake
    code, out, _ = cdb("why", "main:7", "--desk", "d2", "--rules")
    assert (code, fake.asked, fake.built["desk"]) == (0, "main:7", "d2")
    assert out.startswith("Why main:7  chain main:3")
    code, out, _ = cdb("why", "tape:9", "--json")
    assert (code, json.loads(out)) == (0, ANSWER)


def test_a_negative_id_is_no_option(fake: Fake, cdb: Callable[..., Any]) -> None:
    assert cdb("why", "-5")[0] == 2
    assert cdb("why", "--", "-5")[0] == 0
    assert fake.asked == "-5"


def test_events_without_options_are_the_newest(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("events")
    assert (code, fake.asked, fake.closed) == (0, EVERYTHING, True)
    assert len(out.splitlines()) == len(ROWS)


def test_events_pass_every_filter_on(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb(
        "events", "--type", "order_filled", "--type", "fill_booked", "--from", "2018-01-02",
        "--to", "2018-01-03T01:00+01:00", "--after", "5", "--last", "7", "--correlation", "main:3",
        "--symbol", "EURUSD", "--json",
    )  # fmt: skip
    assert code == 0
    assert fake.asked == {
        "types": ["order_filled", "fill_booked"],
        "start_ns": 1_514_851_200 * 10**9,
        "end_ns": 1_514_937_600 * 10**9,
        "after": 5,
        "last": 7,
        "correlation": "main:3",
        "symbol": "EURUSD",
    }
    assert [json.loads(line) for line in out.splitlines()] == ROWS


def test_marks_are_shown_one_by_one_when_they_are_asked_for(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.rows = [row for row in ROWS if row["type"] == "account_marked"] * 3
    assert len(cdb("events")[1].splitlines()) == 1
    assert len(cdb("events", "--type", "account_marked")[1].splitlines()) == 3


def test_no_event_is_no_error(fake: Fake, cdb: Callable[..., Any]) -> None:
    fake.rows = []
    assert cdb("events") == (0, "", "no events match\n")
    assert cdb("events", "--json") == (0, "", "")


@pytest.mark.parametrize("arguments", [["events", "--from", "soon"], ["events", "--last", "many"], ["why"]])
def test_a_wrong_argument_exits_with_two(cdb: Callable[..., Any], arguments: list[str]) -> None:
    code, _, err = cdb(*arguments)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["why", "7"], ["events"], ["status"]])
def test_a_refusal_is_one_line_and_its_exit_code(fake: Fake, cdb: Callable[..., Any], command: list[str]) -> None:
    fake.fails = InvalidInput("there is no event main:7; ask for another")
    code, out, err = cdb(*command, "--json")
    assert (code, err) == (2, "error: there is no event main:7; ask for another\n")
    assert json.loads(out)["error"] == "InvalidInput"


def test_status_exits_by_the_problem_that_it_shows(fake: Fake, cdb: Callable[..., Any]) -> None:
    code, out, _ = cdb("status")
    assert (code, fake.asked) == (6, NOW)
    assert "Unavailable: the server is gone" in out
    code, out, _ = cdb("status", "--json")
    assert (code, json.loads(out)) == (6, STATUS)
    fake.found = STATUS | {"problem": AWAY | {"error": "TapeBroken"}}
    assert cdb("status", "--json")[0] == 7
    fake.found = STATUS | {"problem": None}
    assert cdb("status", "--json")[0] == 0


MAY = 1_527_688_800 * 10**9  # 2018-05-30T14:00Z


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], NOW),
        (["--market-time", "2018-05-30T14:00Z"], Asked(market_time_ns=MAY)),
        (["--recorded-time", "2018-05-30T16:00+02:00"], Asked(recorded_time_ns=MAY)),
        (["--as-of", "MTptYWluOjE"], Asked(as_of="MTptYWluOjE")),
    ],
)
def test_status_is_asked_for_a_moment(fake: Fake, cdb: Callable[..., Any], arguments: list[str], asked: Asked) -> None:
    fake.found = STATUS | {"problem": None}
    assert cdb("status", *arguments, "--json")[0] == 0
    assert fake.asked == asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--market-time", "noon"], "--market-time 'noon' is not a time"),
        (["--market-time", "2018-05-30", "--as-of", "x"], "--as-of and --market-time are two moments"),
    ],
)
def test_no_moment_or_two_are_refused(fake: Fake, cdb: Callable[..., Any], arguments: list[str], said: str) -> None:
    code, out, err = cdb("status", *arguments)
    assert (code, out, fake.asked) == (2, "", None)
    assert said in err
