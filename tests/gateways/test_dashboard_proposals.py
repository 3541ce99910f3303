"""What the decisions page says of a proposal, without a browser."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tape import utc
from gateways.dashboard.proposals import agents, pending, runs

HOUR = 3_600 * 10**9
AT = 1_800_000_000 * 10**9
WORDS = st.text(st.sampled_from("<>&\"'/= abc{}") | st.characters(exclude_characters="\r\0"), max_size=40)


def waiting(**changed: Any) -> dict[str, Any]:
    row = {
        "proposal": "p-1", "title": "resume trading", "actor": "risk-architect", "level": 3, "role": "risk-architect",
        "run": None, "reason": "it is time", "effects_expected": [], "shown": "Resume trading\n", "taint": False,
        "waiting_since": utc(AT), "expires_at": utc(AT + HOUR),
    }  # fmt: skip
    return row | changed


class Read(HTMLParser):
    """The text of markup by the element that it stands in, and all of it."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.by: dict[str, str] = {}
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open.append(name)

    def handle_endtag(self, name: str) -> None:
        self._open.remove(name)

    def handle_data(self, text: str) -> None:
        self.text += text
        for name in set(self._open):
            self.by[name] = self.by.get(name, "") + text


def read(row: dict[str, Any], now_ns: int = AT, *, may_decide: bool = True) -> Read:
    return Read("".join(pending([row], now_ns, may_decide=may_decide)))


@given(reason=WORDS, effect=WORDS)
def test_the_words_of_whoever_proposes_never_stand_where_the_desk_speaks(reason: str, effect: str) -> None:
    said = read(waiting(reason=reason, effects_expected=[effect]))
    assert said.by["pre"] == "Resume trading\n"
    assert reason in said.by["blockquote"]
    assert effect in said.by["blockquote"]
    assert "In the words of risk-architect, not of the desk" in said.by["blockquote"]


@pytest.mark.parametrize(
    ("since_ns", "said"), [(0, "less than a minute"), (59 * 10**9, "less than a minute"), (2 * HOUR // 3, "40 min")]
)
def test_a_proposal_says_how_long_it_waits(since_ns: int, said: str) -> None:
    assert f"Waits{said}, since" in read(waiting(), AT + since_ns).text


def test_what_is_tainted_says_so() -> None:
    assert "read text of strangers" not in read(waiting()).text
    assert "read text of strangers" in read(waiting(taint=True)).text


def test_what_expired_by_now_has_no_buttons() -> None:
    assert "Approve" in read(waiting(), AT + HOUR - 1).text
    over = read(waiting(), AT + HOUR)
    assert "expired" in over.text
    assert "Approve" not in over.text


def test_who_may_not_decide_has_no_buttons() -> None:
    assert "button" not in read(waiting(), may_decide=False).by


def test_roles_and_runs_say_where_there_are_none() -> None:
    assert "No role is defined yet" in agents([])
    assert "No workflow has run yet" in runs([])
    assert "No proposal is pending" in "".join(pending([], AT, may_decide=True))
