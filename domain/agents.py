"""Who works on a desk, and who may command what. Levels: 0 the user, who decides; 1 the session lead, the one voice to
the user; 2 peer models, who analyse and never act; 3 agents with a named role.

A role is an event-sourced record. What a level may do is COMMANDS, the one table that every command is judged by.
"""

from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from domain.aggregate import Aggregate, Event
from domain.errors import Refused

USER, LEAD, PEER, AGENT = 0, 1, 2, 3
LEVELS = {USER: "user", LEAD: "session lead", PEER: "peer model", AGENT: "agent"}

Capability = Literal["propose", "run_workflows", "deliver", "trade"]
Workflow = Literal["WF1", "WF2", "WF3"]
Command = Literal[
    "ask", "halt", "heartbeat", "record", "draft", "withdraw", "run", "apply", "order", "cancel", "decide", "enrol"
]

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)

_Words = tuple[str, ...]


class Role(BaseModel):
    """What an agent is for. `name` is the agent's, and that of the tokens which speak for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    level: int = Field(ge=LEAD, le=AGENT)
    purpose: str = Field(min_length=1, max_length=500)
    responsibilities: _Words = Field((), max_length=20)
    inputs: _Words = Field((), max_length=20, description="what it works on, and in which form")
    outputs: _Words = Field((), max_length=20, description="what it gives, and in which form")
    workflows: tuple[Workflow, ...] = ()
    capabilities: tuple[Capability, ...] = ()


class Actor(NamedTuple):
    """Who asks. `role` is the one that is acted in: None only for the user, and for an agent without a record."""

    name: str
    level: int
    role: Role | None = None


class Permission(NamedTuple):
    """Which levels may, and what their role must be able to do (None: nothing more). The user needs no role."""

    levels: frozenset[int]
    capability: Capability | None = None


_ALL = frozenset(LEVELS)
_ACTING = frozenset({USER, LEAD, AGENT})

COMMANDS: dict[Command, Permission] = {
    "ask": Permission(_ALL),
    "halt": Permission(_ALL),  # stopping is never gated
    "heartbeat": Permission(frozenset({LEAD, PEER, AGENT})),
    "record": Permission(_ALL),  # a testimony: what somebody says
    "draft": Permission(_ACTING, "propose"),
    "withdraw": Permission(_ACTING, "propose"),
    "run": Permission(_ACTING, "run_workflows"),
    "apply": Permission(_ACTING, "deliver"),
    "order": Permission(_ACTING, "trade"),
    "cancel": Permission(_ACTING, "trade"),
    "decide": Permission(frozenset({USER})),  # and a signature, which is what counts
    "enrol": Permission(frozenset({USER})),
}


def refuse_unpermitted(actor: Actor, command: Command) -> None:
    """Raises Refused when the table does not let this actor issue this command."""
    permission = COMMANDS[command]
    who = f"{actor.name} ({LEVELS.get(actor.level, 'unknown')}, level {actor.level})"
    if actor.level not in permission.levels:
        raise Refused("not_permitted", f"{who} may not {command}; levels that may: {sorted(permission.levels)}")
    if actor.level == USER or permission.capability is None:
        return
    if actor.role is None:
        raise Refused("unknown_role", f"{who} has no role, so it may not {command}; define one by `cdb propose role`")
    if permission.capability not in actor.role.capabilities:
        raise Refused(
            "not_permitted",
            f"{who} acts as {actor.role.name}, which may not {permission.capability.replace('_', ' ')}; "
            "another role, or an approved change of this one, is needed",
        )


# -- events --------------------------------------------------------------------------------------------------------


class RoleDefined(Event):
    """From here on the role is this; it may be a change of what it was."""

    type: Literal["role_defined"] = "role_defined"
    role: Role
    proposal: str

    def apply(self, aggregate: "RoleRecord") -> None:
        aggregate.role = self.role


class RoleRetired(Event):
    """From here on nobody acts in it."""

    type: Literal["role_retired"] = "role_retired"
    reason: str = Field(min_length=1, max_length=500)
    proposal: str

    def apply(self, aggregate: "RoleRecord") -> None:
        aggregate.role = None


class RoleRecord(Aggregate):
    """One role's history. `role` None: not there, or retired."""

    category = "agent"

    def begin(self) -> None:
        self.role: Role | None = None


# -- the roles that a log begins with ---------------------------------------------------------------------------------

_PROPOSING: tuple[Capability, ...] = ("propose", "run_workflows")


def _peer(name: str, of: str) -> Role:
    return Role(
        name=name, level=PEER, purpose=f"A second opinion by {of}: analyses only.",
        responsibilities=("answer what the session lead asks",), inputs=("questions with their context",),
        outputs=("analyses, as testimony",),
    )  # fmt: skip


FOUNDING_ROLES: tuple[Role, ...] = (
    Role(
        name="session-lead", level=LEAD,
        purpose="The one voice to the user: leads workflows, takes on agent roles, delivers after approval.",
        responsibilities=("lead every workflow run", "ask peers and agents", "present proposals to the user"),
        inputs=("the user's goals", "read models", "analyses of peers and agents"),
        outputs=("proposals", "deliveries after approval", "reports"),
        workflows=("WF1", "WF2", "WF3"), capabilities=(*_PROPOSING, "deliver", "trade"),
    ),
    _peer("gemini", "Gemini"),
    _peer("copilot", "Copilot"),
    _peer("codex", "Codex"),
    Role(
        name="system-architect", level=AGENT, purpose="Structure of the system and of its documents.",
        responsibilities=("keep AKTUELLER_STAND true", "name blockers"), inputs=("read models", "documents"),
        outputs=("drafts of documents",), workflows=("WF1", "WF3"), capabilities=_PROPOSING,
    ),
    Role(
        name="risk-architect", level=AGENT, purpose="Risk rules, limits and what they cost.",
        responsibilities=("judge every widening of risk", "keep Risikomanagement_Logic true"),
        inputs=("policies", "metrics", "tuning evidence"), outputs=("policy proposals", "risk assessments"),
        workflows=("WF2",), capabilities=_PROPOSING,
    ),
    Role(
        name="strategy-engineer", level=AGENT, purpose="Strategies and their parameters.",
        responsibilities=("find parameters that are too conservative", "compare promise and outcome"),
        inputs=("recorded history", "parameters", "metrics"), outputs=("tuning proposals with evidence",),
        workflows=("WF2",), capabilities=_PROPOSING,
    ),
    Role(
        name="stability-guardian", level=AGENT, purpose="Health of the services, and the emergency stop.",
        responsibilities=("watch health, lag and alerts", "halt when in doubt"), inputs=("status", "metrics", "alerts"),
        outputs=("incident reports",), workflows=("WF1",), capabilities=_PROPOSING,
    ),
    Role(
        name="project-visionary", level=AGENT, purpose="Aims of the project and their order.",
        responsibilities=("keep the foundation and the insights in line",), inputs=("documents", "insights"),
        outputs=("decision entries",), workflows=("WF3",), capabilities=_PROPOSING,
    ),
    Role(
        name="project-visualizer", level=AGENT, purpose="Pictures of the state: dashboards and diagrams.",
        responsibilities=("gather evidence of dashboards",), inputs=("dashboards",), outputs=("screenshots",),
        workflows=("WF1",), capabilities=_PROPOSING,
    ),
)  # fmt: skip
