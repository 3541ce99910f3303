"""Cursors of lists: where the next page begins, at which moment, of which list. Opaque, and good as long as the log."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from gateways.http.problems import Problem

_TEXT = re.compile(r"1:(\d{1,19}):([0-9a-f]{16}):([A-Za-z0-9_-]{1,200}):([0-9a-f]{16})", re.ASCII)


class Cursor(NamedTuple):
    """The page begins below the key `before`, at the moment of the token `as_of`."""

    before: int
    as_of: str

    def text(self, path: str, filters: Mapping[str, object]) -> str:
        """The cursor of one list: its path, and what it was filtered by. The check sum is against slips: a cursor opens
        nothing that its holder could not ask for in other words."""
        said = f"1:{self.before}:{_digest(path, sorted(filters.items()))}:{self.as_of}"
        return base64.urlsafe_b64encode(f"{said}:{_digest(said)}".encode()).decode().rstrip("=")


def parse(text: str, path: str, filters: Mapping[str, object]) -> Cursor:
    """Raises Problem for a cursor that is damaged, or was given by another list."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        raw = ""
    found = _TEXT.fullmatch(raw)
    if not found or _digest(raw[:-17]) != found[4]:
        raise Problem(
            422,
            f"cursor {text[:60]!r} is damaged, or was never given",
            "send `next_cursor` of an answer as it was, or leave the cursor out to begin again",
            field="cursor",
        )
    if found[2] != _digest(path, sorted(filters.items())):
        raise Problem(
            422,
            f"cursor {text[:60]!r} belongs to another list, or to other filters",
            "keep address and filters from page to page; only `limit` may change",
            field="cursor",
        )
    return Cursor(int(found[1]), found[3])


def _digest(*said: object) -> str:
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
