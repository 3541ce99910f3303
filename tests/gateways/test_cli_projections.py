"""`cdb projections`, `documents`, `diff` and `token` over answers of the test's own: passed on, printed, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import DeskError, Unavailable
from gateways import cli_projections, cli_token
from gateways.asked_moment import NOW, Asked, asked_by
from gateways.cli import run_app

PLACE = {
    "model": "equity", "source": "ledger", "state": "behind", "position": 1_000, "end": 1_234, "behind": 234,
    "market_time": "2018-05-30T14:00:00.123456789Z", "recorded_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
BUILT = {"model": "equity", "positions": {"ledger": 88_693}, "seconds": 1.5}
SAME = {"model": "equity", "checked": 79_955, "different": 0, "first_difference": None}
OTHER = SAME | {"model": "blotter", "different": 2, "first_difference": {"table": "orders", "number": 7}}
WRITTEN = {
    "desk": "main", "as_of": "MTptYWluOjE6MTow", "market_time": "2018-05-30T14:00:00Z", "recorded_time": None,
    "files": ["docs/AKTUELLER_STAND.md", "docs/DECISION_LOG.md"],
}  # fmt: skip
AT = {"as_of": "MTptYWluOjE6MTow", "market_time": "2018-05-30T14:00:00Z"}
CHANGED: dict[str, Any] = {
    "desk": "main", "mode": "paper", "from": AT, "to": AT,
    "changes": [
        {"path": ["account", "daily_room", "left"], "before": "5000.250000000", "after": "4000.000000000"},
        {"path": ["halted"], "before": False, "after": True},
        {"path": ["positions", "EURUSD"], "before": None,
         "after": {"symbol": "EURUSD", "side": "buy", "quantity": "20000.000000000"}},
    ],
}  # fmt: skip
TOKEN = {
    "name": "ann", "role": "operator", "state": "valid", "by": "ann", "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None, "revoked_at": None, "token": "cdb_secret-secret",
}  # fmt: skip
Cdb = Callable[..., tuple[int, str, str]]


class Fake:
    """Operations that note what they were asked."""

    def __init__(self) -> None:
        self.asked: Any = None
        self.fails: DeskError | None = None
        self.checked: list[dict[str, Any]] = [SAME]

    def build(self, **_: Any) -> "Fake":
        return self

    def _note(self, *asked: Any) -> None:
        self.asked = asked
        if self.fails:
            raise self.fails

    async def projections(self) -> list[dict[str, Any]]:
        self._note("projections")
        return [PLACE]

    async def rebuild(self, names: Any, progress: Any) -> list[dict[str, Any]]:
        self._note("rebuild", *names)
        progress("building equity from the ledger", 1, 2, "facts")
        return [BUILT]

    async def verify_projections(self, names: Any, progress: Any) -> list[dict[str, Any]]:
        self._note("verify", *names)
        return self.checked

    async def documents(self, folder: Path, asked: Asked, progress: Any) -> dict[str, Any]:
        self._note(folder, asked)
        return WRITTEN

    async def difference(self, before: Asked, after: Asked) -> dict[str, Any]:
        self._note(before, after)
        return CHANGED

    async def create_token(self, name: str, role: str, days: int | None) -> dict[str, Any]:
        self._note(name, role, days)
        return TOKEN

    async def tokens(self) -> list[dict[str, Any]]:
        self._note("tokens")
        return [{name: value for name, value in TOKEN.items() if name != "token"}]

    async def revoke_token(self, name: str, reason: str) -> dict[str, Any]:
        self._note(name, reason)
        return TOKEN | {"state": "revoked", "revoked_at": "2026-01-02T00:00:00Z"}


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cdb:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cdb", *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as stop:
            run_app(fake.build)  # type: ignore[arg-type]  # what these commands ask of it stands in their protocols
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_a_fake_answers_as_the_protocols_say(fake: Fake) -> None:
    read_models: cli_projections.ProjectionOperations = fake
    tokens: cli_token.TokenOperations = fake
    assert read_models is tokens is fake


def test_the_list_says_how_far_each_model_is(cdb: Cdb) -> None:
    code, out, _ = cdb("projections", "list")
    assert code == 0
    assert out.splitlines()[-1].split() == ["equity", "ledger", "behind", "1,000", "234", "2018-05-30", "14:00:00.123"]
    assert json.loads(cdb("projections", "list", "--json")[1]) == PLACE


def test_a_rebuild_is_of_named_models_or_of_all(fake: Fake, cdb: Cdb) -> None:
    code, out, _ = cdb("projections", "rebuild", "equity", "blotter")
    assert (code, fake.asked) == (0, ("rebuild", "equity", "blotter"))
    assert "built up to ledger 88,693 in 1.50 s" in out
    assert json.loads(cdb("projections", "rebuild", "--all", "--json")[1]) == BUILT
    assert fake.asked == ("rebuild",)


@pytest.mark.parametrize("arguments", [[], ["equity", "--all"]])
def test_a_rebuild_of_nothing_or_of_two_things_is_refused(fake: Fake, cdb: Cdb, arguments: list[str]) -> None:
    code, _, err = cdb("projections", "rebuild", *arguments)
    assert (code, fake.asked) == (2, None)
    assert "say which read models to build anew" in err


def test_verify_passes_when_nothing_differs_and_exits_with_one_naming_what_does(fake: Fake, cdb: Cdb) -> None:
    code, out, _ = cdb("projections", "verify")
    assert (code, fake.asked) == (0, ("verify",))
    assert "79,955" in out
    assert "Every row is what a fold of the log" in out
    fake.checked = [SAME, OTHER]
    code, out, _ = cdb("projections", "verify", "equity")
    assert (code, fake.asked) == (1, ("verify", "equity"))
    assert "blotter differs first in table orders, number 7" in out
    assert "Every row is" not in out
    code, out, _ = cdb("projections", "verify", "--json")
    assert (code, [json.loads(line) for line in out.splitlines()]) == (1, [SAME, OTHER])


def test_documents_are_of_a_moment_and_named_when_they_are_written(fake: Fake, cdb: Cdb) -> None:
    code, out, _ = cdb("documents", "--out", "docs", "--as-of", "MTptYWluOjE6MTow")
    assert (code, fake.asked) == (0, (Path("docs"), Asked(as_of="MTptYWluOjE6MTow")))
    assert out.splitlines()[:2] == WRITTEN["files"]
    code, out, _ = cdb("documents", "--json")
    assert (fake.asked, json.loads(out)) == ((Path(), NOW), WRITTEN)


def test_a_difference_is_between_times_or_tokens(fake: Fake, cdb: Cdb) -> None:
    code, out, _ = cdb("diff", "--from", "2018-05-30T14:00Z", "--to", "MTptYWluOjE6MTow")
    assert (code, fake.asked) == (0, (Asked(market_time_ns=1_527_688_800 * 10**9), Asked(as_of="MTptYWluOjE6MTow")))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "account daily room left 5,000.25 4,000 -1,000.25" in lines
    assert "halted no yes" in lines
    assert "positions EURUSD none buy 20,000 EURUSD" in lines
    code, out, _ = cdb("diff", "--from", "2018-05-30", "--json")
    assert (fake.asked[1], json.loads(out)) == (NOW, CHANGED)


@pytest.mark.parametrize("text", ["yesterday", "MTpt", "", "2018-05-30T14:00Z or so", "not a token!!!!!!", "20181301"])
def test_what_is_neither_a_time_nor_a_token_is_named(cdb: Cdb, fake: Fake, text: str) -> None:
    code, _, err = cdb("diff", "--from", text)
    assert (code, fake.asked) == (2, None)
    assert f"--from {text!r} is not a time" in err


@pytest.mark.parametrize("text", ["20180530T14", "2018-05-30T14:00", "2018-05-30T16:00:00.000000000+02:00"])
def test_a_time_is_never_taken_for_a_token(text: str) -> None:
    assert asked_by("--from", text) == Asked(market_time_ns=1_527_688_800 * 10**9)


def test_a_token_is_printed_once_and_alone_on_standard_output(fake: Fake, cdb: Cdb) -> None:
    code, out, err = cdb("token", "create", "ann", "--role", "operator", "--days", "3")
    assert (code, fake.asked) == (0, ("ann", "operator", 3))
    assert out == "cdb_secret-secret\n"
    assert "shown this once" in err
    assert json.loads(cdb("token", "create", "ann", "--role", "agent", "--json")[1]) == TOKEN
    assert fake.asked == ("ann", "agent", None)
    code, out, _ = cdb("token", "list")
    assert code == 0
    assert "ann" in out
    assert "secret" not in out


def test_a_token_is_closed_with_a_reason(fake: Fake, cdb: Cdb) -> None:
    code, out, _ = cdb("token", "revoke", "ann", "--reason", "she left")
    assert (code, fake.asked) == (0, ("ann", "she left"))
    assert "opens nothing since 2026-01-02" in out


@pytest.mark.parametrize(
    "command",
    [
        ["projections", "list"], ["projections", "rebuild", "--all"], ["projections", "verify"], ["documents"],
        ["diff", "--from", "2018-05-30"], ["token", "list"], ["token", "revoke", "x"],
        ["token", "create", "x", "--role", "agent"],
    ],
)  # fmt: skip
def test_a_database_that_is_away_is_one_line_and_exit_code_6(fake: Fake, cdb: Cdb, command: list[str]) -> None:
    fake.fails = Unavailable("PostgreSQL does not answer")
    code, out, err = cdb(*command, "--json")
    assert (code, err) == (6, "error: PostgreSQL does not answer\n")
    assert json.loads(out)["error"] == "Unavailable"
