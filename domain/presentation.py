"""What a person sees before deciding: every field that changes, what of it needs a signature, and the documents' diffs.

Rendered from the command and from what stood before, so the words of whoever proposed it cannot reach it, and the same
command over the same state is shown alike for ever: its hash is what a signature covers.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from domain.commands import (
    ActivatePolicy,
    ActivateStrategy,
    ChangeGovernance,
    Command,
    DeactivateStrategy,
    DefineRole,
    PlaceOrder,
    Publish,
    RecordDecision,
    Resume,
    RetireRole,
)
from domain.proposal import Before, Shown
from domain.wording import units

NOTHING = "nothing"


def title(command: Command) -> str:
    """A command in one line."""
    match command:
        case ActivatePolicy():
            return f"activate policy {command.policy.name}@{command.policy.version} on desk {command.desk}"
        case ActivateStrategy():
            symbols = ", ".join(command.symbols)
            return f"activate strategy {command.strategy}@{command.version} on {symbols}, desk {command.desk}"
        case DeactivateStrategy():
            return f"stop strategy {command.strategy} on desk {command.desk}"
        case Resume():
            return f"resume trading on desk {command.desk}"
        case PlaceOrder():
            size = units(command.quantity_nanos)
            return f"paper order: {command.side} {size} {command.symbol} ({command.type}) on desk {command.desk}"
        case DefineRole():
            return f"define role {command.role.name}"
        case RetireRole():
            return f"retire role {command.role}"
        case RecordDecision():
            return "record a decision in DECISION_LOG"
        case ChangeGovernance():
            return f"change the governance policy to version {command.policy.version}"
        case Publish():
            return f"publish {', '.join(sorted(command.publication.documents))}"


def present(
    command: Command,
    before: Before,
    *,
    standing: Mapping[str, Any],
    widens: Sequence[str],
    diffs: Mapping[str, str],
    rollback: Command | None = None,
    rolls_back: str = "",
    taint: bool = False,
) -> Shown:
    """What is shown. `standing` is what the command replaces, as plain fields; `diffs` are unified, by document.
    Characters that print nothing or turn the reading direction are written as their code points."""
    named = title(command)
    lines = [named[0].upper() + named[1:], ""]
    lines += _section("What changes", _changes(command, standing))
    lines += _section("The desk is halted because", before.halts)
    lines += _section("Needs a signature because", widens)
    lines += _section("Caution", ["the run that proposes this has read text of strangers"] if taint else [])
    for document in sorted(diffs):
        lines += [f"Document {document}", *diffs[document].split("\n"), ""]
    if publication := command.publication:
        where = f"branch {publication.branch}" if publication.branch else "the main branch"
        request = publication.pull_request
        says = [f"commit on {where}: {publication.message}"]
        says += [f"pull request: {request.title}", *request.body.split("\n")] if request else []
        lines += _section("Published as", says)
    lines += _section("Rolls back", [f"proposal {rolls_back}"] if rolls_back else [])
    lines += _section("Rolled back by", [title(rollback)] if rollback else [])
    text = "\n".join(visible(line) for line in lines).rstrip() + "\n"
    return Shown(text, sha256(text.encode()).hexdigest())


def _section(head: str, lines: Sequence[str] | Iterator[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return [head, *found, ""] if found else []


def _changes(command: Command, standing: Mapping[str, Any]) -> Iterator[str]:
    """Every field that is not what it was: `risk.positions_max: 2 -> 4`."""
    after = command.model_dump(mode="json", exclude={"name", "publication", "desk"})
    was, will = _flat(standing), _flat(after)
    for field in sorted({*was, *will}):
        before, then = was.get(field, NOTHING), will.get(field, NOTHING)
        if before != then:
            yield f"{field}: {before} -> {then}" if was else f"{field}: {then}"


def _flat(value: object, path: str = "") -> dict[str, str]:
    """Every leaf by its path, as JSON; a list is one leaf."""
    if isinstance(value, Mapping):
        return {
            field: text
            for name in value
            for field, text in _flat(value[name], f"{path}.{name}" if path else str(name)).items()
        }
    return {path: json.dumps(value, ensure_ascii=False, sort_keys=True)}


def visible(line: str) -> str:
    """A line of foreign text, with a code point for every character that prints nothing, breaks the line, or turns the
    reading direction; so it cannot drive a terminal either."""
    return "".join(
        f"\\u{ord(mark):04x}" if mark != "\t" and (unicodedata.category(mark) in _HIDDEN or mark in _BLANK) else mark
        for mark in line
    )


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = frozenset(  # that print nothing as well: fillers, a joiner, variation selectors
    map(chr, [0x34F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0,
              *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)  # fmt: skip
