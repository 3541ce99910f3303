"""Documents under version control and pull requests: their names, what is asked for, what is answered.

A document has a logical name; its path follows from a list, so that no caller can name a path.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from domain.errors import Conflict, DeskError, InvalidInput

MAX_BYTES = 1 << 20
MAX_BODY = 60_000  # characters; GitHub refuses more than 65536
MAX_MESSAGE = 20_000
MAX_TITLE = 200
TRAILER = "Proposal"

DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "AKTUELLER_STAND": "backoffice/docs/AKTUELLER_STAND.md",
        "CDB_FOUNDATION": "backoffice/docs/CDB_FOUNDATION.md",
        "CDB_INSIGHTS": "backoffice/docs/CDB_INSIGHTS.md",
        "Risikomanagement_Logic": "backoffice/docs/Risikomanagement_Logic.md",
        "AGENTS": "backoffice/docs/governance/AGENTS.md",
        "DECISION_LOG": "backoffice/docs/governance/DECISION_LOG.md",
    }
)
_STRATEGY = re.compile(r"strategies/[a-z0-9_]{1,64}\.json")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_AUTHOR = re.compile(r"[^<>\x00-\x1f\x7f]{1,100} <[^<>\s\x00-\x1f\x7f]{1,100}>")

# Control characters drive a terminal, and marks of direction show an approver another order than what is stored.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_DIFF_STEPS = 4_000_000  # beyond it a difference would keep a processor busy for seconds


class UnknownDocument(InvalidInput):
    """No document has this name."""


class UnsafePath(InvalidInput):
    """Something on a document's path is a link, or no folder or file at all."""


class NotADocument(InvalidInput):
    """A document's content is no text, or too large."""


class NothingToChange(InvalidInput):
    """Every document says already what is to be written."""


class StaleBase(Conflict):
    """The branch has moved since the change was prepared."""


class DirtyTree(DeskError):
    """The checked-out files hold changes of somebody else, which are never touched."""

    exit_code = 4


class Text(NamedTuple):
    """A document as it stands in a commit. Lines end with a line feed, whatever the repository stores; `blob` is the
    stored content's hash."""

    document: str
    path: str
    text: str
    blob: str
    commit: str


class Change(NamedTuple):
    """What a commit is to hold: the new text of each document on top of the commit `base`, which is the end of
    `branch`, or where a new branch begins. `author` is "Name <address>", `at_s` UTC seconds; `key`, a proposal's id, is
    committed once."""

    branch: str
    base: str
    texts: Mapping[str, str]
    message: str
    author: str
    at_s: int
    key: str


class Commit(NamedTuple):
    """A commit that stands on a branch. `made` is False when it stood there before it was asked for."""

    id: str
    branch: str
    made: bool


class PullRequest(NamedTuple):
    """A request to take a branch over. `url` is an address, or a path below the data directory."""

    number: int
    url: str
    branch: str
    base: str
    title: str


class Documents(Protocol):
    """Documents in a repository. Nothing but the documents of the list can be read or written."""

    async def main(self) -> str:
        """The name of the checked-out branch. Raises InvalidInput when none is."""

    async def tip(self, branch: str | None = None) -> str | None:
        """The last commit of a branch (None: the checked-out one); None when there is no such branch."""

    async def read(self, document: str, at: str | None = None) -> Text | None:
        """A document as of a branch or commit (None: the checked-out branch). None: there is none.
        Raises UnknownDocument, UnsafePath, NotADocument, InvalidInput, Unavailable."""

    async def diff(self, document: str, text: str, at: str | None = None) -> str:
        """What `text` would change, as a unified diff; "" when nothing."""

    async def find(self, branch: str, key: str) -> Commit | None:
        """The commit of a branch that holds a key. Raises InvalidInput, Unavailable."""

    async def commit(self, change: Change) -> Commit:
        """Commit a change, or return the commit that holds its key already. Raises StaleBase, DirtyTree,
        NothingToChange, UnknownDocument, UnsafePath, NotADocument, InvalidInput, Unavailable."""


class Forge(Protocol):
    """Where branches are offered for review. Asking again with the same key changes nothing."""

    async def publish(self, branch: str) -> str:
        """Bring a branch to where reviewers see it; its last commit. Raises Conflict when another stands there,
        InvalidInput, Unavailable."""

    async def open_pull_request(self, branch: str, base: str, title: str, body: str, key: str) -> PullRequest:
        """Publish the branch and ask for it to be taken into `base`. Raises Conflict when the branch is offered under
        another key already, InvalidInput, Unavailable."""

    async def find(self, key: str) -> PullRequest | None:
        """The pull request that was opened with a key, whatever became of it."""

    async def comment(self, number: int, text: str, key: str) -> str:
        """Say something on a pull request; the comment's address. Raises InvalidInput, Unavailable."""


# -- what may be asked for -----------------------------------------------------------------------------------------


def path_of(document: str) -> str:
    """Where a document stands in the repository. Raises UnknownDocument."""
    if document in DOCUMENTS:
        return DOCUMENTS[document]
    if _STRATEGY.fullmatch(document):
        return f"backoffice/config/{document}"
    raise UnknownDocument(
        f"{document[:80]!a} is no document; there are {', '.join(DOCUMENTS)} and strategies/NAME.json "
        "(lower-case letters, digits, '_')"
    )


def content_of(document: str, text: str) -> bytes:
    """A document's bytes, lines ended by a line feed. Raises NotADocument naming what cannot stand in one."""
    found = _UNREADABLE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise NotADocument(f"{document}, line {line}: the character {found[0]!a} cannot stand in a document; remove it")
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise NotADocument(f"{document}: character {error.start + 1} cannot be written as UTF-8; remove it") from None
    if len(content) > MAX_BYTES:
        raise NotADocument(f"{document} would have {len(content)} bytes, at most {MAX_BYTES} are allowed; shorten it")
    return content


def text_of(document: str, content: bytes) -> str:
    """The text of stored bytes. Raises NotADocument."""
    if len(content) > MAX_BYTES:
        raise NotADocument(f"{document} has {len(content)} bytes, at most {MAX_BYTES} are allowed; shorten it")
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise NotADocument(f"{document} is not UTF-8 at byte {error.start + 1}; save it as UTF-8") from None


def checked_key(key: str) -> str:
    """Raises InvalidInput."""
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{key[:80]!a} cannot be a key: use up to 128 letters, digits, '.', '_', ':' and '-'")
    return key


def checked_branch(branch: str) -> str:
    """A branch's name that git and every forge take as it is. Raises InvalidInput."""
    parts = branch.split("/")
    odd = any(".." in part or part.endswith((".", ".lock")) for part in parts)
    if odd or len(branch) > 100 or branch == "HEAD" or not _BRANCH.fullmatch(branch):
        raise InvalidInput(
            f"{branch[:120]!a} cannot name a branch: use up to 100 letters, digits, '-', '_', '.' and single '/'"
        )
    return branch


def checked_author(author: str) -> str:
    """Raises InvalidInput."""
    if not _AUTHOR.fullmatch(author):
        raise InvalidInput(f"{author[:120]!a} cannot be an author: write Name <address>")
    return author


def commit_message(message: str, key: str) -> str:
    """A message with the trailer that `holds_key` finds. Raises InvalidInput for one that cannot be, or that carries a
    trailer of its own."""
    text = message.strip()
    if not text or len(text) > MAX_MESSAGE or _UNREADABLE.search(text):
        raise InvalidInput(f"the commit message {text[:60]!a} is empty, unreadable or over {MAX_MESSAGE} characters")
    if any(line.strip().startswith(f"{TRAILER}:") for line in text.splitlines()):
        raise InvalidInput(f"a commit message may not hold a line {TRAILER}: of its own; remove it")
    return f"{text}\n\n{TRAILER}: {checked_key(key)}\n"


def holds_key(message: str, key: str) -> bool:
    """Does the last paragraph of a commit's message name this key?"""
    return f"{TRAILER}: {key}" in message.strip().split("\n\n")[-1].split("\n")


def marker(kind: str, key: str) -> str:
    """What shows in the text of a pull request or comment which key it was made for; a reader does not see it."""
    return f"<!-- cdb:{kind}:{checked_key(key)} -->"


def marked(kind: str, text: str, key: str) -> str:
    """The text with its marker. Raises InvalidInput for one that is too long or carries a marker of its own."""
    if len(text) > MAX_BODY or "<!-- cdb:" in text:
        raise InvalidInput(f"the text of a {kind} may have {MAX_BODY} characters and no marker '<!-- cdb:'; correct it")
    return f"{text.rstrip()}\n\n{marker(kind, key)}\n"


def checked_title(title: str) -> str:
    """Raises InvalidInput."""
    if not title.strip() or len(title) > MAX_TITLE or "\n" in title or _UNREADABLE.search(title):
        raise InvalidInput(f"{title[:60]!a} cannot be a title: one readable line of up to {MAX_TITLE} characters")
    return title


# -- what would change ---------------------------------------------------------------------------------------------


def difference(path: str, before: str | None, after: str) -> str:
    """A unified diff as git writes it; `before` None: there was no file. Large texts that differ throughout are shown
    as replaced from the first to the last line."""
    old, new = _lines(before or ""), _lines(after)
    if old == new and before is not None:
        return ""
    named = "/dev/null" if before is None else f"a/{path}", f"b/{path}"
    if _differing(old, new) <= _DIFF_STEPS:
        hunks = difflib.unified_diff(old, new, *named)
        return "".join(_shown(hunks))
    whole = [f"--- {named[0]}\n", f"+++ {named[1]}\n", f"@@ -{_span(old)} +{_span(new)} @@\n"]
    return "".join(_shown([*whole, *(f"-{line}" for line in old), *(f"+{line}" for line in new)]))


def _lines(text: str) -> list[str]:
    """Lines as git counts them, each with its line feed."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _differing(old: list[str], new: list[str]) -> int:
    """Lines times lines between the common beginning and the common end."""
    shortest = min(len(old), len(new))
    start = next((index for index in range(shortest) if old[index] != new[index]), shortest)
    left = shortest - start
    end = next((index for index in range(left) if old[-1 - index] != new[-1 - index]), left)
    return (len(old) - start - end) * (len(new) - start - end)


def _span(lines: list[str]) -> str:
    return f"1,{len(lines)}" if lines else "0,0"


def _shown(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
