"""What a gateway asks of governance: one question, `ask`, whoever answers: the service that runs, or this process in
its place. Contents and answers are plain JSON."""

from collections.abc import Mapping
from typing import Any, Protocol

Answer = Mapping[str, Any]


class Governing(Protocol):
    """Governance of one log. Raises Refused with its code, InvalidInput, Unavailable."""

    async def ask(self, command: str, content: Mapping[str, Any], *, actor: str = "", role: str = "") -> Answer:
        """One command of domain/agents.py COMMANDS. `actor` empty: the person at this machine, who is level 0; else the
        agent of that name, acting in `role` (empty: its own)."""
