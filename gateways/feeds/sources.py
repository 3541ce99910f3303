"""A file on disk becomes text in memory: gzip and zip opened, UTF-16 turned into UTF-8, its hash taken."""

import errno
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np

from domain.errors import DeskError, InvalidInput, Unavailable
from gateways.feeds.fields import U1
from gateways.feeds.naming import known_symbol, split_contract

TEXT_BYTES_MAX = 4 << 30  # what a packed file may grow to; more is a mistake or an attack
_SAMPLE_LINES = 10
PASSING = "EIO EAGAIN EBUSY EMFILE ENFILE ESTALE ETIMEDOUT EHOSTDOWN ENETUNREACH".split()  # of a disk or a share

T = TypeVar("T")

_DAMAGED = (
    EOFError, OSError, zlib.error, lzma.LZMAError, struct.error, zipfile.BadZipFile, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip  # what gzip and zipfile raise on bytes that are not theirs


class Source(NamedTuple):
    """One table of text. `name` is the file's base name, `table` the name of what is inside (without .gz; of a zip its
    member), `sample` its first non-blank lines, `text[start:]` all of it without the byte order mark."""

    name: str
    table: str
    folders: tuple[str, ...]
    sha256: str
    text: U1
    start: int
    sample: tuple[str, ...]

    @property
    def place(self) -> str:
        """How rejects name it: the file, and of a zip the member too."""
        plain = self.table == self.name or self.name.lower() == f"{self.table}.gz".lower()
        return self.name if plain else f"{self.name}:{self.table}"

    @property
    def header(self) -> str:
        """The first line, lower case and without spaces."""
        return self.sample[0].lower().replace(" ", "")


def unreadable(path: Path, error: OSError) -> DeskError:
    """What a file that cannot be read means: a fault of its disk or share that may pass, or a wrong path."""
    if errno.errorcode.get(error.errno or 0) in PASSING:
        return Unavailable(f"{path.name}: its disk does not answer now ({error.strerror}). See to it, then try again.")
    return InvalidInput(f"{path.name}: cannot be read ({error.strerror}). Give the path of a file.")


def open_source(path: Path, symbol: str | None) -> Source:
    """Read one file; `symbol` picks the table of a zip that holds several. Raises InvalidInput, Unavailable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    packed, table, text = content, path.name, content
    if packed.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        table, text = _unpack(path.name, lambda: _member(path.name, packed, symbol))
    elif packed.startswith(b"\x1f\x8b"):
        table = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
        text = _unpack(path.name, lambda: _bounded(path.name, gzip.GzipFile(fileobj=io.BytesIO(packed))))
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", "replace").encode()
    start = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    lines = text[start : start + 65_536].decode("utf-8", "replace").split("\n")
    sample = tuple(line.strip("\r ") for line in lines if line.strip("\r "))[:_SAMPLE_LINES]
    if not sample and not text[start:].strip(b"\r\n "):
        raise InvalidInput(f"{path.name}: the file is empty. Fetch it again, or leave it out.")
    array = np.frombuffer(text, np.uint8)
    return Source(path.name, table, path.parent.parts, sha256(content).hexdigest(), array, start, sample or ("",))


def _unpack(name: str, unpack: Callable[[], T]) -> T:
    try:
        return unpack()
    except _DAMAGED as error:
        raise InvalidInput(f"{name}: the archive is damaged or cut short ({error}). Fetch it again.") from error


def _bounded(name: str, stream: IO[bytes] | gzip.GzipFile) -> bytes:
    with stream:
        text = stream.read(TEXT_BYTES_MAX + 1)
    if len(text) > TEXT_BYTES_MAX:
        raise InvalidInput(f"{name}: more than {TEXT_BYTES_MAX >> 30} GiB of text. Split the file.")
    return text


def _member(name: str, packed: bytes, symbol: str | None) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = sorted(m for m in archive.namelist() if not m.endswith("/"))
        tables = [m for m in members if m.lower().endswith(".csv")] or members
        chosen = [m for m in tables if symbol is None or _speaks_of(m, symbol)] if len(tables) > 1 else tables
        if len(chosen) != 1:
            problem = f"holds {len(tables)} tables" if tables else "holds nothing"
            asked = f", {len(chosen)} of them for --symbol {symbol}" if symbol and tables else ""
            raise InvalidInput(
                f"{name}: {problem}{asked}: {', '.join(tables)}. Pick one with --symbol, a futures contract as "
                "--symbol GC-201312."
            )
        return chosen[0].rpartition("/")[2], _bounded(name, archive.open(chosen[0]))


def _speaks_of(member: str, symbol: str) -> bool:
    root, contract = split_contract(symbol)
    words = member.rpartition("/")[2].rpartition(".")[0].split("_")
    return any(known_symbol(word) == root for word in words) and (contract is None or contract in words)
