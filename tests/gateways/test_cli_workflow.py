"""`cdb workflow` over answers of the test's own: what it passes on, prints, and refuses."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateways.cli import run_app

RUN = {
    "run": "wf3-1", "kind": "WF3", "goal": "judge the [bold]news[/bold]", "desk": "main", "actor": "jana",
    "phase": "analysis", "mode": "analysis", "started_at": "2026-01-02T03:04:05Z", "proposals": [], "outcome": None,
    "checklist": [
        {"step": "wording", "done": False, "missing": True, "says": "a role is [red]needed", "reference": ""},
        {"step": "report", "done": False, "missing": False},
    ],
    "milestones": [], "report": None,
}  # fmt: skip


class Fake:
    """Operations that note what they were asked."""

    desk = "main"

    def __init__(self) -> None:
        self.asked: Any = None
        self.answer: dict[str, Any] = RUN

    def build(self, **options: Any) -> "Fake":
        return self

    async def governance(self, command: str, content: Any, acting_as: str = "") -> Any:
        self.asked = (command, content, acting_as)
        return self.answer


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cdb", "workflow", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_app(fake.build)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_start_passes_on_the_goal_and_the_input_of_a_file(cdb, fake, tmp_path):
    file = tmp_path / "role.json"
    file.write_text('{"retire": "codex"}')
    code, *_ = cdb("start", "wf3", "--goal", "why", "--input", f"@{file}", "--as", "session-lead")
    assert code == 0
    content = {
        "action": "start", "kind": "WF3", "goal": "why", "desk": "main", "previous": "", "input": {"retire": "codex"}
    }  # fmt: skip
    assert fake.asked == ("run", content, "session-lead")


def test_a_waiting_line_says_what_is_missing_and_the_next_step_how_to_give_it(cdb):
    _, out, _ = cdb("show", "wf3-1")
    assert "[!] wording: a role is [red]needed" in out
    assert "judge the [bold]news[/bold]" in out, "nobody's words are markup"
    assert "cdb workflow give wf3-1" in out


def test_nobodys_words_drive_the_terminal(cdb, fake):
    hostile = "go\x1b[2J[link=http://a]here[/link]\u202e"
    line = RUN["checklist"][0] | {"says": hostile, "reference": hostile}
    fake.answer = RUN | {"goal": hostile, "checklist": [line], "milestones": [{"name": "X", "reference": hostile}]}
    printed = cdb("show", "wf3-1")[1]
    assert printed.count("\\u001b") == 4
    fake.answer = {"runs": [fake.answer]}
    printed += cdb("list")[1]
    fake.answer = RUN | {"report": f"# WF3\n\n- {hostile}\n"}
    printed += cdb("show", "wf3-1")[1]
    assert not set(printed) & set("\x1b\u202e")


def test_at_the_gate_the_next_step_is_the_proposals_decision(cdb, fake):
    fake.answer = RUN | {"phase": "gate", "proposals": ["p-1"]}
    _, out, _ = cdb("go", "wf3-1")
    assert "cdb approve p-1" in out


def test_the_report_of_a_closed_run_is_shown(cdb, fake):
    fake.answer = RUN | {"phase": "closed", "outcome": "delivered", "report": "# WF3\n\n- Outcome: delivered\n"}
    _, out, _ = cdb("close", "wf3-1", "--outcome", "nothing_to_do")
    assert fake.asked == ("run", {"action": "close", "run": "wf3-1", "outcome": "nothing_to_do"}, "")
    assert "Outcome: delivered" in out


@pytest.mark.parametrize("command", [("show", "wf3-1"), ("go", "wf3-1"), ("give", "wf3-1", "--input", '{"a": 1}')])
def test_json_is_the_whole_answer(cdb, command):
    _, out, _ = cdb(*command, "--json")
    assert json.loads(out) == RUN


def test_the_list_is_every_run(cdb, fake):
    fake.answer = {"runs": [RUN]}
    _, out, _ = cdb("list", "--json")
    assert json.loads(out)["run"] == "wf3-1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "WF9", "--goal", "x"), "KIND"),
        (("start", "WF3", "--goal", "x", "--input", "[1]"), "no JSON object"),
        (("start", "WF3", "--goal", "x", "--input", "{"), "is no JSON"),
        (("start", "WF3", "--goal", "x", "--input", "@/none"), "is no JSON"),
        (("close", "wf3-1", "--outcome", "delivered"), "--outcome"),
    ],
)
def test_what_is_no_input_is_refused_by_its_option(cdb, fake, arguments, said):
    code, _, err = cdb(*arguments)
    assert code == 2
    assert said in err
    assert fake.asked is None
