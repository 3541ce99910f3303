"""A proposal on a terminal, before it is decided: what a signature covers, and that the question is about just that."""

from hashlib import sha256

from rich.console import Console

from domain.errors import Refused
from gateways.governing import Answer
from gateways.terminal import said


def refuse_other(found: Answer, proposal: str) -> None:
    """Raises Refused when the question is not about what is shown: whoever answered could not be the desk."""
    question = found["question"]
    if question["proposal"] != proposal:
        raise Refused("other_proposal", f"the desk was asked about {proposal} and asks about {question['proposal']!r}")
    if sha256((found["shown"] or "").encode()).hexdigest() != question["shown_sha256"]:
        raise Refused("not_shown", f"what is shown of {proposal} is not what would be signed; show it again")


def print_proposal(found: Answer, to: Console) -> None:
    """What a signature covers, then, apart from it, what whoever proposed it says."""
    to.rule(said(f"{found['proposal']}, {found['state']}"), style="dim")
    to.print(said((found["shown"] or "").rstrip()), soft_wrap=True)
    to.rule("in the words of who proposed it, not of the desk", style="dim")
    to.print(said(f"{found['actor']}: {found['reason']}"), soft_wrap=True)
    for effect in found["effects_expected"]:
        to.print(said(f"  - {effect}"), soft_wrap=True)
    to.rule(style="dim")
    until = f"until {found['expires_at']}" if found["question"] else ""
    to.print(said(f"args {found['args_sha256'][:16]} {until}"), style="dim", soft_wrap=True)
    if verdict := found["verdict"]:
        to.print(
            said(f"{verdict['verdict']} at {verdict['at']} by {verdict['by']}: {verdict['reason'] or 'no reason'}")
        )
    for effect in found["effects"]:
        to.print(said(f"  {effect['kind']}: {effect['reference']}"), soft_wrap=True)
    if failed := found["failed"]:
        to.print(said(f"failed ({failed['code']}): {failed['reason']}"), style="red", soft_wrap=True)
