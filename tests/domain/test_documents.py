"""Names, texts, messages and differences of documents: what is refused, and that a difference is exact."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.documents import (
    DOCUMENTS,
    MAX_BYTES,
    NotADocument,
    UnknownDocument,
    checked_author,
    checked_branch,
    checked_key,
    checked_title,
    commit_message,
    content_of,
    difference,
    holds_key,
    marked,
    path_of,
    text_of,
)
from domain.errors import InvalidInput

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "- ä", "\r", "\u2028x"]), max_size=12)
TEXTS = st.tuples(LINES, st.sampled_from(["", "\n"])).map(lambda drawn: "\n".join(drawn[0]) + drawn[1])


def split(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def patched(before: str, diff: str) -> str:
    """What a unified diff makes of a text, by the letter of the format."""
    steps: list[str] = []
    for line in split(diff)[2:]:
        if line.startswith("\\"):
            steps[-1] = steps[-1].removesuffix("\n")
        else:
            steps.append(line)
    old, new, at = split(before), [], 0
    for step in steps:
        if step.startswith("@@"):
            start, count = re.match(r"@@ -(\d+)(?:,(\d+))? ", step).groups()
            begin = int(start) - (count != "0")
            new += old[at:begin]
            at = begin
            continue
        if step[0] in " -":
            assert old[at] == step[1:]
            at += 1
        if step[0] in " +":
            new.append(step[1:])
    return "".join([*new, *old[at:]])


@given(TEXTS, TEXTS)
@example("a", "a\n")
@example("a\n", "a")
@example("", "a")
@example("a\nb\nc\n" * 10, "a\nb\nc\n" * 5 + "x\n" + "a\nb\nc\n" * 5)
def test_a_difference_makes_the_new_text_of_the_old_one(before, after):
    diff = difference("a/b.md", before, after)
    assert (diff == "") == (before == after)
    if diff:
        assert diff.startswith("--- a/a/b.md\n+++ b/a/b.md\n@@")
        assert patched(before, diff) == after


def test_a_new_document_shows_as_new():
    assert difference("x.md", None, "one\n") == "--- /dev/null\n+++ b/x.md\n@@ -0,0 +1 @@\n+one\n"


def test_a_large_text_turned_round_is_shown_as_replaced_at_once():
    lines = [f"{number}\n" for number in range(60_000)]
    before, after = "".join(lines), "".join(reversed(lines))
    assert patched(before, difference("x.md", before, after)) == after


@given(st.text())
def test_whatever_is_asked_for_is_a_document_of_the_list_or_refused(name):
    try:
        path = path_of(name)
    except UnknownDocument:
        return
    assert path == DOCUMENTS.get(name, f"backoffice/config/{name}")
    assert re.fullmatch(r"backoffice/(docs|config)/[A-Za-z0-9_/]+\.(md|json)", path)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../AKTUELLER_STAND",
        "/etc/passwd",
        "backoffice/docs/AKTUELLER_STAND.md",
        "AKTUELLER_STAND\0",
        "AKTUELLER_STAND\n",
        "AKTUELLER\\STAND",
        "\uff21KTUELLER_STAND",  # a wide A
        "\u0410GENTS",  # a Cyrillic A
        "agents",
        "strategies/../../x.json",
        "strategies/x.json\n",
        "strategies/X.json",
        "strategies/\u0435ma.json",  # a Cyrillic e
        "strategies/\u0661.json",  # an Arabic digit
        "strategies/a/b.json",
        "strategies/.json",
        "strategies/a.b.json",
        f"strategies/{'a' * 65}.json",
        "C:\\x.json",
    ],
)
def test_a_name_that_only_looks_like_a_document_is_refused(name):
    with pytest.raises(UnknownDocument):
        path_of(name)


@pytest.mark.parametrize("text", ["a\0", "\x1b[2Jx", "a\r\n", "\u202eabc", "\u2066", "\x9b", "\ud800"])
def test_what_is_no_readable_text_is_refused(text):
    with pytest.raises(NotADocument, match="AGENTS"):
        content_of("AGENTS", text)


def test_a_document_has_a_size_limit_in_bytes():
    assert len(content_of("AGENTS", "ä" * (MAX_BYTES // 2))) == MAX_BYTES
    with pytest.raises(NotADocument, match="at most"):
        content_of("AGENTS", "ä" * (MAX_BYTES // 2) + "a")
    with pytest.raises(NotADocument, match="at most"):
        text_of("AGENTS", b"a" * (MAX_BYTES + 1))
    with pytest.raises(NotADocument, match="byte 2"):
        text_of("AGENTS", b"a\xff")


@pytest.mark.parametrize(
    "branch",
    ["", "HEAD", "-x", "a..b", "a//b", "/a", "a/", "a.lock", "a.lock/b", "a.", "ä", "a b", "a~1", "a\n", "a:b"],
)
def test_a_name_that_is_no_branch_is_refused(branch):
    with pytest.raises(InvalidInput, match="cannot name a branch"):
        checked_branch(branch)


def test_a_message_ends_with_the_key_that_is_found_again():
    message = commit_message("Update AKTUELLER_STAND via MCP Agent\n\nwhy\n\n", "p-1")
    assert message == "Update AKTUELLER_STAND via MCP Agent\n\nwhy\n\nProposal: p-1\n"
    assert holds_key(message, "p-1")
    assert not holds_key(message, "p-")
    assert not holds_key(message, "p-11")
    assert holds_key(f"{message}Signed-off-by: a <b>\n", "p-1")
    assert not holds_key("Proposal: p-1\n\nmore", "p-1")


@pytest.mark.parametrize(
    "message", ["", " \n", "x\n\nProposal: p-2", "x\n Proposal: p-2", "x\0", "x\x1b[0m", "x" * 20_001]
)
def test_a_message_cannot_carry_a_key_of_its_own(message):
    with pytest.raises(InvalidInput):
        commit_message(message, "p-1")


def test_texts_for_a_forge_cannot_carry_a_marker_of_their_own():
    assert marked("comment", "done\n", "p-1") == "done\n\n<!-- cdb:comment:p-1 -->\n"
    for text in ("x <!-- cdb:comment:p-2 -->", "x" * 60_001):
        with pytest.raises(InvalidInput):
            marked("comment", text, "p-1")


@pytest.mark.parametrize("key", ["", "a b", "a\n", "-->", "ä", "x" * 129, ".a"])
def test_a_key_is_short_and_plain(key):
    with pytest.raises(InvalidInput):
        checked_key(key)


@pytest.mark.parametrize("author", ["", "a", "a <b\n>", "a\nb <c>", "a <b> <c>", "<a>", "a <b c>"])
def test_an_author_has_a_name_and_an_address(author):
    with pytest.raises(InvalidInput):
        checked_author(author)


@pytest.mark.parametrize("title", ["", " ", "a\nb", "x" * 201, "\u202ex"])
def test_a_title_is_one_readable_line(title):
    with pytest.raises(InvalidInput):
        checked_title(title)
