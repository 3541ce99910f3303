"""A moment of a desk: how far each of its sources had come. As a token it is opaque, and good for ever."""

import base64
import binascii
import re
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.ports import Source

_TEXT = re.compile(r"1:([a-z0-9][a-z0-9_-]{0,31}):(\d{1,18}):(\d{1,18}):(\d{1,18}):(\d{1,18})", re.ASCII)


class AsOf(NamedTuple):
    """The position of the newest fact of each source that had been told: a tape ordinal, a ledger number, the streams'
    sequences; 0 where there was none."""

    tape: int = 0
    ledger: int = 0
    ops: int = 0
    governance: int = 0

    def of(self, source: Source) -> int:
        """How far one source had come."""
        return int(getattr(self, source))

    def token(self, desk: str) -> str:
        """The moment as one word."""
        text = f"1:{desk}:{self.tape}:{self.ledger}:{self.ops}:{self.governance}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str, desk: str) -> "AsOf":
        """The moment in a token. Raises InvalidInput for what is none, and for one of another desk."""
        try:
            text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
        except (binascii.Error, UnicodeError, ValueError):
            text = ""
        found = _TEXT.fullmatch(text)
        if not found:
            raise InvalidInput(f"as_of {token[:60]!r} is no moment; give one that an answer carried as `as_of`")
        if found[1] != desk:
            raise InvalidInput(f"as_of {token[:60]!r} is a moment of desk {found[1]}, this is desk {desk}")
        return cls(*(int(number) for number in found.groups()[1:]))
