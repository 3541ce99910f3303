"""AGENTS.md: who works on the desk, in which role, and who may issue which command. German, the same text for the same
roles; what stands in a role is in its own words."""

from collections.abc import Iterable, Iterator, Sequence

from domain.agents import AGENT, CAPABILITIES, COMMANDS, LEAD, PEER, USER, Capability, Command, Role
from projections.german import text

_LEVELS = {
    USER: ("Nutzer", "entscheidet; nur ein Mensch mit seinem Schlüssel"),
    LEAD: ("Sitzungsleitung", "die eine Stimme zum Nutzer; führt Abläufe, liefert nach Freigabe"),
    PEER: ("Andere Modelle", "nur Analysen, keine Handlung"),
    AGENT: ("Agenten", "handeln in ihrer Rolle; was mehr wagt, entscheidet ein Mensch"),
}
_COMMANDS: dict[Command, str] = {
    "ask": "fragen",
    "halt": "Handel anhalten",
    "heartbeat": "sich melden",
    "record": "Aussage festhalten",
    "draft": "vorschlagen",
    "withdraw": "Vorschlag zurückziehen",
    "run": "Ablauf führen",
    "apply": "Freigegebenes ausführen",
    "order": "Papierauftrag erteilen",
    "cancel": "Papierauftrag streichen",
    "decide": "freigeben oder ablehnen",
    "enrol": "Schlüssel eintragen oder widerrufen",
}
_CAPABILITIES: dict[Capability, str] = {
    "propose": "vorschlagen",
    "run_workflows": "Abläufe führen",
    "deliver": "nach Freigabe ausliefern",
    "trade": "Papieraufträge erteilen",
}
assert _COMMANDS.keys() == COMMANDS.keys()
assert _CAPABILITIES.keys() == set(CAPABILITIES)


def render(roles: Sequence[Role]) -> str:
    """The document, by level and name whatever the order of the roles."""
    ordered = sorted(roles, key=lambda role: (role.level, role.name))
    parts = [["# AGENTS", "", "- Quelle: das Protokoll der Governance; Änderungen nur über die Freigabe"]]
    parts.append(["## Ebenen", "", *(f"- {level} {name}: {says}" for level, (name, says) in _LEVELS.items())])
    for level in (LEAD, PEER, AGENT):
        of_it = [role for role in ordered if role.level == level]
        parts.append([f"## Ebene {level}: {_LEVELS[level][0]}", *([] if of_it else ["", "- keine"])])
        parts += [[f"### {text(role.name)}", "", *_role(role)] for role in of_it]
    parts.append(["## Wer darf was", "", *_table(ordered)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _role(role: Role) -> Iterator[str]:
    yield f"- Zweck: {text(role.purpose)}"
    yield f"- Zuständig für: {_listed(role.responsibilities)}"
    yield f"- Eingaben: {_listed(role.inputs)}"
    yield f"- Ausgaben: {_listed(role.outputs)}"
    yield f"- Abläufe: {_listed(role.workflows)}"
    yield f"- Fähigkeiten: {_listed(_CAPABILITIES[can] for can in role.capabilities)}"
    yield f"- Befehle: {_listed(_COMMANDS[command] for command in COMMANDS if _may(role, command))}"


def _table(roles: Sequence[Role]) -> Iterator[str]:
    yield "| Befehl | Ebenen | verlangt | Rollen |"
    yield "|---|---|---|---|"
    for command, permission in COMMANDS.items():
        levels = ", ".join(str(level) for level in sorted(permission.levels))
        needs = _CAPABILITIES[permission.capability] if permission.capability else "nichts weiter"
        named = _listed(role.name for role in roles if _may(role, command))
        yield f"| {_COMMANDS[command]} (`{command}`) | {levels} | {needs} | {named} |"


def _may(role: Role, command: Command) -> bool:
    levels, capability = COMMANDS[command]
    return role.level in levels and (capability is None or capability in role.capabilities)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(text(word) for word in words) or "keine"
