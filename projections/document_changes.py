"""What changed between two texts of a document of ours, in sentences: by section, a value by its name, else by line."""

from collections import Counter
from collections.abc import Iterator

# Of the moment itself: two documents that differ in these alone say the same.
_MOMENT = ("- Marktzeit: ", "- Aufgezeichnet bis: ", "- Stand (as_of): ")


def says_the_same(before: str, after: str) -> bool:
    """Do two documents differ in nothing but their moment?"""
    return _told(before) == _told(after)


def changes(before: str | None, after: str) -> list[str]:
    """One sentence a change, in the document's order; lines of what is gone come last in their section."""
    if before is None:
        return ["The document is new."]
    old, new = _sections(before), _sections(after)
    found = [line for head in new for line in _section(head, old.get(head, []), new[head])]
    return found + [f"{head}: gone." for head in old if head not in new]


def _told(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(_MOMENT)]


def _sections(text: str) -> dict[str, list[str]]:
    """The facts below each heading; one that comes twice is one."""
    sections, head, above = dict[str, list[str]](), "", ""
    for line in _told(text):
        if line.startswith("#"):
            level, _, title = line.partition(" ")
            above = title if len(level) == 2 else above
            head = f"{above}, {title}" if len(level) > 2 and above else title
            sections.setdefault(head, [])
        elif line.strip():
            sections.setdefault(head, []).append(line.removeprefix("- "))
    return sections


def _section(head: str, old: list[str], new: list[str]) -> Iterator[str]:
    was, became = _values(old), _values(new)
    changed = {name for name in was.keys() & became.keys() if was[name] != became[name]}
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    for line in new:
        name = line.partition(": ")[0]
        if name in changed:
            yield f"{head}: {name} was {was[name]}, is {became[name]}."
        elif come[line]:
            come[line] -= 1
            yield f"{head}: new: {line}."
    for line in old:
        if line.partition(": ")[0] not in changed and gone[line]:
            gone[line] -= 1
            yield f"{head}: gone: {line}."


def _values(lines: list[str]) -> dict[str, str]:
    """Values by name, of the names that stand once."""
    names = Counter(line.partition(": ")[0] for line in lines if ": " in line)
    pairs = (line.partition(": ") for line in lines if ": " in line)
    return {name: value for name, _, value in pairs if names[name] == 1}
