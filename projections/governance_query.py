"""What governance's read models are asked: proposals, agents, workflow runs. `$n` are positions of their sources."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.tape import utc
from projections.answers import Answer, answer
from projections.reading import held, latest

Stored = Mapping[str, Any]

PENDING = "state IN ('drafted', 'presented')"  # in just these words an index has it

_DRAFT = (
    "proposal, number, title, command, desk, actor, level, role, run, reason, widens, taint, drafted_at_ns, "
    "expires_at_ns"
)
_STATE = "state, changed_at_ns, verdict, decided_at_ns, decided_by, verdict_reason"
_BESIDE = (
    "arguments, args_sha256, effects_expected, rollback, rolls_back, policy_version, environment, signature, "
    "attempts, effects, failed_code, failed_reason, rolled_back_by"
)
_STOOD = "proposals JOIN proposal_states AS states USING (proposal)"

PROPOSALS = f"(SELECT {_DRAFT}, {_STATE}, states.since, states.until FROM {_STOOD}) AS proposals"

# $1 is the position of governance, $2 the proposal.
PROPOSAL = f"""
SELECT {_DRAFT}, {_STATE}, {_BESIDE}, base, shown, shown_sha256, presented_at_ns
FROM {_STOOD} LEFT JOIN (SELECT * FROM presentations WHERE {held("$1")}) AS shown_last USING (proposal)
WHERE proposal = $2 AND states.since <= $1 AND states.until > $1"""

RUN_ROW = (
    "run, number, kind, goal, desk, actor, role, previous, trigger, started_at_ns, phase, mode, changed_at_ns, "
    "proposals, milestones, taint, outcome"
)
RUN = f"SELECT {RUN_ROW}, input, report FROM workflow_runs WHERE run = $2 AND {held('$1')}"
STEPS = (
    f"SELECT step, says, reference, untrusted, actor, mode, at_ns FROM workflow_steps WHERE run = $2 AND {held('$1')}"
)


def pending(place: str) -> str:
    """The proposals that wait for a verdict, oldest first."""
    return f"SELECT * FROM {PROPOSALS} WHERE {PENDING} AND {held(place)} ORDER BY number"


def roles(place: str) -> str:
    """Every role that there ever was."""
    return f"{latest('roles', 'name', place)} ORDER BY level, name"


def health(place: str) -> str:
    """Every agent that OPS heard of."""
    return f"{latest('agent_health', 'agent', place)} ORDER BY agent"


def proposal_of(row: Stored, desk: str) -> Answer:
    """A proposal. `waiting_since` is when it was drafted, None for one that waits no more."""
    said = unnumbered(row, desk)
    return said | {"waiting_since": said["drafted_at"] if row["state"] in ("drafted", "presented") else None}


def run_of(row: Stored, desk: str) -> Answer:
    """A run, with the time of every milestone."""
    milestones = [
        {"name": one["name"], "reference": one["reference"] or None, "at": utc(one["at_ns"])}
        for one in row["milestones"]
    ]
    return unnumbered(row, desk) | {"milestones": milestones}


def unnumbered(row: Stored, desk: str) -> Answer:
    """A row that is called by a name of its own; its number is only where it stands in lists."""
    return {name: value for name, value in answer(row, desk).items() if name != "id"}


def agents_of(roles: Sequence[Stored], health: Sequence[Stored], desk: str) -> Iterator[Answer]:
    """Every role with how its agent is, by level and name; then those who have none. `state` `unknown`: it never
    reported."""
    known = {row["agent"]: answer(row, desk) for row in health}
    for row in roles:
        yield _agent(row["name"], row, known.pop(row["name"], None), desk)
    for name in sorted(known):
        yield _agent(name, None, known[name], desk)


def _agent(name: str, row: Stored | None, is_: Answer | None, desk: str) -> Answer:
    role = row["role"] if row else {}
    defined = answer(row, desk) if row else dict.fromkeys(_DEFINED)
    return {
        "agent": name,
        "level": role.get("level"),
        "purpose": role.get("purpose"),
        **{says: role.get(says, []) for says in _LISTS},
        "retired": bool(row and row["retired"]),
        **{of: defined[of] for of in _DEFINED},
        "state": (is_ and is_["state"]) or "unknown",
        "doing": is_ and is_["doing"],
        "last_seen": is_ and is_["seen_at"],
        "state_since": is_ and is_["changed_at"],
        "failures": is_["failures"] if is_ else 0,
        "refusals": is_["refusals"] if is_ else 0,
        "last_refused": is_ and is_["refused_at"],
        "last_refusal": is_ and is_["refused_why"],
    }


_LISTS = ("responsibilities", "inputs", "outputs", "workflows", "capabilities")
_DEFINED = ("defined_at", "changed_at", "changed_by", "proposal", "reason")

BRIEF = ("agent", "level", "state", "doing", "last_seen", "failures", "refusals")


def agents_in_brief(agents: Sequence[Answer]) -> list[Answer]:
    """Those who have a role, and how they are."""
    return [{name: one[name] for name in BRIEF} for one in agents if one["level"] is not None and not one["retired"]]
