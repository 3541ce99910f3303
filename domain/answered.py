"""Which instructions were answered: 16 bytes of every id, kept for ever, so that no repeat ever changes anything."""

from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST = np.dtype("S16")  # the first half of an id's SHA-256
RECENT = 4_096  # digests that wait to be sorted in: one move of the whole array for so many

Digests = npt.NDArray[Any]


class Answered:
    """A set of instruction ids that forgets none: sorted digests, and the recent ones that are not among them yet."""

    def __init__(self, digests: Digests | None = None) -> None:
        """From what `digests` gave. Raises ValueError when they do not ascend."""
        self._sorted: Digests = np.zeros(0, DIGEST) if digests is None else digests
        self._recent: set[bytes] = set()
        if not (self._sorted[1:] > self._sorted[:-1]).all():
            raise ValueError("the digests of answered instructions do not ascend")

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, instruction_id: str) -> bool:
        digest = _digest(instruction_id)
        return digest in self._recent or self._is_sorted_in(digest)

    def add(self, instruction_id: str) -> None:
        """From here on this id is answered."""
        digest = _digest(instruction_id)
        if not self._is_sorted_in(digest):
            self._recent.add(digest)
        if len(self._recent) >= RECENT:
            self._sort_in()

    def digests(self) -> Digests:
        """All of them, ascending: the same ids give the same bytes, in whatever order they were answered."""
        self._sort_in()
        return self._sorted

    def _is_sorted_in(self, digest: bytes) -> bool:
        wanted = np.array(digest, DIGEST)
        place = np.searchsorted(self._sorted, wanted)
        return bool(place < len(self._sorted) and self._sorted[place] == wanted)

    def _sort_in(self) -> None:
        recent = np.array(sorted(self._recent), DIGEST)
        self._sorted = np.insert(self._sorted, np.searchsorted(self._sorted, recent), recent)
        self._recent.clear()


def _digest(instruction_id: str) -> bytes:
    return sha256(instruction_id.encode()).digest()[: DIGEST.itemsize]
