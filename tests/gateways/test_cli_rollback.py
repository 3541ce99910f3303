"""`cdb propose rollback` over a gate of the test's own: one command, decided like any other."""

import json
from typing import Any

import pytest

from gateways.cli import run_app

WAY_BACK = {"name": "activate_strategy", "desk": "main", "strategy": "ema_cross", "version": 1}


class Fake:
    """Operations that note what they were asked."""

    def __init__(self, way_back: Any) -> None:
        self.asked = list[tuple[str, Any]]()
        self._way_back = way_back

    def build(self, **options: Any) -> Any:
        return self

    def operations(self, desk: str | None = None) -> "Fake":
        return self

    async def governance(self, command: str, content: Any) -> Any:
        self.asked.append((command, content))
        if command == "ask":
            return {"proposal": content["proposal"], "rollback_arguments": self._way_back}
        return {"proposal": "p-2", "status": "pending_decision", "state": "presented", "next_step": "-", "effects": []}


def cdb(fake: Fake, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["cdb", "propose", "rollback", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_app(fake.build)
    return int(stop.value.code or 0)


def test_a_rollback_drafts_the_way_back_that_the_proposal_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake(WAY_BACK)
    assert cdb(fake, monkeypatch, "p-1", "--reason", "it fell", "--json") == 0
    assert fake.asked == [
        ("ask", {"about": "proposal", "proposal": "p-1"}),
        ("draft", {"command": WAY_BACK, "reason": "it fell", "rolls_back": "p-1"}),
    ]
    assert json.loads(capsys.readouterr().out)["proposal"] == "p-2"


def test_what_names_no_way_back_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(None)
    assert cdb(fake, monkeypatch, "p-1", "--reason", "it fell") == 2
    assert "names no way back" in capsys.readouterr().err
    assert len(fake.asked) == 1
