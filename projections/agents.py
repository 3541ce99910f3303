"""Agents: their roles as governance defined them, and how they are as OPS heard of them.

`failures` counts how often an agent began to fail or fell silent; `refusals` how often governance said no to it. Of
actors that only were refused at most ACTORS_MAX are told apart: names are free to whoever is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from domain.agents import Role, RoleDefined, RoleRetired
from domain.governance import GovernanceFounded
from domain.operations import AgentSeen, AgentSilent, CommandRefused
from domain.ports import Fact, Table
from projections.projection import Fold, ReadModel, Row

ROLES = Table(
    "roles",
    {"name": "text"},
    ("level", "purpose", "role", "defined_at_ns", "changed_at_ns", "changed_by", "proposal", "retired", "reason"),
)
HEALTH = Table(
    "agent_health",
    {"agent": "text"},
    ("state", "doing", "seen_at_ns", "changed_at_ns", "failures", "refusals", "refused_at_ns", "refused_why"),
)

ACTORS_MAX = 1_000
OTHERS = "(others)"


@dataclass(frozen=True)
class Defined:
    """A row of ROLES. `role` is the JSON of the last one that was defined."""

    level: int
    purpose: str
    role: str
    defined_at_ns: int
    changed_at_ns: int
    changed_by: str
    proposal: str | None = None
    retired: bool = False
    reason: str | None = None


@dataclass
class RolesMemory:
    """Every role there ever was."""

    roles: dict[str, Defined] = field(default_factory=dict)


def evolve_roles(memory: RolesMemory, fact: Fact) -> Iterator[Row]:
    """The roles that became different."""
    event = fact.event
    match event:
        case GovernanceFounded():
            changed = {role.name: role for role in event.roles}
            found = {name: _defined(role, event.occurred_at_ns, event.actor) for name, role in changed.items()}
        case RoleDefined():
            before = memory.roles.get(event.name)
            role = _defined(event.role, event.occurred_at_ns, event.actor, event.proposal)
            if before and not before.retired:
                role = replace(role, defined_at_ns=before.defined_at_ns)
            found = {event.name: role}
        case RoleRetired():
            known = memory.roles.get(event.name)
            found = {event.name: _retired(known, event)} if known else {}
        case _:
            raise TypeError(f"agents does not listen to {type(event).__name__}")
    memory.roles |= found
    for name, defined in found.items():
        yield Row(ROLES, (name,), tuple(vars(defined).values()))


def _defined(role: Role, at_ns: int, by: str, proposal: str | None = None) -> Defined:
    return Defined(role.level, role.purpose, role.model_dump_json(), at_ns, at_ns, by, proposal)


def _retired(known: Defined, event: RoleRetired) -> Defined:
    return replace(
        known, changed_at_ns=event.occurred_at_ns, changed_by=event.actor, proposal=event.proposal, retired=True,
        reason=event.reason,
    )  # fmt: skip


@dataclass(frozen=True)
class Health:
    """A row of HEALTH. `state` and times None: it never reported, was never refused."""

    state: str | None = None
    doing: str | None = None
    seen_at_ns: int | None = None
    changed_at_ns: int | None = None
    failures: int = 0
    refusals: int = 0
    refused_at_ns: int | None = None
    refused_why: str | None = None


@dataclass
class HealthMemory:
    """Every agent that reported, and actors that were refused."""

    agents: dict[str, Health] = field(default_factory=dict)


def evolve_health(memory: HealthMemory, fact: Fact) -> Iterator[Row]:
    """The agent as it is from here on."""
    event = fact.event
    match event:
        case AgentSeen():
            name = event.agent
            before = memory.agents.get(name, Health())
            failed = event.state == "failing" and before.state != "failing"
            after = replace(
                before, state=event.state, doing=event.doing or None, seen_at_ns=event.occurred_at_ns,
                changed_at_ns=event.occurred_at_ns, failures=before.failures + failed,
            )  # fmt: skip
        case AgentSilent():
            name = event.agent
            before = memory.agents.get(name, Health())
            after = replace(
                before, state="silent", seen_at_ns=event.last_seen_ns, changed_at_ns=event.occurred_at_ns,
                failures=before.failures + (before.state != "silent"),
            )  # fmt: skip
        case CommandRefused():
            told_apart = event.actor in memory.agents or len(memory.agents) < ACTORS_MAX
            name = event.actor if told_apart else OTHERS
            before = memory.agents.get(name, Health())
            after = replace(
                before, refusals=before.refusals + 1, refused_at_ns=event.occurred_at_ns, refused_why=event.message
            )
        case _:
            raise TypeError(f"agents does not listen to {type(event).__name__}")
    memory.agents[name] = after
    yield Row(HEALTH, (name,), tuple(vars(after).values()))


MODEL = ReadModel(
    "agents",
    1,
    (
        Fold("governance", (GovernanceFounded, RoleDefined, RoleRetired), RolesMemory, evolve_roles, (ROLES,)),
        Fold("ops", (AgentSeen, AgentSilent, CommandRefused), HealthMemory, evolve_health, (HEALTH,)),
    ),
)
