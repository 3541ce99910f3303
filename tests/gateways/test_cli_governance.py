"""`cdb approve` and `reject` over answers of the test's own: what is signed is what was shown."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from gateways import passphrase
from gateways.cli import run_app

SHOWN = "Publish AGENTS\n"
QUESTION = {"proposal": "p-1", "shown_sha256": sha256(SHOWN.encode()).hexdigest()}
VIEW = {
    "proposal": "p-1", "state": "presented", "shown": SHOWN, "question": QUESTION, "actor": "codex", "reason": "why",
    "effects_expected": [], "args_sha256": "0" * 64, "expires_at": "2026-01-02T03:04:05Z", "verdict": None,
    "effects": [], "failed": None,
}  # fmt: skip
RECEIPT = {"proposal": "p-1", "state": "applied", "effects": [], "next_step": "nothing"}


class Fake:
    """Operations that answer with `view` and note what was signed."""

    desk = "main"
    key_file = "key.json"

    def __init__(self) -> None:
        self.view: dict[str, Any] = VIEW
        self.signed: list[Any] = []

    def build(self, **options: Any) -> "Fake":
        return self

    async def governance(self, command: str, content: Any) -> Any:
        return self.view

    async def decide(self, question: Any, verdict: str, reason: str, typed: str) -> Any:
        self.signed.append(question)
        return RECEIPT


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    typed_after: list[str] = []  # what stood on standard error as the passphrase was asked

    def ask(_: str) -> str:
        typed_after.append(capsys.readouterr().err)
        return "a passphrase"

    monkeypatch.setattr(passphrase, "ask", ask)

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr("sys.argv", ["cdb", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_app(fake.build)
        return int(ended.value.code or 0), capsys.readouterr().err, typed_after

    return run


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"shown": "Stop strategy\n"}, "is not what would be signed"),
        ({"question": QUESTION | {"proposal": "p-2"}}, "asks about 'p-2'"),
    ],
)
@pytest.mark.parametrize("command", [("approve", "p-1"), ("approve", "p-1", "--json"), ("reject", "p-1", "--reason=x")])
def test_a_question_about_something_else_than_is_shown_is_not_signed(cdb, fake, command, other, said):
    fake.view = VIEW | other
    code, err, asked = cdb(*command)
    assert (code, fake.signed, asked) == (8, [], [])
    assert said in err


def test_with_json_too_the_proposal_is_shown_before_the_passphrase_is_asked(cdb, fake):
    code, _, asked = cdb("approve", "p-1", "--json")
    assert (code, fake.signed) == (0, [QUESTION])
    assert SHOWN.strip() in asked[0]
