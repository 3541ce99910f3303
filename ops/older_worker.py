"""An older engine in a process of its own, for ops/older_engine.py: `python -P older_worker.py FOLDER ENGINE`.

FOLDER holds the `domain` package of that engine. Only what engine 1 had already is used of it, but for snapshots, which
engine 1 kept in its Engine and later ones in a module. One question on stdin gives one answer on stdout; each is a
frame: four bytes of length, one letter, the content (integers big endian).

| question      | content                          | answer |
|---------------|----------------------------------|--------|
| (the start)   |                                  | P      |
| B block       | first ordinal (8), the records   | E event lines, or X |
| I instruction | ordinal (8), JSON                | E event lines, or X |
| R restore     | a snapshot                       | P ordinal (8), number (8); N when it is not readable |
| S snapshot    |                                  | S its bytes |
| M migrate     | a snapshot of an older engine    | S the bytes that this engine takes over with |

X holds the words with which the engine refused a tape that is not whole. Anything else ends the process, with a
traceback on stderr; so does the end of stdin, without one.
"""

import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

FRAME = struct.Struct(">Ic")
ORDINAL = struct.Struct(">Q")
PLACE = struct.Struct(">QQ")


def read_frame(source: BinaryIO) -> tuple[bytes, bytes] | None:
    """The letter and the content of the next frame, None at the end."""
    start = source.read(FRAME.size)
    if len(start) < FRAME.size:
        return None
    length, letter = FRAME.unpack(start)
    return letter, source.read(length)


def serve(folder: str, wanted: int, questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    sys.path.insert(0, folder)  # before site-packages, where a development install may name another `domain`
    import domain.engine
    from domain.engine import Engine
    from domain.errors import TapeBroken
    from domain.instructions import INSTRUCTION, Instructed
    from domain.tape import Block, decode

    origin = Path(domain.engine.__file__)
    if wanted != domain.engine.ENGINE or not origin.is_relative_to(folder):
        raise SystemExit(f"engine {wanted} was asked for, and {origin} is engine {domain.engine.ENGINE}")

    try:
        from domain.snapshot import restore, save
    except ModuleNotFoundError:
        first: Any = Engine
        restore, save = first.restore, first.snapshot

    engine = Engine()

    def answer(letter: bytes, content: bytes) -> None:
        answers.write(FRAME.pack(len(content), letter) + content)
        answers.flush()

    def fold(message: Block | Instructed) -> None:
        try:
            events = engine.fold(message)
        except TapeBroken as error:
            answer(b"X", str(error).encode())
        else:
            answer(b"E", b"\n".join(event.model_dump_json().encode() for event in events))

    answer(b"P", PLACE.pack(engine.ordinal, engine.number))
    while frame := read_frame(questions):
        letter, content = frame
        if letter == b"B":
            fold(Block(ORDINAL.unpack_from(content)[0], decode(memoryview(content)[ORDINAL.size :])))
        elif letter == b"I":
            instruction = INSTRUCTION.validate_json(content[ORDINAL.size :])
            fold(Instructed(ORDINAL.unpack_from(content)[0], instruction))
        elif letter == b"R":
            restored = restore(content)
            engine = restored or engine
            answer(b"P" if restored else b"N", PLACE.pack(engine.ordinal, engine.number))
        elif letter == b"S":
            answer(b"S", save(engine))
        else:
            from domain.migration import migrate  # engine 1 followed nobody

            answer(b"S", migrate(content))


if __name__ == "__main__":
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand between the answers
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, stdout)
